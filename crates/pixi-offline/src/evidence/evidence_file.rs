//! Reads a file of a product that may have been replaced on its way: by a link,
//! a pipe that never ends, a device, or something that does not fit into memory.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;

use crate::failure::Failure;
use crate::untrusted_dir::UntrustedDir;

/// The most that a record, a statement or an answer may have, in bytes.
pub const LONGEST_RECORD: u64 = 64 << 20;

/// The most that a list of a product may have, in bytes: some ten million entries.
pub const LONGEST_LIST: u64 = 4 << 30;

/// A file's content; `None` when there is nothing of that name.
///
/// # Errors
///
/// When it is not a regular file, has more than `limit` bytes (exit code 1), or cannot be
/// read.
pub fn read(file: &Path, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
    let refuse = |why: &str| {
        Failure::general(format!(
            "{} {why}; copy the complete product again, or make it again",
            file.display()
        ))
    };
    match UntrustedDir::read_file(file, limit) {
        Ok(content) => Ok(Some(content)),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Ok(None),
            ErrorKind::InvalidData => Err(refuse("is not a regular file")),
            ErrorKind::FileTooLarge => Err(refuse(&format!(
                "is larger than the limit of {limit} bytes"
            ))),
            _ => Err(error).with_context(|| format!("{} cannot be read", file.display())),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read_and_nothing_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "1234").unwrap();
        symlink(path("file"), path("link")).unwrap();
        symlink(path("gone"), path("dangling")).unwrap();
        fs::create_dir(path("dir")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("pipe"),
            rustix::fs::FileType::Fifo,
            0o644.into(),
            0,
        )
        .unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        File::create(path("sparse"))
            .unwrap()
            .set_len(10_000_000_000)
            .unwrap();
        assert_eq!(read(&path("file"), 4).unwrap().unwrap(), b"1234");
        assert_eq!(read(&path("gone"), 4).unwrap(), None);
        for name in ["link", "dangling", "dir", "pipe", "socket"] {
            let error = read(&path(name), 4).unwrap_err().to_string();
            assert!(error.contains("is not a regular file"), "{name}: {error}");
        }
        for (name, limit) in [("file", 3), ("sparse", LONGEST_RECORD)] {
            let error = read(&path(name), limit).unwrap_err().to_string();
            assert!(error.contains("is larger than"), "{name}: {error}");
        }
    }
}
