//! What a copy of this program in a container is asked for, and what it answers.
//!
//! The host's side sends an [`AgentRequest`] as one argument of JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::container::Counting;
use crate::context::Context;
use crate::evidence::SourceState;
use crate::project::generated::StagedPaths;
use crate::project::inspection::ProjectInspection;
use crate::request::{LockOption, SecretAction, SourceRoot};

/// The first argument of a call that is a request to the agent and no command line.
pub const AGENT_ARGUMENT: &str = "--inside-container";

/// What the host's side asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentRequest {
    /// Inspect what would be staged, and touch nothing; answers with [`Inspected`].
    Inspect(Staging),
    /// Make the container's workdir and stage project and resources in it;
    /// answers with [`Staged`].
    Stage(Staging),
    /// Send the workdir as a tar stream, installed environments left out.
    Send {
        /// The workdir.
        workdir: PathBuf,
        /// What the stream's last entry is named after.
        end_marker: String,
    },
    /// Copy a tree into an empty directory; nobody listens meanwhile.
    Copy {
        /// The tree.
        from: PathBuf,
        /// The directory.
        to: PathBuf,
    },
    /// Fill a volume from a stream, or make a stream of one: what exactly is said on
    /// the input.
    Transfer,
    /// Tell, for each line of the input, how often something tried to reach a network.
    CountAttempts,
    /// Delete the workdir.
    Remove {
        /// The workdir.
        workdir: PathBuf,
    },
}

impl AgentRequest {
    /// The arguments by which the agent is asked for it.
    pub(crate) fn arguments(&self) -> anyhow::Result<[String; 2]> {
        let request = serde_json::to_string(self)?;
        Ok([AGENT_ARGUMENT.to_owned(), request])
    }
}

/// What is to be staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staging {
    /// The project.
    pub project: PathBuf,
    /// The directory around it of which a part is staged, too.
    pub source_root: Option<SourceRoot>,
    /// Its resources.
    pub resources: Option<PathBuf>,
    /// The workdir to make.
    pub workdir: PathBuf,
    /// The project's name in it.
    pub name: String,
    /// Arguments of `--exclude`.
    pub excludes: Vec<String>,
    /// What happens to what looks like a secret.
    pub secrets: SecretAction,
    /// Arguments of `--allow-secret`.
    pub known_secrets: Vec<String>,
    /// Whether a package cache in the workdir stays.
    pub reuse_cache: bool,
    /// How its lock is treated.
    #[serde(default)]
    pub lock: LockOption,
}

/// This program, as what counts attempts to reach a network.
pub(crate) fn counting(context: &Context) -> anyhow::Result<Counting> {
    Ok(Counting {
        program: context.host.program.clone(),
        args: AgentRequest::CountAttempts.arguments()?.into(),
    })
}

/// The answer to [`AgentRequest::Inspect`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inspected {
    pub(crate) project: ProjectInspection,
    /// The text of the project's lock.
    pub(crate) lock: Option<String>,
}

/// The answer to [`AgentRequest::Stage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Staged {
    /// What was seen before, with the lock that is staged.
    pub(crate) inspected: Inspected,
    /// Whether an earlier package cache stayed.
    pub(crate) cache_reused: bool,
    /// The git commit of the project, where git is there and knows one.
    pub(crate) source: Option<SourceState>,
    /// What of the project is staged.
    pub(crate) paths: StagedPaths,
}

/// What is left out of a workdir that is sent: the environments that the build
/// installed, gigabytes that mean nothing at another path. The project may be deep in what was
/// staged, and nothing else that was has a `.pixi/`.
pub(crate) const ENVIRONMENTS: [&str; 2] =
    ["+ /project/**/.pixi/config.toml", "/project/**/.pixi/*"];
