//! Whether a lock can be installed where a build is asked for: before the build, and for the
//! product that is made of it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::failure::Failure;
use crate::packages::{LocalSources, Lock, LockCache, Requirements, Subdir};
use crate::project::lock_use::LockUse;
use crate::project::manifest_environments::ManifestEnvironments;
use crate::quote::pasteable;
use crate::request::LockOption;

/// What the environments need on the platform of an image.
///
/// # Errors
///
/// Exit code 2 with all that could not be installed offline.
pub(crate) fn require_installable(
    lock: &Lock,
    environments: &[String],
    subdir: Subdir,
    local: &LocalSources,
) -> anyhow::Result<Requirements> {
    Requirements::of(lock, environments, subdir, local).map_err(|problems| {
        Failure::usage(format!(
            "this project cannot be installed without a network from a product:\n  {}{}",
            problems.join("\n  "),
            hint(lock, environments, local)
        ))
    })
}

/// The option that would have staged what is outside of the project, in a line of its own.
fn hint(lock: &Lock, environments: &[String], local: &LocalSources) -> String {
    let root = local.source_root(lock, environments);
    let Some((root, origin)) = root.zip(local.origin.as_ref()) else {
        return String::new();
    };
    format!(
        "\nstage what is outside of the project with it; add:\n  {} {}",
        origin.place.option(),
        pasteable(root.as_os_str())
    )
}

/// The lock that is staged and installed: it has relative paths in the place of absolute ones that
/// are in what is staged, the directory `top`. Pixi writes a lock that is brought up to date.
///
/// # Errors
///
/// Exit code 2 when it is to be installed as it is, and there is none; when it cannot be written
/// anew.
pub(crate) fn to_install(
    lock: Option<Lock>,
    asked: LockOption,
    local: &LocalSources,
    top: &Path,
    locks: &LockCache,
) -> anyhow::Result<Option<Lock>> {
    match lock {
        Some(lock) if asked != LockOption::Update => {
            let lock = local.with_relative_paths(lock, top, locks)?;
            Ok(Some(lock))
        }
        None if asked == LockOption::Frozen => Err(Failure::usage(
            "--frozen installs pixi.lock as it is, and the project has none; leave it out, or lock the project with pixi first",
        )),
        other => Ok(other),
    }
}

/// Requires, before a build, that lock and manifest have the environments for the image's
/// platform, and that pixi can compare the two where that was asked for.
///
/// # Errors
///
/// Exit code 2, as [`require_some_platform`] and [`ManifestEnvironments::require`].
pub(crate) fn require_lock_that_fits(
    asked: LockOption,
    lock: Option<&Lock>,
    environments: &[String],
    subdir: Option<Subdir>,
    local: &LocalSources,
    manifest: &ManifestEnvironments,
) -> anyhow::Result<()> {
    let Some(lock) = lock.filter(|_| asked != LockOption::Update) else {
        manifest.require_names(environments)?;
        return manifest.require(environments, subdir);
    };
    require_some_platform(lock, environments, subdir, local)?;
    manifest.require(environments, subdir)?;
    if asked == LockOption::Check && LockUse::of(Some(lock), asked) == LockUse::Locked {
        require_comparable(lock, environments, local)?;
    }
    Ok(())
}

/// Requires that nothing in the rest of the lock keeps pixi from comparing it with the
/// manifest: it does that with all environments, and looks into each source directory.
fn require_comparable(
    lock: &Lock,
    environments: &[String],
    local: &LocalSources,
) -> anyhow::Result<()> {
    let others = lock
        .environments()
        .filter(|name| !environments.iter().any(|asked| asked == name));
    for other in others {
        for platform in lock.platforms(other).into_iter().flatten() {
            let packages = lock.packages_on(other, &platform.name).unwrap_or_default();
            if let Some(location) = packages
                .iter()
                .find_map(|package| local.source_outside(package))
            {
                return Err(Failure::usage(format!(
                    "environment {other}, which was not requested, needs {location}, a directory outside of the project, which is not staged; pixi compares the whole lock with the manifest and would not find it: give --frozen to install pixi.lock as it is, or move the directory into the project{}",
                    hint(lock, &[other.to_owned()], local)
                )));
            }
        }
    }
    Ok(())
}

