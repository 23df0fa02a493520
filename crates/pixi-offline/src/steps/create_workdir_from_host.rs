//! From a project on this machine to a workdir that is built and verified.

mod volume_build;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::container::{self, Engine, EngineVersion, Image, KeptVolume};
use crate::context::Context;
use crate::evidence::{self, BuildState, GitVersion, WorkdirRecord};
use crate::failure::{self, Failure};
use crate::layout::{self, Workdir};
use crate::packages::{LocalChannel, Lock};
use crate::replacement::{StagedDir, SwappedDir, make_folder, require_free_space};
use crate::request::{
    BuildRequest, ContainerPlatform, ContainerVariable, ImageReference, LockOption, ProjectName,
    Transfer, text_for_mount,
};
use crate::secret_search::Finding;
use crate::staging::{CopyOptions, CopyOutcome, Size, Survey};
use crate::steps::build::{self, Build, Container, LockUse};
use crate::steps::environments::{self, Resolved};
use crate::steps::generated::{self, StagedPaths};
use crate::steps::git_version;
use crate::steps::new_workdir::{self, BuiltWorkdir, NewWorkdir};
use crate::steps::pixi_check::{PixiCheck, Question};
use crate::steps::project_manifest::ProjectManifest;
use crate::steps::secrets::{self, SecretSearch};
use crate::steps::source_state;
use crate::steps::stage::{self, ProjectRules};
use crate::steps::volume_sync;

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
    /// How the engine gets at the workdir.
    pub transfer: Transfer,
}

/// Stages, builds and verifies.
///
/// # Errors
///
/// Exit code 2 before anything is touched for what is wrong with the request,
/// 127 and 125 when client or engine are missing, else that of the build.
pub fn run(request: &HostBuildRequest, context: &Context) -> anyhow::Result<BuiltWorkdir> {
    run_and_keep(request, Vec::new(), context).map(|(made, _)| made)
}

/// As [`run`], but what is named in `stay` of a workdir that is replaced stays where it is;
/// where the workdir was carried to the engine, the volume that it was built in is kept
/// for a step that needs the same packages there.
pub(super) fn run_and_keep(
    request: &HostBuildRequest,
    stay: Vec<String>,
    context: &Context,
) -> anyhow::Result<(BuiltWorkdir, Option<KeptVolume>)> {
    let mut seen = HostPreflight::check(request, context)?;
    seen.place.stay = stay;
    seen.warn(request, context)?;
    container::remove_stale(&seen.engine);
    if seen.image.is_none() {
        // Before the old workdir goes: the name may be wrong.
        container::fetch(
            &seen.engine,
            &request.image,
            request.platform.as_ref(),
            &context.report,
        )?;
        seen.image = seen.engine.image(&request.image)?;
        seen.resolved = environments::resolve(
            &request.build.environments,
            seen.lock.as_ref(),
            seen.platform(request),
            &seen.manifest.environments(),
        )?;
        seen.require_image_that_fits(request)?;
    }
    seen.make(request, context)
}

/// All that can be known of a request without touching anything.
pub(super) struct HostPreflight {
    pub(super) rules: ProjectRules,
    pub(super) engine: Engine,
    pub(super) version: EngineVersion,
    /// As the engine knows it; `None` when it would fetch it.
    pub(super) image: Option<Image>,
    pub(super) project_dir: PathBuf,
    pub(super) resources_dir: Option<PathBuf>,
    pub(super) name: ProjectName,
    pub(super) place: NewWorkdir,
    pub(super) lock: Option<Lock>,
    channels: Vec<LocalChannel>,
    manifest: ProjectManifest,
    pub(super) resolved: Resolved,
    /// The environment that is verified.
    verified: String,
    pub(super) secrets: Vec<Finding>,
    /// What the copy of the project will be, and that of the resources.
    pub(super) project: Survey,
    pub(super) resources: Survey,
    git_versions: Vec<GitVersion>,
    /// The variables of the build.
    variables: Vec<ContainerVariable>,
}

