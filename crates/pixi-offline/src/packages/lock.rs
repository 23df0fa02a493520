//! The lock file of a project: which packages each environment needs on each
//! platform.
//!
//! `rattler_lock` reads the formats of all versions; here they become one [`Package`] for
//! each package, and a list of them for each environment and platform.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use rattler_conda_types::Subdir;
use rattler_lock::{LockFile, Platform as RattlerPlatform};

use crate::digest::Sha256Digest;
use crate::packages::package::{Package, PythonKind, PythonPackage};
use crate::packages::package_source::PackageSource;
use crate::packages::virtual_package::{VirtualPackage, virtual_package};

/// A `pixi.lock`, as [`LockCache`](super::LockCache) reads it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    digest: Sha256Digest,
    version: u16,
    text: Arc<str>,
    environments: BTreeMap<String, LockedEnvironment>,
    /// The subdirs of the platforms that it lists at its top; empty before format 7.
    declared: BTreeSet<Subdir>,
    /// The project's own lock, where this one stands for it.
    own: Option<Box<Lock>>,
}

/// One environment of a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct LockedEnvironment {
    channels: Vec<String>,
    /// A list for each platform; where several have one subdir, the one that is
    /// named like it comes first.
    lists: Vec<Arc<PackageList>>,
}

/// What an environment needs on one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackageList {
    platform: LockedPlatform,
    pub(super) packages: Vec<Arc<Package>>,
}

/// A platform that a lock has packages for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedPlatform {
    /// Its name in the lock: that of its subdir, or another (`p1`) where the
    /// project asks for more of a machine. An environment may have several of one
    /// subdir.
    pub name: String,
    /// The part of a channel that its packages come from, `linux-64` for example.
    pub subdir: Subdir,
    /// What it asks of a machine, such as `__cuda=12.0`; only format 7 tells.
    pub virtual_packages: Vec<String>,
}

impl Lock {
    /// Takes what was parsed of a text.
    ///
    /// # Errors
    ///
    /// When a package has a name that is not a file name: it would lead out of the cache.
    pub(super) fn new(digest: Sha256Digest, text: String, lock: &LockFile) -> anyhow::Result<Lock> {
        // Many lists have the same package, which rattler keeps once.
        let mut known: HashMap<*const _, Arc<Package>> = HashMap::new();
        let mut environments = BTreeMap::new();
        for (name, environment) in lock.environments() {
            let channels = environment.channels().iter();
            let mut locked = LockedEnvironment {
                channels: channels.map(|channel| channel.url.clone()).collect(),
                lists: Vec::new(),
            };
            for (platform, packages) in environment.packages_by_platform() {
                let packages = packages.map(|package| {
                    let known = known.entry(std::ptr::from_ref(package));
                    Arc::clone(known.or_insert_with(|| Arc::new(Package::from(package))))
                });
                locked.lists.push(Arc::new(PackageList {
                    platform: LockedPlatform::from(&platform),
                    packages: packages.collect(),
                }));
            }
            // They come out of a hash map.
            locked.lists.sort_by_cached_key(|list| list.platform.rank());
            environments.insert(name.to_owned(), locked);
        }
        let stems = known
            .values()
            .filter_map(|package| Some(&package.as_conda()?.stem));
        if let Some(stem) = stems.filter(|stem| !is_file_name(stem)).min() {
            anyhow::bail!(
                "the name of the package {stem:?} is not a valid directory name; make the lock again with pixi"
            );
        }
        Ok(Lock {
            digest,
            version: lock.version() as u16,
            text: text.into(),
            environments,
            declared: lock.platforms().map(|platform| platform.subdir()).collect(),
            own: None,
        })
    }

    /// The sha256 of the file.
    pub fn digest(&self) -> &Sha256Digest {
        &self.digest
    }

    /// The version of its format.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The project's own lock, where this one has relative paths in the place of absolute ones.
    /// Pixi cannot compare such a lock with the manifest: `--frozen` installs it.
    pub fn own_lock(&self) -> Option<&Lock> {
        self.own.as_deref()
    }

