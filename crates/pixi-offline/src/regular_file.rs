//! Reads a file that another user made: only when it is a regular one, links to it
//! followed, and only so much of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file. What is not a file is not waited for.
///
/// # Errors
///
/// As the system's; `InvalidInput` for what is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    Ok(file)
}

/// Reads a regular file of at most `longest` bytes.
///
/// # Errors
///
/// As [`open`]; `FileTooLarge` for a longer one.
pub fn read(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is longer than {longest} bytes"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_regular_files_are_read_and_none_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "abc").unwrap();
        symlink("file", path("link")).unwrap();
        symlink("nothing", path("dangling")).unwrap();
        symlink("circle", path("circle")).unwrap();
        let fifo = path("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        assert_eq!(read(&path("link"), 3).unwrap(), b"abc");
        let kind = |path: &Path, longest| read(path, longest).unwrap_err().kind();
        assert_eq!(kind(&path("file"), 2), io::ErrorKind::FileTooLarge);
        assert_eq!(kind(&path("dangling"), 3), io::ErrorKind::NotFound);
        assert_eq!(kind(dir.path(), 3), io::ErrorKind::IsADirectory);
        assert_eq!(kind(&fifo, 3), io::ErrorKind::InvalidInput);
        assert!(read(&path("circle"), 3).is_err());
        assert_eq!(kind(Path::new("/dev/zero"), 3), io::ErrorKind::InvalidInput);
    }
}
