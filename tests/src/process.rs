//! Starts the programs that set the parts up, and says on stderr how that goes.
//!
//! Everything here is quiet while it goes well: what a program wrote is kept and shown,
//! shortened to its end, only when the program fails.

use std::fmt::Display;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use duct::Expression;

use crate::limit::run_within;

/// How often a long step says that it is still alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// How long one step of the setting up may take: an installation by apt-get or pip, say, over a
/// slow network.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// As [`PATIENCE`], for the steps that tell that they take long: a build of pixi on one slow core.
pub(crate) const LONG_PATIENCE: Duration = Duration::from_secs(150 * 60);

/// Says what is being set up, does it, and says how long it took.
pub(crate) fn announced<T>(what: impl Display, work: impl FnOnce() -> Result<T>) -> Result<T> {
    say(format_args!("{what} ..."));
    let since = Instant::now();
    let made = work()?;
    say(format_args!(
        "{what}: done in {:.1} s",
        since.elapsed().as_secs_f64()
    ));
    Ok(made)
}

/// One line on stderr, told apart from what the tests and commands print.
pub(crate) fn say(line: impl Display) {
    eprintln!("testbed: {line}");
}

/// Runs to the end without input and returns stdout without the last line break.
///
/// # Errors
/// When the program is not there, fails, or does not end within [`PATIENCE`]: `what` and the
/// end of what it wrote.
pub(crate) fn captured(what: impl Display, expression: Expression) -> Result<String> {
    captured_within(PATIENCE, what, expression)
}

/// As [`captured`], within another limit.
///
/// # Errors
/// As [`captured`].
pub(crate) fn captured_within(
    limit: Duration,
    what: impl Display,
    expression: Expression,
) -> Result<String> {
    // In files: who reads pipes waits for all that inherited them.
    let [stdout, stderr] = [tempfile::tempfile()?, tempfile::tempfile()?];
    let expression = expression
        .stdin_null()
        .stdout_file(stdout.try_clone()?)
        .stderr_file(stderr.try_clone()?);
    let end = run_within(&expression, limit, |_| ControlFlow::Continue(()))
        .with_context(|| format!("cannot start: {what}"))?;
    let [stdout, stderr] = [stdout, stderr].map(text_of);
    let problem = match end {
        Ok(status) if status.success() => return Ok(stdout.trim_end_matches('\n').to_owned()),
        Ok(status) => status.to_string(),
        Err(still_running) => still_running,
    };
    bail!(
        "{what}: {problem}\n{}",
        last_lines(&format!("{stdout}{stderr}"))
    );
}

fn text_of(mut file: File) -> String {
    let mut bytes = Vec::new();
    // A file that was just written is there; what cannot be read of it is only shown.
    let _ = file.rewind();
    let _ = file.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether it runs and ends with 0; nothing that it writes is shown.
pub(crate) fn succeeds(expression: Expression) -> bool {
    captured("a probe", expression).is_ok()
}

/// Runs something long with its output in a file, with a sign of life each minute.
///
/// # Errors
/// When the program is not there, fails, or does not end within [`LONG_PATIENCE`]: `what`, the
/// end of the log and where it is.
pub(crate) fn logged(what: impl Display, log: &Path, expression: Expression) -> Result<()> {
    let expression = expression.stdin_null().stderr_to_stdout().stdout_path(log);
    let mut next_sign = SIGN_OF_LIFE;
    let sign = |running: Duration| {
        if running >= next_sign {
            say(format_args!(
                "... {} min, log in {}",
                next_sign.as_secs() / 60,
                log.display()
            ));
            next_sign += SIGN_OF_LIFE;
        }
        ControlFlow::Continue(())
    };
    let end = run_within(&expression, LONG_PATIENCE, sign)
        .with_context(|| format!("cannot start: {what}"))?;
    let problem = match end {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(still_running) => still_running,
    };
    bail!(
        "{what}: {problem}\n{}\nwhole log: {}",
        end_of(log),
        log.display()
    );
}

/// The last lines of a log file, or why it cannot be read.
pub(crate) fn end_of(log: &Path) -> String {
    match std::fs::read(log) {
        Ok(bytes) => last_lines(&String::from_utf8_lossy(&bytes)),
        Err(error) => format!("({}: {error})", log.display()),
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let from = lines.len().saturating_sub(20);
    lines[from..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use duct::cmd;

    #[test]
    fn stdout_is_returned_without_its_last_line_break() {
        assert_eq!(
            captured("printf", cmd!("printf", "a\nb\n")).unwrap(),
            "a\nb"
        );
    }

    #[test]
    fn a_failure_names_the_thing_and_shows_the_end_of_both_streams() {
        let script = "seq 100; echo broken >&2; exit 3";
        let error = captured("the script", cmd!("sh", "-c", script))
            .unwrap_err()
            .to_string();
        assert!(error.contains("the script"), "{error}");
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.ends_with("100\nbroken"), "{error}");
        assert!(!error.contains("\n50\n"), "{error}");
    }

    #[test]
    fn what_does_not_end_is_ended_and_named_with_what_it_wrote() {
        let script = "echo begun; sleep 986; true";
        let sleeping = cmd!("sh", "-c", script);
        let limit = Duration::from_millis(300);
        let error = captured_within(limit, "the script", sleeping)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("the script: did not end within"),
            "{error}"
        );
        assert!(error.contains("sleep 986"), "{error}");
        assert!(error.ends_with("begun"), "{error}");
    }

    #[test]
    fn a_logged_failure_shows_the_end_of_its_log() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let error = logged(
            "the build",
            log.path(),
            cmd!("sh", "-c", "echo one >&2; exit 1"),
        )
        .unwrap_err()
        .to_string();
        assert!(error.starts_with("the build"), "{error}");
        assert!(error.contains("\none\n"), "{error}");
    }
}
