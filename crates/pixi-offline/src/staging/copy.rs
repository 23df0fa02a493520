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

    let mut copy = Copy::new(source, target);
    copy.unfinished.push(Unfinished {
        depth: 0,
        path: target.to_path_buf(),
        metadata: top,
    });
    let barred = Barred::default();
    for item in walk(&root, rules, &barred) {
        let entry = match item {
            Ok(entry) => entry,
            Err(error) => {
                let (path, cause) = taken_apart(&error);
                let path = path.unwrap_or(&root);
                if !barred.covers(path) {
                    let named = source.join(below(&root, path));
                    copy.troubles.add(Trouble::reading(&named, cause));
                }
                continue;
            }
        };
        // An entry that comes out of the walk lies beyond what was barred before.
        barred.clear();
        let relative = below(&root, entry.path());
        if let Some(error) = entry.error() {
            let (_, cause) = taken_apart(error);
            let named = source.join(relative);
            copy.troubles.add(Trouble::reading(&named, cause));
        }
        if entry.depth() == 0 {
            continue;
        }
        copy.leave_folders(entry.depth())?;

        let kind = entry.file_type();
        let made = if kind.is_some_and(|kind| kind.is_dir()) {
            let made = if skip(entry.path()) {
                copy.skip(relative, "a folder that is never copied")
            } else {
                copy.folder(entry.path(), relative, entry.depth(), target_id)
            };
            if !matches!(made, Ok(Made::Entry)) {
                barred.bar(entry.path());
            }
            made
        } else if kind.is_some_and(|kind| kind.is_file()) {
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
    // The walker wraps the error of the system, with a path that is named already.
    let mut cause: Option<&(dyn std::error::Error + 'static)> =
        error.io_error().map(|error| error as _);
    let mut code = None;
    while let Some(one) = cause
        && code.is_none()
    {
        let io_error = one.downcast_ref::<io::Error>();
        code = io_error.and_then(io::Error::raw_os_error);
        cause = match io_error.and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => one.source(),
        };
    }
    let cause = match code {
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

impl<'a> Copy<'a> {
    fn new(source: &'a Path, target: &'a Path) -> Copy<'a> {
        Copy {
            source,
            target,
            as_root: rustix::process::geteuid().is_root(),
            copied: Copied::default(),
            unfinished: Vec::new(),
            troubles: Troubles::default(),
        }
    }

    fn skip(&mut self, relative: &Path, reason: &str) -> Result<Made, Trouble> {
        self.copied
            .skipped
            .push((relative.to_path_buf(), reason.to_owned()));
        Ok(Made::Nothing)
    }

    fn folder(
        &mut self,
        from: &Path,
        relative: &Path,
        depth: usize,
        target_id: (u64, u64),
    ) -> Result<Made, Trouble> {
        let named = self.source.join(relative);
        let reading = |error| Trouble::reading(&named, error);
        let metadata = fs::symlink_metadata(from).map_err(reading)?;
        if !metadata.is_dir() {
            return Err(reading(changed()));
        }
        if (metadata.dev(), metadata.ino()) == target_id {
            return self.skip(relative, "this is the copy itself");
        }
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with an empty `source` in it, and a target that is not there.
    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Place {
            let folder = tempfile::tempdir().expect("a temporary folder");
            fs::create_dir(folder.path().join("source")).expect("a source");
            Place { folder }
        }

        fn source(&self, relative: &str) -> PathBuf {
            join(&self.folder.path().join("source"), relative)
        }

        fn target(&self, relative: &str) -> PathBuf {
            join(&self.folder.path().join("target"), relative)
        }

        fn file(&self, relative: &str, content: &str) -> PathBuf {
            let path = self.source(relative);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(&path, content).expect("a file");
            path
        }

        fn copy(&self, patterns: &[&str]) -> anyhow::Result<Copied> {
            let mut rules = Rules::new();
            for pattern in patterns {
                rules.push(OsStr::new(pattern)).expect("a good pattern");
            }
            copy_tree(&self.source(""), &self.target(""), &rules, &|_| false)
        }

        fn copied(&self) -> Copied {
            self.copy(&[]).expect("the copy succeeds")
        }

        fn found(&self, relative: &str) -> Metadata {
            fs::symlink_metadata(self.target(relative)).expect(relative)
        }
    }

    /// Joins without the slash at the end that an empty `relative` would leave.
    fn join(folder: &Path, relative: &str) -> PathBuf {
        if relative.is_empty() {
            folder.to_path_buf()
        } else {
            folder.join(relative)
        }
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    }

    fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("a time");
    }

    fn time(found: &Metadata) -> (i64, i64) {
        (found.mtime(), found.mtime_nsec())
    }

    fn mode(found: &Metadata) -> u32 {
        found.mode() & 0o7777
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn content_is_copied_and_the_account_is_right() {
        let place = Place::new();
        place.file("a/b/small", "text");
        place.file("empty", "");
        fs::write(place.source("large"), vec![5; 3_000_000]).expect("a file");
        fs::create_dir(place.source("empty-folder")).expect("a folder");
        let copied = place.copied();
        assert_eq!(
            copied,
            Copied {
                entries: 6,
                files: 3,
                bytes: 3_000_004,
                skipped: Vec::new()
            }
        );
        assert_eq!(
            fs::read(place.target("a/b/small")).expect("a copy"),
            b"text"
        );
        assert_eq!(place.found("large").len(), 3_000_000);
        assert!(place.found("empty-folder").is_dir());
    }

    #[test]
    fn modes_are_kept_setuid_and_sticky_too() {
        let place = Place::new();
        let modes = [0o644, 0o600, 0o444, 0o755, 0o4755, 0o6711, 0o2644, 0o1644];
        for wanted in modes {
            set_mode(&place.file(&format!("{wanted:o}"), "x"), wanted);
        }
        let folders = [0o755, 0o700, 0o555, 0o500, 0o1777, 0o2775];
        for wanted in folders {
            let inside = place.file(&format!("folder-{wanted:o}/inside"), "x");
            set_mode(inside.parent().expect("a folder"), wanted);
        }
        place.copied();
        for wanted in modes {
            assert_eq!(mode(&place.found(&format!("{wanted:o}"))), wanted);
        }
        for wanted in folders {
            let name = format!("folder-{wanted:o}");
            assert_eq!(mode(&place.found(&name)), wanted, "{name}");
            assert!(place.target(&name).join("inside").is_file());
        }
    }

    #[test]
    fn times_are_kept_to_the_nanosecond_of_files_folders_and_links() {
        let place = Place::new();
        place.file("folder/file", "x");
        symlink("nowhere", place.source("link")).expect("a link");
        let wanted = [
            ("folder/file", (1_000_000_000, 123_456_789)),
            ("link", (-5, 1)),
            ("folder", (5_000_000_000, 999_999_999)),
            ("", (86_400, 7)),
        ];
        for (path, (seconds, nanoseconds)) in wanted {
            set_time(&place.source(path), seconds, nanoseconds);
        }
        place.copied();
        for (path, wanted) in wanted {
            assert_eq!(time(&place.found(path)), wanted, "{path:?}");
        }
    }

    #[test]
    fn a_time_in_the_present_second_is_kept_too() {
        // rsync leaves these nanoseconds as they come.
        let place = Place::new();
        place.file("folder/file", "x");
        symlink("file", place.source("folder/link")).expect("a link");
        place.copied();
        for path in ["", "folder", "folder/file", "folder/link"] {
            let original = fs::symlink_metadata(place.source(path)).expect("the original");
            assert_eq!(time(&place.found(path)), time(&original), "{path:?}");
        }
    }

    #[test]
    fn the_top_folder_gets_the_looks_of_the_source_also_when_it_was_there() {
        let place = Place::new();
        set_mode(&place.source(""), 0o2750);
        set_time(&place.source(""), 12, 34);
        fs::create_dir(place.target("")).expect("an empty target");
        place.copied();
        assert_eq!(mode(&place.found("")), 0o2750);
        assert_eq!(time(&place.found("")), (12, 34));
    }

    #[test]
    fn root_keeps_owner_and_group_of_links_too_and_the_setuid_bit() {
        let place = Place::new();
        let file = place.file("folder/file", "x");
        symlink("file", place.source("folder/link")).expect("a link");
        let (owner, group) = if is_root() {
            (54_321, 12_345)
        } else {
            let own = fs::metadata(&file).expect("a file");
            (own.uid(), own.gid())
        };
        for path in ["", "folder", "folder/file", "folder/link"] {
            std::os::unix::fs::lchown(place.source(path), Some(owner), Some(group))
                .expect("an owner");
        }
        set_mode(&file, 0o4755);
        place.copied();
        for path in ["", "folder", "folder/file", "folder/link"] {
            let found = place.found(path);
            assert_eq!((found.uid(), found.gid()), (owner, group), "{path:?}");
        }
        assert_eq!(mode(&place.found("folder/file")), 0o4755);
    }

    #[test]
    fn links_are_copied_as_they_are() {
        let place = Place::new();
        place.file("folder/file", "x");
        let latin = OsStr::from_bytes(b"caf\xe9/\xff");
        let links = [
            ("relative", OsStr::new("folder/file")),
            ("absolute", OsStr::new("/etc/passwd")),
            ("dangling", OsStr::new("nowhere/at all")),
            ("to-folder", OsStr::new("folder")),
            ("to-itself", OsStr::new("to-itself")),
            ("up", OsStr::new("..")),
            ("latin", latin),
        ];
        for (name, leads_to) in links {
            symlink(leads_to, place.source(name)).expect("a link");
        }
        let copied = place.copied();
        for (name, leads_to) in links {
            let found = fs::read_link(place.target(name)).expect("a link");
            assert_eq!(found.as_os_str(), leads_to);
        }
        assert_eq!(copied.entries, 9);
        assert_eq!(copied.files, 1);
    }

    #[test]
    fn fifos_and_sockets_are_made_again() {
        let place = Place::new();
        for (name, kind) in [("fifo", FileType::Fifo), ("socket", FileType::Socket)] {
            make_node(&place.source(name), kind, 0).expect("a node");
            set_mode(&place.source(name), 0o1622);
            set_time(&place.source(name), 3, 4);
        }
        assert_eq!(place.copied().entries, 2);
        assert!(place.found("fifo").file_type().is_fifo());
        assert!(place.found("socket").file_type().is_socket());
        for name in ["fifo", "socket"] {
            assert_eq!(mode(&place.found(name)), 0o1622);
            assert_eq!(time(&place.found(name)), (3, 4));
        }
    }

    #[test]
    fn devices_are_made_again_by_root_and_skipped_for_a_plain_user() {
        // A plain user cannot make one to be copied, so looks at the system's.
        let device = Path::new("/dev/null");
        let place = Place::new();
        fs::create_dir(place.target("")).expect("a target");
        let target = place.target("");
        let mut copy = Copy::new(Path::new("/dev"), &target);
        if is_root() {
            let made = copy.other(device, Path::new("null"));
            assert!(matches!(made, Ok(Made::Entry)));
            let found = place.found("null");
            assert!(found.file_type().is_char_device());
            let original = fs::metadata(device).expect("the null device");
            assert_eq!(found.rdev(), original.rdev());
            assert_eq!(mode(&found), mode(&original));
        }
        copy.as_root = false;
        let made = copy.other(device, Path::new("skipped"));
        assert!(matches!(made, Ok(Made::Nothing)));
        assert!(!place.target("skipped").exists());
        let (path, reason) = &copy.copied.skipped[0];
        assert_eq!(path, Path::new("skipped"));
        assert!(reason.contains("only root can make"), "{reason}");
    }

    #[test]
    fn hard_links_become_separate_files() {
        let place = Place::new();
        let one = place.file("one", "same");
        fs::hard_link(one, place.source("two")).expect("a hard link");
        let copied = place.copied();
        assert_eq!((copied.files, copied.bytes), (2, 8));
        assert_eq!(place.found("one").nlink(), 1);
        assert_ne!(place.found("one").ino(), place.found("two").ino());
    }

    #[test]
    fn extended_attributes_stay_behind() {
        let place = Place::new();
        let file = place.file("file", "x");
        let set = rustix::fs::setxattr(
            &file,
            "user.note",
            b"secret",
            rustix::fs::XattrFlags::empty(),
        );
        if set == Err(Errno::OPNOTSUPP) {
            return; // This file system has none, so none can be copied.
        }
        set.expect("an attribute");
        place.copied();
        let mut value = [0; 16];
        assert_eq!(
            rustix::fs::getxattr(place.target("file"), "user.note", &mut value),
            Err(Errno::NODATA)
        );
    }

    #[test]
    fn a_source_that_is_a_link_is_followed() {
        let place = Place::new();
        place.file("file", "x");
        set_mode(&place.source(""), 0o711);
        let link = place.folder.path().join("link");
        symlink("source", &link).expect("a link");
        copy_tree(&link, &place.target(""), &Rules::new(), &|_| false).expect("a copy");
        assert!(place.found("").is_dir());
        assert_eq!(mode(&place.found("")), 0o711);
        assert!(place.found("file").is_file());
    }

    #[test]
    fn names_need_not_be_utf_8() {
        let place = Place::new();
        let name = OsStr::from_bytes(b"caf\xe9\n");
        fs::write(place.source("").join(name), "x").expect("a file");
        place.copied();
        assert!(place.target("").join(name).is_file());
    }

    #[test]
    fn files_that_begin_with_a_dot_and_ignore_files_mean_nothing() {
        let place = Place::new();
        for name in [".gitignore", ".ignore", ".rgignore", ".git/info/exclude"] {
            place.file(name, "*\n");
        }
        place.file(".hidden/file", "x");
        assert_eq!(place.copied().files, 5);
    }

    #[test]
    fn an_excluded_folder_is_not_entered() {
        let place = Place::new();
        place.file("cache/deep/kept.txt", "x");
        place.file("kept.txt", "x");
        place.file("a/b/cache/x", "x");
        symlink("kept.txt", place.source("link")).expect("a link");
        fs::create_dir(place.source("d")).expect("a folder");
        symlink("d", place.source("d/cache")).expect("a link to a folder");
        place.copy(&["+ *.txt", "cache/"]).expect("a copy");
        assert!(place.target("kept.txt").exists());
        assert!(place.target("a/b").is_dir());
        assert!(!place.target("cache").exists());
        assert!(!place.target("a/b/cache").exists());
        assert!(place.found("d/cache").is_symlink());
    }

    #[test]
    fn the_caller_is_asked_for_kept_folders_and_can_leave_one_out() {
        let place = Place::new();
        for path in ["a/x", "work/deep/x", "b/work/x", "no/x", "z"] {
            place.file(path, "x");
        }
        let root = place.source("").canonicalize().expect("the source");
        let asked = RefCell::new(Vec::new());
        let mut rules = Rules::new();
        rules.push(OsStr::new("no")).expect("a pattern");
        let copied = copy_tree(&place.source(""), &place.target(""), &rules, &|folder| {
            let relative = folder.strip_prefix(&root).expect("an absolute path");
            asked.borrow_mut().push(relative.to_path_buf());
            relative == Path::new("work")
        })
        .expect("a copy");
        let mut asked = asked.into_inner();
        asked.sort();
        assert_eq!(asked, ["a", "b", "b/work", "work"].map(PathBuf::from));
        assert!(!place.target("work").exists());
        assert!(place.target("b/work/x").exists());
        assert_eq!(copied.files, 3);
        assert_eq!(copied.skipped.len(), 1);
        assert_eq!(copied.skipped[0].0, Path::new("work"));
    }

    #[test]
    fn a_target_inside_the_source_is_not_copied_into_itself() {
        let place = Place::new();
        place.file("sub/file", "x");
        let target = place.source("sub/target");
        let copied = copy_tree(&place.source(""), &target, &Rules::new(), &|_| false)
            .expect("a copy that ends");
        assert!(target.join("sub/file").exists());
        assert!(!target.join("sub/target").exists());
        assert_eq!(copied.skipped[0].0, Path::new("sub/target"));
    }

    #[test]
    fn sources_and_targets_that_cannot_be_are_refused() {
        let place = Place::new();
        let file = place.file("file", "x");
        let copy = |source: &Path, target: &Path| {
            let result = copy_tree(source, target, &Rules::new(), &|_| false);
            format!("{:#}", result.expect_err("a refusal"))
        };
        let text = copy(&file, &place.target(""));
        assert!(text.contains("is not a folder"), "{text}");
        let text = copy(&place.source("absent"), &place.target(""));
        assert!(text.contains("absent cannot be read"), "{text}");
        assert!(!place.target("").exists());
        let text = copy(&place.source(""), &place.target("no/parent"));
        assert!(text.contains("no/parent cannot be made"), "{text}");
        let text = copy(&place.source(""), &file);
        assert!(text.contains("file cannot be used"), "{text}");
        let text = copy(&place.source(""), place.folder.path());
        assert!(text.contains("is not empty"), "{text}");
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_rest_is_copied() {
        if is_root() {
            return; // Root can read everything; the staging oracle covers it as a plain user.
        }
        let place = Place::new();
        place.file("a", "x");
        set_mode(&place.file("secret", "x"), 0);
        place.file("closed/x", "x");
        set_mode(&place.source("closed"), 0);
        place.file("z", "x");
        let text = format!("{:#}", place.copy(&[]).expect_err("two troubles"));
        set_mode(&place.source("closed"), 0o700);
        assert!(text.starts_with("2 of the entries of "), "{text}");
        assert!(
            text.contains("secret cannot be read: Permission denied"),
            "{text}"
        );
        assert!(
            text.contains("closed cannot be read: Permission denied"),
            "{text}"
        );
        assert!(place.target("a").exists() && place.target("z").exists());
        assert!(!place.target("secret").exists());
        assert_eq!(mode(&place.found("closed")), 0);
        set_mode(&place.target("closed"), 0o700);
    }

    #[test]
    fn what_vanishes_is_counted_and_the_first_few_are_named() {
        let place = Place::new();
        for number in 0..20 {
            place.file(&format!("{number:02}/file"), "x");
        }
        // When the walk comes to the first folder it has listed them all.
        let first = RefCell::new(None);
        let result = copy_tree(
            &place.source(""),
            &place.target(""),
            &Rules::new(),
            &|folder| {
                if first.borrow().is_none() {
                    *first.borrow_mut() = folder.file_name().map(OsStr::to_owned);
                    for number in 0..20 {
                        let other = place.source(&format!("{number:02}"));
                        if other.file_name() != folder.file_name() {
                            fs::remove_dir_all(other).expect("it goes");
                        }
                    }
                }
                false
            },
        );
        let text = format!("{:#}", result.expect_err("19 troubles"));
        assert!(text.starts_with("19 of the entries of "), "{text}");
        assert_eq!(
            text.matches("cannot be read: No such file").count(),
            5,
            "{text}"
        );
        assert!(text.ends_with("\n  and 14 more"), "{text}");
        let first = first.into_inner().expect("a first folder");
        assert!(place.target("").join(first).join("file").exists());
    }

    #[test]
    fn a_file_that_became_another_kind_is_not_followed_or_waited_for() {
        let place = Place::new();
        fs::create_dir(place.target("")).expect("a target");
        symlink("/etc/passwd", place.source("link")).expect("a link");
        make_node(&place.source("fifo"), FileType::Fifo, 0).expect("a fifo");
        let (source, target) = (place.source(""), place.target(""));
        let mut copy = Copy::new(&source, &target);
        for name in ["link", "fifo"] {
            let result = copy.file(&place.source(name), Path::new(name));
            let trouble = result.err().expect("a trouble");
            assert!(!trouble.stops, "{}", trouble.text);
            assert!(!place.target(name).exists());
        }
    }

    #[test]
    fn errors_after_which_nothing_fits_stop_the_copy() {
        let path = Path::new("/target/x");
        for code in [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::IO] {
            assert!(Trouble::writing(path, code.into()).stops, "{code:?}");
            assert!(!Trouble::reading(path, code.into()).stops, "{code:?}");
        }
        for code in [Errno::PERM, Errno::ACCESS, Errno::NAMETOOLONG, Errno::FBIG] {
            assert!(!Trouble::writing(path, code.into()).stops, "{code:?}");
        }
        let text = Trouble::writing(path, Errno::NOSPC.into()).text;
        assert!(text.contains("/target/x"), "{text}");
    }

    #[test]
    fn a_failing_copy_of_content_tells_which_side_failed() {
        let place = Place::new();
        let some = place.file("some", "x");
        let open = |write: bool, path: &Path| {
            let mut options = OpenOptions::new();
            options
                .read(!write)
                .write(write)
                .open(path)
                .expect("a file")
        };
        // A file that is open for writing only cannot be read, and the other way round.
        let result = copy_content(
            &mut open(true, &some),
            &mut open(true, &place.file("a", "")),
        );
        assert!(matches!(result, Err(ContentError::Reading(_))));
        let result = copy_content(
            &mut open(false, &some),
            &mut open(false, &place.file("b", "")),
        );
        assert!(matches!(result, Err(ContentError::Writing(_))));
        let result = copy_content(
            &mut open(false, &some),
            &mut open(true, Path::new("/dev/full")),
        );
        assert!(matches!(result, Err(ContentError::Writing(error)) if takes_no_more(&error)));
    }

    #[test]
    fn deep_trees_are_copied() {
        let place = Place::new();
        let deep = "d/".repeat(500) + "file";
        place.file(&deep, "x");
        assert_eq!(place.copied().entries, 501);
        assert!(place.target(&deep).is_file());
    }
}
