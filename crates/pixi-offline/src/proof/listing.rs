//! What is in a product: a walk of its tree, and the digests of its files.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::proof::Sha256Digest;
use crate::proof::manifest::{EncodedPath, Entry, Kind, Mode};

/// Digests that somebody has computed already, while copying for example: asked
/// with a path below the product.
pub type Known<'a> = &'a (dyn Fn(&Path) -> Option<[u8; 32]> + Sync);

/// How much of a file is read at once, in bytes.
const PIECE: usize = 128 * 1024;

/// Something that was seen in a tree; files are not read for it.
#[derive(Debug)]
pub(super) struct Seen {
    /// Where it is, below the root.
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
}

impl Seen {
    /// What it is, but for a regular file: that takes a digest.
    ///
    /// # Errors
    ///
    /// When a link cannot be read.
    pub(super) fn kind(&self, root: &Path) -> anyhow::Result<Option<Kind>> {
        let mode = Mode::of(self.metadata.mode());
        let file_type = self.metadata.file_type();
        Ok(Some(if file_type.is_file() {
            return Ok(None);
        } else if file_type.is_dir() {
            Kind::Directory { mode }
        } else if file_type.is_symlink() {
            let link = root.join(&self.path);
            let target = fs::read_link(&link)
                .with_context(|| format!("{} cannot be read", link.display()))?;
            Kind::Link {
                target: EncodedPath::new(target),
            }
        } else if file_type.is_fifo() {
            Kind::Fifo { mode }
        } else if file_type.is_socket() {
            Kind::Socket { mode }
        } else if file_type.is_block_device() {
            Kind::BlockDevice { mode }
        } else {
            Kind::CharacterDevice { mode }
        }))
    }
}

/// Everything below `root`, sorted by the bytes of the path; `skip` is asked
/// with a path below it, and nothing of a folder that it skips is seen.
///
/// # Errors
///
/// When a folder cannot be read.
pub(super) fn walk(
    root: &Path,
    skip: impl Fn(&Path) -> bool + Send + Sync + 'static,
) -> anyhow::Result<Vec<Seen>> {
    let top = root.to_owned();
    let mut walk = ignore::WalkBuilder::new(root);
    walk.standard_filters(false)
        .follow_links(false)
        .filter_entry(move |entry| {
            entry
                .path()
                .strip_prefix(&top)
                .is_ok_and(|path| !skip(path))
        });
    let mut all = Vec::new();
    for entry in walk.build() {
        let entry =
            entry.with_context(|| format!("{} cannot be read to its end", root.display()))?;
        let path = entry.path().strip_prefix(root)?.to_owned();
        if path.as_os_str().is_empty() {
            continue;
        }
        let metadata = entry
            .path()
            .symlink_metadata()
            .with_context(|| format!("{} cannot be read", entry.path().display()))?;
        all.push(Seen { path, metadata });
    }
    all.sort_by(|a, b| bytes(&a.path).cmp(bytes(&b.path)));
    Ok(all)
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// Lists everything below `root` with its digests, without the files of the
/// names in `without` in `root` itself. What `known` does not know is read, on
/// as many threads as there are processors.
///
/// # Errors
///
/// When something cannot be read.
pub fn list(
    root: &Path,
    without: &'static [&'static str],
    known: Known<'_>,
) -> anyhow::Result<Vec<Entry>> {
    let seen = walk(root, |path| without.iter().any(|name| path == *name))?;
    let files: Vec<&Path> = seen
        .iter()
        .filter(|seen| seen.metadata.is_file())
        .map(|seen| seen.path.as_path())
        .collect();
    let mut digests = digests(root, &files, known)?.into_iter();
    seen.iter()
        .map(|seen| {
            let kind = match seen.kind(root)? {
                Some(kind) => kind,
                None => Kind::File {
                    mode: Mode::of(seen.metadata.mode()),
                    size: seen.metadata.len(),
                    sha256: digests.next().context("each file has a digest")?,
                },
            };
            Ok(Entry {
                path: EncodedPath::new(&seen.path),
                kind,
            })
        })
        .collect()
}

/// The digests of files below `root`, in their order.
///
/// # Errors
///
/// When a file cannot be read.
pub(super) fn digests(
    root: &Path,
    files: &[&Path],
    known: Known<'_>,
) -> anyhow::Result<Vec<Sha256Digest>> {
    let next = AtomicUsize::new(0);
    // Each thread takes the next file, so that one with a large file holds up none.
    let work = || -> anyhow::Result<Vec<(usize, Sha256Digest)>> {
        let mut done = Vec::new();
        let mut buffer = vec![0; PIECE];
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = files.get(index) else {
                return Ok(done);
            };
            let digest = match known(path) {
                Some(digest) => Sha256Digest::from(digest),
                None => {
                    let file = root.join(path);
                    digest_of(&file, &mut buffer)
                        .with_context(|| format!("{} cannot be read", file.display()))?
                }
            };
            done.push((index, digest));
        }
    };
    let threads = thread::available_parallelism().map_or(1, |count| count.get());
    let mut all = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.min(files.len()))
            .map(|_| scope.spawn(work))
            .collect();
        let mut all = Vec::with_capacity(files.len());
        for thread in threads {
            match thread.join() {
                Ok(done) => all.extend(done?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        anyhow::Ok(all)
    })?;
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, digest)| digest).collect())
}

/// The digest of a file, read piece by piece.
fn digest_of(file: &Path, buffer: &mut [u8]) -> io::Result<Sha256Digest> {
    let mut file = File::open(file)?;
    let mut hash = Sha256::new();
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(Sha256Digest::from(hash.finalize())),
            Ok(length) => hash.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_all_kinds_sorted_by_bytes_and_asks_before_it_reads() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
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
        let known = |path: &Path| (path == "b/known").then_some([7; 32]);
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
        let Kind::File { sha256, size, .. } = &list[1].kind else {
            panic!("{:?}", list[1]);
        };
        assert_eq!(*size, 6);
        assert_eq!(*sha256, Sha256Digest::from(Sha256::digest("a-file")));
        let Kind::File { sha256, .. } = &list[6].kind else {
            panic!("{:?}", list[6]);
        };
        assert_eq!(sha256.to_string(), "07".repeat(32));
        assert_eq!(
            list[4].kind,
            Kind::Link {
                target: EncodedPath::new("../nowhere")
            }
        );
        assert!(matches!(list[8].kind, Kind::Fifo { .. }));
    }
}
