//! What the commands share: options, exit codes, messages.

use crate::fake::Fake;
use testbed::sandbox::words;

const COMMANDS: [&str; 4] = [
    "create-workdir-from-host",
    "create-workdir-from-container",
    "make-archive-ready-product",
    "final-verify-product",
];

#[test]
fn help_and_version_go_to_stdout_with_code_0() {
    let fake = Fake::new();
    for command in COMMANDS {
        for args in [&["--help"][..], &["-h"], &["--workdir", "x", "--help"]] {
            if command == "final-verify-product" && args.len() == 3 {
                continue;
            }
            let run = fake.sandbox.run(command, args);
            run.success().prints("Usage:");
            assert_eq!(run.stderr, "");
        }
        fake.sandbox
            .run(command, ["--version"])
            .success()
            .prints(command);
    }
    assert!(fake.calls().is_empty());
}

#[test]
fn wrong_command_lines_end_with_2_and_touch_nothing() {
    let fake = Fake::new();
    for (args, text) in [
        (&["--workdir"][..], "--workdir needs a value"),
        (&["--unknown", "x"], "--unknown"),
        (&["--project-name", "a/b"], "--project-name"),
        (&["--project-name", "res"], "product's own"),
        (&["--container-workdir-path", ""], "is empty"),
        (&["--container-workdir-path", "/"], "root"),
        (&["--container-workdir-path", "rel"], "not absolute"),
        (&["--container-platform", "amd64"], "linux/amd64"),
        (&["--container-platform", "windows/amd64"], "is not Linux"),
        (&["--verify-task", ""], "--verify-task is empty"),
        (&["--verify-run"], "--verify-run"),
        (&["--verify-run", "x"], "--verify-run"),
        (&["--verify-run", "--"], "--verify-run"),
        (
            &["--verify-task", "t", "--verify-run", "--", "x"],
            "at most one",
        ),
        (&["--exclude", "!"], "--exclude"),
        (&["--exclude", "- "], "--exclude"),
        (&["--expect-output", "x"], "--verify-task or --verify-run"),
        (
            &["--verify-task", "t", "--expect-file", "../x"],
            "--expect-file",
        ),
        (&["--container-env", "NOVALUE"], "KEY=VALUE"),
        (&["--project-dir", "missing"], "--project-dir"),
        (&["--project-dir", "demo/pixi.toml"], "not a directory"),
        (&["--project-dir", "demo/src"], "not a Pixi project"),
        (&["--resources-dir", "missing"], "--resources-dir"),
        (&["--workdir", ""], "--workdir"),
        (&["--workdir", "."], "the current directory"),
        (&["--workdir", "demo"], "the project"),
        (&["--workdir", "demo/src"], "--force"),
        (&["--workdir", "/"], "the root directory"),
        (&["--workdir", ".."], "your home directory"),
        (&["--image", ""], "image reference"),
        (&["--image", "-v"], "image reference"),
    ] {
        let run = fake.create(args);
        run.code(2).says(text);
        assert!(run.stderr.contains("ERROR: "), "{run}");
        assert!(!fake.path("W").exists(), "{run}");
    }
    assert!(fake.calls().iter().all(|call| call[0] != "run"));
    assert!(fake.path("demo/src/main.py").exists());
}

#[test]
fn home_is_never_a_workdir_even_with_force() {
    let fake = Fake::new();
    std::fs::write(fake.sandbox.home().join("thesis"), "x").unwrap();
    let home = fake.sandbox.home();
    let run = fake.create(&["--force".as_ref(), "--workdir".as_ref(), home.as_os_str()]);
    run.code(2).says("your home directory");
    assert!(home.join("thesis").exists());
}

#[test]
fn a_missing_engine_is_said_right_after_the_command_line_is_read() {
    let fake = Fake::new();
    std::fs::remove_file(fake.sandbox.bin().join("docker")).unwrap();
    // The project is missing too, but that is looked at later.
    let args = words("--image i --project-dir missing --engine no-such-engine");
    fake.sandbox
        .run("create-workdir-from-host", args)
        .code(127)
        .says("ERROR: Missing required command: no-such-engine");
    let args = ["--image", "i", "--product-dir", "missing", "--out-dir", "o"];
    let mut sandbox_alone = testbed::sandbox::Sandbox::new().with_own_programs_only();
    sandbox_alone
        .run("final-verify-product", args)
        .code(127)
        .says("ERROR: Missing required command: docker");
    sandbox_alone.set("CONTAINER_ENGINE", "other-engine");
    sandbox_alone
        .run("final-verify-product", args)
        .code(127)
        .says("ERROR: Missing required command: other-engine");
    // A command line that is wrong is said first.
    sandbox_alone
        .run("final-verify-product", ["--image"])
        .code(2);
}

