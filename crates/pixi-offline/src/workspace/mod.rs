//! Where a script of ours runs, and how directories get there and back.
//!
//! There are three ways, each a variant of [`Workspace`]. The engine sees the files of this
//! machine: directories are bind-mounted. It does not see them: they are copied into
//! volumes, and back. Or somebody's running container has them already. A command says which
//! directories ([`Tree`]) and which script ([`ScriptRun`]); nothing above this module knows
//! mounts, volumes or `exec`.

pub(crate) mod agent_request;
pub(crate) mod container_out;
pub(crate) mod pixi_check;
pub(crate) mod pixi_words;
pub(crate) mod script_result;
mod tree;
pub(crate) mod volume_agent;
mod volumes;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tar::EntryType;

use self::container_out::ContainerOut;
pub(crate) use self::tree::{DirRole, Tree, TreeDir};
use self::volumes::{BaseVolume, RemoteVolumes};
use crate::container::scripts::Script;
use crate::container::{
    self, Access, ContainerName, ContainerSpec, Counting, Engine, ExecSpec, KeptVolume, Mount,
    Network, Outcome, PhaseLog, Probe, Pull, RunResult, RunningContainer, Tmpfs, UploadedAgent,
};
use crate::context::Context;
use crate::failure::Failure;
use crate::layout::{self, Workdir};
use crate::request::{
    ContainerPath, ContainerPlatform, ContainerVariable, ImageReference, Transfer,
};
use crate::tools::Captured;
use crate::transfer::{self, Expected};
use crate::workspace::agent_request::AgentRequest;

/// Where a script runs.
pub(crate) enum Workspace<'a> {
    /// In a new container that has directories of this machine mounted.
    Mounted(NewContainer<'a>, Tree),
    /// In a new container that has copies of them, in volumes of its engine.
    Volume(Box<VolumeCopies<'a>>),
    /// In somebody's container, which has the workdir.
    Running(RunningWorkdir<'a>),
}

/// A container that is started for one script, and removed.
pub(crate) struct NewContainer<'a> {
    pub(crate) engine: &'a Engine,
    /// The command of ours that it runs for.
    pub(crate) command: &'static str,
    pub(crate) image: &'a ImageReference,
    /// What the image shall be for.
    pub(crate) platform: Option<&'a ContainerPlatform>,
    /// Arguments for the engine's `run`.
    pub(crate) engine_arguments: &'a [OsString],
    pub(crate) network: Network,
    pub(crate) pull: Pull,
    pub(crate) counting: Option<Counting>,
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
    /// The program of ours in a container that is somebody's.
    pub(crate) agent: Option<&'a str>,
}

/// Copies of directories on an engine that does not see this machine's files.
pub(crate) struct VolumeCopies<'a> {
    container: NewContainer<'a>,
    tree: Tree,
    nonce: String,
    volumes: RemoteVolumes<'a>,
    /// The volume of an earlier step, which cannot be removed before the containers that
    /// have it.
    _base: Option<BaseVolume>,
}

/// A workdir in somebody's container.
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
        tree: Tree,
        is_copied: bool,
        base: Option<(KeptVolume, &Path)>,
        context: &Context,
    ) -> anyhow::Result<Workspace<'a>> {
        if !is_copied {
            return Ok(Workspace::Mounted(container, tree));
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
        let volumes = RemoteVolumes::there(
            container.engine,
            container.image,
            &context.host.program,
            tree.volume_specs(&nonce),
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
    ///
    /// # Errors
    ///
    /// When the container cannot be described or started, or a log not be written.
    pub(crate) fn run(
        &self,
        run: &ScriptRun<'_>,
        logs: &[PhaseLog],
        context: &Context,
    ) -> anyhow::Result<RunResult> {
        match self {
            Workspace::Mounted(container, tree) => {
                let spec = container.spec(tree.mounts(), run, &context.nonce(), context)?;
                let out = tree.out().map(|out| out.source.as_path());
                container::run(container.engine, &spec, out, logs, &context.report)
            }
            Workspace::Volume(copies) => {
                let mounts =
                    volumes::mounts(&copies.tree.volume_specs(&copies.nonce), &copies.nonce);
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
            _ => None,
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
    /// never over `kept`. Where the script did not come to its end, a container elsewhere
    /// is not asked.
    ///
    /// # Errors
    ///
    /// When something cannot be read or written.
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
            _ => return out.move_out("", kept, context),
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
        volumes.back(0, &out.path(), leave_out, top.as_slice(), &[], context)?;
        out.move_out(name, kept, context)
    }

    /// Brings a workdir into a directory that is there and empty, without the installed
    /// environments. A mounted one is where it belongs already.
    ///
    /// # Errors
    ///
    /// When the container does not send it whole, or it cannot be written here.
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
                copies.volumes.back(0, into, leave_out, top, &here, context)
            }
            Workspace::Running(running) => running.fetch(into, context),
        }
    }

    /// Whether a workdir is brought even when a script failed in it.
    pub(crate) fn keeps_failed_workdir(&self) -> bool {
        !matches!(self, Workspace::Running(_))
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
            _ => Ok(None),
        }
    }
}

