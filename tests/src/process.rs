//! Starts the programs that set the parts up, and says on stderr how that goes.
//!
//! Everything here is quiet while it goes well: what a program wrote is kept and shown,
//! shortened to its end, only when the program fails.

use std::fmt::Display;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use duct::Expression;

/// How often a long step says that it is still alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

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
/// When the program is not there, or fails: `what` and the end of what it wrote.
pub(crate) fn captured(what: impl Display, expression: Expression) -> Result<String> {
    let output = expression
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .with_context(|| format!("cannot start: {what}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{what}: {}\n{}",
            output.status,
            last_lines(&format!("{stdout}{stderr}"))
        );
    }
    Ok(stdout.trim_end_matches('\n').to_owned())
}

/// Whether it runs and ends with 0; nothing that it writes is shown.
pub(crate) fn succeeds(expression: Expression) -> bool {
    captured("a probe", expression).is_ok()
}

/// Runs something long with its output in a file, with a sign of life each minute.
///
/// # Errors
/// When the program is not there, or fails: `what`, the end of the log and where it is.
pub(crate) fn logged(what: impl Display, log: &Path, expression: Expression) -> Result<()> {
    let handle = expression
        .stdin_null()
        .stderr_to_stdout()
        .stdout_path(log)
        .unchecked()
        .start()
        .with_context(|| format!("cannot start: {what}"))?;
    let since = Instant::now();
    let mut next_sign = SIGN_OF_LIFE;
    let status = loop {
        if let Some(output) = handle.try_wait()? {
            break output.status;
        }
        if since.elapsed() >= next_sign {
            say(format_args!(
                "... {} min, log in {}",
                next_sign.as_secs() / 60,
                log.display()
            ));
            next_sign += SIGN_OF_LIFE;
        }
        sleep(Duration::from_millis(100));
    };
    if !status.success() {
        bail!(
            "{what}: {status}\n{}\nwhole log: {}",
            end_of(log),
            log.display()
        );
    }
    Ok(())
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
