//! Versions and commits that git has of the root and of what is in it.

use testbed::python::commit_with_tag;
use testbed::sandbox::Run;

use super::{CREATE, LOCK, create, make, monorepo};
use crate::fake::Fake;

#[test]
fn the_commit_of_the_project_is_recorded_where_its_root_is_no_repository() {
    let fake = monorepo();
    let project = fake.path("mono/apps/foo");
    commit_with_tag(&project, "v1").unwrap();
    let mut git = fake.sandbox.program("git");
    let head = Run::of(git.arg("-C").arg(&project).args(["rev-parse", "HEAD"]));
    create(&fake, &[]).success();
    let record = fake.read("W/workdir.json");
    assert!(record.contains(head.success().stdout.trim()), "{record}");
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
    let args = CREATE.iter().chain(&given);
    let one = fake.sandbox.run("build-offline-product", args);
    one.code(2).says(saying);
    assert!(!fake.path("W").exists());
    create(&fake, &given).success();
    make(&fake).code(2).says(saying);
    let args = ["--workdir", "W", "--env", variable];
    fake.sandbox
        .run("make-archive-ready-product", args)
        .success();
}