    /// The same, in the place of the project's own lock.
    pub(super) fn standing_for(mut self, own: Lock) -> Lock {
        self.own = Some(Box::new(own));
        self
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether each environment has, on each platform, the packages that it has in
    /// `other`.
    pub(super) fn has_the_packages_of(&self, other: &Lock) -> bool {
        self.environments == other.environments
    }

    /// The names of its environments, sorted.
    pub fn environments(&self) -> impl Iterator<Item = &str> {
        self.environments.keys().map(String::as_str)
    }

    /// The channels of all its environments.
    pub fn channels(&self) -> impl Iterator<Item = &str> {
        self.environments
            .values()
            .flat_map(|environment| &environment.channels)
            .map(String::as_str)
    }

    /// Whether a channel in it is a directory. Pixi records the directory's absolute
    /// path, so at another path `--locked` takes the lock for stale, while
    /// `--frozen` installs it (seen with pixi 0.77.0).
    pub fn names_local_channel(&self) -> bool {
        self.channels().any(|channel| channel.starts_with("file:"))
    }

    /// The platforms that an environment is locked for; `None` when the lock lacks the
    /// environment.
    pub fn platforms(
        &self,
        environment: &str,
    ) -> Option<impl ExactSizeIterator<Item = &LockedPlatform>> {
        let lists = &self.environments.get(environment)?.lists;
        Some(lists.iter().map(|list| &list.platform))
    }

    /// Whether one of the environments has a package that is built from a git repository,
    /// on every platform that it is locked for.
    pub fn needs_git(&self, environments: &[String]) -> bool {
        self.always_have(environments, |package| match package {
            Package::Python(python) => python.kind == PythonKind::Git,
            Package::CondaSource(conda) => conda
                .sources()
                .any(|source| matches!(source, PackageSource::Git { .. })),
            Package::Conda(_) => false,
        })
    }

    /// Whether one of the environments has a conda package that pixi builds from source, on
    /// every platform that it is locked for.
    pub fn builds_conda_packages(&self, environments: &[String]) -> bool {
        self.always_have(environments, |package| package.as_conda_source().is_some())
    }

    fn always_have(&self, environments: &[String], is_one: fn(&Package) -> bool) -> bool {
        environments
            .iter()
            .map(|name| self.lists(name))
            .filter(|lists| !lists.is_empty())
            .any(|lists| {
                let mut lists = lists.iter();
                lists.all(|list| list.packages.iter().any(|package| is_one(package)))
            })
    }

    /// The paths that it names, of Python packages and of sources, as they stand in it.
    pub fn local_paths(&self) -> BTreeSet<PathBuf> {
        let packages = self.all_lists().flat_map(|list| &list.packages);
        let sources = packages.flat_map(|package| match &**package {
            Package::CondaSource(conda) => conda.sources().collect(),
            other => vec![&other.id().source],
        });
        sources.filter_map(PackageSource::path).collect()
    }

    /// The names of all Python packages in it, normalised.
    pub(super) fn python_names(&self) -> BTreeSet<String> {
        let python = self.all_lists().flat_map(|list| list.python());
        python.map(|python| python.id.name.clone()).collect()
    }

    /// The names of all its platforms.
    pub fn platform_names(&self) -> BTreeSet<&str> {
        self.all_lists().map(|list| &*list.platform.name).collect()
    }

    /// The platforms of a subdir that an environment is locked for.
    pub fn platforms_of(&self, environment: &str, subdir: Subdir) -> Vec<&LockedPlatform> {
        let platforms = self.platforms(environment).into_iter().flatten();
        platforms
            .filter(|platform| platform.subdir == subdir)
            .collect()
    }

    /// Whether nothing in it is for a platform of this subdir. Of locks before format 7
    /// that is not known while an environment needs nothing: it has no platforms there.
    pub fn is_not_for(&self, subdir: Subdir) -> bool {
        if self.version >= 7 {
            return !self.declared.is_empty() && !self.declared.contains(&subdir);
        }
        !self.environments.values().any(|environment| {
            let lists = &environment.lists;
            lists.is_empty() || lists.iter().any(|list| list.platform.subdir == subdir)
        })
    }

    /// The first platform of a subdir that each of these environments has, by name.
    pub fn first_platforms(
        &self,
        environments: &[String],
        subdir: Subdir,
    ) -> Vec<(String, String)> {
        let platform = |environment: &String| {
            let list = self.lists_on(environment, Some(subdir)).next()?;
            Some((environment.clone(), list.platform.name.clone()))
        };
        environments.iter().filter_map(platform).collect()
    }

    /// What an environment needs on the first of its platforms of a subdir; `None` when the
    /// lock lacks either.
    pub fn packages(&self, environment: &str, subdir: Subdir) -> Option<&[Arc<Package>]> {
        let mut lists = self.lists_on(environment, Some(subdir));
        lists.next().map(|list| &*list.packages)
    }

    /// What an environment needs on the platform of this name.
    pub fn packages_on(&self, environment: &str, platform: &str) -> Option<&[Arc<Package>]> {
        let mut lists = self.lists(environment).iter();
        let list = lists.find(|list| list.platform.name == platform);
        list.map(|list| &*list.packages)
    }

    /// The platform of this name.
    pub fn platform(&self, environment: &str, name: &str) -> Option<&LockedPlatform> {
        self.platforms(environment)?
            .find(|platform| platform.name == name)
    }

    /// What an environment needs on the first of its platforms of a subdir; on each of its
    /// platforms when `None`.
    pub(super) fn lists_on(
        &self,
        environment: &str,
        subdir: Option<Subdir>,
    ) -> impl Iterator<Item = &PackageList> {
        let is_chosen = move |list: &&Arc<PackageList>| {
            subdir.is_none_or(|subdir| list.platform.subdir == subdir)
        };
        let most = subdir.map_or(usize::MAX, |_| 1);
        let lists = self.lists(environment).iter().filter(is_chosen);
        lists.take(most).map(|list| &**list)
    }

    fn lists(&self, environment: &str) -> &[Arc<PackageList>] {
        let found = self.environments.get(environment);
        found.map_or(&[], |found| &found.lists)
    }

    fn all_lists(&self) -> impl Iterator<Item = &Arc<PackageList>> {
        self.environments
            .values()
            .flat_map(|environment| &environment.lists)
    }

    /// The platform of `subdir` that an environment was installed for: the one with
    /// the most of its conda packages among those of which each is in `conda_packages`
    /// (`name-version-build`); of equals the one that asks for most of the virtual
    /// packages that pixi chose by, where it told them.
    pub fn installed_platform(
        &self,
        environment: &str,
        subdir: Subdir,
        conda_packages: &BTreeSet<String>,
        virtual_packages: &[String],
    ) -> Option<&LockedPlatform> {
        let mut best: Option<(&PackageList, (usize, usize))> = None;
        let lists = self.lists(environment).iter();
        for list in lists.filter(|list| list.platform.subdir == subdir) {
            let Some(fit) = list.fits(conda_packages, virtual_packages) else {
                continue;
            };
            // Of equals the first.
            if best.is_none_or(|(_, found)| fit > found) {
                best = Some((list, fit));
            }
        }
        best.map(|(list, _)| &list.platform)
    }

    /// The lock without, of each environment named in `choices`, the platforms that have the
    /// subdir of the one named there and another name.
    #[must_use]
    pub fn choosing<'a>(&self, choices: impl IntoIterator<Item = (&'a str, &'a str)>) -> Lock {
        let mut chosen = self.clone();
        for (environment, name) in choices {
            let Some(subdir) = self.platform(environment, name).map(|found| found.subdir) else {
                continue;
            };
            if let Some(found) = chosen.environments.get_mut(environment) {
                found
                    .lists
                    .retain(|list| list.platform.name == name || list.platform.subdir != subdir);
            }
        }
        chosen
    }
}

