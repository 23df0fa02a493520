//! A project in a larger directory, of which what the project needs is staged with it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use testbed::python::commit_with_tag;
use testbed::sandbox::{Run, Sandbox, names};

use crate::create_workdir_from_container::Container;
use crate::fake::Fake;

/// A lock with a library and a wheel outside of the project.
const LOCK: &str = "version: 6
environments:
  default:
    channels: []
    packages:
      linux-64:
      - pypi: ../../libs/bar
      - pypi: ../../vendor/w-1.0-py3-none-any.whl
packages:
- pypi: ../../libs/bar
  name: bar
  version: '1.0'
  editable: true
- pypi: ../../vendor/w-1.0-py3-none-any.whl
  name: w
  version: '1.0'
";

/// A uv workspace with a project that needs one of its two libraries, which needs a third.
fn monorepo() -> Fake {
    let fake = Fake::new();
    let write = |path: &str, text: &str| fake.sandbox.write(format!("mono/{path}"), text);
    write(
        "apps/foo/pixi.toml",
        "[project]\nname = 'foo'\n[activation]\nscripts = ['../../tools/env.sh']\n[pypi-dependencies]\nbar = { path = '../../libs/bar', editable = true }\n",
    );
    write("apps/foo/pixi.lock", LOCK);
    write("apps/foo/main.py", "print(1)\n");
    write("apps/foo/.env", "SECRET=1\n");
    write("apps/foo/.pixi/config.toml", "x = 1\n");
    write("apps/other/pixi.toml", "[project]\n");
    write(
        "pyproject.toml",
        "[tool.uv.workspace]\nmembers = ['libs/*']\n",
    );
    write(
        "libs/bar/pyproject.toml",
        "[project]\nname = 'bar'\ndependencies = ['baz_lib']\n[tool.uv.sources]\nbaz-lib = { workspace = true }\n",
    );
    write("libs/bar/bar.py", "");
    write("libs/bar/__pycache__/bar.pyc", "");
    write("libs/baz/pyproject.toml", "[project]\nname = 'Baz.Lib'\n");
    write("libs/unused/pyproject.toml", "[project]\nname = 'unused'\n");
    write("vendor/w-1.0-py3-none-any.whl", "wheel");
    write("vendor/other.whl", "another wheel");
    write("tools/env.sh", "");
    write("docs/index.md", "0123456789");
    write(".env.local", "KEY=Ahf7Oiqu\n");
    fake
}

/// What create-workdir-from-host takes to build the project of the monorepo.
const CREATE: [&str; 8] = [
    "--image",
    "img:1",
    "--project-dir",
    "mono/apps/foo",
    "--source-root",
    "mono",
    "--workdir",
    "W",
];

fn create(fake: &Fake, more: &[&str]) -> Run {
    let words = CREATE.iter().chain(more);
    fake.sandbox.run("create-workdir-from-host", words)
}

fn make(fake: &Fake) -> Run {
    fake.sandbox
        .run("make-archive-ready-product", ["--workdir", "W"])
}

#[test]
fn what_the_project_needs_is_staged_at_its_place_and_the_rest_is_counted() {
    let fake = monorepo();
    create(&fake, &[])
        .success()
        .says("--source-root mono: 5 files of ")
        .says("--also PATH")
        .says_not("looks like a secret");
    let staged = fake.path("W/project/foo");
    assert_eq!(
        names(&staged),
        ["apps", "libs", "pyproject.toml", "tools", "vendor"]
    );
    assert_eq!(names(&staged.join("apps")), ["foo"]);
    assert_eq!(
        names(&staged.join("apps/foo")),
        [".pixi", "main.py", "pixi.lock", "pixi.toml"]
    );
    assert_eq!(names(&staged.join("libs")), ["bar", "baz"]);
    assert_eq!(
        names(&staged.join("libs/bar")),
        ["bar.py", "pyproject.toml"]
    );
    assert_eq!(names(&staged.join("vendor")), ["w-1.0-py3-none-any.whl"]);
    let (_, words) = fake.run_call();
    assert!(words.contains(&"foo/apps/foo".to_owned()), "{words:?}");
}

