//! What the packages of chosen environments are, for those who must judge them:
//! licence, digests, where they come from, what they depend on.
//!
//! [`Lock`] keeps what decides whether an offline install can work; this is
//! read from its text when it is asked for, and decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use rattler_lock::{
    CondaBinaryData, CondaPackageData, LockFile, LockedPackage, PypiPackageData, UrlOrPath,
};
use rattler_redaction::strip_url_for_serialization;

use crate::evidence::hexadecimal;
use crate::packages::lock::{Lock, LockedPlatform, PythonKind, PythonPackage};
use crate::packages::python::PythonCache;

/// The packages of some environments, each once, sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    packages: Vec<PackageInfo>,
}

/// A package, and what the lock tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageInfo {
    /// What it is.
    pub identity: PackageId,
    /// The licence, as the package states it.
    pub licence: Option<String>,
    /// The md5 of its archive.
    pub md5: Option<String>,
    /// The size of its archive, in bytes.
    pub size: Option<u64>,
    /// The environments that need it.
    pub environments: BTreeSet<String>,
    /// Where the packages that it depends on are in the inventory. Only those
    /// of the same environment; virtual packages (`__glibc`) are none.
    pub depends_on: BTreeSet<usize>,
}

/// What tells a package from any other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageId {
    /// Its name, normalised as its ecosystem does.
    pub name: String,
    /// Its version; what is built from source may have none in the lock.
    pub version: Option<String>,
    /// Its ecosystem, and what of it is locked.
    pub kind: PackageKind,
    /// Where it comes from.
    pub source: PackageSource,
    /// The sha256 of its archive.
    pub sha256: Option<String>,
}

/// The ecosystem of a package, and what of it is locked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageKind {
    /// A conda package, as a channel has it.
    Conda {
        /// Its build string.
        build: String,
        /// The channel's name, `conda-forge` for example.
        channel: Option<String>,
        /// The part of the channel, `linux-64` or `noarch` for example.
        subdir: String,
        /// The ending of its archive, without the dot.
        archive: String,
    },
    /// A conda package that pixi builds from source (pixi-build).
    CondaSource,
    /// A Python package.
    Python(PythonKind),
}

/// Where a package comes from, without the credentials that a lock may have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageSource {
    /// Its archive's URL.
    Url(String),
    /// A git repository.
    Git {
        /// Its URL.
        repository: String,
        /// The commit.
        commit: Option<String>,
    },
    /// A path, relative to the project when it lies in it.
    Path(String),
}

impl Inventory {
    /// What `environments` need on `platform` by `lock`; on all its platforms
    /// when `None`. An environment or platform that the lock lacks adds nothing:
    /// [`Requirements::of`](crate::packages::Requirements::of) refuses those.
    ///
    /// # Errors
    ///
    /// When the lock's text cannot be read again.
    pub fn of(
        lock: &Lock,
        environments: &[String],
        platform: Option<&str>,
    ) -> anyhow::Result<Inventory> {
        let file = LockFile::from_str_with_base_directory(lock.text(), None)
            .context("pixi.lock cannot be read a second time")?;
        let mut packages: BTreeMap<PackageId, PackageInfo> = BTreeMap::new();
        let mut groups = Vec::new();
        for name in environments {
            let Some(environment) = file.environment(name) else {
                continue;
            };
            let mut lists: Vec<_> = environment.packages_by_platform().collect();
            // They come out of a hash map, and the first to name a package describes it.
            lists.sort_by_cached_key(|(on, _)| on.name().to_string());
            let chosen = platform.map(|platform| lock.platform(name, platform));
            for (on, locked) in lists {
                let is_chosen = |chosen: Option<&LockedPlatform>| {
                    chosen.is_some_and(|chosen| chosen.name == on.name().as_str())
                };
                if !chosen.is_none_or(is_chosen) {
                    continue;
                }
                let group = Group::of(locked);
                for (identity, package) in &group.packages {
                    packages
                        .entry(identity.clone())
                        .or_insert_with(|| describe(identity, package))
                        .environments
                        .insert(name.clone());
                }
                groups.push(group);
            }
        }
        let places: BTreeMap<PackageId, usize> = packages.keys().cloned().zip(0..).collect();
        let mut inventory = Inventory {
            packages: packages.into_values().collect(),
        };
        for group in &groups {
            for (from, to) in group.dependencies() {
                inventory.packages[places[from]]
                    .depends_on
                    .insert(places[to]);
            }
        }
        Ok(inventory)
    }

    /// Adds the licences of Python packages, which a lock does not have, as the
    /// wheels in a cache state them.
    pub fn add_python_licences(&mut self, cache: &PythonCache) {
        for package in &mut self.packages {
            if let PackageKind::Python(kind) = package.identity.kind {
                let identity = &package.identity;
                package.licence = cache.licence(&PythonPackage {
                    name: identity.name.clone(),
                    version: identity.version.clone(),
                    kind,
                    location: match &identity.source {
                        PackageSource::Url(location) | PackageSource::Path(location) => {
                            location.clone()
                        }
                        PackageSource::Git { repository, commit } => {
                            let commit = commit.as_deref().unwrap_or_default();
                            format!("git+{repository}#{commit}")
                        }
                    },
                    sha256: identity.sha256.clone(),
                });
            }
        }
    }

    /// The packages.
    pub fn packages(&self) -> &[PackageInfo] {
        &self.packages
    }
}

/// The packages of one environment on one platform.
struct Group<'a> {
    packages: Vec<(PackageId, &'a LockedPackage)>,
    conda: BTreeMap<String, usize>,
    python: BTreeMap<String, usize>,
}

