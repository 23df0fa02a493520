//! How the parts are found: what the network has is used, and what it has not is made here.

mod registry;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use testbed::published::Published;
use testbed::sandbox::Run;

use registry::Registry;

/// How long a network that does not answer may hold up what is asked of it.
const SECONDS: Duration = Duration::from_secs(150);

/// Removes an image's name from the engine.
struct Pulled(String);

impl Drop for Pulled {
    fn drop(&mut self) {
        let _ = Run::of(Command::new("docker").args(["image", "rm", &self.0]));
    }
}

/// The program that `cargo xtask` is, when it runs the tests.
fn xtask(test: &str) -> Option<PathBuf> {
    let program = std::env::var_os("PIXI_OFFLINE_XTASK").map(PathBuf::from);
    if program.is_none() {
        testbed::skip(test, "`cargo xtask test` says where its program is");
    }
    program
}

/// Whether the engine is on this machine, where it reaches our loopback.
fn engine_is_here(test: &str) -> bool {
    let is_here = std::env::var_os("DOCKER_HOST").is_none();
    if !is_here {
        testbed::skip(test, "DOCKER_HOST names an engine that may be elsewhere");
    }
    is_here
}

#[test]
fn the_demo_uses_the_published_image_and_channel_where_the_network_has_them() {
    const NAME: &str = "the_demo_uses_the_published_image_and_channel_where_the_network_has_them";
    let Some(xtask) = xtask(NAME) else { return };
    if !engine_is_here(NAME) {
        return;
    }
    let parts = testbed::ensure_all().unwrap();
    let registry = Registry::with(&parts.image.reference, "prefix-dev/pixi", "0.77.0");
    let image = Pulled(registry.reference());
    let mut demo = Command::new(xtask);
    demo.args(["demo", "--image", &image.0, "--channel", &parts.channel.url])
        .env_remove("PIXI_IMAGE")
        .env_remove("PIXI_BIN");
    let run = Run::of(&mut demo);
    let line = format!(
        "image: {}, as published; channel: {}, as published\n",
        image.0, parts.channel.url
    );
    run.success()
        .prints(&line)
        .prints("report: ok")
        .prints(&format!("build-offline-product --image {} ", image.0))
        .prints("hello from the product");
    // The layers are on the engine already, where the image comes from.
    let asked = registry.asked();
    let pull = "GET /v2/prefix-dev/pixi/manifests/0.77.0";
    assert!(asked.contains(pull), "no {pull}: {asked}");
}

#[test]
fn what_the_network_has_not_is_made_here_after_seconds() {
    const NAME: &str = "what_the_network_has_not_is_made_here_after_seconds";
    if !engine_is_here(NAME) {
        return;
    }
    let parts = testbed::ensure_all().unwrap();
    // One that takes connections and says nothing, as behind a firewall.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    let nobody = "127.0.0.1:9";
    for (image, channel) in [
        (
            format!("{silent}/pixi:1"),
            format!("http://{nobody}/channel"),
        ),
        (
            format!("{nobody}/pixi:1"),
            "http://192.0.2.1:9/channel".to_owned(),
        ),
    ] {
        let published = Published { image, channel };
        let since = Instant::now();
        let place = published.or_made_here().unwrap();
        assert!(since.elapsed() < SECONDS, "{:?}", since.elapsed());
        assert_eq!(place.image, parts.image);
        assert_eq!(place.channel, parts.channel.url);
        let told = format!(
            "image: {}, made on this machine (no {} can be had); \
             channel: {}, made of Debian's packages (no {} can be reached)",
            parts.image.reference, published.image, parts.channel.url, published.channel
        );
        assert_eq!(place.told, told);
    }
}

#[test]
fn a_published_image_is_used_where_the_channel_is_out_of_reach() {
    const NAME: &str = "a_published_image_is_used_where_the_channel_is_out_of_reach";
    if !engine_is_here(NAME) {
        return;
    }
    let parts = testbed::ensure_all().unwrap();
    let registry = Registry::with(&parts.image.reference, "prefix-dev/pixi", "other");
    let image = Pulled(registry.reference());
    let published = Published {
        image: image.0.clone(),
        channel: "http://127.0.0.1:9/channel".to_owned(),
    };
    let place = published.or_made_here().unwrap();
    assert_eq!(place.image.reference, image.0);
    assert_eq!(place.image.version, parts.image.version);
    assert_eq!(place.channel, parts.channel.url);
}
