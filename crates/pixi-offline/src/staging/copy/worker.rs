//! The walk, and what becomes of each kind of entry.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::{Attributes, InheritedOwner, MetadataWriter};
use super::content::{ContentError, FileCopier, FileData, ReflinkSupport};
use super::copy_error::{CopyError, ErrorSummary, changed};
use super::{CopyOptions, CopyOutcome, CopyStats, ExcludedStats, LinkMode};
use crate::cancellation;
use crate::parallel;
use crate::parallel::locked;
use crate::staging::dir::{DIR, DirEntries, begins_with, child, open_dir, path_of};
use crate::staging::listing::{ListedDir, Listing, NewEntry};
use crate::staging::queue::Queue;
use crate::staging::selection::{LinkAction, Selection};

/// The copy of one tree, as all threads see it.
pub(super) struct Job<'a> {
    /// The source as the caller named it, for messages.
    source: &'a Path,
    /// The source's absolute path without links.
    root: &'a Path,
    target: &'a Path,
    selection: &'a dyn Selection,
    options: &'a CopyOptions<'a>,
    from: OwnedFd,
    to: OwnedFd,
    /// Device and inode of the target, which may be inside the source.
    target_id: (u64, u64),
    pub(super) maker: MetadataWriter,
    clones: ReflinkSupport,
    queue: Queue<CopyTask>,
    /// Directories have numbers in the listing.
    dirs: AtomicU32,
    ends: Mutex<SharedState>,
}

/// What is only known at the end.
#[derive(Default)]
struct SharedState {
    errors: ErrorSummary,
    /// What stopped the copy.
    stopped: Option<CopyError>,
    /// A link that must not be, the first by path.
    refused: Option<(Vec<u8>, anyhow::Error)>,
    /// The modes of directories that get them last: of the top, which nobody looks into
    /// before, and of those that cannot be entered any more with them.
    modes: Vec<(Vec<u8>, u32)>,
}

/// A directory whose entries are to be dealt with.
struct CopyTask {
    relative: Box<[u8]>,
    what: TaskKind,
}

enum TaskKind {
    /// The directory exists; its metadata is set last.
    Copy { metadata: Attributes, number: u32 },
    /// It is left out and counted.
    Count,
}

impl<'a> Job<'a> {
    pub(super) fn new(
        source: &'a Path,
        root: &'a Path,
        from: OwnedFd,
        target: &'a Path,
        selection: &'a dyn Selection,
        options: &'a CopyOptions<'a>,
    ) -> anyhow::Result<Job<'a>> {
        let metadata = rustix::fs::fstat(&from)
            .with_context(|| format!("{} cannot be read", source.display()))?;
        let using = || format!("{} cannot be used", target.display());
        let to = rustix::fs::open(target, DIR, Mode::empty()).with_context(using)?;
        let found = rustix::fs::fstat(&to).with_context(using)?;
        Ok(Job {
            source,
            root,
            target,
            selection,
            options,
            from,
            target_id: (found.st_dev, found.st_ino),
            maker: MetadataWriter::new(&to),
            to,
            clones: ReflinkSupport::default(),
            queue: Queue::new(CopyTask {
                relative: Box::default(),
                what: TaskKind::Copy {
                    metadata: (&metadata).into(),
                    number: 0,
                },
            }),
            dirs: AtomicU32::new(1),
            ends: Mutex::default(),
        })
    }

    /// Copies the tree.
    pub(super) fn run(self) -> anyhow::Result<CopyOutcome> {
        let results = parallel::on_all_cores(|| {
            let mut worker = Worker::new(&self);
            self.queue.work(|task| worker.dir(task));
            worker.gathered
        });
        cancellation::check()?;
        let Job {
            source,
            target,
            ends,
            to,
            ..
        } = self;
        let mut ends = ends.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = ends.stopped {
            anyhow::bail!(
                "{}; the copy of {} to {} was stopped",
                error.text,
                source.display(),
                target.display()
            );
        }
        // The deepest first: to what is in a closed directory leads no way.
        ends.modes.sort_unstable();
        for (relative, mode) in ends.modes.iter().rev() {
            let mode = Mode::from_raw_mode(*mode);
            let set = match relative.as_slice() {
                b"" => rustix::fs::fchmod(&to, mode),
                path => open_dir(&to, path).and_then(|dir| rustix::fs::fchmod(dir, mode)),
            };
            if let Err(error) = set {
                let error = CopyError::writing(&below(target, relative), error.into());
                ends.errors.add(relative, error);
            }
        }
        ends.errors.into_result(source, target)?;
        if let Some((_, error)) = ends.refused {
            return Err(error);
        }
        Ok(WorkerStats::together(results))
    }
}

