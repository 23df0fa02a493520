//! Runs in a container that end before their time: signals, a reader or container that goes away.

use super::*;

/// Starts a create whose verification sleeps, and waits until it does.
fn sleeping(real: &Real, container: &Container) -> Running {
    let script = format!("cat >/home/me/demo/sleep.py <<'END'\n{SLEEP}\nEND\n");
    container.sh(&script).success();
    let args = ["--verify-run", "--", "python", "sleep.py"];
    Running::until_it_prints(&mut container.command(real, &args), "asleep")
}

/// Asserts that nothing of ours runs or is in the container soon.
#[track_caller]
fn left_as_it_was(container: &Container, what: &str) {
    let look = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -o 'sleep.p[y]\\|[.]pixi-offline-.*'; \
                ls -A /tmp /var/tmp /dev/shm /run | grep '^[.]pixi-offline-'; true";
    let mut left = String::new();
    let took = until(|| {
        left = container.sh(look).success().stdout.clone();
        left.is_empty()
    });
    assert!(took < SOON, "{what}: after {took:?} there was {left}");
    eprintln!("{what}: gone after {took:?}");
}

#[test]
fn an_interruption_ends_what_we_started_and_nothing_else() {
    let (real, container) = Container::with_project(&image().reference, &[]);
    for (signal, code) in [("TERM", 143), ("KILL", 137)] {
        let running = sleeping(&real, &container);
        running.signal(signal);
        assert_eq!(running.end().0, code);
        left_as_it_was(&container, signal);
        container.sh("true").success();
    }
    container
        .create(&real, &["--verify-task", "where"])
        .success();
    testbed::ran("an_interruption_ends_what_we_started_and_nothing_else", 2);
}

/// Words of the engine's client that tell what we do in the container just now.
const MOMENTS: [&str; 3] = ["no place to put a program", "{\"stage\"", "{\"send\""];

#[test]
fn an_interruption_at_any_moment_leaves_nothing_in_a_running_container() {
    let (real, container) = Container::with_project(&image().reference, &[]);
    // So that staging and sending take their time.
    container
        .sh("head -c 100000000 /dev/urandom >/home/me/demo/big")
        .success();
    let mut cases = 0;
    for moment in MOMENTS {
        let signals = [("KILL", 137), ("TERM", 143), ("INT", 130), ("HUP", 129)];
        let tried = testbed::cases(2, 4) as usize;
        for (signal, code) in signals.into_iter().take(tried) {
            let running = Running::until_it_calls(&mut container.command(&real, &[]), moment);
            if signal != "KILL" {
                thread::sleep(Duration::from_millis(30 * (cases % 4)));
            }
            running.signal(signal);
            let start = Instant::now();
            let (ended, stderr) = running.end();
            let what = format!("{signal} during {moment}");
            assert_eq!(ended, code, "{what}: {stderr}");
            assert!(start.elapsed() < SOON, "{what}: {:?}", start.elapsed());
            left_as_it_was(&container, &what);
            assert!(!real.path("W").exists());
            cases += 1;
        }
        // With --clean not even the container path stays.
        let running = Running::until_it_calls(&mut container.command(&real, &["--clean"]), moment);
        running.signal("TERM");
        assert_eq!(running.end().0, 143);
        left_as_it_was(&container, moment);
        if moment != MOMENTS[0] {
            container.sh("[ ! -e /tmp/pixi-offline-workdir ]").success();
        }
        cases += 1;
    }
    container
        .create(&real, &["--verify-task", "where"])
        .success();
    testbed::ran(
        "an_interruption_at_any_moment_leaves_nothing_in_a_running_container",
        cases,
    );
}

#[test]
fn kill_9_of_the_client_ends_only_what_it_had_started_in_a_running_container() {
    let (real, container) = Container::with_project(&image().reference, &[]);
    container
        .sh("head -c 100000000 /dev/urandom >/home/me/demo/big")
        .success();
    let args = |verify: bool| -> &[&str] {
        if verify {
            &["--verify-run", "--", "python", "sleep.py"]
        } else {
            &[]
        }
    };
    for moment in MOMENTS {
        let mut command = container.command(&real, args(false));
        let running = Running::until_it_calls(&mut command, moment);
        send("KILL", running.call(moment).expect("its client"));
        let (code, stderr) = running.end();
        assert_ne!(code, 0, "{moment}: {stderr}");
        assert!(
            stderr.contains("was killed by signal 9"),
            "{moment}: {stderr}"
        );
        left_as_it_was(&container, moment);
    }
    let running = sleeping(&real, &container);
    send("KILL", running.call("--interactive").expect("its client"));
    let (code, stderr) = running.end();
    assert_eq!(code, 137, "{stderr}");
    assert!(stderr.contains("was killed by signal 9"), "{stderr}");
    left_as_it_was(&container, "verification");
    container
        .create(&real, &["--verify-task", "where"])
        .success();
    testbed::ran(
        "kill_9_of_the_client_ends_only_what_it_had_started_in_a_running_container",
        4,
    );
}

#[test]
fn a_reader_that_goes_away_ends_what_runs_in_a_running_container() {
    let (real, container) = Container::with_project(&image().reference, &[]);
    container
        .sh("echo \"while True: print('line', flush=True)\" >/home/me/demo/sleep.py")
        .success();
    let args = ["--verify-run", "--", "python", "sleep.py"];
    let mut command = container.command(&real, &args);
    let (code, stderr) = Running::until_head_ends(&mut command).end();
    assert_eq!(code, 141, "{stderr}");
    left_as_it_was(&container, "a closed stdout");
    container
        .create(&real, &["--verify-task", "where"])
        .success();
}

#[test]
fn a_container_that_goes_in_the_middle_is_said_and_the_old_workdir_stays() {
    let (real, container) = Container::with_project(&image().reference, &[]);
    container
        .create(&real, &["--verify-task", "where"])
        .success();
    let before = fs::read(real.path("W/workdir.json")).unwrap();
    let running = sleeping(&real, &container);
    container.docker("kill").success();
    let (code, stderr) = running.end();
    assert_eq!(code, 137);
    assert!(stderr.contains("stopped during the work in it"), "{stderr}");
    assert_eq!(fs::read(real.path("W/workdir.json")).unwrap(), before);
}
