//! The lock file of a project: which packages each environment needs on each
//! platform.
//!
//! `rattler_lock` reads the formats of all versions; here they become the few
//! facts that decide whether an offline install can work.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use anyhow::Context as _;
use rattler_lock::{
    CondaPackageData, LockFile, LockedPackage as RattlerPackage, PackageHashes, PypiPackageData,
    UrlOrPath,
};
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::packages::wheel_name::WheelName;
use crate::proof::{Sha256Digest, hexadecimal};
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// A `pixi.lock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    digest: Sha256Digest,
    version: u16,
    text: String,
    environments: BTreeMap<String, LockedEnvironment>,
}

/// One environment of a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct LockedEnvironment {
    channels: Vec<String>,
    /// By platform, `linux-64` for example.
    packages: BTreeMap<String, Vec<Package>>,
}

/// A package that an environment needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Package {
    /// A conda package, as a channel has it.
    Conda(CondaPackage),
    /// A conda package that pixi builds from source (pixi-build).
    CondaSource {
        /// Its name.
        name: String,
        /// Where its source is.
        location: String,
    },
    /// A Python package.
    Python(PythonPackage),
}

/// A conda package, as a channel has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CondaPackage {
    /// `name-version-build`, the name of its archive without the ending.
    pub stem: String,
    /// Where its archive is: a URL or a path.
    pub location: String,
    /// The sha256 of its archive, where the lock has it.
    pub sha256: Option<String>,
    /// The oldest glibc that it runs with, where it says so.
    pub glibc: Option<(u32, u32)>,
    /// What it asks of the machine, such as `__cuda >=12`.
    pub virtual_packages: Vec<String>,
}

/// A Python package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PythonPackage {
    /// Its name, normalised (PEP 503).
    pub name: String,
    /// Its version; a source folder may have none.
    pub version: Option<String>,
    /// What is locked.
    pub kind: PythonKind,
    /// Where it is: a URL or a path.
    pub location: String,
    /// The sha256 of the wheel or source distribution, where the lock has it.
    pub sha256: Option<String>,
}

/// What of a Python package is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PythonKind {
    /// A wheel, from an index, a URL or a file.
    Wheel,
    /// A source distribution: a wheel is built of it.
    SourceDistribution,
    /// A git repository: a wheel is built of it.
    Git,
    /// A folder: a wheel is built of it wherever it is installed.
    Folder,
}

impl Lock {
    /// Reads a lock file; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read; exit code 2 when it is no lock that
    /// this version understands. The file is named.
    pub fn read(file: &Path) -> anyhow::Result<Option<Lock>> {
        match UntrustedDir::read_file(file, RECORD_LIMIT) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| {
                    Failure::usage(format!(
                        "{} is no lock file: it is not text",
                        file.display()
                    ))
                })?;
                Lock::parse(text).map(Some).map_err(|error| {
                    Failure::usage(format!(
                        "{} is no lock file that can be used: {error}",
                        file.display()
                    ))
                })
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(Failure::usage(format!(
                    "{} cannot be used: {error}; put the lock file itself in its place",
                    file.display()
                )))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
        }
    }

    /// Reads the text of a lock file.
    ///
    /// # Errors
    ///
    /// When it does not parse or has an unknown version, or a package in it has a
    /// name that is no file name: it would lead out of the cache.
    pub fn parse(text: String) -> anyhow::Result<Lock> {
        let lock = LockFile::from_str_with_base_directory(&text, None).map_err(|error| {
            anyhow::anyhow!("{error}; make it again with pixi, or use newer commands")
        })?;
        let mut environments = BTreeMap::new();
        for (name, environment) in lock.environments() {
            let mut locked = LockedEnvironment {
                channels: environment
                    .channels()
                    .iter()
                    .map(|channel| channel.url.clone())
                    .collect(),
                packages: BTreeMap::new(),
            };
            for (platform, packages) in environment.packages_by_platform() {
                let packages = packages
                    .map(Package::from)
                    .map(Package::with_plain_name)
                    .collect::<anyhow::Result<_>>()?;
                locked
                    .packages
                    .insert(platform.subdir().to_string(), packages);
            }
            environments.insert(name.to_owned(), locked);
        }
        Ok(Lock {
            digest: Sha256Digest::from(Sha256::digest(&text)),
            version: lock.version() as u16,
            text,
            environments,
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

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
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

    /// Whether a channel in it is a folder. Pixi records the folder's absolute
    /// path, so at another path `--locked` takes the lock for stale, while
    /// `--frozen` installs it (seen with pixi 0.77.0).
    pub fn names_local_channel(&self) -> bool {
        self.channels().any(|channel| channel.starts_with("file:"))
    }

    /// The platforms that an environment is locked for; `None` when the lock
    /// lacks the environment.
    pub fn platforms(&self, environment: &str) -> Option<Vec<&str>> {
        let environment = self.environments.get(environment)?;
        Some(environment.packages.keys().map(String::as_str).collect())
    }

    /// Whether one of the environments has a package that is built from a git repository,
    /// on every platform that it is locked for.
    pub fn needs_git(&self, environments: &[String]) -> bool {
        let is_git = |package: &Package| matches!(package, Package::Python(python) if python.kind == PythonKind::Git);
        environments
            .iter()
            .filter_map(|name| self.environments.get(name))
            .filter(|environment| !environment.packages.is_empty())
            .any(|environment| {
                let mut platforms = environment.packages.values();
                platforms.all(|packages| packages.iter().any(is_git))
            })
    }

    /// The names of all Python packages in it, normalised.
    pub(super) fn python_names(&self) -> BTreeSet<String> {
        let packages = self
            .environments
            .values()
            .flat_map(|environment| environment.packages.values())
            .flatten();
        packages
            .filter_map(|package| match package {
                Package::Python(python) => Some(python.name.clone()),
                _ => None,
            })
            .collect()
    }

    /// What an environment needs on a platform; `None` when the lock lacks either.
    pub fn packages(&self, environment: &str, platform: &str) -> Option<&[Package]> {
        Some(self.environments.get(environment)?.packages.get(platform)?)
    }
}

impl Package {
    /// The oldest glibc that it runs with, where it says so.
    pub fn glibc(&self) -> Option<(u32, u32)> {
        match self {
            Package::Conda(conda) => conda.glibc,
            Package::CondaSource { .. } => None,
            Package::Python(python) => python.glibc(),
        }
    }

    /// The package, when its name can be that of a folder in the cache.
    fn with_plain_name(self) -> anyhow::Result<Package> {
        if let Package::Conda(conda) = &self {
            anyhow::ensure!(
                is_file_name(&conda.stem),
                "the package {:?} has no name that a folder can have; make the lock again with pixi",
                conda.stem
            );
        }
        Ok(self)
    }
}

/// Whether a text is a single component of a path.
fn is_file_name(text: &str) -> bool {
    !text.contains(['/', '\0']) && !matches!(text, "" | "." | "..")
}

impl PythonPackage {
    /// Whether it is read from a file or folder of the project.
    pub(super) fn is_in_project(&self) -> bool {
        !self.location.contains("://")
    }

    /// The name of its file, by where it is.
    pub(super) fn file(&self) -> Option<String> {
        let path = self.location.split(['#', '?']).next()?;
        let name = path.rsplit('/').next()?;
        let name = percent_encoding::percent_decode_str(name)
            .decode_utf8()
            .ok()?;
        (!name.is_empty()).then(|| name.into_owned())
    }

    /// The commit of a git repository.
    pub(super) fn commit(&self) -> Option<String> {
        let (_, commit) = self.location.rsplit_once('#')?;
        let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_commit.then(|| commit.to_ascii_lowercase())
    }

    /// How messages name it.
    pub(super) fn shown(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.name),
            None => self.name.clone(),
        }
    }

    /// The oldest glibc that it runs with, where the name of its wheel says so.
    pub(super) fn glibc(&self) -> Option<(u32, u32)> {
        let file = self.file().filter(|_| self.kind == PythonKind::Wheel)?;
        WheelName::parse(&file)?.glibc()
    }
}

