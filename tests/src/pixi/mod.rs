//! The real pixi programs of this machine.

pub(crate) mod registry;

use std::env;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::cmd;
use semver::Version;

use crate::cache::cache_folder;
use crate::process::captured;

pub use registry::registry_pixi;

/// Set to anything: as if no pixi were here but the one from the crates registry, which is all
/// that a bare machine has. `cargo xtask test` runs the tests of README and docs so too.
pub const REGISTRY_ONLY: &str = "PIXI_OFFLINE_REGISTRY_PIXI_ONLY";

/// Whether [`REGISTRY_ONLY`] is set.
pub(crate) fn is_registry_only() -> bool {
    env::var_os(REGISTRY_ONLY).is_some_and(|value| !value.is_empty())
}

/// A pixi on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixi {
    /// What it says of itself.
    pub version: Version,
    /// The program.
    pub path: PathBuf,
    /// Why it is used.
    pub origin: Origin,
}

/// Where a pixi comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The caller named it with `PIXI_BIN`.
    Environment,
    /// Someone put it into `<cache>/pixi-bin/`.
    Cache,
    /// Built here from the crates registry.
    Registry,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Environment => "PIXI_BIN",
            Origin::Cache => "pixi-bin in the cache folder",
            Origin::Registry => "built from the crates registry",
        })
    }
}

/// Every pixi to be tested, oldest first, one of each version: `PIXI_BIN`, those in
/// `<cache>/pixi-bin/`, and the one from the registry. The last is built when it is not there,
/// but not for someone who named another one with `PIXI_BIN`.
///
/// # Errors
/// When one of them does not say its version, or the registry's cannot be built.
pub fn pixis() -> Result<Vec<Pixi>> {
    if is_registry_only() {
        return Ok(vec![registry_pixi()?]);
    }
    let mut found: Vec<Pixi> = pixi_bin()?.into_iter().chain(cached_pixis()?).collect();
    if env::var_os("PIXI_BIN").is_none() || registry::is_built()? {
        found.push(registry_pixi()?);
    }
    Ok(one_of_each_version(found))
}

/// The pixi that `PIXI_BIN` names, if it is set.
///
/// # Errors
/// When what it names is not a pixi.
pub fn pixi_bin() -> Result<Option<Pixi>> {
    let Some(path) = env::var_os("PIXI_BIN").filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let path = std::path::absolute(path)?;
    let version = version_of(&path).context("PIXI_BIN must name a pixi program")?;
    Ok(Some(Pixi {
        version,
        path,
        origin: Origin::Environment,
    }))
}

/// The executables in `<cache>/pixi-bin/`, by name.
///
/// # Errors
/// When one of them is not a pixi.
pub fn cached_pixis() -> Result<Vec<Pixi>> {
    let folder = cache_folder()?.join("pixi-bin");
    let mut programs = Vec::new();
    if folder.is_dir() {
        for entry in
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
        {
            let path = entry?.path();
            let about = fs::metadata(&path)?;
            if about.is_file() && about.permissions().mode() & 0o111 != 0 {
                programs.push(path);
            }
        }
    }
    programs.sort();
    let as_pixi = |path: PathBuf| {
        let version =
            version_of(&path).with_context(|| format!("remove it from {}", folder.display()))?;
        Ok(Pixi {
            version,
            path,
            origin: Origin::Cache,
        })
    };
    programs.into_iter().map(as_pixi).collect()
}

/// What `<program> --version` says.
///
/// # Errors
/// When it cannot be run or is not a pixi.
pub fn version_of(program: &Path) -> Result<Version> {
    let what = format!("{} --version", program.display());
    let says = captured(&what, cmd!(program, "--version"))?;
    parse_version(&says).with_context(|| {
        let first = says.lines().next().unwrap_or_default();
        format!("`{what}` says `{first}`: this is no pixi")
    })
}

/// `pixi 0.77.0` as a version.
pub(crate) fn parse_version(says: &str) -> Option<Version> {
    Version::parse(says.trim().strip_prefix("pixi ")?.trim()).ok()
}

fn one_of_each_version(mut found: Vec<Pixi>) -> Vec<Pixi> {
    // Stable: of one version, the first found stays.
    found.sort_by(|a, b| a.version.cmp(&b.version));
    found.dedup_by(|later, earlier| later.version == earlier.version);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixi(version: &str, origin: Origin) -> Pixi {
        Pixi {
            version: Version::parse(version).unwrap(),
            path: "/bin/pixi".into(),
            origin,
        }
    }

    #[test]
    fn versions_are_read_from_what_pixi_says() {
        assert_eq!(parse_version("pixi 0.77.0\n"), Some(Version::new(0, 77, 0)));
        assert_eq!(parse_version("pixi 0.15.2"), Some(Version::new(0, 15, 2)));
        assert_eq!(parse_version("cargo 1.95.0"), None);
        assert_eq!(parse_version(""), None);
    }

    #[test]
    fn one_pixi_of_each_version_is_kept_oldest_first() {
        let found = vec![
            pixi("0.77.0", Origin::Environment),
            pixi("0.77.0", Origin::Cache),
            pixi("0.15.2", Origin::Registry),
        ];
        let kept = one_of_each_version(found);
        assert_eq!(
            kept,
            [
                pixi("0.15.2", Origin::Registry),
                pixi("0.77.0", Origin::Environment)
            ]
        );
    }
}
