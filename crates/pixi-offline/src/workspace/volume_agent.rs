//! The agent side of a volume transfer: unpacks and sends tar streams.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead as _, BufWriter, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::staging::Rules;
use crate::transfer::{self, ExpectedStream, Sender};

/// Where the transfer container keeps which files it has put into volumes.
const FILLED: &str = "/.pixi-offline-filled";

/// What the transfer container is sent for; the first line of its input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TransferRequest {
    /// Unpack the stream that follows into a directory, and answer with
    /// [`transfer::ReceiveStats`].
    Fill {
        /// The directory, there and empty.
        dir: PathBuf,
        /// Where files are that the stream leaves out.
        there: Option<PathBuf>,
        /// What the stream's last entry is named after.
        end_marker: String,
    },
    /// Print the size, time of change and path of each file in a directory, a NUL after
    /// each: nothing where the directory is not.
    List {
        /// The directory.
        dir: PathBuf,
    },
    /// Send a directory as a stream, without the content of files that are as they were
    /// when it was filled.
    Empty {
        /// The directory.
        dir: PathBuf,
        /// Patterns of what is left out.
        leave_out: Vec<String>,
        /// What the stream's last entry is named after.
        end_marker: String,
    },
}

/// A file as a listing has it: its size in bytes, and its time of change in seconds
/// and nanoseconds.
pub(super) type Stamp = (u64, i64, i64);

/// Executes the request in the first line of the input.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut stdin = io::stdin().lock();
    let mut line = String::new();
    stdin.read_line(&mut line)?;
    let request = serde_json::from_str(&line).context("there is nothing to do")?;
    let mut stdout = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    match request {
        TransferRequest::Fill {
            dir,
            there,
            end_marker,
        } => {
            let there = there.as_deref().map(|there| (Path::new(""), there));
            let expected = ExpectedStream {
                there: there.as_slice(),
                top: None,
            };
            let (received, _) = transfer::receive(stdin, &dir, &end_marker, &expected)?;
            remember(&dir)?;
            serde_json::to_writer(&mut stdout, &received)?;
        }
        TransferRequest::List { dir } => list(&dir, &mut stdout)?,
        TransferRequest::Empty {
            dir,
            leave_out,
            end_marker,
        } => {
            let mut rules = Rules::new();
            for pattern in &leave_out {
                rules.push(pattern.as_ref())?;
            }
            let filled = remembered()?;
            let mut sender = Sender::new(&mut stdout);
            sender.dir(&dir, Path::new(""), &rules, &|path, metadata| {
                let known = filled.get(&dir.join(path))?;
                (*known == identity(metadata)).then(|| path.to_owned())
            })?;
            sender.finish(&end_marker)?;
        }
    }
    stdout.flush().context("the answer cannot be given")
}

/// What of a file changes with every change of its content, owner, mode or times.
fn identity(metadata: &Metadata) -> (u64, i64, i64) {
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

/// Notes every file of a directory.
fn remember(dir: &Path) -> anyhow::Result<()> {
    let file = File::options().create(true).append(true).open(FILLED)?;
    let mut filled = BufWriter::new(file);
    files(dir, |path, metadata| {
        write_line(&mut filled, identity(metadata), path)
    })?;
    Ok(filled.flush()?)
}

fn remembered() -> anyhow::Result<HashMap<PathBuf, (u64, i64, i64)>> {
    match fs::read(FILLED) {
        Ok(text) => lines(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HashMap::new()),
        Err(error) => Err(error.into()),
    }
}

fn list(dir: &Path, to: &mut impl Write) -> anyhow::Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    files(dir, |path, metadata| {
        let stamp = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        write_line(to, stamp, path.strip_prefix(dir).unwrap_or(path))
    })
}

fn files(
    dir: &Path,
    mut take: impl FnMut(&Path, &Metadata) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut walk = ignore::WalkBuilder::new(dir);
    walk.standard_filters(false).follow_links(false);
    for entry in walk.build() {
        let entry = entry?;
        if entry.file_type().is_some_and(|kind| kind.is_file()) {
            take(entry.path(), &entry.metadata()?)?;
        }
    }
    Ok(())
}

fn write_line(to: &mut impl Write, numbers: (u64, i64, i64), path: &Path) -> io::Result<()> {
    write!(to, "{} {} {} ", numbers.0, numbers.1, numbers.2)?;
    to.write_all(path.as_os_str().as_bytes())?;
    to.write_all(&[0])
}

/// Reads a listing again.
pub(super) fn lines(text: &[u8]) -> anyhow::Result<HashMap<PathBuf, Stamp>> {
    let line = |line: &[u8]| -> Option<(PathBuf, Stamp)> {
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let mut number = || std::str::from_utf8(fields.next()?).ok();
        let numbers = (
            number()?.parse().ok()?,
            number()?.parse().ok()?,
            number()?.parse().ok()?,
        );
        Some((PathBuf::from(OsStr::from_bytes(fields.next()?)), numbers))
    };
    text.split(|byte| *byte == 0)
        .filter(|text| !text.is_empty())
        .map(|text| line(text).context("a listing of files cannot be read"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let name = OsStr::from_bytes(b"a b\n\xff");
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub").join(name), "four").unwrap();
        let mut text = Vec::new();
        list(dir.path(), &mut text).unwrap();
        let listing = lines(&text).unwrap();
        let metadata = fs::metadata(dir.path().join("sub").join(name)).unwrap();
        let stamp = (4, metadata.mtime(), metadata.mtime_nsec());
        assert_eq!(
            listing,
            HashMap::from([(Path::new("sub").join(name), stamp)])
        );
        assert!(lines(b"1 2 x\0").is_err());
        let mut none = Vec::new();
        list(&dir.path().join("missing"), &mut none).unwrap();
        assert!(none.is_empty());
    }
}
