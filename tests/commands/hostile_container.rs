//! What runs in a container is hostile to this machine: it puts links, fifos and large
//! files wherever it can write. Nothing outside of the directories that were named is
//! read, written, moved or waited for.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::limit::InTime as _;
use testbed::sandbox::{Run, names, words};

use crate::create_workdir_from_container::Container;
use crate::fake::{Fake, WORKDIR};
use crate::package_cache;

/// A directory of the person's beside everything, and what was in it.
struct Witness {
    dir: PathBuf,
    before: Vec<(PathBuf, String)>,
}

impl Witness {
    fn in_home(fake: &Fake) -> Witness {
        let dir = fake.sandbox.home().join("own");
        fs::create_dir_all(dir.join("sub")).unwrap();
        fs::write(dir.join("id_ed25519"), "PRIVATE KEY").unwrap();
        fs::write(dir.join("sub/profile"), "export A=1").unwrap();
        let before = Witness::files(&dir);
        Witness { dir, before }
    }

    fn files(dir: &Path) -> Vec<(PathBuf, String)> {
        let mut all = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => all.extend(Witness::files(&path)),
                false => all.push((path.clone(), fs::read_to_string(&path).unwrap())),
            }
        }
        all.sort();
        all
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    #[track_caller]
    fn is_as_it_was(&self) {
        assert_eq!(Witness::files(&self.dir), self.before);
    }
}

/// Runs something that must not wait for what a container left.
#[track_caller]
fn soon(run: impl FnOnce() -> Run) -> Run {
    let begun = Instant::now();
    let run = run();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(30), "took {took:?}\n{run}");
    run
}

/// Nothing of a file of the witness is in a directory.
#[track_caller]
fn holds_nothing_of_the_witness(dir: &Path) {
    for entry in ignore_links(dir) {
        let content = fs::read(&entry).unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        assert!(
            !text.contains("PRIVATE KEY") && !text.contains("export A=1"),
            "{}",
            entry.display()
        );
    }
}

fn ignore_links(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            all.extend(ignore_links(&entry.path()));
        } else if kind.is_file() {
            all.push(entry.path());
        }
    }
    all
}

fn verify(fake: &Fake, more: &[&str]) -> Run {
    fake.sandbox.write("P/demo/pixi.toml", "");
    fake.sandbox.write("P/bootstrap-project.sh", "");
    let usual = ["--image", "img:1", "--product-dir", "P", "--out-dir", "O"];
    soon(|| {
        fake.sandbox
            .run("final-verify-product", usual.iter().chain(more))
    })
}

#[test]
fn a_final_verification_writes_its_own_logs_and_keeps_only_files_and_directories() {
    let fake = Fake::new();
    let witness = Witness::in_home(&fake);
    let out = "/pixi-offline/out";
    let fake = fake.with(json!({
        "phases": [["bootstrap", "installed\n", 0]],
        "writes": {
            format!("{out}/results/deep/table.csv"): "1,2",
            format!("{out}/note.txt"): "note",
            format!("{out}/results/link"): "",
        },
        "plants": {
            format!("{out}/verify.offline.log"): witness.path("id_ed25519"),
            format!("{out}/bootstrap.offline.log"): "fifo",
            format!("{out}/verification.json"): witness.path("id_ed25519"),
            format!("{out}/verification.json.minisig"): witness.path("new"),
            format!("{out}/own"): witness.path(""),
            format!("{out}/results/link"): witness.path("sub/profile"),
            format!("{out}/fifo"): "fifo",
        },
    }));
    // Once into a new out directory, and once over what the first left.
    for _ in 0..2 {
        let run = verify(&fake, &[]);
        run.success()
            .says("7 of the entries that the container left in $VERIFY_OUT_DIR are not kept")
            .says("and 2 more");
        witness.is_as_it_was();
        let of = |name: &str| fs::read_to_string(fake.path("O").join(name)).unwrap();
        assert_eq!(of("verify.offline.log"), "No verification requested.\n");
        assert_eq!(of("bootstrap.offline.log"), "installed\n");
        assert_eq!(of("results/deep/table.csv"), "1,2");
        assert_eq!(of("note.txt"), "note");
        assert_eq!(
            names(&fake.path("O")),
            words("bootstrap.offline.log note.txt results verification.json verify.offline.log")
        );
        assert_eq!(names(&fake.path("O/results")), ["deep"]);
        let record: Value = serde_json::from_str(&of("verification.json")).unwrap();
        assert_eq!(
            record["ran"][0]["log"]["sha256"],
            "7d0698689b2d55cbce578d325da39bae00d260dc71c14a26909461903cc06ca6",
            "{record}"
        );
    }
}