impl PackageList {
    fn python(&self) -> impl Iterator<Item = &PythonPackage> {
        self.packages
            .iter()
            .filter_map(|package| package.as_python())
    }

    /// How many of the installed conda packages, and of the virtual packages that
    /// pixi chose by, are of this list; `None` when it needs one that is not there.
    fn fits(
        &self,
        conda_packages: &BTreeSet<String>,
        virtual_packages: &[String],
    ) -> Option<(usize, usize)> {
        let conda = self.packages.iter();
        let conda: Vec<_> = conda.filter_map(|package| package.as_conda()).collect();
        let are_there = conda
            .iter()
            .all(|conda| conda_packages.contains(&conda.stem));
        are_there.then_some(())?;
        let chosen_by: BTreeSet<_> = virtual_packages
            .iter()
            .map(|text| virtual_package(text))
            .collect();
        let own = self.platform.virtual_packages.iter();
        let own: BTreeSet<_> = own.map(|text| virtual_package(text)).collect();
        // One that asks for more than pixi chose by was not chosen.
        let asked = if own.is_subset(&chosen_by) {
            1 + own.len()
        } else {
            0
        };
        Some((conda.len(), asked))
    }
}

impl LockedPlatform {
    /// What it asks of a machine beyond what every machine of its subdir has.
    pub fn asked(&self) -> BTreeSet<VirtualPackage> {
        let all = self.virtual_packages.iter();
        all.filter_map(|text| VirtualPackage::parse(text))
            .filter(|one| !one.is_of_every_machine(self.subdir))
            .collect()
    }

    /// The same, each as a conda package asks: `__cuda >=12.0`.
    pub fn requirements(&self) -> Vec<String> {
        let is_asked = |text: &&String| {
            VirtualPackage::parse(text).is_none_or(|one| !one.is_of_every_machine(self.subdir))
        };
        self.virtual_packages
            .iter()
            .filter(is_asked)
            .map(|text| match virtual_package(text) {
                (name, "0") => name.to_owned(),
                (name, version) => format!("{name} >={version}"),
            })
            .collect()
    }

    /// What platforms are sorted by.
    fn rank(&self) -> (Subdir, bool, String) {
        let is_other = self.name != self.subdir.as_str();
        (self.subdir, is_other, self.name.clone())
    }
}

impl From<&RattlerPlatform<'_>> for LockedPlatform {
    fn from(platform: &RattlerPlatform<'_>) -> LockedPlatform {
        LockedPlatform {
            name: platform.name().to_string(),
            subdir: platform.subdir(),
            virtual_packages: platform.virtual_packages().to_vec(),
        }
    }
}

/// Whether a text is a single component of a path.
pub(super) fn is_file_name(text: &str) -> bool {
    !text.contains(['/', '\0']) && !matches!(text, "" | "." | "..")
}

#[cfg(test)]
mod tests;
