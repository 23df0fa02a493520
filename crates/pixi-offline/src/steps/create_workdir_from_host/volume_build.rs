//! The build on an engine that does not see this machine's files.

use std::path::{Path, PathBuf};

use crate::container::{self, KeptVolume, Outcome, RunResult};
use crate::context::Context;
use crate::evidence::{BuildState, WorkdirRecord};
use crate::layout::{self, Workdir};
use crate::replacement::{DirLock, StagedDir};
use crate::steps::build::{self, Logs};
use crate::steps::create_workdir_from_host::{COMMAND, HostBuildRequest, HostPreflight};
use crate::steps::generated::{self, StagedPaths};
use crate::steps::installed::{self, InstalledList};
use crate::steps::volume_sync::{self, RemoteVolumes};
use crate::steps::{agent, new_workdir, secrets, stage};

impl HostPreflight {
    /// Carries the workdir that is staged in `staged` to the engine, builds it there
    /// and brings it back into the workdir's place, which stays as it was when the
    /// engine is at fault. A workdir in which a script failed is brought back, too.
    pub(super) fn make_carried(
        &self,
        request: &HostBuildRequest,
        claim: &DirLock,
        (staged, staged_paths): (&StagedDir, &StagedPaths),
        record: &mut WorkdirRecord,
        context: &Context,
    ) -> anyhow::Result<KeptVolume> {
        context
            .report
            .phase("build", "installing and verifying with a network");
        let place = &self.place;
        let workdir = &place.workdir;
        let staged = Workdir::new(staged.path());
        let cache = self.cache_to_begin_with(request, &staged, context);
        // Beside the workdir: the next run sweeps it when this one is killed.
        let logs_folder = StagedDir::new(claim, workdir.path())?;
        let logs_in = Workdir::new(logs_folder.path());
        build::prepare_logs(&logs_in)?;
        let logs = Logs::of(&logs_in);
        let (build, container) = (self.build(request), self.container(request));
        let nonce = context.nonce();
        let volume_specs = build.volume_specs(&container, &staged, &cache, &nonce);
        let mounts = volume_sync::mounts(&volume_specs, &nonce);
        let spec = build.spec(&container, COMMAND, mounts, &nonce, context)?;
        let carried = RemoteVolumes::there(
            &self.engine,
            &request.image,
            &context.host.program,
            volume_specs,
            None,
            &nonce,
            context,
        )?;
        let RunResult { outcome, end } =
            container::run(&self.engine, &spec, None, &logs.phases(), &context.report)?;
        build::learn(&outcome, record);
        let left_as_it_was = |error: &anyhow::Error, record: &WorkdirRecord| {
            new_workdir::with_kept_logs(error, claim, place, &logs_in, record)
        };
        if let Err(error) = end {
            return Err(left_as_it_was(&error, record));
        }
        let judged = build.classify(&outcome, &logs, Some(&Logs::of(workdir)));

        let beside = StagedDir::new(claim, workdir.path())?;
        let new = Workdir::new(beside.path());
        let mut leave_out: Vec<String> = agent::ENVIRONMENTS.map(str::to_owned).into();
        leave_out.push(format!(
            "/{}/{}",
            layout::OUT,
            container::nonce_file(&nonce)
        ));
        let here = [
            (staged.projects(), staged.projects()),
            (staged.resources(), staged.resources()),
            (staged.cache(), cache),
        ];
        let here: Vec<(&Path, &Path)> = here
            .iter()
            .filter_map(|(named, folder)| Some((Path::new(named.file_name()?), folder.as_path())))
            .collect();
        let brought = carried
            .back(
                0,
                new.path(),
                leave_out,
                &Workdir::FROM_CONTAINER,
                &here,
                context,
            )
            .and_then(|()| {
                self.complete(
                    request,
                    &new,
                    &logs_in,
                    (&outcome, record),
                    judged.is_ok(),
                    context,
                )
            })
            .and_then(|()| {
                let (name, rules) = (&self.name, &self.rules);
                generated::record(&new, name, rules, staged_paths, record, context);
                record.write(&new)
            })
            .and_then(|()| carried.not_interrupted());
        if let Err(error) = brought {
            return Err(match judged {
                Ok(()) => left_as_it_was(&error, record),
                Err(failed) => {
                    context.report.warning(format_args!("{error:#}"));
                    left_as_it_was(&failed, record)
                }
            });
        }
        place.put(beside, record)?;
        context
            .report
            .field("workdir", workdir.path().display().to_string());
        judged?;
        carried.into_first_volume()?.keep()
    }

    /// The package cache that goes to the engine: that of the workdir which is
    /// overwritten where that was asked for, else the new one, which is empty.
    fn cache_to_begin_with(
        &self,
        request: &HostBuildRequest,
        staged: &Workdir,
        context: &Context,
    ) -> PathBuf {
        let old = self.place.workdir.cache();
        let reused = request.build.reuse_cache && stage::is_own_cache(&old);
        if request.build.reuse_cache {
            new_workdir::say_reused(reused, context);
        }
        if reused { old } else { staged.cache() }
    }

    /// Adds what a workdir that came back does not have yet.
    fn complete(
        &self,
        request: &HostBuildRequest,
        new: &Workdir,
        logs: &Workdir,
        (outcome, record): (&Outcome, &mut WorkdirRecord),
        is_verified: bool,
        context: &Context,
    ) -> anyhow::Result<()> {
        let list = InstalledList::take(new.path(), layout::OUT);
        new_workdir::complete_received(&self.place, new, &self.name, logs, context)?;
        installed::learn(&list, outcome, new, &self.name, record, context)?;
        if record.lock.built != record.lock.staged {
            secrets::warn_of_built_lock(&request.build.secrets, &new.project(&self.name), context)?;
        }
        if is_verified {
            record.state = BuildState::Built;
        }
        record.write(new)
    }
}
