//! Conda channels that are directories of the project, or of the directory that is staged with it.
//!
//! Pixi locks them by the absolute path that they had where the project was
//! locked: a `file:` URL for the channel, and for its packages that or, in
//! version 7, a plain path (seen with 0.77.0).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::layout::PathInRoot;
use crate::packages::lock::Lock;
use crate::packages::package_source::{PackageSource, local_path};
use crate::untrusted_dir::UntrustedDir;

/// The list of packages of a platform of a channel.
const REPODATA: &str = "repodata.json";

/// The largest such list that is read, in bytes.
const LARGEST_REPODATA: u64 = 1 << 30;

/// A channel in what is staged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LocalChannel {
    /// Where the lock says that it is.
    pub locked: PathBuf,
    /// Where it is, from the top of what is staged.
    pub in_root: PathBuf,
}

impl LocalChannel {
    /// The channels of a lock that are in the directory that is staged, `top`: the project, or
    /// one that it is in. They are below its own path, or, where the project was locked
    /// elsewhere, at the longest end of the locked path that is a channel in the project, at
    /// `in_root`, or in it.
    pub fn of(lock: &Lock, top: &Path, in_root: &PathInRoot) -> Vec<LocalChannel> {
        LocalChannel::found(lock, top, in_root, |_, _| true)
    }

    /// The same before anything is staged, on the machine of the project: a channel that is
    /// there at its locked path outside of `top` is no other one in it.
    pub fn before_staging(lock: &Lock, top: &Path, in_root: &PathInRoot) -> Vec<LocalChannel> {
        LocalChannel::found(lock, top, in_root, is_absent_or_same)
    }

    /// `may_be` is asked whether a directory may be the channel of a locked path outside.
    fn found(
        lock: &Lock,
        top: &Path,
        in_root: &PathInRoot,
        may_be: fn(&Path, &Path) -> bool,
    ) -> Vec<LocalChannel> {
        let real = top.canonicalize().unwrap_or_else(|_| top.to_owned());
        let found: BTreeSet<LocalChannel> = lock
            .channels()
            .filter_map(local_path)
            // One that goes up may be anywhere.
            .filter(|locked| goes_down(locked))
            .filter_map(|locked| {
                let below = [top, &real]
                    .into_iter()
                    .find_map(|dir| locked.strip_prefix(dir).ok());
                let in_root = match below {
                    Some(below) if is_channel(&top.join(below)) => below.to_owned(),
                    _ => {
                        let mut places =
                            ends_of(&locked).flat_map(|end| [in_root.path().join(&end), end]);
                        let place = places.find(|place| is_channel(&top.join(place)))?;
                        may_be(&locked, &top.join(&place)).then_some(place)?
                    }
                };
                Some(LocalChannel { locked, in_root })
            })
            .collect();
        found.into_iter().collect()
    }

    /// Whether a locked location is a package of this channel.
    pub(super) fn holds(&self, source: &PackageSource) -> bool {
        let path = source.path();
        path.is_some_and(|path| path.starts_with(&self.locked) && goes_down(&path))
    }
}

/// Whether a path has no `..`.
pub(super) fn goes_down(path: &Path) -> bool {
    !path.components().any(|part| part == Component::ParentDir)
}

/// The ends of a path, the longest first; never the whole.
fn ends_of(path: &Path) -> impl Iterator<Item = PathBuf> {
    let parts: Vec<_> = path.iter().map(ToOwned::to_owned).collect();
    (2..parts.len()).map(move |from| parts[from..].iter().collect())
}

/// Whether a directory is a conda channel: it has platforms with repository data.
fn is_channel(dir: &Path) -> bool {
    UntrustedDir::entries_of(dir)
        .iter()
        .any(|platform| dir.join(&platform.name).join(REPODATA).exists())
}

/// Whether nothing is at the path that a lock has, or a channel with the same packages as `dir`.
fn is_absent_or_same(locked: &Path, dir: &Path) -> bool {
    let is_absent = |error: io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    };
    match locked.symlink_metadata() {
        Ok(_) => {
            let there = repodata_of(locked);
            !there.is_empty() && there == repodata_of(dir)
        }
        Err(error) => is_absent(error),
    }
}

