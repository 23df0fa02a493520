//! What the commands have in common: the help, `-q` and `-v`, and options by their second names.

use testbed::sandbox::{Run, has, words};

use crate::fake::Fake;

/// The options that a help lists, but those of every program.
fn listed(help: &str) -> Vec<&str> {
    let options = help.split("Examples:").next().unwrap().lines();
    // What is further in is a text.
    let options = options.filter(|line| {
        let text = line.trim_start();
        text.starts_with('-') && line.len() - text.len() <= 6
    });
    let longs = options.filter_map(|line| {
        let mut words = line.split([' ', ',']);
        words.find(|word| word.starts_with("--"))
    });
    longs
        .filter(|long| !["--help", "--version"].contains(long))
        .collect()
}

#[test]
fn the_short_help_of_build_offline_product_is_one_page_with_three_examples() {
    let fake = Fake::new();
    let short = fake.sandbox.run("build-offline-product", ["-h"]);
    let options = listed(&short.success().stdout);
    assert_eq!(
        options,
        words(
            "--source-root --resources-dir --image --workdir --exclude --environment \
             --verify-task --expect-output --archive --dry-run --quiet --verbose"
        ),
        "{short}"
    );
    assert_eq!(short.stdout.matches("\n  $ ").count(), 3, "{short}");
    assert!(short.stdout.lines().count() <= 60, "{short}");
    short.prints("see more with '--help'").prints("[DIR]");
    let long = fake.sandbox.run("build-offline-product", ["--help"]);
    let all = listed(&long.success().stdout);
    assert!(all.len() > 50, "{long}");
    assert!(options.iter().all(|option| all.contains(option)), "{long}");
    // It has no effect here.
    assert!(!all.contains(&"--reuse-cache"), "{long}");
    // The old commands show all of theirs in both.
    for command in ["create-workdir-from-host", "final-verify-product"] {
        let help = |arg| fake.sandbox.run(command, [arg]).success().stdout.clone();
        let (short, long) = (help("-h"), help("--help"));
        assert_eq!(listed(&short), listed(&long), "{command}");
    }
}

#[test]
fn the_help_of_a_shared_option_fits_the_command() {
    let fake = Fake::new();
    let help = |command| {
        let run = fake.sandbox.run(command, ["--help"]);
        let words: Vec<&str> = run.success().stdout.split_whitespace().collect();
        words.join(" ")
    };
    for (command, starts_containers) in [
        ("build-offline-product", true),
        ("compare-products", false),
        ("create-workdir-from-host", true),
        ("final-verify-product", true),
        ("make-archive-ready-product", false),
        ("make-product-update", false),
        ("pack-product", false),
    ] {
        let help = help(command);
        let (_, quiet) = help.split_once("Show warnings and errors only").unwrap();
        let is_told = quiet.starts_with("; what runs in containers goes to the logs");
        assert_eq!(is_told, starts_containers, "{command}: {quiet}");
        let (_, verbose) = help.split_once("Show each step with its time").unwrap();
        let is_told = verbose.contains("what runs in containers");
        assert_eq!(is_told, starts_containers, "{command}: {verbose}");
    }
    let update = help("make-product-update");
    has(&update, "Pack the update into this file");
    assert!(!update.contains("Pack the product"), "{update}");
    let build = help("build-offline-product");
    has(&build, "After `--`: verify with `pixi run CMD");
}

#[test]
fn quiet_leaves_warnings_and_errors() {
    let fake = Fake::new();
    let silent = |run: Run| {
        assert_eq!((&*run.stdout, &*run.stderr), ("", ""), "{run}");
        run.code(0);
    };
    silent(fake.create(&["-q"]));
    assert!(fake.path("W/out/pixi-install.log").exists());
    let run = |command: &str, args: &[&str]| fake.sandbox.run(command, args);
    silent(run(
        "make-archive-ready-product",
        &["--workdir", "W", "--quiet"],
    ));
    silent(fake.verify(&["-q"]));
    silent(run("pack-product", &["-q", "W/product", "demo.tar"]));
    silent(run("compare-products", &["-q", "W/product", "W/product"]));
    silent(fake.run("build-offline-product", &["-q", "--no-bundle-pixi"]));
    // Warnings and errors stay.
    std::fs::remove_file(fake.path("demo/pixi.lock")).unwrap();
    let run = fake.create(&["-q"]);
    run.success().says("WARNING: ").says_not("OK: ");
    let image = words("-q --product-dir missing --base-image b --tag t");
    fake.sandbox
        .run("make-production-image", image)
        .code(2)
        .says("ERROR: ");
    for command in ["create-workdir-from-host", "build-offline-product"] {
        fake.run(command, &["-q", "-v"]).code(2).says("--verbose");
    }
}

