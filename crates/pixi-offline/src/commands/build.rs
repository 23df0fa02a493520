//! Installing and verifying a staged project in a container with network.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::commands::build_logs::{Logs, prepare_logs};
use crate::commands::built_channel;
use crate::commands::installed::{self, InstalledList};
use crate::commands::new_workdir::{self, NewWorkdir};
use crate::container::scripts::{self, Script};
use crate::container::{Outcome, RunResult};
use crate::context::Context;
use crate::evidence::{BuildState, WorkdirRecord};
use crate::layout::{self, ContainerWorkdir, ProjectPlace, Workdir};
use crate::network_access::NetworkAccess;
use crate::packages::{LocalChannel, Lock};
use crate::project::ProjectRules;
use crate::project::generated::{self, StagedPaths};
use crate::project::inspection::ProjectInspection;
use crate::project::lock_use::LockUse;
use crate::project::secrets;
use crate::replacement::{DirLock, StagedDir, TargetState};
use crate::request::{BuildRequest, ContainerVariable, SecretPolicy, Transfer};
use crate::workspace::container_out::ContainerOut;
use crate::workspace::pixi_check::Question;
use crate::workspace::pixi_messages::PixiMessages;
use crate::workspace::script_result::{self, Phase};
use crate::workspace::{
    ContainerTree, DirRole, NewContainer, ScriptPlace, ScriptRun, TreeDir, Workspace,
};

/// A build that is about to be run.
pub(crate) struct Build<'a> {
    /// What was asked for.
    pub(crate) request: &'a BuildRequest,
    pub(crate) project: &'a ProjectPlace,
    pub(crate) lock_use: LockUse,
    /// Whether the lock has a package that is fetched with git.
    pub(crate) needs_git: bool,
    /// The paths that the lock names, as they stand in it.
    pub(crate) local_paths: BTreeSet<PathBuf>,
    /// The project's own lock, where the staged one stands for it.
    pub(crate) own_lock: Option<&'a Lock>,
    /// Whether the lock has a conda package that pixi builds from source.
    pub(crate) builds_conda_packages: bool,
    pub(crate) environments: &'a [String],
    /// The environment that is verified.
    pub(crate) verified: &'a str,
    pub(crate) variables: &'a [ContainerVariable],
    /// What it gets to reach what it fetches; `None` in the caller's container, which has
    /// settings of its own.
    pub(crate) access: Option<&'a NetworkAccess>,
}

/// A build whose workdir comes into its place when it is over.
pub(crate) struct DetachedBuild<'a> {
    pub(crate) place: &'a NewWorkdir,
    pub(crate) dir_lock: &'a DirLock,
    pub(crate) rules: &'a ProjectRules,
    pub(crate) secrets: &'a SecretPolicy,
    /// What of the project was staged.
    pub(crate) staged: &'a StagedPaths,
}

