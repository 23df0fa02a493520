//! `build-offline-product` against the fake docker: what it looks at, says and
//! leaves. The products themselves are proved with the real engine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};
use testbed::sandbox::{Run, names};

use crate::create_workdir_from_container::Container;
use crate::fake::Fake;

fn build(fake: &Fake, more: &[&str]) -> Run {
    fake.run("build-offline-product", more)
}

/// The JSON objects on stdout.
fn objects(run: &Run) -> Vec<Value> {
    run.stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Every entry below a folder, with its mode, size and time of change.
fn listing(folder: &Path) -> BTreeMap<String, (u32, u64, i64, i64)> {
    let mut entries = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            let facts = (
                metadata.mode(),
                metadata.len(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            );
            entries.insert(path.display().to_string(), facts);
        }
    }
    entries
}

/// Docker's verbs so far, its questions left out.
fn deeds(fake: &Fake) -> Vec<String> {
    let is_question = |call: &Vec<String>| {
        ["version", "image", "container", "ps", "volume"].contains(&call[0].as_str())
    };
    fake.calls()
        .into_iter()
        .filter(|call| !is_question(call) && !call.contains(&"question".to_owned()))
        .map(|call| call[0].clone())
        .collect()
}

#[test]
fn the_platform_of_a_container_is_its_own() {
    let fake = Fake::new();
    let words = ["--container-id", "box", "--project-path-in-container", "/p"];
    let platform = ["--container-platform", "linux/amd64"];
    fake.sandbox
        .run("build-offline-product", [&words[..], &platform].concat())
        .code(2)
        .says("--container-platform is for --project-dir");
    assert_eq!(fake.calls(), Vec::<Vec<String>>::new());
}

