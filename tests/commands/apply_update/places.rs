//! Where updates and products lie, and who applies one.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use testbed::limit::Started;
use testbed::sandbox::{Run, names, words};

use super::{Delivery, copy};
use crate::make_product_update::by_form::product_digest;
use crate::product_scripts::callers_shell;

/// Whether this user may mount and become another one.
pub fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().as_raw() == 0;
    if !root {
        testbed::skip(test, "only root mounts file systems");
    }
    root
}

#[test]
fn the_target_is_found_by_every_name_and_a_link_to_it_stays() {
    let delivery = Delivery::new();
    fs::rename(
        delivery.path("opt/weather"),
        delivery.path("opt/-weather\n1.2 ü\n"),
    )
    .unwrap();
    let odd = "opt/-weather\n1.2 ü\n";
    symlink("-weather\n1.2 ü\n", delivery.path("opt/weather")).unwrap();
    let kept = delivery.kept(odd);
    let run = delivery.apply(&["opt/weather"]);
    run.success().says("TARGET is a link to ");
    delivery.is_new("opt/weather");
    assert!(delivery.path("opt/weather").is_symlink());
    delivery.is_old(&kept);
    delivery
        .apply(&["--restore", "opt/weather/"])
        .success()
        .says("TARGET is a link to ");
    delivery.is_old(odd);
    fs::remove_file(delivery.path("opt/weather")).unwrap();
    for (dir, script, target) in [
        ("opt", "../U/apply-update.sh", "./plain//"),
        ("opt/plain", "../../U/apply-update.sh", "."),
        ("opt/plain/demo", "../../../U/apply-update.sh", ".."),
        ("U", "apply-update.sh", "../opt/plain"),
    ] {
        delivery.deliver("opt/plain");
        let mut command = delivery.workdir.sandbox.program("bash");
        command
            .args([script, "--", target])
            .current_dir(delivery.path(dir));
        Run::of(&mut command).success();
        delivery.is_new("opt/plain");
        fs::remove_dir_all(delivery.path("opt/plain")).unwrap();
        fs::remove_dir_all(delivery.path(&delivery.kept("opt/plain"))).unwrap();
    }
}

