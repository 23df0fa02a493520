//! The packages of a lock: one model for the cache, the bill of materials and the plan.

use std::collections::BTreeSet;

use pep508_rs::Requirement;
use rattler_conda_types::{PackageRecord, Subdir};
use rattler_lock::{
    CondaBinaryData, CondaPackageData, CondaSourceData, LockedPackage, PackageHashes,
    PypiPackageData, SourceIdentifier, UrlOrPath,
};
use rattler_redaction::strip_url_for_serialization;

use crate::digest::hexadecimal;
use crate::packages::package_source::PackageSource;
use crate::packages::wheel_name::WheelName;

/// A package that an environment needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Package {
    /// A conda package, as a channel has it.
    Conda(CondaPackage),
    /// A conda package that pixi builds from source (pixi-build).
    CondaSource(CondaSource),
    /// A Python package.
    Python(PythonPackage),
}

/// What tells a package from any other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageId {
    /// Its name, normalised as its ecosystem does (PEP 503 for Python).
    pub name: String,
    /// Its version; what is built from source may have none in the lock.
    pub version: Option<String>,
    /// Where it comes from.
    pub source: PackageSource,
    /// The sha256 of its archive, where the lock has it.
    pub sha256: Option<String>,
    /// The md5 of its archive, where the lock has it.
    pub md5: Option<String>,
}

/// A conda package, as a channel has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CondaPackage {
    /// `name-version-build` of its record: the name of its directory in the cache, where the
    /// name of its archive may have capital letters (rattler 0.19 and 0.48).
    pub stem: String,
    /// What tells it from others.
    pub id: PackageId,
    /// Its build string.
    pub build: String,
    /// The channel's name, `conda-forge` for example.
    pub channel: Option<String>,
    /// The part of the channel, `linux-64` or `noarch` for example.
    pub subdir: String,
    /// The ending of its archive, without the dot.
    pub archive: String,
    /// The size of its archive, in bytes.
    pub size: Option<u64>,
    /// What its record states.
    pub(super) record: CondaRecord,
}

/// A conda package that pixi builds from source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CondaSource {
    /// What tells it from others; its source is the directory or repository with its
    /// manifest.
    pub id: PackageId,
    /// Its entry in the lock: `name[hash] @ place`.
    pub key: String,
    /// Where its sources are, where that is not where its manifest is.
    pub build_source: Option<PackageSource>,
    /// What it is built for, where the lock says it: a subdir.
    pub built_for: Option<String>,
    /// What its record states.
    pub(super) record: CondaRecord,
}

/// What the record of a conda package states.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CondaRecord {
    pub(super) licence: Option<String>,
    /// What it depends on, such as `python >=3.11` or `__cuda >=12`.
    pub(super) depends: Vec<String>,
    /// The names of the Python packages that it is, too.
    pub(super) provides: BTreeSet<String>,
}

/// A Python package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PythonPackage {
    /// What tells it from others.
    pub id: PackageId,
    /// What is locked.
    pub kind: PythonKind,
    /// What it requires.
    pub(super) requires: Vec<Requirement>,
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
    /// A directory: a wheel is built of it wherever it is installed.
    Dir,
}

impl Package {
    /// What tells it from others.
    pub fn id(&self) -> &PackageId {
        match self {
            Package::Conda(conda) => &conda.id,
            Package::CondaSource(source) => &source.id,
            Package::Python(python) => &python.id,
        }
    }

    /// The conda package, as a channel has it, that it is.
    pub fn as_conda(&self) -> Option<&CondaPackage> {
        match self {
            Package::Conda(conda) => Some(conda),
            _ => None,
        }
    }

    /// The conda package that pixi builds from source that it is.
    pub fn as_conda_source(&self) -> Option<&CondaSource> {
        match self {
            Package::CondaSource(source) => Some(source),
            _ => None,
        }
    }

    /// The Python package that it is.
    pub fn as_python(&self) -> Option<&PythonPackage> {
        match self {
            Package::Python(python) => Some(python),
            _ => None,
        }
    }