#[test]
fn an_engine_that_does_not_answer_is_said_in_its_own_words() {
    let fake =
        Fake::new().with(serde_json::json!({"no_daemon": "Cannot connect to the Docker daemon"}));
    fake.create::<&str>(&[])
        .code(125)
        .says("Cannot connect to the Docker daemon")
        .says("--engine");
    assert!(!fake.path("W").exists());
    let closed = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock";
    let fake = fake.with(serde_json::json!({"no_daemon": closed}));
    fake.create::<&str>(&[])
        .code(125)
        .says("the group `docker`")
        .says("rootless")
        .says_not("systemctl");
}

#[test]
fn names_that_cannot_be_a_project_are_refused() {
    let fake = Fake::new();
    let controls = (1..=0x1f_u32).chain(0x7f..=0x9f).filter_map(char::from_u32);
    let mut names: Vec<String> = controls
        .flat_map(|c| {
            [
                c.to_string(),
                format!("a{c}"),
                format!("{c}b"),
                format!("a{c}b"),
            ]
        })
        .collect();
    let own = "res pkg-cache bin envs.sh bootstrap-project.sh manifest.json SHA256SUMS \
        SHA256SUMS.minisig sbom.cdx.json provenance.json verification.json \
        verification.json.minisig changes.json changes.json.minisig report.html";
    let paths = [
        "", ".", "..", "/", "//", "a/b", "a/", "/a", "./a", "../a", "a/..", "a/../b",
    ];
    let options = ["-", "--", "-x", "--force", "--project-name", "-\u{e9}"];
    let all = own.split_whitespace().chain(paths).chain(options);
    names.extend(all.map(str::to_owned));

    let mut tried = 0;
    let mut refused = |command: &str, name: &str, more: &[&str]| {
        tried += 1;
        let args = ["--project-name", name];
        let run = fake.sandbox.run(command, args.iter().chain(more));
        run.code(2).says("ERROR: ").says("--project-name");
        let said = run.stderr.trim_end_matches('\n');
        assert!(!said.contains(char::is_control), "{name:?}: {said:?}");
    };
    let product = fake.path("product");
    std::fs::create_dir(&product).unwrap();
    for name in &names {
        let workdir = ["--workdir", "W"];
        let of_host = ["--image", "i", "--project-dir", "demo", "--workdir", "W"];
        refused("create-workdir-from-host", name, &of_host);
        let project = "--project-path-in-container";
        let of_container = ["--container-id", "c", project, "/demo", "--workdir", "W"];
        refused("create-workdir-from-container", name, &of_container);
        refused("make-archive-ready-product", name, &workdir);
        let of_product = ["--image", "i", "--product-dir", "product", "--out-dir", "O"];
        refused("final-verify-product", name, &of_product);
    }
    // A project's directory may be called so; then the person must name it.
    for name in ["res", "a\nb", "-x", "a\u{9b}b"] {
        std::fs::rename(fake.path("demo"), fake.path(name)).unwrap();
        let dir = format!("./{name}");
        let usual = ["--image", "i", "--project-dir", &dir, "--workdir", "W"];
        let run = fake.sandbox.run("create-workdir-from-host", usual);
        run.code(2).says("--project-name");
        std::fs::rename(fake.path(name), fake.path("demo")).unwrap();
    }
    assert!(
        fake.calls()
            .iter()
            .all(|call| call[0] != "run" && call[0] != "exec")
    );
    assert_eq!(
        testbed::sandbox::names(&fake.sandbox.work()),
        ["demo", "product"]
    );
    testbed::ran("names_that_cannot_be_a_project_are_refused", tried);
}

#[test]
fn odd_names_of_a_workdir_work_or_are_refused_clearly() {
    let fake = Fake::new();
    let long = "n".repeat(200);
    for name in [
        "a\nb",
        "a\tb",
        "\u{1b}[31m",
        "-x",
        "--force",
        " ",
        "a\r",
        "\"",
        "'",
        "$x `y` *",
        &long,
    ] {
        let run = fake.create(&["--workdir", name]);
        run.success();
        assert!(fake.path(name).join("workdir.json").exists(), "{run}");
        fake.create(&["--workdir", name]).success();
    }
    for (name, text) in [
        // Docker's client would mount another directory.
        ("a\r\nb", "carriage return"),
        (&*"n".repeat(230), "230 bytes long; the limit is 215"),
    ] {
        fake.create(&["--workdir", name]).code(2).says(text);
        assert!(!fake.path(name).exists());
    }
    let name = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff");
    let name: &std::ffi::OsStr = name;
    fake.create(&["--workdir".as_ref(), name])
        .code(2)
        .says("UTF-8");
}

#[test]
fn what_a_lock_says_gives_the_terminal_no_orders() {
    let fake = Fake::new();
    for name in [r#""\e[31m""#, r#""\e[31m\x9b""#] {
        let lock = crate::fake::LOCK.replace("linux-64", name);
        fake.sandbox.write("demo/pixi.lock", lock);
        let run = fake.create::<&str>(&[]);
        run.code(2).says("pixi.lock").says("\\u{1b}[31m");
        let orders = |c: char| c.is_control() && c != '\n';
        assert!(!run.stderr.contains(orders), "{:?}", run.stderr);
    }
}