impl From<&RattlerPackage> for Package {
    fn from(package: &RattlerPackage) -> Package {
        match package {
            RattlerPackage::Conda(conda) => match conda {
                CondaPackageData::Binary(binary) => Package::Conda(CondaPackage {
                    stem: binary.file_name.identifier.to_string(),
                    location: binary.location.to_string(),
                    glibc: binary
                        .package_record
                        .depends
                        .iter()
                        .find_map(|text| oldest_glibc(text)),
                    virtual_packages: binary
                        .package_record
                        .depends
                        .iter()
                        .filter(|text| text.starts_with("__"))
                        .map(ToString::to_string)
                        .collect(),
                    sha256: binary
                        .package_record
                        .sha256
                        .map(|sha256| hexadecimal(&sha256)),
                }),
                CondaPackageData::Source(source) => Package::CondaSource {
                    name: conda.name().as_normalized().to_owned(),
                    location: source.location.to_string(),
                },
            },
            RattlerPackage::Pypi(python) => Package::Python(PythonPackage::from(python)),
        }
    }
}

impl From<&PypiPackageData> for PythonPackage {
    fn from(package: &PypiPackageData) -> PythonPackage {
        match package {
            PypiPackageData::Distribution(distribution) => {
                let location = distribution.location.inner();
                PythonPackage {
                    name: distribution.name.to_string(),
                    version: Some(distribution.version.to_string()),
                    kind: kind_of(location, distribution.hash.as_ref()),
                    location: location.to_string(),
                    sha256: distribution
                        .hash
                        .as_ref()
                        .and_then(|hash| hash.sha256())
                        .map(|sha256| hexadecimal(sha256)),
                }
            }
            PypiPackageData::Source(source) => {
                let location = source.location.inner();
                let text = location.to_string();
                PythonPackage {
                    name: source.name.to_string(),
                    version: None,
                    kind: if text.starts_with("git+") {
                        PythonKind::Git
                    } else {
                        PythonKind::Folder
                    },
                    location: text,
                    sha256: None,
                }
            }
        }
    }
}

/// The version in a dependency such as `__glibc >=2.17,<3.0.a0`.
fn oldest_glibc(dependency: &str) -> Option<(u32, u32)> {
    let version = dependency
        .strip_prefix("__glibc")?
        .trim_start()
        .strip_prefix(">=")?;
    let mut numbers = version.split([',', ' ']).next()?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What a distribution is, by where it is; only files of an index or a URL have
/// a hash, so a path without one is a folder in locks that do not say it.
fn kind_of(location: &UrlOrPath, hash: Option<&PackageHashes>) -> PythonKind {
    let text = location.to_string();
    let file = text.split(['#', '?']).next().unwrap_or(&text);
    let source = [".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz", ".tar"];
    if text.starts_with("git+") {
        PythonKind::Git
    } else if file.ends_with(".whl") {
        PythonKind::Wheel
    } else if source.iter().any(|ending| file.ends_with(ending)) || hash.is_some() {
        PythonKind::SourceDistribution
    } else {
        PythonKind::Folder
    }
}

#[cfg(test)]
mod tests;
