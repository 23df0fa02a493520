//! Versions that come from git.

use super::*;

/// A project of which setuptools-scm makes the version, tagged and with one more commit.
fn versioned(fake: &Fake) {
    fake.sandbox.write(
        "demo/pyproject.toml",
        "[build-system]\nrequires = [\"setuptools>=64\", \"setuptools_scm>=8\"]\nbuild-backend = \"setuptools.build_meta\"\n[project]\nname = \"My.demo\"\ndynamic = [\"version\"]\n",
    );
    fake.sandbox.write(
        "demo/libs/tool/pyproject.toml",
        "[build-system]\nrequires = [\"hatchling\", \"hatch-vcs\"]\n[project]\nname = \"tool\"\ndynamic = [\"version\"]\n",
    );
    fake.sandbox.write(
        "demo/pixi.toml",
        "[project]\nname = 'demo'\n[pypi-dependencies]\nme = { path = '.', editable = true }\ntool = { path = './libs/tool' }\n",
    );
    fake.commit();
    let git = |args: &[&str]| {
        let mut command = fake.sandbox.program("git");
        command.args(["-C", "demo", "-c", "user.name=n", "-c", "user.email=e"]);
        Run::of(command.args(args)).success();
    };
    git(&["tag", "v1.4.0"]);
}

#[test]
fn a_version_from_git_is_handed_to_the_builds_and_to_the_target() {
    let fake = Fake::new();
    versioned(&fake);
    let run = fake.create(&[""; 0]);
    run.success().says(
        "NOTE: My.demo takes its version from git (setuptools-scm), which is not staged: the builds get 1.4.0 by SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MY_DEMO",
    );
    let (options, _) = fake.run_call();
    for variable in [
        "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MY_DEMO=1.4.0",
        "SETUPTOOLS_SCM_PRETEND_VERSION=1.4.0",
    ] {
        assert!(options.contains(&variable.to_owned()), "{options:?}");
    }
    let record = fake.json("W/workdir.json");
    assert_eq!(record["git_versions"][0]["version"], "1.4.0");
    assert_eq!(record["git_versions"][1]["package"], "tool");
    make(&fake, &["--env", "A=b"]).success();
    let exported = |name: &str| {
        let script = format!(". ./envs.sh; printf %s \"${name}\"");
        let mut command = fake.sandbox.program("bash");
        command
            .args(["-c", &script])
            .current_dir(fake.path("W/product"));
        Run::of(&mut command).success().stdout.clone()
    };
    assert_eq!(
        exported("SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MY_DEMO"),
        "1.4.0"
    );
    assert_eq!(exported("A"), "b");
    // What the caller gives wins, at both places.
    let given = "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MY_DEMO=9";
    make(&fake, &["--env", given]).success();
    assert_eq!(exported("SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MY_DEMO"), "9");
    let fake = Fake::new();
    versioned(&fake);
    let run = fake.create(&["--container-env", given]);
    run.success().says_not("My.demo takes its version");
    let (options, _) = fake.run_call();
    let of_demo = options.iter().filter(|arg| arg.contains("_FOR_MY_DEMO="));
    assert_eq!(of_demo.collect::<Vec<_>>(), [given]);
}

#[test]
fn a_version_from_git_is_known_in_a_container_too() {
    let container = Container::new();
    let fake = &container.fake;
    versioned(fake);
    let pixi = "#!/bin/bash
case $1 in
--version) echo pixi 0.77.0 ;;
install) mkdir -p \"$PIXI_CACHE_DIR/pkgs\"; echo \"version $SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MY_DEMO.\" ;;
esac
";
    fs::write(fake.sandbox.bin().join("pixi"), pixi).unwrap();
    container.create(&[]).success().prints("version 1.4.0.\n");
    // A project without such a package gets nothing.
    let container = Container::new();
    container.fake.commit();
    fs::write(container.fake.sandbox.bin().join("pixi"), pixi).unwrap();
    container
        .create(&[])
        .success()
        .prints("version .\n")
        .says_not("from git");
}

/// What only the product lacks is said by a dry run, and by a run before it builds.
#[test]
fn a_version_that_the_product_cannot_have_is_refused_before_a_build_in_a_container() {
    let container = Container::new();
    let fake = &container.fake;
    for (name, version) in [("one", "v1.0"), ("two", "v7.0")] {
        let manifest = format!(
            "[build-system]\nrequires = ['hatchling', 'hatch-vcs']\n[project]\nname = '{name}'\ndynamic = ['version']\n"
        );
        let dir = format!("demo/libs/{name}");
        fake.sandbox
            .write(format!("{dir}/pyproject.toml"), manifest);
        commit_with_tag(&fake.path(&dir), version).unwrap();
    }
    fake.sandbox.write(
        "demo/pixi.toml",
        "[project]\nname = 'demo'\n[pypi-dependencies]\none = { path = './libs/one' }\ntwo = { path = './libs/two' }\n",
    );
    let variable = "SETUPTOOLS_SCM_PRETEND_VERSION=2.0";
    let build = |more: &[&str]| {
        let args = [&["--container-env", variable], more].concat();
        container.run("build-offline-product", &args)
    };
    for more in [&["--dry-run"][..], &[]] {
        let run = build(more);
        run.code(2)
            .says("one has the version 1.0 and two has 7.0, both from git");
        assert!(!fake.path("W/out/pixi-install.log").exists(), "{run}");
    }
    build(&["--env", variable]).success();
}
