//! A run of several phases, as people watch it and programs read it.

use std::collections::{HashSet, VecDeque};
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::escape::escape;
use crate::failure;
use crate::parallel::locked;
use crate::report::stdout;

/// The version of the objects on stdout, documented in `docs/reference/json.md`.
const SCHEMA: u32 = 2;

/// The moving line while a container works: its last line of output.
const SPINNER: &str = "{spinner} {prefix} {elapsed} {wide_msg}";

/// The moving line while bytes are copied or hashed.
const BAR: &str =
    "{spinner} {prefix} {elapsed} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}";

/// How many lines of a container's output are kept, to be shown when it fails.
const LINES_KEPT: usize = 20;

/// How much of one such line is kept, in bytes.
const LINE_KEPT: usize = 500;

/// What goes to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people.
    Text,
    /// One JSON object for each phase.
    Json,
}

/// How much a person is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// A line for each phase.
    Normal,
    /// What runs in the containers too.
    Verbose,
}

/// The phases of a run, one after the other.
#[derive(Debug)]
pub struct Phases {
    format: Format,
    verbosity: Verbosity,
    bar: ProgressBar,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    present: Option<CurrentPhase>,
    /// Every warning so far.
    warned: HashSet<String>,
    /// Every note so far.
    noted: HashSet<String>,
    /// Every key of what was said so far.
    keys: HashSet<String>,
    /// The line of the container's output that is not complete yet.
    line: Vec<u8>,
    /// The last complete ones of the present phase.
    lines: VecDeque<String>,
}

#[derive(Debug)]
struct CurrentPhase {
    name: &'static str,
    begun: Instant,
    facts: Map<String, Value>,
    warnings: Vec<String>,
}

