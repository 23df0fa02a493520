//! The fake docker's container is this machine: its `exec` runs here, with a
//! pixi that writes down what it is asked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testbed::sandbox::{Run, names};

use crate::fake::{Fake, WORKDIR};

const PIXI: &str = r#"#!/bin/bash
case $1 in
--version) echo pixi 0.77.0 ;;
task) [ -z "$PIXI_REFUSES" ] || { echo "  × $PIXI_REFUSES" >&2; exit 1; } ;;
list) echo "$PWD" >> "$PIXI_LOG"
  [ -z "$PIXI_STALE" ] || { echo " INFO the dependencies of environment 'default' for platform linux-64 are out of date because $PIXI_STALE" >&2
    echo "  × lock file not up-to-date with the workspace" >&2; exit 1; } ;;
install) shift; mkdir -p .pixi/envs/default "$PIXI_CACHE_DIR/pkgs/a-1-0"; touch .pixi/envs/default/big
  echo "install $*"; exit "${PIXI_INSTALL_EXIT:-0}" ;;
run) shift; printf '%s\0' "$@" > "$VERIFY_OUT_DIR/words"; ls "$PRODUCT_RES_DIR" > "$VERIFY_OUT_DIR/resources"
  echo verified; exit "${PIXI_RUN_EXIT:-0}" ;;
esac
"#;

/// A container that runs, with a project and a pixi.
pub struct Container {
    pub fake: Fake,
    pub path: PathBuf,
}

impl Container {
    pub fn new() -> Container {
        let mut fake = Fake::new().with(json!({"state": {"Status": "running"}}));
        let pixi = fake.sandbox.bin().join("pixi");
        fs::write(&pixi, PIXI).unwrap();
        fs::set_permissions(&pixi, fs::Permissions::from_mode(0o755)).unwrap();
        fake.sandbox
            .set("PIXI_LOG", fake.sandbox.root().join("pixi-log"));
        fake.sandbox.write("demo/.env.d/x", "");
        let path = fake.sandbox.root().join("in-container");
        Container { fake, path }
    }

    pub fn create(&self, more: &[&str]) -> Run {
        self.run("create-workdir-from-container", more)
    }

    /// Runs a command on the project in the container, into `work/W`.
    pub fn run(&self, command: &str, more: &[&str]) -> Run {
        let project = self.fake.path("demo");
        let usual = [
            "--container-id",
            "c1",
            "--project-path-in-container",
            project.to_str().unwrap(),
            "--container-workdir-path",
            self.path.to_str().unwrap(),
            "--workdir",
            "W",
        ];
        self.fake.sandbox.run(command, usual.iter().chain(more))
    }

    fn record(&self) -> Value {
        self.fake.json("W/workdir.json")
    }
}

#[test]
fn the_workdir_comes_back_as_from_the_host() {
    let container = Container::new();
    let fake = &container.fake;
    let resources = fake.sandbox.write("data/model.bin", "m");
    let run = container.create(&[
        "--resources-path-in-container",
        resources.parent().unwrap().to_str().unwrap(),
        "--exclude",
        "src",
        "--container-env",
        "A=b",
        "--verify-run",
        "--",
        "a b",
        "",
        "$x",
        "--",
    ]);
    run.success()
        .prints("install --locked\n")
        .prints("verified\n");
    let workdir = fake.path("W");
    run.says(&format!("OK: WORKDIR created at: {}\n", workdir.display()));
    run.says("Next: ")
        .says("helpers/make-archive-ready-product");
    assert_eq!(names(&workdir), WORKDIR);
    assert_eq!(
        names(&workdir.join("project/demo")),
        [".env.d", ".pixi", "pixi.lock", "pixi.toml"]
    );
    // Neither the project's own environments nor the one just installed travel.
    assert_eq!(names(&workdir.join("project/demo/.pixi")), ["config.toml"]);
    assert_eq!(names(&workdir.join("pixi-cache/pkgs")), ["a-1-0"]);
    assert_eq!(
        fs::read_to_string(workdir.join("out/pixi-install.log")).unwrap(),
        "install --locked\n"
    );
    assert_eq!(
        fs::read_to_string(workdir.join("out/verify.log")).unwrap(),
        "verified\n"
    );
    assert_eq!(
        fs::read(workdir.join("out/words")).unwrap(),
        b"a b\0\0$x\0--\0"
    );
    assert_eq!(
        fs::read_to_string(workdir.join("out/resources")).unwrap(),
        "model.bin\n"
    );
    assert_eq!(fs::read(workdir.join("resources/model.bin")).unwrap(), b"m");
    let record = container.record();
    assert_eq!(record["state"], "built");
    assert_eq!(
        record["container_workdir"],
        container.path.to_str().unwrap()
    );
    assert_eq!(record["image"]["id"], "sha256:feed");
    assert_eq!(record["lock"]["staged"], record["lock"]["built"]);
    // The secret is not in the container's workdir either.
    assert!(!container.path.join("project/demo/.env").exists());
    fake.sandbox
        .run("make-archive-ready-product", ["--workdir", "W"])
        .success();
    let exec = fake
        .calls()
        .into_iter()
        .find(|call| call.contains(&"--env".to_owned()))
        .unwrap();
    assert_eq!(exec[..5], ["exec", "--interactive", "--env", "A=b", "c1"]);
}

