//! What went wrong with single entries.

use std::fmt;
use std::io;
use std::path::Path;

use anyhow::bail;
use rustix::io::Errno;

/// How many of the entries that could not be copied the error names.
const NAMED: usize = 5;

/// Why an entry was not copied, or not wholly.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CopyError {
    pub(super) text: String,
    /// The target takes no more at all.
    pub(super) stops: bool,
}

impl CopyError {
    pub(super) fn reading(path: &Path, error: io::Error) -> CopyError {
        CopyError {
            text: format!("{} cannot be read: {error}", path.display()),
            stops: false,
        }
    }

    pub(super) fn writing(path: &Path, error: io::Error) -> CopyError {
        CopyError {
            text: format!("{} cannot be written: {error}", path.display()),
            stops: takes_no_more(&error),
        }
    }
}

/// Whether an error of the target means that the next entry will fare no better.
pub(super) fn takes_no_more(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .map(Errno::from_raw_os_error)
        .is_some_and(|code| matches!(code, Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO))
}

/// What is to be said of an entry that is no longer what it was when listed.
pub(in crate::staging) fn changed() -> io::Error {
    io::Error::other("it changed while it was being read")
}

/// The errors that did not stop the copy: all counted, and of those the first
/// few by path kept, whichever thread met them when.
#[derive(Default)]
pub(super) struct ErrorSummary {
    count: u64,
    first: Vec<(Box<[u8]>, CopyError)>,
}

impl ErrorSummary {
    pub(super) fn add(&mut self, relative: &[u8], error: CopyError) {
        self.count += 1;
        let new = (Box::from(relative), error);
        let place = self.first.partition_point(|known| *known <= new);
        self.first.insert(place, new);
        self.first.truncate(NAMED);
    }

    pub(super) fn into_result(self, source: &Path, target: &Path) -> anyhow::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        bail!(
            "{} of the entries of {} could not be copied to {}; exclude them, or fix this:{self}",
            self.count,
            source.display(),
            target.display()
        )
    }
}

impl fmt::Display for ErrorSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (_, error) in &self.first {
            write!(formatter, "\n  {}", error.text)?;
        }
        match self.count - self.first.len() as u64 {
            0 => Ok(()),
            more => write!(formatter, "\n  and {more} more"),
        }
    }
}
