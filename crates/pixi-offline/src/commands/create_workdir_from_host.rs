//! From a project on this machine to a workdir that is built and verified.

mod execute;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::commands::build::Build;
use crate::commands::environment_selection::EnvironmentSelection;
use crate::commands::new_workdir::{self, BuiltWorkdir, NewWorkdir};
use crate::container::{Engine, EngineVersion, Image, Network, Pull};
use crate::context::Context;
use crate::evidence::{GitVersion, WorkdirRecord};
use crate::layout::{self, ProjectPlace};
use crate::packages::{LocalSources, Subdir, subdir_of_image};
use crate::project::fetching_tasks::FetchingTasks;
use crate::project::git_version;
use crate::project::lock_fit;
use crate::project::lock_use::LockUse;
use crate::project::project_manifest::ProjectManifest;
use crate::project::secrets::{self, SecretSearch};
use crate::project::source_state;
use crate::project::source_tree::SourceTree;
use crate::project::stage::{self, ProjectRules};
use crate::project::target_builds;
use crate::request::{
    BuildRequest, ContainerPlatform, ContainerVariable, ImageReference, ProjectName, SourcePlace,
    Transfer, text_for_mount,
};
use crate::secret_search::Finding;
use crate::staging::{Size, Survey};
use crate::workspace::NewContainer;
use crate::workspace::pixi_check::{PixiCheck, Question};

/// The command's name.
const COMMAND: &str = "create-workdir-from-host";

/// What was asked for; paths as they were typed.
#[derive(Debug, Clone)]
pub struct HostBuildRequest {
    /// An image that has pixi.
    pub image: ImageReference,
    /// What the image shall be for.
    pub platform: Option<ContainerPlatform>,
    /// The project.
    pub project_dir: PathBuf,
    /// Resources that travel with it.
    pub resources_dir: Option<PathBuf>,
    /// How the workdir is made.
    pub build: BuildRequest,
    /// Arguments for the engine's `run`.
    pub engine_arguments: Vec<OsString>,
    /// How the engine reaches the workdir.
    pub transfer: Transfer,
}

/// Stages, builds and verifies.
///
/// # Errors
///
/// Exit code 2 before anything is touched for what is wrong with the request,
/// 127 and 125 when client or engine are missing, else that of the build.
pub fn run(request: &HostBuildRequest, context: &Context) -> anyhow::Result<BuiltWorkdir> {
    let plan = HostBuildPlan::new(request, context)?;
    plan.execute(context).map(|(made, _)| made)
}

/// A build of a project on this machine: all is decided, and nothing is touched.
pub(crate) struct HostBuildPlan<'a> {
    pub(crate) request: &'a HostBuildRequest,
    rules: ProjectRules,
    pub(crate) engine: Engine,
    pub(crate) version: EngineVersion,
    /// As the engine knows it; `None` when it would fetch it.
    pub(crate) image: Option<Image>,
    pub(crate) source: SourceTree,
    /// What of a source root stays behind.
    pub(crate) left: Option<Size>,
    resources_dir: Option<PathBuf>,
    /// Where the project will be in workdir and product.
    pub(crate) project_place: ProjectPlace,
    pub(crate) place: NewWorkdir,
    local: LocalSources,
    manifest: ProjectManifest,
    pub(crate) selection: EnvironmentSelection,
    pub(crate) secrets: Vec<Finding>,
    /// What the copy of the project will be, and that of the resources.
    pub(crate) project: Survey,
    pub(crate) resources: Survey,
    pub(crate) git_versions: Vec<GitVersion>,
    /// The variables of the build.
    variables: Vec<ContainerVariable>,
}

impl<'a> HostBuildPlan<'a> {
    /// Decides.
    ///
    /// # Errors
    ///
    /// As [`run`], for what is wrong before anything is touched.
    pub(crate) fn new(
        request: &'a HostBuildRequest,
        context: &Context,
    ) -> anyhow::Result<HostBuildPlan<'a>> {
        let build = &request.build;
        // STEP 1: the command line, then the engine's client, as the scripts do.
        let mut rules = ProjectRules::new(&build.excludes)?;
        let mut search = SecretSearch::new(&build.secrets, context)?;
        let engine =
            Engine::find(build.engine.as_deref(), context)?.with_time_limit(build.timeout.as_ref());

