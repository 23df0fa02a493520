//! The entries of a product, as its manifest lists them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::num::ParseIntError;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use memchr::memrchr;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use serde::{Deserialize, Serialize};
use serde_with::{DeserializeFromStr, SerializeDisplay};

use crate::escape::escape;
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
#[derive(Clone, Copy, PartialEq, Eq, SerializeDisplay, DeserializeFromStr)]
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

impl FromStr for Mode {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Mode, ParseIntError> {
        u32::from_str_radix(text, 8).map(Mode::of)
    }
}

/// A path as a manifest writes it, so that any bytes come back as they were and
/// no JSON escape is ever needed: `"`, `%`, `\`, control characters and all
/// bytes above 0x7e are `%` and two upper-case hexadecimal digits (RFC 3986,
/// 2.1), everything else stands for itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, SerializeDisplay, DeserializeFromStr)]
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

    /// The path as people read it: as it is where all of it can be seen, else encoded.
    pub fn shown(&self) -> String {
        match self.0.to_str() {
            Some(path) if escape(path) == path => path.to_owned(),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for EncodedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        percent_encode(self.bytes(), ENCODED).fmt(f)
    }
}

/// Adds a path as a manifest writes it.
pub(super) fn push_encoded(text: &mut Vec<u8>, path: &[u8]) {
    for piece in percent_encode(path, ENCODED) {
        text.extend_from_slice(piece.as_bytes());
    }
}

impl fmt::Debug for EncodedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedPath({self})")
    }
}

impl FromStr for EncodedPath {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<EncodedPath, Infallible> {
        let bytes = Cow::from(percent_decode_str(text)).into_owned();
        Ok(EncodedPath(OsString::from_vec(bytes).into()))
    }
}

/// The most bytes that the files of a product have: the offsets of Linux are signed.
const MOST_BYTES: u64 = i64::MAX as u64;

/// Requires that the entries of a list that another person may have written can be those of one
/// directory: each has a path of its own that leads to no other place, and is in a directory that is
/// listed, and so behind no link.
///
/// # Errors
///
/// When one does not, named.
pub(super) fn require_sound(entries: &[Entry]) -> anyhow::Result<()> {
    let dirs: HashSet<&[u8]> = entries
        .iter()
        .filter(|entry| matches!(entry.kind, EntryKind::Directory { .. }))
        .map(|entry| entry.path.bytes())
        .collect();
    let (mut before, mut known): (Option<&[u8]>, &[u8]) = (None, b"");
    // Whoever counts bytes later need not look whether a sum fits.
    let mut left = MOST_BYTES;
    for entry in entries {
        let path = entry.path.bytes();
        let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
        if path.contains(&0) || !path.split(|&byte| byte == b'/').all(is_name) {
            anyhow::bail!(
                "it lists \"{}\", which is not a path in a product",
                entry.path
            );
        }
        if before.is_some_and(|before| before >= path) {
            anyhow::bail!("it lists {} twice, or out of order", entry.path);
        }
        before = Some(path);
        let dir = memrchr(b'/', path).map_or(&b""[..], |end| &path[..end]);
        // What is in one directory mostly follows each other.
        if dir != known && !dir.is_empty() && !dirs.contains(dir) {
            anyhow::bail!(
                "it lists {}, and not the directory that this is in",
                entry.path
            );
        }
        known = dir;
        if let EntryKind::File { size, .. } = &entry.kind {
            left = left
                .checked_sub(*size)
                .context("its sizes add up to more than a file system can hold")?;
        }
        if let EntryKind::Link { target } = &entry.kind
            && (target.bytes().is_empty() || target.bytes().contains(&0))
        {
            anyhow::bail!("it lists the link {} without a target", entry.path);
        }
    }
    Ok(())
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
    fn people_see_a_path_as_it_is_where_all_of_it_can_be_seen() {
        for (path, shown) in [
            ("sub/ä b.txt".as_bytes(), "sub/ä b.txt"),
            (b"50%", "50%"),
            (b"a\nb", "a%0Ab"),
            ("a\u{202e}b".as_bytes(), "a%E2%80%AEb"),
            (b"\xff", "%FF"),
        ] {
            let path = EncodedPath::new(OsStr::from_bytes(path));
            assert_eq!(path.shown(), shown);
        }
    }

    #[test]
    fn only_what_can_be_one_directory_is_read() {
        let dir = |path: &str| {
            format!("{{\"path\":\"{path}\",\"kind\":\"directory\",\"mode\":\"0755\"}}")
        };
        let link = |path: &str, target: &str| {
            format!("{{\"path\":\"{path}\",\"kind\":\"link\",\"target\":\"{target}\"}}")
        };
        let sound = |entries: &[String]| {
            let text = format!("[{}]", entries.join(","));
            require_sound(&serde_json::from_str::<Vec<Entry>>(&text).unwrap())
        };
        sound(&[dir("a"), dir("a-b"), dir("a/b"), link("a/b/..c", "../../x")]).unwrap();
        for (entries, why) in [
            (vec![dir("")], "not a path"),
            (vec![dir("/a")], "not a path"),
            (vec![dir("a/")], "not a path"),
            (vec![dir("..")], "not a path"),
            (vec![dir("a"), dir("a/./b")], "not a path"),
            (vec![dir("a"), dir("a/../b")], "not a path"),
            (vec![dir("a%00b")], "not a path"),
            (vec![dir("a"), dir("a")], "twice"),
            (vec![dir("b"), dir("a")], "out of order"),
            (vec![dir("a/b")], "the directory"),
            (
                vec![link("a", "/etc"), link("a/passwd", "x")],
                "the directory",
            ),
            (vec![link("a", "")], "without a target"),
            (vec![link("a", "x%00")], "without a target"),
        ] {
            let error = sound(&entries).unwrap_err().to_string();
            assert!(error.contains(why), "{entries:?}: {error}");
        }
    }

    #[test]
    fn modes_are_written_as_find_does() {
        for (mode, text) in [(0o100644, "0644"), (0o104755, "04755"), (0, "0")] {
            assert_eq!(Mode::of(mode).to_string(), text);
        }
    }
}
