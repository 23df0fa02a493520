//! Settings in the manifest: what they give, what wins over them, and what a project of somebody
//! else's cannot do with them.

use super::*;

const MANIFEST: &str = "[project]\nname = 'demo'\n";

/// A project whose pixi.toml has these lines in its table of settings.
fn project(settings: &str) -> Fake {
    let fake = Fake::new();
    set(&fake, settings);
    fake
}

fn set(fake: &Fake, settings: &str) {
    let manifest = format!("{MANIFEST}[tool.pixi-offline]\n{settings}\n");
    fake.sandbox.write("demo/pixi.toml", manifest);
}

/// The options of a plan: the values and the origin of each.
fn options(fake: &Fake, more: &[&str]) -> Value {
    let args = [&["--dry-run", "--format", "json"], more].concat();
    let run = build(fake, &args);
    let plan = objects(run.success()).remove(0);
    let options = plan["options"].as_array().unwrap().iter();
    options
        .map(|option| {
            let name = option["option"].as_str().unwrap().to_owned();
            (name, json!([option["values"], option["origin"]]))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn settings_take_the_place_of_options_and_are_recorded_as_these() {
    let fake = project(
        "resources-dir = 'data'\nexclude = ['*.md']\nenvironment = ['test']\n\
         verify-run = ['python', '-c', 'print(\"a  b\"); #$x']\nexpect-output = ['verified']\n\
         project-name = 'weather'\ncontact = 'ops@example'",
    );
    fake.sandbox.write("demo/data/model.bin", "weights");
    fake.sandbox.write("demo/notes.md", "x");
    let run = build(&fake, &[]);
    run.success().says(
        "NOTE: pixi.toml [tool.pixi-offline] sets --resources-dir, --project-name, --exclude, \
         --environment, --verify-run, --expect-output, --contact; --dry-run shows the values",
    );
    assert!(fake.path("W/resources/model.bin").exists());
    assert!(!fake.path("W/project/weather/notes.md").exists());
    let record = fake.json("W/workdir.json");
    assert_eq!(record["excludes"], json!(["*.md"]), "{record}");
    assert_eq!(record["environments"], json!(["test"]));
    let readme = fake.read("W/product/README.txt");
    assert!(readme.contains("ops@example"), "{readme}");
    // The arguments come through as they stand, and by no shell of ours.
    for call in fake.calls().iter().filter(|call| call[0] == "run") {
        assert_eq!(
            call[call.len() - 3..],
            ["python", "-c", "print(\"a  b\"); #$x"]
        );
    }
}

#[test]
fn the_command_line_wins_and_a_dry_run_says_where_each_option_is_from() {
    let fake = project(
        "exclude = ['*.md', '*.txt']\nresources-dir = 'data'\nverify-task = 'smoke'\n\
         expect-output = ['fine']\nall-environments = true",
    );
    fs::create_dir(fake.path("demo/data")).unwrap();
    let origin = "pixi.toml [tool.pixi-offline]";
    let plan = options(&fake, &["--exclude", "x"]);
    assert_eq!(plan["--exclude"], json!([["x"], "command line"]));
    assert_eq!(plan["--verify-task"], json!([["smoke"], origin]));
    assert_eq!(plan["--all-environments"], json!([["true"], origin]));
    assert_eq!(plan["--contact"], json!([[], "default"]));
    // A verification is one setting, and so are the environments.
    let plan = options(&fake, &["-e", "test", "--verify-run", "--", "true"]);
    assert_eq!(plan["--environment"], json!([["test"], "command line"]));
    for gone in ["--verify-task", "--expect-output", "--all-environments"] {
        assert_eq!(plan[gone], json!([[], "default"]), "{gone}");
    }
    let plan = options(&fake, &["--no-settings"]);
    assert_eq!(plan["--exclude"], json!([[], "default"]));
    build(&fake, &["--dry-run", "--exclude", "x y"])
        .success()
        .prints("\n  --exclude 'x y': command line\n")
        .prints("\n  --verify-task smoke: pixi.toml [tool.pixi-offline]\n")
        .prints("\n  default: --source-root, --also, ");
    build(&fake, &["--explain", "notes.md"])
        .success()
        .prints("is left out: *.md");
}

#[test]
fn what_a_manifest_may_not_set_is_refused_with_the_key_and_a_way_on() {
    let fake = Fake::new();
    fs::create_dir_all(fake.path("elsewhere")).unwrap();
    fs::create_dir_all(fake.path("demo/data/.venv/x")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", fake.path("demo/out")).unwrap();
    std::os::unix::fs::symlink("/", fake.path("demo/data/root")).unwrap();
    fake.sandbox.write("demo/file", "x");
    let home = fake.sandbox.home().display().to_string();
    for (settings, part) in [
        // Nothing that weakens, and no option that is not a setting.
        (
            "secrets = 'off'",
            "secrets cannot be set in a manifest; give --secrets on the command line",
        ),
        ("allow-secret = ['*']", "give --allow-secret on"),
        ("engine-arg = ['--privileged']", "give --engine-arg on"),
        ("container-env = ['A=b']", "give --container-env on"),
        ("force = true", "give --force on"),
        ("auth-file = 'x'", "give --auth-file on"),
        ("env = ['LD_PRELOAD=x']", "give --env on"),
        ("image = 'evil'", "give --image on"),
        ("frozen = true", "give --frozen on"),
        ("output = '/'", "give --output on"),
        ("workdir = 'x'", "give --workdir on"),
        ("no-settings = true", "give --no-settings on"),
        (
            "excludes = ['x']",
            "\"excludes\" is not a setting; the settings are all-environments, also,",
        ),
        ("\"\" = 1", "\"\" is not a setting"),
        // Paths stay where they belong.
        (
            &format!("resources-dir = '{home}/.ssh'"),
            "relative to the manifest",
        ),
        ("resources-dir = '../elsewhere'", "leads out of"),
        ("resources-dir = 'out'", "leads out of"),
        ("resources-dir = 'data/root/etc'", "leads out of"),
        ("resources-dir = 'data/../../elsewhere'", "leads out of"),
        ("resources-dir = '.'", "is the project, or holds it"),
        ("resources-dir = 'src/..'", "is the project, or holds it"),
        ("resources-dir = ''", "relative to the manifest"),
        ("resources-dir = '.git'", "never staged"),
        ("resources-dir = 'data/.venv/x'", "never staged"),
        ("resources-dir = 'file'", "is not a directory"),
        ("resources-dir = 'missing'", "cannot be used"),
        ("source-root = '..'", "leads out of the git repository"),
        ("source-root = '/'", "relative to the manifest"),
        (
            "source-root = '../../../..'",
            "leads out of the git repository",
        ),
        ("source-root = 'src'", "does not hold the project"),
        // Values of the wrong type, and those that their option would refuse.
        ("exclude = '*.md'", "exclude must be a list of strings"),
        ("exclude = ['a', 1]", "exclude must be a list of strings"),
        ("exclude = ['- ']", "--exclude"),
        (
            "verify-run = 'rm -rf /'",
            "a command and its arguments in a list",
        ),
        ("verify-run = []", "a command and its arguments in a list"),
        ("verify-task = ['smoke']", "verify-task must be a string"),
        ("verify-task = ''", "--verify-task is empty"),
        ("verify-task = '--help'", "begins with a hyphen"),
        ("verify-task = 'a'\nverify-run = ['b']", "at most one"),
        (
            "verify-environment = 'test'",
            "requires verify-task or verify-run",
        ),
        ("expect-output = ['x']", "--verify-task or --verify-run"),
        ("verify-task = 'a'\nexpect-file = ['../x']", "--expect-file"),
        ("environment = ['A B']", "invalid environment name"),
        (
            "environment = ['a']\nall-environments = true",
            "pick one of",
        ),
        ("all-environments = 'yes'", "true or false"),
        ("also = ['x']", "require source-root"),
        ("project-name = '../x'", "--project-name"),
        ("contact = \"a\\nb\"", "--contact"),
    ] {
        set(&fake, settings);
        let run = build(&fake, &[]);
        run.code(2).says(part);
        assert!(
            run.stderr
                .starts_with("ERROR: pixi.toml [tool.pixi-offline]: "),
            "{settings}: {run}"
        );
        assert!(!fake.path("W").exists(), "{settings}");
        build(&fake, &["--dry-run"]).code(2).says(part);
    }
    assert_eq!(fake.calls(), Vec::<Vec<String>>::new());
    set(&fake, "");
    build(&fake, &["--verify-task", "--help"])
        .code(2)
        .says("begins with a hyphen");
    // What the command line replaces is not looked at.
    set(&fake, "resources-dir = '../elsewhere'\nsource-root = '..'");
    build(
        &fake,
        &["--resources-dir", "elsewhere", "--source-root", "."],
    )
    .success();
}

#[test]
fn the_table_is_that_of_the_manifest_that_pixi_reads() {
    let fake = Fake::new();
    let python = "[project]\nname = 'demo'\n[tool.pixi.workspace]\nplatforms = ['linux-64']\n\
        [tool.pixi-offline]\nexclude = ['*.py']\n";
    fake.sandbox.write("demo/pyproject.toml", python);
    let plan = options(&fake, &[]);
    assert_eq!(plan["--exclude"], json!([[], "default"]));
    fs::remove_file(fake.path("demo/pixi.toml")).unwrap();
    let plan = options(&fake, &[]);
    let origin = "pyproject.toml [tool.pixi-offline]";
    assert_eq!(plan["--exclude"], json!([["*.py"], origin]));
    fs::rename(
        fake.path("demo/pyproject.toml"),
        fake.path("demo/mojoproject.toml"),
    )
    .unwrap();
    fake.sandbox.write(
        "demo/mojoproject.toml",
        format!("{MANIFEST}[tool]\npixi-offline.exclude = ['m']\n"),
    );
    let plan = options(&fake, &[]);
    let origin = "mojoproject.toml [tool.pixi-offline]";
    assert_eq!(plan["--exclude"], json!([["m"], origin]));
    fake.sandbox.write(
        "demo/mojoproject.toml",
        format!("tool.pixi-offline = 3\n{MANIFEST}"),
    );
    build(&fake, &[]).code(2).says("must be a table");
    fake.sandbox.write(
        "demo/mojoproject.toml",
        "[tool.pixi-offline\nexclude = ['m']\n",
    );
    build(&fake, &[])
        .code(2)
        .says("the settings in [tool.pixi-offline] cannot be read");
}

#[test]
fn a_source_root_of_a_manifest_is_that_of_its_git_repository() {
    let fake = Fake::new();
    let git = |args: &[&str]| {
        let mut command = fake.sandbox.program("git");
        command.args(["-c", "user.name=n", "-c", "user.email=e"]);
        Run::of(command.args(args)).success();
    };
    fs::remove_dir_all(fake.path("demo/.git")).unwrap();
    set(
        &fake,
        "source-root = '..'\nresources-dir = '../shared'\nalso = ['lib']",
    );
    fake.sandbox.write("shared/model.bin", "weights");
    fake.sandbox.write("lib/a.py", "x");
    fake.sandbox.write("other/b.py", "x");
    build(&fake, &[]).code(2).says("needs a git repository");
    // A repository of the person's own, into which somebody else's project was unpacked.
    git(&["init", "--quiet"]);
    build(&fake, &[])
        .code(2)
        .says("is accepted only where the git repository")
        .says("tracks the manifest");
    let root = ["--source-root", "."];
    build(&fake, &root)
        .code(2)
        .says("resources-dir \"../shared\" is accepted only");
    git(&["add", "demo/pixi.toml"]);
    build(&fake, &[]).success();
    assert!(fake.path("W/resources/model.bin").exists());
    assert!(fake.path("W/project/demo/lib/a.py").exists());
    assert!(!fake.path("W/project/demo/other").exists());
    build(&fake, &root).success();
    // A project that brings a repository of its own ends there.
    git(&["init", "--quiet", "demo"]);
    build(&fake, &[])
        .code(2)
        .says("leads out of the git repository");
    build(&fake, &root)
        .code(2)
        .says("resources-dir \"../shared\" leads out of the git repository");
    // So does one whose repository claims another work tree.
    git(&["-C", "demo", "config", "core.worktree", "../.."]);
    build(&fake, &[])
        .code(2)
        .says("leads out of the git repository");
}

#[test]
fn other_commands_and_projects_in_containers_read_no_settings() {
    let fake = project("exclude = ['src']\nsecrets = 'off'");
    fake.create::<&str>(&[])
        .success()
        .says_not("tool.pixi-offline");
    assert!(fake.path("W/project/demo/src/main.py").exists());
    build(&fake, &["--no-settings"])
        .success()
        .says_not("tool.pixi-offline");
    let in_container = ["--container-id", "box", "--project-path-in-container", "/p"];
    let run = Run::of(
        fake.sandbox
            .command("build-offline-product")
            .args(in_container)
            .current_dir(fake.path("demo")),
    );
    run.says_not("tool.pixi-offline");
}
