//! What is printed: JSON, quiet, verbose, and a terminal.

use super::*;

#[test]
fn each_phase_is_one_json_object_on_stdout() {
    let fake = Fake::new();
    let run = build(&fake, &["--format", "json", "--verify-task", "t"]);
    run.success();
    let objects = objects(&run);
    let phases: Vec<&str> = objects
        .iter()
        .map(|object| object["phase"].as_str().unwrap())
        .collect();
    assert_eq!(phases, ["preflight", "stage", "build", "product", "verify"]);
    for object in &objects {
        assert_eq!(object["schema"], 2);
        assert_eq!(object["outcome"], "passed");
        assert!(
            object["seconds"]
                .as_f64()
                .is_some_and(|seconds| seconds >= 0.0)
        );
    }
    for phase in phases {
        run.says(&format!("passed: {phase} ("));
    }
    let end: Vec<&str> = run.stderr.lines().rev().take(7).collect();
    assert!(end[6].starts_with("OK: product sha256:"), "{run}");
    let rows = ["Next: ", "Logs ", "Tested ", "Pixi ", "Lock ", "Product "];
    for (line, begins) in end.iter().zip(rows) {
        assert!(line.starts_with(begins), "{line}");
    }
    run.says("Tested   without a network, in img:1: the installation, and pixi run t\n");
    // The last line packs the product.
    let next = end[0].strip_prefix("Next: ").unwrap();
    Run::of(fake.sandbox.program("sh").args(["-c", next]))
        .success()
        .says("OK: packed ");
    assert!(fake.path("demo.tar.zst.sha256").is_file(), "{next}");
}

#[test]
fn every_field_of_the_json_is_documented() {
    let page = include_str!("../../../docs/reference/json.md");
    let fake = Fake::new();
    let container = Container::new();
    let mut seen = 0;
    for run in [
        build(&fake, &["--format", "json", "--dry-run"]),
        build(&fake, &["--format", "json", "--explain", "src"]),
        build(&fake, &["--format", "json", "--verify-task", "t"]),
        build(
            &fake,
            &["--format", "json", "--archive", "x.tar", "--split", "1M"],
        ),
        build(&failing("install"), &["--format", "json"]),
        build_from(&container, &["--format", "json", "--dry-run"]),
        build_from(&container, &["--format", "json"]),
    ] {
        for object in objects(&run) {
            for field in object.as_object().unwrap().keys() {
                assert!(page.contains(&format!("`{field}`")), "{field} of {object}");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn the_logs_are_told_where_they_are_in_the_end() {
    let fake = Fake::new();
    for _ in ["first", "beside one that has passed"] {
        let run = build(&fake, &["--format", "json", "--verbose"]);
        run.success().says_not("proof.failed");
        let verify = objects(&run).pop().unwrap();
        let logs = fake.path("W/proof").display().to_string();
        assert_eq!(verify["logs"], logs);
        let record = fake.sandbox.json("W/proof/verification.json");
        assert_eq!(verify["verification"], record);
        assert!(!fake.path("W/proof.failed").exists());
    }
}

#[test]
fn quiet_says_nothing_and_verbose_shows_the_containers_output() {
    let fake = Fake::new();
    let run = build(&fake, &["--quiet", "--no-bundle-pixi"]);
    assert_eq!(
        (run.success().stdout.as_str(), run.stderr.as_str()),
        ("", "")
    );
    let refused = build(&fake, &[&["--quiet"], &REFUSED[..]].concat());
    refused.code(2).says("To go on from here:").says("ERROR: ");
    let run = build(&fake, &[]);
    assert_eq!(run.success().stdout, "");
    run.says("passed: product (").says_not("installed\n");
    let lines = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("passed: "));
    assert_eq!(lines.count(), 5, "{run}");
    let run = build(&fake, &["--verbose"]);
    run.success()
        .prints("installed\n")
        .says("  entries: ")
        .says("OK: product created at: ");
    let run = build(&fake, &["--verbose", "--format", "json"]);
    run.success().says("installed\n");
    assert_eq!(objects(&run).len(), 5);
    build(&fake, &["--verbose", "--quiet"]).code(2);
}

#[test]
fn no_escape_bytes_but_on_a_terminal_that_wants_them() {
    testbed::ensure_debian_package("script", "bsdutils").unwrap();
    let mut fake = Fake::new();
    fake.sandbox.set("TERM", "xterm-256color");
    let run = build(&fake, &[]);
    run.success();
    assert!(
        !run.stderr.contains('\x1b') && !run.stdout.contains('\x1b'),
        "{run}"
    );
    // `script` gives its command a terminal.
    let on_a_terminal = |fake: &Fake, more: &str| {
        let program = testbed::sandbox::binary("build-offline-product");
        let line = format!(
            "{} --image img:1 --project-dir demo --workdir W {more}",
            program.display()
        );
        let mut script = fake.sandbox.program("script");
        let run = Run::of(script.args(["-qec", &line, "/dev/null"]));
        run.success().prints("OK: product sha256:");
        run.stdout
    };
    let moving = on_a_terminal(&fake, "");
    assert!(moving.contains('\x1b'), "{moving}");
    // Also in the phases after the first.
    assert!(
        moving.contains("installing without a network 0s"),
        "{moving:?}"
    );
    let whole = on_a_terminal(&fake, "--format json");
    assert!(whole.contains("\"phase\":\"verify\""), "{whole}");
    fake.sandbox.set("NO_COLOR", "1");
    let still = on_a_terminal(&fake, "");
    assert!(!still.contains('\x1b'), "{still:?}");
    assert!(still.contains("passed: stage ("), "{still}");
}
