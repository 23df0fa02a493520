//! Copying a single file.

use std::path::Path;
use std::{fs, io};

/// Copies the content and the permissions of one file, links followed; gives
/// its length in bytes.
#[allow(
    clippy::disallowed_methods,
    reason = "staging is where files are copied"
)]
pub fn copy_file(source: &Path, target: &Path) -> io::Result<u64> {
    fs::copy(source, target)
}