#[test]
fn the_workspace_above_a_source_package_is_staged_where_the_package_has_none_of_its_own() {
    let fake = monorepo();
    let write = |path: &str, text: &str| fake.sandbox.write(format!("mono/{path}"), text);
    write("pixi.toml", "[workspace]\nname = 'far'\n");
    write("libs/pixi.toml", "[workspace]\nname = 'near'\n");
    write("libs/bar/pixi.toml", "[package]\nname = 'bar'\n");
    create(&fake, &[]).success();
    let staged = fake.path("W/project/foo");
    assert!(staged.join("libs/pixi.toml").exists());
    assert!(!staged.join("pixi.toml").exists());

    write(
        "libs/bar/pixi.toml",
        "[workspace]\nname = 'own'\n[package]\nname = 'bar'\n",
    );
    create(&fake, &[]).success();
    assert!(!staged.join("libs/pixi.toml").exists());
}

#[test]
fn more_is_taken_by_name_or_all_and_the_excludes_hold_for_the_root() {
    let fake = monorepo();
    create(&fake, &["--also", "docs", "--also", "./libs/unused"])
        .success()
        .says("--source-root mono: 3 files of ");
    let staged = fake.path("W/project/foo");
    assert_eq!(names(&staged.join("libs")), ["bar", "baz", "unused"]);
    assert_eq!(names(&staged.join("docs")), ["index.md"]);
    create(&fake, &["--whole-root", "--exclude", "/docs/"])
        .success()
        .says("work/mono/.env.local: file of environment variables");
    assert_eq!(
        names(&staged),
        [
            ".env.local",
            "apps",
            "libs",
            "pyproject.toml",
            "tools",
            "vendor"
        ]
    );
    assert_eq!(names(&staged.join("apps")), ["foo", "other"]);
    create(&fake, &["--whole-root", "--secrets", "deny"])
        .code(2)
        .says("mono/.env.local");
}

#[test]
fn a_product_has_the_project_at_its_place_and_bootstrap_installs_it_there() {
    let fake = monorepo();
    create(&fake, &[]).success();
    make(&fake).success().says("Project: foo/apps/foo");
    let product = fake.path("W/product");
    assert_eq!(
        names(&product),
        [
            "README.txt",
            "SHA256SUMS",
            "bootstrap-project.sh",
            "envs.sh",
            "foo",
            "manifest.json",
            "pkg-cache",
            "provenance.json",
            "report.html",
            "res",
            "sbom.cdx.json"
        ]
    );
    let manifest = fs::read_to_string(product.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"folder\": \"foo/apps/foo\""));
    let pixi = "#!/bin/sh\n[ \"$1\" != --version ] || { echo 'pixi 0.77.0'; exit; }\necho \"$PWD: $*\"\nmkdir -p .pixi/envs/default/conda-meta\n";
    let program = fake.sandbox.bin().join("pixi");
    fs::write(&program, pixi).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let bootstrap = |words: &[&str]| {
        let mut command = fake.sandbox.program("bash");
        Run::of(
            command
                .arg(product.join("bootstrap-project.sh"))
                .args(words),
        )
    };
    bootstrap(&["--check"]).success();
    let here = product.join("foo/apps/foo");
    let installed = bootstrap(&[]);
    installed.success();
    assert!(
        installed
            .stdout
            .contains(&format!("{}: install", here.display())),
        "{}",
        installed.stdout
    );
    // What is built in a library beside the project is of the install, too.
    fs::create_dir(product.join("foo/libs/bar/bar.egg-info")).unwrap();
    bootstrap(&["--check", "--project-name", "foo"]).success();
    let envs = "cd / && . \"$1/envs.sh\" && printf '%s' \"$PIXI_OFFLINE_PROJECT\"";
    let mut shell = fake.sandbox.program("bash");
    let shown = Run::of(shell.args(["-c", envs, "bash"]).arg(&product));
    assert_eq!(shown.success().stdout, "foo/apps/foo");
    fake.verify(&["--project-name", "foo", "--verify-task", "smoke"])
        .success();
    // An addition beside the project is found where nothing was installed.
    fs::remove_dir_all(here.join(".pixi/envs")).unwrap();
    fs::remove_file(here.join(".pixi/installed-by-bootstrap")).unwrap();
    bootstrap(&["--check"]).code(2).prints("bar.egg-info");
}

