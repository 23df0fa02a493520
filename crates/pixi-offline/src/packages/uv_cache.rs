//! What uv's part of a package cache holds, found as uv finds it: from names, by links
//! and pointers, to unpacked wheels.
//!
//! Below `wheels-v*/` are wheels as they were fetched, in a directory of each package:
//! `pypi/NAME`, `index/DIGEST/NAME`, `url/DIGEST/NAME`. Below `sdists-v*/` (until uv 0.4
//! `built-wheels-v*/`) those that were built, in a directory of each source:
//! `pypi/NAME/VERSION`, `index/DIGEST/NAME/VERSION`, `url/DIGEST`, `path/DIGEST`,
//! `editable/DIGEST`, `git/DIGEST/COMMIT`. But for git a pointer there names the directory
//! that counts. Seen with uv 0.1.32 to 0.11.15.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use itertools::Itertools as _;
use rustix::fs::FileType;

use crate::packages::cache::UV_CACHE;
use crate::packages::uv_pointer::{LONGEST, Pointer};
use crate::packages::wheel_name::{WheelName, normalized};
use crate::untrusted_dir::UntrustedDir;

/// The buckets with unpacked wheels, with fetched ones, and with built ones.
pub(super) const ARCHIVES: &str = "archive-v";
const FETCHED: &str = "wheels-v";
const BUILT: [&str; 2] = ["sdists-v", "built-wheels-v"];

/// The endings of pointers to fetched wheels, and of what uv knows of such a wheel.
const POINTERS: [&str; 2] = [".http", ".rev"];
const METADATA: &str = ".msgpack";

/// The pointers to what of a source distribution counts.
const REVISIONS: [&str; 2] = ["revision.http", "revision.rev"];

/// How deep buckets are looked into.
const DEEPEST: usize = 6;

/// A wheel that uv can find in a cache. Paths are from the cache's top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CachedWheel {
    /// The package, its name normalised.
    pub(super) package: String,
    /// The name of its file; uv does not always keep it.
    pub(super) name: Option<WheelName>,
    /// Where it comes from.
    pub(super) origin: WheelOrigin,
    /// The sha256 of what was fetched, the wheel or its source distribution, where uv
    /// computed it.
    pub(super) sha256: Option<String>,
    /// The unpacked wheel, where it is there.
    pub(super) archive: Option<PathBuf>,
    /// The links and small files that lead to it.
    pub(super) entries: Vec<PathBuf>,
    /// What else uv keeps of the same source, directories whole.
    pub(super) beside: Vec<PathBuf>,
}

/// Where a wheel in a cache comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WheelOrigin {
    /// Fetched from an index.
    Index,
    /// Fetched from a URL, or taken from a file.
    Url,
    /// Built of a source distribution of an index, which has this version.
    BuiltOfIndex {
        /// As the index has it.
        version: String,
    },
    /// Built of a source distribution at a URL.
    BuiltOfUrl,
    /// Built of a file or directory, editable or not.
    BuiltOfPath,
    /// Built of a git repository.
    BuiltOfGit {
        /// The beginning of the commit.
        commit: String,
    },
}

/// The wheels that uv can find in the cache at `cache`, sorted by where it does.
pub(super) fn wheels(cache: &Path) -> Vec<CachedWheel> {
    let reader = Reader {
        cache,
        archives: archives(cache),
    };
    let mut wheels = Vec::new();
    for bucket in buckets(cache, &[FETCHED]) {
        reader.fetched(&bucket, DEEPEST, &mut wheels);
    }
    for bucket in buckets(cache, &BUILT) {
        for (dir, origin) in reader.sources(&bucket) {
            reader.built(&dir, &origin, &mut wheels);
        }
    }
    wheels.sort_by(|one, other| one.entries.cmp(&other.entries));
    wheels
}

