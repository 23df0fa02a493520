//! The directory that a container has as its out directory, and how its files come
//! into the one here.
//!
//! Only this machine writes the logs and the record of a run. What runs in the
//! container gets a directory of its own (`VERIFY_OUT_DIR`), hidden in the out
//! directory; when the container is gone, its regular files and directories move to
//! where people look for them. A link, a fifo, a socket or a device could mislead or
//! hold up whoever reads them there, and is left out.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{FileType, Gid, Uid};
use rustix::io::Errno;

use crate::context::Context;
use crate::layout;
use crate::replacement::Reserve;
use crate::transfer::LeftBehind;
use crate::untrusted_dir::{DirEntry, UntrustedDir, name_of};

/// How many levels of directories are brought.
const DEPTH: usize = 128;

/// How much is copied before it is asked again what is left on the disk, in bytes.
const PIECE: u64 = 64 << 20;

/// How many of the entries that stay behind are named.
const NAMED: usize = 5;

/// What the names of our own files in an out directory start with.
const OWN: &str = ".pixi-offline-";

/// What the names start with under which an earlier run kept what it could not move.
const SET_ASIDE: &str = ".pixi-offline-left-";

/// The container's out directory, hidden in the one here; removed with this value.
pub(crate) struct ContainerOut {
    out: UntrustedDir,
}

impl ContainerOut {
    /// Makes it, empty, in an out directory that this run has locked. What a killed
    /// run left of the name goes.
    pub(crate) fn make(out: &Path) -> anyhow::Result<ContainerOut> {
        let make = || {
            let dir = UntrustedDir::open(out)?;
            dir.remove(layout::CONTAINER_OUT)?;
            remove_set_aside(&dir)?;
            let own = dir.create_dir(layout::CONTAINER_OUT)?;
            // Whoever may write into the out directory may write into this one, too:
            // the image may have a user that is not root, and the script in the
            // container gives files to the owner of this directory.
            let of_out = dir.metadata()?;
            rustix::fs::fchmod(&own, rustix::fs::Mode::from(of_out.mode() & 0o3777))?;
            if own.metadata()?.uid() != of_out.uid() {
                let (uid, gid) = (Uid::from_raw(of_out.uid()), Gid::from_raw(of_out.gid()));
                rustix::fs::fchown(&own, Some(uid), Some(gid))?;
            }
            io::Result::Ok(ContainerOut { out: dir })
        };
        make().with_context(|| format!("{} cannot be written", out.display()))
    }

    /// Its path on this machine.
    pub(crate) fn path(&self) -> PathBuf {
        self.out.path().join(layout::CONTAINER_OUT)
    }

    /// Brings what the container left in it into the out directory, in the place of
    /// what has the same name there, but never of `kept`. `below` is where in it the
    /// container's files are.
    pub(crate) fn move_out(
        self,
        below: impl AsRef<Path>,
        kept: &[PathBuf],
        context: &Context,
    ) -> anyhow::Result<()> {
        let from = Path::new(layout::CONTAINER_OUT).join(below);
        if let Err(error) = move_out(&self.out, &from, &self.out, kept, context) {
            let place = self.set_aside(context);
            return Err(error.context(format!("the rest is in {}", place.display())));
        }
        if let Err(error) = self.out.remove(layout::CONTAINER_OUT) {
            let place = self.set_aside(context);
            context.report.warning(format_args!(
                "{} holds what the container left and could not be moved ({error}); look at it as its owner; the next run with this directory removes it where it can",
                place.display()
            ));
        }
        Ok(())
    }

    /// Keeps what it holds under another name; gives its path.
    fn set_aside(&self, context: &Context) -> PathBuf {
        let aside = format!("{SET_ASIDE}{}", &context.nonce()[..12]);
        match self.out.rename(layout::CONTAINER_OUT, &self.out, &aside) {
            Ok(()) => self.out.path().join(aside),
            Err(_) => self.path(),
        }
    }
}

