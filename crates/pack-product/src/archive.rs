//! A product as a tar stream in GNU format.
//!
//! Format: <https://www.gnu.org/software/tar/manual/html_node/Standard.html>. Owners, times of
//! directories and the order are the same on every machine; times of files are those of the
//! product in whole seconds, since byte-compiled Python files name them.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pixi_offline::cancellation;
use pixi_offline::context::Context;
use pixi_offline::evidence::Sha256Digest;
use pixi_offline::evidence::check::CheckReport;
use pixi_offline::evidence::manifest::{Entry, EntryKind, Mode};
use pixi_offline::failure::Failure;
use pixi_offline::layout::Product;
use pixi_offline::untrusted_dir::UntrustedDir;
use sha2::{Digest as _, Sha256};
use tar::{EntryType, GnuHeader, Header};

/// The time of directories and links, in seconds since 1970: the first of 1980. GNU tar warns of 0 when it
/// extracts.
const FIXED_TIME: u64 = 315_532_800;

/// What GNU tar calls an entry that has a long name or target for the next one.
const LONG_NAME: &[u8] = b"././@LongLink";

/// How many bytes are handed over at a time: a compressor does work of its own for each piece, and most
/// files are small.
const PIECE: usize = 256 * 1024;

/// What headers and contents are filled up to a multiple of.
const BLOCK: u64 = 512;

/// Two empty blocks end an archive, which GNU tar fills up to a record of twenty.
const RECORD: u64 = 20 * BLOCK;

/// What blocks are filled up with.
const ZEROS: [u8; RECORD as usize] = [0; RECORD as usize];

/// A directory that is packed.
#[derive(Debug)]
pub struct ArchiveContents<'a> {
    /// Where it is.
    pub dir: &'a Path,
    /// What it is called in the archive.
    pub top: PathBuf,
    /// Files that no list has the digest of, where they are there; they come first.
    pub unlisted: Vec<&'a str>,
    /// Everything else, a directory before what is in it.
    pub entries: &'a [Entry],
    /// Whether files keep their times, in whole seconds.
    pub keeps_times: bool,
}

impl<'a> ArchiveContents<'a> {
    /// A product that was compared with its lists.
    ///
    /// # Errors
    ///
    /// Exit code 1 for a pipe, socket or device, which an archive cannot carry.
    pub(crate) fn of_product(
        product: &'a Product,
        checked: &'a CheckReport,
    ) -> anyhow::Result<ArchiveContents<'a>> {
        require_packable(checked)?;
        // The evidence comes first: whoever reads the archive from its start can judge it early.
        let first = [Product::MANIFEST].into_iter().chain(Product::UNCOVERED);
        Ok(ArchiveContents {
            dir: product.path(),
            top: checked.manifest.facts.project.staged_dir().to_owned(),
            unlisted: first.collect(),
            entries: &checked.manifest.entries,
            keeps_times: true,
        })
    }
}

fn require_packable(checked: &CheckReport) -> anyhow::Result<()> {
    match checked.special_entry() {
        None => Ok(()),
        Some(entry) => Err(Failure::general(format!(
            "{} in the product is a pipe, a socket or a device, which an archive cannot hold; exclude it and make the product again",
            entry.path.shown()
        ))),
    }
}

/// Writes a directory as a tar stream; errors name `archive`.
///
/// # Errors
///
/// Exit code 1 when a file is no longer as it is listed, named; when something cannot be read or
/// `to` takes no more.
pub(crate) fn write(
    contents: &ArchiveContents<'_>,
    to: impl Write,
    archive: &Path,
    context: &Context,
) -> anyhow::Result<()> {
    let mut stream = Stream {
        to,
        archive,
        written: 0,
        contents,
        dir: UntrustedDir::open(contents.dir)?,
        context,
        piece: vec![0; PIECE],
        filled: 0,
    };
    stream.directory(&contents.top, Mode::of(0o755))?;
    for name in &contents.unlisted {
        stream.unlisted(name)?;
    }
    for entry in contents.entries {
        stream.entry(entry)?;
    }
    stream.finish().with_context(|| writing(archive))
}

/// A tar stream that is being written.
struct Stream<'a, W: Write> {
    to: W,
    /// The file that it becomes.
    archive: &'a Path,
    /// Bytes so far, with those of the piece.
    written: u64,
    contents: &'a ArchiveContents<'a>,
    dir: UntrustedDir,
    context: &'a Context,
    /// What is handed over once it is full.
    piece: Vec<u8>,
    /// How much of it has been written.
    filled: usize,
}

