//! What is missing, damaged or odd in a cache.

use super::*;

#[test]
fn any_missing_package_is_found_without_looking_deep_and_the_old_product_stays() {
    for (missing, text) in [
        ("pkgs/a-1.0-0", "a-1.0-0: is not in the package cache"),
        ("pkgs/a-1.0-0/info/index.json", "a-1.0-0: info/index.json"),
        ("pkgs/a-1.0-0/info/paths.json", "a-1.0-0: info/paths.json"),
        ("pkgs/a-1.0-0/bin/tool", "a-1.0-0: bin/tool is missing"),
        ("pkgs/a-1.0-0/bin/link", "a-1.0-0: bin/link is missing"),
        (
            "uv-cache/archive-v0/six-id",
            "six 1.17.0: is not in the package cache",
        ),
        (
            "uv-cache/archive-v0/six-id/six.py",
            "six 1.17.0: six.py is missing",
        ),
        (
            "uv-cache/wheels-v6",
            "six 1.17.0: the package cache has no pointer to it",
        ),
        (
            "uv-cache/archive-v0/docopt-id",
            "docopt 0.6.2: is not in the package cache",
        ),
        ("uv-cache", "six 1.17.0: is not in the package cache"),
        ("pkgs", "a-1.0-0: is not in the package cache"),
    ] {
        let workdir = Workdir::new();
        workdir.make(&[]).success();
        let before = workdir.shipped();
        let path = workdir.cache().join(missing);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
        .unwrap();
        workdir.make(&[]).code(1).says(text);
        assert_eq!(workdir.shipped(), before);
    }
    // What no chosen environment needs may be missing.
    let workdir = Workdir::new();
    fs::remove_dir_all(workdir.cache().join("pkgs/b-1.0-0")).unwrap();
    workdir.make(&["--deep"]).success();
}

#[test]
fn odd_caches_are_named() {
    let workdir = Workdir::new();
    fs::write(
        workdir.cache().join("pkgs/a-1.0-0/info/paths.json"),
        "{\"paths\":",
    )
    .unwrap();
    workdir
        .make(&[])
        .code(1)
        .says("a-1.0-0: info/paths.json cannot be parsed");
    let workdir = Workdir::new();
    fs::remove_dir_all(workdir.cache().join("pkgs/a-1.0-0")).unwrap();
    fs::write(workdir.cache().join("pkgs/a-1.0-0"), "").unwrap();
    workdir.make(&[]).code(1).says("is not a directory");
    let workdir = Workdir::new();
    symlink("loop", workdir.cache().join("uv-cache/wheels-v6/loop")).unwrap();
    workdir.make(&[]).success();
    let workdir = Workdir::new();
    let record = workdir.cache().join("pkgs/a-1.0-0.lock");
    let mut bytes = fs::read(&record).unwrap();
    bytes[8] = 0;
    fs::write(&record, bytes).unwrap();
    workdir
        .make(&[])
        .code(1)
        .says("another archive of this name");
}

#[test]
fn damage_to_any_listed_file_is_found_deep() {
    for (file, text) in [
        ("pkgs/a-1.0-0/bin/tool", "a-1.0-0: bin/tool"),
        ("pkgs/a-1.0-0/share/data", "a-1.0-0: share/data"),
        ("uv-cache/archive-v0/six-id/six.py", "six 1.17.0: six.py"),
        (
            "uv-cache/archive-v0/docopt-id/docopt.py",
            "docopt 0.6.2: docopt.py",
        ),
    ] {
        let workdir = Workdir::new();
        workdir.make(&["--deep"]).success();
        let path = workdir.cache().join(file);
        let mut bytes = fs::read(&path).unwrap();
        match bytes.last_mut() {
            Some(last) => *last ^= 1,
            None => bytes.push(b'x'),
        }
        fs::write(path, bytes).unwrap();
        workdir.make(&["--deep"]).code(1).says(text);
    }
}

#[test]
fn a_link_that_was_turned_is_found_deep() {
    let workdir = Workdir::new();
    let link = workdir.cache().join("pkgs/a-1.0-0/bin/link");
    fs::remove_file(&link).unwrap();
    symlink("../share/data", &link).unwrap();
    workdir.make(&[]).success();
    workdir
        .make(&["--deep"])
        .code(1)
        .says("a-1.0-0: bin/link has a target that does not match the sha256 in its package");
}

#[test]
fn a_cache_that_another_program_is_writing_is_left_alone() {
    for lock in ["pkgs/a-1.0-0.lock", "uv-cache/.lock"] {
        let workdir = Workdir::new();
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(workdir.cache().join(lock))
            .unwrap();
        file.lock().unwrap();
        workdir
            .make(&[])
            .code(1)
            .says("another program is writing")
            .says(lock);
        drop(file);
        workdir.make(&[]).success();
    }
}
