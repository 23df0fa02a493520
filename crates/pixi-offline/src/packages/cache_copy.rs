//! Carrying a package cache over into a product.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::packages::cache::{PACKAGES, is_git_dir};
use crate::packages::cache_filter::CacheFilter;
use crate::packages::requirements::Requirements;
use crate::packages::uv_cache::{ARCHIVES, children};
use crate::staging::{self, CopyOptions, HashPolicy, Listing, Selection as _, Size};

/// How much of a cache was carried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopiedCache {
    /// Entries in the product's cache.
    pub entries: u64,
    /// Content of the files among them, in bytes.
    pub bytes: u64,
    /// Entries that were left out.
    pub left_entries: u64,
    /// Content of the files among those, in bytes.
    pub left_bytes: u64,
    /// Files that were copied although they were to be cloned or hard-linked.
    pub not_shared: u64,
    /// Each entry, when that was asked for.
    pub listing: Listing,
}

/// Copies a cache to `target`, which is not there yet, and makes its links work
/// from anywhere, all in one pass. `origin` is where the cache was filled: links
/// in uv's part that name it become relative, and one that leads out of the cache
/// is an error.
///
/// With a `need`, only what that names is copied: the conda packages, and of the
/// Python part the wheels. Where something is built at the target, the Python
/// part is copied whole: what a build takes is not in the lock. Without a need
/// everything is copied, but for what no offline install ever reads.
///
/// Lock files and what git keeps are copied however the rest is carried: they
/// are rewritten in place.
///
/// # Errors
///
/// When it cannot be copied, or a link leads out of it.
pub fn copy_cache(
    cache: &Path,
    target: &Path,
    need: Option<&Requirements>,
    origin: Option<&Path>,
    options: &CopyOptions,
) -> anyhow::Result<CopiedCache> {
    let shipped = CacheFilter::new(cache, need, origin)?;
    let options = CopyOptions {
        count_left: true,
        ..*options
    };
    let outcome = staging::copy_tree(cache, target, &shipped, &options)?;
    Ok(CopiedCache {
        entries: outcome.copied.entries,
        bytes: outcome.copied.bytes,
        left_entries: outcome.left.entries,
        left_bytes: outcome.left.bytes,
        not_shared: outcome.not_shared,
        listing: outcome.listing,
    })
}

/// The small files of what [`copy_cache`] will copy that tell of requests which were made, from
/// the cache's top: pointers and index pages of uv, records of conda packages, what pixi
/// keeps of channels, the settings of git repositories. What packages hold is theirs.
///
/// # Errors
///
/// When a rule for what ships is none.
pub fn pointers(cache: &Path, need: Option<&Requirements>) -> anyhow::Result<Vec<PathBuf>> {
    let shipped = CacheFilter::new(cache, need, None)?;
    let mut pointers = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(dir) = open.pop() {
        for (name, path, kind) in children(cache, &dir) {
            if shipped.excludes(&path, kind == FileType::Directory) {
                continue;
            }
            match kind {
                FileType::Directory if is_package(&dir, &name) => {
                    let record = path.join("info/repodata_record.json");
                    pointers.extend(cache.join(&record).is_file().then_some(record));
                }
                FileType::Directory if is_content(&path, &name) => {}
                FileType::Directory => open.push(path),
                FileType::RegularFile
                    if is_small(&cache.join(&path)) && !name.ends_with(".whl") =>
                {
                    pointers.push(path);
                }
                _ => {}
            }
        }
    }
    pointers.sort();
    Ok(pointers)
}

/// Whether a directory in `directory` is an unpacked conda package.
fn is_package(dir: &Path, name: &str) -> bool {
    dir == Path::new(PACKAGES) && !name.starts_with('.')
}

/// Whether a directory holds what others made: unpacked wheels and sources, the objects and
/// files of repositories.
fn is_content(path: &Path, name: &str) -> bool {
    let ends = [".tar.gz", ".zip", ".tar.bz2", ".tgz"];
    let in_git = is_git_dir(path);
    let above = |levels: usize| path.iter().rev().nth(levels).and_then(OsStr::to_str);
    let of_git = name == ".git"
        || ["db", "checkouts"].contains(&name)
        || [above(1), above(2)]
            .iter()
            .any(|name| matches!(name, Some("db" | "checkouts")))
        || name.starts_with("git-v");
    name.starts_with(ARCHIVES)
        || (!in_git
            && (["src", "source"].contains(&name) || ends.iter().any(|end| name.ends_with(end))))
        || (in_git && (!of_git || ["objects", "hooks", "refs", "logs"].contains(&name)))
}

/// The longest file that is searched, in bytes.
const LONGEST: u64 = 16 << 20;

fn is_small(file: &Path) -> bool {
    fs::symlink_metadata(file).is_ok_and(|metadata| metadata.len() <= LONGEST)
}

/// What [`copy_cache`] will copy. Where the cache cannot be read, or must not be carried,
/// nothing: carrying it says why.
pub fn size(cache: &Path, need: Option<&Requirements>, origin: Option<&Path>) -> Size {
    let kept = CacheFilter::new(cache, need, origin)
        .and_then(|shipped| staging::scan_tree(cache, &shipped, &|_, _| HashPolicy::Skip))
        .map(|seen| seen.kept)
        .unwrap_or_default();
    Size {
        bytes: kept.bytes,
        entries: kept.entries,
    }
}
