//! Writing a tree as a tar stream.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, ensure};
use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header};

use crate::staging::Rules;
use crate::transfer::last_entry;

/// Writes what is in `folder` (not the folder itself) as a tar stream that ends
/// with an entry named after `mark`, without what `rules` exclude.
///
/// Folders, regular files and links are sent; each name of a hard-linked file
/// is sent as a file of its own. Devices, fifos and sockets are left out: none
/// of them means anything on another machine.
///
/// # Errors
///
/// When something cannot be read, changes its length while it is read, or the
/// stream takes no more.
pub fn send(folder: &Path, rules: &Rules, to: impl Write, mark: &str) -> anyhow::Result<()> {
    let mut archive = Builder::new(to);
    let mut walk = ignore::WalkBuilder::new(folder);
    walk.standard_filters(false).follow_links(false);
    let (top, rules) = (folder.to_owned(), rules.clone());
    walk.filter_entry(move |entry| {
        let relative = entry.path().strip_prefix(&top).unwrap_or(entry.path());
        let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
        entry.depth() == 0 || !rules.excludes(relative, is_dir)
    });
    for entry in walk.build() {
        let entry = entry?;
        if entry.depth() == 0 {
            continue;
        }
        let path = entry.path();
        let name = path.strip_prefix(folder).unwrap_or(path);
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        append(&mut archive, path, name, is_file)
            .with_context(|| format!("{} cannot be sent", path.display()))?;
    }
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_size(0);
    archive
        .append_data(&mut header, last_entry(mark), io::empty())
        .and_then(|()| archive.into_inner()?.flush())
        .context("the stream cannot be ended")
}

/// Adds an entry; `is_file` says that it was a regular file when it was listed.
fn append(
    archive: &mut Builder<impl Write>,
    path: &Path,
    name: &Path,
    is_file: bool,
) -> anyhow::Result<()> {
    if is_file {
        return append_file(archive, path, name);
    }
    let metadata = fs::symlink_metadata(path)?;
    let kind = metadata.file_type();
    let mut header = header_of(&metadata);
    if kind.is_dir() {
        header.set_entry_type(EntryType::Directory);
        send_time(archive, &metadata)?;
        archive.append_data(&mut header, name, io::empty())?;
    } else if kind.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        send_time(archive, &metadata)?;
        archive.append_link(&mut header, name, fs::read_link(path)?)?;
    } else if kind.is_file() {
        append_file(archive, path, name)?;
    }
    Ok(())
}

fn append_file(archive: &mut Builder<impl Write>, path: &Path, name: &Path) -> anyhow::Result<()> {
    // It may have become something else since it was listed.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    ensure!(metadata.is_file(), "it changed while it was being sent");
    let mut header = header_of(&metadata);
    header.set_entry_type(EntryType::Regular);
    header.set_size(metadata.len());
    send_time(archive, &metadata)?;
    let mut exactly = Exactly::new(file, metadata.len());
    archive.append_data(&mut header, name, &mut exactly)?;
    Ok(())
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
    let time = format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec());
    archive.append_pax_extensions([("mtime", time.as_bytes())])
}

/// A file that is read for the length its header promises: a log that grows
/// meanwhile is cut there, one that shrank is an error.
#[derive(Debug)]
pub(crate) struct Exactly {
    file: File,
    left: u64,
}

impl Exactly {
    /// The first `length` bytes of a file, and an error where it has fewer.
    pub(crate) fn new(file: File, length: u64) -> Exactly {
        Exactly { file, left: length }
    }
}

impl io::Read for Exactly {
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
