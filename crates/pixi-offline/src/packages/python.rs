//! The Python packages of a package cache: which of uv's unpacked wheels is which package
//! of a lock, and whether it is whole.
//!
//! What uv's own links and pointers say counts ([`uv_cache`]): the name of a wheel's file
//! and its sha256, the commit of a repository. What is in a wheel may be named
//! differently: `2025.05.09` where the file says `2025.5.9`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use itertools::Itertools as _;

use crate::packages::conda::{is_held, sha256_of};
use crate::packages::package::{PythonKind, PythonPackage};
use crate::packages::requirements::Requirements;
use crate::packages::uv_cache::{self, CachedWheel, WheelOrigin};
use crate::packages::wheel_name::{Interpreter, WheelName, is_build_of, normalized, same_version};
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// The Python packages of a cache directory.
#[derive(Debug, Clone)]
pub struct PythonCache {
    wheels: Vec<CachedWheel>,
    /// The places in `wheels` of those of a package, by its name.
    wheels_by_name: HashMap<String, Vec<usize>>,
    /// By where they are, from the cache's top.
    archives: BTreeMap<PathBuf, Archive>,
    /// The places of those of a package, by its name.
    archives_by_name: HashMap<String, Vec<PathBuf>>,
}

/// An unpacked wheel.
#[derive(Debug, Clone)]
struct Archive {
    dir: PathBuf,
    /// As its metadata has them.
    name: String,
    version: String,
    /// The directory of its metadata.
    metadata: PathBuf,
}

/// By what a wheel in a cache is matched to a package of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MatchedBy {
    /// The lock's sha256 is that of the file that was fetched, or its commit.
    Digest,
    /// The name of its file, or name and version of its source; no digest was kept.
    Name,
}

impl PythonCache {
    /// Reads what the cache in `cache` holds; nothing when there is no Python part.
    pub fn read(cache: &Path) -> PythonCache {
        let archives = uv_cache::archives(cache).into_values().filter_map(|path| {
            let archive = Archive::read(cache.join(&path))?;
            Some((path, archive))
        });
        let archives: BTreeMap<PathBuf, Archive> = archives.collect();
        let wheels = uv_cache::wheels(cache);
        // A cache may hold thousands of packages, and each is looked for.
        let places = wheels.iter().zip(0..);
        let paths = archives.iter();
        PythonCache {
            wheels_by_name: places
                .map(|(wheel, place)| (wheel.package.clone(), place))
                .into_group_map(),
            archives_by_name: paths
                .map(|(path, archive)| (archive.name.clone(), path.clone()))
                .into_group_map(),
            wheels,
            archives,
        }
    }

