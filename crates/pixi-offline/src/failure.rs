//! Errors that carry the exit code they end the process with.
//!
//! Everything in this crate returns [`anyhow::Error`]. Where the exit code means
//! something to a caller, a [`Failure`] is at the root of the error; any other
//! error ends the process with [`GENERAL`].

use std::fmt;

/// Something went wrong that no other code names.
pub const GENERAL: u8 = 1;
/// The command line or an input path is wrong; nothing was touched.
pub const USAGE: u8 = 2;
/// Something took longer than `--timeout` allows (the code of timeout(1)).
pub const TIMED_OUT: u8 = 124;
/// The container engine refused or does not answer (the code that the docker
/// client itself uses for this).
pub const ENGINE: u8 = 125;
/// The shell in a container could not be started.
pub const NOT_STARTED: u8 = 126;
/// A program is missing, here or in the image (the shell's code for this).
pub const MISSING_PROGRAM: u8 = 127;
/// Added to a signal's number when a process died of it (the shell's rule).
pub const SIGNAL_BASE: u8 = 128;

/// What a message says where only another build helps, and no later step can succeed.
pub const BUILD_AGAIN: &str = "create the workdir again";

/// Whether an error says that only another build helps.
pub fn asks_to_build_again(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains(BUILD_AGAIN)
}

/// An error message with the exit code that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// An error with any exit code: the code of a container command passes
    /// through here.
    pub fn with_code(code: u8, message: impl Into<String>) -> anyhow::Error {
        let message = message.into();
        anyhow::Error::new(Failure { code, message })
    }

    /// An error that no other code names: exit code 1.
    pub fn general(message: impl Into<String>) -> anyhow::Error {
        Failure::with_code(GENERAL, message)
    }

    /// An engine that refused or does not answer: exit code 125.
    pub fn engine(message: impl Into<String>) -> anyhow::Error {
        Failure::with_code(ENGINE, message)
    }

    /// A wrong command line or input path: exit code 2.
    pub fn usage(message: impl Into<String>) -> anyhow::Error {
        Failure::with_code(USAGE, message)
    }

    /// A program that is not there: exit code 127.
    pub fn missing_program(name: &str) -> anyhow::Error {
        Failure::with_code(MISSING_PROGRAM, format!("Missing required command: {name}"))
    }

    /// The end by a signal: exit code 128 + its number.
    pub fn by_signal(number: i32, message: impl Into<String>) -> anyhow::Error {
        let number = u8::try_from(number).unwrap_or(0) & 0x7f;
        Failure::with_code(SIGNAL_BASE + number, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit code for an error: that of the [`Failure`] anywhere in its chain,
/// else [`GENERAL`].
pub fn exit_code(error: &anyhow::Error) -> u8 {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failure>())
        .map_or(GENERAL, |failure| failure.code)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_code_survives_added_context() {
        let error = Err::<(), _>(Failure::with_code(7, "seven"))
            .context("while verifying")
            .unwrap_err();
        assert_eq!(exit_code(&error), 7);
        assert_eq!(exit_code(&anyhow::anyhow!("plain")), GENERAL);
    }

    #[test]
    fn a_signal_adds_128() {
        assert_eq!(exit_code(&Failure::by_signal(15, "ended")), 143);
    }
}
