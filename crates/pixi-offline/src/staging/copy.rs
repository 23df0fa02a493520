//! Copying one tree: the walk, and what becomes of each kind of entry.
//!
//! The model is `rsync -a SRC/ DST/` into an empty folder. What the manual page
//! of rsync(1) leaves open was seen from runs of rsync 3.5.0.

use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
    PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use ignore::{Walk, WalkBuilder};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::rules::Rules;

/// How many of the entries that could not be copied the error names.
const NAMED_TROUBLES: usize = 5;

/// What [`copy_tree`] really did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many entries were made below the target: folders, files, links, and the rest.
    pub entries: u64,
    /// How many of them are regular files.
    pub files: u64,
    /// The length of their content together, in bytes.
    pub bytes: u64,
    /// What the rules keep and was yet not made, and why: devices for a plain
    /// user, folders that the caller leaves out. Paths are relative to the source.
    pub skipped: Vec<(PathBuf, String)>,
}

/// Makes `target` a copy of the folder `source`, without what `rules` exclude.
///
/// `target` must be absent (its parent must be there) or an empty folder. The
/// result is what `rsync -a SOURCE/ TARGET/` makes:
///
/// - Modes, setuid and sticky bits too, and mtimes to the nanosecond are kept,
///   of folders and of `target` itself as well. Links are copied as links.
/// - Fifos and sockets are made again. Devices are for root, and are skipped
///   for a plain user.
/// - Root keeps owner and group, of links too. A plain user keeps a group that
///   they are in.
/// - Hard links become separate files. Extended attributes and ACLs are not copied.
/// - A `source` that is a link is followed.
///
/// `skip` is asked for each folder below the root that the rules keep, with its
/// absolute path (no link is left in it). When it says true, the folder is
/// neither made nor read. `target` itself, when it lies inside `source`, is
/// always left out.
///
/// # Errors
///
/// What cannot be read, has vanished, or cannot be made does not stop the copy:
/// the rest is done, and the error at the end counts all and names the first
/// few. A target that takes no more (full, over quota, read-only, I/O error)
/// stops it at once. Whatever was made until then stays.
pub fn copy_tree(
    source: &Path,
    target: &Path,
    rules: &Rules,
    skip: &dyn Fn(&Path) -> bool,
) -> anyhow::Result<Copied> {
    let root = source
        .canonicalize()
        .with_context(|| format!("{} cannot be read", source.display()))?;
    let top =
        fs::metadata(&root).with_context(|| format!("{} cannot be read", source.display()))?;
    if !top.is_dir() {
        bail!("{} is not a folder", source.display());
    }
    let target_id = prepare(target)?;

    let mut copy = Copy {
        source,
        target,
        as_root: rustix::process::geteuid().is_root(),
        copied: Copied::default(),
        unfinished: vec![Unfinished {
            depth: 0,
            path: target.to_path_buf(),
            metadata: top,
        }],
        troubles: Troubles::default(),
    };
    let barred = Barred::default();
    for item in walk(&root, rules, &barred) {
        let entry = match item {
            Ok(entry) => entry,
            Err(error) => {
                let (path, cause) = taken_apart(&error);
                if !path.is_some_and(|path| barred.covers(path)) {
                    let path = source.join(path.map_or(Path::new(""), |path| below(&root, path)));
                    copy.troubles.add(Trouble::reading(&path, cause));
                }
                continue;
            }
        };
        // An entry that comes out of the walk lies beyond what was barred before.
        barred.clear();
        if let Some(error) = entry.error() {
            copy.troubles
                .add(Trouble::reading(entry.path(), taken_apart(error).1));
        }
        if entry.depth() == 0 {
            continue;
        }
        copy.leave_folders(entry.depth())?;

        let relative = below(&root, entry.path());
        let made = if entry.file_type().is_some_and(|kind| kind.is_dir()) {
            let made = match fs::symlink_metadata(entry.path()) {
                Ok(_) if skip(entry.path()) => copy.skip(relative, "the caller leaves this out"),
                Ok(found) if (found.dev(), found.ino()) == target_id => {
                    copy.skip(relative, "this is the copy itself")
                }
                Ok(found) if found.is_dir() => copy.folder(relative, found, entry.depth()),
                Ok(_) => Err(Trouble::reading(entry.path(), changed())),
                Err(error) => Err(Trouble::reading(entry.path(), error)),
            };
            if !matches!(made, Ok(Made::Entry)) {
                barred.bar(entry.path());
            }
            made
        } else if entry.file_type().is_some_and(|kind| kind.is_file()) {
            copy.file(entry.path(), relative)
        } else {
            copy.other(entry.path(), relative)
        };
        match made {
            Ok(Made::Entry) => copy.copied.entries += 1,
            Ok(Made::Nothing) => {}
            Err(trouble) => copy.meet(trouble)?,
        }
    }
    copy.leave_folders(0)?;

    copy.troubles.into_result(source, target)?;
    Ok(copy.copied)
}

