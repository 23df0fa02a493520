//! Installing and verifying a staged project in a container with network.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tar::EntryType;

use crate::container::scripts::{self, Script};
use crate::container::{
    self, ContainerName, ContainerSpec, Engine, ExecSpec, Mount, Network, Outcome, Owner, PhaseLog,
    Pull, RunResult, RunningContainer,
};
use crate::context::Context;
use crate::evidence::{BuildState, Sha256Digest, WorkdirRecord};
use crate::layout::{self, ContainerWorkdir, Workdir};
use crate::packages::{LocalChannel, Lock};
use crate::replacement::make_folder;
use crate::request::{
    ContainerPath, ContainerPlatform, ContainerVariable, Expectations, ImageReference, LockOption,
    ProjectName, Verification,
};
use crate::steps::container_out::ContainerOut;
use crate::steps::installed::{self, InstalledList};
use crate::steps::pixi_words::PixiWords;
use crate::steps::script_result::{self, Phase};
use crate::steps::volume_sync::VolumeSpec;
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// How the lock file is treated by the install.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockUse {
    /// There is one, and it must fit the manifest: `--locked`.
    Locked,
    /// There is one that is taken as it is, because that was asked for or it names a
    /// folder as a channel: `--frozen`.
    Frozen,
    /// There is none, or it may be brought up to date: pixi writes one.
    Write,
}

impl LockUse {
    /// What to say of a lock that pixi refuses.
    pub(super) const STALE: &'static str = "pixi.lock does not fit the manifest: refresh it with pixi, or give --update-lock to have it done here, or --frozen to install the lock as it is";

    pub(super) fn of(lock: Option<&Lock>, asked: LockOption) -> LockUse {
        match (lock, asked) {
            (None, _) | (Some(_), LockOption::Update) => LockUse::Write,
            (Some(_), LockOption::Frozen) => LockUse::Frozen,
            (Some(lock), LockOption::Check) if lock.names_local_channel() => LockUse::Frozen,
            (Some(_), LockOption::Check) => LockUse::Locked,
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
    pub(super) container_workdir: &'a ContainerPath,
    pub(super) project: &'a ProjectName,
    pub(super) lock_use: LockUse,
    /// Whether the lock has a package that is fetched with git.
    pub(super) needs_git: bool,
    pub(super) environments: &'a [String],
    /// The environment that is verified.
    pub(super) verified: &'a str,
    pub(super) verification: &'a Verification,
    pub(super) expectations: &'a Expectations,
    pub(super) variables: &'a [ContainerVariable],
}

/// The new container that a build runs in.
pub(super) struct Container<'a> {
    pub(super) image: &'a ImageReference,
    /// What the image shall be for.
    pub(super) platform: Option<&'a ContainerPlatform>,
    /// Words for the engine's `run`.
    pub(super) engine_arguments: &'a [OsString],
    /// Channels in the project: pixi looks for them where they were locked.
    pub(super) channels: &'a [LocalChannel],
}

/// Where the workdir lies that a build works in.
#[derive(Debug, Clone, Copy)]
enum Where {
    /// On this machine, its folders mounted.
    Mounted,
    /// In the container itself.
    Inside,
}

impl Build<'_> {
    /// Runs `pixi install` and the verification in a new container that has the
    /// workdir's folders mounted, keeps their logs there, and brings `record` up
    /// to date.
    pub(super) fn run_mounted(
        &self,
        container: &Container<'_>,
        command: &'static str,
        workdir: &Workdir,
        record: &mut WorkdirRecord,
        context: &Context,
    ) -> anyhow::Result<()> {
        let container_out = ContainerOut::make(&workdir.out())?;
        let mounts = self.mounts(container, workdir);
        let spec = self.spec(container, command, mounts, &context.nonce(), context)?;
        let logs = Logs::of(workdir);
        let out = container_out.path();
        let RunResult { outcome, end } = container::run(
            self.engine,
            &spec,
            Some(&out),
            &logs.phases(),
            &context.report,
        )?;

        let list = InstalledList::take(&out, "");
        let brought = container_out.move_out("", &logs.files(), context);
        learn(&outcome, record);
        let learned = installed::learn(&list, &outcome, workdir, self.project, record, context);
        let recorded = record.write(workdir);
        // A full disk is told by the log that it cut, not by what came after.
        end?;
        brought?;
        recorded?;
        self.classify(&outcome, &logs, Some(&logs))?;
        learned?;
        record.state = BuildState::Built;
        record.write(workdir)
    }

