//! Projects as people have them: links for directories that git or pixi use, worktrees, links out
//! of the project, files that Git LFS did not fetch.

mod generated;
mod target;
mod versions;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testbed::python::commit_with_tag;
use testbed::sandbox::{Run, names, words};

use crate::create_workdir_from_container::Container;
use crate::fake::{Fake, LOCK};

/// Puts a link to a new directory in the place of something, and gives the directory.
fn replace_by_link(fake: &Fake, path: &str) -> PathBuf {
    let scratch = fake.sandbox.root().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let path = fake.path(path);
    if path.is_dir() {
        fs::remove_dir_all(&path).unwrap();
    }
    symlink(&scratch, path).unwrap();
    scratch
}

#[test]
fn links_named_like_a_usual_exclude_stay_behind_and_the_configuration_is_read_through_one() {
    let fake = Fake::new();
    let scratch = replace_by_link(&fake, "demo/.pixi");
    fs::write(scratch.join("config.toml"), "x = 2\n").unwrap();
    fs::create_dir_all(scratch.join("envs/default")).unwrap();
    for name in [".venv", "__pycache__", ".mypy_cache", "src/.pytest_cache"] {
        symlink(&scratch, fake.path("demo").join(name)).unwrap();
    }
    // Not of the eight: rsync copies it.
    symlink("src", fake.path("demo/.tox")).unwrap();
    fake.create(&[""; 0])
        .success()
        .says_not("is not staged, and");
    let staged = fake.path("W/project/demo");
    assert_eq!(
        names(&staged),
        [".pixi", ".tox", "pixi.lock", "pixi.toml", "src"]
    );
    assert_eq!(names(&staged.join("src")), ["main.py"]);
    assert!(!staged.join(".pixi").is_symlink());
    assert_eq!(names(&staged.join(".pixi")), ["config.toml"]);
    assert_eq!(
        fs::read_to_string(staged.join(".pixi/config.toml")).unwrap(),
        "x = 2\n"
    );
    assert_eq!(names(&scratch), ["config.toml", "envs"]);
}

#[test]
fn what_cannot_be_a_configuration_is_not_read_through_a_link() {
    for kind in ["dir", "fifo", "large", "dangling", "circle"] {
        let fake = Fake::new();
        let scratch = replace_by_link(&fake, "demo/.pixi");
        let config = scratch.join("config.toml");
        match kind {
            "dir" => fs::create_dir(&config).unwrap(),
            "fifo" => {
                let mode = rustix::fs::Mode::RWXU;
                let fifo = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, &config, fifo, mode, 0).unwrap();
            }
            "large" => fs::write(&config, vec![b'#'; 1 << 20]).unwrap(),
            "dangling" => symlink("/nowhere", &config).unwrap(),
            _ => symlink("config.toml", &config).unwrap(),
        }
        fake.create(&[""; 0]).success();
        assert!(!fake.path("W/project/demo/.pixi").exists(), "{kind}");
    }
    // It is the link that bounds it: a file of the project itself may be longer.
    let fake = Fake::new();
    fake.sandbox
        .write("demo/.pixi/config.toml", vec![b'#'; 1 << 20]);
    fake.create(&[""; 0]).success();
    assert!(fake.path("W/project/demo/.pixi/config.toml").is_file());
    // Left out on request, behind a link too.
    for pattern in [".pixi/config.toml", ".pixi", "*.toml"] {
        let fake = Fake::new();
        let scratch = replace_by_link(&fake, "demo/.pixi");
        fs::write(scratch.join("config.toml"), "x = 2\n").unwrap();
        fake.create(&["--exclude", pattern]).success();
        assert!(!fake.path("W/project/demo/.pixi").exists(), "{pattern}");
    }
}

#[test]
fn a_git_file_of_a_worktree_stays_behind_and_any_other_of_that_name_is_kept() {
    let fake = Fake::new();
    fs::remove_dir_all(fake.path("demo/.git")).unwrap();
    fake.sandbox
        .write("demo/.git", "gitdir: /home/me/demo/.git/worktrees/wt\n");
    fake.sandbox
        .write("demo/sub/.git", "gitdir: ../.git/modules/sub\n");
    fake.sandbox.write("demo/other/.git", "gitdir:x");
    fake.sandbox.write("demo/src/x.git", "gitdir: x");
    fake.create(&[""; 0]).success();
    let staged = fake.path("W/project/demo");
    assert!(!staged.join(".git").exists());
    assert_eq!(names(&staged.join("sub")), [""; 0]);
    assert_eq!(names(&staged.join("other")), [".git"]);
    assert_eq!(names(&staged.join("src")), ["main.py", "x.git"]);
    let explain = |path: &str| fake.run("build-offline-product", &["--explain", path]);
    explain("sub/.git").success().prints("is left out: .git/");
    explain("other/.git").success().prints("is staged");
}

