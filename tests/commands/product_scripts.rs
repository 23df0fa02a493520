//! `envs.sh` and `bootstrap-project.sh`, run as a person at the target would,
//! with a pixi that writes down how it was called.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use testbed::sandbox::{Run, Sandbox};

/// A sandbox with a product at `work/<place>` whose project is `demo`.
fn product_at(place: &str, env: &[OsString]) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    sandbox.write("W/project/demo/pixi.toml", "");
    sandbox.write("W/project/demo/pixi.lock", "version: 5\n");
    sandbox.write("W/pixi-cache/pkgs/x", "");
    let mut words: Vec<OsString> = vec!["--workdir".into(), "W".into()];
    for assignment in env {
        words.extend(["--env".into(), assignment.clone()]);
    }
    sandbox.run("make-archive-ready-product", &words).success();
    let product = sandbox.work().join(place);
    fs::create_dir_all(product.parent().unwrap()).unwrap();
    fs::rename(sandbox.work().join("W/product"), &product).unwrap();
    let pixi = sandbox.bin().join("pixi");
    fs::write(
        &pixi,
        "#!/bin/bash\nprintf '%s\\n' \"cwd=$PWD\" \"words=$*\" \"frozen=${PIXI_FROZEN-unset}\" \
         \"cache=$PIXI_CACHE_DIR\" \"offline=$PIXI_OFFLINE\" \"rattler=${RATTLER_CACHE_DIR-unset}\"\nexit ${PIXI_EXIT:-0}\n",
    )
    .unwrap();
    fs::set_permissions(&pixi, fs::Permissions::from_mode(0o755)).unwrap();
    (sandbox, product)
}

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
    let bootstrap = |words: &[&str]| {
        Run::of(
            sandbox
                .program(product.join("bootstrap-project.sh"))
                .args(words),
        )
    };
    bootstrap(&["-e", "test", "--frozen"])
        .success()
        .prints("words=install -e test --frozen\n");
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
    let bootstrap = |words: &[&str]| {
        Run::of(
            sandbox
                .program(product.join("bootstrap-project.sh"))
                .args(words),
        )
    };
    bootstrap(&["--project-name"]).code(2).says("needs a value");
    bootstrap(&["--project-name", "nope"])
        .code(2)
        .says("no pixi.toml");
    bootstrap(&["--project-name", "../P/demo"])
        .code(2)
        .says("not the name of a folder");
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
    bootstrap(&["--project-name=demo"]).success();
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
    let words = ["--pixi", "./my pixi", "-v"];
    Run::of(
        sandbox
            .program(product.join("bootstrap-project.sh"))
            .args(words),
    )
    .code(5)
    .prints("words=install -v\n");
}

/// Values that break careless quoting, the last with every byte but NUL.
fn awkward_values() -> Vec<OsString> {
    let every_byte: Vec<u8> = (1..=255).collect();
    [
        "", "plain", "a b", "it's", "\"", "$HOME", "`id`", "$(id)", "\\", "a\\", "!x", "*", "~",
        "\n", "x\n\n", "'\\''", "''", "-n", "%s",
    ]
    .iter()
    .map(OsString::from)
    .chain([OsString::from_vec(every_byte)])
    .collect()
}

/// The shells that envs.sh promises to work in.
const SHELLS: [(&str, &str); 3] = [("bash", "bash"), ("zsh", "zsh"), ("dash", "dash")];

#[test]
fn values_of_env_come_through_byte_for_byte_in_every_shell() {
    let values = awkward_values();
    let env: Vec<OsString> = values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let mut assignment = OsString::from(format!("V{index}="));
            assignment.push(value);
            assignment
        })
        .collect();
    let (sandbox, product) = product_at("a b/P", &env);
    for (shell, package) in SHELLS {
        let shell = testbed::ensure_debian_package(shell, package).unwrap();
        let script = "PRODUCT_ROOT=$1; . \"$1/envs.sh\"; env -0";
        let output = sandbox
            .program(&shell)
            .args([
                OsStr::new("-c"),
                OsStr::new(script),
                OsStr::new("x"),
                product.as_os_str(),
            ])
            .output()
            .unwrap();
        let variables: Vec<&[u8]> = output.stdout.split(|&byte| byte == 0).collect();
        for assignment in &env {
            assert!(
                variables.contains(&assignment.as_bytes()),
                "{}: {assignment:?}",
                shell.display()
            );
        }
        let cache = format!("PIXI_CACHE_DIR={}/pkg-cache", product.display());
        assert!(variables.contains(&cache.as_bytes()), "{}", shell.display());
    }
}

