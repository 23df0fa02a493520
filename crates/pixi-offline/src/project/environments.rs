//! From the environments that were asked for to those of the lock, and to the
//! one that is verified.

use crate::context::Context;
use crate::failure::Failure;
use crate::packages::{self, Lock, Subdir};
use crate::project::manifest_environments::ManifestEnvironments;
use crate::request::{DEFAULT_ENVIRONMENT, EnvironmentName, Environments};

/// The environments that a build installs, and those of all that it leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResolvedEnvironments {
    pub(crate) environments: Vec<String>,
    /// Those that the lock has no packages of for the platform, when all were asked
    /// for: pixi's own `--all` leaves them out, too.
    pub(crate) left_out: Vec<String>,
}

impl ResolvedEnvironments {
    /// Names what is left out.
    pub(crate) fn say_left_out(&self, context: &Context) {
        if !self.left_out.is_empty() {
            context.report.note(format_args!(
                "left out, since pixi.lock has no packages of them for the image's platform: {}",
                self.left_out.join(", ")
            ));
        }
    }
}

/// Takes the environments that were asked for; `subdir` is that of the image's
/// platform, where it is known, `manifest` what the manifest says of them.
///
/// # Errors
///
/// Exit code 2 when all are asked for and there is no lock that names them, it names one
/// as pixi would not, or none of them is for the platform.
pub(crate) fn resolve(
    asked: &Environments,
    lock: Option<&Lock>,
    subdir: Option<Subdir>,
    manifest: &ManifestEnvironments,
) -> anyhow::Result<ResolvedEnvironments> {
    let lock = match (asked, lock) {
        (Environments::Named(names), _) => {
            return Ok(ResolvedEnvironments {
                environments: names.iter().map(|name| name.as_str().to_owned()).collect(),
                left_out: Vec::new(),
            });
        }
        (Environments::All, None) => {
            return Err(Failure::usage(
                "--all-environments needs a pixi.lock, and the project has none; lock it with pixi first, or name them with --environment",
            ));
        }
        (Environments::All, Some(lock)) => lock,
    };
    // An environment that needs nothing has no platforms in the lock.
    let needs_nothing = |name: &str| lock.platforms(name).is_none_or(|all| all.len() == 0);
    let is_for = |name: &&str| {
        if needs_nothing(name) {
            return manifest.is_for(name, subdir);
        }
        subdir.is_none_or(|subdir| !lock.platforms_of(name, subdir).is_empty())
    };
    let (environments, left_out): (Vec<&str>, Vec<&str>) = lock.environments().partition(is_for);
    if let (true, Some(subdir)) = (environments.is_empty(), subdir) {
        return Err(Failure::usage(format!(
            "no environment of pixi.lock has packages for {subdir}, the platform of the image; {}",
            packages::add_platform(subdir)
        )));
    }
    let owned =
        |names: Vec<&str>| -> Vec<String> { names.into_iter().map(str::to_owned).collect() };
    let (environments, left_out) = (owned(environments), owned(left_out));
    require_names(&environments, "pixi.lock")?;
    require_names(&left_out, "pixi.lock")?;
    Ok(ResolvedEnvironments {
        environments,
        left_out,
    })
}

/// Checks names of environments that were read from a file: they become arguments of command
/// lines.
///
/// # Errors
///
/// Exit code 2 for one that pixi would not take.
pub(crate) fn require_names(names: &[String], file: &str) -> anyhow::Result<()> {
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
pub(crate) fn verification_environment<'a>(
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::packages::LockCache;
    use crate::project::lock_fit::require_some_platform;

    #[test]
    fn all_environments_of_a_lock_are_named_as_pixi_names_them() {
        let lock = |name: &str| {
            LockCache::default().parse(format!(
                "version: 6\nenvironments:\n  default:\n    channels: []\n    packages: {{}}\n  {name:?}:\n    channels: []\n    packages: {{}}\npackages: []\n"
            ))
            .unwrap()
        };
        let good = lock("py311-test");
        assert_eq!(
            resolve(&Environments::All, Some(&good), None, &unknown())
                .unwrap()
                .environments,
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
            let error =
                resolve(&Environments::All, Some(&lock(bad)), None, &unknown()).unwrap_err();
            assert_eq!(crate::failure::exit_code(&error), crate::failure::USAGE);
            assert!(error.to_string().contains("pixi.lock"), "{error}");
        }
    }
    /// Two platforms of one subdir, one of which cannot be installed, and others.
    pub(crate) fn lock() -> Lock {
        let channel = "https://conda.example/chan";
        let text = format!(
            "version: 7
platforms:
- name: linux-64
- name: p1
  subdir: linux-64
  virtual-packages:
  - __cuda=12.0
- name: osx-arm64
environments:
  default:
    channels:
    - url: {channel}/
    packages:
      linux-64:
      - conda: {channel}/linux-64/a-1.0-0.conda
      - pypi: ../lib
      p1:
      - conda: {channel}/linux-64/a-1.0-0.conda
  empty:
    channels:
    - url: {channel}/
    packages: {{}}
  gpu:
    channels:
    - url: {channel}/
    packages:
      p1:
      - conda: {channel}/linux-64/b-1.0-0.conda
  mac:
    channels:
    - url: {channel}/
    packages:
      osx-arm64:
      - conda: {channel}/linux-64/a-1.0-0.conda
  torch:
    channels:
    - url: {channel}/
    packages:
      linux-64:
      - conda: {channel}/linux-64/b-1.0-0.conda
packages:
- conda: {channel}/linux-64/a-1.0-0.conda
  sha256: {}
- conda: {channel}/linux-64/b-1.0-0.conda
  sha256: {}
  depends:
  - __cuda >=11.8,<13
- pypi: ../lib
  name: lib
  version: 0.1.0
",
            "a".repeat(64),
            "b".repeat(64)
        );
        LockCache::default().parse(text).unwrap()
    }

    pub(crate) fn named(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn all_environments_are_those_for_the_platform_and_the_others_are_named() {
        let all = |subdir| resolve(&Environments::All, Some(&lock()), subdir, &unknown());
        let resolved = all(Some(Subdir::Linux64)).unwrap();
        assert_eq!(resolved.environments, ["default", "empty", "gpu", "torch"]);
        assert_eq!(resolved.left_out, ["mac"]);
        let resolved = all(Some(Subdir::OsxArm64)).unwrap();
        assert_eq!(resolved.environments, ["empty", "mac"]);
        let resolved = all(None).unwrap();
        assert_eq!(
            (resolved.environments.len(), resolved.left_out.len()),
            (5, 0)
        );
        let asked = Environments::new(&["mac".into()], false).unwrap();
        let resolved = resolve(&asked, Some(&lock()), Some(Subdir::Linux64), &unknown()).unwrap();
        assert_eq!(
            resolved.environments,
            ["mac"],
            "its absence is an error later"
        );
        let error = require_some_platform(
            &lock(),
            &resolved.environments,
            Some(Subdir::Linux64),
            &Default::default(),
        )
        .unwrap_err();
        assert!(error.to_string().contains("mac"), "{error}");
        assert!(resolve(&Environments::All, None, None, &unknown()).is_err());
    }

    /// A manifest that says nothing.
    pub(crate) fn unknown() -> ManifestEnvironments {
        ManifestEnvironments::default()
    }
}
