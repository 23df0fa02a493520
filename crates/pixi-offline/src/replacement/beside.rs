//! A folder that is built beside the place it is meant for.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{CWD, RenameFlags};

use crate::replacement::claim::Claim;
use crate::replacement::file::make_folder;
use crate::replacement::remove::remove_folder;
use crate::surroundings;

/// What is added to the name of a folder that waits for its successor.
const OLD: &str = "-old";

/// A new folder, in the same parent as its target so that a rename puts it
/// there. Dropped before [`Beside::take_place`], it is removed again and the
/// target is as it was.
#[derive(Debug)]
pub struct Beside {
    path: PathBuf,
    target: PathBuf,
}

impl Beside {
    /// What the names of such folders hold.
    pub const MARK: &'static str = ".pixi-offline-new-";

    /// Makes an empty folder beside `target`, an absolute path in the claimed
    /// folder or that folder itself.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or `claim` is one on another folder.
    pub fn new(claim: &Claim, target: &Path) -> anyhow::Result<Beside> {
        anyhow::ensure!(claim.covers(target), "{} is not claimed", target.display());
        let (parent, mut name) = Beside::place(target)?;
        name.push(&surroundings::nonce()[..12]);
        let path = parent.join(name);
        make_folder(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Beside {
            path,
            target: target.to_owned(),
        })
    }

    /// Brings to an end what a killed run left beside `target`: deletes what it
    /// was building or deleting, and puts the old folder back where it was killed
    /// between two renames. Nobody but the holder of the claim builds there. Gives
    /// the number of folders that were there.
    ///
    /// # Errors
    ///
    /// When one cannot be deleted or renamed: it is named.
    pub fn sweep(claim: &Claim, target: &Path) -> anyhow::Result<u64> {
        anyhow::ensure!(claim.covers(target), "{} is not claimed", target.display());
        let (parent, start) = Beside::place(target)?;
        let listing = || format!("{} cannot be read", parent.display());
        let mut swept = 0;
        for entry in fs::read_dir(&parent).with_context(listing)? {
            let name = entry.with_context(listing)?.file_name();
            let Some(rest) = name.as_bytes().strip_prefix(start.as_bytes()) else {
                continue;
            };
            let path = parent.join(&name);
            if rest.ends_with(OLD.as_bytes()) && fs::symlink_metadata(target).is_err() {
                rename(&path, target)?;
            } else {
                remove_folder(&path).with_context(|| {
                    format!(
                        "{}, left by a killed run, cannot be deleted",
                        path.display()
                    )
                })?;
            }
            swept += 1;
        }
        Ok(swept)
    }