/// Makes sure that `target` is an empty folder. Gives its device and inode.
fn prepare(target: &Path) -> anyhow::Result<(u64, u64)> {
    match fs::read_dir(target) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!(
                    "{} is not empty; the copy goes to a new folder",
                    target.display()
                );
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Nobody else looks into a copy that is not finished.
            DirBuilder::new()
                .mode(0o700)
                .create(target)
                .with_context(|| format!("{} cannot be made", target.display()))?;
        }
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be used", target.display()));
        }
    }
    let made =
        fs::metadata(target).with_context(|| format!("{} cannot be used", target.display()))?;
    Ok((made.dev(), made.ino()))
}

/// Walks `root` without what `rules` exclude, and without what lies below a
/// folder that is barred when the walk comes to it.
fn walk(root: &Path, rules: &Rules, barred: &Barred) -> Walk {
    let (base, rules, barred) = (root.to_path_buf(), rules.clone(), barred.clone());
    WalkBuilder::new(root)
        .standard_filters(false)
        .follow_links(false)
        // Only for files that the filters above would read, but asked for in any case.
        .current_dir(root)
        .filter_entry(move |entry| {
            let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
            !barred.covers(entry.path()) && !rules.excludes(below(&base, entry.path()), is_dir)
        })
        .build()
}

/// The path of `path` relative to `root`, above which the walk never is.
fn below<'a>(root: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}

/// The folder that the walk has handed out and must not go on into.
///
/// `ignore` can leave a folder out only from its filter, which must outlive the
/// caller's borrows; the caller's `skip` does not. So the folder comes out of
/// the walk first, is barred, and the filter drops everything in it.
#[derive(Debug, Clone, Default)]
struct Barred(Arc<Mutex<Option<PathBuf>>>);

impl Barred {
    fn bar(&self, folder: &Path) {
        *self.lock() = Some(folder.to_path_buf());
    }

    fn clear(&self) {
        *self.lock() = None;
    }

    fn covers(&self, path: &Path) -> bool {
        self.lock()
            .as_ref()
            .is_some_and(|folder| path.starts_with(folder))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path that an error of the walk is about, and the bare cause.
fn taken_apart(error: &ignore::Error) -> (Option<&Path>, io::Error) {
    let mut path = None;
    let mut inner = error;
    loop {
        match inner {
            ignore::Error::WithPath { path: at, err } => {
                path = Some(at.as_path());
                inner = err;
            }
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
                inner = err;
            }
            _ => break,
        }
    }
    let cause = match error.io_error().and_then(io::Error::raw_os_error) {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::other(inner.to_string()),
    };
    (path, cause)
}

/// Whether an entry was made for what the walk came to.
enum Made {
    Entry,
    Nothing,
}

/// A folder that was made and is being filled. Its mode may forbid to fill it
/// and filling it changes its time, so both are set when it is left.
struct Unfinished {
    depth: usize,
    path: PathBuf,
    metadata: Metadata,
}

struct Copy<'a> {
    source: &'a Path,
    target: &'a Path,
    as_root: bool,
    copied: Copied,
    unfinished: Vec<Unfinished>,
    troubles: Troubles,
}

