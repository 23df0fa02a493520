//! The entries of a product, as its manifest lists them.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::evidence::Sha256Digest;

/// Something in a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FlatEntry")]
pub struct Entry {
    /// Where it is, below the product.
    pub path: EncodedPath,
    /// What it is.
    #[serde(flatten)]
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its permissions.
        mode: Mode,
        /// Its bytes.
        size: u64,
        /// Its digest.
        sha256: Sha256Digest,
    },
    /// A directory.
    Directory {
        /// Its permissions.
        mode: Mode,
    },
    /// A symbolic link; its mode means nothing on Linux.
    Link {
        /// What it says, as it says it.
        target: EncodedPath,
    },
    /// A named pipe.
    Fifo {
        /// Its permissions.
        mode: Mode,
    },
    /// A socket.
    Socket {
        /// Its permissions.
        mode: Mode,
    },
    /// A block device.
    BlockDevice {
        /// Its permissions.
        mode: Mode,
    },
    /// A character device.
    CharacterDevice {
        /// Its permissions.
        mode: Mode,
    },
}

/// An entry as it stands in the text. Read so, an entry is read at once; serde
/// would first keep each flattened one as loose values, which takes several times
/// as long.
#[derive(Deserialize)]
struct FlatEntry {
    path: EncodedPath,
    kind: KindName,
    mode: Option<Mode>,
    size: Option<u64>,
    sha256: Option<Sha256Digest>,
    target: Option<EncodedPath>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KindName {
    File,
    Directory,
    Link,
    Fifo,
    Socket,
    BlockDevice,
    CharacterDevice,
}

impl TryFrom<FlatEntry> for Entry {
    type Error = String;

    fn try_from(flat: FlatEntry) -> Result<Entry, String> {
        let path = flat.path;
        let missing = |what| format!("{path} has no {what}");
        let mode = || flat.mode.ok_or_else(|| missing("mode"));
        let kind = match flat.kind {
            KindName::File => EntryKind::File {
                mode: mode()?,
                size: flat.size.ok_or_else(|| missing("size"))?,
                sha256: flat.sha256.ok_or_else(|| missing("sha256"))?,
            },
            KindName::Directory => EntryKind::Directory { mode: mode()? },
            KindName::Link => EntryKind::Link {
                target: flat.target.ok_or_else(|| missing("target"))?,
            },
            KindName::Fifo => EntryKind::Fifo { mode: mode()? },
            KindName::Socket => EntryKind::Socket { mode: mode()? },
            KindName::BlockDevice => EntryKind::BlockDevice { mode: mode()? },
            KindName::CharacterDevice => EntryKind::CharacterDevice { mode: mode()? },
        };
        Ok(Entry { path, kind })
    }
}

/// The permissions of an entry: the lower twelve bits of its mode, written in
/// octal with a leading zero as `find -printf %#m` does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// The permissions in a mode of `stat`.
    pub fn of(mode: u32) -> Mode {
        Mode(mode & 0o7777)
    }

    /// The twelve bits.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            mode => write!(f, "0{mode:o}"),
        }
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mode({self})")
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mode = u32::from_str_radix(&text, 8).map_err(serde::de::Error::custom)?;
        Ok(Mode::of(mode))
    }
}

/// A path as a manifest writes it, so that any bytes come back as they were and
/// no JSON escape is ever needed: `"`, `%`, `\`, control characters and all
/// bytes above 0x7e are `%` and two upper-case hexadecimal digits (RFC 3986,
/// 2.1), everything else stands for itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncodedPath(PathBuf);

/// What does not stand for itself, besides what is not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b'"').add(b'%').add(b'\\');

impl EncodedPath {
    /// A path of whatever bytes.
    pub fn new(path: impl Into<PathBuf>) -> EncodedPath {
        EncodedPath(path.into())
    }

    /// The path itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_os_str().as_bytes()
    }
}

impl fmt::Display for EncodedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        percent_encode(self.bytes(), ENCODED).fmt(f)
    }
}

impl fmt::Debug for EncodedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedPath({self})")
    }
}

impl Serialize for EncodedPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EncodedPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EncodedPath, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes: Vec<u8> = percent_decode_str(&text).collect();
        Ok(EncodedPath(OsString::from_vec(bytes).into()))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn any_path_comes_back_and_needs_no_escape() {
        let all: Vec<u8> = (1..=255).collect();
        for (path, text) in [
            (&b"a b/c"[..], "\"a b/c\""),
            (b"50%", "\"50%25\""),
            (b"a\"b\\c\nd", "\"a%22b%5Cc%0Ad\""),
            ("ü".as_bytes(), "\"%C3%BC\""),
            (b"\xff\x7f", "\"%FF%7F\""),
        ] {
            let encoded = EncodedPath::new(OsStr::from_bytes(path));
            assert_eq!(serde_json::to_string(&encoded).unwrap(), text);
        }
        let path = EncodedPath::new(OsStr::from_bytes(&all));
        let text = serde_json::to_string(&path).unwrap();
        assert!(!text.contains('\\') && text.is_ascii(), "{text}");
        assert_eq!(serde_json::from_str::<EncodedPath>(&text).unwrap(), path);
    }

    #[test]
    fn modes_are_written_as_find_does() {
        for (mode, text) in [(0o100644, "0644"), (0o104755, "04755"), (0, "0")] {
            assert_eq!(Mode::of(mode).to_string(), text);
        }
    }
}
