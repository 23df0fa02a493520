//! Deleting a folder with all that is in it.

use std::fs;
use std::io;
use std::path::Path;

use crate::untrusted_dir::UntrustedDir;

/// Deletes `folder`, entering also folders that their modes close (package
/// caches hold some of mode 0555), however deep they are nested. Links are deleted,
/// never followed. A folder that is not there is no error.
///
/// # Errors
///
/// When something in it cannot be deleted, or is mounted there.
pub fn remove_folder(folder: &Path) -> io::Result<()> {
    match UntrustedDir::of_file(folder) {
        Ok((parent, name)) => parent.remove(name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A container can make a tree that no path names and that takes more descriptors
    /// than a process has; the next run removes it.
    #[test]
    fn a_folder_is_deleted_however_deep_it_is() {
        use rustix::fs::{Mode, OFlags};
        let place = tempfile::tempdir().unwrap();
        let top = place.path().join("top");
        fs::create_dir(&top).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut folder = rustix::fs::open(&top, flags, Mode::empty()).unwrap();
        for _ in 0..10_000 {
            rustix::fs::mkdirat(&folder, "d", Mode::RWXU).unwrap();
            let next = rustix::fs::openat(&folder, "d", flags, Mode::empty());
            folder = next.unwrap();
        }
        drop(folder);
        remove_folder(&top).unwrap();
        assert!(!top.exists());
        remove_folder(&top).unwrap();
        // Nor is one whose parent is not there.
        remove_folder(&top.join("d/d")).unwrap();
    }
}