/// What one thread did.
#[derive(Default)]
pub(super) struct WorkerStats {
    pub(super) copied: CopyStats,
    left: ExcludedStats,
    not_shared: u64,
    dirs: Vec<(u32, ListedDir)>,
}

impl WorkerStats {
    fn together(all: Vec<WorkerStats>) -> CopyOutcome {
        let mut outcome = CopyOutcome::default();
        let mut dirs = Vec::new();
        for one in all {
            outcome.copied.entries += one.copied.entries;
            outcome.copied.files += one.copied.files;
            outcome.copied.bytes += one.copied.bytes;
            outcome.copied.skipped.extend(one.copied.skipped);
            outcome.left.entries += one.left.entries;
            outcome.left.bytes += one.left.bytes;
            outcome.not_shared += one.not_shared;
            dirs.extend(one.dirs);
        }
        outcome.copied.skipped.sort_unstable();
        outcome.listing = Listing::new(dirs);
        outcome
    }
}

/// Whether an entry was made for what the walk came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CreatedEntry {
    Entry,
    Nothing,
}

/// Where an entry is, and where its copy goes.
pub(super) struct EntryPlace<'a> {
    pub(super) from: &'a OwnedFd,
    pub(super) to: &'a OwnedFd,
    /// Who owns what is made there.
    pub(super) inherited_owner: Option<InheritedOwner>,
    /// The device of the target.
    pub(super) device: u64,
    pub(super) name: &'a CStr,
}

/// One thread of a copy.
pub(super) struct Worker<'a> {
    job: &'a Job<'a>,
    pub(super) gathered: WorkerStats,
    entries: DirEntries,
    copier: FileCopier,
    /// The entry in hand, relative to the source.
    pub(super) path: Vec<u8>,
    listed: ListedDir,
    /// The directories that were found in the one that is being read.
    found: Vec<CopyTask>,
    /// Whether a file was looked at that was made with its mode.
    knows_modes: bool,
}

