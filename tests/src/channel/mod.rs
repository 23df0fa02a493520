//! A real conda channel over HTTP, on the engine's own network: a container that builds
//! reaches it, one that runs with `--network none` cannot.
//!
//! [`packages`] says what is in the channel, [`package`] and [`archive`] write one package as
//! conda-build would, [`server`] serves the directory.

mod archive;
mod hello;
mod package;
mod packages;
mod server;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use crate::cache::{Turn, cache_dir, scratch_dir};
use crate::engine::ensure_engine;
use crate::fingerprint::Fingerprint;
use crate::images::base_recipe;
use crate::platform::Platform;
use crate::process::announced;
use package::Packed;

pub use hello::{copy_hello_example, write_hello_channel};
pub use packages::{MANY_FILES, PYTHON_VERSION_SPEC};

/// The channel, being served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// What goes into a project's `channels`. It may be another one after the engine restarted,
    /// so lock files with it are made on the spot.
    pub url: String,
    /// The platform that its packages are for, `linux-64` say.
    pub subdir: &'static str,
    /// The directory of the channel on the host: `<subdir>/` and `noarch/`, each with repodata.json.
    pub dir: PathBuf,
}

/// Sees to it that the channel is made and served. It has `python` 3.11, `prefix-tool` (text
/// and binary files with the prefix, and an activation script), `many-files` (3,000 files,
/// noarch) and `flavour` in the versions 1.0 and 2.0 (noarch).
///
/// # Errors
/// When there is no engine, a package cannot be made, or the server does not answer.
pub fn ensure_channel() -> Result<Channel> {
    ensure_engine()?;
    let platform = Platform::host()?;
    let home = ensure_made(platform)?;
    let url = server::ensure_served(&home)?;
    Ok(Channel {
        url,
        subdir: platform.subdir,
        dir: home.served(),
    })
}

/// Where a channel and its server's program are kept.
struct Home(PathBuf);

impl Home {
    /// The channel itself.
    fn served(&self) -> PathBuf {
        self.0.join("channel")
    }

    /// The program that serves it, from the same Debian as the packages.
    fn busybox(&self) -> PathBuf {
        self.0.join("busybox")
    }
}

/// Everything that decides what the packages are. The modules' own text counts, so that nobody
/// has to remember to raise a number.
fn recipe(platform: Platform) -> Fingerprint {
    let base = base_recipe().to_string();
    let texts = [
        include_str!("archive.rs"),
        include_str!("mod.rs"),
        include_str!("package.rs"),
        include_str!("packages.rs"),
    ];
    let parts = texts
        .into_iter()
        .chain([packages::PYTHON_SCRIPT, platform.subdir, base.as_str()]);
    Fingerprint::of(parts)
}

fn ensure_made(platform: Platform) -> Result<Home> {
    let dir = cache_dir()?.join(format!("channel-{}", recipe(platform).short()));
    if !dir.is_dir() {
        let _turn = Turn::at("channel")?;
        if !dir.is_dir() {
            announced("making a conda channel from Debian's packages", || {
                make(platform, &dir)
            })?;
        }
    }
    Ok(Home(dir))
}

fn make(platform: Platform, dir: &Path) -> Result<()> {
    let scratch = scratch_dir("channel")?;
    let unfinished = Home(scratch.path().join("home"));
    let mut records = Vec::new();
    for subdir in [platform.subdir, "noarch"] {
        fs::create_dir_all(unfinished.served().join(subdir))?;
    }
    packages::make_all(scratch.path(), &unfinished.busybox(), |package, prefix| {
        let subdir = unfinished.served().join(package.subdir(platform));
        records.push(package.pack(prefix, platform, &subdir)?);
        Ok(())
    })?;
    for subdir in [platform.subdir, "noarch"] {
        let repodata = serde_json::to_vec_pretty(&repodata(subdir, &records))?;
        fs::write(
            unfinished.served().join(subdir).join("repodata.json"),
            repodata,
        )?;
    }
    fs::rename(&unfinished.0, dir).with_context(|| format!("cannot make {}", dir.display()))
}

/// The channel's list of the packages of one subdir.
fn repodata(subdir: &str, records: &[Packed]) -> serde_json::Value {
    let ours = records.iter().filter(|record| record.subdir == subdir);
    let packages: serde_json::Map<_, _> = ours
        .map(|record| (record.file_name.clone(), record.repodata.clone()))
        .collect();
    json!({
        "info": {"subdir": subdir},
        "packages": {},
        "packages.conda": packages,
        "removed": [],
        "repodata_version": 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repodata_lists_the_packages_of_its_own_subdir() {
        let packed = |subdir: &str, file: &str| Packed {
            subdir: subdir.to_owned(),
            file_name: file.to_owned(),
            repodata: json!({"name": file}),
        };
        let records = [packed("noarch", "a.conda"), packed("linux-64", "b.conda")];
        let listed = repodata("noarch", &records);
        assert_eq!(listed["info"]["subdir"], "noarch");
        assert_eq!(
            listed["packages.conda"],
            json!({"a.conda": {"name": "a.conda"}})
        );
        assert_eq!(listed["packages"], json!({}));
    }
}
