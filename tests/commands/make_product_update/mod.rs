//! Updates: what a delivered product lacks of a newer one.

pub mod by_form;
pub mod carried;
mod refused;
mod whose;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use testbed::limit::InTime as _;
use testbed::sandbox::{Run, names, words};

use crate::package_cache::Workdir;
use by_form::{Entry, apply, differing, facts, fields, groups, plan_of, tree};

/// A workdir with the product `OLD` and a newer one, `W/product`: files that stay, changed, moved with their
/// directory, renamed, of other modes and times, links, odd names.
pub fn delivered() -> Workdir {
    use std::os::unix::ffi::OsStrExt as _;
    let workdir = Workdir::new();
    let sandbox = &workdir.sandbox;
    let project = Path::new("W/project/demo");
    let write = |path: &Path, text: &str| sandbox.write(project.join(path), text);
    let odd = Path::new(std::ffi::OsStr::from_bytes(b"odd\xff\n\\ name"));
    write(odd, "odd");
    write(Path::new("-f"), "a name that looks like an option");
    write(Path::new("main.py"), "print(1)");
    write(Path::new("bigger.bin"), &"0123456789".repeat(30_000));
    write(Path::new("old name"), "renamed");
    write(Path::new("pkg-1/deep/er/data"), "moved");
    write(Path::new("pkg-1/deep/__init__.py"), "");
    write(Path::new("pkg-1/__init__.py"), "");
    write(Path::new("other/__init__.py"), "");
    let program = write(Path::new("program"), "#!/bin/sh");
    let top = workdir.path("W/project/demo");
    symlink("er/data", top.join("pkg-1/deep/link")).unwrap();
    symlink("main.py", top.join("link")).unwrap();
    fs::create_dir(top.join("empty")).unwrap();
    sandbox.write("W/resources/model.bin", "model");
    workdir.make(&[]).success();
    fs::rename(workdir.path("W/product"), workdir.path("OLD")).unwrap();

    write(Path::new("main.py"), "print(2)");
    write(Path::new("again.py"), "print(2)");
    write(Path::new("new\nname"), "new");
    fs::rename(top.join("old name"), top.join("new name")).unwrap();
    fs::rename(top.join("pkg-1"), top.join("pkg-2")).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_dir(top.join("empty")).unwrap();
    fs::create_dir(top.join("closed")).unwrap();
    write(Path::new("closed/file"), "in a closed directory");
    fs::set_permissions(top.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::remove_file(top.join("link")).unwrap();
    symlink("again.py", top.join("link")).unwrap();
    symlink("../demo/main.py", top.join("empty")).unwrap();
    workdir.make(&[]).success();
    workdir
}

impl Workdir {
    pub fn update(&self, words: &[&str]) -> Run {
        self.sandbox.run("make-product-update", words)
    }
}

/// Changes what the manifest of a product says, and its line in `SHA256SUMS`: a product of another version
/// or another machine.
pub fn with_manifest(product: &Path, change: impl FnOnce(&mut Map<String, Value>)) {
    let file = product.join("manifest.json");
    let before = fs::read(&file).unwrap();
    let mut manifest: Value = serde_json::from_slice(&before).unwrap();
    change(manifest.as_object_mut().unwrap());
    let after = serde_json::to_vec(&manifest).unwrap();
    let [old, new] = [&before, &after].map(|text| format!("{:x}", Sha256::digest(text)));
    let list = product.join("SHA256SUMS");
    let sums = fs::read(&list).unwrap();
    let place = sums
        .windows(64)
        .position(|digest| digest == old.as_bytes())
        .unwrap();
    fs::write(&file, after).unwrap();
    fs::write(
        list,
        [&sums[..place], new.as_bytes(), &sums[place + 64..]].concat(),
    )
    .unwrap();
}

pub const USUAL: [&str; 6] = [
    "--from",
    "OLD",
    "--product-dir",
    "W/product",
    "--output",
    "U",
];

#[test]
fn the_update_and_the_old_product_are_the_new_product() {
    let workdir = delivered();
    let run = workdir.update(&USUAL);
    run.success()
        .says("OK: update made at: ")
        .says("Next: carry it to the target");
    let new = assert_makes_new(&workdir);
    assert!(new.len() > 30);
    let check = |dir: &str| {
        let mut check = Command::new("sha256sum");
        check.args(["--check", "--quiet", "--strict", "SHA256SUMS"]);
        Run::of(check.current_dir(workdir.path(dir))).success();
    };
    check("MADE");
    check("U");
    // The lists of the update are those of its product.
    let run = workdir
        .sandbox
        .run("compare-products", ["U/product", "W/product"]);
    run.success().prints("Content: the same to the byte");
}

#[test]
fn what_the_old_product_has_is_found_by_content_and_nothing_of_it_is_carried() {
    let workdir = delivered();
    workdir.update(&USUAL).success();
    let (update, old) = (workdir.path("U"), workdir.path("OLD"));
    let plan = plan_of(&update, &old);
    let text = |fields: Vec<Vec<u8>>| -> Vec<String> {
        let text = |field: Vec<u8>| String::from_utf8_lossy(&field).into_owned();
        fields.into_iter().map(text).collect()
    };
    // A directory that got another name is one group, with its empty files and its links.
    let moved: Vec<_> = groups(&plan.join("moved")).into_iter().map(text).collect();
    assert!(
        moved.contains(&vec![
            "demo/pkg-1".to_owned(),
            "demo/pkg-2".to_owned(),
            "__init__.py".to_owned(),
            "deep/__init__.py".to_owned(),
            "deep/er/data".to_owned(),
            "deep/link".to_owned(),
        ]),
        "{moved:?}"
    );
    assert_eq!(
        text(fields(&plan.join("renamed"))),
        ["demo/old name", "demo/new name"]
    );
    assert!(text(fields(&plan.join("kept"))).contains(&"demo/-f".to_owned()));
    let new = text(fields(&plan.join("new")));
    let new: Vec<&str> = new.chunks(4).map(|new| new[3].as_str()).collect();
    for path in ["demo/main.py", "demo/again.py", "demo/new\nname"] {
        assert!(new.contains(&path), "{path}: {new:?}");
    }
    // Two files with one content are carried once.
    let mut contents = 0;
    for dir in names(&update.join("files")) {
        for name in names(&update.join("files").join(&dir)) {
            assert!(name.starts_with(&dir) && name.len() == 64, "{name}");
            let listed = fs::read_to_string(old.join("SHA256SUMS"));
            // A name with a line end is escaped there.
            let listed =
                String::from_utf8_lossy(&listed.unwrap_or_default().into_bytes()).into_owned();
            assert!(!listed.contains(&name), "{name} is in the old product");
            contents += 1;
        }
    }
    assert!(
        contents < new.len() && contents >= 3,
        "{contents} of {new:?}"
    );
    let all = facts(&update.join("plan/facts"));
    assert_eq!(all["format"], "1");
    assert_eq!(all["project"], "demo");
    assert_eq!(
        all["to"],
        by_form::product_digest(&workdir.path("W/product"))
    );
    let base = facts(&plan.join("facts"));
    assert_eq!(base["from"], by_form::product_digest(&old));
    assert_eq!(base["new"], new.len().to_string());
}

#[test]
fn the_same_inputs_give_the_same_bytes_whatever_the_umask() {
    let workdir = delivered();
    workdir.update(&USUAL).success();
    let first = tree(&workdir.path("U"));
    let bytes = |tree: &std::collections::BTreeMap<_, by_form::Entry>| -> Vec<_> {
        let without_time = |(path, entry): (&std::path::PathBuf, &by_form::Entry)| {
            (path.clone(), entry.0, entry.1.clone())
        };
        tree.iter().map(without_time).collect()
    };
    let program = testbed::sandbox::binary("make-product-update");
    let script = format!("umask 077; exec {} \"$@\"", program.display());
    let mut again = workdir.sandbox.program("bash");
    again
        .args(["-c", &script, "bash"])
        .args(USUAL)
        .arg("--force");
    assert!(again.output_in_time().unwrap().status.success());
    assert_eq!(bytes(&first), bytes(&tree(&workdir.path("U"))));
    assert_eq!(names(&workdir.path("")), ["OLD", "U", "W"]);
}

#[test]
fn every_name_in_an_update_survives_fat() {
    let workdir = delivered();
    workdir.update(&USUAL).success();
    let mut seen = std::collections::BTreeSet::new();
    for (path, (mode, ..)) in tree(&workdir.path("U")) {
        let path = path.into_os_string().into_string().unwrap();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-./_".contains(c);
        assert!(path.chars().all(plain), "{path}");
        assert!(seen.insert(path.to_lowercase()), "{path}");
        // No link, nothing closed.
        assert!(
            [0o100644, 0o100755, 0o40755].contains(&mode),
            "{path}: {mode:o}"
        );
    }
}

#[test]
fn an_update_for_several_products_holds_what_any_of_them_lacks() {
    let workdir = delivered();
    fs::rename(workdir.path("W/product"), workdir.path("MIDDLE")).unwrap();
    workdir.sandbox.write("W/project/demo/main.py", "print(3)");
    workdir.make(&[]).success();
    let words = [&USUAL[..], &["--from", "MIDDLE", "--from", "OLD"]].concat();
    workdir.update(&words).success().says("are one product");
    let new = tree(&workdir.path("W/product"));
    for old in ["OLD", "MIDDLE"] {
        let made = workdir.path(&format!("MADE-{old}"));
        apply(&workdir.path("U"), &workdir.path(old), &made);
        assert!(tree(&made) == new, "{:?}", differing(&tree(&made), &new));
    }
}

/// Applies the update `U` to `OLD`: the result is the new product, which it gives.
fn assert_makes_new(workdir: &Workdir) -> BTreeMap<PathBuf, Entry> {
    let path = |name: &str| workdir.path(name);
    apply(&path("U"), &path("OLD"), &path("MADE"));
    let (made, new) = (tree(&path("MADE")), tree(&path("W/product")));
    assert!(made == new, "{:?}", differing(&made, &new));
    new
}

#[test]
fn the_lists_of_an_old_product_are_enough() {
    let workdir = delivered();
    let manifest = fs::read(workdir.path("OLD/manifest.json")).unwrap();
    workdir.sandbox.write("LISTS/manifest.json", manifest);
    let words = words("--from LISTS --product-dir W/product --output U");
    workdir.update(&words).success();
    assert_makes_new(&workdir);
}

#[test]
fn an_old_product_of_an_older_version_that_was_installed_is_a_good_one() {
    let workdir = delivered();
    // What older versions did not write.
    with_manifest(&workdir.path("OLD"), |manifest| {
        for name in ["sums", "content_digest"] {
            assert!(manifest.remove(name).is_some(), "{name}");
        }
    });
    for name in ["SHA256SUMS.minisig", "provenance.json", "report.html"] {
        let _ = fs::remove_file(workdir.path("OLD").join(name));
    }
    workdir.sandbox.write("OLD/demo/.pixi/envs/default/x", "x");
    workdir.sandbox.write("OLD/demo/notes", "a person's");
    workdir.update(&USUAL).success();
    assert_makes_new(&workdir);
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let workdir = delivered();
    let before = tree(&workdir.path(""));
    let words = [&USUAL[..], &["--dry-run"]].concat();
    workdir
        .update(&words)
        .success()
        .prints("Would make ")
        .prints(", from other places in it: ");
    let after = tree(&workdir.path(""));
    assert!(before == after, "{:?}", differing(&before, &after));
}
