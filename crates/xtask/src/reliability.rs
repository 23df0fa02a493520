//! `docs/explanation/reliability.md`: what must hold when things go wrong, the tests that
//! show it, and how their last long run went.

use std::fmt::Write as _;
use std::fs;

use anyhow::Context as _;
use duct::cmd;
use serde::Deserialize;

use crate::build;
use crate::tests::{self, Account, Length};

/// The rows of the page.
const ROWS: &str = include_str!("../../../tests/reliability.toml");

/// The page, from the top of the checkout.
const PAGE: &str = "docs/explanation/reliability.md";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    part: Vec<ReliabilityPart>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReliabilityPart {
    title: String,
    row: Vec<ReliabilityRow>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReliabilityRow {
    what: String,
    shows: String,
    tests: Vec<String>,
}

/// How a row did in a run.
struct Score {
    cases: u64,
    failures: Vec<String>,
    skipped: Vec<String>,
}

impl ReliabilityRow {
    fn score(&self, account: &Account) -> Score {
        let mut score = Score {
            cases: 0,
            failures: Vec::new(),
            skipped: Vec::new(),
        };
        for test in &self.tests {
            let is_this = |name: &&String| name.rsplit("::").next() == Some(test);
            if account.skipped.keys().any(|name| is_this(&name)) {
                score.skipped.push(test.clone());
            } else if account.passed.get(test) == Some(&true) {
                score.cases += account.cases.get(test).copied().unwrap_or(1);
            } else {
                score.failures.push(test.clone());
            }
        }
        score
    }
}

/// Requires that each row's tests ran and passed, or say why they could not run.
///
/// # Errors
/// When a test of a row did not pass, or there is none of its name.
pub fn require(account: &Account) -> anyhow::Result<()> {
    let failing: Vec<String> = rows()?
        .part
        .iter()
        .flat_map(|part| &part.row)
        .flat_map(|row| row.score(account).failures)
        .collect();
    anyhow::ensure!(
        failing.is_empty(),
        "tests of tests/reliability.toml did not pass, or are not there: {}",
        failing.join(", ")
    );
    Ok(())
}

/// Runs the tests of the rows, those of many cases long, and writes the page.
///
/// # Errors
/// As [`tests::run`] and [`require`]; the page is then left as it was.
pub fn run() -> anyhow::Result<()> {
    let rows = rows()?;
    let named = rows.part.iter().flat_map(|part| &part.row);
    let named = named.flat_map(|row| row.tests.iter().cloned());
    let args: Vec<String> = std::iter::once("--".to_owned()).chain(named).collect();
    let account = tests::run(&args, Length::Long)?;
    require(&account)?;
    let page = build::workspace().join(PAGE);
    let text = page_of(&account)?;
    fs::write(&page, text).with_context(|| format!("{} cannot be written", page.display()))?;
    println!("{} is written", page.display());
    Ok(())
}

fn rows() -> anyhow::Result<Rows> {
    toml_edit::de::from_str(ROWS).context("tests/reliability.toml")
}

fn page_of(account: &Account) -> anyhow::Result<String> {
    let mut page = String::from(
        "# Reliability\n\n\
         What must hold when things go wrong, and the tests that show it. `cargo xtask reliability` writes this\n\
         page: it runs these tests, those of many cases with the numbers below, and writes nothing unless each row\n\
         passed. `cargo xtask test` runs the same rows with fewer cases, and fails when one does not pass or has no\n\
         test. The rows are kept in `tests/reliability.toml`.\n\n",
    );
    writeln!(page, "Last run: {}.\n", machine()?)?;
    for part in rows()?.part {
        writeln!(page, "## {}\n", part.title)?;
        page.push_str("| what | must show | cases | failures | tests |\n|---|---|--:|--:|---|\n");
        for row in part.row {
            let score = row.score(account);
            let tests: Vec<String> = row
                .tests
                .iter()
                .map(|test| {
                    let mark = if score.skipped.contains(test) {
                        " (not run there)"
                    } else {
                        ""
                    };
                    format!("`{test}`{mark}")
                })
                .collect();
            writeln!(
                page,
                "| {} | {} | {} | {} | {} |",
                row.what,
                row.shows,
                score.cases,
                score.failures.len(),
                tests.join(", ")
            )?;
        }
        page.push('\n');
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    Ok(page)
}

/// When, and on what, in a line.
fn machine() -> anyhow::Result<String> {
    let say = |program: &str, args: &[&str]| -> anyhow::Result<String> {
        let text = cmd(program, args)
            .stderr_null()
            .read()
            .with_context(|| format!("{program} does not answer"))?;
        let line = text.lines().next().unwrap_or_default();
        let args = line.split_whitespace().filter(|arg| *arg != "--");
        Ok(args.collect::<Vec<_>>().join(" "))
    };
    Ok(format!(
        "{}, commit {}, Linux {}, {} cores, Docker {}, {}, {}",
        say("date", &["-u", "+%Y-%m-%d"])?,
        say("git", &["rev-parse", "--short", "HEAD"])?,
        say("uname", &["-rm"])?,
        say("nproc", &[])?,
        say("docker", &["version", "--format", "{{.Server.Version}}"])?,
        say("rsync", &["--version"])?,
        say("strace", &["--version"])?,
    ))
}
