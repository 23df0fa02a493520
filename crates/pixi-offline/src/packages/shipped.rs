//! What of a package cache ships, decided for each entry while it is copied.

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::packages::cache::{
    CacheLinks, NEVER_SHIPS, PACKAGES, UV_CACHE, is_git_folder, is_rewritten_in_place,
};
use crate::packages::conda::CondaCache;
use crate::packages::need::Need;
use crate::packages::python::PythonCache;
use crate::staging::{LinkFate, Rules, Selection};

/// Parts of uv's cache that are read only where something is built at the target.
const FOR_BUILDS: [&str; 2] = ["/uv-cache/simple-v*", "/uv-cache/flat-index-v*"];

/// The endings of the small files that lead to an unpacked wheel, as the link of
/// the same name without them does.
const POINTERS: [&[u8]; 3] = [b".http", b".rev", b".msgpack"];

/// The part of a cache that ships, as a selection for a copy of it.
pub(super) struct Shipped<'a> {
    cache: &'a Path,
    links: CacheLinks<'a>,
    /// What is asked of all but the conda packages.
    rules: Rules,
    /// The entries of `pkgs/`; all when `None`.
    packages: Option<HashSet<OsString>>,
    /// Unpacked wheels that nobody needs, from the cache's top.
    left_wheels: BTreeSet<PathBuf>,
}

impl<'a> Shipped<'a> {
    /// With a `need`, only what that names: the conda packages, and of the Python
    /// part the wheels. Where something is built at the target, the Python part
    /// ships whole: what a build takes is not in the lock. Without a need
    /// everything ships, but for what no offline install ever reads.
    ///
    /// `origin` is where the cache was filled.
    pub(super) fn new(
        cache: &'a Path,
        need: Option<&Need>,
        origin: Option<&'a Path>,
    ) -> anyhow::Result<Shipped<'a>> {
        let mut rules = Rules::new();
        let mut shipped = Shipped {
            cache,
            links: CacheLinks { cache, origin },
            rules: Rules::new(),
            packages: None,
            left_wheels: BTreeSet::new(),
        };
        let mut push = |patterns: &[&str]| -> anyhow::Result<()> {
            for pattern in patterns {
                rules.push(OsStr::new(pattern))?;
            }
            Ok(())
        };
        if let Some(need) = need {
            push(&["+ /uv-cache/"])?;
            if !need.builds_at_target() {
                push(&FOR_BUILDS)?;
                shipped.left_wheels = PythonCache::read(cache)
                    .not_needed(need)
                    .iter()
                    .filter_map(|folder| folder.strip_prefix(cache).ok())
                    .map(Path::to_owned)
                    .collect();
            }
            push(&NEVER_SHIPS)?;
            // Everything but pkgs/ and the Python part is pixi's to make again.
            push(&["+ /uv-cache/**", "*"])?;
            let conda = CondaCache::new(cache);
            let entries = need.conda.iter().flat_map(|package| conda.entries(package));
            shipped.packages = Some(entries.map(PathBuf::into_os_string).collect());
        } else {
            push(&NEVER_SHIPS)?;
        }
        shipped.rules = rules;
        Ok(shipped)
    }

    /// Whether something, or a folder above it, stays behind.
    fn stays_behind(&self, relative: &Path) -> bool {
        let mut above = relative.ancestors().filter(|path| *path != Path::new(""));
        above.any(|path| self.excludes(path, true))
    }

    /// Whether a link of the Python part leads to a wheel that does not ship.
    fn leads_nowhere(&self, link: &Path, leads_to: &Path) -> bool {
        let mut place = self.links.leads_to(link, leads_to);
        // uv's links lead to folders at once; more hops than these are a ring.
        for _ in 0..8 {
            let Some(at) = place else { return true };
            let path = self.cache.join(&at);
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_symlink() => {
                    let next = fs::read_link(&path).ok();
                    place = next.and_then(|next| self.links.leads_to(&at, &next));
                }
                Ok(_) => return self.stays_behind(&at),
                Err(_) => return true,
            }
        }
        true
    }

    /// Whether a small file points to a wheel that does not ship.
    fn points_nowhere(&self, relative: &Path) -> bool {
        let name = relative.as_os_str().as_bytes();
        let link = POINTERS
            .iter()
            .find_map(|ending| name.strip_suffix(*ending));
        let Some(link) = link.map(|link| Path::new(OsStr::from_bytes(link))) else {
            return false;
        };
        has_pointers(relative)
            && fs::read_link(self.cache.join(link))
                .is_ok_and(|leads_to| self.leads_nowhere(link, &leads_to))
    }
}

/// Whether something lies in the folders from which uv finds wheels.
fn has_pointers(relative: &Path) -> bool {
    let bucket = relative
        .strip_prefix(UV_CACHE)
        .ok()
        .and_then(|path| path.iter().next());
    bucket.is_some_and(|name| {
        let name = name.as_bytes();
        name.starts_with(b"wheels-v") || name.starts_with(b"sdists-v")
    })
}

impl Selection for Shipped<'_> {
    fn excludes(&self, relative: &Path, is_dir: bool) -> bool {
        if let Some(packages) = &self.packages {
            let bytes = relative.as_os_str().as_bytes();
            let inside = bytes.strip_prefix(PACKAGES.as_bytes());
            match inside.map(|inside| inside.split_first()) {
                Some(None) => return !is_dir,
                Some(Some((b'/', name))) => {
                    // What lies in a package is the package's.
                    return memchr::memchr(b'/', name).is_none()
                        && !packages.contains(OsStr::from_bytes(name));
                }
                _ => {}
            }
            if self.rules.excludes(relative, is_dir) {
                return true;
            }
            return if is_dir {
                self.left_wheels.contains(relative)
            } else {
                self.points_nowhere(relative)
            };
        }
        self.rules.excludes(relative, is_dir)
    }

    fn link(&self, relative: &Path, leads_to: &Path) -> anyhow::Result<LinkFate> {
        if !relative.starts_with(UV_CACHE) || is_git_folder(relative) {
            return Ok(LinkFate::AsItIs);
        }
        let fate = self.links.fate(relative, leads_to)?;
        if self.packages.is_some()
            && has_pointers(relative)
            && self.leads_nowhere(relative, leads_to)
        {
            return Ok(LinkFate::LeftOut);
        }
        Ok(fate)
    }

    fn own_copy(&self, relative: &Path) -> bool {
        is_rewritten_in_place(relative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rewritten_in_place_is_never_shared() {
        let shipped = Shipped::new(Path::new("/nowhere"), None, None).unwrap();
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
            assert_eq!(shipped.own_copy(Path::new(path)), own, "{path}");
        }
    }
}
