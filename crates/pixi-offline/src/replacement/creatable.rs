//! Whether something can be made at a place, known before the work whose result goes there.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;

use crate::failure::Failure;

/// Requires that this user can make a file or a directory at `path`, an absolute path, with the
/// directories that are missing on the way to it. Touches nothing: what is to go there may take
/// an hour to be made.
///
/// # Errors
///
/// Exit code 1, naming the option and the directory that cannot be written to; 2 where a file is
/// on the way.
pub fn require_creatable(option: &str, path: &Path) -> anyhow::Result<()> {
    require(option, path, "made")
}

/// Requires that this user can put another directory in the place of one that is there.
///
/// # Errors
///
/// Exit code 1, naming the option and the directory that cannot be written to.
pub(super) fn require_replaceable(option: &str, dir: &Path) -> anyhow::Result<()> {
    require(option, dir, "replaced")
}

/// Requires a directory that this user can write into, or can make.
///
/// # Errors
///
/// As [`require_creatable`]; exit code 2 for something else than a directory.
pub fn require_writable_dir(option: &str, dir: &Path) -> anyhow::Result<()> {
    require_no_file(option, dir)?;
    if !dir.exists() {
        return require_creatable(option, dir);
    }
    match unwritable(dir) {
        Some(why) => Err(Failure::general(format!(
            "{option} {} cannot be written to: {why}; choose another place",
            dir.display()
        ))),
        None => Ok(()),
    }
}

/// Requires that nothing else than a directory is at a path.
///
/// # Errors
///
/// Exit code 2.
pub fn require_no_file(option: &str, dir: &Path) -> anyhow::Result<()> {
    match fs::metadata(dir) {
        Ok(metadata) if !metadata.is_dir() => Err(Failure::usage(format!(
            "{option} {} is not a directory; choose another place",
            dir.display()
        ))),
        _ => Ok(()),
    }
}

fn require(option: &str, path: &Path, done: &str) -> anyhow::Result<()> {
    let mut above = path.ancestors().skip(1);
    let Some(dir) = above.find(|dir| fs::symlink_metadata(dir).is_ok()) else {
        return Ok(());
    };
    if fs::metadata(dir).is_ok_and(|metadata| !metadata.is_dir()) {
        return Err(Failure::usage(format!(
            "{option} {} cannot be {done}: {} is not a directory; choose another place",
            path.display(),
            dir.display()
        )));
    }
    match unwritable(dir) {
        Some(why) => Err(Failure::general(format!(
            "{option} {} cannot be {done}: {} cannot be written to: {why}; choose another place",
            path.display(),
            dir.display()
        ))),
        None => Ok(()),
    }
}

/// Why this process can make nothing in a directory; `None` also where that cannot be told.
fn unwritable(dir: &Path) -> Option<io::Error> {
    let mode = Access::WRITE_OK | Access::EXEC_OK;
    match rustix::fs::accessat(CWD, dir, mode, AtFlags::EACCESS) {
        Ok(()) | Err(Errno::NOSYS | Errno::INVAL) => None,
        Err(error) => Some(error.into()),
    }
}
