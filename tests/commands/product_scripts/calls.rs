//! What `bootstrap-project.sh` calls, and with which arguments.

use super::*;

#[test]
fn bootstrap_installs_from_wherever_the_product_lies() {
    for place in ["P", "a b/c'd \"e\" $f", "-p", "caf\u{e9}\n"] {
        let (mut sandbox, product) = product_at(place, &[]);
        sandbox.set("RATTLER_CACHE_DIR", "/elsewhere");
        sandbox.set("PIXI_LOCKED", "true");
        let run = Run::of(&mut sandbox.program(product.join("bootstrap-project.sh")));
        run.success();
        run.prints(&format!("cwd={}/demo\n", product.display()))
            .prints("words=install\n");
        run.prints("frozen=true\n")
            .prints("offline=true\n")
            .prints("rattler=unset\n");
        run.prints(&format!("cache={}/pkg-cache\n", product.display()));
    }
}

#[test]
fn arguments_go_to_pixi_install() {
    let (sandbox, product) = product_at("P", &[]);
    let bootstrap = |args: &[&str]| super::bootstrap(&sandbox, &product, args);
    bootstrap(&["-e", "test", "--frozen"])
        .success()
        .prints("words=install -e test --frozen\n")
        .says("does not record which pixi");
    bootstrap(&["--project-name", "demo", "--", "--help"])
        .success()
        .prints("words=install --help\n");
    bootstrap(&["--locked"])
        .success()
        .prints("words=install --locked\n")
        .prints("frozen=unset\n");
    bootstrap(&["--help"])
        .success()
        .prints("Usage: ./bootstrap-project.sh");
}

#[test]
fn bootstrap_says_what_is_wrong_before_pixi_runs() {
    let (sandbox, product) = product_at("P", &[]);
    let bootstrap = |args: &[&str]| super::bootstrap(&sandbox, &product, args);
    bootstrap(&["--project-name"]).code(2).says("needs a value");
    bootstrap(&["--project-name", "nope"])
        .code(2)
        .says("no pixi.toml");
    bootstrap(&["--project-name", "../P/demo"])
        .code(2)
        .says("not the name of a directory");
    bootstrap(&["--pixi", "no-such-pixi"])
        .code(127)
        .says("no-such-pixi");
    fs::create_dir(product.join("second")).unwrap();
    fs::write(product.join("second/pyproject.toml"), "").unwrap();
    bootstrap(&[])
        .code(2)
        .says("several projects")
        .says("demo")
        .says("second");
    bootstrap(&["--project-name=demo"])
        .code(2)
        .says("added: second/pyproject.toml");
    bootstrap(&["--project-name=demo", "--any-files"]).success();
    fs::remove_dir_all(product.join("second")).unwrap();
    fs::rename(product.join("demo/pixi.lock"), product.join("lock")).unwrap();
    bootstrap(&[]).code(2).says("no pixi.lock");
    fs::rename(product.join("lock"), product.join("demo/pixi.lock")).unwrap();
    fs::rename(product.join("pkg-cache"), product.join("cache")).unwrap();
    bootstrap(&[]).code(2).says("pkg-cache");
}

#[test]
fn pixis_exit_code_is_bootstraps_and_a_pixi_can_be_named_by_a_relative_path() {
    let (mut sandbox, product) = product_at("P", &[]);
    fs::rename(sandbox.bin().join("pixi"), sandbox.work().join("my pixi")).unwrap();
    sandbox.set("PIXI_EXIT", "5");
    let args = ["--pixi", "./my pixi", "-v"];
    Run::of(
        sandbox
            .program(product.join("bootstrap-project.sh"))
            .args(args),
    )
    .code(5)
    .prints("words=install -v\n");
}

#[test]
fn every_recorded_environment_is_installed_by_a_call_of_its_own() {
    let awkward = "it's $x \"y\"";
    let (sandbox, product) = product_that_knows(
        "P",
        &Facts {
            environments: vec!["default".into(), "test".into(), awkward.into()],
            ..facts()
        },
    );
    let run = bootstrap(&sandbox, &product, &["-v"]);
    run.success();
    let last = format!("install -e {awkward} -v");
    assert_eq!(
        installs(&run),
        ["install -v", "install -e test -v", last.as_str()]
    );
    // The caller's own choice is one call, as it was typed.
    for args in [
        &["-e", "lint"][..],
        &["-elint"],
        &["--environment", "lint"],
        &["--environment=lint", "-v"],
        &["-e", "lint", "-e", "test"],
        &["--all"],
        &["-q", "-a"],
    ] {
        let run = bootstrap(&sandbox, &product, args);
        run.success();
        assert_eq!(installs(&run), [format!("install {}", args.join(" "))]);
    }
    // A product without a list is one of the default environment.
    let (sandbox, product) = product_that_knows("P", &facts());
    assert_eq!(installs(&bootstrap(&sandbox, &product, &[])), ["install"]);
}

#[test]
fn the_first_failing_environment_ends_it_with_its_code() {
    let (sandbox, product) = product_that_knows(
        "P",
        &Facts {
            environments: ["a", "b", "c"].map(Into::into).to_vec(),
            ..facts()
        },
    );
    fake(
        &sandbox,
        "pixi",
        "[ \"$1\" != --version ] || { echo pixi 0.77.0; exit; }\necho \"words=$*\"; [ \"$3\" != b ] || exit 7",
    );
    let run = bootstrap(&sandbox, &product, &[]);
    run.code(7);
    assert_eq!(installs(&run), ["install -e a", "install -e b"]);
}

#[test]
fn git_trusts_the_repositories_of_a_cache_that_another_user_owns() {
    let git = testbed::ensure_debian_package("git", "git").unwrap();
    let (sandbox, product) = product_that_knows("a b/P", &facts());
    sandbox.write("../home/.gitconfig", "[user]\n\tname = kept\n");
    fake(
        &sandbox,
        "pixi",
        "[ \"$1\" != --version ] || { echo pixi 0.77.0; exit; }\n\
         git config --get-all safe.directory; git config user.name; echo \"file=${GIT_CONFIG_GLOBAL-none}\"; exit 3",
    );
    let git_v0 = product.join("pkg-cache/uv-cache/git-v0");
    let own = git_v0.join("checkouts/abc/own");
    fs::create_dir_all(&own).unwrap();
    list_again(&product);
    let run = bootstrap(&sandbox, &product, &[]);
    run.code(3).prints("kept\nfile=none\n");
    // A repository of another user: root can make one, anybody can name one.
    let foreign = git_v0.join("db/abc");
    if rustix::process::geteuid().is_root() {
        Run::of(
            sandbox
                .program(&git)
                .args(["init", "-q", "--bare"])
                .arg(&foreign),
        )
        .success();
        std::os::unix::fs::chown(&foreign, Some(1234), Some(1234)).unwrap();
    } else {
        fs::create_dir_all(foreign.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/usr", &foreign).unwrap();
    }
    let run = bootstrap(&sandbox, &product, &[]);
    run.code(3).prints("kept\n");
    run.prints(&format!("{0}\n{0}/.git\n", foreign.display()));
    assert!(!run.stdout.contains(&own.display().to_string()), "{run}");
    // The settings are gone afterwards, also after a failure.
    let file = run
        .stdout
        .lines()
        .last()
        .unwrap()
        .strip_prefix("file=")
        .unwrap();
    assert!(
        Path::new(file).is_absolute() && !Path::new(file).exists(),
        "{file}"
    );
}
