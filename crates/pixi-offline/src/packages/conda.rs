//! The conda part of a package cache: `pkgs/`.
//!
//! Each package is a directory `name-version-build` with what its archive held;
//! beside it newer pixis (seen with 0.77) keep `<same>.lock`, whose bytes 8 to 40
//! are the archive's sha256, and older ones (seen with 0.15) nothing.

use std::borrow::Cow;
use std::fs::{self, TryLockError};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, statat};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};

use crate::digest::hexadecimal;
use crate::packages::package::CondaPackage;
use crate::packages::requirements::Requirements;
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// The conda packages of a cache directory.
#[derive(Debug, Clone)]
pub struct CondaCache {
    packages: PathBuf,
}

/// The part of `info/paths.json` that is checked (conda's package metadata,
/// `paths_version` 1).
#[derive(Deserialize)]
struct Paths<Entry> {
    paths: Vec<Entry>,
}

/// A file of the package: all that is wanted of it when only what is missing counts.
#[derive(Deserialize)]
struct ListedPath<'a> {
    #[serde(rename = "_path", borrow)]
    path: Cow<'a, str>,
}

#[derive(Deserialize)]
struct PathEntry<'a> {
    #[serde(rename = "_path", borrow)]
    path: Cow<'a, str>,
    #[serde(default, borrow)]
    path_type: Cow<'a, str>,
    #[serde(default, borrow)]
    sha256: Option<Cow<'a, str>>,
    size_in_bytes: Option<u64>,
}

impl CondaCache {
    /// The conda part of the cache in `cache`.
    pub fn new(cache: &Path) -> CondaCache {
        CondaCache {
            packages: cache.join("pkgs"),
        }
    }

    /// The name of the directory in the cache.
    pub fn dir(&self) -> &Path {
        &self.packages
    }

    /// The entries of a package, from the cache's conda directory: those that there are.
    pub fn entries(&self, package: &CondaPackage) -> Vec<PathBuf> {
        [package.stem.clone(), format!("{}.lock", package.stem)]
            .into_iter()
            .map(PathBuf::from)
            .filter(|entry| self.packages.join(entry).exists())
            .collect()
    }

    /// A lock file of the cache that another program holds, if there is one: it
    /// may be writing what we would read half of.
    pub fn held_by_another(&self, packages: impl IntoIterator<Item = String>) -> Option<PathBuf> {
        [".cache.lock".to_owned()]
            .into_iter()
            .chain(packages.into_iter().map(|stem| format!("{stem}.lock")))
            .map(|name| self.packages.join(name))
            .find(|lock| is_held(lock))
    }

    /// What is wrong with a package in the cache; nothing when it is there and
    /// whole. `deep` also reads every file that it lists.
    pub fn problems(&self, package: &CondaPackage, deep: bool) -> Vec<String> {
        let dir = self.packages.join(&package.stem);
        let stem = &package.stem;
        let opened = match open(&dir) {
            Ok(opened) => opened,
            Err(error) => return vec![format!("{stem}: {error}")],
        };
        let index = read(&dir.join("info/index.json"));
        if let Err(error) = index.and_then(|text| parse::<IgnoredAny>(&text).map(drop)) {
            return vec![format!("{stem}: info/index.json {error}")];
        }
        let (list, found) = match self.is_without_checksums(stem) {
            true => ("info/files", files_missing(&dir, &opened)),
            false => ("info/paths.json", paths_differ(&dir, &opened, deep)),
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => return vec![format!("{stem}: {list} {error}")],
        };
        let mut problems = Vec::new();
        if let (Some(locked), Some(cached)) = (&package.id.sha256, self.recorded_sha256(stem))
            && *locked != cached
        {
            problems.push(format!("{stem}: the cache holds another archive of this name (sha256 {cached}, locked is {locked})"));
        }
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("{stem}: {problem}")),
        );
        problems
    }

    /// How many of the needed packages have no checksums of their files.
    pub fn without_checksums(&self, need: &Requirements) -> u64 {
        let old = |package: &&CondaPackage| self.is_without_checksums(&package.stem);
        need.conda.iter().filter(old).count() as u64
    }

    /// Whether a package is older than `info/paths.json` (conda-build before 3, 2017),
    /// and lists its files in `info/files` alone.
    fn is_without_checksums(&self, stem: &str) -> bool {
        let info = self.packages.join(stem).join("info");
        let is_there = |name: &str| fs::symlink_metadata(info.join(name)).is_ok();
        !is_there("paths.json") && is_there("files")
    }

    /// The sha256 that pixi recorded when it unpacked the archive.
    pub(super) fn recorded_sha256(&self, stem: &str) -> Option<String> {
        let file = self.packages.join(format!("{stem}.lock"));
        let record = UntrustedDir::read_file(&file, RECORD_LIMIT).ok()?;
        record.get(8..40).map(hexadecimal)
    }
}