/// The unpacked wheels of a cache, by their ids.
pub(super) fn archives(cache: &Path) -> BTreeMap<String, PathBuf> {
    let mut archives = BTreeMap::new();
    for bucket in buckets(cache, &[ARCHIVES]) {
        for (name, path, kind) in children(cache, &bucket) {
            if kind == FileType::Directory {
                archives.insert(name, path);
            }
        }
    }
    archives
}

/// The directories in uv's part whose names begin with one of `prefixes`.
pub(super) fn buckets(cache: &Path, prefixes: &[&str]) -> Vec<PathBuf> {
    children(cache, Path::new(UV_CACHE))
        .into_iter()
        .filter(|(name, _, kind)| {
            *kind == FileType::Directory && prefixes.iter().any(|prefix| name.starts_with(prefix))
        })
        .map(|(_, path, _)| path)
        .collect()
}

/// Name, path and kind of an entry: a directory, a regular file or a link.
pub(super) type CacheEntry = (String, PathBuf, FileType);

/// What is in a directory, sorted; nothing when it cannot be read.
/// Names that are not text are none of uv's.
pub(super) fn children(cache: &Path, dir: &Path) -> Vec<CacheEntry> {
    use FileType::{Directory, RegularFile, Symlink};
    let children = UntrustedDir::entries_of(&cache.join(dir)).into_iter();
    let children = children.filter_map(|entry| {
        let is_known = matches!(entry.kind, Directory | RegularFile | Symlink);
        let name = entry.name.into_string().ok().filter(|_| is_known)?;
        let path = dir.join(&name);
        Some((name, path, entry.kind))
    });
    let by_name = |one: &CacheEntry, other: &CacheEntry| one.0.cmp(&other.0);
    children.sorted_by(by_name).collect()
}

struct Reader<'a> {
    cache: &'a Path,
    archives: BTreeMap<String, PathBuf>,
}

