//! Options that several commands share, as they are typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::request::{
    Contact, ContainerPlatform, ContainerVariable, EnvironmentName, Environments, Expectations,
    ProductVariable, ProjectName, SecretAction, SecretPolicy, TimeLimit, Verification,
};
use crate::staging::LinkMode;

/// Where a workdir goes, and what of the project goes into it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Workdir")]
pub struct WorkdirOptions {
    /// Working directory for build, logs and product. An existing WORKDIR is replaced [default:
    /// tmp/workdir-SECONDS below the git top level, else below the current directory; in
    /// build-offline-product .pixi-offline/NAME below the current directory]
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,

    /// The project's name in WORKDIR and product [default: last component of its path]
    #[arg(long, value_name = "NAME")]
    pub project_name: Option<OsString>,

    /// Leave out what matches this rsync pattern, besides .git/ .pixi/ .env and caches (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<OsString>,

    /// Overwrite WORKDIR also when it was not made by these commands
    #[arg(long)]
    pub force: bool,

    /// Let pixi bring a stale pixi.lock up to date instead of refusing it
    #[arg(long, conflicts_with = "frozen")]
    pub update_lock: bool,

    /// Install pixi.lock as it is, byte for byte, also when pixi calls it stale
    #[arg(long)]
    pub frozen: bool,

    /// Begin with the package cache of the WORKDIR that is overwritten, so that less is fetched
    #[arg(long)]
    pub reuse_cache: bool,

    /// Keep what pixi builds from source in WORKDIR/built-packages, a channel to publish from
    #[arg(long)]
    pub keep_built_packages: bool,
}

/// What is done about a lock that may not fit the manifest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockOption {
    /// A stale one is refused.
    #[default]
    Check,
    /// Pixi brings it up to date.
    Update,
    /// It is installed as it is.
    Frozen,
}

impl WorkdirOptions {
    /// What is done about the lock.
    pub fn lock(&self) -> LockOption {
        match (self.update_lock, self.frozen) {
            (true, _) => LockOption::Update,
            (false, true) => LockOption::Frozen,
            (false, false) => LockOption::Check,
        }
    }

    /// The name of `--project-name`.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`ProjectName::new`].
    pub fn name(&self) -> anyhow::Result<Option<ProjectName>> {
        self.project_name
            .as_deref()
            .map(ProjectName::new)
            .transpose()
    }
}

/// What of the package cache goes into a product.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CacheOption {
    /// What the environments need.
    #[default]
    Needed,
    /// Everything.
    Full,
}

/// What goes into a product, and where it goes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Product")]
pub struct ProductOptions {
    /// Where the product goes [default: WORKDIR/product]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Set an environment variable for users of the product: envs.sh exports it, byte for byte
    /// (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub env: Vec<OsString>,

    /// What of the package cache goes into the product: what the environments need, or everything
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = CacheOption::Needed)]
    pub cache: CacheOption,

    /// Compare every file of every package with the checksums that the packages carry
    #[arg(long)]
    pub deep: bool,

    /// Include the pixi of the build in the product, so that the target needs only bash and coreutils;
    /// build-offline-product does it without this option
    #[arg(long)]
    pub bundle_pixi: bool,

    /// Whom the person at the target can ask, on one line: in README.txt and report.html
    #[arg(long, value_name = "TEXT")]
    pub contact: Option<OsString>,

    /// How the package cache gets into the product. Beware of hardlink: product and workdir
    /// then share each file, and pixi shares it further with the environments, so a program
    /// that edits a file in an environment edits the cache, unnoticed
    #[arg(long, value_enum, value_name = "MODE", default_value_t = LinkMode::Auto)]
    pub link_mode: LinkMode,

    /// Move the package cache into the product, so that the workdir has none any more: no other
    /// product can be made of it
    #[arg(long, conflicts_with = "link_mode")]
    pub move_cache: bool,
}

impl ProductOptions {
    /// The variables of `--env`.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`ProductVariable::new`].
    pub fn variables(&self) -> anyhow::Result<Vec<ProductVariable>> {
        self.env
            .iter()
            .map(|text| ProductVariable::new(text))
            .collect()
    }

    /// Whom to ask.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`Contact::new`].
    pub fn contact(&self) -> anyhow::Result<Option<Contact>> {
        self.contact.as_deref().map(Contact::new).transpose()
    }
}

/// Which environments are installed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Environments")]
pub struct EnvironmentOptions {
    /// Install this environment, and later have the product install it (repeatable) [default: default]
    #[arg(long, short, value_name = "NAME")]
    pub environment: Vec<OsString>,

    /// Install every environment that pixi.lock has
    #[arg(long)]
    pub all_environments: bool,
}

impl EnvironmentOptions {
    /// What these options mean.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`Environments::new`].
    pub fn parse(&self) -> anyhow::Result<Environments> {
        Environments::new(&self.environment, self.all_environments)
    }
}

/// What is verified, and what counts as success.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Verification")]
pub struct VerifyOptions {
    /// Run `pixi run TASK` in the project and require exit code 0
    #[arg(long, value_name = "TASK")]
    pub verify_task: Option<OsString>,

