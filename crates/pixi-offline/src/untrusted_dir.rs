//! A directory that a container could write to, and the only way to work in it.
//!
//! Whatever is in such a directory may have been put there by hostile code: a
//! symbolic link that leads to a file of the user, a fifo that never ends, a sparse
//! file of terabytes. [`UntrustedDir`] opens the directory once and works by its
//! descriptor from then on. The path that leads to the directory is the caller's own
//! and is resolved as usual; below it no symbolic link is followed, in no component.
//! Only regular files are read, and only up to a limit.
//!
//! Each component is opened by itself with `O_NOFOLLOW`, since the paths here have four
//! components at most. Whole trees are read by `openat2(2)` with `RESOLVE_NO_SYMLINKS`
//! where the kernel has it and the seccomp profile allows it ([`open_below`]). The crate
//! cap-std follows links as long as they stay inside of its root; here no link is followed
//! at all.

mod below;
mod remove;
#[cfg(test)]
mod tests;

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::digest::Sha256Digest;
use crate::host_env;

pub use below::open_below;

/// How much of a record, a list or an answer is read, in bytes.
pub const RECORD_LIMIT: u64 = 64 << 20;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// An open fifo or device would wait for its other side without `O_NONBLOCK`.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// What the names of files start with that are being written.
const UNFINISHED: &str = ".pixi-offline-new-";

/// How much is read at a time, in bytes.
const PIECE: usize = 64 * 1024;

/// A directory that a container could write to.
#[derive(Debug)]
pub struct UntrustedDir {
    fd: OwnedFd,
    /// For messages only.
    path: PathBuf,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name.
    pub name: OsString,
    /// What it is, never `Unknown`.
    pub kind: FileType,
}

impl UntrustedDir {
    /// Opens the directory at a path that the caller trusts.
    ///
    /// # Errors
    ///
    /// When it is not a directory, or cannot be opened.
    pub fn open(path: &Path) -> io::Result<UntrustedDir> {
        // The last component may be a link: the caller named it.
        let flags = DIRECTORY.difference(OFlags::NOFOLLOW);
        Ok(UntrustedDir {
            fd: rustix::fs::open(path, flags, Mode::empty())?,
            path: path.to_owned(),
        })
    }

    /// Opens the directory that a file is in, and gives the file's name.
    ///
    /// # Errors
    ///
    /// As [`UntrustedDir::open`], and when the path has no name.
    pub fn of_file(path: &Path) -> io::Result<(UntrustedDir, &OsStr)> {
        match (path.parent(), path.file_name()) {
            (Some(dir), Some(name)) => Ok((UntrustedDir::open(dir)?, name)),
            _ => Err(no_path(path)),
        }
    }

