//! Files and directories that are made with fixed permissions, whatever the umask; a file that
//! is replaced in one step.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

/// What the names of files that are being written start with.
const START: &str = ".pixi-offline-new-";

/// Removes what killed runs left in `directory` of files that they wrote with
/// [`replace_file`]. Nobody else may be writing there.
///
/// # Errors
///
/// When the directory cannot be read or a file not be removed.
pub fn sweep_files(dir: &Path) -> anyhow::Result<()> {
    let sweeping = || format!("{} cannot be tidied", dir.display());
    for entry in fs::read_dir(dir).with_context(sweeping)? {
        let entry = entry.with_context(sweeping)?;
        let is_ours = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(START.as_bytes());
        if is_ours && entry.file_type().with_context(sweeping)?.is_file() {
            fs::remove_file(entry.path()).with_context(sweeping)?;
        }
    }
    Ok(())
}

/// Makes a directory that everybody may read and its owner may write, whatever the umask and
/// the directory that it is in.
///
/// # Errors
///
/// When it is there already or cannot be made.
pub fn make_dir(dir: &Path) -> std::io::Result<()> {
    fs::create_dir(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
}

/// Writes a file into a directory that is not in its place yet: nobody looks at it, and
/// it comes to the disk with the directory. It can be read by all and written by its
/// owner.
///
/// # Errors
///
/// When it cannot be written: no space, no permission.
pub fn write_file(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        fs::write(file, content)?;
        fs::set_permissions(file, fs::Permissions::from_mode(0o644))
    };
    write().with_context(|| format!("{} cannot be written", file.display()))
}

/// Writes a file beside its place, brings it to the disk, and puts it there in
/// one step; it can be read by all and written by its owner. Where that fails,
/// what was there stays.
///
/// # Errors
///
/// When it cannot be written: no space, no permission.
pub fn replace_file(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let dir = file.parent().context("it has no directory")?;
        let mut new = tempfile::Builder::new().prefix(START).tempfile_in(dir)?;
        new.write_all(content)?;
        new.as_file()
            .set_permissions(fs::Permissions::from_mode(0o644))?;
        new.as_file().sync_all()?;
        new.persist(file).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(|| format!("{} cannot be written", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        replace_file(&file, b"old").unwrap();
        replace_file(&file, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o644
        );
        // A directory in its place.
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).unwrap();
        let error = replace_file(&taken, b"new").unwrap_err();
        assert!(
            format!("{error:#}").contains("taken cannot be written"),
            "{error:#}"
        );
        assert!(taken.is_dir());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
