//! What the script in a container said, and whether it can have said it.

use crate::container::protocol::ScriptEvent;
use crate::failure::Failure;

/// What the script in the container said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The shell that it ran in, `bash` or `sh`; `None` when it never ran.
    pub shell: Option<String>,
    /// What `pixi --version` printed there.
    pub pixi: Option<String>,
    /// The phases that ended, in order, with their exit codes.
    pub phases: Vec<(String, u8)>,
    /// How often packets found no way out of the container, by phase.
    pub attempts: Vec<(String, u64)>,
    /// Whether these were counted from outside of the container.
    pub counted_outside: bool,
    /// Programs that the image lacks.
    pub missing_programs: Vec<String>,
    /// Files that the verification should have left and did not.
    pub missing_files: Vec<String>,
    /// Files that it was handed and cannot read.
    pub unreadable_files: Vec<String>,
    /// The out directory in the container is not the one on this machine.
    pub out_dir_is_not_ours: bool,
    /// Phases in which the kernel killed a process for lack of memory.
    pub out_of_memory: Vec<String>,
    /// The script was ended with a signal, or its input ended.
    pub interrupted: bool,
    /// The script's own exit code; `None` when it did not get to its end.
    pub finished: Option<u8>,
    /// The phase that began and has not ended.
    running: Option<String>,
}

impl Outcome {
    /// The exit code of a phase that ended.
    pub fn phase(&self, name: &str) -> Option<u8> {
        self.phases
            .iter()
            .find(|(phase, _)| phase == name)
            .map(|(_, code)| *code)
    }

    /// How often packets found no way out during a phase; `None` when that is not
    /// known.
    pub fn attempts(&self, phase: &str) -> Option<u64> {
        self.attempts
            .iter()
            .find(|(name, _)| name == phase)
            .map(|(_, count)| *count)
    }

    /// The phase that has begun last, ended or not.
    pub(super) fn last_phase(&self) -> Option<&str> {
        let ended = || self.phases.last().map(|(phase, _)| phase.as_str());
        self.running.as_deref().or_else(ended)
    }

    /// Takes in what the script says. `phases` are those that it has, in their order.
    ///
    /// # Errors
    ///
    /// When the script cannot have said that after what it said before.
    pub(super) fn on_event(
        &mut self,
        event: ScriptEvent,
        phases: &[&str],
    ) -> Result<(), Contradiction> {
        let text = event.to_string();
        if self.may_follow(&event, phases) {
            self.learn(event);
            Ok(())
        } else {
            Err(Contradiction(text))
        }
    }

    fn may_follow(&self, event: &ScriptEvent, phases: &[&str]) -> bool {
        let place = |phase: &str| phases.iter().position(|known| *known == phase);
        let runs = |phase: &str| self.running.as_deref() == Some(phase);
        let has_ended = |phase: &str| self.phase(phase).is_some();
        if self.finished.is_some() {
            return false;
        }
        match event {
            ScriptEvent::Started(_) => self.shell.is_none(),
            ScriptEvent::Credential(_) => true,
            // Everything else comes after the start.
            _ if self.shell.is_none() => false,
            ScriptEvent::Begin(phase) => {
                let last = self.phases.last().and_then(|(last, _)| place(last));
                self.running.is_none() && place(phase).is_some_and(|place| last < Some(place))
            }
            ScriptEvent::End(phase, _) | ScriptEvent::OutOfMemory(phase) => runs(phase),
            ScriptEvent::Attempts(phase, _) => has_ended(phase) && self.attempts(phase).is_none(),
            ScriptEvent::Ready(point) => {
                self.running.is_none() && (point == super::START || has_ended(point))
            }
            ScriptEvent::Pixi(_) => self.pixi.is_none() && self.running.is_none(),
            ScriptEvent::OutDirIsNotOurs | ScriptEvent::UnreadableFile(_) => {
                self.phases.is_empty() && self.running.is_none()
            }
            ScriptEvent::MissingProgram(_) | ScriptEvent::MissingFile(_) => self.running.is_none(),
            ScriptEvent::Interrupted => !self.interrupted,
            ScriptEvent::Finished(_) => self.running.is_none() || self.interrupted,
            ScriptEvent::Unknown(_) => false,
        }
    }