#[test]
fn what_a_person_keeps_in_an_out_directory_is_replaced_and_never_followed() {
    let fake = Fake::new();
    let witness = Witness::in_home(&fake);
    let out = "/pixi-offline/out";
    let fake = fake.with(json!({"writes": {
        format!("{out}/own/id_ed25519"): "theirs",
        format!("{out}/file"): "theirs",
        format!("{out}/both/new"): "theirs",
    }}));
    fs::create_dir_all(fake.path("O/file")).unwrap();
    symlink(&witness.dir, fake.path("O/own")).unwrap();
    fake.sandbox.write("O/both/old", "ours");
    fake.sandbox
        .write("O/.pixi-offline-out/left", "by a killed run");
    for log in ["verify.offline.log", "bootstrap.offline.log"] {
        symlink(witness.path("id_ed25519"), fake.path("O").join(log)).unwrap();
    }
    verify(&fake, &[]).success();
    witness.is_as_it_was();
    let of = |name: &str| fs::read_to_string(fake.path("O").join(name)).unwrap();
    assert_eq!(of("own/id_ed25519"), "theirs");
    assert_eq!(of("file"), "theirs");
    assert_eq!(names(&fake.path("O/both")), ["new", "old"]);
    assert!(!names(&fake.path("O")).contains(&".pixi-offline-out".to_owned()));
    assert!(!fake.path("O/left").exists());
}

#[test]
fn a_container_cannot_have_its_own_words_found_in_a_log() {
    let fake = Fake::new();
    let out = "/pixi-offline/out";
    let fake = fake.with(json!({"writes": {
        format!("{out}/verify.offline.log"): "all tests passed",
    }}));
    let expected = |text| {
        let args = ["--project-name", "demo", "--expect-output", text];
        verify(&fake, &[&args[..], &["--verify-task", "x"]].concat())
    };
    expected("all tests passed")
        .code(1)
        .says("did not print \"all tests passed\"");
    expected("verified").success();
}

#[test]
fn a_build_from_the_host_writes_its_own_logs() {
    let fake = Fake::new();
    let witness = Witness::in_home(&fake);
    let fake = fake.with(json!({
        "phases": [["install", "installed\n", 0]],
        "writes": {"/workdir/out/report/result": "r"},
        "plants": {
            "/workdir/out/verify.log": witness.path("sub/profile"),
            "/workdir/out/pixi-install.log": "fifo",
        },
    }));
    soon(|| fake.create::<&str>(&[]))
        .success()
        .says("2 of the entries");
    witness.is_as_it_was();
    let of = |name: &str| fs::read_to_string(fake.path("W/out").join(name)).unwrap();
    assert_eq!(of("verify.log"), "No verification requested.\n");
    assert_eq!(of("pixi-install.log"), "installed\n");
    assert_eq!(
        names(&fake.path("W/out")),
        ["pixi-install.log", "report", "verify.log"]
    );
}

