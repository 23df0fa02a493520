//! From a project in a running container to a workdir on this machine.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use crate::commands::build::{Build, BuildElsewhere};
use crate::commands::environment_selection::EnvironmentSelection;
use crate::commands::new_workdir::{self, BuiltWorkdir, NewWorkdir};
use crate::container::{self, Engine, EngineVersion, Image, RunningContainer, UploadedAgent};
use crate::context::Context;
use crate::evidence::WorkdirRecord;
use crate::failure::Failure;
use crate::layout::ProjectPlace;
use crate::packages::subdir_of_image;
use crate::project::git_version;
use crate::project::lock_fit;
use crate::project::lock_use::LockUse;
use crate::project::secrets;
use crate::project::source_tree::SourceTree;
use crate::project::stage::{self, ProjectRules};
use crate::replacement::DirLock;
use crate::request::{BuildRequest, ContainerId, ProjectName, utf8_arg};
use crate::workspace::agent_request::{AgentRequest, ProjectInspection, Staged, Staging};
use crate::workspace::pixi_check::{PixiCheck, Question};
use crate::workspace::{RunningWorkdir, Workspace};

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
    /// Whether the workdir in the container is removed when done.
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
    ContainerBuildPlan::new(request, context)?.execute(context)
}

/// A build in somebody's container: all is decided that can be without going into it, and
/// nothing is touched.
pub(crate) struct ContainerBuildPlan<'a> {
    pub(crate) request: &'a ContainerBuildRequest,
    pub(crate) name: ProjectName,
    /// What is to be staged.
    staging: Staging,
    rules: ProjectRules,
    pub(crate) engine: Engine,
    pub(crate) version: EngineVersion,
    pub(crate) place: NewWorkdir,
    pub(crate) container: RunningContainer,
    /// The container's image, as far as the engine knows it.
    pub(crate) image: Option<Image>,
}

/// The project's name: as it was given, else that of its directory.
pub(crate) fn name_of(request: &ContainerBuildRequest) -> anyhow::Result<ProjectName> {
    match &request.build.project_name {
        Some(name) => Ok(name.clone()),
        None => ProjectName::of_dir(&request.project),
    }
}

