//! A product that was changed on its way, by somebody without a key: both checks refuse
//! each change, nothing of the product is run, and nothing waits for ever.

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
fn product_with_all_kinds() -> (Sandbox, PathBuf) {
    let (mut sandbox, product) = product_that_knows("P", &facts());
    fs::set_permissions(sandbox.root(), fs::Permissions::from_mode(0o1777)).unwrap();
    for folder in ["demo/src", "res/data", "pkg-cache/pkgs/a-1-0"] {
        let folder = product.join(folder);
        fs::create_dir_all(folder.join("empty")).unwrap();
        fs::write(folder.join("file"), "0123456789").unwrap();
        write_program(&folder.join("program"), TRAP);
        symlink("file", folder.join("link")).unwrap();
        make_fifo(&folder.join("pipe"));
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

/// Removes whatever lies there.
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
        "folder" => fs::create_dir(file).unwrap(),
        "link" => symlink("/etc/passwd", file).unwrap(),
        "dangling link" => symlink("no/where", file).unwrap(),
        "endless link" => symlink("/dev/zero", file).unwrap(),
        // In the product's folder, which has such a pipe.
        "link to a pipe" => symlink("demo/src/pipe", file).unwrap(),
        "fifo" => make_fifo(file),
        "socket" => drop(std::os::unix::net::UnixListener::bind(file).unwrap()),
        "device" => {
            let words = ["-m", "644"];
            let zero = ["c", "1", "5"];
            let made = Command::new("mknod")
                .args(words)
                .arg(file)
                .args(zero)
                .status_in_time();
            assert!(made.unwrap().success());
        }
        _ => unreachable!("{kind}"),
    }
}

/// A change: its name, what is done to the product, and whether only the bytes tell.
struct Change {
    name: String,
    make: Box<dyn Fn(&Path)>,
    only_bytes: bool,
}

fn change(name: impl Into<String>, make: impl Fn(&Path) + 'static) -> Change {
    Change {
        name: name.into(),
        make: Box::new(make),
        only_bytes: false,
    }
}

/// Every entry kind, place and change.
fn changes() -> Vec<Change> {
    let mut all = Vec::new();
    let mut kinds = vec![
        "file",
        "program",
        "folder",
        "link",
        "dangling link",
        "endless link",
        "fifo",
        "socket",
    ];
    if rustix::process::geteuid().is_root() {
        kinds.push("device");
    }
    for place in [
        "",
        "demo",
        "demo/src/empty",
        "res",
        "pkg-cache",
        "pkg-cache/pkgs/a-1-0",
    ] {
        for kind in &kinds {
            let (kind, name) = (*kind, format!("a {kind} added in {place:?}"));
            all.push(change(name, move |product| {
                put(kind, &product.join(place).join(".added"));
            }));
        }
    }
    for place in ["demo/src", "res/data", "pkg-cache/pkgs/a-1-0"] {
        for entry in ["file", "program", "link", "pipe", "empty"] {
            let at = move |product: &Path| product.join(place).join(entry);
            all.push(change(format!("{place}/{entry} removed"), move |p| {
                remove(&at(p))
            }));
            let was = if entry == "pipe" { "fifo" } else { entry };
            for kind in &kinds {
                let kind = *kind;
                let same = kind == was
                    || (kind, entry) == ("folder", "empty")
                    || (kind, entry) == ("file", "program")
                    || kind == "program"
                    || kind.ends_with("link") && entry == "link";
                if !same {
                    all.push(change(format!("{place}/{entry} is a {kind}"), move |p| {
                        remove(&at(p));
                        put(kind, &at(p));
                    }));
                }
            }
        }
        let at = move |product: &Path, entry| product.join(place).join(entry);
        all.push(change(format!("{place}/link leads elsewhere"), move |p| {
            remove(&at(p, "link"));
            symlink("program", at(p, "link")).unwrap();
        }));
        all.push(change(format!("{place}/file is longer"), move |p| {
            fs::write(at(p, "file"), "0123456789a").unwrap();
        }));
        all.push(Change {
            only_bytes: true,
            ..change(format!("{place}/file has other bytes"), move |p| {
                fs::write(at(p, "file"), "012345678a").unwrap();
            })
        });
        for (entry, add, remove) in [
            ("file", 0o4000, 0),
            ("file", 0o2000, 0),
            ("file", 0o002, 0),
            ("file", 0o020, 0),
            ("file", 0o111, 0),
            ("file", 0o100, 0),
            ("file", 0, 0o400),
            ("program", 0o6000, 0),
            ("program", 0, 0o100),
            ("empty", 0o002, 0),
            ("empty", 0o4000, 0),
            ("empty", 0o2000, 0),
            ("empty", 0, 0o100),
        ] {
            all.push(change(
                format!("{place}/{entry} has {add:o} more and {remove:o} less"),
                move |p| change_mode(&at(p, entry), add, remove),
            ));
        }
        all.push(change(format!("{place} is a link to a copy"), move |p| {
            let copy = p.parent().unwrap().join("copy");
            let _ = fs::remove_dir_all(&copy);
            fs::rename(p.join(place), &copy).unwrap();
            symlink(&copy, p.join(place)).unwrap();
        }));
    }
    all
}

