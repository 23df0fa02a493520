//! A container that is started for one script: its directories mounted or copied, and the
//! arguments that the engine's client gets.

use std::ffi::OsString;
use std::path::Path;

use super::volumes::{self, VolumeSpec};
use super::{ContainerTree, ScriptPlace, ScriptRun};
use crate::container::{
    self, Access, ContainerName, ContainerSpec, Counting, Engine, Mount, Network, Probe, Pull,
};
use crate::context::Context;
use crate::failure::Failure;
use crate::network_access::NetworkAccess;
use crate::request::{ContainerPlatform, ContainerVariable, Gpus, ImageReference, Transfer};
use crate::tools::CapturedOutput;

/// A container that is started for one script, and removed.
pub(crate) struct NewContainer<'a> {
    pub(crate) engine: &'a Engine,
    /// The command that it runs for.
    pub(crate) command: &'static str,
    pub(crate) image: &'a ImageReference,
    /// What the image shall be for.
    pub(crate) platform: Option<&'a ContainerPlatform>,
    /// Arguments for the engine's `run`.
    pub(crate) engine_arguments: &'a [OsString],
    pub(crate) network: Network,
    pub(crate) pull: Pull,
    pub(crate) counting: Option<Counting>,
    /// The GPUs that it gets.
    pub(crate) gpus: Option<&'a Gpus>,
    /// What it gets to reach what it fetches.
    pub(crate) access: Option<&'a NetworkAccess>,
}

/// How a new container gets its directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Its engine sees those of this machine, and mounts them.
    Mounted,
    /// It does not: they are copied into volumes.
    Volume,
}

impl NewContainer<'_> {
    /// How its directories get to its engine. Where container root may
    /// not be able to write into the caller's directories, it is tried.
    ///
    /// # Errors
    ///
    /// When they are to be mounted, and the engine does not see them or a container cannot
    /// write there (1).
    pub(crate) fn transport(
        &self,
        transfer: Transfer,
        probe: &Probe<'_>,
        context: &Context,
    ) -> anyhow::Result<Transport> {
        if transfer == Transfer::Copy {
            return Ok(Transport::Volume);
        }
        let client = self.engine.client();
        let all: Vec<&Path> = probe.others.iter().copied().chain([probe.shown]).collect();
        if self.engine.shares_already(&all) {
            return Ok(Transport::Mounted);
        }
        let (engine, image, arguments) = (self.engine, self.image, self.engine_arguments);
        let nonce = context.nonce();
        let access = match may_be_closed(probe.writable) {
            true => container::shares_writable(engine, image, probe, arguments, &nonce)?,
            false => container::shares(engine, image, probe, &nonce)?,
        };
        let (message, why) = match access {
            Access::Granted => {
                self.engine.remember_shared(probe.shown);
                return Ok(Transport::Mounted);
            }
            Access::Unseen(message) => (
                message,
                format!("the engine behind {client} does not see this machine's files"),
            ),
            Access::Closed(message) => (
                message,
                format!(
                    "a container of {client} cannot write into {}",
                    probe.shown.display()
                ),
            ),
        };
        if transfer != Transfer::Auto {
            return Err(Failure::general(message));
        }
        context.report.note(format_args!(
            "{why}; files are copied through volumes (--transfer copy)"
        ));
        Ok(Transport::Volume)
    }

    /// Runs a script without a network in a container that has one directory mounted
    /// read-only, and takes what it prints.
    pub(crate) fn ask(
        &self,
        source: &Path,
        target: &str,
        variables: &[ContainerVariable],
        script: &str,
        arguments: &[&str],
    ) -> anyhow::Result<CapturedOutput> {
        let mount = Mount::read_only(source, target).value()?;
        // SELinux is turned off for it as for every container of these commands; elsewhere the option
        // means nothing.
        let fixed = ["--security-opt", "label=disable", "--mount", &mount];
        let mut options: Vec<OsString> = fixed.map(OsString::from).into();
        if let Some(platform) = self.platform {
            options.extend(["--platform", platform.as_str()].map(OsString::from));
        }
        for variable in variables {
            options.extend(["--env".into(), variable.assignment().into()]);
        }
        options.extend(self.gpu_arguments()?);
        let (image, own) = (self.image, self.engine_arguments);
        self.engine
            .ask_image(image, options, own, script, arguments)
    }

    /// The arguments that the engine's client would get for this script.
    pub(crate) fn arguments(
        &self,
        tree: &ContainerTree,
        transfer: Transfer,
        run: &ScriptRun<'_>,
        context: &Context,
    ) -> anyhow::Result<Vec<OsString>> {
        let nonce = context.nonce();
        let mounts = match transfer {
            Transfer::Auto | Transfer::Mount => self.mounts(tree),
            Transfer::Copy => volumes::mounts(&self.volume_specs(tree, &nonce), &nonce),
        };
        self.spec(mounts, run, &nonce, context)?.run_arguments()
    }

    fn gpu_arguments(&self) -> anyhow::Result<Vec<OsString>> {
        match self.gpus {
            Some(gpus) => gpus.arguments(self.engine.is_podman()?),
            None => Ok(Vec::new()),
        }
    }

    /// The directories, and the files of the access to a network.
    pub(super) fn mounts(&self, tree: &ContainerTree) -> Vec<Mount> {
        let out = tree.out().map(|out| out.source.as_path());
        let access = self.access.zip(out);
        let files = access.map(|(access, out)| access.mounts(out));
        tree.mounts()
            .into_iter()
            .chain(files.into_iter().flatten())
            .collect()
    }

    /// The same as volumes, the files in one of their own.
    pub(super) fn volume_specs(&self, tree: &ContainerTree, nonce: &str) -> Vec<VolumeSpec> {
        let mut volume_specs = tree.volume_specs(nonce);
        let files = self.access.map(NetworkAccess::contents).unwrap_or_default();
        if !files.is_empty() {
            volume_specs.push(VolumeSpec {
                target: NetworkAccess::DIR.to_owned(),
                read_only: true,
                files,
                ..VolumeSpec::default()
            });
        }
        volume_specs
    }

    pub(super) fn spec(
        &self,
        mounts: Vec<Mount>,
        run: &ScriptRun<'_>,
        nonce: &str,
        context: &Context,
    ) -> anyhow::Result<ContainerSpec> {
        let access = self.access;
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
            passed_variables: access
                .map(NetworkAccess::passed_variables)
                .unwrap_or_default(),
            gpus: self.gpu_arguments()?,
            engine_arguments: self.engine_arguments.to_vec(),
            selinux_enforcing: context.host.selinux_enforcing,
            counting: self.counting.clone(),
            masking: access.map(NetworkAccess::masking).unwrap_or_default(),
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