/// What is wrong with the files of a package by `info/paths.json`.
fn paths_differ(dir: &Path, opened: &OwnedFd, deep: bool) -> Result<Vec<String>, String> {
    let text = read(&dir.join("info/paths.json"))?;
    if deep {
        differences(dir, &text)
    } else {
        let paths: Paths<ListedPath<'_>> = parse(&text)?;
        Ok(missing(
            opened,
            paths
                .paths
                .iter()
                .map(|listed| split(&listed.path))
                .collect(),
        ))
    }
}

/// Which files are not there of a package that lists them in `info/files`, a path on each
/// line; those with a prefix to be replaced, and those never to be linked, are listed once
/// more in `info/has_prefix` and `info/no_link`.
fn files_missing(dir: &Path, opened: &OwnedFd) -> Result<Vec<String>, String> {
    let text = read(&dir.join("info/files"))?;
    let mut paths: Vec<String> = lines(&text)?;
    for (name, read_line) in [
        ("has_prefix", path_with_prefix as fn(&str) -> Option<&str>),
        ("no_link", |line| Some(line)),
    ] {
        match UntrustedDir::read_file(&dir.join("info").join(name), RECORD_LIMIT) {
            Ok(text) => {
                let more = lines(&text).map_err(|error| format!("and info/{name} {error}"))?;
                paths.extend(
                    more.iter()
                        .filter_map(|line| read_line(line))
                        .map(str::to_owned),
                );
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("and info/{name} cannot be read: {error}")),
        }
    }
    paths.sort_unstable();
    paths.dedup();
    if let Some(path) = paths.iter().find(|path| leads_out(path)) {
        return Ok(vec![format!("{path} leads out of the package")]);
    }
    let listed = paths.iter().map(|path| split(path)).collect();
    Ok(missing(opened, listed))
}

/// The lines of a list that are not empty.
fn lines(text: &[u8]) -> Result<Vec<String>, String> {
    let text = str::from_utf8(text).map_err(|error| format!("cannot be parsed: {error}"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

/// The path in a line of `info/has_prefix`: alone, or after the prefix and the kind of
/// file, each in quotes where it has a space.
fn path_with_prefix(line: &str) -> Option<&str> {
    let known = [" text ", " binary "];
    let (_, path) = known
        .iter()
        .find_map(|kind| line.split_once(kind))
        .unwrap_or(("", line));
    let path = path.trim().trim_matches('"');
    (!path.is_empty()).then_some(path)
}

fn leads_out(path: &str) -> bool {
    let stays = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    !Path::new(path).components().all(stays)
}

/// What is wrong with any file that a package lists.
fn differences(dir: &Path, text: &[u8]) -> Result<Vec<String>, String> {
    let paths: Paths<PathEntry<'_>> = parse(text)?;
    let differs = |entry: &PathEntry<'_>| {
        let problem = entry.differs(dir, &dir.join(&*entry.path))?;
        Some(format!("{} {problem}", entry.path))
    };
    Ok(paths.paths.iter().filter_map(differs).collect())
}

/// How many files of a directory must be listed for reading the directory to be less work
/// than asking for each.
const WORTH_READING: usize = 6;

/// What the names of a directory are read into, in bytes: those of a few hundred at once.
type Names = [MaybeUninit<u8>; 16 << 10];

/// Which files that a package lists, by directory and name, are not there.
fn missing(package: &OwnedFd, mut paths: Vec<(&str, &str)>) -> Vec<String> {
    // By directory; builders sort them by the whole path.
    paths.sort_by_key(|(dir, _)| *dir);
    let mut missing = Vec::new();
    // One for all directories: there are as many as a tenth of the files.
    let mut buffer: Names = [MaybeUninit::uninit(); _];
    let mut wanted = ExpectedFiles(Vec::new());
    for siblings in paths.chunk_by(|(one, _), (other, _)| one == other) {
        let inner = siblings[0].0;
        if siblings.len() >= WORTH_READING {
            wanted.set(siblings.iter().map(|(_, name)| name.as_bytes()));
            // What it does not show is asked for by itself below.
            if let Ok(true) = wanted.see(package, inner, &mut buffer) {
                continue;
            }
        } else {
            wanted.0.clear();
        }
        for (_, name) in siblings.iter().filter(|(_, name)| !wanted.has_seen(name)) {
            let path = if inner == HERE {
                (*name).to_owned()
            } else {
                format!("{inner}/{name}")
            };
            if statat(package, &*path, AtFlags::SYMLINK_NOFOLLOW).is_err() {
                missing.push(format!("{path} is missing"));
            }
        }
    }
    missing
}

/// The names that a directory should have, sorted, and whether it has them.
struct ExpectedFiles<'a>(Vec<(&'a [u8], bool)>);

impl<'a> ExpectedFiles<'a> {
    fn set(&mut self, names: impl Iterator<Item = &'a [u8]>) {
        self.0.clear();
        self.0.extend(names.map(|name| (name, false)));
        // Little work: as a rule they are sorted.
        self.0.sort_unstable();
    }

    fn at(&self, name: &[u8]) -> Option<usize> {
        self.0.binary_search_by_key(&name, |(name, _)| name).ok()
    }

