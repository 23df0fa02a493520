//! `envs.sh` and `bootstrap-project.sh`, run as a person at the target would,
//! with a pixi that writes down how it was called.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pixi_offline::layout::Product;
use pixi_offline::product::{Facts, write_scripts};
use testbed::sandbox::{Run, Sandbox};

/// A sandbox with a product at `work/<place>` whose project is `demo`.
fn product_at(place: &str, env: &[OsString]) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    sandbox.write("W/project/demo/pixi.toml", "");
    sandbox.write("W/project/demo/pixi.lock", crate::fake::LOCK);
    sandbox.write("W/pixi-cache/pkgs/x", "");
    let mut words: Vec<OsString> = vec!["--workdir".into(), "W".into()];
    for assignment in env {
        words.extend(["--env".into(), assignment.clone()]);
    }
    sandbox.run("make-archive-ready-product", &words).success();
    let product = sandbox.work().join(place);
    fs::create_dir_all(product.parent().unwrap()).unwrap();
    fs::rename(sandbox.work().join("W/product"), &product).unwrap();
    write_program(
        &sandbox.bin().join("pixi"),
        "#!/bin/bash\n[ \"$*\" != --version ] || { echo \"pixi ${PIXI_VERSION-0.77.0}\"; exit; }\n\
         printf '%s\\n' \"cwd=$PWD\" \"words=$*\" \"frozen=${PIXI_FROZEN-unset}\" \
         \"cache=$PIXI_CACHE_DIR\" \"offline=$PIXI_OFFLINE\" \"rattler=${RATTLER_CACHE_DIR-unset}\"\nexit ${PIXI_EXIT:-0}\n",
    );
    (sandbox, product)
}

/// The same, whose scripts know these facts; it has no lists, which would not be
/// those of these scripts.
fn product_that_knows(place: &str, facts: &Facts) -> (Sandbox, PathBuf) {
    let (sandbox, product) = product_at(place, &[]);
    for list in ["manifest.json", "SHA256SUMS", "provenance.json"] {
        fs::remove_file(product.join(list)).unwrap();
    }
    let rendered = Product::new(sandbox.root().join("rendered"));
    fs::create_dir(rendered.path()).unwrap();
    write_scripts(&rendered, &[], facts).unwrap();
    for script in [rendered.environment_script(), rendered.bootstrap_script()] {
        put_program(&script, &product.join(script.file_name().unwrap()));
    }
    (sandbox, product)
}

fn write_program(file: &Path, script: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let draft = tempfile::NamedTempFile::new().unwrap();
    fs::write(draft.path(), script).unwrap();
    fs::set_permissions(draft.path(), fs::Permissions::from_mode(0o755)).unwrap();
    put_program(draft.path(), file);
}

/// Copies a program, in a process of its own: a file that this one has open for
/// writing is open in whatever another test starts just then, and busy.
fn put_program(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .args(["-p", "--"])
        .args([from, to])
        .status();
    assert!(copied.unwrap().success());
}

/// A program of this name that commands in the sandbox find before any other.
fn fake(sandbox: &Sandbox, name: &str, script: &str) {
    write_program(
        &sandbox.bin().join(name),
        &format!("#!/bin/bash\n{script}\n"),
    );
}

/// Nothing on `PATH` but the fakes and these programs of the machine.
fn with_programs_only(sandbox: Sandbox, programs: &[&str]) -> Sandbox {
    for program in programs {
        let real = testbed::ensure_debian_package(program, program).unwrap();
        std::os::unix::fs::symlink(real, sandbox.bin().join(program)).unwrap();
    }
    sandbox.with_own_programs_only()
}

fn bootstrap(sandbox: &Sandbox, product: &Path, words: &[&str]) -> Run {
    Run::of(
        sandbox
            .program(product.join("bootstrap-project.sh"))
            .args(words),
    )
}

/// The words of each `pixi install`, in order.
fn installs(run: &Run) -> Vec<&str> {
    run.stdout
        .lines()
        .filter_map(|line| line.strip_prefix("words="))
        .collect()
}

fn facts() -> Facts {
    Facts {
        pixi: Some("0.77.0".into()),
        ..Facts::default()
    }
}

