//! Whether a directory or a file is there, links followed.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use rustix::io::Errno;

use crate::failure::Failure;
use crate::layout;

/// A directory that must be there.
///
/// # Errors
///
/// Exit code 2 naming the option when it is missing or no directory.
pub fn require_dir(option: &str, dir: &Path) -> anyhow::Result<()> {
    match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => {
            let is_manifest = layout::PROJECT_MANIFESTS
                .iter()
                .any(|name| dir.file_name() == Some(name.as_ref()));
            let instead = match dir.parent() {
                Some(parent) if is_manifest => {
                    format!("; name the directory that it is in: {}", parent.display())
                }
                _ => String::new(),
            };
            Err(Failure::usage(format!(
                "{option} {} is not a directory{instead}",
                dir.display()
            )))
        }
        Err(error) => Err(Failure::usage(format!(
            "{option} {} cannot be used: {error}",
            dir.display()
        ))),
    }
}

/// Whether there is a directory, links followed.
///
/// # Errors
///
/// When that cannot be known.
pub(crate) fn is_dir(path: &Path) -> anyhow::Result<bool> {
    Ok(there(path)?.is_some_and(|metadata| metadata.is_dir()))
}

/// What is at a path; `None` when the path does not exist or is not accessible.
///
/// # Errors
///
/// I/O errors are returned, so that a failing disk is not mistaken for a missing file.
pub(super) fn there(path: &Path) -> anyhow::Result<Option<fs::Metadata>> {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | PermissionDenied) => {
            Ok(None)
        }
        // A symbolic link loop leads nowhere.
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}
