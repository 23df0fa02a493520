//! What of a package cache ships, decided for each entry while it is copied.

use std::ffi::OsStr;
use std::path::Path;

use crate::packages::cache::{
    CacheLinks, NEVER_SHIPS, UV_CACHE, is_git_dir, is_rewritten_in_place,
};
use crate::packages::owners::Owners;
use crate::packages::requirements::Requirements;
use crate::staging::{LinkAction, Rules, Selection};

/// The part of a cache that ships, as a selection for a copy of it.
pub(super) struct CacheFilter<'a> {
    links: CacheLinks<'a>,
    /// What no offline install ever reads.
    never: Rules,
    /// The package that owns each cache entry; everything ships when `None`.
    owners: Option<Owners>,
}

impl<'a> CacheFilter<'a> {
    /// With a `need`, only what that names, and what is built at the target may read.
    /// Without a need everything ships, but for what no offline install ever reads.
    ///
    /// `origin` is where the cache was filled.
    pub(super) fn new(
        cache: &'a Path,
        need: Option<&Requirements>,
        origin: Option<&'a Path>,
    ) -> anyhow::Result<CacheFilter<'a>> {
        let mut never = Rules::new();
        for pattern in NEVER_SHIPS {
            never.push(OsStr::new(pattern))?;
        }
        Ok(CacheFilter {
            links: CacheLinks { cache, origin },
            never,
            owners: need.map(|need| Owners::of(cache, need)),
        })
    }
}

impl Selection for CacheFilter<'_> {
    fn excludes(&self, relative: &Path, is_dir: bool) -> bool {
        match &self.owners {
            Some(owners) => !owners.has(relative),
            None => self.never.excludes(relative, is_dir),
        }
    }

    fn link(&self, relative: &Path, leads_to: &Path) -> anyhow::Result<LinkAction> {
        if !relative.starts_with(UV_CACHE) || is_git_dir(relative) {
            return Ok(LinkAction::Keep);
        }
        self.links.fate(relative, leads_to)
    }

    fn must_not_share(&self, relative: &Path) -> bool {
        is_rewritten_in_place(relative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rewritten_in_place_is_never_shared() {
        let shipped = CacheFilter::new(Path::new("/nowhere"), None, None).unwrap();
        for (path, own) in [
            ("pkgs/a-1-0.lock", true),
            ("pkgs/.cache.lock", true),
            ("uv-cache/.lock", true),
            ("uv-cache/git-v0/db/1/HEAD", true),
            ("git-v0/checkouts/1/file", true),
            ("uv-cache/sdists-v9/x/.git/index", true),
            ("pkgs/a-1-0/lib/a.so", false),
            ("pkgs/git-2.40-0/bin/git", false),
            ("uv-cache/archive-v0/id/six.py", false),
        ] {
            assert_eq!(shipped.must_not_share(Path::new(path)), own, "{path}");
        }
    }
}