/// Bootstrap refuses this, before pixi runs and with exit code 2; `--check` too.
#[track_caller]
fn refused(sandbox: &Sandbox, product: &Path, message: &str) {
    let run = bootstrap(sandbox, product, &[]);
    run.code(2).says(message);
    assert_eq!(run.stdout, "", "{run}");
    bootstrap(sandbox, product, &["--check"])
        .code(2)
        .prints("problem: ")
        .prints(message)
        .says_not(message);
}

/// Bootstrap installs, silently, and `--check` has a line for it.
#[track_caller]
fn passed(sandbox: &Sandbox, product: &Path, line: &str) {
    let run = bootstrap(sandbox, product, &[]);
    run.success().prints("words=install");
    assert_eq!(run.stderr, "", "{run}");
    bootstrap(sandbox, product, &["--check"])
        .success()
        .prints(line);
}

/// Bootstrap installs, and says once what it could not find out.
#[track_caller]
fn not_checked(sandbox: &Sandbox, product: &Path, message: &str) {
    let run = bootstrap(sandbox, product, &[]);
    run.success().prints("words=install").says(message);
    assert_eq!(run.stderr.matches("not checked: ").count(), 1, "{run}");
    bootstrap(sandbox, product, &["--check"])
        .success()
        .prints(message);
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
        core.join("image/build.sh"),
        core.join("image/entrypoint.sh"),
        core.join("image/look.sh"),
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
    for words in [
        &["-e", "lint"][..],
        &["-elint"],
        &["--environment", "lint"],
        &["--environment=lint", "-v"],
        &["-e", "lint", "-e", "test"],
        &["--all"],
        &["-q", "-a"],
    ] {
        let run = bootstrap(&sandbox, &product, words);
        run.success();
        assert_eq!(installs(&run), [format!("install {}", words.join(" "))]);
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
fn the_pixi_is_the_callers_else_the_products_else_the_one_on_the_path() {
    let bundled = Facts {
        bundled_pixi: true,
        lock_version: Some(7),
        ..facts()
    };
    let (mut sandbox, product) = product_that_knows("a b/P", &bundled);
    let pixi = |name: &str| {
        format!(
            "#!/bin/bash\n[ \"$1\" = --version ] && echo pixi 0.77.0 || echo {name} \"$PATH\"\n"
        )
    };
    let own = product.join("bin/pixi");
    write_program(&own, &pixi("bundled"));
    write_program(&sandbox.work().join("mine"), &pixi("mine"));
    let on_path = format!("bundled {}:", product.join("bin").display());
    // The one that is looked at is the one that is run.
    sandbox.set("PIXI_VERSION", "0.15.2");
    let run = bootstrap(&sandbox, &product, &[]);
    run.success().prints(&on_path);
    assert_eq!(run.stderr, "", "{run}");
    bootstrap(&sandbox, &product, &["--pixi", "./mine"])
        .success()
        .prints("mine ");
    // By hand the product's own comes first as well, once however often.
    for (shell, package) in SHELLS {
        let shell = testbed::ensure_debian_package(shell, package).unwrap();
        let script = "set -u; PRODUCT_ROOT=$1; . \"$1/envs.sh\"; . \"$1/envs.sh\"; pixi run";
        let run = Run::of(
            sandbox
                .program(&shell)
                .args(["-c", script, "x"])
                .arg(&product),
        );
        run.success().prints(&on_path);
        let bin = product.join("bin").display().to_string();
        assert_eq!(run.stdout.matches(&bin).count(), 1, "{run}");
    }
    // One that cannot be started is not chosen.
    fs::set_permissions(&own, fs::Permissions::from_mode(0o644)).unwrap();
    let run = bootstrap(&sandbox, &product, &["--any-pixi"]);
    run.success()
        .prints("words=install\n")
        .says("WARNING: the product was made with a pixi of its own");
    let (sandbox, product) = product_that_knows("P", &facts());
    let run = bootstrap(&sandbox, &product, &[]);
    assert_eq!(run.stderr, "", "{run}");
}

#[test]
fn a_pixi_that_does_not_fit_is_refused_before_it_installs() {
    /// What bootstrap does with a pixi.
    enum Verdict {
        Silent,
        Says(&'static [&'static str]),
        Refused(&'static [&'static str]),
    }
    use Verdict::{Refused, Says, Silent};
    const LOCK: &str = "cannot read the project's pixi.lock";
    const WHEELS: &str = "does not see the Python packages";
    const HASHES: &str = "without hashes";
    const OFFLINE: &str = "does not know PIXI_OFFLINE";
    const OTHER: &str = "WARNING: this is pixi";
    let fix: &[&str] = &["--bundle-pixi", "--any-pixi"];
    let cases = [
        // Built by, format of the lock, Python packages; the pixi here.
        ("0.77.0", Some(7), true, "0.77.0", Silent),
        ("0.77.0", Some(7), false, "0.77.0", Silent),
        (
            "0.77.0",
            Some(7),
            true,
            "0.77.1",
            Says(&[OTHER, "0.77.0", "0.77.1"]),
        ),
        (
            "0.77.0",
            Some(7),
            true,
            "0.78.0-rc.1",
            Says(&[OTHER, "0.78.0-rc.1"]),
        ),
        ("0.77.0", Some(7), false, "1.0.0", Says(&[OTHER])),
        // Formats of the lock, each with the last pixi too old and the first that will do.
        (
            "0.77.0",
            Some(7),
            false,
            "0.67.2",
            Refused(&[LOCK, "0.67.2", "format 7", "0.77.0"]),
        ),
        ("0.77.0", Some(7), false, "0.68.0", Says(&[OTHER])),
        (
            "0.45.0",
            Some(6),
            false,
            "0.38.0",
            Refused(&[LOCK, "format 6"]),
        ),
        ("0.45.0", Some(6), false, "0.39.0", Says(&[OTHER])),
        (
            "0.25.0",
            Some(5),
            false,
            "0.21.1",
            Refused(&[LOCK, "format 5"]),
        ),
        ("0.25.0", Some(5), false, "0.22.0", Says(&[OTHER])),
        (
            "0.15.2",
            Some(4),
            false,
            "0.13.0",
            Refused(&[LOCK, "format 4"]),
        ),
        ("0.15.2", Some(4), false, "0.14.0", Says(&[OTHER])),
        (
            "",
            Some(7),
            false,
            "0.67.0",
            Refused(&[LOCK, "0.68 or later"]),
        ),
        (
            "0.90.0",
            Some(8),
            false,
            "0.90.0",
            Says(&["not checked: ", "8, is newer"]),
        ),
        // Groups of wheel caches, on both sides of each border.
        ("0.34.0", Some(5), true, "0.33.0", Says(&[OTHER, OFFLINE])),
        (
            "0.34.0",
            Some(5),
            true,
            "0.35.0",
            Refused(&[WHEELS, "0.34.0", "0.35.0"]),
        ),
        ("0.35.0", Some(5), true, "0.39.0", Says(&[OTHER])),
        ("0.39.0", Some(6), true, "0.40.0", Refused(&[WHEELS])),
        ("0.40.0", Some(6), true, "0.41.0", Says(&[OTHER])),
        ("0.41.0", Some(6), true, "0.42.0", Refused(&[WHEELS])),
        ("0.42.0", Some(6), true, "0.43.0", Says(&[OTHER])),
        ("0.43.0", Some(6), true, "0.44.0", Refused(&[WHEELS])),
        ("0.44.0", Some(6), true, "0.68.0", Says(&[OTHER])),
        ("0.68.0", Some(7), true, "0.69.0", Refused(&[WHEELS])),
        ("0.77.0", Some(6), true, "0.68.0", Refused(&[WHEELS])),
        ("0.68.0", Some(7), false, "0.77.0", Says(&[OTHER])),
        // Hashes of wheels, stored since 0.71.
        ("0.69.0", Some(7), true, "0.70.1", Says(&[OTHER])),
        (
            "0.70.0",
            Some(7),
            true,
            "0.71.0",
            Refused(&[HASHES, "0.70.0", "0.71.0"]),
        ),
        ("0.70.0", Some(7), false, "0.71.0", Says(&[OTHER])),
        ("0.71.0", Some(7), true, "0.70.0", Says(&[OTHER])),
        // PIXI_OFFLINE, known since 0.74.
        ("0.73.0", Some(7), true, "0.73.0", Says(&[OFFLINE])),
        ("0.73.0", Some(7), false, "0.73.0", Silent),
        ("0.74.0", Some(7), true, "0.74.0", Silent),
        // Nothing to compare with.
        (
            "",
            Some(7),
            true,
            "0.77.0",
            Says(&["not checked: ", "does not record which pixi"]),
        ),
        (
            "0.77.0",
            Some(7),
            true,
            "(unknown)",
            Says(&["not checked: ", "names no version"]),
        ),
    ];
    for (built, lock_version, has_python_packages, here, verdict) in cases {
        let case = format!("{built}, lock {lock_version:?}, {has_python_packages}, here {here}");
        let (mut sandbox, product) = product_that_knows(
            "P",
            &Facts {
                pixi: Some(built.to_owned()).filter(|version| !version.is_empty()),
                lock_version,
                has_python_packages,
                ..Facts::default()
            },
        );
        sandbox.set("PIXI_VERSION", here);
        let run = bootstrap(&sandbox, &product, &[]);
        match verdict {
            Silent => {
                run.success().prints("words=install");
                assert_eq!(run.stderr, "", "{case}\n{run}");
            }
            Says(texts) => {
                run.success().prints("words=install").says_not("ERROR");
                assert_eq!(
                    run.stderr.matches(OTHER).count(),
                    usize::from(texts.contains(&OTHER)),
                    "{case}\n{run}"
                );
                for text in texts {
                    assert!(run.stderr.contains(text), "{case}: no {text:?}\n{run}");
                }
            }
            Refused(texts) => {
                for text in texts.iter().chain(fix) {
                    assert!(run.stderr.contains(text), "{case}: no {text:?}\n{run}");
                }
                run.code(2);
                assert_eq!(run.stdout, "", "{case}\n{run}");
                bootstrap(&sandbox, &product, &["--any-pixi", "-v"])
                    .success()
                    .prints("words=install -v\n")
                    .says("WARNING: ")
                    .says(texts[0])
                    .says_not("ERROR");
            }
        }
    }
}

