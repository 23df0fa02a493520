//! Carrying a package cache over into a product.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::packages::cache::{add_never_ships, make_links_relative};
use crate::packages::conda::CondaCache;
use crate::packages::need::Need;
use crate::packages::python::PythonCache;
use crate::staging::{self, Copied, Rules, Size};

/// Parts of uv's cache that are read only where something is built at the target.
const FOR_BUILDS: [&str; 2] = ["/uv-cache/simple-v*", "/uv-cache/flat-index-v*"];

/// How much of a cache was carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Entries in the product's cache.
    pub entries: u64,
    /// Content of the files among them, in bytes.
    pub bytes: u64,
    /// Entries that were left out.
    pub left_entries: u64,
    /// Content of the files among those, in bytes.
    pub left_bytes: u64,
}

/// Copies a cache to `target`, which is not there yet, and makes its links work
/// from anywhere. `origin` is where the cache was filled; see
/// [`make_links_relative`].
///
/// With a `need`, only what that names is copied: the conda packages, and of the
/// Python part the wheels. Where something is built at the target, the Python
/// part is copied whole: what a build takes is not in the lock. Without a need
/// everything is copied, but for what no offline install ever reads.
///
/// # Errors
///
/// When it cannot be copied, or a link leads out of it.
pub fn carry(
    cache: &Path,
    target: &Path,
    need: Option<&Need>,
    origin: Option<&Path>,
) -> anyhow::Result<Carried> {
    let copied = match need {
        Some(need) => copy_needed(cache, target, need)?,
        None => {
            let mut rules = Rules::new();
            add_never_ships(&mut rules)?;
            staging::copy_tree(cache, target, &rules, &|_| false)?
        }
    };
    make_links_relative(target, cache, origin)?;
    if need.is_some() {
        drop_dangling_pointers(&target.join("uv-cache"))?;
    }
    let all = measure(cache);
    Ok(Carried {
        entries: copied.entries,
        bytes: copied.bytes,
        left_entries: all.entries.saturating_sub(copied.entries),
        left_bytes: all.bytes.saturating_sub(copied.bytes),
    })
}

/// What [`carry`] will copy, at most: small parts that it leaves out count too.
pub fn size(cache: &Path, need: Option<&Need>) -> Size {
    let all = Rules::new();
    let Some(need) = need else {
        return staging::survey(cache, &all, |_| false).size;
    };
    let conda = CondaCache::new(cache);
    let need_builds = need.builds_at_target();
    let left = cache
        .canonicalize()
        .map(|cache| PythonCache::read(&cache).not_needed(need))
        .unwrap_or_default();
    let left = move |folder: &Path| !need_builds && left.contains(folder);
    let mut size = staging::survey(&cache.join("uv-cache"), &all, left).size;
    for entry in need.conda.iter().flat_map(|package| conda.entries(package)) {
        size += staging::survey(&conda.folder().join(entry), &all, |_| false).size;
    }
    size
}

fn copy_needed(cache: &Path, target: &Path, need: &Need) -> anyhow::Result<Copied> {
    let mut rules = Rules::new();
    // Everything but pkgs/ and the Python part is pixi's to make again.
    for pattern in ["+ /pkgs/", "/pkgs/*", "+ /uv-cache/"] {
        rules.push(OsStr::new(pattern))?;
    }
    if !need.builds_at_target() {
        for pattern in FOR_BUILDS {
            rules.push(OsStr::new(pattern))?;
        }
    }
    add_never_ships(&mut rules)?;
    for pattern in ["+ /uv-cache/**", "*"] {
        rules.push(OsStr::new(pattern))?;
    }
    let not_needed: BTreeSet<PathBuf> = if need.builds_at_target() {
        BTreeSet::new()
    } else {
        PythonCache::read(&cache.canonicalize()?).not_needed(need)
    };
    let mut copied =
        staging::copy_tree(cache, target, &rules, &|folder| not_needed.contains(folder))?;

    let (from, to) = (CondaCache::new(cache), CondaCache::new(target));
    for entry in need.conda.iter().flat_map(|package| from.entries(package)) {
        let (from, to) = (from.folder().join(&entry), to.folder().join(&entry));
        let carrying = || format!("{} cannot be copied", from.display());
        if fs::symlink_metadata(&from).with_context(carrying)?.is_dir() {
            let more = staging::copy_tree(&from, &to, &Rules::new(), &|_| false)?;
            copied.entries += more.entries;
            copied.bytes += more.bytes;
        } else {
            copied.bytes += staging::copy_file(&from, &to).with_context(carrying)?;
        }
        copied.entries += 1;
    }
    Ok(copied)
}

/// Removes links that led to wheels which were left out, and the pointers of the
/// same name beside them.
fn drop_dangling_pointers(uv_cache: &Path) -> anyhow::Result<()> {
    let mut walk = ignore::WalkBuilder::new(uv_cache);
    walk.standard_filters(false).follow_links(false);
    walk.filter_entry(|entry| {
        let name = entry.file_name().as_encoded_bytes();
        entry.depth() != 1 || name.starts_with(b"wheels-v") || name.starts_with(b"sdists-v")
    });
    let dangling: Vec<PathBuf> = walk
        .build()
        .flatten()
        .map(ignore::DirEntry::into_path)
        .filter(|path| path.is_symlink() && fs::metadata(path).is_err())
        .collect();
    for link in dangling {
        fs::remove_file(&link).with_context(|| format!("{} cannot be removed", link.display()))?;
        for ending in [".http", ".rev", ".msgpack"] {
            let mut pointer = link.clone().into_os_string();
            pointer.push(ending);
            let _ = fs::remove_file(pointer);
        }
    }
    Ok(())
}

/// What is in a folder, links as themselves.
fn measure(folder: &Path) -> Copied {
    let mut walk = ignore::WalkBuilder::new(folder);
    walk.standard_filters(false).follow_links(false);
    let mut all = Copied::default();
    for entry in walk.build().flatten().filter(|entry| entry.depth() > 0) {
        all.entries += 1;
        let metadata = fs::symlink_metadata(entry.path());
        all.bytes += metadata.map_or(0, |m| if m.is_file() { m.len() } else { 0 });
    }
    all
}
