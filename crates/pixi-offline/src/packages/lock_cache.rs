//! Reading lock files: each content is parsed once in a run.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use rattler_lock::LockFile;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::digest::Sha256Digest;
use crate::failure::Failure;
use crate::packages::lock::Lock;
use crate::parallel::locked;
use crate::regular_file;
use crate::staging::LFS_POINTER_BEGINS;
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// Reads locks, and keeps what it has parsed: one parse for each content. Its clones share
/// that.
#[derive(Debug, Clone, Default)]
pub struct LockCache {
    parsed: Arc<Mutex<HashMap<Sha256Digest, (Lock, LockFile)>>>,
}

impl LockCache {
    /// Reads a lock file that a container could write; `None` when there is none. No link is
    /// followed.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read; exit code 2 when it is not a lock that
    /// this version understands. The file is named.
    pub fn read(&self, file: &Path) -> anyhow::Result<Option<Lock>> {
        match UntrustedDir::read_file(file, RECORD_LIMIT) {
            Ok(bytes) => self.of_file(file, bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(Failure::usage(format!(
                    "{} cannot be used: {error}; put the lock file itself in its place",
                    file.display()
                )))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(file, error)),
        }
    }

    /// Reads the lock file of the caller's project, which may be a link; `None` when there
    /// is none. A link to nowhere is a lock that cannot be read.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is there and cannot be read, or is not a lock that this version
    /// understands. The file is named.
    pub fn read_through_links(&self, file: &Path) -> anyhow::Result<Option<Lock>> {
        match regular_file::read(file, RECORD_LIMIT) {
            Ok(bytes) => self.of_file(file, bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(file) {
                Err(_) => Ok(None),
                Ok(target) => Err(Failure::usage(format!(
                    "{} is a link to {}, which does not exist; put the lock there, or remove the link",
                    file.display(),
                    target.display()
                ))),
            },
            Err(error) => Err(unreadable(file, error)),
        }
    }

    fn of_file(&self, file: &Path, bytes: Vec<u8>) -> anyhow::Result<Lock> {
        let text = String::from_utf8(bytes).map_err(|_| {
            Failure::usage(format!(
                "{} is not a lock file: it is not text",
                file.display()
            ))
        })?;
        self.parse(text).map_err(|error| {
            Failure::usage(format!(
                "cannot read the lock file {}: {error}",
                file.display()
            ))
        })
    }

    /// Reads the text of a lock file.
    ///
    /// # Errors
    ///
    /// When it does not parse or has an unknown version, or a package in it has a
    /// name that is not a file name: it would lead out of the cache.
    pub fn parse(&self, text: String) -> anyhow::Result<Lock> {
        let digest = Sha256Digest::from(Sha256::digest(&text));
        let mut parsed = locked(&self.parsed);
        if let Some((lock, _)) = parsed.get(&digest) {
            return Ok(lock.clone());
        }
        if let Some(why) = not_checked_out(&text) {
            anyhow::bail!("{why}");
        }
        anyhow::ensure!(
            is_flat(&text),
            "it nests more than {DEEPEST} brackets; run `pixi lock`"
        );
        #[allow(
            clippy::disallowed_methods,
            reason = "this is the place that parses locks"
        )]
        let file = LockFile::from_str_with_base_directory(&text, None).map_err(|error| {
            anyhow::anyhow!("{error}; run `pixi lock`, or upgrade pixi-offline")
        })?;
        let lock = Lock::new(digest, text, &file)?;
        parsed.insert(digest, (lock.clone(), file));
        Ok(lock)
    }

    /// The whole of a lock that this cache has read, as `rattler_lock` has it.
    ///
    /// # Errors
    ///
    /// When it is another cache's lock.
    pub(super) fn file(&self, lock: &Lock) -> anyhow::Result<LockFile> {
        let parsed = locked(&self.parsed);
        let known = parsed.get(lock.digest()).map(|(_, file)| file.clone());
        known.context("the lock was not read in this run")
    }
}

/// What to say of a lock that is there and cannot be read.
fn unreadable(file: &Path, error: io::Error) -> anyhow::Error {
    let shown = file.display();
    let is_circle = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
    match error.kind() {
        _ if is_circle => Failure::usage(format!(
            "{shown} is a symbolic link loop; put the lock there, or remove the link"
        )),
        io::ErrorKind::IsADirectory
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::PermissionDenied => Failure::usage(format!(
            "{shown} cannot be read as a lock file: {error}; it lists what the product must contain"
        )),
        _ => anyhow::Error::new(error).context(format!("{shown} cannot be read")),
    }
}

/// How many brackets may be open in a lock, those in strings included; a lock of pixi's has
/// a few.
const DEEPEST: usize = 1000;

/// Whether a text has no deeply nested brackets: the YAML parser takes a time for them that
/// grows with the square of their number, hours for a mebibyte.
pub(super) fn is_flat(text: &str) -> bool {
    let mut open = 0_usize;
    text.bytes().all(|byte| {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open <= DEEPEST
    })
}

/// Why a text is not the file that git keeps under its name: it only stands for it,
/// or two versions of it are not merged yet.
pub fn not_checked_out(text: &str) -> Option<String> {
    if LFS_POINTER_BEGINS
        .iter()
        .any(|begin| text.starts_with(begin))
    {
        return Some(
            "it is a Git LFS pointer, not the file itself; get it with `git lfs pull`".to_owned(),
        );
    }
    if text.starts_with("/annex/objects/") {
        return Some(
            "it is a git-annex pointer, not the file itself; get it with `git annex get`"
                .to_owned(),
        );
    }
    if is_path(text) {
        return Some(format!(
            "it contains only the path {}: git writes a symbolic link like this with core.symlinks off; replace it with the file itself",
            text.trim()
        ));
    }
    let line_of = |mark: &str| text.lines().position(|line| line.starts_with(mark));
    let (begin, end) = (line_of("<<<<<<< ")?, line_of(">>>>>>> ")?);
    (begin < end).then(|| {
        format!(
            "it has git's conflict markers, in line {} first; merge it, or take one side of it (`git checkout --ours` or `--theirs`) and lock again",
            begin + 1
        )
    })
}

/// Whether a text is a path of several components, and nothing else.
fn is_path(text: &str) -> bool {
    let path = text.trim();
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "=:[]{}#\"'".contains(c);
    path.contains('/') && !path.contains(is_odd)
}
