//! Pixi's package cache (`PIXI_CACHE_DIR`), as it is carried.
//!
//! The layout and its meaning are those of pixi 0.15 to 0.77 and of the uv
//! versions in them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use crate::staging::Rules;

/// uv's part of the cache.
const UV_CACHE: &str = "uv-cache";

/// Entries of the cache that no offline install reads, and whose links lead out
/// of it (interpreters that builds were run with, unfinished downloads).
const NEVER_SHIPS: [&str; 7] = [
    "/pixi-offline-bin/",
    "/uv-cache/builds-v*",
    "/uv-cache/environments-v*",
    "/uv-cache/interpreter-v*",
    "/uv-cache/python-v*",
    "/uv-cache/binaries-v*",
    "/uv-cache/.tmp*",
];

/// Adds the rules that keep back what never ships.
pub(super) fn add_never_ships(rules: &mut Rules) -> anyhow::Result<()> {
    for pattern in NEVER_SHIPS {
        rules.push(OsStr::new(pattern))?;
    }
    Ok(())
}

/// What was done to a cache's links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CacheLinks {
    /// Links that were absolute and lead now from where they lie.
    pub(super) rewritten: u64,
}

/// Makes the absolute links in the uv part of a cache relative. uv before
/// 0.11.17 writes absolute ones, which dangle once the cache lies elsewhere; all
/// versions since 0.1.32 follow relative ones.
///
/// `cache` is a copy of `source`, or of a part of it, that was filled at `origin`, an absolute path in
/// the container. Where that is not known, or a link was made at yet another
/// path, it counts as leading into the cache when what it names from `uv-cache/`
/// on is in `source`.
///
/// # Errors
///
/// When an absolute link leads out of the cache: it is named, and so is what it
/// leads to. Working trees of git repositories are left alone: their links are
/// the repository's.
pub(super) fn make_links_relative(
    cache: &Path,
    source: &Path,
    origin: Option<&Path>,
) -> anyhow::Result<CacheLinks> {
    let mut links = CacheLinks::default();
    let uv_cache = cache.join(UV_CACHE);
    if fs::symlink_metadata(&uv_cache).is_err() {
        return Ok(links);
    }
    let mut walk = ignore::WalkBuilder::new(&uv_cache);
    walk.standard_filters(false).follow_links(false);
    walk.filter_entry(|entry| {
        entry.depth() != 1 || !entry.file_name().as_bytes().starts_with(b"git-v")
    });
    for entry in walk.build() {
        let entry = entry?;
        if !entry.path_is_symlink() {
            continue;
        }
        let link = entry.path();
        let target =
            fs::read_link(link).with_context(|| format!("{} cannot be read", link.display()))?;
        let inside = link.strip_prefix(cache).unwrap_or(link);
        if target.is_absolute() {
            let wanted = within_cache(&target, source, origin).ok_or_else(|| {
                anyhow::anyhow!(
                    "the link {} in the package cache leads out of it, to {}; the product would miss that: build the workdir again with an empty cache",
                    inside.display(),
                    target.display()
                )
            })?;
            replace_link(link, &relative(inside, &wanted))?;
            links.rewritten += 1;
        } else if leads_out(inside, &target) {
            anyhow::bail!(
                "the link {} in the package cache leads out of it, to {}; the product would miss that: build the workdir again with an empty cache",
                inside.display(),
                target.display()
            );
        }
    }
    Ok(links)
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

/// Whether a relative link at `link` (from the cache's top) climbs out of it.
fn leads_out(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count() as i64 - 1;
    target.components().any(|part| {
        match part {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            _ => {}
        }
        depth < 0
    })
}

/// The text of a link at `link` that leads to `wanted`, both from the same top.
fn relative(link: &Path, wanted: &Path) -> PathBuf {
    let from: Vec<_> = link
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .collect();
    let to: Vec<_> = wanted.components().collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(Component::ParentDir, from.len() - common);
    up.chain(to[common..].iter().copied()).collect()
}

/// Replaces a link, keeping its times and its owner.
fn replace_link(link: &Path, target: &Path) -> anyhow::Result<()> {
    let failing = || format!("the link {} cannot be rewritten", link.display());
    let before = fs::symlink_metadata(link).with_context(failing)?;
    fs::remove_file(link).with_context(failing)?;
    symlink(target, link).with_context(failing)?;
    lchown(link, Some(before.uid()), Some(before.gid())).with_context(failing)?;
    let mtime = Timespec {
        tv_sec: before.mtime(),
        tv_nsec: before.mtime_nsec(),
    };
    let times = Timestamps {
        last_access: mtime,
        last_modification: mtime,
    };
    rustix::fs::utimensat(CWD, link, &times, AtFlags::SYMLINK_NOFOLLOW).with_context(failing)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache with one archive, and a link to it from a wheels folder.
    fn cache_with_link(target: &str) -> tempfile::TempDir {
        let cache = tempfile::tempdir().unwrap();
        let wheels = cache.path().join("uv-cache/wheels-v6/pypi/six");
        fs::create_dir_all(&wheels).unwrap();
        fs::create_dir_all(cache.path().join("uv-cache/archive-v0/abc/six")).unwrap();
        symlink(target, wheels.join("1.17")).unwrap();
        cache
    }

    fn link_of(cache: &tempfile::TempDir) -> PathBuf {
        fs::read_link(cache.path().join("uv-cache/wheels-v6/pypi/six/1.17")).unwrap()
    }

    #[test]
    fn absolute_links_into_the_old_cache_become_relative() {
        for origin in [Some(Path::new("/workdir/pixi-cache")), None] {
            let cache = cache_with_link("/workdir/pixi-cache/uv-cache/archive-v0/abc");
            let links = make_links_relative(cache.path(), cache.path(), origin).unwrap();
            assert_eq!(links.rewritten, 1);
            assert_eq!(link_of(&cache), Path::new("../../../archive-v0/abc"));
            assert!(
                cache
                    .path()
                    .join("uv-cache/wheels-v6/pypi/six/1.17/six")
                    .is_dir()
            );
            assert_eq!(
                make_links_relative(cache.path(), cache.path(), origin)
                    .unwrap()
                    .rewritten,
                0
            );
        }
    }

    #[test]
    fn a_link_out_of_the_cache_is_an_error_that_names_it() {
        for target in [
            "/usr/lib/python3",
            "/workdir/pixi-cache/../x",
            "../../../../../etc",
        ] {
            let cache = cache_with_link(target);
            let origin = Path::new("/workdir/pixi-cache");
            let error = make_links_relative(cache.path(), cache.path(), Some(origin))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("wheels-v6/pypi/six/1.17") && error.contains(target),
                "{error}"
            );
            assert_eq!(link_of(&cache), Path::new(target));
        }
    }

    #[test]
    fn links_in_git_working_trees_are_the_repositorys() {
        let cache = tempfile::tempdir().unwrap();
        let checkout = cache.path().join("uv-cache/git-v0/checkouts/x");
        fs::create_dir_all(&checkout).unwrap();
        symlink("/etc/localtime", checkout.join("zone")).unwrap();
        assert_eq!(
            make_links_relative(cache.path(), cache.path(), None)
                .unwrap()
                .rewritten,
            0
        );
    }

    #[test]
    fn a_cache_without_python_packages_has_no_links() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(
            make_links_relative(cache.path(), cache.path(), None).unwrap(),
            CacheLinks::default()
        );
    }
}
