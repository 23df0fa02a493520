//! A directory that is built beside the place it is meant for.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{CWD, RenameFlags};

use crate::host_env;
use crate::replacement::dir_lock::DirLock;
use crate::replacement::file::{make_dir, write_file};
use crate::replacement::remove::remove_dir;

/// What is added to the name of a directory that waits for its successor.
const OLD: &str = "-old";

/// What is added to the name of a directory's mark while its entries are replaced.
const INTERIM: &str = "-interim";

/// A new directory, in the same parent as its target so that a rename puts it
/// there. Dropped before [`StagedDir::commit`], it is removed again and the
/// target is as it was.
#[derive(Debug)]
pub struct StagedDir {
    path: PathBuf,
    target: PathBuf,
}

impl StagedDir {
    /// What the names of such directories hold.
    pub const MARK: &'static str = ".pixi-offline-new-";

    /// Makes an empty directory beside `target`, an absolute path in the locked
    /// directory or that directory itself.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or `dir_lock` is of another directory.
    pub fn new(dir_lock: &DirLock, target: &Path) -> anyhow::Result<StagedDir> {
        anyhow::ensure!(
            dir_lock.covers(target),
            "{} is not locked",
            target.display()
        );
        let (parent, mut name) = StagedDir::parent_and_name(target)?;
        name.push(&host_env::nonce()[..12]);
        let path = parent.join(name);
        make_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(StagedDir {
            path,
            target: target.to_owned(),
        })
    }