impl NewContainer<'_> {
    /// Whether its directories have to be copied to its engine. Where container root may
    /// not be able to write into the caller's directories, it is tried.
    ///
    /// # Errors
    ///
    /// When they are to be mounted, and the engine does not see them or a container cannot
    /// write there (1).
    pub(crate) fn needs_copies(
        &self,
        transfer: Transfer,
        probe: &Probe<'_>,
        context: &Context,
    ) -> anyhow::Result<bool> {
        if transfer == Transfer::Copy {
            return Ok(true);
        }
        let client = self.engine.client();
        let all: Vec<&Path> = probe.others.iter().copied().chain([probe.shown]).collect();
        if self.engine.shares_already(&all) {
            return Ok(false);
        }
        let arguments = self.engine_arguments;
        let access = match may_be_closed(probe.writable) {
            true => container::shares_writable(self.engine, self.image, probe, arguments)?,
            false => container::shares(self.engine, self.image, probe)?,
        };
        let (words, why) = match access {
            Access::Granted => {
                self.engine.remember_shared(probe.shown);
                return Ok(false);
            }
            Access::Unseen(words) => (
                words,
                format!("the engine behind {client} does not see this machine's files"),
            ),
            Access::Closed(words) => (
                words,
                format!(
                    "a container of {client} cannot write into {}",
                    probe.shown.display()
                ),
            ),
        };
        if transfer != Transfer::Auto {
            return Err(Failure::general(words));
        }
        context.report.note(format_args!(
            "{why}; files are carried there and back (--transfer copy)"
        ));
        Ok(true)
    }

    /// Runs a script without a network in a container that has one directory mounted
    /// read-only, and takes what it prints.
    ///
    /// # Errors
    ///
    /// When the engine's client cannot be started.
    pub(crate) fn ask(
        &self,
        source: &Path,
        target: &str,
        variables: &[ContainerVariable],
        script: &str,
        arguments: &[&str],
    ) -> anyhow::Result<Captured> {
        let mount = Mount::read_only(source, target).value()?;
        // SELinux is turned off for it as for every container of ours; elsewhere the option
        // means nothing.
        let fixed = ["--security-opt", "label=disable", "--mount", &mount];
        let mut options: Vec<OsString> = fixed.map(OsString::from).into();
        if let Some(platform) = self.platform {
            options.extend(["--platform", platform.as_str()].map(OsString::from));
        }
        for variable in variables {
            options.extend(["--env".into(), variable.assignment().into()]);
        }
        let (image, own) = (self.image, self.engine_arguments);
        self.engine
            .ask_image(image, options, own, script, arguments)
    }

    /// The arguments that the engine's client would get for this script.
    ///
    /// # Errors
    ///
    /// As [`Workspace::run`] for what it is given.
    pub(crate) fn arguments(
        &self,
        tree: &Tree,
        transfer: Transfer,
        run: &ScriptRun<'_>,
        context: &Context,
    ) -> anyhow::Result<Vec<OsString>> {
        let nonce = context.nonce();
        let mounts = match transfer {
            Transfer::Auto | Transfer::Mount => tree.mounts(),
            Transfer::Copy => volumes::mounts(&tree.volume_specs(&nonce), &nonce),
        };
        self.spec(mounts, run, &nonce, context)?.run_arguments()
    }

    fn spec(
        &self,
        mounts: Vec<Mount>,
        run: &ScriptRun<'_>,
        nonce: &str,
        context: &Context,
    ) -> anyhow::Result<ContainerSpec> {
        Ok(ContainerSpec {
            name: ContainerName::new(self.command, nonce),
            command: self.command,
            image: self.image.clone(),
            platform: self.platform.cloned(),
            mounts,
            tmpfs: run.tmpfs.clone(),
            network: self.network,
            pull: self.pull,
            variables: run.variables.to_vec(),
            engine_arguments: self.engine_arguments.to_vec(),
            selinux_enforcing: context.host.selinux_enforcing,
            counting: self.counting.clone(),
            script: (run.script)(ScriptPlace { nonce, agent: None })?,
        })
    }
}

/// Whether container root may not be able to write into a directory of the caller's: the
/// caller is another user, or a server or another program decides about the directory.
fn may_be_closed(dir: &Path) -> bool {
    // statfs(2): NFS, SMB, SMB 2, CIFS, FUSE.
    const DECIDED_ELSEWHERE: [u64; 5] = [0x6969, 0x517b, 0xfe53_4d42, 0xff53_4d42, 0x6573_5546];
    let is_elsewhere = || {
        rustix::fs::statfs(dir)
            // The kernel's numbers have 32 bits, the field perhaps more.
            .is_ok_and(|found| DECIDED_ELSEWHERE.contains(&(found.f_type as u64 & 0xffff_ffff)))
    };
    !rustix::process::geteuid().is_root() || is_elsewhere()
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
            .phase("bring", "bringing the workdir out of the container");
        let mark = context.nonce();
        let order = AgentRequest::Send {
            workdir: self.workdir.as_str().into(),
            mark: mark.clone(),
        };
        let expected = Expected {
            top: Some(&Workdir::FROM_CONTAINER),
            ..Expected::default()
        };
        let (_, left) = self.agent.run_piped(&order.arguments()?, |stream| {
            transfer::receive_as(stream, into, &mark, &expected)
        })?;
        container_out::warn_of_left(&left, context);
        Ok(())
    }
}
