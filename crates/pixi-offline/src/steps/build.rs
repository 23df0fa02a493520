//! Building and verifying a staged project in a container with network.

use std::ffi::OsString;
use std::fs;

use anyhow::Context as _;

use crate::container::scripts::{self, Script};
use crate::container::{
    self, ContainerName, ContainerSpec, Engine, Mount, Network, PhaseLog, Pull,
};
use crate::layout::{self, ContainerWorkdir, Workdir};
use crate::packages::Lock;
use crate::proof::{BuildState, WorkdirRecord};
use crate::report::Report;
use crate::request::{
    ContainerPath, ContainerVariable, Expectations, ImageReference, ProjectName, Verification,
};
use crate::steps::verdict::{self, Phase};
use crate::surroundings::{self, Surroundings};

/// How the lock file is treated by the install.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockUse {
    /// There is one, and it must fit the manifest: `--locked`.
    Locked,
    /// There is one that names a folder as a channel: `--frozen`.
    Frozen,
    /// There is none, or it may be brought up to date: pixi writes one.
    Write,
}

impl LockUse {
    pub(super) fn of(lock: Option<&Lock>, update: bool) -> LockUse {
        match lock {
            Some(_) if update => LockUse::Write,
            Some(lock) if lock.names_local_channel() => LockUse::Frozen,
            Some(_) => LockUse::Locked,
            None => LockUse::Write,
        }
    }

    fn install_option(self) -> &'static str {
        match self {
            LockUse::Locked => "--locked",
            LockUse::Frozen => "--frozen",
            LockUse::Write => "",
        }
    }
}

/// A build that is about to be run.
pub(super) struct Build<'a> {
    pub(super) engine: &'a Engine,
    pub(super) image: &'a ImageReference,
    pub(super) workdir: &'a Workdir,
    pub(super) container_workdir: &'a ContainerPath,
    pub(super) project: &'a ProjectName,
    pub(super) lock_use: LockUse,
    pub(super) verification: &'a Verification,
    pub(super) expectations: &'a Expectations,
    pub(super) variables: &'a [ContainerVariable],
    pub(super) engine_arguments: &'a [OsString],
}

impl Build<'_> {
    /// Runs `pixi install` and the verification in a container that has the
    /// workdir's folders mounted, keeps their logs, and brings `record` up to
    /// date.
    ///
    /// # Errors
    ///
    /// As [`container::run`] and [`verdict::require_success`].
    pub(super) fn run(
        &self,
        command: &'static str,
        record: &mut WorkdirRecord,
        surroundings: &Surroundings,
        report: &Report,
    ) -> anyhow::Result<()> {
        let workdir = self.workdir;
        let spec = self.container(command, surroundings)?;
        let logs = [
            PhaseLog {
                phase: "install",
                file: workdir.install_log(),
            },
            PhaseLog {
                phase: "verify",
                file: workdir.verify_log(),
            },
        ];
        let outcome = container::run(self.engine, &spec, &workdir.out(), &logs, report)?;

        if let Some(pixi) = &outcome.pixi {
            record.pixi = Some(pixi.clone());
        }
        let lock = Lock::read(&workdir.project(self.project).join(layout::LOCK_FILE))?;
        record.lock.built = lock.map(|lock| lock.digest().clone());
        if outcome.phase("install") == Some(0) {
            record.state = BuildState::Installed;
        }
        record.write(workdir)?;

        let (install_log, verify_log) = (workdir.install_log(), workdir.verify_log());
        verdict::require_success(
            &outcome,
            &[
                Phase {
                    name: "install",
                    what: "pixi install",
                    log: Some(&install_log),
                    advice: match self.lock_use {
                        LockUse::Locked => {
                            "if it says that pixi.lock is not up to date, refresh it with pixi, or give --update-lock to have it done here"
                        }
                        _ => "",
                    },
                },
                Phase {
                    name: "verify",
                    what: "the verification",
                    log: Some(&verify_log),
                    advice: "",
                },
            ],
        )?;
        if self.verification.is_requested() {
            verdict::require_output(self.expectations, &verify_log)?;
        } else {
            fs::write(&verify_log, verdict::NO_VERIFICATION)
                .with_context(|| format!("{} cannot be written", verify_log.display()))?;
        }

        record.state = BuildState::Built;
        record.write(workdir)
    }

    fn container(
        &self,
        command: &'static str,
        surroundings: &Surroundings,
    ) -> anyhow::Result<ContainerSpec> {
        let nonce = surroundings::nonce();
        let inside = ContainerWorkdir(self.container_workdir);
        let expected = self.expectations.files().join("\n");
        let own = [
            self.container_workdir.as_str(),
            self.project.for_engine()?,
            self.lock_use.install_option(),
            &expected,
        ];
        Ok(ContainerSpec {
            name: ContainerName::new(command, &nonce),
            command,
            image: self.image.clone(),
            mounts: vec![
                Mount::writable(self.workdir.projects(), inside.projects()),
                Mount::writable(self.workdir.resources(), inside.resources()),
                Mount::writable(self.workdir.out(), inside.out()),
                Mount::writable(self.workdir.cache(), inside.cache()),
            ],
            tmpfs: None,
            network: Network::Default,
            pull: Pull::Missing,
            variables: self.variables.to_vec(),
            engine_arguments: self.engine_arguments.to_vec(),
            selinux_enforcing: surroundings.selinux_enforcing,
            script: Script::new(scripts::BUILD, &nonce, own, self.verification.pixi_words()),
        })
    }
}
