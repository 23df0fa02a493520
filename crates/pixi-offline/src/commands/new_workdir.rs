//! What both ways to a workdir share: its place, its helper, its last lines.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::commands::build_logs::Logs;
use crate::commands::environment_selection::EnvironmentSelection;
use crate::commands::helper_program::HelperProgram;
use crate::container::{Engine, EngineVersion, KeptVolume};
use crate::context::Context;
use crate::evidence::{self, BuildState, WorkdirRecord};
use crate::failure::Failure;
use crate::layout::{self, ProjectPlace, Workdir};
use crate::packages::Lock;
use crate::project::inspection::ProjectInspection;
use crate::project::stage;
use crate::quote::quoted;
use crate::replacement::{
    DirLock, OverwriteGuard, StagedDir, SwappedDir, TargetState, make_dir, replace_file,
};
use crate::request::{BuildRequest, ContainerVariable, LockOption, ProjectName, Verification};
use crate::untrusted_dir::UntrustedDir;
use crate::workspace::container_out;

/// A workdir that is there, built and verified.
#[derive(Debug)]
pub struct BuiltWorkdir {
    /// Its place.
    pub workdir: PathBuf,
    /// Where the project is in it.
    pub project: ProjectPlace,
    /// What is known of its build.
    pub record: WorkdirRecord,
    /// The engine that it was built with, and what that one has answered.
    pub engine: Engine,
    /// The volume that it was built in, where it was copied to the engine: a later step needs
    /// the same packages there.
    pub(crate) volume: Option<KeptVolume>,
}

/// How long the name of a workdir may be, in bytes: file systems take 255, and what
/// is built beside it has a longer one.
const LONGEST_NAME: usize = 215;

/// A workdir that may be made.
pub(crate) struct NewWorkdir {
    pub(crate) workdir: Workdir,
    /// What is there now.
    pub(crate) target_state: TargetState,
    pub(crate) helper: HelperProgram,
    /// Entries of the workdir that is there which stay while the rest of it is replaced.
    pub(crate) stay: Vec<String>,
}

impl NewWorkdir {
    /// Looks whether the workdir may be made where it was asked for, and for
    /// the helper that goes into it. Touches nothing.
    pub(crate) fn check(
        asked: Option<&PathBuf>,
        protected: &[(&Path, &str)],
        force: bool,
        context: &Context,
    ) -> anyhow::Result<NewWorkdir> {
        let workdir = match asked {
            Some(dir) => Workdir::new(context.host.absolute(dir)),
            None => {
                let root = context.host.workspace_root();
                Workdir::default_in(root, context.host.unix_seconds)
            }
        };
        let length = workdir.path().file_name().map_or(0, OsStr::len);
        if length > LONGEST_NAME {
            return Err(Failure::usage(format!(
                "the name of --workdir is {length} bytes long; the limit is {LONGEST_NAME}, because a temporary directory beside it has a longer name; choose a shorter one"
            )));
        }
        let mut guard = OverwriteGuard::new(&context.host);
        for (dir, what) in protected {
            guard.protect(dir, what);
        }
        let target_state = guard.check("--workdir", workdir.path(), evidence::is_workdir, force)?;
        let helper = HelperProgram::find(context)?;
        Ok(NewWorkdir {
            workdir,
            target_state,
            helper,
            stay: Vec::new(),
        })
    }

    /// Locks the place for `command` and clears away what a killed run left
    /// there.
    pub(crate) fn lock(&self, command: &str) -> anyhow::Result<DirLock> {
        let dir_lock = DirLock::exclusive(self.workdir.path(), command)?;
        StagedDir::recover_stale(&dir_lock, self.workdir.path())?;
        Ok(dir_lock)
    }

    /// Puts a new workdir with this record in its place; what was there can come back.
    /// The directory `kept`, if any, is taken over from it.
    pub(crate) fn swap(
        &self,
        beside: StagedDir,
        kept: Option<&str>,
        record: &WorkdirRecord,
    ) -> anyhow::Result<(SwappedDir, bool)> {
        if self.stay.is_empty() {
            let swapped = beside.swap(kept)?;
            let moved = swapped.moved();
            return Ok((swapped, moved));
        }
        let is_dir = |name: &&str| {
            let there = fs::symlink_metadata(self.workdir.path().join(name));
            there.is_ok_and(|there| there.is_dir())
        };
        let kept = kept.filter(is_dir);
        let stay: Vec<&str> = self.stay.iter().map(String::as_str).chain(kept).collect();
        // A run that is killed meanwhile leaves a workdir that no product is made of.
        let mut interim = record.clone();
        interim.state = BuildState::Staged;
        let mark = self.workdir.record();
        let mark = mark.file_name().unwrap_or_default().to_string_lossy();
        let swapped = beside.replace_entries(&stay, &mark, &interim.to_json()?)?;
        Ok((swapped, kept.is_some()))
    }