/// Changes that are none of the table's kinds.
fn other_changes() -> Vec<Change> {
    let mut all = vec![
        change("a pixi is added", |p| {
            write_program(&p.join("bin/pixi"), TRAP)
        }),
        change("a name with control characters", |p| {
            fs::write(p.join("demo/\u{1b}[2Jx\n\r"), "").unwrap();
        }),
        change("50,000 names", |p| {
            for number in 0..50_000 {
                fs::write(
                    p.join(format!("demo/src/an empty file with a name {number}")),
                    "",
                )
                .unwrap();
            }
        }),
        change("a folder that nobody may read", |p| {
            fs::create_dir(p.join("demo/locked")).unwrap();
            fs::write(p.join("demo/locked/x.py"), "").unwrap();
            change_mode(&p.join("demo/locked"), 0, 0o777);
        }),
        change("everybody may write", |p| change_mode(p, 0o002, 0)),
        change("settings of pixi", |p| {
            fs::write(
                p.join("demo/.pixi/config.toml"),
                "run-post-link-scripts = \"insecure\"\n",
            )
            .unwrap();
        }),
        change("settings of pixi are gone", |p| {
            remove(&p.join("demo/.pixi"))
        }),
        change("envs.sh has other bytes", |p| {
            let text = fs::read_to_string(p.join("envs.sh")).unwrap();
            write_program(&p.join("envs.sh"), &text.replace("true", "TRUE"));
        }),
        change("the lock has other bytes", |p| {
            let file = p.join("demo/pixi.lock");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(file, text.replace("version: 6", "version: 5")).unwrap();
        }),
        change("an environment and a changed project", |p| {
            fs::create_dir_all(p.join("demo/.pixi/envs/default/bin")).unwrap();
            fs::write(p.join("demo/evil.sh"), TRAP).unwrap();
            fs::write(
                p.join("demo/pixi.toml"),
                "[activation]\nscripts = [\"evil.sh\"]\n",
            )
            .unwrap();
        }),
        change("SHA256SUMS names one file twice and another not", |p| {
            let file = p.join("SHA256SUMS");
            let text = fs::read_to_string(&file).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let one = lines
                .iter()
                .position(|line| line.ends_with("res/data/file"))
                .unwrap();
            let mut lines = lines.clone();
            lines[one] = lines[one - 1];
            fs::write(file, lines.join("\n") + "\n").unwrap();
            fs::write(p.join("res/data/file"), "012345678a").unwrap();
        }),
        change("the manifest lists a file more than SHA256SUMS", |p| {
            fs::write(p.join("res/data/more"), "added").unwrap();
            fs::set_permissions(p.join("res/data/more"), fs::Permissions::from_mode(0o644))
                .unwrap();
            let lists = Product::new(p);
            let text = fs::read_to_string(lists.manifest()).unwrap();
            let line = text
                .lines()
                .find(|line| line.contains("res/data/file\""))
                .unwrap();
            let (path, rest) = line.split_once("file\"").unwrap();
            let rest = rest.replace("\"size\":10,", "\"size\":5,");
            let more = format!("{line}\n{path}more\"{rest}");
            let text = text.replace(line, &more);
            fs::write(lists.manifest(), &text).unwrap();
            let sums = fs::read_to_string(lists.sums()).unwrap();
            let old = sums
                .lines()
                .find(|line| line.ends_with("  manifest.json"))
                .unwrap();
            let digest = Sha256::digest(&text);
            let new = format!("{}  manifest.json", hexadecimal(&digest));
            fs::write(lists.sums(), sums.replace(old, &new)).unwrap();
        }),
    ];
    for place in ["demo/.pixi"] {
        for kind in ["file", "link", "dangling link", "fifo", "socket"] {
            all.push(change(format!("{place} is a {kind}"), move |p| {
                remove(&p.join(place));
                put(kind, &p.join(place));
            }));
        }
        all.push(change(
            format!("{place} leads out of the product"),
            move |p| {
                let scratch = p.parent().unwrap().join("scratch");
                fs::create_dir_all(&scratch).unwrap();
                fs::write(scratch.join("config.toml"), "# mirrors\n").unwrap();
                remove(&p.join(place));
                symlink(&scratch, p.join(place)).unwrap();
            },
        ));
    }
    for name in Product::UNCOVERED.into_iter().chain([Product::MANIFEST]) {
        for kind in ["folder", "link", "link to a pipe", "fifo"] {
            all.push(change(format!("{name} is a {kind}"), move |p| {
                if p.join(name).exists() {
                    remove(&p.join(name));
                }
                put(kind, &p.join(name));
            }));
        }
        for mode in [0o4755, 0o755, 0o666] {
            all.push(change(format!("{name} has the mode {mode:o}"), move |p| {
                if !p.join(name).exists() {
                    fs::write(p.join(name), TRAP).unwrap();
                }
                fs::set_permissions(p.join(name), fs::Permissions::from_mode(mode)).unwrap();
            }));
        }
    }
    // Named, not run: the only change that --check and a plain call judge differently.
    for change in &mut all {
        if change.name.starts_with("SHA256SUMS names one file twice") {
            change.only_bytes = true;
        }
    }
    all
}