#[test]
fn all_problems_are_reported_together_and_pixi_does_not_run() {
    let (sandbox, product) = product_that_knows(
        "P",
        &Facts {
            architecture: Some("riscv64".into()),
            glibc: Some((99, 0)),
            lock_version: Some(7),
            ..facts()
        },
    );
    fs::remove_file(product.join("demo/pixi.lock")).unwrap();
    let mut sandbox = sandbox;
    sandbox.set("PIXI_VERSION", "0.15.2");
    for words in [&[][..], &["--check"]] {
        let run = bootstrap(&sandbox, &product, words);
        run.code(2);
        let text = format!("{}{}", run.stdout, run.stderr);
        for problem in ["no pixi.lock", "0.15.2", "riscv64", "99.0"] {
            assert!(text.contains(problem), "no {problem:?}\n{run}");
        }
        assert!(!text.contains("words="), "{run}");
    }
    // Without any pixi the code says so, whatever else there is.
    bootstrap(&sandbox, &product, &["--pixi", "no-such-pixi"])
        .code(127)
        .says("no-such-pixi")
        .says("riscv64");
    bootstrap(&sandbox, &product, &["--check", "--pixi", "no-such-pixi"]).code(2);
}

#[test]
fn check_has_a_line_for_each_check_and_installs_nothing() {
    let (sandbox, product) = product_that_knows(
        "P",
        &Facts {
            environments: vec!["default".into()],
            pixi: Some("0.77.0".into()),
            lock_version: Some(7),
            architecture: Some("x86_64".into()),
            glibc: Some((2, 17)),
            install_bytes: Some(1),
            install_entries: Some(1),
            ..Facts::default()
        },
    );
    fake(&sandbox, "uname", "echo x86_64");
    fake(&sandbox, "getconf", "echo glibc 2.36");
    fake(&sandbox, "df", "echo header; echo 'fake 100 90 10 90% /'");
    let before = tree(&product);
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.success();
    assert_eq!(
        run.stdout,
        "ok: the product has its project, pixi.lock, pkg-cache and envs.sh\n\
         not checked: the files of the product: it has no manifest.json, as those that older versions made\n\
         ok: the product is writable\n\
         ok: pixi 0.77.0 is the one that the product was made with\n\
         ok: architecture x86_64\n\
         ok: glibc 2.36, at least 2.17\n\
         ok: git is not needed\n\
         ok: no colon in the path\n\
         ok: the paths of the environments have at most 255 characters\n\
         ok: programs may be started below the project\n\
         ok: space: 0 MiB left, 1 MiB needed\n\
         ok: inodes: 10 left, 1 needed\n\
         ok: no environment from another path\n"
    );
    assert_eq!(run.stderr, "");
    assert_eq!(tree(&product), before);
    // What a product does not know is only said there.
    let (sandbox, product) = product_that_knows("P", &facts());
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.success();
    for check in ["architecture", "glibc", "space", "inodes"] {
        run.prints(&format!(
            "not checked: {check}: the product does not record"
        ));
    }
    passed(&sandbox, &product, "ok: ");
}

