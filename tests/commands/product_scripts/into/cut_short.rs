//! Runs of `--into` that end at any moment, and two at a time.

use super::*;

/// Ends the whole run at the step that the test names, before the step.
const STEP: &str = r#"#!/bin/bash
count=$(($(cat "$STEPS" 2>/dev/null) + 1))
echo "$count" >"$STEPS"
if [ "$count" = "${STOP_AT-}" ]; then kill -9 0; fi
exec "/usr/bin/${0##*/}" "$@"
"#;

fn with_steps(sandbox: &mut Sandbox) {
    for name in ["mkdir", "mv", "cp", "ln", "rm", "chmod"] {
        write_program(&sandbox.bin().join(name), STEP);
    }
    let steps = sandbox.root().join("steps");
    sandbox.set("STEPS", steps);
}

/// Runs until a run is not ended, each time from what `prepare` leaves; gives how many were.
fn end_at_each_step(
    sandbox: &mut Sandbox,
    product: &Path,
    dir: &Path,
    prepare: &dyn Fn(&Sandbox),
    look: &dyn Fn(&Sandbox, usize),
) -> usize {
    for step in 1.. {
        sandbox.unset("STOP_AT");
        prepare(sandbox);
        let _ = fs::remove_file(sandbox.root().join("steps"));
        sandbox.set("STOP_AT", step.to_string());
        let args = ["--into", dir.to_str().unwrap()];
        let run = bootstrap_as(None, sandbox, product, &args);
        let ended = run.code == 137;
        sandbox.unset("STOP_AT");
        let run = match ended {
            true => bootstrap_as(None, sandbox, product, &args),
            false => run,
        };
        run.success();
        let made = names(dir);
        assert!(
            !made
                .iter()
                .any(|name| name.ends_with("-new") || name.ends_with("-lock")),
            "step {step}: {made:?}"
        );
        look(sandbox, step);
        if !ended {
            return step - 1;
        }
    }
    unreachable!("the loop ends")
}

#[test]
fn a_run_that_is_killed_at_any_step_is_completed_by_the_next() {
    let (mut sandbox, product, own) = place_of(None);
    with_steps(&mut sandbox);
    let dir = own.join("it");
    let whole = || names(&dir.join("demo/src")).join(" ");
    let ended = end_at_each_step(
        &mut sandbox,
        &product,
        &dir,
        &|_| {
            let _ = fs::remove_dir_all(&dir);
        },
        &|_, step| {
            assert_eq!(whole(), "empty file link pipe program", "step {step}");
            assert_eq!(names(&dir.join("pkg-cache/pkgs")), ["a-1-0"], "step {step}");
        },
    );
    assert!(ended > 10, "{ended}");
}

#[test]
fn an_update_that_is_killed_at_any_step_loses_nothing() {
    let (mut sandbox, product, own) = place_of(None);
    let next = next_version(&sandbox, &product, "next", "new");
    with_steps(&mut sandbox);
    let (dir, kept) = (own.join("it"), own.join("kept"));
    bootstrap(&sandbox, &product, &["--into", dir.to_str().unwrap()]).success();
    fs::write(dir.join("demo/mine"), "mine").unwrap();
    fs::rename(&dir, &kept).unwrap();
    let ended = end_at_each_step(
        &mut sandbox,
        &next,
        &dir,
        &|sandbox| {
            let _ = fs::remove_dir_all(&dir);
            Run::of(sandbox.program("cp").arg("-a").args([&kept, &dir])).success();
        },
        &|_, step| {
            assert_eq!(read(dir.join("demo/src/file")), "new", "step {step}");
            let old: Vec<_> = names(&dir)
                .into_iter()
                .filter(|name| name.starts_with("demo."))
                .collect();
            assert_eq!(old.len(), 1, "step {step}: {old:?}");
            assert_eq!(read(dir.join(&old[0]).join("mine")), "mine", "step {step}");
        },
    );
    assert!(ended > 10, "{ended}");
}

