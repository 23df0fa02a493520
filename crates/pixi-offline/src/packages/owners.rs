//! The package that owns each cache entry, or the reason why a product has it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use itertools::Itertools as _;
use rustix::fs::FileType;

use crate::packages::builds::Builds;
use crate::packages::cache::{PACKAGES, UV_CACHE};
use crate::packages::conda::CondaCache;
use crate::packages::python::PythonCache;
use crate::packages::requirements::Requirements;
use crate::packages::uv_cache::{CachedWheel, WheelOrigin, buckets, children};
use crate::packages::wheel_name::normalized;
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// Where uv keeps index pages, by package and whole.
const PAGES: &str = "simple-v";
const FLAT_PAGES: &str = "flat-index-v";

/// Where uv keeps repositories.
const REPOSITORIES: &str = "git-v";

/// What uv writes at the top of its part, and at that of buckets.
const MARKS: [&str; 4] = [".lock", ".gitignore", ".git", "CACHEDIR.TAG"];

/// The owner of a cache entry.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PackageOwner {
    /// A package that is needed.
    Package,
    /// Kept for this reason, with the name that is shown.
    Kept(KeptReason, String),
}

/// Why something is in a product that belongs to no needed package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeptReason {
    /// What is built at the target asks for it.
    Build,
    /// No environment of the lock has it, and a build at the target may ask for it.
    PerhapsBuild,
    /// An index page that a build at the target looks packages up in.
    Page,
    /// A repository that a build at the target takes a package from.
    Repository,
    /// The cache is carried whole.
    Whole,
    /// There is no reason.
    None,
}

/// The package that owns each cache entry, by need.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// Entries that are owned, directories with all that is in them.
    owned: HashMap<PathBuf, PackageOwner>,
    /// The directories that lead to them.
    open: HashSet<PathBuf>,
}

impl Owners {
    /// The package that owns each entry of the cache at `cache`.
    pub(super) fn of(cache: &Path, need: &Requirements) -> Owners {
        let mut owners = Owners::default();
        owners.open.insert(PathBuf::new());
        let conda = CondaCache::new(cache);
        let packages = Path::new(PACKAGES);
        owners.open.insert(packages.to_owned());
        for entry in need.conda.iter().flat_map(|package| conda.entries(package)) {
            owners.add(packages.join(entry), PackageOwner::Package);
        }
        owners.open.insert(PathBuf::from(UV_CACHE));
        let python = PythonCache::read(cache);
        let builds = Builds::of(need, &python, cache);
        owners.wheels(need, &python, &builds);
        if !builds.packages.is_empty() {
            owners.pages(cache, need, &builds);
            owners.repositories(cache, &builds);
        }
        owners.read_pointers(cache);
        owners
    }

    /// Whether an entry belongs to a package, or is a directory that leads to one that does.
    pub(super) fn has(&self, relative: &Path) -> bool {
        self.owner(relative).is_some() || self.open.contains(relative)
    }

    fn owner(&self, relative: &Path) -> Option<&PackageOwner> {
        // From the top, where as a rule the second directory is the package's.
        let bytes = relative.as_os_str().as_bytes();
        memchr::memchr_iter(b'/', bytes)
            .chain([bytes.len()])
            .find_map(|end| self.owned.get(Path::new(OsStr::from_bytes(&bytes[..end]))))
    }

    /// Adds an entry, unless a package has it already.
    fn add(&mut self, path: PathBuf, owner: PackageOwner) {
        for dir in path.ancestors().skip(1) {
            if !self.open.insert(dir.to_owned()) {
                break;
            }
        }
        let there = self.owned.entry(path).or_insert_with(|| owner.clone());
        if owner == PackageOwner::Package {
            *there = owner;
        }
    }

    /// The wheels that are needed, and those that builds may take.
    fn wheels(&mut self, need: &Requirements, python: &PythonCache, builds: &Builds) {
        let packages = need.python.iter();
        let needed = packages.into_group_map_by(|package| &*package.id.name);
        for wheel in python.wheels() {
            let named = needed.get(&*wheel.package);
            let named_here = named.into_iter().flatten();
            let mut matched = named_here
                .filter(|package| wheel.matched_by(package).is_some())
                .peekable();
            let is_needed = matched.peek().is_some();
            // Where uv builds the package again it writes this file anew: one that the
            // product brought would be found changed there.
            let is_rewritten = is_needed && !matched.any(|package| wheel.is_taken_for(package));
            let owner = if is_needed {
                PackageOwner::Package
            } else if let Some(reason) = why_for_builds(wheel, named.is_some(), need, builds) {
                PackageOwner::Kept(reason, shown(wheel))
            } else {
                continue;
            };
            let entries = wheel
                .entries
                .iter()
                .chain(&wheel.beside)
                .chain(&wheel.archive);
            let is_archive = |path: &Path| path.extension() == Some(OsStr::new("whl"));
            for entry in entries.filter(|entry| !(is_rewritten && is_archive(entry))) {
                self.add(entry.clone(), owner.clone());
            }
        }
    }

    /// Pages of indexes, but for those of packages that only others need.
    fn pages(&mut self, cache: &Path, need: &Requirements, builds: &Builds) {
        let mut open = buckets(cache, &[PAGES]);
        while let Some(dir) = open.pop() {
            for (name, path, kind) in children(cache, &dir) {
                let package = normalized(name.split('.').next().unwrap_or(&name));
                if kind == FileType::Directory {
                    open.push(path);
                } else if builds.may_take(&package) || !need.is_of_others(&package) {
                    self.add(path, PackageOwner::Kept(KeptReason::Page, package));
                }
            }
        }
        for dir in buckets(cache, &[FLAT_PAGES]) {
            let name = dir.display().to_string();
            self.add(dir, PackageOwner::Kept(KeptReason::Page, name));
        }
    }

