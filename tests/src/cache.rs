//! The directory outside the checkout where things that are made once per machine stay.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::process::{LONG_PATIENCE, say};

/// `$XDG_CACHE_HOME/pixi-offline`, or `~/.cache/pixi-offline`; made when it is not there.
///
/// # Errors
/// When neither variable names a place, or the directory cannot be made.
pub fn cache_dir() -> Result<PathBuf> {
    let dir = place(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))
        .context("no cache directory: set HOME or XDG_CACHE_HOME to an absolute path")?;
    fs::create_dir_all(&dir)
        .with_context(|| format!("cannot make the cache directory {}", dir.display()))?;
    Ok(dir)
}

/// XDG's rule: a relative XDG_CACHE_HOME counts as unset.
fn place(xdg_cache_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let base = xdg_cache_home
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| {
            home.map(PathBuf::from)
                .filter(|path| path.is_absolute())
                .map(|home| home.join(".cache"))
        })?;
    Some(base.join("pixi-offline"))
}

/// A fresh directory in the cache, removed when it is dropped. Not in /tmp, which may be small
/// or mounted without devices and programs.
pub(crate) fn scratch_dir(purpose: &str) -> Result<TempDir> {
    let dir = cache_dir()?;
    tempfile::Builder::new()
        .prefix(&format!("tmp-{purpose}-"))
        .tempdir_in(&dir)
        .with_context(|| format!("cannot make a directory in {}", dir.display()))
}

/// Makes two processes that set up the same thing take turns. Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _file: File,
}

impl Turn {
    /// Waits for the turn to set up `part`.
    pub(crate) fn at(part: &str) -> Result<Turn> {
        let path = cache_dir()?.join(format!("{part}.lock"));
        let file = open(&path)?;
        // The lock that std's File::lock takes too, which the workspace's oldest Rust lacks.
        let locked = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                say(format_args!(
                    "waiting for another process that sets up {part} ..."
                ));
                wait_for(&file)
            }
            other => other,
        };
        locked.with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Turn { _file: file })
    }

    /// The turn at `part`, if nobody has it.
    pub(crate) fn at_once(part: &str) -> Result<Option<Turn>> {
        let path = cache_dir()?.join(format!("{part}.lock"));
        let file = open(&path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(None),
            end => end
                .with_context(|| format!("cannot lock {}", path.display()))
                .map(|()| Some(Turn { _file: file })),
        }
    }
}

/// Until the other one is done, which has its own limits: this one ends too where they fail.
fn wait_for(file: &File) -> rustix::io::Result<()> {
    let since = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if since.elapsed() < LONG_PATIENCE => {
                sleep(Duration::from_millis(50));
            }
            end => return end,
        }
    }
}

fn open(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(xdg: Option<&str>, home: Option<&str>) -> Option<PathBuf> {
        place(xdg.map(OsString::from), home.map(OsString::from))
    }

    #[test]
    fn xdg_names_the_dir_and_home_is_the_default() {
        assert_eq!(
            named(Some("/c"), Some("/home/me")),
            Some("/c/pixi-offline".into())
        );
        assert_eq!(
            named(None, Some("/home/me")),
            Some("/home/me/.cache/pixi-offline".into())
        );
        assert_eq!(
            named(Some("relative"), Some("/home/me")),
            Some("/home/me/.cache/pixi-offline".into())
        );
        assert_eq!(named(Some(""), None), None);
    }
}
