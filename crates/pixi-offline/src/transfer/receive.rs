//! Unpacking a tar stream that need not be trusted.

use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, bail, ensure};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use serde::{Deserialize, Serialize};
use tar::{Archive, Entry, EntryType};

use crate::replacement::Reserve;
use crate::staging;
use crate::transfer::{DEDUP_REF, SAME_SIZE, last_entry};

/// The longest header with its long names and extensions, in bytes: they are
/// kept in memory, so a stream must not say how long.
const LONGEST_HEADER: u64 = 1 << 20;

/// What came out of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveStats {
    /// Entries made.
    pub entries: u64,
    /// Content of regular files, in bytes.
    pub bytes: u64,
    /// Content that was there already and was not in the stream, in bytes.
    pub bytes_skipped: u64,
}

/// What is known of a stream beforehand.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExpectedStream<'a> {
    /// Directories of this machine that have files already whose content the stream may
    /// leave out, each with the start of the paths that are looked for in it. Such a
    /// file becomes another name of the one that is there, or where that cannot be a
    /// copy of it.
    pub there: &'a [(&'a Path, &'a Path)],
    /// The names at its top with the kind of each; anything where `None`.
    pub top: Option<&'a [(&'a str, EntryType)]>,
}

/// Names at the top of a stream that were not expected, and were not unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftBehind {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Vec<PathBuf>,
}

/// How many names of [`LeftBehind`] are kept.
const NAMED: usize = 5;

/// Unpacks a stream into `directory`, which is there and empty.
///
/// Times keep their nanoseconds where the stream has them, directories get their
/// modes and times last, everything belongs to the caller. Modes lose setuid
/// and setgid: the file's owner is another one now.
///
/// # Errors
///
/// When the stream is cut (its last entry is not the one named after `end_marker`), is
/// no tar stream, holds an entry that would be outside of `directory` or below
/// something that the stream did not make as a directory, holds anything but
/// directories, files and links, or has a header longer than a mebibyte; when an
/// entry cannot be written; when a file that is there already is not, is there through a link
/// only, or has not the size and time that the stream names; when a name at the top is
/// of another kind than expected. What was unpacked until then is left for the caller
/// to remove.
pub fn receive(
    from: impl Read,
    dir: &Path,
    end_marker: &str,
    expected: &ExpectedStream<'_>,
) -> anyhow::Result<(ReceiveStats, LeftBehind)> {
    let end = last_entry(end_marker);
    let mut receiver = Receiver {
        dir,
        top: expected.top,
        left: LeftBehind::default(),
        reserve: Reserve::on(dir)?,
        until_asked: BETWEEN_QUESTIONS,
        there: expected
            .there
            .iter()
            .map(|(at, dir)| Ok((at.to_path_buf(), dir.canonicalize()?)))
            .collect::<io::Result<_>>()
            .context("a directory that is there already cannot be read")?,
        made: MadeDirs::within(PATHS_OF_DIRS),
        unfinished: Vec::new(),
        received: ReceiveStats::default(),
        buffer: vec![0; PIECE],
    };
    let left = Rc::new(Cell::new(LONGEST_HEADER));
    let mut archive = Archive::new(LimitedReader {
        // Headers are half a kibibyte each: a call of the system for each of them
        // would take longer than making the files.
        from: BufReader::with_capacity(PIECE, from),
        left: Rc::clone(&left),
    });
    let cut = "the stream was cut; did the container or the engine stop?";
    for entry in archive.entries()? {
        let mut entry = entry.context(cut)?;
        left.set(u64::MAX);
        let name = entry.path()?.into_owned();
        if name == Path::new(&end) {
            receiver.finish_dirs()?;
            // What follows is padding; the sender must be able to end.
            io::copy(&mut archive.into_inner(), &mut io::sink())?;
            return Ok((receiver.received, receiver.left));
        }
        receiver
            .take(&mut entry, &name)
            .with_context(|| format!("{name:?} cannot be unpacked"))?;
        left.set(LONGEST_HEADER);
    }
    bail!(cut)
}

/// A stream that ends in an error where more is read of it than may be.
struct LimitedReader<R> {
    from: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for LimitedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other("a header is longer than the limit"));
        }
        let most = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let length = self.from.read(&mut buffer[..most])?;
        self.left.set(left - length as u64);
        Ok(length)
    }
}

/// How much is read and written at a time, in bytes.
const PIECE: usize = 256 * 1024;

/// How much is written between two questions for the space on the disk, in bytes.
const BETWEEN_QUESTIONS: u64 = 16 << 20;

/// What an entry takes beside its content, in bytes.
const ENTRY: u64 = 4096;

/// The most that may be kept in memory of a stream's directories, in bytes: some million
/// directories with paths of usual length.
const PATHS_OF_DIRS: u64 = 1 << 30;