    /// What its record states; the lock has none of Python packages.
    pub(super) fn record(&self) -> Option<&CondaRecord> {
        match self {
            Package::Conda(conda) => Some(&conda.record),
            Package::CondaSource(source) => Some(&source.record),
            Package::Python(_) => None,
        }
    }

    /// The oldest glibc that it runs with, where it says so.
    pub fn glibc(&self) -> Option<(u32, u32)> {
        match self {
            Package::Conda(conda) => conda.glibc(),
            Package::CondaSource(_) => None,
            Package::Python(python) => python.glibc(),
        }
    }
}

impl From<&LockedPackage> for Package {
    fn from(package: &LockedPackage) -> Package {
        match package {
            LockedPackage::Conda(CondaPackageData::Binary(data)) => {
                Package::Conda(CondaPackage::from(&**data))
            }
            LockedPackage::Conda(CondaPackageData::Source(data)) => {
                Package::CondaSource(CondaSource::from(&**data))
            }
            LockedPackage::Pypi(data) => Package::Python(PythonPackage::from(data)),
        }
    }
}

impl From<&CondaSourceData> for CondaSource {
    fn from(data: &CondaSourceData) -> CondaSource {
        let record = data.record();
        let target = data.variants.get("target_platform");
        CondaSource {
            id: PackageId {
                name: data.name().as_normalized().to_owned(),
                version: record.map(|record| record.version.to_string()),
                source: PackageSource::from(&data.location),
                sha256: None,
                md5: record.and_then(|record| Some(hexadecimal(&record.md5?))),
            },
            key: SourceIdentifier::from_source_data(data).to_string(),
            build_source: data.package_build_source.as_ref().map(|source| {
                let source = PackageSource::from(source);
                source.seen_from(&PackageSource::from(&data.location))
            }),
            built_for: target
                .map(ToString::to_string)
                .or_else(|| record.map(|record| record.subdir.clone())),
            record: CondaRecord::new(record, data.depends()),
        }
    }
}

impl CondaSource {
    /// Where its manifest is, and where its sources are, each once.
    pub fn sources(&self) -> impl Iterator<Item = &PackageSource> {
        [&self.id.source].into_iter().chain(&self.build_source)
    }

    /// Whether what it is built for is another platform than this.
    pub(super) fn is_for_another(&self, subdir: Subdir) -> bool {
        let is_other = |name: &String| ![subdir.as_str(), "noarch"].contains(&name.as_str());
        self.built_for.as_ref().is_some_and(is_other)
    }
}

