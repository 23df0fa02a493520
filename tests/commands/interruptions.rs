//! SIGINT, SIGTERM and SIGHUP, and a reader that goes away.

use std::io::{BufRead as _, BufReader, Read as _};

use serde_json::json;

use crate::fake::Fake;
use testbed::limit::InTime as _;
use testbed::sandbox::has;

#[test]
fn a_signal_ends_the_container_and_gives_128_plus_its_number() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let (fake, mut child) = Fake::spawn_hanging();
        let id = child.id().to_string();
        assert!(
            fake.sandbox
                .program("kill")
                .args(["-s", signal, &id])
                .status_in_time()
                .unwrap()
                .success()
        );
        let status = child.wait_in_time().unwrap();
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(status.code(), Some(code), "{stderr}");
        assert!(stderr.contains("interrupted by signal"), "{stderr}");
        assert!(fake.calls().iter().any(|call| call[0] == "rm"));
        // The install was through: what is there is said to be installed.
        let record = fake.read("W/workdir.json");
        assert!(record.contains("\"state\": \"installed\""), "{record}");
        // The next run accepts what is left.
        fake.with(json!({"hang": false}))
            .create::<&str>(&[])
            .success();
    }
}

#[test]
fn a_closed_stdout_ends_the_run_as_a_pipeline_would() {
    let noise = "line\n".repeat(100_000);
    let fake = Fake::new().with(json!({"phases": [["install", noise, 0]]}));
    let mut child = fake.spawn();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    assert_eq!(child.wait_in_time().unwrap().code(), Some(141));
    assert!(fake.calls().iter().any(|call| call[0] == "rm"));
}

#[test]
fn a_signal_while_the_engine_still_fetches_the_image_ends_the_client() {
    let fake = Fake::new().with(json!({"fetching": true, "images": []}));
    let mut child = fake.spawn();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(stderr.any(|line| line.unwrap() == "Pulling"));
    let start = std::time::Instant::now();
    let id = child.id().to_string();
    fake.sandbox
        .program("kill")
        .args(["-s", "INT", &id])
        .status_in_time()
        .unwrap();
    assert_eq!(child.wait_in_time().unwrap().code(), Some(130));
    assert!(
        start.elapsed() < std::time::Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_phase_that_takes_too_long_is_ended_and_named() {
    let start = std::time::Instant::now();
    for phase in ["install", "verify"] {
        let fake = Fake::new().with(json!({"hang_in": phase}));
        fake.create(&["--timeout", "1500ms"])
            .code(124)
            .says(&format!("phase {phase} took longer than --timeout 1500ms"));
        assert!(fake.calls().iter().any(|call| call[0] == "rm"));
        let record = fake.read("W/workdir.json");
        let state = if phase == "install" {
            "staged"
        } else {
            "installed"
        };
        has(&record, &format!("\"state\": \"{state}\""));
        // The next run accepts what is left.
        fake.with(json!({"hang_in": null}))
            .create(&["--timeout", "1h"])
            .success();
    }
    // So is an engine that fetches and fetches.
    let fake = Fake::new().with(json!({"fetching": true, "images": []}));
    fake.create(&["--timeout", "1s"])
        .code(124)
        .says("fetching the image took longer than --timeout 1s");
    assert!(start.elapsed() < std::time::Duration::from_secs(60));
    for command in ["create-workdir-from-host", "build-offline-product"] {
        fake.run(command, &["--timeout", "90"])
            .code(2)
            .says("90s for seconds");
    }
}
