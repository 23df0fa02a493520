//! What people and pipelines see: the only module that prints.
//!
//! Our own lines go to stderr; stdout carries what runs in the container, live
//! and byte for byte, so that a pipeline can read it.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Where the lines of a run go.
#[derive(Debug, Default)]
pub struct Report(());

impl Report {
    /// A report on this process's stdout and stderr.
    pub fn new() -> Report {
        Report(())
    }

    /// What was reached: `OK: …`.
    pub fn ok(&self, line: impl Display) {
        self.line("OK: ", line);
    }

    /// What to run next: `Next: …`.
    pub fn next(&self, line: impl Display) {
        self.line("Next: ", line);
    }

    /// A plain fact without a prefix, such as `Project: …`.
    pub fn fact(&self, line: impl Display) {
        self.line("", line);
    }

    /// Something to know that stops nothing: `NOTE: …`.
    pub fn note(&self, line: impl Display) {
        self.line("NOTE: ", printable(&line.to_string()));
    }

    /// Something that may bite later: `WARNING: …`.
    pub fn warning(&self, line: impl Display) {
        self.line("WARNING: ", printable(&line.to_string()));
    }

    /// The end of a failed run: `ERROR: …`, with the chain of causes.
    pub fn error(&self, error: &anyhow::Error) {
        self.line("ERROR: ", printable(&format!("{error:#}")));
    }

    /// Help, version and other text that was asked for, on stdout.
    pub fn text(&self, text: impl Display) {
        let _ = write!(io::stdout(), "{text}");
    }

    /// Bytes from the container, on stdout, at once.
    ///
    /// # Errors
    ///
    /// When stdout takes no more, `BrokenPipe` above all: the reader went away.
    pub fn container_output(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    fn line(&self, prefix: &str, line: impl Display) {
        // One write for a line, so that lines of several processes stay whole.
        // A closed stderr is no reason to stop the work.
        let _ = io::stderr().write_all(format!("{prefix}{line}\n").as_bytes());
    }
}

/// A text with its control characters written out, but for newlines: in what a
/// lock or a container says they would be orders to the terminal.
fn printable(text: &str) -> String {
    text.chars().fold(String::new(), |mut all, c| {
        if c.is_control() && c != '\n' {
            all.extend(c.escape_default());
        } else {
            all.push(c);
        }
        all
    })
}