impl<W: Write> Stream<'_, W> {
    fn entry(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let path = entry.path.path();
        let name = self.contents.top.join(path);
        match &entry.kind {
            EntryKind::Directory { mode } => self.directory(&name, *mode),
            EntryKind::Link { target } => {
                let mut header = header(EntryType::Symlink, Mode::of(0o777), FIXED_TIME);
                self.long_text(
                    b'K',
                    target.bytes(),
                    |header| &mut header.linkname,
                    &mut header,
                )
                .and_then(|()| self.header(&mut header, bytes(&name)))
                .with_context(|| writing(self.archive))
            }
            EntryKind::File { mode, size, sha256 } => {
                let found = self.file(path, *mode, *size)?;
                match found == *sha256 {
                    true => Ok(()),
                    false => Err(changed(path)),
                }
            }
            _ => Err(changed(path)),
        }
    }

    fn directory(&mut self, name: &Path, mode: Mode) -> anyhow::Result<()> {
        let mut header = header(EntryType::Directory, mode, FIXED_TIME);
        let text = [bytes(name), b"/"].concat();
        self.header(&mut header, &text)
            .with_context(|| writing(self.archive))
    }

    /// Begins an entry with its name as it is: the library would change some.
    fn header(&mut self, header: &mut Header, name: &[u8]) -> io::Result<()> {
        self.long_text(b'L', name, |header| &mut header.name, header)?;
        header.set_cksum();
        self.put(header.as_bytes())
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let free_space = self.free_space(bytes.len() as u64)?;
            let (now, later) = bytes.split_at(free_space.len());
            free_space.copy_from_slice(now);
            self.filled(now.len());
            bytes = later;
        }
        Ok(())
    }

    /// Where at most so many bytes go next: one at least.
    fn free_space(&mut self, most: u64) -> io::Result<&mut [u8]> {
        if self.filled == PIECE {
            self.hand_over()?;
        }
        let free = &mut self.piece[self.filled..];
        let most = usize::try_from(most).map_or(free.len(), |most| most.min(free.len()));
        Ok(&mut free[..most])
    }

    /// So many bytes are there now.
    fn filled(&mut self, length: usize) {
        self.filled += length;
        self.written += length as u64;
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let filled = std::mem::take(&mut self.filled);
        self.to.write_all(&self.piece[..filled])
    }

    /// Fills up to a multiple of `length`.
    fn fill(&mut self, length: u64) -> io::Result<()> {
        let missing = self.written.next_multiple_of(length) - self.written;
        self.put(&ZEROS[..missing as usize])
    }

    fn finish(&mut self) -> io::Result<()> {
        self.put(&ZEROS[..2 * BLOCK as usize])?;
        self.fill(RECORD)?;
        self.hand_over()?;
        self.to.flush()
    }

    /// Puts a text into its field of a header; one that does not fit goes before it, as GNU tar does.
    fn long_text(
        &mut self,
        kind: u8,
        text: &[u8],
        field: fn(&mut GnuHeader) -> &mut [u8; 100],
        header: &mut Header,
    ) -> io::Result<()> {
        if let Some(header) = header.as_gnu_mut() {
            let field = field(header);
            let length = text.len().min(field.len());
            field[..length].copy_from_slice(&text[..length]);
        }
        if text.len() < 100 {
            return Ok(());
        }
        let mut long = self::header(EntryType::new(kind), Mode::of(0o644), 0);
        if let Some(header) = long.as_gnu_mut() {
            header.name[..LONG_NAME.len()].copy_from_slice(LONG_NAME);
        }
        long.set_size(text.len() as u64 + 1);
        long.set_cksum();
        self.put(long.as_bytes())?;
        self.put(text)?;
        self.put(b"\0")?;
        self.fill(BLOCK)
    }

    /// A file that no list has the digest of, where there is one.
    fn unlisted(&mut self, name: &str) -> anyhow::Result<()> {
        let path = Path::new(name);
        match fs::symlink_metadata(self.dir.path().join(path)) {
            Ok(found) => self.file(path, Mode::of(0o644), found.len()).map(drop),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| reading(path)),
        }
    }

    /// Adds a file of `size` bytes, and gives the digest of what was read.
    fn file(&mut self, path: &Path, mode: Mode, size: u64) -> anyhow::Result<Sha256Digest> {
        let file = self
            .dir
            .open_listed_file(path)
            .with_context(|| reading(path))?;
        let found = file.metadata().with_context(|| reading(path))?;
        if found.len() != size {
            return Err(changed(path));
        }
        let time = match self.contents.keeps_times {
            true => u64::try_from(found.mtime()).unwrap_or(0),
            false => FIXED_TIME,
        };
        let mut header = header(EntryType::Regular, mode, time);
        header.set_size(size);
        let name = self.contents.top.join(path);
        self.header(&mut header, bytes(&name))
            .with_context(|| writing(self.archive))?;
        let found = self.content(file, path, size)?;
        self.fill(BLOCK).with_context(|| writing(self.archive))?;
        Ok(found)
    }

    /// Adds what a file has, of `size` bytes, and gives its digest.
    fn content(&mut self, mut file: File, path: &Path, size: u64) -> anyhow::Result<Sha256Digest> {
        let archive = self.archive;
        let (mut hash, mut left) = (Sha256::new(), size);
        while left > 0 {
            cancellation::check()?;
            let free_space = self.free_space(left).with_context(|| writing(archive))?;
            let length = match file.read(free_space) {
                Ok(0) => return Err(changed(path)),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).with_context(|| reading(path)),
            };
            hash.update(&free_space[..length]);
            self.filled(length);
            left -= length as u64;
            self.context.report.progress(length as u64);
        }
        Ok(hash.finalize().into())
    }
}

fn header(kind: EntryType, mode: Mode, time: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode.bits());
    header.set_mtime(time);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

fn reading(path: &Path) -> String {
    format!("{} cannot be read", path.display())
}

pub(crate) fn writing(archive: &Path) -> String {
    format!("{} cannot be written", archive.display())
}

fn changed(path: &Path) -> anyhow::Error {
    Failure::general(format!(
        "{} is not as it is listed: it was changed before or while it was packed; copy the complete directory again, or make it again",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GNU's form for what has no place in eleven octal digits; each tar of the tests with a product
    /// reads the size in the same way.
    #[test]
    fn sizes_of_eight_gibibytes_and_more_are_binary() {
        for (size, field) in [
            (8 * (1 << 30) - 1, *b"77777777777\0"),
            (8 * (1 << 30), [0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]),
            (
                5_000_000_000_000,
                [0x80, 0, 0, 0, 0, 0, 4, 0x8c, 0x27, 0x39, 0x50, 0],
            ),
        ] {
            let mut header = header(EntryType::Regular, Mode::of(0o644), 0);
            header.set_size(size);
            assert_eq!(&header.as_bytes()[124..136], &field, "{size}");
            assert_eq!(header.entry_size().unwrap(), size);
        }
    }
}
