//! What the commands share: options, exit codes, messages.

use crate::fake::Fake;

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
        for words in [&["--help"][..], &["-h"], &["--workdir", "x", "--help"]] {
            if command == "final-verify-product" && words.len() == 3 {
                continue;
            }
            let run = fake.sandbox.run(command, words);
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
    for (words, text) in [
        (&["--workdir"][..], "--workdir needs a value"),
        (&["--unknown", "x"], "--unknown"),
        (&["--project-name", "a/b"], "--project-name"),
        (&["--project-name", "res"], "product's own"),
        (&["--container-workdir-path", ""], "is empty"),
        (&["--container-workdir-path", "/"], "root"),
        (&["--container-workdir-path", "rel"], "not absolute"),
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
        (&["--project-dir", "demo/pixi.toml"], "no folder"),
        (&["--project-dir", "demo/src"], "no Pixi project"),
        (&["--resources-dir", "missing"], "--resources-dir"),
        (&["--workdir", ""], "--workdir"),
        (&["--workdir", "."], "the current folder"),
        (&["--workdir", "demo"], "the project"),
        (&["--workdir", "demo/src"], "--force"),
        (&["--workdir", "/"], "the root folder"),
        (&["--workdir", ".."], "your home folder"),
        (&["--image", ""], "image reference"),
        (&["--image", "-v"], "image reference"),
    ] {
        let run = fake.create(words);
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
    run.code(2).says("your home folder");
    assert!(home.join("thesis").exists());
}

#[test]
fn a_missing_engine_is_said_right_after_the_command_line_is_read() {
    let fake = Fake::new();
    std::fs::remove_file(fake.sandbox.bin().join("docker")).unwrap();
    // The project is missing too, but that is looked at later.
    let words = [
        "--image",
        "i",
        "--project-dir",
        "missing",
        "--engine",
        "no-such-engine",
    ];
    fake.sandbox
        .run("create-workdir-from-host", words)
        .code(127)
        .says("ERROR: Missing required command: no-such-engine");
    let words = ["--image", "i", "--product-dir", "missing", "--out-dir", "o"];
    let mut sandbox_alone = testbed::sandbox::Sandbox::new().with_own_programs_only();
    sandbox_alone
        .run("final-verify-product", words)
        .code(127)
        .says("ERROR: Missing required command: docker");
    sandbox_alone.set("CONTAINER_ENGINE", "other-engine");
    sandbox_alone
        .run("final-verify-product", words)
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
}