impl<'a> ContainerBuildPlan<'a> {
    /// Decides.
    ///
    /// # Errors
    ///
    /// As [`run`], for what is wrong before anything is touched.
    pub(crate) fn new(
        request: &'a ContainerBuildRequest,
        context: &Context,
    ) -> anyhow::Result<ContainerBuildPlan<'a>> {
        let build = &request.build;
        let name = name_of(request)?;
        if build.container_workdir.is_system_dir() {
            return Err(Failure::usage(format!(
                "--container-workdir-path {} is a directory of the system; choose a new one, such as /tmp/pixi-offline-workdir",
                build.container_workdir
            )));
        }
        let staging = staging(request, &name)?;
        // Read here too: a wrong pattern is found before the container is touched.
        let rules = ProjectRules::new(&build.excludes)?;
        secrets::known_places(&build.secrets)?;
        secrets::look_at_verification(&build.secrets, &build.verification, context)?;
        let engine =
            Engine::find(build.engine.as_deref(), context)?.with_time_limit(build.timeout.as_ref());
        let place = NewWorkdir::check(build.workdir.as_ref(), &[], build.force, context)?;
        let version = engine.version()?;
        let container = RunningContainer::find(&engine, &request.container)?;
        let image = engine.image(&container.image()?)?;
        let container_workdir = build.container_workdir.as_str();
        new_workdir::warn_of_colon(name.as_utf8()?, container_workdir, context);
        Ok(ContainerBuildPlan {
            request,
            name,
            staging,
            rules,
            engine,
            version,
            place,
            container,
            image,
        })
    }

    /// Has what is named in `stay` of a workdir that is replaced stay where it is.
    pub(crate) fn with_stay(mut self, stay: Vec<String>) -> ContainerBuildPlan<'a> {
        self.place.stay = stay;
        self
    }

    /// Has the container tell what would be staged, and asks its pixi; a program of ours is
    /// there meanwhile, as in the build.
    ///
    /// # Errors
    ///
    /// What the build would end with.
    pub(crate) fn inspect(
        &self,
        context: &Context,
    ) -> anyhow::Result<(ProjectInspection, EnvironmentSelection, PixiCheck)> {
        container::remove_stale(&self.engine);
        let agent = self.upload(context)?;
        let order = AgentRequest::Look(self.staging.clone());
        let inspected: ProjectInspection = answer(&agent.run(&order.arguments()?)?)?;
        let selection = self.select(&inspected, context)?;
        let variables = &self.request.build.variables;
        let variables = git_version::for_build(&inspected.git_versions, variables)?;
        let place = self.project_place(&inspected);
        let build = selection.build(&self.request.build, &place, &variables);
        let check = self.ask_pixi(&inspected, &build, build.lock_use)?;
        agent.not_interrupted()?;
        Ok((inspected, selection, check))
    }

    /// Asks the container's pixi what it makes of manifest and lock.
    fn ask_pixi(
        &self,
        inspected: &ProjectInspection,
        build: &Build<'_>,
        lock_use: LockUse,
    ) -> anyhow::Result<PixiCheck> {
        let question = Question {
            manifest: &inspected.manifest,
            environment: build.verified,
            sha256: None,
            lock_use,
            needs_git: build.needs_git,
            builds_conda_packages: build.builds_conda_packages,
            local_paths: &build.local_paths,
            variables: build.variables,
        };
        question.ask_container(&self.container, &inspected.source, &inspected.local.in_root)
    }

    /// Where the project will be in workdir and product.
    fn project_place(&self, inspected: &ProjectInspection) -> ProjectPlace {
        ProjectPlace {
            name: self.name.clone(),
            in_root: inspected.local.in_root.clone(),
        }
    }

    fn upload(&self, context: &Context) -> anyhow::Result<UploadedAgent<'_>> {
        self.container
            .upload(&context.host.program, &context.nonce())
    }

    /// Requires that what the container has can be built.
    fn select(
        &self,
        inspected: &ProjectInspection,
        context: &Context,
    ) -> anyhow::Result<EnvironmentSelection> {
        let lock = inspected
            .lock
            .clone()
            .map(|text| context.locks.parse(text))
            .transpose();
        let lock = lock.map_err(|error| {
            Failure::usage(format!(
                "cannot read the lock file pixi.lock of the container: {error}"
            ))
        })?;
        let (build, manifest) = (&self.request.build, &inspected.environments);
        let (local, top) = (&inspected.local, &inspected.source);
        let lock = lock_fit::to_install(lock, build.lock, local, top, context)?;
        let image = self.image.as_ref();
        let platform = image.and_then(|image| subdir_of_image(&image.platform));
        let selection = EnvironmentSelection::new(build, lock, platform, manifest)?;
        selection.require_that_fits(build, platform, &inspected.local, manifest)?;
        Ok(selection)
    }

    /// Says what may bite later.
    pub(crate) fn warn(
        &self,
        inspected: &ProjectInspection,
        selection: &EnvironmentSelection,
        context: &Context,
    ) {
        let request = self.request;
        secrets::warn(&inspected.secrets, context);
        git_version::say(&inspected.git_versions, &request.build.variables, context);
        stage::warn_of_survey("project", &(&inspected.project_survey).into(), context);
        let root = request.build.source_root.as_ref();
        if let Some(line) = SourceTree::say_left(inspected.left, root) {
            context.report.note(line);
        }
        stage::warn_of_survey("resources", &(&inspected.resources_survey).into(), context);
        selection.warn(&request.build, &[], context);
        selection.warn_of_builds(&inspected.builds, context);
        // The project is not on this machine.
        inspected
            .tasks
            .say(&request.build.verification, None, context);
        if let Some(resources) = &request.resources
            && !inspected.resources
        {
            context.report.warning(format_args!(
                "--resources-path-in-container {} is no directory there; the product has no resources",
                resources.display()
            ));
        }
    }

    /// The words of the engine's client by which the build is done.
    pub(crate) fn build_arguments(&self) -> Vec<OsString> {
        ["exec", "--interactive", self.container.id(), "sh"]
            .map(OsString::from)
            .into()
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// As [`run`].
    pub(crate) fn execute(&self, context: &Context) -> anyhow::Result<BuiltWorkdir> {
        let request = self.request;
        // STEP 1: nobody else works on the workdir from here on.
        context
            .report
            .phase("stage", "staging the project in the container");
        let claim = self.place.claim(COMMAND)?;

        // STEP 2: stage in the container, with the same matcher: our own program
        // does it there.
        container::remove_stale(&self.engine);
        let agent = self.upload(context)?;
        let order = AgentRequest::Stage(self.staging.clone());
        let staged = agent.run(&order.arguments()?).inspect_err(|_| {
            // Half a container path is ours to remove; after any other failure
            // nothing of this run is there.
            if request.clean && agent.not_interrupted().is_err() {
                let _ = self.clean(None, context);
            }
        })?;
        let staged: Staged = answer(&staged)?;
        if request.build.reuse_cache {
            new_workdir::say_reused(staged.cache_reused, context);
        }

        let place = self.project_place(&staged.inspected);
        let mut record = new_workdir::record(&request.build, &place, &self.version, context)?;
        record.image.clone_from(&self.image);

        // STEP 3 and 4: build there, bring the workdir here.
        let made = self.build(&agent, &claim, staged, &mut record, context);

        // STEP 5: leave the container as it was found, whatever became of it. After a
        // failure by another agent, since one whose input ended has removed itself.
        let cleaned = match request.clean {
            true => self.clean(made.is_ok().then_some(&agent), context),
            false => Ok(()),
        };
        made?;
        cleaned?;
        drop(agent);
        self.place.announce(&self.name, &record, context);
        Ok(BuiltWorkdir {
            workdir: self.place.workdir.path().to_owned(),
            project: place,
            record,
            engine: self.engine.clone(),
        })
    }

    fn build(
        &self,
        agent: &UploadedAgent<'_>,
        claim: &DirLock,
        staged: Staged,
        record: &mut WorkdirRecord,
        context: &Context,
    ) -> anyhow::Result<()> {
        let request = &self.request.build;
        let selection = self.select(&staged.inspected, context)?;
        self.warn(&staged.inspected, &selection, context);
        record.source = staged.source.filter(|source| {
            let is_commit = source.has_plain_commit();
            if !is_commit {
                context
                    .report
                    .note("the commit that the container names is none, and is not recorded");
            }
            is_commit
        });
        record
            .git_versions
            .clone_from(&staged.inspected.git_versions);
        record
            .environments
            .clone_from(&selection.resolved.environments);
        record.verified_in = Some(selection.verified.clone());
        new_workdir::record_lock(record, selection.lock.as_ref());

        context
            .report
            .phase("build", request.verification.build_phase());
        let variables = git_version::for_build(&record.git_versions, &request.variables)?;
        let place = self.project_place(&staged.inspected);
        let build = selection.build(request, &place, &variables);
        if build.builds_conda_packages {
            // The build itself compares the lock: it has the network for it.
            self.ask_pixi(&staged.inspected, &build, LockUse::Frozen)?;
        }
        let workspace = Workspace::Running(RunningWorkdir {
            engine: &self.engine,
            container: &self.container,
            agent,
            workdir: &request.container_workdir,
        });
        let mut rules = self.rules.clone();
        rules.stage_in_root(&staged.inspected.local.in_root);
        let elsewhere = BuildElsewhere {
            place: &self.place,
            claim,
            rules: &rules,
            secrets: &request.secrets,
            staged: &staged.paths,
        };
        build.run_elsewhere(&workspace, &elsewhere, record, context)
    }

    /// Removes the workdir in the container, by this agent or by a new one.
    fn clean(&self, agent: Option<&UploadedAgent<'_>>, context: &Context) -> anyhow::Result<()> {
        let order = AgentRequest::Remove {
            workdir: self.request.build.container_workdir.as_str().into(),
        };
        let arguments = order.arguments()?;
        match agent {
            Some(agent) => agent.run(&arguments).map(drop),
            None => self.upload(context)?.run(&arguments).map(drop),
        }
    }
}

