//! Staging a project and what goes with it into a workdir.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::evidence;
use crate::failure::Failure;
use crate::layout::{self, PathInRoot, Workdir};
use crate::packages::Lock;
use crate::product;
use crate::regular_file;
use crate::replacement::{DirLock, StagedDir, make_dir, replace_file, write_file};
use crate::staging::{
    self, CopyOptions, CopyOutcome, Examples, LinkAction, RuleVerdict, Rules, RulesAndSkip,
    Selection, Size, Survey,
};
use crate::tools::Program;
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// What of a project is copied: the usual excludes decide first, then the caller's
/// patterns.
#[derive(Debug, Clone)]
pub struct ProjectRules {
    all: Rules,
    /// [`layout::DEFAULT_EXCLUDES`] alone.
    usual: Rules,
    callers: Rules,
    /// As [`ProjectRules::follows_links`].
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
    /// lies there.
    pub fn of_built(excludes: &[OsString]) -> anyhow::Result<ProjectRules> {
        let mut rules = ProjectRules::new(excludes)?;
        rules.follows_links = false;
        Ok(rules)
    }

    /// Whether the project's Pixi configuration, manifest and lock are read through links.
    pub(crate) fn follows_links(&self) -> bool {
        self.follows_links
    }

    /// Has the project lie below the top of what is copied.
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
        match self.in_root.is_empty() {
            true => tree.to_owned(),
            false => tree.join(self.in_root()),
        }
    }

    /// Whether a path is one that is needed of the source root, lies in one, or is on the way.
    fn takes(&self, relative: &Path) -> bool {
        self.of_root.as_ref().is_none_or(|paths| {
            let mut from_here = paths.range(relative.to_owned()..);
            from_here
                .next()
                .is_some_and(|path| path.starts_with(relative))
                || relative.ancestors().any(|part| paths.contains(part))
        })
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

    /// As [`settle_links`] does.
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

/// The rules for any directory: what runs of ours lay beside a workdir while they
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

/// Puts a lock that stands for the project's own into the staged project.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn replace_lock(project: &Path, lock: Option<&Lock>) -> anyhow::Result<()> {
    match lock.filter(|lock| lock.own().is_some()) {
        // It may be a link, which is not followed.
        Some(lock) => replace_file(&project.join(layout::LOCK_FILE), lock.text().as_bytes()),
        None => Ok(()),
    }
}

/// Copies a project, with what is around it where the rules say so; workdirs are left out, its
/// committed Pixi configuration is taken along; that is not in the listing, since it may not be
/// left as it is.
pub(crate) fn copy_project(
    source: &Path,
    target: &Path,
    rules: &ProjectRules,
    how: &CopyOptions,
    context: &Context,
) -> anyhow::Result<CopyOutcome> {
    let mut outcome = copy_by(source, target, rules, how, context)?;
    let (source, target) = (&rules.project_in(source), &rules.project_in(target));

    // `.pixi/` stays behind, since it holds installed environments; the
    // configuration in it is part of the project, and people commit it.
    if project_takes_configuration(source, rules)? {
        let length = copy_configuration(source, target, how.below)?;
        keep_environments_in_the_project(&target.join(layout::PROJECT_CONFIG), context)?;
        let copied = &mut outcome.copied;
        copied.entries += 2;
        copied.files += 1;
        copied.bytes += length;
        restore_dir_time(source, target)?;
    }
    if rules.follows_links {
        settle_links(source, target)?;
    }
    Ok(outcome)
}

/// Longest configuration that is read through a link, in bytes: a link may lead anywhere.
const LONGEST_LINKED_CONFIGURATION: u64 = 1024 * 1024;