#[test]
fn a_dry_run_tells_the_plan_touches_nothing_and_starts_nothing() {
    let fake = Fake::new();
    fake.sandbox.write("demo/notes.md", "four");
    fake.sandbox.write("data/model.bin", "weights");
    fake.sandbox
        .write("demo/id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let lock = fs::read_to_string(fake.path("demo/pixi.lock")).unwrap();
    let package = "http://conda.example/chan/linux-64/a-1-0.conda";
    let lock = lock
        .replacen(
            "linux-64: []",
            &format!("linux-64:\n      - conda: {package}"),
            1,
        )
        .replace(
            "packages: []",
            &format!(
                "packages:\n- conda: {package}\n  sha256: {}\n  size: 12345",
                "0".repeat(64)
            ),
        );
    fake.sandbox.write("demo/pixi.lock", lock);
    let before = listing(fake.sandbox.root());
    let words = [
        "--dry-run",
        "--exclude",
        "*.md",
        "--resources-dir",
        "data",
        "--verify-task",
        "t",
    ];
    let run = build(&fake, &words);
    for part in [
        "left out by *.md: 1",
        "left out by .git/: 1",
        "left out by .env: 1",
        "resources: 2 entries, 7 bytes",
        "environments default: 1 conda packages, 0 Python packages; 12345 bytes to fetch",
        "secrets: 1 that look like one\n  ",
        "id_rsa",
        "disk: ",
        "image img:1: sha256:feed",
        "the build, with a network:\n  docker run --interactive ",
        "the final verification, without a network:\n  docker run --interactive ",
        "--network none",
    ] {
        run.success().prints(part);
    }
    // What is staged is what a run stages.
    let staged: String = run
        .stdout
        .lines()
        .find(|line| line.starts_with("staged: "))
        .unwrap()
        .to_owned();
    let calls = fake.path("../calls");
    assert_eq!(deeds(&fake), [""; 0]);
    fs::remove_file(&calls).unwrap();
    assert_eq!(listing(fake.sandbox.root()).len(), before.len());
    for (path, facts) in listing(fake.sandbox.root()) {
        // The folder that the list of calls was in.
        if path != fake.sandbox.root().display().to_string() {
            assert_eq!(Some(&facts), before.get(&path), "{path}");
        }
    }

    let json = build(&fake, &[&words[..], &["--format", "json"]].concat());
    let plan = &objects(json.success())[0];
    assert_eq!(plan["phase"], "plan");
    assert_eq!(plan["schema"], 1);
    assert_eq!(
        staged,
        format!(
            "staged: {} entries, {} bytes",
            plan["staged"]["entries"], plan["staged"]["bytes"]
        )
    );
    assert_eq!(
        plan["packages"],
        json!({"conda": 1, "python": 0, "platform": "linux-64", "download_bytes": 12345, "of_unknown_size": 0})
    );
    assert!(
        plan["left"]
            .as_array()
            .unwrap()
            .contains(&json!({"pattern": "*.md", "entries": 1}))
    );
    assert_eq!(plan["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(plan["environments"], json!(["default"]));
    let commands = plan["commands"].as_array().unwrap();
    assert_eq!(commands.len(), 2);
    for command in commands {
        assert_eq!(command[0], "run");
        // Whole, with the script in it.
        let words: Vec<&str> = command
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        assert!(words.iter().any(|word| word.lines().count() > 10));
        assert_eq!(words[words.len() - 2..], ["run", "t"]);
    }
    assert!(plan["disk_bytes_at_least"].as_u64().unwrap() > 12345);
}

#[test]
fn the_planned_commands_are_those_of_the_run() {
    let fake = Fake::new();
    let words = [
        "--container-env",
        "A=b",
        "--engine-arg=--cpus=1",
        "--verify-task",
        "t",
    ];
    let dry = build(
        &fake,
        &[&["--dry-run", "--format", "json"], &words[..]].concat(),
    );
    let planned = objects(dry.success())[0]["commands"].clone();
    build(&fake, &words).success();
    let run: Vec<Vec<String>> = fake
        .calls()
        .into_iter()
        .filter(|call| call[0] == "run" && call[1] == "--interactive")
        .collect();
    // Each run has a secret, a process and a place for memory of its own.
    let settled = |words: &[String]| -> Vec<String> {
        let script = words.iter().position(|word| word == "-c").unwrap();
        let mut settled = words.to_vec();
        settled[script + 4] = String::new();
        let varies = |word: &String| {
            word.starts_with("io.github.pixi-offline.process=")
                || word.starts_with("/pixi-offline/product:rw")
                || word.starts_with("/product:rw")
                || word == "--tmpfs"
        };
        let name = settled.iter().position(|word| word == "--name").unwrap();
        settled[name + 1].clear();
        settled.retain(|word| !varies(word));
        settled
    };
    let planned: Vec<Vec<String>> = serde_json::from_value(planned).unwrap();
    assert_eq!(run.len(), 2);
    for (planned, run) in planned.iter().zip(&run) {
        assert_eq!(settled(planned), settled(run));
    }
}

#[test]
fn a_path_is_explained() {
    let fake = Fake::new();
    fake.sandbox.write("demo/data/raw/a.bin", "x");
    fake.sandbox
        .write("demo/W/workdir.json", r#"{"kind":"pixi-offline workdir"}"#);
    let explain = |path: &str| {
        build(
            &fake,
            &[
                "--exclude",
                "/data/raw/",
                "--exclude",
                "*.tmp",
                "--explain",
                path,
            ],
        )
    };
    for (path, said) in [
        (
            "src/main.py",
            "src/main.py is staged: no pattern matches it\n",
        ),
        ("./src", "src is staged: no pattern matches it\n"),
        (".env", ".env stays behind: .env\n"),
        (
            "data/raw/a.bin",
            "data/raw/a.bin stays behind: /data/raw/ leaves its folder data/raw\n",
        ),
        ("data/raw", "data/raw stays behind: /data/raw/\n"),
        (
            "later.tmp",
            "later.tmp stays behind: *.tmp (nothing is there now)\n",
        ),
        (
            ".pixi/envs/default",
            ".pixi/envs/default stays behind: .pixi/ leaves its folder .pixi\n",
        ),
        (
            ".pixi/config.toml",
            ".pixi/config.toml is staged: pixi's configuration of the project always is\n",
        ),
    ] {
        assert_eq!(explain(path).success().stdout, said);
    }
    for path in ["../elsewhere", "src/../../x", "/etc/passwd", "."] {
        explain(path).code(2).says("is no path in the project");
    }
    let json = build(&fake, &["--format", "json", "--explain", ".git/config"]);
    assert_eq!(
        objects(json.success()),
        [json!({
            "schema": 1, "phase": "explanation", "path": ".git/config", "staged": false,
            "pattern": ".git/", "decided_at": ".git"
        })]
    );
    // What is said is what happens.
    let run = build(&fake, &["--exclude", "/data/raw/"]);
    run.success();
    assert_eq!(names(&fake.path("W/project/demo/data")), [""; 0]);
    assert!(fake.path("W/project/demo/.pixi/config.toml").exists());
}

#[test]
fn a_workdir_in_the_project_is_explained() {
    let fake = Fake::new();
    fake.create(&["--workdir", "demo/inner"]).success();
    build(&fake, &["--explain", "demo/../inner/out"]).code(2);
    let run = build(&fake, &["--explain", "inner/out/verify.log"]);
    assert_eq!(
        run.success().stdout,
        "inner/out/verify.log stays behind: inner is a workdir, and none is ever staged\n"
    );
}

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
    assert_eq!(
        phases,
        ["look", "stage", "build", "product", "verify", "proof"]
    );
    for object in &objects {
        assert_eq!(object["schema"], 1);
        assert_eq!(object["outcome"], "passed");
        assert!(
            object["seconds"]
                .as_f64()
                .is_some_and(|seconds| seconds >= 0.0)
        );
    }
    run.says("passed: staging the project (");
    assert!(
        run.stderr
            .lines()
            .last()
            .unwrap()
            .starts_with("OK: product sha256:"),
        "{run}"
    );
}

#[test]
fn every_field_of_the_json_is_documented() {
    let page = include_str!("../../docs/build-offline-product.md");
    let fake = Fake::new();
    let container = Container::new();
    let mut seen = 0;
    for run in [
        build(&fake, &["--format", "json", "--dry-run"]),
        build(&fake, &["--format", "json", "--explain", "src"]),
        build(&fake, &["--format", "json", "--verify-task", "t"]),
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
fn quiet_says_nothing_and_verbose_shows_the_containers_output() {
    let fake = Fake::new();
    let run = build(&fake, &["--quiet"]);
    assert_eq!(
        (run.success().stdout.as_str(), run.stderr.as_str()),
        ("", "")
    );
    let refused = build(&fake, &["--quiet", "--bundle-pixi"]);
    refused.code(2).says("To go on from here:").says("ERROR: ");
    let run = build(&fake, &[]);
    assert_eq!(run.success().stdout, "");
    run.says("passed: making the product (")
        .says_not("installed\n");
    let lines = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("passed: "));
    assert_eq!(lines.count(), 6, "{run}");
    let run = build(&fake, &["--verbose"]);
    run.success()
        .prints("installed\n")
        .says("  entries: ")
        .says("OK: product created at: ");
    let run = build(&fake, &["--verbose", "--format", "json"]);
    run.success().says("installed\n");
    assert_eq!(objects(&run).len(), 6);
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
        moving.contains("installing and verifying without a network 0s"),
        "{moving:?}"
    );
    let whole = on_a_terminal(&fake, "--format json");
    assert!(whole.contains("\"phase\":\"proof\""), "{whole}");
    fake.sandbox.set("NO_COLOR", "1");
    let still = on_a_terminal(&fake, "");
    assert!(!still.contains('\x1b'), "{still:?}");
    assert!(still.contains("passed: staging the project"), "{still}");
}

#[test]
fn a_later_run_uses_the_package_cache_again_and_says_so() {
    let fake = Fake::new();
    build(&fake, &[]).success().says_not("is used again");
    fake.sandbox
        .write("W/pixi-cache/pkgs/a-1-0/info/index.json", "{}");
    let run = build(&fake, &["--format", "json"]);
    run.success()
        .says("NOTE: the package cache of the workdir that was here is used again");
    assert_eq!(objects(&run)[1]["cache_reused"], true);
    assert!(
        fake.path("W/pixi-cache/pkgs/a-1-0/info/index.json")
            .exists()
    );
    let run = build(&fake, &["--format", "json", "--fresh"]);
    run.success().says_not("is used again");
    assert_eq!(objects(&run)[1]["cache_reused"], Value::Null);
    assert_eq!(names(&fake.path("W/pixi-cache")), [""; 0]);
    build(&fake, &["--fresh", "--reuse-cache"]).code(2);
}

/// A scenario in which one phase of the containers ends with 7.
fn failing(phase: &str) -> Fake {
    let lines: String = (0..30).map(|number| format!("line {number}\n")).collect();
    let end = |name: &str| if name == phase { 7 } else { 0 };
    Fake::new().with(json!({"phases": [
        ["install", format!("installing\n{lines}"), end("install")],
        ["verify", "\x1b[31mred\x1b[0m end\n", end("verify")],
        ["bootstrap", "bootstrapped\n", end("bootstrap")],
    ]}))
}

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
            .says("failed: installing and verifying with a network (")
            .says("The last lines that it printed:\n  | ")
            .says(&format!("All of it: {}\n", log.display()))
            .says("To go on: set it right, then run the same command again")
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
    let words = ["--image", "img:1", "--project-dir", "demo"];
    let run = fake.sandbox.run("build-offline-product", words);
    run.code(7).says("All of it: ");
    let workdir = names(&fake.path("tmp"));
    run.says(&format!("tmp/{}/out/pixi-install.log", workdir[0]));
}

#[test]
fn a_refused_product_names_the_commands_that_go_on() {
    let fake = Fake::new();
    let words = [
        "--bundle-pixi",
        "--env",
        "A=secret",
        "--verify-run",
        "--",
        "python",
        "-c",
        "print(1)",
    ];
    let run = build(&fake, &words);
    run.code(2)
        .says("failed: making the product (")
        .says("To go on from here:\n  make-archive-ready-product --workdir ")
        .says(" --bundle-pixi\n  (and each --env again)\n  final-verify-product --image img:1 --product-dir ")
        .says(" --verify-run -- python -c 'print(1)'\n")
        .says_not("secret")
        .says("--bundle-pixi: ");
}

#[test]
fn a_failed_final_verification_can_be_repeated_with_the_command_that_is_named() {
    let fake = Fake::new().with(json!({"attempts": {"bootstrap": 2}}));
    let run = build(&fake, &["--project-name", "a b"]);
    run.code(1)
        .says("failed: installing and verifying without a network (")
        .says("  | installed\n")
        .says(&format!(
            "All of it: {}\n",
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
    let folder = testbed::sandbox::binary("final-verify-product");
    let script = format!("PATH={}:$PATH; {line}", folder.parent().unwrap().display());
    Run::of(fake.sandbox.program("sh").args(["-c", &script]))
        .success()
        .says("OK: final verification complete");
    assert_eq!(outcome(&fake), "passed");
}

#[test]
fn the_product_goes_to_output() {
    let fake = Fake::new();
    fs::create_dir(fake.path("empty")).unwrap();
    for output in ["absent/below", "empty", "empty"] {
        build(&fake, &["--output", output]).success();
        assert!(
            fake.path(output).join("verification.json").exists(),
            "{output}"
        );
        assert_eq!(names(&fake.path("W/product")), [""; 0]);
    }
    build(&fake, &["--output", "W/product"]).success();
    assert!(fake.path("W/product/manifest.json").exists());
}

#[test]
fn what_a_later_step_would_refuse_is_refused_before_anything_runs() {
    let fake = Fake::new();
    fake.sandbox.write("somebodys/file", "x");
    fake.sandbox.write("file", "x");
    fake.sandbox.write("key", "no key");
    fake.sandbox.write("data/x", "x");
    let before = names(&fake.sandbox.work());
    for (words, said) in [
        (&["--output", "somebodys"][..], "--output"),
        (&["--output", "demo", "--force"], "the project"),
        (
            &["--output", "data", "--resources-dir", "data", "--force"],
            "the resources",
        ),
        (&["--output", "file"], "--output"),
        (&["--output", "W/elsewhere"], "lies in the workdir"),
        (&["--output", "P", "--workdir", "P/W"], "or holds it"),
        (&["--output", "."], "--output"),
        (&["--out-dir", "file"], "is no folder"),
        (&["--out-dir", "W/product/proof"], "lies in the product"),
        (
            &["--output", "P", "--out-dir", "P/proof"],
            "lies in the product",
        ),
        (&["--sign-key", "key"], "--sign-key"),
        (&["--sign-password-file", "key"], "give --sign-key"),
        (&["--env", "=x"], "--env"),
        (
            &["--expect-output", "x"],
            "require --verify-task or --verify-run",
        ),
        (&["--format", "yaml"], "yaml"),
        (&["--container-id", "c1"], "cannot be used with"),
        (&["--project-path-in-container", "/x"], "--container-id"),
    ] {
        let run = build(&fake, words);
        run.code(2).says("ERROR: ").says(said);
        assert_eq!(run.stdout, "");
        // A plan that could not be carried out is none.
        build(&fake, &[&["--dry-run"], words].concat())
            .code(2)
            .says(said);
    }
    let none = fake
        .sandbox
        .run("build-offline-product", ["--image", "img:1"]);
    none.code(2).says("--project-dir").says("--container-id");
    assert_eq!(names(&fake.sandbox.work()), before);
    assert_eq!(deeds(&fake), [""; 0]);
}

/// What the script that asks pixi prints.
fn answering(text: &str) -> Fake {
    Fake::new().with(json!({"pixi_check": text}))
}

#[test]
fn a_dry_run_asks_the_images_pixi_and_ends_as_the_build_would() {
    let reason = "the dependencies of environment 'default' for platform linux-64 are out of date because the requirement 'a >=2' could not be satisfied";
    let stale = |level: &str, end: &str| {
        format!("pixi pixi 0.77.0\nmanifest 0\nlock 1\n{level} {reason}\nError:   × {end}\n")
    };
    for (answer, code, said) in [
        (stale(" INFO", "lock file not up-to-date with the workspace"), 1, reason),
        (
            stale(" INFO pixi::lock_file::outdated:", "lock-file not up-to-date with the project"),
            1,
            reason,
        ),
        (
            "pixi pixi 0.77.0\nmanifest 1\nError:   × this project requires pixi '>=0.90', but you have pixi 0.77.0\n".to_owned(),
            1,
            "pixi 0.77.0 of the image refuses pixi.toml: use an image with a pixi that it is for",
        ),
        (
            "pixi pixi 0.15.2\nmanifest 1\n  × failed to parse pixi.toml\n  ╰─▶ unknown field `workspace`\n".to_owned(),
            1,
            "    unknown field `workspace`",
        ),
        ("missing pixi\n".to_owned(), 127, "the image has no pixi"),
        ("missing git\n".to_owned(), 127, "the image has no git"),
    ] {
        let run = build(&answering(&answer), &["--dry-run"]);
        run.code(code).says(said);
        assert!(!run.stderr.contains("INFO"), "{run}");
    }
    // What is not known is no refusal, and is never taken for a yes.
    for (answer, said) in [
        (
            "pixi pixi 0.77.0\nmanifest 0\nlock 1\n  × failed to fetch hatchling\n".to_owned(),
            "is not known: without a network it cannot compare the two: failed to fetch hatchling",
        ),
        (
            "pixi pixi 0.77.0\nmanifest 124\n".to_owned(),
            "is not known: it did not tell in time",
        ),
        (
            "elsewhere\n".to_owned(),
            "is not known: the engine does not see this machine's files",
        ),
        (
            "unwritable\n".to_owned(),
            "is not known: the container has no place for temporary files",
        ),
    ] {
        let fake = answering(&answer);
        build(&fake, &["--dry-run"]).success().prints(said);
        let plan = objects(&build(&fake, &["--dry-run", "--format", "json"])).remove(0);
        assert_eq!(plan["pixi_check"]["lock_fits"], Value::Null, "{plan}");
        assert!(plan["pixi_check"]["unknown"].is_string(), "{plan}");
    }
    build(&Fake::new(), &["--dry-run", "--image", "img:9"])
        .success()
        .prints(
            "is not known: the engine does not have the image, and none is fetched for a dry run",
        );
}

#[test]
fn a_dry_run_asks_once_in_a_container_that_cannot_write_the_project() {
    let fake = Fake::new();
    let words = [
        "--dry-run",
        "--container-env",
        "CONDA_OVERRIDE_CUDA=12",
        "--engine-arg=--cpus=1",
        "--engine-arg=--net=host",
    ];
    build(&fake, &words).success();
    let calls = fake.calls();
    let asked: Vec<&Vec<String>> = calls.iter().filter(|call| call[0] == "run").collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains(&"--cpus=1".to_owned()), "{asked:?}");
    assert!(!asked[0].contains(&"--net=host".to_owned()), "{asked:?}");
    let has = |pair: [&str; 2]| asked[0].windows(2).any(|words| words == pair);
    assert!(
        has(["--network", "none"]) && has(["--pull", "never"]),
        "{asked:?}"
    );
    assert!(has(["--env", "CONDA_OVERRIDE_CUDA=12"]), "{asked:?}");
    let mounts: Vec<_> = asked[0]
        .iter()
        .filter(|word| word.starts_with("type=bind"))
        .collect();
    assert!(
        mounts.len() == 1 && mounts[0].ends_with(",readonly"),
        "{mounts:?}"
    );
    // The lock is compared when the build would have it compared.
    let last = |fake: &Fake| {
        fake.calls()
            .into_iter()
            .rfind(|call| call[0] == "run")
            .unwrap()
    };
    assert_eq!(last(&fake)[last(&fake).len() - 2], "yes");
    build(&fake, &["--dry-run", "--frozen"]).success();
    assert_eq!(last(&fake)[last(&fake).len() - 2], "");
}

#[test]
fn a_dry_run_in_a_container_ends_as_the_build_would_and_leaves_nothing() {
    let before = |fake: &Fake| listing(&fake.path("demo"));
    let case = |prepare: &dyn Fn(&mut Container), words: &[&str], said: &str| {
        let mut codes = Vec::new();
        for more in [&["--dry-run"][..], &[]] {
            let mut container = Container::new();
            prepare(&mut container);
            let there = before(&container.fake);
            let run = build_from(&container, &[words, more].concat());
            run.says(said);
            codes.push(run.code);
            if !more.is_empty() {
                assert_eq!(before(&container.fake), there);
                assert!(!container.path.exists(), "{run}");
            }
        }
        assert_eq!(codes[0], codes[1], "{said}");
        assert_ne!(codes[0], 0, "{said}");
    };
    let remove = |file: &'static str| {
        move |container: &mut Container| fs::remove_file(container.fake.path(file)).unwrap()
    };
    let write = |file: &'static str, text: &'static str| {
        move |container: &mut Container| {
            container.fake.sandbox.write(file, text);
        }
    };
    let nothing = |_: &mut Container| {};
    case(
        &nothing,
        &["--container-workdir-path", "/usr"],
        "is a folder of the system",
    );
    case(&nothing, &["--exclude", "!"], "--exclude");
    case(&nothing, &["--environment", "nope"], "nope");
    case(&remove("demo/pixi.toml"), &[], "is no Pixi project");
    case(
        &remove("demo/pixi.lock"),
        &["--frozen"],
        "--frozen installs pixi.lock as it is",
    );
    case(
        &remove("demo/pixi.lock"),
        &["--all-environments"],
        "--all-environments needs a pixi.lock",
    );
    case(&write("demo/pixi.lock", "version: 99\n"), &[], "pixi.lock");
    case(
        &write(
            "demo/pixi.lock",
            "version https://git-lfs.github.com/spec/v1\n",
        ),
        &[],
        "git lfs pull",
    );
    case(
        &write("demo/id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
        &["--secrets", "deny"],
        "id_rsa",
    );
    case(
        &|container: &mut Container| {
            container.fake.sandbox.set("PIXI_STALE", "a is missing");
            container.fake.sandbox.set("PIXI_INSTALL_EXIT", "1");
        },
        &[],
        "",
    );
    let mut container = Container::new();
    container.fake.sandbox.set("PIXI_STALE", "a is missing");
    build_from(&container, &["--dry-run"])
        .code(1)
        .says("out of date because a is missing");
    // It compared a copy, and that is gone.
    let asked = fs::read_to_string(container.fake.sandbox.root().join("pixi-log")).unwrap();
    assert!(!Path::new(asked.trim()).exists(), "{asked}");
    container
        .fake
        .sandbox
        .set("PIXI_REFUSES", "this project requires pixi '>=0.90'");
    build_from(&container, &["--dry-run"])
        .code(1)
        .says("this project requires pixi '>=0.90'");
}

#[test]
fn the_image_is_that_of_the_variable_then_the_official_one() {
    let words = ["--project-dir", "demo", "--workdir", "W", "--dry-run"];
    let mut fake = Fake::new();
    fake.sandbox
        .run("build-offline-product", words)
        .success()
        .prints("image ghcr.io/prefix-dev/pixi:0.77.0: not on this engine");
    fake.sandbox.set("PIXI_IMAGE", "");
    fake.sandbox
        .run("build-offline-product", words)
        .success()
        .prints("image ghcr.io/prefix-dev/pixi:");
    fake.sandbox.set("PIXI_IMAGE", "img:1");
    fake.sandbox
        .run("build-offline-product", words)
        .success()
        .prints("image img:1: sha256:feed");
    build(&fake, &["--dry-run", "--image", "img:9"])
        .success()
        .prints("image img:9: not on this engine");
}

fn build_from(container: &Container, more: &[&str]) -> Run {
    container.run("build-offline-product", more)
}

#[test]
fn from_a_container_the_whole_way_and_its_plan() {
    let container = Container::new();
    let fake = &container.fake;
    let plan = build_from(&container, &["--dry-run"]);
    plan.success()
        .prints("in container c1 of image ")
        .prints("staged: ")
        .prints("environments default: 0 conda packages")
        .prints("pixi 0.77.0 of the image: it takes the manifest, and pixi.lock fits\n")
        .prints("the final verification, without a network:\n  docker run ");
    // Only a look at what would be staged, by a program that is removed again.
    assert!(deeds(fake).iter().all(|deed| deed == "exec"));
    assert!(!container.path.exists() && !fake.path("W").exists());
    // Nothing of this machine's has a say in what is there.
    let explained = build_from(&container, &["--explain", ".git"]);
    assert_eq!(
        explained.success().stdout,
        ".git is staged: no pattern matches it\n"
    );
    let explained = build_from(&container, &["--explain", ".git/"]);
    assert_eq!(explained.success().stdout, ".git stays behind: .git/\n");

    let run = build_from(&container, &["--format", "json", "--verify-task", "t"]);
    run.success();
    let phases: Vec<Value> = objects(&run)
        .iter()
        .map(|object| object["phase"].clone())
        .collect();
    assert_eq!(
        phases,
        [
            "look", "stage", "build", "bring", "product", "verify", "proof"
        ]
    );
    assert!(fake.path("W/product/verification.json").exists());
    let run = build_from(&container, &["--format", "json"]);
    assert_eq!(objects(run.success())[1]["cache_reused"], true);
    assert!(fake.path("W/product/pkg-cache").exists());

    build_from(&container, &["--image", "absent:1"])
        .code(125)
        .says("--image absent:1 is not on this engine");
    for words in [&["--engine-arg", "x"][..], &["--resources-dir", "demo"]] {
        build_from(&container, words).code(2);
    }
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
        .says_not("All of it: ");
}

/// Content and inode of what is in a folder, but for its subfolders.
fn product_at(folder: &Path) -> BTreeMap<String, (u64, Vec<u8>)> {
    names(folder)
        .into_iter()
        .filter(|name| folder.join(name).is_file())
        .map(|name| {
            let file = folder.join(&name);
            let inode = fs::metadata(&file).unwrap().ino();
            (name, (inode, fs::read(file).unwrap()))
        })
        .collect()
}

/// The outcome that the record in a folder tells.
fn outcome_in(folder: &Path) -> String {
    let record = fs::read(folder.join("verification.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    record["outcome"].as_str().unwrap().to_owned()
}

#[test]
fn a_product_that_has_passed_stays_with_its_logs_until_another_one_has() {
    for (output, out_dir) in [(None, None), (Some("P"), None), (Some("P"), Some("L"))] {
        let fake = Fake::new();
        let mut words = vec!["--verify-task", "t"];
        words.extend(output.iter().flat_map(|output| ["--output", output]));
        words.extend(out_dir.iter().flat_map(|out_dir| ["--out-dir", out_dir]));
        let place = output.unwrap_or("W/product");
        let (product, failed) = (fake.path(place), fake.path(&format!("{place}.failed")));
        let logs = fake.path(out_dir.unwrap_or("W/proof"));
        build(&fake, &words).success();
        let inode = |folder: &Path| fs::metadata(folder).unwrap().ino();
        let proved = (inode(&product), product_at(&product), product_at(&logs));
        let stays = |what: &str| {
            assert_eq!(inode(&product), proved.0, "{what}");
            assert_eq!(product_at(&product), proved.1, "{what}");
            if out_dir.is_none() {
                assert_eq!(product_at(&logs), proved.2, "{what}");
            }
        };
        let said = format!(
            "The last product that passed is still in its place: {}\n",
            product.display()
        );
        let kept = format!(
            "The new one, which did not pass, is kept until the next run: {}\n",
            failed.display()
        );

        // Another project each time, so that each product would be another one.
        let mut fake = fake;
        let good = json!([
            ["install", "installed\n", 0],
            ["verify", "verified\n", 0],
            ["bootstrap", "installed\n", 0],
        ]);
        for (what, scenario, code, makes_one) in [
            (
                "install",
                json!({"phases": [["install", "no luck\n", 7]]}),
                7,
                false,
            ),
            (
                "verify",
                json!({"phases": [["install", "i\n", 0], ["verify", "no\n", 7]]}),
                7,
                false,
            ),
            (
                "network",
                json!({"phases": good.clone(), "attempts": {"bootstrap": 2}}),
                1,
                true,
            ),
        ] {
            fake.sandbox.write("demo/notes.txt", what);
            fake = fake.with(scenario);
            let run = build(&fake, &words);
            run.code(code).says(&said);
            stays(what);
            if makes_one {
                run.says(&kept)
                    .says("To go on from here:\n  final-verify-product ");
                assert_eq!(outcome_in(&failed), "failed");
                let own = fs::read_to_string(failed.join("demo/notes.txt")).unwrap();
                assert_eq!(own, what);
                if out_dir.is_none() {
                    run.says("W/proof.failed/bootstrap.offline.log");
                    assert_eq!(outcome_in(&fake.path("W/proof.failed")), "failed");
                }
            } else {
                run.says_not("did not pass");
            }
        }
        fake = fake.with(json!({"attempts": {}}));
        // A product that is refused while it is made.
        build(&fake, &[&["--bundle-pixi"], &words[..]].concat())
            .code(2)
            .says(&said)
            .says(&format!(" --output {}", failed.display()));
        stays("refused");

        build(&fake, &words)
            .success()
            .says_not("still in its place");
        assert_ne!(inode(&product), proved.0);
        assert_eq!(outcome_in(&product), "passed");
        assert_eq!(outcome_in(&logs), "passed");
        for leftover in [&failed, &fake.path("W/proof.failed")] {
            assert!(!leftover.exists(), "{}", leftover.display());
        }
        assert_eq!(
            fs::read_to_string(product.join("demo/notes.txt")).unwrap(),
            "network"
        );
    }
}

#[test]
fn logs_that_a_killed_run_left_behind_its_product_come_to_it() {
    let fake = Fake::new();
    build(&fake, &[]).success();
    // As it is when a run is killed between the two renames: the product is the new one,
    // and its logs still have the name of those of one that failed.
    fs::rename(fake.path("W/proof"), fake.path("W/proof.failed")).unwrap();
    fs::create_dir(fake.path("W/proof")).unwrap();
    fs::write(fake.path("W/proof/old.log"), "old").unwrap();
    let fake = fake.with(json!({"phases": [["install", "no luck\n", 7]]}));
    build(&fake, &[]).code(7);
    assert_eq!(outcome_in(&fake.path("W/proof")), "passed");
    assert!(!fake.path("W/proof/old.log").exists());
}

#[test]
fn a_cache_that_was_moved_is_told_where_the_product_is_in_the_end() {
    let fake = Fake::new();
    for _ in ["first", "second"] {
        build(&fake, &["--move-cache"]).success();
        let record = fs::read(fake.path("W/workdir.json")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        let cache = fake.path("W/product/pkg-cache");
        assert_eq!(record["cache_moved"], cache.display().to_string());
        assert!(cache.is_dir() && !fake.path("W/pixi-cache").exists());
        assert!(!fake.path("W/product.failed").exists());
    }
}

/// A client takes as long as copying thousands of files. An id always means the same image; a
/// name may mean another one by the time of the final verification, and is looked up again.
#[test]
fn one_run_asks_the_engine_each_thing_once() {
    for (image, times) in [(None, 1), (Some("img:1"), 2)] {
        let mut fake = Fake::new();
        fake.sandbox.set("PIXI_IMAGE", "img:1");
        let words = [
            "--project-dir",
            "demo",
            "--workdir",
            "W",
            "--verify-task",
            "smoke",
        ];
        let words = words
            .into_iter()
            .chain(image.into_iter().flat_map(|name| ["--image", name]));
        fake.sandbox.run("build-offline-product", words).success();
        let calls = fake.calls();
        // Without those that make, fill, start and remove its two containers and the counter.
        let of_a_container = ["run", "cp", "start"];
        let mut asked: Vec<&str> = calls
            .iter()
            .filter(|call| !of_a_container.contains(&call[0].as_str()))
            .filter(|call| call[1] != "--force" && !call.contains(&"--name".to_owned()))
            .map(|call| call[0].as_str())
            .collect();
        asked.sort_unstable();
        let looked_up = std::iter::repeat_n(["image", "version"], times).flatten();
        let mut right: Vec<&str> = looked_up.chain(["create", "ps", "rm", "volume"]).collect();
        right.sort_unstable();
        assert_eq!(asked, right, "{calls:?}");
    }
}
