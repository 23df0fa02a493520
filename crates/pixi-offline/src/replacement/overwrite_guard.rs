//! Whether a directory may be replaced.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use crate::failure::Failure;
use crate::host_env::HostEnv;
use crate::quote::quoted;
use crate::replacement::DirLock;
use crate::replacement::creatable::{require_creatable, require_replaceable};
use crate::replacement::mounts::Mounts;

/// What a directory is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetState {
    /// Not there, or empty.
    Vacant,
    /// Made by us or by the old scripts.
    Owned,
    /// These commands did not make it.
    Foreign,
}

/// What must survive, whatever is replaced.
#[derive(Debug, Clone)]
pub struct OverwriteGuard {
    protected: Vec<Protected>,
    user_id: u32,
    may_be_mount_point: bool,
    has_force: bool,
}

/// A real directory that must not go, nor any that it is in.
#[derive(Debug, Clone)]
struct Protected {
    dir: PathBuf,
    what: String,
    /// It is not the thing itself but holds a link that leads there.
    only_link: bool,
}

impl OverwriteGuard {
    /// Protects the root, the home and the current directory.
    pub fn new(host: &HostEnv) -> OverwriteGuard {
        let mut guard = OverwriteGuard {
            protected: Vec::new(),
            user_id: host.user_id,
            may_be_mount_point: false,
            has_force: true,
        };
        guard.protect(Path::new("/"), "the root directory");
        if let Some(home) = &host.home {
            guard.protect(&host.absolute(home), "your home directory");
        }
        guard.protect(&host.current_dir, "the current directory");
        guard
    }

    /// Protects a directory, an absolute path, and so each directory that it is in,
    /// or that a link on the way there is in.
    pub fn protect(&mut self, dir: &Path, what: &str) {
        let real = match dir.canonicalize() {
            Ok(real) => real,
            // There, perhaps, behind a directory that this user may not enter.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => dir.to_owned(),
            // What is not there cannot be lost.
            Err(_) => return,
        };
        let links = dirs_of_links(dir).into_iter();
        let dirs = std::iter::once((real, false)).chain(links.map(|dir| (dir, true)));
        self.protected
            .extend(dirs.map(|(dir, only_link)| Protected {
                dir,
                what: what.to_owned(),
                only_link,
            }));
    }

    /// Lets the directory itself be a mount point: its content is replaced then,
    /// with [`clear_dir`](crate::replacement::clear_dir).
    pub fn allow_mount_point(&mut self) {
        self.may_be_mount_point = true;
    }

    /// For a directory that no `--force` can be given for: no message names that option.
    pub fn without_force(&mut self) {
        self.has_force = false;
    }

