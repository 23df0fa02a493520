//! A call of the engine's client that a signal to us ends.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, PipeWriter, Read};
use std::thread;

use anyhow::Context as _;

use crate::container::engine::Engine;
use crate::container::signals::{KillPolicy, SignalWatcher};
use crate::failure::Failure;
use crate::report::Report;
use crate::request::{ContainerPlatform, ImageReference};
use crate::tools::{ChildProcess, ExitInfo};
use crate::untrusted_dir::RECORD_LIMIT;

/// What the called program reads.
pub(super) enum Input {
    /// This file, as long as we are there to send it. The client is killed when a
    /// signal comes.
    File(File),
    /// What this writes. The client is killed when a signal comes.
    Stream(Box<dyn FnOnce(PipeWriter) + Send>),
    /// Nothing; but the end of it when we are gone or a signal came.
    Held,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Input::File(_) => "File",
            Input::Stream(_) => "Stream",
            Input::Held => "Held",
        })
    }
}

/// What came of a call of the client.
pub(super) struct CallResult<T> {
    /// What was made of its output.
    pub(super) taken: anyhow::Result<T>,
    /// How it ended; `None` when it was killed, since its output could not be used.
    pub(super) exit: Option<ExitInfo>,
}

/// Has the engine fetch an image from its registry, for a platform when one is named; what the client prints is
/// shown as it comes.
///
/// # Errors
///
/// Exit code 125, naming the image, when it cannot be fetched; 128+n after a
/// signal.
pub fn fetch(
    engine: &Engine,
    image: &ImageReference,
    platform: Option<&ContainerPlatform>,
    report: &Report,
) -> anyhow::Result<()> {
    let mut arguments = vec!["pull"];
    if let Some(platform) = platform {
        arguments.extend(["--platform", platform.as_str()]);
    }
    arguments.push(image.as_str());
    let show = |stream: &mut ChildProcess| {
        for line in BufReader::new(stream).lines() {
            report.info(line.context("the engine's client cannot be read")?);
        }
        Ok(())
    };
    let CallResult { taken, exit } = call(KillPolicy::Wait, engine, &arguments, Input::Held, show)?;
    taken?;
    match exit {
        Some(exit) if exit.code == 0 => Ok(()),
        _ => Err(Failure::engine(format!(
            "image {image} is not on this engine, and {} could not fetch it; its own message is above: is the name correct, and does the engine reach the registry?",
            engine.client()
        ))),
    }
}

/// Starts the client, hands what it prints to `take`, and waits for its end. What does not end
/// by itself after a signal meets `last_resort`.
///
/// # Errors
///
/// 128+n after a signal; when the client cannot be started or read.
pub(super) fn call<T>(
    last_resort: KillPolicy,
    engine: &Engine,
    arguments: &[impl AsRef<OsStr>],
    input: Input,
    take: impl FnOnce(&mut ChildProcess) -> anyhow::Result<T>,
) -> anyhow::Result<CallResult<T>> {
    let watch = SignalWatcher::start(last_resort, purpose(arguments), engine.time_limit.as_ref())?;
    let done = engine
        .program
        .spawn_piped(arguments)
        .and_then(|(mut child, mut writer)| {
            let held = match input {
                Input::Held => Some(writer),
                Input::File(mut file) => {
                    thread::spawn(move || io::copy(&mut file, &mut writer));
                    None
                }
                Input::Stream(write) => {
                    thread::spawn(move || write(writer));
                    None
                }
            };
            watch.started(held, child.killer());
            let taken = take(&mut child);
            if taken.is_ok() {
                io::copy(&mut child, &mut io::sink())
                    .context("the engine's client cannot be read")?;
            }
            let exit = child.ending()?;
            Ok(CallResult { taken, exit })
        });
    match watch.finish() {
        Some(cause) => Err(cause.into()),
        None => done,
    }
}

/// What the client is called for, in a sentence.
fn purpose(arguments: &[impl AsRef<OsStr>]) -> &'static str {
    match arguments.first().and_then(|arg| arg.as_ref().to_str()) {
        Some("pull") => "fetching the image",
        Some("build") => "building the image",
        Some("save") => "saving the image",
        Some("cp" | "start") => "copying files to or from the engine",
        Some("exec") => "the work in the container",
        _ => "a call of the engine",
    }
}

/// What a program in a container answers, which is bounded: the container decides how
/// much that is.
///
/// # Errors
///
/// When it cannot be read, or is longer than [`RECORD_LIMIT`].
pub fn read_answer(stream: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut answer = Vec::new();
    stream
        .take(RECORD_LIMIT + 1)
        .read_to_end(&mut answer)
        .context("the engine's client cannot be read")?;
    anyhow::ensure!(
        answer.len() as u64 <= RECORD_LIMIT,
        "the answer from the container is longer than {RECORD_LIMIT} bytes"
    );
    Ok(answer)
}

/// Whether a writer failed since the other side had stopped reading.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_an_end_is_not_kept() {
        assert_eq!(read_answer(&b"answer"[..]).unwrap(), b"answer");
        let error = read_answer(io::repeat(b'x')).unwrap_err().to_string();
        assert!(error.contains("longer than"), "{error}");
    }
}