    /// Like [`Self::swap`], and deletes the old workdir.
    pub(crate) fn put(&self, beside: StagedDir, record: &WorkdirRecord) -> anyhow::Result<()> {
        let (swapped, _) = self.swap(beside, None, record)?;
        swapped.finish()
    }

    /// Says what is there and what comes next.
    pub(crate) fn announce(&self, name: &ProjectName, record: &WorkdirRecord, context: &Context) {
        let workdir = &self.workdir;
        if record.lock.staged.is_some() && record.lock.staged != record.lock.built {
            context.report.warning("pixi.lock was changed by the build: the one in the project is stale; the workdir holds the new one");
        }
        context.report.ok(format_args!(
            "WORKDIR created at: {}",
            workdir.path().display()
        ));
        context.report.next(format_args!(
            "{} --workdir {} --project-name {}",
            quoted(workdir.helpers().join(layout::HELPER).as_os_str()),
            quoted(workdir.path().as_os_str()),
            quoted(name.as_os_str()),
        ));
    }
}

/// What is known of a build before it begins.
///
/// # Errors
///
/// Exit code 2 when the name of the project is not UTF-8.
pub(crate) fn record(
    build: &BuildRequest,
    project: &ProjectPlace,
    engine: &EngineVersion,
    context: &Context,
) -> anyhow::Result<WorkdirRecord> {
    let container_workdir = build.container_workdir.as_str();
    let verification = build.verification.clone();
    let name = project.name.as_utf8()?;
    let mut record = WorkdirRecord::new(name, container_workdir, verification);
    record.in_root.clone_from(&project.in_root);
    let excludes = build.excludes.iter();
    record.excludes = excludes
        .map(|text| text.to_string_lossy().into_owned())
        .collect();
    record.started = evidence::rfc3339(context.host.unix_seconds);
    record.overrides = overrides(&build.variables);
    record.engine = Some(engine.clone());
    record.lock.frozen = build.lock == LockOption::Frozen;
    Ok(record)
}

/// Adds what is known of the project, and which lock is staged.
pub(crate) fn record_project(
    record: &mut WorkdirRecord,
    project: &ProjectInspection,
    selection: &EnvironmentSelection,
) {
    let (environments, lock) = (&selection.resolved.environments, selection.lock.as_ref());
    record.git_versions.clone_from(&project.git_versions);
    record.environments.clone_from(environments);
    record.verified_in = Some(selection.verified.clone());
    record.lock.staged = lock.map(|lock| *lock.digest());
    record.lock.own = lock.and_then(Lock::own_lock).map(|own| *own.digest());
    record.lock.frozen |= record.lock.own.is_some();
}

/// Writes the project's own lock into the workdir, where the staged one stands for it.
pub(crate) fn write_own_lock(workdir: &Workdir, own: Option<&Lock>) -> anyhow::Result<()> {
    match own {
        Some(own) => replace_file(&workdir.own_lock(), own.text().as_bytes()),
        None => Ok(()),
    }
}

/// The project's own lock, where the staged one has relative paths in the place of its absolute
/// ones.
///
/// # Errors
///
/// Exit code 2 when the workdir has lost it.
pub(crate) fn own_lock(
    workdir: &Workdir,
    record: &WorkdirRecord,
    context: &Context,
) -> anyhow::Result<Option<Lock>> {
    let Some(digest) = &record.lock.own else {
        return Ok(None);
    };
    let file = workdir.own_lock();
    match context.locks.read(&file)? {
        Some(own) if own.digest() == digest => Ok(Some(own)),
        _ => Err(Failure::usage(format!(
            "{}, the project's own lock, is not the one that workdir.json names; create the workdir again",
            file.display()
        ))),
    }
}

