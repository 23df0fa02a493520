//! What differs between the entries of two directories.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use serde::{Deserialize, Serialize};

use crate::evidence::Sha256Digest;
use crate::evidence::manifest::{EncodedPath, EntryKind};

/// What differs between two directories.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirComparison {
    /// What differs, by path.
    pub changes: Vec<EntryChange>,
    /// How many entries are the same.
    pub unchanged: u64,
}

/// An entry that was added, removed or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryChange {
    /// Its path below the directory, encoded as in `manifest.json`.
    pub path: EncodedPath,
    /// What it was; `None` when it was added.
    pub old: Option<EntryFacts>,
    /// What it is; `None` when it was removed.
    pub new: Option<EntryFacts>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryFacts {
    /// `file`, `directory`, `link`, `fifo`, `socket`, `block-device` or `character-device`.
    pub kind: Cow<'static, str>,
    /// The bytes of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The digest of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Digest>,
    /// The permissions, in octal; a link has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// What a link leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<EncodedPath>,
}

/// What differs between two directories, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCounts {
    /// Regular files that only the new one has, or that differ.
    pub new_files: u64,
    /// The bytes of these.
    pub new_bytes: u64,
    /// Regular files that only the old one has, or that differ.
    pub old_files: u64,
    /// The bytes of these.
    pub old_bytes: u64,
}

/// Gives `see` each path of two lists that are sorted by the bytes of the paths, with what the
/// old and the new one have there.
fn side_by_side<'a>(
    old: impl Iterator<Item = (&'a [u8], &'a EntryKind)>,
    new: impl Iterator<Item = (&'a [u8], &'a EntryKind)>,
    mut see: impl FnMut(&'a [u8], Option<&'a EntryKind>, Option<&'a EntryKind>),
) {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        let before = order.is_le().then(|| old.next()).flatten();
        let after = order.is_ge().then(|| new.next()).flatten();
        if let Some((path, _)) = before.or(after) {
            see(
                path,
                before.map(|(_, kind)| kind),
                after.map(|(_, kind)| kind),
            );
        }
    }
}

impl DirComparison {
    /// Compares entries that are sorted by the bytes of their paths.
    pub(super) fn of<'a>(
        old: impl Iterator<Item = (&'a [u8], &'a EntryKind)>,
        new: impl Iterator<Item = (&'a [u8], &'a EntryKind)>,
    ) -> DirComparison {
        let mut comparison = DirComparison::default();
        side_by_side(old, new, |path, before, after| {
            if before == after {
                comparison.unchanged += 1;
                return;
            }
            comparison.changes.push(EntryChange {
                path: EncodedPath::new(OsStr::from_bytes(path)),
                old: before.map(EntryFacts::of),
                new: after.map(EntryFacts::of),
            });
        });
        comparison
    }
}

impl FileCounts {
    /// Counts the files that differ of entries that are sorted by the bytes of their paths.
    pub(super) fn of<'a>(
        old: impl Iterator<Item = (&'a [u8], &'a EntryKind)>,
        new: impl Iterator<Item = (&'a [u8], &'a EntryKind)>,
    ) -> FileCounts {
        let mut counts = FileCounts::default();
        side_by_side(old, new, |_, before, after| {
            if before == after {
                return;
            }
            if let Some(EntryKind::File { size, .. }) = before {
                counts.old_files += 1;
                counts.old_bytes += size;
            }
            if let Some(EntryKind::File { size, .. }) = after {
                counts.new_files += 1;
                counts.new_bytes += size;
            }
        });
        counts
    }
}

impl EntryFacts {
    fn of(kind: &EntryKind) -> EntryFacts {
        let facts =
            |kind: &'static str, mode: Option<&crate::evidence::manifest::Mode>| EntryFacts {
                kind: kind.into(),
                size: None,
                sha256: None,
                mode: mode.map(ToString::to_string),
                target: None,
            };
        match kind {
            EntryKind::File { mode, size, sha256 } => EntryFacts {
                size: Some(*size),
                sha256: Some(*sha256),
                ..facts("file", Some(mode))
            },
            EntryKind::Directory { mode } => facts("directory", Some(mode)),
            EntryKind::Link { target } => EntryFacts {
                target: Some(target.clone()),
                ..facts("link", None)
            },
            EntryKind::Fifo { mode } => facts("fifo", Some(mode)),
            EntryKind::Socket { mode } => facts("socket", Some(mode)),
            EntryKind::BlockDevice { mode } => facts("block-device", Some(mode)),
            EntryKind::CharacterDevice { mode } => facts("character-device", Some(mode)),
        }
    }
}
