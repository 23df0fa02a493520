//! `envs.sh`: what a shell that sources it has afterwards.

use super::*;
use testbed::limit::InTime as _;

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
            .output_in_time()
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
            .start()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
        let output = child.output_in_time().unwrap();
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
fn settings_that_cannot_be_made_fail_in_every_shell() {
    let (sandbox, product) = product_at("P", &[]);
    fs::remove_dir_all(product.join("pkg-cache")).unwrap();
    for (shell, package) in SHELLS {
        let shell = testbed::ensure_debian_package(shell, package).unwrap();
        for script in [
            "PRODUCT_ROOT=$1; . \"$1/envs.sh\" && echo CONTINUED",
            "export PRODUCT_ROOT=$1; \"$0\" \"$1/envs.sh\" && echo CONTINUED",
        ] {
            let mut command = sandbox.program(&shell);
            let run = Run::of(command.args(["-c", script]).arg(&shell).arg(&product));
            run.code(2).says("ERROR: ");
            assert_eq!(run.stdout, "", "{run}");
        }
    }
}

#[test]
fn the_shell_scripts_are_clean_for_shellcheck() {
    let shellcheck = testbed::ensure_debian_package("shellcheck", "shellcheck").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let core = root.join("crates/pixi-offline/src");
    // `bootstrap-project.sh` is of several pieces: a product's own is looked at below.
    let mut files = vec![core.join("product/envs.sh")];
    let image = root.join("crates/make-production-image/src");
    files.extend(["build.sh", "entrypoint.sh", "inspect.sh"].map(|script| image.join(script)));
    for entry in fs::read_dir(root.join("scripts-compat")).unwrap() {
        files.push(entry.unwrap().path());
    }
    let sandbox = Sandbox::new();
    Run::of(sandbox.program(&shellcheck).args(&files)).success();
    // In a container these are one text: the session's beginning, parts and the script.
    let scripts = core.join("container/scripts");
    for parts in [
        &["session.sh", "network.sh", "build.sh"][..],
        &["session.sh", "final-verify.sh"],
    ] {
        let texts = parts.iter();
        let texts = texts.map(|part| fs::read_to_string(scripts.join(part)).unwrap());
        let whole = sandbox.write(parts[parts.len() - 1], texts.collect::<String>());
        Run::of(sandbox.program(&shellcheck).arg(whole)).success();
    }
    for script in ["launch.sh", "upload.sh", "check-project.sh"] {
        Run::of(sandbox.program(&shellcheck).arg(scripts.join(script))).success();
    }
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

#[test]
fn functions_and_options_that_the_callers_shell_exports_change_no_installation() {
    let (mut sandbox, product) = product_at("product", &[]);
    for (name, value) in callers_shell() {
        sandbox.set(&name, value);
    }
    bootstrap(&sandbox, &product, &["--check"]).code(0);
    bootstrap(&sandbox, &product, &[])
        .success()
        .prints("words=install");
}