    /// The workdir's folders as [`run_mounted`](Build::run_mounted) mounts them.
    pub(super) fn mounts(&self, container: &Container<'_>, workdir: &Workdir) -> Vec<Mount> {
        let inside = ContainerWorkdir(self.container_workdir);
        let channels = self.channels(container.channels, workdir);
        [
            Mount::writable(workdir.projects(), inside.projects()),
            Mount::writable(workdir.resources(), inside.resources()),
            Mount::writable(workdir.container_out(), inside.out()),
            Mount::writable(workdir.cache(), inside.cache()),
        ]
        .into_iter()
        .chain(
            channels
                .into_iter()
                .map(|(folder, place)| Mount::read_only(folder, place)),
        )
        .collect()
    }

    /// The same for an engine that does not see them, with a package cache that is not
    /// the workdir's own perhaps.
    pub(super) fn volume_specs(
        &self,
        container: &Container<'_>,
        workdir: &Workdir,
        cache: &Path,
        nonce: &str,
    ) -> Vec<VolumeSpec> {
        let named = |folder: PathBuf, from: &Path| {
            let name = folder.file_name().map(PathBuf::from).unwrap_or_default();
            (name, from.to_owned())
        };
        let own = |folder: PathBuf| named(folder.clone(), &folder);
        let nonce_file = Path::new(layout::OUT).join(container::nonce_file(nonce));
        let workdir_spec = VolumeSpec {
            target: self.container_workdir.as_str().to_owned(),
            folders: vec![
                own(workdir.projects()),
                own(workdir.resources()),
                own(workdir.out()),
                named(workdir.cache(), cache),
            ],
            empty: vec![(EntryType::Regular, nonce_file)],
            ..VolumeSpec::default()
        };
        let channels = self.channels(container.channels, workdir);
        let channels = channels.into_iter().map(|(folder, target)| VolumeSpec {
            target,
            read_only: true,
            folders: vec![(PathBuf::new(), folder)],
            empty: Vec::new(),
        });
        std::iter::once(workdir_spec).chain(channels).collect()
    }

    /// The container that has these mounts.
    pub(super) fn spec(
        &self,
        container: &Container<'_>,
        command: &'static str,
        mounts: Vec<Mount>,
        nonce: &str,
        context: &Context,
    ) -> anyhow::Result<ContainerSpec> {
        Ok(ContainerSpec {
            name: ContainerName::new(command, nonce),
            command,
            owner: Owner::this_process(),
            image: container.image.clone(),
            platform: container.platform.cloned(),
            mounts,
            tmpfs: None,
            network: Network::Default,
            pull: Pull::Missing,
            variables: self.variables.to_vec(),
            engine_arguments: container.engine_arguments.to_vec(),
            selinux_enforcing: context.host.selinux_enforcing,
            counting: None,
            script: self.script(Where::Mounted, "", nonce)?,
        })
    }

    /// Runs the same in a container that is there already and holds the staged
    /// project at its own container path; keeps the logs in `logs`, a workdir of
    /// which nothing else is there yet, and brings `record` up to date as far as
    /// the outcome tells. The script removes the program `brought` when nobody
    /// listens to it any more. `kept` is the workdir that the logs of a failed build
    /// will be found in, if any.
    pub(super) fn run_inside(
        &self,
        container: &RunningContainer,
        brought: &str,
        (logs, kept): (&Workdir, Option<&Workdir>),
        record: &mut WorkdirRecord,
        context: &Context,
    ) -> anyhow::Result<Outcome> {
        let nonce = context.nonce();
        let spec = ExecSpec {
            variables: self.variables.to_vec(),
            script: self.script(Where::Inside, brought, &nonce)?,
        };
        let logs = Logs::of(logs);
        let RunResult { outcome, end } = container::run_in(
            self.engine,
            container,
            &spec,
            &logs.phases(),
            &context.report,
        )?;
        learn(&outcome, record);
        end?;
        self.classify(&outcome, &logs, kept.map(Logs::of).as_ref())?;
        record.state = BuildState::Built;
        Ok(outcome)
    }

    /// The staged channels of the project, each with the place where the lock says it is.
    fn channels(&self, channels: &[LocalChannel], workdir: &Workdir) -> Vec<(PathBuf, String)> {
        let inside =
            Path::new(&ContainerWorkdir(self.container_workdir).projects()).join(self.project);
        channels
            .iter()
            .filter(|channel| channel.locked != inside.join(&channel.in_project))
            .filter_map(|channel| {
                let staged = workdir.project(self.project).join(&channel.in_project);
                // A path that is not UTF-8 cannot be locked: pixi writes text.
                Some((staged, channel.locked.to_str()?.to_owned()))
            })
            .collect()
    }

