//! Full, without inodes, read-only.

use std::path::Path;
use std::process::Command;

use testbed::sandbox::{Run, names, words};

use crate::fake::{CREATE, Fake};

/// A file system in memory, unmounted with this value.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(dir: &'a Path, options: &str) -> Mounted<'a> {
        std::fs::create_dir_all(dir).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir);
        Run::of(&mut mount).success();
        Mounted(dir)
    }

    fn remount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount
            .args(["-o", &format!("remount,{options}")])
            .arg(self.0);
        Run::of(&mut mount).success();
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        Run::of(Command::new("umount").arg(self.0));
    }
}

/// Runs a command that must fail with one line, which says the texts, and leave
/// the small disk as it was.
fn refused(fake: &Fake, disk: &Path, command: &str, args: &[&str], texts: &[&str]) {
    let before = names(disk);
    let run = fake.sandbox.run(command, args);
    run.code(1);
    for text in texts {
        run.says(text);
    }
    let errors = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("ERROR: "));
    assert_eq!(errors.count(), 1, "{run}");
    assert_eq!(names(disk), before, "{run}");
}

#[test]
fn full_disks_and_read_only_ones_are_said_in_one_line_and_nothing_is_half_made() {
    let test = "full_disks_and_read_only_ones_are_said_in_one_line_and_nothing_is_half_made";
    if rustix::process::geteuid().as_raw() != 0 {
        testbed::skip(test, "only root mounts file systems");
        return;
    }
    let fake = Fake::new();
    let disk = fake.path("disk");
    let create = [&CREATE[..5], &["disk/W"]].concat();
    for number in 0..60 {
        fake.sandbox
            .write(format!("demo/many/file-{number}"), vec![b'x'; 100_000]);
    }

    // What goes along with the project, in MiB.
    let helper = testbed::sandbox::binary("make-archive-ready-product");
    let helper = std::fs::metadata(helper).unwrap().len() >> 20;
    {
        let _mounted = Mounted::new(&disk, "size=2m");
        let texts = [
            "not enough space on",
            "/disk/W: ",
            " bytes and ",
            "are needed",
        ];
        refused(&fake, &disk, "create-workdir-from-host", &create, &texts);
        let dry = [&create[..], &["--dry-run"]].concat();
        refused(&fake, &disk, "build-offline-product", &dry, &texts);
    }
    {
        let _mounted = Mounted::new(&disk, &format!("size={}m,nr_inodes=40", helper + 20));
        let texts = ["not enough space on", " inodes are free", "are needed"];
        refused(&fake, &disk, "create-workdir-from-host", &create, &texts);
    }
    {
        let _mounted = Mounted::new(&disk, "size=100m,ro");
        let texts = ["Read-only file system", "/disk/"];
        refused(&fake, &disk, "create-workdir-from-host", &create, &texts);
    }
    assert!(!fake.calls().iter().any(|call| call[0] == "run"));

    // A product beside a workdir that just fits.
    let mounted = Mounted::new(&disk, &format!("size={}m", helper + 40));
    fake.sandbox
        .run("create-workdir-from-host", create)
        .success();
    mounted.remount(&format!("size={}m", helper + 9));
    let make = ["--workdir", "disk/W"];
    let texts = ["not enough space on", "/disk/W/product: 60", "are needed"];
    let product = disk.join("W");
    refused(&fake, &product, "make-archive-ready-product", &make, &texts);
    mounted.remount("ro");
    let texts = ["Read-only file system", "/disk/"];
    refused(&fake, &product, "make-archive-ready-product", &make, &texts);
    mounted.remount(&format!("rw,size={}m", helper + 40));
    fake.sandbox
        .run("make-archive-ready-product", make)
        .success();

    // The logs of a final verification.
    mounted.remount("ro");
    let verify = words("--image img:1 --product-dir disk/W/product --out-dir disk/O");
    let texts = ["Read-only file system", "/disk/"];
    refused(&fake, &disk, "final-verify-product", &verify, &texts);
    testbed::ran(test, 6);
}

#[test]
fn a_cache_that_cannot_be_moved_to_another_file_system_is_refused_before_the_build() {
    let test = "a_cache_that_cannot_be_moved_to_another_file_system_is_refused_before_the_build";
    if rustix::process::geteuid().as_raw() != 0 {
        testbed::skip(test, "only root mounts file systems");
        return;
    }
    let fake = Fake::new();
    let disk = fake.path("disk");
    let _mounted = Mounted::new(&disk, "size=2m");
    for dry in [&[][..], &["--dry-run"]] {
        for output in ["disk/P", "disk/a/b/P"] {
            let args = ["--move-cache", "--output", output];
            let run = fake.run("build-offline-product", &[dry, &args].concat());
            run.code(2)
                .says("--move-cache: ")
                .says("leave --move-cache out");
            assert!(!fake.path("W").exists(), "{run}");
            assert_eq!(names(&disk), [""; 0], "{run}");
        }
    }
    fake.run(
        "build-offline-product",
        &["--move-cache", "--output", "near/P", "--dry-run"],
    )
    .success();
    testbed::ran(test, 5);
}
