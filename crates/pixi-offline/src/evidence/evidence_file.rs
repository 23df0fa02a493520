//! Reads a file of a product that may have been replaced on its way: by a link,
//! a pipe that never ends, a device, or something that does not fit into memory.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags};

use crate::failure::Failure;

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
    // A pipe is opened without waiting for its writer, and then refused.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(file, flags, Mode::empty()) {
        Ok(opened) => File::from(opened),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO | rustix::io::Errno::NODEV) => {
            return Err(refuse("is not a regular file"));
        }
        Err(error) => {
            return Err(io::Error::from(error))
                .with_context(|| format!("{} cannot be read", file.display()));
        }
    };
    let reading = || format!("{} cannot be read", file.display());
    let metadata = opened.metadata().with_context(reading)?;
    if !metadata.is_file() {
        return Err(refuse("is not a regular file"));
    }
    let too_long = || refuse(&format!("is larger than the limit of {limit} bytes"));
    if metadata.len() > limit {
        return Err(too_long());
    }
    let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // It may grow while it is read.
    opened
        .take(limit + 1)
        .read_to_end(&mut content)
        .with_context(reading)?;
    if content.len() as u64 > limit {
        return Err(too_long());
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use std::fs;
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
            Mode::from_raw_mode(0o644),
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