    fn script(&self, place: Where, brought: &str, nonce: &str) -> anyhow::Result<Script> {
        let place = match place {
            Where::Mounted => "mounted",
            Where::Inside => "inside",
        };
        let expected = self.expectations.files().join("\n");
        let own = [
            place,
            self.container_workdir.as_str(),
            self.project.as_utf8()?,
            self.lock_use.install_option(),
            &self.environments.join(" "),
            &expected,
            brought,
            if self.needs_git { "git" } else { "" },
        ];
        Ok(Script::new(
            scripts::BUILD,
            nonce,
            own,
            self.verification.pixi_words(Some(self.verified)),
        ))
    }

    /// Success, or what the script's outcome and the logs say against it; `kept` are the
    /// logs that are found later.
    pub(super) fn classify(
        &self,
        outcome: &Outcome,
        logs: &Logs,
        kept: Option<&Logs>,
    ) -> anyhow::Result<()> {
        let advice = match outcome.phase("install") {
            Some(1..) => self.advice_on_install(&PixiWords::of(&logs.install)),
            _ => String::new(),
        };
        script_result::require_success(
            outcome,
            &[
                Phase {
                    name: "install",
                    what: "pixi install",
                    log: kept.map(|logs| logs.install.as_path()),
                    advice: &advice,
                },
                Phase {
                    name: "verify",
                    what: "the verification",
                    log: kept.map(|logs| logs.verify.as_path()),
                    advice: "",
                },
            ],
        )?;
        if self.verification.is_requested() {
            script_result::require_output(
                self.expectations,
                &logs.verify,
                kept.map(|logs| logs.verify.as_path()),
            )
        } else {
            script_result::write_no_verification(&logs.verify)
        }
    }
}

impl Build<'_> {
    /// What to do about an install that failed, by what pixi said.
    fn advice_on_install(&self, words: &PixiWords) -> String {
        let blames_lock = words.blame_the_lock();
        match self.lock_use {
            LockUse::Locked if blames_lock => LockUse::STALE.to_owned(),
            LockUse::Frozen if blames_lock => "pixi.lock lacks what was asked for, and it is installed as it is: refresh it with pixi".to_owned(),
            _ => match words.shown() {
                shown if shown.is_empty() => shown,
                shown => format!("pixi says:{shown}"),
            },
        }
    }
}

/// The variables that tell pixi what the machine is that it installs for, as the
/// record keeps them.
pub(super) fn overrides(variables: &[ContainerVariable]) -> BTreeMap<String, String> {
    variables
        .iter()
        .filter(|variable| variable.key().starts_with("CONDA_OVERRIDE_"))
        .filter_map(|variable| variable.assignment().split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Takes over into the record what the script said.
pub(super) fn learn(outcome: &Outcome, record: &mut WorkdirRecord) {
    if let Some(pixi) = &outcome.pixi {
        record.pixi = Some(pixi.clone());
    }
    if outcome.phase("install") == Some(0) {
        record.state = BuildState::Installed;
    }
}

/// The sha256 of the lock in a project that a container could write; `None` when there
/// is none.
///
/// # Errors
///
/// When there is something else in its place, or it cannot be read.
pub(super) fn lock_digest(
    workdir: &Workdir,
    project: &ProjectName,
) -> anyhow::Result<Option<Sha256Digest>> {
    let lock = Path::new(layout::PROJECT)
        .join(project)
        .join(layout::LOCK_FILE);
    let digest = UntrustedDir::open(workdir.path())
        .and_then(|dir| dir.digest(&lock, RECORD_LIMIT).map(Some))
        .or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(None),
            _ => Err(error),
        });
    digest.with_context(|| format!("{} cannot be read", workdir.path().join(lock).display()))
}

/// The logs of a build.
pub(super) struct Logs {
    install: PathBuf,
    verify: PathBuf,
}

impl Logs {
    pub(super) fn of(workdir: &Workdir) -> Logs {
        Logs {
            install: workdir.install_log(),
            verify: workdir.verify_log(),
        }
    }

    /// The files of these logs.
    pub(super) fn files(&self) -> [PathBuf; 2] {
        [self.install.clone(), self.verify.clone()]
    }

    pub(super) fn phases(&self) -> [PhaseLog; 2] {
        let log = |phase, file: &Path| PhaseLog {
            phase,
            file: file.to_owned(),
        };
        [log("install", &self.install), log("verify", &self.verify)]
    }
}

/// Makes the out folder that a build inside a container keeps its logs in.
pub(super) fn prepare_logs(workdir: &Workdir) -> anyhow::Result<()> {
    let out = workdir.out();
    make_folder(&out).with_context(|| format!("{} cannot be made", out.display()))
}
