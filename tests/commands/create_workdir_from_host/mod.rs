mod script;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testbed::sandbox::{binary, names};

use crate::fake::{CREATE, Fake, LOCK, WORKDIR};

fn record(fake: &Fake) -> Value {
    fake.json("W/workdir.json")
}

#[test]
fn the_workdir_holds_what_the_contract_says() {
    let fake = Fake::new();
    let run = fake.create(&["--verify-task", "smoke"]);
    run.success().prints("installed\nverified\n");
    let workdir = fake.path("W");
    run.says(&format!("OK: WORKDIR created at: {}\n", workdir.display()));
    run.says(&format!(
        "Next: '{0}/helpers/make-archive-ready-product' --workdir '{0}' --project-name 'demo'\n",
        workdir.display()
    ));
    assert_eq!(names(&workdir), WORKDIR);
    assert_eq!(
        names(&workdir.join("project/demo")),
        [".pixi", "pixi.lock", "pixi.toml", "src"]
    );
    assert_eq!(names(&workdir.join("project/demo/.pixi")), ["config.toml"]);
    assert_eq!(names(&workdir.join("product")), [""; 0]);
    assert_eq!(
        names(&workdir.join("out")),
        ["pixi-install.log", "verify.log"]
    );
    assert_eq!(
        fs::read_to_string(workdir.join("out/pixi-install.log")).unwrap(),
        "installed\n"
    );
    assert_eq!(
        fs::read_to_string(workdir.join("out/verify.log")).unwrap(),
        "verified\n"
    );
    for helper in [
        "make-archive-ready-product",
        "make-archive-ready-product.sh",
    ] {
        let mode = fs::metadata(workdir.join("helpers").join(helper))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o755, "{helper}");
    }
    // Nothing of the build beside it is left.
    assert_eq!(names(&fake.sandbox.work()), ["W", "demo"]);
}

#[test]
fn the_lock_decides_how_pixi_installs() {
    let local = LOCK.replace("http://conda.example", "file:///home/me/demo");
    for (lock, options, flag, text) in [
        (Some(LOCK), &[][..], "--locked", ""),
        (Some(LOCK), &["--update-lock"], "", ""),
        (Some(LOCK), &["--frozen"], "--frozen", ""),
        (Some(&local), &["--update-lock"], "", ""),
        (Some(&local), &[], "--frozen", ""),
        (
            None,
            &[],
            "",
            "WARNING: no pixi.lock: pixi will resolve dependencies now",
        ),
    ] {
        let fake = Fake::new();
        match lock {
            Some(text) => drop(fake.sandbox.write("demo/pixi.lock", text)),
            None => fs::remove_file(fake.path("demo/pixi.lock")).unwrap(),
        }
        fake.create(options).success().says(text);
        let variables = &fake.run_call().1[0];
        let installs = format!("\ninstall_options='{flag}'\n");
        assert!(variables.contains(&installs), "{lock:?} {options:?}");
    }
}

#[test]
fn a_lock_that_changed_is_said_and_both_digests_are_recorded() {
    let fake = Fake::new().with(json!({"writes": {"/workdir/project/demo/pixi.lock": "changed"}}));
    fake.create(&["--update-lock"])
        .success()
        .says("WARNING: pixi.lock was changed");
    let record = record(&fake);
    assert_ne!(record["lock"]["staged"], record["lock"]["built"]);
    assert_eq!(fake.read("demo/pixi.lock"), LOCK);
}

#[test]
fn the_record_says_what_was_used() {
    let fake = Fake::new();
    fake.create(&["--exclude", "x y", "--verify-run", "--", "a", "b"])
        .success();
    let record = record(&fake);
    for (key, value) in [
        ("state", json!("built")),
        ("project", json!("demo")),
        ("container_workdir", json!("/workdir")),
        ("environments", json!(["default"])),
        ("excludes", json!(["x y"])),
        ("pixi", json!("pixi 0.77.0")),
        ("engine", json!({"client": "docker", "version": "20.10.24"})),
        ("verification", json!({"command": ["a", "b"]})),
    ] {
        assert_eq!(record[key], value, "{key}");
    }
    assert_eq!(record["image"]["id"], "sha256:feed");
    assert_eq!(record["image"]["repo_digests"], json!(["img@sha256:beef"]));
}

#[test]
fn a_second_run_replaces_the_first_and_a_foreign_dir_needs_force() {
    let fake = Fake::new();
    fake.create::<&str>(&[]).success();
    fs::write(fake.path("W/out/leftover"), "").unwrap();
    fake.create::<&str>(&[]).success();
    assert!(!fake.path("W/out/leftover").exists());

    fake.sandbox.write("mine/thesis.txt", "x");
    fake.create(&["--workdir", "mine"]).code(2).says("--force");
    assert!(fake.path("mine/thesis.txt").exists());
    fake.create(&["--workdir", "mine", "--force"]).success();
    assert!(!fake.path("mine/thesis.txt").exists());

    // The old scripts left no record.
    for dir in ["project/p", "resources", "pixi-cache", "out", "helpers"] {
        fs::create_dir_all(fake.path("old").join(dir)).unwrap();
    }
    fake.create(&["--workdir", "old"]).code(2).says("--force");
    fake.sandbox
        .write("old/helpers/make-archive-ready-product.sh", "");
    fake.create(&["--workdir", "old"]).success();
    assert!(!fake.path("old/project/p").exists());
}

