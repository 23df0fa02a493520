//! The files that an archive becomes: one, or parts of a size. Everything is written beside its
//! place and gets its name when it is whole.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use pixi_offline::evidence::Sha256Digest;
use pixi_offline::failure::Failure;
use pixi_offline::layout::Product;
use pixi_offline::replacement::{remove_dir, replace_file, write_file};
use sha2::{Digest as _, Sha256};

/// What joins the parts of an archive, and what tells people how: the same for every archive.
const JOINING: [(&str, &str); 2] = [
    ("join.sh", include_str!("join.sh")),
    ("JOIN.txt", include_str!("JOIN.txt")),
];

/// The most parts that there can be: names of three digits are sorted as numbers are.
const MOST_PARTS: usize = 999;

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
                "--split {} is no size of at least 1M; give a number with K, M or G, such as 4G or 4.7G",
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
pub(crate) struct Place {
    /// The archive.
    pub(crate) file: PathBuf,
    /// Its name, which is UTF-8.
    pub(crate) name: String,
    pub(crate) split: Option<PartSize>,
}

impl Place {
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

    /// Files of other people that have the names of ours that go with parts.
    pub(crate) fn in_the_way(&self) -> Vec<PathBuf> {
        let names = JOINING.iter().filter(|_| self.split.is_some());
        names
            .map(|(name, content)| (self.dir().join(name), content))
            .filter(|(file, content)| match fs::symlink_metadata(file) {
                Ok(found) => {
                    let is_ours = || fs::read(file).is_ok_and(|text| text == content.as_bytes());
                    !(found.is_file() && found.len() == content.len() as u64 && is_ours())
                }
                Err(_) => false,
            })
            .map(|(file, _)| file)
            .collect()
    }

    /// The archive, its parts and the lists of an earlier run.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
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
struct Written {
    name: String,
    digest: Sha256Digest,
}

/// What is written so far.
struct Output {
    place: Place,
    dir: PathBuf,
    current: Option<File>,
    /// Bytes of the current file.
    length: u64,
    /// Of the current file, where there are parts.
    part_hash: Sha256,
    whole_hash: Sha256,
    bytes: u64,
    parts: Vec<Written>,
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
        self.parts.push(Written { name, digest });
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
pub(crate) struct Packed {
    /// The digest of the whole.
    pub(crate) digest: Sha256Digest,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// How many parts it has, where it was split.
    pub(crate) parts: Option<usize>,
}

impl NewArchive {
    /// Begins to write beside the place. What a killed run left there is removed.
    ///
    /// # Errors
    ///
    /// When nothing can be written there.
    pub(crate) fn begin(place: &Place) -> anyhow::Result<NewArchive> {
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
        let output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = remove_dir(&output.dir);
    }

    /// Puts everything in its place; `sign` gives the signature of the list of digests.
    ///
    /// # Errors
    ///
    /// When it cannot be written or renamed; the new archive has no name then.
    pub(crate) fn commit(
        &self,
        sign: impl FnOnce(&Path, &[u8]) -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<Packed> {
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
            write_file(
                &output.dir.join(named(&place.part_sums())),
                lines.as_bytes(),
            )?;
        }
        put_in_place(&output.dir, &place)?;
        if is_split {
            for (name, content) in JOINING {
                replace_file(&place.dir().join(name), content.as_bytes())?;
            }
        }
        if let Some(signature) = signature {
            let file = Product::signature_of(&place.sums());
            replace_file(&file, signature.as_bytes())?;
        }
        replace_file(&place.sums(), sums.as_bytes())?;
        Ok(Packed {
            digest,
            bytes: output.bytes,
            parts: is_split.then_some(output.parts.len()),
        })
    }
}

/// Gives what was written in `dir` its names, and removes the rest of an earlier archive. An archive without
/// its list is known to be incomplete: the old list goes first, and the new one comes last.
fn put_in_place(dir: &Path, place: &Place) -> anyhow::Result<()> {
    let remove = |file: &Path| match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be replaced", file.display()))
        }
        _ => Ok(()),
    };
    remove(&place.sums())?;
    let mut new = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let to = place.dir().join(entry.file_name());
        fs::rename(entry.path(), &to)
            .with_context(|| format!("{} cannot be put in its place", to.display()))?;
        new.insert(to);
    }
    for earlier in place.earlier()? {
        if !new.contains(&earlier) {
            remove(&earlier)?;
        }
    }
    remove_dir(dir).with_context(|| format!("{} cannot be removed", dir.display()))
}

fn named(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

impl Write for NewArchive {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        output.write(bytes)
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