/// The digest of the repository data of each platform of a channel.
fn repodata_of(channel: &Path) -> BTreeMap<OsString, Sha256Digest> {
    let platforms = UntrustedDir::entries_of(channel).into_iter();
    let digests = platforms.filter_map(|platform| {
        let dir = UntrustedDir::open(&channel.join(&platform.name)).ok()?;
        let digest = dir.digest(REPODATA, LARGEST_REPODATA).ok()?;
        Some((platform.name, digest))
    });
    digests.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::packages::LockCache;

    fn lock(channel: &str) -> Lock {
        LockCache::default().parse(format!(
            "version: 6\nenvironments:\n  default:\n    channels:\n    - url: {channel}\n    packages: {{}}\npackages: []\n"
        ))
        .unwrap()
    }

    #[test]
    fn a_channel_is_found_where_it_was_locked_and_when_the_project_moved() {
        let root = tempfile::tempdir().unwrap();
        let project = root.path().join("my project");
        fs::create_dir_all(project.join("conda/chan/noarch")).unwrap();
        fs::write(project.join("conda/chan/noarch/repodata.json"), "{}").unwrap();
        let here = format!("file://{}/my%20project/conda/chan/", root.path().display());
        for url in [
            here.as_str(),
            "file:///home/colleague/demo/conda/chan/",
            "file:///x/chan/conda/chan",
        ] {
            let found = LocalChannel::of(&lock(url), &project, &PathInRoot::default());
            assert_eq!(found.len(), 1, "{url}");
            assert_eq!(found[0].in_root, Path::new("conda/chan"), "{url}");
        }
        let found = LocalChannel::of(
            &lock("file:///home/colleague/demo/conda/chan/"),
            &project,
            &PathInRoot::default(),
        );
        let holds = |text: &str| {
            let text = text.to_owned();
            found[0].holds(&match text.starts_with("file:") {
                true => PackageSource::Url(text),
                false => PackageSource::Path(text),
            })
        };
        assert!(holds("/home/colleague/demo/conda/chan/noarch/a-1-0.conda"));
        assert!(holds(
            "file:///home/colleague/demo/conda/chan/noarch/a-1-0.conda"
        ));
        assert!(!holds(
            "/home/colleague/demo/conda/channel/noarch/a-1-0.conda"
        ));
        for url in [
            "file:///opt/elsewhere/",
            "https://conda.example/chan/",
            "file://host/conda/chan/",
            "file:///x/../conda/chan/",
            &format!("{here}../../../my%20project/%2e%2e/my%20project/conda/chan"),
        ] {
            assert_eq!(
                LocalChannel::of(&lock(url), &project, &PathInRoot::default()),
                [],
                "{url}"
            );
        }
    }

    #[test]
    fn a_channel_of_a_project_that_moved_below_a_source_root_is_found() {
        let root = tempfile::tempdir().unwrap();
        let in_root = PathInRoot::new(Path::new("apps/foo")).unwrap();
        let channel = root.path().join("apps/foo/chan/noarch");
        fs::create_dir_all(&channel).unwrap();
        fs::write(channel.join("repodata.json"), "{}").unwrap();
        let lock = lock("file:///home/colleague/foo/chan/");
        let found = LocalChannel::before_staging(&lock, root.path(), &in_root);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].in_root, Path::new("apps/foo/chan"));
    }

    #[test]
    fn a_channel_that_is_there_outside_is_not_taken_for_another_one_of_its_name() {
        let place = tempfile::tempdir().unwrap();
        let (root, outer) = (place.path().join("root"), place.path().join("outer"));
        let write = |channel: &Path, text: &str| {
            fs::create_dir_all(channel.join("noarch")).unwrap();
            fs::write(channel.join("noarch/repodata.json"), text).unwrap();
        };
        write(&root.join("chan"), "{}");
        let lock = lock(&format!("file://{}/chan/", outer.display()));
        let found = || LocalChannel::before_staging(&lock, &root, &PathInRoot::default()).len();
        assert_eq!(found(), 1, "the project moved");
        write(&outer.join("chan"), r#"{"packages": {}}"#);
        assert_eq!(found(), 0);
        assert_eq!(
            LocalChannel::of(&lock, &root, &PathInRoot::default()).len(),
            1,
            "it was staged"
        );
        write(&outer.join("chan"), "{}");
        assert_eq!(found(), 1, "the project is a copy");
        fs::remove_file(outer.join("chan/noarch/repodata.json")).unwrap();
        assert_eq!(found(), 0);
    }
}
