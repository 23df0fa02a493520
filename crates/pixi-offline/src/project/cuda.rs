//! The environments that ask for a GPU, which a container has only where the engine hands it
//! one.

use std::ffi::OsString;

use crate::context::Context;
use crate::packages::{CondaPackage, Lock, LockedPlatform, Subdir};
use crate::request::ContainerVariable;

/// The variable that tells pixi of a CUDA that the machine has not.
const CUDA_VARIABLE: &str = "CONDA_OVERRIDE_CUDA";

/// Says which environments ask for a GPU on each platform that pixi could choose, when
/// `variables` of the container do not make up for one.
pub(crate) fn warn_of_cuda(
    lock: &Lock,
    environments: &[String],
    subdir: Option<Subdir>,
    variables: &[ContainerVariable],
    context: &Context,
) {
    if variables.iter().any(|known| known.key() == CUDA_VARIABLE) {
        return;
    }
    let Some(subdir) = subdir else { return };
    for (environment, version) in cuda_asked(lock, environments, subdir) {
        context.report.warning(format_args!(
            "environment {environment} requires a GPU (__cuda {version}), and a container has none unless the engine passes one in: where pixi refuses it, give --container-env {CUDA_VARIABLE}={version}, and --env {CUDA_VARIABLE}={version} for a target that has none either"
        ));
    }
}

/// Whether arguments for the engine's `run` hand a GPU to the container, or stand for one.
pub(crate) fn hands_gpu(engine_arguments: &[OsString]) -> bool {
    engine_arguments.iter().any(|arg| {
        let arg = arg.to_string_lossy();
        ["gpu", "nvidia", CUDA_VARIABLE]
            .iter()
            .any(|mark| arg.contains(mark))
    })
}

/// The environments that ask for CUDA on all their platforms of a subdir, and the
/// lowest version that one of these is content with.
pub(crate) fn cuda_asked<'a>(
    lock: &Lock,
    environments: &'a [String],
    subdir: Subdir,
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
    let packages = lock.packages_on(environment, &platform.name)?.iter();
    let conda = packages.filter_map(|package| package.as_conda());
    platform
        .virtual_packages
        .iter()
        .chain(conda.flat_map(CondaPackage::virtual_packages))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::environments::tests::{lock, named};

    #[test]
    fn cuda_is_asked_for_when_every_platform_asks() {
        let asked = |names: &[&str]| {
            cuda_asked(&lock(), &named(names), Subdir::Linux64)
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
}
