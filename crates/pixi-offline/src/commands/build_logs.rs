//! The logs of a build.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::container::PhaseLog;
use crate::layout::Workdir;
use crate::replacement::make_dir;

/// The logs of a build.
pub(crate) struct Logs {
    pub(crate) install: PathBuf,
    pub(crate) verify: PathBuf,
}

impl Logs {
    pub(crate) fn of(workdir: &Workdir) -> Logs {
        Logs {
            install: workdir.install_log(),
            verify: workdir.verify_log(),
        }
    }

    /// The files of these logs.
    pub(crate) fn files(&self) -> [PathBuf; 2] {
        [self.install.clone(), self.verify.clone()]
    }

    pub(crate) fn phases(&self) -> [PhaseLog; 2] {
        let log = |phase, file: &Path| PhaseLog {
            phase,
            file: file.to_owned(),
        };
        [log("install", &self.install), log("verify", &self.verify)]
    }
}

/// Makes the out directory that a build inside a container keeps its logs in.
pub(crate) fn prepare_logs(workdir: &Workdir) -> anyhow::Result<()> {
    let out = workdir.out();
    make_dir(&out).with_context(|| format!("{} cannot be made", out.display()))
}