#[test]
fn whoever_may_write_beside_the_product_applies_an_update_that_is_read_only() {
    let test = "whoever_may_write_beside_the_product_applies_an_update_that_is_read_only";
    if !is_root(test) {
        return;
    }
    let delivery = Delivery::new();
    let work = delivery.path("");
    for dir in [delivery.workdir.sandbox.root(), &work] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let as_nobody = |args: &[&str]| {
        let mut command = delivery.workdir.sandbox.program("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.args([
            "bash",
            "-c",
            "umask 077; exec bash U/apply-update.sh \"$@\"",
            "bash",
        ]);
        Run::of(command.args(args))
    };
    let shown = |path: &str, mode: u32, owner: u32| {
        let path = delivery.path(path);
        chown(&path, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    shown("opt", 0o755, 0);
    let run = as_nobody(&["opt/weather"]);
    run.code(2)
        .says("/opt is not writable for this user")
        .says("nothing was changed");
    // Everybody may write there, but rename only what is theirs.
    shown("opt", 0o1777, 0);
    let run = as_nobody(&["opt/weather"]);
    run.code(2)
        .says("belongs to another user")
        .says("sticky bit");
    assert_eq!(names(&delivery.path("opt")), ["weather"]);
    shown("opt", 0o755, 65534);
    // What the owner of a product may read, others need not.
    let secret = delivery.path("opt/weather/demo/pixi.lock");
    let mode = fs::metadata(&secret).unwrap().permissions();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    as_nobody(&["opt/weather"]).code(2).says("demo/pixi.lock");
    fs::set_permissions(&secret, mode).unwrap();
    as_nobody(&["opt/weather"]).success();
    delivery.is_new("opt/weather");
    assert_eq!(
        fs::metadata(delivery.path("opt/weather")).unwrap().uid(),
        65534
    );
    // Root leaves a product to whom it belongs.
    delivery.deliver("opt/theirs");
    Run::of(
        Command::new("chown")
            .arg("-R")
            .arg("65534:65534")
            .arg(delivery.path("opt/theirs")),
    )
    .success();
    shown("opt/theirs", 0o750, 65534);
    delivery.apply(&["opt/theirs"]).success();
    delivery.is_new("opt/theirs");
    let top = fs::metadata(delivery.path("opt/theirs")).unwrap();
    let inner = fs::symlink_metadata(delivery.path("opt/theirs/demo/link")).unwrap();
    assert_eq!(
        (top.mode() & 0o7777, top.uid(), inner.uid()),
        (0o750, 65534, 65534)
    );
}

#[test]
fn a_mount_point_is_refused_and_a_product_on_a_small_disk_stays_as_it_is() {
    let test = "a_mount_point_is_refused_and_a_product_on_a_small_disk_stays_as_it_is";
    if !is_root(test) {
        return;
    }
    let delivery = Delivery::new();
    let place = delivery.path("opt/a mount");
    fs::create_dir(&place).unwrap();
    let mounted = Mounted::new(
        &place,
        &["--bind", delivery.path("opt/weather").to_str().unwrap()],
    );
    delivery.refuses(&["opt/a mount"], 2, &["is a mount point"]);
    drop(mounted);
    let _mounted = Mounted::new(&place, &["-t", "tmpfs", "-o", "size=1000k", "tmpfs"]);
    delivery.deliver("opt/a mount/weather");
    delivery.refuses(
        &["opt/a mount/weather"],
        2,
        &["too little space in ", " bytes, and ", "--hard-links"],
    );
    delivery.refuses(
        &["--check", "opt/a mount/weather"],
        2,
        &["too little space in "],
    );
    // A disk that tells nothing of it, and is full in the middle.
    let df = delivery.workdir.sandbox.bin().join("df");
    fs::write(&df, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&df, fs::Permissions::from_mode(0o755)).unwrap();
    for filled in [0, 300] {
        let filling = place.join("filling");
        fs::write(&filling, vec![0; filled << 10]).ok();
        let run = delivery.refuses(
            &["opt/a mount/weather"],
            1,
            &["No space left on device", "is as it was"],
        );
        assert!(run.stderr.matches("ERROR: ").count() <= 3, "{run}");
        fs::remove_file(filling).unwrap();
    }
    fs::remove_file(df).unwrap();
    delivery.is_old("opt/a mount/weather");
}

/// Something that is mounted, until this value goes.
pub struct Mounted(PathBuf);

impl Mounted {
    pub fn new(place: &Path, args: &[&str]) -> Mounted {
        Mounted::try_new(place, args).unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// As [`Mounted::new`]; what mount(8) says where it cannot.
    pub fn try_new(place: &Path, args: &[&str]) -> Result<Mounted, String> {
        let run = Run::of(Command::new("mount").args(args).arg(place));
        match run.code {
            0 => Ok(Mounted::of(place)),
            _ => Err(run.stderr),
        }
    }

    /// What another program has mounted.
    pub fn of(place: &Path) -> Mounted {
        Mounted(place.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Run::of(Command::new("umount").arg(&self.0));
    }
}

#[test]
fn the_second_run_stops_at_once_and_a_dead_one_holds_nobody_up() {
    let delivery = Delivery::new();
    // One that waits, with the lock.
    let mkdir = delivery.workdir.sandbox.bin().join("mkdir");
    fs::write(
        &mkdir,
        "#!/bin/sh\necho $$ >\"$HOME/waits\"\nexec sleep 600\n",
    )
    .unwrap();
    fs::set_permissions(&mkdir, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = delivery.command(&["opt/weather"]);
    let mut first = Started::within(&mut command, Duration::from_secs(300)).unwrap();
    let begun = Instant::now();
    while !delivery.workdir.sandbox.home().join("waits").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = delivery.apply(&["opt/weather"]);
    let text = format!("process {} is updating", first.id());
    second.code(2).says(&text);
    // By another name of it, too.
    symlink("weather", delivery.path("opt/link")).unwrap();
    delivery
        .apply(&["--restore", "opt/link"])
        .code(2)
        .says(&text);
    delivery.is_old("opt/weather");
    first.kill().unwrap();
    first.wait_in_time().unwrap();
    let waits = fs::read_to_string(delivery.workdir.sandbox.home().join("waits")).unwrap();
    Run::of(Command::new("kill").arg(waits.trim())).success();
    fs::remove_file(mkdir).unwrap();
    delivery.apply(&["opt/weather"]).success();
    delivery.is_new("opt/weather");
    // A lock of elsewhere is named with what removes it; what is no lock stays.
    let lock = delivery.path("opt/.weather.update");
    symlink("1 1 otherhost boot pid:[1]", &lock).unwrap();
    delivery
        .apply(&["opt/weather"])
        .code(2)
        .says("on another machine")
        .says("rm ");
    fs::remove_file(&lock).unwrap();
    fs::write(&lock, "mine").unwrap();
    delivery
        .apply(&["opt/weather"])
        .code(1)
        .says("is not the lock of an update");
    assert_eq!(fs::read(&lock).unwrap(), b"mine");
}

#[test]
fn nothing_of_the_product_or_the_update_is_run_and_a_tool_that_dies_is_no_success() {
    let delivery = Delivery::new();
    let evil = "#!/bin/sh\ntouch /evil-was-run \"$HOME/evil\"\nexit 0\n";
    let tools = words("sha256sum stat cp sort mv mkdir readlink pwd");
    for tool in tools {
        for dir in ["here", "opt/weather/demo"] {
            let file = delivery
                .workdir
                .sandbox
                .write(format!("{dir}/{tool}"), evil);
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    let path = std::env::var("PATH").unwrap();
    let mut command = delivery.workdir.sandbox.program("/bin/bash");
    command.args(["../U/apply-update.sh", "../opt/weather"]);
    command.current_dir(delivery.path("here"));
    let target = delivery.path("opt/weather/demo");
    command.env("PATH", format!(".:{}:{path}::", target.display()));
    Run::of(&mut command).success();
    delivery.is_new("opt/weather");
    assert!(!delivery.workdir.sandbox.home().join("evil").exists());
    delivery.apply(&["--restore", "opt/weather"]).success();
    // One that is killed in the middle.
    let stub = delivery.workdir.sandbox.bin().join("sha256sum");
    for place in ["-c", "--check"] {
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *{place}*) kill -9 $$ ;; esac\nexec /usr/bin/sha256sum \"$@\"\n"
        );
        fs::write(&stub, script).unwrap();
        fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
        let run = delivery.apply(&["opt/weather"]);
        run.code(1).says("sha256sum failed or was ended");
    }
    fs::remove_file(stub).unwrap();
    copy(&delivery.path("OLD"), &delivery.path("opt/again"));
    for tool in [
        "cp", "stat", "sort", "readlink", "du", "touch", "chmod", "split",
    ] {
        let stub = delivery.workdir.sandbox.bin().join(tool);
        fs::write(&stub, "#!/bin/sh\nkill -9 $$\n").unwrap();
        fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
        let run = delivery.apply(&["opt/again"]);
        assert!(run.code == 1 || run.code == 2, "{tool}: {run}");
        fs::remove_file(stub).unwrap();
        delivery.is_old("opt/again");
        assert!(!run.stderr.contains("OK: "), "{tool}: {run}");
    }
    delivery.apply(&["opt/again"]).success();
    delivery.is_new("opt/again");
}

#[test]
fn functions_and_options_that_the_callers_shell_exports_change_nothing() {
    let delivery = Delivery::new();
    let mut command = delivery.command(&["opt/weather"]);
    command.envs(callers_shell());
    Run::of(&mut command).success();
    delivery.is_new("opt/weather");
}

#[test]
fn what_has_the_name_of_a_product_that_is_made_is_refused_and_stays() {
    for name in ["new", "part"] {
        let delivery = Delivery::new();
        let short = &product_digest(&delivery.path("W/product"))[..12];
        let name = match name {
            "new" => format!("opt/.weather.new-{short}"),
            _ => format!("opt/.weather.new-{short}.part"),
        };
        delivery.workdir.sandbox.write(&name, "mine");
        let texts = [&name["opt/".len()..], "is in the way"];
        delivery.refuses(&["opt/weather"], 2, &texts);
    }
}

#[test]
fn a_product_without_its_manifest_is_updated_and_what_changed_in_it_is_named() {
    let delivery = Delivery::new();
    fs::remove_file(delivery.path("opt/weather/manifest.json")).unwrap();
    fs::write(delivery.path("opt/weather/demo/main.py"), "mine").unwrap();
    let run = delivery.apply(&["--remove-old", "opt/weather"]);
    run.success()
        .says("has no manifest.json: what was added to it")
        .says("  changed: demo/main.py")
        .says("the old product stays")
        .says_not("  added: ")
        .says_not("No such file");
    delivery.is_new("opt/weather");
}
