//! Handing a package cache over itself, without a copy.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use crate::layout;
use crate::packages::cache_copy::CopiedCache;
use crate::packages::cache_filter::CacheFilter;
use crate::packages::requirements::Requirements;
use crate::replacement::remove_dir;
use crate::staging::{self, HashPolicy, Rules};

/// What is to be done to a cache before it can be handed over: it becomes what
/// [`copy_cache`](crate::packages::copy_cache) would have copied.
#[derive(Debug)]
pub struct CacheMove {
    cache: PathBuf,
    left: Vec<PathBuf>,
    links: Vec<(PathBuf, PathBuf)>,
}

impl CacheMove {
    /// Looks over a cache, and reads every file of it that ships for its digest.
    /// Nothing is changed yet.
    pub fn prepare(
        cache: &Path,
        need: Option<&Requirements>,
        origin: Option<&Path>,
    ) -> anyhow::Result<(CacheMove, CopiedCache)> {
        let shipped = CacheFilter::new(cache, need, origin)?;
        let seen = staging::scan_tree(cache, &shipped, &|_, _| HashPolicy::Compute)?;
        let mut carried = CopiedCache {
            entries: seen.kept.entries,
            bytes: seen.kept.bytes,
            listing: seen.listing,
            ..CopiedCache::default()
        };
        for left in &seen.left {
            let path = cache.join(left);
            let metadata = fs::symlink_metadata(&path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            carried.left_entries += 1;
            if metadata.is_dir() {
                let inside =
                    staging::scan_tree(&path, &Rules::new(), &|_, _| HashPolicy::Skip)?.kept;
                carried.left_entries += inside.entries;
                carried.left_bytes += inside.bytes;
            } else if metadata.is_file() {
                carried.left_bytes += metadata.size();
            }
        }
        let hand_over = CacheMove {
            cache: cache.to_owned(),
            left: seen.left,
            links: seen.links,
        };
        Ok((hand_over, carried))
    }

    /// What of the cache does not ship, paths from its top.
    pub fn left(&self) -> &[PathBuf] {
        &self.left
    }

    /// Removes from the cache what does not ship, and makes its links relative. What the
    /// build took along for later products is kept: it goes to the directory `keep`.
    ///
    /// # Errors
    ///
    /// When something cannot be removed or a link not be rewritten. What is left
    /// is still a cache that has all that is needed.
    pub fn prune(&self, keep: &Path) -> anyhow::Result<()> {
        for (link, leads_to) in &self.links {
            let link = self.cache.join(link);
            replace_link(&link, leads_to)
                .with_context(|| format!("the link {} cannot be rewritten", link.display()))?;
        }
        for left in &self.left {
            let path = self.cache.join(left);
            if layout::KEPT_OF_CACHE
                .iter()
                .any(|name| left == Path::new(name))
            {
                move_over(&path, &keep.join(left))
                    .with_context(|| format!("{} cannot be kept", path.display()))?;
                continue;
            }
            let is_dir = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
            let removed = if is_dir {
                remove_dir(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.with_context(|| format!("{} cannot be removed", path.display()))?;
        }
        Ok(())
    }
}

/// Moves a directory to where an older one of the kind may be.
fn move_over(from: &Path, to: &Path) -> std::io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(old) if old.is_dir() => remove_dir(to)?,
        Ok(_) => fs::remove_file(to)?,
        Err(_) => {}
    }
    fs::rename(from, to)
}

/// Replaces a link, keeping its times and its owner.
fn replace_link(link: &Path, leads_to: &Path) -> std::io::Result<()> {
    let before = fs::symlink_metadata(link)?;
    fs::remove_file(link)?;
    symlink(leads_to, link)?;
    lchown(link, Some(before.uid()), Some(before.gid()))?;
    let time = Timespec {
        tv_sec: before.mtime(),
        tv_nsec: before.mtime_nsec(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, link, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}