#[test]
fn a_source_root_that_cannot_be_one_is_refused_before_anything_is_touched() {
    let fake = monorepo();
    let words = |project: &str, root: &str, more: &[&str]| -> Vec<String> {
        let usual = ["--image", "img:1", "--workdir", "W"];
        let named = ["--project-dir", project, "--source-root", root];
        let words = usual.iter().chain(&named).chain(more);
        words.map(|word| (*word).to_owned()).collect()
    };
    fs::create_dir(fake.path("mono/W0")).unwrap();
    symlink("/etc", fake.path("mono/out")).unwrap();
    for (root, more, saying) in [
        ("nowhere", &[][..], "work/nowhere cannot be used"),
        ("mono/libs", &[], "does not lie in it"),
        ("/", &[], "is the root of the file system"),
        ("mono", &["--also", "nope"], "--also nope"),
        ("mono/apps/foo", &["--also", "nope"], "--also nope"),
        ("mono", &["--also", "../x"], "--also ../x"),
        ("mono", &["--also", "/etc"], "--also /etc"),
        ("mono", &["--also", "out"], "leads out of --source-root"),
        ("mono", &["--also", "docs", "--whole-root"], "--whole-root"),
        ("mono", &["--exclude", "apps"], "leaves out apps/foo"),
        (
            "mono",
            &["--whole-root", "--exclude", "/apps/*"],
            "which is the project itself",
        ),
        (
            "mono",
            &["--exclude", "bar"],
            "which is what the project needs",
        ),
    ] {
        let words = words("mono/apps/foo", root, more);
        let run = fake.sandbox.run("create-workdir-from-host", &words);
        run.code(2).says(saying);
    }
    let words = ["--image", "img:1", "--project-dir", "demo", "--also", "x"];
    let run = fake.sandbox.run("create-workdir-from-host", words);
    run.code(2)
        .says("name a directory above the project with --source-root");
    assert!(!fake.path("W").exists());
    assert_eq!(
        fake.calls().iter().filter(|call| call[0] == "run").count(),
        0
    );
}

#[test]
fn the_source_root_is_never_overwritten_and_no_workdir_in_it_is_staged() {
    let fake = monorepo();
    let root = |more: &[&str]| {
        let words = CREATE[..6].iter().chain(more);
        fake.sandbox.run("create-workdir-from-host", words)
    };
    for place in ["mono", "."] {
        root(&["--workdir", place, "--force"]).code(2);
    }
    root(&["--workdir", "mono/libs/bar/W", "--whole-root"]).success();
    let staged = fake.path("mono/libs/bar/W/project/foo");
    assert_eq!(
        names(&staged.join("libs/bar")),
        ["bar.py", "pyproject.toml"]
    );
    // A project in a workdir is none to stage.
    let words = [
        "--image",
        "img:1",
        "--project-dir",
        "mono/libs/bar/W/project/foo/apps/foo",
        "--source-root",
        "mono",
        "--workdir",
        "W",
    ];
    fake.sandbox
        .run("create-workdir-from-host", words)
        .code(2)
        .says("is a workdir, and none is ever staged");
    let output = ["--output", "mono", "--force"];
    let words = CREATE.iter().chain(&output);
    fake.sandbox.run("build-offline-product", words).code(2);
    assert!(fake.path("mono/docs/index.md").exists());
}

#[test]
fn a_product_in_the_root_or_the_project_is_not_staged() {
    let fake = monorepo();
    create(&fake, &[]).success();
    let output = ["--output", "mono/apps/foo/dist", "--workdir", "W"];
    fake.sandbox
        .run("make-archive-ready-product", output)
        .success();
    for more in [&[][..], &["--whole-root"]] {
        create(&fake, more)
            .success()
            .says("apps/foo/dist: a directory that is never copied");
        assert!(!fake.path("W/project/foo/apps/foo/dist").exists());
    }
    let mut words = CREATE;
    words[3] = "mono/apps/foo/dist/foo/apps/foo";
    fake.sandbox
        .run("create-workdir-from-host", words)
        .code(2)
        .says("dist is a product, and none is ever staged");
    // Resources are copied whole.
    create(&fake, &["--resources-dir", "mono/apps/foo"]).success();
    assert!(fake.path("W/resources/dist/pkg-cache").exists());
}

#[test]
fn links_on_the_way_to_what_is_needed_are_staged_with_what_they_lead_to() {
    let fake = monorepo();
    let mono = fake.path("mono");
    fs::rename(mono.join("libs/bar"), mono.join("docs/real-bar")).unwrap();
    symlink("../docs/link", mono.join("libs/bar")).unwrap();
    symlink("real-bar", mono.join("docs/link")).unwrap();
    create(&fake, &[]).success();
    let staged = fake.path("W/project/foo");
    assert_eq!(names(&staged.join("docs")), ["link", "real-bar"]);
    assert!(staged.join("libs/bar/bar.py").exists());
    fs::remove_file(mono.join("docs/link")).unwrap();
    symlink("/etc", mono.join("docs/link")).unwrap();
    create(&fake, &[])
        .code(2)
        .says("leads out of --source-root");
}