/// Every file and folder below this one.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

#[test]
fn another_architecture_is_refused() {
    let (sandbox, product) = product_that_knows(
        "P",
        &Facts {
            architecture: Some("aarch64".into()),
            ..facts()
        },
    );
    fake(&sandbox, "uname", "[ \"$1\" = -m ] && echo aarch64");
    passed(&sandbox, &product, "ok: architecture aarch64\n");
    fake(&sandbox, "uname", "[ \"$1\" = -m ] && echo x86_64");
    refused(
        &sandbox,
        &product,
        "this machine is x86_64, and the product is for aarch64",
    );
    fake(&sandbox, "uname", "exit 1");
    not_checked(&sandbox, &product, "not checked: architecture");
}

#[test]
fn an_older_glibc_or_another_c_library_is_refused() {
    let (sandbox, product) = product_that_knows(
        "P",
        &Facts {
            glibc: Some((2, 28)),
            ..facts()
        },
    );
    fake(
        &sandbox,
        "getconf",
        "[ $1 = GNU_LIBC_VERSION ] && echo glibc 2.28",
    );
    passed(&sandbox, &product, "ok: glibc 2.28, at least 2.28\n");
    fake(&sandbox, "getconf", "echo glibc 2.100");
    passed(&sandbox, &product, "ok: glibc 2.100, at least 2.28\n");
    fake(&sandbox, "getconf", "echo glibc 2.3.6");
    refused(
        &sandbox,
        &product,
        "glibc 2.3.6, and the packages need 2.28",
    );
    fake(&sandbox, "getconf", "echo glibc 2.27");
    refused(&sandbox, &product, "glibc 2.27, and the packages need 2.28");
    // Where getconf does not know, ldd may.
    fake(&sandbox, "getconf", "exit 1");
    fake(
        &sandbox,
        "ldd",
        "echo 'ldd (Debian GLIBC 2.36-9+deb12u10) 2.36'; echo 'Copyright (C) 2022'",
    );
    passed(&sandbox, &product, "ok: glibc 2.36, at least 2.28\n");
    fake(&sandbox, "ldd", "echo 'ldd (GNU libc) 2.17'");
    refused(&sandbox, &product, "glibc 2.17");
    fake(
        &sandbox,
        "ldd",
        "printf 'musl libc (x86_64)\\nVersion 1.2.4\\n' >&2; exit 1",
    );
    refused(&sandbox, &product, "C library is musl");
    fake(&sandbox, "ldd", "exit 1");
    not_checked(
        &sandbox,
        &product,
        "not checked: glibc: neither getconf nor ldd",
    );
}