#[test]
fn a_lock_that_a_build_replaced_by_something_else_is_not_read() {
    for what in ["fifo", "sparse", "link"] {
        let fake = Fake::new();
        let witness = Witness::in_home(&fake);
        let planted = match what {
            "link" => witness.path("id_ed25519"),
            what => what.to_owned(),
        };
        let fake = fake.with(json!({"plants": {"/workdir/project/demo/pixi.lock": planted}}));
        soon(|| fake.create::<&str>(&[]))
            .code(1)
            .says("pixi.lock cannot be read");
        // The workdir is ours still, and can be made again.
        let fake = fake.with(json!({"plants": {}}));
        fake.create::<&str>(&[]).success();
        witness.is_as_it_was();
    }
}

#[test]
fn what_shall_become_a_product_lies_in_the_workdir_itself() {
    let sources = [
        ("resources", "resources"),
        ("project/demo", "project/demo"),
        ("pixi-cache", "pixi-cache"),
        ("pixi-cache/pixi-offline-bin/pixi", "--bundle-pixi"),
        ("project/demo/pixi.lock", "pixi.lock"),
    ];
    for (source, named) in sources {
        for fifo in [false, true] {
            let workdir = package_cache::Workdir::new();
            let fake = workdir.sandbox.home().join("own");
            fs::create_dir_all(&fake).unwrap();
            fs::write(
                fake.join("pixi.toml"),
                "[project]\nname='x'\n# PRIVATE KEY\n",
            )
            .unwrap();
            workdir
                .sandbox
                .write("W/pixi-cache/pixi-offline-bin/pixi", "pixi");
            let place = workdir.sandbox.work().join("W").join(source);
            let _ = fs::remove_dir_all(&place);
            let _ = fs::remove_file(&place);
            if fifo {
                let made = Command::new("mkfifo").arg(&place).status_in_time().unwrap();
                assert!(made.success());
            } else if source.ends_with("pixi") || source.ends_with("lock") {
                symlink(fake.join("pixi.toml"), &place).unwrap();
            } else {
                symlink(&fake, &place).unwrap();
            }
            let run =
                soon(|| workdir.make(&["--project-name", "demo", "--bundle-pixi", "--force"]));
            run.code(2).says(named);
            assert!(!workdir.sandbox.work().join("W/product").exists(), "{run}");
        }
    }
}

/// A hostile pixi in the caller's container, which is this machine here.
fn hostile(on_run: &str) -> (Container, Witness) {
    let container = Container::new();
    let witness = Witness::in_home(&container.fake);
    let pixi = format!(
        "#!/bin/bash\nW={}\nH={}\ncase $1 in --version) echo pixi 0.77.0 ;;\nrun) {on_run}\n;; esac\n",
        container.path.display(),
        witness.dir.display()
    );
    let file = container.fake.sandbox.bin().join("pixi");
    fs::write(&file, pixi).unwrap();
    (container, witness)
}

