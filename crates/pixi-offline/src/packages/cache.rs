//! Pixi's package cache (`PIXI_CACHE_DIR`), as it is carried.
//!
//! The layout and its meaning are those of pixi 0.15 to 0.77 and of the uv
//! versions in them.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use crate::layout;
use crate::staging::LinkAction;

/// The conda packages of a cache.
pub(super) const PACKAGES: &str = "pkgs";

/// uv's part of the cache.
pub(super) const UV_CACHE: &str = "uv-cache";

/// Entries of the cache that no offline install reads, and whose links lead out
/// of it (interpreters that builds were run with, unfinished downloads).
pub(super) const NEVER_SHIPS: [&str; 9] = [
    "/pixi-offline-bin/",
    "/pixi-offline-built/",
    "/backends-v0/",
    "/uv-cache/builds-v*",
    "/uv-cache/environments-v*",
    "/uv-cache/interpreter-v*",
    "/uv-cache/python-v*",
    "/uv-cache/binaries-v*",
    "/uv-cache/.tmp*",
];

/// Whether something is in a git repository: pixi's and uv's clones and working
/// trees (`git-v0`), or any other with its `.git`.
pub(super) fn is_git_dir(relative: &Path) -> bool {
    let mut parts = relative.iter();
    let mut bucket = parts.next();
    if bucket.is_some_and(|name| name == UV_CACHE) {
        bucket = parts.next();
    }
    bucket.is_some_and(|name| name.as_bytes().starts_with(b"git-v"))
        || parts.any(|name| name == ".git")
}

/// Whether pixi, uv or git write into a file of the cache that is there, instead
/// of replacing it: lock files, and what git keeps.
pub(super) fn is_rewritten_in_place(relative: &Path) -> bool {
    relative.as_os_str().as_bytes().ends_with(b".lock") || is_git_dir(relative)
}

/// The links in the uv part of a cache. uv before 0.11.17 writes absolute ones,
/// which dangle once the cache is elsewhere; all versions since 0.1.32 follow
/// relative ones.
///
/// `cache` was filled at `origin`, an absolute path in the container. Where that
/// is not known, or a link was made at yet another path, it counts as leading
/// into the cache when what it names from `uv-cache/` on is in `cache`.
#[derive(Debug, Clone, Copy)]
pub(super) struct CacheLinks<'a> {
    pub(super) cache: &'a Path,
    pub(super) origin: Option<&'a Path>,
}

impl CacheLinks<'_> {
    /// What becomes of a link at `link`, a path from the cache's top: an absolute
    /// one is made relative.
    ///
    /// # Errors
    ///
    /// When it leads out of the cache: it is named, and so is what it leads to.
    /// Working trees of git repositories are not for this: their links are the
    /// repository's.
    pub(super) fn fate(&self, link: &Path, leads_to: &Path) -> anyhow::Result<LinkAction> {
        match self.leads_to(link, leads_to) {
            Some(wanted) if leads_to.is_absolute() => {
                let dir = link.parent().unwrap_or_else(|| Path::new(""));
                Ok(LinkAction::Rewrite(layout::relative_path(dir, &wanted)))
            }
            Some(_) => Ok(LinkAction::Keep),
            None => anyhow::bail!(
                "the link {} in the package cache leads out of it, to {}; its target would be missing from the product: build the workdir again with an empty cache",
                link.display(),
                leads_to.display()
            ),
        }
    }

    /// Where a link leads, from the cache's top; `None` when that is out of it.
    pub(super) fn leads_to(&self, link: &Path, leads_to: &Path) -> Option<PathBuf> {
        if leads_to.is_absolute() {
            return within_cache(leads_to, self.cache, self.origin);
        }
        let mut place: Vec<Component> = link
            .parent()
            .into_iter()
            .flat_map(Path::components)
            .collect();
        for part in leads_to.components() {
            match part {
                Component::ParentDir => {
                    place.pop()?;
                }
                Component::Normal(_) => place.push(part),
                _ => {}
            }
        }
        Some(place.into_iter().collect())
    }
}

