//! What a dry run tells, and how it ends.

use std::os::unix::fs::symlink;

use testbed::python::commit_with_tag;
use testbed::sandbox::words;

use super::*;
use crate::fake::LOCK;

#[test]
fn a_dry_run_tells_the_plan_touches_nothing_and_starts_nothing() {
    let fake = Fake::new();
    fake.sandbox.write("demo/notes.md", "four");
    fake.sandbox.write("data/model.bin", "weights");
    fake.sandbox
        .write("demo/id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let lock = fake.read("demo/pixi.lock");
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
    let args = words("--dry-run --exclude *.md --resources-dir data --verify-task t");
    let run = build(&fake, &args);
    for part in [
        "left out by *.md: 1",
        "left out by .git/: 1",
        "left out by .env: 1",
        "resources: 2 entries, 7 B",
        "environments default: 1 conda packages, 0 Python packages; 12.3 kB to fetch",
        "secrets: 1 that look like one\n  ",
        "id_rsa",
        "disk: ",
        "image img:1: sha256:feed",
    ] {
        run.success().prints(part).says_not("docker run");
    }
    let verbose = build(&fake, &[&args[..], &["--verbose"]].concat());
    for part in [
        "the build, with a network:\n  docker run --interactive ",
        "the final verification, without a network:\n  docker run --interactive ",
        "--network none",
    ] {
        verbose.success().prints(part);
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
        // The directory that the list of calls was in.
        if path != fake.sandbox.root().display().to_string() {
            assert_eq!(Some(&facts), before.get(&path), "{path}");
        }
    }

    let json = build(&fake, &[&args[..], &["--format", "json"]].concat());
    let plan = &objects(json.success())[0];
    assert_eq!(plan["phase"], "plan");
    assert_eq!(plan["schema"], 2);
    assert_eq!(
        staged,
        format!(
            "staged: {} entries, {} B",
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
        let args: Vec<&str> = command
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| arg.as_str().unwrap())
            .collect();
        assert!(args.iter().any(|arg| arg.lines().count() > 10));
        assert_eq!(args[args.len() - 2..], ["run", "t"]);
    }
    assert!(plan["disk_bytes_at_least"].as_u64().unwrap() > 12345);
}

#[test]
fn the_planned_commands_are_those_of_the_run() {
    let fake = Fake::new();
    let args = words("--container-env A=b --engine-arg=--cpus=1 --verify-task t");
    let dry = build(
        &fake,
        &[&["--dry-run", "--format", "json"], &args[..]].concat(),
    );
    let planned = objects(dry.success())[0]["commands"].clone();
    build(&fake, &args).success();
    let run: Vec<Vec<String>> = fake
        .calls()
        .into_iter()
        .filter(|call| call[0] == "run" && call[1] == "--interactive")
        .collect();
    // Each run has a secret, a process and a place for memory of its own.
    let settled = |args: &[String]| -> Vec<String> {
        let script = args.iter().position(|arg| arg == "-c").unwrap();
        let mut settled = args.to_vec();
        settled[script + 4] = String::new();
        let varies = |arg: &String| {
            arg.starts_with("io.github.pixi-offline.process=")
                || arg.starts_with("/pixi-offline/product:rw")
                || arg.starts_with("/product:rw")
                || arg == "--tmpfs"
        };
        let name = settled.iter().position(|arg| arg == "--name").unwrap();
        settled[name + 1].clear();
        settled.retain(|arg| !varies(arg));
        settled
    };
    let planned: Vec<Vec<String>> = serde_json::from_value(planned).unwrap();
    // Of a product that is not there yet, no size is known; that of an old one is no answer.
    for more in [&[][..], &["--dry-run"]] {
        let json = ["--format", "json"];
        let again = build(&fake, &[&json, more, &args[..]].concat());
        let has_tmpfs = again.success().stdout.contains("--tmpfs");
        assert!(!has_tmpfs, "{again}");
    }
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
            &words(&format!(
                "--exclude /data/raw/ --exclude *.tmp --explain {path}"
            )),
        )
    };
    for (path, said) in [
        (
            "src/main.py",
            "src/main.py is staged: no pattern matches it\n",
        ),
        ("./src", "src is staged: no pattern matches it\n"),
        (".env", ".env is left out: .env\n"),
        (
            "data/raw/a.bin",
            "data/raw/a.bin is left out: /data/raw/ excludes its directory data/raw\n",
        ),
        ("data/raw", "data/raw is left out: /data/raw/\n"),
        (
            "later.tmp",
            "later.tmp is left out: *.tmp (nothing is there now)\n",
        ),
        (
            ".pixi/envs/default",
            ".pixi/envs/default is left out: .pixi/ excludes its directory .pixi\n",
        ),
        (
            ".pixi/config.toml",
            ".pixi/config.toml is staged: pixi's configuration of the project always is\n",
        ),
    ] {
        assert_eq!(explain(path).success().stdout, said);
    }
    for path in ["../elsewhere", "src/../../x", "/etc/passwd", "."] {
        explain(path).code(2).says("is not a path in the project");
    }
    let json = build(&fake, &["--format", "json", "--explain", ".git/config"]);
    assert_eq!(
        objects(json.success()),
        [json!({
            "schema": 2, "phase": "explanation", "path": ".git/config", "staged": false,
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
        "inner/out/verify.log is left out: inner is a workdir, which is never staged\n"
    );
}

#[test]
fn what_a_later_step_would_refuse_is_refused_before_anything_runs() {
    let fake = Fake::new();
    fake.sandbox.write("somebodys/file", "x");
    fake.sandbox.write("file", "x");
    fake.sandbox.write("key", "no key");
    fake.sandbox.write("data/x", "x");
    let before = names(&fake.sandbox.work());
    for (args, said) in [
        (&["--output", "somebodys"][..], "--output"),
        (&["--output", "demo", "--force"], "the project"),
        (
            &["--output", "data", "--resources-dir", "data", "--force"],
            "the resources",
        ),
        (&["--output", "file"], "--output"),
        (&["--output", "W/elsewhere"], "is in the workdir"),
        (&["--output", "W/product.failed"], "is in the workdir"),
        (&["--output", "P", "--workdir", "P/W"], "or contains it"),
        (&["--output", "."], "--output"),
        (&["--out-dir", "file"], "is not a directory"),
        (&["--out-dir", "W/product/proof"], "is in the product"),
        (
            &["--output", "P", "--out-dir", "P/proof"],
            "is in the product",
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
        let run = build(&fake, args);
        run.code(2).says("ERROR: ").says(said);
        assert_eq!(run.stdout, "");
        // A plan that could not be carried out is none.
        build(&fake, &[&["--dry-run"], args].concat())
            .code(2)
            .says(said);
    }
    let none = fake
        .sandbox
        .run("build-offline-product", ["--image", "img:1"]);
    none.code(2)
        .says("/work is not a Pixi project")
        .says_not("that it is in");
    for (dir, said) in [
        (
            "demo/src",
            "/demo/src is not a Pixi project: it has no pixi.toml",
        ),
        ("demo/pixi.toml", "/demo/pixi.toml is not a directory"),
    ] {
        let run = fake
            .sandbox
            .run("build-offline-product", ["--image", "img:1", dir]);
        let named = format!("that it is in: {}\n", fake.path("demo").display());
        run.code(2).says(said).says(&named);
    }
    assert_eq!(names(&fake.sandbox.work()), before);
    assert_eq!(deeds(&fake), [""; 0]);
}

/// What only the final verification needs is looked at before the build, too.
#[test]
fn what_the_final_verification_would_refuse_is_refused_before_the_build() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let untouched = |container: &Container, run: &Run, code, said: &str| {
        run.code(code).says(said);
        assert!(!container.path.exists(), "{run}");
        assert!(!container.fake.path("W").exists(), "{run}");
        assert!(
            !deeds(&container.fake).contains(&"exec".to_owned()),
            "{run}"
        );
    };
    let of = |scenario: Value| {
        let Container { fake, path } = Container::new();
        Container {
            fake: fake.with(scenario),
            path,
        }
    };
    let podman = of(json!({"is_podman": true}));
    let other = of(json!({
        "platform": "linux/amd64",
        "images": ["img:1", "img:2", "sha256:feed"],
        "architectures": {"img:2": "arm64"},
        "refuse": ["exec format error", 1],
    }));
    let plain = Container::new();
    for dry in [&[][..], &["--dry-run"]] {
        let run = build_from(&podman, &[dry, &["--gpus", "2"]].concat());
        untouched(&podman, &run, 2, "podman does not choose GPUs by number");
        let run = build_from(&other, &[dry, &["--image", "img:2"]].concat());
        untouched(&other, &run, 125, "image img:2 is for linux/arm64");
        for option in ["--output", "--out-dir"] {
            let run = build_from(&plain, &[dry, &[option, "a\r\nb"]].concat());
            untouched(&plain, &run, 2, "carriage return before a newline");
        }
        // Whatever the transfer: the final verification refuses the names for each.
        for (option, name) in [
            ("--output", OsStr::new("a\r\nb")),
            ("--output", OsStr::from_bytes(b"P\xff")),
            ("--out-dir", OsStr::from_bytes(b"O\xff")),
        ] {
            let fake = Fake::new();
            let mut args: Vec<&OsStr> = dry.iter().map(OsStr::new).collect();
            args.extend([OsStr::new("--transfer"), OsStr::new("copy")]);
            args.extend([OsStr::new(option), name]);
            let run = fake.run("build-offline-product", &args);
            run.code(2).says("ERROR: ");
            assert!(!fake.path("W").exists(), "{run}");
            assert_eq!(deeds(&fake), [""; 0], "{run}");
        }
    }
}

/// The run ends there, too.
#[test]
fn a_dry_run_with_transfer_mount_is_refused_where_the_engine_does_not_see_the_files() {
    let fake = answering("elsewhere\n");
    let dry = ["--dry-run", "--transfer", "mount"];
    build(&fake, &dry)
        .code(1)
        .says("does not see this machine's files")
        .says("give --transfer copy");
    let fake = Fake::new();
    let project = fake.path("demo").display().to_string();
    let missing = format!("Error response from daemon: bind source path does not exist: {project}");
    let fake = fake.with(json!({"refuse": [missing.clone(), 125]}));
    build(&fake, &dry)
        .code(1)
        .says(&missing)
        .says("give --transfer copy");
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
            "pixi 0.77.0 of the image refuses pixi.toml: use an image with a suitable pixi",
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
            "is not known: it did not answer in time",
        ),
        (
            "elsewhere\n".to_owned(),
            "is not known: the engine does not see this machine's files",
        ),
        (
            "unwritable\n".to_owned(),
            "is not known: the container has no directory for temporary files",
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
fn a_dry_run_ends_as_the_build_does_where_the_engine_makes_no_container() {
    let help = "Run 'docker run --help' for more information";
    let daemon = "docker: Error response from daemon: could not select device driver \"\" with capabilities: [[gpu]]";
    let refusing = |said: &str, code: u8| Fake::new().with(json!({"refuse": [said, code]}));
    let fake = refusing(&format!("{daemon}\n\n{help}"), 125);
    let run = build(&fake, &["--dry-run"]);
    run.code(125).says(daemon).says_not("--help");
    build(
        &refusing(&format!("unknown flag: --x\n\n{help}"), 125),
        &["--dry-run"],
    )
    .code(125)
    .says("unknown flag: --x\n");
    // The build copies the files there.
    let fake = Fake::new();
    let project = fake.path("demo").display().to_string();
    let missing = format!("Error response from daemon: bind source path does not exist: {project}");
    let fake = fake.with(json!({"refuse": [missing.clone(), 125]}));
    build(&fake, &["--dry-run"])
        .success()
        .prints(&format!("ended with exit code 125: {missing}\n"));
    build(&refusing("killed", 137), &["--dry-run"])
        .success()
        .prints("is not known: the container of the check ended with exit code 137: killed\n");
}

#[test]
fn a_dry_run_says_whether_secrets_were_searched_for() {
    let plan = |action: &str| build(&Fake::new(), &["--dry-run", "--secrets", action]);
    plan("warn").success().prints("secrets: none found\n");
    plan("off")
        .success()
        .prints("secrets: not searched for (--secrets off)\n");
}

/// The run says all of it. The plan lists the second part, and the dry run says it nowhere else.
#[test]
fn a_dry_run_warns_as_the_run_does_of_what_its_plan_does_not_list() {
    let warnings = [
        "WARNING: no pixi.lock: pixi will resolve dependencies now",
        "WARNING: a colon in the project's path cuts PATH in two",
        "NOTE: one takes its version from git (hatch-vcs)",
    ];
    let listed = [
        ("looks like a secret: ", "secrets: 1 that look like one\n"),
        (
            "1 link of the project leads out of what is copied",
            "project: 1 links that lead out of what is copied",
        ),
    ];
    let lay = |fake: &Fake| {
        fs::remove_file(fake.path("demo/pixi.lock")).unwrap();
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
        fake.sandbox.write("demo/id_rsa", key);
        symlink("/etc/hostname", fake.path("demo/name")).unwrap();
        fake.sandbox.write(
            "demo/libs/one/pyproject.toml",
            "[build-system]\nrequires = ['hatchling', 'hatch-vcs']\n[project]\nname = 'one'\ndynamic = ['version']\n",
        );
        commit_with_tag(&fake.path("demo/libs/one"), "v1.0").unwrap();
        let manifest =
            "[project]\nname = 'demo'\n[pypi-dependencies]\none = { path = './libs/one' }\n";
        fake.sandbox.write("demo/pixi.toml", manifest);
    };
    let name = ["--project-name", "de:mo"];
    let dry = [&name[..], &["--dry-run"]].concat();
    let (fake, container) = (Fake::new(), Container::new());
    lay(&fake);
    lay(&container.fake);
    for (dry, run) in [
        (build(&fake, &dry), fake.create(&name)),
        (build_from(&container, &dry), container.create(&name)),
    ] {
        for warning in warnings {
            dry.success().says(warning);
            run.success().says(warning);
        }
        for (said, shown) in listed {
            dry.prints(shown).says_not(said);
            run.says(said);
        }
    }
}

#[test]
fn environments_that_are_left_out_are_in_the_plan_alone() {
    let only_mac = "  mac:\n    channels: []\n    packages:\n      osx-arm64: []\npackages: []\n";
    let lock = LOCK.replace("packages: []\n", only_mac);
    assert!(lock.contains(only_mac));
    let dry = ["--all-environments", "--dry-run"];
    let (fake, container) = (Fake::new(), Container::new());
    for fake in [&fake, &container.fake] {
        fake.sandbox.write("demo/pixi.lock", &lock);
    }
    for run in [build(&fake, &dry), build_from(&container, &dry)] {
        run.success()
            .prints("environments left out, since the lock has no packages of them")
            .says_not("left out, since");
    }
}

#[test]
fn a_dry_run_asks_once_in_a_container_that_cannot_write_the_project() {
    let fake = Fake::new();
    let args = words(
        "--dry-run --container-env CONDA_OVERRIDE_CUDA=12 --engine-arg=--cpus=1 \
         --engine-arg=--net=host",
    );
    build(&fake, &args).success();
    let calls = fake.calls();
    let asked: Vec<&Vec<String>> = calls.iter().filter(|call| call[0] == "run").collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains(&"--cpus=1".to_owned()), "{asked:?}");
    assert!(!asked[0].contains(&"--net=host".to_owned()), "{asked:?}");
    let has = |pair: [&str; 2]| asked[0].windows(2).any(|args| args == pair);
    assert!(
        has(["--network", "none"]) && has(["--pull", "never"]),
        "{asked:?}"
    );
    assert!(has(["--env", "CONDA_OVERRIDE_CUDA=12"]), "{asked:?}");
    let mounts: Vec<_> = asked[0]
        .iter()
        .filter(|arg| arg.starts_with("type=bind"))
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
            .and_then(|mut call| call.pop())
            .unwrap()
    };
    assert!(last(&fake).ends_with("\ncompares='yes'\nneeds_git=''\n"));
    build(&fake, &["--dry-run", "--frozen"]).success();
    assert!(last(&fake).ends_with("\ncompares=''\nneeds_git=''\n"));
}

#[test]
fn a_dry_run_in_a_container_ends_as_the_build_would_and_leaves_nothing() {
    let before = |fake: &Fake| listing(&fake.path("demo"));
    let case = |prepare: &dyn Fn(&mut Container), args: &[&str], said: &str| {
        let mut codes = Vec::new();
        for more in [&["--dry-run"][..], &[]] {
            let mut container = Container::new();
            prepare(&mut container);
            let there = before(&container.fake);
            let run = build_from(&container, &[args, more].concat());
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
        "is a system directory",
    );
    case(&nothing, &["--exclude", "!"], "--exclude");
    case(&nothing, &["--environment", "nope"], "nope");
    case(&remove("demo/pixi.toml"), &[], "is not a Pixi project");
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
