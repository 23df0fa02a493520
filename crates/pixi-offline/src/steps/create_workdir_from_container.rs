//! From a project in a running container to a workdir on this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::container::{self, Engine, EngineVersion, Image, RunningContainer, UploadedAgent};
use crate::context::Context;
use crate::evidence::{self, WorkdirRecord};
use crate::failure::Failure;
use crate::layout::{self, Workdir};
use crate::packages::Lock;
use crate::replacement::{DirLock, StagedDir, TargetState};
use crate::request::{BuildRequest, ContainerId, LockOption, ProjectName, utf8_arg};
use crate::steps::agent::{self, AgentRequest, ProjectInspection, Staged, Staging};
use crate::steps::build::{self, Build, LockUse};
use crate::steps::container_out;
use crate::steps::environments::{self, Resolved};
use crate::steps::generated;
use crate::steps::git_version;
use crate::steps::installed::{self, InstalledList};
use crate::steps::new_workdir::{self, BuiltWorkdir, NewWorkdir};
use crate::steps::pixi_check::{PixiCheck, Question};
use crate::steps::secrets;
use crate::steps::stage::{self, ProjectRules};
use crate::transfer::{self, Expected};

/// The command's name.
const COMMAND: &str = "create-workdir-from-container";

/// What was asked for; paths as they were typed.
#[derive(Debug, Clone)]
pub struct ContainerBuildRequest {
    /// The container.
    pub container: ContainerId,
    /// The project in it.
    pub project: PathBuf,
    /// Resources in the container that travel with it.
    pub resources: Option<PathBuf>,
    /// Whether the workdir in the container is removed in the end.
    pub clean: bool,
    /// How the workdir is made.
    pub build: BuildRequest,
}

/// Stages, builds and verifies in the container, and brings the workdir here.
///
/// # Errors
///
/// Exit code 2 before anything is touched for what is wrong with the request,
/// 127 and 125 when client or engine are missing, else that of the build. A
/// failed build leaves the container running and an existing workdir as it was;
/// its logs come to a new one.
pub fn run(request: &ContainerBuildRequest, context: &Context) -> anyhow::Result<BuiltWorkdir> {
    let seen = ContainerPreflight::check(request, context)?;
    make(&seen, request, context)
}

/// All that can be known of a request without touching anything or going into the
/// container.
pub(super) struct ContainerPreflight {
    pub(super) name: ProjectName,
    /// What is to be staged.
    staging: Staging,
    pub(super) engine: Engine,
    pub(super) version: EngineVersion,
    pub(super) place: NewWorkdir,
    pub(super) container: RunningContainer,
    /// The container's image, as far as the engine knows it.
    pub(super) image: Option<Image>,
}

impl ContainerPreflight {
    /// Looks.
    ///
    /// # Errors
    ///
    /// As [`run`], for what is wrong before anything is touched.
    pub(super) fn check(
        request: &ContainerBuildRequest,
        context: &Context,
    ) -> anyhow::Result<ContainerPreflight> {
        let name = match &request.build.project_name {
            Some(name) => name.clone(),
            None => ProjectName::of_folder(&request.project)?,
        };
        if request.build.container_workdir.is_system_folder() {
            return Err(Failure::usage(format!(
                "--container-workdir-path {} is a folder of the system; choose a new one, such as /tmp/pixi-offline-workdir",
                request.build.container_workdir
            )));
        }
        let staging = staging(request, &name)?;
        secrets::look_at_verification(
            &request.build.secrets,
            &request.build.verification,
            context,
        )?;
        let engine = Engine::find(request.build.engine.as_deref(), context)?
            .with_time_limit(request.build.timeout.as_ref());
        let place = NewWorkdir::check(
            request.build.workdir.as_ref(),
            &[],
            request.build.force,
            context,
        )?;
        let version = engine.version()?;
        let container = RunningContainer::find(&engine, &request.container)?;
        let image = engine.image(&container.image()?)?;
        new_workdir::warn_of_colon(
            name.as_utf8()?,
            request.build.container_workdir.as_str(),
            context,
        );
        Ok(ContainerPreflight {
            name,
            staging,
            engine,
            version,
            place,
            container,
            image,
        })
    }

    /// Has what is named in `stay` of a workdir that is replaced stay where it is.
    pub(super) fn with_stay(mut self, stay: Vec<String>) -> ContainerPreflight {
        self.place.stay = stay;
        self
    }

