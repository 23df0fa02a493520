//! What the command does as its own delegate inside somebody's container, where
//! nothing but a shell, coreutils and pixi can be counted on.
//!
//! The host's side sends an [`AgentRequest`] as one word of JSON; what is asked for
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
use crate::packages::{LocalSources, Lock};
use crate::project::fetching_tasks::FetchingTasks;
use crate::project::generated::StagedPaths;
use crate::project::git_version;
use crate::project::lock_fit;
use crate::project::project_manifest::ProjectManifest;
use crate::project::secrets::{self, SecretSearch};
use crate::project::source_state;
use crate::project::source_tree::SourceTree;
use crate::project::stage::{self, ProjectRules};
use crate::project::target_builds;
use crate::replacement::{self, OverwriteGuard, TargetState};
use crate::request::{ProjectName, SecretPolicy, SourcePlace, Verification};
use crate::staging::{self, CopyOptions, Rules, Survey};
use crate::transfer;
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};
use crate::workspace::agent_request::{
    AgentRequest, ENVIRONMENTS, ProjectInspection, Staged, Staging,
};
use crate::workspace::volume_agent;

/// Carries an order out.
///
/// # Errors
///
/// As the work itself; exit code 2 for paths that cannot be used.
pub fn run(order: &str, context: &Context) -> anyhow::Result<()> {
    let order: AgentRequest = serde_json::from_str(order)
        .context("--inside-container is internal: the commands call it in a container")?;
    match &order {
        AgentRequest::Copy { from, to } => {
            return staging::copy_tree(from, to, &Rules::new(), &|_| false).map(drop);
        }
        AgentRequest::Carry => return volume_agent::run(),
        AgentRequest::CountAttempts => {
            return container::serve_counters(io::stdin().lock(), io::stdout().lock());
        }
        _ => end_with_the_host(context.host.program.clone()),
    }
    match order {
        AgentRequest::Copy { .. } | AgentRequest::Carry | AgentRequest::CountAttempts => Ok(()),
        AgentRequest::Look(staging) => {
            let inspection = Inspection::make(&staging, context)?;
            context
                .report
                .text(serde_json::to_string(&inspection.inspected)?);
            Ok(())
        }
        AgentRequest::Stage(staging) => {
            let inspection = Inspection::make(&staging, context)?;
            let staged = inspection.stage(&staging, context)?;
            context.report.text(serde_json::to_string(&staged)?);
            Ok(())
        }
        AgentRequest::Send { workdir, mark } => {
            let rules = without_environments()?;
            let mut stdout = io::BufWriter::with_capacity(1 << 20, io::stdout().lock());
            transfer::send(&workdir, &rules, &mut stdout, &mark)?;
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
        // It is in a directory of its own in somebody's container.
        let _ = program.parent().map(fs::remove_dir);
        let _ = kill_process(getpid(), Signal::TERM);
    });
}

/// A project that was looked at and may be staged.
struct Inspection {
    source: SourceTree,
    resources: Option<PathBuf>,
    workdir: Workdir,
    name: ProjectName,
    rules: ProjectRules,
    standing: TargetState,
    inspected: ProjectInspection,
}

