//! Serves the channel from a container on the engine's default network.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Home;
use crate::cache::Turn;
use crate::docker::{LABEL, docker, image_id, read_only};
use crate::fingerprint::{Fingerprint, sha256_of_file};
use crate::process::{announced, captured, succeeds};

const PORT: u16 = 8080;

const ADDRESS: &str =
    "{{.State.Running}} {{(index .NetworkSettings.Networks \"bridge\").IPAddress}}";

/// Sees to it that a container serves this channel, and returns the channel's address.
pub(super) fn ensure_served(home: &Home) -> Result<String> {
    let folder = home.served();
    let name = format!(
        "pixi-offline-test-channel-{}",
        Fingerprint::of([folder.as_os_str().as_encoded_bytes()]).short()
    );
    if let Some(url) = answering(&name) {
        return Ok(url);
    }
    let _turn = Turn::at("channel-server")?;
    if let Some(url) = answering(&name) {
        return Ok(url);
    }
    announced(
        format_args!("serving the channel from the container {name}"),
        || start(home, &name),
    )
}

/// The channel's address, when it is really served there.
fn answering(name: &str) -> Option<String> {
    let inspected = captured(
        "docker inspect",
        docker(["container", "inspect", "--format", ADDRESS, name]),
    )
    .ok()?;
    let address = inspected
        .strip_prefix("true ")
        .filter(|address| !address.is_empty())?;
    // From inside, since the host may have no way into the engine's network.
    let local = format!("http://127.0.0.1:{PORT}/channel/noarch/repodata.json");
    let probe = docker([
        "exec",
        name,
        "/busybox",
        "wget",
        "-q",
        "-O",
        "/dev/null",
        &local,
    ]);
    succeeds(probe).then(|| format!("http://{address}:{PORT}/channel"))
}

fn start(home: &Home, name: &str) -> Result<String> {
    let image = ensure_server_image(home)?;
    // What has the name is not running or does not answer.
    let _ = captured("docker rm", docker(["rm", "--force", name]));
    let port = PORT.to_string();
    let label = format!("{LABEL}=channel");
    let mount = read_only(&home.served(), "/served/channel")?;
    let mut arguments = vec![
        "run",
        "--detach",
        "--name",
        name,
        "--label",
        &label,
        "--network",
        "bridge",
    ];
    arguments.extend([
        "--log-driver",
        "none",
        "--security-opt",
        "label=disable",
        "--mount",
        &mount,
        &image,
    ]);
    arguments.extend(["/busybox", "httpd", "-f", "-p", &port, "-h", "/served"]);
    captured(
        format_args!("docker run of the channel's server {name}"),
        docker(arguments),
    )?;

    let since = Instant::now();
    loop {
        if let Some(url) = answering(name) {
            return Ok(url);
        }
        if since.elapsed() > Duration::from_secs(20) {
            bail!(
                "the channel's server does not answer: look at `docker container inspect {name}`"
            );
        }
        sleep(Duration::from_millis(100));
    }
}

/// An image with nothing but the program.
fn ensure_server_image(home: &Home) -> Result<String> {
    let busybox = home.busybox();
    let reference = format!(
        "pixi-offline-test/httpd:{}",
        &sha256_of_file(&busybox)?[..12]
    );
    if image_id(&reference).is_none() {
        let mut archive = tar::Builder::new(Vec::new());
        archive
            .append_path_with_name(&busybox, "busybox")
            .context("cannot pack the channel's server")?;
        let label = format!("LABEL {LABEL}=httpd");
        let import = docker(["import", "--change", &label, "-", &reference])
            .stdin_bytes(archive.into_inner()?);
        captured("docker import of the channel's server", import)?;
    }
    Ok(reference)
}
