//! The lock that is installed where the project's own names Python packages or source packages by
//! absolute paths or `file:` URLs that are in what is staged: there they are relative to the project.

use std::iter;
use std::path::{Path, PathBuf};

use rattler_lock::{CondaPackageData, LockedPackage, PypiPackageData, UrlOrPath};

use crate::layout::PathInRoot;
use crate::packages::delivered_lock::{DELIVERED_FORMAT, deliver};
use crate::packages::local_channel::goes_down;
use crate::packages::lock::Lock;
use crate::packages::lock_cache::LockCache;
use crate::packages::package_source::PackageSource;

/// The lock with such paths made relative; the lock itself where it has none, or has a format
/// that the pixi that wrote it may not read after the change. `tops` are the paths of the
/// directory that is staged, and `in_root` is the project's place in it.
///
/// # Errors
///
/// When the lock cannot be written anew.
pub(super) fn with_relative_paths(
    lock: Lock,
    tops: &[&Path],
    in_root: &PathInRoot,
    locks: &LockCache,
) -> anyhow::Result<Lock> {
    if lock.version() != DELIVERED_FORMAT {
        return Ok(lock);
    }
    let here = |location: &UrlOrPath| {
        let source = PackageSource::from(location);
        let relative = relative(&place_in(&source, tops)?, in_root)?;
        relative.parse::<UrlOrPath>().ok()
    };
    let delivered = deliver(&lock, locks, &|_, package| match package {
        LockedPackage::Pypi(python) => {
            let location = here(python.location().inner())?.into();
            let mut python = python.clone();
            match &mut python {
                PypiPackageData::Distribution(wheel) => wheel.location = location,
                PypiPackageData::Source(source) => source.location = location,
            }
            Some(LockedPackage::Pypi(python))
        }
        LockedPackage::Conda(CondaPackageData::Source(source)) => {
            let location = here(&source.location)?;
            let mut source = source.clone();
            source.location = location;
            Some(LockedPackage::Conda(CondaPackageData::Source(source)))
        }
        LockedPackage::Conda(CondaPackageData::Binary(_)) => None,
    })?;
    Ok(match delivered {
        Some(delivered) => delivered.standing_for(lock),
        None => lock,
    })
}

/// Where an absolute path of a lock is in the directory that is staged.
fn place_in(source: &PackageSource, tops: &[&Path]) -> Option<PathBuf> {
    // What follows `#` or `?` in a URL is not part of the path.
    let has_more = matches!(source, PackageSource::Url(url) if url.contains(['#', '?']));
    if !source.is_local() || has_more {
        return None;
    }
    let path = source.path().filter(|path| goes_down(path))?;
    let below = tops.iter().find_map(|top| path.strip_prefix(top).ok())?;
    Some(below.to_owned())
}

