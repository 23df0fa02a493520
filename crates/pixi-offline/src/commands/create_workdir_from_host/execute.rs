//! How a planned build of a project on this machine is done.

use anyhow::Context as _;

use super::{COMMAND, HostBuildPlan, platform_of};
use crate::commands::build::BuildElsewhere;
use crate::commands::environment_selection::EnvironmentSelection;
use crate::commands::new_workdir::{self, BuiltWorkdir};
use crate::container::{self, KeptVolume, Probe};
use crate::context::Context;
use crate::evidence::{BuildState, WorkdirRecord};
use crate::failure::{self, Failure};
use crate::layout::{self, Workdir};
use crate::packages::Lock;
use crate::project::generated::{self, StagedPaths};
use crate::project::secrets;
use crate::project::stage;
use crate::replacement::{DirLock, StagedDir, SwappedDir, make_dir, require_free_space};
use crate::staging::{CopyOptions, CopyOutcome};
use crate::workspace::Workspace;

impl<'a> HostBuildPlan<'a> {
    /// Has what is named in `stay` of a workdir that is replaced stay where it is.
    pub(crate) fn with_stay(mut self, stay: Vec<String>) -> HostBuildPlan<'a> {
        self.place.stay = stay;
        self
    }

    /// Does it. Where the workdir was copied to the engine, the volume that it was built in
    /// is kept for a step that needs the same packages there.
    ///
    /// # Errors
    ///
    /// As [`run`].
    pub(crate) fn execute(
        mut self,
        context: &Context,
    ) -> anyhow::Result<(BuiltWorkdir, Option<KeptVolume>)> {
        self.warn(context)?;
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
        let (lock, manifest) = (self.selection.lock.take(), self.manifest.environments());
        self.selection = EnvironmentSelection::new(&request.build, lock, platform, manifest)?;
        self.require_image_that_fits()
    }

    fn make(&self, context: &Context) -> anyhow::Result<(BuiltWorkdir, Option<KeptVolume>)> {
        // STEP 3: stage beside the workdir.
        context.report.phase("stage", "staging the project");
        let mut record = self.record(context)?;
        let workdir = &self.place.workdir;
        let claim = self.place.claim(COMMAND)?;
        let mut sources = vec![self.source.dir()];
        sources.extend(self.resources_dir.as_deref());
        require_free_space(workdir.path(), &sources, || {
            let size = self.size();
            (size.bytes, size.entries)
        })?;
        let beside = StagedDir::new(&claim, workdir.path())?;
        // Before gigabytes are staged for an engine that does not see them.
        let probe = Probe {
            writable: beside.path(),
            shown: workdir.path(),
            others: &[],
        };
        let is_copied = self
            .container()
            .needs_copies(self.request.transfer, &probe, context)?;
        let staged = self.stage(&Workdir::new(beside.path()), &record, context)?;

        // STEP 4: install and verify in a container with network.
        let volume = if is_copied {
            Some(self.build_copy(&claim, &beside, &staged, &mut record, context)?)
        } else {
            self.build_in_place(beside, &staged, &mut record, context)?;
            None
        };

        // STEP 5: say what is there and what comes next.
        self.place
            .announce(&self.project_place.name, &record, context);
        let made = BuiltWorkdir {
            workdir: workdir.path().to_owned(),
            project: self.project_place.clone(),
            record,
            engine: self.engine.clone(),
        };
        Ok((made, volume))
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
        let how = CopyOptions {
            progress: Some(&|bytes| context.report.progress(bytes)),
            ..CopyOptions::default()
        };
        let how_to_list = CopyOptions { list: true, ..how };
        let staged = new.staged(&self.project_place.name);
        let CopyOutcome {
            mut copied,
            listing,
            ..
        } = stage::copy_project(
            self.source.dir(),
            &staged,
            &self.rules,
            &how_to_list,
            context,
        )?;
        let lock = self.selection.lock.as_ref();
        stage::replace_lock(&new.project(&self.project_place), lock)?;
        new_workdir::write_own_lock(new, lock.and_then(Lock::own))?;
        match &self.resources_dir {
            Some(resources) => {
                let more = stage::copy_dir(resources, &new.resources(), &how, context)?.copied;
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
        let (provisional, is_kept) = self.place.put_for_now(beside, kept, record)?;
        if request.reuse_cache {
            new_workdir::say_reused(is_kept, context);
        }
        let path = workdir.path().display().to_string();
        context.report.field("workdir", path);
        context
            .report
            .phase("build", self.request.build.verification.build_phase());
        let tree = build.tree(workdir, workdir.cache(), &self.local.channels);
        let workspace = Workspace::open(self.container(), tree, false, None, context)?;
        let built = build.run_in_place(&workspace, workdir, record, context);
        if record.state != BuildState::Staged {
            let place = &self.project_place;
            generated::record(workdir, place, &self.rules, staged, record, context);
            record.write(workdir)?;
        }
        self.finish(provisional, built, context)?;
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
        claim: &DirLock,
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
        let tree = build.tree(&here, cache, &self.local.channels);
        let workspace = Workspace::open(self.container(), tree, true, None, context)?;
        let elsewhere = BuildElsewhere {
            place: &self.place,
            claim,
            rules: &self.rules,
            secrets: &request.secrets,
            staged,
        };
        build.run_elsewhere(&workspace, &elsewhere, record, context)?;
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
}
