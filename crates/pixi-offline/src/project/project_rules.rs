//! What of a project is copied: the rules of the excludes, and what else stays behind.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::evidence;
use crate::failure::Failure;
use crate::layout::{self, PathInRoot};
use crate::product;
use crate::replacement::{DirLock, StagedDir};
use crate::staging::{self, LinkAction, RuleVerdict, Rules, Selection};
use crate::untrusted_dir::RECORD_LIMIT;

/// What of a project is copied: the usual excludes decide first, then the caller's
/// patterns.
#[derive(Debug, Clone)]
pub struct ProjectRules {
    all: Rules,
    /// [`layout::DEFAULT_EXCLUDES`] alone.
    usual: Rules,
    callers: Rules,
    /// Whether the project's Pixi configuration, manifest and lock are read through links.
    follows_links: bool,
    /// Files and directories that the build made and that stay behind.
    generated: BTreeSet<PathBuf>,
    /// Where the project is in what is copied.
    in_root: PathInRoot,
    /// What of a source root is copied; all of it when `None`.
    of_root: Option<BTreeSet<PathBuf>>,
}

/// What decides on a path that is in the source root and not needed.
pub(crate) const NOT_NEEDED: &str = "--source-root, as not needed";

impl ProjectRules {
    /// For a project that a container could write: nothing is read through a link that
    /// is there.
    pub fn of_built(excludes: &[OsString]) -> anyhow::Result<ProjectRules> {
        let mut rules = ProjectRules::new(excludes)?;
        rules.follows_links = false;
        Ok(rules)
    }

    /// Whether the project's Pixi configuration, manifest and lock are read through links.
    pub(crate) fn follows_links(&self) -> bool {
        self.follows_links
    }

    /// Has the project be below the top of what is copied.
    pub(crate) fn stage_in_root(&mut self, in_root: &PathInRoot) {
        self.in_root = in_root.clone();
    }

    /// Copies of the source root only these paths, with all that is in them.
    pub(crate) fn take_of_root(&mut self, paths: BTreeSet<PathBuf>) {
        self.of_root = Some(paths);
    }

    /// Whether only a part of the source root is copied.
    pub(crate) fn chooses_of_root(&self) -> bool {
        self.of_root.is_some()
    }

    /// The same for the whole source root.
    #[must_use]
    pub(crate) fn with_whole_root(mut self) -> ProjectRules {
        self.of_root = None;
        self
    }

    /// Where the project is in what is copied.
    pub(crate) fn in_root(&self) -> &Path {
        self.in_root.path()
    }

    /// The project in a tree that these rules are for.
    pub(crate) fn project_in(&self, tree: &Path) -> PathBuf {
        self.in_root.below(tree)
    }

    /// Whether a path is one that is needed of the source root, is in one, or is on the way.
    fn takes(&self, relative: &Path) -> bool {
        self.of_root.as_ref().is_none_or(|paths| {
            let mut from_here = paths.range(relative.to_owned()..);
            from_here
                .next()
                .is_some_and(|path| path.starts_with(relative))
                || relative.ancestors().any(|part| paths.contains(part))
        })
    }

    /// Whether a file at this path would be copied, as far as the rules tell.
    pub(crate) fn copies(&self, relative: &Path) -> bool {
        let mut above = relative.ancestors().skip(1);
        !self.excludes(relative, false) && !above.any(|dir| self.excludes(dir, true))
    }

    /// Whether the caller's patterns alone leave out a path below the project.
    pub(super) fn callers_exclude(&self, of_project: &Path, is_dir: bool) -> bool {
        let verdict = self
            .callers
            .decide(&self.in_root().join(of_project), is_dir);
        verdict == Some(RuleVerdict::Exclude)
    }

    /// Leaves a file or directory behind, too: a path below the project.
    pub(crate) fn leave_out(&mut self, path: &str) {
        self.generated.insert(self.in_root().join(path));
    }

    /// Leaves what the build made behind.
    pub(crate) fn leave_generated(&mut self, paths: BTreeSet<PathBuf>) {
        self.generated = paths;
    }

    /// Reads the arguments of `--exclude`.
    ///
    /// # Errors
    ///
    /// Exit code 2 for a pattern that cannot be one.
    pub fn new(excludes: &[OsString]) -> anyhow::Result<ProjectRules> {
        let mut rules = ProjectRules {
            all: without_our_traces()?,
            usual: Rules::new(),
            callers: Rules::new(),
            follows_links: true,
            generated: BTreeSet::new(),
            in_root: PathInRoot::default(),
            of_root: None,
        };
        for pattern in layout::DEFAULT_EXCLUDES {
            rules.all.push(OsStr::new(pattern))?;
            rules.usual.push(OsStr::new(pattern))?;
        }
        for pattern in excludes {
            let usage =
                |error: staging::PatternError| Failure::usage(format!("--exclude: {error}"));
            rules.all.push(pattern).map_err(usage)?;
            rules.callers.push(pattern).map_err(usage)?;
        }
        Ok(rules)
    }
}

/// Beside rsync's own patterns: a link that is named like a usual exclude, and a `.git`
/// that is a file of git's, stay behind.
impl Selection for ProjectRules {
    fn excludes(&self, relative: &Path, is_dir: bool) -> bool {
        self.all.excludes(relative, is_dir)
            || self.generated.contains(relative)
            || !self.takes(relative)
    }

    /// A link of the name of a usual exclude leads to what that is to keep back: pixi
    /// would install through one named `.pixi`.
    fn link(&self, relative: &Path, _leads_to: &Path) -> anyhow::Result<LinkAction> {
        Ok(match self.usual.excludes(relative, true) {
            true => LinkAction::Skip,
            false => LinkAction::Keep,
        })
    }

    /// The `.git` of a worktree or a submodule is a file that names a directory of this machine.
    fn excludes_content(&self, relative: &Path, begins_with: &dyn Fn(&[u8]) -> bool) -> bool {
        relative.file_name() == Some(OsStr::new(layout::GIT)) && begins_with(b"gitdir: ")
    }

    /// The size of the file that takes the place of a link, as for manifest and lock.
    fn file_in_place_of_link(&self, relative: &Path) -> Option<u64> {
        let settled = layout::PROJECT_MANIFESTS.iter().chain([&layout::LOCK_FILE]);
        let of_project = relative.strip_prefix(self.in_root()).ok();
        let is_settled = self.follows_links
            && settled
                .into_iter()
                .any(|name| of_project == Some(Path::new(name)));
        is_settled.then_some(RECORD_LIMIT)
    }

    fn deciding(&self, relative: &Path, is_dir: bool) -> Option<&OsStr> {
        let rule = self.all.deciding(relative, is_dir);
        rule.or_else(|| (!self.takes(relative)).then_some(OsStr::new(NOT_NEEDED)))
    }

    fn skips(&self, dir: &Path) -> bool {
        evidence::is_never_staged(dir) || product::is_product(dir)
    }
}

/// The rules for any directory: what runs of ours was beside a workdir while they
/// work is never part of anything.
pub(crate) fn without_our_traces() -> anyhow::Result<Rules> {
    let mut rules = Rules::new();
    for pattern in [
        format!(".*{}*/", StagedDir::MARK),
        format!(".*{}", DirLock::ENDING),
    ] {
        rules.push(pattern.as_ref())?;
    }
    Ok(rules)
}
