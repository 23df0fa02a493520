//! The agent inside the caller's container, which has at least a shell, coreutils and
//! pixi.
//!
//! The host's side sends an [`AgentRequest`] as one argument of JSON; what is asked for
//! goes to stdout, errors to stderr, and the exit code is the usual one.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context as _;
use rustix::process::{Signal, geteuid, getpid, kill_process};

use crate::container;
use crate::context::Context;
use crate::evidence::{self, WorkdirRecord};
use crate::failure::Failure;
use crate::layout::{self, Workdir};
use crate::project::ProjectRules;
use crate::project::generated::StagedPaths;
use crate::project::inspection::LoadedProject;
use crate::project::lock_fit;
use crate::project::secrets::{self, SecretSearch};
use crate::project::source_state;
use crate::project::stage;
use crate::replacement::{self, OverwriteGuard, TargetState};
use crate::request::{ProjectName, SecretPolicy, SourcePlace, Verification};
use crate::staging::{self, CopyOptions, Rules};
use crate::transfer;
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};
use crate::workspace::agent_request::{AgentRequest, ENVIRONMENTS, Inspected, Staged, Staging};
use crate::workspace::volume_agent;

/// Executes an agent request.
///
/// # Errors
///
/// Exit code 2 for paths that cannot be used; else the errors of the request.
pub fn run(request: &str, context: &Context) -> anyhow::Result<()> {
    let request: AgentRequest = serde_json::from_str(request)
        .context("--inside-container is internal: the commands call it in a container")?;
    match &request {
        AgentRequest::Copy { from, to } => {
            return staging::copy_tree(from, to, &Rules::new(), &CopyOptions::default()).map(drop);
        }
        AgentRequest::Transfer => return volume_agent::run(),
        AgentRequest::CountAttempts => {
            return container::serve_counters(io::stdin().lock(), io::stdout().lock());
        }
        _ => end_with_the_host(context.host.program.clone()),
    }
    match request {
        AgentRequest::Copy { .. } | AgentRequest::Transfer | AgentRequest::CountAttempts => Ok(()),
        AgentRequest::Inspect(staging) => {
            let plan = StagingPlan::new(&staging, context)?;
            context.report.text(serde_json::to_string(&plan.inspected)?);
            Ok(())
        }
        AgentRequest::Stage(staging) => {
            let staged = StagingPlan::new(&staging, context)?.stage(&staging, context)?;
            context.report.text(serde_json::to_string(&staged)?);
            Ok(())
        }
        AgentRequest::Send {
            workdir,
            end_marker,
        } => {
            let rules = without_environments()?;
            let mut stdout = io::BufWriter::with_capacity(1 << 20, io::stdout().lock());
            transfer::send(&workdir, &rules, &mut stdout, &end_marker)?;
            stdout.flush().context("the stream cannot be ended")
        }
        AgentRequest::Remove { workdir } => {
            let mut guard = OverwriteGuard::new(&context.host);
            guard.allow_mount_point();
            guard.check(
                "--container-workdir-path",
                &workdir,
                evidence::is_workdir,
                false,
            )?;
            replacement::clear_dir(&workdir, &Workdir::new(&workdir).record(), None)
                .with_context(|| format!("{} cannot be emptied", workdir.display()))?;
            // A mount point stays; anything else goes.
            let _ = fs::remove_dir(&workdir);
            Ok(())
        }
    }
}

/// The host holds the other end of our input. When that closes, whoever called us
/// is gone or wants no more: the program removes itself and ends.
fn end_with_the_host(program: PathBuf) {
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = fs::remove_file(&program);
        // It is in a directory of its own in the caller's container.
        let _ = program.parent().map(fs::remove_dir);
        let _ = kill_process(getpid(), Signal::TERM);
    });
}

/// A project that may be staged.
struct StagingPlan {
    project: LoadedProject,
    resources: Option<PathBuf>,
    workdir: Workdir,
    name: ProjectName,
    target_state: TargetState,
    inspected: Inspected,
}

impl StagingPlan {
    /// Inspects the project. Read-only.
    ///
    /// # Errors
    ///
    /// Exit code 2 for what cannot be staged.
    fn new(staging: &Staging, context: &Context) -> anyhow::Result<StagingPlan> {
        let args = |args: &[String]| -> Vec<OsString> { args.iter().map(OsString::from).collect() };
        let policy = SecretPolicy {
            action: staging.secrets,
            known: args(&staging.known_secrets),
        };
        let name = ProjectName::new(staging.name.as_ref())?;
        let workdir = Workdir::new(&staging.workdir);
        let rules = ProjectRules::new(&args(&staging.excludes))?;
        let dir = context.host.absolute(&staging.project);
        let root = staging.source_root.as_ref();
        let place = SourcePlace::Container;
        let project = LoadedProject::read(place, &dir, root, rules, staging.lock, context)?;
        let resources = staging
            .resources
            .as_ref()
            .map(|dir| context.host.absolute(dir))
            .filter(|dir| dir.is_dir());
        let mut protected = vec![
            (dir.as_path(), "the project"),
            (project.source.dir(), "the source root"),
        ];
        protected.extend(resources.as_deref().map(|dir| (dir, "the resources")));
        let target_state = inspect_workdir(workdir.path(), &protected, context)?;
        let search = SecretSearch::new(&policy, context)?;
        let inspection = project.inspect(resources.as_deref(), search, context)?;
        secrets::refuse(&policy, &inspection.secrets)?;
        let lock = project.lock.as_ref();
        let lock = lock.map(|lock| lock.own_lock().unwrap_or(lock).text().to_owned());
        Ok(StagingPlan {
            project,
            resources,
            workdir,
            name,
            target_state,
            inspected: Inspected {
                project: inspection,
                lock,
            },
        })
    }