#[test]
fn links_out_and_lfs_pointers_are_named_before_anything_is_staged() {
    let fake = Fake::new().with(serde_json::json!({"refuse": ["no such thing", 125]}));
    for number in 0..7 {
        let link = fake.path(&format!("demo/out-{number}"));
        symlink(format!("/elsewhere/{number}\u{1b}[2J"), link).unwrap();
    }
    symlink(".git/annex/x", fake.path("demo/annexed")).unwrap();
    symlink("src/main.py", fake.path("demo/fine")).unwrap();
    fake.sandbox.write("data/small.txt", "x");
    symlink("../demo/src", fake.path("data/code")).unwrap();
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{:064}\nsize 699009\n",
        1
    );
    fake.sandbox.write("demo/model.bin", &pointer);
    fake.sandbox.write("data/deep/weights", &pointer);
    for secrets in ["warn", "off"] {
        let args = ["--resources-dir", "data", "--secrets", secrets];
        let run = fake.create(&args);
        run.code(125);
        let lines: Vec<_> = run
            .stderr
            .lines()
            .filter(|line| line.starts_with("WARNING: "))
            .collect();
        assert_eq!(lines.len(), 4, "{lines:#?}");
        assert!(
            lines[0].starts_with("WARNING: 8 links of the project"),
            "{}",
            lines[0]
        );
        assert!(
            lines[0].contains("annexed -> .git/annex/x, out-0 -> /elsewhere/0\u{fffd}[2J, "),
            "{}",
            lines[0]
        );
        assert!(lines[0].ends_with(" and 3 more"), "{}", lines[0]);
        assert!(!lines[0].contains("fine"), "{}", lines[0]);
        assert!(
            lines[1].contains("1 file of the project is a Git LFS pointer"),
            "{}",
            lines[1]
        );
        assert!(lines[1].ends_with(": model.bin"), "{}", lines[1]);
        assert!(lines[2].contains("1 link of the resources"), "{}", lines[2]);
        assert!(lines[2].ends_with(": code -> ../demo/src"), "{}", lines[2]);
        assert!(lines[3].ends_with(": deep/weights"), "{}", lines[3]);
    }
    // A project without any says nothing.
    let fake = Fake::new();
    fake.create(&[""; 0]).success().says_not("WARNING: ");
}

#[test]
fn pixi_in_a_container_never_installs_through_a_link_of_the_project() {
    let container = Container::new();
    let fake = &container.fake;
    let scratch = replace_by_link(fake, "demo/.pixi");
    fs::write(scratch.join("config.toml"), "x = 2\n").unwrap();
    symlink("/nowhere", fake.path("demo/gone")).unwrap();
    container
        .create(&[])
        .success()
        .says("1 link of the project")
        .says("gone -> /nowhere");
    assert_eq!(names(&scratch), ["config.toml"]);
    assert!(
        container
            .path
            .join("project/demo/.pixi/envs/default/big")
            .is_file()
    );
    let staged = fake.path("W/project/demo/.pixi/config.toml");
    assert_eq!(fs::read_to_string(staged).unwrap(), "x = 2\n");
}

#[test]
fn links_that_lie_in_the_container_before_the_build_are_never_followed() {
    let victim_is_untouched = |victim: &Path| assert_eq!(names(victim), ["mine"]);
    for name in words("project resources pixi-cache out pixi-cache/pkgs workdir.json.new") {
        let container = Container::new();
        let victim = container.fake.sandbox.root().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("mine"), "mine").unwrap();
        // A workdir of an earlier run, in which somebody has put a link.
        container.create(&[]).success();
        let place = container.path.join(name);
        if place.is_dir() {
            fs::remove_dir_all(&place).unwrap();
        }
        symlink(&victim, &place).unwrap();
        container.create(&["--reuse-cache"]).success();
        victim_is_untouched(&victim);
        assert!(!place.is_symlink(), "{name}");
        assert_eq!(fs::read_to_string(victim.join("mine")).unwrap(), "mine");
    }
    // The workdir itself.
    let container = Container::new();
    let victim = container.fake.sandbox.root().join("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("mine"), "mine").unwrap();
    symlink(&victim, &container.path).unwrap();
    container.create(&[]).code(2);
    victim_is_untouched(&victim);
}

