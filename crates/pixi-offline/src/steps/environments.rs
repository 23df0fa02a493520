//! From the environments that were asked for to those of the lock, and to the
//! one that is verified.

use std::collections::BTreeSet;
use std::ffi::OsString;

use crate::context::Context;
use crate::failure::Failure;
use crate::packages::{self, LocalChannel, Lock, LockedPlatform, Package, Requirements};
use crate::request::{
    ContainerVariable, DEFAULT_ENVIRONMENT, EnvironmentName, Environments, LockOption,
};
use crate::steps::lock_use::LockUse;
use crate::steps::manifest_environments::ManifestEnvironments;

/// The environments that a build installs, and those of all that it leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) environments: Vec<String>,
    /// Those that the lock has no packages of for the platform, when all were asked
    /// for: pixi's own `--all` leaves them out, too.
    pub(super) left_out: Vec<String>,
}

impl Resolved {
    /// Names what is left out.
    pub(super) fn say_left_out(&self, context: &Context) {
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
pub(super) fn resolve(
    asked: &Environments,
    lock: Option<&Lock>,
    subdir: Option<&str>,
    manifest: &ManifestEnvironments,
) -> anyhow::Result<Resolved> {
    let lock = match (asked, lock) {
        (Environments::Named(names), _) => {
            return Ok(Resolved {
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
    let needs_nothing = |name: &str| lock.platforms(name).is_none_or(|all| all.is_empty());
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
    Ok(Resolved {
        environments,
        left_out,
    })
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
pub(super) fn verification_environment<'a>(
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
) -> anyhow::Result<Requirements> {
    Requirements::of(lock, environments, platform, channels).map_err(|problems| {
        Failure::usage(format!(
            "this project cannot be installed without a network from a product:\n  {}",
            problems.join("\n  ")
        ))
    })
}

/// Requires that there is a lock where it is to be installed as it is.
///
/// # Errors
///
/// Exit code 2 when there is none.
pub(super) fn require_lock_to_freeze(asked: LockOption, lock: Option<&Lock>) -> anyhow::Result<()> {
    if asked == LockOption::Frozen && lock.is_none() {
        return Err(Failure::usage(
            "--frozen installs pixi.lock as it is, and the project has none; leave it out, or lock the project with pixi first",
        ));
    }
    Ok(())
}

/// Requires, before a build, that lock and manifest have the environments for the image's
/// platform, and that pixi can compare the two where that was asked for.
///
/// # Errors
///
/// Exit code 2, as [`require_some_platform`] and [`ManifestEnvironments::require`].
pub(super) fn require_lock_that_fits(
    asked: LockOption,
    lock: Option<&Lock>,
    environments: &[String],
    subdir: Option<&str>,
    channels: &[LocalChannel],
    manifest: &ManifestEnvironments,
) -> anyhow::Result<()> {
    let Some(lock) = lock.filter(|_| asked != LockOption::Update) else {
        manifest.require_names(environments)?;
        return manifest.require(environments, subdir);
    };
    require_some_platform(lock, environments, subdir, channels)?;
    manifest.require(environments, subdir)?;
    if asked == LockOption::Check && LockUse::of(Some(lock), asked) == LockUse::Locked {
        require_comparable(lock, environments)?;
    }
    Ok(())
}

/// Requires that nothing in the rest of the lock keeps pixi from comparing it with the
/// manifest: it does that with all environments, and looks into each source folder.
fn require_comparable(lock: &Lock, environments: &[String]) -> anyhow::Result<()> {
    let others = lock
        .environments()
        .filter(|name| !environments.iter().any(|asked| asked == name));
    for other in others {
        for platform in lock.platforms(other).unwrap_or_default() {
            let packages = lock.packages(other, platform).unwrap_or_default();
            if let Some(location) = packages.iter().find_map(packages::source_outside) {
                return Err(Failure::usage(format!(
                    "environment {other}, which is not asked for, needs {location}, a folder outside of the project, which is not staged; pixi compares the whole lock with the manifest and would not find it: give --frozen to install pixi.lock as it is, or move the folder into the project"
                )));
            }
        }
    }
    Ok(())
}

/// The same before a build, when it is not known yet which of several platforms of one
/// subdir pixi will choose, and perhaps not even the subdir, because the image is still
/// to be fetched: what none of them can have is refused.
pub(super) fn require_some_platform(
    lock: &Lock,
    environments: &[String],
    subdir: Option<&str>,
    channels: &[LocalChannel],
) -> anyhow::Result<()> {
    if let Some(subdir) = subdir {
        return require_some_choice(lock, environments, subdir, channels);
    }
    let is_missing = |name: &&String| lock.platforms(name).is_none();
    if let Some(missing) = environments.iter().find(is_missing) {
        require_installable(lock, std::slice::from_ref(missing), ANY_LINUX, channels)?;
    }
    let first = environments.iter().find_map(|environment| {
        let names = lock.platforms(environment)?;
        let subdir = |name| Some(&*lock.platform(environment, name)?.subdir);
        Some(
            names
                .into_iter()
                .filter_map(subdir)
                .collect::<BTreeSet<_>>(),
        )
    });
    // An image is a Linux, whichever it is.
    let mut known: Vec<&str> = first.unwrap_or_default().into_iter().collect();
    if known.iter().any(|subdir| subdir.starts_with("linux-")) {
        known.retain(|subdir| subdir.starts_with("linux-"));
    } else if !known.is_empty() {
        known = vec![ANY_LINUX];
    }
    first_success(&known, |subdir| {
        require_some_choice(lock, environments, subdir, channels)
    })
}

/// Stands for the platform of an image that is not there yet.
const ANY_LINUX: &str = "linux-64";

/// Requires, of each environment that has several platforms of the subdir, that one of
/// them can be installed, and of the others together that they can be.
fn require_some_choice(
    lock: &Lock,
    environments: &[String],
    subdir: &str,
    channels: &[LocalChannel],
) -> anyhow::Result<()> {
    let has_choice = |name: &&String| lock.platforms_of(name, subdir).len() > 1;
    let (open, decided): (Vec<&String>, Vec<&String>) = environments.iter().partition(has_choice);
    let decided: Vec<String> = decided.into_iter().cloned().collect();
    require_installable(lock, &decided, subdir, channels)?;
    for environment in open {
        let alone = std::slice::from_ref(environment);
        let names = lock.platforms_of(environment, subdir);
        first_success(&names, |platform| {
            require_installable(lock, alone, &platform.name, channels).map(drop)
        })?;
    }
    Ok(())
}

/// Success when one of them succeeds or there is none, else the first failure.
fn first_success<T>(
    of: &[T],
    mut look: impl FnMut(&T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut refusal = Ok(());
    for one in of {
        match look(one) {
            Ok(()) => return Ok(()),
            Err(error) if refusal.is_ok() => refusal = Err(error),
            Err(_) => {}
        }
    }
    refusal
}

/// The variable that tells pixi of a CUDA that the machine has not.
const CUDA_VARIABLE: &str = "CONDA_OVERRIDE_CUDA";

/// Says which environments ask for a GPU on each platform that pixi could choose, when
/// `variables` of the container do not make up for one.
pub(super) fn warn_of_cuda(
    lock: &Lock,
    environments: &[String],
    subdir: Option<&str>,
    variables: &[ContainerVariable],
    engine_arguments: &[OsString],
    context: &Context,
) {
    let hands_gpu = |word: &OsString| {
        let word = word.to_string_lossy();
        ["gpu", "nvidia", CUDA_VARIABLE]
            .iter()
            .any(|mark| word.contains(mark))
    };
    if variables.iter().any(|known| known.key() == CUDA_VARIABLE)
        || engine_arguments.iter().any(hands_gpu)
    {
        return;
    }
    let Some(subdir) = subdir else { return };
    for (environment, version) in cuda_asked(lock, environments, subdir) {
        context.report.warning(format_args!(
            "environment {environment} asks for a GPU (__cuda {version}), and a container has none unless the engine hands it one: where pixi refuses it, give --container-env {CUDA_VARIABLE}={version}, and --env {CUDA_VARIABLE}={version} for a target that has none either"
        ));
    }
}

/// The environments that ask for CUDA on all their platforms of a subdir, and the
/// lowest version that one of these is content with.
pub(super) fn cuda_asked<'a>(
    lock: &Lock,
    environments: &'a [String],
    subdir: &str,
) -> Vec<(&'a str, String)> {
    let mut asked = Vec::new();
    for environment in environments {
        let platforms = lock.platforms_of(environment, subdir);
        let versions: Option<Vec<String>> = platforms
            .iter()
            .map(|platform| cuda_of(lock, environment, platform))
            .collect();
        if let Some(version) = versions.and_then(|all| all.into_iter().min_by_key(|it| numbers(it)))
        {
            asked.push((environment.as_str(), version));
        }
    }
    asked
}

/// The version of CUDA that a platform, or a package on it, asks for.
fn cuda_of(lock: &Lock, environment: &str, platform: &LockedPlatform) -> Option<String> {
    let packages = lock.packages(environment, &platform.name)?;
    let of_packages = packages.iter().flat_map(|package| match package {
        Package::Conda(conda) => conda.virtual_packages.as_slice(),
        _ => &[],
    });
    platform
        .virtual_packages
        .iter()
        .chain(of_packages)
        .filter_map(|text| version_asked(text.strip_prefix("__cuda")?))
        .max_by_key(|version| numbers(version))
}

/// The version in what follows a virtual package's name: `=12.0=0`, ` >=12,<13`;
/// `None` when it belongs to a longer name.
fn version_asked(rest: &str) -> Option<String> {
    if rest.starts_with(|c: char| c.is_alphanumeric() || "_-".contains(c)) {
        return None;
    }
    let first = rest.split([',', '|']).next().unwrap_or_default();
    let version: String = first
        .trim_start_matches(|c: char| c.is_whitespace() || "=<>~!".contains(c))
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let version = version.trim_end_matches('.');
    // Any version is asked for.
    Some(if version.is_empty() { "12.0" } else { version }.to_owned())
}

fn numbers(version: &str) -> Vec<u64> {
    version
        .split('.')
        .map(|part| part.parse().unwrap_or_default())
        .collect()
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
    fn lock() -> Lock {
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
        Lock::parse(text).unwrap()
    }

    fn named(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn all_environments_are_those_for_the_platform_and_the_others_are_named() {
        let all = |subdir| resolve(&Environments::All, Some(&lock()), subdir, &unknown());
        let resolved = all(Some("linux-64")).unwrap();
        assert_eq!(resolved.environments, ["default", "empty", "gpu", "torch"]);
        assert_eq!(resolved.left_out, ["mac"]);
        let resolved = all(Some("osx-arm64")).unwrap();
        assert_eq!(resolved.environments, ["empty", "mac"]);
        let resolved = all(None).unwrap();
        assert_eq!(
            (resolved.environments.len(), resolved.left_out.len()),
            (5, 0)
        );
        let asked = Environments::new(&["mac".into()], false).unwrap();
        let resolved = resolve(&asked, Some(&lock()), Some("linux-64"), &unknown()).unwrap();
        assert_eq!(
            resolved.environments,
            ["mac"],
            "its absence is an error later"
        );
        let error = require_some_platform(&lock(), &resolved.environments, Some("linux-64"), &[])
            .unwrap_err();
        assert!(error.to_string().contains("mac"), "{error}");
        assert!(resolve(&Environments::All, None, None, &unknown()).is_err());
    }

    #[test]
    fn an_environment_may_be_built_when_one_of_its_platforms_can_be() {
        let fits = |names: &[&str], subdir| {
            require_some_platform(&lock(), &named(names), subdir, &[]).map_err(|e| e.to_string())
        };
        fits(&["default", "gpu"], Some("linux-64")).unwrap();
        fits(&["default"], None).unwrap();
        let error = fits(&["mac"], None).unwrap_err();
        assert!(error.contains("environment mac for linux-64"), "{error}");
        let only = lock().choosing([("default", "linux-64")]);
        let error = require_some_platform(&only, &named(&["default"]), Some("linux-64"), &[]);
        assert!(error.unwrap_err().to_string().contains("../lib"));
        assert!(fits(&["default", "nope"], Some("linux-64")).is_err());
    }

    #[test]
    fn cuda_is_asked_for_when_every_platform_asks() {
        let asked = |names: &[&str]| {
            cuda_asked(&lock(), &named(names), "linux-64")
                .into_iter()
                .map(|(environment, version)| format!("{environment} {version}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            asked(&["default", "empty", "gpu", "mac", "torch"]),
            ["gpu 12.0", "torch 11.8"]
        );
        for (text, version) in [
            ("=12.4=0", Some("12.4")),
            (" >=12,<13", Some("12")),
            ("", Some("12.0")),
            (" *", Some("12.0")),
            ("_arch=8.0", None),
        ] {
            assert_eq!(version_asked(text).as_deref(), version, "{text:?}");
        }
    }

    #[test]
    fn a_folder_outside_that_another_environment_needs_is_said_and_frozen_passes() {
        let asked = named(&["gpu"]);
        let fits = |lock_option| {
            require_lock_that_fits(
                lock_option,
                Some(&lock()),
                &asked,
                Some("linux-64"),
                &[],
                &unknown(),
            )
        };
        let error = fits(LockOption::Check).unwrap_err().to_string();
        assert!(
            error.contains("environment default")
                && error.contains("../lib")
                && error.contains("--frozen"),
            "{error}"
        );
        fits(LockOption::Frozen).unwrap();
        fits(LockOption::Update).unwrap();
        assert!(require_lock_to_freeze(LockOption::Frozen, None).is_err());
    }

    #[test]
    fn an_environment_without_packages_is_for_the_platforms_of_the_manifest() {
        let environment =
            |name| format!("  {name}:\n    channels:\n    - url: https://conda.example/chan/\n");
        let text = format!(
            "version: 6\nenvironments:\n{}    packages: {{}}\n{}    packages: {{}}\npackages: []\n",
            environment("default"),
            environment("mac")
        );
        let lock = Lock::parse(text).unwrap();
        let manifest: ManifestEnvironments = serde_json::from_str(
            r#"{"default": ["osx-arm64", "linux-64"], "mac": ["osx-arm64"], "open": null}"#,
        )
        .unwrap();
        for asked in [LockOption::Check, LockOption::Frozen, LockOption::Update] {
            for lock in [Some(&lock), None] {
                for subdir in [Some("linux-64"), None] {
                    let fits = |name: &str, known: &ManifestEnvironments| {
                        require_lock_that_fits(asked, lock, &named(&[name]), subdir, &[], known)
                            .map_err(|error| error.to_string())
                    };
                    fits("default", &manifest).unwrap();
                    let nothing = unknown();
                    fits("mac", &nothing).unwrap();
                    let said = fits("mac", &manifest).unwrap_err();
                    assert!(
                        said.contains("environment mac") && said.contains("for osx-arm64 only"),
                        "{said}"
                    );
                    let said = fits("nope", &manifest).unwrap_err();
                    assert!(said.contains("no environment nope"), "{said}");
                }
            }
        }
        let all = resolve(&Environments::All, Some(&lock), Some("linux-64"), &manifest).unwrap();
        assert_eq!(
            (&*all.environments, &*all.left_out),
            (&named(&["default"])[..], &named(&["mac"])[..])
        );
    }

    /// A manifest that says nothing.
    fn unknown() -> ManifestEnvironments {
        ManifestEnvironments::default()
    }
}
