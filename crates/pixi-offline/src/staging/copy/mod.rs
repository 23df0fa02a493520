//! Copying one tree.
//!
//! The model is `rsync -a SRC/ DST/` into an empty directory. What the manual page
//! of rsync(1) leaves open was seen from runs of rsync 3.5.0.
//!
//! It is done in one pass, by as many threads as there are processors, a directory
//! at a time ([`worker`]). Nothing is brought to the disk here: whoever puts the
//! copy in its place does that once, for the file system.

mod attributes;
pub(super) mod content;
pub(super) mod copy_error;
mod worker;

#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{FileType, Mode, OFlags};

use super::listing::Listing;
use super::selection::Selection;
use crate::untrusted_dir::open_below;
use worker::Job;

/// What a copy really did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyStats {
    /// How many entries were made below the target: directories, files, links, and the rest.
    pub entries: u64,
    /// How many of them are regular files.
    pub files: u64,
    /// The length of their content together, in bytes.
    pub bytes: u64,
    /// What the rules keep and was yet not made, and why: devices for a plain
    /// user, directories that the caller leaves out. Paths are relative to the source.
    pub skipped: Vec<(PathBuf, String)>,
}

/// How the content of files gets into the copy. The words mean what they mean for
/// uv's `--link-mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LinkMode {
    /// clone where the file system can, else copy
    #[default]
    Auto,
    /// share the blocks until one side is changed (copy on write); copy where the
    /// file system cannot, and say so
    // FICLONE of ioctl_ficlonerange(2).
    Clone,
    /// copy the content
    Copy,
    /// make both names of one file: what is written into one is in the other; copy
    /// where that cannot be, and say so
    // link(2); between file systems it cannot be, for example.
    Hardlink,
}

/// How a tree is copied.
#[derive(Clone, Copy, Default)]
pub struct CopyOptions<'a> {
    /// How content gets into the copy.
    pub link_mode: LinkMode,
    /// Whether a [`Listing`] is made.
    pub list: bool,
    /// Whether it has the digests of all files, which are then computed while
    /// they are copied.
    pub hash: bool,
    /// Whether what is left out is counted, which looks into excluded directories.
    pub count_left: bool,
    /// Told the length of each regular file when it is done, in bytes, by several
    /// threads.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// A directory above the source that no link may lead out of: one in the place of the
    /// source, or on the way to it, is not followed.
    pub below: Option<&'a Path>,
}

/// What came of a copy that was made by [`copy_tree`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyOutcome {
    /// What was made.
    pub copied: CopyStats,
    /// Every entry that was made, when that was asked for.
    pub listing: Listing,
    /// What the selection left behind, when that was to be counted.
    pub left: ExcludedStats,
    /// Files that were copied although the mode was [`LinkMode::Clone`] or
    /// [`LinkMode::Hardlink`], but for those that must be files of their own.
    pub not_shared: u64,
}

/// What is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExcludedStats {
    /// Entries.
    pub entries: u64,
    /// The length of the content of the regular files among them, in bytes.
    pub bytes: u64,
}

/// Makes `target` a copy of what `selection` keeps of the directory `source`.
///
/// `target` must be absent (its parent must be there) or an empty directory. The
/// result is what `rsync -a SOURCE/ TARGET/` makes:
///
/// - Modes, setuid and sticky bits too, and mtimes to the nanosecond are kept,
///   of directories and of `target` itself as well. Links are copied as links.
/// - Fifos and sockets are made again. Devices are for root, and are skipped
///   for a plain user.
/// - Root keeps owner and group, of links too. A plain user keeps a group that
///   they are in.
/// - Hard links become separate files, but with [`LinkMode::Hardlink`], where everything of a
///   file is what it was. Extended attributes and ACLs are not copied.
/// - A `source` that is a link is followed.
///
/// The selection is asked for each directory below the root that it keeps whether it is
/// skipped, with its absolute path (no link is left in it). A directory that is skipped is
/// neither made nor read. `target` itself, when it is inside `source`, is
/// always left out.
///
/// # Errors
///
/// What cannot be read, has vanished, or cannot be made does not stop the copy:
/// the rest is done, and the error at the end counts all and names the first
/// few by path. A target that takes no more (full, over quota, read-only, I/O
/// error) stops it at once. Whatever was made until then stays. Those of [`Selection::link`].
pub fn copy_tree(
    source: &Path,
    target: &Path,
    selection: &dyn Selection,
    options: &CopyOptions,
) -> anyhow::Result<CopyOutcome> {
    let reading = || format!("{} cannot be read", source.display());
    let (root, from) = open_source(source, options.below).with_context(reading)?;
    let top = rustix::fs::fstat(&from).with_context(reading)?;
    if FileType::from_raw_mode(top.st_mode) != FileType::Directory {
        bail!("{} is not a directory", source.display());
    }
    prepare(target)?;
    Job::new(source, &root, from, target, selection, options)?.run()
}

/// The absolute path of a source, without links, and the source itself.
fn open_source(source: &Path, below: Option<&Path>) -> io::Result<(PathBuf, OwnedFd)> {
    // Who may enter a directory but not list it gets to know that from the walk.
    let relative = below.and_then(|above| Some((above, source.strip_prefix(above).ok()?)));
    if let Some((above, relative)) = relative.filter(|(_, path)| !path.as_os_str().is_empty()) {
        let root = above.canonicalize()?;
        let top = rustix::fs::open(&root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let from = open_below(top, relative.as_os_str().as_bytes(), OFlags::PATH)?;
        return Ok((root.join(relative), from));
    }
    let root = source.canonicalize()?;
    let from = rustix::fs::open(&root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    Ok((root, from))
}

/// Makes sure that `target` is an empty directory, and no link to one.
fn prepare(target: &Path) -> anyhow::Result<()> {
    // Nobody else looks into a copy that is not finished.
    match DirBuilder::new().mode(0o700).create(target) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be made", target.display()));
        }
    }
    let using = || format!("{} cannot be used", target.display());
    let found = fs::symlink_metadata(target).with_context(using)?;
    if !found.is_dir() {
        bail!("{} cannot be used: it is not a directory", target.display());
    }
    if fs::read_dir(target).with_context(using)?.next().is_some() {
        bail!(
            "{} is not empty; the copy goes to a new directory",
            target.display()
        );
    }
    Ok(())
}
