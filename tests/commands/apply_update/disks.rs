//! File systems that updates are carried on, and that products are on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::ensure_debian_package;
use testbed::sandbox::{Run, Sandbox};

use super::places::{Mounted, is_root};
use super::{Delivery, copy};

/// A file system of 300 MB in a file, mounted at a directory of the sandbox.
struct Disk {
    dir: PathBuf,
    _mounted: Mounted,
}

impl Disk {
    /// One of the kernel, or a reason why this machine has none.
    fn new(sandbox: &Sandbox, make: &str, package: &str) -> Result<Disk, String> {
        let (image, dir) = Disk::image(sandbox, make, package)?;
        let mounted = Mounted::try_new(&dir, &["-o", "loop", image.to_str().unwrap()])?;
        Ok(Disk {
            dir,
            _mounted: mounted,
        })
    }

    /// FAT of the kernel; where it has none, exFAT of a program, which keeps no modes and no links either.
    // fusefat gives wrong bytes when two processes read a small file at once.
    fn fat(sandbox: &Sandbox) -> Result<Disk, String> {
        let in_kernel = Disk::new(sandbox, "mkfs.vfat", "dosfstools");
        if in_kernel.is_ok() {
            return in_kernel;
        }
        let (image, dir) = Disk::image(sandbox, "mkfs.exfat", "exfatprogs")?;
        let program = ensure_debian_package("mount.exfat-fuse", "exfat-fuse");
        let program = program.map_err(|error| format!("{error:#}"))?;
        // The device goes when it is unmounted.
        let script = "device=$(losetup --find --show \"$2\") && \"$1\" \"$device\" \"$3\"; code=$?; losetup --detach \"$device\"; exit \"$code\"";
        let mut mount = Command::new("sh");
        mount.args(["-c", script, "sh"]).arg(program);
        let run = Run::of(mount.args([&image, &dir]));
        match run.code {
            0 => Ok(Disk {
                _mounted: Mounted::of(&dir),
                dir,
            }),
            _ => Err(format!("neither FAT nor exFAT can be mounted: {run}")),
        }
    }

    fn image(sandbox: &Sandbox, make: &str, package: &str) -> Result<(PathBuf, PathBuf), String> {
        let program = ensure_debian_package(make, package).map_err(|error| format!("{error:#}"))?;
        let image = sandbox.root().join(format!("{make}.image"));
        let file = fs::File::create(&image).unwrap();
        file.set_len(300_000_000).unwrap();
        Run::of(Command::new(program).arg(&image)).success();
        let dir = sandbox.work().join("disk");
        let _ = fs::create_dir(&dir);
        Ok((image, dir))
    }
}

/// What `cp` brings to a file system without owners, modes and links.
fn carry(from: &Path, to: &Path) {
    Run::of(Command::new("cp").arg("-r").args([from, to])).success();
}

#[test]
fn an_update_is_applied_from_a_fat_file_system_and_from_a_read_only_one() {
    let test = "an_update_is_applied_from_a_fat_file_system_and_from_a_read_only_one";
    if !is_root(test) {
        return;
    }
    let delivery = Delivery::new();
    let applied = |script: &str| {
        let mut command = delivery.workdir.sandbox.program("bash");
        Run::of(command.args([script, "opt/weather"])).success();
        delivery.is_new("opt/weather");
        fs::remove_dir_all(delivery.path("opt")).unwrap();
        delivery.deliver("opt/weather");
    };
    let read_only = delivery.path("medium");
    fs::create_dir(&read_only).unwrap();
    let update = delivery.path("U");
    let mounted = Mounted::new(&read_only, &["--bind", update.to_str().unwrap()]);
    let mut remount = Command::new("mount");
    Run::of(remount.args(["-o", "remount,bind,ro"]).arg(&read_only)).success();
    assert!(fs::write(read_only.join("x"), "").is_err());
    applied("medium/apply-update.sh");
    drop(mounted);
    match Disk::fat(&delivery.workdir.sandbox) {
        Err(reason) => testbed::skip("an_update_is_applied_from_fat", &reason),
        Ok(disk) => {
            carry(&update, &disk.dir.join("update"));
            applied("disk/update/apply-update.sh");
        }
    }
}

/// Blocks are shared where the file system can: filefrag(8) tells of each piece of a file.
#[test]
fn unchanged_files_share_their_blocks_where_the_file_system_can() {
    let test = "unchanged_files_share_their_blocks_where_the_file_system_can";
    if !is_root(test) {
        return;
    }
    let delivery = Delivery::new();
    let disk = match Disk::new(&delivery.workdir.sandbox, "mkfs.btrfs", "btrfs-progs") {
        Ok(disk) => disk,
        Err(reason) => return testbed::skip(test, &reason),
    };
    copy(&delivery.path("OLD"), &disk.dir.join("weather"));
    delivery.apply(&["disk/weather"]).success();
    delivery.is_new("disk/weather");
    delivery.is_old(&delivery.kept("disk/weather"));
    let filefrag = ensure_debian_package("filefrag", "e2fsprogs").unwrap();
    let file = disk.dir.join("weather/demo/bigger.bin");
    Run::of(Command::new("sync").arg("-f").arg(&file)).success();
    let run = Run::of(Command::new(filefrag).arg("-v").arg(&file));
    run.success().prints("shared");
}

/// Scripts run in the bash of the target, which may be of 2011.
#[test]
fn an_old_bash_applies_an_update_as_a_new_one_does() {
    let test = "an_old_bash_applies_an_update_as_a_new_one_does";
    let Some(bash) = std::env::var_os("PIXI_OFFLINE_BASH_4_2") else {
        return testbed::skip(test, "PIXI_OFFLINE_BASH_4_2 names no bash of 4.2");
    };
    let delivery = Delivery::new();
    let link = delivery.workdir.sandbox.bin().join("bash");
    std::os::unix::fs::symlink(bash, link).unwrap();
    delivery.apply(&["--check", "opt/weather"]).success();
    delivery
        .workdir
        .sandbox
        .write("opt/weather/demo/own\n", "mine");
    delivery
        .apply(&["opt/weather"])
        .success()
        .says(r"  added: $'demo/own\n'");
    delivery.is_new("opt/weather");
    delivery.apply(&["--restore", "opt/weather"]).success();
    fs::remove_file(delivery.path("opt/weather/demo/own\n")).unwrap();
    delivery.is_old("opt/weather");
    fs::remove_file(delivery.path("opt/weather/demo/-f")).unwrap();
    delivery.refuses(&["opt/weather"], 2, &["demo/-f", "nothing was changed"]);
    delivery.workdir.sandbox.write("U/added", "");
    delivery.refuses(&["opt/weather"], 1, &["added to the update: added"]);
}