/// The answer of an agent.
fn answer<T: DeserializeOwned>(text: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(text).context("the answer out of the container cannot be read")
}

/// What the container is told to stage.
fn staging(request: &ContainerBuildRequest, name: &ProjectName) -> anyhow::Result<Staging> {
    utf8_arg("--project-path-in-container", request.project.as_os_str())?;
    if let Some(root) = &request.build.source_root {
        utf8_arg(root.option(), root.dir.as_os_str())?;
        let also = root
            .also
            .iter()
            .map(|path| utf8_arg("--also", path.as_os_str()));
        also.collect::<anyhow::Result<Vec<_>>>()?;
    }
    if let Some(resources) = &request.resources {
        utf8_arg("--resources-path-in-container", resources.as_os_str())?;
    }
    let patterns = |option: &str, patterns: &[OsString]| {
        patterns
            .iter()
            .map(|pattern| utf8_arg(option, pattern).map(str::to_owned))
            .collect::<anyhow::Result<Vec<String>>>()
    };
    Ok(Staging {
        project: request.project.clone(),
        source_root: request.build.source_root.clone(),
        resources: request.resources.clone(),
        workdir: request.build.container_workdir.as_str().into(),
        name: name.as_utf8()?.to_owned(),
        excludes: patterns("--exclude", &request.build.excludes)?,
        secrets: request.build.secrets.action,
        known_secrets: patterns("--allow-secret", &request.build.secrets.known)?,
        reuse_cache: request.build.reuse_cache,
        lock: request.build.lock,
    })
}
