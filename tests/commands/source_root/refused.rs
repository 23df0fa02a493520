//! What cannot be a source root, and what a project may not name outside of it.

use std::fs;
use std::os::unix::fs::symlink;

use testbed::sandbox::{Run, names, words};

use super::{CREATE, LOCK, create, monorepo};

#[test]
fn a_source_root_that_cannot_be_one_is_refused_before_anything_is_touched() {
    let fake = monorepo();
    let args = |project: &str, root: &str, more: &[&str]| -> Vec<String> {
        let usual = ["--image", "img:1", "--workdir", "W"];
        let named = ["--project-dir", project, "--source-root", root];
        let args = usual.iter().chain(&named).chain(more);
        args.map(|arg| (*arg).to_owned()).collect()
    };
    fs::create_dir(fake.path("mono/W0")).unwrap();
    symlink("/etc", fake.path("mono/out")).unwrap();
    for (root, more, saying) in [
        ("nowhere", &[][..], "work/nowhere cannot be used"),
        ("mono/libs", &[], "is not in it"),
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
        let args = args("mono/apps/foo", root, more);
        let run = fake.sandbox.run("create-workdir-from-host", &args);
        run.code(2).says(saying);
    }
    let args = ["--image", "img:1", "--project-dir", "demo", "--also", "x"];
    let run = fake.sandbox.run("create-workdir-from-host", args);
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
        let args = CREATE[..6].iter().chain(more);
        fake.sandbox.run("create-workdir-from-host", args)
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
    let args = words(
        "--image img:1 --project-dir mono/libs/bar/W/project/foo/apps/foo --source-root mono \
         --workdir W",
    );
    fake.sandbox
        .run("create-workdir-from-host", args)
        .code(2)
        .says("is a workdir, which is never staged");
    let output = ["--output", "mono", "--force"];
    let args = CREATE.iter().chain(&output);
    fake.sandbox.run("build-offline-product", args).code(2);
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
    let mut args = CREATE;
    args[3] = "mono/apps/foo/dist/foo/apps/foo";
    fake.sandbox
        .run("create-workdir-from-host", args)
        .code(2)
        .says("dist is a product, which is never staged");
    // Resources are copied whole.
    create(&fake, &["--resources-dir", "mono/apps/foo"]).success();
    assert!(fake.path("W/resources/dist/pkg-cache").exists());
}

#[test]
fn a_path_that_leads_out_is_refused_with_the_source_root_that_holds_it() {
    let fake = monorepo();
    let build = |project: &str, more: &[&str]| {
        let args = format!("--image img:1 --workdir W --project-dir {project}");
        let args = words(&args);
        let args = args.iter().chain(more);
        fake.sandbox.run("create-workdir-from-host", args)
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