/// Runs bootstrap as root, or as another user where root does not look.
fn bootstrap_as(user: Option<&str>, sandbox: &Sandbox, product: &Path, words: &[&str]) -> Run {
    let setpriv = testbed::ensure_debian_package("setpriv", "util-linux").unwrap();
    let mut command = sandbox.program("timeout");
    command.args(["-k", "1", "300"]);
    if let Some(user) = user {
        command.arg(setpriv);
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    Run::of(
        command
            .arg(product.join("bootstrap-project.sh"))
            .args(words),
    )
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
fn users() -> Vec<Option<&'static str>> {
    if rustix::process::geteuid().is_root() {
        vec![None, Some(PLAIN_USER)]
    } else {
        vec![None]
    }
}

/// Both checks refuse each change, and no program of the product is run.
fn each_is_refused(changes: &[Change], user: Option<&str>) {
    let (sandbox, whole) = product_with_all_kinds();
    let product = sandbox.work().join("carried");
    copy(&sandbox, &whole, &product, user);
    let run = bootstrap_as(user, &sandbox, &product, &["--check"]);
    run.success()
        .prints("ok: every file, folder and link is there")
        .prints("ok: the bytes of every file");
    for Change {
        name,
        make,
        only_bytes,
    } in changes
    {
        copy(&sandbox, &whole, &product, user);
        make(&product);
        if let Some(user) = user {
            // The one who unpacked it owns it, and chown takes such bits away.
            let modes = Command::new("find")
                .arg(&product)
                .args(["-printf", "%m %p\\0"])
                .output_in_time()
                .unwrap();
            Run::of(
                sandbox
                    .program("chown")
                    .args(["-hR", &format!("{user}:{user}")])
                    .arg(&product),
            )
            .success();
            for entry in modes
                .stdout
                .split(|&byte| byte == 0)
                .filter(|entry| entry.len() > 4)
            {
                let at = entry.iter().position(|&byte| byte == b' ').unwrap();
                let mode =
                    u32::from_str_radix(std::str::from_utf8(&entry[..at]).unwrap(), 8).unwrap();
                let path = Path::new(OsStr::from_bytes(&entry[at + 1..]));
                if mode & 0o6000 != 0 && !path.is_symlink() {
                    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
                }
            }
        }
        let checked = bootstrap_as(user, &sandbox, &product, &["--check"]);
        assert_eq!(checked.code, 2, "{name}\n{checked}");
        assert!(checked.stdout.contains("problem: "), "{name}\n{checked}");
        is_plain(&checked);
        let run = bootstrap_as(user, &sandbox, &product, &[]);
        if *only_bytes {
            assert_eq!(run.code, 0, "{name}\n{run}");
        } else {
            assert_eq!(run.code, 2, "{name}\n{run}");
            assert!(!run.stdout.contains("words="), "{name}: pixi ran\n{run}");
            is_plain(&run);
        }
        assert!(
            !sandbox.root().join("trap").exists(),
            "{name}: a program of the product ran"
        );
        if user.is_none() {
            let product = Product::new(&product);
            let checked = check::check(&product, Depth::Full).and_then(|checked| {
                checked
                    .expect("it has lists")
                    .require_as_listed(&product, Installs::Refused)
            });
            assert!(checked.is_err(), "{name}: final-verify-product takes it");
        }
    }
}

#[test]
fn every_change_of_every_entry_is_refused() {
    let changes = changes();
    each_is_refused(&changes, None);
    testbed::ran(
        "every_change_of_every_entry_is_refused",
        changes.len() as u64,
    );
}

#[test]
fn every_change_of_every_entry_is_refused_as_a_plain_user() {
    let changes = changes();
    for user in users().into_iter().flatten() {
        each_is_refused(&changes, Some(user));
    }
    testbed::ran(
        "every_change_of_every_entry_is_refused_as_a_plain_user",
        changes.len() as u64,
    );
}

#[test]
fn other_changes_are_refused() {
    let changes = other_changes();
    each_is_refused(&changes, None);
    testbed::ran("other_changes_are_refused", changes.len() as u64);
}

#[test]
fn other_changes_are_refused_as_a_plain_user() {
    let changes = other_changes();
    for user in users().into_iter().flatten() {
        each_is_refused(&changes, Some(user));
    }
    testbed::ran(
        "other_changes_are_refused_as_a_plain_user",
        changes.len() as u64,
    );
}

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
        .prints("that were not installed here, and nothing vouches for them");
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

#[test]
fn what_was_not_installed_here_is_deleted_unread() {
    let (sandbox, product) = product_with_all_kinds();
    plant(&product);
    planted_is_deleted(&sandbox, &product);
    // A mark that was made in another folder: the product was copied, or moved.
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
    for kind in ["file", "folder", "endless link", "fifo", "socket"] {
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
        .says("empty that folder, or remove the link");
    assert!(scratch.join("thesis").exists());
}

#[test]
fn modes_that_a_medium_changed_alike_are_one_line() {
    let (sandbox, whole) = product_with_all_kinds();
    let product = sandbox.work().join("Q");
    let set = |words: &[&str]| {
        copy(&sandbox, &whole, &product, None);
        for words in words {
            let mut command = sandbox.program("bash");
            Run::of(command.args(["-c", words, "x"]).current_dir(&product)).success();
        }
    };
    // As a copy under another umask leaves it.
    set(&["chmod -R go-rwx ."]);
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.success()
        .prints("as a copy made under another umask does")
        .prints("cp -a");
    assert_eq!(run.stdout.matches("warning: ").count(), 2, "{run}");
    assert!(!run.stdout.contains("problem"), "{run}");
    // As vfat leaves it.
    set(&[
        "find . -type f -exec chmod 777 {} +",
        "find . -type d -exec chmod 777 {} +",
    ]);
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.code(2)
        .prints("file system without permissions")
        .prints("unpack it from its archive");
    assert!(run.stdout.matches("problem: ").count() <= 3, "{run}");
    // One that is not like the others is no medium's.
    set(&["chmod -R go-rwx .", "chmod 4700 res/data/program"]);
    bootstrap(&sandbox, &product, &["--check"])
        .code(2)
        .prints("changed mode: res/data/program has 04700");
    // A folder gets the bit of the one that it is in.
    set(&["chmod g+s . res res/data"]);
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.success()
        .prints("note: 2 folders have the set-group-ID bit");
    let lists = Product::new(&product);
    let checked = check::check(&lists, Depth::Full).unwrap().unwrap();
    checked
        .require_as_listed(&lists, Installs::Refused)
        .unwrap();
}

#[test]
fn a_product_without_a_fault_passes_whatever_its_names_are() {
    let (sandbox, product) = product_that_knows("P", &facts());
    for (number, name) in [
        &b"new\nline"[..],
        b"\n",
        b"cr\r",
        b"back\\slash",
        b"\\",
        b"%41",
        b"\\x41",
        b"\\n",
        b"\xff\xfe",
        b"\x1b[31m",
        b"-dash",
        b"--",
        b"*",
        b"[x]",
        b"x\"file\"0644\":5,",
        b"x file 0644 :5,",
        b"' \"$HOME\"`id`",
        "\u{fc}".as_bytes(),
        b" ",
        b"x: FAILED",
        b"\x01",
        b"end of the list",
        b"done",
        b".hidden",
        b"...",
    ]
    .into_iter()
    .enumerate()
    {
        let name = OsStr::from_bytes(name);
        let folder = product.join("demo").join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(name), number.to_string()).unwrap();
        symlink(name, folder.join("link")).unwrap();
        symlink(
            PathBuf::from("//file//0644//:5,"),
            folder.join(format!("{number}")),
        )
        .unwrap();
    }
    list_again(&product);
    fs::set_permissions(sandbox.root(), fs::Permissions::from_mode(0o1777)).unwrap();
    for user in users() {
        // Who may only read can check it all the same.
        let run = bootstrap_as(user, &sandbox, &product, &["--check"]);
        run.success()
            .prints("ok: every file, folder and link is there as manifest.json lists it\n")
            .prints("ok: the bytes of every file are as SHA256SUMS says\n");
        is_plain(&run);
    }
    let mut posix = sandbox.program(product.join("bootstrap-project.sh"));
    Run::of(posix.env("POSIXLY_CORRECT", "1").arg("--check")).success();
    match std::env::var_os("PIXI_OFFLINE_BASH_4_2") {
        None => testbed::skip(
            "tampering::an_old_bash_checks_as_a_new_one",
            "PIXI_OFFLINE_BASH_4_2 names no bash of 4.2",
        ),
        Some(bash) => {
            let script = product.join("bootstrap-project.sh");
            Run::of(sandbox.program(&bash).arg(&script).arg("--check")).success();
            fs::write(product.join("demo/added"), "").unwrap();
            Run::of(sandbox.program(&bash).arg(&script).arg("--check"))
                .code(2)
                .prints("added: demo/added");
        }
    }
}

#[test]
fn what_nobody_vouches_for_is_shown_in_plain_characters() {
    let (sandbox, product) = product_with_all_kinds();
    let digest = Command::new("sha256sum")
        .arg(product.join("SHA256SUMS"))
        .output_in_time()
        .unwrap();
    let digest = String::from_utf8_lossy(&digest.stdout[..64]).into_owned();
    fs::write(
        product.join("verification.json"),
        format!("{{\n  \"outcome\": \"passed\",\n  \"product_digest\": \"sha256:{digest}\",\n  \"finished\": \"\u{1b}[5A\u{1b}[Jnow\",\n}}\n"),
    )
    .unwrap();
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.success().prints("ok: final verification passed at");
    is_plain(&run);
    // Nor is the record of a product taken for one that was changed since.
    bootstrap(&sandbox, &product, &[]).success();
    fs::write(product.join("demo/src/file"), "mine").unwrap();
    bootstrap(&sandbox, &product, &["--check"])
        .success()
        .prints("warning: verification.json is of this product as it was made");
}

#[test]
fn without_the_tools_of_gnu_a_check_never_ends_as_if_all_was_compared() {
    let busybox = testbed::ensure_debian_package("busybox", "busybox-static").unwrap();
    let (sandbox, whole) = product_with_all_kinds();
    let product = sandbox.work().join("Q");
    let bin = sandbox.root().join("busybox");
    fs::create_dir(&bin).unwrap();
    let applets = Command::new(&busybox)
        .arg("--list")
        .output_in_time()
        .unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines() {
        if !["bash", "sh", "busybox"].contains(&applet) {
            symlink(&busybox, bin.join(applet)).unwrap();
        }
    }
    let bash = testbed::ensure_debian_package("bash", "bash").unwrap();
    symlink(bash, bin.join("bash")).unwrap();
    symlink(sandbox.bin().join("pixi"), bin.join("pixi")).unwrap();
    let check = |words: &[&str]| {
        let mut command = sandbox.program("timeout");
        let script = product.join("bootstrap-project.sh");
        Run::of(
            command
                .arg("300")
                .arg("env")
                .arg(format!("PATH={}", bin.display()))
                .arg(script)
                .args(words),
        )
    };
    copy(&sandbox, &whole, &product, None);
    check(&["--check"])
        .code(3)
        .prints("not checked: the files and folders of the product")
        .prints("ok: the bytes of every file are as SHA256SUMS says");
    check(&[])
        .success()
        .says("WARNING: not checked: the files and folders of the product");
    for Change { name, make, .. } in changes() {
        if name.contains("device") || !name.starts_with("demo/src") {
            continue;
        }
        copy(&sandbox, &whole, &product, None);
        make(&product);
        let run = check(&["--check"]);
        assert_ne!(run.code, 0, "{name}\n{run}");
        let bytes = ["removed", "longer", "other bytes"];
        if name.contains("/file") && bytes.iter().any(|what| name.ends_with(what)) {
            assert_eq!(run.code, 2, "{name}\n{run}");
        }
    }
}

/// A product with 20,000 more files in ten directories of its project.
fn product_with_many_files() -> (Sandbox, PathBuf) {
    let (sandbox, product) = product_that_knows("P", &facts());
    let script = "for folder in $(seq 10); do mkdir demo/$folder && (cd demo/$folder && seq 2000 | xargs touch); done";
    in_product(&sandbox, &product, script);
    list_again(&product);
    (sandbox, product)
}

fn in_product(sandbox: &Sandbox, product: &Path, script: &str) {
    let mut command = sandbox.program("bash");
    Run::of(command.args(["-c", script]).current_dir(product)).success();
}

/// The lines of a refused check that tell of modes.
#[track_caller]
fn modes_told(sandbox: &Sandbox, product: &Path) -> Vec<String> {
    let run = bootstrap(sandbox, product, &["--check"]);
    run.code(2);
    is_plain(&run);
    let told = |line: &&str| line.starts_with("problem: changed mode");
    run.stdout.lines().filter(told).map(str::to_owned).collect()
}

#[test]
fn many_modes_that_changed_in_few_ways_are_counted() {
    let (sandbox, product) = product_with_many_files();
    in_product(&sandbox, &product, "chmod -R u+s,o+w demo");
    let told = modes_told(&sandbox, &product);
    // The lock and the manifest of the project are among them, and few are named.
    assert_eq!(told.len(), 12, "{told:?}");
    assert_eq!(
        told[0],
        "problem: changed mode of 20002 entries: demo/1/1, for example, has 04646, and 0644 is listed"
    );
    assert_eq!(
        told[1],
        "problem: changed mode: demo has 04757, and 0755 is listed"
    );
    bootstrap(&sandbox, &product, &["--check"])
        .code(2)
        .prints("problem: 20013 files or folders are not as the product lists them");
    // One among many others is named all the same.
    in_product(
        &sandbox,
        &product,
        "chmod -R u-s,o-w demo && chmod -R g-r demo && chmod 4755 demo/7/77",
    );
    assert_eq!(
        modes_told(&sandbox, &product),
        ["problem: changed mode: demo/7/77 has 04755, and 0644 is listed"]
    );
}

#[test]
fn many_modes_that_changed_in_many_ways_are_told_in_few_lines() {
    let (sandbox, product) = product_with_many_files();
    // Each file is executable by somebody, in 511 ways of three bits of nine and more.
    let script = "for mode in {1,2,4,7}{1,3,5,7}{1,3,5,7}{0..7}; do printf '%s\\n' $mode; done >../modes && \
        paste -d ' ' <(for times in $(seq 50); do cat ../modes; done | head -n 20000) <(find demo -mindepth 2 -type f | sort) | \
        sort | awk '{ if ($1 != last) { if (NR > 1) print \"\"; printf \"%s\", $1; last = $1 } printf \" %s\", $2 } END { print \"\" }' | \
        while read -r mode files; do chmod $mode $files; done";
    in_product(&sandbox, &product, script);
    let told = modes_told(&sandbox, &product);
    assert_eq!(told.len(), 21, "{told:?}");
    let count = |line: &String| -> u64 {
        let word = line.split(' ').nth(4).unwrap();
        word.parse().unwrap()
    };
    assert_eq!(told.iter().map(count).sum::<u64>(), 20_000, "{told:?}");
    assert!(
        told[20].ends_with("more entries: in other ways"),
        "{told:?}"
    );
}

#[test]
fn a_medium_that_changed_many_modes_alike_is_one_line() {
    let (sandbox, product) = product_with_many_files();
    in_product(&sandbox, &product, "chmod -R 777 .");
    let told = modes_told(&sandbox, &product);
    // The other one is of the product's own directory, which is in no list.
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("problem: changed mode of all files and folders"),
        "{told:?}"
    );
    assert!(told[0].contains("file system without permissions"));
    // Two entries that are not like the others: no medium made that.
    in_product(&sandbox, &product, "chmod 644 demo/1/1 demo/2/2");
    let told = modes_told(&sandbox, &product);
    assert!(told.len() <= 41, "{told:?}");
    assert!(
        told[0].starts_with("problem: changed mode of 200"),
        "{told:?}"
    );
    in_product(
        &sandbox,
        &product,
        "find . -type d -exec chmod 700 {} + -o -exec chmod 600 {} +; chmod 700 *.sh",
    );
    bootstrap(&sandbox, &product, &["--check"])
        .success()
        .prints("as a copy made under another umask does");
}

