//! What is to be done about what looks like a secret.

use std::ffi::OsString;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What happens when something that is about to travel looks like a secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SecretAction {
    /// Say so and go on.
    #[default]
    Warn,
    /// Refuse to start.
    Deny,
    /// Do not look.
    Off,
}

/// How secrets are dealt with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretPolicy {
    /// What happens.
    pub action: SecretAction,
    /// Patterns of what is known: arguments of `--allow-secret`.
    pub known: Vec<OsString>,
}

impl SecretPolicy {
    /// Do not look.
    pub fn off() -> SecretPolicy {
        SecretPolicy {
            action: SecretAction::Off,
            known: Vec::new(),
        }
    }
}
