//! Environments that were not installed by the product's own script.

use super::*;

/// Plants an environment whose programs are traps.
fn plant(product: &Path) {
    let environment = product.join("demo/.pixi/envs/default");
    write_program(&environment.join("bin/python3"), TRAP);
    fs::create_dir_all(environment.join("conda-meta")).unwrap();
    fs::write(environment.join("conda-meta/pixi"), "{}").unwrap();
}

/// `--check` has a problem with what is in `.pixi/`, and a plain call deletes it.
#[track_caller]
fn planted_is_deleted(sandbox: &Sandbox, product: &Path) {
    bootstrap_as(None, sandbox, product, &["--check"])
        .code(2)
        .prints("that were not installed here and are in no list");
    let lists = Product::new(product);
    let checked = check::check(&lists, Depth::Full).unwrap().unwrap();
    assert!(
        checked
            .require_as_listed(&lists, Installs::Refused)
            .is_err()
    );
    let run = bootstrap_as(None, sandbox, product, &[]);
    run.success()
        .prints("words=install")
        .says("NOTE: ")
        .says("they are deleted");
    assert!(!product.join("demo/.pixi/envs").exists());
    assert!(!sandbox.root().join("trap").exists(), "{run}");
    // From now on what is there was installed here.
    plant(product);
    bootstrap_as(None, sandbox, product, &["--check"]).success();
    let checked = check::check(&lists, Depth::Full).unwrap().unwrap();
    checked
        .require_as_listed(&lists, Installs::Allowed)
        .unwrap();
    assert!(
        checked
            .require_as_listed(&lists, Installs::Refused)
            .is_err()
    );
    let run = bootstrap_as(None, sandbox, product, &["-e", "more"]);
    run.success().says_not("deleted");
    assert!(product.join("demo/.pixi/envs/default/bin/python3").exists());
}

/// A list that cannot be followed is passed over by --any-files, and what it lists is not
/// compared then.
#[test]
fn a_check_that_followed_no_list_does_not_end_as_one_that_did() {
    let (sandbox, product) = product_with_all_kinds();
    let sums = Product::new(&product).sums();
    let text = fs::read_to_string(&sums).unwrap();
    let endless = format!("{}  /dev/zero", "0".repeat(64));
    let mut lines = text.lines();
    let line = lines.find(|line| line.ends_with("res/data/file")).unwrap();
    fs::write(&sums, text.replace(line, &endless)).unwrap();
    bootstrap(&sandbox, &product, &["--check"]).code(2);
    bootstrap(&sandbox, &product, &["--check", "--any-files"])
        .code(3)
        .prints("warning: changed: SHA256SUMS and manifest.json do not have the same digests");
}

#[test]
fn what_was_not_installed_here_is_deleted_unread() {
    let (sandbox, product) = product_with_all_kinds();
    plant(&product);
    planted_is_deleted(&sandbox, &product);
    // A mark that was made in another directory: the product was copied, or moved.
    for program in ["cp", "mv"] {
        let elsewhere = sandbox.work().join(program);
        let mut command = sandbox.program(program);
        if program == "cp" {
            command.arg("-a");
        }
        Run::of(command.args([&product, &elsewhere])).success();
        planted_is_deleted(&sandbox, &elsewhere);
        if program == "cp" {
            fs::remove_dir_all(&elsewhere).unwrap();
        }
    }
    // Marks that are no marks, the last of which would keep a reader for ever.
    let (sandbox, whole) = product_with_all_kinds();
    for kind in ["file", "dir", "endless link", "fifo", "socket"] {
        let product = sandbox.work().join("Q");
        copy(&sandbox, &whole, &product, None);
        plant(&product);
        put(
            kind,
            &product.join("demo/.pixi").join(pixi_offline::product::MARK),
        );
        planted_is_deleted(&sandbox, &product);
    }
}

#[test]
fn environments_behind_a_link_are_installed_only_on_demand() {
    let (sandbox, product) = product_that_knows("P", &facts());
    let scratch = sandbox.work().join("scratch");
    fs::create_dir(&scratch).unwrap();
    symlink(&scratch, product.join("demo/.pixi")).unwrap();
    refused(&sandbox, &product, "is a link: demo/.pixi");
    refused(
        &sandbox,
        &product,
        "put the whole product where there is room",
    );
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    bootstrap(&sandbox, &product, &["--any-files"])
        .success()
        .prints("words=install")
        .says("WARNING: is a link: demo/.pixi");
    // Somebody's own files there are nobody's to delete.
    fs::write(scratch.join(pixi_offline::product::MARK), "other").unwrap();
    fs::write(scratch.join("thesis"), "").unwrap();
    bootstrap(&sandbox, &product, &["--any-files"])
        .code(2)
        .says("empty that directory, or remove the link");
    assert!(scratch.join("thesis").exists());
}