    /// Brings to an end what a killed run left beside `target`: deletes what it
    /// was building or deleting, and puts the old directory back where it was killed
    /// between two renames. Nobody but the holder of the lock builds there. Gives
    /// the number of directories that were there.
    ///
    /// # Errors
    ///
    /// When one cannot be deleted or renamed: it is named.
    pub fn recover_stale(dir_lock: &DirLock, target: &Path) -> anyhow::Result<u64> {
        anyhow::ensure!(
            dir_lock.covers(target),
            "{} is not locked",
            target.display()
        );
        let (parent, start) = StagedDir::parent_and_name(target)?;
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
                remove_dir(&path).with_context(|| {
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

    /// The directory to build in, and how the names of what is built there start.
    fn parent_and_name(target: &Path) -> anyhow::Result<(PathBuf, OsString)> {
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            anyhow::bail!("{} has no parent to build beside", target.display());
        };
        let mut start = OsString::from(".");
        start.push(name);
        start.push(StagedDir::MARK);
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
    /// When the data cannot be written to the disk or the rename fails: the
    /// target is then as it was. When the old directory cannot be deleted: the
    /// new one is in place, and the message names what is left.
    pub fn commit(self) -> anyhow::Result<()> {
        match self.exchange()? {
            Some(old) => delete(&old),
            None => Ok(()),
        }
    }

    /// As [`StagedDir::commit`], but what was there is kept until
    /// [`SwappedDir::finish`], or comes back with [`SwappedDir::rollback`]. The
    /// directory `kept`, if any, from the top of both, moves from what was there into the
    /// new one, where it is empty. A run that is killed meanwhile leaves the new one in
    /// place.
    ///
    /// # Errors
    ///
    /// As [`StagedDir::commit`], and when the kept one cannot be moved.
    pub fn swap(self, kept: Option<&str>) -> anyhow::Result<SwappedDir> {
        let old = self.exchange()?;
        let target = self.target.clone();
        // What is at our own name is for the provisional one to delete.
        let own = std::mem::ManuallyDrop::new(self);
        let mut swapped = SwappedDir {
            own: own.path.clone(),
            target,
            replaced: Replaced::Whole(old),
            moved: None,
        };
        if let (Some(kept), Replaced::Whole(Some(old))) = (kept, &swapped.replaced) {
            let from = old.join(kept);
            if fs::symlink_metadata(&from).is_ok_and(|metadata| metadata.is_dir()) {
                rename(&from, &swapped.target.join(kept))?;
                swapped.moved = Some(kept.to_owned());
            }
        }
        Ok(swapped)
    }

    /// Gives where the old directory is now, if there was one.
    fn exchange(&self) -> anyhow::Result<Option<PathBuf>> {
        sync(&self.path)?;
        if fs::symlink_metadata(&self.target).is_err() {
            return rename(&self.path, &self.target).map(|()| None);
        }
        exchange(&self.path, &self.target, &aside(&self.path)).map(Some)
    }

    /// Replaces the entries of the target one by one, except the one that is named in
    /// `stay`: it is never moved. `mark` is the file that says what the directory is; it
    /// has the content `interim` until everything else has been replaced, so that a run
    /// that is killed meanwhile leaves a directory that is marked as incomplete.
    ///
    /// # Errors
    ///
    /// When the target is not a directory, the data cannot be written to the disk, or an entry
    /// cannot be replaced: what was replaced has come back.
    pub fn replace_entries(
        self,
        stay: &[&str],
        mark: &str,
        interim: &[u8],
    ) -> anyhow::Result<SwappedDir> {
        let new = names(&self.path)?;
        let mut interim_mark = self.path.join(mark).into_os_string();
        interim_mark.push(INTERIM);
        let interim_mark = PathBuf::from(interim_mark);
        write_file(&interim_mark, interim)?;
        sync(&self.path)?;
        let there = self.target.join(mark);
        let old_mark = match fs::symlink_metadata(&there) {
            Ok(_) => Some(exchange(&interim_mark, &there, &aside(&interim_mark))?),
            Err(_) => {
                rename(&interim_mark, &there)?;
                None
            }
        };
        let own = std::mem::ManuallyDrop::new(self);
        let mut replaced = SwappedDir {
            own: own.path.clone(),
            target: own.target.clone(),
            replaced: Replaced::Entries {
                exchanged: Vec::new(),
                taken: Vec::new(),
                put: Vec::new(),
                mark: mark.to_owned(),
                old_mark,
            },
            moved: None,
        };
        match replaced.replace_entries(&new, stay) {
            Ok(()) => Ok(replaced),
            Err(error) => Err(match replaced.rollback() {
                Ok(_) => error,
                Err(rollback) => error.context(format!("{rollback:#}")),
            }),
        }
    }
}

/// Puts a directory that is complete, `from`, in the place of `target` in one step; gives
/// where what was there is now, if anything was. The target is in the locked directory or
/// is that directory itself.
///
/// # Errors
///
/// When that cannot be done: both are as they were.
pub fn put_in_place(
    dir_lock: &DirLock,
    from: &Path,
    target: &Path,
) -> anyhow::Result<Option<PathBuf>> {
    anyhow::ensure!(
        dir_lock.covers(target),
        "{} is not locked",
        target.display()
    );
    sync(from)?;
    if fs::symlink_metadata(target).is_err() {
        return rename(from, target).map(|()| None);
    }
    // Where `StagedDir::sweep` looks for it.
    let (parent, mut name) = StagedDir::parent_and_name(target)?;
    name.push(&host_env::nonce()[..12]);
    name.push(OLD);
    exchange(from, target, &parent.join(name)).map(Some)
}

/// One sync of the file system for a whole tree: after a power cut a new name must not
/// lead to files that are still empty.
fn sync(dir: &Path) -> anyhow::Result<()> {
    let opened = File::open(dir).with_context(|| format!("{} cannot be opened", dir.display()))?;
    rustix::fs::syncfs(&opened)
        .with_context(|| format!("{} cannot be written to the disk", dir.display()))
}

/// The name of what waits for its successor at `path`.
fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(OLD);
    PathBuf::from(aside)
}

/// Puts `new` in the place of `target`, both being there, and gives where the old one is
/// then: at the name of the new one or, where the file system cannot exchange, `aside`.
fn exchange(new: &Path, target: &Path, aside: &Path) -> anyhow::Result<PathBuf> {
    match rustix::fs::renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(new.to_owned()),
        // File systems that cannot exchange: two renames, the old one kept until the
        // second has gone well.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            rename(target, aside)?;
            if let Err(error) = rename(new, target) {
                rename(aside, target)?;
                return Err(error);
            }
            Ok(aside.to_owned())
        }
        Err(error) => Err(io::Error::from(error)).with_context(|| {
            format!(
                "{} cannot be put in the place of {}",
                new.display(),
                target.display()
            )
        }),
    }
}

/// A new directory in its place, and the old one that may still come back.
#[derive(Debug)]
pub struct SwappedDir {
    /// Where the new one was built.
    own: PathBuf,
    target: PathBuf,
    replaced: Replaced,
    /// The directory that moved from the old one into the new one.
    moved: Option<String>,
}

