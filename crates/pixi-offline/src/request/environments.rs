//! Which environments of a project are meant.

use std::ffi::{OsStr, OsString};

use crate::failure::Failure;
use crate::text_values;

text_values!(EnvironmentName);

/// The environment that every Pixi project has.
pub const DEFAULT_ENVIRONMENT: &str = "default";

/// The name of an environment, as pixi takes one: lower-case letters, digits and
/// hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EnvironmentName(String);

impl EnvironmentName {
    /// Takes a name.
    ///
    /// # Errors
    ///
    /// Exit code 2 when pixi would not take it.
    pub fn new(name: &OsStr) -> anyhow::Result<EnvironmentName> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        match name.to_str() {
            Some(text) if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) => {
                Ok(EnvironmentName(text.to_owned()))
            }
            _ => Err(Failure::usage(format!(
                "invalid environment name {name:?} (lower-case letters, digits, hyphens); to set a variable, use --container-env or --env"
            ))),
        }
    }
}

/// The environments that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Environments {
    /// These, each once, in the order that they were named.
    Named(Vec<EnvironmentName>),
    /// All that the lock has.
    All,
}

impl Environments {
    /// Reads `--environment` and `--all-environments`; `default` when neither is
    /// given.
    ///
    /// # Errors
    ///
    /// Exit code 2 when both are given or a name is none.
    pub fn new(names: &[OsString], all: bool) -> anyhow::Result<Environments> {
        if all && !names.is_empty() {
            return Err(Failure::usage(
                "pick one of --environment and --all-environments",
            ));
        }
        if all {
            return Ok(Environments::All);
        }
        let mut named = Vec::new();
        for name in names {
            let name = EnvironmentName::new(name)?;
            if !named.contains(&name) {
                named.push(name);
            }
        }
        if named.is_empty() {
            named.push(EnvironmentName(DEFAULT_ENVIRONMENT.to_owned()));
        }
        Ok(Environments::Named(named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_pixis() {
        for bad in ["", "-e", "A", "a b", "a_b", "a/b", "\u{e9}"] {
            assert!(EnvironmentName::new(OsStr::new(bad)).is_err(), "{bad:?}");
        }
        assert!(EnvironmentName::new(OsStr::new("py311-test")).is_ok());
    }

    #[test]
    fn the_default_one_when_nothing_is_named_and_each_once() {
        let named = |names: &[&str]| {
            let names: Vec<OsString> = names.iter().map(OsString::from).collect();
            match Environments::new(&names, false).unwrap() {
                Environments::Named(named) => {
                    named.into_iter().map(|name| name.0).collect::<Vec<_>>()
                }
                Environments::All => panic!("nobody said all"),
            }
        };
        assert_eq!(named(&[]), ["default"]);
        assert_eq!(named(&["b", "a", "b"]), ["b", "a"]);
        assert!(Environments::new(&["a".into()], true).is_err());
    }
}
