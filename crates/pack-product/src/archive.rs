//! A product as a tar stream in GNU format.
//!
//! Format: <https://www.gnu.org/software/tar/manual/html_node/Standard.html>. Owners, times of
//! directories and the order are the same on every machine; times of files are those of the
//! product in whole seconds, since byte-compiled Python files name them.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pixi_offline::context::Context;
use pixi_offline::evidence::Sha256Digest;
use pixi_offline::evidence::check::Checked;
use pixi_offline::evidence::manifest::{Entry, EntryKind, Mode};
use pixi_offline::failure::Failure;
use pixi_offline::layout::Product;
use pixi_offline::untrusted_dir::UntrustedDir;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, GnuHeader, Header};

/// The time of directories and links, in seconds since 1970: the first of 1980. GNU tar warns of 0 when it
/// extracts.
const FIXED_TIME: u64 = 315_532_800;

/// What GNU tar calls an entry that has a long name or target for the next one.
const LONG_NAME: &[u8] = b"././@LongLink";

/// How many bytes are read at a time.
const PIECE: usize = 256 * 1024;

/// Refuses what an archive cannot carry, before anything is written.
///
/// # Errors
///
/// Exit code 1 for a pipe, socket or device.
pub(crate) fn require_packable(checked: &Checked) -> anyhow::Result<()> {
    let is_special = |entry: &&Entry| {
        !matches!(
            entry.kind,
            EntryKind::File { .. } | EntryKind::Directory { .. } | EntryKind::Link { .. }
        )
    };
    match checked.manifest.entries.iter().find(is_special) {
        None => Ok(()),
        Some(entry) => Err(Failure::general(format!(
            "{} in the product is a pipe, a socket or a device, which an archive does not carry; exclude it and make the product again",
            entry.path
        ))),
    }
}

/// Writes a product that was compared with its lists as a tar stream.
///
/// # Errors
///
/// Exit code 1 when a file is no longer as it is listed, named; when something cannot be read or
/// `to` takes no more.
pub(crate) fn write(
    product: &Product,
    checked: &Checked,
    to: impl Write,
    context: &Context,
) -> anyhow::Result<()> {
    let facts = &checked.manifest.facts;
    let mut stream = Stream {
        archive: Builder::new(to),
        top: facts.project.staged_dir().to_owned(),
        dir: UntrustedDir::open(product.path())?,
        context,
        buffer: vec![0; PIECE],
    };
    let top = stream.top.clone();
    stream.directory(&top, Mode::of(0o755))?;
    // The evidence comes first: whoever reads the archive from its start can judge it early.
    stream.evidence(Product::MANIFEST)?;
    for name in Product::UNCOVERED {
        stream.evidence(name)?;
    }
    for entry in &checked.manifest.entries {
        stream.entry(entry)?;
    }
    stream
        .archive
        .into_inner()
        .and_then(|mut to| to.flush())
        .context("the archive cannot be written")
}

/// A tar stream that is being written.
struct Stream<'a, W: Write> {
    archive: Builder<W>,
    /// The directory that everything is in.
    top: PathBuf,
    dir: UntrustedDir,
    context: &'a Context,
    buffer: Vec<u8>,
}

impl<W: Write> Stream<'_, W> {
    fn entry(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let path = entry.path.path();
        let name = self.top.join(path);
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
                .and_then(|()| self.append(&mut header, bytes(&name), io::empty()))
                .with_context(|| writing(path))
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
        self.append(&mut header, &text, io::empty())
            .with_context(|| writing(name))
    }

    /// Adds an entry with its name as it is: the library would change some.
    fn append(&mut self, header: &mut Header, name: &[u8], content: impl Read) -> io::Result<()> {
        self.long_text(b'L', name, |header| &mut header.name, header)?;
        header.set_cksum();
        self.archive.append(header, content)
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
        self.archive.append(&long, text.chain(&b"\0"[..]))
    }

    /// A file that no list has the digest of, where there is one.
    fn evidence(&mut self, name: &str) -> anyhow::Result<()> {
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
        let time = u64::try_from(found.mtime()).unwrap_or(0);
        let mut header = header(EntryType::Regular, mode, time);
        header.set_size(size);
        let mut content = HashedReader {
            file: file.take(size),
            hash: Sha256::new(),
            buffer: std::mem::take(&mut self.buffer),
            filled: 0..0,
        };
        let name = self.top.join(path);
        self.append(&mut header, bytes(&name), &mut content)
            .with_context(|| writing(path))?;
        let (is_short, hash) = (content.file.limit() > 0, content.hash);
        self.buffer = content.buffer;
        self.context.report.progress(size);
        match is_short {
            true => Err(changed(path)),
            false => Ok(hash.finalize().into()),
        }
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
    format!("{} in the product cannot be read", path.display())
}

fn writing(path: &Path) -> String {
    format!("{} cannot be packed", path.display())
}

fn changed(path: &Path) -> anyhow::Error {
    Failure::general(format!(
        "{} in the product was changed while it was packed; copy the product again, whole, or make it again",
        path.display()
    ))
}

/// Reads a file in large pieces, and hashes what it reads.
struct HashedReader {
    file: io::Take<File>,
    hash: Sha256,
    buffer: Vec<u8>,
    filled: std::ops::Range<usize>,
}

impl Read for HashedReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.filled.is_empty() {
            let length = self.file.read(&mut self.buffer)?;
            self.hash.update(&self.buffer[..length]);
            self.filled = 0..length;
        }
        let length = to.len().min(self.filled.len());
        let from = self.filled.start;
        to[..length].copy_from_slice(&self.buffer[from..from + length]);
        self.filled.start += length;
        Ok(length)
    }
}