impl HostPreflight {
    /// Looks.
    ///
    /// # Errors
    ///
    /// As [`run`], for what is wrong before anything is touched.
    pub(super) fn check(
        request: &HostBuildRequest,
        context: &Context,
    ) -> anyhow::Result<HostPreflight> {
        // STEP 1: the command line, then the engine's client, as the scripts do.
        let rules = ProjectRules::new(&request.build.excludes)?;
        let mut search = SecretSearch::new(&request.build.secrets, context)?;
        let engine = Engine::find(request.build.engine.as_deref(), context)?
            .with_time_limit(request.build.timeout.as_ref());

        // STEP 2: everything else that can be known without touching anything.
        let project_dir = context.host.absolute(&request.project_dir);
        stage::require_folder("--project-dir", &project_dir)?;
        let manifest = ProjectManifest::require(&project_dir)?;
        manifest.require_usable()?;
        manifest.require_find_links_elsewhere(&project_dir)?;
        let name = name_of(request, &project_dir)?;
        name.as_utf8()?;
        let resources_dir = request
            .resources_dir
            .as_ref()
            .map(|folder| context.host.absolute(folder));
        if let Some(resources) = &resources_dir {
            stage::require_folder("--resources-dir", resources)?;
        }
        let mut protected = vec![(project_dir.as_path(), "the project")];
        protected.extend(
            resources_dir
                .as_deref()
                .map(|folder| (folder, "the resources")),
        );
        let place = NewWorkdir::check(
            request.build.workdir.as_ref(),
            &protected,
            request.build.force,
            context,
        )?;
        text_for_mount("the workdir's path", place.workdir.path().as_os_str())?;
        let lock = Lock::read_through_links(&project_dir.join(layout::LOCK_FILE))?;
        let channels = lock
            .as_ref()
            .map(|lock| LocalChannel::of(lock, &project_dir))
            .unwrap_or_default();
        environments::require_lock_to_freeze(request.build.lock, lock.as_ref())?;
        let (version, image) = engine.version_and_image(&request.image)?;
        let platform = platform_of(request, image.as_ref(), &version);
        let resolved = environments::resolve(
            &request.build.environments,
            lock.as_ref(),
            platform,
            &manifest.environments(),
        )?;
        let verified = environments::verification_environment(
            request.build.verify_environment.as_ref(),
            &resolved.environments,
        )?
        .to_owned();
        let project = search.project(&project_dir, &rules);
        let resources = match &resources_dir {
            Some(resources) => search.resources(resources)?,
            None => Survey::default(),
        };
        search.verification(&request.build.verification);
        let secrets = search.findings();
        let git_versions = git_version::find(&project_dir, context);
        let variables = git_version::for_build(&git_versions, &request.build.variables)?;
        let seen = HostPreflight {
            rules,
            engine,
            version,
            image,
            project_dir,
            resources_dir,
            name,
            place,
            lock,
            channels,
            manifest,
            resolved,
            verified,
            secrets,
            project,
            resources,
            git_versions,
            variables,
        };
        seen.require_image_that_fits(request)?;
        secrets::refuse(&request.build.secrets, &seen.secrets)?;
        Ok(seen)
    }

    /// Requires that the engine can run the image, if it is there, and that the
    /// lock has what it needs.
    fn require_image_that_fits(&self, request: &HostBuildRequest) -> anyhow::Result<()> {
        let asked = request.platform.as_ref();
        if let Some(image) = &self.image {
            self.engine.require_platform(image, asked)?;
            self.engine.require_runnable(image, &self.version)?;
        }
        let platform = match &self.image {
            Some(image) => Some(image.platform.as_str()),
            None => asked.map(ContainerPlatform::as_str),
        };
        environments::require_lock_that_fits(
            request.build.lock,
            self.lock.as_ref(),
            &self.resolved.environments,
            platform.and_then(environments::platform_of),
            &self.channels,
            &self.manifest.environments(),
        )
    }

