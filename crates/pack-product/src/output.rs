//! The files that an archive becomes: one, or parts of a size. Everything is written beside its
//! place and gets its name when it is whole.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use pixi_offline::evidence::Sha256Digest;
use pixi_offline::failure::Failure;
use pixi_offline::layout::Product;
use pixi_offline::parallel::locked;
use pixi_offline::replacement::{remove_dir, write_file};
use sha2::{Digest as _, Sha256};

use crate::joining::{self, PAGE, SCRIPT};

/// The most parts that there can be: names of three digits are sorted as numbers are.
const MOST_PARTS: usize = 999;

/// No script and no page that goes with parts has so many bytes.
const MOST_OF_JOINING: u64 = 1 << 20;

/// The size of a part, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSize(u64);

impl PartSize {
    /// The smallest: with less there would be more parts than names for most products.
    const LEAST: u64 = 1_000_000;

    /// Reads a size such as `4G`, `4.7G`, `700M`, `650000K` or a number of bytes: K, M and G are
    /// powers of 1000.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is none, or less than 1M.
    pub fn new(text: &OsStr) -> anyhow::Result<PartSize> {
        let refuse = || {
            Failure::usage(format!(
                "--split {} is not a size of at least 1M; give a number with K, M or G, such as 4G or 4.7G",
                text.display()
            ))
        };
        let size = text.to_str().and_then(read_size).ok_or_else(refuse)?;
        match size >= PartSize::LEAST {
            true => Ok(PartSize(size)),
            false => Err(refuse()),
        }
    }
}