impl Build<'_> {
    /// The directories of a workdir on this machine as a container has them, and channels
    /// that are staged where they were locked: pixi looks for them there.
    pub(crate) fn tree(
        &self,
        workdir: &Workdir,
        cache: PathBuf,
        channels: &[LocalChannel],
    ) -> ContainerTree {
        let inside = ContainerWorkdir(&self.request.container_workdir);
        let mut dirs = vec![
            TreeDir::new(DirRole::Write, workdir.projects(), inside.projects()),
            TreeDir::new(DirRole::Write, workdir.resources(), inside.resources()),
            TreeDir::new(DirRole::Out, workdir.container_out(), inside.out()),
            TreeDir::new(DirRole::Write, cache, inside.cache()),
        ];
        let name = &self.project.name;
        let top = Path::new(&inside.projects()).join(name);
        let outside_root = channels
            .iter()
            .filter(|channel| channel.locked != top.join(&channel.in_root));
        dirs.extend(outside_root.filter_map(|channel| {
            let staged = workdir.staged(name).join(&channel.in_root);
            // A path that is not UTF-8 cannot be locked: pixi writes text.
            let locked = channel.locked.to_str()?;
            Some(TreeDir::new(DirRole::ReadOutsideRoot, staged, locked))
        }));
        ContainerTree {
            root: self.request.container_workdir.as_str().to_owned(),
            dirs,
        }
    }

    /// Runs `pixi install` and the verification on a workdir that is in its place, keeps
    /// their logs there, and brings `record` up to date.
    pub(crate) fn run_in_place(
        &self,
        workspace: &Workspace<'_>,
        workdir: &Workdir,
        record: &mut WorkdirRecord,
        context: &Context,
    ) -> anyhow::Result<()> {
        let container_out = ContainerOut::make(&workdir.out())?;
        let logs = Logs::of(workdir);
        let RunResult { outcome, end } = self.run(workspace, &logs, context)?;

        let list = InstalledList::take(&container_out.path(), "");
        let brought = workspace.fetch_out(container_out, &logs.files(), &outcome, context);
        learn(&outcome, record);
        let learned = installed::learn(&list, &outcome, workdir, self.project, record, context);
        let recorded = record.write(workdir);
        // A full disk is told by the log that it cut, not by what came after.
        end?;
        brought?;
        recorded?;
        self.classify(&outcome, &logs, Some(&logs))?;
        learned?;
        if self.request.keep_built_packages {
            built_channel::write(workdir, workdir, context)?;
        }
        record.state = BuildState::Built;
        record.write(workdir)
    }

    /// Runs the same where the workdir is not in its place, and brings it there; what is in
    /// that place stays as it was when the engine is at fault.
    ///
    /// # Errors
    ///
    /// That of the build. Where no workdir was, one that holds the logs is made then.
    pub(crate) fn run_detached(
        &self,
        workspace: &Workspace<'_>,
        detached: &DetachedBuild<'_>,
        record: &mut WorkdirRecord,
        context: &Context,
    ) -> anyhow::Result<()> {
        let DetachedBuild {
            place, dir_lock, ..
        } = *detached;
        // Beside the workdir: the next run sweeps it when this one is killed.
        let logs_dir = StagedDir::new(dir_lock, place.workdir.path())?;
        let logs_in = Workdir::new(logs_dir.path());
        prepare_logs(&logs_in)?;
        let logs = Logs::of(&logs_in);
        let left_as_it_was = |error: anyhow::Error, record: &WorkdirRecord| {
            new_workdir::with_kept_logs(error, dir_lock, place, &logs_in, record)
        };
        workspace.not_interrupted()?;
        let RunResult { outcome, end } = self.run(workspace, &logs, context)?;
        learn(&outcome, record);
        if let Err(error) = end {
            return Err(left_as_it_was(error, record));
        }
        let is_kept = workspace.keeps_failed_workdir() || place.target_state == TargetState::Vacant;
        let kept = is_kept.then(|| Logs::of(&place.workdir));
        let judged = self.classify(&outcome, &logs, kept.as_ref());
        if judged.is_ok() {
            record.state = BuildState::Built;
        } else if !workspace.keeps_failed_workdir() {
            return judged.map_err(|error| left_as_it_was(error, record));
        }

        let beside = StagedDir::new(dir_lock, place.workdir.path())?;
        let new = Workdir::new(beside.path());
        let brought = workspace
            .fetch_workdir(new.path(), context)
            .and_then(|()| self.complete(&new, &logs_in, detached, &outcome, record, context))
            .and_then(|()| workspace.not_interrupted());
        match (brought, judged) {
            (Ok(()), judged) => {
                place.put(beside, record)?;
                let path = place.workdir.path().display().to_string();
                context.report.field("workdir", path);
                judged
            }
            // What is in the caller's container is there still: nothing is made of its logs.
            (Err(error), Ok(())) if !workspace.keeps_failed_workdir() => Err(error),
            (Err(error), Ok(())) => Err(left_as_it_was(error, record)),
            (Err(error), Err(failed)) => {
                context.report.warning(format_args!("{error:#}"));
                Err(left_as_it_was(failed, record))
            }
        }
    }

    /// Adds what a workdir that was brought here does not have yet.
    fn complete(
        &self,
        new: &Workdir,
        logs: &Workdir,
        detached: &DetachedBuild<'_>,
        outcome: &Outcome,
        record: &mut WorkdirRecord,
        context: &Context,
    ) -> anyhow::Result<()> {
        let list = InstalledList::take(new.path(), layout::OUT);
        let name = &self.project.name;
        new_workdir::complete_received(detached.place, new, name, logs, context)?;
        new_workdir::write_own_lock(new, self.own_lock)?;
        installed::learn(&list, outcome, new, self.project, record, context)?;
        if self.request.keep_built_packages && record.state == BuildState::Built {
            built_channel::write(new, &detached.place.workdir, context)?;
        }
        if record.lock.built != record.lock.staged {
            let project = new.project(self.project);
            secrets::warn_of_built_lock(detached.secrets, &project, context)?;
        }
        let (rules, staged) = (detached.rules, detached.staged);
        generated::record(new, self.project, rules, staged, record, context);
        record.write(new)
    }

    fn run(
        &self,
        workspace: &Workspace<'_>,
        logs: &Logs,
        context: &Context,
    ) -> anyhow::Result<RunResult> {
        let script = |place: ScriptPlace<'_>| self.script(place);
        workspace.run(&self.script_run(&script), &logs.phases(), context)
    }

    /// The args that the engine's client would get for this build in a new container.
    pub(crate) fn arguments(
        &self,
        container: &NewContainer<'_>,
        tree: &ContainerTree,
        transfer: Transfer,
        context: &Context,
    ) -> anyhow::Result<Vec<OsString>> {
        let script = |place: ScriptPlace<'_>| self.script(place);
        container.arguments(tree, transfer, &self.script_run(&script), context)
    }

    /// What pixi is asked about the project before it is built, with this use of its lock.
    pub(crate) fn question<'a>(
        &'a self,
        project: &'a ProjectInspection,
        lock_use: LockUse,
    ) -> Question<'a> {
        Question {
            manifest: &project.manifest,
            environment: self.verified,
            sha256: &project.manifest_digest,
            lock_use,
            needs_git: self.needs_git,
            builds_conda_packages: self.builds_conda_packages,
            local_paths: &self.local_paths,
            variables: self.variables,
        }
    }

    fn script_run<'a>(
        &'a self,
        script: &'a dyn Fn(ScriptPlace<'_>) -> anyhow::Result<Script>,
    ) -> ScriptRun<'a> {
        ScriptRun {
            variables: self.variables,
            tmpfs: None,
            script,
        }
    }

    fn script(&self, place: ScriptPlace<'_>) -> anyhow::Result<Script> {
        let expected = self.request.expectations.files().join("\n");
        let [files, variables] = self
            .access
            .map(NetworkAccess::script_args)
            .unwrap_or_default();
        let is_inside = place.agent.is_some();
        let own = [
            ("where", if is_inside { "inside" } else { "mounted" }),
            ("workdir", self.request.container_workdir.as_str()),
            ("project_dir", layout::PROJECT),
            ("resources_dir", layout::RESOURCES),
            ("cache_dir", layout::CACHE),
            ("out_dir", layout::OUT),
            ("name", &self.project.as_utf8()?),
            ("install_options", self.lock_use.install_option()),
            ("environments", &self.environments.join(" ")),
            ("expected_files", &expected),
            ("agent", place.agent.unwrap_or_default()),
            ("needs_git", if self.needs_git { "git" } else { "" }),
            ("network_files", &files),
            ("network_variables", &variables),
        ];
        Ok(Script::new(
            scripts::BUILD,
            place.nonce,
            &own,
            self.request.verification.pixi_args(Some(self.verified)),
        ))
    }

    /// Success, or what the script's outcome and the logs say against it; `kept` are the
    /// logs that are found later.
    fn classify(&self, outcome: &Outcome, logs: &Logs, kept: Option<&Logs>) -> anyhow::Result<()> {
        if let (Some(access), Some(name)) = (self.access, outcome.unreadable_files.first()) {
            return Err(access.unreadable(name));
        }
        let advice = match outcome.phase("install") {
            Some(1..) => self.advice_on_install(&PixiMessages::of(&logs.install)),
            _ => String::new(),
        };
        script_result::require_success(
            outcome,
            &[
                Phase {
                    name: "install",
                    what: "pixi install",
                    log: kept.map(|logs| logs.install.as_path()),
                    advice: &advice,
                },
                Phase {
                    name: "verify",
                    what: "the verification",
                    log: kept.map(|logs| logs.verify.as_path()),
                    advice: "",
                },
            ],
        )?;
        if self.request.verification.is_requested() {
            script_result::require_output(
                &self.request.expectations,
                &logs.verify,
                kept.map(|logs| logs.verify.as_path()),
            )
        } else {
            script_result::write_no_verification(&logs.verify)
        }
    }
}