/// What a directory takes in memory beside its path, in bytes.
const DIR: u64 = 256;

/// The directories that a stream made. The sender decides how many there are.
struct MadeDirs {
    paths: HashSet<PathBuf>,
    /// How many bytes more may be kept.
    left: u64,
}

impl MadeDirs {
    fn within(bytes: u64) -> MadeDirs {
        MadeDirs {
            paths: HashSet::from([PathBuf::new()]),
            left: bytes,
        }
    }

    fn contains(&self, path: &Path) -> bool {
        self.paths.contains(path)
    }

    /// Keeps one more; it is kept a second time where it waits for its mode and time.
    fn insert(&mut self, path: &Path) -> anyhow::Result<()> {
        let bytes = 2 * path.as_os_str().len() as u64 + DIR;
        self.left = self
            .left
            .checked_sub(bytes)
            .context("the stream has too many directories")?;
        self.paths.insert(path.to_owned());
        Ok(())
    }
}

struct Receiver<'a> {
    dir: &'a Path,
    top: Option<&'a [(&'a str, EntryType)]>,
    left: LeftBehind,
    /// What stays free: whoever sends decides how much there is to write.
    reserve: Reserve,
    /// How much may be written until the space is asked for again.
    until_asked: u64,
    /// Directories that are there already, by how paths in them begin; without links.
    there: Vec<(PathBuf, PathBuf)>,
    /// Directories that the stream made: only below these anything is made, so no
    /// link is ever followed.
    made: MadeDirs,
    unfinished: Vec<(PathBuf, u32, Option<Timestamps>)>,
    received: ReceiveStats,
    buffer: Vec<u8>,
}

impl Receiver<'_> {
    fn content(&mut self, from: &mut impl Read, to: &mut File) -> io::Result<u64> {
        let mut length = 0;
        loop {
            match from.read(&mut self.buffer) {
                Ok(0) => return Ok(length),
                Ok(read) => {
                    self.will_write(read as u64)
                        .map_err(|error| io::Error::other(format!("{error:#}")))?;
                    to.write_all(&self.buffer[..read])?;
                    length += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Requires that the disk has room for so many bytes more.
    fn will_write(&mut self, bytes: u64) -> anyhow::Result<()> {
        match self.until_asked.checked_sub(bytes) {
            Some(left) => self.until_asked = left,
            None => {
                self.reserve.require()?;
                self.until_asked = BETWEEN_QUESTIONS;
            }
        }
        Ok(())
    }

    /// Whether an entry belongs to what is expected; one that does not is noted.
    fn is_expected(&mut self, name: &Path, kind: EntryType) -> anyhow::Result<bool> {
        let Some(top) = self.top else {
            return Ok(true);
        };
        let Some(first) = name.iter().next() else {
            return Ok(true);
        };
        let is_top = Path::new(first) == name;
        match top.iter().find(|(known, _)| first == *known) {
            Some((_, expected)) => {
                ensure!(
                    !is_top || kind == *expected,
                    "it is {kind:?} and must be {expected:?}"
                );
                Ok(true)
            }
            None => {
                if is_top {
                    self.left.count += 1;
                    if self.left.first.len() < NAMED {
                        self.left.first.push(name.to_owned());
                    }
                }
                Ok(false)
            }
        }
    }

    fn take(&mut self, entry: &mut Entry<'_, impl Read>, name: &Path) -> anyhow::Result<()> {
        let plain = |part| matches!(part, Component::Normal(_));
        ensure!(
            name.components().all(plain) && name.file_name().is_some(),
            "its path leads out of the workdir"
        );
        let kind = entry.header().entry_type();
        if !self.is_expected(name, kind)? {
            return Ok(());
        }
        let parent = name.parent().unwrap_or(Path::new(""));
        ensure!(
            self.made.contains(parent),
            "its directory is not in the stream"
        );
        self.will_write(ENTRY)?;
        ensure!(
            matches!(
                kind,
                EntryType::Directory | EntryType::Regular | EntryType::Symlink
            ),
            "it is neither directory nor file nor link but {kind:?}"
        );
        let path = self.dir.join(name);
        let Extensions { time, same } = extensions_of(entry)?;
        // Neither setuid nor setgid: the owner is the caller now.
        let mode = entry.header().mode()? & 0o1777;
        match (kind, same) {
            (EntryType::Directory, _) => {
                self.made.insert(name)?;
                fs::create_dir(&path)?;
                fs::set_permissions(&path, Permissions::from_mode(0o700))?;
                self.unfinished.push((path, mode, time));
            }
            (EntryType::Regular, Some(same)) => {
                self.take_same(&same, time, mode, &path)?;
                self.received.bytes_skipped += same.size;
            }
            (EntryType::Regular, None) => {
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)?;
                let length = self.content(entry, &mut file)?;
                ensure!(length == entry.header().size()?, "the stream was cut in it");
                self.received.bytes += length;
                finish_file(&file, mode, time)?;
            }
            _ => {
                let target = entry
                    .link_name()?
                    .context("it is a link that leads nowhere")?;
                symlink(target, &path)?;
                if let Some(time) = time {
                    rustix::fs::utimensat(CWD, &path, &time, AtFlags::SYMLINK_NOFOLLOW)?;
                }
            }
        }
        self.received.entries += 1;
        Ok(())
    }

    /// Makes a file out of one that is there.
    fn take_same(
        &self,
        same: &FileRef,
        time: Option<Timestamps>,
        mode: u32,
        path: &Path,
    ) -> anyhow::Result<()> {
        let found = self.there.iter().find_map(|(at, dir)| {
            let rest = same.path.strip_prefix(at).ok()?;
            Some(dir.join(rest))
        });
        let is_plain = |part| matches!(part, Component::Normal(_));
        let found = found
            .filter(|_| same.path.components().all(is_plain))
            .with_context(|| {
                format!("it is a link to {:?}, which does not exist here", same.path)
            })?;
        // Not through a link: another user may have made the stream, and what was sent.
        let metadata = fs::symlink_metadata(&found)
            .ok()
            .filter(|metadata| metadata.is_file())
            .filter(|_| found.canonicalize().is_ok_and(|real| real == found))
            .with_context(|| format!("{} is not a file", found.display()))?;
        let is_same = metadata.len() == same.size
            && time.as_ref().is_some_and(|time| {
                let time = &time.last_modification;
                (metadata.mtime(), metadata.mtime_nsec()) == (time.tv_sec, time.tv_nsec)
            });
        ensure!(is_same, "{} has changed since it was sent", found.display());
        if metadata.mode() & 0o7777 == mode && fs::hard_link(&found, path).is_ok() {
            return Ok(());
        }
        staging::copy_file(&found, path)?;
        finish_file(&File::open(path)?, mode, time)?;
        Ok(())
    }

    /// Filling a directory changes its time, and its mode may forbid to fill it.
    fn finish_dirs(&mut self) -> anyhow::Result<()> {
        for (path, mode, time) in self.unfinished.drain(..).rev() {
            let finish = || -> io::Result<()> {
                if let Some(time) = time {
                    rustix::fs::utimensat(CWD, &path, &time, AtFlags::SYMLINK_NOFOLLOW)?;
                }
                fs::set_permissions(&path, Permissions::from_mode(mode))
            };
            finish().with_context(|| format!("{} cannot be finished", path.display()))?;
        }
        Ok(())
    }
}

fn finish_file(file: &File, mode: u32, time: Option<Timestamps>) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))?;
    if let Some(time) = time {
        rustix::fs::futimens(file, &time)?;
    }
    Ok(())
}

