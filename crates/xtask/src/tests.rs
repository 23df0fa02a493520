//! Every test, and an honest account of those that could not run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};

use anyhow::Context as _;
use duct::cmd;

use crate::build;

/// Tests that may be left out on some machine, one a line, with the reason.
const ALLOWED_SKIPS: &str = include_str!("../../../tests/allowed-skips.txt");

/// How long the tests of many cases take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Short,
    Long,
}

/// What a run of the tests showed.
#[derive(Debug, Default)]
pub struct Account {
    /// Whether each test passed, by the last part of its name.
    pub passed: BTreeMap<String, bool>,
    /// How many cases a test of many cases ran.
    pub cases: BTreeMap<String, u64>,
    /// Why a test did not run.
    pub skipped: BTreeMap<String, String>,
}

/// Sets up the real parts, builds the release binaries, runs `cargo test` over
/// the workspace with `words`, and lists what was skipped.
///
/// # Errors
/// When a part cannot be set up, a test fails, or a test that must run was skipped.
pub fn run(words: &[String], length: Length) -> anyhow::Result<Account> {
    let parts = testbed::ensure_all()?;
    eprintln!(
        "image: {} (pixi {})",
        parts.image.reference, parts.image.version
    );
    eprintln!("channel: {}", parts.channel.url);
    let binaries = build::release(&[])?;
    let skips = tempfile::NamedTempFile::new().context("no temporary file can be made")?;
    let cases = tempfile::NamedTempFile::new().context("no temporary file can be made")?;

    let long = match length {
        Length::Short => "",
        Length::Long => "1",
    };
    let mut tests = cmd(
        build::cargo(),
        ["test", "--workspace", "--no-fail-fast"]
            .into_iter()
            .map(str::to_owned)
            .chain(words.iter().cloned()),
    )
    .dir(build::workspace())
    .env("PIXI_OFFLINE_BIN_DIR", binaries)
    .env("PIXI_OFFLINE_SKIPS", skips.path())
    .env("PIXI_OFFLINE_CASES_RUN", cases.path())
    .env("PIXI_OFFLINE_LONG", long)
    .unchecked()
    .reader()?;
    let mut account = Account::default();
    for line in BufReader::new(&mut tests).lines() {
        let line = line?;
        if let Some((test, passed)) = result(&line) {
            account.passed.insert(test.to_owned(), passed);
        }
        println!("{line}");
    }
    let status = tests.try_wait()?.context("cargo did not end")?.status;

    for line in fs::read_to_string(cases.path())?.lines() {
        if let Some((test, count)) = line.split_once('\t') {
            account.cases.insert(test.to_owned(), count.parse()?);
        }
    }
    for line in fs::read_to_string(skips.path())?.lines() {
        let (test, reason) = line.split_once('\t').unwrap_or((line, ""));
        account.skipped.insert(test.to_owned(), reason.to_owned());
    }
    let unexpected = tell(&account.skipped);
    anyhow::ensure!(status.success(), "tests failed");
    anyhow::ensure!(
        unexpected == 0,
        "{unexpected} tests were skipped that tests/allowed-skips.txt does not allow"
    );
    Ok(account)
}

/// The test that a line of libtest's tells the result of, and whether it passed.
fn result(line: &str) -> Option<(&str, bool)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let passed = match result {
        "ok" => true,
        "FAILED" => false,
        _ => return None,
    };
    Some((name.rsplit("::").next()?, passed))
}

/// Lists the tests that did not run; how many of them had to.
fn tell(skipped: &BTreeMap<String, String>) -> usize {
    let allowed = |test: &str| {
        ALLOWED_SKIPS
            .lines()
            .filter(|line| !line.starts_with('#'))
            .any(|line| line.split_whitespace().next() == Some(test))
    };
    let mut unexpected = 0;
    eprintln!(
        "\nnot run: {}",
        if skipped.is_empty() { "nothing" } else { "" }
    );
    for (test, reason) in skipped {
        let mark = if allowed(test) {
            "allowed"
        } else {
            unexpected += 1;
            "NOT ALLOWED"
        };
        eprintln!("  {test}: {reason} ({mark})");
    }
    unexpected
}
