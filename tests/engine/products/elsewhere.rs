//! An engine that sees none of our files, reached through TCP: everything is carried there and
//! back, and nothing is left there.

use std::fs;
use std::path::Path;
use std::process::Command;

use testbed::SecondEngine;
use testbed::project::Manifest;
use testbed::sandbox::Run;

use crate::real::{Real, image};
use crate::running::{Running, until};

/// A sandbox with a locked project, and an engine that sees nothing of it; `None` where that
/// cannot be, which is said.
fn elsewhere(test: &str) -> Option<(Real, SecondEngine)> {
    if let Some(reason) = SecondEngine::cannot_start_on_tcp() {
        testbed::skip(test, &reason);
        return None;
    }
    let mut real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    let engine = SecondEngine::start_on_tcp(&real.sandbox.work(), &image().reference).unwrap();
    real.sandbox.set("DOCKER_HOST", engine.host());
    Some((real, engine))
}

fn ask(engine: &SecondEngine, args: &[&str]) -> String {
    let host = ["--host", engine.host()];
    let run = Run::of(Command::new("docker").args(host).args(args));
    run.success().stdout.clone()
}

/// What is on the engine besides images: containers, volumes.
fn left_on(engine: &SecondEngine) -> String {
    ask(engine, &["ps", "--all", "--quiet"]) + &ask(engine, &["volume", "ls", "--quiet"])
}

/// The digests of a product's files.
fn sums_of(product: &Path) -> String {
    fs::read_to_string(product.join("SHA256SUMS")).unwrap()
}

const VERIFY: [&str; 4] = [
    "--verify-run",
    "--",
    "sh",
    // What it writes comes back, and what is written beside it is not lost.
    "-c",
];
const SCRIPT: &str =
    "mkdir -p \"$VERIFY_OUT_DIR/sub\" && python -V >\"$VERIFY_OUT_DIR/sub/version\" && echo here";

#[test]
fn the_whole_flow_passes_on_an_engine_that_sees_none_of_our_files() {
    const NAME: &str = "the_whole_flow_passes_on_an_engine_that_sees_none_of_our_files";
    let Some((real, engine)) = elsewhere(NAME) else {
        return;
    };
    let mut args = vec!["--expect-file", "sub/version"];
    args.extend(VERIFY);
    args.push(SCRIPT);
    let run = real.build(&args);
    run.success()
        .says("does not see this machine's files; files are copied through volumes")
        .says("copied to the engine: ")
        .says("copied back: ")
        // The packages are on the engine since the build.
        .says("not sent again");
    assert_eq!(left_on(&engine), "");
    for dir in ["W/out", "W/proof"] {
        let version = fs::read_to_string(real.path(dir).join("sub/version")).unwrap();
        assert!(version.starts_with("Python 3.11"), "{version}");
    }
    assert!(!real.path("W/project/demo/.pixi/envs").exists());
    let stray = engine.sh("find \"$1\" -mindepth 1").unwrap();
    assert_eq!(stray, "");
    let first = sums_of(&real.path("W/product"));

    // Again: what is there is used, and comes back without being sent.
    let mut again = vec!["--verbose"];
    again.extend(&args);
    let run = real.build(&again);
    run.success().says("is reused");
    assert_eq!(sums_of(&real.path("W/product")), first);
    assert_eq!(left_on(&engine), "");

    // The same from the engine of this machine, with mounts, out of the same cache.
    let mut here = real;
    here.sandbox.set("DOCKER_HOST", "");
    let mut mounted = vec!["--verbose", "--transfer", "mount"];
    mounted.extend(&args);
    here.build(&mounted).success().says("is reused");
    assert_eq!(sums_of(&here.path("W/product")), first);

    // And forced where nothing forces it, step by step.
    let copied = ["--transfer", "copy"];
    here.create(&copied).success().says("copied back: ");
    here.make::<&str>(&[]).success();
    here.verify(&copied)
        .success()
        .says("copied to the engine: ");
    testbed::ran(NAME, 4);
}

