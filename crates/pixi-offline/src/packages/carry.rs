//! Carrying a package cache over into a product.

use std::path::Path;

use crate::packages::need::Need;
use crate::packages::shipped::Shipped;
use crate::staging::{self, Digest, How, Listing, Size};

/// How much of a cache was carried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
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
pub fn carry(
    cache: &Path,
    target: &Path,
    need: Option<&Need>,
    origin: Option<&Path>,
    how: &How,
) -> anyhow::Result<Carried> {
    let shipped = Shipped::new(cache, need, origin)?;
    let how = How {
        count_left: true,
        ..*how
    };
    let outcome = staging::copy_tree_as(cache, target, &shipped, &how)?;
    Ok(Carried {
        entries: outcome.copied.entries,
        bytes: outcome.copied.bytes,
        left_entries: outcome.left.entries,
        left_bytes: outcome.left.bytes,
        not_shared: outcome.not_shared,
        listing: outcome.listing,
    })
}

/// What [`carry`] will copy. Where the cache cannot be read, or must not be carried,
/// nothing: carrying it says why.
pub fn size(cache: &Path, need: Option<&Need>, origin: Option<&Path>) -> Size {
    let kept = Shipped::new(cache, need, origin)
        .and_then(|shipped| staging::look(cache, &shipped, &|_, _| Digest::Unwanted))
        .map(|seen| seen.kept)
        .unwrap_or_default();
    Size {
        bytes: kept.bytes,
        entries: kept.entries,
    }
}
