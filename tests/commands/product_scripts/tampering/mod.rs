//! A product that was changed on its way, by somebody without a key: both checks refuse
//! each change, nothing of the product is run, and nothing waits for ever.

mod changes;
mod environments;
mod modes;
mod names;

use std::os::unix::fs::symlink;

use pixi_offline::evidence::check::{self, Depth, Installs};
use pixi_offline::evidence::hexadecimal;
use sha2::{Digest as _, Sha256};

use super::*;
use testbed::limit::InTime as _;

/// A user without rights.
const PLAIN_USER: &str = "4242";

/// What a program of the product would write, were it run.
const TRAP: &str = "#!/bin/bash\necho ran >>\"${PIXI_OFFLINE_TRAP:?}\"\necho 'pixi 0.77.0'\n";

/// A product with an entry of each kind in each place, and no pixi of its own.
pub(super) fn product_with_all_kinds() -> (Sandbox, PathBuf) {
    let (mut sandbox, product) = product_that_knows("P", &facts());
    fs::set_permissions(sandbox.root(), fs::Permissions::from_mode(0o1777)).unwrap();
    for dir in ["demo/src", "res/data", "pkg-cache/pkgs/a-1-0"] {
        let dir = product.join(dir);
        fs::create_dir_all(dir.join("empty")).unwrap();
        fs::write(dir.join("file"), "0123456789").unwrap();
        write_program(&dir.join("program"), TRAP);
        symlink("file", dir.join("link")).unwrap();
        make_fifo(&dir.join("pipe"));
    }
    fs::create_dir(product.join("demo/.pixi")).unwrap();
    fs::write(product.join("demo/.pixi/config.toml"), "# mirrors\n").unwrap();
    for name in ["report.html", "verification.json"] {
        fs::write(product.join(name), "{}").unwrap();
    }
    list_again(&product);
    let trap = sandbox.root().join("trap");
    sandbox.set("PIXI_OFFLINE_TRAP", trap);
    (sandbox, product)
}

fn make_fifo(file: &Path) {
    assert!(
        Command::new("mkfifo")
            .arg(file)
            .status_in_time()
            .unwrap()
            .success()
    );
}

fn change_mode(file: &Path, add: u32, remove: u32) {
    let mode = fs::metadata(file).unwrap().permissions().mode();
    fs::set_permissions(file, fs::Permissions::from_mode((mode | add) & !remove)).unwrap();
}

/// Removes whatever is there.
fn remove(file: &Path) {
    match fs::symlink_metadata(file).unwrap().is_dir() {
        true => fs::remove_dir_all(file).unwrap(),
        false => fs::remove_file(file).unwrap(),
    }
}

/// Puts something of this kind there.
fn put(kind: &str, file: &Path) {
    match kind {
        "file" => fs::write(file, "added").unwrap(),
        "program" => write_program(file, TRAP),
        "dir" => fs::create_dir(file).unwrap(),
        "link" => symlink("/etc/passwd", file).unwrap(),
        "dangling link" => symlink("no/where", file).unwrap(),
        "endless link" => symlink("/dev/zero", file).unwrap(),
        // In the product's directory, which has such a pipe.
        "link to a pipe" => symlink("demo/src/pipe", file).unwrap(),
        "fifo" => make_fifo(file),
        "socket" => drop(std::os::unix::net::UnixListener::bind(file).unwrap()),
        "device" => {
            let args = ["-m", "644"];
            let zero = ["c", "1", "5"];
            let made = Command::new("mknod")
                .args(args)
                .arg(file)
                .args(zero)
                .status_in_time();
            assert!(made.unwrap().success());
        }
        _ => unreachable!("{kind}"),
    }
}

