//! The lock file of a project, as far as a build must know it beforehand.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::proof::Sha256Digest;

/// A `pixi.lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    digest: Sha256Digest,
    names_local_channel: bool,
}

impl Lock {
    /// Reads a lock file; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read.
    pub fn read(file: &Path) -> anyhow::Result<Option<Lock>> {
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", file.display()));
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        let names_local_channel = text
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("- url:"))
            .any(|url| {
                url.trim_start()
                    .trim_matches(['"', '\''])
                    .starts_with("file:")
            });
        Ok(Some(Lock {
            digest: Sha256Digest::from(Sha256::digest(&bytes)),
            names_local_channel,
        }))
    }

    /// The sha256 of the file.
    pub fn digest(&self) -> &Sha256Digest {
        &self.digest
    }

    /// Whether a channel in it is a folder. Pixi records the folder's absolute
    /// path, so at another path `--locked` takes the lock for stale, while
    /// `--frozen` installs it (seen with pixi 0.77.0).
    pub fn names_local_channel(&self) -> bool {
        self.names_local_channel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(text: &str) -> Lock {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pixi.lock");
        fs::write(&file, text).unwrap();
        Lock::read(&file).unwrap().unwrap()
    }

    #[test]
    fn local_channels_are_seen() {
        let text = "version: 5\nenvironments:\n  default:\n    channels:\n    - url: URL\n";
        assert!(lock(&text.replace("URL", "file:///home/me/project/chan/")).names_local_channel());
        assert!(!lock(&text.replace("URL", "http://10.0.0.1/chan/")).names_local_channel());
    }

    #[test]
    fn no_lock_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Lock::read(&folder.path().join("pixi.lock")).unwrap(), None);
    }
}
