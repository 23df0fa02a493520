//! How much a test tried: said to `cargo xtask`, which puts it into
//! `docs/explanation/reliability.md`.

use std::fs::OpenOptions;
use std::io::Write as _;

/// How many cases a test of many cases runs: `short` in each run of the tests,
/// `long` when `PIXI_OFFLINE_LONG` is set, as `cargo xtask reliability --long`
/// does.
pub fn cases(short: u64, long: u64) -> u64 {
    let is_long = std::env::var_os("PIXI_OFFLINE_LONG").is_some_and(|value| !value.is_empty());
    if is_long { long } else { short }
}

/// Says how many cases a test has run, at its end. A test that says nothing
/// counts as one case.
pub fn ran(test: &str, cases: u64) {
    if let Some(file) = std::env::var_os("PIXI_OFFLINE_CASES_RUN") {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .and_then(|mut file| file.write_all(format!("{test}\t{cases}\n").as_bytes()))
            .expect("the list of cases can be written");
    }
}
