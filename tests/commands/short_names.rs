//! `pixi-offline`, which starts the commands by short names.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use testbed::limit::{COMMAND, Started};
use testbed::sandbox::{Run, Sandbox, binary, words};

/// Stands in for a command: prints the words, waits for a signal where it is asked to, and
/// ends with a code of its own.
const STAND_IN: &str = r#"#!/bin/bash
printf '<%s>' "${0##*/}" "$@"
[ "$1" = wait ] || exit 7
trap 'echo; echo "got TERM"; exit 9' TERM
touch ready
while :; do sleep 0.05; done
"#;

/// A directory with `pixi-offline` and stand-ins of some commands.
fn place(sandbox: &Sandbox, commands: &[&str]) -> PathBuf {
    let place = sandbox.work().join("some place");
    fs::create_dir(&place).unwrap();
    fs::copy(binary("pixi-offline"), place.join("pixi-offline")).unwrap();
    for command in commands {
        executable(&place.join(command), STAND_IN);
    }
    place
}

fn executable(file: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_short_name_is_the_command_beside_it_word_for_word() {
    let sandbox = Sandbox::new();
    let commands = words(
        "build-offline-product create-workdir-from-host create-workdir-from-container \
         make-archive-ready-product final-verify-product make-production-image compare-products \
         make-product-update pack-product",
    );
    let place = place(&sandbox, &commands);
    // Of the same name, and not beside it.
    executable(&sandbox.bin().join(commands[0]), "#!/bin/sh\nexit 1\n");
    let link = sandbox.bin().join("pixi-offline");
    std::os::unix::fs::symlink(place.join("pixi-offline"), &link).unwrap();
    for (args, command) in [
        (&["build", "--help", "a b", "", "--", "-x"][..], commands[0]),
        (&["build", "--container-id", "c"], commands[0]),
        (&["stage", "--version"], commands[1]),
        (&["stage", "--container-id", "c"], commands[2]),
        (&["product"], commands[3]),
        (&["verify", "*"], commands[4]),
        (&["image", "--", "--help"], commands[5]),
        (&["compare", "a", "b"], commands[6]),
        (&["update", "--from", "a"], commands[7]),
        (&["pack", "a", "b.tar"], commands[8]),
    ] {
        let run = Run::of(sandbox.program(&link).args(args));
        let expected: String = std::iter::once(command)
            .chain(args[1..].iter().copied())
            .map(|arg| format!("<{arg}>"))
            .collect();
        assert_eq!(run.code(7).stdout, expected, "{run}");
        assert_eq!(run.stderr, "", "{run}");
    }
}

#[test]
fn a_command_is_taken_from_path_where_none_is_beside_it() {
    let sandbox = Sandbox::new();
    let program = place(&sandbox, &[]).join("pixi-offline");
    Run::of(sandbox.program(&program).arg("verify"))
        .code(127)
        .says("ERROR: Missing required command: final-verify-product")
        .says("on PATH");
    executable(&sandbox.bin().join("final-verify-product"), STAND_IN);
    Run::of(sandbox.program(&program).arg("verify"))
        .code(7)
        .prints("<final-verify-product>");
}

#[test]
fn help_and_version_are_printed_and_other_args_end_with_2_and_the_list() {
    let sandbox = Sandbox::new();
    for (args, text) in [
        (&["--help"][..], "Usage: pixi-offline"),
        (&["-h", "build"], "(make-production-image)"),
        (&["help"], "Usage: pixi-offline"),
        (&["help", "help"], "Usage: pixi-offline"),
        (&["help", "pack"], "Usage: pack-product"),
        (&["--version"], "pixi-offline "),
    ] {
        let run = sandbox.run("pixi-offline", args);
        run.success().prints(text);
        assert_eq!(run.stderr, "");
    }
    for args in [
        &[][..],
        &["builds"],
        &["help", "builds"],
        &["--workdir", "w", "build"],
        &["build-offline-product"],
        &["a\nb"],
    ] {
        let run = sandbox.run("pixi-offline", args);
        run.code(2)
            .says("ERROR: ")
            .says("the commands are build, stage, product, verify, image, compare, update, pack");
        assert_eq!(run.stdout, "");
    }
    let alone = sandbox.run("pixi-offline", [""; 0]);
    alone
        .code(2)
        .says("Usage: pixi-offline <COMMAND>")
        .says("Examples:");
}

#[test]
fn a_signal_to_it_reaches_the_command() {
    let sandbox = Sandbox::new();
    let program = place(&sandbox, &["build-offline-product"]).join("pixi-offline");
    let mut command = sandbox.program(&program);
    command.args(["build", "wait"]).stdout(Stdio::piped());
    let running = Started::within(&mut command, COMMAND).unwrap();
    let ready = sandbox.work().join("ready");
    let end = Instant::now() + COMMAND;
    while !ready.exists() {
        assert!(Instant::now() < end, "the stand-in did not start");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
    let output = running.output_in_time().unwrap();
    assert_eq!(output.status.code(), Some(9), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("got TERM"));
}
