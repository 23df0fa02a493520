//! What differs between the entries of two directories.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use itertools::{EitherOrBoth, Itertools as _};
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

/// The entries of two lists side by side, by path; `None` where one lacks it. Both are sorted.
fn side_by_side<'a>(
    old: impl Iterator<Item = (&'a [u8], &'a EntryKind)>,
    new: impl Iterator<Item = (&'a [u8], &'a EntryKind)>,
) -> impl Iterator<Item = (&'a [u8], Option<&'a EntryKind>, Option<&'a EntryKind>)> {
    let pairs = old.merge_join_by(new, |(one, _), (other, _)| one.cmp(other));
    pairs.map(|pair| match pair {
        EitherOrBoth::Left((path, before)) => (path, Some(before), None),
        EitherOrBoth::Right((path, after)) => (path, None, Some(after)),
        EitherOrBoth::Both((path, before), (_, after)) => (path, Some(before), Some(after)),
    })
}

impl DirComparison {
    /// Compares entries that are sorted by the bytes of their paths.
    pub(super) fn of<'a>(
        old: impl Iterator<Item = (&'a [u8], &'a EntryKind)>,
        new: impl Iterator<Item = (&'a [u8], &'a EntryKind)>,
    ) -> DirComparison {
        let mut comparison = DirComparison::default();
        for (path, before, after) in side_by_side(old, new) {
            if before == after {
                comparison.unchanged += 1;
                continue;
            }
            comparison.changes.push(EntryChange {
                path: EncodedPath::new(OsStr::from_bytes(path)),
                old: before.map(EntryFacts::of),
                new: after.map(EntryFacts::of),
            });
        }
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
        for (_, before, after) in side_by_side(old, new).filter(|(_, old, new)| old != new) {
            if let Some(EntryKind::File { size, .. }) = before {
                counts.old_files += 1;
                counts.old_bytes += size;
            }
            if let Some(EntryKind::File { size, .. }) = after {
                counts.new_files += 1;
                counts.new_bytes += size;
            }
        }
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