#[test]
fn a_git_dependency_needs_git() {
    let knows = |needs_git| {
        let (sandbox, product) = product_that_knows(
            "P",
            &Facts {
                needs_git,
                ..facts()
            },
        );
        (
            with_programs_only(sandbox, &["bash", "mktemp", "chmod", "rm"]),
            product,
        )
    };
    let (sandbox, product) = knows(true);
    refused(&sandbox, &product, "git is not there");
    fake(&sandbox, "git", "");
    passed(&sandbox, &product, "ok: git is there\n");
    let (sandbox, product) = knows(false);
    passed(&sandbox, &product, "ok: git is not needed\n");
}

#[test]
fn missing_tools_are_said_once_each_and_stop_nothing() {
    let (sandbox, product) = product_that_knows(
        "P",
        &Facts {
            architecture: Some("x86_64".into()),
            glibc: Some((2, 17)),
            install_bytes: Some(1),
            install_entries: Some(1),
            ..facts()
        },
    );
    let sandbox = with_programs_only(sandbox, &["bash"]);
    let run = bootstrap(&sandbox, &product, &[]);
    run.success().prints("words=install\n");
    for check in [
        "architecture",
        "glibc",
        "space",
        "inodes",
        "whether programs may be started",
    ] {
        let line = format!("not checked: {check}");
        assert_eq!(run.stderr.matches(&line).count(), 1, "{check}\n{run}");
    }
    assert_eq!(run.stderr.lines().count(), 5, "{run}");
}

