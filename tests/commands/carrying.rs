//! How the package cache gets into the product: copied, shared, or moved.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use pixi_offline::evidence::{BuildState, WorkdirRecord};
use pixi_offline::layout::Workdir;
use pixi_offline::request::Verification;

use crate::package_cache;

/// The inode of each file below a directory.
fn inodes(top: &Path) -> BTreeMap<PathBuf, u64> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![top.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                dirs.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path().strip_prefix(top).unwrap().to_owned();
                all.insert(path, entry.metadata().unwrap().ino());
            }
        }
    }
    all
}

fn sums(workdir: &package_cache::Workdir) -> String {
    fs::read_to_string(workdir.sandbox.work().join("W/product/SHA256SUMS")).unwrap()
}

#[test]
fn only_hard_links_share_files_and_never_what_is_rewritten_in_place() {
    let workdir = package_cache::Workdir::new();
    let git = "W/pixi-cache/uv-cache/git-v0/db/1/HEAD";
    workdir.sandbox.write(git, "ref");
    let cache = inodes(&workdir.sandbox.work().join("W/pixi-cache"));
    let mut first = None;
    for mode in ["auto", "clone", "copy", "hardlink"] {
        let run = workdir.make(&["--link-mode", mode, "--cache", "full"]);
        run.success();
        let product = inodes(&workdir.sandbox.work().join("W/product/pkg-cache"));
        let git = Path::new("uv-cache/git-v0/db/1/HEAD");
        assert!(
            product.len() > 20 && product.contains_key(git),
            "{product:?}"
        );
        for (path, inode) in &product {
            let own = path.extension().is_some_and(|ending| ending == "lock")
                || path.starts_with("uv-cache/git-v0");
            let shared = cache[path] == *inode;
            assert_eq!(shared, mode == "hardlink" && !own, "{mode}: {path:?}");
        }
        // The product is the same, whichever way it was taken.
        assert_eq!(*first.get_or_insert(sums(&workdir)), sums(&workdir));
    }
    workdir.make(&["--link-mode", "symlink"]).code(2);
    workdir
        .make(&["--link-mode", "copy", "--move-cache"])
        .code(2)
        .says("cannot be used with");
}

#[test]
fn a_moved_cache_makes_the_same_product_and_a_second_run_explains() {
    let workdir = package_cache::Workdir::new();
    let cache = workdir.sandbox.work().join("W/pixi-cache");
    workdir
        .make(&["--move-cache"])
        .code(2)
        .says("has no workdir.json");
    let layout = Workdir::new(workdir.sandbox.work().join("W"));
    let verification = Verification::Command(vec!["true".into()]);
    let mut record = WorkdirRecord::new("demo", "/workdir", verification);
    record.state = BuildState::Built;
    record.write(&layout).unwrap();
    let counted = |run: &testbed::sandbox::Run| {
        let text = format!("{}{}", run.stdout, run.stderr);
        let line = text
            .lines()
            .find(|line| line.starts_with("Package cache: "));
        line.expect("the line about the cache").to_owned()
    };
    let run = workdir.make(&[]);
    run.success();
    let (copied, shipped, words) = (sums(&workdir), workdir.shipped(), counted(&run));

    let run = workdir.make(&["--move-cache"]);
    run.success();
    assert!(!cache.exists());
    assert_eq!(sums(&workdir), copied);
    assert_eq!(workdir.shipped(), shipped);
    assert_eq!(counted(&run), words);
    let link = "W/product/pkg-cache/uv-cache/wheels-v6/pypi/six/1.17.0-py3-none-any/six.py";
    assert!(workdir.sandbox.work().join(link).is_file());

    let moved = workdir.sandbox.work().join("W/product/pkg-cache");
    workdir
        .make(&[])
        .code(2)
        .says("--move-cache")
        .says(&format!("mv {} {}", moved.display(), cache.display()));
    assert_eq!(workdir.shipped(), shipped, "the product is left alone");
    fs::rename(&moved, &cache).unwrap();
    workdir.make(&[]).success();
    assert_eq!(sums(&workdir), copied);
    assert!(cache.exists());
}

#[test]
fn a_cache_that_may_not_be_moved_stays_with_its_workdir() {
    let workdir = package_cache::Workdir::new();
    let cache = workdir.sandbox.work().join("W/pixi-cache");
    let verification = Verification::Command(vec!["true".into()]);
    let mut record = WorkdirRecord::new("demo", "/workdir", verification);
    record.state = BuildState::Built;
    record
        .write(&Workdir::new(workdir.sandbox.work().join("W")))
        .unwrap();
    // A link that leads out of it.
    let link = cache.join("uv-cache/wheels-v6/pypi/six/1.17.0-py3-none-any");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("/usr/lib/python3", link).unwrap();
    let before = inodes(&cache);
    workdir
        .make(&["--move-cache"])
        .code(1)
        .says("leads out of it");
    assert_eq!(inodes(&cache), before);
    assert!(!workdir.sandbox.work().join("W/product").exists());
    // A cache that is elsewhere.
    let elsewhere = workdir.sandbox.work().join("elsewhere");
    fs::rename(&cache, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &cache).unwrap();
    workdir
        .make(&["--move-cache"])
        .code(2)
        .says("is a symbolic link");
    assert_eq!(inodes(&elsewhere), before);
}
