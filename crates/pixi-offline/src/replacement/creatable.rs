//! Whether something can be made at a place, known before the work whose result goes there.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::Access;

use crate::failure::Failure;

/// The nearest directory of a path that is there, from its parent up.
fn nearest(path: &Path) -> Option<&Path> {
    let mut above = path.ancestors().skip(1);
    above.find(|dir| fs::symlink_metadata(dir).is_ok())
}

/// Why this user can make nothing at a path, with the directories that are missing on the way to
/// it; `None` where that is not known to be so.
pub(super) fn refusal(path: &Path) -> Option<String> {
    let dir = nearest(path)?;
    let why = not_writable(dir)?;
    Some(format!(
        "cannot be made: {} cannot be written to: {why}; choose another place",
        dir.display()
    ))
}

/// Why this user can make nothing in a directory that is there.
fn not_writable(dir: &Path) -> Option<io::Error> {
    let result = rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK);
    result.err().map(io::Error::from)
}

/// Requires that this user can make a file or a directory at `path`, an absolute path, with the
/// directories that are missing on the way to it. Touches nothing: what is to go there may take
/// an hour to be made.
///
/// # Errors
///
/// Exit code 1, naming the option and the directory that cannot be written to.
pub fn require_creatable(option: &str, path: &Path) -> anyhow::Result<()> {
    match refusal(path) {
        Some(why) => Err(Failure::general(format!(
            "{option} {} {why}",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// Requires a directory that this user can write into, or can make.
///
/// # Errors
///
/// As [`require_creatable`]; exit code 2 for something else than a directory.
pub fn require_writable_dir(option: &str, dir: &Path) -> anyhow::Result<()> {
    match fs::metadata(dir) {
        Ok(metadata) if !metadata.is_dir() => Err(Failure::usage(format!(
            "{option} {} is not a directory; choose another place",
            dir.display()
        ))),
        Ok(_) => match not_writable(dir) {
            Some(why) => Err(Failure::general(format!(
                "{option} {} cannot be written to: {why}; choose another place",
                dir.display()
            ))),
            None => Ok(()),
        },
        Err(_) => require_creatable(option, dir),
    }
}