impl Copy<'_> {
    fn skip(&mut self, relative: &Path, reason: &str) -> Result<Made, Trouble> {
        self.copied
            .skipped
            .push((relative.to_path_buf(), reason.to_owned()));
        Ok(Made::Nothing)
    }

    fn folder(
        &mut self,
        relative: &Path,
        metadata: Metadata,
        depth: usize,
    ) -> Result<Made, Trouble> {
        let path = self.target.join(relative);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Trouble::writing(&path, error))?;
        self.unfinished.push(Unfinished {
            depth,
            path,
            metadata,
        });
        Ok(Made::Entry)
    }

    /// Finishes the folders that hold no entry of this depth any more.
    fn leave_folders(&mut self, depth: usize) -> anyhow::Result<()> {
        while let Some(folder) = self.unfinished.pop_if(|folder| folder.depth >= depth) {
            if let Err(error) = self.dress(&folder.path, &folder.metadata) {
                self.meet(Trouble::writing(&folder.path, error))?;
            }
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, relative: &Path) -> Result<Made, Trouble> {
        // The entry may have become another since it was listed: a link is not
        // followed, and a fifo does not make us wait for its other end.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(from)
            .and_then(|file| {
                let metadata = file.metadata()?;
                if metadata.is_file() {
                    Ok((file, metadata))
                } else {
                    Err(changed())
                }
            });
        let named = self.source.join(relative);
        let (mut reader, metadata) = opened.map_err(|error| Trouble::reading(&named, error))?;

        let path = self.target.join(relative);
        let mut writer = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| Trouble::writing(&path, error))?;
        let length = copy_content(&mut reader, &mut writer)
            .map_err(|error| match error {
                ContentError::Reading(error) => Trouble::reading(&named, error),
                ContentError::Writing(error) => Trouble::writing(&path, error),
            })
            .and_then(|length| {
                self.dress_file(&writer, &metadata)
                    .map_err(|error| Trouble::writing(&path, error))?;
                Ok(length)
            })
            .inspect_err(|_| {
                // Half a file is worse than none. When it cannot go either, the
                // trouble that is reported anyway is the one that matters.
                let _ = fs::remove_file(&path);
            })?;
        self.copied.files += 1;
        self.copied.bytes += length;
        Ok(Made::Entry)
    }

    /// Copies a link, a fifo, a socket or a device.
    fn other(&mut self, from: &Path, relative: &Path) -> Result<Made, Trouble> {
        let named = self.source.join(relative);
        let reading = |error| Trouble::reading(&named, error);
        let metadata = fs::symlink_metadata(from).map_err(reading)?;
        let kind = metadata.file_type();
        let path = self.target.join(relative);
        let made = if kind.is_symlink() {
            let leads_to = fs::read_link(from).map_err(reading)?;
            std::os::unix::fs::symlink(leads_to, &path)
        } else {
            let (node, device) = if kind.is_fifo() {
                (FileType::Fifo, 0)
            } else if kind.is_socket() {
                (FileType::Socket, 0)
            } else if kind.is_block_device() {
                (FileType::BlockDevice, metadata.rdev())
            } else if kind.is_char_device() {
                (FileType::CharacterDevice, metadata.rdev())
            } else {
                return Err(reading(changed()));
            };
            if device != 0 && !self.as_root {
                return self.skip(relative, "a device, which only root can make");
            }
            make_node(&path, node, device)
        };
        made.and_then(|()| self.dress(&path, &metadata))
            .map_err(|error| Trouble::writing(&path, error))?;
        Ok(Made::Entry)
    }

    /// Gives what is at `path`, a link itself and not what it leads to, the
    /// owner, mode and mtime of the original.
    fn dress(&self, path: &Path, original: &Metadata) -> io::Result<()> {
        let (owner, group) = self.owner_of(original);
        self.settle_owner(
            std::os::unix::fs::lchown(path, owner, group),
            || fs::symlink_metadata(path),
            original,
        )?;
        // Linux has no modes of links.
        if !original.is_symlink() {
            fs::set_permissions(path, Permissions::from_mode(original.mode() & 0o7777))?;
        }
        rustix::fs::utimensat(CWD, path, &mtime_of(original), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    /// The same, for a file that is open.
    fn dress_file(&self, file: &File, original: &Metadata) -> io::Result<()> {
        let (owner, group) = self.owner_of(original);
        self.settle_owner(
            std::os::unix::fs::fchown(file, owner, group),
            || file.metadata(),
            original,
        )?;
        // Only now: a change of owner takes the setuid bit away.
        file.set_permissions(Permissions::from_mode(original.mode() & 0o7777))?;
        rustix::fs::futimens(file, &mtime_of(original))?;
        Ok(())
    }

    /// The owner and group to ask for. A plain user cannot give files away, but
    /// can give them to another group of theirs.
    fn owner_of(&self, original: &Metadata) -> (Option<u32>, Option<u32>) {
        let owner = self.as_root.then_some(original.uid());
        (owner, Some(original.gid()))
    }

    /// Forgives a change of owner that failed where nothing was to be changed,
    /// and a plain user's that failed at all.
    fn settle_owner(
        &self,
        change: io::Result<()>,
        current: impl FnOnce() -> io::Result<Metadata>,
        original: &Metadata,
    ) -> io::Result<()> {
        let Err(error) = change else { return Ok(()) };
        if !self.as_root {
            return Ok(());
        }
        let current = current()?;
        if (current.uid(), current.gid()) == (original.uid(), original.gid()) {
            return Ok(());
        }
        Err(error)
    }

    /// Notes a trouble, or passes on one that stops the copy.
    fn meet(&mut self, trouble: Trouble) -> anyhow::Result<()> {
        if trouble.stops {
            bail!(
                "{}; the copy of {} to {} was stopped",
                trouble.text,
                self.source.display(),
                self.target.display()
            );
        }
        self.troubles.add(trouble);
        Ok(())
    }
}

/// What is to be said of an entry that is no longer what it was when listed.
fn changed() -> io::Error {
    io::Error::other("it changed while it was being copied")
}

fn mtime_of(original: &Metadata) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: original.mtime(),
            tv_nsec: original.mtime_nsec(),
        },
    }
}

