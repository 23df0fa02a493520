//! From a project on this machine to a workdir that is built and verified.

mod execute;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::commands::build::Build;
use crate::commands::build_warnings;
use crate::commands::environment_selection::EnvironmentSelection;
use crate::commands::new_workdir::{self, BuiltWorkdir, NewWorkdir};
use crate::container::{Engine, EngineVersion, Image, Network, Pull};
use crate::context::Context;
use crate::evidence::WorkdirRecord;
use crate::layout::{self, ProjectPlace};
use crate::network_access::{CopiedDir, NetworkAccess};
use crate::packages::{Subdir, subdir_of_image};
use crate::project::ProjectRules;
use crate::project::cuda;
use crate::project::dirs;
use crate::project::git_version;
use crate::project::inspection::{LoadedProject, ProjectInspection};
use crate::project::lock_use::LockUse;
use crate::project::secrets::{self, SecretSearch};
use crate::project::source_state;
use crate::request::{
    BuildRequest, ContainerPlatform, ContainerVariable, Gpus, ImageReference, NetworkRequest,
    ProjectName, SourcePlace, Transfer, text_for_mount,
};
use crate::staging::Size;
use crate::workspace::NewContainer;
use crate::workspace::pixi_check::PixiCheck;

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
    /// What the build gets to reach what it fetches.
    pub network: NetworkRequest,
    /// The GPUs that the container gets.
    pub gpus: Option<Gpus>,
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
    new_workdir::note_without_verification(&request.build.verification, context);
    plan.execute(context)
}

/// A build of a project on this machine: all is decided, and nothing is touched.
pub(crate) struct HostBuildPlan<'a> {
    pub(crate) request: &'a HostBuildRequest,
    pub(crate) project: ProjectInspection,
    rules: ProjectRules,
    pub(crate) engine: Engine,
    pub(crate) version: EngineVersion,
    /// As the engine knows it; `None` when it would fetch it.
    pub(crate) image: Option<Image>,
    resources_dir: Option<PathBuf>,
    /// Where the project will be in workdir and product.
    pub(crate) project_place: ProjectPlace,
    pub(crate) place: NewWorkdir,
    pub(crate) selection: EnvironmentSelection,
    /// The variables of the build.
    variables: Vec<ContainerVariable>,
    /// What the build gets to reach what it fetches.
    access: NetworkAccess,
}

impl<'a> HostBuildPlan<'a> {
    /// Makes the plan.
    ///
    /// # Errors
    ///
    /// Those errors of [`run`] that are found before anything is changed.
    pub(crate) fn new(
        request: &'a HostBuildRequest,
        context: &Context,
    ) -> anyhow::Result<HostBuildPlan<'a>> {
        let build = &request.build;
        // STEP 1: the command line, then the engine's client, as the scripts do.
        let rules = ProjectRules::new(&build.excludes)?;
        let mut search = SecretSearch::new(&build.secrets, context)?;
        search.verification(&build.verification);
        let engine =
            Engine::find(build.engine.as_deref(), context)?.with_time_limit(build.timeout.as_ref());