impl<'a> Group<'a> {
    fn of(locked: impl Iterator<Item = &'a LockedPackage>) -> Group<'a> {
        let packages: Vec<_> = locked.map(|package| (identity(package), package)).collect();
        let mut conda = BTreeMap::new();
        let mut python = BTreeMap::new();
        for (place, (identity, package)) in packages.iter().enumerate() {
            match package {
                LockedPackage::Conda(data) => {
                    conda.insert(identity.name.clone(), place);
                    // A conda package can be the Python package that others require.
                    let provided = data.record().and_then(|record| record.purls.as_ref());
                    for name in provided.into_iter().flatten() {
                        python.entry(name.name().to_owned()).or_insert(place);
                    }
                }
                LockedPackage::Pypi(_) => drop(python.insert(identity.name.clone(), place)),
            }
        }
        Group {
            packages,
            conda,
            python,
        }
    }

    /// Each dependency between two packages of the group.
    fn dependencies(&self) -> impl Iterator<Item = (&PackageId, &PackageId)> {
        let extras: Vec<_> = self
            .packages
            .iter()
            .filter_map(|(_, package)| package.as_pypi())
            .flat_map(PypiPackageData::requires_dist)
            .flat_map(|requirement| requirement.extras.iter().cloned())
            .collect();
        self.packages.iter().flat_map(move |(from, package)| {
            let places: Vec<usize> = match package {
                LockedPackage::Conda(data) => data
                    .depends()
                    .iter()
                    .filter_map(|text| self.conda.get(dependency_name(text)).copied())
                    .collect(),
                LockedPackage::Pypi(data) => data
                    .requires_dist()
                    .iter()
                    // Not what only an extra asks for that nobody asked for.
                    .filter(|required| required.marker.evaluate_optional_environment(None, &extras))
                    .filter_map(|required| {
                        let name = required.name.to_string();
                        self.python
                            .get(&name)
                            .or_else(|| self.conda.get(&name))
                            .copied()
                    })
                    .collect(),
            };
            places
                .into_iter()
                .map(move |place| (from, &self.packages[place].0))
                .filter(|(from, to)| from != to)
        })
    }
}

/// The name in a conda dependency such as `python >=3.11,<3.12.0a0`, in lower
/// case as names in channels are.
fn dependency_name(dependency: &str) -> &str {
    let end = dependency
        .find(|c: char| c.is_whitespace() || "=<>!~[".contains(c))
        .unwrap_or(dependency.len());
    &dependency[..end]
}

fn identity(package: &LockedPackage) -> PackageId {
    match package {
        LockedPackage::Conda(CondaPackageData::Binary(data)) => PackageId {
            name: data.package_record.name.as_normalized().to_owned(),
            version: Some(data.package_record.version.to_string()),
            kind: conda_kind(data),
            source: source(&data.location),
            sha256: data
                .package_record
                .sha256
                .map(|sha256| hexadecimal(&sha256)),
        },
        LockedPackage::Conda(CondaPackageData::Source(data)) => PackageId {
            name: data.name().as_normalized().to_owned(),
            version: data.record().map(|record| record.version.to_string()),
            kind: PackageKind::CondaSource,
            source: source(&data.location),
            sha256: None,
        },
        LockedPackage::Pypi(data) => {
            let package = PythonPackage::from(data);
            let hash = data.as_wheel().and_then(|wheel| wheel.hash.as_ref());
            PackageId {
                sha256: hash
                    .and_then(|hash| hash.sha256())
                    .map(|sha256| hexadecimal(sha256))
                    // Of a folder's manifest in some locks: of no archive.
                    .filter(|_| package.kind != PythonKind::Folder),
                name: package.name,
                version: package.version,
                kind: PackageKind::Python(package.kind),
                source: source(data.location().inner()),
            }
        }
    }
}

fn conda_kind(data: &CondaBinaryData) -> PackageKind {
    let record = &data.package_record;
    PackageKind::Conda {
        build: record.build.to_string(),
        channel: data.channel.as_ref().map(|channel| {
            let url = strip_url_for_serialization(channel.as_ref());
            let path = url.path().trim_matches('/');
            match path.rsplit('/').next().unwrap_or_default() {
                "" => url.host_str().unwrap_or_default().to_owned(),
                // A folder's path is of the machine that locked it.
                last if url.scheme() == "file" => last.to_owned(),
                _ => path.to_owned(),
            }
        }),
        subdir: record.subdir.clone(),
        archive: data
            .file_name
            .archive_type
            .extension()
            .trim_start_matches('.')
            .to_owned(),
    }
}

fn source(location: &UrlOrPath) -> PackageSource {
    let UrlOrPath::Url(url) = location else {
        return PackageSource::Path(location.to_string());
    };
    let stripped = strip_url_for_serialization(url).to_string();
    match stripped.strip_prefix("git+") {
        Some(repository) => PackageSource::Git {
            repository: repository.to_owned(),
            commit: url.fragment().map(str::to_owned),
        },
        None => PackageSource::Url(stripped),
    }
}

fn describe(identity: &PackageId, package: &LockedPackage) -> PackageInfo {
    let record = package.as_conda().and_then(CondaPackageData::record);
    let hash = package
        .as_pypi()
        .and_then(PypiPackageData::as_wheel)
        .and_then(|wheel| wheel.hash.as_ref());
    PackageInfo {
        identity: identity.clone(),
        licence: record
            .and_then(|record| record.license.clone())
            // What some build tools write when there is none.
            .filter(|licence| !["", "None", "NONE", "UNKNOWN"].contains(&licence.as_str())),
        md5: record
            .and_then(|record| record.md5)
            .or_else(|| hash.and_then(|hash| hash.md5().copied()))
            .map(|md5| hexadecimal(&md5)),
        size: record.and_then(|record| record.size),
        environments: BTreeSet::new(),
        depends_on: BTreeSet::new(),
    }
}
