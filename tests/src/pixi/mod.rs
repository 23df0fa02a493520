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

use crate::cache::cache_dir;
use crate::process::{captured, say};

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
    /// Its version.
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
            Origin::Cache => "pixi-bin in the cache directory",
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
    pixis_in(&cache_dir()?.join("pixi-bin"))
}

/// The directory of the programs that pixi builds conda packages with,
/// `<cache>/pixi-bin/backends/`; `None` where there are none.
///
/// # Errors
/// When the cache directory cannot be found.
pub fn build_backends() -> Result<Option<PathBuf>> {
    let dir = cache_dir()?.join("pixi-bin/backends");
    let has_some = fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some());
    Ok((has_some && !is_registry_only()).then_some(dir))
}

fn pixis_in(dir: &Path) -> Result<Vec<Pixi>> {
    let mut programs = Vec::new();
    if dir.is_dir() {
        for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
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
            version_of(&path).with_context(|| format!("remove it from {}", dir.display()))?;
        Ok(Pixi {
            version,
            path,
            origin: Origin::Cache,
        })
    };
    programs.into_iter().map(as_pixi).collect()
}

/// Where the newest pixi of this machine is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Newest {
    /// In an image that an earlier run made.
    Image,
    /// Somebody put it into `<cache>/pixi-bin/`.
    Brought(Pixi),
    /// It is the registry's.
    Registry,
}

/// Finds the newest pixi, beside that of an image which an earlier run made, and says in one
/// line which it is. The registry's is not built for that.
///
/// # Errors
/// As [`cached_pixis`].
pub(crate) fn newest_beside(image: Option<&Version>) -> Result<Newest> {
    let (newest, told) = newest_of(cached_pixis()?, image, &registry::locked_version()?);
    say(told);
    Ok(newest)
}

/// Of two with one version, what is made already is taken before what is still to be made.
fn newest_of(brought: Vec<Pixi>, image: Option<&Version>, registry: &Version) -> (Newest, String) {
    let of_image = image.map(|version| (version.clone(), 2, "an image that an earlier run made"));
    let of_registry = (registry.clone(), 0, "built from the crates registry");
    let of_brought = brought
        .iter()
        .map(|pixi| (pixi.version.clone(), 1, "pixi-bin in the cache directory"));
    let mut all: Vec<_> = of_brought.chain(of_image).chain([of_registry]).collect();
    all.sort();
    let shown = |(version, _, origin): &(Version, u8, &str)| format!("pixi {version} ({origin})");
    let (chosen, others) = all.split_last().expect("the registry's is always one");
    // One with the same version is as good, and not worth a word.
    let others = others.iter().filter(|other| other.0 != chosen.0);
    let others: Vec<String> = others.map(shown).collect();
    let mut told = format!("{} is used as the newest", shown(chosen));
    if !others.is_empty() {
        told.push_str(&format!(", and not {}", others.join(", ")));
    }
    let newest = match chosen.1 {
        2 => Newest::Image,
        1 => brought
            .into_iter()
            .find(|pixi| pixi.version == chosen.0)
            .map_or(Newest::Registry, Newest::Brought),
        _ => Newest::Registry,
    };
    (newest, told)
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
    fn the_newest_pixi_is_the_newest_by_version_wherever_it_is() {
        let old = pixi("0.9.3", Origin::Cache);
        let new = pixi("0.77.0", Origin::Cache);
        let registry = Version::new(0, 15, 2);
        let newest = |brought: &[&Pixi], image: Option<&str>| {
            let image = image.map(|version| Version::parse(version).unwrap());
            let brought = brought.iter().copied().cloned().collect();
            newest_of(brought, image.as_ref(), &registry)
        };
        let (chosen, told) = newest(&[], None);
        assert_eq!(chosen, Newest::Registry);
        assert_eq!(
            told,
            "pixi 0.15.2 (built from the crates registry) is used as the newest"
        );
        let (chosen, told) = newest(&[&old], Some("0.9.3"));
        assert_eq!(chosen, Newest::Registry);
        assert!(
            told.ends_with("and not pixi 0.9.3 (pixi-bin in the cache directory), pixi 0.9.3 (an image that an earlier run made)"),
            "{told}"
        );
        assert_eq!(newest(&[&old], Some("0.15.2")).0, Newest::Image);
        assert_eq!(
            newest(&[&new, &old], Some("0.15.2")).0,
            Newest::Brought(new.clone())
        );
        assert_eq!(newest(&[&new], Some("0.77.0")).0, Newest::Image);
        assert_eq!(newest(&[&new], Some("0.100.0")).0, Newest::Image);
    }

    #[test]
    fn the_registrys_version_is_known_before_it_is_built() {
        assert_eq!(registry::locked_version().unwrap(), Version::new(0, 15, 2));
    }

    #[test]
    fn a_program_that_does_not_run_or_is_no_pixi_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let program = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        assert_eq!(pixis_in(&dir.path().join("none")).unwrap(), []);
        program("pixi", "#!/bin/sh\necho pixi 0.9.3\n");
        fs::create_dir(dir.path().join("backends")).unwrap();
        fs::write(dir.path().join("README"), "").unwrap();
        let found = pixis_in(dir.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].version, Version::new(0, 9, 3));
        for (name, text) in [
            ("failing", "#!/bin/sh\nexit 1\n"),
            ("other", "#!/bin/sh\necho cargo 1.0.0\n"),
            ("foreign", "\u{7f}ELF"),
        ] {
            program(name, text);
            let error = format!("{:#}", pixis_in(dir.path()).unwrap_err());
            assert!(
                error.contains("remove it from") && error.contains(name),
                "{error}"
            );
            fs::remove_file(dir.path().join(name)).unwrap();
        }
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
