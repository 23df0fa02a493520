//! What people and pipelines see: the only directory that prints.
//!
//! Our own lines go to stderr; stdout carries what runs in the container, live
//! and byte for byte, so that a pipeline can read it. A command that runs several
//! steps reports in [phases](Phases) instead.

mod heartbeat;
mod phases;
mod plain;
pub(crate) mod stdout;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, OnceLock};

use serde::Serialize;

use crate::escape::visible_lines;
use crate::parallel::locked;
use heartbeat::Heartbeat;

pub use phases::{Format, Phases, Verbosity};
pub(crate) use plain::PlainText;

/// Where the lines of a run go.
#[derive(Debug, Default)]
pub struct Report {
    phases: Option<Phases>,
    /// Where a person waits for a line.
    heartbeat: Option<Heartbeat>,
    /// Where control characters of what runs in a container are written out.
    plain: OnceLock<Mutex<PlainText>>,
    /// Only warnings and errors are wanted of a command that does not report in phases.
    quiet: OnceLock<()>,
    /// The steps of such a command, with --verbose.
    steps: OnceLock<Phases>,
}

impl Report {
    /// A report on this process's stdout and stderr.
    pub fn new() -> Report {
        Report {
            phases: None,
            heartbeat: io::stderr().is_terminal().then(Heartbeat::start),
            ..Report::default()
        }
    }

    /// A report in phases.
    pub fn in_phases(phases: Phases) -> Report {
        // A line that moves says as much.
        let is_still = !phases.is_quiet() && !phases.moves();
        Report {
            phases: Some(phases),
            heartbeat: is_still.then(Heartbeat::start),
            ..Report::default()
        }
    }

    /// Shows as much of a command that does not report in phases as is wanted.
    pub fn show(&self, verbosity: Verbosity) {
        match verbosity {
            Verbosity::Quiet => {
                let _ = self.quiet.set(());
            }
            Verbosity::Normal => {}
            Verbosity::Verbose => {
                let _ = self.steps.set(Phases::new(Format::Text, verbosity, false));
            }
        }
    }

    /// Whether only warnings and errors are wanted.
    pub fn is_quiet(&self) -> bool {
        match &self.phases {
            Some(phases) => phases.is_quiet(),
            None => self.quiet.get().is_some(),
        }
    }

    /// Whether the steps of several commands are shown as phases of one.
    pub fn has_phases(&self) -> bool {
        self.phases.is_some()
    }

    /// What is told of each phase or step.
    fn told(&self) -> Option<&Phases> {
        self.phases.as_ref().or_else(|| self.steps.get())
    }

    /// What was reached: `OK: …`.
    pub fn ok(&self, line: impl Display) {
        self.detail("OK: ", line);
    }

    /// What to run next: `Next: …`. In phases the next one follows by itself.
    pub fn next(&self, line: impl Display) {
        if self.phases.is_none() && !self.is_quiet() {
            self.line("Next: ", line);
        }
    }

    /// A plain fact without a prefix, such as `Project: …`.
    pub fn info(&self, line: impl Display) {
        self.detail("", line);
    }

    /// What the whole run came to: `OK: …`, unless only warnings and errors are
    /// wanted.
    pub fn result(&self, line: impl Display) {
        if !self.is_quiet() {
            self.line("OK: ", line);
        }
    }

    /// What helps after a failure; shown however little was asked for.
    pub fn hint(&self, line: impl Display) {
        self.line("", line);
    }

    /// What was asked for instead of a run, on stdout: as lines, or as one object
    /// that calls itself `name`.
    pub fn print_document(&self, name: &str, facts: &serde_json::Value, lines: &[String]) {
        if self.phases.as_ref().is_some_and(Phases::is_json) {
            self.text(format_args!("{}\n", phases::of_answer(name, facts)));
        } else {
            for line in lines {
                self.text(format_args!("{}\n", visible_lines(line)));
            }
        }
    }

    /// Something to know that stops nothing: `NOTE: …`.
    pub fn note(&self, line: impl Display) {
        // Several steps may see the same.
        let is_new = |phases: &Phases| phases.noted(&line.to_string());
        if !self.is_quiet() && self.phases.as_ref().is_none_or(is_new) {
            self.line("NOTE: ", indented(line));
        }
    }

    /// Prints a warning: `WARNING: …`.
    pub fn warning(&self, line: impl Display) {
        // Several steps may see the same.
        let is_new = |phases: &Phases| phases.warned(&line.to_string());
        if self.phases.as_ref().is_none_or(is_new) {
            self.line("WARNING: ", indented(line));
        }
    }

    /// Whether no earlier phase of the run has asked for this key.
    pub fn is_new(&self, key: &str) -> bool {
        self.phases.as_ref().is_none_or(|phases| phases.is_new(key))
    }

    /// The end of a failed run: `ERROR: …`, with the chain of causes.
    pub fn error(&self, error: &anyhow::Error) {
        self.line("ERROR: ", indented(format_args!("{error:#}")));
    }

