//! `--archive` and `--split` of the commands that make something and pack it: what is wrong with them is said
//! before anything begins.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use testbed::sandbox::{Run, Sandbox, binary, names, words};

use crate::fake::{CREATE, Fake};
use crate::make_product_update::{USUAL, delivered};
use crate::package_cache::Workdir;

/// Options that are wrong in [`with_archives`], and what is said of them.
const WRONG: [(&[&str], &str); 13] = [
    (&["--archive", "demo.zip"], "demo.zip must end in"),
    (&["--archive", "demo"], "demo must end in"),
    (&["--archive", ".tar"], "must end in"),
    (
        &["--archive", "gone/demo.tar"],
        "the directory of the archive ",
    ),
    (
        &["--archive", "there.tar/demo.tar"],
        "there.tar is not a directory",
    ),
    (
        &["--archive", "there.tar"],
        "there.tar already exists; give the archive another name, or add --force to replace it",
    ),
    (
        &["--archive", "parts.tar"],
        "parts.tar.001 already exists; give the archive another name, or add --force to replace it",
    ),
    (
        &["--archive", "parts.tar", "--split", "4G"],
        "parts.tar.001 already exists",
    ),
    (
        &["--archive", "listed.tar"],
        "listed.tar.sha256 already exists",
    ),
    (
        &["--archive", "dir.tar"],
        "dir.tar is not a regular file, and would have to be replaced",
    ),
    (
        &["--archive", "demo.tar", "--split", "1M"],
        "join.sh already exists and is not that of an archive",
    ),
    (&["--archive", "new.tar/"], "new.tar/ is a directory"),
    (&["--split", "4G"], "--archive"),
];

/// Sizes that are none, or too small.
const SIZES: [&str; 14] = [
    "",
    "0",
    "0G",
    "1",
    "999999",
    "999K",
    "0.9M",
    "-4G",
    "4GB",
    "4g",
    "4 G",
    "1.2.3G",
    "1e9",
    "99999999999999999999",
];

/// What is in the way of archives.
fn with_archives(sandbox: &Sandbox) {
    for file in words("there.tar parts.tar.001 listed.tar.sha256 join.sh dir.tar/file") {
        sandbox.write(file, "mine");
    }
}

/// A command with what it needs, and more options.
fn command(sandbox: &Sandbox, name: &str, usual: &[&str], more: &[&str]) -> Run {
    let before = names(&sandbox.work());
    let run = sandbox.run(name, usual.iter().chain(more));
    run.code(2).says("ERROR: ");
    assert_eq!(names(&sandbox.work()), before, "{run}");
    run
}

fn refuses_all(sandbox: &Sandbox, name: &str, usual: &[&str]) {
    with_archives(sandbox);
    for (more, message) in WRONG {
        command(sandbox, name, usual, more).says(message);
    }
    for size in SIZES {
        let more = ["--archive", "new.tar", "--split", size];
        command(sandbox, name, usual, &more)
            .says(&format!("--split {size} is not a size of at least 1M"));
    }
    for file in ["there.tar", "parts.tar.001", "listed.tar.sha256", "join.sh"] {
        assert_eq!(fs::read(sandbox.work().join(file)).unwrap(), b"mine");
    }
}

#[test]
fn a_wrong_archive_is_refused_before_a_product_is_built() {
    let fake = Fake::new();
    let sandbox = &fake.sandbox;
    refuses_all(sandbox, "build-offline-product", &CREATE);
    let dry_run = [&CREATE[..], &["--dry-run"]].concat();
    refuses_all(sandbox, "build-offline-product", &dry_run);
    assert_eq!(
        fake.calls().iter().filter(|call| call[0] == "run").count(),
        0
    );
    assert!(!fake.path("W").exists());
}

#[test]
fn a_wrong_archive_is_refused_before_a_product_is_made() {
    let workdir = Workdir::new();
    let usual = ["--workdir", "W"];
    refuses_all(&workdir.sandbox, "make-archive-ready-product", &usual);
    assert!(!workdir.path("W/product").exists());
}

#[test]
fn a_wrong_archive_is_refused_before_an_update_is_made() {
    let workdir = delivered();
    refuses_all(&workdir.sandbox, "make-product-update", &USUAL);
    let dry_run = [&USUAL[..], &["--dry-run"]].concat();
    refuses_all(&workdir.sandbox, "make-product-update", &dry_run);
    assert!(!workdir.path("U").exists());
}