    /// Makes the workdir, and stages.
    fn stage(self, staging: &Staging, context: &Context) -> anyhow::Result<Staged> {
        let StagingPlan {
            project,
            resources,
            workdir,
            name,
            target_state,
            mut inspected,
        } = self;
        let (tree, rules) = (project.source, project.rules);
        let cache = workdir.cache();
        let cache_reused = staging.reuse_cache
            && target_state == TargetState::Owned
            && stage::is_own_cache(&cache);
        make_workdir(&workdir, target_state, cache_reused)?;
        let source = source_state::of_tree(&tree, context);
        // First of all the mark: an interrupted run must know its own.
        let text = name.as_utf8()?;
        let container_workdir = workdir.path().to_string_lossy();
        WorkdirRecord::new(text, &container_workdir, Verification::None).write(&workdir)?;
        // Each is made here: through a link that another user put there the build would
        // write into another directory.
        let made = [workdir.projects(), workdir.out()];
        for dir in made.iter().chain((!cache_reused).then_some(&cache)) {
            fs::create_dir(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        }
        let options = CopyOptions {
            list: true,
            ..CopyOptions::default()
        };
        let staged = workdir.staged(&name);
        let copy = stage::copy_project(tree.dir(), &staged, &rules, &options, context)?;
        match &resources {
            Some(resources) => {
                stage::copy_dir(
                    resources,
                    &workdir.resources(),
                    &CopyOptions::default(),
                    context,
                )?;
            }
            None => fs::create_dir(workdir.resources())?,
        }
        let lock = UntrustedDir::open(&rules.project_in(&staged))
            .and_then(|dir| dir.read(layout::LOCK_FILE, RECORD_LIMIT));
        inspected.lock = match lock {
            Ok(bytes) => Some(String::from_utf8(bytes).context("pixi.lock is not text")?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).context("pixi.lock cannot be read"),
        };
        // A lock that cannot be used is the host's to refuse.
        let parsed = inspected
            .lock
            .clone()
            .and_then(|text| context.locks.parse(text).ok());
        let local = tree.local(parsed.as_ref());
        if parsed.is_some() {
            let (asked, locks) = (staging.lock, &context.locks);
            let lock = lock_fit::to_install(parsed, asked, &local, tree.dir(), locks)?;
            stage::replace_lock(&rules.project_in(&staged), lock.as_ref())?;
        }
        inspected.project.local = local;
        Ok(Staged {
            inspected,
            cache_reused,
            source,
            paths: StagedPaths::from(&copy.listing),
        })
    }
}

/// Looks at the place of the container's workdir.
///
/// # Errors
///
/// Exit code 2 for one that must not be emptied.
fn inspect_workdir(
    path: &Path,
    protected: &[(&Path, &str)],
    context: &Context,
) -> anyhow::Result<TargetState> {
    let mut guard = OverwriteGuard::new(&context.host);
    guard.allow_mount_point();
    for (dir, what) in protected {
        guard.protect(dir, what);
    }
    // There is no --force for a directory of the caller's container.
    guard.without_force();
    guard.check(
        "--container-workdir-path",
        path,
        evidence::is_workdir,
        false,
    )
}

/// Makes the directory of the workdir, or empties the one that is there, but for the package
/// cache where that is used again.
///
/// # Errors
///
/// Exit code 2 for a directory that another user could put a link in the place of.
fn make_workdir(
    workdir: &Workdir,
    target_state: TargetState,
    cache_reused: bool,
) -> anyhow::Result<()> {
    let path = workdir.path();
    let advice = || {
        format!(
            "--container-workdir-path {} cannot be created; is the container read-only? name a directory on a file system in memory (--tmpfs)",
            path.display()
        )
    };
    if target_state == TargetState::Vacant && fs::symlink_metadata(path).is_err() {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(advice)?;
        }
        // Not with its parents: a link that is put there now is not followed.
        return fs::create_dir(path).with_context(advice);
    }
    let owner = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.uid());
    let parent = path.parent().unwrap_or(path);
    let in_reach_of_others = fs::metadata(parent)
        .is_ok_and(|parent| parent.mode() & 0o022 != 0 && same_file_system(path, &parent));
    if in_reach_of_others && owner(path).with_context(advice)? != geteuid().as_raw() {
        return Err(Failure::usage(format!(
            "--container-workdir-path {} belongs to another user of the container, who could put a link in its place; name another place, or remove it there",
            path.display()
        )));
    }
    let cache = workdir.cache();
    let kept = cache_reused.then_some(cache.as_path());
    replacement::clear_dir(path, &workdir.record(), kept).with_context(advice)
}

/// Whether a directory is on its parent's file system, and so no mount point.
fn same_file_system(dir: &Path, parent: &fs::Metadata) -> bool {
    fs::symlink_metadata(dir).is_ok_and(|metadata| metadata.dev() == parent.dev())
}

/// Everything but the environments.
fn without_environments() -> anyhow::Result<Rules> {
    let mut rules = Rules::new();
    for rule in ENVIRONMENTS {
        rules.push(rule.as_ref())?;
    }
    Ok(rules)
}
