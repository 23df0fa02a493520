//! The output of a run: shown, kept in logs, and judged.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;

use crate::container::demultiplexer::Piece;
use crate::container::masking::Masking;
use crate::container::outcome::{Contradiction, Outcome};
use crate::container::protocol::ScriptEvent;
use crate::container::signals::StopHandle;
use crate::failure::Failure;
use crate::report::Report;
use crate::untrusted_dir::UntrustedDir;

/// SIGPIPE: what a closed stdout would have ended a shell pipeline with.
const SIGPIPE: i32 = 13;

/// Where the output of a phase is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseLog {
    /// The phase's name, as the script says it.
    pub phase: &'static str,
    /// The log's file, made anew.
    pub file: PathBuf,
}

/// Takes pieces of output, shows and keeps them.
pub(super) struct OutputSink<'a> {
    pub(super) outcome: Outcome,
    phases: &'static [&'static str],
    report: &'a Report,
    logs: Vec<(PhaseLog, File)>,
    current: Option<usize>,
    masking: Masking,
    pub(super) error: Option<anyhow::Error>,
}

impl<'a> OutputSink<'a> {
    pub(super) fn new(
        phases: &'static [&'static str],
        logs: &[PhaseLog],
        masking: Masking,
        report: &'a Report,
    ) -> anyhow::Result<OutputSink<'a>> {
        let open = |log: &PhaseLog| {
            let file = UntrustedDir::of_file(&log.file)
                .and_then(|(dir, name)| dir.create_file(name))
                .with_context(|| format!("the log {} cannot be written", log.file.display()))?;
            Ok((log.clone(), file))
        };
        Ok(OutputSink {
            outcome: Outcome::default(),
            phases,
            report,
            logs: logs.iter().map(open).collect::<anyhow::Result<_>>()?,
            current: None,
            masking,
            error: None,
        })
    }

    pub(super) fn take(&mut self, piece: Piece, stop: &StopHandle) {
        match piece {
            Piece::Output(bytes) => {
                let bytes = self.masking.feed(bytes);
                self.show(&bytes, stop);
            }
            Piece::Event(event) => {
                // What was held back belongs to what was before.
                self.let_go(stop);
                match &event {
                    ScriptEvent::Begin(phase) => {
                        stop.runs(format!("phase {phase}"));
                        self.report.runs(&format!("phase {phase} in the container"));
                        self.current = self.logs.iter().position(|(log, _)| log.phase == phase);
                    }
                    ScriptEvent::End(phase, _) => {
                        stop.runs(format!("what follows phase {phase}"));
                        self.current = None;
                    }
                    ScriptEvent::Credential(variable) => self.masking.learn(variable),
                    ScriptEvent::Ready(_) => self.require_told(stop.answer_script(), stop),
                    ScriptEvent::Finished(_) => stop.soon(),
                    _ => {}
                }
                if let Err(contradiction) = self.outcome.on_event(event, self.phases) {
                    self.give_up(contradiction.into(), stop);
                }
            }
            Piece::Forged(line) => self.give_up(Contradiction(line).into(), stop),
        }
    }

    /// Shows what might have become a credential and did not.
    pub(super) fn let_go(&mut self, stop: &StopHandle) {
        let bytes = self.masking.finish();
        self.show(&bytes, stop);
    }

    fn show(&mut self, bytes: &[u8], stop: &StopHandle) {
        if self.error.is_none()
            && let Err(error) = self.keep(bytes)
        {
            self.give_up(error, stop);
        }
    }

    /// Ends the run when the script cannot be told what it waits for. The end of a client that
    /// is gone tells more than that it takes no input.
    pub(super) fn require_told(&mut self, told: io::Result<()>, stop: &StopHandle) {
        if let Err(error) = told
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            let error =
                anyhow::Error::new(error).context("the engine's client cannot be written to");
            self.give_up(error, stop);
        }
    }

    /// Ends the run; the first error is what it ends for.
    pub(super) fn give_up(&mut self, error: anyhow::Error, stop: &StopHandle) {
        self.error.get_or_insert(error);
        stop.now();
    }

    fn keep(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some((log, file)) = self.current.and_then(|index| self.logs.get_mut(index)) {
            file.write_all(bytes).with_context(|| {
                format!(
                    "the log {} cannot be written; the run was stopped",
                    log.file.display()
                )
            })?;
        }
        self.report
            .container_output(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Failure::by_signal(
                    SIGPIPE,
                    "stdout was closed; the script in the container was stopped",
                ),
                _ => anyhow::Error::new(error).context("stdout cannot be written"),
            })
    }
}
