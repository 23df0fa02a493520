//! A hostile program in the final verification tries to speak for our script.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use testbed::ensure_podman;
use testbed::images::{Change, derived_image, ensure_base_image};
use testbed::sandbox::Run;

use crate::real::{Real, containers_of};

/// A lock that needs nothing.
const LOCK: &str = "version: 6
environments:
  default:
    channels:
    - url: http://conda.example/chan/
    packages:
      linux-64: []
packages: []
";

/// A product on an image whose pixi forges. That one fills no cache, so the project needs
/// nothing.
fn product() -> Real {
    let real = Real::new(&image());
    make_product(&real);
    real
}

/// An image whose pixi forges.
fn image() -> String {
    let change = Change::Script {
        text: include_str!("forging-pixi.sh"),
        to: "/usr/local/bin/pixi",
    };
    let base = ensure_base_image().unwrap();
    derived_image("forging-pixi", base, &[change]).unwrap()
}

fn make_product(real: &Real) {
    real.sandbox
        .write("demo/pixi.toml", "[project]\nname = 'demo'\n");
    real.sandbox.write("demo/pixi.lock", LOCK);
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
}

fn verify(real: &Real, forge: &str) -> (Run, Value) {
    let forge = format!("FORGE={forge}");
    let args = ["--project-name", "demo", "--container-env", &forge];
    let args = [&args[..], &["--verify-run", "--", "true"]].concat();
    let run = real.verify(&args);
    let record = fs::read(real.path("O/verification.json")).unwrap();
    (run, serde_json::from_slice(&record).unwrap())
}

#[test]
fn a_program_that_forges_signals_does_not_change_the_verdict() {
    let real = product();
    let (run, record) = verify(&real, "nothing");
    run.success();
    assert_eq!(record["outcome"], "passed");

    for (forge, code, text) in [
        ("words", 1, "tried to reach the network (3 attempts"),
        (
            "verify-words",
            7,
            "the verification failed with exit code 7",
        ),
    ] {
        let (run, record) = verify(&real, forge);
        run.code(code).says(text);
        assert_eq!(record["outcome"], "failed", "{forge}");
    }
    for forge in ["catch", "verify-catch"] {
        let (run, record) = verify(&real, forge);
        // Who reads first is chance: what was caught is a contradiction, and what was
        // not is the end as it was.
        assert_ne!(run.code, 0, "{forge}: {run}");
        assert_eq!(record["outcome"], "failed", "{forge}");
    }
    assert_eq!(containers_of(&real), "");
}

#[test]
fn attempts_are_counted_from_outside_of_the_container() {
    let real = product();
    let counts = |record: &Value| {
        let known_by = record["network"]["known_by"].as_str().unwrap();
        assert!(known_by.contains("from outside"), "{known_by}");
        let ran = record["ran"].as_array().unwrap();
        let count = |phase: &Value| phase["network_attempts"].as_u64().unwrap();
        ran.iter().map(count).collect::<Vec<_>>()
    };
    let (run, record) = verify(&real, "nothing");
    run.success().says_not("in the container itself");
    assert_eq!(counts(&record), [0, 0]);
    let (run, record) = verify(&real, "verify-attempts");
    run.success()
        .says("NOTE: the verification tried to reach the network: 2");
    assert_eq!(counts(&record), [0, 2]);
    let (run, record) = verify(&real, "words");
    run.code(1);
    assert_eq!(counts(&record), [3, 0]);
    assert_eq!(containers_of(&real), "");
}

#[test]
fn a_verification_that_hangs_is_ended_after_its_time() {
    let real = product();
    let start = Instant::now();
    let args =
        "--project-name demo --container-env FORGE=verify-hang --timeout 5s --verify-run -- true";
    real.verify(&args.split(' ').collect::<Vec<_>>())
        .code(124)
        .says("phase verify took longer than --timeout 5s");
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(containers_of(&real), "");
}

#[test]
fn podman_counts_from_outside_too() {
    let test = "forging::podman_counts_from_outside_too";
    if !rustix::process::geteuid().is_root() {
        testbed::skip(test, "the podman of the tests runs as root");
        return;
    }
    let podman = ensure_podman().unwrap();
    let image = image();
    podman.bring(&image).unwrap();
    let mut real = Real::new(&image);
    for (name, value) in podman.variables() {
        real.sandbox.set(name, value);
    }
    real.sandbox.set("CONTAINER_ENGINE", podman.program());
    make_product(&real);
    let (run, record) = verify(&real, "words");
    run.code(1)
        .says("tried to reach the network (3 attempts")
        .says_not("in the container itself");
    let known_by = record["network"]["known_by"].as_str().unwrap();
    assert!(known_by.contains("from outside"), "{known_by}");
    let label = "label=io.github.pixi-offline.command";
    let left = ["ps", "--all", "--quiet", "--filter", label];
    let mut list = real.sandbox.program(podman.program());
    assert_eq!(Run::of(list.args(left)).success().stdout, "");
}
