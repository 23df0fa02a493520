//! The content of regular files, on its way from one to the other.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;

use rustix::io::{Errno, retry_on_intr};
use sha2::{Digest as _, Sha256};

use super::copy_error::{changed, takes_no_more};

use crate::parallel::locked;

/// How much is read at a time, in bytes: what fits into a processor's own cache.
const BUFFER: usize = 128 * 1024;

/// Up to this length a file is read and written by us: one call each, where
/// copy_file_range(2) first puts up a pipe. Measured on tmpfs and ext4.
const BY_HAND: u64 = 64 * 1024;

/// The most that a file may hold whose size is reported as 0, in bytes: one that somebody
/// writes to as fast as it is read would have no end.
const LONGEST_UNTOLD: u64 = 64 << 20;

/// Which side failed.
#[derive(Debug)]
pub(in crate::staging) enum ContentError {
    Reading(io::Error),
    Writing(io::Error),
}

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::staging) struct FileData {
    pub(in crate::staging) length: u64,
    pub(in crate::staging) sha256: Option<[u8; 32]>,
}

/// Copies content. Each thread has one.
#[derive(Default)]
pub(in crate::staging) struct FileCopier {
    buffer: Vec<u8>,
}

impl FileCopier {
    /// Copies all that is in `reader` to the empty file `writer`. `expected` is
    /// the length that the file had when it was opened; what is added to it
    /// meanwhile is left out.
    pub(in crate::staging) fn copy(
        &mut self,
        reader: &OwnedFd,
        writer: &OwnedFd,
        expected: u64,
        hash: bool,
    ) -> Result<FileData, ContentError> {
        let mut copied = 0;
        if !hash && expected > BY_HAND {
            match by_kernel(reader, writer, expected, &mut copied) {
                Ok(()) => {
                    return Ok(FileData {
                        length: copied,
                        sha256: None,
                    });
                }
                Err(error) if takes_no_more(&error) && error.raw_os_error() != Some(EIO) => {
                    return Err(ContentError::Writing(error));
                }
                // That call does not say which side failed. The rest is done one side
                // at a time; both files are where the call left them.
                Err(_) => {}
            }
        }
        self.by_hand(reader, Some(writer), copied, expected, hash)
    }

    /// Reads a regular file only to hash it; what is added to it meanwhile is not read.
    pub(in crate::staging) fn hash(
        &mut self,
        reader: &OwnedFd,
        expected: u64,
    ) -> Result<FileData, ContentError> {
        if expected == 0 {
            let sha256 = Some(Sha256::new().finalize().into());
            return Ok(FileData { length: 0, sha256 });
        }
        self.by_hand(reader, None, 0, expected, true)
    }

    fn by_hand(
        &mut self,
        reader: &OwnedFd,
        writer: Option<&OwnedFd>,
        mut length: u64,
        expected: u64,
        hash: bool,
    ) -> Result<FileData, ContentError> {
        self.buffer.resize(BUFFER, 0);
        let mut sha256 = hash.then(Sha256::new);
        loop {
            // A file that says it is empty is asked, since those in /proc say so too.
            let wanted = if expected == 0 {
                BUFFER
            } else {
                BUFFER.min(usize::try_from(expected - length).unwrap_or(BUFFER))
            };
            let read = retry_on_intr(|| rustix::io::read(reader, &mut self.buffer[..wanted]))
                .map_err(|error| ContentError::Reading(error.into()))?;
            let bytes = &self.buffer[..read];
            if let Some(sha256) = &mut sha256 {
                sha256.update(bytes);
            }
            if let Some(writer) = writer {
                write_all(writer, bytes).map_err(ContentError::Writing)?;
            }
            length += read as u64;
            if expected == 0 && length > LONGEST_UNTOLD {
                return Err(ContentError::Reading(changed()));
            }
            if read == 0 || length == expected {
                return Ok(FileData {
                    length,
                    sha256: sha256.map(|sha256| sha256.finalize().into()),
                });
            }
        }
    }
}

fn write_all(writer: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = retry_on_intr(|| rustix::io::write(writer, bytes))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
    }
    Ok(())
}

/// In the kernel, which shares the blocks on file systems that do that.
fn by_kernel(
    reader: &OwnedFd,
    writer: &OwnedFd,
    expected: u64,
    copied: &mut u64,
) -> io::Result<()> {
    while *copied < expected {
        let wanted = usize::try_from(expected - *copied).unwrap_or(usize::MAX);
        let wanted = wanted.min(1 << 30);
        let more =
            retry_on_intr(|| rustix::fs::copy_file_range(reader, None, writer, None, wanted))?;
        if more == 0 && *copied == 0 {
            // Some file systems give nothing here for files that have content.
            return Err(Errno::INVAL.into());
        }
        if more == 0 {
            break;
        }
        *copied += more as u64;
    }
    Ok(())
}

const EIO: i32 = Errno::IO.raw_os_error();

/// Which pairs of devices can share blocks; each is tried once.
#[derive(Default)]
pub(in crate::staging) struct ReflinkSupport(Mutex<HashMap<(u64, u64), bool>>);

impl ReflinkSupport {
    /// Makes the empty file `writer` share the blocks of `reader`. False when
    /// they cannot; a failing try for each file would cost time.
    pub(in crate::staging) fn try_clone(
        &self,
        reader: impl AsFd,
        writer: impl AsFd,
        devices: (u64, u64),
    ) -> io::Result<bool> {
        let known = locked(&self.0).get(&devices).copied();
        if known == Some(false) {
            return Ok(false);
        }
        match rustix::fs::ioctl_ficlone(writer, reader) {
            Ok(()) => {
                if known.is_none() {
                    locked(&self.0).insert(devices, true);
                }
                Ok(true)
            }
            Err(error) if takes_no_more(&error.into()) && error != Errno::IO => Err(error.into()),
            // One file may be special (swap, no copy on write) where others are not.
            Err(_) => {
                locked(&self.0).entry(devices).or_insert(false);
                Ok(false)
            }
        }
    }
}
