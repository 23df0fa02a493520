//! Conda packages that pixi built from source: what a build left of them, and the lock in which
//! they stand as the packages that they were built into.
//!
//! Pixi keeps what it built outside of the package cache, in the project's `.pixi/artifacts-v0/`.
//! The build's script copies the archives, and the record of each environment's `conda-meta/`,
//! to a directory beside the cache's own (seen with pixi 0.77.0):
//!
//! ```text
//! artifacts-v0/<name>/<key>/<name>-<version>-<build>.conda
//! environments/<environment>/<name>-<version>-<build>.json        its record
//! environments/<environment>/<name>-<version>-<build>.paths.json  its list of files
//! backends                                                        a line for each
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rattler_conda_types::{PackageRecord, RepoDataRecord, Subdir};
use rattler_lock::{CondaPackageData, LockedPackage};
use rustix::fs::FileType;
use serde_json::Value;

use crate::digest::Sha256Digest;
use crate::packages::conda::CondaCache;
use crate::packages::delivered_lock::{ListOfLock, deliver};
use crate::packages::lock::{Lock, is_file_name};
use crate::packages::lock_cache::LockCache;
use crate::packages::package::{CondaPackage, CondaSource, stem_of};
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// The channel of packages that were built from source, in a delivered lock: no host has
/// this name (RFC 2606), and none is asked, since the package is in the cache.
const CHANNEL: &str = "https://built-from-source.invalid/";

/// The largest archive that is read, in bytes.
const LARGEST_ARCHIVE: u64 = 64 << 30;

/// A program that pixi built packages with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    /// Its name, `pixi-build-python` for example.
    pub name: String,
    /// Its version, where it is known.
    pub version: Option<String>,
}

/// What a build left of the packages that pixi built from source.
#[derive(Debug, Default)]
pub struct BuiltPackages {
    /// By environment and name.
    installed: BTreeMap<String, BTreeMap<String, Installed>>,
    /// The archives, by their digest.
    archives: BTreeMap<Sha256Digest, PathBuf>,
    backends: Vec<Backend>,
}

/// A built package as an environment got it.
#[derive(Debug, Clone)]
struct Installed {
    record: RepoDataRecord,
    /// The digest of its list of files.
    files: Sha256Digest,
}

/// A package that a product carries in place of a source package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltPackage {
    /// The package.
    pub package: CondaPackage,
    /// The digest of its archive.
    pub sha256: Sha256Digest,
    /// The archive that the build left.
    pub archive: PathBuf,
    /// What it was built from.
    pub source: CondaSource,
    /// The environments that have it.
    pub environments: BTreeSet<String>,
}

/// What a product gets for the source packages of a lock.
#[derive(Debug)]
pub enum Delivery {
    /// The lock as it is: it has none in these lists.
    AsLocked,
    /// The packages that they were built into.
    Replaced(DeliveredLock),
    /// Nothing: a line for each of which the build left nothing, or nothing that can be used.
    Unusable(Vec<String>),
}

/// A lock without source packages in some of its lists.
#[derive(Debug, Clone)]
pub struct DeliveredLock {
    /// The lock.
    pub lock: Lock,
    /// What stands in it for source packages.
    pub built: Vec<BuiltPackage>,
}

