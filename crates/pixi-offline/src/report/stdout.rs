//! Answers on stdout: a run whose answer cannot be written has failed.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::sync::OnceLock;

/// Why the first part of an answer that is missing could not be written. A process has one stdout.
static FIRST_ERROR: OnceLock<io::Error> = OnceLock::new();

/// Writes a part of an answer at once. A reader that went away has what it wants.
pub(super) fn write(text: impl Display) {
    let mut stdout = io::stdout().lock();
    let written = write!(stdout, "{text}").and_then(|()| stdout.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = FIRST_ERROR.set(error);
    }
}

/// Requires that every part was written.
///
/// # Errors
///
/// Exit code 1 when stdout took no more, for another reason than that its reader went away.
pub(crate) fn require_written() -> anyhow::Result<()> {
    match FIRST_ERROR.get() {
        None => Ok(()),
        Some(error) => Err(anyhow::anyhow!("stdout cannot be written: {error}")),
    }
}