/// Where an absolute link leads to, from the top of the cache.
fn within_cache(target: &Path, source: &Path, origin: Option<&Path>) -> Option<PathBuf> {
    let plain = |path: &Path| {
        path.components()
            .all(|part| matches!(part, Component::Normal(_)))
    };
    if let Some(inside) = origin.and_then(|origin| target.strip_prefix(origin).ok()) {
        return plain(inside).then(|| inside.to_owned());
    }
    // Old workdirs do not say where their cache lay: find the part of the path
    // from `uv-cache/` on that is there.
    let parts: Vec<Component> = target.components().collect();
    (0..parts.len())
        .rev()
        .filter(|&at| parts[at].as_os_str() == UV_CACHE)
        .map(|at| parts[at..].iter().collect::<PathBuf>())
        .find(|inside| plain(inside) && fs::symlink_metadata(source.join(inside)).is_ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::packages::copy_cache;
    use crate::staging::CopyOptions;

    const LINK: &str = "uv-cache/wheels-v6/pypi/six/1.17";

    /// A cache with one archive, and a link to it from a wheels directory.
    fn cache_with_link(target: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        fs::create_dir_all(cache.join(LINK).parent().unwrap()).unwrap();
        fs::create_dir_all(cache.join("uv-cache/archive-v0/abc/six")).unwrap();
        symlink(target, cache.join(LINK)).unwrap();
        dir
    }

    /// Carries the cache in `from` to `to` beside it.
    fn copied(
        dir: &tempfile::TempDir,
        from: &str,
        to: &str,
        origin: Option<&Path>,
    ) -> anyhow::Result<PathBuf> {
        let (from, to) = (dir.path().join(from), dir.path().join(to));
        copy_cache(&from, &to, None, origin, &CopyOptions::default())?;
        Ok(to)
    }

    #[test]
    fn absolute_links_into_the_old_cache_become_relative() {
        for origin in [Some(Path::new("/workdir/pixi-cache")), None] {
            let dir = cache_with_link("/workdir/pixi-cache/uv-cache/archive-v0/abc");
            let product = copied(&dir, "cache", "product", origin).unwrap();
            let wanted = Path::new("../../../archive-v0/abc");
            assert_eq!(fs::read_link(product.join(LINK)).unwrap(), wanted);
            assert!(product.join(LINK).join("six").is_dir());
            let again = copied(&dir, "product", "again", origin).unwrap();
            assert_eq!(fs::read_link(again.join(LINK)).unwrap(), wanted);
        }
    }

    #[test]
    fn a_link_out_of_the_cache_is_an_error_that_names_it() {
        for target in [
            "/usr/lib/python3",
            "/workdir/pixi-cache/../x",
            "../../../../../etc",
        ] {
            let dir = cache_with_link(target);
            let origin = Path::new("/workdir/pixi-cache");
            let error = copied(&dir, "cache", "product", Some(origin))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("wheels-v6/pypi/six/1.17") && error.contains(target),
                "{error}"
            );
            let link = dir.path().join("cache").join(LINK);
            assert_eq!(fs::read_link(link).unwrap(), Path::new(target));
        }
    }

    #[test]
    fn links_of_git_working_trees_and_of_conda_packages_stay_as_they_are() {
        for (link, target) in [
            ("uv-cache/git-v0/checkouts/x/zone", "/etc/localtime"),
            ("pkgs/a-1-0/bin/sh", "/bin/sh"),
        ] {
            let dir = cache_with_link("../../../archive-v0/abc");
            let place = dir.path().join("cache").join(link);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            symlink(target, place).unwrap();
            let product = copied(&dir, "cache", "product", None).unwrap();
            let leads_to = fs::read_link(product.join(link)).unwrap();
            assert_eq!(leads_to, Path::new(target), "{link}");
        }
    }
}