/// Copies the project's Pixi configuration, and gives its length. A link, or what lies behind one,
/// becomes a file: nothing of the copy leads out of it.
fn copy_configuration(source: &Path, target: &Path, below: Option<&Path>) -> anyhow::Result<u64> {
    let (from, to) = (
        source.join(layout::PROJECT_CONFIG),
        target.join(layout::PROJECT_CONFIG),
    );
    let copying = || format!("{} cannot be copied", from.display());
    let dir = |file: &Path| file.parent().map(Path::to_owned).unwrap_or_default();
    if !is_behind_a_link(source) {
        let mut config_alone = Rules::new();
        for rule in ["+ /config.toml", "*"] {
            config_alone.push(OsStr::new(rule))?;
        }
        let how = CopyOptions {
            below,
            ..CopyOptions::default()
        };
        let outcome = staging::copy_tree_with(&dir(&from), &dir(&to), &config_alone, &how)?;
        return Ok(outcome.copied.bytes);
    }
    let content = regular_file::read(&from, LONGEST_LINKED_CONFIGURATION).with_context(copying)?;
    let metadata = fs::metadata(&from).with_context(copying)?;
    let write = || -> io::Result<()> {
        fs::create_dir(dir(&to))?;
        fs::write(&to, &content)?;
        fs::File::open(&to)?.set_modified(metadata.modified()?)
    };
    write().with_context(|| format!("{} cannot be written", to.display()))?;
    Ok(content.len() as u64)
}

/// Whether the project's Pixi configuration, or its directory, is a link.
fn is_behind_a_link(source: &Path) -> bool {
    let config = Path::new(layout::PROJECT_CONFIG);
    let parts = config
        .ancestors()
        .filter(|part| !part.as_os_str().is_empty());
    parts.into_iter().any(|part| source.join(part).is_symlink())
}

/// Has manifest and lock in the copy as files, with what their links led to: pixi writes
/// through a link, and the copy is all that it may change.
///
/// # Errors
///
/// Exit code 2 when the lock cannot be read.
fn settle_links(source: &Path, target: &Path) -> anyhow::Result<()> {
    let mut changed = false;
    for name in layout::PROJECT_MANIFESTS {
        let (from, staged) = (source.join(name), target.join(name));
        // A manifest that pixi does not take may lead nowhere.
        if is_link(&staged)
            && let Ok(content) = regular_file::read(&from, RECORD_LIMIT)
        {
            put_in_place_of_link(&from, &content, &staged)?;
            changed = true;
        }
    }
    let (lock, staged) = (
        source.join(layout::LOCK_FILE),
        target.join(layout::LOCK_FILE),
    );
    if is_link(&staged) {
        let content = regular_file::read(&lock, RECORD_LIMIT).map_err(|error| {
            Failure::usage(format!(
                "{} is a link, and what it leads to cannot be staged as the lock: {error}",
                lock.display()
            ))
        })?;
        put_in_place_of_link(&lock, &content, &staged)?;
        changed = true;
    }
    if changed {
        restore_dir_time(source, target)?;
    }
    Ok(())
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// Makes a file of a link that was staged, with mode and time of the file that `from`
/// leads to.
fn put_in_place_of_link(from: &Path, content: &[u8], staged: &Path) -> anyhow::Result<()> {
    let put = || -> io::Result<()> {
        let metadata = fs::metadata(from)?;
        fs::remove_file(staged)?;
        let mut file = fs::File::create_new(staged)?;
        file.write_all(content)?;
        let mode = metadata.permissions().mode() & 0o777;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.set_modified(metadata.modified()?)
    };
    put().with_context(|| format!("{} cannot be made a file", staged.display()))
}

/// Whether the committed Pixi configuration of the project in `source` is taken along.
///
/// # Errors
///
/// When a disk that breaks keeps it from being seen: it must not stay behind unsaid.
pub(crate) fn takes_configuration(source: &Path, rules: &ProjectRules) -> anyhow::Result<bool> {
    project_takes_configuration(&rules.project_in(source), rules)
}

fn project_takes_configuration(source: &Path, rules: &ProjectRules) -> anyhow::Result<bool> {
    let config = Path::new(layout::PROJECT_CONFIG);
    let file = source.join(config);
    let behind_a_link = is_behind_a_link(source);
    let is_file = there(&file, fs::metadata(&file))?.is_some_and(|metadata| {
        metadata.is_file() && (!behind_a_link || metadata.len() < LONGEST_LINKED_CONFIGURATION)
    });
    let unwanted = config.ancestors().any(|path| {
        let is_dir = path != config;
        !path.as_os_str().is_empty()
            && rules.callers.decide(&rules.in_root().join(path), is_dir)
                == Some(RuleVerdict::Exclude)
    });
    let follows = !behind_a_link || rules.follows_links;
    Ok(is_file && follows && !unwanted)
}

/// Whether there is a directory, links followed.
///
/// # Errors
///
/// When that cannot be known.
pub(crate) fn is_dir(path: &Path) -> anyhow::Result<bool> {
    Ok(there(path, fs::metadata(path))?.is_some_and(|metadata| metadata.is_dir()))
}

/// What was asked of a path; `None` when nothing of that name can be reached. A disk
/// that breaks is another matter: what it hides must not be left out.
fn there(path: &Path, asked: io::Result<fs::Metadata>) -> anyhow::Result<Option<fs::Metadata>> {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match asked {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | PermissionDenied) => {
            Ok(None)
        }
        // A link that leads in a circle leads nowhere.
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be looked at", path.display())),
    }
}