    fn learn(&mut self, event: ScriptEvent) {
        match event {
            ScriptEvent::Started(shell) => self.shell = Some(shell),
            ScriptEvent::OutDirIsNotOurs => self.out_dir_is_not_ours = true,
            ScriptEvent::MissingProgram(name) => self.missing_programs.push(name),
            ScriptEvent::UnreadableFile(name) => self.unreadable_files.push(name),
            ScriptEvent::Pixi(version) => self.pixi = Some(version).filter(|text| !text.is_empty()),
            ScriptEvent::Begin(phase) => self.running = Some(phase),
            ScriptEvent::End(phase, code) => {
                self.running = None;
                self.phases.push((phase, code));
            }
            ScriptEvent::Attempts(phase, count) => self.attempts.push((phase, count)),
            ScriptEvent::MissingFile(file) => self.missing_files.push(file),
            ScriptEvent::OutOfMemory(phase) => self.out_of_memory.push(phase),
            ScriptEvent::Interrupted => self.interrupted = true,
            ScriptEvent::Finished(code) => self.finished = Some(code),
            ScriptEvent::Credential(_) | ScriptEvent::Ready(_) | ScriptEvent::Unknown(_) => {}
        }
    }
}

/// Something that our script cannot have said when it was said, in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contradiction(pub(super) String);

impl From<Contradiction> for anyhow::Error {
    fn from(Contradiction(text): Contradiction) -> anyhow::Error {
        let text: String = text.chars().take(100).collect();
        Failure::general(format!(
            "the output of the container contradicts itself ({text:?} is out of order): a program in the container imitates the events of the build script, so the result is unknown, and the container was stopped"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [&str; 3] = ["copy", "bootstrap", "verify"];

    /// The number of the event that is refused, counted from 0; how many events there are.
    fn refused(events: &str) -> (Option<usize>, usize) {
        let mut outcome = Outcome::default();
        let refuses = |text| outcome.on_event(ScriptEvent::parse(text), &PHASES).is_err();
        let number = events.split(", ").position(refuses);
        (number, events.split(", ").count())
    }

    #[test]
    fn what_our_scripts_say_is_heard() {
        for events in [
            "credential A=b, started bash, pixi x, begin copy, end copy 0, ready start, \
             begin bootstrap, end bootstrap 0, attempts bootstrap 0, ready bootstrap, \
             begin verify, out-of-memory verify, end verify 1, attempts verify 3, \
             finished 1",
            "started sh, begin bootstrap, end bootstrap 0, missing-file a, missing-file b, \
             finished 1",
            "started sh, begin verify, interrupted, finished 143",
            "started sh, out-dir-is-not-ours, finished 1",
            "started sh, missing-program bash, finished 127",
            "started sh, unreadable-file netrc, finished 1",
            "started sh, pixi, pixi, finished 127",
        ] {
            assert_eq!(refused(events).0, None, "{events}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for events in [
            "begin copy",
            "started bash, started bash",
            "started bash, begin other",
            "started bash, begin copy, begin bootstrap",
            "started bash, end copy 0",
            "started bash, begin copy, end bootstrap 0",
            "started bash, begin copy, end copy 1, end copy 0",
            "started bash, begin copy, end copy 0, begin copy",
            "started bash, begin bootstrap, end bootstrap 0, begin copy",
            "started bash, attempts bootstrap 0",
            "started bash, begin bootstrap, attempts bootstrap 0",
            "started bash, begin bootstrap, end bootstrap 0, attempts bootstrap 0, attempts bootstrap 0",
            "started bash, begin bootstrap, end bootstrap 0, attempts verify 0",
            "started bash, begin copy, unreadable-file a",
            "started bash, begin bootstrap, ready start",
            "started bash, ready bootstrap",
            "started bash, begin bootstrap, finished 0",
            "started bash, finished 0, finished 0",
            "started bash, finished 0, begin copy",
            "started bash, finished 1, interrupted",
            "started bash, end copy 256",
            "started bash, hello",
        ] {
            let (number, count) = refused(events);
            assert_eq!(number, Some(count - 1), "{events}");
        }
    }
}