impl fmt::Display for PartSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A decimal number with a unit, in bytes, rounded down.
fn read_size(text: &str) -> Option<u64> {
    let units = [('K', 1_000), ('M', 1_000_000), ('G', 1_000_000_000_u64)];
    let unit = units.iter().find(|(unit, _)| text.ends_with(*unit));
    let (number, factor) = match unit {
        Some((unit, factor)) => (text.strip_suffix(*unit)?, *factor),
        None => (text, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let mut size = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    let mut weight = factor;
    for digit in fraction.bytes() {
        weight /= 10;
        size = size.checked_add(u64::from(digit - b'0') * weight)?;
    }
    Some(size)
}

/// Where an archive goes.
#[derive(Debug, Clone)]
pub(crate) struct ArchivePlace {
    /// The archive.
    pub(crate) file: PathBuf,
    /// Its name, which is UTF-8.
    pub(crate) name: String,
    pub(crate) split: Option<PartSize>,
}

impl ArchivePlace {
    fn beside(&self, ending: &str) -> PathBuf {
        self.file.with_file_name(format!("{}{ending}", self.name))
    }

    /// The digest of the archive, for `sha256sum -c`.
    pub(crate) fn sums(&self) -> PathBuf {
        self.beside(".sha256")
    }

    /// The digests of the parts.
    pub(crate) fn part_sums(&self) -> PathBuf {
        self.beside(".parts.sha256")
    }

    /// The directory that it is written in.
    fn incomplete(&self) -> PathBuf {
        self.file
            .with_file_name(format!(".{}.incomplete", self.name))
    }

    fn dir(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    /// Files with the names of `join.sh` and `JOIN.txt` that do not come with parts.
    pub(crate) fn in_the_way(&self) -> Vec<PathBuf> {
        type IsOurs = fn(&[u8]) -> bool;
        let names = [
            (SCRIPT.0, joining::is_script as IsOurs),
            (PAGE, joining::is_page),
        ];
        let names = names.into_iter().filter(|_| self.split.is_some());
        names
            .map(|(name, is_ours)| (self.dir().join(name), is_ours))
            .filter(|(file, is_ours)| match fs::symlink_metadata(file) {
                Ok(found) => {
                    let is_small = found.is_file() && found.len() < MOST_OF_JOINING;
                    !(is_small && fs::read(file).is_ok_and(|content| is_ours(&content)))
                }
                Err(_) => false,
            })
            .map(|(file, _)| file)
            .collect()
    }

    /// The archive, its parts and the lists of an earlier run.
    pub(crate) fn earlier(&self) -> anyhow::Result<Vec<PathBuf>> {
        let dir = self.dir();
        let mut found = Vec::new();
        for entry in
            fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))?
        {
            let name = entry?.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(&self.name));
            let is_of_archive = rest.is_some_and(|rest| {
                matches!(rest, "" | ".sha256" | ".sha256.minisig" | ".parts.sha256")
                    || is_part(rest)
            });
            if is_of_archive {
                found.push(dir.join(name));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Whether it is what a part's name ends with: `.001`.
fn is_part(ending: &str) -> bool {
    let digits = ending.strip_prefix('.').unwrap_or_default();
    digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A file that was written.
struct WrittenPart {
    name: String,
    digest: Sha256Digest,
}

/// What is written so far.
struct Output {
    place: ArchivePlace,
    dir: PathBuf,
    current: Option<File>,
    /// Bytes of the current file.
    length: u64,
    /// Of the current file, where there are parts.
    part_hash: Sha256,
    whole_hash: Sha256,
    bytes: u64,
    parts: Vec<WrittenPart>,
}

impl Output {
    fn next_file(&mut self) -> io::Result<&mut File> {
        let name = match self.place.split {
            None => self.place.name.clone(),
            Some(_) if self.parts.len() >= MOST_PARTS => {
                return Err(io::Error::other(format!(
                    "there are more than {MOST_PARTS} parts; take a larger --split"
                )));
            }
            Some(_) => format!("{}.{:03}", self.place.name, self.parts.len() + 1),
        };
        self.length = 0;
        Ok(self.current.insert(File::create_new(self.dir.join(name))?))
    }

    fn end_file(&mut self) -> io::Result<()> {
        let Some(file) = self.current.take() else {
            return Ok(());
        };
        file.sync_all()?;
        let digest = std::mem::take(&mut self.part_hash).finalize().into();
        let name = format!("{}.{:03}", self.place.name, self.parts.len() + 1);
        self.parts.push(WrittenPart { name, digest });
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.place.split.map_or(u64::MAX, |size| size.0);
        if self.current.is_some() && self.length == most {
            self.end_file()?;
        }
        let left = most
            - if self.current.is_some() {
                self.length
            } else {
                0
            };
        let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let file = match &mut self.current {
            Some(file) => file,
            None => self.next_file()?,
        };
        let length = file.write(&bytes[..length])?;
        if self.place.split.is_some() {
            self.part_hash.update(&bytes[..length]);
        }
        self.whole_hash.update(&bytes[..length]);
        self.length += length as u64;
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The files of an archive while they are written: a compressor has it in its threads.
#[derive(Clone)]
pub(crate) struct NewArchive(Arc<Mutex<Output>>);

/// An archive that is in its place.
pub(crate) struct PackedArchive {
    /// The digest of the whole.
    pub(crate) digest: Sha256Digest,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// How many parts it has, where it was split.
    pub(crate) parts: Option<usize>,
}

impl NewArchive {
    /// Begins to write beside the place. What a killed run left there is removed.
    pub(crate) fn begin(place: &ArchivePlace) -> anyhow::Result<NewArchive> {
        let dir = place.incomplete();
        let making = || format!("{} cannot be made", dir.display());
        if fs::symlink_metadata(&dir).is_ok() {
            remove_dir(&dir)?;
        }
        fs::create_dir(&dir).with_context(making)?;
        Ok(NewArchive(Arc::new(Mutex::new(Output {
            place: place.clone(),
            dir,
            current: None,
            length: 0,
            part_hash: Sha256::new(),
            whole_hash: Sha256::new(),
            bytes: 0,
            parts: Vec::new(),
        }))))
    }

    /// Removes what was written.
    pub(crate) fn discard(&self) {
        let _ = remove_dir(&locked(&self.0).dir);
    }

    /// Puts everything in its place; `sign` gives the signature of the list of digests.
    ///
    /// # Errors
    ///
    /// When it cannot be written or renamed; the new archive has no name then.
    pub(crate) fn commit(
        &self,
        sign: impl FnOnce(&Path, &[u8]) -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<PackedArchive> {
        let mut output = locked(&self.0);
        let output = &mut *output;
        let place = output.place.clone();
        output
            .end_file()
            .with_context(|| format!("{} cannot be written", place.file.display()))?;
        let digest: Sha256Digest = std::mem::take(&mut output.whole_hash).finalize().into();
        let sums = format!("{digest}  {}\n", place.name);
        let signature = sign(&place.sums(), sums.as_bytes())?;
        let is_split = place.split.is_some();
        if is_split {
            let lines = output.parts.iter();
            let lines = lines.map(|part| format!("{}  {}\n", part.digest, part.name));
            let lines: String = lines.collect();
            write_list(&output.dir, &place.part_sums(), lines.as_bytes())?;
            let names: Vec<&str> = output.parts.iter().map(|part| &*part.name).collect();
            let page = joining::join_text(&place.name, &names);
            for (name, content) in [SCRIPT, (PAGE, &page)] {
                write_list(&output.dir, Path::new(name), content.as_bytes())?;
            }
        }
        if let Some(signature) = signature {
            let file = Product::signature_of(&place.sums());
            write_list(&output.dir, &file, signature.as_bytes())?;
        }
        write_list(&output.dir, &place.sums(), sums.as_bytes())?;
        put_in_place(&output.dir, &place)?;
        Ok(PackedArchive {
            digest,
            bytes: output.bytes,
            parts: is_split.then_some(output.parts.len()),
        })
    }
}

/// Gives what was written in `dir` its names, and removes the rest of an earlier archive. An archive without
/// its list is known to be incomplete: the old list goes first, and the new one comes last.
fn put_in_place(dir: &Path, place: &ArchivePlace) -> anyhow::Result<()> {
    let remove = |file: &Path| match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be replaced", file.display()))
        }
        _ => Ok(()),
    };
    let list = place.sums();
    remove(&list)?;
    let mut new = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        new.insert(place.dir().join(entry?.file_name()));
    }
    new.remove(&list);
    let take = |to: &Path| {
        fs::rename(dir.join(named(to)), to)
            .with_context(|| format!("{} cannot be put in its place", to.display()))
    };
    for file in &new {
        take(file)?;
    }
    for earlier in place.earlier()? {
        if !new.contains(&earlier) {
            remove(&earlier)?;
        }
    }
    take(&list)?;
    remove_dir(dir).with_context(|| format!("{} cannot be removed", dir.display()))
}

/// Writes a small file into a directory that is not in its place yet, under the name of `file`, and waits
/// until it is on the disk.
fn write_list(dir: &Path, file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let file = dir.join(named(file));
    write_file(&file, content)?;
    File::open(&file)
        .and_then(|file| file.sync_all())
        .with_context(|| format!("{} cannot be written", file.display()))
}

fn named(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

impl Write for NewArchive {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_powers_of_1000() {
        for (text, bytes) in [
            ("4G", 4_000_000_000),
            ("4.7G", 4_700_000_000),
            ("700M", 700_000_000),
            ("1500.5K", 1_500_500),
            ("1000000", 1_000_000),
            ("1.9999999M", 1_999_999),
        ] {
            assert_eq!(PartSize::new(text.as_ref()).unwrap().0, bytes, "{text}");
        }
        for text in [
            "",
            "G",
            "4GB",
            "4 G",
            "-4G",
            "999K",
            "0",
            "1.G.",
            ".5G",
            "99999999999G",
            "4g",
        ] {
            assert!(PartSize::new(text.as_ref()).is_err(), "{text}");
        }
    }
}
