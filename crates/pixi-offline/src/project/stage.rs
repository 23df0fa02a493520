//! Staging a project and what goes with it into a workdir.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::counted::counted;
use crate::evidence;
use crate::failure::Failure;
use crate::layout::{self, Workdir};
use crate::packages::Lock;
use crate::project::configuration::{
    copy_configuration, keep_environments_in_the_project, takes_configuration,
};
use crate::project::project_rules::{ProjectRules, without_our_traces};
use crate::regular_file;
use crate::replacement::{make_dir, replace_file};
use crate::staging::{self, CopyOptions, CopyOutcome, RulesAndSkip, Selection, Survey};
use crate::untrusted_dir::RECORD_LIMIT;
use anyhow::Context as _;

/// Puts a lock that stands for the project's own into the staged project.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn replace_lock(project: &Path, lock: Option<&Lock>) -> anyhow::Result<()> {
    match lock.filter(|lock| lock.own_lock().is_some()) {
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
    options: &CopyOptions,
    context: &Context,
) -> anyhow::Result<CopyOutcome> {
    let mut outcome = copy_by(source, target, rules, options, context)?;
    // `.pixi/` is left out, since it holds installed environments; the
    // configuration in it is part of the project, and people commit it.
    let takes_configuration = takes_configuration(source, rules)?;
    let (source, target) = (&rules.project_in(source), &rules.project_in(target));
    if takes_configuration {
        let length = copy_configuration(source, target, options.below)?;
        keep_environments_in_the_project(&target.join(layout::PROJECT_CONFIG), context)?;
        let copied = &mut outcome.copied;
        copied.entries += 2;
        copied.files += 1;
        copied.bytes += length;
        restore_dir_time(source, target)?;
    }
    if rules.follows_links() {
        settle_links(source, target)?;
    }
    Ok(outcome)
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
        if staged.is_symlink()
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
    if staged.is_symlink() {
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

/// Making `.pixi/` changed the time of the directory that it is in.
fn restore_dir_time(source: &Path, target: &Path) -> anyhow::Result<()> {
    let set = || fs::File::open(target)?.set_modified(fs::metadata(source)?.modified()?);
    set().with_context(|| format!("the time of {} cannot be set", target.display()))
}

/// Copies a directory whole, but for workdirs in it: one may be in the project or
/// in the resources, and would be copied into itself.
pub(crate) fn copy_dir(
    source: &Path,
    target: &Path,
    options: &CopyOptions,
    context: &Context,
) -> anyhow::Result<CopyOutcome> {
    let selection = RulesAndSkip {
        rules: &without_our_traces()?,
        skip: &evidence::is_never_staged,
    };
    copy_by(source, target, &selection, options, context)
}

fn copy_by(
    source: &Path,
    target: &Path,
    selection: &dyn Selection,
    options: &CopyOptions,
    context: &Context,
) -> anyhow::Result<CopyOutcome> {
    let outcome = staging::copy_tree(source, target, selection, options)?;
    let skipped = outcome.copied.skipped.iter();
    // Our own directory is in the project after the first run.
    for (path, why) in skipped.filter(|(path, _)| !evidence::holds_workdirs(&source.join(path))) {
        context
            .report
            .note(format_args!("{}: {why}", path.display()));
    }
    Ok(outcome)
}

/// Warns of what a copy would hold and what is no use at another place.
/// `what` is the directory for people: `project` or `resources`.
pub(crate) fn warn_of_survey(what: &str, survey: &Survey, context: &Context) {
    let Survey {
        links_out,
        lfs_pointers,
        ..
    } = survey;
    if links_out.count > 0 {
        context.report.warning(format_args!(
            "{} out of what is copied, or to files that are left out, and will be broken at another place: {links_out}",
            counted(
                links_out.count,
                &format!("link of the {what} leads"),
                &format!("links of the {what} lead")
            )
        ));
    }
    if lfs_pointers.count > 0 {
        context.report.warning(format_args!(
            "{} and not the content; `git lfs pull` fetches it: {lfs_pointers}",
            counted(
                lfs_pointers.count,
                &format!("file of the {what} is a Git LFS pointer"),
                &format!("files of the {what} are Git LFS pointers")
            )
        ));
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
