//! From the environments that were asked for to those of the lock, and to the
//! one that is verified.

use crate::failure::Failure;
use crate::packages::{LocalChannel, Lock, Need};
use crate::request::{DEFAULT_ENVIRONMENT, EnvironmentName, Environments};

/// The environments that a build installs.
///
/// # Errors
///
/// Exit code 2 when all are asked for and there is no lock that names them, or it
/// names one as pixi would not.
pub(super) fn resolve(asked: &Environments, lock: Option<&Lock>) -> anyhow::Result<Vec<String>> {
    match (asked, lock) {
        (Environments::Named(names), _) => {
            Ok(names.iter().map(|name| name.as_str().to_owned()).collect())
        }
        (Environments::All, Some(lock)) => {
            let names: Vec<String> = lock.environments().map(str::to_owned).collect();
            require_names(&names, "pixi.lock")?;
            Ok(names)
        }
        (Environments::All, None) => Err(Failure::usage(
            "--all-environments takes the names from pixi.lock, which the project has not; lock it with pixi first, or name them with --environment",
        )),
    }
}

/// Checks names of environments that were read from a file: they become words of command
/// lines.
///
/// # Errors
///
/// Exit code 2 for one that pixi would not take.
pub(super) fn require_names(names: &[String], file: &str) -> anyhow::Result<()> {
    for name in names {
        EnvironmentName::new(name.as_ref()).map_err(|error| {
            Failure::usage(format!(
                "{file} was not written by pixi or by these commands, or was changed since: {error}; make it again"
            ))
        })?;
    }
    Ok(())
}

/// The environment that a verification runs in: the one that was asked for, else
/// `default` where it is installed, else the first.
///
/// # Errors
///
/// Exit code 2 when the one that was asked for is not installed.
pub(super) fn verified<'a>(
    asked: Option<&'a EnvironmentName>,
    installed: &'a [String],
) -> anyhow::Result<&'a str> {
    match asked {
        Some(name) if installed.iter().any(|installed| installed == name.as_str()) => {
            Ok(name.as_str())
        }
        Some(name) => Err(Failure::usage(format!(
            "--verify-environment {name} is not among the environments that are installed ({}); add it with --environment",
            installed.join(", ")
        ))),
        None if installed.iter().any(|name| name == DEFAULT_ENVIRONMENT) => Ok(DEFAULT_ENVIRONMENT),
        None => Ok(installed
            .first()
            .map_or(DEFAULT_ENVIRONMENT, String::as_str)),
    }
}

/// What the environments need on the platform of an image.
///
/// # Errors
///
/// Exit code 2 with all that could not be installed offline.
pub(super) fn require_installable(
    lock: &Lock,
    environments: &[String],
    platform: &str,
    channels: &[LocalChannel],
) -> anyhow::Result<Need> {
    Need::of(lock, environments, platform, channels).map_err(|problems| {
        Failure::usage(format!(
            "this project cannot be installed without a network from a product:\n  {}",
            problems.join("\n  ")
        ))
    })
}

/// The same where the platform may not be known yet, because the image is still
/// to be fetched: what no platform of the lock can have is refused.
///
/// # Errors
///
/// As [`require_installable`].
pub(super) fn require_some_platform(
    lock: &Lock,
    environments: &[String],
    platform: Option<&str>,
    channels: &[LocalChannel],
) -> anyhow::Result<()> {
    if let Some(platform) = platform {
        return require_installable(lock, environments, platform, channels).map(drop);
    }
    let known = environments
        .iter()
        .find_map(|name| lock.platforms(name))
        .unwrap_or_default();
    let mut refusal = Ok(());
    for platform in known {
        match require_installable(lock, environments, platform, channels) {
            Ok(_) => return Ok(()),
            Err(error) => refusal = Err(error),
        }
    }
    refusal
}

/// Pixi's name for the platform of an image, `linux-64` for `linux/amd64`; pixi does not
/// tell variants of an architecture apart.
pub(super) fn platform_of(image_platform: &str) -> Option<&'static str> {
    let mut parts = image_platform.split('/');
    Some(match (parts.next()?, parts.next()?) {
        ("linux", "amd64") => "linux-64",
        ("linux", "arm64") => "linux-aarch64",
        ("linux", "ppc64le") => "linux-ppc64le",
        ("linux", "s390x") => "linux-s390x",
        ("linux", "riscv64") => "linux-riscv64",
        ("linux", "386") => "linux-32",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_environments_of_a_lock_are_named_as_pixi_names_them() {
        let lock = |name: &str| {
            Lock::parse(format!(
                "version: 6\nenvironments:\n  default:\n    channels: []\n    packages: {{}}\n  {name:?}:\n    channels: []\n    packages: {{}}\npackages: []\n"
            ))
            .unwrap()
        };
        let good = lock("py311-test");
        assert_eq!(
            resolve(&Environments::All, Some(&good)).unwrap(),
            ["default", "py311-test"]
        );
        for bad in [
            "default --manifest-path /tmp/evil.toml",
            "-e",
            "a/b",
            "a;b",
            "$(id)",
            "two\nlines",
        ] {
            let error = resolve(&Environments::All, Some(&lock(bad))).unwrap_err();
            assert_eq!(crate::failure::exit_code(&error), crate::failure::USAGE);
            assert!(error.to_string().contains("pixi.lock"), "{error}");
        }
    }
}
