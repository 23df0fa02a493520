//! Options that several commands share, as they are typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::request::{
    ContainerVariable, EnvironmentName, Environments, Expectations, SecretAction, SecretPolicy,
    Verification,
};

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
    pub fn meaning(&self) -> anyhow::Result<Environments> {
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
                "--verify-environment speaks of a verification: give --verify-task or --verify-run",
            ));
        }
        Ok(name)
    }

    /// What these options mean.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`Verification::new`] and [`Expectations::new`].
    pub fn meaning(&self) -> anyhow::Result<(Verification, Expectations)> {
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
    /// The engine's client: docker, podman or a path [default: $CONTAINER_ENGINE, else docker]
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<OsString>,

    /// Set a variable in the containers, such as CONDA_OVERRIDE_CUDA or a proxy (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub container_env: Vec<OsString>,
}

impl EngineOptions {
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

/// What happens to what looks like a secret.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Secrets")]
pub struct SecretOptions {
    /// Where something that will be copied looks like a secret: say so and go on, refuse to start,
    /// or do not look
    #[arg(long, value_name = "WHAT", default_value = "warn", value_parser = ["warn", "deny", "off"])]
    pub secrets: String,

    /// Pass over what matches this rsync pattern, a path as in --exclude (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub allow_secret: Vec<OsString>,
}

impl SecretOptions {
    /// What these options mean.
    pub fn meaning(self) -> SecretPolicy {
        SecretPolicy {
            action: match self.secrets.as_str() {
                "deny" => SecretAction::Deny,
                "off" => SecretAction::Off,
                _ => SecretAction::Warn,
            },
            known: self.allow_secret,
        }
    }
}
