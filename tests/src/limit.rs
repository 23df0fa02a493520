//! A limit of time for every program that is started here: one that does not end is ended with
//! all that it started, and named with what it had printed.
//!
//! The limits are generous, since a machine may do much else, and final.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use duct::Expression;
use rustix::process::{Pid, Signal, kill_process};

/// How long one command may take. The longest here, a build of a product, takes some fifteen
/// seconds on a machine that does nothing else.
pub const COMMAND: Duration = Duration::from_secs(600);

/// How long a program that is asked to end may tidy up.
const GRACE: Duration = Duration::from_secs(10);

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
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let running = reached.as_ref()?;
        Some(format!(
            "did not end within {} and was ended; these were running:\n{running}",
            in_words(self.limit)
        ))
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

/// Runs a command to its end and takes what it writes, as [`Command::output`] does, within
/// [`COMMAND`].
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
    let words = format!("{command:?}");
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{words} cannot be started: {error}"));
    finish_within(child, &words, limit)
}

/// Waits for the end of a started command and takes what it writes to its pipes.
///
/// # Panics
/// When it does not end within [`COMMAND`]; `words` says what it is.
pub fn finish(child: Child, words: &str) -> Output {
    finish_within(child, words, COMMAND)
}

fn finish_within(mut child: Child, words: &str, limit: Duration) -> Output {
    drop(child.stdin.take());
    let deadline = Instant::now() + limit;
    let stdout = Stream::read(child.stdout.take());
    let stderr = Stream::read(child.stderr.take());
    let limit = Limit::on(child.id(), limit);
    let status = child
        .wait()
        .unwrap_or_else(|error| panic!("{words}: {error}"));
    let reached = limit.reached();
    // Its number may be another process's from now on.
    drop(limit);
    // What it started may hold its streams open; nothing waits for that without an end either.
    let deadline = deadline.max(Instant::now() + GRACE);
    let ended = stdout.ends_by(deadline) && stderr.ends_by(deadline);
    let (stdout, stderr) = (stdout.text(), stderr.text());
    let told = |why: &str| {
        format!(
            "{words}\n{why}\n--- stdout\n{}--- stderr\n{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        )
    };
    if let Some(why) = reached {
        panic!("{}", told(&why));
    }
    assert!(
        ended,
        "{}",
        told("ended, but something that it started holds its output open")
    );
    Output {
        status,
        stdout,
        stderr,
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
/// while it runs. The error says what ran when the limit was reached.
pub(crate) fn run_within(
    expression: &Expression,
    limit: Duration,
    mut each: impl FnMut(Duration),
) -> io::Result<Result<ExitStatus, String>> {
    let handle = expression.unchecked().start()?;
    let since = Instant::now();
    loop {
        // Short at first: most of what is asked of docker takes some hundredths of a second.
        let pause = since.elapsed().clamp(Duration::from_millis(1), GRACE / 100);
        if let Some(output) = handle.wait_timeout(pause)? {
            return Ok(Ok(output.status));
        }
        if since.elapsed() > limit {
            let running: String = handle.pids().into_iter().map(running_below).collect();
            handle.pids().into_iter().for_each(end_with_descendants);
            handle.kill()?;
            return Ok(Err(format!(
                "did not end within {} and was ended; these were running:\n{running}",
                in_words(limit)
            )));
        }
        each(since.elapsed());
    }
}

fn in_words(limit: Duration) -> String {
    match limit.as_secs() {
        seconds if seconds >= 60 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{} s", limit.as_secs_f64()),
    }
}

/// A process as /proc shows it.
#[derive(Debug, Clone)]
struct Process {
    parent: u32,
    /// When it began: with the number, what no other process has.
    began: String,
    words: String,
}

/// Every process of the machine that is no zombie, by its number.
fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let process = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        if fields.first() == Some(&"Z") {
            return None;
        }
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        let process = Process {
            parent: fields.get(1)?.parse().ok()?,
            began: (*fields.get(19)?).to_owned(),
            words: if words.is_empty() {
                name.split_once('(')?.1.to_owned()
            } else {
                words.trim_end().to_owned()
            },
        };
        Some((pid, process))
    };
    entries.filter_map(process).collect()
}

/// A process and all below it, parents first, with how deep each is.
fn tree(all: &BTreeMap<u32, Process>, root: u32) -> Vec<(u32, usize)> {
    let mut found = Vec::new();
    let mut ahead = vec![(root, 0)];
    while let Some((pid, depth)) = ahead.pop() {
        if all.contains_key(&pid) && !found.iter().any(|(known, _)| *known == pid) {
            found.push((pid, depth));
        }
        let children = all.iter().filter(|(_, process)| process.parent == pid);
        ahead.extend(children.rev().map(|(&child, _)| (child, depth + 1)));
    }
    found
}

/// What a process is and what it has started, a line each.
#[must_use]
pub fn running_below(root: u32) -> String {
    let all = processes();
    let mut text = String::new();
    for (pid, depth) in tree(&all, root) {
        let words: String = all[&pid].words.chars().take(500).collect();
        let _ = writeln!(text, "  {}{pid} {words}", "  ".repeat(depth));
    }
    text
}

/// Asks a process to end, and ends it and all that it has started by force where that does not
/// come about soon.
pub fn end_with_descendants(root: u32) {
    let before = processes();
    let mut ours = tree(&before, root);
    let send = |pid: u32, signal| {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    };
    // The first of them alone: one of our commands then ends what it started in its own way.
    send(root, Signal::TERM);
    let since = Instant::now();
    loop {
        let now = processes();
        let started_since = tree(&now, root);
        ours.extend(started_since);
        ours.sort_unstable();
        ours.dedup_by_key(|(pid, _)| *pid);
        ours.retain(|(pid, _)| {
            let known = before.get(pid);
            let process = now.get(pid);
            process.is_some_and(|process| known.is_none_or(|known| known.began == process.began))
        });
        if ours.is_empty() {
            return;
        }
        if since.elapsed() > GRACE {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    for (pid, _) in ours {
        send(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            .filter(|process| process.words.starts_with("sleep 987."))
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