    /// The wheels of a package that has this normalized name.
    fn wheels_of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a CachedWheel> + use<'a> {
        let places = self.wheels_by_name.get(name).into_iter().flatten();
        places.map(|place| &self.wheels[*place])
    }

    /// The unpacked wheels of a package that has this normalized name.
    fn archives_of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Archive> + use<'a> {
        let places = self.archives_by_name.get(name).into_iter().flatten();
        places.filter_map(|place| self.archives.get(place))
    }

    /// The lock file of a cache's Python part, when another program holds it.
    pub fn held_by_another(cache: &Path) -> Option<PathBuf> {
        Some(cache.join("uv-cache/.lock")).filter(|lock| is_held(lock))
    }

    /// What is wrong with a needed package in the cache; nothing when it is there and
    /// whole, for each interpreter that needs it. `deep` also reads every file that its
    /// RECORD lists.
    ///
    /// Directories are built wherever they are installed, and files of the project
    /// are read from there: neither needs to be in the cache.
    pub fn problems(
        &self,
        need: &Requirements,
        package: &PythonPackage,
        deep: bool,
    ) -> Vec<String> {
        if package.kind == PythonKind::Dir || package.is_in_project() {
            return Vec::new();
        }
        let shown = package.shown();
        let mut problems = BTreeSet::new();
        for interpreter in need.interpreters(package) {
            let mut there = self
                .matched(package)
                .filter(|(_, wheel)| is_locked_by_name(package) || wheel.fits(interpreter))
                .filter_map(|(_, wheel)| self.archives.get(wheel.archive.as_ref()?))
                .peekable();
            if there.peek().is_none() {
                problems.insert(self.missing(package));
                continue;
            }
            let broken: Vec<Vec<String>> = there.map(|archive| archive.problems(deep)).collect();
            // An older revision of the same source may be there too: one whole is enough
            // for a quick look, but a damaged file in any may be the one that is used.
            if deep || !broken.iter().any(Vec::is_empty) {
                problems.extend(broken.into_iter().flatten());
            }
        }
        problems
            .into_iter()
            .map(|problem| format!("{shown}: {problem}"))
            .collect()
    }

    /// Why a package is not there.
    fn missing(&self, package: &PythonPackage) -> String {
        let name = normalized(&package.id.name);
        let others: Vec<&CachedWheel> = self
            .wheels_of(&name)
            .filter(|wheel| wheel.archive.is_some())
            .collect();
        let another = others.iter().find_map(|wheel| {
            let (found, locked) = (wheel.sha256.as_ref()?, package.id.sha256.as_ref()?);
            (found != locked && wheel.is_of_name(package)).then(|| {
                format!(
                    "the cache holds another file of this name (sha256 {found}, locked is {locked})"
                )
            })
        });
        if let Some(another) = another {
            return another;
        }
        let by_metadata = |archive: &&Archive| {
            let version = package.id.version.as_ref();
            version.is_none_or(|version| same_version(version, &archive.version))
        };
        match (others.is_empty(), self.archives_of(&name).find(by_metadata)) {
            (true, Some(_)) => "the package cache has no pointer to it".to_owned(),
            (true, None) => "is not in the package cache (uv-cache)".to_owned(),
            (false, _) => {
                let names = others.iter().filter_map(|wheel| wheel.name.as_ref());
                let names = names.map(WheelName::to_string).sorted().dedup();
                format!(
                    "is not in the package cache (uv-cache) as {}; what is there: {}",
                    package
                        .file()
                        .unwrap_or_else(|| package.id.source.to_string()),
                    names.into_iter().join(", ")
                )
            }
        }
    }

    /// The licence that a package's wheel states: as an SPDX expression
    /// (PEP 639), else as text, else by its classifiers. `None` when there is no
    /// wheel, when it says nothing, or when several wheels say different things.
    pub fn licence(&self, package: &PythonPackage) -> Option<String> {
        let matched: Vec<&Archive> = self
            .matched(package)
            .filter_map(|(_, wheel)| self.archives.get(wheel.archive.as_ref()?))
            .collect();
        let name = normalized(&package.id.name);
        let by_metadata = self.archives_of(&name).filter(|archive| {
            let version = package.id.version.as_ref();
            matched.is_empty()
                && version.is_none_or(|version| is_build_of(&archive.version, version))
        });
        let said: BTreeSet<Option<String>> = matched
            .iter()
            .copied()
            .chain(by_metadata)
            .map(|archive| stated_licence(&archive.read_metadata()?))
            .collect();
        said.into_iter().exactly_one().ok()?
    }

    /// How many needed wheels are tied to the lock by the names of their files only,
    /// because uv kept no sha256 of them.
    pub fn matched_by_name(&self, need: &Requirements) -> u64 {
        let by_name = |package: &&PythonPackage| {
            package.kind == PythonKind::Wheel
                && !package.is_in_project()
                && self
                    .matched(package)
                    .map(|(matched_by, _)| matched_by)
                    .min()
                    == Some(MatchedBy::Name)
        };
        need.python.iter().filter(by_name).count() as u64
    }

    /// The wheels that uv can find.
    pub(super) fn wheels(&self) -> &[CachedWheel] {
        &self.wheels
    }

    /// What a package requires by the metadata of its unpacked wheels: the texts of
    /// `Requires-Dist`.
    pub(super) fn requires(&self, package: &str) -> Vec<String> {
        self.archives_of(package)
            .filter_map(Archive::read_metadata)
            .flat_map(|metadata| {
                let text = String::from_utf8_lossy(&metadata).into_owned();
                let headers = text.lines().take_while(|line| !line.is_empty());
                headers
                    .filter_map(|line| line.strip_prefix("Requires-Dist:"))
                    .map(|text| text.trim().to_owned())
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// The wheels that are a package of a lock, each with what it is matched by.
    pub(super) fn matched<'a>(
        &'a self,
        package: &'a PythonPackage,
    ) -> impl Iterator<Item = (MatchedBy, &'a CachedWheel)> {
        self.wheels_of(&normalized(&package.id.name))
            .filter_map(|wheel| Some((wheel.matched_by(package)?, wheel)))
    }
}

/// Whether the lock names the file of the wheel itself, so that its tags are the lock's.
fn is_locked_by_name(package: &PythonPackage) -> bool {
    package.kind == PythonKind::Wheel
}

impl CachedWheel {
    /// By what the wheel is matched to a package of a lock; `None` when it is not that package's.
    pub(super) fn matched_by(&self, package: &PythonPackage) -> Option<MatchedBy> {
        self.is_of_name(package).then_some(())?;
        if let WheelOrigin::BuiltOfGit { .. } = self.origin {
            return Some(MatchedBy::Digest);
        }
        match (&self.sha256, &package.id.sha256) {
            (Some(found), Some(locked)) => (found == locked).then_some(MatchedBy::Digest),
            _ => Some(MatchedBy::Name),
        }
    }

    /// Whether the wheel is a package's by all but the digest.
    fn is_of_name(&self, package: &PythonPackage) -> bool {
        if self.package != normalized(&package.id.name) {
            return false;
        }
        match (&self.origin, package.kind) {
            (WheelOrigin::Index | WheelOrigin::Url, PythonKind::Wheel) => {
                let Some(name) = &self.name else { return false };
                match package.file().as_deref().and_then(WheelName::parse) {
                    Some(locked) => name.is_same(&locked),
                    // An address that does not end with the file's name.
                    None => self.is_of_version(package),
                }
            }
            (WheelOrigin::BuiltOfIndex { version }, PythonKind::SourceDistribution) => package
                .id
                .version
                .as_ref()
                .is_none_or(|locked| same_version(version, locked)),
            (
                WheelOrigin::BuiltOfUrl | WheelOrigin::BuiltOfPath,
                PythonKind::SourceDistribution,
            ) => self.is_of_version(package),
            (WheelOrigin::BuiltOfGit { commit }, PythonKind::Git) => match package.commit() {
                Some(locked) => commit.len() >= 7 && locked.starts_with(commit.as_str()),
                None => true,
            },
            _ => false,
        }
    }

    fn is_of_version(&self, package: &PythonPackage) -> bool {
        match (&self.name, &package.id.version) {
            (Some(name), Some(version)) => is_build_of(&name.version, version),
            _ => true,
        }
    }

    /// Whether the wheel's tags fit an interpreter, where they are known.
    fn fits(&self, interpreter: &Interpreter) -> bool {
        self.name.as_ref().is_none_or(|name| name.fits(interpreter))
    }

    /// Whether uv takes the wheel for a package at once. A wheel that got a local version
    /// when it was built, of a source distribution of an index, it builds again (seen in
    /// uv 0.11.15).
    pub(super) fn is_taken_for(&self, package: &PythonPackage) -> bool {
        match (&self.origin, &self.name, &package.id.version) {
            (WheelOrigin::BuiltOfIndex { .. }, Some(name), Some(version)) => {
                same_version(&name.version, version)
            }
            _ => true,
        }
    }
}

impl Archive {
    fn read(dir: PathBuf) -> Option<Archive> {
        let entries = UntrustedDir::entries_of(&dir).into_iter();
        let metadata = entries
            .map(|entry| dir.join(entry.name))
            .find(|entry| entry.extension() == Some(OsStr::new("dist-info")))?;
        let stem = metadata.file_stem()?.to_str()?;
        let (name, version) = stem.rsplit_once('-')?;
        Some(Archive {
            name: normalized(name),
            version: version.to_owned(),
            metadata: metadata.clone(),
            dir,
        })
    }

    fn read_metadata(&self) -> Option<Vec<u8>> {
        UntrustedDir::read_file(&self.metadata.join("METADATA"), RECORD_LIMIT).ok()
    }

    fn problems(&self, deep: bool) -> Vec<String> {
        let record = self.metadata.join("RECORD");
        let record = match UntrustedDir::read_file(&record, RECORD_LIMIT) {
            Ok(record) => record,
            Err(error) => return vec![format!("RECORD cannot be read: {error}")],
        };
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(record.as_slice());
        let mut problems = Vec::new();
        for line in reader.byte_records() {
            let line = match line {
                Ok(line) => line,
                Err(error) => return vec![format!("RECORD cannot be parsed: {error}")],
            };
            let text = |field: usize| {
                line.get(field)
                    .and_then(|bytes| std::str::from_utf8(bytes).ok())
            };
            let Some(name) = text(0) else { continue };
            let file = self.dir.join(name);
            // Nothing outside is read, where a file may have no end.
            let stays = |part| matches!(part, Component::Normal(_) | Component::CurDir);
            let problem = if !Path::new(name).components().all(stays) {
                Some("leads out of the package")
            } else if !deep {
                fs::symlink_metadata(&file).is_err().then_some("is missing")
            } else {
                differs(&file, text(1).unwrap_or_default())
            };
            problems.extend(problem.map(|problem| format!("{name} {problem}")));
        }
        problems
    }
}

/// The licence in a wheel's METADATA ("Core metadata specifications" of the
/// Python packaging guide): headers as of an e-mail, up to an empty line.
fn stated_licence(metadata: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(metadata);
    let headers: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    let values = |name: &'static str| {
        headers.iter().enumerate().filter_map(move |(place, line)| {
            let (key, value) = line.split_once(':')?;
            let value = value.trim();
            key.eq_ignore_ascii_case(name).then_some((place, value))
        })
    };
    // A text of several lines is the licence itself, not its name.
    let in_one_line = |place: usize| {
        !headers
            .get(place + 1)
            .is_some_and(|next| next.starts_with([' ', '\t']))
    };
    let named = values("License-Expression")
        .chain(values("License"))
        .find(|(place, value)| !value.is_empty() && *value != "UNKNOWN" && in_one_line(*place))
        .map(|(_, value)| value.to_owned());
    named.or_else(|| {
        let classified = values("Classifier")
            .filter_map(|(_, value)| value.strip_prefix("License ::"))
            .filter_map(|value| value.rsplit("::").next())
            .map(str::trim)
            .join(", ");
        (!classified.is_empty()).then_some(classified)
    })
}

