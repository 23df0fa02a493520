//! An engine that does not see this machine's files.

use std::fs;
use std::time::{Duration, Instant};

use testbed::SecondEngine;
use testbed::project::Manifest;

use crate::real::{Real, image};

#[test]
fn an_engine_that_does_not_see_our_files_is_found_within_seconds_and_gets_no_stray_dir() {
    if let Some(reason) = SecondEngine::cannot_start() {
        testbed::skip(
            "other_engine::an_engine_that_does_not_see_our_files_is_found_within_seconds_and_gets_no_stray_dir",
            &reason,
        );
        return;
    }
    let mut real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    let before = fs::read(real.path("W/workdir.json")).unwrap();
    let bridge = || std::path::Path::new("/sys/class/net/docker0").exists();
    let had_bridge = bridge();
    let engine = SecondEngine::start(&real.sandbox.work(), &image().reference).unwrap();
    real.sandbox.set("DOCKER_HOST", engine.host());
    assert_eq!(bridge(), had_bridge, "the first engine lost its network");
    let dirs = || engine.sh("find \"$1\" -mindepth 1").unwrap();
    let mut cases = 0;
    let mut check = |run: &testbed::sandbox::Run, start: Instant| {
        run.code(1).says("does not see this machine's files");
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "said after {took:?}");
        eprintln!("found after {took:?}");
        cases += 1;
    };

    let start = Instant::now();
    check(&real.create(&["--transfer", "mount"]), start);
    assert_eq!(dirs(), "");
    // Nothing was staged for it, and what was there is there.
    assert_eq!(fs::read(real.path("W/workdir.json")).unwrap(), before);
    let start = Instant::now();
    check(&real.verify(&["--transfer", "mount"]), start);
    assert_eq!(dirs(), "");

    // Directories of the same names there, as a careless `-v` has made them.
    engine.sh("mkdir -p \"$1/O\" \"$1/W/product\"").unwrap();
    let there = dirs();
    let start = Instant::now();
    check(&real.verify(&["--transfer", "mount"]), start);
    assert_eq!(dirs(), there);
    let left = engine_containers(&engine);
    assert_eq!(left, "");
    testbed::ran(
        "an_engine_that_does_not_see_our_files_is_found_within_seconds_and_gets_no_stray_dir",
        cases,
    );
}

fn engine_containers(engine: &SecondEngine) -> String {
    let host = engine.host();
    let args = ["--host", host, "ps", "--all", "--quiet"];
    let run = testbed::sandbox::Run::of(std::process::Command::new("docker").args(args));
    run.success().stdout.clone()
}