impl Inspection {
    /// Looks, and touches nothing.
    ///
    /// # Errors
    ///
    /// Exit code 2 for what cannot be staged.
    fn make(staging: &Staging, context: &Context) -> anyhow::Result<Inspection> {
        let words =
            |words: &[String]| -> Vec<OsString> { words.iter().map(OsString::from).collect() };
        let policy = SecretPolicy {
            action: staging.secrets,
            known: words(&staging.known_secrets),
        };
        let name = ProjectName::new(staging.name.as_ref())?;
        let workdir = Workdir::new(&staging.workdir);
        let mut rules = ProjectRules::new(&words(&staging.excludes))?;
        let project = context.host.absolute(&staging.project);
        stage::require_dir("--project-path-in-container", &project)?;
        let root = staging.source_root.as_ref();
        let source = SourceTree::find(SourcePlace::Container, &project, root, context)?;
        let manifest = ProjectManifest::require(&project)?;
        manifest.require_usable()?;
        manifest.require_find_links_elsewhere(&project)?;
        // One that cannot be read is no reason to stage anything.
        let lock = context
            .locks
            .read_through_links(&project.join(layout::LOCK_FILE))?;
        let resources = staging
            .resources
            .as_ref()
            .map(|dir| context.host.absolute(dir))
            .filter(|dir| dir.is_dir());
        let mut protected = vec![
            (project.as_path(), "the project"),
            (source.dir(), "the source root"),
        ];
        protected.extend(resources.as_deref().map(|dir| (dir, "the resources")));
        let standing = look_at_workdir(workdir.path(), &protected, context)?;
        let local = local_of(lock.as_ref(), &source);
        let text = lock.as_ref().map(|lock| lock.text().to_owned());
        let lock = lock_fit::to_install(lock, staging.lock, &local, source.dir(), context)?;
        source.choose(&mut rules, root, lock.as_ref(), &local.channels)?;
        let mut search = SecretSearch::new(&policy, context)?;
        let project_survey = search.project(source.dir(), &rules);
        let resources_survey = match &resources {
            Some(resources) => search.resources(resources)?,
            None => Survey::default(),
        };
        let secrets = search.findings();
        secrets::refuse(&policy, &secrets)?;
        let inspected = ProjectInspection {
            manifest: manifest.name.to_owned(),
            source: source.dir().to_owned(),
            tasks: FetchingTasks::find(&manifest, &project),
            builds: target_builds::find(lock.as_ref(), &project, &local),
            local,
            left: source.left(&rules),
            git_versions: git_version::find(&source, lock.as_ref(), context),
            lock: text,
            environments: manifest.environments().clone(),
            secrets,
            resources: resources.is_some(),
            project_survey,
            resources_survey,
        };
        Ok(Inspection {
            source,
            resources,
            workdir,
            name,
            rules,
            standing,
            inspected,
        })
    }

    /// Makes the workdir, and stages.
    fn stage(self, staging: &Staging, context: &Context) -> anyhow::Result<Staged> {
        let Inspection {
            source: tree,
            resources,
            workdir,
            name,
            rules,
            standing,
            mut inspected,
        } = self;
        let cache = workdir.cache();
        let cache_reused =
            staging.reuse_cache && standing == TargetState::Owned && stage::is_own_cache(&cache);
        make_workdir(&workdir, standing, cache_reused)?;
        let source = source_state::of_tree(&tree, context);
        // First of all the mark: an interrupted run must know its own.
        let text = name.as_utf8()?;
        let container_workdir = workdir.path().to_string_lossy();
        WorkdirRecord::new(text, &container_workdir, Verification::None).write(&workdir)?;
        // Each is made here: through a link that somebody else put there the build would
        // write into another directory.
        let made = [workdir.projects(), workdir.out()];
        for dir in made.iter().chain((!cache_reused).then_some(&cache)) {
            fs::create_dir(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        }
        let how = CopyOptions {
            list: true,
            ..CopyOptions::default()
        };
        let staged = workdir.staged(&name);
        let copy = stage::copy_project(tree.dir(), &staged, &rules, &how, context)?;
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
        inspected.local = local_of(parsed.as_ref(), &tree);
        let (local, top) = (&inspected.local, tree.dir());
        let lock = lock_fit::to_install(parsed, staging.lock, local, top, context)?;
        stage::replace_lock(&rules.project_in(&staged), lock.as_ref())?;
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
fn look_at_workdir(
    path: &Path,
    protected: &[(&Path, &str)],
    context: &Context,
) -> anyhow::Result<TargetState> {
    let mut guard = OverwriteGuard::new(&context.host);
    guard.allow_mount_point();
    for (dir, what) in protected {
        guard.protect(dir, what);
    }
    // There is no --force for a directory of somebody's container.
    guard.without_force();
    guard.check(
        "--container-workdir-path",
        path,
        evidence::is_workdir,
        false,
    )
}

/// What goes along of the container's own directories. Nothing can be mounted into a container
/// that runs: pixi finds a channel where it was locked, or not at all.
fn local_of(lock: Option<&Lock>, source: &SourceTree) -> LocalSources {
    let mut local = source.local(lock);
    local.channels.retain(|channel| channel.locked.exists());
    local
}

/// Makes the directory of the workdir, or empties the one that is there, but for the package
/// cache where that is used again.
///
/// # Errors
///
/// Exit code 2 for a directory that somebody else could put a link in the place of.
fn make_workdir(
    workdir: &Workdir,
    standing: TargetState,
    cache_reused: bool,
) -> anyhow::Result<()> {
    let path = workdir.path();
    let advice = || {
        format!(
            "--container-workdir-path {} cannot be made; is the container read-only? name a place on a file system in memory",
            path.display()
        )
    };
    if standing == TargetState::Vacant && fs::symlink_metadata(path).is_err() {
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
