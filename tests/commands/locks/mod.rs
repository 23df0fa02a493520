//! Manifests and locks as real projects have them: of which platforms, environments and
//! kinds of files, and what is said of those that cannot be used.

mod platforms;
mod samples;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fake::{Fake, LOCK};

fn record(fake: &Fake) -> Value {
    fake.json("W/workdir.json")
}

#[test]
fn the_advice_about_a_stale_lock_is_given_when_pixi_says_so() {
    let failing = |printed: &str, options: &[&str]| {
        let fake = Fake::new().with(json!({"phases": [["install", printed, 1]]}));
        fake.create(options).code(1).stderr.clone()
    };
    let stale = "Error:   \u{d7} lock file not up-to-date with the workspace\n";
    let said = failing(stale, &[]);
    assert!(
        said.contains("--update-lock") && said.contains("--frozen"),
        "{said}"
    );
    for (printed, named) in [
        (
            "Error:   \u{d7} Failed to create .pixi\n  \u{2570}\u{2500}\u{25b6} File exists (os error 17)\n",
            "File exists",
        ),
        (
            "  \u{d7} failed to link torch-2.1-0\n  \u{251c}\u{2500}\u{25b6} Permission denied\n",
            "torch-2.1-0",
        ),
        (
            "plain words\nHTTP status client error (401 Unauthorized)\n",
            "401 Unauthorized",
        ),
    ] {
        let said = failing(printed, &[]);
        assert!(
            said.contains(named) && !said.contains("--update-lock"),
            "{said}"
        );
    }
    let said = failing(stale, &["--update-lock"]);
    assert!(said.contains("    lock file not up-to-date"), "{said}");
}

#[test]
fn a_frozen_lock_is_recorded_and_stays_byte_for_byte() {
    let fake = Fake::new();
    fake.create(&["--frozen", "--update-lock"])
        .code(2)
        .says("--frozen");
    assert!(!fake.path("W").exists());
    fake.create(&["--frozen"]).success();
    assert_eq!(record(&fake)["lock"]["frozen"], true);
    assert_eq!(fake.read("W/project/demo/pixi.lock"), LOCK);
    let run = fake
        .sandbox
        .run("make-archive-ready-product", ["--workdir", "W"]);
    run.success();
    let manifest = fake.json("W/product/manifest.json");
    assert_eq!(manifest["project"]["lock"]["frozen"], true);
    // A task that changes the lock behind our back.
    let fake = Fake::new().with(json!({"writes": {"/workdir/project/demo/pixi.lock": "changed"}}));
    fake.create(&["--frozen"])
        .code(1)
        .says("was changed by the build, although --frozen was given");
    let fake = Fake::new();
    fs::remove_file(fake.path("demo/pixi.lock")).unwrap();
    fake.create(&["--frozen"])
        .code(2)
        .says("the project has none");
    assert!(!fake.path("W").exists());
}

#[test]
fn manifest_and_lock_that_are_links_are_staged_as_files() {
    let fake = Fake::new();
    let real = fake.sandbox.write("shared/the.lock", LOCK);
    fs::rename(fake.path("demo/pixi.toml"), fake.path("shared/pixi.toml")).unwrap();
    fs::remove_file(fake.path("demo/pixi.lock")).unwrap();
    symlink(&real, fake.path("demo/pixi.lock")).unwrap();
    symlink("../shared/pixi.toml", fake.path("demo/pixi.toml")).unwrap();
    // One that pixi does not take may lead nowhere.
    symlink("nowhere", fake.path("demo/pyproject.toml")).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    fake.create::<&str>(&[]).success();
    for name in ["pixi.lock", "pixi.toml"] {
        let staged = fake.path("W/project/demo").join(name);
        assert!(fs::symlink_metadata(&staged).unwrap().is_file(), "{name}");
        assert_eq!(
            fs::read(&staged).unwrap(),
            fs::read(fake.path("demo").join(name)).unwrap()
        );
    }
    let staged = fs::metadata(fake.path("W/project/demo/pixi.lock")).unwrap();
    assert_eq!(staged.permissions().mode() & 0o777, 0o640);
    assert!(fake.path("W/project/demo/pyproject.toml").is_symlink());
    fake.sandbox
        .run("make-archive-ready-product", ["--workdir", "W"])
        .success();
    assert!(
        fs::symlink_metadata(fake.path("W/product/demo/pixi.lock"))
            .unwrap()
            .is_file()
    );
}

