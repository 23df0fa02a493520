//! What earlier runs left in a workdir.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use testbed::sandbox::{Run, has};

use crate::fake::Fake;
use crate::faults::injection::without;
use crate::faults::tree::tree;

/// A user without rights.
const NOBODY: u32 = 65534;

#[test]
fn closed_dirs_go_and_those_of_others_are_found_before_anything_is_deleted() {
    let test = "closed_dirs_go_and_those_of_others_are_found_before_anything_is_deleted";
    if rustix::process::geteuid().as_raw() != 0 {
        testbed::skip(test, "only root makes directories of two users");
        return;
    }
    let fake = Fake::new();
    let root = fake.sandbox.root();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    for dir in ["work", "home", "work/demo"] {
        chown(root.join(dir), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    // The scripted docker writes down its calls.
    fs::write(root.join("calls"), "").unwrap();
    chown(root.join("calls"), Some(NOBODY), Some(NOBODY)).unwrap();
    let create = || Run::of(&mut fake.create_as_nobody());
    create().success();
    let package = fake.path("W/pixi-cache/pkgs/a-1-0");
    fs::create_dir_all(&package).unwrap();
    fs::write(package.join("file"), "x").unwrap();
    for dir in ["W/pixi-cache/pkgs/a-1-0", "W/pixi-cache/pkgs"] {
        chown(fake.path(dir), Some(NOBODY), Some(NOBODY)).unwrap();
        fs::set_permissions(fake.path(dir), fs::Permissions::from_mode(0o555)).unwrap();
    }
    create().success();
    assert!(!package.exists());

    let of_root = fake.path("W/out/of-root");
    fs::create_dir(&of_root).unwrap();
    fs::write(of_root.join("file"), "x").unwrap();
    let before = tree(&fake.path("W"), &["."]);
    let command = format!("sudo rm -rf -- '{}'", fake.path("W").display());
    create().code(2).says("of-root").says(&command);
    assert_eq!(tree(&fake.path("W"), &["."]), before);

    // The command that it names is the way out.
    fs::remove_dir_all(fake.path("W")).unwrap();
    create().success();
    testbed::ran(test, 3);
}

#[test]
fn nothing_is_replaced_where_the_mount_table_cannot_be_read() {
    let fake = Fake::new();
    fake.create::<&str>(&[]).success();
    fake.sandbox
        .run("make-archive-ready-product", ["--workdir", "W"])
        .success();
    let before = tree(&fake.path("W"), &["."]);
    let log = fake.sandbox.root().join("trace");
    let create = "--image img:1 --project-dir demo --workdir W --force";
    for (command, args) in [
        ("create-workdir-from-host", create),
        ("build-offline-product", create),
        ("make-archive-ready-product", "--workdir W"),
    ] {
        let mut run = fake.sandbox.command(command);
        run.args(args.split(' '));
        let (output, tried) = without(&run, &log, "/proc/self/mountinfo");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(tried, "{command}: {said}");
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        has(&said, "/proc/self/mountinfo cannot be read");
        assert!(tree(&fake.path("W"), &["."]) == before, "{command}");
    }
}