#[test]
fn the_default_workdir_is_below_the_git_top_level_and_is_never_staged() {
    let fake = Fake::new();
    let counts: Vec<usize> = (0..3)
        .map(|_| {
            let run = testbed::sandbox::Run::of(
                fake.sandbox
                    .command("create-workdir-from-host")
                    .current_dir(fake.path("demo/src"))
                    .args(["--image", "img:1", "--project-dir", ".."]),
            );
            run.success();
            let workdir = run
                .stderr
                .lines()
                .find_map(|line| line.strip_prefix("OK: WORKDIR created at: "))
                .map(|path| Path::new(path).to_owned())
                .unwrap();
            assert!(
                workdir.starts_with(fake.path("demo/tmp")),
                "{}",
                workdir.display()
            );
            std::thread::sleep(std::time::Duration::from_millis(1100));
            walk(&workdir.join("project/demo"))
        })
        .collect();
    // `tmp/` itself, and nothing in it.
    assert_eq!(counts, [counts[0]; 3]);
}

fn walk(dir: &Path) -> usize {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| 1 + if path.is_dir() { walk(&path) } else { 0 })
        .sum()
}

#[test]
fn a_helper_that_is_nowhere_is_said_before_any_work() {
    let fake = Fake::new();
    // By another process: a test that starts one just then would hand it our open file,
    // and what is written to cannot be started ("Text file busy").
    let copy = |program: &str| {
        let copy = fake.sandbox.bin().join(program);
        let mut cp = Command::new("cp");
        testbed::sandbox::Run::of(cp.arg(binary(program)).arg(&copy)).success();
        copy
    };
    let alone = copy("create-workdir-from-host");
    let run = testbed::sandbox::Run::of(fake.sandbox.program(&alone).args(CREATE));
    run.code(127)
        .says("make-archive-ready-product")
        .says("PATH");
    assert!(!fake.path("W").exists());
    // On PATH it is found.
    copy("make-archive-ready-product");
    testbed::sandbox::Run::of(fake.sandbox.program(&alone).args(CREATE)).success();
}

#[test]
fn odd_names_reach_docker_whole() {
    let fake = Fake::new();
    fs::rename(fake.path("demo"), fake.path("my, \"project\": x")).unwrap();
    let args = [
        "--image",
        "img:1",
        "--project-dir",
        "my, \"project\": x",
        "--workdir",
        "a:b, c",
    ];
    let run = fake.sandbox.run("create-workdir-from-host", args);
    run.success();
    let variables = &fake.run_call().1[0];
    assert!(variables.contains("\nname='my, \"project\": x'\n"));
    assert!(
        fake.path("a:b, c/project/my, \"project\": x/pixi.toml")
            .exists()
    );
}

#[test]
fn resources_that_hold_the_workdir_are_copied_without_it() {
    let fake = Fake::new();
    fake.sandbox.write("data/model.bin", "m");
    for _ in 0..3 {
        let args = ["--resources-dir", "data", "--workdir", "data/W"];
        fake.create(&args).success();
        assert_eq!(names(&fake.path("data/W/resources")), ["model.bin"]);
    }
}

#[test]
fn odd_spellings_of_a_workdir_are_looked_at_before_anything_is_staged() {
    let fake = Fake::new();
    fs::create_dir(fake.path("empty")).unwrap();
    std::os::unix::fs::symlink("empty", fake.path("link")).unwrap();
    fake.create(&["--workdir", "link/"])
        .code(2)
        .says("symbolic link");
    fake.create(&["--workdir", "new/."]).success();
    assert!(fake.path("new/workdir.json").exists());
}