#[test]
fn links_that_are_staged_as_files_are_surveyed_as_files() {
    let pixi = "[project]\nname = 'demo'\n";
    for (manifest, text) in [
        ("pixi.toml", pixi),
        ("mojoproject.toml", pixi),
        ("pyproject.toml", "[tool.pixi.project]\nname = 'demo'\n"),
    ] {
        let fake = Fake::new();
        let demo = fake.path("demo");
        fs::remove_file(demo.join("pixi.toml")).unwrap();
        let secret = "# https://joe:Ahf7Oiqu@git.corp.net/\n";
        fake.sandbox
            .write("shared/the.toml", format!("{text}{secret}"));
        fs::rename(demo.join("pixi.lock"), fake.path("shared/the.lock")).unwrap();
        symlink("../shared/the.toml", demo.join(manifest)).unwrap();
        symlink("../shared/the.lock", demo.join("pixi.lock")).unwrap();
        // One that leads to a file of the copy, though by way of a link.
        symlink("pixi.lock", demo.join("lock-of-today")).unwrap();
        let plan = fake.run("build-offline-product", &["--dry-run", "--format", "json"]);
        plan.success();
        let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
        assert_eq!(plan["warnings"]["project"], Value::Null, "{plan:#}");
        let secrets = plan["secrets"].to_string();
        assert!(secrets.contains(manifest), "{secrets}");
        let run = fake.create::<&str>(&[]);
        run.success().says_not("lead out of what is copied");
        let staged = fake.path("W/project/demo");
        for name in [manifest, "pixi.lock"] {
            let is_file = fs::symlink_metadata(staged.join(name)).unwrap().is_file();
            assert!(is_file, "{name}");
        }
        let size = |dir: &str| -> u64 {
            let files = fs::read_dir(fake.path(dir)).unwrap();
            let files = files.map(|entry| fs::symlink_metadata(entry.unwrap().path()).unwrap());
            files
                .filter(fs::Metadata::is_file)
                .map(|file| file.len())
                .sum()
        };
        // The top, `src/` and `.pixi/` with a file each, and `lock-of-today`.
        let bytes = size("W/project/demo") + size("W/project/demo/src") + size("demo/.pixi");
        assert_eq!(plan["staged"], json!({"entries": 8, "bytes": bytes}));

        // The same names elsewhere, or one that leads nowhere, stay links and are told of.
        fake.sandbox.write("demo/sub/x", "");
        symlink("../../shared/the.lock", demo.join("sub/pixi.lock")).unwrap();
        let other = if manifest == "pixi.toml" {
            "mojoproject.toml"
        } else {
            "pixi.toml"
        };
        symlink("../nowhere", demo.join(other)).unwrap();
        let run = fake.run("build-offline-product", &["--dry-run"]);
        run.success().prints(&format!(
            "project: 2 links that lead out of what is copied, or to files that are left out: {other} -> ../nowhere, sub/pixi.lock -> ../../shared/the.lock"
        ));
    }
}

#[test]
fn a_lock_that_is_there_and_cannot_be_read_makes_nothing() {
    type Damage = fn(&std::path::Path);
    let damages: [(Damage, &str); 5] = [
        (
            |lock| symlink("nowhere", lock).unwrap(),
            "a link to nowhere",
        ),
        (|lock| fs::create_dir(lock).unwrap(), "is a directory"),
        (|lock| symlink("src", lock).unwrap(), "is a directory"),
        (
            |lock| symlink("pixi.lock", lock).unwrap(),
            "is a symbolic link loop",
        ),
        (
            |lock| {
                fs::write(
                    lock,
                    "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n",
                )
                .unwrap()
            },
            "git lfs pull",
        ),
    ];
    for (damage, said) in damages {
        let fake = Fake::new();
        fake.create::<&str>(&[]).success();
        for (lock, command) in [
            ("demo/pixi.lock", "create-workdir-from-host"),
            ("demo/pixi.lock", "build-offline-product"),
            ("W/project/demo/pixi.lock", "make-archive-ready-product"),
        ] {
            let lock = fake.path(lock);
            if fs::remove_file(&lock).is_err() {
                fs::remove_dir(&lock).unwrap();
            }
            damage(&lock);
            let run = match command {
                "make-archive-ready-product" => fake.sandbox.run(command, ["--workdir", "W"]),
                _ => fake.run(command, &["--workdir", "X"]),
            };
            run.code(2).says("pixi.lock");
            // What a container could write is never followed.
            if command != "make-archive-ready-product" {
                run.says(said);
            }
            assert!(!fake.path("X").exists());
        }
        assert!(!fake.path("W/product/SHA256SUMS").exists());
    }
    // With none at all it is made, as ever.
    let fake = Fake::new();
    fs::remove_file(fake.path("demo/pixi.lock")).unwrap();
    fake.create::<&str>(&[]).success();
    fake.sandbox
        .run("make-archive-ready-product", ["--workdir", "W"])
        .success()
        .says("WARNING: the project has no pixi.lock, so this product cannot be installed");
}