    /// The subdir of what the image is for; of what the engine would fetch where it is
    /// not there.
    fn platform(&self, request: &HostBuildRequest) -> Option<&'static str> {
        platform_of(request, self.image.as_ref(), &self.version)
    }

    /// Says what may bite later.
    fn warn(&self, request: &HostBuildRequest, context: &Context) -> anyhow::Result<()> {
        secrets::warn(&self.secrets, context);
        git_version::say(&self.git_versions, &request.build.variables, context);
        stage::warn_of_survey("project", &(&self.project).into(), context);
        stage::warn_of_survey("resources", &(&self.resources).into(), context);
        if self.lock.is_none() {
            new_workdir::warn_without_lock(context);
        }
        self.warn_of_cuda(request, context);
        self.resolved.say_left_out(context);
        new_workdir::warn_of_colon(
            self.name.as_utf8()?,
            request.build.container_workdir.as_str(),
            context,
        );
        if self.image.is_none() {
            context.report.note(format_args!(
                "image {} is not on this engine; the engine fetches it",
                request.image
            ));
        }
        Ok(())
    }

    /// Says which environments ask for a GPU that the container will not have.
    pub(super) fn warn_of_cuda(&self, request: &HostBuildRequest, context: &Context) {
        if let Some(lock) = &self.lock {
            environments::warn_of_cuda(
                lock,
                &self.resolved.environments,
                self.platform(request),
                &request.build.variables,
                &request.engine_arguments,
                context,
            );
        }
    }

    /// Asks the image's pixi what it makes of manifest and lock.
    ///
    /// # Errors
    ///
    /// What the build would end with, as [`Question::ask_image`].
    pub(super) fn ask_pixi(&self, request: &HostBuildRequest) -> anyhow::Result<PixiCheck> {
        if self.image.is_none() {
            return Ok(PixiCheck::not_made(
                "the engine does not have the image, and none is fetched for a dry run",
            ));
        }
        let build = self.build(request);
        let question = Question {
            manifest: self.manifest.name,
            environment: &self.verified,
            sha256: Some(self.manifest.digest().to_string()),
            lock_use: build.lock_use,
            needs_git: build.needs_git,
            variables: build.variables,
        };
        let image = (&request.image, request.platform.as_ref());
        question.ask_image(
            &self.engine,
            image,
            &request.engine_arguments,
            &self.project_dir,
        )
    }

    /// What the staged copies will take.
    pub(super) fn size(&self) -> Size {
        let mut size = self.project.size;
        size += self.place.helper.size();
        size += self.resources.size;
        size
    }

    fn record(
        &self,
        request: &HostBuildRequest,
        context: &Context,
    ) -> anyhow::Result<WorkdirRecord> {
        let mut record = WorkdirRecord::new(
            self.name.as_utf8()?,
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
        record.source = source_state::of(&self.project_dir, context);
        record.git_versions.clone_from(&self.git_versions);
        record.overrides = build::overrides(&request.build.variables);
        record.environments.clone_from(&self.resolved.environments);
        record.engine = Some(self.version.clone());
        record.image.clone_from(&self.image);
        record.lock.staged = self.lock.as_ref().map(|lock| *lock.digest());
        record.lock.frozen = request.build.lock == LockOption::Frozen;
        Ok(record)
    }

    fn build<'a>(&'a self, request: &'a HostBuildRequest) -> Build<'a> {
        Build {
            engine: &self.engine,
            container_workdir: &request.build.container_workdir,
            project: &self.name,
            lock_use: LockUse::of(self.lock.as_ref(), request.build.lock),
            // What is in the cache already is not fetched, and a new lock not known.
            needs_git: !request.build.reuse_cache
                && request.build.lock != LockOption::Update
                && self
                    .lock
                    .as_ref()
                    .is_some_and(|lock| lock.needs_git(&self.resolved.environments)),
            environments: &self.resolved.environments,
            verified: &self.verified,
            verification: &request.build.verification,
            expectations: &request.build.expectations,
            variables: &self.variables,
        }
    }

    fn container<'a>(&'a self, request: &'a HostBuildRequest) -> Container<'a> {
        Container {
            image: &request.image,
            platform: request.platform.as_ref(),
            engine_arguments: &request.engine_arguments,
            channels: &self.channels,
        }
    }

    /// The words that the engine's client would get for the build.
    pub(super) fn build_arguments(
        &self,
        request: &HostBuildRequest,
        context: &Context,
    ) -> anyhow::Result<Vec<OsString>> {
        let (build, container) = (self.build(request), self.container(request));
        let nonce = context.nonce();
        let workdir = &self.place.workdir;
        let mounts = match request.transfer {
            Transfer::Auto | Transfer::Mount => build.mounts(&container, workdir),
            Transfer::Copy => {
                let volume_specs =
                    build.volume_specs(&container, workdir, &workdir.cache(), &nonce);
                volume_sync::mounts(&volume_specs, &nonce)
            }
        };
        build
            .spec(&container, COMMAND, mounts, &nonce, context)?
            .run_arguments()
    }

    fn make(
        &self,
        request: &HostBuildRequest,
        context: &Context,
    ) -> anyhow::Result<(BuiltWorkdir, Option<KeptVolume>)> {
        // STEP 3: stage beside the workdir, then put the new one in its place.
        context.report.phase("stage", "staging the project");
        let mut record = self.record(request, context)?;
        let workdir = &self.place.workdir;
        let claim = self.place.claim(COMMAND)?;
        let mut sources = vec![self.project_dir.as_path()];
        sources.extend(self.resources_dir.as_deref());
        require_free_space(workdir.path(), &sources, || {
            let size = self.size();
            (size.bytes, size.entries)
        })?;
        let beside = StagedDir::new(&claim, workdir.path())?;
        let new = Workdir::new(beside.path());
        // Before gigabytes are staged for an engine that does not see them.
        let is_carried = volume_sync::is_needed(
            request.transfer,
            &self.engine,
            &request.image,
            (beside.path(), workdir.path()),
            &[],
            &request.engine_arguments,
            context,
        )?;
        // The record comes first: it marks the folder as a workdir, never staged.
        record.write(&new)?;
        stage::make_folders(&new)?;
        context.report.progress_of(|| self.size().bytes);
        let how = CopyOptions {
            progress: Some(&|bytes| context.report.progress(bytes)),
            ..CopyOptions::default()
        };
        let how_to_list = CopyOptions { list: true, ..how };
        let CopyOutcome {
            mut copied,
            listing,
            ..
        } = stage::copy_project(
            &self.project_dir,
            &new.project(&self.name),
            &self.rules,
            &how_to_list,
            context,
        )?;
        let staged = StagedPaths::from(&listing);
        match &self.resources_dir {
            Some(resources) => {
                let more = stage::copy_folder(resources, &new.resources(), &how, context)?.copied;
                copied.entries += more.entries;
                copied.bytes += more.bytes;
            }
            None => make_folder(&new.resources())?,
        }
        self.place.helper.install(&new)?;
        context.report.field("entries", copied.entries);
        context.report.field("bytes", copied.bytes);
        if is_carried {
            let volume =
                self.make_carried(request, &claim, (&beside, &staged), &mut record, context)?;
            self.place.announce(&self.name, &record, context);
            return Ok((self.made(record), Some(volume)));
        }
        let kept = request.build.reuse_cache.then_some(layout::CACHE);
        let (provisional, is_kept) = self.place.put_for_now(beside, kept, &record)?;
        if request.build.reuse_cache {
            new_workdir::say_reused(is_kept, context);
        }
        context
            .report
            .field("workdir", workdir.path().display().to_string());

        // STEP 4: install and verify in a container with network.
        context
            .report
            .phase("build", "installing and verifying with a network");
        let built = self.build(request).run_mounted(
            &self.container(request),
            COMMAND,
            workdir,
            &mut record,
            context,
        );
        if record.state != BuildState::Staged {
            generated::record(
                workdir,
                &self.name,
                &self.rules,
                &staged,
                &mut record,
                context,
            );
            record.write(workdir)?;
        }
        self.finish(provisional, built, context)?;
        if record.lock.built != record.lock.staged {
            secrets::warn_of_built_lock(
                &request.build.secrets,
                &workdir.project(&self.name),
                context,
            )?;
        }

        // STEP 5: say what is there and what comes next.
        self.place.announce(&self.name, &record, context);
        Ok((self.made(record), None))
    }

    /// Deletes the workdir that was replaced; but when the engine has gone away in the
    /// middle of a build, that one comes back.
    fn finish(
        &self,
        replaced: SwappedDir,
        built: anyhow::Result<()>,
        context: &Context,
    ) -> anyhow::Result<()> {
        let Err(error) = built else {
            return replaced.finish();
        };
        if self.engine.version().is_ok() {
            if let Err(trouble) = replaced.finish() {
                context.report.warning(format_args!("{trouble:#}"));
            }
            return Err(error);
        }
        let fate = match replaced.rollback() {
            Ok(true) => format!("; {} is as it was", self.place.workdir.path().display()),
            Ok(false) => String::new(),
            Err(trouble) => format!("; and the workdir that was here: {trouble:#}"),
        };
        Err(Failure::with_code(
            failure::exit_code(&error),
            format!("the engine went away: {error:#}{fate}"),
        ))
    }

    fn made(&self, record: WorkdirRecord) -> BuiltWorkdir {
        BuiltWorkdir {
            workdir: self.place.workdir.path().to_owned(),
            project: self.name.clone(),
            record,
            engine: self.engine.clone(),
        }
    }
}

/// The subdir of what the image is for; of what was asked for, or the engine's own,
/// where it is not there yet.
fn platform_of(
    request: &HostBuildRequest,
    image: Option<&Image>,
    engine: &EngineVersion,
) -> Option<&'static str> {
    let asked = request.platform.as_ref().map(ContainerPlatform::as_str);
    let platform = image
        .map(|image| image.platform.as_str())
        .or(asked)
        .or(engine.platform.as_deref())?;
    environments::platform_of(platform)
}

/// The project's name: as it was given, else the folder's.
fn name_of(request: &HostBuildRequest, project_dir: &Path) -> anyhow::Result<ProjectName> {
    if let Some(name) = &request.build.project_name {
        return Ok(name.clone());
    }
    // `.` and `..` have no name of their own.
    let named = project_dir
        .canonicalize()
        .unwrap_or_else(|_| project_dir.to_owned());
    let typed = Some(project_dir)
        .filter(|typed| typed.file_name().is_some() && !request.project_dir.ends_with("."));
    ProjectName::of_folder(typed.unwrap_or(&named))
}
