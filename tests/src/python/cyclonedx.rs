//! The strict validator of CycloneDX's own Python library, and the parser of package URLs of
//! that format's authors.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use duct::cmd;

use crate::debian::ensure_debian_package;
use crate::pip::ensure_from_pip;
use crate::process::captured;

/// Both libraries, at fixed versions: a newer one may be stricter.
const PACKAGES: [&str; 3] = [
    "cyclonedx-python-lib[json-validation]==11.12.0",
    "packageurl-python==0.17.6",
    // Checks a URL by one pattern, where what the first brings along parses for a tenth of a second.
    "rfc3987==1.3.8",
];

/// A Python that can import `cyclonedx` and `packageurl`.
#[derive(Debug, Clone)]
pub struct CycloneDx {
    python: PathBuf,
    libraries: PathBuf,
}

impl CycloneDx {
    /// A call of that Python; what it finds in the environment is not changed otherwise.
    pub fn python(&self, arguments: impl IntoIterator<Item = OsString>) -> Command {
        let mut command = Command::new(&self.python);
        command.args(arguments).env("PYTHONPATH", &self.libraries);
        command
    }
}

/// Installs the libraries into the cache directory, with the host's pip and its settings, once
/// for each version of the host's Python.
///
/// # Errors
/// When pip cannot be had, or does not find those versions.
pub fn ensure_cyclonedx() -> Result<CycloneDx> {
    // pip brings its Python along.
    ensure_debian_package("pip3", "python3-pip")?;
    let python = ensure_debian_package("python3", "python3")?;
    let script = "import sys; print(sys.implementation.cache_tag)";
    let tag = captured("python3", cmd!(&python, "-c", script))?;
    let libraries = ensure_from_pip(&format!("cyclonedx-11.12.0-2-{tag}"), &PACKAGES)?;
    Ok(CycloneDx { python, libraries })
}
