//! Ends that look alike and are told apart, with the number kept.

use std::process::Command;

use testbed::images::{Change, derived_image};
use testbed::project::Manifest;
use testbed::sandbox::Run;

use crate::real::{Real, containers_of, image};
use crate::running::{Running, SLEEP};

fn project() -> Real {
    Real::with_project(&image().reference, &Manifest::usual("demo"))
}

fn derived(name: &str, lines: &str) -> String {
    let changes = [Change::Instructions(lines)];
    derived_image(name, &image().reference, &changes).unwrap()
}

#[test]
fn the_engines_own_refusals_are_told_apart() {
    let real = project();
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    let mut cases = 0;
    for argument in ["--no-such-option", "--memory=1"] {
        real.create(&["--workdir", "W2", "--engine-arg", argument])
            .code(125)
            .says("refused to start a container from image")
            .says("exit code 125");
        cases += 1;
    }
    // The shell itself is removed last, by a program that needs none.
    let without = derived("without-sh:test", "RUN [\"/bin/rm\", \"/bin/sh\"]");
    let closed = derived(
        "closed-sh:test",
        "RUN [\"/bin/cp\", \"--remove-destination\", \"/bin/dash\", \"/bin/sh\"]\n\
         RUN [\"/bin/chmod\", \"644\", \"/bin/sh\"]",
    );
    for (image, code, text) in [
        (without, 127, "has no shell (sh)"),
        (closed, 127, "has no shell (sh)"),
    ] {
        let run = real.create(&["--workdir", "W2", "--image", &image]);
        run.code(code).says(text);
        real.verify(&["--image", &image]).code(code).says(text);
        cases += 2;
    }
    assert_eq!(containers_of(&real), "");
    testbed::ran("the_engines_own_refusals_are_told_apart", cases);
}

#[test]
fn the_persons_codes_are_kept_whatever_they_look_like() {
    let real = project();
    real.sandbox
        .write("demo/end.py", "import sys; sys.exit(int(sys.argv[1]))");
    let codes = ["7", "125", "126", "127", "255"];
    let args = |code| ["--verify-run", "--", "python", "end.py", code];
    for code in codes {
        real.create(&args(code))
            .code(code.parse().unwrap())
            .says(&format!("the verification failed with exit code {code}"))
            .says_not("container");
    }
    real.make::<&str>(&[]).success();
    for code in codes {
        real.verify(&[&["--project-name", "demo"], &args(code)[..]].concat())
            .code(code.parse().unwrap())
            .says(&format!("the verification failed with exit code {code}"));
    }
    testbed::ran("the_persons_codes_are_kept_whatever_they_look_like", 10);
}

#[test]
fn lack_of_memory_is_said() {
    let real = project();
    real.sandbox.write("demo/eat.py", "bytearray(1 << 30)");
    let args = "--engine-arg=--memory=200m --verify-run -- python eat.py";
    let args: Vec<&str> = args.split(' ').collect();
    let run = real.create(&args);
    assert_ne!(run.code, 0, "{run}");
    run.says(&format!(
        "the verification failed with exit code {}",
        run.code
    ))
    .says("it ran out of memory");
    // Without a limit of its own nothing is said of memory.
    real.sandbox
        .write("demo/eat.py", "import os; os.kill(os.getpid(), 9)");
    let run = real.create(&args);
    assert_ne!(run.code, 0, "{run}");
    run.says_not("memory");
    testbed::ran("lack_of_memory_is_said", 2);
}

#[test]
fn a_container_that_is_killed_or_stopped_from_outside_is_said() {
    let real = project();
    real.sandbox.write("demo/sleep.py", SLEEP);
    for (verb, code, text) in [
        ("kill", 137, "killed by signal 9 from outside"),
        ("stop", 143, "stopped from outside"),
    ] {
        let mut command = real.sandbox.command("create-workdir-from-host");
        command.args(["--image", &real.image]);
        let args = "--project-dir demo --workdir W --verify-run -- python sleep.py";
        command.args(args.split(' '));
        let running = Running::until_it_prints(&mut command, "asleep");
        let name = containers_of(&real).split(' ').next().unwrap().to_owned();
        Run::of(Command::new("docker").args([verb, &name])).success();
        let (ended, stderr) = running.end();
        assert_eq!(ended, code, "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
        assert_eq!(containers_of(&real), "");
    }
    testbed::ran(
        "a_container_that_is_killed_or_stopped_from_outside_is_said",
        2,
    );
}
