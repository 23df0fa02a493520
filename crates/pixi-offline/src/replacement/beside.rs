//! A folder that is built beside the place it is meant for.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{CWD, RenameFlags};

use crate::replacement::remove::remove_folder;
use crate::surroundings;

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
    const MARK: &'static str = ".pixi-offline-new-";

    /// Whether a folder of this name is, or was, being built by one of us.
    pub fn is_temporary(name: &OsStr) -> bool {
        memchr::memmem::find(name.as_encoded_bytes(), Beside::MARK.as_bytes()).is_some()
    }

    /// Makes an empty folder beside `target`, an absolute path; makes the
    /// parents of it that are missing.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn new(target: &Path) -> anyhow::Result<Beside> {
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            anyhow::bail!("{} has no parent to build beside", target.display());
        };
        fs::create_dir_all(parent)
            .with_context(|| format!("{} cannot be made", parent.display()))?;
        let mut beside = OsString::from(".");
        beside.push(name);
        beside.push(Beside::MARK);
        beside.push(&surroundings::nonce()[..12]);
        let path = parent.join(beside);
        fs::create_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Beside {
            path,
            target: target.to_owned(),
        })
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
        // One sync of the file system for the whole tree: after a power cut the
        // new name must not lead to files that are still empty.
        let folder = File::open(&self.path)
            .with_context(|| format!("{} cannot be opened", self.path.display()))?;
        rustix::fs::syncfs(&folder)
            .with_context(|| format!("{} cannot be brought to the disk", self.path.display()))?;
        if fs::symlink_metadata(&self.target).is_err() {
            return rename(&self.path, &self.target);
        }
        match rustix::fs::renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::EXCHANGE) {
            // Our name now holds the old folder, and dropping us deletes it.
            Ok(()) => self.delete_own(),
            // File systems that cannot exchange: two renames, the old folder
            // kept until the second has gone well.
            Err(
                rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP,
            ) => {
                let mut aside = self.path.clone().into_os_string();
                aside.push("-old");
                let aside = PathBuf::from(aside);
                rename(&self.target, &aside)?;
                if let Err(error) = rename(&self.path, &self.target) {
                    rename(&aside, &self.target)?;
                    return Err(error);
                }
                remove_folder(&aside)
                    .with_context(|| format!("what was replaced is left in {}", aside.display()))
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

    fn delete_own(self) -> anyhow::Result<()> {
        remove_folder(&self.path)
            .with_context(|| format!("what was replaced is left in {}", self.path.display()))
    }
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
            let beside = Beside::new(&target).unwrap();
            fs::write(beside.path().join(round), "x").unwrap();
            beside.take_place().unwrap();
            assert_eq!(entries(&target), [round]);
            assert_eq!(entries(target.parent().unwrap()), ["target"]);
        }
    }

    #[test]
    fn one_that_is_given_up_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "x").unwrap();
        let beside = Beside::new(&target).unwrap();
        let closed = beside.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::write(closed.join("file"), "x").unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
        drop(beside);
        assert_eq!(entries(root.path()), ["target"]);
        assert_eq!(entries(&target), ["old"]);
    }
}
