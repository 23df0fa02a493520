//! `--explain` for a path of the root.

use super::{CREATE, create, monorepo};
use crate::fake::Fake;
use testbed::sandbox::words;

#[test]
fn a_path_of_the_root_is_explained_as_the_run_stages_it() {
    let fake = monorepo();
    fake.sandbox.write("mono/apps/foo/data/secret", "x");
    let explain = |path: &str, more: &[&str]| {
        let asked = ["--explain", path];
        let args = CREATE[..6].iter().chain(more).chain(&asked);
        let run = fake.sandbox.run("build-offline-product", args);
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
            "libs/bar/bar.py is left out: /libs/bar/*.py",
        ),
        (
            "../../docs/index.md",
            &[],
            "docs/index.md is left out: the project does not need it; --also docs/index.md",
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
            "apps/other is left out: the project does not",
        ),
    ] {
        let line = explain(path, more);
        assert!(line.starts_with(said), "{path} {more:?}: {line}");
    }
    for bad in ["../../../demo", "main.py/../../x", "/etc/passwd", "../.."] {
        let asked = ["--explain", bad];
        let args = CREATE[..6].iter().chain(&asked);
        let run = fake.sandbox.run("build-offline-product", args);
        run.code(2).says("is not a path in the source root");
    }
    // What is said is what happens.
    create(&fake, &anchored).success();
    assert!(fake.path("W/project/foo/apps/foo/data/secret").exists());
}

#[test]
fn a_path_of_a_root_in_a_container_is_explained_as_far_as_it_is_known_here() {
    let fake = Fake::new();
    let explain = |path: &str, more: &[&str]| {
        let args = format!(
            "--container-id c1 --project-path-in-container /src/apps/foo \
             --source-root-in-container /src --exclude /data --explain {path}"
        );
        let args = words(&args);
        let args = args.iter().chain(more);
        fake.sandbox.run("build-offline-product", args)
    };
    explain("data/secret", &[])
        .success()
        .prints("apps/foo/data/secret is staged");
    explain("../../data/x", &["--whole-root"])
        .success()
        .prints("data/x is left out: /data excludes its directory data");
    explain("../../libs/bar", &["--also", "libs"])
        .success()
        .prints("libs/bar is staged");
    explain("../../libs/bar", &[])
        .code(2)
        .says("only the container tells")
        .says("--also libs/bar");
}