#[test]
fn verbose_tells_each_step_with_its_time() {
    let fake = Fake::new();
    let run = fake.create(&["-v"]);
    run.success()
        .says("passed: stage (")
        .says("passed: build (")
        .says("OK: WORKDIR created at: ")
        .says("Next: ")
        .prints("installed");
    let run = |command: &str, args: &[&str]| {
        let run = fake.sandbox.run(command, args);
        run.success();
        run
    };
    run(
        "make-archive-ready-product",
        &["--workdir", "W", "--verbose"],
    )
    .says("passed: product (")
    .says("OK: product created at: ");
    let verified = fake.verify(&["-v"]);
    verified
        .success()
        .says("passed: verify (")
        .says("OK: final verification complete");
    run("pack-product", &["-v", "W/product", "demo.tar"]).says("passed: pack (");
    run("compare-products", &["-v", "W/product", "W/product"])
        .says("passed: compare (")
        .prints("Content: the same to the byte");
    // The step that an error ended is named.
    let fake = Fake::new().with(serde_json::json!({"phases": [["install", "", 7]]}));
    fake.create(&["-v"]).code(7).says("failed: build (");
    fake.create::<&str>(&[]).code(7).says_not("failed: ");
}

#[test]
fn patterns_are_read_from_files_as_rsync_reads_them() {
    let fake = Fake::new();
    for name in ["keep.log", "a.log", "notes.md", "#x"] {
        fake.sandbox.write(format!("demo/{name}"), "x");
    }
    fake.sandbox.write(
        "patterns",
        "# comment\n; comment\n\n+ keep.log\n*.log\r\n*.md",
    );
    let args = ["--exclude-from", "patterns"];
    let left = |dir: &str| {
        let dir = fake.path(dir);
        let is_there = |name: &&str| dir.join(name).exists();
        ["keep.log", "a.log", "notes.md", "#x"]
            .into_iter()
            .filter(is_there)
            .collect::<Vec<_>>()
    };
    fake.create(&args).success();
    assert_eq!(left("W/project/demo"), ["keep.log", "#x"]);
    fake.create::<&str>(&[]).success();
    let product = ["--workdir", "W", "--exclude-from", "patterns"];
    fake.sandbox
        .run("make-archive-ready-product", product)
        .success();
    assert_eq!(left("W/product/demo"), ["keep.log", "#x"]);
    // Those of the command line come first, and the first that matches decides.
    let both = ["--exclude", "keep.log", "--exclude-from", "patterns"];
    fake.run("build-offline-product", &both).success();
    assert_eq!(left("W/product/demo"), ["#x"]);
    fake.sandbox.write("patterns", "+ ");
    for (file, part) in [
        ("patterns", "--exclude-from patterns: "),
        ("missing", "--exclude-from missing: "),
        ("demo", "--exclude-from demo: "),
    ] {
        for command in ["create-workdir-from-host", "build-offline-product"] {
            fake.run(command, &["--exclude-from", file])
                .code(2)
                .says(part);
        }
        let args = ["--workdir", "W", "--exclude-from", file];
        fake.sandbox
            .run("make-archive-ready-product", args)
            .code(2)
            .says(part);
    }
}

#[test]
fn a_variable_of_the_containers_can_have_the_value_that_it_has_here() {
    let mut fake = Fake::new();
    fake.sandbox
        .set("SITE_PROXY", "http://proxy.example:3128/a=b");
    fake.create(&["--container-env", "SITE_PROXY"]).success();
    let (args, _) = fake.run_call();
    assert!(
        args.contains(&"SITE_PROXY=http://proxy.example:3128/a=b".to_owned()),
        "{args:?}"
    );
    for key in ["NOT_SET_HERE", ""] {
        fake.create(&["--container-env", key])
            .code(2)
            .says("--container-env")
            .says("KEY=VALUE");
    }
}

#[test]
fn two_hyphens_begin_a_verification_and_second_names_are_the_same_options() {
    let fake = Fake::new();
    for args in [
        &["--", "python", "-q"][..],
        &["--verify-run", "--", "python", "-q"],
    ] {
        fake.create(args).success();
        let record = fake.json("W/workdir.json");
        assert_eq!(
            record["verification"]["command"],
            serde_json::json!(["python", "-q"]),
            "{record}"
        );
    }
    fake.create(&["--"]).code(2).says("needs a command");
    fake.create(&["--verify-task", "t", "--", "x"])
        .code(2)
        .says("at most one");
    // A value that looks like an option stays a value.
    for (option, more) in [
        ("--platform", "--container-platform"),
        ("--all", "--all-environments"),
        ("-a", "--all-environments"),
    ] {
        let value: &[&str] = if option == "--platform" { &["--"] } else { &[] };
        let run = |option| fake.create(&[&[option], value].concat());
        let (second, first) = (run(option), run(more));
        assert_eq!(
            (second.code, &second.stderr),
            (first.code, &first.stderr),
            "{option}"
        );
    }
    let build = |args: &[&str]| fake.run("build-offline-product", args);
    let args = words(
        "--logs-dir L --product-dir P --no-cache --check-hashes --package-cache full \
         --product-env A=b",
    );
    build(&args).success();
    assert!(fake.path("L/bootstrap.offline.log").exists());
    assert!(fake.path("P/envs.sh").exists());
    build(&["--explain-exclude", "src"])
        .success()
        .prints("src is staged");
    // A slip is answered with what was meant.
    fake.create(&["--verify", "smoke"])
        .code(2)
        .says("did you mean --verify-task, --verify-environment, --verify-run?");
    fake.create(&["--verfiy-task", "smoke"])
        .code(2)
        .says("'--verify-task'");
}