#[test]
fn a_path_that_does_not_fit_into_the_packages_is_refused() {
    for (length, fits) in [(255, true), (256, false)] {
        // The place is as long as the sandbox's own path leaves room for.
        let (sandbox, product) = product_that_knows("P", &facts());
        let rest = "/demo/.pixi/envs/default".len();
        let stem = sandbox.work().as_os_str().len() + "/".len();
        let long = sandbox.work().join("x".repeat(length - stem - rest));
        fs::rename(product, &long).unwrap();
        if fits {
            passed(
                &sandbox,
                &long,
                "ok: the paths of the environments have at most 255",
            );
        } else {
            refused(&sandbox, &long, "would have 256 characters");
        }
        // The caller's environment counts, not the recorded one.
        let run = bootstrap(&sandbox, &long, &["-e", "ab"]);
        run.success();
        bootstrap(&sandbox, &long, &["-e", "longer-than-default"])
            .code(2)
            .says("the path of environment longer-than-default");
    }
}

#[test]
fn a_colon_in_the_path_is_warned_of() {
    let (sandbox, product) = product_that_knows("a:b/P", &facts());
    bootstrap(&sandbox, &product, &[])
        .success()
        .prints("words=install\n")
        .says("WARNING: ")
        .says("colon");
}

#[test]
fn too_little_space_and_too_few_inodes_are_refused() {
    let (mut sandbox, product) = product_that_knows(
        "P",
        &Facts {
            install_bytes: Some(2 << 20),
            install_entries: Some(100),
            ..facts()
        },
    );
    // As for a share whose name has a space.
    fake(
        &sandbox,
        "df",
        "echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'\n\
         case $1 in -Pk) echo \"//server/my share 9999 99 ${KIB:-2048} 1% /mnt/a b\" ;;\n\
         -Pi) echo \"//server/my share ${INODES:-9999 99 100} 1% /mnt/a b\" ;; *) exit 1 ;; esac",
    );
    passed(&sandbox, &product, "ok: inodes: 100 left, 100 needed\n");
    sandbox.set("KIB", "2047");
    refused(
        &sandbox,
        &product,
        "has 1 MiB left, and installing takes 3 MiB",
    );
    sandbox.set("KIB", "-5");
    refused(&sandbox, &product, "and installing takes 3 MiB");
    // Environments that are there already take nothing more.
    fs::create_dir_all(product.join("demo/.pixi/envs/default/conda-meta")).unwrap();
    passed(
        &sandbox,
        &product,
        "ok: space: the environments are there already\n",
    );
    fs::remove_dir_all(product.join("demo/.pixi")).unwrap();
    sandbox.set("KIB", "2048");
    sandbox.set("INODES", "9999 99 99");
    refused(
        &sandbox,
        &product,
        "has 99 inodes left, and installing takes 100",
    );
    // btrfs has no table of inodes.
    sandbox.set("INODES", "0 0 0");
    not_checked(&sandbox, &product, "not checked: inodes");
}

#[test]
fn a_place_where_no_program_may_be_started_is_refused() {
    let (sandbox, product) = product_that_knows("P", &facts());
    passed(&sandbox, &product, "ok: programs may be started");
    // To execve, a file that lost its x bit and a noexec mount are the same.
    fake(&sandbox, "chmod", "");
    refused(
        &sandbox,
        &product,
        "cannot be started (is it mounted noexec?)",
    );
    assert_eq!(fs::read_dir(product.join("demo")).unwrap().count(), 2);
}