    fn has_seen(&self, name: &str) -> bool {
        self.at(name.as_bytes()).is_some_and(|at| self.0[at].1)
    }

    /// Reads a directory of a package until it has shown all; whether it did. Of a name
    /// that is listed twice one stays unseen.
    fn see(
        &mut self,
        package: &OwnedFd,
        dir: &str,
        buffer: &mut Names,
    ) -> rustix::io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(package, dir, flags, Mode::empty())?;
        let mut entries = RawDir::new(dir, buffer);
        let mut unseen = self.0.len();
        while unseen > 0
            && let Some(entry) = entries.next()
        {
            if let Some(at) = self.at(entry?.file_name().to_bytes())
                && !std::mem::replace(&mut self.0[at].1, true)
            {
                unseen -= 1;
            }
        }
        Ok(unseen == 0)
    }
}

/// A package's own directory, from there.
const HERE: &str = ".";

/// The directory of a path, and the name in it.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or((HERE, path))
}

impl PathEntry<'_> {
    /// A link's sha256 is that of the file it leads to; builders write that of
    /// nothing where it leads to no file.
    fn leads_elsewhere(&self, package: &Path, link: &Path, is_link: bool) -> Option<String> {
        if !is_link {
            return Some("is not a link".to_owned());
        }
        let wanted = self.sha256.as_ref()?;
        let of_nothing = hexadecimal(&Sha256::digest([]));
        // What it leads to outside of the package is not looked at.
        let package = package.canonicalize().ok()?;
        let leads_to = link.canonicalize().ok();
        let found = match leads_to.filter(|real| real.starts_with(package) && real.is_file()) {
            Some(file) => sha256_of(&file).ok()?,
            None => of_nothing.clone(),
        };
        (found != *wanted && *wanted != of_nothing)
            .then(|| "has a target that does not match the sha256 in its package".to_owned())
    }

    fn differs(&self, package: &Path, file: &Path) -> Option<String> {
        let metadata = match fs::symlink_metadata(file) {
            Ok(metadata) => metadata,
            Err(_) => return Some("is missing".to_owned()),
        };
        if self.path_type == "directory" {
            return (!metadata.is_dir()).then(|| "is not a directory".to_owned());
        }
        if self.path_type == "softlink" {
            return self.leads_elsewhere(package, file, metadata.is_symlink());
        }
        if !metadata.is_file() {
            return Some("is not a file".to_owned());
        }
        if let Some(size) = self.size_in_bytes
            && size != metadata.len()
        {
            return Some(format!("has {} bytes instead of {size}", metadata.len()));
        }
        let wanted = self.sha256.as_ref()?;
        match sha256_of(file) {
            Ok(found) if found == *wanted => None,
            Ok(_) => Some("does not match the sha256 in its package".to_owned()),
            Err(error) => Some(format!("cannot be read: {error}")),
        }
    }
}

/// What pixi keeps beside each package of a cache about where it came from, from the
/// cache's top: an environment's `conda-meta` gets it.
pub fn channel_records(cache: &Path) -> Vec<PathBuf> {
    let packages = Path::new("pkgs");
    let record = Path::new("info/repodata_record.json");
    let mut records = Vec::new();
    let listed = UntrustedDir::open(cache)
        .and_then(|cache| cache.open_dir(packages))
        .and_then(|dir| {
            dir.for_each_entry(|entry| {
                let file = Path::new(&entry.name).join(record);
                if entry.kind == FileType::Directory && dir.open_file(&file).is_ok() {
                    records.push(packages.join(file));
                }
                Ok(())
            })
        });
    if listed.is_err() {
        // What cannot be listed is said where the packages are checked.
        records.clear();
    }
    records.sort();
    records
}

/// Whether another program has locked a file (flock(2), as pixi and uv do).
pub(super) fn is_held(lock: &Path) -> bool {
    // Closing the file gives our own lock back.
    UntrustedDir::of_file(lock)
        .and_then(|(dir, name)| dir.open_file(name))
        .is_ok_and(|(file, _)| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The sha256 of a file's content.
pub(super) fn sha256_of(file: &Path) -> io::Result<String> {
    let (dir, name) = UntrustedDir::of_file(file)?;
    Ok(dir.digest(name, u64::MAX)?.to_string())
}

/// Opens a package's directory, to look for what is below it.
fn open(dir: &Path) -> Result<OwnedFd, String> {
    // Not to read it: no permission for that is wanted.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(CWD, dir, flags, Mode::empty()).map_err(|error| match fs::symlink_metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {
            format!("{} cannot be opened: {error}", dir.display())
        }
        Ok(_) => format!("{} is not a directory", dir.display()),
        Err(_) => "is not in the package cache".to_owned(),
    })
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    UntrustedDir::read_file(file, RECORD_LIMIT).map_err(|error| format!("cannot be read: {error}"))
}

fn parse<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, String> {
    // All of it at once takes less than each text in it by itself.
    match str::from_utf8(text) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(text),
    }
    .map_err(|error| format!("cannot be parsed: {error}"))
}
