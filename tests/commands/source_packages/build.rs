//! The build of a project with source packages.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testbed::sandbox::{Run, names, words};

use super::{ARCHIVE_OF_LIB, LOCK, Workdir};
use crate::fake::Fake;

/// A fake whose project has a source package.
fn fake_with_source(pixi: &str) -> Fake {
    let fake = Fake::new().with(json!({"pixi_check": format!("pixi pixi {pixi}\nmanifest 0\n")}));
    fake.sandbox.write("demo/pixi.lock", LOCK);
    fake
}

#[test]
fn a_pixi_whose_locks_are_older_is_refused_before_the_build() {
    for (pixi, code) in [
        ("0.67.2", 2),
        ("0.68.0", 0),
        ("0.77.0", 0),
        ("1.0.0", 0),
        ("odd", 0),
    ] {
        let fake = fake_with_source(pixi);
        let run = fake.create::<&str>(&[]);
        run.code(code);
        if code == 0 {
            continue;
        }
        run.says("the pixi of the image, 0.67.2")
            .says("0.68 or later");
        assert!(!fake.sandbox.work().join("W").exists());
        let dry = Run::of(fake.sandbox.command("build-offline-product").args(words(
            "--image img:1 --project-dir demo --workdir W --dry-run",
        )));
        dry.code(2).says("0.68 or later");
    }
}

#[test]
fn what_was_built_is_kept_as_a_channel_where_that_was_asked_for() {
    let fake = fake_with_source("0.77.0");
    fake.create::<&str>(&[]).success();
    // What the build of the fake would leave: it writes nothing itself.
    let left = Workdir::new();
    let built = "W/pixi-cache/pixi-offline-built";
    let copy = |place: &str| {
        let content = fs::read(left.path(built).join(place)).unwrap();
        fake.sandbox.write(Path::new(built).join(place), content);
    };
    for name in ["app", "lib"] {
        copy(&format!("artifacts-v0/{name}/key/{name}-1.0-h0_0.conda"));
        for kind in ["json", "paths.json"] {
            copy(&format!("environments/default/{name}-1.0-h0_0.{kind}"));
        }
    }
    let run = fake.create(&["--reuse-cache", "--keep-built-packages"]);
    run.success()
        .says("Packages built from source: 2, in the channel");
    let channel = fake.sandbox.work().join("W/built-packages");
    assert_eq!(names(&channel), ["linux-64", "noarch"]);
    assert_eq!(
        names(&channel.join("linux-64")),
        ["app-1.0-h0_0.conda", "lib-1.0-h0_0.conda", "repodata.json"]
    );
    assert_eq!(names(&channel.join("noarch")), ["repodata.json"]);
    let archive = fs::read_to_string(channel.join("linux-64/lib-1.0-h0_0.conda")).unwrap();
    assert_eq!(archive, ARCHIVE_OF_LIB);
    let repodata = fs::read_to_string(channel.join("linux-64/repodata.json")).unwrap();
    let repodata: Value = serde_json::from_str(&repodata).unwrap();
    assert_eq!(repodata["info"]["subdir"], "linux-64");
    let lib = &repodata["packages.conda"]["lib-1.0-h0_0.conda"];
    assert_eq!(lib["name"], "lib");
    assert_eq!(
        lib["sha256"],
        format!("{:x}", Sha256::digest(ARCHIVE_OF_LIB))
    );
    assert_eq!(repodata["packages"], json!({}));
    fake.create(&["--reuse-cache"]).success();
    assert!(!channel.exists(), "not asked for");
    fake.create(&["--keep-built-packages"])
        .success()
        .says("pixi built no package from source");
}

#[test]
fn a_lock_that_pixi_calls_stale_may_only_lack_a_backend() {
    let stale = "Error:   \u{d7} lock file not up-to-date with the workspace\n";
    let failing = |fake: Fake| fake.with(json!({"phases": [["install", stale, 1]]}));
    let told = "cannot get the build backend of a source package";
    let with_source = failing(fake_with_source("0.77.0")).create::<&str>(&[]);
    with_source.code(1).says("--update-lock").says(told);
    let without = failing(Fake::new()).create::<&str>(&[]);
    without.code(1).says("--update-lock").says_not(told);
}
