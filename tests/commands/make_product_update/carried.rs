//! Updates that are signed, packed, or made under unusual circumstances.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use testbed::ensure_debian_package;
use testbed::sandbox::{Run, names};

use super::by_form::{product_digest, tree};
use super::{USUAL, assert_makes_new, delivered};
use crate::package_cache::Workdir;

pub fn keys(workdir: &Workdir, name: &str) {
    let minisign = ensure_debian_package("minisign", "minisign").unwrap();
    let (secret, public) = (format!("{name}.key"), format!("{name}.pub"));
    let mut command = workdir.sandbox.program(minisign);
    Run::of(command.args(["-G", "-W", "-f", "-p", &public, "-s", &secret])).success();
}

#[test]
fn a_signature_names_the_new_product_and_what_the_update_is_from() {
    let workdir = delivered();
    keys(&workdir, "mine");
    keys(&workdir, "other");
    let signed = [&USUAL[..], &["--sign-key", "mine.key"]].concat();
    workdir.update(&signed).success();
    let mut minisign = workdir.sandbox.program("minisign");
    Run::of(minisign.args(["-V", "-p", "mine.pub", "-m", "U/SHA256SUMS"]))
        .success()
        .prints("file:SHA256SUMS\tproject:demo\t")
        .prints(&format!(
            "product:sha256:{}",
            product_digest(&workdir.path("W/product"))
        ))
        .prints(&format!(
            "from:sha256:{}",
            product_digest(&workdir.path("OLD"))
        ));
    // The new product has to be signed where a key is named for it.
    let checked = [&USUAL[..], &["--force", "--verify-key", "mine.pub"]].concat();
    let run = workdir.update(&checked);
    run.code(1).says("SHA256SUMS.minisig is missing");
    workdir.make(&["--sign-key", "mine.key"]).success();
    workdir.update(&checked).success().says("Signed comment: ");
    let checked = [&USUAL[..], &["--force", "--verify-key", "other.pub"]].concat();
    workdir.update(&checked).code(1).says("is not a signature");
    // Its signatures are in the update.
    let kept = names(&workdir.path("U/product"));
    assert!(kept.contains(&"SHA256SUMS.minisig".to_owned()), "{kept:?}");
}

#[test]
fn a_packed_update_is_the_update_and_the_same_bytes_each_time() {
    let workdir = delivered();
    let packed = [&USUAL[..], &["--archive", "one.tar.gz"]].concat();
    workdir.update(&packed).success().says("OK: packed");
    let packed = [&USUAL[..], &["--force", "--archive", "two.tar.gz"]].concat();
    workdir.update(&packed).success();
    let bytes = |name: &str| fs::read(workdir.path(name)).unwrap();
    assert!(bytes("one.tar.gz") == bytes("two.tar.gz"));
    fs::create_dir(workdir.path("X")).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["xpzf", "../one.tar.gz"])
        .current_dir(workdir.path("X"));
    Run::of(&mut tar).success();
    assert_eq!(names(&workdir.path("X")), ["U"]);
    let without_times = |dir: &str| -> Vec<_> {
        let entries = tree(&workdir.path(dir)).into_iter();
        entries
            .map(|(path, (mode, bytes, _))| (path, mode, bytes))
            .collect()
    };
    assert!(without_times("X/U") == without_times("U"));
    // With --force it is replaced, as the update is.
    let before = names(&workdir.path(""));
    workdir.sandbox.write("two.tar.gz", "another");
    workdir.update(&packed).success();
    assert!(bytes("one.tar.gz") == bytes("two.tar.gz"));
    // Without it one that is there is not, and nothing begins.
    let free = [
        &USUAL[..USUAL.len() - 1],
        &["U2", "--archive", "two.tar.gz"],
    ]
    .concat();
    workdir
        .update(&free)
        .code(2)
        .says("two.tar.gz already exists");
    for place in ["U/x.tar", "OLD/x.tar", "W/product/x.tar"] {
        let words = [&USUAL[..], &["--force", "--archive", place]].concat();
        workdir.update(&words).code(2).says("outside of it");
    }
    // Another update would be refused at the target.
    let inside = [&USUAL[..USUAL.len() - 1], &["U/inner"]].concat();
    workdir.update(&inside).code(2).says("is in the update");
    let inside = [
        &USUAL[..USUAL.len() - 1],
        &["U2", "--archive", "U/files/x.tar"],
    ]
    .concat();
    workdir.update(&inside).code(2).says("is in the update");
    workdir
        .sandbox
        .run("pack-product", ["W/product", "U/x.tar"])
        .code(2)
        .says("is in the update");
    let workdir_for_product = ["--from", "OLD", "--product-dir", "W", "--output", "U2"];
    workdir
        .update(&workdir_for_product)
        .code(2)
        .says("did you mean ")
        .says("W/product?");
    assert_eq!(names(&workdir.path("")), before);
}

#[test]
fn what_an_install_left_in_the_new_product_stays_out() {
    let workdir = delivered();
    workdir
        .sandbox
        .write("W/product/demo/.pixi/envs/default/x", "x");
    workdir
        .update(&USUAL)
        .success()
        .says("NOTE: left out of the update: ");
    fs::remove_dir_all(workdir.path("W/product/demo/.pixi")).unwrap();
    assert_makes_new(&workdir);
}

#[test]
fn what_no_plain_file_carries_is_refused_by_name() {
    let workdir = delivered();
    let pipe = workdir.path("W/project/demo/pipe");
    Run::of(Command::new("mkfifo").arg(pipe)).success();
    workdir.make(&[]).success();
    workdir
        .update(&USUAL)
        .code(1)
        .says("demo/pipe in the product is a pipe");
}

#[test]
fn a_product_that_was_made_after_the_new_one_is_named() {
    let mut workdir = delivered();
    workdir.update(&USUAL).success().says_not("--older");
    // Both tell their times: an hour lies between them.
    workdir.sandbox.set("SOURCE_DATE_EPOCH", "1700003600");
    workdir.make(&[]).success();
    fs::remove_dir_all(workdir.path("OLD")).unwrap();
    fs::rename(workdir.path("W/product"), workdir.path("OLD")).unwrap();
    workdir.sandbox.unset("SOURCE_DATE_EPOCH");
    workdir.sandbox.set("SOURCE_DATE_EPOCH", "1700000000");
    workdir.sandbox.write("W/project/demo/main.py", "print(4)");
    workdir.make(&[]).success();
    let words = [&USUAL[..], &["--force"]].concat();
    workdir
        .update(&words)
        .success()
        .says("was made after ")
        .says("requires --older");
    let facts = super::by_form::plan_of(&workdir.path("U"), &workdir.path("OLD")).join("facts");
    assert_eq!(super::by_form::facts(&facts)["newer"], "yes");
}

#[test]
fn a_killed_run_leaves_nothing_for_the_next_one_to_stumble_over() {
    let workdir = delivered();
    workdir
        .sandbox
        .write(".U.pixi-offline-new-0123456789ab/files/x", "x");
    workdir.update(&USUAL).success();
    assert_eq!(names(&workdir.path("")), ["OLD", "U", "W"]);
    let inode = |name: &str| fs::metadata(workdir.path(name)).unwrap().ino();
    let before = inode("U/update.json");
    // One that is refused leaves what is there.
    workdir.update(&USUAL).code(2);
    assert_eq!(before, inode("U/update.json"));
}
