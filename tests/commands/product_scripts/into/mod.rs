//! `--into DIR`: a copy of the project elsewhere, from a product that is only read.

mod cut_short;
mod places;
mod replaced;

use std::os::unix::fs::symlink;

use super::tampering::{bootstrap_as, product_with_all_kinds, users};
use super::*;

/// What is below a directory, with kinds, modes, sizes, times and targets, sorted.
fn entries(sandbox: &Sandbox, dir: &Path) -> String {
    let find = "find . -printf '%P %y %#m %s %T@ %l\\n' | LC_ALL=C sort";
    let mut command = sandbox.program("bash");
    let run = Run::of(command.args(["-c", find]).current_dir(dir));
    run.success();
    run.stdout
}

/// A sandbox with a product, and a directory that `user` may write.
fn place_of(user: Option<&str>) -> (Sandbox, PathBuf, PathBuf) {
    let (sandbox, product) = product_with_all_kinds();
    let wheel = product.join("pkg-cache/uv-cache/archive-v0/id");
    fs::create_dir_all(&wheel).unwrap();
    fs::write(wheel.join("module.py"), "x = 1").unwrap();
    list_again(&product);
    let own = sandbox.root().join("own");
    fs::create_dir(&own).unwrap();
    if let Some(user) = user {
        Run::of(sandbox.program("chown").arg(user).arg(&own)).success();
    }
    (sandbox, product, own)
}

fn read(file: PathBuf) -> String {
    fs::read_to_string(file).unwrap()
}

/// Another version of a product, at `place`.
fn next_version(sandbox: &Sandbox, product: &Path, place: &str, content: &str) -> PathBuf {
    let next = sandbox.work().join(place);
    Run::of(sandbox.program("cp").arg("-a").args([product, &next])).success();
    fs::write(next.join("demo/src/file"), content).unwrap();
    list_again(&next);
    next
}

#[test]
fn a_copy_is_installed_and_the_product_is_only_read() {
    for user in users() {
        let (sandbox, product, own) = place_of(user);
        // What whoever installed the product did there is not of the product.
        for added in ["demo/output", "pkg-cache/pkgs/new"] {
            fs::write(product.join(added), "added").unwrap();
        }
        fs::create_dir_all(product.join("demo/.pixi/envs/default")).unwrap();
        Run::of(sandbox.program("chmod").args(["-R", "a-w"]).arg(&product)).success();
        let before = entries(&sandbox, &product);
        let dir = own.join("my copy");
        let args = ["--into", dir.to_str().unwrap()];
        let run = bootstrap_as(user, &sandbox, &product, &args);
        run.success()
            .prints(&format!("cwd={}/demo\n", dir.display()))
            .prints(&format!("cache={}/pkg-cache\n", dir.display()));
        assert_eq!(before_the_end(&run), "", "{run}");
        assert_eq!(entries(&sandbox, &product), before);

        let made = ".pixi-offline-into .product demo envs.sh pkg-cache res";
        assert_eq!(names(&dir).join(" "), made);
        assert_eq!(
            names(&dir.join("demo")),
            [".pixi", "pixi.lock", "pixi.toml", "src"]
        );
        assert_eq!(
            names(&dir.join("demo/.pixi")),
            ["config.toml", "installed-by-bootstrap"]
        );
        assert_eq!(
            names(&dir.join("demo/src")),
            ["empty", "file", "link", "pipe", "program"]
        );
        assert_eq!(
            fs::read_link(dir.join("demo/src/link")).unwrap(),
            Path::new("file")
        );
        assert_eq!(names(&dir.join("pkg-cache/pkgs")), ["a-1-0"]);
        let package = fs::canonicalize(dir.join("pkg-cache/pkgs/a-1-0")).unwrap();
        assert_eq!(package, product.join("pkg-cache/pkgs/a-1-0"));
        assert_eq!(
            fs::canonicalize(dir.join("res")).unwrap(),
            product.join("res")
        );
        // uv takes no link for it.
        let wheel = fs::canonicalize(dir.join("pkg-cache/uv-cache/archive-v0/id")).unwrap();
        assert!(wheel.starts_with(&dir), "{}", wheel.display());
        assert_eq!(read(wheel.join("module.py")), "x = 1");

        // The last line can be pasted, and names what is in the product and in the copy.
        let next = run.stderr.lines().last().unwrap();
        let next = next.strip_prefix("Next: ").expect("a line to type");
        let show = "printf '%s\\n' \"res=$PRODUCT_RES_DIR\" \"hard=$PIXI_NO_HARD_LINKS\"";
        let mut shell = sandbox.program("bash");
        Run::of(shell.args(["-euc", &format!("{next} && {show}")]))
            .success()
            .prints(&format!("cwd={}/demo\n", dir.display()))
            .prints(&format!("res={}/res\nhard=true\n", dir.display()));

        // A second time: what the person did since stays.
        fs::write(dir.join("demo/mine"), "mine").unwrap();
        fs::write(dir.join("demo/src/file"), "changed by me").unwrap();
        fs::create_dir_all(dir.join("demo/.pixi/envs/default/conda-meta")).unwrap();
        if let Some(user) = user {
            Run::of(sandbox.program("chown").args(["-R", user]).arg(&dir)).success();
        }
        let run = bootstrap_as(user, &sandbox, &product, &args);
        assert_eq!(before_the_end(run.success()), "", "{run}");
        assert_eq!(read(dir.join("demo/mine")), "mine");
        assert_eq!(read(dir.join("demo/src/file")), "changed by me");
        assert!(dir.join("demo/.pixi/envs/default").exists());
    }
}

