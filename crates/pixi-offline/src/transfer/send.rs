//! Writing a tree as a tar stream.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tar::{Builder, EntryType, Header};

use crate::staging::Rules;
use crate::transfer::{DEDUP_REF, SAME_SIZE, last_entry};
use crate::untrusted_dir::UntrustedDir;

/// Writes what is in `directory` (not the directory itself) as a tar stream that ends
/// with an entry named after `end_marker`, without what `rules` exclude.
pub fn send(dir: &Path, rules: &Rules, to: impl Write, end_marker: &str) -> anyhow::Result<()> {
    let mut sender = Sender::new(to);
    sender.dir(dir, Path::new(""), rules, &|_, _| None)?;
    sender.finish(end_marker).map(drop)
}

/// What went into a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendStats {
    /// Entries.
    pub entries: u64,
    /// Content of regular files, in bytes.
    pub bytes: u64,
    /// Content that the receiver has already and that was not sent, in bytes.
    pub bytes_skipped: u64,
}

/// Writes trees as one tar stream.
///
/// Directories, regular files and links are sent; each name of a hard-linked file
/// is sent as a file of its own. Devices, fifos and sockets are left out: none
/// of them means anything on another machine.
///
/// # Errors
///
/// When something cannot be read, changes its length while it is read, or the
/// stream takes no more.
pub struct Sender<W: Write> {
    archive: Builder<W>,
    sent: SendStats,
}

impl<W: Write> Sender<W> {
    /// Begins a stream.
    pub fn new(to: W) -> Sender<W> {
        Sender {
            archive: Builder::new(to),
            sent: SendStats::default(),
        }
    }

    /// Adds a directory under the name `at`, or when that is empty what is in the
    /// directory, without what `rules`, on paths in the directory, exclude. Of a file for
    /// which `known` gives a path only that is sent: the receiver has the file there,
    /// with the same content, size, mode and times. `known` is asked with the
    /// file's path in the directory.
    ///
    /// # Errors
    ///
    /// When the stream cannot be written, or something changes while it is read.
    pub fn dir(
        &mut self,
        dir: &Path,
        at: &Path,
        rules: &Rules,
        known: &dyn Fn(&Path, &Metadata) -> Option<PathBuf>,
    ) -> anyhow::Result<()> {
        let mut walk = ignore::WalkBuilder::new(dir);
        walk.standard_filters(false).follow_links(false);
        let (top, rules) = (dir.to_owned(), rules.clone());
        let source = UntrustedDir::open(dir)?;
        walk.filter_entry(move |entry| {
            let relative = entry.path().strip_prefix(&top).unwrap_or(entry.path());
            let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
            entry.depth() == 0 || !rules.excludes(relative, is_dir)
        });
        for entry in walk.build() {
            let entry = entry?;
            if entry.depth() == 0 && at.as_os_str().is_empty() {
                continue;
            }
            let path = entry.path();
            let relative = path.strip_prefix(dir).unwrap_or(path);
            let name = match entry.depth() {
                0 => at.to_owned(),
                _ => at.join(relative),
            };
            let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
            let known = |metadata: &Metadata| known(relative, metadata);
            let file = is_file.then_some((&source, relative));
            self.append(path, &name, file, &known)
                .with_context(|| format!("{} cannot be sent", path.display()))?;
        }
        Ok(())
    }