fn make_node(path: &Path, kind: FileType, device: u64) -> io::Result<()> {
    rustix::fs::mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device)?;
    Ok(())
}

enum ContentError {
    Reading(io::Error),
    Writing(io::Error),
}

/// Copies all that is in `reader` to the empty file `writer`. Gives the length in bytes.
fn copy_content(reader: &mut File, writer: &mut File) -> Result<u64, ContentError> {
    // In the kernel, where it can: copy_file_range(2), which shares the blocks
    // on file systems that do that.
    match io::copy(reader, writer) {
        Ok(length) => Ok(length),
        Err(error) if takes_no_more(&error) && error.raw_os_error() != Some(EIO) => {
            Err(ContentError::Writing(error))
        }
        // That call does not say which side failed. Again, one side at a time.
        Err(_) => copy_by_hand(reader, writer),
    }
}

fn copy_by_hand(reader: &mut File, writer: &mut File) -> Result<u64, ContentError> {
    reader.rewind().map_err(ContentError::Reading)?;
    writer
        .rewind()
        .and_then(|()| writer.set_len(0))
        .map_err(ContentError::Writing)?;
    let mut buffer = vec![0; 128 * 1024];
    let mut total = 0;
    loop {
        let length = match reader.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ContentError::Reading(error)),
        };
        writer
            .write_all(&buffer[..length])
            .map_err(ContentError::Writing)?;
        total += length as u64;
    }
}

const EIO: i32 = Errno::IO.raw_os_error();

/// Whether an error of the target means that the next entry will fare no better.
fn takes_no_more(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .map(Errno::from_raw_os_error)
        .is_some_and(|code| matches!(code, Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO))
}

/// Why an entry was not copied, or not wholly.
struct Trouble {
    text: String,
    /// The target takes no more at all.
    stops: bool,
}

impl Trouble {
    fn reading(path: &Path, error: io::Error) -> Trouble {
        Trouble {
            text: format!("{} cannot be read: {error}", path.display()),
            stops: false,
        }
    }

    fn writing(path: &Path, error: io::Error) -> Trouble {
        Trouble {
            text: format!("{} cannot be written: {error}", path.display()),
            stops: takes_no_more(&error),
        }
    }
}

/// The troubles that did not stop the copy: all counted, the first few kept.
#[derive(Default)]
struct Troubles {
    count: u64,
    first: Vec<String>,
}

impl Troubles {
    fn add(&mut self, trouble: Trouble) {
        self.count += 1;
        if self.first.len() < NAMED_TROUBLES {
            self.first.push(trouble.text);
        }
    }

    fn into_result(self, source: &Path, target: &Path) -> anyhow::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        bail!(
            "{} of the entries of {} could not be copied to {}; exclude them, or set this right:{self}",
            self.count,
            source.display(),
            target.display()
        )
    }
}

impl fmt::Display for Troubles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for text in &self.first {
            write!(formatter, "\n  {text}")?;
        }
        match self.count - self.first.len() as u64 {
            0 => Ok(()),
            more => write!(formatter, "\n  and {more} more"),
        }
    }
}
