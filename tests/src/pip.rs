//! What is installed with pip: programs and libraries, each in a directory of its own.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use duct::cmd;

use crate::cache::{Turn, cache_dir};
use crate::debian::ensure_debian_package;
use crate::process::{announced, captured};

/// Installs `packages` into the directory `name` of the cache directory, with the host's pip and its
/// settings, once, and returns that directory.
///
/// # Errors
/// When pip cannot be had, or does not find the packages.
pub(crate) fn ensure_from_pip(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let _turn = Turn::at(name)?;
    let dir = cache_dir()?.join(name);
    let done = dir.join("done");
    if !done.is_file() {
        let pip = ensure_debian_package("pip3", "python3-pip")?;
        let options = [
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--upgrade",
            "--target",
        ];
        let args = options.map(OsString::from).into_iter();
        let args = args.chain([dir.clone().into()]);
        let install = cmd(pip, args.chain(packages.iter().map(OsString::from)));
        announced(format_args!("installing {name}"), || {
            captured(format_args!("installing {name} with pip"), install)
        })?;
        fs::write(&done, "")?;
    }
    Ok(dir)
}

/// The program `program` of the one package `package`, at a fixed version.
///
/// # Errors
/// As [`ensure_from_pip`].
pub(crate) fn ensure_program_from_pip(
    program: &str,
    package: &str,
    version: &str,
) -> Result<PathBuf> {
    let name = format!("{program}-{version}");
    let file = cache_dir()?.join(&name).join("bin").join(program);
    if !file.is_file() {
        ensure_from_pip(&name, &[&format!("{package}=={version}")])?;
        ensure!(file.is_file(), "pip installed no {}", file.display());
    }
    Ok(file)
}