/// What is wrong with a file by the hash in RECORD, `sha256=` and base64 for
/// URLs (PEP 376 and the wheel format).
fn differs(file: &Path, hash: &str) -> Option<&'static str> {
    let Ok(found) = sha256_of(file) else {
        return Some("cannot be read");
    };
    let wanted = hash.strip_prefix("sha256=")?;
    let Ok(wanted) = data_encoding::BASE64URL_NOPAD.decode(wanted.trim_end_matches('=').as_bytes())
    else {
        return Some("has a hash in RECORD that cannot be read");
    };
    (found != crate::digest::hexadecimal(&wanted))
        .then_some("does not match the sha256 in its package")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_taken_from_the_simplest_statement() {
        let licence = |metadata: &str| stated_licence(metadata.as_bytes());
        let classified =
            "Name: a\nClassifier: License :: OSI Approved :: MIT License\nClassifier: Topic :: X\n";
        assert_eq!(licence(classified).as_deref(), Some("MIT License"));
        let named = format!("License: BSD-3-Clause\n{classified}");
        assert_eq!(licence(&named).as_deref(), Some("BSD-3-Clause"));
        let expression = format!("{named}License-Expression: MIT OR Apache-2.0\n");
        assert_eq!(licence(&expression).as_deref(), Some("MIT OR Apache-2.0"));
        let whole = format!("License: Copyright somebody\n        All rights\n{classified}");
        assert_eq!(licence(&whole).as_deref(), Some("MIT License"));
        assert_eq!(
            licence("License: UNKNOWN\n\nLicense: in the description\n"),
            None
        );
    }
}