/// Takes `detached-environments` out of a staged configuration: it would put the
/// environments of the product somewhere else, and no variable turns it off.
fn keep_environments_in_the_project(config: &Path, context: &Context) -> anyhow::Result<()> {
    const SETTING: &str = "detached-environments";
    let editing = || {
        format!(
            "{} cannot be read as pixi's configuration",
            config.display()
        )
    };
    // A link is copied as one; where it leads nowhere any more, pixi reads nothing.
    if there(config, fs::metadata(config))?.is_none() {
        return Ok(());
    }
    let text = UntrustedDir::read_file(config, RECORD_LIMIT).with_context(editing)?;
    let text = String::from_utf8(text).with_context(editing)?;
    let mut document: toml_edit::DocumentMut = text.parse().with_context(editing)?;
    let detached = |item: &toml_edit::Item| item.as_bool() != Some(false);
    if !document.get(SETTING).is_some_and(detached) {
        return Ok(());
    }
    document.remove(SETTING);
    // A new file: a link would lead the writing into somebody's own.
    fs::remove_file(config).with_context(editing)?;
    write_file(config, document.to_string().as_bytes())?;
    context.report.note(format_args!(
        "{SETTING} was taken out of the copy of {}: the product keeps its environments in the project",
        layout::PROJECT_CONFIG
    ));
    Ok(())
}

/// Making `.pixi/` changed the time of the directory that it lies in.
fn restore_dir_time(source: &Path, target: &Path) -> anyhow::Result<()> {
    let set = || fs::File::open(target)?.set_modified(fs::metadata(source)?.modified()?);
    set().with_context(|| format!("the time of {} cannot be set", target.display()))
}

/// Copies a directory whole, but for workdirs in it: one may lie in the project or
/// in the resources, and would be copied into itself.
pub(crate) fn copy_dir(
    source: &Path,
    target: &Path,
    how: &CopyOptions,
    context: &Context,
) -> anyhow::Result<CopyOutcome> {
    let selection = RulesAndSkip {
        rules: &without_our_traces()?,
        skip: &evidence::is_never_staged,
    };
    copy_by(source, target, &selection, how, context)
}

fn copy_by(
    source: &Path,
    target: &Path,
    selection: &dyn Selection,
    how: &CopyOptions,
    context: &Context,
) -> anyhow::Result<CopyOutcome> {
    let outcome = staging::copy_tree_with(source, target, selection, how)?;
    for (path, why) in &outcome.copied.skipped {
        context
            .report
            .note(format_args!("{}: {why}", path.display()));
    }
    Ok(outcome)
}

/// Warns of what a copy would hold and what is no use at another place.
/// `what` is the directory for people: `project` or `resources`.
pub(crate) fn warn_of_survey(what: &str, survey: &SurveyWarnings, context: &Context) {
    let SurveyWarnings {
        links_out,
        lfs_pointers,
    } = survey;
    if links_out.count > 0 {
        context.report.warning(format_args!(
            "{} links of the {what} lead out of what is copied, or to what stays behind, and will lead nowhere or to something else at another place: {links_out}",
            links_out.count
        ));
    }
    if lfs_pointers.count > 0 {
        context.report.warning(format_args!(
            "{} files of the {what} are Git LFS pointers and not their content; `git lfs pull` fetches it: {lfs_pointers}",
            lfs_pointers.count
        ));
    }
}