/// The same before a build, when it is not known yet which of several platforms of one
/// subdir pixi will choose, and perhaps not even the subdir, because the image is still
/// to be fetched: what none of them can have is refused.
pub(crate) fn require_some_platform(
    lock: &Lock,
    environments: &[String],
    subdir: Option<Subdir>,
    local: &LocalSources,
) -> anyhow::Result<()> {
    if let Some(subdir) = subdir {
        return require_some_choice(lock, environments, subdir, local);
    }
    let is_missing = |name: &&String| lock.platforms(name).is_none();
    if let Some(missing) = environments.iter().find(is_missing) {
        require_installable(lock, std::slice::from_ref(missing), ANY_LINUX, local)?;
    }
    let first = environments.iter().find_map(|name| lock.platforms(name));
    let known: BTreeSet<Subdir> = first
        .into_iter()
        .flatten()
        .map(|platform| platform.subdir)
        .collect();
    // An image is a Linux, whichever it is.
    let linux: Vec<Subdir> = known.iter().copied().filter(|it| it.is_linux()).collect();
    let known = match linux.is_empty() && !known.is_empty() {
        true => vec![ANY_LINUX],
        false => linux,
    };
    first_success(&known, |subdir| {
        require_some_choice(lock, environments, *subdir, local)
    })
}

/// Stands for the platform of an image that is not there yet.
const ANY_LINUX: Subdir = Subdir::Linux64;

/// Requires, of each environment that has several platforms of the subdir, that one of
/// them can be installed, and of the others together that they can be.
fn require_some_choice(
    lock: &Lock,
    environments: &[String],
    subdir: Subdir,
    local: &LocalSources,
) -> anyhow::Result<()> {
    let has_choice = |name: &&String| lock.platforms_of(name, subdir).len() > 1;
    let (open, decided): (Vec<&String>, Vec<&String>) = environments.iter().partition(has_choice);
    let decided: Vec<String> = decided.into_iter().cloned().collect();
    require_installable(lock, &decided, subdir, local)?;
    for environment in open {
        let alone = std::slice::from_ref(environment);
        let names = lock.platforms_of(environment, subdir);
        first_success(&names, |platform| {
            let chosen = lock.choosing([(environment.as_str(), &*platform.name)]);
            require_installable(&chosen, alone, subdir, local).map(drop)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::environments::resolve;
    use crate::project::environments::tests::{lock, named, unknown};
    use crate::request::Environments;

    #[test]
    fn an_environment_may_be_built_when_one_of_its_platforms_can_be() {
        let fits = |names: &[&str], subdir| {
            require_some_platform(&lock(), &named(names), subdir, &LocalSources::default())
                .map_err(|e| e.to_string())
        };
        fits(&["default", "gpu"], Some(Subdir::Linux64)).unwrap();
        fits(&["default"], None).unwrap();
        let error = fits(&["mac"], None).unwrap_err();
        assert!(error.contains("environment mac for linux-64"), "{error}");
        let only = lock().choosing([("default", "linux-64")]);
        let error = require_some_platform(
            &only,
            &named(&["default"]),
            Some(Subdir::Linux64),
            &LocalSources::default(),
        );
        assert!(error.unwrap_err().to_string().contains("../lib"));
        assert!(fits(&["default", "nope"], Some(Subdir::Linux64)).is_err());
    }

    #[test]
    fn a_dir_outside_that_another_environment_needs_is_said_and_frozen_passes() {
        let asked = named(&["gpu"]);
        let fits = |lock_option| {
            require_lock_that_fits(
                lock_option,
                Some(&lock()),
                &asked,
                Some(Subdir::Linux64),
                &LocalSources::default(),
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
        let frozen = LockOption::Frozen;
        let (local, locks) = (LocalSources::default(), LockCache::default());
        assert!(to_install(None, frozen, &local, Path::new("/demo"), &locks).is_err());
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
        let lock = LockCache::default().parse(text).unwrap();
        let manifest: ManifestEnvironments = serde_json::from_str(
            r#"{"default": ["osx-arm64", "linux-64"], "mac": ["osx-arm64"], "open": null}"#,
        )
        .unwrap();
        for asked in [LockOption::Check, LockOption::Frozen, LockOption::Update] {
            for lock in [Some(&lock), None] {
                for subdir in [Some(Subdir::Linux64), None] {
                    let fits = |name: &str, known: &ManifestEnvironments| {
                        require_lock_that_fits(
                            asked,
                            lock,
                            &named(&[name]),
                            subdir,
                            &LocalSources::default(),
                            known,
                        )
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
        let all = resolve(
            &Environments::All,
            Some(&lock),
            Some(Subdir::Linux64),
            &manifest,
        )
        .unwrap();
        assert_eq!(
            (&*all.environments, &*all.left_out),
            (&named(&["default"])[..], &named(&["mac"])[..])
        );
    }
}