#[test]
fn sourcing_leaves_the_shells_options_and_names_alone() {
    let (sandbox, product) = product_at("P", &[]);
    for (shell, package) in SHELLS {
        let shell = testbed::ensure_debian_package(shell, package).unwrap();
        // Under `set -u` as well, and with a `cd` that would print.
        for options in ["", "set -eu; "] {
            let script = format!(
                "{options}CDPATH=/; PRODUCT_ROOT=$1; before=$(set +o; echo $-); . \"$1/envs.sh\"; \
                 after=$(set +o; echo $-); [ \"$before\" = \"$after\" ] || exit 9; \
                 set | grep -a '^_pixi_offline' && exit 8; false || echo alive"
            );
            let run = Run::of(
                sandbox
                    .program(&shell)
                    .args(["-c", &script, "x"])
                    .arg(&product),
            );
            run.success();
            assert_eq!(run.stdout, "alive\n", "{run}");
            assert_eq!(run.stderr, "", "{run}");
        }
    }
}

#[test]
fn an_interactive_shell_survives_a_failing_command_after_sourcing() {
    let (sandbox, product) = product_at("P", &[]);
    let script = format!(". {}/envs.sh\nfalse\necho still here\n", product.display());
    for shell in ["bash", "zsh"] {
        let shell = testbed::ensure_debian_package(shell, shell).unwrap();
        let mut child = sandbox
            .program(&shell)
            .args(["-i"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("still here"), "{}: {text}", shell.display());
    }
}

#[test]
fn a_shell_that_cannot_find_the_product_is_told() {
    let (sandbox, product) = product_at("P", &[]);
    let dash = testbed::ensure_debian_package("dash", "dash").unwrap();
    let run = Run::of(
        sandbox
            .program(dash)
            .args(["-c", ". \"$1/envs.sh\"", "x"])
            .arg(&product),
    );
    run.says("PRODUCT_ROOT");
    assert!(!run.stdout.contains("PIXI_CACHE_DIR"));
}

#[test]
fn the_shell_scripts_are_clean_for_shellcheck() {
    let shellcheck = testbed::ensure_debian_package("shellcheck", "shellcheck").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let core = root.join("crates/pixi-offline/src");
    let mut files = vec![
        core.join("product/envs.sh"),
        core.join("product/bootstrap-project.sh"),
    ];
    for entry in fs::read_dir(root.join("scripts-compat")).unwrap() {
        files.push(entry.unwrap().path());
    }
    let sandbox = Sandbox::new();
    Run::of(sandbox.program(&shellcheck).args(&files)).success();
    // In a container these are one text: the session's beginning and its script.
    let scripts = core.join("container/scripts");
    let session = fs::read_to_string(scripts.join("session.sh")).unwrap();
    for script in ["build.sh", "final-verify.sh"] {
        let whole = sandbox.write(
            script,
            session.clone() + &fs::read_to_string(scripts.join(script)).unwrap(),
        );
        Run::of(sandbox.program(&shellcheck).arg(whole)).success();
    }
    Run::of(sandbox.program(&shellcheck).arg(scripts.join("launch.sh"))).success();
    // A product's own, with variables in it.
    let (sandbox, product) = product_at("P", &["A=it's".into()]);
    Run::of(
        sandbox
            .program(&shellcheck)
            .args(["envs.sh", "bootstrap-project.sh"])
            .current_dir(&product),
    )
    .success();
}
