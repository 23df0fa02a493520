//! `build-offline-product` against the fake docker: what it looks at, says and
//! leaves. The products themselves are proved with the real engine.

mod failures;
mod manifest_settings;
mod plans;
mod products;
mod reports;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};
use testbed::sandbox::{Run, names, words};

use crate::create_workdir_from_container::Container;
use crate::fake::Fake;

/// Options with which the product is refused while it is made; its variables are searched for
/// secrets only then.
const REFUSED: [&str; 4] = [
    "--secrets",
    "deny",
    "--env",
    "PROXY=http://me:qx7Lm2vT9pKd@proxy.corp.net",
];

fn build(fake: &Fake, more: &[&str]) -> Run {
    fake.run("build-offline-product", more)
}

/// The JSON objects on stdout.
fn objects(run: &Run) -> Vec<Value> {
    run.stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Every entry below a directory, with its mode, size and time of change.
fn listing(dir: &Path) -> BTreeMap<String, (u32, u64, i64, i64)> {
    let mut entries = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                dirs.push(path.clone());
            }
            let facts = (
                metadata.mode(),
                metadata.len(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            );
            entries.insert(path.display().to_string(), facts);
        }
    }
    entries
}

/// Docker's verbs so far, its questions left out.
fn deeds(fake: &Fake) -> Vec<String> {
    let is_question = |call: &Vec<String>| {
        ["version", "image", "container", "ps", "volume"].contains(&call[0].as_str())
    };
    fake.calls()
        .into_iter()
        .filter(|call| !is_question(call) && !call.contains(&"question".to_owned()))
        .map(|call| call[0].clone())
        .collect()
}

#[test]
fn the_platform_of_a_container_is_its_own() {
    let fake = Fake::new();
    let args = ["--container-id", "box", "--project-path-in-container", "/p"];
    let platform = ["--container-platform", "linux/amd64"];
    fake.sandbox
        .run("build-offline-product", [&args[..], &platform].concat())
        .code(2)
        .says("--container-platform is for --project-dir");
    assert_eq!(fake.calls(), Vec::<Vec<String>>::new());
}

#[test]
fn a_later_run_uses_the_package_cache_again_and_says_so() {
    let fake = Fake::new();
    build(&fake, &[]).success().says_not("is reused");
    fake.sandbox
        .write("W/pixi-cache/pkgs/a-1-0/info/index.json", "{}");
    let run = build(&fake, &["--format", "json", "--verbose"]);
    run.success().says("NOTE: the package cache of the previous workdir is reused; --fresh starts with an empty one\n");
    assert_eq!(objects(&run)[1]["cache_reused"], true);
    assert!(
        fake.path("W/pixi-cache/pkgs/a-1-0/info/index.json")
            .exists()
    );
    let run = build(&fake, &["--format", "json", "--fresh"]);
    run.success().says_not("is reused");
    assert_eq!(objects(&run)[1]["cache_reused"], Value::Null);
    assert_eq!(names(&fake.path("W/pixi-cache")), [""; 0]);
    build(&fake, &["--fresh", "--reuse-cache"]).code(2);
}

/// A scenario in which one phase of the containers ends with 7.
fn failing(phase: &str) -> Fake {
    let lines: String = (0..30).map(|number| format!("line {number}\n")).collect();
    let end = |name: &str| if name == phase { 7 } else { 0 };
    Fake::new().with(json!({"phases": [
        ["install", format!("installing\n{lines}"), end("install")],
        ["verify", "\x1b[31mred\x1b[0m end\n", end("verify")],
        ["bootstrap", "bootstrapped\n", end("bootstrap")],
    ]}))
}

