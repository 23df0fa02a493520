//! What is in a product, with the digests of its files, as a manifest says it.

use std::path::Path;

use crate::evidence::Sha256Digest;
use crate::evidence::manifest::{EncodedPath, Entry, EntryKind, Mode};
use crate::staging::{self, HashPolicy, ListedEntry, Listing, Selection};

/// Digests that are known already, while copying for example: asked
/// with a path below the product and the length of the file.
pub type KnownDigests<'a> = &'a (dyn Fn(&Path, u64) -> Option<[u8; 32]> + Sync);

/// What an entry is, but for a regular file: that takes a digest.
pub(super) fn kind(listed: &ListedEntry<'_>) -> Option<EntryKind> {
    let mode = Mode::of(listed.mode);
    Some(match listed.kind {
        staging::ListedKind::File { .. } => return None,
        staging::ListedKind::Dir => EntryKind::Directory { mode },
        staging::ListedKind::Link { leads_to } => EntryKind::Link {
            target: EncodedPath::new(leads_to),
        },
        staging::ListedKind::Fifo => EntryKind::Fifo { mode },
        staging::ListedKind::Socket => EntryKind::Socket { mode },
        staging::ListedKind::BlockDevice => EntryKind::BlockDevice { mode },
        staging::ListedKind::CharacterDevice => EntryKind::CharacterDevice { mode },
    })
}

/// Everything but what a function of the path says.
pub(super) struct ExcludePaths<F>(pub(super) F);

impl<F: Fn(&Path) -> bool + Sync> Selection for ExcludePaths<F> {
    fn excludes(&self, relative: &Path, _is_dir: bool) -> bool {
        (self.0)(relative)
    }
}

/// Lists everything below `root` with its digests, without the files of the
/// names in `without` in `root` itself. What `known` does not know is read, on
/// as many threads as there are processors.
///
/// # Errors
///
/// When something cannot be read.
pub fn list(root: &Path, without: &[&str], known: KnownDigests<'_>) -> anyhow::Result<Vec<Entry>> {
    let selection = ExcludePaths(|path: &Path| without.iter().any(|name| path == *name));
    let digests =
        |path: &Path, size| known(path, size).map_or(HashPolicy::Compute, HashPolicy::Reuse);
    let seen = staging::scan_tree(root, &selection, &digests)?;
    Ok(entries(&seen.listing, Path::new("")))
}

/// The entries of a listing whose files all have digests, each path below `top`.
pub fn entries(listing: &Listing, top: &Path) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(listing.len());
    for listed in listing.entries(top) {
        let kind = match (kind(&listed), listed.kind) {
            (Some(kind), _) => kind,
            (
                None,
                staging::ListedKind::File {
                    size,
                    sha256: Some(sha256),
                },
            ) => EntryKind::File {
                mode: Mode::of(listed.mode),
                size,
                sha256: Sha256Digest::from(*sha256),
            },
            (None, _) => continue,
        };
        entries.push(Entry {
            path: EncodedPath::new(listed.path),
            kind,
        });
    }
    entries
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_list_has_all_kinds_sorted_by_bytes_and_asks_before_it_reads() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in ["a", "a/deep", "b"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        for name in ["a/deep/file", "a-file", "b/known", "left out", "b/left out"] {
            fs::write(root.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("../nowhere", root.join("a/link")).unwrap();
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            root.join("pipe"),
            rustix::fs::Mode::from(0o600),
        )
        .unwrap();
        let known = |path: &Path, _| (path == "b/known").then_some([7; 32]);
        let list = list(root, &["left out"], &known).unwrap();
        let paths: Vec<String> = list.iter().map(|entry| entry.path.to_string()).collect();
        assert_eq!(
            paths,
            [
                "a",
                "a-file",
                "a/deep",
                "a/deep/file",
                "a/link",
                "b",
                "b/known",
                "b/left out",
                "pipe"
            ]
        );
        let EntryKind::File { sha256, size, .. } = &list[1].kind else {
            panic!("{:?}", list[1]);
        };
        assert_eq!(*size, 6);
        assert_eq!(*sha256, Sha256Digest::from(Sha256::digest("a-file")));
        let EntryKind::File { sha256, .. } = &list[6].kind else {
            panic!("{:?}", list[6]);
        };
        assert_eq!(sha256.to_string(), "07".repeat(32));
        assert_eq!(
            list[4].kind,
            EntryKind::Link {
                target: EncodedPath::new("../nowhere")
            }
        );
        assert!(matches!(list[8].kind, EntryKind::Fifo { .. }));
    }
}