        // STEP 2: everything else that can be known without touching anything.
        let access = NetworkAccess::read(
            &request.network,
            &build.variables,
            &request.engine_arguments,
            context,
        )?;
        let dir = context.host.absolute(&request.project_dir);
        let root = build.source_root.as_ref();
        let host = SourcePlace::Host;
        let project = LoadedProject::read(host, &dir, root, rules, build.lock, context)?;
        let name = name_of(request, &dir)?;
        name.as_utf8()?;
        let resources_dir = resources_of(request, context)?;
        let source = project.source.dir();
        let place = place_of(request, &dir, source, &resources_dir, &access, context)?;
        let (version, image) = engine.version_and_image(&request.image)?;
        let platform = platform_of(request, image.as_ref(), &version);
        let (lock, environments) = (project.lock.clone(), project.manifest.environments());
        let selection = EnvironmentSelection::new(build, lock, platform, environments)?;
        let inspection = project.inspect(resources_dir.as_deref(), search, context)?;
        let plan = HostBuildPlan {
            request,
            rules: project.rules,
            engine,
            version,
            image,
            resources_dir,
            project_place: ProjectPlace {
                name,
                in_root: inspection.source.in_root().clone(),
            },
            place,
            selection,
            variables: git_version::for_build(&inspection.git_versions, &build.variables)?,
            project: inspection,
            access,
        };
        plan.require_access_that_fits()?;
        plan.require_image_that_fits()?;
        secrets::refuse(&build.secrets, &plan.project.secrets)?;
        Ok(plan)
    }

    /// Requires that no login would be copied, and that the engine can be asked for the GPUs.
    fn require_access_that_fits(&self) -> anyhow::Result<()> {
        let staged = |path: &Path| self.rules.copies(path);
        let mut copied = vec![CopiedDir {
            dir: self.project.source.dir(),
            copies: &staged,
        }];
        copied.extend(self.resources_dir.as_deref().map(|dir| CopiedDir {
            dir,
            copies: &|_| true,
        }));
        let workdir = &self.request.build.container_workdir;
        self.access.require_apart(workdir, &copied)?;
        match &self.request.gpus {
            Some(gpus) => gpus.arguments(self.version.is_podman).map(drop),
            None => Ok(()),
        }
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
            &self.project.local,
            &self.project.environments,
        )
    }

    /// Warns of what the plan lists.
    fn warn_as_in_plan(&self, context: &Context) {
        let build = &self.request.build;
        build_warnings::warn_as_in_plan(build, &self.project, &self.selection, context);
        if self.image.is_none() {
            context.report.note(format_args!(
                "image {} is not on this engine; the engine fetches it",
                self.request.image
            ));
        }
    }

    /// Warns of what the plan does not list.
    pub(crate) fn warn_beyond_plan(&self, context: &Context) {
        let (request, project) = (self.request, &self.project);
        let (build, name) = (&request.build, &self.project_place.name);
        self.access.say(context);
        if request.gpus.is_none() && !cuda::hands_gpu(&request.engine_arguments) {
            self.selection.warn_of_cuda(build, context);
        }
        build_warnings::warn_beyond_plan(build, name, project, &self.selection, context);
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
    fn require_pixi_for_sources(&self) -> anyhow::Result<()> {
        if self.build().builds_conda_packages {
            // The build itself compares the lock: it has the network for it.
            self.ask_pixi_about(LockUse::Frozen)?;
        }
        Ok(())
    }

    fn ask_pixi_about(&self, lock_use: LockUse) -> anyhow::Result<PixiCheck> {
        let transfer = self.request.transfer;
        if self.image.is_none() {
            return Ok(PixiCheck::not_made(
                "the engine does not have the image, and none is fetched for a dry run",
            ));
        }
        let build = self.build();
        let question = build.question(&self.project, lock_use);
        question.ask_image(&self.container(), &self.project.source, transfer)
    }

    /// What the staged copies will take.
    fn size(&self) -> Size {
        let mut size = self.project.project_survey.size;
        size += self.place.helper.size();
        size += self.project.resources_survey.size;
        size
    }

    fn build(&self) -> Build<'_> {
        let request = &self.request.build;
        Build {
            access: Some(&self.access),
            ..self
                .selection
                .build(request, &self.project_place, &self.variables)
        }
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
            gpus: self.request.gpus.as_ref(),
            access: Some(&self.access),
        }
    }

    /// The arguments that the engine's client would get for the build.
    pub(crate) fn build_arguments(&self, context: &Context) -> anyhow::Result<Vec<OsString>> {
        let build = self.build();
        let workdir = &self.place.workdir;
        let tree = build.tree(workdir, workdir.cache(), &self.project.local.channels);
        build.arguments(&self.container(), &tree, self.request.transfer, context)
    }

    /// Where the project is, as the record of the workdir has it: both can be moved together.
    pub(crate) fn project_at(&self) -> String {
        let project = self.project.source.project();
        // However it was written.
        let project = project.canonicalize().unwrap_or(project);
        let path = layout::relative_path(self.place.workdir.path(), &project);
        path.to_string_lossy().into_owned()
    }

    fn record(&self, context: &Context) -> anyhow::Result<WorkdirRecord> {
        let build = &self.request.build;
        let mut record = new_workdir::record(build, &self.project_place, &self.version, context)?;
        record.source = source_state::of_tree(&self.project.source, context);
        record.project_at = Some(self.project_at());
        record.image.clone_from(&self.image);
        new_workdir::record_project(&mut record, &self.project, &self.selection);
        Ok(record)
    }
}

/// The place of the workdir, where nothing that is read may go for it.
fn place_of(
    request: &HostBuildRequest,
    project_dir: &Path,
    source: &Path,
    resources_dir: &Option<PathBuf>,
    access: &NetworkAccess,
    context: &Context,
) -> anyhow::Result<NewWorkdir> {
    let resources = resources_dir.as_deref().map(|dir| (dir, "the resources"));
    let files = access.named();
    let files = files.map(|file| (file, "a file of --ca-cert or --auth-file"));
    let protected: Vec<(&Path, &str)> = [(project_dir, "the project"), (source, "the source root")]
        .into_iter()
        .chain(resources)
        .chain(files)
        .collect();
    let build = &request.build;
    let place = NewWorkdir::check(build.workdir.as_ref(), &protected, build.force, context)?;
    text_for_mount("the workdir's path", place.workdir.path().as_os_str())?;
    Ok(place)
}

/// The directory of the resources, if there is one.
fn resources_of(request: &HostBuildRequest, context: &Context) -> anyhow::Result<Option<PathBuf>> {
    let dir = request.resources_dir.as_ref();
    let dir = dir.map(|dir| context.host.absolute(dir));
    if let Some(dir) = &dir {
        dirs::require_dir("--resources-dir", dir)?;
    }
    Ok(dir)
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