/// Removes what an earlier run set aside, as far as that may be removed: it was named then.
fn remove_set_aside(dir: &UntrustedDir) -> io::Result<()> {
    dir.for_each_entry(|DirEntry { name, .. }| {
        if name.as_encoded_bytes().starts_with(SET_ASIDE.as_bytes()) {
            let _ = dir.remove(&name);
        }
        Ok(())
    })
}

impl Drop for ContainerOut {
    fn drop(&mut self) {
        let _ = self.out.remove(layout::CONTAINER_OUT);
    }
}

/// Brings the container's files from the directory `from` in `dir` into `out`; see
/// [`ContainerOut::move_out`].
pub(crate) fn move_out(
    dir: &UntrustedDir,
    from: &Path,
    out: &UntrustedDir,
    kept: &[PathBuf],
    context: &Context,
) -> anyhow::Result<()> {
    let mut transfer = OutTransfer {
        kept: kept.iter().filter_map(|file| file.file_name()).collect(),
        reserve: Reserve::on(out.path())?,
        left: 0,
        named: Vec::new(),
    };
    dir.open_dir(from)
        .and_then(|from| transfer.contents(&from, out, Path::new(""), 0, false))
        .with_context(|| {
            format!(
                "cannot move the files of the container's out directory to {}",
                out.path().display()
            )
        })?;
    transfer.warn(context);
    Ok(())
}

/// Says which names at the top of a stream out of a container were not expected.
pub(crate) fn warn_of_left(left: &LeftBehind, context: &Context) {
    if left.count > 0 {
        let names: Vec<String> = left
            .first
            .iter()
            .map(|name| name.display().to_string())
            .collect();
        let more = match left.count - names.len() as u64 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        context.report.warning(format_args!(
            "{} entries that are not part of a workdir stay in the container: {}{more}",
            left.count,
            names.join(", ")
        ));
    }
}

struct OutTransfer<'a> {
    /// Names in the out directory that only we write.
    kept: Vec<&'a OsStr>,
    /// What stays free where files are copied from another file system.
    reserve: Reserve,
    /// How many entries stayed behind.
    left: u64,
    /// The first of them, each with the reason.
    named: Vec<String>,
}