    /// Its path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is at a path in it; `None` when nothing is.
    ///
    /// # Errors
    ///
    /// When a directory on the way is none.
    pub fn kind(&self, relative: impl AsRef<Path>) -> io::Result<Option<FileType>> {
        match self.stat(relative.as_ref()) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The mode of what is at a path in it, with its kind.
    ///
    /// # Errors
    ///
    /// When nothing is there.
    pub fn mode(&self, relative: impl AsRef<Path>) -> io::Result<u32> {
        Ok(self.stat(relative.as_ref())?.st_mode)
    }

    fn stat(&self, relative: &Path) -> io::Result<Stat> {
        self.at(relative, |parent, name| {
            Ok(rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?)
        })
    }

    /// Opens a directory in it.
    ///
    /// # Errors
    ///
    /// When it, or one on the way to it, is no real directory.
    pub fn open_dir(&self, relative: impl AsRef<Path>) -> io::Result<UntrustedDir> {
        let relative = relative.as_ref();
        let fd = self.at(relative, open_dir_at)?;
        Ok(UntrustedDir {
            fd,
            path: self.path.join(relative),
        })
    }

    /// As [`UntrustedDir::open_dir`]; where the directory's mode closes it to its
    /// owner, that is changed.
    pub fn open_dir_as_owner(&self, relative: impl AsRef<Path>) -> io::Result<UntrustedDir> {
        let relative = relative.as_ref();
        let fd = self.at(relative, remove::open)?;
        Ok(UntrustedDir {
            fd,
            path: self.path.join(relative),
        })
    }

    /// Makes a directory in it, where there is nothing of its name, and opens it.
    ///
    /// # Errors
    ///
    /// When there is something, or it cannot be made.
    pub fn create_dir(&self, relative: impl AsRef<Path>) -> io::Result<UntrustedDir> {
        let relative = relative.as_ref();
        self.at(relative, |parent, name| {
            Ok(rustix::fs::mkdirat(parent, name, Mode::from(0o777))?)
        })?;
        self.open_dir(relative)
    }

    /// Opens a regular file in it for reading, and gives its size. A file that grows
    /// while it is read is read up to that size by [`UntrustedDir::read`].
    ///
    /// # Errors
    ///
    /// When it is anything but a regular file; nothing is waited for.
    pub fn open_file(&self, relative: impl AsRef<Path>) -> io::Result<(File, u64)> {
        let relative = relative.as_ref();
        // A device is looked at first: to open one can do something.
        require_file(self.stat(relative)?.st_mode)?;
        let fd = self.at(relative, |parent, name| {
            Ok(rustix::fs::openat(parent, name, FILE, Mode::empty())?)
        })?;
        let stat = rustix::fs::fstat(&fd)?;
        require_file(stat.st_mode)?;
        Ok((File::from(fd), u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// Reads a regular file of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// As [`UntrustedDir::open_file`], and when it is larger.
    pub fn read(&self, relative: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
        let (file, size) = self.open_file(relative)?;
        if size > limit {
            return Err(too_large(limit));
        }
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        // It may grow while it is read.
        file.take(limit + 1).read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            return Err(too_large(limit));
        }
        Ok(content)
    }

    /// Opens a file that was just listed as a regular one, by its whole path; one call
    /// of the system where many files are read.
    ///
    /// # Errors
    ///
    /// When it has become anything else; nothing is waited for.
    pub fn open_listed(path: &Path) -> io::Result<File> {
        let fd = rustix::fs::open(path, FILE, Mode::empty())?;
        require_file(rustix::fs::fstat(&fd)?.st_mode)?;
        Ok(File::from(fd))
    }

    /// Opens a file that was listed as a regular one, by its path in the directory; one
    /// call of the system where many files are read.
    ///
    /// # Errors
    ///
    /// When it, or a directory on the way, has become anything else; nothing is waited
    /// for.
    pub fn open_listed_file(&self, relative: &Path) -> io::Result<File> {
        let fd = open_below(&self.fd, relative.as_os_str().as_bytes(), FILE)?;
        require_file(rustix::fs::fstat(&fd)?.st_mode)?;
        Ok(File::from(fd))
    }

    /// Reads a regular file of at most `limit` bytes that is named by its whole path;
    /// links are followed up to the directory that it is in.
    pub fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(no_path(path));
        };
        // Whoever may enter a directory may read a file by its name.
        let flags = DIRECTORY.difference(OFlags::NOFOLLOW) | OFlags::PATH;
        let fd = rustix::fs::open(dir, flags, Mode::empty())?;
        let path = dir.to_owned();
        UntrustedDir { fd, path }.read(name, limit)
    }

    /// Hands the content of a regular file to `take`, a piece at a time, up to the
    /// size that it has when it is opened. Gives that size.
    ///
    /// # Errors
    ///
    /// As [`UntrustedDir::open_file`], and when it is larger than `limit` or becomes
    /// shorter.
    pub fn read_pieces(
        &self,
        relative: impl AsRef<Path>,
        limit: u64,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<u64> {
        let (mut file, size) = self.open_file(relative)?;
        if size > limit {
            return Err(too_large(limit));
        }
        let mut buffer = vec![0; PIECE];
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            match file.read(&mut buffer[..most]) {
                Ok(0) => return Err(io::Error::other("it became shorter while it was read")),
                Ok(length) => {
                    take(&buffer[..length]);
                    left -= length as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(size)
    }

    /// The sha256 of a regular file of at most `limit` bytes.
    pub fn digest(&self, relative: impl AsRef<Path>, limit: u64) -> io::Result<Sha256Digest> {
        let mut hasher = Sha256::new();
        self.read_pieces(relative, limit, |piece| hasher.update(piece))?;
        Ok(Sha256Digest::from(hasher.finalize()))
    }

    /// Makes a new, empty file in the place of whatever has its name.
    ///
    /// # Errors
    ///
    /// When what has its name cannot be removed, or the file not be made.
    pub fn create_file(&self, relative: impl AsRef<Path>) -> io::Result<File> {
        let relative = relative.as_ref();
        self.remove(relative)?;
        self.at(relative, create_file_at)
    }

    /// Writes a file beside its place and puts it there in one step. What was there
    /// stays when that fails, and when it is a directory.
    ///
    /// # Errors
    ///
    /// When it cannot be written: no space, no permission, a directory in its place.
    pub fn replace_file(&self, name: impl AsRef<Path>, content: &[u8]) -> io::Result<()> {
        let name = name.as_ref();
        let unfinished = format!("{UNFINISHED}{}", &host_env::nonce()[..12]);
        let mut file = self.at(Path::new(&unfinished), create_file_at)?;
        file.write_all(content)
            .and_then(|()| self.rename(&unfinished, self, name))
            .inspect_err(|_| drop(self.remove(&unfinished)))
    }

    /// Renames an entry into this or another directory of the same file system. A
    /// file or link of the new name is replaced; neither name is followed.
    ///
    /// # Errors
    ///
    /// When it cannot be renamed, or a directory has the new name.
    pub fn rename(
        &self,
        from: impl AsRef<Path>,
        other: &UntrustedDir,
        to: impl AsRef<Path>,
    ) -> io::Result<()> {
        self.at(from.as_ref(), |old_parent, old| {
            other.at(to.as_ref(), |new_parent, new| {
                Ok(rustix::fs::renameat(old_parent, old, new_parent, new)?)
            })
        })
    }

    /// Hands every entry to `take`, in memory that does not grow with their number.
    /// Those that `take` removes or adds meanwhile may or may not be among the rest.
    ///
    /// # Errors
    ///
    /// When it cannot be read, and those of `take`.
    pub fn for_each_entry(
        &self,
        mut take: impl FnMut(DirEntry) -> io::Result<()>,
    ) -> io::Result<()> {
        for_each_name(self.fd.as_fd(), |name, kind| {
            let kind = match kind {
                FileType::Unknown => {
                    match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                        Err(Errno::NOENT) => return Ok(()),
                        Err(error) => return Err(error.into()),
                    }
                }
                kind => kind,
            };
            take(DirEntry {
                name: OsString::from_vec(name.to_bytes().to_vec()),
                kind,
            })
        })
    }

    /// What is in a directory that is named by its whole path; nothing when it is none, or
    /// cannot be read.
    pub fn entries_of(path: &Path) -> Vec<DirEntry> {
        let mut entries = Vec::new();
        // What was listed before an error is there.
        let _ = UntrustedDir::open(path).and_then(|dir| {
            dir.for_each_entry(|entry| {
                entries.push(entry);
                Ok(())
            })
        });
        entries
    }

    /// Removes what is at a path in it, directories with all that is in them.
    /// Nothing there is no error.
    ///
    /// # Errors
    ///
    /// When something of it cannot be removed.
    pub fn remove(&self, relative: impl AsRef<Path>) -> io::Result<()> {
        let removed = self.at(
            relative.as_ref(),
            |parent, name| match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
                Err(Errno::ISDIR) => remove::remove_tree(parent, name),
                result => Ok(result?),
            },
        );
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Its owner, group and mode.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn metadata(&self) -> io::Result<std::fs::Metadata> {
        File::from(self.fd.try_clone()?).metadata()
    }

    /// Carries `act` out on the parent of `relative` and the last component. Every
    /// directory on the way is opened without following a link.
    fn at<T>(
        &self,
        relative: &Path,
        act: impl FnOnce(BorrowedFd<'_>, &OsStr) -> io::Result<T>,
    ) -> io::Result<T> {
        let is_plain = |part| matches!(part, Component::Normal(_));
        let (true, Some(name)) = (relative.components().all(is_plain), relative.file_name()) else {
            return Err(no_path(relative));
        };
        let mut parent: Option<OwnedFd> = None;
        for component in relative.parent().into_iter().flat_map(Path::iter) {
            let here = parent.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
            let next = open_dir_at(here, component)?;
            parent = Some(next);
        }
        act(parent.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd), name)
    }
}

impl AsFd for UntrustedDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Hands the name of every entry of a directory to `take`, and its kind where the file
/// system tells it.
fn for_each_name(
    dir: BorrowedFd<'_>,
    mut take: impl FnMut(&CStr, FileType) -> io::Result<()>,
) -> io::Result<()> {
    // A listing has a position of its own.
    let listed = rustix::fs::openat(dir, c".", DIRECTORY, Mode::empty())?;
    // Not on the stack: `take` may list a directory in this one.
    let mut buffer: Vec<u8> = Vec::with_capacity(16 * 1024);
    let mut listing = RawDir::new(&listed, buffer.spare_capacity_mut());
    while let Some(entry) = listing.next() {
        match entry {
            Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
            Ok(entry) => take(entry.file_name(), entry.file_type())?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn open_dir_at(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    rustix::fs::openat(parent, name, DIRECTORY, Mode::empty()).map_err(|error| match error {
        // Linux says ENOTDIR of a link that is opened as a directory, too.
        Errno::LOOP | Errno::NOTDIR => {
            let kind = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
                .map(|stat| FileType::from_raw_mode(stat.st_mode));
            match kind {
                Ok(kind) if kind != FileType::Directory => not(kind, "directory"),
                _ => error.into(),
            }
        }
        error => error.into(),
    })
}

fn create_file_at(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(parent, name, flags, Mode::from(0o666))?;
    Ok(File::from(fd))
}

fn require_file(mode: rustix::fs::RawMode) -> io::Result<()> {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Ok(()),
        kind => Err(not(kind, "regular file")),
    }
}

/// What a kind of entry is called.
pub fn name_of(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a fifo",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    }
}

fn not(kind: FileType, wanted: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("it is {} and must be a {wanted}", name_of(kind)),
    )
}

fn no_path(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{path:?} is not a path below a directory"),
    )
}

fn too_large(limit: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("it is larger than {limit} bytes"),
    )
}
