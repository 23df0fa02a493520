//! The pixi that is built here from the crates registry.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::{Expression, cmd};
use semver::Version;

use super::{Origin, Pixi, version_of};
use crate::cache::{Turn, cache_dir};
use crate::fingerprint::Fingerprint;
use crate::process::{announced, captured, logged};

/// The pixi that the crate beside the tests builds from the crates registry; built once per
/// machine, which takes about a quarter of an hour, and again when that crate changes.
///
/// # Errors
/// When cargo is missing or fails.
pub fn registry_pixi() -> Result<Pixi> {
    if !is_built()? {
        let _turn = Turn::at("pixi-from-registry")?;
        if !is_built()? {
            announced(
                "building a pixi from the crates registry (up to 15 minutes on two cores, once per machine)",
                || build(&dir()?),
            )?;
        }
    }
    let path = program()?;
    let version = version_of(&path)?;
    Ok(Pixi {
        version,
        path,
        origin: Origin::Registry,
    })
}

fn dir() -> Result<PathBuf> {
    Ok(cache_dir()?.join("pixi-from-registry"))
}

fn program() -> Result<PathBuf> {
    Ok(dir()?.join("release/pixi"))
}

/// Whether there is one that was made from the crate as it is now: an older one may have a
/// fault that the crate was changed for.
pub(super) fn is_built() -> Result<bool> {
    let made_from = fs::read_to_string(stamp()?).unwrap_or_default();
    Ok(made_from == recipe()?.to_string() && version_of(&program()?).is_ok())
}

/// The version that the crate builds.
pub(super) fn locked_version() -> Result<Version> {
    const BEGIN: &str = "pixi = { version = \"=";
    let file = crate_dir().join("Cargo.toml");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix(BEGIN)?.split('"').next());
    version
        .and_then(|version| Version::parse(version).ok())
        .with_context(|| format!("{} names no version of pixi", file.display()))
}

/// Says beside the program what it was made from.
fn stamp() -> Result<PathBuf> {
    Ok(dir()?.join("recipe"))
}

/// All that decides what is built.
pub(crate) fn recipe() -> Result<Fingerprint> {
    let dir = crate_dir();
    let texts = ["Cargo.toml", "Cargo.lock", "src/main.rs"].map(|name| {
        let path = dir.join(name);
        fs::read(&path).with_context(|| {
            let path = path.display();
            format!("cannot read {path}: run this from the checkout that it was built in")
        })
    });
    Ok(Fingerprint::of(
        texts.into_iter().collect::<Result<Vec<_>>>()?,
    ))
}

fn crate_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pixi-from-registry")
}

fn build(target: &Path) -> Result<()> {
    let made_from = recipe()?.to_string();
    let log = cache_dir()?.join("pixi-from-registry.log");
    // Cargo judges by times whether our own few lines changed, which another checkout's may
    // deceive; the hundreds of crates below them stay built.
    let clean = cargo(target, &["clean", "--package", "pixi-from-registry"]);
    captured("cargo clean of the pixi from the crates registry", clean)?;
    let what = "cargo build of a pixi from the crates registry";
    logged(what, &log, cargo(target, &["build"]))?;
    fs::write(stamp()?, made_from).context("cannot write beside the pixi that was built")
}

/// Cargo on the crate, untouched by the workspace around it and by the cargo that runs us.
fn cargo(target: &Path, command: &[&str]) -> Expression {
    let manifest = crate_dir().join("Cargo.toml");
    let mut arguments: Vec<OsString> = command.iter().map(Into::into).collect();
    arguments.extend(["--release", "--locked", "--manifest-path"].map(Into::into));
    arguments.push(manifest.into_os_string());
    let mut cargo = cmd("cargo", arguments)
        // Cargo reads the configuration of the directory it is started in, and the workspace's
        // asks for static linking and another place for what is built.
        .dir("/")
        .env("CARGO_TARGET_DIR", target);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_another_build) {
            cargo = cargo.env_remove(name);
        }
    }
    cargo
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

#[cfg(test)]
mod tests {
    use super::*;

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
