//! Names for things by what they were made from, so that a changed recipe makes a new thing.

use std::fmt::{self, Display, Write as _};
use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// A SHA-256 over all ingredients, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    /// Each part counts with its length, so that moving bytes between parts changes the name.
    pub(crate) fn of<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Fingerprint {
        let mut hasher = Sha256::new();
        for part in parts {
            let bytes = part.as_ref();
            hasher.update(bytes.len().to_le_bytes());
            hasher.update(bytes);
        }
        Fingerprint(hex(&hasher.finalize()))
    }

    /// Enough of it for the name of a directory, container or tag.
    pub(crate) fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of a file's bytes, in hexadecimal.
pub(crate) fn sha256_of_file(path: &Path) -> Result<String> {
    let read = || -> io::Result<String> {
        let mut hasher = Sha256::new();
        io::copy(&mut File::open(path)?, &mut hasher)?;
        Ok(hex(&hasher.finalize()))
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

/// The SHA-256 of bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }

    #[test]
    fn where_one_part_ends_counts() {
        assert_ne!(Fingerprint::of(["ab", "c"]), Fingerprint::of(["a", "bc"]));
        assert_eq!(Fingerprint::of(["ab", "c"]), Fingerprint::of(["ab", "c"]));
        assert_eq!(Fingerprint::of(["ab"]).short().len(), 12);
    }

    #[test]
    fn a_file_has_the_sum_of_its_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        assert_eq!(sha256_of_file(file.path()).unwrap(), sha256(b"abc"));
    }
}