    /// The repositories that builds take packages from.
    fn repositories(&mut self, cache: &Path, builds: &Builds) {
        for bucket in buckets(cache, &[REPOSITORIES]) {
            for (id, path, _) in children(cache, &bucket.join("db")) {
                let fetched = ["FETCH_HEAD", ".git/FETCH_HEAD"]
                    .iter()
                    .filter_map(|name| {
                        let file = cache.join(&path).join(name);
                        let text = UntrustedDir::read_file(&file, RECORD_LIMIT).ok()?;
                        Some(String::from_utf8_lossy(&text).into_owned())
                    })
                    .find(|text| !text.is_empty())
                    .unwrap_or_default();
                let mut urls = fetched
                    .lines()
                    .filter_map(|line| line.split_whitespace().last());
                if let Some(url) = urls.find(|url| builds.takes_from(url)) {
                    let owner = PackageOwner::Kept(KeptReason::Repository, url.to_owned());
                    self.add(bucket.join("checkouts").join(&id), owner.clone());
                    self.add(path, owner);
                }
            }
        }
    }

    /// What uv writes for itself into directories that are carried.
    fn read_pointers(&mut self, cache: &Path) {
        let tops = children(cache, Path::new(UV_CACHE));
        let dirs: Vec<PathBuf> = tops
            .into_iter()
            .map(|(_, path, _)| path)
            .filter(|path| self.open.contains(path))
            .chain([PathBuf::from(UV_CACHE)])
            .collect();
        for dir in dirs {
            for (name, path, kind) in children(cache, &dir) {
                if kind == FileType::RegularFile && MARKS.contains(&name.as_str()) {
                    self.add(path, PackageOwner::Package);
                }
            }
        }
    }
}

/// Why a wheel that no environment needs is carried where something is built.
fn why_for_builds(
    wheel: &CachedWheel,
    is_needed_by_name: bool,
    need: &Requirements,
    builds: &Builds,
) -> Option<KeptReason> {
    if builds.packages.is_empty() || wheel.origin == WheelOrigin::BuiltOfPath {
        return None;
    }
    if builds.may_take(&wheel.package) {
        return Some(KeptReason::Build);
    }
    // A name that stands in no lock and comes from an index: a build backend may have
    // asked for it when it ran.
    let from_index = matches!(
        wheel.origin,
        WheelOrigin::Index | WheelOrigin::BuiltOfIndex { .. }
    );
    (from_index && !is_needed_by_name && !need.is_of_others(&wheel.package))
        .then_some(KeptReason::PerhapsBuild)
}

fn shown(wheel: &CachedWheel) -> String {
    match &wheel.name {
        Some(name) => format!("{} {}", name.package, name.version),
        None => wheel.package.clone(),
    }
}

/// What is in a product's cache beside the packages that are needed: why, and what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnlistedEntries {
    by_reason: BTreeMap<KeptReason, Vec<String>>,
}

impl UnlistedEntries {
    /// Looks over a cache that is in a product, each entry of it. Without a need nothing
    /// can be told apart. `whole` is whether it is carried whole; `left` are paths in it
    /// that do not ship.
    pub fn of(
        cache: &Path,
        need: Option<&Requirements>,
        whole: bool,
        left: &[PathBuf],
    ) -> UnlistedEntries {
        let left: HashSet<&PathBuf> = left.iter().collect();
        let nobodys = match whole {
            true => KeptReason::Whole,
            false => KeptReason::None,
        };
        let owners = need.map(|need| Owners::of(cache, need)).unwrap_or_default();
        let mut unlisted = UnlistedEntries::default();
        let mut open = vec![PathBuf::new()];
        while let Some(dir) = open.pop() {
            for (name, path, kind) in children(cache, &dir) {
                match owners.owner(&path) {
                    _ if left.contains(&path) => {}
                    Some(PackageOwner::Package) => {}
                    Some(PackageOwner::Kept(reason, what)) => unlisted.add(*reason, what),
                    None if kind == FileType::Directory && owners.open.contains(&path) => {
                        open.push(path)
                    }
                    // The mark beside an unpacked package.
                    None if dir == Path::new(PACKAGES) && name.ends_with(".lock") => {
                        let package = name.trim_end_matches(".lock");
                        if package != ".cache" && !cache.join(&dir).join(package).is_dir() {
                            unlisted.add(nobodys, &path.display().to_string());
                        }
                    }
                    None => unlisted.add(nobodys, &path.display().to_string()),
                }
            }
        }
        for names in unlisted.by_reason.values_mut() {
            names.sort();
            names.dedup();
        }
        unlisted
    }

    fn add(&mut self, reason: KeptReason, what: &str) {
        self.by_reason
            .entry(reason)
            .or_default()
            .push(what.to_owned());
    }

    /// Each reason with what is there for it, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (KeptReason, &[String])> {
        self.by_reason
            .iter()
            .map(|(reason, names)| (*reason, names.as_slice()))
    }

    /// What is there without a reason.
    pub fn without_reason(&self) -> &[String] {
        self.by_reason
            .get(&KeptReason::None)
            .map_or(&[], Vec::as_slice)
    }
}
