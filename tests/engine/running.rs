//! Commands that are still running: their beginnings, their children, their ends.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use testbed::limit::{InTime as _, Started};

use crate::real::{Real, containers_of};

/// How long something may take that is to take two seconds, on a machine that
/// does much else.
pub const SOON: Duration = Duration::from_secs(5);

/// A python program that prints a line when it runs and goes on for minutes.
pub const SLEEP: &str =
    "import time; open('made-by-root', 'w'); print('asl' + 'eep', flush=True); time.sleep(600)";

/// A started command whose output is read.
pub struct Running {
    child: Started,
    stderr: JoinHandle<String>,
}

impl Running {
    /// Starts it and waits for a line on its standard output.
    pub fn until_it_prints(command: &mut Command, line: &str) -> Running {
        let mut running = Running::start(command);
        let stdout = running.child.stdout.take().unwrap();
        let mut lines = BufReader::new(stdout).lines();
        let there = lines.any(|read| read.unwrap() == line);
        // The rest is read so that the pipe stays open.
        thread::spawn(move || lines.count());
        if !there {
            panic!("no line {line:?}: {:?}", running.end());
        }
        running
    }

    /// Starts it and waits until it has started a program with this text among its arguments.
    pub fn until_it_calls(command: &mut Command, text: &str) -> Running {
        let mut running = Running::start(command);
        while running.call(text).is_none() {
            if running.child.try_wait().unwrap().is_some() {
                panic!("{text:?} was never called: {:?}", running.end());
            }
            thread::sleep(Duration::from_millis(2));
        }
        running
    }

    /// Starts it, reads one line of its standard output, and closes that, as
    /// `… | head -1` does.
    pub fn until_head_ends(command: &mut Command) -> Running {
        let mut running = Running::start(command);
        let mut stdout = BufReader::new(running.child.stdout.take().unwrap());
        stdout.read_line(&mut String::new()).unwrap();
        running
    }

    fn start(command: &mut Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .start()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Running { child, stderr }
    }

    /// The process that it has started with this text among its arguments.
    pub fn call(&self, text: &str) -> Option<u32> {
        let own = self.child.id().to_string();
        fs::read_dir("/proc").unwrap().find_map(|entry| {
            let entry = entry.unwrap();
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.to_owned();
            let args = fs::read(entry.path().join("cmdline")).ok()?;
            let args = String::from_utf8_lossy(&args).into_owned();
            (parent == own && args.contains(text) && args.contains("docker")).then_some(pid)
        })
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        send(signal, self.child.id());
    }

    /// Waits for its end, which must come in time: the exit code as a shell shows it, and its
    /// standard error.
    pub fn end(self) -> (i32, String) {
        let Running { mut child, stderr } = self;
        drop(child.stdout.take());
        let end = child.end().unwrap();
        let stderr = stderr.join().unwrap();
        let status = end.unwrap_or_else(|why| panic!("the command {why}\n{stderr}"));
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        (code, stderr)
    }
}

/// Sends a process a signal.
pub fn send(signal: &str, pid: u32) {
    Command::new("kill")
        .args(["-s", signal, &pid.to_string()])
        .status_in_time()
        .unwrap();
}

/// How long it takes until `done`, half a minute at most.
pub fn until(mut done: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !done() && start.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

/// Asserts that no container of ours is left soon; `what` says after what.
#[track_caller]
pub fn gone_soon(real: &Real, what: &str) {
    let took = until(|| containers_of(real).is_empty());
    assert!(took < SOON, "{what}: the container was there for {took:?}");
    eprintln!("{what}: gone after {took:?}");
}