#[test]
fn one_run_at_a_time_works_in_a_directory_and_the_lock_of_a_dead_one_is_nothing() {
    let (mut sandbox, product, own) = place_of(None);
    let dir = own.join("it");
    let args = ["--into", dir.to_str().unwrap()];
    // While one runs pixi, another one is started.
    let second = r#"#!/bin/bash
case $* in
  --version) echo 'pixi 0.77.0' ;;
  *)
    if [ -n "${SECOND-}" ]; then
      echo "second: $(unset SECOND; "$PRODUCT/bootstrap-project.sh" --into "$DIR" 2>&1), code $?"
    fi
    if [ -n "${DIE-}" ]; then kill -9 "$PPID"; fi
    ;;
esac
"#;
    write_program(&sandbox.bin().join("pixi"), second);
    sandbox.set("PRODUCT", &product);
    sandbox.set("DIR", &dir);
    sandbox.set("SECOND", "yes");
    bootstrap(&sandbox, &product, &args)
        .success()
        .prints("second: ERROR: another run installs into ")
        .prints(", code 2\n");
    sandbox.unset("SECOND");
    sandbox.set("DIE", "yes");
    bootstrap(&sandbox, &product, &args).code(137);
    assert!(fs::symlink_metadata(dir.join(".pixi-offline-lock")).is_ok());
    sandbox.unset("DIE");
    bootstrap(&sandbox, &product, &args).success();
    assert!(fs::symlink_metadata(dir.join(".pixi-offline-lock")).is_err());
    // One of another machine may go on: it cannot be known here.
    symlink("1 1 boot another-machine", dir.join(".pixi-offline-lock")).unwrap();
    bootstrap(&sandbox, &product, &args)
        .code(2)
        .says("process 1 on another-machine")
        .says("remove ");
    // Neither is a lock taken away that is not ours, nor one that is not a link.
    fs::remove_file(dir.join(".pixi-offline-lock")).unwrap();
    fs::write(dir.join(".pixi-offline-lock"), "").unwrap();
    bootstrap(&sandbox, &product, &args)
        .code(2)
        .says(".pixi-offline-lock");
}

#[test]
fn a_copy_that_fails_leaves_nothing_and_an_install_that_fails_goes_on() {
    let (mut sandbox, product, own) = place_of(None);
    let dir = own.join("it");
    let args = ["--into", dir.to_str().unwrap()];
    fake(
        &sandbox,
        "cp",
        "echo 'cp: No space left on device' >&2; exit 1",
    );
    bootstrap(&sandbox, &product, &args)
        .code(2)
        .says("No space left on device")
        .says("is the disk full");
    assert_eq!(names(&own), [] as [String; 0]);
    // A directory that was there stays, and is as it was.
    fs::create_dir(&dir).unwrap();
    bootstrap(&sandbox, &product, &args).code(2);
    assert_eq!(names(&dir), [] as [String; 0]);
    fs::remove_file(sandbox.bin().join("cp")).unwrap();
    sandbox.set("PIXI_EXIT", "7");
    bootstrap(&sandbox, &product, &args)
        .code(7)
        .says_not("OK: ");
    sandbox.unset("PIXI_EXIT");
    fs::write(dir.join("demo/mine"), "mine").unwrap();
    bootstrap(&sandbox, &product, &args).success().says("OK: ");
    assert_eq!(read(dir.join("demo/mine")), "mine");
    // So does one of a newer product that cannot be copied.
    let next = next_version(&sandbox, &product, "next", "2");
    let before = entries(&sandbox, &dir.join("demo"));
    fake(&sandbox, "cp", "exit 1");
    bootstrap(&sandbox, &next, &args).code(2);
    assert_eq!(entries(&sandbox, &dir.join("demo")), before);
    fs::remove_file(sandbox.bin().join("cp")).unwrap();
    bootstrap(&sandbox, &product, &args).success();
}
