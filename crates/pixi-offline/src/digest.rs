//! SHA-256 digests.

use std::fmt;
use std::str::FromStr;

use serde_with::{DeserializeFromStr, SerializeDisplay};
use sha2::Sha256;
use sha2::digest::Output;

/// Bytes as lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// A SHA-256 digest, written as 64 lower-case hexadecimal digits.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SerializeDisplay, DeserializeFromStr,
)]
pub struct Sha256Digest([u8; 32]);

impl From<Output<Sha256>> for Sha256Digest {
    fn from(bytes: Output<Sha256>) -> Sha256Digest {
        Sha256Digest(bytes.into())
    }
}

impl From<[u8; 32]> for Sha256Digest {
    fn from(bytes: [u8; 32]) -> Sha256Digest {
        Sha256Digest(bytes)
    }
}

impl Sha256Digest {
    /// Its 64 lower-case hexadecimal digits.
    pub fn digits(&self) -> [u8; 64] {
        let mut digits = [0; 64];
        data_encoding::HEXLOWER.encode_mut(&self.0, &mut digits);
        digits
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256Digest({self})")
    }
}

impl FromStr for Sha256Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Sha256Digest, NoDigest> {
        let mut bytes = [0; 32];
        match data_encoding::HEXLOWER.decode_len(text.len()) {
            Ok(32) => data_encoding::HEXLOWER
                .decode_mut(text.as_bytes(), &mut bytes)
                .map(|_| Sha256Digest(bytes))
                .map_err(|_| NoDigest),
            _ => Err(NoDigest),
        }
    }
}

/// A text that is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDigest;

impl fmt::Display for NoDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not a sha256 digest of 64 lower-case hexadecimal digits")
    }
}

impl std::error::Error for NoDigest {}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written_and_nothing_else_is_one() {
        let digest = Sha256Digest::from(Sha256::digest("x"));
        let text = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        for wrong in [
            "",
            "2d",
            &text.to_uppercase(),
            &text[1..],
            &format!("{text}0"),
        ] {
            assert_eq!(wrong.parse::<Sha256Digest>(), Err(NoDigest), "{wrong}");
        }
        let json = format!("\"{text}\"");
        assert_eq!(serde_json::to_string(&digest).unwrap(), json);
        assert_eq!(serde_json::from_str::<Sha256Digest>(&json).unwrap(), digest);
    }
}
