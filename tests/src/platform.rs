//! The host's kind of processor, by each name that it has.

use anyhow::{Result, bail};

/// One architecture in conda's and in Debian's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Platform {
    /// conda's directory in a channel, and pixi's `platforms`.
    pub(crate) subdir: &'static str,
    /// conda's `arch` in a package's index.json.
    pub(crate) conda_arch: &'static str,
    /// Debian's architecture.
    pub(crate) debian: &'static str,
}

impl Platform {
    /// # Errors
    /// On a processor that the test parts are not made for.
    pub(crate) fn host() -> Result<Platform> {
        Ok(match std::env::consts::ARCH {
            "x86_64" => Platform {
                subdir: "linux-64",
                conda_arch: "x86_64",
                debian: "amd64",
            },
            "aarch64" => Platform {
                subdir: "linux-aarch64",
                conda_arch: "aarch64",
                debian: "arm64",
            },
            other => bail!(
                "the test parts are made for x86_64 and aarch64, not for {other}: add its names here"
            ),
        })
    }
}