#[test]
fn environments_are_named_or_all_of_the_lock_and_recorded() {
    for (args, environments, pixi) in [
        (&["-e", "test"][..], "test", &["run", "-e", "test", "t"][..]),
        (
            &["--environment=test", "-e", "default"],
            "test default",
            &["run", "t"],
        ),
        (&["--all-environments"], "default test", &["run", "t"]),
        (
            &["--all-environments", "--verify-environment", "test"],
            "default test",
            &["run", "-e", "test", "t"],
        ),
    ] {
        let fake = Fake::new();
        fake.create(&[args, &["--verify-task", "t"]].concat())
            .success();
        let script = fake.run_call().1;
        let selected = format!("\nenvironments='{environments}'\n");
        assert!(script[0].contains(&selected), "{script:?}");
        assert_eq!(script[1..], *pixi);
        let recorded: Vec<&str> = environments.split(' ').collect();
        assert_eq!(record(&fake)["environments"], json!(recorded));
    }
    let fake = Fake::new();
    for (args, text) in [
        (&["-e", "Test"][..], "invalid environment name"),
        (
            &["-e", "nope"],
            "pixi.lock has no environment nope; it has default, test",
        ),
        (&["-e", "test", "--all-environments"], "pick one"),
        (
            &["--verify-environment", "test", "--verify-task", "t"],
            "--verify-environment test",
        ),
        (
            &["--verify-environment", "default"],
            "--verify-task or --verify-run",
        ),
    ] {
        fake.create(args).code(2).says(text);
    }
    fs::remove_file(fake.path("demo/pixi.lock")).unwrap();
    fake.create(&["--all-environments"])
        .code(2)
        .says("pixi.lock");
    assert!(fake.calls().iter().all(|call| call[0] != "run"));
}

#[test]
fn what_cannot_work_offline_is_refused_before_a_container_starts() {
    let package = "- pypi: ../lib\n";
    let lock = LOCK
        .replacen("linux-64: []", &format!("linux-64:\n      {package}"), 1)
        .replace(
            "packages: []\n",
            "packages:\n- pypi: ../lib\n  name: lib\n  version: 0.1.0\n",
        );
    let fake = Fake::new();
    fake.sandbox.write("demo/pixi.lock", lock);
    fake.create::<&str>(&[])
        .code(2)
        .says("path dependency lib is outside the project (../lib)");
    // Also when the image is still to be fetched.
    let fake = fake.with(json!({"images": []}));
    fake.create::<&str>(&[])
        .code(2)
        .says("outside the project (../lib)");
    let fake = fake.with(json!({"images": ["img:1"]}));
    fake.sandbox
        .write("demo/pixi.lock", LOCK.replace("linux-64", "osx-arm64"));
    fake.create::<&str>(&[])
        .code(2)
        .says("for linux-64")
        .says("it has osx-arm64");
    for text in ["no: [lock", "version: 99\nenvironments: {}\npackages: []\n"] {
        fake.sandbox.write("demo/pixi.lock", text);
        fake.create::<&str>(&[])
            .code(2)
            .says("cannot read the lock file");
    }
    assert!(fake.calls().iter().all(|call| call[0] != "run"));
    assert!(!fake.path("W").exists());
}

#[test]
fn detached_environments_are_taken_out_of_the_copy() {
    let fake = Fake::new();
    let text = "# kept\ndetached-environments = true\n\n[pypi-config]\nindex-url = \"https://index.example\"\n";
    fake.sandbox.write("demo/.pixi/config.toml", text);
    fake.create::<&str>(&[])
        .success()
        .says("detached-environments was taken out");
    let staged = fake.read("W/project/demo/.pixi/config.toml");
    assert!(
        !staged.contains("detached") && staged.contains("index.example"),
        "{staged}"
    );
    assert_eq!(fake.read("demo/.pixi/config.toml"), text);
    // A link to somebody's own is not written through.
    let own = fake.sandbox.write("shared.toml", text);
    fs::remove_file(fake.path("demo/.pixi/config.toml")).unwrap();
    std::os::unix::fs::symlink(&own, fake.path("demo/.pixi/config.toml")).unwrap();
    fake.create::<&str>(&[])
        .success()
        .says("detached-environments was taken out");
    assert_eq!(fs::read_to_string(own).unwrap(), text);
    assert!(
        !fake
            .read("W/project/demo/.pixi/config.toml")
            .contains("detached")
    );
    fs::remove_file(fake.path("demo/.pixi/config.toml")).unwrap();
    fake.sandbox
        .write("demo/.pixi/config.toml", "detached-environments = false\n");
    fake.create::<&str>(&[])
        .success()
        .says_not("detached-environments");
}

#[test]
fn an_image_is_asked_for_git_where_the_lock_needs_it() {
    let git = "https://h.example/a.git?rev=main#0123456789012345678901234567890123456789";
    let used = format!("linux-64:\n      - pypi: git+{git}");
    let described = format!("packages:\n- pypi: git+{git}\n  name: a\n  version: '1'\n");
    let lock = LOCK.replacen("linux-64: []", &used, 1);
    let lock = lock.replacen("packages: []\n", &described, 1);
    assert_eq!(lock.matches("git+").count(), 2, "{lock}");
    // What is in the cache is not fetched again.
    for (options, needed) in [
        (&[][..], "git"),
        (&["--reuse-cache"], ""),
        (&["-e", "test"], ""),
    ] {
        let fake = Fake::new();
        fake.sandbox.write("demo/pixi.lock", &lock);
        fake.create(options).success();
        let args = fake.run_call().1;
        let needed = format!("\nneeds_git='{needed}'\n");
        assert!(args[0].contains(&needed), "{args:?}");
    }
}
