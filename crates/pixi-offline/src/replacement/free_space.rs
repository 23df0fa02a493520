//! Whether there is room for a new directory, asked before anything is written.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{StatVfs, statvfs};

use crate::failure::Failure;
use crate::host_env;

/// The room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpace {
    /// Bytes.
    pub bytes: u64,
    /// Inodes; `None` where the file system makes them as it needs them.
    pub entries: Option<u64>,
}

impl FreeSpace {
    /// What this user may still write on the file system of `place`, which is
    /// there, or of the first directory above it that is.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn free(place: &Path) -> anyhow::Result<FreeSpace> {
        let there = place.ancestors().find(|dir| dir.exists()).unwrap_or(place);
        let answer = statvfs(there)
            .with_context(|| format!("cannot read the free space of {}", there.display()))?;
        // The rest is kept back for root.
        let (blocks, inodes) = if rustix::process::geteuid().is_root() {
            (answer.f_bfree, answer.f_ffree)
        } else {
            (answer.f_bavail, answer.f_favail)
        };
        Ok(FreeSpace {
            bytes: blocks.saturating_mul(answer.f_frsize),
            entries: (answer.f_files > 0).then_some(inodes),
        })
    }

    /// Whether all that is on the file system of each source would fit, which
    /// spares to measure them.
    fn holds_all_of(&self, sources: &[&Path]) -> bool {
        let mut used = FreeSpace {
            bytes: 0,
            entries: Some(0),
        };
        let mut asked = Vec::new();
        for source in sources {
            let (Ok(answer), Ok(metadata)) = (statvfs(*source), fs::metadata(source)) else {
                return false;
            };
            // Each file system counts once.
            if !asked.contains(&metadata.dev()) {
                asked.push(metadata.dev());
                used = used.and(&answer);
            }
        }
        self.holds(used.bytes, used.entries.unwrap_or(0))
    }

    fn and(self, answer: &StatVfs) -> FreeSpace {
        let blocks = answer.f_blocks.saturating_sub(answer.f_bfree);
        let inodes = answer.f_files.saturating_sub(answer.f_ffree);
        FreeSpace {
            bytes: self
                .bytes
                .saturating_add(blocks.saturating_mul(answer.f_frsize)),
            entries: self.entries.map(|entries| entries.saturating_add(inodes)),
        }
    }

    fn holds(&self, bytes: u64, entries: u64) -> bool {
        bytes <= self.bytes && self.entries.is_none_or(|free| entries <= free)
    }
}

/// Space on a disk that stays free while another program decides how much is written to
/// it: a gibibyte, or half of what is free at the beginning where that is less.
#[derive(Debug)]
pub struct Reserve {
    place: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// The reserve on the file system of `place`.
    ///
    /// # Errors
    ///
    /// When its free space cannot be read.
    pub fn on(place: &Path) -> anyhow::Result<Reserve> {
        const GIBIBYTE: u64 = 1 << 30;
        let free = FreeSpace::free(place)?.bytes;
        Ok(Reserve {
            place: place.to_owned(),
            bytes: host_env::reserved_space().unwrap_or(GIBIBYTE.min(free / 2)),
        })
    }

    /// One of this many bytes.
    #[cfg(test)]
    pub(crate) fn of(place: &Path, bytes: u64) -> Reserve {
        Reserve {
            place: place.to_owned(),
            bytes,
        }
    }

    /// Requires that it is still free.
    ///
    /// # Errors
    ///
    /// Exit code 1 when it is not.
    pub fn require(&self) -> anyhow::Result<()> {
        let free = FreeSpace::free(&self.place)?.bytes;
        if free >= self.bytes {
            return Ok(());
        }
        Err(Failure::general(format!(
            "the disk of {} is nearly full: {free} bytes are free, and the run ends where less than {} are left; free some, or choose another place",
            self.place.display(),
            self.bytes
        )))
    }
}

/// Requires that copies of `sources` fit on the file system of `place`.
/// `measure` gives their size, in bytes of content and in entries, and is asked
/// only where it can matter.
///
/// # Errors
///
/// Exit code 1 with what is needed and what is there.
pub fn require_free_space(
    place: &Path,
    sources: &[&Path],
    measure: impl FnOnce() -> (u64, u64),
) -> anyhow::Result<()> {
    let free = FreeSpace::free(place)?;
    if free.holds_all_of(sources) {
        return Ok(());
    }
    let (bytes, entries) = measure();
    if free.holds(bytes, entries) {
        return Ok(());
    }
    let inodes = free
        .entries
        .map_or_else(String::new, |free| format!(" and {free} inodes"));
    Err(Failure::general(format!(
        "not enough space on {}: {bytes} bytes and {entries} inodes are needed, {} bytes{inodes} are free; free some, or choose another place",
        place.display(),
        free.bytes,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_bytes_and_too_many_entries_are_said_with_what_is_needed() {
        let root = tempfile::tempdir().unwrap();
        // A source that cannot be asked has to be measured.
        let sources = [Path::new("/nonexistent")];
        require_free_space(root.path(), &sources, || (1, 1)).unwrap();
        let error = require_free_space(root.path(), &sources, || (u64::MAX, 3)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("18446744073709551615 bytes and 3 inodes are needed"),
            "{error}"
        );
        if FreeSpace::free(root.path()).unwrap().entries.is_some() {
            require_free_space(root.path(), &sources, || (1, u64::MAX)).unwrap_err();
        }
    }

    #[test]
    fn a_reserve_that_is_used_up_is_said() {
        let root = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::on(root.path()).unwrap();
        reserve.require().unwrap();
        reserve.bytes = u64::MAX;
        let error = reserve.require().unwrap_err();
        assert_eq!(crate::failure::exit_code(&error), crate::failure::GENERAL);
        assert!(error.to_string().contains("nearly full"), "{error}");
    }

    #[test]
    fn a_place_that_is_not_there_yet_is_on_the_file_system_of_what_is_above_it() {
        let root = tempfile::tempdir().unwrap();
        let below = FreeSpace::free(&root.path().join("a/b/c")).unwrap();
        assert!(below.bytes > 0);
    }
}
