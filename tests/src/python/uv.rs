//! The real uv: it writes the same cache as pixi's Python part.

use std::path::PathBuf;

use anyhow::Result;

use crate::pip::ensure_program_from_pip;

/// Installs the uv that is in pixi 0.69 to 0.77 into the cache directory, once.
///
/// # Errors
/// When pip cannot be had, or does not find that version.
pub fn ensure_uv() -> Result<PathBuf> {
    ensure_program_from_pip("uv", "uv", "0.11.15")
}