    /// Checks that `directory` may be deleted to make room for a new one, and
    /// touches nothing. `ours` tells whether an existing directory was made by us;
    /// `force` lets a foreign one go too, but never a protected one.
    ///
    /// # Errors
    ///
    /// Exit code 2, naming the directory and the reason: a protected directory or one
    /// that holds it, a link, no directory at all, a mount point or one that holds
    /// a mount, a foreign directory without `force`, entries that this user cannot
    /// delete. Exit code 1 for a place where this user can make nothing, unless the content alone
    /// is replaced.
    pub fn check(
        &self,
        option: &str,
        dir: &Path,
        ours: impl FnOnce(&Path) -> bool,
        force: bool,
    ) -> anyhow::Result<TargetState> {
        let refuse = |why: String| Failure::usage(format!("{option} {} {why}", dir.display()));
        let Some((real, metadata)) = existing(dir).map_err(refuse)? else {
            if !self.may_be_mount_point {
                require_creatable(option, dir)?;
            }
            return Ok(TargetState::Vacant);
        };
        let mounts = Mounts::read()?;
        if let Some(why) = self
            .protected_conflict(&real, &metadata, &mounts)
            .or_else(|| self.misplaced(dir, &real, &mounts))
        {
            return Err(refuse(why));
        }
        let empty = match fs::read_dir(&real) {
            // The lock of this run is in it where none can be beside it.
            Ok(mut entries) => {
                entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == DirLock::ENDING))
            }
            Err(error) => return Err(refuse(format!("cannot be read: {error}"))),
        };
        let target_state = if empty {
            TargetState::Vacant
        } else if ours(&real) {
            TargetState::Owned
        } else {
            TargetState::Foreign
        };
        if target_state == TargetState::Foreign && !force {
            let force = match self.has_force {
                true => ", or give --force to overwrite it",
                false => "",
            };
            return Err(refuse(format!(
                "holds something that was not made by these commands; choose another place{force}"
            )));
        }
        // The new one is made beside it. Where it may be a mount point, its content is replaced.
        if !self.may_be_mount_point {
            require_replaceable(option, &real)?;
        }
        if self.user_id != 0
            && let Some(entry) = self.not_deletable(&real)
        {
            return Err(refuse(format!(
                "holds {}, which belongs to another user; remove it with: sudo rm -rf -- {}",
                entry.display(),
                quoted(real.as_os_str()),
            )));
        }
        Ok(target_state)
    }

    /// Why a directory cannot be replaced where it is.
    fn misplaced(&self, dir: &Path, real: &Path, mounts: &Mounts) -> Option<String> {
        if dir.file_name().is_none() {
            return Some("ends in `..`; name the directory itself".into());
        }
        // Once it is replaced, such a path leads nowhere.
        let place = mounts.mount_of(real);
        let lies_in = |path: PathBuf| {
            let other = mounts.mount_of(&path);
            path.starts_with(real) || place.as_ref().zip(other).is_some_and(|(a, b)| a.holds(&b))
        };
        let through = |parent: &Path| parent.canonicalize().is_ok_and(lies_in);
        if dir.ancestors().skip(1).any(through) {
            return Some(
                "is named by a path that leads through it; name it by a shorter path".into(),
            );
        }
        let own = self.may_be_mount_point.then_some(real);
        let mount = mounts.point_at_or_below(real, own)?;
        Some(format!(
            "holds the mount point {}; unmount it or choose another place",
            mount.display()
        ))
    }

    /// What would be lost with a directory, as the reason to keep it.
    fn protected_conflict(
        &self,
        real: &Path,
        metadata: &fs::Metadata,
        mounts: &Mounts,
    ) -> Option<String> {
        let identity = (metadata.dev(), metadata.ino());
        let place = mounts.mount_of(real);
        let holds = |protected: &&Protected| {
            // By name and by inode, and by what is in it where a protected directory
            // is reached through a mount: its name then hides where it is.
            protected.dir.ancestors().any(|ancestor| {
                ancestor == real
                    || fs::metadata(ancestor).is_ok_and(|m| (m.dev(), m.ino()) == identity)
            }) || place.as_ref().is_some_and(|place| {
                let lies = mounts.mount_of(&protected.dir);
                lies.is_some_and(|lies| place.holds(&lies))
            })
        };
        let Protected {
            dir,
            what,
            only_link,
        } = self.protected.iter().find(holds)?;
        Some(if *only_link {
            format!(
                "holds a link that leads to {what} (in {}) and will not be overwritten; choose another place",
                dir.display()
            )
        } else if dir == real {
            format!("is {what} and will not be overwritten; choose another place")
        } else {
            format!(
                "holds {what} ({}) and will not be overwritten; choose another place",
                dir.display()
            )
        })
    }

    /// An entry of `directory` in a directory of another user, whose entries only
    /// that user can delete.
    fn not_deletable(&self, dir: &Path) -> Option<PathBuf> {
        let mut walk = ignore::WalkBuilder::new(dir);
        walk.standard_filters(false).follow_links(false);
        walk.build()
            .flatten()
            .map(ignore::DirEntry::into_path)
            .find(|path| {
                fs::symlink_metadata(path).is_ok_and(|m| m.is_dir() && m.uid() != self.user_id)
            })
    }
}

/// The real directories that hold the links by which a path leads where it does.
fn dirs_of_links(path: &Path) -> Vec<PathBuf> {
    /// Linux follows no more (path_resolution(7)).
    const MOST: usize = 40;
    let mut dirs = Vec::new();
    let mut reached = PathBuf::from("/");
    let mut ahead: Vec<OsString> = reversed(path);
    while let Some(part) = ahead.pop() {
        let next = match part.as_bytes() {
            b"." => continue,
            b".." => reached.parent().unwrap_or(Path::new("/")).to_owned(),
            _ => reached.join(&part),
        };
        match fs::read_link(&next) {
            Ok(target) if dirs.len() < MOST => {
                if target.is_absolute() {
                    dirs.push(std::mem::replace(&mut reached, PathBuf::from("/")));
                } else {
                    dirs.push(reached.clone());
                }
                ahead.extend(reversed(&target));
            }
            _ => reached = next,
        }
    }
    dirs
}

/// The components of a path, the last first.
fn reversed(path: &Path) -> Vec<OsString> {
    path.iter().rev().map(ToOwned::to_owned).collect()
}

/// Why a directory that is not there cannot be made, with its parents.
fn cannot_be_made(dir: &Path) -> Option<String> {
    let there = dir
        .ancestors()
        .skip(1)
        .find(|ancestor| fs::symlink_metadata(ancestor).is_ok())?;
    let missing = dir.strip_prefix(there).ok()?;
    // Once the parents are made, such a path leads to something that was not
    // looked at: `missing/../project`.
    if missing
        .components()
        .any(|part| part == Component::ParentDir)
    {
        return Some("has `..` after a directory that does not exist; name it without `..`".into());
    }
    (!there.is_dir()).then(|| {
        format!(
            "is below {}, which is not a directory; choose another place",
            there.display()
        )
    })
}

