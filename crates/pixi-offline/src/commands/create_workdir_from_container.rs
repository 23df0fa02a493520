//! From a project in a running container to a workdir on this machine.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use crate::commands::build::{Build, DetachedBuild};
use crate::commands::build_warnings;
use crate::commands::environment_selection::EnvironmentSelection;
use crate::commands::new_workdir::{self, BuiltWorkdir, NewWorkdir};
use crate::container::{self, Engine, EngineVersion, Image, RunningContainer, UploadedAgent};
use crate::context::Context;
use crate::evidence::{GitVersion, WorkdirRecord};
use crate::failure::Failure;
use crate::layout::ProjectPlace;
use crate::packages::subdir_of_image;
use crate::project::ProjectRules;
use crate::project::git_version;
use crate::project::inspection::ProjectInspection;
use crate::project::lock_fit;
use crate::project::lock_use::LockUse;
use crate::project::secrets;
use crate::replacement::DirLock;
use crate::request::{
    BuildRequest, ContainerId, ContainerVariable, ProductVariable, ProjectName, utf8_arg,
};
use crate::workspace::agent_request::{AgentRequest, Inspected, Staged, Staging};
use crate::workspace::pixi_check::PixiCheck;
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
    let plan = ContainerBuildPlan::new(request, context)?;
    new_workdir::note_without_verification(&request.build.verification, context);
    plan.execute(context)
}

/// A build in the caller's container: all is decided that can be without going into it, and
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
    /// The variables of the product that is made next, when one is.
    product_variables: Option<&'a [ProductVariable]>,
}

/// The project's name: as it was given, else that of its directory.
pub(crate) fn name_of(request: &ContainerBuildRequest) -> anyhow::Result<ProjectName> {
    match &request.build.project_name {
        Some(name) => Ok(name.clone()),
        None => ProjectName::of_dir(&request.project),
    }
}

