//! What both commands that create a workdir are asked for.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::Args;

use crate::request::{
    ContainerPath, ContainerVariable, EngineOptions, EnvironmentName, EnvironmentOptions,
    Environments, ExcludeOptions, Expectations, LockOption, ProjectName, SecretOptions,
    SecretPolicy, SourcePlace, SourceRoot, SourceRootOptions, TimeLimit, Verification,
    VerifyOptions, each, one,
};

/// The options of both commands, as they are typed.
#[derive(Debug, Clone, Default, Args)]
#[allow(missing_docs)]
pub struct BuildOptions {
    #[command(flatten)]
    pub workdir: WorkdirOptions,

    #[command(flatten)]
    pub root: SourceRootOptions,

    #[command(flatten)]
    pub secrets: SecretOptions,

    #[command(flatten)]
    pub environments: EnvironmentOptions,

    #[command(flatten)]
    pub engine: EngineOptions,

    #[command(flatten)]
    pub verify: VerifyOptions,
}

/// Where a workdir goes, and what of the project goes into it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Workdir")]
#[allow(missing_docs, reason = "a flattened group has its own")]
pub struct WorkdirOptions {
    /// Working directory for build, logs and product. An existing WORKDIR is replaced [default:
    /// tmp/workdir-SECONDS below the git top level, else below the current directory]
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,

    /// The project's name in WORKDIR and product [default: last component of its path]
    #[arg(long, value_name = "NAME")]
    pub project_name: Option<OsString>,

    #[command(flatten)]
    pub excludes: ExcludeOptions,

    /// Replace WORKDIR also when it was not made by these commands
    #[arg(long)]
    pub force: bool,

    /// Let pixi update a stale pixi.lock instead of refusing it
    #[arg(long, conflicts_with = "frozen")]
    pub update_lock: bool,

    /// Install pixi.lock as it is, without comparing it with the manifest
    #[arg(long)]
    pub frozen: bool,

    /// Start with the package cache of the WORKDIR that is replaced, so that less is downloaded
    #[arg(long)]
    pub reuse_cache: bool,

    /// Keep the packages that pixi builds from source in WORKDIR/built-packages, a conda channel
    #[arg(long)]
    pub keep_built_packages: bool,
}

/// How a workdir is made, wherever the project is; paths as they were typed.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The workdir on this machine; below the workspace root when `None`.
    pub workdir: Option<PathBuf>,
    /// The workdir in the container.
    pub container_workdir: ContainerPath,
    /// The project's name; the last component of its path when `None`.
    pub project_name: Option<ProjectName>,
    /// The directory around the project of which a part is staged, too.
    pub source_root: Option<SourceRoot>,
    /// Arguments of `--exclude`.
    pub excludes: Vec<OsString>,
    /// What happens to what looks like a secret.
    pub secrets: SecretPolicy,
    /// Whether a directory that these commands did not make may be overwritten.
    pub force: bool,
    /// What is done about a lock that may not fit the manifest.
    pub lock: LockOption,
    /// Whether the package cache of the workdir that is overwritten is used again.
    pub reuse_cache: bool,
    /// Whether what pixi builds from source is kept as a channel.
    pub keep_built_packages: bool,
    /// The environments to install.
    pub environments: Environments,
    /// The environment to verify in.
    pub verify_environment: Option<EnvironmentName>,
    /// What is run to see that it works.
    pub verification: Verification,
    /// What must hold afterwards.
    pub expectations: Expectations,
    /// The engine's client, when one was named.
    pub engine: Option<OsString>,
    /// How long each phase may take.
    pub timeout: Option<TimeLimit>,
    /// Variables for build and verification.
    pub variables: Vec<ContainerVariable>,
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
}

impl BuildOptions {
    /// The request that these options make; `container_workdir` is the argument of
    /// `--container-workdir-path`, `root` the directory of `--source-root`, or of
    /// `--source-root-in-container`.
    ///
    /// # Errors
    ///
    /// Exit code 2 for an argument that is no such value.
    pub fn request(
        self,
        container_workdir: &OsStr,
        root: Option<(SourcePlace, PathBuf)>,
    ) -> anyhow::Result<BuildRequest> {
        let (verification, expectations) = self.verify.parse()?;
        Ok(BuildRequest {
            container_workdir: ContainerPath::new("--container-workdir-path", container_workdir)?,
            project_name: one(&self.workdir.project_name, ProjectName::new)?,
            source_root: self.root.request(root)?,
            lock: self.workdir.lock(),
            workdir: self.workdir.workdir,
            excludes: self.workdir.excludes.exclude,
            secrets: self.secrets.parse(),
            force: self.workdir.force,
            reuse_cache: self.workdir.reuse_cache,
            keep_built_packages: self.workdir.keep_built_packages,
            environments: self.environments.parse()?,
            verify_environment: self.verify.environment()?,
            verification,
            expectations,
            variables: each(&self.engine.container_env, ContainerVariable::new)?,
            timeout: one(&self.engine.timeout, TimeLimit::new)?,
            engine: self.engine.engine,
        })
    }
}
