//! The directories that a new container works in.

use std::path::{Path, PathBuf};

use tar::EntryType;

use super::volumes::VolumeSpec;
use crate::container::{self, Mount};

/// The directories that a new container works in.
pub(crate) struct ContainerTree {
    /// The directory in the container that they are below; a volume stands for it.
    pub(crate) root: String,
    pub(crate) dirs: Vec<TreeDir>,
}

/// A directory of a tree.
pub(crate) struct TreeDir {
    /// Where the container has it.
    pub(crate) target: String,
    /// Where it is on this machine.
    pub(crate) source: PathBuf,
    pub(crate) role: DirRole,
}

/// What the container does with a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirRole {
    /// It reads and writes it.
    Write,
    /// It only reads it.
    Read,
    /// It only reads it, at a place that is not below the tree's root.
    ReadOutsideRoot,
    /// It leaves files for people in it, which is empty at first.
    Out,
}

impl TreeDir {
    pub(crate) fn new(
        role: DirRole,
        source: impl Into<PathBuf>,
        target: impl Into<String>,
    ) -> TreeDir {
        TreeDir {
            target: target.into(),
            source: source.into(),
            role,
        }
    }
}

impl ContainerTree {
    pub(super) fn out(&self) -> Option<&TreeDir> {
        self.dirs.iter().find(|dir| dir.role == DirRole::Out)
    }

    /// The path of a directory below the root.
    pub(super) fn name(&self, dir: &TreeDir) -> PathBuf {
        let target = Path::new(&dir.target);
        target.strip_prefix(&self.root).unwrap_or(target).to_owned()
    }

    /// The path below the root of what is at `path` on this machine.
    pub(super) fn name_of(&self, path: &Path) -> Option<PathBuf> {
        self.dirs.iter().find_map(|dir| {
            let rest = path.strip_prefix(&dir.source).ok()?;
            Some(self.name(dir).join(rest))
        })
    }

    pub(super) fn mounts(&self) -> Vec<Mount> {
        let mount = |dir: &TreeDir| match dir.role {
            DirRole::Write | DirRole::Out => Mount::writable(&dir.source, &dir.target),
            DirRole::Read | DirRole::ReadOutsideRoot => Mount::read_only(&dir.source, &dir.target),
        };
        self.dirs.iter().map(mount).collect()
    }

    /// One volume for the root, and one for each directory outside of it.
    pub(super) fn volume_specs(&self, nonce: &str) -> Vec<VolumeSpec> {
        let mut root = VolumeSpec {
            target: self.root.clone(),
            ..VolumeSpec::default()
        };
        let mut outside_root = Vec::new();
        for dir in &self.dirs {
            match dir.role {
                DirRole::Write | DirRole::Read => {
                    root.dirs.push((self.name(dir), dir.source.clone()));
                }
                DirRole::Out => root.empty.extend([
                    (EntryType::Directory, self.name(dir)),
                    (
                        EntryType::Regular,
                        self.name(dir).join(container::nonce_file(nonce)),
                    ),
                ]),
                DirRole::ReadOutsideRoot => outside_root.push(VolumeSpec {
                    target: dir.target.clone(),
                    read_only: true,
                    dirs: vec![(PathBuf::new(), dir.source.clone())],
                    ..VolumeSpec::default()
                }),
            }
        }
        std::iter::once(root).chain(outside_root).collect()
    }
}