    /// Has the container tell what would be staged, and asks its pixi; a program of ours is
    /// there meanwhile, as in the build.
    ///
    /// # Errors
    ///
    /// What the build would end with.
    pub(super) fn inspect(
        &self,
        request: &ContainerBuildRequest,
        context: &Context,
    ) -> anyhow::Result<(ProjectInspection, Fitting, PixiCheck)> {
        container::remove_stale(&self.engine);
        let nonce = context.nonce();
        let delegate = self.container.upload(&context.host.program, &nonce)?;
        let order = serde_json::to_string(&AgentRequest::Look(self.staging.clone()))?;
        let answer = delegate.run(&[agent::AGENT_ARGUMENT, &order])?;
        let inspected: ProjectInspection = serde_json::from_slice(&answer)
            .context("the answer out of the container cannot be read")?;
        let fitting = Fitting::of(&inspected, request, self.image.as_ref())?;
        let variables = git_version::for_build(&inspected.git_versions, &request.build.variables)?;
        let question = Question {
            manifest: &inspected.manifest,
            environment: &fitting.verified,
            sha256: None,
            lock_use: LockUse::of(fitting.lock.as_ref(), request.build.lock),
            needs_git: fitting.needs_git(request),
            variables: &variables,
        };
        let project = utf8_arg("--project-path-in-container", request.project.as_os_str())?;
        let check = question.ask_container(&self.container, project)?;
        delegate.not_interrupted()?;
        Ok((inspected, fitting, check))
    }

    /// The words of the engine's client by which the build is done.
    pub(super) fn build_arguments(&self) -> Vec<OsString> {
        ["exec", "--interactive", self.container.id(), "sh"]
            .map(OsString::from)
            .into()
    }
}

/// A lock, and the environments of it that are for the container's platform.
pub(super) struct Fitting {
    pub(super) lock: Option<Lock>,
    pub(super) resolved: Resolved,
    /// The environment that is verified.
    verified: String,
    pub(super) platform: Option<&'static str>,
}

impl Fitting {
    /// Requires that what the container has can be built.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it cannot.
    fn of(
        inspected: &ProjectInspection,
        request: &ContainerBuildRequest,
        image: Option<&Image>,
    ) -> anyhow::Result<Fitting> {
        let lock = inspected.lock.clone().map(Lock::parse).transpose();
        let lock = lock.map_err(|error| {
            Failure::usage(format!(
                "pixi.lock in the container is no lock file that can be used: {error}"
            ))
        })?;
        environments::require_lock_to_freeze(request.build.lock, lock.as_ref())?;
        let platform = image.and_then(|image| environments::platform_of(&image.platform));
        let resolved = environments::resolve(
            &request.build.environments,
            lock.as_ref(),
            platform,
            &inspected.environments,
        )?;
        let asked = request.build.verify_environment.as_ref();
        let verified =
            environments::verification_environment(asked, &resolved.environments)?.to_owned();
        environments::require_lock_that_fits(
            request.build.lock,
            lock.as_ref(),
            &resolved.environments,
            platform,
            &inspected.channels,
            &inspected.environments,
        )?;
        Ok(Fitting {
            lock,
            resolved,
            verified,
            platform,
        })
    }

    /// Whether the lock has a package that is still to be fetched with git. What is in the
    /// cache already is not fetched, and a new lock not known.
    fn needs_git(&self, request: &ContainerBuildRequest) -> bool {
        let environments = &self.resolved.environments;
        !request.build.reuse_cache
            && request.build.lock != LockOption::Update
            && self
                .lock
                .as_ref()
                .is_some_and(|lock| lock.needs_git(environments))
    }

    /// Says what may bite later.
    pub(super) fn warn(
        &self,
        inspected: &ProjectInspection,
        request: &ContainerBuildRequest,
        context: &Context,
    ) {
        secrets::warn(&inspected.secrets, context);
        stage::warn_of_survey("project", &(&inspected.project_survey).into(), context);
        stage::warn_of_survey("resources", &(&inspected.resources_survey).into(), context);
        match &self.lock {
            None => new_workdir::warn_without_lock(context),
            Some(lock) => environments::warn_of_cuda(
                lock,
                &self.resolved.environments,
                self.platform,
                &request.build.variables,
                &[],
                context,
            ),
        }
        self.resolved.say_left_out(context);
        git_version::say(&inspected.git_versions, &request.build.variables, context);
        if let Some(resources) = &request.resources
            && !inspected.resources
        {
            context.report.warning(format_args!(
                "--resources-path-in-container {} is no folder there; the product has no resources",
                resources.display()
            ));
        }
    }
}