impl OutTransfer<'_> {
    /// Brings what is in a directory; `is_mixed` is whether it was looked through
    /// already, and something in it cannot come along.
    fn contents(
        &mut self,
        from: &UntrustedDir,
        to: &UntrustedDir,
        at: &Path,
        depth: usize,
        is_mixed: bool,
    ) -> io::Result<()> {
        from.for_each_entry(|DirEntry { name, kind }| {
            let path = at.join(&name);
            if depth == 0 && self.kept.contains(&name.as_os_str()) {
                self.leave(&path, "has the name of a log or record");
            } else if depth == 0 && name.as_encoded_bytes().starts_with(OWN.as_bytes()) {
                self.leave(&path, "has a name that these commands use");
            } else if kind == FileType::RegularFile {
                self.file(from, to, &name, &path)?;
            } else if kind == FileType::Directory {
                self.directory(from, to, &path, depth, is_mixed)?;
            } else {
                self.leave(&path, name_of(kind));
            }
            Ok(())
        })
    }

    fn file(
        &mut self,
        from: &UntrustedDir,
        to: &UntrustedDir,
        name: &OsStr,
        path: &Path,
    ) -> io::Result<()> {
        if let Err(error) = without_set_id(from, name) {
            self.leave(path, &format!("has setuid or setgid: {error}"));
            return Ok(());
        }
        if to.kind(name)? == Some(FileType::Directory) {
            to.remove(name)?;
        }
        match from.rename(name, to, name) {
            // Its directory is another user's, or a file system of its own.
            Err(error) if is_refusal(&error) => {
                match self.copy(from, to, name) {
                    Ok(()) => {}
                    Err(error) if is_of_the_disk(&error) => return Err(error),
                    Err(error) => self.leave(path, &format!("cannot be read: {error}")),
                }
                Ok(())
            }
            result => result,
        }
    }

    /// Copies a file as long as the disk keeps its reserve: how large it is was not for this command
    /// to choose. None is left half.
    fn copy(&self, from: &UntrustedDir, to: &UntrustedDir, name: &OsStr) -> io::Result<()> {
        let (file, mut left) = from.open_file(name)?;
        let mut new = to.create_file(name)?;
        let mut copy = || {
            while left > 0 {
                self.reserve
                    .require()
                    .map_err(|error| io::Error::new(io::ErrorKind::StorageFull, error))?;
                match io::copy(&mut (&file).take(left.min(PIECE)), &mut new)? {
                    0 => return Ok(()),
                    copied => left -= copied,
                }
            }
            Ok(())
        };
        copy().inspect_err(|_| drop(to.remove(name)))
    }

    fn directory(
        &mut self,
        from: &UntrustedDir,
        to: &UntrustedDir,
        path: &Path,
        depth: usize,
        mut is_mixed: bool,
    ) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default();
        if depth >= DEPTH {
            self.leave(path, "is nested too deeply");
            return Ok(());
        }
        let child = match from.open_dir_as_owner(name) {
            Ok(child) => child,
            // I/O errors are returned, so that a failing disk is not mistaken for a missing file.
            Err(error) if is_of_the_disk(&error) => return Err(error),
            Err(_) => {
                self.leave(path, "cannot be opened");
                return Ok(());
            }
        };
        if to.kind(name)? != Some(FileType::Directory) {
            to.remove(name)?;
            if !is_mixed {
                // The usual case: nothing of it is here, and it moves as a whole.
                is_mixed = !self.without_what_stays(&child, path, depth + 1)?;
                if !is_mixed && from.rename(name, to, name).is_ok() {
                    return Ok(());
                }
            }
            let new = to.create_dir(name)?;
            let mode = child.metadata()?.mode() & 0o777;
            rustix::fs::fchmod(&new, rustix::fs::Mode::from(mode | 0o700))?;
        }
        self.contents(&child, &to.open_dir(name)?, path, depth + 1, is_mixed)
    }

    /// Takes out of a directory what is left out; gives whether all of it could be
    /// looked at, and may be moved as it is.
    fn without_what_stays(
        &mut self,
        dir: &UntrustedDir,
        at: &Path,
        depth: usize,
    ) -> io::Result<bool> {
        let mut is_clean = true;
        dir.for_each_entry(|DirEntry { name, kind }| {
            match kind {
                FileType::RegularFile => is_clean &= without_set_id(dir, &name).is_ok(),
                FileType::Directory if depth < DEPTH => match dir.open_dir_as_owner(&name) {
                    Ok(child) => {
                        is_clean &= self.without_what_stays(&child, &at.join(&name), depth + 1)?;
                    }
                    Err(error) if is_of_the_disk(&error) => return Err(error),
                    Err(_) => is_clean = false,
                },
                FileType::Directory => is_clean = false,
                _ if dir.remove(&name).is_ok() => self.leave(&at.join(&name), name_of(kind)),
                _ => is_clean = false,
            }
            Ok(())
        })?;
        Ok(is_clean)
    }

    fn leave(&mut self, path: &Path, why: &str) {
        self.left += 1;
        if self.named.len() < NAMED {
            self.named.push(format!("{} ({why})", path.display()));
        }
    }

    fn warn(&self, context: &Context) {
        if self.left == 0 {
            return;
        }
        let more = match self.left - self.named.len() as u64 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        context.report.warning(format_args!(
            "{} of the entries that the container left in $VERIFY_OUT_DIR are not kept: {}{more}; only regular files and directories are kept, and none in the place of a log",
            self.left,
            self.named.join(", ")
        ));
    }
}

/// Takes setuid and setgid from a file: whoever runs it here is another one.
fn without_set_id(dir: &UntrustedDir, name: &OsStr) -> io::Result<()> {
    let mode = dir.mode(name)?;
    if mode & 0o6000 == 0 {
        return Ok(());
    }
    match dir.open_file(name) {
        Ok((file, _)) => file.set_permissions(Permissions::from_mode(mode & 0o1777)),
        Err(error) => Err(error),
    }
}

