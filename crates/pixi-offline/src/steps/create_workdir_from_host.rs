//! From a project on this machine to a workdir that is built and verified.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::container::Engine;
use crate::layout::{self, Workdir};
use crate::packages::{LocalChannel, Lock};
use crate::proof::WorkdirRecord;
use crate::replacement::Beside;
use crate::report::Report;
use crate::request::{
    ContainerPath, ContainerVariable, EnvironmentName, Environments, Expectations, ImageReference,
    ProjectName, Verification, text_for_mount,
};
use crate::staging::Rules;
use crate::steps::build::{Build, Container, LockUse};
use crate::steps::environments;
use crate::steps::new_workdir::{self, NewWorkdir};
use crate::steps::stage::{self, ProjectRules};
use crate::surroundings::Surroundings;

/// The command's name.
const COMMAND: &str = "create-workdir-from-host";

/// What was asked for; paths as they were typed.
#[derive(Debug, Clone)]
pub struct Request {
    /// An image that has pixi.
    pub image: ImageReference,
    /// The project.
    pub project_dir: PathBuf,
    /// The workdir; below the workspace root when `None`.
    pub workdir: Option<PathBuf>,
    /// Where the workdir is mounted in the container.
    pub container_workdir: ContainerPath,
    /// The project's name; the last component of its path when `None`.
    pub project_name: Option<ProjectName>,
    /// Resources that travel with it.
    pub resources_dir: Option<PathBuf>,
    /// Arguments of `--exclude`.
    pub excludes: Vec<OsString>,
    /// Whether a workdir that is not ours may be overwritten.
    pub force: bool,
    /// Whether pixi may bring a stale lock up to date.
    pub update_lock: bool,
    /// The environments to install.
    pub environments: Environments,
    /// The environment to verify in.
    pub verify_environment: Option<EnvironmentName>,
    /// What is run to see that it works.
    pub verification: Verification,
    /// What must hold afterwards.
    pub expectations: Expectations,
    /// The engine's client, when one was named.
    pub engine: Option<OsString>,
    /// Words for the engine's `run`.
    pub engine_arguments: Vec<OsString>,
    /// Variables for the container.
    pub variables: Vec<ContainerVariable>,
}

/// Stages, builds and verifies.
///
/// # Errors
///
/// Exit code 2 before anything is touched for what is wrong with the request,
/// 127 and 125 when client or engine are missing, else that of the build.
pub fn run(request: &Request, surroundings: &Surroundings, report: &Report) -> anyhow::Result<()> {
    // STEP 1: the command line, then the engine's client, as the scripts do.
    let rules = ProjectRules::new(&request.excludes)?;
    let engine = Engine::find(request.engine.as_deref(), surroundings)?;

    // STEP 2: everything else that can be known without touching anything.
    let project_dir = surroundings.absolute(&request.project_dir);
    stage::require_folder("--project-dir", &project_dir)?;
    stage::require_manifest(&project_dir)?;
    let name = match &request.project_name {
        Some(name) => name.clone(),
        None => {
            // `.` and `..` have no name of their own.
            let named = project_dir
                .canonicalize()
                .unwrap_or_else(|_| project_dir.clone());
            let typed = Some(&project_dir)
                .filter(|typed| typed.file_name().is_some() && !request.project_dir.ends_with("."));
            ProjectName::of_folder(typed.unwrap_or(&named))?
        }
    };
    name.for_engine()?;
    let resources_dir = request
        .resources_dir
        .as_ref()
        .map(|folder| surroundings.absolute(folder));
    if let Some(resources) = &resources_dir {
        stage::require_folder("--resources-dir", resources)?;
    }
    let mut protected = vec![(project_dir.as_path(), "the project")];
    protected.extend(
        resources_dir
            .as_deref()
            .map(|folder| (folder, "the resources")),
    );
    let place = NewWorkdir::look(
        request.workdir.as_ref(),
        &protected,
        request.force,
        surroundings,
    )?;
    let workdir = &place.workdir;
    text_for_mount("the workdir's path", workdir.path().as_os_str())?;
    let lock = Lock::read(&project_dir.join(layout::LOCK_FILE))?;
    let lock_use = LockUse::of(lock.as_ref(), request.update_lock);
    let channels = lock
        .as_ref()
        .map(|lock| LocalChannel::of(lock, &project_dir))
        .unwrap_or_default();
    let environments = environments::resolve(&request.environments, lock.as_ref())?;
    let verified = environments::verified(request.verify_environment.as_ref(), &environments)?;
    let version = engine.version()?;
    let image = engine.image(&request.image)?;
    let platform = image
        .as_ref()
        .and_then(|image| environments::platform_of(&image.platform));
    if let (Some(lock), false) = (&lock, request.update_lock) {
        environments::require_some_platform(lock, &environments, platform, &channels)?;
    }

    if lock.is_none() {
        new_workdir::warn_without_lock(report);
    }
    new_workdir::warn_of_colon(
        name.for_engine()?,
        request.container_workdir.as_str(),
        report,
    );
    if image.is_none() {
        report.note(format_args!(
            "image {} is not on this engine; the engine fetches it",
            request.image
        ));
    }

    // STEP 3: stage beside the workdir, then put the new one in its place.
    let mut record = WorkdirRecord::new(
        name.for_engine()?,
        request.container_workdir.as_str(),
        request.verification.clone(),
    );
    record.excludes = request
        .excludes
        .iter()
        .map(|text| text.to_string_lossy().into_owned())
        .collect();
    record.environments.clone_from(&environments);
    record.engine = Some(version);
    record.image = image;
    record.lock.staged = lock.as_ref().map(|lock| lock.digest().clone());
    let beside = Beside::new(workdir.path())?;
    let new = Workdir::new(beside.path());
    // The record comes first: it marks the folder as a workdir, never staged.
    record.write(&new)?;
    stage::make_folders(&new)?;
    stage::copy_project(&project_dir, &new.project(&name), &rules, report)?;
    match &resources_dir {
        Some(resources) => {
            stage::copy_folder(resources, &new.resources(), &Rules::new(), report)?;
        }
        None => std::fs::create_dir(new.resources())?,
    }
    place.helper.install(&new)?;
    beside.take_place()?;

    // STEP 4: install and verify in a container with network.
    let build = Build {
        engine: &engine,
        container_workdir: &request.container_workdir,
        project: &name,
        lock_use,
        environments: &environments,
        verified,
        verification: &request.verification,
        expectations: &request.expectations,
        variables: &request.variables,
    };
    let container = Container {
        image: &request.image,
        engine_arguments: &request.engine_arguments,
        channels: &channels,
    };
    build.run_mounted(
        &container,
        COMMAND,
        workdir,
        &mut record,
        surroundings,
        report,
    )?;
    if record.image.is_none() {
        record.image = engine.image(&request.image)?;
        record.write(workdir)?;
    }

    // STEP 5: say what is there and what comes next.
    place.announce(&name, &record, report);
    Ok(())
}