/// How the old directory was replaced.
#[derive(Debug)]
enum Replaced {
    /// As a whole; with where the old one is, if there was one.
    Whole(Option<PathBuf>),
    /// Entry by entry, by their names; the old ones are in the directory that the new one
    /// was built in.
    Entries {
        /// In both directories, each with where the old one is.
        exchanged: Vec<(OsString, PathBuf)>,
        /// In the old one only.
        taken: Vec<OsString>,
        /// In the new one only.
        put: Vec<OsString>,
        mark: String,
        /// Where the old mark is, if there was one.
        old_mark: Option<PathBuf>,
    },
}

impl SwappedDir {
    /// Whether the directory that was to be kept was there and moved.
    pub fn moved(&self) -> bool {
        self.moved.is_some()
    }

    /// Deletes what was there.
    ///
    /// # Errors
    ///
    /// When it cannot be deleted: the message names what is left.
    pub fn finish(self) -> anyhow::Result<()> {
        match &self.replaced {
            Replaced::Whole(old) => old.as_deref().map_or(Ok(()), delete),
            Replaced::Entries { .. } => delete(&self.own),
        }
    }

    /// Puts back what was there, and deletes the new one; gives whether there was
    /// anything.
    ///
    /// # Errors
    ///
    /// When it cannot be put back, or the new one not be deleted: the message names
    /// what is left where.
    pub fn rollback(self) -> anyhow::Result<bool> {
        let old = match &self.replaced {
            Replaced::Whole(None) => return Ok(false),
            Replaced::Whole(Some(old)) => old,
            Replaced::Entries { .. } => return self.restore_entries().map(|()| true),
        };
        if let Some(moved) = &self.moved {
            rename(&self.target.join(moved), &old.join(moved))?;
        }
        // Two renames: the place is locked, so that nobody looks between them. A run that
        // is killed between them leaves the old one where the next run puts it back from.
        let aside = aside(&self.own);
        if *old != aside {
            rename(old, &aside)?;
        }
        rename(&self.target, &self.own)?;
        rename(&aside, &self.target)?;
        delete(&self.own)?;
        Ok(true)
    }

    /// Replaces the entries; what was done is noted at once, for [`Self::rollback`].
    fn replace_entries(&mut self, new: &[OsString], stay: &[&str]) -> anyhow::Result<()> {
        let Replaced::Entries {
            exchanged,
            taken,
            put,
            mark,
            ..
        } = &mut self.replaced
        else {
            return Ok(());
        };
        let stays = |name: &OsString| *name == **mark || stay.iter().any(|one| name == one);
        for name in names(&self.target)?.into_iter().filter(|name| !stays(name)) {
            let (own, there) = (self.own.join(&name), self.target.join(&name));
            if new.contains(&name) {
                let old = exchange(&own, &there, &aside(&own))?;
                exchanged.push((name, old));
            } else {
                rename(&there, &own)?;
                taken.push(name);
            }
        }
        for name in new {
            let (own, there) = (self.own.join(name), self.target.join(name));
            if fs::symlink_metadata(&there).is_err() {
                rename(&own, &there)?;
                put.push(name.clone());
            }
        }
        rename(&self.own.join(&*mark), &self.target.join(&*mark))
    }

    fn restore_entries(self) -> anyhow::Result<()> {
        let Replaced::Entries {
            exchanged,
            taken,
            put,
            mark,
            old_mark,
        } = &self.replaced
        else {
            return Ok(());
        };
        for name in put {
            rename(&self.target.join(name), &self.own.join(name))?;
        }
        for name in taken {
            rename(&self.own.join(name), &self.target.join(name))?;
        }
        for (name, old) in exchanged {
            exchange(old, &self.target.join(name), &aside(&self.own.join(name)))?;
        }
        let file = self.target.join(mark);
        match old_mark {
            Some(old) => rename(old, &file)?,
            None => fs::remove_file(&file)
                .with_context(|| format!("{} cannot be removed", file.display()))?,
        }
        delete(&self.own)
    }
}

/// What is at the top of a directory.
fn names(dir: &Path) -> anyhow::Result<Vec<OsString>> {
    let reading = || format!("{} cannot be read", dir.display());
    fs::read_dir(dir)
        .with_context(reading)?
        .map(|entry| Ok(entry.with_context(reading)?.file_name()))
        .collect()
}