#[test]
fn modes_of_names_of_every_kind_are_told_with_what_else_changed() {
    let (sandbox, product) = product_that_knows("P", &facts());
    let names = [
        &b"line\nend"[..],
        b"a\x01b",
        b"\x01\x02\n",
        b" x",
        b"a b file 0644 c",
        b"\tfile",
        b"\xff",
        b"%0A",
        b"back\\slash",
        b"end of the list",
    ];
    let at = |name: &[u8]| product.join("pkg-cache").join(OsStr::from_bytes(name));
    for name in names {
        fs::write(at(name), "").unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    list_again(&product);
    for name in names {
        change_mode(&at(name), 0o002, 0);
    }
    fs::write(at(b"added\n\x01"), "").unwrap();
    symlink("a b", at(b"added link")).unwrap();
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.code(2)
        .prints("problem: added: pkg-cache/added\\ link")
        .prints("problem: added: $'pkg-cache/added\\n\\001'")
        .prints("problem: changed mode: $'pkg-cache/line\\nend' has 0646, and 0644 is listed")
        .prints("problem: changed mode: $'pkg-cache/\\001\\002\\n' has 0646");
    assert_eq!(
        run.stdout.matches("changed mode: ").count(),
        names.len(),
        "{run}"
    );
    // Control characters that leave none for what a line end stands for.
    let all: Vec<u8> = (1..32).collect();
    fs::write(at(&all), "").unwrap();
    bootstrap(&sandbox, &product, &["--check"])
        .code(2)
        .prints("problem: not all files and folders can be compared");
}

#[test]
fn names_of_every_kind_pass_whatever_the_order_of_the_digests() {
    let (sandbox, product) = product_that_knows("P", &facts());
    for name in [
        &b"a b"[..],
        b"a  b",
        b"line\nend",
        b"r\rn",
        b"b\\x41",
        b"\\",
        b"100%41",
        b"-dash",
        b"\"q\"",
        b"\xc3\xbc",
        b"\xff",
        b"\x1b[31m",
        b"\x7f",
        b"~end",
        b"*?[",
        b"manifest.json",
    ] {
        fs::write(
            product.join("pkg-cache").join(OsStr::from_bytes(name)),
            name,
        )
        .unwrap();
    }
    list_again(&product);
    let same = "ok: the bytes of every file are as SHA256SUMS says\n";
    let passes = || {
        let run = bootstrap(&sandbox, &product, &["--check"]);
        run.success().prints(same);
    };
    passes();
    let sums = product.join("SHA256SUMS");
    let text = fs::read(&sums).unwrap();
    let mut lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    lines.reverse();
    fs::write(&sums, lines.concat()).unwrap();
    passes();
    // A line twice in place of another one, in each way of writing a name.
    for gone in [
        &b"  pkg-cache/a b"[..],
        b"/line\\nend",
        b"/\xff",
        b"/100%41",
    ] {
        let mut lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
        let index = lines
            .iter()
            .position(|line| line.strip_suffix(b"\n").unwrap().ends_with(gone))
            .unwrap();
        lines[index] = lines[0];
        fs::write(&sums, lines.concat()).unwrap();
        bootstrap(&sandbox, &product, &["--check"])
            .code(2)
            .prints("problem: changed: SHA256SUMS and manifest.json do not have the same digests");
    }
}

#[test]
fn no_program_of_the_product_is_run_whatever_is_on_path() {
    let (mut sandbox, product) = product_with_all_kinds();
    let link = sandbox.root().join("link to the product");
    symlink(&product, &link).unwrap();
    let names = ["find", "sha256sum", "sort", "stat", "head", "comm", "pixi"];
    for folder in ["", "bin", "demo/src"] {
        for name in names {
            let program = product.join(folder).join(name);
            write_program(&program, TRAP);
        }
    }
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let inside = product.join("demo/src").display().to_string();
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
        for words in [&["--check"][..], &[]] {
            let run = Run::of(
                sandbox
                    .program("bash")
                    .current_dir(&product)
                    .arg("./bootstrap-project.sh")
                    .args(words),
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
        .prints("warning: verification.json is of another product");
}