/// Runs bootstrap as root, or as another user where root does not look.
pub(super) fn bootstrap_as(
    user: Option<&str>,
    sandbox: &Sandbox,
    product: &Path,
    args: &[&str],
) -> Run {
    let setpriv = testbed::ensure_debian_package("setpriv", "util-linux").unwrap();
    let mut command = sandbox.program("timeout");
    command.args(["-k", "1", "300"]);
    if let Some(user) = user {
        command.arg(setpriv);
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    Run::of(command.arg(product.join("bootstrap-project.sh")).args(args))
}

fn copy(sandbox: &Sandbox, from: &Path, to: &Path, owner: Option<&str>) {
    let _ = Command::new("chmod")
        .args(["-Rf", "u+rwX"])
        .arg(to)
        .status_in_time();
    Run::of(sandbox.program("rm").arg("-rf").arg(to)).success();
    Run::of(sandbox.program("cp").arg("-a").args([from, to])).success();
    if let Some(owner) = owner {
        let owner = format!("{owner}:{owner}");
        Run::of(sandbox.program("chown").args(["-hR", &owner]).arg(to)).success();
    }
}

/// Nothing of it reached the terminal as it is.
fn is_plain(run: &Run) {
    assert!(
        !run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'),
        "{run:?}"
    );
}

/// The users that a product is checked as.
pub(super) fn users() -> Vec<Option<&'static str>> {
    if rustix::process::geteuid().is_root() {
        vec![None, Some(PLAIN_USER)]
    } else {
        vec![None]
    }
}

#[test]
fn no_program_of_the_product_is_run_whatever_is_on_path() {
    let (mut sandbox, product) = product_with_all_kinds();
    let link = sandbox.root().join("link to the product");
    symlink(&product, &link).unwrap();
    let names = ["find", "sha256sum", "sort", "stat", "head", "comm", "pixi"];
    for dir in ["", "bin", "demo/src"] {
        for name in names {
            let program = product.join(dir).join(name);
            write_program(&program, TRAP);
        }
    }
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let inside = product.join("demo/src").display().to_string();
    let into = sandbox.root().join("copy").display().to_string();
    for first in [
        ".",
        "",
        "bin",
        "./demo/src",
        product.to_str().unwrap(),
        &inside,
        link.to_str().unwrap(),
        &format!("{}/demo/../bin", product.display()),
    ] {
        let own = sandbox.bin().display().to_string();
        sandbox.set("PATH", format!("{first}:{own}:{usual}:"));
        for args in [&["--check"][..], &[], &["--into", &into]] {
            let run = Run::of(
                sandbox
                    .program("bash")
                    .current_dir(&product)
                    .arg("./bootstrap-project.sh")
                    .args(args),
            );
            run.code(2);
            assert!(
                !sandbox.root().join("trap").exists(),
                "{first}: a program of the product ran\n{run}"
            );
        }
    }
}

#[test]
fn files_that_became_endless_are_refused_and_not_read() {
    let (sandbox, product) = product_with_all_kinds();
    for name in ["manifest.json", "SHA256SUMS", "demo/src/file"] {
        let file = product.join(name);
        let whole = fs::read(&file).unwrap();
        let opened = fs::File::options().write(true).open(&file).unwrap();
        opened.set_len(1 << 43).unwrap();
        bootstrap_as(None, &sandbox, &product, &["--check"])
            .code(2)
            .prints(name);
        let known = Product::new(&product);
        let checked = check::check(&known, Depth::Full).and_then(|checked| {
            let checked = checked.expect("it has lists");
            checked.require_as_listed(&known, Installs::Refused)
        });
        assert!(checked.is_err(), "{name}");
        fs::write(&file, whole).unwrap();
    }
    bootstrap_as(None, &sandbox, &product, &["--check"]).success();
}

#[test]
fn a_verification_without_an_end_does_not_keep_a_check_waiting() {
    let (sandbox, product) = product_with_all_kinds();
    let file = fs::File::create(product.join("verification.json")).unwrap();
    file.set_len(1 << 40).unwrap();
    bootstrap_as(None, &sandbox, &product, &["--check"])
        .success()
        .prints("warning: verification.json belongs to another product");
}