impl Reader<'_> {
    /// The wheels in a bucket of fetched ones, and in the directories of it.
    fn fetched(&self, dir: &Path, deeper: usize, wheels: &mut Vec<CachedWheel>) {
        let package = dir.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for (name, path, kind) in children(self.cache, dir) {
            match kind {
                FileType::Directory if deeper > 0 => self.fetched(&path, deeper - 1, wheels),
                FileType::Directory => {}
                _ => {
                    let endings = POINTERS.into_iter().chain([METADATA]);
                    let key = endings
                        .filter(|_| kind == FileType::RegularFile)
                        .find_map(|ending| name.strip_suffix(ending))
                        .unwrap_or(&name);
                    found.entry(key.to_owned()).or_default().push(path);
                }
            }
        }
        let is_url = dir
            .iter()
            .nth(2)
            .is_some_and(|name| name == "url" || name == "path");
        for (key, entries) in found {
            let pointer = entries.iter().find_map(|entry| self.pointer(entry));
            let by_link = || entries.iter().find_map(|entry| self.linked(entry));
            let name = pointer
                .as_ref()
                .and_then(|pointer| WheelName::parse(pointer.file_name.as_deref()?))
                .or_else(|| WheelName::of_cached(package, &key));
            let by_pointer = pointer
                .as_ref()
                .and_then(|pointer| self.archives.get(&pointer.id).cloned());
            wheels.push(CachedWheel {
                package: normalized(package),
                name,
                origin: if is_url {
                    WheelOrigin::Url
                } else {
                    WheelOrigin::Index
                },
                sha256: pointer.and_then(|pointer| pointer.sha256),
                archive: by_pointer.or_else(by_link),
                entries,
                beside: Vec::new(),
            });
        }
    }

    /// The directories of sources in a bucket of built wheels.
    fn sources(&self, bucket: &Path) -> Vec<(PathBuf, WheelOrigin)> {
        let dirs = |dir: &Path| {
            children(self.cache, dir)
                .into_iter()
                .filter(|(_, _, kind)| *kind == FileType::Directory)
        };
        let mut sources = Vec::new();
        for (kind, place, _) in dirs(bucket) {
            let each = dirs(&place).map(|(_, path, _)| path);
            match kind.as_str() {
                "url" => sources.extend(each.map(|path| (path, WheelOrigin::BuiltOfUrl))),
                "path" | "editable" => {
                    sources.extend(each.map(|path| (path, WheelOrigin::BuiltOfPath)));
                }
                "git" => sources.extend(
                    each.flat_map(|repository| dirs(&repository))
                        .map(|(commit, path, _)| (path, WheelOrigin::BuiltOfGit { commit })),
                ),
                _ => {
                    let indexes: Vec<PathBuf> = match kind.as_str() {
                        "pypi" => vec![place.clone()],
                        _ => each.collect(),
                    };
                    let packages = indexes.iter().flat_map(|index| dirs(index));
                    let versions = packages.flat_map(|(_, package, _)| dirs(&package));
                    sources.extend(
                        versions.map(|(version, path, _)| {
                            (path, WheelOrigin::BuiltOfIndex { version })
                        }),
                    );
                }
            }
        }
        sources
    }

    /// The wheels that were built of a source.
    fn built(&self, dir: &Path, origin: &WheelOrigin, wheels: &mut Vec<CachedWheel>) {
        let revision = REVISIONS
            .iter()
            .map(|name| dir.join(name))
            .find_map(|path| Some((self.pointer(&path)?, path)));
        let (place, sha256, mut entries) = match (&revision, origin) {
            (Some((pointer, path)), _) => (
                dir.join(&pointer.id),
                pointer.sha256.clone(),
                vec![path.clone()],
            ),
            (None, WheelOrigin::BuiltOfGit { .. }) => (dir.to_owned(), None, Vec::new()),
            (None, _) => return,
        };
        let lock = dir.join(".lock");
        if self.cache.join(&lock).is_file() {
            entries.push(lock);
        }
        let (mut links, mut beside) = (Vec::new(), Vec::new());
        self.built_in(&place, true, &mut links, &mut beside);
        for (name, link) in links {
            wheels.push(CachedWheel {
                package: name.package.clone(),
                archive: self.linked(&link),
                name: Some(name),
                origin: origin.clone(),
                sha256: sha256.clone(),
                entries: entries.iter().cloned().chain([link]).collect(),
                beside: beside.clone(),
            });
        }
    }

    /// The links to built wheels in a directory, which with settings for the build are in a
    /// directory of theirs, and what else is there.
    fn built_in(
        &self,
        place: &Path,
        deeper: bool,
        links: &mut Vec<(WheelName, PathBuf)>,
        beside: &mut Vec<PathBuf>,
    ) {
        for (name, path, kind) in children(self.cache, place) {
            let is_link = |(_, _, kind): &CacheEntry| *kind == FileType::Symlink;
            match (kind, WheelName::parse(&name)) {
                (FileType::Symlink, Some(name)) => links.push((name, path)),
                (FileType::Symlink, None) => {}
                (FileType::Directory, _)
                    if deeper
                        && children(self.cache, &path).iter().any(is_link)
                        && name != "src" =>
                {
                    self.built_in(&path, false, links, beside);
                }
                _ => beside.push(path),
            }
        }
    }

    /// What a small file says, when it is a pointer.
    fn pointer(&self, file: &Path) -> Option<Pointer> {
        let file = self.cache.join(file);
        let metadata = fs::symlink_metadata(&file).ok()?;
        (metadata.is_file() && metadata.len() <= LONGEST).then_some(())?;
        Pointer::read(&UntrustedDir::read_file(&file, LONGEST).ok()?)
    }

    /// The unpacked wheel that a link leads to, wherever the cache was when it was made.
    fn linked(&self, link: &Path) -> Option<PathBuf> {
        let leads_to = fs::read_link(self.cache.join(link)).ok()?;
        let bucket = leads_to.parent()?.file_name()?.to_str()?;
        let id = leads_to.file_name()?.to_str()?;
        bucket.starts_with(ARCHIVES).then_some(())?;
        self.archives.get(id).cloned()
    }
}