impl BuiltPackages {
    /// Reads what a build left in this directory; nothing where there is none.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read, or is not as a build leaves it.
    pub fn read(dir: &Path) -> anyhow::Result<BuiltPackages> {
        let mut built = BuiltPackages::default();
        let opened = UntrustedDir::of_file(dir).and_then(|(around, name)| around.open_dir(name));
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(built),
            Err(error) => return Err(error).context(format!("{} cannot be read", dir.display())),
        };
        let read = |built: &mut BuiltPackages| {
            built.read_archives(&opened)?;
            built.read_environments(&opened)?;
            built.read_backends(&opened)
        };
        read(&mut built).with_context(|| {
            format!(
                "{}, the packages that pixi built from source, cannot be used",
                dir.display()
            )
        })?;
        Ok(built)
    }

    /// The programs that pixi built packages with, as far as they are known.
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    fn read_archives(&mut self, dir: &UntrustedDir) -> anyhow::Result<()> {
        for name in entries(dir, Path::new("artifacts-v0"))? {
            for key in entries(dir, &name)? {
                for archive in entries(dir, &key)? {
                    let digest = dir.digest(&archive, LARGEST_ARCHIVE);
                    let digest = digest.with_context(|| archive.display().to_string())?;
                    self.archives.insert(digest, dir.path().join(archive));
                }
            }
        }
        Ok(())
    }

    fn read_environments(&mut self, dir: &UntrustedDir) -> anyhow::Result<()> {
        for place in entries(dir, Path::new("environments"))? {
            let environment = place
                .file_name()
                .and_then(OsStr::to_str)
                .unwrap_or_default();
            let installed = self.installed.entry(environment.to_owned()).or_default();
            for file in entries(dir, &place)? {
                let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
                let Some(stem) = name.strip_suffix(".json") else {
                    anyhow::bail!("{} is not a record", file.display());
                };
                if stem.ends_with(".paths") {
                    continue;
                }
                let text = dir
                    .read(&file, RECORD_LIMIT)
                    .with_context(|| file.display().to_string())?;
                let record: RepoDataRecord = serde_json::from_slice(&text)
                    .with_context(|| format!("{} is not a record", file.display()))?;
                let files = dir.digest(place.join(format!("{stem}.paths.json")), RECORD_LIMIT);
                let files = files.with_context(|| format!("the list of files of {stem}"))?;
                // The name of a directory in the cache.
                anyhow::ensure!(
                    is_file_name(&stem_of(&record.package_record)),
                    "{} has an invalid version or build string",
                    file.display()
                );
                let package = record.package_record.name.as_normalized().to_owned();
                installed.insert(package, Installed { record, files });
            }
        }
        Ok(())
    }

    fn read_backends(&mut self, dir: &UntrustedDir) -> anyhow::Result<()> {
        let text = match dir.read("backends", RECORD_LIMIT) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).context("backends"),
        };
        let text = String::from_utf8_lossy(&text);
        let backends: BTreeSet<Backend> = text.lines().filter_map(backend).collect();
        self.backends = backends.into_iter().collect();
        Ok(())
    }

    /// Every package that an environment got, each archive once: its record as JSON, which has
    /// its `subdir`, the name of its archive, and the archive.
    ///
    /// # Errors
    ///
    /// When one has a record that is not valid in a channel, or no archive.
    pub fn packages(&self) -> anyhow::Result<Vec<(Value, String, &Path)>> {
        let mut found = BTreeMap::new();
        for installed in self.installed.values().flat_map(BTreeMap::values) {
            let record = &installed.record.package_record;
            let file = installed.record.identifier.to_file_name();
            let is_plain = !file.contains('/') && record.subdir.parse::<Subdir>().is_ok();
            anyhow::ensure!(
                is_plain,
                "{file:?} of {:?} is not valid in a channel",
                record.subdir
            );
            let digest = archive_digest(record);
            let archive = digest.and_then(|digest| self.archives.get(&digest));
            let archive = archive.with_context(|| format!("the build left no archive {file}"))?;
            found.insert(digest, (serde_json::to_value(record)?, file, &**archive));
        }
        Ok(found.into_values().collect())
    }

    /// The lock in which the source packages of these lists, each of an environment and the
    /// name of its platform, are the packages that they were built into.
    ///
    /// # Errors
    ///
    /// When the lock cannot be written.
    pub fn deliver(
        &self,
        lock: &Lock,
        lists: &[(String, String)],
        subdir: Subdir,
        cache: &CondaCache,
        locks: &LockCache,
    ) -> anyhow::Result<Delivery> {
        let mut chosen: BTreeMap<String, Choice<'_>> = BTreeMap::new();
        let mut problems = Vec::new();
        for (environment, platform) in lists {
            let packages = lock.packages_on(environment, platform).unwrap_or_default();
            for source in packages.iter().filter_map(|one| one.as_conda_source()) {
                match self.installed_in(environment, source, subdir) {
                    Ok(installed) => {
                        let record = &installed.record.package_record;
                        let stem = stem_of(record);
                        let choice = chosen.entry(stem).or_insert_with(|| Choice {
                            source,
                            installed: Vec::new(),
                            environments: BTreeSet::new(),
                        });
                        choice.installed.push((environment, installed));
                        choice.environments.insert(environment.clone());
                    }
                    Err(problem) => problems.push(problem),
                }
            }
        }
        let mut built = BTreeMap::new();
        for (stem, choice) in &chosen {
            match self.choose(stem, choice, cache) {
                Ok((record, package)) => drop(built.insert(stem.clone(), (record, package))),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            problems.sort();
            problems.dedup();
            return Ok(Delivery::Unusable(problems));
        }
        let replace = |list: ListOfLock<'_>, package: &LockedPackage| {
            let is_chosen = |(environment, platform): &(String, String)| {
                environment == list.environment && platform == list.platform
            };
            package
                .as_source_conda()
                .filter(|_| lists.iter().any(is_chosen))?;
            let installed = self.installed.get(list.environment)?.get(package.name())?;
            let (record, _) = built.get(&stem_of(&installed.record.package_record))?;
            Some(LockedPackage::Conda(CondaPackageData::from(record.clone())))
        };
        let delivered = deliver(lock, locks, &replace)?;
        Ok(match delivered {
            None => Delivery::AsLocked,
            Some(lock) => Delivery::Replaced(DeliveredLock {
                lock,
                built: built.values().map(|(_, package)| package.clone()).collect(),
            }),
        })
    }

    /// What an environment got of a source package.
    fn installed_in(
        &self,
        environment: &str,
        source: &CondaSource,
        subdir: Subdir,
    ) -> Result<&Installed, String> {
        let name = &source.id.name;
        let place = &source.id.source;
        let Some(installed) = self
            .installed
            .get(environment)
            .and_then(|all| all.get(name))
        else {
            return Err(format!(
                "environment {environment} needs the source package {name} ({place}), and the build produced no package from it"
            ));
        };
        let record = &installed.record.package_record;
        let file = installed.record.identifier.to_file_name();
        let is_named = [".conda", ".tar.bz2"]
            .iter()
            .any(|ending| file.strip_suffix(ending) == Some(&*stem_of(record)));
        if !is_named {
            return Err(format!(
                "the source package {name} of environment {environment} was built into {file:?}, a file of another name than {}",
                stem_of(record)
            ));
        }
        if ![subdir.as_str(), "noarch"].contains(&&*record.subdir) {
            return Err(format!(
                "the source package {name} of environment {environment} was built for {}, and the environment is for {subdir}",
                record.subdir
            ));
        }
        if !archive_digest(record).is_some_and(|digest| self.archives.contains_key(&digest)) {
            return Err(format!(
                "the build left no archive {file} with the sha256 of its record in environment {environment}"
            ));
        }
        Ok(installed)
    }

    /// Of several archives of one name the one that the cache has, where they have the same
    /// files: pixi builds a package anew where what it is built with differs.
    fn choose(
        &self,
        stem: &str,
        choice: &Choice<'_>,
        cache: &CondaCache,
    ) -> Result<(RepoDataRecord, BuiltPackage), String> {
        let (first_in, first) = choice.installed[0];
        let differs = |(_, other): &&(&String, &Installed)| {
            other.files != first.files
                || content(&other.record.package_record) != content(&first.record.package_record)
        };
        if let Some((other_in, _)) = choice.installed.iter().find(differs) {
            return Err(format!(
                "environments {first_in} and {other_in} have {stem} with different content, and one cache holds only one of them: make a product for each (--environment)"
            ));
        }
        let cached = cache.recorded_sha256(stem);
        let is_cached = |installed: &&Installed| {
            let digest = archive_digest(&installed.record.package_record);
            digest.map(|digest| digest.to_string()) == cached
        };
        let mut all = choice.installed.iter().map(|(_, installed)| *installed);
        let installed = all.find(is_cached).unwrap_or(first);
        let mut record = installed.record.clone();
        let file = record.identifier.to_file_name();
        let url = format!("{CHANNEL}{}/{file}", record.package_record.subdir);
        let unusable = |error: String| format!("{stem} is not valid in a lock file: {error}");
        record.url = url.parse().map_err(|error| unusable(format!("{error}")))?;
        record.channel = Some(CHANNEL.to_owned());
        let data = CondaPackageData::from(record.clone());
        let sha256 = archive_digest(&record.package_record);
        let known = sha256.and_then(|sha256| Some((sha256, self.archives.get(&sha256)?)));
        let (Some(binary), Some((sha256, archive))) = (data.as_binary(), known) else {
            return Err(unusable("it has no archive".to_owned()));
        };
        let package = BuiltPackage {
            package: CondaPackage::from(binary),
            sha256,
            archive: archive.clone(),
            source: choice.source.clone(),
            environments: choice.environments.clone(),
        };
        Ok((record, package))
    }
}

