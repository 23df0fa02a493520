//! A call of the engine's client that a signal to us ends.

use std::ffi::OsString;
use std::fs::File;
use std::io;

use anyhow::Context as _;

use crate::container::engine::Engine;
use crate::container::interruption::{self, LastResort, Watch};
use crate::tools::{Conversation, Ending};

/// What the called program reads.
#[derive(Debug)]
pub(super) enum Input {
    /// This file. The client is killed when a signal comes.
    File(File),
    /// Nothing; but the end of it when we are gone or a signal came.
    Held,
}

/// Starts the client, hands what it prints to `take`, and waits for its end.
///
/// # Errors
///
/// 128+n after a signal; when the client cannot be started or read; those of
/// `take`, the client killed.
pub(super) fn call<T>(
    engine: &Engine,
    arguments: &[OsString],
    input: Input,
    take: impl FnOnce(&mut Conversation) -> anyhow::Result<T>,
) -> anyhow::Result<(T, Ending)> {
    let watch = Watch::start(LastResort::Wait)?;
    let started = match input {
        Input::File(file) => engine
            .program()
            .listen(arguments, file)
            .map(|conversation| (conversation, None)),
        Input::Held => engine
            .program()
            .converse(arguments)
            .map(|(conversation, writer)| (conversation, Some(writer))),
    };
    let done = started.and_then(|(mut conversation, writer)| {
        watch.started(writer, conversation.killer());
        let taken = take(&mut conversation)?;
        io::copy(&mut conversation, &mut io::sink())
            .and_then(|_| conversation.ending())
            .context("the engine's client cannot be read")
            .map(|ending| (taken, ending))
    });
    match watch.finish() {
        Some(signal) => Err(interruption::interrupted(signal)),
        None => {
            let (taken, ending) = done?;
            let ending = ending.context("the engine's client closed its output and goes on")?;
            Ok((taken, ending))
        }
    }
}