#[test]
fn clean_removes_the_container_path_and_our_program_is_gone_in_any_case() {
    let container = Container::new();
    container.create(&[]).success();
    assert!(container.path.join("pixi-cache").exists());
    container.create(&["--clean"]).success();
    assert!(!container.path.exists());
    for place in ["/tmp", "/var/tmp", "/dev/shm"] {
        // Other tests run at the same time: ours carry the full nonce.
        let left = container.fake.calls().iter().flatten().any(|arg| {
            arg.starts_with(&format!("{place}/.pixi-offline-")) && Path::new(arg).exists()
        });
        assert!(!left, "in {place}");
    }
}

#[test]
fn container_paths_that_are_not_ours_to_replace_are_refused() {
    let container = Container::new();
    let fake = &container.fake;
    fake.sandbox.write("other/thesis.txt", "x");
    let other = fake.path("other");
    let project = fake.path("demo");
    for (path, text) in [
        ("/", "root"),
        ("relative", "not absolute"),
        ("/tmp", "a system directory"),
        ("/etc/x", "a system directory"),
        ("/usr/lib/x", "a system directory"),
        (fake.sandbox.home().to_str().unwrap(), "home directory"),
        (project.to_str().unwrap(), "the project"),
        (
            fake.sandbox.work().to_str().unwrap(),
            "the current directory",
        ),
        (other.to_str().unwrap(), "not made by these commands"),
    ] {
        let run = container.create(&["--container-workdir-path", path]);
        run.code(2).says(text).says_not("--force");
        assert!(!fake.path("W").exists());
    }
    assert!(fake.path("other/thesis.txt").exists());
    assert!(fake.path("demo/.git/config").exists());
}

#[test]
fn bad_input_is_said_before_the_container_is_touched() {
    let container = Container::new();
    for (args, text) in [
        (&["--container-id", ""][..], "not a container"),
        (&["--container-id", "-x"], "not a container"),
        (&["--exclude", "!"], "--exclude"),
        (&["--project-path-in-container", "/"], "--project-name"),
        (&["--workdir", "demo/src"], "--force"),
        (
            &["--verify-task", "t", "--verify-run", "--", "x"],
            "at most one",
        ),
    ] {
        container.create(args).code(2).says(text);
    }
    assert!(container.fake.calls().iter().all(|call| call[0] != "exec"));
    for project in [
        "/nowhere/at-all",
        container.fake.path("demo/src").to_str().unwrap(),
    ] {
        let run = container.create(&["--project-path-in-container", project]);
        run.code(2);
        assert!(!container.fake.path("W").exists());
        assert!(!container.path.exists());
    }
}

#[test]
fn a_container_that_does_not_run_is_said_with_the_way_out() {
    for (state, text) in [
        ("exited", "docker start c1"),
        ("paused", "docker unpause c1"),
        ("created", "docker start c1"),
    ] {
        let container = Container::new();
        let fake = container.fake.with(json!({"state": {"Status": state}}));
        let container = Container { fake, ..container };
        container.create(&[]).code(2).says(text);
    }
    let container = Container::new();
    let fake = container.fake.with(json!({"no_container": true}));
    Container { fake, ..container }
        .create(&[])
        .code(2)
        .says("no container c1")
        .says("docker ps");
}

#[test]
fn a_failed_build_brings_its_logs_to_a_new_workdir_and_leaves_an_old_one() {
    let container = Container::new();
    let args = ["--container-env", "PIXI_RUN_EXIT=7", "--verify-task", "t"];
    let run = container.create(&args);
    run.code(7).says("the verification failed with exit code 7");
    let workdir = container.fake.path("W");
    run.says(&format!("{}/out", workdir.display()));
    assert_eq!(
        fs::read_to_string(workdir.join("out/verify.log")).unwrap(),
        "verified\n"
    );
    assert_eq!(container.record()["state"], "installed");

    container.create(&[]).success();
    let args = ["--container-env", "PIXI_INSTALL_EXIT=3"];
    container.create(&args).code(3).says("is as it was");
    assert_eq!(container.record()["state"], "built");
    assert_eq!(
        fs::read_to_string(workdir.join("out/verify.log")).unwrap(),
        "No verification requested.\n"
    );
}

#[test]
fn resources_that_are_no_dir_are_left_out_and_said() {
    let container = Container::new();
    let args = ["--resources-path-in-container", "/nowhere/at-all"];
    container
        .create(&args)
        .success()
        .says("WARNING: --resources-path-in-container /nowhere/at-all");
    assert_eq!(names(&container.fake.path("W/resources")), [""; 0]);
}

#[test]
fn the_call_inside_is_not_for_people() {
    let container = Container::new();
    let run = container
        .fake
        .sandbox
        .run("create-workdir-from-container", ["--inside-container", "x"]);
    run.code(1).says("--inside-container is internal");
}

#[test]
fn clean_is_honoured_also_when_the_lock_refuses() {
    let container = Container::new();
    let run = container.create(&["--clean", "-e", "nope"]);
    run.code(2).says("has no environment nope");
    assert!(!container.path.exists());
    assert!(!container.fake.path("W").exists());
}

#[test]
fn the_git_commit_in_the_container_is_recorded() {
    let container = Container::new();
    container.create(&[]).success();
    assert_eq!(container.record()["source"], Value::Null);
    let commit = container.fake.commit();
    container
        .fake
        .sandbox
        .write("demo/src/main.py", "print(2)\n");
    container.create(&[]).success();
    assert_eq!(
        container.record()["source"],
        json!({"commit": commit, "dirty": true})
    );
}
