//! The output of a run: shown, kept in logs, and judged.

use std::fs::File;
use std::io::{self, Write as _};

use anyhow::Context as _;

use crate::container::demultiplexer::Piece;
use crate::container::masking::Masking;
use crate::container::outcome::{Contradiction, Outcome};
use crate::container::protocol::ScriptEvent;
use crate::container::session::PhaseLog;
use crate::container::signals::StopHandle;
use crate::failure::Failure;
use crate::report::Report;
use crate::untrusted_dir::UntrustedDir;

/// SIGPIPE: what a closed stdout would have ended a shell pipeline with.
const SIGPIPE: i32 = 13;

/// Takes pieces of output, shows and keeps them.
pub(super) struct OutputSink<'a> {
    pub(super) outcome: Outcome,
    phases: &'static [&'static str],
    report: &'a Report,
    logs: Vec<(PhaseLog, File)>,
    current: Option<usize>,
    masking: Masking,
    pub(super) trouble: Option<anyhow::Error>,
}

impl<'a> OutputSink<'a> {
    pub(super) fn new(
        phases: &'static [&'static str],
        logs: &[PhaseLog],
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
            masking: Masking::default(),
            trouble: None,
        })
    }

    pub(super) fn take(&mut self, piece: Piece, stop: &StopHandle) {
        match piece {
            Piece::Output(bytes) => {
                let bytes = self.masking.feed(bytes);
                self.show(&bytes, stop);
            }
            Piece::ScriptEvent(signal) => {
                // What was held back belongs to what was before.
                self.let_go(stop);
                match &signal {
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
                if let Err(contradiction) = self.outcome.on_event(signal, self.phases) {
                    self.give_up(contradiction.into(), stop);
                }
            }
            Piece::Forged(words) => self.give_up(Contradiction(words).into(), stop),
        }
    }

    /// Shows what might have become a credential and did not.
    pub(super) fn let_go(&mut self, stop: &StopHandle) {
        let bytes = self.masking.finish();
        self.show(&bytes, stop);
    }

    fn show(&mut self, bytes: &[u8], stop: &StopHandle) {
        if self.trouble.is_none()
            && let Err(trouble) = self.keep(bytes)
        {
            self.give_up(trouble, stop);
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

    /// Ends the run; the first trouble is what it ends for.
    pub(super) fn give_up(&mut self, trouble: anyhow::Error, stop: &StopHandle) {
        self.trouble.get_or_insert(trouble);
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
                    "stdout was closed; what ran in the container was ended",
                ),
                _ => anyhow::Error::new(error).context("stdout cannot be written"),
            })
    }
}