    /// Verify in this environment [default: default, or the first that is installed]
    #[arg(long, value_name = "NAME")]
    pub verify_environment: Option<OsString>,

    /// Require TEXT in what the verification prints (repeatable)
    #[arg(long, value_name = "TEXT")]
    pub expect_output: Vec<OsString>,

    /// Require PATH, below the project or $VERIFY_OUT_DIR, to exist after the verification (repeatable)
    #[arg(long, value_name = "PATH")]
    pub expect_file: Vec<OsString>,

    /// Run `pixi run CMD ARG…` in the project; the last option: --verify-run -- CMD ARG…
    #[arg(long)]
    pub verify_run: bool,

    /// The command, word for word
    #[arg(last = true, value_name = "CMD")]
    pub verify_words: Vec<OsString>,
}

impl VerifyOptions {
    /// The environment of `--verify-environment`.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is no name, or there is nothing to verify.
    pub fn environment(&self) -> anyhow::Result<Option<EnvironmentName>> {
        let name = self
            .verify_environment
            .as_deref()
            .map(EnvironmentName::new)
            .transpose()?;
        if name.is_some() && self.verify_task.is_none() && !self.verify_run {
            return Err(Failure::usage(
                "--verify-environment requires --verify-task or --verify-run",
            ));
        }
        Ok(name)
    }

    /// What these options mean.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`Verification::new`] and [`Expectations::new`].
    pub fn parse(&self) -> anyhow::Result<(Verification, Expectations)> {
        let command = self.verify_run.then_some(self.verify_words.as_slice());
        let verification = Verification::new(self.verify_task.as_deref(), command)?;
        let expectations =
            Expectations::new(&self.expect_output, &self.expect_file, &verification)?;
        Ok((verification, expectations))
    }
}

/// What evidence is signed with.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Signing")]
pub struct SigningOptions {
    /// Sign with this secret key of minisign
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,

    /// Read the key's password from the first line of this file [default: ask at the terminal]
    #[arg(long, value_name = "FILE")]
    pub sign_password_file: Option<PathBuf>,
}

/// Which engine does the work, and what its containers find in their environment.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Container engine")]
pub struct EngineOptions {
    /// The engine's client: docker, podman or a path [default: $CONTAINER_ENGINE, else docker, else podman]
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<OsString>,

    /// Set a variable in the containers, such as CONDA_OVERRIDE_CUDA or a proxy (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub container_env: Vec<OsString>,

    /// End what runs in a container when one phase of it (install, bootstrap, verification), or one
    /// other request to the engine, takes longer than this: 90s, 15m or 2h [default: no limit]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<OsString>,

    /// Show what runs in the containers with its control characters written out, so that it gives
    /// the terminal no orders; logs keep every byte
    #[arg(long)]
    pub plain_output: bool,
}

impl EngineOptions {
    /// The time limit of `--timeout`.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`TimeLimit::new`].
    pub fn time_limit(&self) -> anyhow::Result<Option<TimeLimit>> {
        self.timeout.as_deref().map(TimeLimit::new).transpose()
    }

    /// The variables of `--container-env`.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`ContainerVariable::new`].
    pub fn variables(&self) -> anyhow::Result<Vec<ContainerVariable>> {
        self.container_env
            .iter()
            .map(|text| ContainerVariable::new(text))
            .collect()
    }
}

/// What the image shall be for.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Container engine")]
pub struct PlatformOptions {
    /// Require this platform of the image, such as linux/amd64 [default: what
    /// the engine has or takes]
    #[arg(long, value_name = "PLATFORM")]
    pub container_platform: Option<OsString>,
}

impl PlatformOptions {
    /// The platform, when one is asked for.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`ContainerPlatform::new`].
    pub fn parse(&self) -> anyhow::Result<Option<ContainerPlatform>> {
        self.container_platform
            .as_deref()
            .map(ContainerPlatform::new)
            .transpose()
    }
}

/// How an engine reaches the directories of this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Transfer {
    /// Mount them where the engine sees them, else carry them.
    #[default]
    Auto,
    /// Mount them; an engine that does not see them is refused.
    Mount,
    /// Carry them there and back as streams, into volumes that are removed.
    Copy,
}

/// How the engine reaches the directories that the work is about.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Container engine")]
pub struct TransferOptions {
    /// How files reach the container: bind mount, or copy through a volume (remote engine, Docker in
    /// Docker); auto tries
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Transfer::Auto)]
    pub transfer: Transfer,
}

/// What happens to what looks like a secret.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Secrets")]
pub struct SecretOptions {
    /// Where something that will be copied looks like a secret: say so and go on, refuse to start,
    /// or do not look
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = SecretAction::Warn)]
    pub secrets: SecretAction,

    /// Pass over what matches this rsync pattern, a path as in --exclude (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub allow_secret: Vec<OsString>,
}

impl SecretOptions {
    /// What these options mean.
    pub fn parse(self) -> SecretPolicy {
        SecretPolicy {
            action: self.secrets,
            known: self.allow_secret,
        }
    }
}
