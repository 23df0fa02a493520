//! A Python package index over HTTP, on the engine's own network as the channel is, with
//! packages of every form that a project may depend on, and the build backends they need.
//!
//! [`source`] writes a package as its author has it, [`wheel`] and [`sdist`] as it is
//! published, [`repository`] puts it under git, [`index`] lists what there is. All is made here
//! but the build backends: these are the real ones, downloaded once.

mod backends;
mod cyclonedx;
mod index;
mod repository;
mod sdist;
mod source;
mod uv;
mod wheel;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{Turn, cache_dir, scratch_dir};
use crate::channel::ensure_channel;
use crate::fingerprint::Fingerprint;
use crate::httpd::Site;
use crate::process::announced;

pub use cyclonedx::{CycloneDx, ensure_cyclonedx};
pub use repository::commit_with_tag;
pub use source::{Backend, LOCAL_VERSION, Source};
pub use uv::ensure_uv;
pub use wheel::wheel;

/// The index, being served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonIndex {
    address: String,
    revision: String,
}

impl PythonIndex {
    /// The simple index (PEP 503), for a project's `index-url`. It has `plain-wheel` as a
    /// wheel, `old-sdist` (setuptools; its metadata is so old that only a build tells what it
    /// needs) and `new-sdist` (hatchling) as source distributions, all in version 1.0, and the
    /// build backends. The metadata of `dated-wheel` has zeros that the name of its file lacks,
    /// `local-wheel` has a local version, and `local-sdist` 1.0 gets one when it is built.
    pub fn simple(&self) -> String {
        format!("{}/simple", self.address)
    }

    /// The address of a wheel that no index lists: `direct-wheel` 1.0.
    pub fn direct_wheel(&self) -> String {
        format!("{}/direct/{DIRECT_WHEEL}", self.address)
    }

    /// The address of a source distribution that no index lists: `direct-sdist` 1.0.
    pub fn direct_sdist(&self) -> String {
        format!("{}/direct/{DIRECT_SDIST}", self.address)
    }

    /// The address of a git repository with the package `from-git` 1.0.
    pub fn repository(&self) -> String {
        format!("{}/{REPOSITORY}", self.address)
    }

    /// The repository's only commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }
}

const DIRECT_WHEEL: &str = "direct_wheel-1.0-py3-none-any.whl";
const DIRECT_SDIST: &str = "direct_sdist-1.0.tar.gz";
const REPOSITORY: &str = "git/from-git";

/// The version of every package made here, but for the three that are about versions.
pub const VERSION: &str = "1.0";

/// The version of `dated-wheel`, as its metadata has it and as the name of its file does.
pub const DATES: [&str; 2] = ["2025.05.09", "2025.5.9"];

/// Sees to it that the index is made and served.
///
/// # Errors
/// When there is no engine, pip cannot download the build backends, or the server does not
/// answer.
pub fn ensure_python_index() -> Result<PythonIndex> {
    // The channel brings the server's program.
    let channel = ensure_channel()?;
    let dir = ensure_made()?;
    let site = Site {
        busybox: &channel.dir.with_file_name("busybox"),
        dir: &dir,
        name: "python",
        probe: "simple/index.html",
    };
    let address = site.ensure_served()?;
    let revision = fs::read_to_string(dir.join(REPOSITORY).join("revision"))
        .context("the served git repository has lost its `revision`")?;
    Ok(PythonIndex { address, revision })
}

/// The modules' own text counts, so that nobody has to remember to raise a number.
fn recipe() -> Fingerprint {
    Fingerprint::of([
        include_str!("backends.rs"),
        include_str!("index.rs"),
        include_str!("mod.rs"),
        include_str!("repository.rs"),
        include_str!("sdist.rs"),
        include_str!("source.rs"),
        include_str!("wheel.rs"),
    ])
}

fn ensure_made() -> Result<PathBuf> {
    let dir = cache_dir()?.join(format!("python-{}", recipe().short()));
    if !dir.is_dir() {
        let _turn = Turn::at("python")?;
        if !dir.is_dir() {
            announced("making an index of Python packages", || make(&dir))?;
        }
    }
    Ok(dir)
}

fn make(dir: &Path) -> Result<()> {
    let scratch = scratch_dir("python")?;
    let unfinished = scratch.path().join("home");
    let [files, direct] = ["files", "direct"].map(|name| unfinished.join(name));
    for dir in [&files, &direct] {
        fs::create_dir_all(dir)?;
    }
    let put = |dir: &Path, (name, bytes): (String, Vec<u8>)| {
        fs::write(dir.join(&name), bytes).with_context(|| format!("cannot write {name}"))
    };
    let source = Source::new;

    put(&files, wheel("plain-wheel", VERSION)?)?;
    let old = source("old-sdist", VERSION, Backend::Setuptools);
    put(&files, sdist::sdist(&old, "2.1", scratch.path())?)?;
    let new = source("new-sdist", VERSION, Backend::Hatchling);
    put(&files, sdist::sdist(&new, "2.4", scratch.path())?)?;
    let local = source("local-sdist", VERSION, Backend::LocalVersion);
    put(&files, sdist::sdist(&local, "2.2", scratch.path())?)?;
    let with_local = format!("{VERSION}{LOCAL_VERSION}");
    put(&files, wheel("local-wheel", &with_local)?)?;
    let [with_zeros, without] = DATES;
    put(
        &files,
        wheel::wheel_named("dated-wheel", with_zeros, without)?,
    )?;
    put(&direct, wheel("direct-wheel", VERSION)?)?;
    let sdist_source = source("direct-sdist", VERSION, Backend::Hatchling);
    put(&direct, sdist::sdist(&sdist_source, "2.4", scratch.path())?)?;
    let from_git = source("from-git", VERSION, Backend::Hatchling);
    repository::serve_as_files(&from_git, scratch.path(), &unfinished.join(REPOSITORY))?;
    backends::download(&files)?;
    index::write(&files, &unfinished.join("simple"))?;

    fs::rename(&unfinished, dir).with_context(|| format!("cannot make {}", dir.display()))
}
