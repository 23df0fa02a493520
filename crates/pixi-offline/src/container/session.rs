//! A run of a container from its start to its removal.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::container::attempts::{Counter, OutsideCounter};
use crate::container::demultiplexer::{Demultiplexer, Piece};
use crate::container::disk_watch::DiskWatch;
use crate::container::engine::Engine;
use crate::container::masking::Masking;
use crate::container::mount::Mount;
use crate::container::outcome::Outcome;
use crate::container::output_sink::{OutputSink, PhaseLog};
use crate::container::protocol::ScriptEvent;
use crate::container::running_container::RunningContainer;
use crate::container::scripts::Script;
use crate::container::shared_dirs::{Access, NonceFile, not_shared};
use crate::container::signals::{Cause, GRACE, KillPolicy, SignalWatcher};
use crate::container::spec::{ContainerSpec, ExecSpec};
use crate::failure::{self, Failure};
use crate::report::Report;
use crate::tools::ExitInfo;

/// A run that is over.
#[derive(Debug)]
pub struct RunResult {
    /// What the script said until then.
    pub outcome: Outcome,
    /// Whether it came to its end, with any exit code; else why not, with the
    /// exit code that [`run`] lists.
    pub end: anyhow::Result<()>,
}

/// Runs a container: shows its output live, keeps the log of each phase, and
/// removes the container however the run ends.
///
/// `out` is the directory of this machine that the container sees as its out
/// directory, if it sees any: a file named after the nonce tells the script that it is really
/// this one. Into a volume, who fills it lays the nonce ([`nonce_file`]).
///
/// A script that did not get to its end is told in [`RunResult::end`], with the exit
/// code that `docs/compatibility.md` names: the engine refused (125, or 126 and 127 as
/// its client says), out of memory or killed (137), a signal to this process
/// (128+n), a closed stdout (141), a log that cannot be written (1), an entry
/// point that swallowed the script (1), an out directory that is not the one here (1), output that
/// contradicts itself (1).
///
/// # Errors
///
/// When the client cannot be started, or a log not be made.
pub fn run(
    engine: &Engine,
    spec: &ContainerSpec,
    out: Option<&Path>,
    logs: &[PhaseLog],
    report: &Report,
) -> anyhow::Result<RunResult> {
    let arguments = spec.run_arguments()?;
    let _nonce = out
        .map(|out| NonceFile::lay(out, spec.script.nonce()))
        .transpose()?;
    // podman does not remove one whose network another has.
    let mut names = vec![spec.name.clone()];
    if spec.counting.is_some() {
        names.insert(0, Counter::name(spec.script.nonce()));
    }
    let last_resort = KillPolicy::Remove(engine.clone(), names.clone());
    let mut outside = OutsideCounter::new(engine, spec);
    let written = WrittenLogs {
        mounts: &spec.mounts,
        logs,
        masking: spec.masking.clone(),
    };
    let mut end = run_client(
        engine,
        &arguments,
        &spec.script,
        last_resort,
        &written,
        &mut outside,
        report,
    )?;
    if let Some(why) = outside.why_not() {
        report.note(format_args!(
            "attempts to reach the network were counted in the container itself, since no second container could do that: {why}"
        ));
    }
    let counted = outside.finish(&mut end.outcome);
    let ended = end.classify(engine, |outcome, client| {
        if outcome.out_dir_is_not_ours {
            return Ok((
                failure::GENERAL,
                not_shared(
                    engine,
                    out.unwrap_or(Path::new("its volume")),
                    "it is another directory there",
                ),
            ));
        }
        why_the_container_ended(engine, spec, outcome, client)
    });
    engine.remove(&names)?;
    Ok(RunResult {
        end: ended.end.and(counted),
        ..ended
    })
}

/// Runs a script in a container that is there already and stays: shows its
/// output live and keeps the log of each phase.
///
/// # Errors
///
/// As [`run`]; a container that stopped meanwhile is named.
pub fn run_in(
    engine: &Engine,
    container: &RunningContainer,
    spec: &ExecSpec,
    logs: &[PhaseLog],
    report: &Report,
) -> anyhow::Result<RunResult> {
    let arguments = spec.exec_arguments(container.id());
    let end = run_client(
        engine,
        &arguments,
        &spec.script,
        KillPolicy::Wait,
        &WrittenLogs {
            mounts: &[],
            logs,
            masking: Masking::default(),
        },
        &mut OutsideCounter::Unable(String::new()),
        report,
    )?;
    Ok(end.classify(engine, |outcome, client| {
        container.why_it_ended(outcome.shell.is_some(), client)
    }))
}

/// What is written on this machine while a container runs.
struct WrittenLogs<'a> {
    mounts: &'a [Mount],
    logs: &'a [PhaseLog],
    /// What the logs show masked.
    masking: Masking,
}

impl WrittenLogs<'_> {
    fn dirs(&self) -> impl Iterator<Item = PathBuf> {
        let mounts = self.mounts.iter().filter(|mount| !mount.read_only);
        let mounted = mounts.filter_map(Mount::source);
        let logs = self.logs.iter().filter_map(|log| log.file.parent());
        mounted.chain(logs).map(Path::to_owned)
    }
}

