//! Every test, and an honest account of those that could not run.

use std::fs;

use anyhow::Context as _;
use duct::cmd;

use crate::build;

/// Tests that may be left out on some machine, one a line, with the reason.
const ALLOWED_SKIPS: &str = include_str!("../../../tests/allowed-skips.txt");

/// Sets up the real parts, builds the release binaries, runs `cargo test` over
/// the workspace with `words`, and lists what was skipped.
///
/// # Errors
/// When a part cannot be set up, a test fails, or a test that must run was skipped.
pub fn run(words: &[String]) -> anyhow::Result<()> {
    let parts = testbed::ensure_all()?;
    eprintln!(
        "image: {} (pixi {})",
        parts.image.reference, parts.image.version
    );
    eprintln!("channel: {}", parts.channel.url);
    let binaries = build::release()?;
    let skips = tempfile::NamedTempFile::new().context("no temporary file can be made")?;

    let status = cmd(
        build::cargo(),
        ["test", "--workspace", "--no-fail-fast"]
            .into_iter()
            .map(str::to_owned)
            .chain(words.iter().cloned()),
    )
    .dir(build::workspace())
    .env("PIXI_OFFLINE_BIN_DIR", binaries)
    .env("PIXI_OFFLINE_SKIPS", skips.path())
    .unchecked()
    .run()?
    .status;

    let mut skipped: Vec<String> = fs::read_to_string(skips.path())?
        .lines()
        .map(str::to_owned)
        .collect();
    skipped.sort();
    skipped.dedup();
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
    for line in &skipped {
        let (test, reason) = line.split_once('\t').unwrap_or((line, ""));
        let mark = if allowed(test) {
            "allowed"
        } else {
            unexpected += 1;
            "NOT ALLOWED"
        };
        eprintln!("  {test}: {reason} ({mark})");
    }
    anyhow::ensure!(status.success(), "tests failed");
    anyhow::ensure!(
        unexpected == 0,
        "{unexpected} tests were skipped that tests/allowed-skips.txt does not allow"
    );
    Ok(())
}