        // STEP 2: everything else that can be known without touching anything.
        let project_dir = context.host.absolute(&request.project_dir);
        stage::require_dir("--project-dir", &project_dir)?;
        let root = build.source_root.as_ref();
        let source = SourceTree::find(SourcePlace::Host, &project_dir, root, context)?;
        let manifest = ProjectManifest::require(&project_dir)?;
        manifest.require_usable()?;
        manifest.require_find_links_elsewhere(&project_dir)?;
        let name = name_of(request, &project_dir)?;
        name.as_utf8()?;
        let resources_dir = request.resources_dir.as_ref();
        let resources_dir = resources_dir.map(|dir| context.host.absolute(dir));
        if let Some(resources) = &resources_dir {
            stage::require_dir("--resources-dir", resources)?;
        }
        let mut protected = vec![
            (project_dir.as_path(), "the project"),
            (source.dir(), "the source root"),
        ];
        protected.extend(resources_dir.as_deref().map(|dir| (dir, "the resources")));
        let place = NewWorkdir::check(build.workdir.as_ref(), &protected, build.force, context)?;
        text_for_mount("the workdir's path", place.workdir.path().as_os_str())?;
        let lock = context
            .locks
            .read_through_links(&project_dir.join(layout::LOCK_FILE))?;
        let local = source.local(lock.as_ref());
        let lock = lock_fit::to_install(lock, build.lock, &local, source.dir(), context)?;
        source.choose(&mut rules, root, lock.as_ref(), &local.channels)?;
        lock_fit::require_lock_to_freeze(build.lock, lock.as_ref())?;
        let (version, image) = engine.version_and_image(&request.image)?;
        let platform = platform_of(request, image.as_ref(), &version);
        let git_versions = git_version::find(&source, lock.as_ref(), context);
        let variables = git_version::for_build(&git_versions, &build.variables)?;
        let selection = EnvironmentSelection::new(build, lock, platform, manifest.environments())?;
        let project = search.project(source.dir(), &rules);
        let resources = match &resources_dir {
            Some(resources) => search.resources(resources)?,
            None => Survey::default(),
        };
        search.verification(&build.verification);
        let plan = HostBuildPlan {
            request,
            left: source.left(&rules),
            rules,
            engine,
            version,
            image,
            resources_dir,
            project_place: ProjectPlace {
                name,
                in_root: source.in_root().clone(),
            },
            source,
            place,
            local,
            manifest,
            selection,
            secrets: search.findings(),
            project,
            resources,
            git_versions,
            variables,
        };
        plan.require_image_that_fits()?;
        secrets::refuse(&build.secrets, &plan.secrets)?;
        Ok(plan)
    }

    /// Requires that the engine can run the image, if it is there, and that the
    /// lock has what it needs.
    fn require_image_that_fits(&self) -> anyhow::Result<()> {
        let asked = self.request.platform.as_ref();
        if let Some(image) = &self.image {
            self.engine.require_platform(image, asked)?;
            self.engine.require_runnable(image, &self.version)?;
        }
        let platform = match &self.image {
            Some(image) => Some(image.platform.as_str()),
            None => asked.map(ContainerPlatform::as_str),
        };
        self.selection.require_that_fits(
            &self.request.build,
            platform.and_then(subdir_of_image),
            &self.local,
            self.manifest.environments(),
        )
    }

    /// Says what may bite later.
    fn warn(&self, context: &Context) -> anyhow::Result<()> {
        let request = self.request;
        secrets::warn(&self.secrets, context);
        git_version::say(&self.git_versions, &request.build.variables, context);
        stage::warn_of_survey("project", &(&self.project).into(), context);
        let root = request.build.source_root.as_ref();
        if let Some(line) = SourceTree::say_left(self.left, root) {
            context.report.note(line);
        }
        stage::warn_of_survey("resources", &(&self.resources).into(), context);
        let engine_arguments = &request.engine_arguments;
        self.selection
            .warn(&request.build, engine_arguments, context);
        new_workdir::warn_of_colon(
            self.project_place.name.as_utf8()?,
            request.build.container_workdir.as_str(),
            context,
        );
        self.warn_of_target(context);
        if self.image.is_none() {
            context.report.note(format_args!(
                "image {} is not on this engine; the engine fetches it",
                request.image
            ));
        }
        Ok(())
    }

    /// Says what is built at the target, and what would fetch there.
    pub(crate) fn warn_of_target(&self, context: &Context) {
        let project = &self.source.project();
        let builds = target_builds::find(self.selection.lock.as_ref(), project, &self.local);
        self.selection.warn_of_builds(&builds, context);
        let verification = &self.request.build.verification;
        let tasks = FetchingTasks::find(&self.manifest, project);
        tasks.say(verification, Some(project), context);
    }

    /// Says which environments ask for a GPU that the container will not have.
    pub(crate) fn warn_of_cuda(&self, context: &Context) {
        let (build, arguments) = (&self.request.build, &self.request.engine_arguments);
        self.selection.warn_of_cuda(build, arguments, context);
    }

    /// Asks the image's pixi what it makes of manifest and lock.
    ///
    /// # Errors
    ///
    /// What the build would end with, as [`Question::ask_image`].
    pub(crate) fn ask_pixi(&self) -> anyhow::Result<PixiCheck> {
        self.ask_pixi_about(self.build().lock_use)
    }

    /// Requires that the image's pixi can build the lock's source packages, if it has any.
    ///
    /// # Errors
    ///
    /// What the build would end with.
    fn require_pixi_for_sources(&self) -> anyhow::Result<()> {
        if self.build().builds_conda_packages {
            // The build itself compares the lock: it has the network for it.
            self.ask_pixi_about(LockUse::Frozen)?;
        }
        Ok(())
    }

    fn ask_pixi_about(&self, lock_use: LockUse) -> anyhow::Result<PixiCheck> {
        if self.image.is_none() {
            return Ok(PixiCheck::not_made(
                "the engine does not have the image, and none is fetched for a dry run",
            ));
        }
        let build = self.build();
        let question = Question {
            manifest: self.manifest.name,
            environment: build.verified,
            sha256: Some(self.manifest.digest().to_string()),
            lock_use,
            needs_git: build.needs_git,
            builds_conda_packages: build.builds_conda_packages,
            local_paths: &build.local_paths,
            variables: build.variables,
        };
        question.ask_image(&self.container(), &self.source)
    }

    /// What the staged copies will take.
    fn size(&self) -> Size {
        let mut size = self.project.size;
        size += self.place.helper.size();
        size += self.resources.size;
        size
    }

    fn build(&self) -> Build<'_> {
        self.selection
            .build(&self.request.build, &self.project_place, &self.variables)
    }

    fn container(&self) -> NewContainer<'_> {
        NewContainer {
            engine: &self.engine,
            command: COMMAND,
            image: &self.request.image,
            platform: self.request.platform.as_ref(),
            engine_arguments: &self.request.engine_arguments,
            network: Network::Default,
            pull: Pull::Missing,
            counting: None,
        }
    }

    /// The words that the engine's client would get for the build.
    pub(crate) fn build_arguments(&self, context: &Context) -> anyhow::Result<Vec<OsString>> {
        let build = self.build();
        let workdir = &self.place.workdir;
        let tree = build.tree(workdir, workdir.cache(), &self.local.channels);
        build.arguments(&self.container(), &tree, self.request.transfer, context)
    }

    fn record(&self, context: &Context) -> anyhow::Result<WorkdirRecord> {
        let build = &self.request.build;
        let mut record = new_workdir::record(build, &self.project_place, &self.version, context)?;
        record.source = source_state::of_tree(&self.source, context);
        record.git_versions.clone_from(&self.git_versions);
        record
            .environments
            .clone_from(&self.selection.resolved.environments);
        record.verified_in = Some(self.selection.verified.clone());
        record.image.clone_from(&self.image);
        new_workdir::record_lock(&mut record, self.selection.lock.as_ref());
        Ok(record)
    }
}

/// The subdir of what the image is for; of what was asked for, or the engine's own,
/// where it is not there yet.
fn platform_of(
    request: &HostBuildRequest,
    image: Option<&Image>,
    engine: &EngineVersion,
) -> Option<Subdir> {
    let asked = request.platform.as_ref().map(ContainerPlatform::as_str);
    let platform = image
        .map(|image| image.platform.as_str())
        .or(asked)
        .or(engine.platform.as_deref())?;
    subdir_of_image(platform)
}

/// The project's name: as it was given, else that of the directory, an absolute path.
pub(crate) fn name_of(
    request: &HostBuildRequest,
    project_dir: &Path,
) -> anyhow::Result<ProjectName> {
    if let Some(name) = &request.build.project_name {
        return Ok(name.clone());
    }
    // `.` and `..` have no name of their own.
    let named = project_dir
        .canonicalize()
        .unwrap_or_else(|_| project_dir.to_owned());
    let typed = Some(project_dir)
        .filter(|typed| typed.file_name().is_some() && !request.project_dir.ends_with("."));
    ProjectName::of_dir(typed.unwrap_or(&named))
}
