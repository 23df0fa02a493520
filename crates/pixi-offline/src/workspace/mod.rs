//! Where a script of these commands runs, and how directories get there and back.
//!
//! There are three ways, each a variant of [`Workspace`]. The engine sees the files of this
//! machine: directories are bind-mounted. It does not see them: they are copied into
//! volumes, and back. Or the caller's running container has them already. A command says which
//! directories ([`ContainerTree`]) and which script ([`ScriptRun`]). Above this module, a volume is
//! only handed from one step to the next ([`KeptVolume`]), and mounts are not known.

pub(crate) mod agent_request;
pub(crate) mod container_out;
mod new_container;
pub(crate) mod pixi_check;
pub(crate) mod pixi_messages;
pub(crate) mod script_result;
mod tree;
pub(crate) mod volume_agent;
mod volumes;

use std::path::{Path, PathBuf};

use tar::EntryType;

use self::container_out::ContainerOut;
pub(crate) use self::new_container::{NewContainer, Transport};
pub(crate) use self::tree::{ContainerTree, DirRole, TreeDir};
use self::volumes::{BaseVolume, RemoteVolumes};
use crate::container::scripts::Script;
use crate::container::{
    self, Engine, ExecSpec, KeptVolume, Outcome, PhaseLog, RunResult, RunningContainer, Tmpfs,
    UploadedAgent,
};
use crate::context::Context;
use crate::layout::{self, Workdir};
use crate::request::{ContainerPath, ContainerVariable};
use crate::transfer::{self, ExpectedStream};
use crate::workspace::agent_request::AgentRequest;

/// Where a script runs.
pub(crate) enum Workspace<'a> {
    /// In a new container that has directories of this machine mounted.
    Mounted(NewContainer<'a>, ContainerTree),
    /// In a new container that has copies of them, in volumes of its engine.
    Volume(Box<VolumeCopies<'a>>),
    /// In the caller's container, which has the workdir.
    Running(RunningWorkdir<'a>),
}

/// A script, and what its container has besides the directories.
pub(crate) struct ScriptRun<'a> {
    pub(crate) variables: &'a [ContainerVariable],
    pub(crate) tmpfs: Option<Tmpfs>,
    pub(crate) script: &'a dyn Fn(ScriptPlace<'_>) -> anyhow::Result<Script>,
}

/// What a script is told of the place where it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScriptPlace<'a> {
    /// The secret of the run, which the script's events carry.
    pub(crate) nonce: &'a str,
    /// The agent in a container of the caller.
    pub(crate) agent: Option<&'a str>,
}

/// Copies of directories on an engine that does not see this machine's files.
pub(crate) struct VolumeCopies<'a> {
    container: NewContainer<'a>,
    tree: ContainerTree,
    nonce: String,
    volumes: RemoteVolumes<'a>,
    /// The volume of an earlier step, which cannot be removed before the containers that
    /// have it.
    _base: Option<BaseVolume>,
}

/// A workdir in the caller's container.
pub(crate) struct RunningWorkdir<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) container: &'a RunningContainer,
    pub(crate) agent: &'a UploadedAgent<'a>,
    pub(crate) workdir: &'a ContainerPath,
}