impl<'a> Worker<'a> {
    pub(super) fn new(job: &'a Job<'a>) -> Worker<'a> {
        Worker {
            job,
            gathered: WorkerStats::default(),
            entries: DirEntries::default(),
            copier: FileCopier::default(),
            path: Vec::new(),
            listed: ListedDir::default(),
            found: Vec::new(),
            knows_modes: false,
        }
    }

    /// Deals with everything that is in a directory, and finishes it. The directories
    /// in it are made here, and filled by whoever takes them from the queue.
    fn dir(&mut self, task: CopyTask) {
        self.path.clear();
        self.path.extend_from_slice(&task.relative);
        match task.what {
            TaskKind::Copy { metadata, number } => {
                if let Err(error) = self.copy_dir(&metadata, number) {
                    self.path.truncate(task.relative.len());
                    self.record_error(error);
                }
            }
            TaskKind::Count => self.count_dir(),
        }
        self.job.queue.add(&mut self.found);
    }

    fn copy_dir(&mut self, metadata: &Attributes, number: u32) -> Result<(), CopyError> {
        let job = self.job;
        let top = self.path.is_empty();
        let to = open_dir(&job.to, &self.path).map_err(|error| self.writing(error.into()))?;
        let made = rustix::fs::fstat(&to).map_err(|error| self.writing(error.into()))?;
        let inherited_owner = job.maker.inherited_owner(&made);
        let from = open_dir(&job.from, &self.path);
        let mut entries = std::mem::take(&mut self.entries);
        let read = match &from {
            Ok(from) => entries.read(from),
            Err(error) => Err(*error),
        };
        if let Err(error) = read {
            let error = self.reading(error.into());
            self.record_error(error);
        }
        if let Ok(from) = &from {
            let length = self.path.len();
            for (name, kind) in entries.iter() {
                if cancellation::check().is_err() {
                    job.queue.stop();
                }
                if job.queue.is_stopped() {
                    break;
                }
                child(&mut self.path, length, name);
                let place = EntryPlace {
                    from,
                    to: &to,
                    inherited_owner,
                    device: made.st_dev,
                    name,
                };
                match self.entry(&place, kind) {
                    Ok(CreatedEntry::Entry) => self.gathered.copied.entries += 1,
                    Ok(CreatedEntry::Nothing) => {}
                    Err(error) => self.record_error(error),
                }
            }
            self.path.truncate(length);
        }
        self.entries = entries;
        if job.options.list {
            let mut listed = std::mem::take(&mut self.listed);
            listed.finish();
            self.gathered.dirs.push((number, listed));
        }

        // Filling it changed its time. What is made in the directories below does not.
        let mut metadata = *metadata;
        let closes = metadata.mode() & 0o100 == 0 && !self.found.is_empty();
        // A directory that was there and is another user's keeps its own; who may write into it
        // may fill it.
        if top && !job.maker.may_change(&made) {
            return Ok(());
        }
        if top || closes {
            let mode = metadata.set_mode(0o700);
            locked(&job.ends).modes.push((self.path.clone(), mode));
        }
        job.maker
            .apply_metadata(&to, &metadata, job.maker.owner_of(&made), false)
            .map_err(|error| self.writing(error))
    }

    fn entry(&mut self, place: &EntryPlace<'_>, kind: FileType) -> Result<CreatedEntry, CopyError> {
        let kind = match kind {
            FileType::Unknown => FileType::from_raw_mode(self.stat(place)?.st_mode),
            kind => kind,
        };
        let is_dir = kind == FileType::Directory;
        let job = self.job;
        if job.selection.excludes(path_of(&self.path), is_dir) {
            self.leave(place, kind);
            return Ok(CreatedEntry::Nothing);
        }
        match kind {
            FileType::Directory => self.make_dir(place),
            FileType::RegularFile => self.file(place),
            _ => self.other(place),
        }
    }

    fn stat(&self, place: &EntryPlace<'_>) -> Result<Stat, CopyError> {
        rustix::fs::statat(place.from, place.name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.reading(error.into()))
    }

    fn make_dir(&mut self, place: &EntryPlace<'_>) -> Result<CreatedEntry, CopyError> {
        let job = self.job;
        if job.selection.skips(&job.root.join(path_of(&self.path))) {
            return Ok(self.skip("a directory that is never copied"));
        }
        let stat = self.stat(place)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(self.reading(changed()));
        }
        if (stat.st_dev, stat.st_ino) == job.target_id {
            return Ok(self.skip("this is the copy itself"));
        }
        rustix::fs::mkdirat(place.to, place.name, Mode::RWXU)
            .map_err(|error| self.writing(error.into()))?;
        let number = job.dirs.fetch_add(1, Ordering::Relaxed);
        self.list(place, &stat, NewEntry::Dir { number });
        self.found.push(CopyTask {
            relative: self.path.as_slice().into(),
            what: TaskKind::Copy {
                metadata: (&stat).into(),
                number,
            },
        });
        Ok(CreatedEntry::Entry)
    }

    pub(super) fn file(&mut self, place: &EntryPlace<'_>) -> Result<CreatedEntry, CopyError> {
        let job = self.job;
        let begins_with = |text: &[u8]| begins_with(place.from, place.name, text);
        if job
            .selection
            .excludes_content(path_of(&self.path), &begins_with)
        {
            self.leave(place, FileType::RegularFile);
            return Ok(CreatedEntry::Nothing);
        }
        let own = job.options.link_mode == LinkMode::Hardlink
            && job.selection.must_not_share(path_of(&self.path));
        if job.options.link_mode == LinkMode::Hardlink && !own {
            if let Some(made) = self.link_file(place)? {
                return Ok(made);
            }
            self.gathered.not_shared += 1;
        }
        // The entry may have become another since it was listed: a link is not
        // followed, and a fifo does not make us wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let reader = rustix::fs::openat(place.from, place.name, flags, Mode::empty())
            .map_err(|error| self.reading(error.into()))?;
        let stat = rustix::fs::fstat(&reader).map_err(|error| self.reading(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(self.reading(changed()));
        }

        let metadata = Attributes::from(&stat);
        let mode = job.maker.mode_at_creation(&metadata);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let first_mode = mode.unwrap_or(Mode::RUSR | Mode::WUSR);
        let writer = rustix::fs::openat(place.to, place.name, flags, first_mode)
            .map_err(|error| self.writing(error.into()))?;
        let done = self
            .content(place, &reader, &stat, &writer)
            .and_then(|content| {
                let mode_is_set = match mode {
                    Some(mode) => self.got_mode(mode, &writer),
                    None => Ok(false),
                };
                mode_is_set
                    .and_then(|set| {
                        job.maker
                            .apply_metadata(&writer, &metadata, place.inherited_owner, set)
                    })
                    .map_err(|error| self.writing(error))?;
                Ok(content)
            });
        let content = done.inspect_err(|_| {
            // Remove the partial file. The error of the copy is the one to report.
            let _ = rustix::fs::unlinkat(place.to, place.name, AtFlags::empty());
        })?;
        self.account(place, &stat, content);
        Ok(CreatedEntry::Entry)
    }

    /// Whether a file got the mode that it was made with: checked once by each
    /// thread, since mount options can change modes.
    fn got_mode(&mut self, asked: Mode, made: &OwnedFd) -> io::Result<bool> {
        if self.knows_modes {
            return Ok(true);
        }
        self.knows_modes = true;
        Ok(self.job.maker.learn(asked, &rustix::fs::fstat(made)?))
    }

    fn content(
        &mut self,
        place: &EntryPlace<'_>,
        reader: &OwnedFd,
        stat: &Stat,
        writer: &OwnedFd,
    ) -> Result<FileData, CopyError> {
        let job = self.job;
        let size = size_of(stat);
        let may_clone = matches!(job.options.link_mode, LinkMode::Auto | LinkMode::Clone);
        if may_clone && size > 0 {
            let cloned = job
                .clones
                .try_clone(reader, writer, (stat.st_dev, place.device))
                .map_err(|error| self.writing(error))?;
            if cloned {
                return self.hash_original(reader, stat);
            }
            self.gathered.not_shared += u64::from(job.options.link_mode == LinkMode::Clone);
        }
        let hash = job.options.hash;
        self.copier
            .copy(reader, writer, size, hash)
            .map_err(|error| match error {
                ContentError::Reading(error) => self.reading(error),
                ContentError::Writing(error) => self.writing(error),
            })
    }

    /// The content of a file that the copy shares: read only when that is asked for.
    fn hash_original(&mut self, reader: &OwnedFd, stat: &Stat) -> Result<FileData, CopyError> {
        let length = size_of(stat);
        if !self.job.options.hash {
            let sha256 = None;
            return Ok(FileData { length, sha256 });
        }
        let content = self.copier.hash(reader, length).map_err(|error| {
            let (ContentError::Reading(error) | ContentError::Writing(error)) = error;
            self.reading(error)
        })?;
        // Read after it was shared: the digest must be that of what is there.
        let now = rustix::fs::fstat(reader).map_err(|error| self.reading(error.into()))?;
        let times = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        if content.length != length || times(&now) != times(stat) {
            return Err(self.reading(changed()));
        }
        Ok(content)
    }

    /// Makes the copy a name of the file itself; `None` when that cannot be.
    fn link_file(&mut self, place: &EntryPlace<'_>) -> Result<Option<CreatedEntry>, CopyError> {
        let stat = self.stat(place)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(self.reading(changed()));
        }
        if stat.st_dev != place.device {
            return Ok(None);
        }
        match rustix::fs::linkat(
            place.from,
            place.name,
            place.to,
            place.name,
            AtFlags::empty(),
        ) {
            Ok(()) => {}
            // Another mount of the same device, a file with all the names that it can
            // have, a file of another user (fs.protected_hardlinks), no such links here.
            Err(Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return Ok(None);
            }
            Err(Errno::NOENT) => return Err(self.reading(Errno::NOENT.into())),
            Err(error) => return Err(self.writing(error.into())),
        }
        let content = if self.job.options.hash {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            rustix::fs::openat(place.to, place.name, flags, Mode::empty())
                .map_err(|error| self.reading(error.into()))
                .and_then(|reader| self.hash_original(&reader, &stat))
                .inspect_err(|_| {
                    let _ = rustix::fs::unlinkat(place.to, place.name, AtFlags::empty());
                })?
        } else {
            FileData {
                length: size_of(&stat),
                sha256: None,
            }
        };
        self.account(place, &stat, content);
        Ok(Some(CreatedEntry::Entry))
    }

    fn account(&mut self, place: &EntryPlace<'_>, stat: &Stat, content: FileData) {
        self.gathered.copied.files += 1;
        self.gathered.copied.bytes += content.length;
        if let Some(progress) = self.job.options.progress {
            progress(content.length);
        }
        let FileData { length, sha256 } = content;
        let size = length;
        self.list(place, stat, NewEntry::File { size, sha256 });
    }

    /// Copies a link, a fifo, a socket or a device.
    pub(super) fn other(&mut self, place: &EntryPlace<'_>) -> Result<CreatedEntry, CopyError> {
        let stat = self.stat(place)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_link = kind == FileType::Symlink;
        let mut leads_to = Vec::new();
        let made = match kind {
            FileType::Symlink => {
                leads_to = rustix::fs::readlinkat(place.from, place.name, leads_to)
                    .map_err(|error| self.reading(error.into()))?
                    .into_bytes();
                match self
                    .job
                    .selection
                    .link(path_of(&self.path), path_of(&leads_to))
                {
                    Ok(LinkAction::Keep) => {}
                    Ok(LinkAction::Rewrite(path)) => {
                        leads_to = path.into_os_string().into_encoded_bytes();
                    }
                    Ok(LinkAction::Skip) => {
                        self.leave(place, kind);
                        return Ok(CreatedEntry::Nothing);
                    }
                    Err(error) => {
                        self.refuse(error);
                        return Ok(CreatedEntry::Nothing);
                    }
                }
                rustix::fs::symlinkat(leads_to.as_slice(), place.to, place.name)
            }
            FileType::Fifo | FileType::Socket => self.node(place, kind, 0),
            FileType::BlockDevice | FileType::CharacterDevice => {
                if !self.job.maker.as_root {
                    return Ok(self.skip("a device, which only root can make"));
                }
                self.node(place, kind, stat.st_rdev)
            }
            _ => return Err(self.reading(changed())),
        };
        let maker = &self.job.maker;
        made.map_err(io::Error::from)
            .and_then(|()| {
                maker.apply_metadata_at(
                    place.to,
                    place.name,
                    &(&stat).into(),
                    place.inherited_owner,
                    is_link,
                )
            })
            .map_err(|error| self.writing(error))?;
        let new = match kind {
            FileType::Symlink => NewEntry::Link {
                leads_to: &leads_to,
            },
            FileType::Fifo => NewEntry::Fifo,
            FileType::Socket => NewEntry::Socket,
            FileType::BlockDevice => NewEntry::BlockDevice,
            _ => NewEntry::CharacterDevice,
        };
        self.list(place, &stat, new);
        Ok(CreatedEntry::Entry)
    }

    fn node(&self, place: &EntryPlace<'_>, kind: FileType, device: u64) -> rustix::io::Result<()> {
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(place.to, place.name, kind, mode, device)
    }

    fn list(&mut self, place: &EntryPlace<'_>, stat: &Stat, new: NewEntry<'_>) {
        if self.job.options.list {
            self.listed
                .add(place.name.to_bytes(), stat.st_mode, stat.st_mtime, new);
        }
    }

    fn skip(&mut self, reason: &str) -> CreatedEntry {
        let skipped = (path_of(&self.path).to_path_buf(), reason.to_owned());
        self.gathered.copied.skipped.push(skipped);
        CreatedEntry::Nothing
    }

    /// Counts an entry that is left out, if that is wanted.
    fn leave(&mut self, place: &EntryPlace<'_>, kind: FileType) {
        if self.job.options.count_left {
            self.count(place.from, place.name, kind);
        }
    }

    fn count(&mut self, dir: &OwnedFd, name: &CStr, kind: FileType) {
        self.gathered.left.entries += 1;
        match kind {
            FileType::Directory => self.found.push(CopyTask {
                relative: self.path.as_slice().into(),
                what: TaskKind::Count,
            }),
            FileType::RegularFile => {
                let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
                self.gathered.left.bytes += stat.as_ref().map_or(0, size_of);
            }
            _ => {}
        }
    }

    /// Counts what is in a directory that is left out; unreadable entries there
    /// are ignored.
    fn count_dir(&mut self) {
        let Ok(dir) = open_dir(&self.job.from, &self.path) else {
            return;
        };
        let mut entries = std::mem::take(&mut self.entries);
        let _ = entries.read(&dir);
        let length = self.path.len();
        for (name, kind) in entries.iter() {
            child(&mut self.path, length, name);
            self.count(&dir, name, kind);
        }
        self.path.truncate(length);
        self.entries = entries;
    }

    fn reading(&self, error: io::Error) -> CopyError {
        CopyError::reading(&below(self.job.source, &self.path), error)
    }

    fn writing(&self, error: io::Error) -> CopyError {
        CopyError::writing(&below(self.job.target, &self.path), error)
    }

    /// Notes an error; one that stops the copy stops it for all.
    fn record_error(&mut self, error: CopyError) {
        let mut ends = locked(&self.job.ends);
        if error.stops {
            ends.stopped.get_or_insert(error);
            self.job.queue.stop();
        } else {
            ends.errors.add(&self.path, error);
        }
    }

    fn refuse(&mut self, error: anyhow::Error) {
        let mut ends = locked(&self.job.ends);
        if ends
            .refused
            .as_ref()
            .is_none_or(|(path, _)| self.path < *path)
        {
            ends.refused = Some((self.path.clone(), error));
        }
    }
}

fn size_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// A path in a directory, or the directory itself.
fn below(top: &Path, relative: &[u8]) -> PathBuf {
    if relative.is_empty() {
        top.to_path_buf()
    } else {
        top.join(path_of(relative))
    }
}
