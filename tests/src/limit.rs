//! A limit of time for every program that is started here: one that does not end is ended with
//! all that it started, and named with what it had printed.
//!
//! The limits are generous, since a machine may do much else, and final.

use std::io::{self, Read};
use std::ops::{ControlFlow, Deref, DerefMut};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use duct::Expression;

use crate::descendants::{GRACE, end_with_descendants, running_below};

/// How long one command may take. The longest here, a build of a product, takes some fifteen
/// seconds on a machine that does nothing else.
pub const COMMAND: Duration = Duration::from_secs(600);

/// Ends a process when the limit is over and this value is still there.
#[derive(Debug)]
pub struct Limit {
    limit: Duration,
    reached: Arc<Mutex<Option<String>>>,
    over: Sender<()>,
    watch: Option<JoinHandle<()>>,
}

impl Limit {
    /// Begins to count for the process `pid` and all that it starts.
    pub fn on(pid: u32, limit: Duration) -> Limit {
        let reached = Arc::new(Mutex::new(None));
        let (over, wait) = channel();
        let seen = Arc::clone(&reached);
        let watch = thread::spawn(move || watch(pid, limit, &wait, &seen));
        Limit {
            limit,
            reached,
            over,
            watch: Some(watch),
        }
    }

    /// What ran when the limit was reached, if it was.
    #[must_use]
    pub fn reached(&self) -> Option<String> {
        let found = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let running = found.as_ref()?;
        Some(reached(self.limit, running))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = self.over.send(());
        if let Some(watch) = self.watch.take() {
            let _ = watch.join();
        }
    }
}

fn watch(pid: u32, limit: Duration, over: &Receiver<()>, reached: &Mutex<Option<String>>) {
    if over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
        let running = running_below(pid);
        *reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        end_with_descendants(pid);
    }
}

/// Runs a command to its end and takes what it writes, within [`COMMAND`].
///
/// # Panics
/// When it cannot be started, or does not end in time.
pub fn output(command: &mut Command) -> Output {
    output_within(command, COMMAND)
}

/// As [`output`], within another limit.
///
/// # Panics
/// As [`output`].
pub fn output_within(command: &mut Command, limit: Duration) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Started::within(command, limit)
        .and_then(Started::output_in_time)
        .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"))
}

/// What [`Command`] does without a limit, done within [`COMMAND`].
pub trait InTime {
    /// As [`Command::output`].
    ///
    /// # Errors
    /// When it cannot be started.
    ///
    /// # Panics
    /// When it does not end in time.
    fn output_in_time(&mut self) -> io::Result<Output>;

    /// As [`Command::status`].
    ///
    /// # Errors
    /// When it cannot be started.
    ///
    /// # Panics
    /// When it does not end in time.
    fn status_in_time(&mut self) -> io::Result<ExitStatus>;

    /// As [`Command::spawn`]; the limit counts from now on.
    ///
    /// # Errors
    /// When it cannot be started.
    fn start(&mut self) -> io::Result<Started>;
}

impl InTime for Command {
    fn output_in_time(&mut self) -> io::Result<Output> {
        self.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.start()?.output_in_time()
    }

    fn status_in_time(&mut self) -> io::Result<ExitStatus> {
        self.start()?.wait_in_time()
    }

    fn start(&mut self) -> io::Result<Started> {
        Started::within(self, COMMAND)
    }
}

/// A child that runs within a limit; one that still runs when this value is dropped is ended.
#[derive(Debug)]
pub struct Started {
    child: Child,
    limit: Option<Limit>,
    until: Instant,
    args: String,
}

impl Deref for Started {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.child
    }
}

impl DerefMut for Started {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // From here on its number may be another process's.
        self.limit = None;
        if matches!(self.child.try_wait(), Ok(None)) {
            end_with_descendants(self.child.id());
            let _ = self.child.try_wait();
        }
    }
}