#[test]
fn the_manifest_may_have_any_of_pixis_names() {
    let fake = Fake::new();
    let workspace = "[workspace]\nname = 'demo'\nplatforms = ['linux-64']\n";
    fs::remove_file(fake.path("demo/pixi.toml")).unwrap();
    fake.create::<&str>(&[]).code(2).says("no mojoproject.toml");
    fake.sandbox
        .write("demo/pyproject.toml", "[project]\nname = 'demo'\n");
    fake.create::<&str>(&[])
        .code(2)
        .says("no table [tool.pixi]");
    fake.sandbox.write("demo/mojoproject.toml", workspace);
    fake.create::<&str>(&[]).success();
    fake.sandbox
        .run("make-archive-ready-product", ["--workdir", "W"])
        .success();
    let manifest = fake.json("W/product/manifest.json");
    assert_eq!(manifest["project"]["manifest"]["name"], "mojoproject.toml");
    fs::remove_file(fake.path("demo/pyproject.toml")).unwrap();
    fake.create::<&str>(&[]).success();
    assert!(fake.path("W/project/demo/mojoproject.toml").exists());
}

#[test]
fn find_links_in_the_project_by_a_path_of_this_machine_are_refused() {
    let fake = Fake::new();
    let links = fake.path("demo/links");
    let manifest = format!(
        "[workspace]\nname = 'demo'\n[pypi-options]\nfind-links = [{{ path = {links:?} }}]\n"
    );
    fake.sandbox.write("demo/pixi.toml", manifest);
    fake.create::<&str>(&[]).code(2).says("write it as ./links");
    let url = format!("file://{}", links.display());
    for option in [
        format!("find-links = [{{ url = '{url}' }}]"),
        format!("index-url = '{url}'"),
        format!("extra-index-urls = ['https://other.example/simple', '{url}']"),
    ] {
        let manifest = format!("[workspace]\nname = 'demo'\n[feature.x.pypi-options]\n{option}\n");
        fake.sandbox.write("demo/pixi.toml", manifest);
        for more in [&[][..], &["--dry-run"]] {
            let run = fake.run("build-offline-product", more);
            run.code(2).says("write it as ./links");
        }
    }
    assert!(!fake.path("W").exists());
}

#[test]
fn a_manifest_or_lock_that_only_stands_for_one_is_told_by_what_brings_it() {
    let lfs = |name| format!("version https://{name}.github.com/spec/v1\noid sha256:1\nsize 3\n");
    for (text, said) in [
        (lfs("git-lfs"), "git lfs pull"),
        (lfs("git-lfs").replace('\n', "\r\n"), "git lfs pull"),
        (lfs("hawser"), "git lfs pull"),
        ("/annex/objects/SHA256E-s9--1\n".to_owned(), "git annex get"),
        ("../shared/it".to_owned(), "only the path ../shared/it"),
    ] {
        for file in ["demo/pixi.toml", "demo/pixi.lock"] {
            let fake = Fake::new();
            fake.sandbox.write(file, &text);
            for more in [&[][..], &["--dry-run"], &["--update-lock"]] {
                let run = fake.run("build-offline-product", more);
                run.code(2).says(said).says(file);
            }
            assert!(!fake.path("W").exists());
        }
    }
    let fake = Fake::new();
    fs::remove_file(fake.path("demo/pixi.toml")).unwrap();
    symlink("../gone/pixi.toml", fake.path("demo/pixi.toml")).unwrap();
    fake.create::<&str>(&[])
        .code(2)
        .says("demo/pixi.toml is a link to ../gone/pixi.toml, which does not exist");
}
