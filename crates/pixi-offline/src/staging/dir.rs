//! What is in one directory.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::Read as _;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::path::Arg;

use crate::untrusted_dir::open_below;

/// How an entry is opened that was listed as a directory.
pub(super) const DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Bytes as a path.
pub(super) fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// A path below a directory as the system takes it, where the directory itself is the
/// empty path.
fn at(relative: &[u8]) -> &[u8] {
    if relative.is_empty() { b"." } else { relative }
}

/// Opens a directory by its path below another one, as [`open_below`] does.
pub(super) fn open_dir(top: impl AsFd, relative: &[u8]) -> Result<OwnedFd, Errno> {
    open_below(top, at(relative), DIR)
}

/// Makes the path of a directory, of this length, that of an entry in it.
pub(super) fn child(path: &mut Vec<u8>, dir: usize, name: &CStr) {
    path.truncate(dir);
    if dir > 0 {
        path.push(b'/');
    }
    path.extend_from_slice(name.to_bytes());
}

/// Whether a regular file in a directory begins with `text`. A link is not followed, and
/// nothing else is waited for; what cannot be read does not.
pub(super) fn begins_with(dir: impl AsFd, name: impl Arg, text: &[u8]) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(dir, name, flags, Mode::empty()) else {
        return false;
    };
    let is_file = rustix::fs::fstat(&file)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    let mut start = vec![0; text.len()];
    is_file && File::from(file).read_exact(&mut start).is_ok() && start == text
}

/// The entries of a directory, in memory that is used again for the next one.
#[derive(Default)]
pub(super) struct DirEntries {
    buffer: Vec<u8>,
    /// The names, each with a NUL at its end.
    names: Vec<u8>,
    found: Vec<ListedName>,
}

/// One entry, as the directory lists it.
#[derive(Clone, Copy)]
struct ListedName {
    inode: u64,
    name: usize,
    kind: FileType,
}

impl DirEntries {
    /// Reads a directory. An error leaves what was read until then.
    pub(super) fn read(&mut self, dir: impl AsFd) -> Result<(), Errno> {
        self.names.clear();
        self.found.clear();
        self.buffer.clear();
        self.buffer.reserve(32 * 1024);
        let buffer: &mut [MaybeUninit<u8>] = self.buffer.spare_capacity_mut();
        let mut listing = RawDir::new(dir, buffer);
        let result = loop {
            match listing.next() {
                None => break Ok(()),
                Some(Err(Errno::INTR)) => {}
                Some(Err(error)) => break Err(error),
                Some(Ok(entry)) => {
                    let name = entry.file_name().to_bytes_with_nul();
                    if name == b".\0" || name == b"..\0" {
                        continue;
                    }
                    self.found.push(ListedName {
                        inode: entry.ino(),
                        name: self.names.len(),
                        kind: entry.file_type(),
                    });
                    self.names.extend_from_slice(name);
                }
            }
        };
        // Directories of ext4 list by hash; by inode a disk reads forwards.
        self.found
            .sort_unstable_by_key(|entry| (entry.inode, entry.name));
        result
    }

    /// The names and kinds; a kind is `Unknown` where the file system does not say.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&CStr, FileType)> {
        self.found.iter().map(|entry| {
            let name = CStr::from_bytes_until_nul(&self.names[entry.name..]).unwrap_or_default();
            (name, entry.kind)
        })
    }
}