impl<'a> Workspace<'a> {
    /// Gives a new container these directories: mounted, or as copies. `base` is a volume
    /// of an earlier step, whose package cache the directory `like` of the tree has, too.
    ///
    /// # Errors
    ///
    /// For copies: 128+n after a signal; 125 when the engine refuses or goes away, 1 when its
    /// disk is full. Nothing is left on it then.
    pub(crate) fn open(
        container: NewContainer<'a>,
        tree: ContainerTree,
        transport: Transport,
        base: Option<(KeptVolume, &Path)>,
        context: &Context,
    ) -> anyhow::Result<Workspace<'a>> {
        match transport {
            Transport::Mounted => return Ok(Workspace::Mounted(container, tree)),
            Transport::Volume => {}
        }
        let nonce = context.nonce();
        let base = base
            .map(|(volume, like)| {
                Ok::<_, anyhow::Error>(BaseVolume {
                    volume: volume.reopen()?,
                    dir: layout::CACHE,
                    like: tree.name_of(like).unwrap_or_default(),
                })
            })
            .transpose()?;
        let volumes = RemoteVolumes::create(
            container.engine,
            container.image,
            &context.host.program,
            container.volume_specs(&tree, &nonce),
            base.as_ref(),
            &nonce,
            context,
        )?;
        Ok(Workspace::Volume(Box::new(VolumeCopies {
            container,
            tree,
            nonce,
            volumes,
            _base: base,
        })))
    }

    /// Runs the script, with a log of each phase.
    pub(crate) fn run(
        &self,
        run: &ScriptRun<'_>,
        logs: &[PhaseLog],
        context: &Context,
    ) -> anyhow::Result<RunResult> {
        match self {
            Workspace::Mounted(container, tree) => {
                let mounts = container.mounts(tree);
                let spec = container.spec(mounts, run, &context.nonce(), context)?;
                let out = tree.out().map(|out| out.source.as_path());
                let _roots = match (container.access, out) {
                    (Some(access), Some(out)) => access.write_roots(out)?,
                    _ => None,
                };
                container::run(container.engine, &spec, out, logs, &context.report)
            }
            Workspace::Volume(copies) => {
                let volume_specs = copies.container.volume_specs(&copies.tree, &copies.nonce);
                let mounts = volumes::mounts(&volume_specs, &copies.nonce);
                let spec = copies.container.spec(mounts, run, &copies.nonce, context)?;
                container::run(copies.container.engine, &spec, None, logs, &context.report)
            }
            Workspace::Running(running) => {
                let nonce = context.nonce();
                let spec = ExecSpec {
                    variables: run.variables.to_vec(),
                    script: (run.script)(ScriptPlace {
                        nonce: &nonce,
                        agent: Some(running.agent.file()),
                    })?,
                };
                container::run_in(
                    running.engine,
                    running.container,
                    &spec,
                    logs,
                    &context.report,
                )
            }
        }
    }

    /// The out directory of this machine that the container writes into, if it is mounted.
    pub(crate) fn mounted_out(&self) -> Option<&Path> {
        match self {
            Workspace::Mounted(_, tree) => tree.out().map(|out| out.source.as_path()),
            Workspace::Volume(_) | Workspace::Running(_) => None,
        }
    }

    /// The memory that a container may use for files, in bytes. What is free of that of an
    /// engine elsewhere is not known, so half of it counts as that.
    pub(crate) fn memory(&self, context: &Context) -> u64 {
        match self {
            Workspace::Mounted(..) => context.host.available_memory,
            Workspace::Volume(copies) => copies.container.engine.memory() / 2,
            Workspace::Running(_) => 0,
        }
    }

    /// Brings what the script left in its out directory into the one that `out` is in, but
    /// never over `kept`. Where the script did not finish, a container elsewhere
    /// is not asked.
    pub(crate) fn fetch_out(
        &self,
        out: ContainerOut,
        kept: &[PathBuf],
        outcome: &Outcome,
        context: &Context,
    ) -> anyhow::Result<()> {
        let (copies, dir) = match self {
            Workspace::Volume(copies) => match copies.tree.out() {
                Some(dir) if outcome.finished.is_some() => (copies, dir),
                _ => return Ok(()),
            },
            Workspace::Mounted(..) | Workspace::Running(_) => {
                return out.move_out("", kept, context);
            }
        };
        let name = copies.tree.name(dir);
        let others = copies
            .tree
            .dirs
            .iter()
            .filter(|dir| dir.role != DirRole::Out);
        let mut leave_out: Vec<String> = others
            .map(|dir| format!("/{}", copies.tree.name(dir).display()))
            .collect();
        leave_out.push(copies.nonce_pattern());
        let top = name.to_str().map(|name| (name, EntryType::Directory));
        let volumes = &copies.volumes;
        volumes.fetch(0, &out.path(), leave_out, top.as_slice(), &[], context)?;
        out.move_out(name, kept, context)
    }

    /// Brings a workdir into a directory that is there and empty, without the installed
    /// environments. A mounted one is where it belongs already.
    pub(crate) fn fetch_workdir(&self, into: &Path, context: &Context) -> anyhow::Result<()> {
        match self {
            Workspace::Mounted(..) => Ok(()),
            Workspace::Volume(copies) => {
                let mut leave_out: Vec<String> =
                    agent_request::ENVIRONMENTS.map(str::to_owned).into();
                leave_out.push(copies.nonce_pattern());
                let written = copies.tree.dirs.iter();
                let here: Vec<(PathBuf, &Path)> = written
                    .filter(|dir| dir.role == DirRole::Write)
                    .map(|dir| (copies.tree.name(dir), dir.source.as_path()))
                    .collect();
                let here: Vec<(&Path, &Path)> =
                    here.iter().map(|(name, dir)| (&**name, *dir)).collect();
                let top = &Workdir::FROM_CONTAINER;
                copies
                    .volumes
                    .fetch(0, into, leave_out, top, &here, context)
            }
            Workspace::Running(running) => running.fetch(into, context),
        }
    }

    /// Whether a workdir is brought even when a script failed in it.
    pub(crate) fn keeps_failed_workdir(&self) -> bool {
        match self {
            Workspace::Mounted(..) | Workspace::Volume(_) => true,
            Workspace::Running(_) => false,
        }
    }

    /// Whether no signal came so far.
    ///
    /// # Errors
    ///
    /// 128+n.
    pub(crate) fn not_interrupted(&self) -> anyhow::Result<()> {
        match self {
            Workspace::Mounted(..) => Ok(()),
            Workspace::Volume(copies) => copies.volumes.not_interrupted(),
            Workspace::Running(running) => running.agent.not_interrupted(),
        }
    }

    /// Keeps the volume of the tree, if there is one, for a later step.
    ///
    /// # Errors
    ///
    /// 128+n when a signal came before.
    pub(crate) fn keep_volume(self) -> anyhow::Result<Option<KeptVolume>> {
        match self {
            Workspace::Volume(copies) => copies.volumes.into_first_volume()?.keep().map(Some),
            Workspace::Mounted(..) | Workspace::Running(_) => Ok(None),
        }
    }
}

impl VolumeCopies<'_> {
    /// What keeps the file with the run's secret from being brought back.
    fn nonce_pattern(&self) -> String {
        let out = self
            .tree
            .out()
            .map(|out| self.tree.name(out))
            .unwrap_or_default();
        format!("/{}/{}", out.display(), container::nonce_file(&self.nonce))
    }
}

impl RunningWorkdir<'_> {
    fn fetch(&self, into: &Path, context: &Context) -> anyhow::Result<()> {
        context
            .report
            .part("copying the workdir out of the container");
        let end_marker = context.nonce();
        let request = AgentRequest::Send {
            workdir: self.workdir.as_str().into(),
            end_marker: end_marker.clone(),
        };
        let expected = ExpectedStream {
            top: Some(&Workdir::FROM_CONTAINER),
            ..ExpectedStream::default()
        };
        let (_, left) = self.agent.run_piped(&request.arguments()?, |stream| {
            transfer::receive(stream, into, &end_marker, &expected)
        })?;
        container_out::warn_of_left(&left, context);
        Ok(())
    }
}