#[test]
fn a_workdir_in_the_root_is_not_counted_among_what_stays_behind() {
    let fake = monorepo();
    create(&fake, &[]).success().says("5 files of ");
    fs::rename(fake.path("W"), fake.path("mono/earlier")).unwrap();
    create(&fake, &[]).success().says("5 files of ");
}

#[test]
fn two_projects_of_one_name_do_not_share_the_default_workdir() {
    let fake = monorepo();
    for file in ["pixi.toml", "pixi.lock"] {
        let content = fs::read(fake.path("demo").join(file)).unwrap();
        fake.sandbox
            .write(format!("mono/apps/demo/{file}"), content);
    }
    let build = |more: &[&str]| {
        let words = ["--image", "img:1"].iter().chain(more);
        fake.sandbox.run("build-offline-product", words)
    };
    let in_root = ["mono/apps/demo", "--source-root", "mono"];
    build(&in_root).success();
    build(&in_root).success();
    for words in [&["demo"][..], &["demo", "--dry-run"]] {
        build(words)
            .code(2)
            .says("is that of the project at apps/demo in its source root")
            .says("--workdir");
    }
    build(&["demo", "--workdir", "W"]).success();
}

#[test]
fn a_project_in_a_container_brings_what_it_needs_of_its_root() {
    let mut container = Container::new();
    let fake = monorepo();
    let mono = container.fake.path("mono");
    fs::rename(fake.path("mono"), &mono).unwrap();
    let at = |path: &str| mono.join(path).to_str().unwrap().to_owned();
    let there = container.path.to_str().unwrap().to_owned();
    let words = [
        "--container-id",
        "c1",
        "--project-path-in-container",
        &at("apps/foo"),
        "--source-root-in-container",
        &at(""),
        "--container-workdir-path",
        &there,
        "--workdir",
        "W",
    ];
    let run = |container: &Container, command: &str, more: &[&str]| {
        let words = words.iter().chain(more);
        container.fake.sandbox.run(command, words)
    };
    let create = "create-workdir-from-container";
    run(
        &container,
        create,
        &["--also", "docs", "--verify-task", "t"],
    )
    .success()
    .says("4 files of ");
    let staged = container.fake.path("W/project/foo");
    assert_eq!(
        names(&staged),
        ["apps", "docs", "libs", "pyproject.toml", "tools", "vendor"]
    );
    // Its environments stay behind, its configuration does not.
    assert_eq!(names(&staged.join("apps/foo/.pixi")), ["config.toml"]);
    make(&container.fake).success();
    let one = "build-offline-product";
    run(&container, one, &["--dry-run"])
        .success()
        .prints("files of");
    // What pixi is asked in has the library beside the project.
    container.fake.sandbox.set("PIXI_STALE", "x");
    run(&container, one, &["--dry-run"])
        .code(1)
        .says("out of date");
    let asked = container.fake.sandbox.root().join("pixi-log");
    let asked = fs::read_to_string(asked).unwrap();
    assert!(
        asked.lines().all(|line| line.ends_with("/apps/foo")),
        "{asked}"
    );
    run(&container, create, &["--also", "nope"])
        .code(2)
        .says("--also nope");
    let place = ["--container-workdir-path", &at("")];
    run(&container, create, &place).code(2);
}

#[test]
fn a_path_that_leads_out_is_refused_with_the_source_root_that_holds_it() {
    let fake = monorepo();
    let build = |project: &str, more: &[&str]| {
        let words = [
            "--image",
            "img:1",
            "--workdir",
            "W",
            "--project-dir",
            project,
        ];
        let words = words.iter().chain(more);
        fake.sandbox.run("create-workdir-from-host", words)
    };
    let mono = fake.path("mono");
    build("mono/apps/foo", &[])
        .code(2)
        .says("path dependency bar is outside the project (../../libs/bar)")
        .says("path dependency w is outside the project")
        .says(&format!("\n  --source-root {}\n", mono.display()));
    build("mono/apps/foo", &["--source-root", "mono/apps"])
        .code(2)
        .says(&format!("\n  --source-root {}\n", mono.display()));
    // Needing a quote, and named by a link.
    let quoted = fake.path("it's mono");
    fs::rename(&mono, &quoted).unwrap();
    symlink("it's mono/apps/foo", fake.path("linked")).unwrap();
    let line = format!(
        "\n  --source-root '{}'\n",
        quoted.display().to_string().replace('\'', r"'\''")
    );
    let run = build("linked", &[]);
    run.code(2).says(&line);
    let word = line.trim().strip_prefix("--source-root ").unwrap();
    let script = format!("printf %s {word}");
    let mut shell = fake.sandbox.program("sh");
    let shown = Run::of(shell.args(["-c", &script]));
    build("linked", &["--source-root", &shown.success().stdout]).success();
    // Nothing but / holds both.
    let project = quoted.join("apps/foo");
    let lock = LOCK.replace("../../libs/bar", "../../../../../../../../opt/bar");
    fs::write(project.join("pixi.lock"), lock).unwrap();
    let run = build("linked", &[]);
    run.code(2).says("opt/bar").says_not("add:");
}

