//! A project in a larger directory, of which what the project needs is staged with it.

mod absolute_paths;
mod explained;
mod refused;
mod versions;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use testbed::sandbox::{Run, Sandbox, names, words};

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
    let args = CREATE.iter().chain(more);
    fake.sandbox.run("create-workdir-from-host", args)
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
        .says(": 5 files of ")
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
    let (_, args) = fake.run_call();
    assert!(args[0].contains("\nname='foo/apps/foo'\n"), "{args:?}");
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
        .says(": 3 files of ");
    let staged = fake.path("W/project/foo");
    assert_eq!(names(&staged.join("libs")), ["bar", "baz", "unused"]);
    assert_eq!(names(&staged.join("docs")), ["index.md"]);
    create(&fake, &["--whole-root", "--exclude", "/docs/"])
        .success()
        .says("work/mono/.env.local: file of environment variables");
    assert_eq!(
        names(&staged),
        words(".env.local apps libs pyproject.toml tools vendor")
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
        words(
            "README.txt SHA256SUMS bootstrap-project.sh envs.sh foo manifest.json pkg-cache \
             provenance.json report.html res sbom.cdx.json"
        )
    );
    let manifest = fs::read_to_string(product.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"folder\": \"foo/apps/foo\""));
    let pixi = "#!/bin/sh\n[ \"$1\" != --version ] || { echo 'pixi 0.77.0'; exit; }\necho \"$PWD: $*\"\nmkdir -p .pixi/envs/default/conda-meta\n";
    let program = fake.sandbox.bin().join("pixi");
    fs::write(&program, pixi).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let bootstrap = |args: &[&str]| {
        let mut command = fake.sandbox.program("bash");
        Run::of(command.arg(product.join("bootstrap-project.sh")).args(args))
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
        let args = ["--image", "img:1"].iter().chain(more);
        fake.sandbox.run("build-offline-product", args)
    };
    let in_root = ["mono/apps/demo", "--source-root", "mono"];
    build(&in_root).success();
    build(&in_root).success();
    for args in [&["demo"][..], &["demo", "--dry-run"]] {
        build(args)
            .code(2)
            .says("belongs to another project of this name (")
            .says("/mono/apps/demo)")
            .says("--workdir");
    }
    // However the path is written, and without a source root.
    build(&["./mono/libs/../apps/demo"]).success();
    fs::create_dir_all(fake.path("other")).unwrap();
    fs::rename(fake.path("demo"), fake.path("other/demo")).unwrap();
    build(&["other/demo"])
        .code(2)
        .says("belongs to another project of this name");
    build(&["other/demo", "--workdir", "W"]).success();
    // Both moved together are the same.
    for dir in ["mono", ".pixi-offline"] {
        fs::create_dir_all(fake.path("moved")).unwrap();
        fs::rename(fake.path(dir), fake.path("moved").join(dir)).unwrap();
    }
    let mut moved = fake
        .sandbox
        .program(testbed::sandbox::binary("build-offline-product"));
    moved.current_dir(fake.path("moved"));
    Run::of(moved.args(["--image", "img:1", "mono/apps/demo"])).success();
}

#[test]
fn a_project_in_a_container_brings_what_it_needs_of_its_root() {
    let mut container = Container::new();
    let fake = monorepo();
    let mono = container.fake.path("mono");
    fs::rename(fake.path("mono"), &mono).unwrap();
    let at = |path: &str| mono.join(path).to_str().unwrap().to_owned();
    let there = container.path.to_str().unwrap().to_owned();
    let args = [
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
        let args = args.iter().chain(more);
        container.fake.sandbox.run(command, args)
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
    let script =
        include_str!("../../../crates/pixi-offline/src/container/scripts/check-project.sh");
    let source = sandbox.work().join("mono");
    let run = Run::of(
        sandbox
            .program("/bin/sh")
            .args(["-c", script, "sh", "question"])
            .arg(format!(
                "source='{}' in_root=.apps/foo manifest=pixi.toml sha256= environment= compares= needs_git=",
                source.display()
            ))
            .arg(".libs/x")
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
            &words(
                "Cargo.lock Cargo.toml apps common libs pyproject.toml rust shared tools vendor",
            ),
        ),
    ] {
        assert_eq!(names(&staged.join(dir)), there, "{dir}");
    }
}