/// The command as a user who owns nothing here: root may write everywhere.
pub fn as_plain_user(sandbox: &Sandbox, name: &str) -> Command {
    if rustix::process::geteuid().as_raw() != 0 {
        return sandbox.command(name);
    }
    fs::set_permissions(sandbox.root(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = sandbox.program("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(binary(name));
    command
}

#[test]
fn a_directory_that_takes_no_archive_is_refused_before_anything_begins() {
    let workdir = delivered();
    let fake = Fake::new();
    let pack = ["W/product", "closed/demo.tar"];
    let make = ["--workdir", "W"];
    for (sandbox, name, usual) in [
        (&workdir.sandbox, "pack-product", &pack[..]),
        (&workdir.sandbox, "make-archive-ready-product", &make),
        (&workdir.sandbox, "make-product-update", &USUAL),
        (&fake.sandbox, "build-offline-product", &CREATE),
    ] {
        let closed = sandbox.work().join("closed");
        let _ = fs::create_dir(&closed);
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
        let before = names(&sandbox.work());
        let mut command = as_plain_user(sandbox, name);
        command.args(usual);
        if name != "pack-product" {
            command.args(["--archive", "closed/demo.tar"]);
        }
        let run = Run::of(&mut command);
        run.code(2)
            .says("/closed cannot be written to: Permission denied");
        assert_eq!(names(&sandbox.work()), before, "{run}");
        assert_eq!(names(Path::new(&closed)), [""; 0], "{run}");
    }
    assert!(fake.calls().iter().all(|call| call[0] != "run"));
}

/// What is made may take an hour.
#[test]
fn a_place_where_nothing_can_be_made_is_said_before_anything_begins() {
    let fake = Fake::new();
    let sandbox = &fake.sandbox;
    fake.run("build-offline-product", &[] as &[&str]).success();
    let made = fake.calls().len();
    // It is the workdir of the user who goes on.
    let owner = fs::metadata(fake.path("W")).unwrap().uid();
    if owner == 0 {
        let mut chown = sandbox.program("chown");
        Run::of(chown.args(["-R", "65534:65534", "."])).success();
    }
    let [open, closed, mine] = ["open", "closed", "closed/mine"].map(|name| fake.path(name));
    for (dir, mode) in [(&open, 0o777), (&closed, 0o755), (&mine, 0o777)] {
        fs::create_dir(dir).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let run = |name: &str, args: &str, place: &str, more: &[&str]| {
        let mut command = as_plain_user(sandbox, name);
        command.args(args.split(' ')).arg(place).args(more);
        let done = if place == "closed/mine" {
            "replaced"
        } else {
            "made"
        };
        let run = Run::of(&mut command);
        run.code(1)
            .says(&format!("{place} cannot be {done}: "))
            .says("/closed cannot be written to: Permission denied")
            .says("; choose another place\n");
    };
    let project = "--image img:1 --project-dir demo --workdir";
    let image = "--product-dir W/product --base-image img:1 --unverified";
    let before = names(&sandbox.work());
    for (name, args) in [
        ("create-workdir-from-host", project),
        ("build-offline-product", project),
        (
            "build-offline-product",
            &format!("{project} open/V --out-dir"),
        ),
        (
            "build-offline-product",
            &format!("{project} open/V --output"),
        ),
        ("make-archive-ready-product", "--workdir W --output"),
        (
            "final-verify-product",
            "--image img:1 --product-dir W/product --out-dir",
        ),
        (
            "make-production-image",
            &format!("{image} --tag x:1 --save"),
        ),
        (
            "make-production-image",
            &format!("{image} --emit-dockerfile"),
        ),
    ] {
        for place in ["closed/new", "closed/not/there/new"] {
            run(name, args, place, &[]);
        }
    }
    // A file on the way is no directory, whatever its mode; root may write into every other one.
    for mode in [0o644, 0o755] {
        fs::write(fake.path("open/file"), "").unwrap();
        fs::set_permissions(fake.path("open/file"), fs::Permissions::from_mode(mode)).unwrap();
        for (name, args) in [
            ("build-offline-product", project),
            (
                "final-verify-product",
                "--image img:1 --product-dir W/product --out-dir",
            ),
        ] {
            sandbox
                .run(name, args.split(' ').chain(["open/file/new"]))
                .code(2)
                .says("open/file is not a directory");
        }
        fs::remove_file(fake.path("open/file")).unwrap();
    }
    // A dry run ends as the run does.
    run(
        "build-offline-product",
        project,
        "closed/new",
        &["--dry-run"],
    );
    // The new one of a directory that is there is made beside it.
    run("build-offline-product", project, "closed/mine", &[]);
    assert_eq!(names(&sandbox.work()), before);
    assert_eq!(names(&open), [""; 0]);
    assert_eq!(names(&closed), ["mine"]);
    assert_eq!(fake.calls().len(), made);
}