#[test]
fn a_product_that_cannot_be_written_to_is_refused() {
    for folder in ["pkg-cache", "demo", "demo/.pixi/envs"] {
        let (sandbox, product) = product_that_knows("P", &facts());
        let folder = product.join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
        let setpriv = testbed::ensure_debian_package("setpriv", "util-linux").unwrap();
        // Root without its right to write anywhere is like any other user.
        let run = if rustix::process::geteuid().is_root() {
            Run::of(
                sandbox
                    .program(setpriv)
                    .args(["--bounding-set=-all", "--inh-caps=-all"])
                    .arg(product.join("bootstrap-project.sh")),
            )
        } else {
            bootstrap(&sandbox, &product, &[])
        };
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        run.code(2)
            .says(&format!("{} is not writable", folder.display()));
        assert_eq!(run.stderr.matches("not writable").count(), 1, "{run}");
        assert_eq!(run.stdout, "", "{run}");
    }
}

/// An environment as pixi leaves it, that says it was installed for `prefix`.
fn environment(product: &Path, name: &str, record: &str, prefix: &Path) -> PathBuf {
    let folder = product.join("demo/.pixi").join(name);
    let file = folder.join(record);
    fs::create_dir_all(folder.join("conda-meta")).unwrap();
    fs::create_dir_all(folder.join("lib")).unwrap();
    let mut text = prefix.as_os_str().to_owned();
    if record.starts_with("conda-meta") {
        text.push("/conda-meta");
    }
    fs::write(file, text.as_bytes()).unwrap();
    folder
}

/// What pixi 0.77 writes, and what 0.15.2 does.
const RECORDS: [&str; 2] = ["conda-meta/pixi_env_prefix", "prefix"];

#[test]
fn an_environment_from_another_path_is_removed_and_said_so() {
    for record in RECORDS {
        for name in ["envs/default", "solve-group-envs/default"] {
            let (sandbox, product) = product_that_knows("a b/P\n", &facts());
            let old = environment(
                &product,
                name,
                record,
                Path::new("/old/demo/.pixi/envs/default"),
            );
            let here = product.join("demo/.pixi/envs/test");
            environment(&product, "envs/test", record, &here);
            let run = bootstrap(&sandbox, &product, &["--check"]);
            run.success()
                .prints("was installed for /old/demo/.pixi/envs/default");
            assert!(old.is_dir(), "--check removes nothing");
            let run = bootstrap(&sandbox, &product, &["--pixi", "no-such-pixi"]);
            run.code(127);
            assert!(
                old.is_dir(),
                "nothing is removed when nothing will be installed"
            );
            bootstrap(&sandbox, &product, &[])
                .success()
                .says("was installed for /old/demo/.pixi/envs/default")
                .says("removes it");
            assert!(!old.exists());
            assert!(here.is_dir());
            passed(&sandbox, &product, "ok: no environment from another path\n");
        }
    }
}

#[test]
fn an_environment_that_is_where_it_was_installed_stays() {
    for record in RECORDS {
        let (sandbox, product) = product_that_knows("P", &facts());
        // By another name of the same folder: it was installed through a link.
        let link = sandbox.work().join("link");
        std::os::unix::fs::symlink(&product, &link).unwrap();
        let through_link = link.join("demo/.pixi/envs/default");
        let folder = environment(&product, "envs/default", record, &through_link);
        passed(&sandbox, &product, "ok: no environment from another path\n");
        assert!(folder.is_dir());
    }
    // A package's own file that is called as pixi 0.15's.
    let (sandbox, product) = product_that_knows("P", &facts());
    let folder = environment(&product, "envs/default", "prefix", Path::new("/usr/local"));
    passed(&sandbox, &product, "ok: no environment from another path\n");
    assert!(folder.is_dir());
}

#[test]
fn an_old_environment_behind_a_link_is_left_to_the_user() {
    let (sandbox, product) = product_that_knows("P", &facts());
    let old = Path::new("/old/envs/default");
    let folder = environment(&product, "envs/default", RECORDS[0], old);
    let elsewhere = sandbox.work().join("detached");
    fs::rename(folder.parent().unwrap(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, folder.parent().unwrap()).unwrap();
    refused(&sandbox, &product, "lies behind a symbolic link");
    assert!(elsewhere.join("default/lib").is_dir());
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
