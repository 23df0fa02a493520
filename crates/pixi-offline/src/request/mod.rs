//! What was asked for: names, args and values that are valid once they exist.
//!
//! In: the text of a command line. Out: types that the rest of the crate can
//! trust. This directory does no input or output and knows nothing of where things
//! lie.

mod build;
mod contact;
mod environments;
mod gpus;
mod names;
mod network;
mod options;
mod platform;
mod secrets;
mod source_root;
mod time_limit;
mod verification;

pub use build::{BuildOptions, BuildRequest, WorkdirOptions};
pub use contact::Contact;
pub use environments::{DEFAULT_ENVIRONMENT, EnvironmentName, Environments};
pub use gpus::{GpuOptions, Gpus};
pub use names::{
    ContainerId, ContainerPath, ContainerVariable, ImageReference, OFFICIAL_IMAGE, ProductVariable,
    ProjectName,
};
pub use network::{NetworkOptions, NetworkRequest};
pub use options::{
    CacheOption, ContainerOptions, EngineOptions, EnvironmentOptions, ExcludeOptions, LockOption,
    PreviousOptions, ProductOptions, SecretOptions, SigningOptions, Transfer, VerbosityOptions,
    VerifyOptions, each, one, without_containers,
};
pub use platform::ContainerPlatform;
pub use secrets::{SecretAction, SecretPolicy};
pub use source_root::{SourcePlace, SourceRoot, SourceRootOptions};
pub use time_limit::TimeLimit;
pub use verification::{Expectations, Verification, require_task_name};

use std::ffi::OsStr;

use crate::failure::Failure;

/// `text` as UTF-8, because the engine's client would change other bytes.
///
/// # Errors
///
/// Exit code 2; `what` names the thing.
pub fn utf8_arg<'a>(what: &str, text: &'a OsStr) -> anyhow::Result<&'a str> {
    text.to_str().ok_or_else(|| {
        Failure::usage(format!(
            "{what} is not UTF-8 and the container engine would change it: {}; use a name that is",
            text.display()
        ))
    })
}

/// A path as it must be for a bind mount: docker reads `--mount` as a line of
/// CSV, and its reader (Go's `encoding/csv`) drops a carriage return before a
/// newline, in quotes too, and so mounts another directory (seen with 28.2).
///
/// # Errors
///
/// Exit code 2; `what` names the thing.
pub fn text_for_mount<'a>(what: &str, text: &'a OsStr) -> anyhow::Result<&'a str> {
    let text = utf8_arg(what, text)?;
    if text.contains("\r\n") {
        return Err(Failure::usage(format!(
            "{what} holds a carriage return before a newline and the container engine would mount another directory: {text:?}; use another name"
        )));
    }
    Ok(text)
}
