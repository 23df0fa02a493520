//! Tests that cannot run here: said aloud, never passed over in silence.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Says that a test is not run, and why. `cargo xtask test` lists these at the
/// end and fails when one is not on the list that allows it.
pub fn skip(test: &str, reason: &str) {
    eprintln!("SKIPPED {test}: {reason}");
    if let Some(file) = std::env::var_os("PIXI_OFFLINE_SKIPS") {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .and_then(|mut file| file.write_all(format!("{test}\t{reason}\n").as_bytes()))
            .expect("the list of skips can be written");
    }
}
