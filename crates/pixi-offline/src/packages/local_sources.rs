//! What of a machine's own directories goes along with a project.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::layout::PathInRoot;
use crate::packages::local_channel::{LocalChannel, is_local};
use crate::packages::lock::Lock;
use crate::packages::package::PackageSource;

/// Where the project is in what is staged, and the channels that are staged with it: what a lock
/// names by path is there, or it is outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalSources {
    /// Where the project is in what is staged.
    pub in_root: PathInRoot,
    /// The channels in it.
    pub channels: Vec<LocalChannel>,
}

impl LocalSources {
    /// Those of a lock, of the project at `in_root` in the directory `top`.
    pub fn of(lock: &Lock, top: &Path, in_root: &PathInRoot) -> LocalSources {
        LocalSources {
            in_root: in_root.clone(),
            channels: LocalChannel::of(lock, top),
        }
    }

    /// Whether a Python package or a source directory is outside.
    pub(super) fn lack(&self, source: &PackageSource) -> bool {
        source.leads_out(&self.in_root)
    }

    /// Whether what a source package is built from is outside.
    pub(super) fn lack_source(&self, source: &PackageSource) -> bool {
        is_local(source) || self.lack(source)
    }

    /// Whether a conda package is outside.
    pub(super) fn lack_conda(&self, source: &PackageSource) -> bool {
        self.lack_source(source) && !self.channels.iter().any(|channel| channel.holds(source))
    }
}