/// The packages of one name, version and build.
struct Choice<'a> {
    source: &'a CondaSource,
    installed: Vec<(&'a String, &'a Installed)>,
    environments: BTreeSet<String>,
}

impl CondaPackage {
    /// Whether it stands for a source package in a delivered lock.
    pub fn is_built_from_source(&self) -> bool {
        self.id.source.to_string().starts_with(CHANNEL)
    }
}

/// What a record says of a package but for its archive.
fn content(record: &PackageRecord) -> PackageRecord {
    PackageRecord {
        sha256: None,
        md5: None,
        size: None,
        timestamp: None,
        ..record.clone()
    }
}

/// The digest of a package's archive.
fn archive_digest(record: &PackageRecord) -> Option<Sha256Digest> {
    let sha256: [u8; 32] = record.sha256?.into();
    Some(Sha256Digest::from(sha256))
}

/// A line of the list of backends: a name, and perhaps a version.
fn backend(line: &str) -> Option<Backend> {
    let is_plain = |text: &&str| {
        let is_usual = |c: char| c.is_ascii_alphanumeric() || "._+-!".contains(c);
        !text.is_empty() && text.chars().all(is_usual)
    };
    let mut fields = line.split_whitespace();
    Some(Backend {
        name: fields.next().filter(is_plain)?.to_owned(),
        version: fields.next().filter(is_plain).map(str::to_owned),
    })
}

/// The paths of what a directory holds, sorted; none where it is not there. Hidden files are
/// pixi's locks.
fn entries(dir: &UntrustedDir, place: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let opened = match dir.open_dir(place) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error).with_context(|| place.display().to_string()),
    };
    opened.for_each_entry(|entry| {
        let is_known = matches!(entry.kind, FileType::Directory | FileType::RegularFile);
        if !is_known {
            return Err(io::Error::other(format!(
                "{} is neither a file nor a directory",
                entry.name.display()
            )));
        }
        if !entry.name.as_encoded_bytes().starts_with(b".") {
            found.push(place.join(entry.name));
        }
        Ok(())
    })?;
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