#[test]
fn a_python_package_at_an_absolute_path_is_refused_and_no_root_is_named_for_it() {
    let fake = monorepo();
    let wheel = fake.path("mono/vendor/w-1.0-py3-none-any.whl");
    for absolute in [
        wheel.display().to_string(),
        format!("file://{}", wheel.display()),
    ] {
        let lock = LOCK.replace("../../vendor/w-1.0-py3-none-any.whl", &absolute);
        fake.sandbox.write("mono/apps/foo/pixi.lock", lock);
        create(&fake, &[])
            .code(2)
            .says("w is locked by an absolute path")
            .says("write it relative to the project")
            .says_not("add:");
    }
    assert!(!fake.path("W").exists());
}

#[test]
fn a_path_of_the_root_is_explained_as_the_run_stages_it() {
    let fake = monorepo();
    fake.sandbox.write("mono/apps/foo/data/secret", "x");
    let explain = |path: &str, more: &[&str]| {
        let asked = ["--explain", path];
        let words = CREATE[..6].iter().chain(more).chain(&asked);
        let run = fake.sandbox.run("build-offline-product", words);
        run.success().stdout.clone()
    };
    let anchored = ["--exclude", "/data"];
    let absolute = fake.path("mono/libs/bar/bar.py");
    for (path, more, said) in [
        (
            "data/secret",
            &anchored[..],
            "apps/foo/data/secret is staged: no",
        ),
        (
            "../../libs/bar/bar.py",
            &[],
            "libs/bar/bar.py is staged: no",
        ),
        (
            absolute.to_str().unwrap(),
            &[],
            "libs/bar/bar.py is staged: no",
        ),
        (
            "../../libs/bar/bar.py",
            &["--exclude", "/libs/bar/*.py"],
            "libs/bar/bar.py stays behind: /libs/bar/*.py",
        ),
        (
            "../../docs/index.md",
            &[],
            "docs/index.md stays behind: the project does not need it of the source root; --also docs/index.md",
        ),
        (
            "../../docs/index.md",
            &["--also", "docs"],
            "docs/index.md is staged: no",
        ),
        (
            "../../docs/index.md",
            &["--whole-root"],
            "docs/index.md is staged: no",
        ),
        (
            ".pixi/config.toml",
            &[],
            "apps/foo/.pixi/config.toml is staged: pixi's",
        ),
        (
            "../other",
            &[],
            "apps/other stays behind: the project does not",
        ),
    ] {
        let line = explain(path, more);
        assert!(line.starts_with(said), "{path} {more:?}: {line}");
    }
    for bad in ["../../../demo", "main.py/../../x", "/etc/passwd", "../.."] {
        let asked = ["--explain", bad];
        let words = CREATE[..6].iter().chain(&asked);
        let run = fake.sandbox.run("build-offline-product", words);
        run.code(2).says("is no path in the source root");
    }
    // What is said is what happens.
    create(&fake, &anchored).success();
    assert!(fake.path("W/project/foo/apps/foo/data/secret").exists());
}

#[test]
fn a_path_of_a_root_in_a_container_is_explained_as_far_as_it_is_known_here() {
    let fake = Fake::new();
    let explain = |path: &str, more: &[&str]| {
        let words = [
            "--container-id",
            "c1",
            "--project-path-in-container",
            "/src/apps/foo",
            "--source-root-in-container",
            "/src",
            "--exclude",
            "/data",
            "--explain",
            path,
        ];
        let words = words.iter().chain(more);
        fake.sandbox.run("build-offline-product", words)
    };
    explain("data/secret", &[])
        .success()
        .prints("apps/foo/data/secret is staged");
    explain("../../data/x", &["--whole-root"])
        .success()
        .prints("data/x stays behind: /data leaves its directory data");
    explain("../../libs/bar", &["--also", "libs"])
        .success()
        .prints("libs/bar is staged");
    explain("../../libs/bar", &[])
        .code(2)
        .says("only the container tells")
        .says("--also libs/bar");
}