fn delete(old: &Path) -> anyhow::Result<()> {
    remove_dir(old).with_context(|| format!("what was replaced is left in {}", old.display()))
}

impl Drop for StagedDir {
    fn drop(&mut self) {
        let _ = remove_dir(&self.path);
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

    fn entries(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_new_dir_takes_the_place_of_none_and_of_an_old_one() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("deep/target");
        for round in ["first", "second"] {
            let dir_lock = DirLock::exclusive(&target, "test").unwrap();
            let beside = StagedDir::new(&dir_lock, &target).unwrap();
            fs::write(beside.path().join(round), "x").unwrap();
            beside.commit().unwrap();
            drop(dir_lock);
            assert_eq!(entries(&target), [round]);
            assert_eq!(entries(target.parent().unwrap()), ["target"]);
        }
    }

    #[test]
    fn a_dir_that_is_kept_moves_over() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        let dir_lock = DirLock::exclusive(&target, "test").unwrap();
        for (round, kept) in [("first", false), ("second", true)] {
            let beside = StagedDir::new(&dir_lock, &target).unwrap();
            fs::create_dir(beside.path().join("cache")).unwrap();
            fs::write(beside.path().join(round), "x").unwrap();
            let swapped = beside.swap(Some("cache")).unwrap();
            assert_eq!(swapped.moved(), kept);
            swapped.finish().unwrap();
            assert_eq!(entries(&target), ["cache", round]);
            fs::write(target.join("cache").join(round), "x").unwrap();
        }
        assert_eq!(entries(&target.join("cache")), ["first", "second"]);
        drop(dir_lock);
        assert_eq!(entries(root.path()), ["target"]);
    }