/// Starts the client, listens to the script until the client ends, or until a disk
/// that is `written` to is nearly full.
fn run_client(
    engine: &Engine,
    arguments: &[OsString],
    script: &Script,
    last_resort: KillPolicy,
    written: &WrittenLogs<'_>,
    outside: &mut OutsideCounter<'_>,
    report: &Report,
) -> anyhow::Result<ScriptEnd> {
    let mut sink = OutputSink::new(
        script.phases(),
        written.logs,
        written.masking.clone(),
        report,
    )?;
    let watch = SignalWatcher::start(
        last_resort,
        "the start of the container",
        engine.time_limit.as_ref(),
    )?;
    let stop = watch.stop();
    let disks = DiskWatch::start(written.dirs(), watch.stop());
    let (mut child, mut input) = engine.program.spawn_piped(arguments)?;
    // The pipe takes it whole, whoever reads it; a client that has ended already is
    // told below.
    let told = input.write_all(format!("{}\n", script.tokens().line()).as_bytes());
    watch.started(Some(input), child.killer());
    sink.require_told(told, &stop);

    let mut demultiplexer = Demultiplexer::new(script.tokens().clone());
    let mut buffer = vec![0; 64 * 1024];
    let ended = loop {
        match child.read(&mut buffer) {
            Ok(0) => break child.ending(),
            Ok(length) => {
                demultiplexer.feed(&buffer[..length], |piece| {
                    match &piece {
                        Piece::Event(ScriptEvent::Started(_)) => outside.start(),
                        Piece::Event(ScriptEvent::Ready(point)) => outside.count(point),
                        _ => {}
                    }
                    sink.take(piece, &stop);
                });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    sink.take(Piece::Output(demultiplexer.finish()), &stop);
    sink.let_go(&stop);
    let full = disks.finish();
    let cause = watch.finish();
    Ok(ScriptEnd {
        client: ended
            .context("the engine's client cannot be read")?
            .context("the engine's client closed its output and did not end")?,
        cause,
        error: full.or(sink.error),
        outcome: sink.outcome,
    })
}

/// How a run ended, from our side.
struct ScriptEnd {
    client: ExitInfo,
    cause: Option<Cause>,
    error: Option<anyhow::Error>,
    outcome: Outcome,
}

impl ScriptEnd {
    /// Success when the script came to its end; else the failure, for which
    /// `why` is asked when neither a signal nor our own side is the cause.
    fn classify(
        self,
        engine: &Engine,
        why: impl FnOnce(&Outcome, ExitInfo) -> anyhow::Result<(u8, String)>,
    ) -> RunResult {
        let ScriptEnd {
            client,
            cause,
            error,
            outcome,
        } = self;
        let finished = outcome.finished.is_some() && !outcome.out_dir_is_not_ours;
        let end = if let Some(cause) = cause {
            Err(cause.into())
        } else if let Some(error) = error {
            Err(error)
        } else if let (true, Some(code)) = (outcome.interrupted, outcome.finished) {
            Err(Failure::with_code(
                code,
                format!(
                    "the script in the container was stopped from outside (exit code {code}): by `{} stop`, or by the end of its input",
                    engine.client()
                ),
            ))
        } else if finished {
            Ok(())
        } else {
            why(&outcome, client).and_then(|(code, message)| {
                let code = if code == 0 { failure::GENERAL } else { code };
                Err(Failure::with_code(code, message))
            })
        };
        RunResult { outcome, end }
    }
}

/// The exit code and the message for a container whose script did not get to
/// its end.
fn why_the_container_ended(
    engine: &Engine,
    spec: &ContainerSpec,
    outcome: &Outcome,
    client: ExitInfo,
) -> anyhow::Result<(u8, String)> {
    let image = &spec.image;
    let code = client.code;
    if let Some(signal) = client.signal {
        // The script sees its input end, and gives the files back.
        engine.wait_for_end(spec.name.as_str(), GRACE)?;
        return Ok((
            code,
            format!(
                "the engine's client ({}) was killed by signal {signal}; the script in the container was stopped",
                engine.client()
            ),
        ));
    }
    let state = engine.state(spec.name.as_str())?;
    if state.is_none() && code == failure::ENGINE {
        for source in spec.mounts.iter().filter_map(Mount::source) {
            if let Access::Unseen(message) = engine.sees(&[source], source, image)? {
                return Ok((failure::GENERAL, message));
            }
        }
    }
    let never_started = state.as_ref().is_none_or(|state| state.status == "created");
    let state = state.unwrap_or_default();
    let message = if state.out_of_memory {
        format!(
            "the container ran out of memory and was killed (exit code {code}); give it more, or free some"
        )
    } else if never_started && code == failure::MISSING_PROGRAM && state.error.is_empty() {
        // podman keeps no reason, and has this code for programs of its own too.
        format!(
            "a container of image {image} was not started (exit code {code}): the image has no shell (sh), which every command here needs, or {} lacks a program; its own message is above",
            engine.client()
        )
    } else if never_started && code == failure::MISSING_PROGRAM {
        format!(
            "image {image} has no shell (sh), which every command here needs; its start failed: {}",
            state.error
        )
    } else if never_started && code == failure::NOT_STARTED {
        format!(
            "the shell (sh) of image {image} cannot be started (exit code {code}): {}",
            state.error
        )
    } else if never_started {
        format!(
            "{} refused to start a container from image {image} (exit code {code}); its own message is above{}{}",
            engine.client(),
            if state.error.is_empty() { "" } else { ": " },
            state.error
        )
    } else if outcome.shell.is_none() {
        format!(
            "the script did not start in image {image} (exit code {code}). Check the login profile (/etc/profile) and /bin/sh of the image"
        )
    } else if code > failure::SIGNAL_BASE {
        format!(
            "the container was killed by signal {} from outside, or the engine stopped, before the script ended",
            code - failure::SIGNAL_BASE
        )
    } else {
        format!(
            "the container ended with exit code {code} before the script did; was the engine stopped?"
        )
    };
    Ok((code, message))
}