impl Started {
    /// Starts a command that may take up to `limit`.
    ///
    /// # Errors
    /// When it cannot be started.
    #[allow(clippy::disallowed_methods, reason = "the limit counts from the start")]
    pub fn within(command: &mut Command, limit: Duration) -> io::Result<Started> {
        let child = command.spawn()?;
        Ok(Started {
            limit: Some(Limit::on(child.id(), limit)),
            child,
            until: Instant::now() + limit,
            args: format!("{command:?}"),
        })
    }

    /// Waits for the end, as one who has read its output and shows it where the limit was
    /// reached: the inner error says what ran then.
    ///
    /// # Errors
    /// When it cannot be waited for.
    #[allow(clippy::disallowed_methods, reason = "the limit ends the child")]
    pub fn end(&mut self) -> io::Result<Result<ExitStatus, String>> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        let reached = self.limit.take().and_then(|limit| limit.reached());
        Ok(reached.map_or(Ok(status), Err))
    }

    /// As [`Child::wait`].
    ///
    /// # Errors
    /// When it cannot be waited for.
    ///
    /// # Panics
    /// When it did not end in time: shows what nobody has read of its output.
    pub fn wait_in_time(&mut self) -> io::Result<ExitStatus> {
        let end = self.end()?;
        Ok(end.unwrap_or_else(|why| {
            let rest = Streams::of(&mut self.child);
            rest.end_by(Instant::now() + GRACE);
            panic!("{}", rest.told(&self.args, &why));
        }))
    }

    /// As [`Child::wait_with_output`].
    ///
    /// # Errors
    /// When it cannot be waited for.
    ///
    /// # Panics
    /// When it did not end in time, or something that it started holds its output open.
    pub fn output_in_time(mut self) -> io::Result<Output> {
        let streams = Streams::of(&mut self.child);
        let end = self.end()?;
        // What it started may hold its streams open; nothing waits for that without an end.
        let ended = streams.end_by(self.until.max(Instant::now() + GRACE));
        let status = end.unwrap_or_else(|why| panic!("{}", streams.told(&self.args, &why)));
        let held = "ended, but something that it started holds its output open";
        assert!(ended, "{}", streams.told(&self.args, held));
        Ok(Output {
            status,
            stdout: streams.stdout.text(),
            stderr: streams.stderr.text(),
        })
    }
}

/// Both streams of a child, as far as they are pipes.
struct Streams {
    stdout: Stream,
    stderr: Stream,
}

impl Streams {
    fn of(child: &mut Child) -> Streams {
        Streams {
            stdout: Stream::read(child.stdout.take()),
            stderr: Stream::read(child.stderr.take()),
        }
    }

    fn end_by(&self, deadline: Instant) -> bool {
        self.stdout.ends_by(deadline) && self.stderr.ends_by(deadline)
    }

    fn told(&self, args: &str, why: &str) -> String {
        let [stdout, stderr] = [&self.stdout, &self.stderr].map(Stream::text);
        format!(
            "{args}\n{why}\n--- stdout\n{}--- stderr\n{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        )
    }
}

/// A stream that is read as it comes.
struct Stream {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Stream {
    fn read(stream: Option<impl Read + Send + 'static>) -> Stream {
        let text = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let Some(mut stream) = stream else { return };
            let mut buffer = [0; 1 << 16];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..length]);
            }
        });
        Stream { text, reader }
    }

    fn ends_by(&self, deadline: Instant) -> bool {
        while !self.reader.is_finished() && Instant::now() < deadline {
            sleep(Duration::from_millis(1));
        }
        self.reader.is_finished()
    }

    fn text(&self) -> Vec<u8> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut text)
    }
}

/// Runs an expression of duct's, whose streams lead to files, within a limit; `each` is called
/// while it runs, and may end it with a reason. The error is that reason, or what ran when the
/// limit was reached.
#[allow(clippy::disallowed_methods, reason = "it waits in steps")]
pub(crate) fn run_within(
    expression: &Expression,
    limit: Duration,
    mut each: impl FnMut(Duration) -> ControlFlow<String>,
) -> io::Result<Result<ExitStatus, String>> {
    let handle = expression.unchecked().start()?;
    let since = Instant::now();
    loop {
        // Short at first: most of what is asked of docker takes some hundredths of a second.
        let pause = since.elapsed().clamp(Duration::from_millis(1), GRACE / 100);
        if let Some(output) = handle.wait_timeout(pause)? {
            return Ok(Ok(output.status));
        }
        let end = if since.elapsed() > limit {
            let running: String = handle.pids().into_iter().map(running_below).collect();
            ControlFlow::Break(reached(limit, &running))
        } else {
            each(since.elapsed())
        };
        if let ControlFlow::Break(why) = end {
            handle.pids().into_iter().for_each(end_with_descendants);
            handle.kill()?;
            return Ok(Err(why));
        }
    }
}