    /// The folder to build in, and how the names of what is built there start.
    fn place(target: &Path) -> anyhow::Result<(PathBuf, OsString)> {
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            anyhow::bail!("{} has no parent to build beside", target.display());
        };
        let mut start = OsString::from(".");
        start.push(name);
        start.push(Beside::MARK);
        Ok((parent.to_owned(), start))
    }

    /// Where it is built.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it in the target's place in one step, and deletes what was there.
    ///
    /// # Errors
    ///
    /// When the data cannot be brought to the disk or the rename fails: the
    /// target is then as it was. When the old folder cannot be deleted: the
    /// new one is in place, and the message names what is left.
    pub fn take_place(self) -> anyhow::Result<()> {
        match self.exchange()? {
            Some(old) => delete(&old),
            None => Ok(()),
        }
    }

    /// As [`Beside::take_place`], but what was there is kept until
    /// [`Provisional::settle`], or comes back with [`Provisional::give_back`]. The
    /// folder `kept`, if any, from the top of both, moves from what was there into the
    /// new one, where it is empty. A run that is killed meanwhile leaves the new one in
    /// place.
    ///
    /// # Errors
    ///
    /// As [`Beside::take_place`], and when the kept one cannot be moved.
    pub fn take_place_for_now(self, kept: Option<&str>) -> anyhow::Result<Provisional> {
        let old = self.exchange()?;
        let target = self.target.clone();
        // What is at our own name is for the provisional one to delete.
        let own = std::mem::ManuallyDrop::new(self);
        let mut provisional = Provisional {
            own: own.path.clone(),
            target,
            old,
            moved: None,
        };
        if let (Some(kept), Some(old)) = (kept, &provisional.old) {
            let from = old.join(kept);
            if fs::symlink_metadata(&from).is_ok_and(|metadata| metadata.is_dir()) {
                rename(&from, &provisional.target.join(kept))?;
                provisional.moved = Some(kept.to_owned());
            }
        }
        Ok(provisional)
    }

    /// Gives where the old folder is now, if there was one.
    fn exchange(&self) -> anyhow::Result<Option<PathBuf>> {
        // One sync of the file system for the whole tree: after a power cut the
        // new name must not lead to files that are still empty.
        let folder = File::open(&self.path)
            .with_context(|| format!("{} cannot be opened", self.path.display()))?;
        rustix::fs::syncfs(&folder)
            .with_context(|| format!("{} cannot be brought to the disk", self.path.display()))?;
        if fs::symlink_metadata(&self.target).is_err() {
            return rename(&self.path, &self.target).map(|()| None);
        }
        match rustix::fs::renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::EXCHANGE) {
            // Our name now holds the old folder.
            Ok(()) => Ok(Some(self.path.clone())),
            // File systems that cannot exchange: two renames, the old folder
            // kept until the second has gone well.
            Err(
                rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP,
            ) => {
                let mut aside = self.path.clone().into_os_string();
                aside.push(OLD);
                let aside = PathBuf::from(aside);
                rename(&self.target, &aside)?;
                if let Err(error) = rename(&self.path, &self.target) {
                    rename(&aside, &self.target)?;
                    return Err(error);
                }
                Ok(Some(aside))
            }
            Err(error) => Err(io::Error::from(error)).with_context(|| {
                format!(
                    "{} cannot be put in the place of {}",
                    self.path.display(),
                    self.target.display()
                )
            }),
        }
    }
}

/// A new folder in its place, and the old one that may still come back.
#[derive(Debug)]
pub struct Provisional {
    /// Where the new one was built.
    own: PathBuf,
    target: PathBuf,
    /// Where what was there is now.
    old: Option<PathBuf>,
    /// The folder that moved from the old one into the new one.
    moved: Option<String>,
}

impl Provisional {
    /// Whether the folder that was to be kept was there and moved.
    pub fn moved(&self) -> bool {
        self.moved.is_some()
    }

    /// Deletes what was there.
    ///
    /// # Errors
    ///
    /// When it cannot be deleted: the message names what is left.
    pub fn settle(self) -> anyhow::Result<()> {
        self.old.as_deref().map_or(Ok(()), delete)
    }

    /// Puts back what was there, and deletes the new one; gives whether there was
    /// anything.
    ///
    /// # Errors
    ///
    /// When it cannot be put back, or the new one not be deleted: the message names
    /// what is left where.
    pub fn give_back(self) -> anyhow::Result<bool> {
        let Some(old) = &self.old else {
            return Ok(false);
        };
        if let Some(moved) = &self.moved {
            rename(&self.target.join(moved), &old.join(moved))?;
        }
        // Two renames: the place is claimed, so that nobody looks between them. A run that
        // is killed between them leaves the old one where the next run puts it back from.
        let mut aside = self.own.clone().into_os_string();
        aside.push(OLD);
        let aside = PathBuf::from(aside);
        if *old != aside {
            rename(old, &aside)?;
        }
        rename(&self.target, &self.own)?;
        rename(&aside, &self.target)?;
        delete(&self.own)?;
        Ok(true)
    }
}

fn delete(old: &Path) -> anyhow::Result<()> {
    remove_folder(old).with_context(|| format!("what was replaced is left in {}", old.display()))
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = remove_folder(&self.path);
    }
}

fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("{} cannot be renamed to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_new_folder_takes_the_place_of_none_and_of_an_old_one() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("deep/target");
        for round in ["first", "second"] {
            let claim = Claim::alone(&target, "test").unwrap();
            let beside = Beside::new(&claim, &target).unwrap();
            fs::write(beside.path().join(round), "x").unwrap();
            beside.take_place().unwrap();
            drop(claim);
            assert_eq!(entries(&target), [round]);
            assert_eq!(entries(target.parent().unwrap()), ["target"]);
        }
    }

    #[test]
    fn a_folder_that_is_kept_moves_over() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        let claim = Claim::alone(&target, "test").unwrap();
        for (round, kept) in [("first", false), ("second", true)] {
            let beside = Beside::new(&claim, &target).unwrap();
            fs::create_dir(beside.path().join("cache")).unwrap();
            fs::write(beside.path().join(round), "x").unwrap();
            let provisional = beside.take_place_for_now(Some("cache")).unwrap();
            assert_eq!(provisional.moved(), kept);
            provisional.settle().unwrap();
            assert_eq!(entries(&target), ["cache", round]);
            fs::write(target.join("cache").join(round), "x").unwrap();
        }
        assert_eq!(entries(&target.join("cache")), ["first", "second"]);
        drop(claim);
        assert_eq!(entries(root.path()), ["target"]);
    }

    #[test]
    fn a_folder_that_was_replaced_for_now_comes_back_whole() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        let claim = Claim::alone(&target, "test").unwrap();
        let begin = || {
            let beside = Beside::new(&claim, &target).unwrap();
            fs::create_dir(beside.path().join("cache")).unwrap();
            fs::write(beside.path().join("new"), "x").unwrap();
            beside.take_place_for_now(Some("cache")).unwrap()
        };
        assert!(!begin().give_back().unwrap(), "there was nothing");
        fs::remove_dir_all(&target).unwrap();
        fs::create_dir_all(target.join("cache")).unwrap();
        fs::write(target.join("cache/old"), "x").unwrap();
        let provisional = begin();
        assert_eq!(entries(&target), ["cache", "new"]);
        assert_eq!(entries(&target.join("cache")), ["old"]);
        assert!(provisional.give_back().unwrap());
        assert_eq!(entries(&target), ["cache"]);
        assert_eq!(entries(&target.join("cache")), ["old"]);
        drop(claim);
        assert_eq!(entries(root.path()), ["target"]);
    }

    #[test]
    fn one_that_is_given_up_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "x").unwrap();
        let claim = Claim::alone(&target, "test").unwrap();
        let beside = Beside::new(&claim, &target).unwrap();
        let closed = beside.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::write(closed.join("file"), "x").unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
        drop((beside, claim));
        assert_eq!(entries(root.path()), ["target"]);
        assert_eq!(entries(&target), ["old"]);
    }

    #[test]
    fn what_killed_runs_left_is_swept_and_a_folder_that_was_aside_comes_back() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        let name = |rest: &str| root.path().join(format!(".target{}{rest}", Beside::MARK));
        for folder in ["0123", "4567-old"] {
            fs::create_dir(name(folder)).unwrap();
            fs::write(name(folder).join(folder), "x").unwrap();
        }
        fs::create_dir(root.path().join(format!(".other{}0123", Beside::MARK))).unwrap();
        let claim = Claim::alone(&target, "test").unwrap();
        assert_eq!(Beside::sweep(&claim, &target).unwrap(), 2);
        assert_eq!(entries(&target), ["4567-old"]);
        // The target is there again: the next one that waits is of no use.
        fs::create_dir(name("89ab-old")).unwrap();
        assert_eq!(Beside::sweep(&claim, &target).unwrap(), 1);
        assert_eq!(entries(&target), ["4567-old"]);
        drop(claim);
        assert_eq!(
            entries(root.path()),
            [".other.pixi-offline-new-0123", "target"]
        );
    }
}