/// A path below the source root, from the project on; `None` when it is not UTF-8.
fn relative(place: &Path, in_root: &PathInRoot) -> Option<String> {
    let common = iter::zip(place.components(), in_root.path().components())
        .take_while(|(one, other)| one == other)
        .count();
    let up = in_root.path().components().skip(common).map(|_| "..");
    let down = place.components().skip(common);
    let down = down.map(|part| part.as_os_str().to_str());
    let parts = up.map(Some).chain(down).collect::<Option<Vec<&str>>>()?;
    Some(match parts.first() {
        None => ".".to_owned(),
        Some(&"..") => parts.join("/"),
        Some(_) => format!("./{}", parts.join("/")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lock, and what is made of it.
    fn own_and_made(bar: &str, wheel: &str, version: u16) -> (Lock, Lock) {
        let (platforms, dir_version) = match version {
            7 => ("platforms:\n- name: linux-64\n", ""),
            _ => ("", "  version: '1.0'\n"),
        };
        let locks = LockCache::default();
        let own = locks
            .parse(format!(
                "version: {version}\n{platforms}environments:\n  default:\n    channels: []\n    packages:\n      linux-64:\n      - pypi: {bar}\n      - pypi: {wheel}\npackages:\n- pypi: {bar}\n  name: bar\n{dir_version}- pypi: {wheel}\n  name: w\n  version: '1.0'\n"
            ))
            .unwrap();
        let in_root = PathInRoot::new(Path::new("apps/foo")).unwrap();
        let tops = [Path::new("/home/me/mono"), Path::new("/data/mono")];
        let made = with_relative_paths(own.clone(), &tops, &in_root, &locks).unwrap();
        (own, made)
    }

    #[test]
    fn paths_in_what_is_staged_become_relative_and_the_own_lock_is_kept() {
        for (bar, wheel) in [
            (
                "/home/me/mono/libs/bar",
                "/data/mono/vendor/w-1.0-py3-none-any.whl",
            ),
            (
                "file:///home/me/mono/libs/bar",
                "file:///data/mono/vendor/w-1.0-py3-none-any.whl",
            ),
        ] {
            let (own, made) = own_and_made(bar, wheel, 7);
            let paths: Vec<_> = made.local_paths().into_iter().collect();
            let relative = ["../../libs/bar", "../../vendor/w-1.0-py3-none-any.whl"];
            assert_eq!(paths, relative.map(PathBuf::from));
            assert!(!made.text().contains("/mono/"), "{}", made.text());
            assert_eq!(made.own_lock().map(Lock::text), Some(own.text()));
        }
    }

    #[test]
    fn a_source_package_by_an_absolute_path_becomes_relative() {
        let locks = LockCache::default();
        let of = |place: &str| {
            format!(
                "version: 7\nplatforms:\n- name: linux-64\nenvironments:\n  default:\n    channels: []\n    packages:\n      linux-64:\n      - conda_source: lib[4b948a47] @ {place}\npackages:\n- conda_source: lib[4b948a47] @ {place}\n  variants:\n    target_platform: linux-64\n"
            )
        };
        let own = locks.parse(of("/home/me/mono/libs/lib")).unwrap();
        let in_root = PathInRoot::new(Path::new("apps/foo")).unwrap();
        let tops = [Path::new("/home/me/mono")];
        let made = with_relative_paths(own, &tops, &in_root, &locks).unwrap();
        assert!(
            made.text().contains("lib[4b948a47] @ ../../libs/lib"),
            "{}",
            made.text()
        );
        assert!(!made.text().contains("/mono/"), "{}", made.text());
    }

    #[test]
    fn other_paths_and_other_formats_stay_as_they_are() {
        let relative = "../../libs/bar";
        for (wheel, version) in [
            ("../../vendor/w-1.0-py3-none-any.whl", 7),
            ("/home/me/monorepo/w-1.0-py3-none-any.whl", 7),
            ("/home/me/mono/../w-1.0-py3-none-any.whl", 7),
            ("file://host/home/me/mono/w-1.0-py3-none-any.whl", 7),
            (
                "https://files.example/home/me/mono/w-1.0-py3-none-any.whl",
                7,
            ),
            ("/home/me/mono/w-1.0-py3-none-any.whl", 6),
        ] {
            let (own, made) = own_and_made(relative, wheel, version);
            assert_eq!(made.text(), own.text(), "{wheel}");
            assert!(made.own_lock().is_none(), "{wheel}");
        }
    }

    #[test]
    fn a_path_is_written_from_the_project_on() {
        let in_root = PathInRoot::new(Path::new("apps/foo")).unwrap();
        let of = |place: &str| relative(Path::new(place), &in_root).unwrap();
        assert_eq!(of("apps/foo"), ".");
        assert_eq!(of("apps/foo/lib/my lib"), "./lib/my lib");
        assert_eq!(of("apps/bar"), "../bar");
        assert_eq!(of(""), "../..");
        let alone = relative(Path::new("lib"), &PathInRoot::default());
        assert_eq!(alone.as_deref(), Some("./lib"));
    }
}