fn reached(limit: Duration, running: &str) -> String {
    format!(
        "did not end within {} and was ended; these were running:\n{running}",
        in_words(limit)
    )
}

fn in_words(limit: Duration) -> String {
    match limit.as_secs() {
        seconds if seconds >= 60 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{} s", limit.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descendants::processes;
    use std::panic::catch_unwind;

    fn message_of(script: &'static str, limit: Duration) -> String {
        let end = catch_unwind(|| output_within(Command::new("sh").args(["-c", script]), limit));
        *end.unwrap_err().downcast::<String>().unwrap()
    }

    #[test]
    fn a_child_that_never_ends_is_ended_and_named_with_what_it_printed() {
        let since = Instant::now();
        // The grandchild has the pipes too.
        let script = "echo begun; echo oops >&2; sleep 987.1 & sleep 987.2; true";
        let message = message_of(script, Duration::from_millis(300));
        for part in [
            "sh",
            "within 0.3 s",
            "sleep 987.1",
            "sleep 987.2",
            "begun\n",
            "oops\n",
        ] {
            assert!(message.contains(part), "no {part:?} in {message}");
        }
        assert!(since.elapsed() < 3 * GRACE, "{:?}", since.elapsed());
        let left: Vec<_> = processes()
            .into_values()
            .filter(|process| process.args.starts_with("sleep 987."))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn one_that_ignores_the_request_to_end_is_ended_by_force() {
        let script = "trap '' TERM; echo begun; while :; do sleep 0.1; done";
        let message = message_of(script, Duration::from_millis(300));
        assert!(message.contains("begun\n"), "{message}");
    }

    #[test]
    fn what_holds_the_output_open_is_not_waited_for_without_end() {
        let script = "setsid sleep 40 & echo begun";
        let message = message_of(script, Duration::from_millis(300));
        assert!(message.contains("holds its output open"), "{message}");
        assert!(message.contains("begun\n"), "{message}");
    }

    #[test]
    fn a_started_child_that_never_ends_shows_what_nobody_has_read() {
        let end = catch_unwind(|| {
            let mut sleeping = Command::new("sh");
            sleeping.args(["-c", "echo begun; sleep 984; true"]);
            sleeping.stdout(Stdio::piped());
            let started = Started::within(&mut sleeping, Duration::from_millis(300));
            started.unwrap().wait_in_time().unwrap()
        });
        let message = *end.unwrap_err().downcast::<String>().unwrap();
        for part in ["sh", "within 0.3 s", "sleep 984", "begun\n"] {
            assert!(message.contains(part), "no {part:?} in {message}");
        }
    }

    #[test]
    fn a_started_child_that_nobody_waits_for_is_ended_with_what_it_started() {
        let args = ["-c", "sleep 983.1 & sleep 983.2; true"];
        let started = Command::new("sh").args(args).start().unwrap();
        let running = || {
            let all = processes().into_values();
            all.filter(|process| process.args.starts_with("sleep 983."))
                .count()
        };
        let become_soon = |count| {
            let since = Instant::now();
            while running() != count && since.elapsed() < GRACE {
                sleep(Duration::from_millis(10));
            }
            assert_eq!(running(), count);
        };
        become_soon(2);
        drop(started);
        become_soon(0);
    }

    #[test]
    fn one_that_ends_in_time_is_as_it_was() {
        let script = "echo out; echo err >&2; exit 3";
        let output = output(Command::new("sh").args(["-c", script]));
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(
            (&*output.stdout, &*output.stderr),
            (&b"out\n"[..], &b"err\n"[..])
        );
    }
}
