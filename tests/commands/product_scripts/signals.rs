//! A signal that comes to `bootstrap-project.sh` alone, while pixi installs.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use testbed::limit::{COMMAND, Started};

use super::*;

/// Tells its own number and installs for a minute, unless it may end at once. It holds no output
/// open, so that one that goes on is found when bootstrap has ended.
const SLOW_PIXI: &str = r#"
case $* in
  --version) echo "pixi 0.77.0" ;;
  *)
    if [ -e "$AT_ONCE" ]; then exit 0; fi
    echo $$ >"$STARTED.new"
    mv "$STARTED.new" "$STARTED"
    exec sleep 60 >/dev/null 2>&1
    ;;
esac"#;

/// A run with these arguments is sent this signal: pixi ends too, and the next run installs.
fn ends_pixi_too(signal: Signal, args: &[&str]) {
    let (mut sandbox, product) = product_at("product", &[]);
    fake(&sandbox, "pixi", SLOW_PIXI);
    let started = sandbox.root().join("started");
    let at_once = sandbox.root().join("at-once");
    sandbox.set("STARTED", &started);
    sandbox.set("AT_ONCE", &at_once);

    let mut command = sandbox.program(product.join("bootstrap-project.sh"));
    let command = command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let running = Started::within(command, COMMAND).unwrap();
    let end = Instant::now() + COMMAND;
    while !started.exists() {
        assert!(Instant::now() < end, "pixi did not start");
        thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&running), signal).unwrap();
    let output = running.output_in_time().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(128 + signal.as_raw()),
        "{message}"
    );
    let said = "ERROR: interrupted before everything was installed; run it again\n";
    assert!(message.ends_with(said), "{message}");
    let pixi = fs::read_to_string(&started)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(
        test_kill_process(Pid::from_raw(pixi).unwrap()).is_err(),
        "{signal:?}: pixi goes on"
    );

    fs::write(&at_once, "").unwrap();
    bootstrap(&sandbox, &product, args).success();
}

#[test]
fn a_signal_to_bootstrap_alone_ends_pixi_too() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        ends_pixi_too(signal, &[]);
        ends_pixi_too(signal, &["--into", "here"]);
    }
}