/// Does what [`run`] does, after the look.
pub(super) fn make(
    seen: &ContainerPreflight,
    request: &ContainerBuildRequest,
    context: &Context,
) -> anyhow::Result<BuiltWorkdir> {
    let ContainerPreflight {
        name,
        engine,
        place,
        container,
        ..
    } = seen;
    // STEP 1: nobody else works on the workdir from here on.
    context
        .report
        .phase("stage", "staging the project in the container");
    let claim = place.claim(COMMAND)?;

    // STEP 2: stage in the container, with the same matcher: our own program
    // does it there.
    let mut record = WorkdirRecord::new(
        name.as_utf8()?,
        request.build.container_workdir.as_str(),
        request.build.verification.clone(),
    );
    record.excludes = request
        .build
        .excludes
        .iter()
        .map(|text| text.to_string_lossy().into_owned())
        .collect();
    record.started = evidence::rfc3339(context.host.unix_seconds);
    record.overrides = build::overrides(&request.build.variables);
    record.engine = Some(seen.version.clone());
    record.image.clone_from(&seen.image);
    record.lock.frozen = request.build.lock == LockOption::Frozen;
    container::remove_stale(engine);
    let visit = ContainerBuild {
        delegate: container.upload(&context.host.program, &context.nonce())?,
        request,
        engine,
        container,
        place,
        claim: &claim,
        name,
        program: &context.host.program,
    };
    let order = serde_json::to_string(&AgentRequest::Stage(seen.staging.clone()))?;
    let staged = match visit.delegate.run(&[agent::AGENT_ARGUMENT, &order]) {
        Ok(answer) => answer,
        Err(error) => {
            // Half a container path is ours to remove; after any other failure
            // nothing of this run is there.
            if request.clean && visit.delegate.not_interrupted().is_err() {
                let _ = visit.clean(true, context);
            }
            return Err(error);
        }
    };
    let staged: Staged = serde_json::from_slice(&staged)
        .context("the answer out of the container cannot be read")?;
    if request.build.reuse_cache {
        new_workdir::say_reused(staged.cache_reused, context);
    }

    // STEP 3 and 4: build there, bring the workdir here.
    let made = visit.make(staged, &mut record, context);

    // STEP 5: leave the container as it was found, whatever became of it.
    let cleaned = if request.clean {
        visit.clean(made.is_err(), context)
    } else {
        Ok(())
    };
    made?;
    cleaned?;
    drop(visit);
    place.announce(name, &record, context);
    Ok(BuiltWorkdir {
        workdir: place.workdir.path().to_owned(),
        project: name.clone(),
        record,
        engine: engine.clone(),
    })
}

/// Our work in somebody's container, once the project is staged there.
struct ContainerBuild<'a> {
    delegate: UploadedAgent<'a>,
    request: &'a ContainerBuildRequest,
    engine: &'a Engine,
    container: &'a RunningContainer,
    place: &'a NewWorkdir,
    claim: &'a DirLock,
    name: &'a ProjectName,
    /// The program that is the delegate there.
    program: &'a Path,
}

