//! The real uv, of the version that is in pixi 0.69 to 0.77: it writes the same
//! cache as pixi's Python part.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use duct::cmd;

use crate::cache::{Turn, cache_folder};
use crate::debian::ensure_debian_package;
use crate::process::{announced, captured};

/// The version that pixi 0.77 is built with.
const VERSION: &str = "0.11.15";

/// Installs uv into the cache folder, with the host's pip and its settings, once.
///
/// # Errors
/// When pip cannot be had, or does not find that version.
pub fn ensure_uv() -> Result<PathBuf> {
    let _turn = Turn::at("uv")?;
    let folder = cache_folder()?.join(format!("uv-{VERSION}"));
    let program = folder.join("bin/uv");
    if !program.is_file() {
        announced(format_args!("installing uv {VERSION}"), || {
            let pip = ensure_debian_package("pip3", "python3-pip")?;
            let package = format!("uv=={VERSION}");
            let words = [
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--target",
            ];
            captured(
                "installing uv with pip",
                cmd(
                    pip,
                    words
                        .iter()
                        .map(Into::into)
                        .chain([folder.clone().into_os_string(), package.into()]),
                ),
            )
            .map(drop)
        })?;
    }
    ensure!(program.is_file(), "pip installed no {}", program.display());
    Ok(program)
}
