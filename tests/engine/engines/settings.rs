//! Where docker's own settings lead: contexts, `DOCKER_HOST`, and engines that do not answer.

use std::net::{IpAddr, UdpSocket};
use std::time::Instant;

use testbed::SecondEngine;
use testbed::project::Manifest;
use testbed::sandbox::{Run, words};

use crate::real::{Real, image};
use crate::running::{Running, SLEEP, SOON};

/// A sandbox with docker's client set up for itself, and a project.
fn place() -> Real {
    let mut real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    real.sandbox.set("DOCKER_CONFIG", real.path("docker"));
    real
}

fn docker(real: &Real, args: &[&str]) -> Run {
    Run::of(real.sandbox.program("docker").args(args))
}

#[test]
fn an_engine_that_cannot_be_reached_is_said_with_the_next_step() {
    let mut real = place();
    // What makes a directory a product for the check before the engine is asked.
    real.sandbox.write("P/bootstrap-project.sh", "");
    let unreachable = |real: &Real, parts: &[&str]| {
        for run in [
            real.create::<&str>(&[]),
            real.build::<&str>(&[]),
            real.verify(&["--product-dir", "P"]),
        ] {
            run.code(125);
            for part in parts {
                run.says(part);
            }
            run.says_not("WARNING");
        }
        assert!(!real.path("W").exists());
        assert!(!real.path("O").exists());
    };
    real.sandbox.set("DOCKER_CONTEXT", "none");
    unreachable(&real, &["context \"none\"", "`docker context ls`"]);
    // One that was chosen and removed since. An empty variable is a name for docker 20.10.
    real.sandbox.unset("DOCKER_CONTEXT");
    real.sandbox
        .write("docker/config.json", r#"{"currentContext": "gone"}"#);
    unreachable(&real, &["context \"gone\"", "`docker context ls`"]);
    real.sandbox.write("docker/config.json", "{}");
    // Nobody listens.
    for host in ["tcp://127.0.0.1:9", "unix:///no/such/socket"] {
        real.sandbox.set("DOCKER_HOST", host);
        unreachable(&real, &[host, "start it (systemctl start docker)"]);
    }
}

/// The address by which this machine would send something to another one. Nothing is sent, and
/// the engine is not asked: a fresh one does not tell its gateway.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // An address of the documentation's, which is nobody's.
    socket.connect("198.51.100.1:9").unwrap();
    socket.local_addr().unwrap().ip()
}

#[test]
fn plain_tcp_to_another_machine_is_warned_of_once() {
    let mut real = place();
    // An address of this machine that is not loopback, where nobody listens on this port.
    let far = format!("tcp://{}:9", own_address());
    let warned = |real: &Real, times: usize| {
        let run = real.build::<&str>(&[]);
        run.code(125);
        let text = format!("WARNING: the engine is reached at {far} without TLS");
        assert_eq!(run.stderr.matches(&text).count(), times, "{run}");
    };
    let create = [
        "context",
        "create",
        "far",
        "--docker",
        &format!("host={far}"),
    ];
    docker(&real, &create).success();
    docker(&real, &["context", "use", "far"]).success();
    warned(&real, 1);
    docker(&real, &["context", "use", "default"]).success();
    real.sandbox.set("DOCKER_HOST", &far);
    warned(&real, 1);
    // Without certificates that fails, but in no clear text.
    real.sandbox.set("DOCKER_TLS_VERIFY", "1");
    warned(&real, 0);
}

#[test]
fn a_context_leads_to_its_engine_and_one_that_goes_away_is_said() {
    let name = "settings::a_context_leads_to_its_engine_and_one_that_goes_away_is_said";
    if let Some(reason) = SecondEngine::cannot_start_on_tcp() {
        testbed::skip(name, &reason);
        return;
    }
    let mut real = place();
    let hidden = real.path("hidden");
    std::fs::create_dir(&hidden).unwrap();
    let engine = SecondEngine::start_on_tcp(&hidden, &image().reference).unwrap();
    // An image by a name that only this engine knows.
    let there = format!("pixi-offline-test/only-there:{}", std::process::id());
    let host = ["--host", engine.host()];
    let tag = ["tag", &image().reference, &there];
    docker(&real, &[&host[..], &tag].concat()).success();
    let to_it = format!("host={}", engine.host());
    let create = ["context", "create", "there", "--docker", &to_it];
    docker(&real, &create).success();

    real.build(&["--image", &there]).code(125);
    real.sandbox.set("DOCKER_CONTEXT", "there");
    let run = real.build(&["--image", &there, "--verify-task", "where"]);
    // Plain TCP, but on loopback.
    run.success().says_not("without TLS");
    docker(&real, &["context", "use", "there"]).success();
    real.sandbox.unset("DOCKER_CONTEXT");
    real.verify(&["--image", &there]).success();

    // It goes away in the middle.
    let before = std::fs::read(real.path("W/workdir.json")).unwrap();
    let product = std::fs::read(real.path("W/product/SHA256SUMS")).unwrap();
    let mut command = real.sandbox.command("final-verify-product");
    command.args(words(&format!(
        "--image {there} --product-dir W/product --out-dir O"
    )));
    command.args(["--project-name", "demo", "--attach"]);
    command.args(["--verify-run", "--", "python", "-c", SLEEP]);
    let running = Running::until_it_prints(&mut command, "asleep");
    drop(engine);
    let since = Instant::now();
    let (code, stderr) = running.end();
    assert!(since.elapsed() < 2 * SOON, "{:?}", since.elapsed());
    assert_ne!(code, 0);
    assert!(stderr.contains("ERROR: "), "{stderr}");
    assert!(stderr.contains("stop"), "{stderr}");
    eprintln!("{code}: {stderr}");
    assert_eq!(std::fs::read(real.path("W/workdir.json")).unwrap(), before);
    assert_eq!(
        std::fs::read(real.path("W/product/SHA256SUMS")).unwrap(),
        product
    );
    real.create::<&str>(&[]).code(125).says("does not answer");
    assert_eq!(std::fs::read(real.path("W/workdir.json")).unwrap(), before);
}