#[test]
fn a_configuration_behind_a_link_of_a_built_project_is_not_packed() {
    let fake = Fake::new();
    fake.create(&[""; 0]).success();
    let staged = fake.path("W/project/demo");
    fs::remove_dir_all(staged.join(".pixi")).unwrap();
    fake.sandbox.write("private/config.toml", "secret = 1\n");
    symlink(fake.path("private"), staged.join(".pixi")).unwrap();
    let make = ["--workdir", "W"];
    fake.sandbox
        .run("make-archive-ready-product", make)
        .success();
    assert_eq!(
        names(&fake.path("W/product/demo")),
        ["pixi.lock", "pixi.toml", "src"]
    );
    fs::remove_file(staged.join(".pixi")).unwrap();
    fs::create_dir(staged.join(".pixi")).unwrap();
    symlink(
        fake.path("private/config.toml"),
        staged.join(".pixi/config.toml"),
    )
    .unwrap();
    fake.sandbox
        .run("make-archive-ready-product", make)
        .success();
    assert_eq!(
        names(&fake.path("W/product/demo")),
        ["pixi.lock", "pixi.toml", "src"]
    );
}

fn make(fake: &Fake, more: &[&str]) -> Run {
    let args = ["--workdir", "W"].iter().chain(more);
    fake.sandbox.run("make-archive-ready-product", args)
}

#[test]
fn a_dir_that_a_container_cannot_write_is_found_before_anything_is_staged() {
    let test = "a_dir_that_a_container_cannot_write_is_found_before_anything_is_staged";
    if !rustix::process::geteuid().is_root() {
        testbed::skip(test, "only root can be another user for a moment");
        return;
    }
    for cannot_write in [false, true] {
        let fake = Fake::new().with(json!({"cannot_write": cannot_write}));
        let root = fake.sandbox.root();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(root.join("calls"), "").unwrap();
        for entry in ["work", "home", "work/demo", "calls"] {
            chown(root.join(entry), Some(65534), Some(65534)).unwrap();
        }
        let mut command = fake.create_as_nobody();
        command
            .args(["--transfer", "mount", "--engine-arg=--cpus=1"])
            .args(["--engine-arg=--network", "--engine-arg=host"]);
        let run = Run::of(&mut command);
        let probes: Vec<_> = fake
            .calls()
            .into_iter()
            .filter(|call| call.contains(&"write-into".to_owned()))
            .collect();
        assert_eq!(probes.len(), 1, "{probes:?}");
        assert!(probes[0].contains(&"--cpus=1".to_owned()), "{probes:?}");
        // An engine refuses two networks.
        assert!(!probes[0].contains(&"host".to_owned()), "{probes:?}");
        // That run tells also whether the engine sees the directory.
        assert!(fake.calls().iter().all(|call| call[0] != "create"));
        if cannot_write {
            run.code(1)
                .says(&format!("cannot write into {}:", fake.path("W").display()))
                .says("Permission denied")
                .says("--transfer copy");
            assert_eq!(names(&fake.sandbox.work()), ["demo"]);
        } else {
            run.success();
            assert_eq!(names(&fake.sandbox.work()), ["W", "demo"]);
        }
    }
    // Root's own directory on a disk of this machine is not tried.
    let fake = Fake::new().with(json!({"cannot_write": true}));
    fake.create(&[""; 0]).success();
}

/// Root reads every file: another user looks.
#[test]
fn a_lock_without_read_permission_makes_nothing_and_the_plan_counts_the_configuration() {
    let test = "a_lock_without_read_permission_makes_nothing_and_the_plan_counts_the_configuration";
    if !rustix::process::geteuid().is_root() {
        testbed::skip(test, "only root can be another user for a moment");
        return;
    }
    let run = |mode: u32, command: &str, more: &[&str]| {
        let fake = Fake::new();
        let root = fake.sandbox.root();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(
            fake.path("demo/pixi.lock"),
            fs::Permissions::from_mode(mode),
        )
        .unwrap();
        fs::write(root.join("calls"), "").unwrap();
        for entry in ["work", "home", "calls"] {
            chown(root.join(entry), Some(65534), Some(65534)).unwrap();
        }
        let mut program = fake.sandbox.program("setpriv");
        program
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(testbed::sandbox::binary(command))
            .args("--image img:1 --project-dir demo --workdir W".split(' '))
            .args(more);
        let run = Run::of(&mut program);
        (run, names(&fake.sandbox.work()))
    };
    for (command, more) in [
        ("create-workdir-from-host", &[][..]),
        ("build-offline-product", &[]),
        ("build-offline-product", &["--dry-run"]),
    ] {
        let (run, left) = run(0o600, command, more);
        run.code(2)
            .says("demo/pixi.lock cannot be read as a lock file")
            .says("Permission denied");
        assert_eq!(left, ["demo"], "{run}");
    }
    // The top, src with its file, manifest and lock, and .pixi with its configuration.
    let (run, _) = run(0o644, "build-offline-product", &["--dry-run"]);
    run.success().prints("staged: 7 entries, ");
}