#[test]
fn check_says_whether_a_copy_can_be_installed_and_makes_none() {
    let (sandbox, product, own) = place_of(None);
    let dir = own.join("it");
    let args = ["--check", "--into", dir.to_str().unwrap()];
    let run = bootstrap(&sandbox, &product, &args);
    run.success()
        .prints("is new or empty\n")
        .prints("can be written\n");
    assert_eq!(names(&own), [] as [String; 0]);
    bootstrap(&sandbox, &product, &args[1..]).success();
    bootstrap(&sandbox, &product, &args)
        .success()
        .prints("is in ")
        .prints("from this product\n");
    let next = next_version(&sandbox, &product, "next", "2");
    bootstrap(&sandbox, &next, &args)
        .success()
        .prints("it is moved aside");
    assert_eq!(names(&own), ["it"]);
}

#[test]
fn what_was_changed_in_the_product_is_not_copied() {
    let (sandbox, product, own) = place_of(None);
    let into = own.join("it");
    let into = into.to_str().unwrap();
    // Also where it was installed: then a plain call takes it as its user's own.
    bootstrap(&sandbox, &product, &[]).success();
    fs::write(product.join("demo/src/file"), "changed, longer").unwrap();
    bootstrap(&sandbox, &product, &[]).success();
    bootstrap(&sandbox, &product, &["--into", into])
        .code(2)
        .says("ERROR: changed: demo/src/file");
    assert!(!own.join("it").exists());
    for any in ["--any-files", "--ignore-file-changes"] {
        bootstrap(&sandbox, &product, &[any, "--into", into]).success();
        assert_eq!(read(own.join("it/demo/src/file")), "changed, longer");
    }
}

#[test]
fn the_other_names_of_two_options_are_taken() {
    let knows = Facts {
        pixi: Some("0.77.0".into()),
        lock_version: Some(7),
        ..Facts::default()
    };
    let (mut sandbox, product) = product_that_knows("P", &knows);
    sandbox.set("PIXI_VERSION", "0.50.0");
    bootstrap(&sandbox, &product, &[])
        .code(2)
        .says("cannot read");
    for any in ["--any-pixi", "--ignore-pixi-version"] {
        bootstrap(&sandbox, &product, &[any])
            .success()
            .says("cannot read");
    }
}

#[test]
fn who_may_only_read_the_product_is_told_of_into() {
    let (sandbox, product, _) = place_of(None);
    for user in users().into_iter().flatten() {
        Run::of(sandbox.program("chmod").args(["-R", "go-w"]).arg(&product)).success();
        let how = "./bootstrap-project.sh --into DIR";
        bootstrap_as(Some(user), &sandbox, &product, &[])
            .code(2)
            .says("is not writable for this user")
            .says(how);
        bootstrap_as(Some(user), &sandbox, &product, &["--check"])
            .success()
            .prints(how);
    }
}