#[test]
fn the_image_is_that_of_the_variable_then_the_official_one() {
    let args = ["--project-dir", "demo", "--workdir", "W", "--dry-run"];
    let mut fake = Fake::new();
    fake.sandbox
        .run("build-offline-product", args)
        .success()
        .prints("image ghcr.io/prefix-dev/pixi:0.77.0: not on this engine");
    fake.sandbox.set("PIXI_IMAGE", "");
    fake.sandbox
        .run("build-offline-product", args)
        .success()
        .prints("image ghcr.io/prefix-dev/pixi:");
    fake.sandbox.set("PIXI_IMAGE", "img:1");
    fake.sandbox
        .run("build-offline-product", args)
        .success()
        .prints("image img:1: sha256:feed");
    build(&fake, &["--dry-run", "--image", "img:9"])
        .success()
        .prints("image img:9: not on this engine");
}

fn build_from(container: &Container, more: &[&str]) -> Run {
    container.run("build-offline-product", more)
}

#[test]
fn from_a_container_the_whole_way_and_its_plan() {
    let container = Container::new();
    let fake = &container.fake;
    let plan = build_from(&container, &["--dry-run"]);
    plan.success()
        .prints("in container c1 of image ")
        .prints("staged: ")
        .prints("environments default: 0 conda packages")
        .prints("pixi 0.77.0 of the image: it accepts the manifest, and pixi.lock is up to date\n")
        .says_not("docker run");
    build_from(&container, &["--dry-run", "--verbose"])
        .success()
        .prints("the final verification, without a network:\n  docker run ");
    // Only a look at what would be staged, by a program that is removed again.
    assert!(deeds(fake).iter().all(|deed| deed == "exec"));
    assert!(!container.path.exists() && !fake.path("W").exists());
    // Nothing of this machine's has a say in what is there.
    let explained = build_from(&container, &["--explain", ".git"]);
    assert_eq!(
        explained.success().stdout,
        ".git is staged: no pattern matches it\n"
    );
    let explained = build_from(&container, &["--explain", ".git/"]);
    assert_eq!(explained.success().stdout, ".git is left out: .git/\n");

    let run = build_from(&container, &["--format", "json", "--verify-task", "t"]);
    run.success();
    let phases: Vec<Value> = objects(&run)
        .iter()
        .map(|object| object["phase"].clone())
        .collect();
    assert_eq!(phases, ["preflight", "stage", "build", "product", "verify"]);
    assert!(fake.path("W/product/verification.json").exists());
    let run = build_from(&container, &["--format", "json"]);
    assert_eq!(objects(run.success())[1]["cache_reused"], true);
    assert!(fake.path("W/product/pkg-cache").exists());

    build_from(&container, &["--image", "absent:1"])
        .code(125)
        .says("image absent:1 is not on this engine");
    for args in [&["--engine-arg", "x"][..], &["--resources-dir", "demo"]] {
        build_from(&container, args).code(2);
    }
}

/// A client takes as long as copying thousands of files. An id always means the same image; a
/// name may mean another one by the time of the final verification, and is looked up again.
#[test]
fn one_run_asks_the_engine_each_thing_once() {
    for image in [None, Some("img:1")] {
        let mut fake = Fake::new();
        fake.sandbox.set("PIXI_IMAGE", "img:1");
        let args = words("--project-dir demo --workdir W --verify-task smoke");
        let args = args
            .into_iter()
            .chain(image.into_iter().flat_map(|name| ["--image", name]));
        fake.sandbox.run("build-offline-product", args).success();
        let calls = fake.calls();
        // Without those that make, fill, start and remove its two containers and the counter.
        let of_a_container = ["run", "cp", "start"];
        let mut asked: Vec<&str> = calls
            .iter()
            .filter(|call| !of_a_container.contains(&call[0].as_str()))
            .filter(|call| call[1] != "--force" && !call.contains(&"--name".to_owned()))
            .map(|call| call[0].as_str())
            .collect();
        asked.sort_unstable();
        let right = ["create", "image", "ps", "rm", "version", "volume"];
        assert_eq!(asked, right, "{calls:?}");
    }
}
