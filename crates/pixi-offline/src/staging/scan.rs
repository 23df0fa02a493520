//! Looking over a tree, without changing it.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::copy::ExcludedStats;
use super::copy::content::{ContentError, FileCopier};
use super::copy::copy_error::changed;
use super::dir::{DirEntries, begins_with, child, open_dir, path_of};
use super::listing::{ListedDir, Listing, NewEntry};
use super::queue::Queue;
use super::selection::{LinkAction, Selection};
use crate::parallel;

/// What is to be done about the digest of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashPolicy {
    /// It is not needed.
    Skip,
    /// It is known already.
    Reuse([u8; 32]),
    /// The file is read for it.
    Compute,
}

/// Says that of a file by its path below the top and its length in bytes; several
/// threads ask at once.
pub type Digests<'a> = &'a (dyn Fn(&Path, u64) -> HashPolicy + Sync);

/// What was seen of a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeScan {
    /// Everything that the selection keeps. Links whose fate is another text are
    /// in it with that.
    pub listing: Listing,
    /// How much that is.
    pub kept: ExcludedStats,
    /// What the selection leaves, without what is in such a directory.
    pub left: Vec<PathBuf>,
    /// Links that are to have another text, and that.
    pub links: Vec<(PathBuf, PathBuf)>,
}

/// Looks over everything in the directory `top` that `selection` keeps.
///
/// # Errors
///
/// When something cannot be read, and those of [`Selection::link`]: of several the
/// first by path.
pub fn scan_tree(
    top: &Path,
    selection: &dyn Selection,
    digests: Digests<'_>,
) -> anyhow::Result<TreeScan> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(top, flags, Mode::empty())
        .with_context(|| format!("{} cannot be read", top.display()))?;
    let job = ScanJob {
        top,
        dir,
        selection,
        digests,
        queue: Queue::new((Box::default(), 0)),
        dirs: AtomicU32::new(1),
        first_error: Mutex::default(),
    };
    let results = parallel::on_all_cores(|| {
        let mut worker = ScanWorker {
            job: &job,
            entries: DirEntries::default(),
            copier: FileCopier::default(),
            path: Vec::new(),
            listed: ListedDir::default(),
            found: Vec::new(),
            dirs: Vec::new(),
            seen: TreeScan::default(),
        };
        job.queue.work(|task| worker.dir(task));
        (worker.seen, worker.dirs)
    });
    let first_error = job.first_error.into_inner();
    if let Some((_, error)) = first_error.unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut all = TreeScan::default();
    let mut dirs = Vec::new();
    for (seen, some) in results {
        all.kept.entries += seen.kept.entries;
        all.kept.bytes += seen.kept.bytes;
        all.left.extend(seen.left);
        all.links.extend(seen.links);
        dirs.extend(some);
    }
    all.left.sort_unstable();
    all.links.sort_unstable();
    all.listing = Listing::new(dirs);
    Ok(all)
}

/// A directory to look into, and its number in the listing.
type ScanTask = (Box<[u8]>, u32);

struct ScanJob<'a> {
    top: &'a Path,
    dir: OwnedFd,
    selection: &'a dyn Selection,
    digests: Digests<'a>,
    queue: Queue<ScanTask>,
    dirs: AtomicU32,
    /// The first by path.
    first_error: Mutex<Option<(Vec<u8>, anyhow::Error)>>,
}

struct ScanWorker<'a> {
    job: &'a ScanJob<'a>,
    entries: DirEntries,
    copier: FileCopier,
    path: Vec<u8>,
    listed: ListedDir,
    found: Vec<ScanTask>,
    dirs: Vec<(u32, ListedDir)>,
    seen: TreeScan,
}