#[test]
fn the_commit_of_the_project_is_recorded_where_its_root_is_no_repository() {
    let fake = monorepo();
    let project = fake.path("mono/apps/foo");
    commit_with_tag(&project, "v1").unwrap();
    let mut git = fake.sandbox.program("git");
    let head = Run::of(git.arg("-C").arg(&project).args(["rev-parse", "HEAD"]));
    create(&fake, &[]).success();
    let record = fs::read_to_string(fake.path("W/workdir.json")).unwrap();
    assert!(record.contains(head.success().stdout.trim()), "{record}");
}

#[test]
fn an_absolute_link_in_the_root_is_refused_with_the_command_that_makes_it_relative() {
    let fake = monorepo();
    let mono = fake.path("mono");
    fs::create_dir(mono.join("shared")).unwrap();
    fs::rename(mono.join("libs/bar"), mono.join("shared/bar")).unwrap();
    symlink(mono.join("shared/bar"), mono.join("libs/bar")).unwrap();
    let run = create(&fake, &[]);
    run.code(2)
        .says("mono/libs/bar is a link with an absolute target");
    let line = run.stderr.split("make it relative: ").nth(1).unwrap();
    let mut shell = fake.sandbox.program("sh");
    Run::of(shell.args(["-c", line])).success();
    create(&fake, &[]).success();
    assert!(fake.path("W/project/foo/libs/bar/bar.py").exists());
}

/// Has hatch-vcs or setuptools-scm make the version of a library, in a repository of its own.
fn tag(fake: &Fake, dir: &str, name: &str, tool: &str, version: &str) {
    let manifest = format!(
        "[build-system]\nrequires = ['{tool}']\n[project]\nname = '{name}'\ndynamic = ['version']\n"
    );
    fake.sandbox
        .write(format!("{dir}/pyproject.toml"), manifest);
    commit_with_tag(&fake.path(dir), version).unwrap();
}

/// A lock that has a library of a library, too.
fn with_baz(fake: &Fake) {
    let lock = LOCK
        .replace("../../vendor/w-1.0-py3-none-any.whl", "../../libs/baz")
        .replace("name: w", "name: baz");
    fake.sandbox.write("mono/apps/foo/pixi.lock", lock);
}

#[test]
fn a_library_that_only_the_lock_names_gets_its_version_from_git_too() {
    let fake = monorepo();
    with_baz(&fake);
    tag(&fake, "mono/libs/bar", "bar", "setuptools-scm", "v1.0");
    tag(&fake, "mono/libs/baz", "baz", "setuptools-scm", "v7.0");
    create(&fake, &[]).success();
    let (options, _) = fake.run_call();
    for variable in ["BAR=1.0", "BAZ=7.0"] {
        let variable = format!("SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{variable}");
        assert!(options.contains(&variable), "{options:?}");
    }
}

#[test]
fn two_versions_for_one_variable_are_refused_before_anything_is_built() {
    let fake = monorepo();
    with_baz(&fake);
    tag(&fake, "mono/libs/bar", "bar", "hatch-vcs", "v1.0");
    tag(&fake, "mono/libs/baz", "baz", "hatch-vcs", "v7.0");
    let saying = "bar has the version 1.0 and baz has 7.0, both from git";
    create(&fake, &[]).code(2).says(saying);
    assert!(!fake.path("W").exists());
    let variable = "SETUPTOOLS_SCM_PRETEND_VERSION=2.0";
    let given = ["--container-env", variable];
    let words = CREATE.iter().chain(&given);
    let one = fake.sandbox.run("build-offline-product", words);
    one.code(2).says(saying);
    assert!(!fake.path("W").exists());
    create(&fake, &given).success();
    make(&fake).code(2).says(saying);
    let words = ["--workdir", "W", "--env", variable];
    fake.sandbox
        .run("make-archive-ready-product", words)
        .success();
}