impl Build<'_> {
    /// What to do about an install that failed, by what pixi said.
    fn advice_on_install(&self, messages: &PixiMessages) -> String {
        let blames_lock = messages.blame_the_lock();
        match self.lock_use {
            // It asks the backends whether the lock fits, and does not say which it lacks.
            LockUse::Locked if blames_lock && self.builds_conda_packages => format!(
                "{}; pixi also prints this when it cannot get the build backend of a source package: --frozen shows which one",
                LockUse::STALE
            ),
            LockUse::Locked if blames_lock => LockUse::STALE.to_owned(),
            LockUse::Frozen if blames_lock => "pixi.lock lacks something that the manifest requires, and --frozen installs it as it is: run `pixi lock`".to_owned(),
            _ => {
                let cure = messages.network_failure().map(|failure| match self.access {
                    Some(access) => access.cure(failure),
                    None => NetworkAccess::cure_in_container(failure),
                });
                let shown = Some(messages.shown()).filter(|shown| !shown.is_empty());
                let shown = shown.map(|shown| format!("pixi says:{shown}"));
                cure.into_iter().chain(shown).collect::<Vec<_>>().join("; ")
            }
        }
    }
}

/// Takes over into the record what the script said.
fn learn(outcome: &Outcome, record: &mut WorkdirRecord) {
    if let Some(pixi) = &outcome.pixi {
        record.pixi = Some(pixi.clone());
    }
    if outcome.phase("install") == Some(0) {
        record.state = BuildState::Installed;
    }
}
