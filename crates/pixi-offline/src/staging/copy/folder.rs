//! What lies in one folder.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

/// The entries of a folder, in memory that is used again for the next one.
#[derive(Default)]
pub(super) struct Entries {
    buffer: Vec<u8>,
    /// The names, each with a NUL at its end.
    names: Vec<u8>,
    found: Vec<Found>,
}

/// One entry, as the folder lists it.
#[derive(Clone, Copy)]
struct Found {
    inode: u64,
    name: usize,
    kind: FileType,
}

impl Entries {
    /// Reads a folder. An error leaves what was read until then.
    pub(super) fn read(&mut self, folder: impl AsFd) -> Result<(), Errno> {
        self.names.clear();
        self.found.clear();
        self.buffer.clear();
        self.buffer.reserve(32 * 1024);
        let buffer: &mut [MaybeUninit<u8>] = self.buffer.spare_capacity_mut();
        let mut listing = RawDir::new(folder, buffer);
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
                    self.found.push(Found {
                        inode: entry.ino(),
                        name: self.names.len(),
                        kind: entry.file_type(),
                    });
                    self.names.extend_from_slice(name);
                }
            }
        };
        // Folders of ext4 list by hash; by inode a disk reads forwards.
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