#[test]
fn a_stream_out_of_a_container_has_a_shape() {
    // What may not come stays there.
    let (container, witness) = hostile(
        r#"ln -s "$H/id_ed25519" "$W/workdir.json.new"; mkdir -p "$W/helpers" "$W/product"
        ln -s "$H" "$W/out/own"; ln -s "$H/id_ed25519" "$W/out/verify.log"; echo kept >"$W/out/kept""#,
    );
    soon(|| container.create(&["--verify-task", "x"]))
        .success()
        .says("3 entries that are not part of a workdir stay in the container")
        .says("2 of the entries that the container left in $VERIFY_OUT_DIR are not kept");
    witness.is_as_it_was();
    let workdir = container.fake.path("W");
    assert_eq!(names(&workdir), WORKDIR);
    assert_eq!(
        names(&workdir.join("out")),
        ["kept", "pixi-install.log", "verify.log"]
    );
    for dir in ["out", "project", "resources", "pixi-cache"] {
        holds_nothing_of_the_witness(&workdir.join(dir));
    }
    // Another kind of what may come ends the run; the workdir stays as it was.
    let before = fs::read(workdir.join("workdir.json")).unwrap();
    for attack in [
        r#"rm -rf "$W/out"; ln -s "$H" "$W/out""#,
        r#"rm -rf "$W/resources"; ln -s "$H" "$W/resources""#,
        r#"rm -rf "$W/pixi-cache"; ln -s "$H" "$W/pixi-cache""#,
        r#"rm -rf "$W/project"; ln -s "$H" "$W/project""#,
        r#"rm -rf "$W/project/demo"; ln -s "$H" "$W/project/demo""#,
        r#"rm -rf "$W/project/demo""#,
        r#"rm "$W/workdir.json"; ln -s "$H/id_ed25519" "$W/workdir.json""#,
        r#"rm "$W/workdir.json"; mkdir "$W/workdir.json""#,
        r#"rm "$W/project/demo/pixi.lock"; ln -s "$H/id_ed25519" "$W/project/demo/pixi.lock""#,
        r#"rm -rf "$W/out"; echo file >"$W/out""#,
    ] {
        let pixi = container.fake.sandbox.bin().join("pixi");
        let (other, _) = hostile(attack);
        let text = fs::read_to_string(other.fake.sandbox.bin().join("pixi")).unwrap();
        let own = |path: &Path| path.display().to_string();
        let text = text
            .replace(&own(&other.path), &own(&container.path))
            .replace(
                &own(&other.fake.sandbox.home()),
                &own(&container.fake.sandbox.home()),
            );
        fs::write(&pixi, text).unwrap();
        let run = soon(|| container.create(&["--verify-task", "x", "--update-lock"]));
        assert_eq!(run.code, 1, "{attack}\n{run}");
        witness.is_as_it_was();
        assert_eq!(fs::read(workdir.join("workdir.json")).unwrap(), before);
        let left: Vec<_> = names(&container.fake.sandbox.work())
            .into_iter()
            .filter(|name| name.contains("pixi-offline"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        // The container's own workdir is to be known as ours by the next run.
        let _ = fs::remove_dir_all(&container.path);
    }
}

#[test]
fn a_run_ends_before_its_disk_is_full() {
    let mut fake = Fake::new().with(json!({"hang": true}));
    fake.sandbox
        .set("PIXI_OFFLINE_RESERVED_SPACE", u64::MAX.to_string());
    soon(|| fake.create::<&str>(&[]))
        .code(1)
        .says("nearly full");
    verify(&fake, &[]).code(1).says("nearly full");
    assert!(fake.path("O/verification.json").is_file());
}

#[test]
fn a_program_is_put_where_nobody_else_can_change_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let fake = Fake::new();
    let root = fake.sandbox.root();
    let place = |name: &str, mode| {
        let dir = root.join(name);
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
        dir
    };
    // Everybody may rename what is in it.
    let open = place("open", 0o777);
    // Somebody saw the name and was there first.
    let taken = place("taken", 0o1777);
    fs::create_dir(root.join("elsewhere")).unwrap();
    symlink(root.join("elsewhere"), taken.join("name")).unwrap();
    let taken_too = place("taken too", 0o1777);
    fs::create_dir(taken_too.join("name")).unwrap();
    let good = place("good", 0o1777);
    let program = fake.sandbox.write("program", "#!/bin/sh\necho runs\n");
    let mut command = fake.sandbox.program("sh");
    command
        .args(["-c", pixi_offline::container::scripts::UPLOAD, "sh", "name"])
        .arg(fs::metadata(&program).unwrap().len().to_string())
        .args([&root.join("missing"), &open, &taken, &taken_too, &good])
        .stdin(fs::File::open(&program).unwrap());
    let run = Run::of(&mut command);
    let brought = good.join("name/program");
    run.success().prints(brought.to_str().unwrap());
    Run::of(&mut fake.sandbox.program(&brought)).prints("runs\n");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&good.join("name")), mode(&brought)), (0o700, 0o700));
    assert!(names(&open).is_empty());
    assert!(names(&root.join("elsewhere")).is_empty());
    assert!(names(&taken_too.join("name")).is_empty());
}