#[test]
fn pixi_is_asked_about_a_project_and_paths_in_hidden_directories() {
    let sandbox = Sandbox::new();
    sandbox.write("mono/.apps/foo/pixi.toml", "the project\n");
    sandbox.write("mono/.libs/x/pixi.toml", "the library\n");
    sandbox.write("mono/.other/file", "");
    sandbox.write("mono/docs", "");
    let pixi = sandbox.bin().join("pixi");
    let text = "#!/bin/sh\n[ \"$1\" = --version ] || { cat pixi.toml ../../.libs/x/pixi.toml; ls -A ../..; } >&2\n";
    fs::write(&pixi, text).unwrap();
    fs::set_permissions(&pixi, fs::Permissions::from_mode(0o755)).unwrap();
    let script = include_str!("../../crates/pixi-offline/src/container/scripts/check-project.sh");
    let source = sandbox.work().join("mono");
    let run = Run::of(
        sandbox
            .program("/bin/sh")
            .args(["-c", script, "sh", "question"])
            .arg(source)
            .args([".apps/foo", "pixi.toml", "", "", "", "", ".libs/x"])
            .env("PIXI_OFFLINE_IMAGE_PATH", "/usr/bin:/bin"),
    );
    run.success();
    let told = run.stdout.lines().collect::<Vec<_>>().join(" ");
    assert!(
        told.ends_with("manifest 0 the project the library .apps .libs docs"),
        "{told}"
    );
}

#[test]
fn absolute_paths_in_a_container_are_relative_in_its_workdir_too() {
    let container = Container::new();
    let fake = monorepo();
    let mono = container.fake.path("mono");
    fs::rename(fake.path("mono"), &mono).unwrap();
    let own = absolute_lock(&mono);
    let project = mono.join("apps/foo");
    fs::write(project.join("pixi.lock"), &own).unwrap();
    let words = [
        "--container-id",
        "c1",
        "--project-path-in-container",
        project.to_str().unwrap(),
        "--source-root-in-container",
        mono.to_str().unwrap(),
        "--container-workdir-path",
        container.path.to_str().unwrap(),
        "--workdir",
        "W",
    ];
    let run = |command: &str, more: &[&str]| {
        container
            .fake
            .sandbox
            .run(command, words.iter().chain(more))
    };
    run("build-offline-product", &["--dry-run"]).success();
    run("create-workdir-from-container", &[]).success();
    let read = |path: &str| fs::read_to_string(container.fake.path(path)).unwrap();
    assert_eq!(read("mono/apps/foo/pixi.lock"), own);
    assert_eq!(read("W/pixi.lock.original"), own);
    let staged = read("W/project/foo/apps/foo/pixi.lock");
    assert!(staged.contains("- pypi: ../../libs/bar\n"), "{staged}");
    make(&container.fake).success();
    assert_eq!(read("W/product/foo/apps/foo/pixi.lock"), staged);
}

/// The lock as pixi 0.68 and later write it, with the library at its absolute path and the wheel
/// by its `file:` URL.
fn absolute_lock(mono: &Path) -> String {
    let mono = mono.display();
    let packages = "packages:\n- pypi: ../../libs/bar\n  name: bar\n- pypi: ../../vendor/w-1.0-py3-none-any.whl\n  name: w\n  version: '1.0'\n";
    let (lists, _) = LOCK.split_once("packages:\n- pypi").unwrap();
    let lists = lists.replace("version: 6\n", "version: 7\nplatforms:\n- name: linux-64\n");
    format!("{lists}{packages}")
        .replace("../../libs", &format!("{mono}/libs"))
        .replace("../../vendor", &format!("file://{mono}/vendor"))
}

