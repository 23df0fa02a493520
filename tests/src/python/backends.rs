//! The real build backends.

use std::path::Path;

use anyhow::Result;
use duct::cmd;

use crate::debian::ensure_debian_package;
use crate::process::captured;

/// `editables` is what hatchling asks for when it builds an editable package.
const BACKENDS: [&str; 6] = [
    "setuptools",
    "wheel",
    "hatchling",
    "editables",
    "setuptools-scm",
    "hatch-vcs",
];

/// Downloads the wheels of the backends and of all they need into `directory`, with the host's pip
/// and its settings.
pub(super) fn download(dir: &Path) -> Result<()> {
    let pip = ensure_debian_package("pip3", "python3-pip")?;
    let mut arguments = vec!["download", "--quiet", "--disable-pip-version-check"];
    // For the channel's python, whatever the host's is.
    arguments.extend(["--only-binary", ":all:", "--python-version", "3.11"]);
    arguments.extend(["--dest", "."]);
    arguments.extend(BACKENDS);
    captured(
        "downloading build backends with pip",
        cmd(pip, arguments).dir(dir),
    )
    .map(drop)
}
