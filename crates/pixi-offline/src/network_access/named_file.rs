//! Reads a file of certificates or logins that an option names.

use std::path::Path;

use crate::failure::Failure;
use crate::regular_file;

/// No bundle of certificates and no list of logins is longer, in bytes.
const LONGEST: u64 = 16 << 20;

/// Reads a file that an option names.
///
/// # Errors
///
/// Exit code 2.
pub(super) fn read_named(option: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    regular_file::read(path, LONGEST).map_err(|error| {
        Failure::usage(format!(
            "{option} {} cannot be read: {error}; name another file",
            path.display()
        ))
    })
}