    /// Adds a directory or file of these commands, empty, of the mode 0755 or 0644.
    ///
    /// # Errors
    ///
    /// When the stream takes no more.
    pub fn empty(&mut self, kind: EntryType, name: &Path) -> anyhow::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_size(0);
        self.archive
            .append_data(&mut header, name, io::empty())
            .with_context(|| format!("{} cannot be sent", name.display()))
    }

    /// Adds a file with this content, of the mode 0644.
    ///
    /// # Errors
    ///
    /// When the stream takes no more.
    pub fn file(&mut self, name: &Path, content: &[u8]) -> anyhow::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        self.archive
            .append_data(&mut header, name, content)
            .with_context(|| format!("{} cannot be sent", name.display()))
    }

    /// Adds a program.
    ///
    /// # Errors
    ///
    /// When the stream cannot be written, or something changes while it is read.
    pub fn program(&mut self, file: &Path, name: &Path) -> anyhow::Result<()> {
        let content = File::open(file)?;
        let length = content.metadata()?.len();
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o755);
        header.set_size(length);
        self.archive
            .append_data(&mut header, name, FixedLenReader::new(content, length))
            .with_context(|| format!("{} cannot be sent", file.display()))
    }

    /// Ends the stream with an entry named after `end_marker`.
    ///
    /// # Errors
    ///
    /// When the stream takes no more.
    pub fn finish(mut self, end_marker: &str) -> anyhow::Result<SendStats> {
        self.empty(EntryType::Regular, Path::new(&last_entry(end_marker)))
            .and_then(|()| Ok(self.archive.into_inner()?.flush()?))
            .context("the stream cannot be ended")?;
        Ok(self.sent)
    }

    /// Adds an entry; `file` is where it is below a directory, if it was a regular file
    /// when it was listed.
    fn append(
        &mut self,
        path: &Path,
        name: &Path,
        file: Option<(&UntrustedDir, &Path)>,
        known: &dyn Fn(&Metadata) -> Option<PathBuf>,
    ) -> anyhow::Result<()> {
        if let Some((dir, relative)) = file {
            // It may have become something else since it was listed.
            return self.append_file(dir.open_listed_file(relative)?, name, known);
        }
        let metadata = fs::symlink_metadata(path)?;
        let kind = metadata.file_type();
        let mut header = header_of(&metadata);
        let archive = &mut self.archive;
        if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
            send_time(archive, &metadata)?;
            archive.append_data(&mut header, name, io::empty())?;
        } else if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            send_time(archive, &metadata)?;
            archive.append_link(&mut header, name, fs::read_link(path)?)?;
        } else if kind.is_file() {
            return self.append_file(UntrustedDir::open_listed(path)?, name, known);
        } else {
            return Ok(());
        }
        self.sent.entries += 1;
        Ok(())
    }

    fn append_file(
        &mut self,
        file: File,
        name: &Path,
        known: &dyn Fn(&Metadata) -> Option<PathBuf>,
    ) -> anyhow::Result<()> {
        let metadata = file.metadata()?;
        let mut header = header_of(&metadata);
        header.set_entry_type(EntryType::Regular);
        let length = metadata.len();
        self.sent.entries += 1;
        if let Some(there) = known(&metadata) {
            let there = there.into_os_string();
            let length = length.to_string();
            self.archive.append_pax_extensions([
                ("mtime", time_of(&metadata).as_bytes()),
                (DEDUP_REF, there.as_bytes()),
                (SAME_SIZE, length.as_bytes()),
            ])?;
            self.sent.bytes_skipped += metadata.len();
            return Ok(self.archive.append_data(&mut header, name, io::empty())?);
        }
        header.set_size(length);
        send_time(&mut self.archive, &metadata)?;
        self.archive
            .append_data(&mut header, name, FixedLenReader::new(file, length))?;
        self.sent.bytes += length;
        Ok(())
    }
}

impl<W: Write> fmt::Debug for Sender<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("sent", &self.sent).finish()
    }
}

fn header_of(metadata: &Metadata) -> Header {
    let mut header = Header::new_ustar();
    header.set_mode(metadata.mode() & 0o7777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}

/// The time with its nanoseconds, as an extension of the entry that follows.
fn send_time(archive: &mut Builder<impl Write>, metadata: &Metadata) -> io::Result<()> {
    archive.append_pax_extensions([("mtime", time_of(metadata).as_bytes())])
}

fn time_of(metadata: &Metadata) -> String {
    format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec())
}

/// A file that is read for the length its header promises: a log that grows
/// meanwhile is cut there, one that shrank is an error.
#[derive(Debug)]
pub struct FixedLenReader {
    file: File,
    left: u64,
}

impl FixedLenReader {
    /// The first `length` bytes of a file, and an error where it has fewer.
    pub fn new(file: File, length: u64) -> FixedLenReader {
        FixedLenReader { file, left: length }
    }
}

impl io::Read for FixedLenReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let most = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let length = self.file.read(&mut buffer[..most])?;
        if length == 0 {
            return Err(io::Error::other(
                "the file became shorter while it was read",
            ));
        }
        self.left -= length as u64;
        Ok(length)
    }
}