impl<'a> ContainerBuildPlan<'a> {
    /// Makes the plan.
    ///
    /// # Errors
    ///
    /// Those errors of [`run`] that are found before anything is changed.
    pub(crate) fn new(
        request: &'a ContainerBuildRequest,
        context: &Context,
    ) -> anyhow::Result<ContainerBuildPlan<'a>> {
        let build = &request.build;
        let name = name_of(request)?;
        if build.container_workdir.is_system_dir() {
            return Err(Failure::usage(format!(
                "--container-workdir-path {} is a system directory; choose a new one, such as /tmp/pixi-offline-workdir",
                build.container_workdir
            )));
        }
        let staging = staging(request, &name)?;
        // Read here too: a wrong pattern is found before the container is touched.
        let rules = ProjectRules::new(&build.excludes)?;
        secrets::known_places(&build.secrets)?;
        secrets::search_verification(&build.secrets, &build.verification, context)?;
        let engine =
            Engine::find(build.engine.as_deref(), context)?.with_time_limit(build.timeout.as_ref());
        let place = NewWorkdir::check(build.workdir.as_ref(), &[], build.force, context)?;
        let version = engine.version()?;
        let container = RunningContainer::find(&engine, &request.container)?;
        let image = engine.image(&container.image()?)?;
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
            product_variables: None,
        })
    }

    /// Has what is named in `stay` of a workdir that is replaced stay where it is.
    pub(crate) fn with_stay(mut self, stay: Vec<String>) -> ContainerBuildPlan<'a> {
        self.place.stay = stay;
        self
    }

    /// Has a version that comes from git be one that a product with these variables can have, too.
    pub(crate) fn with_product_variables(
        mut self,
        variables: &'a [ProductVariable],
    ) -> ContainerBuildPlan<'a> {
        self.product_variables = Some(variables);
        self
    }

    /// Where the project is, as the record of the workdir has it.
    pub(crate) fn project_at(&self) -> String {
        format!("container:{}", self.request.project.display())
    }

    /// The variables of the build, which the product's must allow, too.
    fn variables(&self, versions: &[GitVersion]) -> anyhow::Result<Vec<ContainerVariable>> {
        if let Some(variables) = self.product_variables {
            git_version::for_product(versions, variables)?;
        }
        git_version::for_build(versions, &self.request.build.variables)
    }

    /// Has the container tell what would be staged, and asks its pixi; the agent is
    /// there meanwhile, as in the build.
    pub(crate) fn inspect(
        &self,
        context: &Context,
    ) -> anyhow::Result<(ProjectInspection, EnvironmentSelection, PixiCheck)> {
        container::remove_stale(&self.engine);
        let agent = self.upload(context)?;
        let request = AgentRequest::Inspect(self.staging.clone());
        let inspected: Inspected = parse_answer(&agent.run(&request.arguments()?)?)?;
        let Inspected { project, lock } = inspected;
        let selection = self.select(&project, lock, context)?;
        let variables = self.variables(&project.git_versions)?;
        let place = self.project_place(&project);
        let build = selection.build(&self.request.build, &place, &variables);
        let check = self.ask_pixi(&project, &build, build.lock_use)?;
        agent.not_interrupted()?;
        Ok((project, selection, check))
    }

    /// Asks the container's pixi what it makes of manifest and lock.
    fn ask_pixi(
        &self,
        project: &ProjectInspection,
        build: &Build<'_>,
        lock_use: LockUse,
    ) -> anyhow::Result<PixiCheck> {
        let question = build.question(project, lock_use);
        question.ask_container(&self.container, &project.source)
    }

    /// Where the project will be in workdir and product.
    fn project_place(&self, project: &ProjectInspection) -> ProjectPlace {
        ProjectPlace {
            name: self.name.clone(),
            in_root: project.source.in_root().clone(),
        }
    }

    fn upload(&self, context: &Context) -> anyhow::Result<UploadedAgent<'_>> {
        self.container
            .upload(&context.host.program, &context.nonce())
    }

    /// Requires that what the container has can be built, with the text of its lock.
    fn select(
        &self,
        project: &ProjectInspection,
        lock: Option<String>,
        context: &Context,
    ) -> anyhow::Result<EnvironmentSelection> {
        let lock = lock.map(|text| context.locks.parse(text)).transpose();
        let lock = lock.map_err(|error| {
            Failure::usage(format!(
                "cannot read the lock file pixi.lock of the container: {error}"
            ))
        })?;
        let (build, environments) = (&self.request.build, &project.environments);
        let (local, top) = (&project.local, project.source.dir());
        let lock = lock_fit::to_install(lock, build.lock, local, top, &context.locks)?;
        let image = self.image.as_ref();
        let platform = image.and_then(|image| subdir_of_image(&image.platform));
        let selection = EnvironmentSelection::new(build, lock, platform, environments)?;
        selection.require_that_fits(build, platform, local, environments)?;
        Ok(selection)
    }

    /// Warns of what the plan does not list.
    pub(crate) fn warn_beyond_plan(
        &self,
        project: &ProjectInspection,
        selection: &EnvironmentSelection,
        context: &Context,
    ) {
        let request = self.request;
        selection.warn_of_cuda(&request.build, context);
        let name = &self.name;
        build_warnings::warn_beyond_plan(&request.build, name, project, selection, context);
        if let Some(resources) = &request.resources
            && !project.resources
        {
            context.report.warning(format_args!(
                "--resources-path-in-container {} is not a directory there; the product has no resources",
                resources.display()
            ));
        }
    }

    /// The arguments of the engine's client by which the build is done.
    pub(crate) fn build_arguments(&self) -> Vec<OsString> {
        ["exec", "--interactive", self.container.id(), "sh"]
            .map(OsString::from)
            .into()
    }

    /// Executes the plan.
    pub(crate) fn execute(&self, context: &Context) -> anyhow::Result<BuiltWorkdir> {
        let request = self.request;
        // STEP 1: nobody else works on the workdir from here on.
        context
            .report
            .phase("stage", "staging the project in the container");
        let dir_lock = self.place.lock(COMMAND)?;

        // STEP 2: stage in the container, with the same matcher: our own program
        // does it there.
        container::remove_stale(&self.engine);
        let agent = self.upload(context)?;
        let agent_request = AgentRequest::Stage(self.staging.clone());
        let staged = agent.run(&agent_request.arguments()?).inspect_err(|_| {
            // This run removes half a container path; after any other failure
            // nothing of this run is there.
            if request.clean && agent.not_interrupted().is_err() {
                let _ = self.clean(None, context);
            }
        })?;
        let staged: Staged = parse_answer(&staged)?;
        if request.build.reuse_cache {
            new_workdir::say_reused(staged.cache_reused, context);
        }

        let place = self.project_place(&staged.inspected.project);
        let mut record = new_workdir::record(&request.build, &place, &self.version, context)?;
        record.image.clone_from(&self.image);
        record.project_at = Some(self.project_at());

        // STEP 3 and 4: build there, bring the workdir here.
        let made = self.build(&agent, &dir_lock, staged, &mut record, context);

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
            volume: None,
        })
    }

    fn build(
        &self,
        agent: &UploadedAgent<'_>,
        dir_lock: &DirLock,
        staged: Staged,
        record: &mut WorkdirRecord,
        context: &Context,
    ) -> anyhow::Result<()> {
        let request = &self.request.build;
        let Inspected { project, lock } = staged.inspected;
        let selection = self.select(&project, lock, context)?;
        build_warnings::warn_as_in_plan(request, &project, &selection, context);
        self.warn_beyond_plan(&project, &selection, context);
        record.source = staged.source.filter(|source| {
            let is_commit = source.has_plain_commit();
            if !is_commit {
                context
                    .report
                    .note("the container reported an invalid git commit; it is not recorded");
            }
            is_commit
        });
        new_workdir::record_project(record, &project, &selection);

        context
            .report
            .phase("build", request.verification.build_phase());
        let variables = self.variables(&record.git_versions)?;
        let place = self.project_place(&project);
        let build = selection.build(request, &place, &variables);
        if build.builds_conda_packages {
            // The build itself compares the lock: it has the network for it.
            self.ask_pixi(&project, &build, LockUse::Frozen)?;
        }
        let workspace = Workspace::Running(RunningWorkdir {
            engine: &self.engine,
            container: &self.container,
            agent,
            workdir: &request.container_workdir,
        });
        let mut rules = self.rules.clone();
        rules.stage_in_root(project.source.in_root());
        let detached = DetachedBuild {
            place: &self.place,
            dir_lock,
            rules: &rules,
            secrets: &request.secrets,
            staged: &staged.paths,
        };
        build.run_detached(&workspace, &detached, record, context)
    }

    /// Removes the workdir in the container, by this agent or by a new one.
    fn clean(&self, agent: Option<&UploadedAgent<'_>>, context: &Context) -> anyhow::Result<()> {
        let request = AgentRequest::Remove {
            workdir: self.request.build.container_workdir.as_str().into(),
        };
        let arguments = request.arguments()?;
        match agent {
            Some(agent) => agent.run(&arguments).map(drop),
            None => self.upload(context)?.run(&arguments).map(drop),
        }
    }
}

/// The answer of an agent.
fn parse_answer<T: DeserializeOwned>(text: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(text).context("cannot read the answer from the container")
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