#[test]
fn an_engine_elsewhere_that_fails_leaves_the_workdir_as_it_was_and_keeps_nothing() {
    const NAME: &str =
        "an_engine_elsewhere_that_fails_leaves_the_workdir_as_it_was_and_keeps_nothing";
    let Some((real, mut engine)) = elsewhere(NAME) else {
        return;
    };
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    real.sandbox.write("W/marked", "by a person");
    let as_it_was = || {
        assert!(real.path("W/marked").exists());
        assert!(real.path("W/product/SHA256SUMS").exists());
        let names = fs::read_dir(real.sandbox.work()).unwrap();
        let stray: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains(".pixi-offline-"))
            .collect();
        assert_eq!(stray, [""; 0]);
    };

    // A script that fails is told by its exit code, and what it did comes back.
    let failing = ["--verify-run", "--", "sh", "-c", "exit 7"];
    let args = ["--workdir", "F"].iter().chain(&failing);
    let args: Vec<&str> = args.copied().collect();
    real.create(&args).code(7).says("F/out/verify.log");
    assert!(real.path("F/pixi-cache/pkgs").is_dir());
    assert!(real.path("F/out/pixi-install.log").exists());
    assert_eq!(left_on(&engine), "");

    // Its disk is full.
    let volumes = engine.state().join("data/volumes");
    let volumes = volumes.display();
    engine
        .sh(&format!("mount -t tmpfs -o size=100k full {volumes}"))
        .unwrap();
    real.sandbox.write("demo/large", vec![1; 1 << 20]);
    let run = real.create::<&str>(&[]);
    run.code(1)
        .says("No space left on device")
        .says("files could not be copied");
    real.verify::<&str>(&[])
        .code(1)
        .says("No space left on device");
    engine.sh(&format!("umount {volumes}")).unwrap();
    assert_eq!(left_on(&engine), "");
    as_it_was();

    // Ctrl-C, while files are carried and while it builds.
    let carry = Running::until_it_calls(&mut create(&real, "true"), "--attach");
    carry.signal("INT");
    let (code, stderr) = carry.end();
    assert_eq!(code, 130, "{stderr}");
    let took = until(|| left_on(&engine).is_empty());
    eprintln!("nothing left after {took:?}");
    assert_eq!(left_on(&engine), "");
    let sleeps = Running::until_it_prints(&mut create(&real, "echo here; sleep 600"), "here");
    sleeps.signal("INT");
    let (code, stderr) = sleeps.end();
    assert_eq!(code, 130, "{stderr}");
    assert_eq!(left_on(&engine), "");
    as_it_was();

    // Killed: the next run tidies up.
    let sleeps = Running::until_it_prints(&mut create(&real, "echo here; sleep 600"), "here");
    sleeps.signal("KILL");
    sleeps.end();
    until(|| ask(&engine, &["ps", "--quiet"]).is_empty());
    assert_ne!(left_on(&engine), "");
    real.create(&["--workdir", "F"]).success();
    assert_eq!(left_on(&engine), "");

    // It goes away in the middle.
    let sleeps = Running::until_it_prints(&mut create(&real, "echo here; sleep 600"), "here");
    engine.kill().unwrap();
    let (code, stderr) = sleeps.end();
    assert_ne!(code, 0);
    assert!(stderr.contains("is as it was"), "{stderr}");
    as_it_was();
    testbed::ran(NAME, 6);
}

#[test]
fn an_engine_here_that_goes_away_in_a_build_leaves_the_workdir_as_it_was() {
    const NAME: &str = "an_engine_here_that_goes_away_in_a_build_leaves_the_workdir_as_it_was";
    if let Some(reason) = SecondEngine::cannot_start_on_tcp() {
        testbed::skip(NAME, &reason);
        return;
    }
    let mut real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    real.create::<&str>(&[]).success();
    real.sandbox.write("W/marked", "by a person");
    let packages = || {
        fs::read_dir(real.path("W/pixi-cache/pkgs"))
            .unwrap()
            .count()
    };
    let before = packages();
    let unseen = tempfile::tempdir().unwrap();
    let mut engine = SecondEngine::start_on_tcp(unseen.path(), &real.image).unwrap();
    let host = engine.host().to_owned();
    let mut command = create(&real, "echo here; sleep 600");
    command.env("DOCKER_HOST", host);
    let sleeps = Running::until_it_prints(&mut command, "here");
    assert!(!real.path("W/marked").exists());
    engine.kill().unwrap();
    let (code, stderr) = sleeps.end();
    assert_ne!(code, 0);
    assert!(stderr.contains("went away"), "{stderr}");
    assert!(stderr.contains("W is as it was"), "{stderr}");
    assert!(real.path("W/marked").exists());
    assert_eq!(packages(), before);
    real.sandbox.set("DOCKER_HOST", "");
    real.make::<&str>(&[]).success();
    testbed::ran(NAME, 1);
}

#[test]
fn a_container_elsewhere_gives_a_product_and_the_product_an_image_there() {
    const NAME: &str = "a_container_elsewhere_gives_a_product_and_the_product_an_image_there";
    let Some((real, engine)) = elsewhere(NAME) else {
        return;
    };
    let loops = "while :; do sleep 1; done";
    let args = [
        "run",
        "--detach",
        "--entrypoint",
        "sh",
        &real.image,
        "-c",
        loops,
    ];
    let container = ask(&engine, &args).trim().to_owned();
    let demo = real.path("demo");
    let to = format!("{container}:/demo");
    ask(&engine, &["cp", demo.to_str().unwrap(), &to]);
    fs::remove_dir_all(&demo).unwrap();
    let args = ["--container-id", &container, "--workdir", "W", "--clean"];
    let project = ["--project-path-in-container", "/demo"];
    let args = args.iter().chain(&project).chain(&VERIFY).chain(&[SCRIPT]);
    let run = real.sandbox.run("build-offline-product", args);
    run.success().says("copied to the engine: ");
    assert_eq!(left_on(&engine).trim(), &container[..12]);

    let args = ["--product-dir", "W/product", "--build-image", &real.image];
    let base = ["--base-image", &real.image, "--tag", "made:1"];
    let verify = [
        "--verify-run",
        "--",
        "python",
        "-c",
        "print('from an image')",
    ];
    let args = args.iter().chain(&base).chain(&verify);
    let run = real.sandbox.run("make-production-image", args);
    run.success().prints("from an image");
    let ids = ask(&engine, &["image", "ls", "--quiet", "made:1"]);
    assert_eq!(ids.lines().count(), 1);
    ask(&engine, &["rm", "--force", &container]);
    assert_eq!(left_on(&engine), "");
    testbed::ran(NAME, 2);
}

/// The creation of the workdir W with a shell command as its verification.
fn create(real: &Real, script: &str) -> Command {
    let mut command = real.sandbox.command("create-workdir-from-host");
    command.args(["--image", &real.image, "--project-dir", "demo"]);
    command.args(["--workdir", "W", "--reuse-cache"]);
    command.args(VERIFY).arg(script);
    command
}