/// What an entry's extensions say.
struct Extensions {
    /// Its time of change: the extension has nanoseconds, the header whole seconds.
    time: Option<Timestamps>,
    same: Option<FileRef>,
}

/// The file that one without content is the same as.
struct FileRef {
    path: PathBuf,
    size: u64,
}

fn extensions_of(entry: &mut Entry<'_, impl Read>) -> anyhow::Result<Extensions> {
    let (mut exact, mut path, mut size) = (None, None, None);
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            match extension.key() {
                Ok("mtime") => exact = extension.value().ok().and_then(parse_time),
                Ok(DEDUP_REF) => {
                    path = Some(PathBuf::from(OsStr::from_bytes(extension.value_bytes())));
                }
                Ok(SAME_SIZE) => size = extension.value().ok().and_then(|text| text.parse().ok()),
                _ => {}
            }
        }
    }
    let seconds = i64::try_from(entry.header().mtime()?).unwrap_or(0);
    let time = exact.unwrap_or(Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    });
    Ok(Extensions {
        time: Some(Timestamps {
            last_access: time,
            last_modification: time,
        }),
        same: path.zip(size).map(|(path, size)| FileRef { path, size }),
    })
}

/// `seconds[.fraction]`, as pax writes times; negative before 1970.
fn parse_time(text: &str) -> Option<Timespec> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    Some(Timespec {
        tv_sec: seconds.parse().ok()?,
        tv_nsec: digits.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_kept_up_to_a_bound() {
        let mut made = MadeDirs::within(10 * (DIR + 2));
        let kept = (0..100)
            .take_while(|index| made.insert(Path::new(&format!("{index}")[..1])).is_ok())
            .count();
        assert_eq!(kept, 10);
        assert!(made.contains(Path::new("")) && made.contains(Path::new("9")));
        let error = made.insert(Path::new("more")).unwrap_err();
        assert!(
            error.to_string().contains("too many directories"),
            "{error:#}"
        );
    }
}