    /// Help, version and other text that was asked for, on stdout.
    pub fn text(&self, text: impl Display) {
        self.printed();
        stdout::write(text);
    }

    /// From now on control characters of what runs in a container are written out where
    /// it is shown: without terminal escape sequences.
    pub fn show_plainly(&self) {
        let _ = self.plain.set(Mutex::default());
    }

    /// Whether [`Report::show_plainly`] was called.
    pub fn is_plain(&self) -> bool {
        self.plain.get().is_some()
    }

    /// Bytes from the container, on stdout, at once. In phases they are shown as
    /// these were asked to.
    ///
    /// # Errors
    ///
    /// When stdout takes no more, `BrokenPipe` above all: the reader went away.
    pub fn container_output(&self, bytes: &[u8]) -> io::Result<()> {
        let plain = self.plain.get().map(|plain| {
            let mut plain = locked(plain);
            plain.text(bytes)
        });
        let bytes = plain.as_deref().map_or(bytes, str::as_bytes);
        if let Some(phases) = &self.phases {
            if phases.is_verbose() {
                self.printed();
            }
            return phases.container_output(bytes);
        }
        if self.is_quiet() {
            return Ok(());
        }
        self.printed();
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Begins a phase, and ends the one before as one that went well. `what` is
    /// what it does, for the line that shows what runs.
    pub fn phase(&self, name: &'static str, what: &str) {
        if let Some(told) = self.told() {
            told.begin(name, what);
        }
        self.runs(what);
        self.printed();
    }

    /// Goes on with another part of the present phase, which puts an end to the container's
    /// [last lines](Report::last_lines).
    pub fn part(&self, what: &str) {
        if let Some(phases) = &self.phases {
            phases.runs(what);
        }
        self.runs(what);
    }

    /// Says what of the present phase runs now, for the line that says so when nothing is
    /// printed.
    pub fn runs(&self, what: &str) {
        if let Some(heartbeat) = self.heartbeat.as_ref().filter(|_| !self.is_quiet()) {
            heartbeat.runs(what);
        }
    }

    fn printed(&self) {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.printed();
        }
    }

    /// Says how many bytes the present phase will now read or write: on a terminal a
    /// bar takes the place of the spinner. They are not counted where nobody sees it.
    pub fn progress_of(&self, bytes: impl FnOnce() -> u64) {
        if let Some(phases) = self.phases.as_ref().filter(|phases| phases.moves()) {
            phases.progress_of(bytes());
        }
    }

    /// Says that this many more of these bytes are done.
    pub fn progress(&self, bytes: u64) {
        if let Some(phases) = &self.phases {
            phases.progress(bytes);
        }
    }

    /// Whether details are wanted.
    pub fn is_verbose(&self) -> bool {
        self.phases.as_ref().is_some_and(Phases::is_verbose)
    }

    /// The last lines that came out of a container in the present phase, fit for
    /// a terminal.
    pub fn last_lines(&self) -> Vec<String> {
        self.phases
            .as_ref()
            .map(Phases::last_lines)
            .unwrap_or_default()
    }

    /// Adds a fact to the present phase's record.
    pub fn field(&self, key: &'static str, value: impl Serialize) {
        if let Some(told) = self.told() {
            told.field(key, serde_json::to_value(value).unwrap_or_default());
        }
    }

    /// Ends the present phase with the result of the whole run, and gives the name
    /// of the phase that an error ended.
    pub fn end_phases(&self, error: Option<&anyhow::Error>) -> Option<&'static str> {
        self.told().and_then(|told| told.end_all(error))
    }

    /// A line that phases show only when asked for details: their own say as much.
    fn detail(&self, prefix: &str, line: impl Display) {
        if !self.is_quiet() && self.phases.as_ref().is_none_or(Phases::is_verbose) {
            self.line(prefix, line);
        }
    }

    fn line(&self, prefix: &str, line: impl Display) {
        self.printed();
        // What a lock, a product or a container says goes into lines too.
        let line = line.to_string();
        let line = visible_lines(&line);
        // One write for a line, so that lines of several processes stay whole.
        // A closed stderr is no reason to stop the work.
        let write = || {
            let _ = io::stderr().write_all(format!("{prefix}{line}\n").as_bytes());
        };
        match &self.phases {
            Some(phases) => phases.beside_the_progress(write),
            None => write(),
        }
    }
}

/// A message whose further lines begin with blanks: a name with a line end, which anybody
/// may have made, begins no message of its own.
fn indented(message: impl Display) -> String {
    let message = message.to_string();
    let mut shown = String::with_capacity(message.len());
    for (number, line) in message.split('\n').enumerate() {
        if number > 0 {
            shown.push('\n');
            if !line.is_empty() && !line.starts_with("  ") {
                shown.push_str("  ");
            }
        }
        shown.push_str(line);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_end_in_a_message_begins_no_message_of_its_own() {
        assert_eq!(indented("one line"), "one line");
        assert_eq!(indented("two:\n  lines\n"), "two:\n  lines\n");
        assert_eq!(indented("a\nERROR: b\n OK: c"), "a\n  ERROR: b\n   OK: c");
    }
}