impl ScanWorker<'_> {
    fn dir(&mut self, (relative, number): ScanTask) {
        self.path.clear();
        self.path.extend_from_slice(&relative);
        let mut entries = std::mem::take(&mut self.entries);
        let opened = open_dir(&self.job.dir, &relative);
        match opened.and_then(|dir| entries.read(&dir).map(|()| dir)) {
            Ok(dir) => {
                for (name, kind) in entries.iter() {
                    child(&mut self.path, relative.len(), name);
                    if let Err(error) = self.entry(&dir, name, kind) {
                        self.record_error(error);
                    }
                }
            }
            Err(error) => {
                let error = self.unreadable(error.into());
                self.record_error(error);
            }
        }
        self.entries = entries;
        let mut listed = std::mem::take(&mut self.listed);
        listed.finish();
        self.dirs.push((number, listed));
        self.job.queue.add(&mut self.found);
    }

    fn entry(&mut self, dir: &OwnedFd, name: &CStr, kind: FileType) -> anyhow::Result<()> {
        let job = self.job;
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.unreadable(error.into()))?;
        let kind = match kind {
            FileType::Unknown => FileType::from_raw_mode(stat.st_mode),
            kind => kind,
        };
        let relative = path_of(&self.path);
        if job
            .selection
            .excludes(relative, kind == FileType::Directory)
        {
            self.seen.left.push(relative.to_owned());
            return Ok(());
        }
        let mut text = Vec::new();
        let new = match kind {
            FileType::Directory => {
                let number = job.dirs.fetch_add(1, Ordering::Relaxed);
                self.found.push((self.path.as_slice().into(), number));
                NewEntry::Dir { number }
            }
            FileType::RegularFile
                if job
                    .selection
                    .excludes_content(relative, &|text| begins_with(dir, name, text)) =>
            {
                self.seen.left.push(relative.to_owned());
                return Ok(());
            }
            FileType::RegularFile => {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                self.seen.kept.bytes += size;
                let sha256 = self.digest(dir, name, size)?;
                NewEntry::File { size, sha256 }
            }
            FileType::Symlink => {
                text = rustix::fs::readlinkat(dir, name, text)
                    .map_err(|error| self.unreadable(error.into()))?
                    .into_bytes();
                match job.selection.link(relative, path_of(&text))? {
                    LinkAction::Keep => {}
                    LinkAction::Rewrite(path) => {
                        self.seen.links.push((relative.to_owned(), path.clone()));
                        text = path.into_os_string().into_encoded_bytes();
                    }
                    LinkAction::Skip => {
                        self.seen.left.push(relative.to_owned());
                        return Ok(());
                    }
                }
                NewEntry::Link { leads_to: &text }
            }
            FileType::Fifo => NewEntry::Fifo,
            FileType::Socket => NewEntry::Socket,
            FileType::BlockDevice => NewEntry::BlockDevice,
            _ => NewEntry::CharacterDevice,
        };
        self.seen.kept.entries += 1;
        self.listed
            .add(name.to_bytes(), stat.st_mode, stat.st_mtime, new);
        Ok(())
    }

    fn digest(
        &mut self,
        dir: &OwnedFd,
        name: &CStr,
        size: u64,
    ) -> anyhow::Result<Option<[u8; 32]>> {
        match (self.job.digests)(path_of(&self.path), size) {
            HashPolicy::Skip => return Ok(None),
            HashPolicy::Reuse(digest) => return Ok(Some(digest)),
            HashPolicy::Compute => {}
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let content = rustix::fs::openat(dir, name, flags, Mode::empty())
            .map_err(io::Error::from)
            .and_then(|file| {
                // It may have become another since it was looked at.
                let stat = rustix::fs::fstat(&file)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(changed());
                }
                self.copier.hash(&file, size).map_err(|error| {
                    let (ContentError::Reading(error) | ContentError::Writing(error)) = error;
                    error
                })
            })
            .map_err(|error| self.unreadable(error))?;
        Ok(content.sha256)
    }

    fn unreadable(&self, error: io::Error) -> anyhow::Error {
        let path = self.job.top.join(path_of(&self.path));
        anyhow::Error::new(error).context(format!("{} cannot be read", path.display()))
    }

    fn record_error(&mut self, error: anyhow::Error) {
        let first_error = self.job.first_error.lock();
        let mut first_error = first_error.unwrap_or_else(PoisonError::into_inner);
        if first_error
            .as_ref()
            .is_none_or(|(path, _)| self.path < *path)
        {
            *first_error = Some((self.path.clone(), error));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::rules::Rules;
    use super::*;

    #[test]
    fn what_becomes_another_while_it_is_looked_at_is_neither_followed_nor_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::create_dir_all(path("top/dir/inner")).unwrap();
        fs::create_dir_all(path("other/inner")).unwrap();
        fs::write(path("other/inner/secret"), "theirs").unwrap();
        fs::write(path("top/file"), "ours").unwrap();
        fs::write(path("top/dir/file"), "ours").unwrap();
        // A directory becomes a link once what is in it is listed.
        let digests = |relative: &Path, _| {
            if relative == Path::new("dir/file") {
                fs::rename(path("top/dir"), path("away")).unwrap();
                symlink(path("other"), path("top/dir")).unwrap();
            }
            HashPolicy::Skip
        };
        let error = scan_tree(&path("top"), &Rules::new(), &digests).unwrap_err();
        assert!(format!("{error:#}").contains("dir/inner"), "{error:#}");
        // A file becomes a pipe once it was looked at.
        fs::remove_file(path("top/dir")).unwrap();
        let digests = |_: &Path, _| {
            fs::remove_file(path("top/file")).unwrap();
            let (kind, mode) = (FileType::Fifo, Mode::RUSR);
            rustix::fs::mknodat(rustix::fs::CWD, path("top/file"), kind, mode, 0).unwrap();
            HashPolicy::Compute
        };
        let error = scan_tree(&path("top"), &Rules::new(), &digests).unwrap_err();
        assert!(format!("{error:#}").contains("it changed"), "{error:#}");
    }
}