/// The directory without links, if it is there; else why it is none or cannot be made.
fn existing(dir: &Path) -> Result<Option<(PathBuf, fs::Metadata)>, String> {
    let metadata = match fs::symlink_metadata(dir) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return cannot_be_made(dir).map_or(Ok(None), Err);
        }
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    if metadata.is_symlink() {
        return Err(
            "is a symbolic link and will not be followed; name the directory itself".into(),
        );
    }
    if !metadata.is_dir() {
        return Err("is there and is not a directory; choose another place".into());
    }
    let real = dir.canonicalize();
    let real = real.map_err(|error| format!("cannot be resolved: {error}"))?;
    Ok(Some((real, metadata)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::failure::{self, exit_code};

    fn guard(protected: &[&Path]) -> OverwriteGuard {
        let mut guard = OverwriteGuard {
            protected: Vec::new(),
            user_id: 0,
            may_be_mount_point: false,
            has_force: true,
        };
        for dir in protected {
            guard.protect(dir, "precious");
        }
        guard
    }

    #[test]
    fn a_protected_dir_and_what_holds_it_are_refused_even_with_force() {
        let root = tempfile::tempdir().unwrap();
        let precious = root.path().join("a/b");
        fs::create_dir_all(&precious).unwrap();
        let guard = guard(&[&precious]);
        for dir in [
            precious.clone(),
            root.path().join("a"),
            precious.join("../../a/b"),
        ] {
            let error = guard.check("--workdir", &dir, |_| true, true).unwrap_err();
            assert_eq!(exit_code(&error), failure::USAGE);
            assert!(error.to_string().contains("precious"), "{error}");
        }
        // A directory inside a protected one may be replaced.
        fs::create_dir(precious.join("c")).unwrap();
        assert_eq!(
            guard
                .check("--workdir", &precious.join("c"), |_| false, false)
                .unwrap(),
            TargetState::Vacant
        );
    }

    #[test]
    fn a_foreign_dir_needs_force_and_ours_does_not() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.txt"), "x").unwrap();
        let guard = guard(&[]);
        let error = guard
            .check("--workdir", root.path(), |_| false, false)
            .unwrap_err();
        assert!(error.to_string().contains("--force"), "{error}");
        assert_eq!(
            guard
                .check("--workdir", root.path(), |_| false, true)
                .unwrap(),
            TargetState::Foreign
        );
        assert_eq!(
            guard
                .check("--workdir", root.path(), |_| true, false)
                .unwrap(),
            TargetState::Owned
        );
    }

    #[test]
    fn links_files_and_mount_points_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("link");
        symlink(root.path(), &link).unwrap();
        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        let guard = guard(&[]);
        for (dir, part) in [
            (link.as_path(), "symbolic link"),
            (&file, "not a directory"),
            (Path::new("/proc"), "mount point"),
        ] {
            let error = guard.check("--workdir", dir, |_| true, true).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_path_that_goes_up_from_what_is_not_there_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("project/sub")).unwrap();
        fs::create_dir_all(root.path().join("free/sub")).unwrap();
        fs::write(root.path().join("file"), "x").unwrap();
        symlink("nowhere", root.path().join("dangling")).unwrap();
        let guard = guard(&[&root.path().join("project")]);
        for (path, part) in [
            ("missing/../project", "without `..`"),
            ("missing/..", "without `..`"),
            ("project/sub/..", "precious"),
            ("free/sub/../../free", "leads through it"),
            ("file/new", "cannot be read"),
            ("dangling/new", "which is not a directory"),
            ("project/sub/../../missing/../new", "without `..`"),
        ] {
            let path = root.path().join(path);
            let error = guard.check("--workdir", &path, |_| true, true).unwrap_err();
            assert_eq!(exit_code(&error), failure::USAGE);
            assert!(error.to_string().contains(part), "{error}");
        }
        let error = guard
            .check(
                "--workdir",
                &root.path().join("free/sub/.."),
                |_| true,
                true,
            )
            .unwrap_err();
        assert!(error.to_string().contains("ends in `..`"), "{error}");
        let new = root.path().join("project/../new");
        let target_state = guard.check("--workdir", &new, |_| false, false).unwrap();
        assert_eq!(target_state, TargetState::Vacant);
    }

    #[test]
    fn a_dir_with_a_link_on_the_way_to_a_protected_one_is_refused() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["real", "chain", "links", "free"] {
            fs::create_dir(root.path().join(dir)).unwrap();
        }
        symlink("../chain/second", root.path().join("links/first")).unwrap();
        symlink(root.path().join("real"), root.path().join("chain/second")).unwrap();
        let guard = guard(&[&root.path().join("links/first")]);
        for dir in ["links", "chain", "real"] {
            let error = guard
                .check("--workdir", &root.path().join(dir), |_| true, true)
                .unwrap_err();
            assert!(error.to_string().contains("precious"), "{error}");
        }
        let free = root.path().join("free");
        guard.check("--workdir", &free, |_| true, true).unwrap();
    }
}