/// The variables that tell pixi what the machine is that it installs for, as the
/// record keeps them.
fn overrides(variables: &[ContainerVariable]) -> BTreeMap<String, String> {
    variables
        .iter()
        .filter(|variable| variable.key().starts_with("CONDA_OVERRIDE_"))
        .filter_map(|variable| variable.assignment().split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Says whether an earlier package cache is used.
pub(crate) fn say_reused(reused: bool, context: &Context) {
    context.report.field("cache_reused", reused);
    if !reused {
        return;
    }
    let said = "the package cache of the previous workdir is reused";
    match context.report.has_phases() {
        false => context.report.note(format_args!(
            "{said}; leaving --reuse-cache out starts with an empty one"
        )),
        // That is the usual case there.
        true if context.report.is_verbose() => context
            .report
            .note(format_args!("{said}; --fresh starts with an empty one")),
        true => {}
    }
}

/// Says what follows from a project without a lock file.
pub(crate) fn warn_without_lock(context: &Context) {
    context.report.warning("no pixi.lock: pixi will resolve dependencies now, and the lock that it writes goes into the product; for reproducible builds run `pixi lock` and commit the file");
}

/// Says what follows from a build without a verification.
pub(crate) fn note_without_verification(verification: &Verification, context: &Context) {
    if !verification.is_requested() {
        context.report.note(
            "no verification was given: only the installation is tested (--verify-task TASK)",
        );
    }
}

/// Says what follows from a colon or a dollar sign in the path of an environment.
pub(crate) fn warn_of_path_characters(
    name: &ProjectName,
    container_workdir: &str,
    context: &Context,
) {
    let name = name.to_string();
    let why = [
        (':', "a colon in the project's path cuts PATH in two"),
        (
            '$',
            "a dollar sign in the project's path is expanded in PATH",
        ),
    ];
    for (character, why) in why {
        if name.contains(character) || container_workdir.contains(character) {
            context.report.warning(format_args!("{why}: programs of its environment will not be found by their names; choose another with --project-name or --container-workdir-path"));
        }
    }
}

/// What to say of a build that failed before there was a new workdir: where none was,
/// it gets the logs, else it is as it was.
pub(crate) fn with_kept_logs(
    error: anyhow::Error,
    dir_lock: &DirLock,
    place: &NewWorkdir,
    logs: &Workdir,
    record: &WorkdirRecord,
) -> anyhow::Error {
    match place.target_state {
        TargetState::Vacant => match keep_logs(dir_lock, place, logs, record) {
            Ok(()) => error,
            Err(log_error) => error.context(format!("its log could not be kept ({log_error:#})")),
        },
        _ => {
            let workdir = place.workdir.path().display();
            error.context(format!("{workdir} is as it was"))
        }
    }
}

/// Makes the directories of a workdir that came from elsewhere which are only this
/// machine's.
fn make_own_dirs(workdir: &Workdir) -> anyhow::Result<()> {
    for dir in [workdir.helpers(), workdir.product().path().to_owned()] {
        make_dir(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    }
    Ok(())
}

/// Makes a workdir that holds nothing but the logs of a failed build.
fn keep_logs(
    dir_lock: &DirLock,
    place: &NewWorkdir,
    logs: &Workdir,
    record: &WorkdirRecord,
) -> anyhow::Result<()> {
    let beside = StagedDir::new(dir_lock, place.workdir.path())?;
    let new = Workdir::new(beside.path());
    record.write(&new)?;
    stage::make_dirs(&new)?;
    make_dir(&new.resources())?;
    place.helper.install(&new)?;
    add_logs(logs, &new)?;
    beside.commit()
}

/// Copies the logs into a workdir's out directory.
pub(crate) fn add_logs(logs: &Workdir, to: &Workdir) -> anyhow::Result<()> {
    let (from, into) = (logs.out(), to.out());
    let dirs = UntrustedDir::open(&from).and_then(|from| {
        let into = UntrustedDir::open(to.path())?.open_dir(layout::OUT)?;
        Ok((from, into))
    });
    let (from, into) = dirs.with_context(|| format!("{} cannot be written", into.display()))?;
    for log in Logs::of(logs).files() {
        let name = log.file_name().unwrap_or_default();
        // A verification may have left something of that name there.
        let copied = from
            .open_file(name)
            .and_then(|(mut log, _)| io::copy(&mut log, &mut into.create_file(name)?));
        copied
            .with_context(|| format!("{} cannot be written", into.path().join(name).display()))?;
    }
    Ok(())
}

/// Makes a workdir of what came out of a container: requires that the project is
/// there, brings what the verification left, and adds what is only this machine's.
///
/// # Errors
///
/// Exit code 1 when there is no project; when something cannot be written.
pub(crate) fn complete_received(
    place: &NewWorkdir,
    new: &Workdir,
    project: &ProjectName,
    logs: &Workdir,
    context: &Context,
) -> anyhow::Result<()> {
    let projects = Path::new(layout::PROJECT);
    let dir = UntrustedDir::open(new.path())?;
    dir.open_dir(projects.join(project)).with_context(|| {
        format!("what came out of the container has no directory project/{project}")
    })?;
    match dir.rename(layout::OUT, &dir, layout::CONTAINER_OUT) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let out = dir.create_dir(layout::OUT)?;
    if dir.kind(layout::CONTAINER_OUT)?.is_some() {
        let left = Path::new(layout::CONTAINER_OUT);
        container_out::move_out(&dir, left, &out, &Logs::of(new).files(), context)?;
        dir.remove(left)?;
    }
    add_logs(logs, new)?;
    make_own_dirs(new)?;
    place.helper.install(new)
}