/// Whether an error is the machine's and has nothing to do with what the container left.
fn is_of_the_disk(error: &io::Error) -> bool {
    if error.kind() == io::ErrorKind::StorageFull {
        return true;
    }
    let machine = [Errno::IO, Errno::NOMEM, Errno::MFILE, Errno::NFILE];
    machine
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::CrossesDevices
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::untrusted_dir::UntrustedDir;

    /// Brings what `fill` puts into the container's directory into one that is empty.
    fn moved(fill: impl Fn(&Path)) -> (tempfile::TempDir, u64) {
        let root = tempfile::tempdir().unwrap();
        let (from, out) = (root.path().join("from"), root.path().join("out"));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&out).unwrap();
        fill(&from);
        let mut transfer = OutTransfer {
            kept: Vec::new(),
            reserve: Reserve::on(root.path()).unwrap(),
            left: 0,
            named: Vec::new(),
        };
        let (from, out) = (UntrustedDir::open(&from), UntrustedDir::open(&out));
        transfer
            .contents(&from.unwrap(), &out.unwrap(), Path::new(""), 0, false)
            .unwrap();
        let left = transfer.left;
        (root, left)
    }

    #[test]
    fn files_arrive_without_setuid_and_closed_directories_with_what_is_in_them() {
        let set = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        let (root, left) = moved(|from| {
            fs::create_dir_all(from.join("sub/closed")).unwrap();
            for file in ["top", "sub/deep", "sub/closed/file"] {
                fs::write(from.join(file), "x").unwrap();
                set(&from.join(file), 0o6755);
            }
            set(&from.join("sub/closed"), 0);
        });
        assert_eq!(left, 0);
        for file in ["top", "sub/deep", "sub/closed/file"] {
            let arrived = fs::metadata(root.path().join("out").join(file)).unwrap();
            assert_eq!(arrived.mode() & 0o7777, 0o755, "{file}");
        }
        assert_eq!(fs::read_dir(root.path().join("from")).unwrap().count(), 0);
    }

    #[test]
    fn a_copy_ends_where_the_disk_would_lose_its_reserve_and_none_is_left_half() {
        let root = tempfile::tempdir().unwrap();
        let dir = |name: &str| {
            fs::create_dir(root.path().join(name)).unwrap();
            UntrustedDir::open(&root.path().join(name)).unwrap()
        };
        let (from, to) = (dir("from"), dir("to"));
        let file = from.create_file("sparse").unwrap();
        file.set_len(3 * PIECE + 1).unwrap();
        let copy = |reserve| {
            let transfer = OutTransfer {
                kept: Vec::new(),
                reserve,
                left: 0,
                named: Vec::new(),
            };
            transfer.copy(&from, &to, "sparse".as_ref())
        };
        let error = copy(Reserve::of(root.path(), u64::MAX)).unwrap_err();
        assert!(is_of_the_disk(&error), "{error}");
        assert!(error.to_string().contains("nearly full"), "{error}");
        assert_eq!(to.kind("sparse").unwrap(), None);
        copy(Reserve::of(root.path(), 0)).unwrap();
        let (_, size) = to.open_file("sparse").unwrap();
        assert_eq!(size, 3 * PIECE + 1);
    }

    #[test]
    fn what_is_nested_too_deeply_stays_behind_and_the_rest_arrives() {
        let (root, left) = moved(|from| {
            let mut dir = UntrustedDir::open(from).unwrap();
            for _ in 0..300 {
                dir.create_file("file").unwrap();
                dir = dir.create_dir("d").unwrap();
            }
        });
        assert_eq!(left, 1);
        let mut deepest = root.path().join("out");
        let mut levels = 0;
        while deepest.join("file").is_file() {
            deepest.push("d");
            levels += 1;
        }
        assert_eq!(levels, DEPTH + 1);
    }
}