impl Phases {
    /// Nothing has begun yet. On a terminal that `may_move` a line tells what is
    /// going on.
    pub fn new(format: Format, verbosity: Verbosity, may_move: bool) -> Phases {
        let moves = may_move && verbosity == Verbosity::Normal && io::stderr().is_terminal();
        let bar = ProgressBar::new_spinner();
        bar.set_draw_target(if moves {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        Phases {
            format,
            verbosity,
            bar,
            state: Mutex::default(),
        }
    }

    /// Whether details are wanted.
    pub(super) fn is_verbose(&self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.verbosity == Verbosity::Quiet
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Begins a phase, and ends the one before as one that went well.
    pub(super) fn begin(&self, name: &'static str, what: &str) {
        self.end_all(None);
        // Not only the time: a bar that is finished never moves again.
        self.bar.reset();
        self.bar.set_style(style(SPINNER));
        self.bar.enable_steady_tick(Duration::from_millis(120));
        self.runs(what);
        locked(&self.state).present = Some(CurrentPhase {
            name,
            begun: Instant::now(),
            facts: Map::new(),
            warnings: Vec::new(),
        });
    }

    /// Says what of the present phase runs now; the last lines are those of this part.
    pub(super) fn runs(&self, what: &str) {
        self.bar.set_prefix(what.to_owned());
        self.bar.set_message("");
        let mut state = locked(&self.state);
        state.lines.clear();
        state.line.clear();
    }

    pub(super) fn field(&self, key: &str, value: Value) {
        if let Some(present) = &mut locked(&self.state).present {
            present.facts.insert(key.to_owned(), value);
        }
    }

    /// Keeps a warning; whether it was not given before.
    pub(super) fn warned(&self, line: &str) -> bool {
        let mut state = locked(&self.state);
        let is_new = state.warned.insert(line.to_owned());
        if let Some(present) = &mut state.present
            && is_new
        {
            present.warnings.push(line.to_owned());
        }
        is_new
    }

    /// Keeps a note in mind; whether it was not given before.
    pub(super) fn noted(&self, line: &str) -> bool {
        locked(&self.state).noted.insert(line.to_owned())
    }

    /// Keeps a key in mind; whether it was not given before.
    pub(super) fn is_new(&self, key: &str) -> bool {
        locked(&self.state).keys.insert(key.to_owned())
    }

    /// Whether anybody sees the bar.
    pub(super) fn moves(&self) -> bool {
        !self.bar.is_hidden()
    }

    pub(super) fn progress_of(&self, bytes: u64) {
        self.bar.set_style(style(BAR));
        self.bar.set_length(bytes);
        self.bar.set_position(0);
    }

    pub(super) fn progress(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Shows bytes out of a container, their last line beside the spinner or all
    /// of them, and keeps the last lines.
    pub(super) fn container_output(&self, bytes: &[u8]) -> io::Result<()> {
        self.keep(bytes);
        match (self.is_verbose(), self.format) {
            (false, _) => Ok(()),
            (true, Format::Text) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            (true, Format::Json) => io::stderr().write_all(bytes),
        }
    }

    fn keep(&self, bytes: &[u8]) {
        let mut state = locked(&self.state);
        for &byte in bytes {
            match byte {
                b'\n' | b'\r' => {
                    let line = shown(&std::mem::take(&mut state.line));
                    if !line.trim().is_empty() {
                        self.bar.set_message(line.clone());
                        if state.lines.len() == LINES_KEPT {
                            state.lines.pop_front();
                        }
                        state.lines.push_back(line);
                    }
                }
                _ if state.line.len() < LINE_KEPT => state.line.push(byte),
                _ => {}
            }
        }
    }

    pub(super) fn last_lines(&self) -> Vec<String> {
        let state = locked(&self.state);
        let unfinished = Some(shown(&state.line)).filter(|line| !line.trim().is_empty());
        state.lines.iter().cloned().chain(unfinished).collect()
    }

    pub(super) fn beside_the_progress(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    /// Ends the present phase, and says so in the way that was asked for.
    pub(super) fn end_all(&self, error: Option<&anyhow::Error>) -> Option<&'static str> {
        let present = locked(&self.state).present.take()?;
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
        let took = present.begun.elapsed();
        let outcome = if error.is_none() { "passed" } else { "failed" };
        if self.verbosity != Verbosity::Quiet {
            let facts = match self.verbosity {
                Verbosity::Verbose => summary(&present.facts),
                _ => String::new(),
            };
            let line = format!(
                "{outcome}: {} ({:.1} s){facts}\n",
                present.name,
                took.as_secs_f64(),
            );
            let _ = io::stderr().write_all(line.as_bytes());
        }
        if self.format == Format::Json {
            let mut object = json!({
                "schema": SCHEMA,
                "phase": present.name,
                "outcome": outcome,
                "seconds": (took.as_secs_f64() * 1e3).round() / 1e3,
            });
            for (key, value) in present.facts {
                object[key] = value;
            }
            if !present.warnings.is_empty() {
                object["warnings"] = present.warnings.into();
            }
            if let Some(error) = error {
                object["error"] = format!("{error:#}").into();
                object["exit_code"] = failure::exit_code(error).into();
            }
            stdout::write(format_args!("{object}\n"));
        }
        error.map(|_| present.name)
    }
}

/// The object for what is answered without a run, which has no outcome.
pub(super) fn of_answer(name: &str, facts: &Value) -> Value {
    let mut object = json!({"schema": SCHEMA, "phase": name});
    if let Some(facts) = facts.as_object() {
        for (key, value) in facts {
            object[key] = value.clone();
        }
    }
    object
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// A line of a container's output as it may be shown on a terminal.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let plain = console::strip_ansi_codes(&text);
    escape(&plain.replace(char::is_control, "")).into_owned()
}

/// The facts that fit into a line: texts and numbers.
fn summary(facts: &Map<String, Value>) -> String {
    facts
        .iter()
        .filter_map(|(key, value)| {
            let value = match value {
                Value::String(text) => escape(text).into_owned(),
                Value::Number(number) => number.to_string(),
                _ => return None,
            };
            Some(format!("\n  {}: {value}", key.replace('_', " ")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_out_of_a_container_cannot_move_the_cursor() {
        assert_eq!(
            shown(b"\x1b[31mred\x1b[0m \x07and\x08 \xff"),
            "red and \u{fffd}"
        );
    }

    #[test]
    fn a_phase_ends_when_the_next_begins_and_names_itself_on_failure() {
        let phases = Phases::new(Format::Text, Verbosity::Quiet, true);
        assert_eq!(phases.end_all(None), None);
        phases.begin("stage", "staging");
        phases.field("entries", json!(3));
        phases.begin("build", "building");
        phases.container_output(b"one\ntwo").unwrap();
        let error = anyhow::anyhow!("broken");
        assert_eq!(phases.end_all(Some(&error)), Some("build"));
        assert_eq!(phases.end_all(Some(&error)), None);
        assert_eq!(phases.last_lines(), ["one", "two"]);
    }

    #[test]
    fn bytes_are_counted_from_nothing_in_each_phase() {
        for template in [SPINNER, BAR] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
        let phases = Phases::new(Format::Text, Verbosity::Quiet, false);
        for name in ["stage", "product"] {
            phases.begin(name, name);
            phases.progress_of(100);
            phases.progress(40);
            phases.progress(2);
            assert_eq!(
                (phases.bar.position(), phases.bar.length()),
                (42, Some(100))
            );
        }
    }

    #[test]
    fn the_last_lines_of_a_phase_are_kept_and_no_more() {
        let phases = Phases::new(Format::Json, Verbosity::Quiet, false);
        phases.begin("build", "building");
        phases.container_output(b"of the build\n").unwrap();
        phases.begin("verify", "verifying");
        for number in 0..50 {
            let line = format!("line {number}\r\n{}\n", "\x1b[1m".repeat(200));
            phases.container_output(line.as_bytes()).unwrap();
        }
        let kept: Vec<String> = (30..50).map(|number| format!("line {number}")).collect();
        assert_eq!(phases.last_lines(), kept);
    }
}
