//! `envs.sh` and `bootstrap-project.sh`, run as a person at the target would,
//! with a pixi that writes down how it was called.

mod calls;
mod environments;
mod guidance;
mod into;
mod machine;
mod pixi;
mod settings;
mod signals;
mod tampering;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pixi_offline::evidence::manifest::Manifest;
use pixi_offline::evidence::{listing, sums};
use pixi_offline::layout::Product;
use pixi_offline::product::{Facts, write_scripts};
use testbed::limit::InTime as _;
use testbed::sandbox::{Run, Sandbox, names, words};

/// A pixi that tells how it was called, and what the test says that it finds.
const PIXI: &str = r#"#!/bin/bash
case $* in
  --version) echo "pixi ${PIXI_VERSION-0.77.0}" ;;
  'info --json')
    printf '{\n  "platform": "linux-64",\n  "virtual_packages": [\n'
    for one in ${PIXI_FINDS-__glibc=2.36=0 __linux=6.1=0}; do printf '    "%s",\n' "$one"; done
    printf '    "__unix=0=0"\n  ],\n  "version": "0.77.0"\n}\n'
    ;;
  *)
    printf '%s\n' "cwd=$PWD" "words=$*" "frozen=${PIXI_FROZEN-unset}" \
      "cache=$PIXI_CACHE_DIR" "offline=$PIXI_OFFLINE" "rattler=${RATTLER_CACHE_DIR-unset}"
    exit ${PIXI_EXIT:-0}
    ;;
esac
"#;

/// A sandbox with a product at `work/<place>` whose project is `demo`.
fn product_at(place: &str, env: &[OsString]) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    sandbox.write("W/project/demo/pixi.toml", "");
    sandbox.write("W/project/demo/pixi.lock", crate::fake::LOCK);
    sandbox.write("W/pixi-cache/pkgs/x", "");
    let mut args: Vec<OsString> = vec!["--workdir".into(), "W".into()];
    for assignment in env {
        args.extend(["--env".into(), assignment.clone()]);
    }
    sandbox.run("make-archive-ready-product", &args).success();
    let product = sandbox.work().join(place);
    fs::create_dir_all(product.parent().unwrap()).unwrap();
    fs::rename(sandbox.work().join("W/product"), &product).unwrap();
    write_program(&sandbox.bin().join("pixi"), PIXI);
    (sandbox, product)
}

/// The same, whose scripts know these facts.
fn product_that_knows(place: &str, facts: &Facts) -> (Sandbox, PathBuf) {
    let (sandbox, product) = product_at(place, &[]);
    fs::remove_file(product.join("provenance.json")).unwrap();
    let rendered = Product::new(sandbox.root().join("rendered"));
    fs::create_dir(rendered.path()).unwrap();
    write_scripts(&rendered, &[], facts).unwrap();
    for script in [rendered.environment_script(), rendered.bootstrap_script()] {
        put_program(&script, &product.join(script.file_name().unwrap()));
    }
    list_again(&product);
    (sandbox, product)
}

/// Makes the lists of a product again, for what is in it now.
fn list_again(product: &Path) {
    let lists = Product::new(product);
    let manifest = Manifest::parse(&fs::read(lists.manifest()).unwrap()).unwrap();
    let without: Vec<&str> = Product::UNCOVERED
        .iter()
        .copied()
        .chain([Product::MANIFEST])
        .collect();
    let entries = listing::list(product, &without, &|_, _| None).unwrap();
    let manifest = Manifest::new(manifest.facts, entries);
    let text = manifest.to_json().unwrap();
    fs::write(lists.manifest(), &text).unwrap();
    fs::write(lists.sums(), sums::text(&manifest.entries, &text)).unwrap();
}

/// What bootstrap needs of a machine, besides bash, to find out all that it does.
const TOOLS: &str = "cat chmod comm cut df find grep head mkdir mktemp paste rm sha256sum sort stat tail \
    timeout tr uname uniq wc bash";

/// What a shell exports whose user has functions of the names of builtins and programs, and
/// options that change what a script means.
pub fn callers_shell() -> Vec<(String, &'static str)> {
    let names = words("unset read set declare sort sha256sum stat cp mv fail ls find");
    let named = |name| (format!("BASH_FUNC_{name}%%"), "() { echo mine; }");
    let cd = ("BASH_FUNC_cd%%", "() { builtin cd \"$@\" && ls; }");
    let options = [
        cd,
        ("FUNCNEST", "2"),
        ("SHELLOPTS", "keyword:noglob:noclobber"),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value));
    names.into_iter().map(named).chain(options).collect()
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
        .status_in_time();
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

fn bootstrap(sandbox: &Sandbox, product: &Path, args: &[&str]) -> Run {
    Run::of(
        sandbox
            .program(product.join("bootstrap-project.sh"))
            .args(args),
    )
}

/// The arguments of each `pixi install`, in order.
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

/// What bootstrap says on stderr before its last two lines, which say that it installed
/// and what to type next.
#[track_caller]
fn before_the_end(run: &Run) -> &str {
    let end = run.stderr.find("OK: installed ").expect("an end");
    let (before, last) = run.stderr.split_at(end);
    assert_eq!(last.lines().count(), 2, "{run}");
    assert!(last.contains("\nNext: PRODUCT_ROOT="), "{run}");
    before
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
    assert_eq!(before_the_end(&run), "", "{run}");
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

/// The shells that envs.sh promises to work in.
const SHELLS: [(&str, &str); 3] = [("bash", "bash"), ("zsh", "zsh"), ("dash", "dash")];
