//! The real pixi programs of this machine.

use std::env;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use duct::cmd;
use semver::Version;

use crate::cache::{Turn, cache_folder};
use crate::process::{announced, captured, logged};

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
    let mut found: Vec<Pixi> = pixi_bin()?.into_iter().chain(cached_pixis()?).collect();
    if env::var_os("PIXI_BIN").is_none() || registry_is_built()? {
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

/// The pixi that the crate beside the tests builds from the crates registry; built once per
/// machine, which takes about a quarter of an hour, and again when that crate changes.
///
/// # Errors
/// When cargo is missing or fails.
pub fn registry_pixi() -> Result<Pixi> {
    if !registry_is_built()? {
        let _turn = Turn::at("pixi-from-registry")?;
        if !registry_is_built()? {
            announced(
                "building a pixi from the crates registry (up to 15 minutes on two cores, once per machine)",
                || build_from_registry(&registry_folder()?),
            )?;
        }
    }
    let path = registry_program()?;
    let version = version_of(&path)?;
    Ok(Pixi {
        version,
        path,
        origin: Origin::Registry,
    })
}

/// What `<program> --version` says.
///
/// # Errors
/// When it cannot be run or is not a pixi.
pub fn version_of(program: &Path) -> Result<Version> {
    let what = format!("{} --version", program.display());
    let says = captured(&what, cmd!(program, "--version"))?;
    parse_version(&says).with_context(|| format!("`{what}` says `{says}`, which is no pixi"))
}

/// `pixi 0.77.0` as a version.
pub(crate) fn parse_version(says: &str) -> Option<Version> {
    Version::parse(says.trim().strip_prefix("pixi ")?.trim()).ok()
}

fn registry_folder() -> Result<PathBuf> {
    Ok(cache_folder()?.join("pixi-from-registry"))
}

fn registry_program() -> Result<PathBuf> {
    Ok(registry_folder()?.join("release/pixi"))
}

/// Whether there is one, made from the crate as it is now: an older one may have a fault that
/// the crate was changed for.
fn registry_is_built() -> Result<bool> {
    let made_from = fs::read_to_string(registry_stamp()?).unwrap_or_default();
    Ok(made_from == registry_recipe()?.to_string() && version_of(&registry_program()?).is_ok())
}

/// Says beside the program what it was made from.
fn registry_stamp() -> Result<PathBuf> {
    Ok(registry_folder()?.join("recipe"))
}

fn registry_recipe() -> Result<Fingerprint> {
    let crate_folder = registry_crate();
    let texts = ["Cargo.toml", "Cargo.lock", "src/main.rs"].map(|name| {
        let path = crate_folder.join(name);
        fs::read(&path).with_context(|| {
            let path = path.display();
            format!("cannot read {path}: run this from the checkout that it was built in")
        })
    });
    Ok(Fingerprint::of(
        texts.into_iter().collect::<Result<Vec<_>>>()?,
    ))
}

fn registry_crate() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pixi-from-registry")
}

fn build_from_registry(target: &Path) -> Result<()> {
    let recipe = registry_recipe()?.to_string();
    let manifest = registry_crate().join("Cargo.toml");
    let log = cache_folder()?.join("pixi-from-registry.log");
    let mut build = cmd!(
        "cargo",
        "build",
        "--release",
        "--locked",
        "--manifest-path",
        &manifest
    )
    // Cargo reads the configuration of the folder it is started in, and the workspace's
    // asks for static linking and another place for what is built.
    .dir("/")
    .env("CARGO_TARGET_DIR", target);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_another_build) {
            build = build.env_remove(name);
        }
    }
    logged(
        "cargo build of a pixi from the crates registry",
        &log,
        build,
    )
}

/// Whether a variable belongs to the cargo that runs us, or shapes what it builds.
fn is_of_another_build(name: &str) -> bool {
    const KEPT: [&str; 5] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
    ];
    let of_cargo = name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept));
    let own_target = name == "CARGO_TARGET_DIR";
    let flags = ["RUSTFLAGS", "RUSTDOCFLAGS", "LD_LIBRARY_PATH"].contains(&name);
    (of_cargo && !own_target) || flags
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

    #[test]
    fn the_other_build_does_not_see_ours() {
        for name in [
            "CARGO",
            "CARGO_BUILD_TARGET",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTFLAGS",
            "CARGO_PKG_NAME",
        ] {
            assert!(is_of_another_build(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_CAINFO",
            "PATH",
            "RUSTUP_TOOLCHAIN",
            "CARGO_TARGET_DIR",
        ] {
            assert!(!is_of_another_build(name), "{name}");
        }
    }
}
