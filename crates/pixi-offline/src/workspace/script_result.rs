//! From what a script in a container said to success or the right failure.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use memchr::memmem;

use crate::container::Outcome;
use crate::failure::{self, Failure};
use crate::request::Expectations;
use crate::untrusted_dir::UntrustedDir;

/// What the log of a verification holds when none was asked for.
const NO_VERIFICATION: &str = "No verification requested.\n";

/// Writes the log of a verification that was not asked for.
pub(crate) fn write_no_verification(log: &Path) -> anyhow::Result<()> {
    UntrustedDir::of_file(log)
        .and_then(|(dir, name)| dir.create_file(name))
        .and_then(|mut file| file.write_all(NO_VERIFICATION.as_bytes()))
        .with_context(|| format!("{} cannot be written", log.display()))
}

/// A phase as the person knows it.
pub(crate) struct Phase<'a> {
    /// Its name in the script.
    pub(crate) name: &'a str,
    /// What it is, in a sentence: `pixi install`.
    pub(crate) what: &'a str,
    /// Its log, where it has one.
    pub(crate) log: Option<&'a Path>,
    /// What to do when it fails.
    pub(crate) advice: &'a str,
}

/// The failure of a build whose image lacks a program that it needs.
pub(crate) fn missing_program(program: &str) -> anyhow::Error {
    let advice = match program {
        "pixi" => "use an image with pixi on its PATH or in a login profile",
        "git" => {
            "pixi.lock has PyPI packages from git repositories, which are fetched with it: use an image with git, or depend on wheels of these packages"
        }
        "bash" => "the product's scripts are bash scripts: use an image with bash",
        _ => "use an image that has it",
    };
    Failure::with_code(
        failure::MISSING_PROGRAM,
        format!("the image has no {program} (looked on PATH in a login shell); {advice}"),
    )
}

/// Turns the end of a script into success or a failure with the script's code.
///
/// # Errors
///
/// The failing phase's exit code, 127 for a missing program, 1 for a file that
/// was expected.
pub(crate) fn require_success(outcome: &Outcome, phases: &[Phase<'_>]) -> anyhow::Result<()> {
    if let Some(program) = outcome.missing_programs.first() {
        return Err(missing_program(program));
    }
    for phase in phases {
        let Some(code @ 1..) = outcome.phase(phase.name) else {
            continue;
        };
        let advice = if phase.advice.is_empty() {
            String::new()
        } else {
            format!("; {}", phase.advice)
        };
        let end = match code {
            _ if outcome.out_of_memory.iter().any(|name| name == phase.name) => format!(
                "failed with exit code {code}: it ran out of memory, and the kernel killed one of its processes; give the container more memory, or free some"
            ),
            // Linux has signals 1 to 64; a higher code is the program's own.
            129..=192 => format!(
                "was killed by signal {} (exit code {code})",
                code - failure::SIGNAL_BASE
            ),
            _ => format!("failed with exit code {code}"),
        };
        return Err(Failure::with_code(
            code,
            format!("{} {end}{}{advice}", phase.what, whereabouts(phase.log)),
        ));
    }
    if !outcome.missing_files.is_empty() {
        return Err(Failure::general(format!(
            "the verification ended with 0 but left no {}; looked below the project and $VERIFY_OUT_DIR",
            outcome.missing_files.join(", no ")
        )));
    }
    match outcome.finished {
        Some(0) => Ok(()),
        code => {
            let code = code.unwrap_or(failure::GENERAL);
            Err(Failure::with_code(
                code,
                format!(
                    "the script in the container failed with exit code {code}; see its output above"
                ),
            ))
        }
    }
}

/// Where a log is, as the end of a sentence.
fn whereabouts(log: Option<&Path>) -> String {
    log.map(|log| format!("; its output is in {}", log.display()))
        .unwrap_or_default()
}

/// Checks that a verification printed what it should, by its log, which will be
/// found at `kept` if anywhere.
///
/// # Errors
///
/// Exit code 1 naming the text that is missing.
pub(crate) fn require_output(
    expectations: &Expectations,
    log: &Path,
    kept: Option<&Path>,
) -> anyhow::Result<()> {
    if expectations.output().is_empty() {
        return Ok(());
    }
    let wanted = expectations.output();
    let longest = wanted.iter().map(|text| text.len()).max().unwrap_or(0);
    let mut found = vec![false; wanted.len()];
    // A text may begin in one piece of the log and end in the next.
    let mut seen = Vec::new();
    UntrustedDir::of_file(log)
        .and_then(|(dir, name)| {
            dir.read_pieces(name, u64::MAX, |piece| {
                seen.extend_from_slice(piece);
                for (text, found) in wanted.iter().zip(&mut found) {
                    *found = *found || memmem::find(&seen, text.as_encoded_bytes()).is_some();
                }
                seen.drain(..seen.len().saturating_sub(longest));
            })
        })
        .with_context(|| format!("{} cannot be read", log.display()))?;
    for (text, found) in wanted.iter().zip(found) {
        if !found && !text.is_empty() {
            return Err(Failure::general(format!(
                "the verification ended with 0 but did not print {text:?}{}",
                whereabouts(kept)
            )));
        }
    }
    Ok(())
}