impl ContainerBuild<'_> {
    fn make(
        &self,
        staged: Staged,
        record: &mut WorkdirRecord,
        context: &Context,
    ) -> anyhow::Result<()> {
        let request = self.request;
        let Staged {
            inspected,
            source,
            paths,
            ..
        } = staged;
        let fitting = Fitting::of(&inspected, request, record.image.as_ref())?;
        fitting.warn(&inspected, request, context);
        let environments = &fitting.resolved.environments;
        let lock = fitting.lock.as_ref();
        record.source = source.filter(|source| {
            let is_commit = source.has_plain_commit();
            if !is_commit {
                context
                    .report
                    .note("the commit that the container names is none, and is not recorded");
            }
            is_commit
        });
        record.git_versions = inspected.git_versions;
        record.environments.clone_from(environments);
        record.lock.staged = lock.map(|lock| *lock.digest());

        // STEP 3: install and verify there; the logs are kept on this side.
        context
            .report
            .phase("build", "installing and verifying with a network");
        // Beside the workdir: the next run sweeps it when this one is killed.
        let logs_folder = StagedDir::new(self.claim, self.place.workdir.path())?;
        let logs = Workdir::new(logs_folder.path());
        build::prepare_logs(&logs)?;
        self.delegate.not_interrupted()?;
        let variables = git_version::for_build(&record.git_versions, &request.build.variables)?;
        let build = Build {
            engine: self.engine,
            container_workdir: &request.build.container_workdir,
            project: self.name,
            lock_use: LockUse::of(lock, request.build.lock),
            needs_git: fitting.needs_git(request),
            environments,
            verified: &fitting.verified,
            verification: &request.build.verification,
            expectations: &request.build.expectations,
            variables: &variables,
        };
        let kept = (self.place.standing == TargetState::Vacant).then_some(&self.place.workdir);
        let built = build.run_inside(
            self.container,
            self.delegate.file(),
            (&logs, kept),
            record,
            context,
        );
        let outcome = built.map_err(|error| {
            new_workdir::with_kept_logs(&error, self.claim, self.place, &logs, record)
        })?;

        // STEP 4: bring the workdir here, beside the old one, and put it in place.
        context
            .report
            .phase("bring", "bringing the workdir out of the container");
        context
            .report
            .field("workdir", self.place.workdir.path().display().to_string());
        let beside = StagedDir::new(self.claim, self.place.workdir.path())?;
        let new = Workdir::new(beside.path());
        self.fetch(&new, context)?;
        let list = InstalledList::take(new.path(), layout::OUT);
        new_workdir::complete_received(self.place, &new, self.name, &logs, context)?;
        installed::learn(&list, &outcome, &new, self.name, record, context)?;
        if record.lock.built != record.lock.staged {
            let project = new.project(self.name);
            secrets::warn_of_built_lock(&request.build.secrets, &project, context)?;
        }
        generated::record(
            &new,
            self.name,
            &ProjectRules::new(&request.build.excludes)?,
            &paths,
            record,
            context,
        );
        record.write(&new)?;
        self.delegate.not_interrupted()?;
        self.place.put(beside, record)
    }

    /// Unpacks the container's workdir into a folder of this machine.
    fn fetch(&self, new: &Workdir, context: &Context) -> anyhow::Result<()> {
        let mark = context.nonce();
        let order = AgentRequest::Send {
            workdir: self.request.build.container_workdir.as_str().into(),
            mark: mark.clone(),
        };
        let order = serde_json::to_string(&order)?;
        let expected = Expected {
            top: Some(&Workdir::FROM_CONTAINER),
            ..Expected::default()
        };
        let (_, left) = self
            .delegate
            .run_piped(&[agent::AGENT_ARGUMENT, &order], |stream| {
                transfer::receive_as(stream, new.path(), &mark, &expected)
            })?;
        container_out::warn_of_left(&left, context);
        Ok(())
    }

    /// Removes the workdir in the container; by a delegate of its own after a
    /// failure, since one whose input ended has removed itself.
    fn clean(&self, failed: bool, context: &Context) -> anyhow::Result<()> {
        let order = AgentRequest::Remove {
            workdir: self.request.build.container_workdir.as_str().into(),
        };
        let order = serde_json::to_string(&order)?;
        let words = [agent::AGENT_ARGUMENT, &order];
        let again;
        let delegate = if failed {
            again = self.container.upload(self.program, &context.nonce())?;
            &again
        } else {
            &self.delegate
        };
        delegate.run(&words).map(drop)
    }
}

/// What the container is told to stage.
fn staging(request: &ContainerBuildRequest, name: &ProjectName) -> anyhow::Result<Staging> {
    utf8_arg("--project-path-in-container", request.project.as_os_str())?;
    if let Some(resources) = &request.resources {
        utf8_arg("--resources-path-in-container", resources.as_os_str())?;
    }
    // Read here too: a wrong pattern is found before the container is touched.
    ProjectRules::new(&request.build.excludes)?;
    secrets::known_places(&request.build.secrets)?;
    let patterns = |option: &str, patterns: &[OsString]| {
        patterns
            .iter()
            .map(|pattern| utf8_arg(option, pattern).map(str::to_owned))
            .collect::<anyhow::Result<Vec<String>>>()
    };
    Ok(Staging {
        project: request.project.clone(),
        resources: request.resources.clone(),
        workdir: request.build.container_workdir.as_str().into(),
        name: name.as_utf8()?.to_owned(),
        excludes: patterns("--exclude", &request.build.excludes)?,
        secrets: request.build.secrets.action,
        known_secrets: patterns("--allow-secret", &request.build.secrets.known)?,
        reuse_cache: request.build.reuse_cache,
    })
}
