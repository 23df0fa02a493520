//! Removing a tree that an attacker made.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{for_each_name, open_dir_at};
use crate::host_env;

/// How many directories of one tree are open at a time. What is deeper is moved to
/// the top first, so that a tree of 100,000 levels takes neither as many descriptors
/// nor as much stack.
const DEPTH: usize = 32;

/// Removes a directory with all that is in it, also where modes close directories to
/// their owner. No link is followed and no mount is entered.
pub(super) fn remove_tree(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let top = open(parent, name)?;
    let mut tree = OpenTree {
        device: rustix::fs::fstat(&top)?.st_dev,
        moved: 0,
        start: host_env::nonce(),
        top,
    };
    let top = tree.top.try_clone()?;
    tree.empty(&top, DEPTH)?;
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

struct OpenTree {
    top: OwnedFd,
    device: u64,
    /// How many directories were moved to the top.
    moved: u64,
    /// What their names start with there.
    start: String,
}

impl OpenTree {
    /// Removes what is in a directory; directories more than `depth` levels below it
    /// are moved to the top and removed from there.
    fn empty(&mut self, dir: &OwnedFd, depth: usize) -> io::Result<()> {
        // Some file systems leave entries out of a listing while others are removed.
        loop {
            let mut is_empty = true;
            for_each_name(dir.as_fd(), |name, kind| {
                is_empty = false;
                if kind != FileType::Directory && remove_file(dir, name)? {
                    return Ok(());
                }
                self.remove_dir(dir, name, depth)
            })?;
            if is_empty {
                return Ok(());
            }
        }
    }

    fn remove_dir(&mut self, dir: &OwnedFd, name: &CStr, depth: usize) -> io::Result<()> {
        if depth == 0 {
            self.moved += 1;
            let new = format!("{}-{}", self.start, self.moved);
            return Ok(rustix::fs::renameat(dir, name, &self.top, new)?);
        }
        let child = open(dir.as_fd(), OsStr::from_bytes(name.to_bytes()))?;
        if rustix::fs::fstat(&child)?.st_dev != self.device {
            return Err(io::Error::other(format!(
                "{} is a mount point",
                name.to_string_lossy()
            )));
        }
        self.empty(&child, depth - 1)?;
        Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
    }
}

/// Removes what is not a directory; gives whether it was none.
fn remove_file(dir: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Opens a directory that is to be emptied, and gives its owner every right on it.
pub(super) fn open(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let all = Mode::from(0o700);
    let dir = match open_dir_at(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let closed = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            // The only way to change the mode of what cannot be opened, and not of
            // what a link of its name leads to.
            let known = format!("/proc/self/fd/{}", closed.as_raw_fd());
            rustix::fs::chmod(known, all).map_err(|_| error)?;
            open_dir_at(parent, name)?
        }
        result => result?,
    };
    if rustix::fs::fstat(&dir)?.st_mode & 0o700 != 0o700 {
        // What follows says more where it belongs to another user.
        let _ = rustix::fs::fchmod(&dir, all);
    }
    Ok(dir)
}
