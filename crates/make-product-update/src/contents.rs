//! The contents that an update brings: files named by their digests.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use pixi_offline::cancellation;
use pixi_offline::context::Context;
use pixi_offline::evidence::Sha256Digest;
use pixi_offline::evidence::manifest::{EncodedPath, Entry, EntryKind, Mode};
use pixi_offline::failure::Failure;
use pixi_offline::parallel;
use pixi_offline::replacement::make_dir;
use pixi_offline::untrusted_dir::UntrustedDir;
use sha2::{Digest as _, Sha256};

/// The directory of an update that they are in.
pub(crate) const FILES: &str = "files";

/// The most that a file may have on a FAT file system, in bytes.
const MOST_ON_FAT: u64 = u32::MAX as u64;

/// How much is read at a time, in bytes.
const PIECE: u64 = 256 * 1024;

/// A content, and a file of the new product that has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewContent<'a> {
    pub(crate) digest: Sha256Digest,
    pub(crate) size: u64,
    pub(crate) path: &'a Path,
}

/// Each content of `entries` once, by its digest.
pub(crate) fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<NewContent<'a>> {
    let files = entries.into_iter().filter_map(|entry| match entry.kind {
        EntryKind::File { size, sha256, .. } => Some(NewContent {
            digest: sha256,
            size,
            path: entry.path.path(),
        }),
        _ => None,
    });
    let mut contents: Vec<NewContent> = files.collect();
    contents.sort_by_key(|content| (content.digest, content.path));
    contents.dedup_by_key(|content| content.digest);
    contents
}

impl NewContent<'_> {
    /// Where it is in an update.
    pub(crate) fn path_in_update(&self) -> String {
        let name = self.digest.to_string();
        format!("{FILES}/{}/{name}", &name[..2])
    }

    /// The file as a list has it.
    pub(crate) fn entry(&self) -> Entry {
        Entry {
            path: EncodedPath::new(self.path_in_update()),
            kind: EntryKind::File {
                mode: Mode::of(0o644),
                size: self.size,
                sha256: self.digest,
            },
        }
    }

    pub(crate) fn fits_on_fat(&self) -> bool {
        self.size <= MOST_ON_FAT
    }
}

/// Copies contents out of a product into `to`, and compares each with its digest meanwhile.
///
/// # Errors
///
/// Exit code 1 when a file is no longer as it is listed, named, and when something cannot be written.
pub(crate) fn copy(
    contents: &[NewContent<'_>],
    from: &UntrustedDir,
    to: &Path,
    context: &Context,
) -> anyhow::Result<()> {
    make_dirs(contents, to)?;
    // A disk that is full for one is full for all.
    let has_failed = AtomicBool::new(false);
    let copied = parallel::par_map(contents, |content| {
        if has_failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let copied = copy_one(content, from, &to.join(content.path_in_update()));
        has_failed.fetch_or(copied.is_err(), Ordering::Relaxed);
        context.report.progress(content.size);
        copied
    });
    copied.into_iter().collect()
}

fn make_dirs(contents: &[NewContent<'_>], to: &Path) -> anyhow::Result<()> {
    let making = |dir: &Path| format!("{} cannot be made", dir.display());
    let files = to.join(FILES);
    make_dir(&files).with_context(|| making(&files))?;
    let mut dirs: Vec<PathBuf> = contents
        .iter()
        .filter_map(|content| Some(to.join(content.path_in_update()).parent()?.to_owned()))
        .collect();
    dirs.dedup();
    for dir in dirs {
        make_dir(&dir).with_context(|| making(&dir))?;
    }
    Ok(())
}

fn copy_one(content: &NewContent<'_>, from: &UntrustedDir, to: &Path) -> anyhow::Result<()> {
    let reading = || format!("{} in the product cannot be read", content.path.display());
    let writing = || format!("{} cannot be written", to.display());
    let mut source = from.open_listed_file(content.path).with_context(reading)?;
    let mut target = new_file(to).with_context(writing)?;
    let mut buffer = Vec::with_capacity(PIECE.min(content.size + 1) as usize);
    let (mut hash, mut length) = (Sha256::new(), 0);
    loop {
        buffer.clear();
        cancellation::check()?;
        let read = (&mut source).take(PIECE).read_to_end(&mut buffer);
        match read.with_context(reading)? as u64 {
            0 => break,
            read => length += read,
        }
        hash.update(&buffer);
        // One that grows without an end is not read to its end.
        if length > content.size {
            break;
        }
        target.write_all(&buffer).with_context(writing)?;
    }
    if length != content.size || Sha256Digest::from(hash.finalize()) != content.digest {
        return Err(Failure::general(format!(
            "{} in the product is not as it is listed: it was changed after the product was made; copy the complete product again, or make it again",
            content.path.display()
        )));
    }
    Ok(())
}

/// An empty file that everybody may read, whatever the umask.
fn new_file(file: &Path) -> io::Result<File> {
    let new = OpenOptions::new().write(true).create_new(true).open(file)?;
    new.set_permissions(Permissions::from_mode(0o644))?;
    Ok(new)
}

/// The sha256 of a text.
pub(crate) fn digest_of(text: &[u8]) -> Sha256Digest {
    Sha256::digest(text).into()
}