#[test]
fn absolute_paths_in_the_root_are_relative_in_the_lock_that_is_installed() {
    let fake = monorepo();
    let own = absolute_lock(&fake.path("mono"));
    fake.sandbox.write("mono/apps/foo/pixi.lock", &own);
    let read = |path: &str| fs::read_to_string(fake.path(path)).unwrap();
    // The second run overwrites the first.
    for is_first in [true, false] {
        create(&fake, &[])
            .success()
            .says("with relative paths, installed as it is (--frozen)")
            .says_not("was changed");
        if is_first {
            let (_, words) = fake.run_call();
            assert!(words.contains(&"--frozen".to_owned()), "{words:?}");
        }
        assert_eq!(read("mono/apps/foo/pixi.lock"), own);
        assert_eq!(read("W/pixi.lock.original"), own);
        let staged = read("W/project/foo/apps/foo/pixi.lock");
        for path in ["../../libs/bar", "../../vendor/w-1.0-py3-none-any.whl"] {
            assert!(staged.contains(&format!("- pypi: {path}\n")), "{staged}");
        }
        assert!(!staged.contains("/mono/"), "{staged}");
        let libs = names(&fake.path("W/project/foo/libs"));
        assert_eq!(libs, ["bar", "baz"]);

        make(&fake).success();
        assert_eq!(read("W/product/pixi.lock.original"), own);
        assert_eq!(read("W/product/foo/apps/foo/pixi.lock"), staged);
        let manifest = read("W/product/manifest.json");
        assert!(manifest.contains("Absolute paths of Python packages are relative"));
        assert!(manifest.contains("\"frozen\": true"));
    }
    // Without the lock that the record names there is no product.
    fs::write(fake.path("W/pixi.lock.original"), "version: 6\n").unwrap();
    make(&fake).code(2).says("W/pixi.lock.original");
    assert_eq!(read("W/product/pixi.lock.original"), own);
    // In a project alone, through a link.
    let wheel = "w-1.0-py3-none-any.whl";
    fake.sandbox.write(format!("alone/{wheel}"), "");
    fake.sandbox.write("alone/pixi.toml", "[project]\n");
    let (lists, _) = own.split_once("packages:\n- pypi").unwrap();
    let (lists, _) = lists.split_once("      - pypi").unwrap();
    let path = fake.path("alone").join(wheel);
    let path = path.display();
    let lock = format!(
        "{lists}      - pypi: {path}\npackages:\n- pypi: {path}\n  name: w\n  version: '1.0'\n"
    );
    fake.sandbox.write("alone/pixi.lock", lock);
    symlink("alone", fake.path("linked")).unwrap();
    for project in ["alone", "linked"] {
        let here = [
            "--image",
            "img:1",
            "--project-dir",
            project,
            "--workdir",
            "A",
        ];
        fake.sandbox.run("create-workdir-from-host", here).success();
        let staged = read(&format!("A/project/{project}/pixi.lock"));
        assert!(staged.contains(&format!("- pypi: ./{wheel}\n")), "{staged}");
    }
    // Without the root the paths are outside, and the root is named.
    let here = ["--image", "img:1", "--project-dir", "mono/apps/foo"];
    let run = fake.sandbox.run("create-workdir-from-host", here);
    run.code(2)
        .says("bar is locked by an absolute path")
        .says("add:\n  --source-root ");
}

#[test]
fn what_the_manifests_of_the_build_backends_name_is_staged() {
    let fake = monorepo();
    let write = |path: &str, text: &str| fake.sandbox.write(format!("mono/{path}"), text);
    write(
        "apps/foo/pixi.toml",
        "[project]\nname = 'foo'\n[activation]\nscripts = ['./../../tools/env.sh', 'x/../../../tools/more.sh']\n",
    );
    write("tools/more.sh", "");
    write("tools/unused.sh", "");
    write(
        "libs/bar/recipe.yaml",
        "source:\n- path: ../../common\n- path: ${{ x }}\n",
    );
    write("common/a.c", "");
    write(
        "libs/bar/pyproject.toml",
        "[tool.hatch.build.targets.wheel.force-include]\n'../../shared/data' = 'bar/data'\n",
    );
    write("shared/data/d.bin", "");
    write("shared/other", "");
    // Of maturin, in a cargo workspace with a crate that no other names.
    write(
        "libs/bar/Cargo.toml",
        "[package]\nname = 'bar'\n[dependencies]\ncore = { path = '../../rust/core' }\nmacros = { workspace = true }\n",
    );
    write("rust/core/Cargo.toml", "[package]\nname = 'core'\n");
    write("rust/macros/Cargo.toml", "[package]\nname = 'macros'\n");
    write("rust/member/Cargo.toml", "[package]\nname = 'member'\n");
    write("rust/stray/src/lib.rs", "");
    write(
        "Cargo.toml",
        "[workspace]\nmembers = ['libs/bar', 'rust/m*']\n[workspace.dependencies]\nmacros = { path = 'rust/macros' }\n",
    );
    write("Cargo.lock", "version = 4\n");
    create(&fake, &[]).success();
    let staged = fake.path("W/project/foo");
    for (dir, there) in [
        ("tools", &["env.sh", "more.sh"][..]),
        ("common", &["a.c"]),
        ("shared", &["data"]),
        ("rust", &["core", "macros", "member"]),
        (
            "",
            &[
                "Cargo.lock",
                "Cargo.toml",
                "apps",
                "common",
                "libs",
                "pyproject.toml",
                "rust",
                "shared",
                "tools",
                "vendor",
            ],
        ),
    ] {
        assert_eq!(names(&staged.join(dir)), there, "{dir}");
    }
}
