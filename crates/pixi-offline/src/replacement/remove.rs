//! Deleting a directory with all that is in it.

use std::fs;
use std::io;
use std::path::Path;

use crate::untrusted_dir::UntrustedDir;

/// Deletes `directory`, entering also directories that their modes close (package
/// caches hold some of mode 0555), however deep they are nested. Links are deleted,
/// never followed. A directory that is not there is no error.
///
/// # Errors
///
/// When something in it cannot be deleted, or is mounted there.
pub fn remove_dir(dir: &Path) -> io::Result<()> {
    match UntrustedDir::of_file(dir) {
        Ok((parent, name)) => parent.remove(name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Deletes what is in `directory`, and keeps the directory; makes it, with its
/// parents, when it is not there. The entry `mark` goes last: a run that is killed
/// meanwhile leaves a directory that is known by it. The entry `kept` stays.
///
/// # Errors
///
/// When an entry cannot be deleted or the directory cannot be made.
pub fn clear_dir(dir: &Path, mark: &Path, kept: Option<&Path>) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path() == mark || Some(entry.path().as_path()) == kept {
            continue;
        }
        if entry.file_type()?.is_dir() {
            remove_dir(&entry.path())?;
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
    fn a_dir_is_deleted_however_deep_it_is() {
        use rustix::fs::{Mode, OFlags};
        let place = tempfile::tempdir().unwrap();
        let top = place.path().join("top");
        fs::create_dir(&top).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut dir = rustix::fs::open(&top, flags, Mode::empty()).unwrap();
        for _ in 0..10_000 {
            rustix::fs::mkdirat(&dir, "d", Mode::RWXU).unwrap();
            let next = rustix::fs::openat(&dir, "d", flags, Mode::empty());
            dir = next.unwrap();
        }
        drop(dir);
        remove_dir(&top).unwrap();
        assert!(!top.exists());
        remove_dir(&top).unwrap();
        // Nor is one whose parent is not there.
        remove_dir(&top.join("d/d")).unwrap();
    }
}