    #[test]
    fn a_dir_that_was_replaced_for_now_comes_back_whole() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        let dir_lock = DirLock::exclusive(&target, "test").unwrap();
        let begin = || {
            let beside = StagedDir::new(&dir_lock, &target).unwrap();
            fs::create_dir(beside.path().join("cache")).unwrap();
            fs::write(beside.path().join("new"), "x").unwrap();
            beside.swap(Some("cache")).unwrap()
        };
        assert!(!begin().rollback().unwrap(), "there was nothing");
        fs::remove_dir_all(&target).unwrap();
        fs::create_dir_all(target.join("cache")).unwrap();
        fs::write(target.join("cache/old"), "x").unwrap();
        let swapped = begin();
        assert_eq!(entries(&target), ["cache", "new"]);
        assert_eq!(entries(&target.join("cache")), ["old"]);
        assert!(swapped.rollback().unwrap());
        assert_eq!(entries(&target), ["cache"]);
        assert_eq!(entries(&target.join("cache")), ["old"]);
        drop(dir_lock);
        assert_eq!(entries(root.path()), ["target"]);
    }

    /// A target whose entries are replaced by new ones, but for `stays`.
    fn with_an_entry_that_stays(root: &Path) -> (DirLock, PathBuf, StagedDir) {
        let target = root.join("target");
        for dir in ["both", "stays", "old only"] {
            fs::create_dir_all(target.join(dir)).unwrap();
            fs::write(target.join(dir).join("old"), "x").unwrap();
        }
        fs::write(target.join("mark"), "old").unwrap();
        let dir_lock = DirLock::exclusive(&target, "test").unwrap();
        let beside = StagedDir::new(&dir_lock, &target).unwrap();
        for dir in ["both", "stays", "new only"] {
            fs::create_dir_all(beside.path().join(dir)).unwrap();
            fs::write(beside.path().join(dir).join("new"), "x").unwrap();
        }
        fs::write(beside.path().join("mark"), "new").unwrap();
        (dir_lock, target, beside)
    }

    #[test]
    fn what_stays_is_never_moved_while_everything_else_is_replaced_or_comes_back() {
        let root = tempfile::tempdir().unwrap();
        let (dir_lock, target, beside) = with_an_entry_that_stays(root.path());
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
        let stays = inode(&target.join("stays"));
        let mark = || fs::read_to_string(target.join("mark")).unwrap();

        let replaced = beside
            .replace_entries(&["stays", "absent"], "mark", b"interim")
            .unwrap();
        assert_eq!(entries(&target), ["both", "mark", "new only", "stays"]);
        assert_eq!(entries(&target.join("both")), ["new"]);
        assert_eq!(entries(&target.join("stays")), ["old"]);
        assert_eq!(
            (inode(&target.join("stays")), mark()),
            (stays, "new".into())
        );
        assert!(replaced.rollback().unwrap());
        assert_eq!(entries(&target), ["both", "mark", "old only", "stays"]);
        assert_eq!(entries(&target.join("both")), ["old"]);
        assert_eq!(
            (inode(&target.join("stays")), mark()),
            (stays, "old".into())
        );
        drop(dir_lock);
        assert_eq!(entries(root.path()), ["target"]);

        let (dir_lock, target, beside) = with_an_entry_that_stays(root.path());
        let replaced = beside
            .replace_entries(&["stays"], "mark", b"interim")
            .unwrap();
        replaced.finish().unwrap();
        assert_eq!(entries(&target), ["both", "mark", "new only", "stays"]);
        drop(dir_lock);
        assert_eq!(entries(root.path()), ["target"]);
    }

    #[test]
    fn entries_that_cannot_all_be_replaced_come_back() {
        let root = tempfile::tempdir().unwrap();
        let (dir_lock, target, beside) = with_an_entry_that_stays(root.path());
        fs::remove_file(beside.path().join("mark")).unwrap();
        let error = beside
            .replace_entries(&["stays"], "mark", b"interim")
            .unwrap_err();
        assert!(
            format!("{error:#}").contains("cannot be renamed"),
            "{error:#}"
        );
        assert_eq!(entries(&target), ["both", "mark", "old only", "stays"]);
        assert_eq!(fs::read_to_string(target.join("mark")).unwrap(), "old");
        assert_eq!(entries(&target.join("both")), ["old"]);
        drop(dir_lock);
        assert_eq!(entries(root.path()), ["target"]);
    }

    #[test]
    fn a_complete_dir_is_put_in_place_of_none_and_of_an_old_one() {
        let root = tempfile::tempdir().unwrap();
        let (new, target) = (root.path().join("new"), root.path().join("target"));
        let dir_lock = DirLock::exclusive(&target, "test").unwrap();
        for round in ["first", "second"] {
            fs::create_dir(&new).unwrap();
            fs::write(new.join(round), "x").unwrap();
            let old = put_in_place(&dir_lock, &new, &target).unwrap();
            assert_eq!(entries(&target), [round]);
            assert_eq!(old.is_some(), round == "second");
            old.into_iter().for_each(|old| remove_dir(&old).unwrap());
        }
        drop(dir_lock);
        assert_eq!(entries(root.path()), ["target"]);
        assert!(put_in_place(&DirLock::exclusive(&new, "test").unwrap(), &new, &target).is_err());
    }

    #[test]
    fn one_that_is_given_up_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "x").unwrap();
        let dir_lock = DirLock::exclusive(&target, "test").unwrap();
        let beside = StagedDir::new(&dir_lock, &target).unwrap();
        let closed = beside.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::write(closed.join("file"), "x").unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
        drop((beside, dir_lock));
        assert_eq!(entries(root.path()), ["target"]);
        assert_eq!(entries(&target), ["old"]);
    }

    #[test]
    fn what_killed_runs_left_is_swept_and_a_dir_that_was_aside_comes_back() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        let name = |rest: &str| {
            root.path()
                .join(format!(".target{}{rest}", StagedDir::MARK))
        };
        for dir in ["0123", "4567-old"] {
            fs::create_dir(name(dir)).unwrap();
            fs::write(name(dir).join(dir), "x").unwrap();
        }
        fs::create_dir(root.path().join(format!(".other{}0123", StagedDir::MARK))).unwrap();
        let dir_lock = DirLock::exclusive(&target, "test").unwrap();
        assert_eq!(StagedDir::recover_stale(&dir_lock, &target).unwrap(), 2);
        assert_eq!(entries(&target), ["4567-old"]);
        // The target is there again: the next one that waits is of no use.
        fs::create_dir(name("89ab-old")).unwrap();
        assert_eq!(StagedDir::recover_stale(&dir_lock, &target).unwrap(), 1);
        assert_eq!(entries(&target), ["4567-old"]);
        drop(dir_lock);
        assert_eq!(
            entries(root.path()),
            [".other.pixi-offline-new-0123", "target"]
        );
    }
}
