//! Phases that fail: which one, and the commands that go on.

use super::*;
use testbed::sandbox::words;

#[test]
fn a_failed_phase_says_which_and_how_to_go_on() {
    for (phase, log) in [
        ("install", "W/out/pixi-install.log"),
        ("verify", "W/out/verify.log"),
    ] {
        let fake = failing(phase);
        let run = build(&fake, &["--format", "json", "--verify-task", "t"]);
        let log = fake.path(log);
        run.code(7)
            .says("failed: build (")
            .says(" lines of output:\n  | ")
            .says(&format!("Full log: {}\n", log.display()))
            .says("Fix the problem and run the same command again")
            .says("ERROR: ")
            .says_not("\x1b");
        let shown: Vec<&str> = run
            .stderr
            .lines()
            .filter(|line| line.starts_with("  | "))
            .collect();
        match phase {
            "install" => assert_eq!((shown.len(), shown[19]), (20, "  | line 29")),
            _ => assert_eq!(shown[19], "  | red end"),
        }
        let objects = objects(&run);
        let last = objects.last().unwrap();
        assert_eq!(
            (&last["phase"], &last["outcome"]),
            (&json!("build"), &json!("failed"))
        );
        assert_eq!(last["exit_code"], 7);
        assert!(
            last["error"]
                .as_str()
                .unwrap()
                .contains(&log.display().to_string()),
            "{last}"
        );
    }
}

#[test]
fn a_log_of_the_workdir_that_is_not_named_is_found() {
    let fake = failing("install");
    let args = ["--image", "img:1", "--project-dir", "demo"];
    let run = fake.sandbox.run("build-offline-product", args);
    run.code(7).says("Full log: ");
    run.says("work/.pixi-offline/demo/out/pixi-install.log");
}

#[test]
fn a_refused_product_names_the_commands_that_go_on() {
    let fake = Fake::new();
    let args = words("--bundle-pixi --verify-run -- python -c print(1)");
    // What only another build can put right is not offered to be done again.
    build(&fake, &args)
        .code(2)
        .says("create the workdir again")
        .says("Fix the problem and run the same command again")
        .says_not("make-archive-ready-product");
    let run = build(&fake, &[&REFUSED[..], &args[1..]].concat());
    run.code(2)
        .says("failed: product (")
        .says("To go on from here:\n  make-archive-ready-product --workdir ")
        .says(" --secrets deny\n  (and each --env again)\n  final-verify-product --image img:1 --product-dir ")
        .says(" --verify-run -- python -c 'print(1)'\n")
        .says_not("qx7Lm2vT9pKd")
        .says("--env PROXY: credentials in a URL");
}

#[test]
fn a_failed_final_verification_can_be_repeated_with_the_command_that_is_named() {
    let fake = Fake::new().with(json!({"attempts": {"bootstrap": 2}}));
    let run = build(&fake, &["--project-name", "a b"]);
    run.code(1)
        .says("failed: verify (")
        .says("  | installed\n")
        .says(&format!(
            "Full log: {}\n",
            fake.path("W/proof/bootstrap.offline.log").display()
        ))
        .says("To go on from here:\n  final-verify-product ");
    let line = run
        .stderr
        .lines()
        .find(|line| line.starts_with("  final-verify-product "))
        .unwrap();
    let outcome = |fake: &Fake| -> Value {
        let record = fs::read(fake.path("W/product/verification.json")).unwrap();
        serde_json::from_slice::<Value>(&record).unwrap()["outcome"].clone()
    };
    assert_eq!(outcome(&fake), "failed");
    let fake = fake.with(json!({"attempts": {}}));
    let dir = testbed::sandbox::binary("final-verify-product");
    let script = format!("PATH={}:$PATH; {line}", dir.parent().unwrap().display());
    Run::of(fake.sandbox.program("sh").args(["-c", &script]))
        .success()
        .says("OK: final verification complete");
    assert_eq!(outcome(&fake), "passed");
}

#[test]
fn a_failure_in_a_container_shows_no_log_of_an_earlier_run() {
    let mut container = Container::new();
    build_from(&container, &[]).success();
    for log in ["pixi-install.log", "verify.log"] {
        let log = container.fake.path("W/out").join(log);
        let log = fs::File::options().write(true).open(log).unwrap();
        log.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    container.fake.sandbox.set("PIXI_INSTALL_EXIT", "5");
    let run = build_from(&container, &["--update-lock"]);
    run.code(5)
        .says("  | install")
        .says("W is as it was")
        .says_not("Full log: ");
}
