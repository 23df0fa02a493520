//! What of a tree is copied, decided while it is walked.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::rules::Rules;

/// Decides about the entries of one tree. Several threads ask at the same time,
/// and in no order.
///
/// Paths are relative to the top of the tree unless told otherwise. What is in
/// a directory that is left out is not asked about.
pub trait Selection: Sync {
    /// Whether an entry is left out. `is_dir` is about the entry itself, so it is
    /// false for a link to a directory.
    fn excludes(&self, relative: &Path, is_dir: bool) -> bool;

    /// Whether a regular file that is not excluded is left out for what it holds:
    /// `begins_with` reads the start of it.
    fn excludes_content(&self, relative: &Path, begins_with: &dyn Fn(&[u8]) -> bool) -> bool {
        let _ = (relative, begins_with);
        false
    }

    /// The rule that decides on an entry, as it was given; `None` when none matches.
    fn deciding(&self, relative: &Path, is_dir: bool) -> Option<&OsStr> {
        let _ = (relative, is_dir);
        None
    }

    /// Whether a directory that is not excluded is left out all the same, and told of
    /// as left out. `directory` is its absolute path, with no link in it.
    fn skips(&self, dir: &Path) -> bool {
        let _ = dir;
        false
    }

    /// What becomes of a link.
    ///
    /// # Errors
    ///
    /// When there must be no such link. The copy goes on, and fails at its end
    /// with the error of the first of them by path.
    fn link(&self, relative: &Path, leads_to: &Path) -> anyhow::Result<LinkAction> {
        let _ = (relative, leads_to);
        Ok(LinkAction::Keep)
    }

    /// The longest file, in bytes, that whoever asks for the copy puts in the place of a link
    /// that leads to it; `None` when the link stays one.
    fn file_in_place_of_link(&self, relative: &Path) -> Option<u64> {
        let _ = relative;
        None
    }

    /// Whether a file must be one of its own and never a hard link, since
    /// a program will write to it in place.
    fn must_not_share(&self, relative: &Path) -> bool {
        let _ = relative;
        false
    }
}

/// What becomes of a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkAction {
    /// It is copied.
    Keep,
    /// Its copy leads here.
    Rewrite(PathBuf),
    /// It is left out.
    Skip,
}

impl Selection for Rules {
    fn excludes(&self, relative: &Path, is_dir: bool) -> bool {
        Rules::excludes(self, relative, is_dir)
    }

    fn deciding(&self, relative: &Path, is_dir: bool) -> Option<&OsStr> {
        Rules::deciding(self, relative, is_dir)
    }
}

/// Rules, and a function that leaves out directories which they keep.
pub struct RulesAndSkip<'a> {
    /// The rules.
    pub rules: &'a Rules,
    /// Asked for each directory that they keep, with its absolute path.
    pub skip: &'a (dyn Fn(&Path) -> bool + Sync),
}

impl Selection for RulesAndSkip<'_> {
    fn excludes(&self, relative: &Path, is_dir: bool) -> bool {
        self.rules.excludes(relative, is_dir)
    }

    fn deciding(&self, relative: &Path, is_dir: bool) -> Option<&OsStr> {
        self.rules.deciding(relative, is_dir)
    }

    fn skips(&self, dir: &Path) -> bool {
        (self.skip)(dir)
    }
}