impl From<&CondaBinaryData> for CondaPackage {
    fn from(data: &CondaBinaryData) -> CondaPackage {
        let record = &data.package_record;
        CondaPackage {
            stem: stem_of(record),
            id: PackageId {
                name: record.name.as_normalized().to_owned(),
                version: Some(record.version.to_string()),
                source: PackageSource::from(&data.location),
                sha256: record.sha256.map(|sha256| hexadecimal(&sha256)),
                md5: record.md5.map(|md5| hexadecimal(&md5)),
            },
            build: record.build.to_string(),
            channel: data.channel.as_ref().map(|channel| {
                let url = strip_url_for_serialization(channel.as_ref());
                let path = url.path().trim_matches('/');
                match path.rsplit('/').next().unwrap_or_default() {
                    "" => url.host_str().unwrap_or_default().to_owned(),
                    // A directory's path is of the machine that locked it.
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
            size: record.size,
            record: CondaRecord::new(Some(record), &record.depends),
        }
    }
}

impl CondaRecord {
    fn new(record: Option<&PackageRecord>, depends: &[String]) -> CondaRecord {
        let purls = record.and_then(|record| record.purls.as_ref());
        CondaRecord {
            licence: record
                .and_then(|record| record.license.clone())
                // What some build tools write when there is none.
                .filter(|licence| !["", "None", "NONE", "UNKNOWN"].contains(&&**licence)),
            depends: depends.to_vec(),
            provides: purls
                .into_iter()
                .flatten()
                .map(|url| url.name().to_owned())
                .collect(),
        }
    }
}

impl CondaPackage {
    /// Whether both are the same archive, by what the lock has of both: a digest, else the
    /// place.
    pub(super) fn is_same_archive(&self, other: &CondaPackage) -> bool {
        let (one, other) = (&self.id, &other.id);
        match ((&one.sha256, &other.sha256), (&one.md5, &other.md5)) {
            ((Some(one), Some(other)), _) | (_, (Some(one), Some(other))) => one == other,
            _ => one.source == other.source,
        }
    }

    /// What it requires of the machine, such as `__cuda >=12`.
    pub fn virtual_packages(&self) -> impl Iterator<Item = &String> {
        self.record
            .depends
            .iter()
            .filter(|text| text.starts_with("__"))
    }

    /// The oldest glibc that it runs with, where it says so.
    pub fn glibc(&self) -> Option<(u32, u32)> {
        self.record
            .depends
            .iter()
            .find_map(|text| oldest_glibc(text))
    }
}

impl From<&PypiPackageData> for PythonPackage {
    fn from(data: &PypiPackageData) -> PythonPackage {
        let location = data.location().inner();
        let wheel = data.as_wheel();
        let hash = wheel.and_then(|wheel| wheel.hash.as_ref());
        let kind = kind_of(location, wheel.is_some(), hash);
        // Of a directory's manifest in some locks: of no archive.
        let hash = hash.filter(|_| kind != PythonKind::Dir);
        PythonPackage {
            id: PackageId {
                name: data.name().to_string(),
                version: wheel.map(|wheel| wheel.version.to_string()),
                source: PackageSource::from(location),
                sha256: hash.and_then(|hash| hash.sha256().map(|sha256| hexadecimal(sha256))),
                md5: hash.and_then(|hash| hash.md5().map(|md5| hexadecimal(md5))),
            },
            kind,
            requires: data.requires_dist().to_vec(),
        }
    }
}

impl PythonPackage {
    /// Whether it is read from a file or directory of the project.
    pub(super) fn is_in_project(&self) -> bool {
        matches!(self.id.source, PackageSource::Path(_))
    }

    /// The name of its file, by where it is.
    pub(super) fn file(&self) -> Option<String> {
        let (PackageSource::Url(place) | PackageSource::Path(place)) = &self.id.source else {
            return None;
        };
        let path = place.split(['#', '?']).next()?;
        let name = path.rsplit('/').next()?;
        let name = percent_encoding::percent_decode_str(name)
            .decode_utf8()
            .ok()?;
        (!name.is_empty()).then(|| name.into_owned())
    }

    /// The commit of a git repository.
    pub(super) fn commit(&self) -> Option<String> {
        let PackageSource::Git { commit, .. } = &self.id.source else {
            return None;
        };
        let commit = commit.as_ref()?;
        let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_commit.then(|| commit.to_ascii_lowercase())
    }

    /// How messages name it.
    pub(super) fn shown(&self) -> String {
        match &self.id.version {
            Some(version) => format!("{} {version}", self.id.name),
            None => self.id.name.clone(),
        }
    }

    /// The oldest glibc that it runs with, where the name of its wheel says so.
    pub(super) fn glibc(&self) -> Option<(u32, u32)> {
        let file = self.file().filter(|_| self.kind == PythonKind::Wheel)?;
        WheelName::parse(&file)?.glibc()
    }
}

/// The name of a conda package's directory in the cache.
pub(super) fn stem_of(record: &PackageRecord) -> String {
    let (name, version) = (record.name.as_normalized(), &record.version);
    format!("{name}-{version}-{}", record.build)
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

/// What a Python package is, by where it is; only files of an index or a URL have
/// a hash, so a path without one is a directory in locks that do not say it.
fn kind_of(location: &UrlOrPath, is_file: bool, hash: Option<&PackageHashes>) -> PythonKind {
    let text = location.as_str();
    let file = text.split(['#', '?']).next().unwrap_or(text);
    let source = [".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz", ".tar"];
    if text.starts_with("git+") {
        PythonKind::Git
    } else if !is_file {
        PythonKind::Dir
    } else if file.ends_with(".whl") {
        PythonKind::Wheel
    } else if source.iter().any(|ending| file.ends_with(ending)) || hash.is_some() {
        PythonKind::SourceDistribution
    } else {
        PythonKind::Dir
    }
}
