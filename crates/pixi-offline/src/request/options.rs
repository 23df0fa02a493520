//! Options that several commands share, as they are typed.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{Arg, Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::report::Verbosity;
use crate::request::{
    ContainerPlatform, EnvironmentName, Environments, Expectations, GpuOptions, SecretAction,
    SecretPolicy, Verification,
};
use crate::staging::LinkMode;

/// The value of an option that may be left out.
///
/// # Errors
///
/// Those of `read`.
pub fn one<T>(
    text: &Option<OsString>,
    read: impl Fn(&OsStr) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    text.as_deref().map(read).transpose()
}

/// The values of an option that can be repeated.
///
/// # Errors
///
/// Those of `read`.
pub fn each<T>(
    texts: &[OsString],
    read: impl Fn(&OsStr) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    texts.iter().map(|text| read(text)).collect()
}

/// Which files of a project stay behind.
#[derive(Debug, Clone, Default, Args)]
pub struct ExcludeOptions {
    /// Leave out what matches this rsync pattern, in addition to .git/ .pixi/ .env and caches
    /// (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<OsString>,

    /// Read more patterns from FILE, one in a line as with rsync; lines that begin with `#` or `;`
    /// are comments (repeatable; they come after those of --exclude)
    #[arg(long, value_name = "FILE")]
    pub exclude_from: Vec<PathBuf>,
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
    #[arg(long, visible_alias = "product-dir", value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Set an environment variable for users of the product: envs.sh exports it, byte for byte
    /// (repeatable)
    #[arg(long, visible_alias = "product-env", value_name = "KEY=VALUE")]
    pub env: Vec<OsString>,

    /// What of the package cache goes into the product: what the environments need, or everything
    #[arg(
        long,
        visible_alias = "package-cache",
        value_enum,
        value_name = "WHAT",
        default_value_t = CacheOption::Needed
    )]
    pub cache: CacheOption,

    /// Compare every file of every package with the checksums in the packages
    #[arg(long, visible_alias = "check-hashes")]
    pub deep: bool,

    /// Include the pixi of the build in the product, so that the target needs only bash and coreutils;
    /// build-offline-product does it without this option
    #[arg(long)]
    pub bundle_pixi: bool,

    /// Contact for the people at the target, on one line: in README.txt and report.html
    #[arg(long, value_name = "TEXT")]
    pub contact: Option<OsString>,

    /// How the package cache is put into the product. With hardlink product, workdir and
    /// installed environments share files: a program that edits a file in an environment also
    /// edits the package cache
    #[arg(long, value_enum, value_name = "MODE", default_value_t = LinkMode::Auto)]
    pub link_mode: LinkMode,

    /// Move the package cache into the product; the workdir then has none, and no other product
    /// can be made of it
    #[arg(long, conflicts_with = "link_mode")]
    pub move_cache: bool,
}

/// Which environments are installed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Environments")]
pub struct EnvironmentOptions {
    /// Install this environment, in the build and at the target (repeatable) [default: default]
    #[arg(long, short, value_name = "NAME")]
    pub environment: Vec<OsString>,

    /// Install every environment that pixi.lock has
    #[arg(long, short, visible_alias = "all")]
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

    /// Run `pixi run CMD ARG…` in the project; the last option: --verify-run -- CMD ARG…, or only
    /// -- CMD ARG…
    #[arg(long)]
    pub verify_run: bool,

    /// After `--`: verify with `pixi run CMD ARG…` in the project
    #[arg(last = true, value_name = "CMD")]
    pub verify_args: Vec<OsString>,
}

impl VerifyOptions {
    /// The arguments of the command, where one is given.
    fn command(&self) -> Option<&[OsString]> {
        let is_given = self.verify_run || !self.verify_args.is_empty();
        is_given.then_some(self.verify_args.as_slice())
    }

    /// The environment of `--verify-environment`.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is not a name, or there is nothing to verify.
    pub fn environment(&self) -> anyhow::Result<Option<EnvironmentName>> {
        let name = one(&self.verify_environment, EnvironmentName::new)?;
        if name.is_some() && self.verify_task.is_none() && self.command().is_none() {
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
        let verification = Verification::new(self.verify_task.as_deref(), self.command())?;
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

/// The product that was delivered before.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Product")]
pub struct PreviousOptions {
    /// Compare with this product, or a directory with its lists: report.html has a section on what changed
    /// since, and changes.json has it for programs
    #[arg(long, value_name = "OLD")]
    pub previous: Option<PathBuf>,

    /// Require that OLD is signed, and check it with this public key of minisign
    #[arg(long, value_name = "FILE", requires = "previous")]
    pub previous_key: Option<PathBuf>,
}

/// Which engine does the work, and what its containers find in their environment.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Container engine")]
pub struct EngineOptions {
    /// The engine's client: docker, podman or a path [default: $CONTAINER_ENGINE, else docker, else podman]
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<OsString>,

    /// Set a variable in the containers, such as CONDA_OVERRIDE_CUDA or a proxy; KEY alone has the
    /// value that it has here (repeatable)
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub container_env: Vec<OsString>,

    /// End what runs in a container when one phase of it (install, bootstrap, verification), or one
    /// other request to the engine, takes longer than this: 90s, 15m or 2h [default: no limit]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<OsString>,

    /// Escape control characters in the container output that is shown; logs keep every byte
    #[arg(long)]
    pub plain_output: bool,
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

/// What the image shall be for, how the engine reaches the directories that the work is about, and
/// what the containers get.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Container engine")]
#[allow(missing_docs, reason = "a flattened group has its own")]
pub struct ContainerOptions {
    /// Require this platform of the image, such as linux/amd64 [default: what
    /// the engine has or takes]
    #[arg(long, visible_alias = "platform", value_name = "PLATFORM")]
    pub container_platform: Option<OsString>,

    /// How files reach the container: bind mount, or copy through a volume (remote engine, Docker in
    /// Docker); auto tries
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Transfer::Auto)]
    pub transfer: Transfer,

    #[command(flatten)]
    pub gpus: GpuOptions,
}

impl ContainerOptions {
    /// The platform, when one is asked for.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`ContainerPlatform::new`].
    pub fn platform(&self) -> anyhow::Result<Option<ContainerPlatform>> {
        one(&self.container_platform, ContainerPlatform::new)
    }
}

/// How much is shown.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "What is shown")]
pub struct VerbosityOptions {
    /// Show warnings and errors only; what runs in containers goes to the logs alone
    #[arg(long, short, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Show each step with its time and what it found, and what runs in containers
    #[arg(long, short)]
    pub verbose: bool,
}

impl VerbosityOptions {
    /// What these options mean.
    pub fn parse(self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

/// The options of [`VerbosityOptions`] in the help of a command that starts no container.
pub fn without_containers(argument: Arg) -> Arg {
    match argument.get_id().as_str() {
        "quiet" => argument.help("Show warnings and errors only"),
        "verbose" => argument.help("Show each step with its time and what it found"),
        _ => argument,
    }
}

/// What happens to what looks like a secret.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Secrets")]
pub struct SecretOptions {
    /// What to do about possible secrets in what will be copied: warn, refuse to start, or do not
    /// search
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = SecretAction::Warn)]
    pub secrets: SecretAction,

    /// Accept possible secrets that match this rsync pattern, a path as in --exclude (repeatable)
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