/// The part of a [`Survey`] that people are warned of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurveyWarnings {
    /// As [`Survey::links_out`].
    pub links_out: Examples,
    /// As [`Survey::lfs_pointers`].
    pub lfs_pointers: Examples,
}

impl From<&Survey> for SurveyWarnings {
    fn from(survey: &Survey) -> SurveyWarnings {
        SurveyWarnings {
            links_out: survey.links_out.clone(),
            lfs_pointers: survey.lfs_pointers.clone(),
        }
    }
}

/// Whether a package cache that is there can be used again: it is a directory, and no link in it
/// leads what is installed elsewhere.
pub(crate) fn is_own_cache(cache: &Path) -> bool {
    let is_dir = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let has_link = |dir: PathBuf| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let mut kinds = entries.map(|entry| entry.file_type());
        kinds.any(|kind| kind.is_ok_and(|kind| kind.is_symlink()))
    };
    let dirs = ["", "pkgs", "pixi-offline-bin"];
    is_dir(cache) && !dirs.iter().any(|name| has_link(cache.join(name)))
}

/// Makes the directories of a new workdir that are not copies.
pub(crate) fn make_dirs(workdir: &Workdir) -> anyhow::Result<()> {
    for dir in [
        workdir.projects(),
        workdir.cache(),
        workdir.out(),
        workdir.helpers(),
        workdir.product().path().to_owned(),
    ] {
        make_dir(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    }
    Ok(())
}

/// The program that a workdir carries, so that the next step can be taken on
/// another machine.
#[derive(Debug, Clone)]
pub(crate) struct Helper(PathBuf);

/// The helper under the old script's name.
const HELPER_SHIM: &str = include_str!("../../../../scripts-compat/make-archive-ready-product.sh");

impl Helper {
    /// Finds it beside this program, then on `PATH`.
    ///
    /// # Errors
    ///
    /// Exit code 127 when it is nowhere.
    pub(crate) fn find(context: &Context) -> anyhow::Result<Helper> {
        let beside = context.host.program.with_file_name(layout::HELPER);
        if beside.is_file() {
            return Ok(Helper(beside));
        }
        match Program::find(OsStr::new(layout::HELPER), &context.host) {
            Ok(program) => Ok(Helper(program.path().to_owned())),
            Err(error) => Err(error.context(format!(
                "the workdir carries {} with it, which is neither beside {} nor on PATH; install it there",
                layout::HELPER,
                context.host.program.display()
            ))),
        }
    }

    /// What it takes in a workdir.
    pub(crate) fn size(&self) -> Size {
        Size {
            bytes: fs::metadata(&self.0).map_or(0, |metadata| metadata.len()),
            entries: 2,
        }
    }

    /// Puts it into a workdir's `helpers/`, with its shim.
    pub(crate) fn install(&self, workdir: &Workdir) -> anyhow::Result<()> {
        let executable = |file: &Path| fs::set_permissions(file, fs::Permissions::from_mode(0o755));
        let install = || -> anyhow::Result<()> {
            let binary = workdir.helpers().join(layout::HELPER);
            staging::copy_file(&self.0, &binary)?;
            executable(&binary)?;
            let shim = workdir.helper_shim();
            fs::write(&shim, HELPER_SHIM)?;
            executable(&shim)?;
            Ok(())
        };
        install().with_context(|| format!("{} cannot be filled", workdir.helpers().display()))
    }
}

/// A directory that must be there.
///
/// # Errors
///
/// Exit code 2 naming the option when it is missing or no directory.
pub fn require_dir(option: &str, dir: &Path) -> anyhow::Result<()> {
    match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Failure::usage(format!(
            "{option} {} is no directory",
            dir.display()
        ))),
        Err(error) => Err(Failure::usage(format!(
            "{option} {} cannot be used: {error}",
            dir.display()
        ))),
    }
}
