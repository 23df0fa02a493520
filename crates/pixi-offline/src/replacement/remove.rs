//! Deleting a folder with all that is in it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Deletes `folder`, entering also folders that their modes close (package
/// caches hold some of mode 0555). Links are deleted, never followed. A folder
/// that is not there is no error.
///
/// # Errors
///
/// When something in it cannot be deleted.
pub fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_folders(folder)?;
            fs::remove_dir_all(folder)
        }
        result => result,
    }
}

/// Deletes what is in `folder`, and keeps the folder; makes it, with its
/// parents, when it is not there. The entry `mark` goes last: a run that is killed
/// meanwhile leaves a folder that is known by it. The entry `kept` stays.
///
/// # Errors
///
/// When an entry cannot be deleted or the folder cannot be made.
pub fn clear_folder(folder: &Path, mark: &Path, kept: Option<&Path>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path() == mark || Some(entry.path().as_path()) == kept {
            continue;
        }
        if entry.file_type()?.is_dir() {
            remove_folder(&entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    match fs::remove_file(mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives the owner every right on `folder` and all folders in it.
fn open_folders(folder: &Path) -> io::Result<()> {
    let mode = fs::symlink_metadata(folder)?.permissions().mode();
    if mode & 0o700 != 0o700 {
        fs::set_permissions(folder, Permissions::from_mode(mode | 0o700))?;
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}
