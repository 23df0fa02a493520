//! What of a machine's own directories goes along with a project.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::layout::PathInRoot;
use crate::packages::delivered_lock::DELIVERED_FORMAT;
use crate::packages::local_channel::LocalChannel;
use crate::packages::lock::Lock;
use crate::packages::lock_cache::LockCache;
use crate::packages::package::{Package, PythonKind};
use crate::packages::package_source::PackageSource;
use crate::packages::relative_paths::with_relative_paths;
use crate::request::SourcePlace;

/// Where the project is in what is staged, and the channels that are staged with it: what a lock
/// names by path is there, or it is outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalSources {
    /// Where the project is in what is staged.
    pub in_root: PathInRoot,
    /// The channels in it.
    pub channels: Vec<LocalChannel>,
    /// Channels in it that Pixi cannot find there: they are not where they were locked.
    pub moved_channels: Vec<LocalChannel>,
    /// Where the project is before it is staged, where that is known.
    pub origin: Option<ProjectOrigin>,
}

/// Where a project is before it is staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectOrigin {
    /// The machine.
    pub place: SourcePlace,
    /// Its directory there, with no link in the path.
    pub dir: PathBuf,
}

impl LocalSources {
    /// Those of a lock, of the project at `in_root` in the directory `top`.
    pub fn of(lock: &Lock, top: &Path, in_root: &PathInRoot) -> LocalSources {
        LocalSources {
            in_root: in_root.clone(),
            channels: LocalChannel::of(lock, top, in_root),
            moved_channels: Vec::new(),
            origin: None,
        }
    }

    /// The option that names a source root where the project is.
    pub(super) fn option(&self) -> &'static str {
        let place = self.origin.as_ref().map(|origin| origin.place);
        place.unwrap_or(SourcePlace::Host).option()
    }

    /// The lock that is installed: its absolute paths are relative where they are in what is
    /// staged, the directory `top`.
    ///
    /// # Errors
    ///
    /// When the lock cannot be written anew.
    pub fn with_relative_paths(
        &self,
        lock: Lock,
        top: &Path,
        locks: &LockCache,
    ) -> anyhow::Result<Lock> {
        let up = self.in_root.path().components().count();
        let real = self.origin.as_ref();
        let real = real.and_then(|origin| origin.dir.ancestors().nth(up));
        let tops: Vec<&Path> = [top].into_iter().chain(real).collect();
        with_relative_paths(lock, &tops, &self.in_root, locks)
    }

    /// The source root that would hold what these environments need and is outside, the
    /// deepest; `None` where nothing is, where the project's own place is not known, and where
    /// only the root of the file system holds all.
    pub fn source_root(&self, lock: &Lock, environments: &[String]) -> Option<PathBuf> {
        let project = &self.origin.as_ref()?.dir;
        let packages = environments.iter().flat_map(|name| {
            let platforms = lock.platforms(name).into_iter().flatten();
            platforms.filter_map(|platform| lock.packages_on(name, &platform.name))
        });
        let is_made_relative = lock.version() == DELIVERED_FORMAT;
        let outside: BTreeSet<PathBuf> = packages
            .flatten()
            .flat_map(|package| self.outside(package, is_made_relative))
            .filter_map(|source| place_of(source, project))
            .collect();
        let mut root = project.parent().filter(|_| !outside.is_empty())?;
        while !outside.iter().all(|path| path.starts_with(root)) {
            root = root.parent()?;
        }
        (root != Path::new("/")).then(|| root.to_owned())
    }

    /// What of a package is outside; absolute paths of Python packages only where they are made
    /// relative, since no root helps with them else.
    fn outside<'a>(&self, package: &'a Package, is_made_relative: bool) -> Vec<&'a PackageSource> {
        match package {
            Package::Conda(conda) => [&conda.id.source]
                .into_iter()
                .filter(|source| self.lack_conda(source) && !self.has_moved(source))
                .collect(),
            Package::CondaSource(conda) => {
                let sources = conda.sources();
                sources.filter(|source| self.lack_source(source)).collect()
            }
            Package::Python(python) => [&python.id.source]
                .into_iter()
                .filter(|source| self.lack(source) || source.is_local())
                .filter(|source| is_made_relative || !source.is_local())
                .collect(),
        }
    }

    /// The source directory of a package, when it is outside.
    pub fn source_outside<'a>(&self, package: &'a Package) -> Option<&'a PackageSource> {
        match package {
            Package::Python(python) if python.kind == PythonKind::Dir => {
                Some(&python.id.source).filter(|source| self.lack(source))
            }
            Package::CondaSource(conda) => conda.sources().find(|source| self.lack(source)),
            _ => None,
        }
    }

    /// Whether a Python package or a source directory is outside.
    pub(super) fn lack(&self, source: &PackageSource) -> bool {
        source.leads_out(&self.in_root)
    }

    /// Whether what a source package is built from is outside.
    pub(super) fn lack_source(&self, source: &PackageSource) -> bool {
        source.is_local() || self.lack(source)
    }

    /// Whether a conda package is of a channel that is staged, and that Pixi cannot find.
    pub(super) fn has_moved(&self, source: &PackageSource) -> bool {
        let mut channels = self.moved_channels.iter();
        channels.any(|channel| channel.holds(source))
    }

    /// Whether a conda package is outside.
    pub(super) fn lack_conda(&self, source: &PackageSource) -> bool {
        self.lack_source(source) && !self.channels.iter().any(|channel| channel.holds(source))
    }
}

/// Where a path of a lock is on the machine of the project.
fn place_of(source: &PackageSource, project: &Path) -> Option<PathBuf> {
    // An absolute path stays as it is.
    let path = project.join(source.path()?);
    let mut place = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(place.pop()),
            other => place.push(other),
        }
    }
    Some(place)
}
