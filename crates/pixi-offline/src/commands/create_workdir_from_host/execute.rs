//! How a planned build of a project on this machine is done.

use std::path::Path;

use anyhow::Context as _;

use super::{COMMAND, HostBuildPlan, platform_of};
use crate::cancellation::{self, Interruptible};
use crate::commands::build::DetachedBuild;
use crate::commands::environment_selection::EnvironmentSelection;
use crate::commands::new_workdir::{self, BuiltWorkdir};
use crate::container::{self, KeptVolume, Probe};
use crate::context::Context;
use crate::evidence::{BuildState, WorkdirRecord};
use crate::layout::{self, Workdir};
use crate::packages::Lock;
use crate::project::generated::{self, StagedPaths};
use crate::project::secrets;
use crate::project::stage;
use crate::replacement::{DirLock, StagedDir, SwappedDir, make_dir, require_free_space};
use crate::staging::{CopyOptions, CopyOutcome};
use crate::workspace::{Transport, Workspace};

impl<'a> HostBuildPlan<'a> {
    /// Has what is named in `stay` of a workdir that is replaced stay where it is.
    pub(crate) fn with_stay(mut self, stay: Vec<String>) -> HostBuildPlan<'a> {
        self.place.stay = stay;
        self
    }

    /// Executes the plan.
    pub(crate) fn execute(mut self, context: &Context) -> anyhow::Result<BuiltWorkdir> {
        self.warn_as_in_plan(context);
        self.warn_beyond_plan(context);
        container::remove_stale(&self.engine);
        if self.image.is_none() {
            // Before the old workdir goes: the name may be wrong.
            self.fetch_image(context)?;
        }
        self.require_pixi_for_sources()?;
        self.make(context)
    }

    /// Has the engine fetch the image, and decides anew what depends on its platform.
    fn fetch_image(&mut self, context: &Context) -> anyhow::Result<()> {
        let request = self.request;
        let (image, platform) = (&request.image, request.platform.as_ref());
        container::fetch(&self.engine, image, platform, &context.report)?;
        self.image = self.engine.image(image)?;
        let platform = platform_of(request, self.image.as_ref(), &self.version);
        let (lock, manifest) = (self.selection.lock.take(), &self.project.environments);
        self.selection = EnvironmentSelection::new(&request.build, lock, platform, manifest)?;
        self.require_image_that_fits()
    }

    /// Requires room for what is staged.
    ///
    /// # Errors
    ///
    /// Exit code 1 with what is needed and what is there.
    pub(crate) fn require_space(&self) -> anyhow::Result<()> {
        let mut sources = vec![self.project.source.dir()];
        sources.extend(self.resources_dir.as_deref());
        require_free_space(self.place.workdir.path(), &sources, || {
            let size = self.size();
            (size.bytes, size.entries)
        })
    }

    fn make(&self, context: &Context) -> anyhow::Result<BuiltWorkdir> {
        // STEP 3: stage beside the workdir.
        context.report.phase("stage", "staging the project");
        let mut record = self.record(context)?;
        let workdir = &self.place.workdir;
        let dir_lock = self.place.lock(COMMAND)?;
        self.require_space()?;
        let beside = StagedDir::new(&dir_lock, workdir.path())?;
        // Before gigabytes are staged for an engine that does not see them.
        let files: Vec<&Path> = self.access.named().collect();
        let probe = Probe {
            writable: beside.path(),
            shown: workdir.path(),
            others: &files,
        };
        let transport = self
            .container()
            .transport(self.request.transfer, &probe, context)?;
        let staged = {
            let _watch = Interruptible::start()?;
            let staged = self.stage(&Workdir::new(beside.path()), &record, context)?;
            cancellation::check()?;
            staged
        };

        // STEP 4: install and verify in a container with network.
        let volume = match transport {
            Transport::Volume => {
                Some(self.build_copy(&dir_lock, &beside, &staged, &mut record, context)?)
            }
            Transport::Mounted => {
                self.build_in_place(beside, &staged, &mut record, context)?;
                None
            }
        };

        // STEP 5: say what is there and what comes next.
        self.place
            .announce(&self.project_place.name, &record, context);
        Ok(BuiltWorkdir {
            workdir: workdir.path().to_owned(),
            project: self.project_place.clone(),
            record,
            engine: self.engine.clone(),
            volume,
        })
    }

    /// Copies project, resources and helper into a new workdir.
    fn stage(
        &self,
        new: &Workdir,
        record: &WorkdirRecord,
        context: &Context,
    ) -> anyhow::Result<StagedPaths> {
        // The record comes first: it marks the directory as a workdir, never staged.
        record.write(new)?;
        stage::make_dirs(new)?;
        context.report.progress_of(|| self.size().bytes);
        let options = CopyOptions {
            progress: Some(&|bytes| context.report.progress(bytes)),
            ..CopyOptions::default()
        };
        let list_options = CopyOptions {
            list: true,
            ..options
        };
        let staged = new.staged(&self.project_place.name);
        let CopyOutcome {
            mut copied,
            listing,
            ..
        } = stage::copy_project(
            self.project.source.dir(),
            &staged,
            &self.rules,
            &list_options,
            context,
        )?;
        let lock = self.selection.lock.as_ref();
        stage::replace_lock(&new.project(&self.project_place), lock)?;
        new_workdir::write_own_lock(new, lock.and_then(Lock::own_lock))?;
        match &self.resources_dir {
            Some(resources) => {
                let more = stage::copy_dir(resources, &new.resources(), &options, context)?.copied;
                copied.entries += more.entries;
                copied.bytes += more.bytes;
            }
            None => make_dir(&new.resources())?,
        }
        self.place.helper.install(new)?;
        context.report.field("entries", copied.entries);
        context.report.field("bytes", copied.bytes);
        Ok(StagedPaths::from(&listing))
    }

    /// Puts the staged workdir in its place, and builds it there.
    fn build_in_place(
        &self,
        beside: StagedDir,
        staged: &StagedPaths,
        record: &mut WorkdirRecord,
        context: &Context,
    ) -> anyhow::Result<()> {
        let workdir = &self.place.workdir;
        let (request, build) = (&self.request.build, self.build());
        let kept = request.reuse_cache.then_some(layout::CACHE);
        let (swapped, is_kept) = self.place.swap(beside, kept, record)?;
        if request.reuse_cache {
            new_workdir::say_reused(is_kept, context);
        }
        let path = workdir.path().display().to_string();
        context.report.field("workdir", path);
        context
            .report
            .phase("build", self.request.build.verification.build_phase());
        let tree = build.tree(workdir, workdir.cache(), &self.project.local.channels);
        let workspace = Workspace::open(self.container(), tree, Transport::Mounted, None, context)?;
        let built = build.run_in_place(&workspace, workdir, record, context);
        if record.state != BuildState::Staged {
            let place = &self.project_place;
            generated::record(workdir, place, &self.rules, staged, record, context);
            record.write(workdir)?;
        }
        self.finish(swapped, built, context)?;
        if record.lock.built != record.lock.staged {
            let project = workdir.project(&self.project_place);
            secrets::warn_of_built_lock(&request.secrets, &project, context)?;
        }
        Ok(())
    }

    /// Copies the staged workdir to the engine, builds it there, and brings it into its
    /// place. One in which a script failed is brought, too.
    fn build_copy(
        &self,
        dir_lock: &DirLock,
        beside: &StagedDir,
        staged: &StagedPaths,
        record: &mut WorkdirRecord,
        context: &Context,
    ) -> anyhow::Result<KeptVolume> {
        context
            .report
            .phase("build", self.request.build.verification.build_phase());
        let here = Workdir::new(beside.path());
        // The cache of the workdir that is overwritten where that was asked for, else the
        // new one, which is empty.
        let (request, old) = (&self.request.build, self.place.workdir.cache());
        let is_reused = request.reuse_cache && stage::is_own_cache(&old);
        if request.reuse_cache {
            new_workdir::say_reused(is_reused, context);
        }
        let cache = if is_reused { old } else { here.cache() };
        let build = self.build();
        let tree = build.tree(&here, cache, &self.project.local.channels);
        let workspace = Workspace::open(self.container(), tree, Transport::Volume, None, context)?;
        let detached = DetachedBuild {
            place: &self.place,
            dir_lock,
            rules: &self.rules,
            secrets: &request.secrets,
            staged,
        };
        build.run_detached(&workspace, &detached, record, context)?;
        let volume = workspace.keep_volume()?;
        volume.context("the workdir was not copied")
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
            if let Err(error) = replaced.finish() {
                context.report.warning(format_args!("{error:#}"));
            }
            return Err(error);
        }
        let fate = match replaced.rollback() {
            Ok(true) => format!("; {} is as it was", self.place.workdir.path().display()),
            Ok(false) => String::new(),
            Err(error) => format!("; and the workdir that was here: {error:#}"),
        };
        Err(error.context(format!("the engine went away{fate}")))
    }
}
