//! What chosen environments need on one platform, and whether that can be
//! installed without a network at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::packages::local_channel::{LocalChannel, is_local};
use crate::packages::lock::{CondaPackage, Lock, Package, PythonKind, PythonPackage};
use crate::packages::wheel_name::Interpreter;

/// The packages of some environments on a platform, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Conda packages.
    pub conda: BTreeSet<CondaPackage>,
    /// Python packages.
    pub python: BTreeSet<PythonPackage>,
    /// What the Python packages are installed for, by their places in `python`.
    interpreters: BTreeMap<PythonPackage, BTreeSet<Interpreter>>,
    /// The Python packages, by name, that the lock has for other environments only.
    others: BTreeSet<String>,
    /// The project, where it is known.
    project: Option<PathBuf>,
}

impl Requirements {
    /// What `environments` need on `platform` by `lock`; `channels` are those of
    /// the project's own folders.
    ///
    /// # Errors
    ///
    /// With everything that cannot be installed from a carried product, a line
    /// each, with advice: an environment or platform that the lock lacks, conda
    /// packages that are built from source, a dependency by a path outside of the
    /// project, two environments that need the same name, version and build with
    /// different content.
    pub fn of(
        lock: &Lock,
        environments: &[String],
        platform: &str,
        channels: &[LocalChannel],
    ) -> Result<Requirements, Vec<String>> {
        let mut need = Requirements::default();
        let mut problems = Vec::new();
        for environment in environments {
            // An environment that needs nothing has no platforms in the lock.
            if lock
                .platforms(environment)
                .is_some_and(|platforms| platforms.is_empty())
            {
                if lock.is_not_for(platform) {
                    problems.push(missing(lock, environment, platform));
                }
                continue;
            }
            let Some(packages) = lock.packages(environment, platform) else {
                problems.push(missing(lock, environment, platform));
                continue;
            };
            let stems = packages.iter().filter_map(|package| match package {
                Package::Conda(conda) => Some(conda.stem.as_str()),
                _ => None,
            });
            let interpreter = Interpreter::of(platform, stems);
            for package in packages {
                match package {
                    Package::Conda(conda) => drop(need.conda.insert(conda.clone())),
                    Package::Python(python) => {
                        need.python.insert(python.clone());
                        let installed_for = need.interpreters.entry(python.clone()).or_default();
                        installed_for.insert(interpreter.clone());
                    }
                    Package::CondaSource { name, location } => problems.push(format!(
                        "environment {environment} builds the conda package {name} from source ({location}); that does not work offline from a carried cache: publish it to a channel and depend on it there"
                    )),
                }
            }
        }
        problems.extend(need.python.iter().filter(|python| leads_out(&python.location)).map(|python| {
            format!(
                "{} is a dependency by a path outside of the project ({}), which is not staged; move it into the project, or build a wheel of it",
                python.name, python.location
            )
        }));
        problems.extend(need.conda.iter().filter(|conda| {
                    let known = channels.iter().any(|channel| channel.holds(&conda.location));
                    (is_local(&conda.location) || leads_out(&conda.location)) && !known
                }).map(|conda| {
            format!(
                "{} comes from a channel in a folder outside of the project ({}), which is not staged; move it into the project and lock it again",
                conda.stem, conda.location
            )
        }));
        need.others = lock.python_names();
        for python in &need.python {
            need.others.remove(&python.name);
        }
        problems.extend(need.contradictions());
        problems.sort();
        problems.dedup();
        if problems.is_empty() {
            Ok(need)
        } else {
            Err(problems)
        }
    }

    /// Packages that share one place in the cache and are not the same.
    fn contradictions(&self) -> Vec<String> {
        let mut digests: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for conda in &self.conda {
            digests
                .entry(&conda.stem)
                .or_default()
                .extend(conda.sha256.as_deref());
        }
        digests
            .into_iter()
            .filter(|(_, digests)| digests.len() > 1)
            .map(|(stem, _)| {
                format!(
                    "two environments need {stem} with different content (other channels, perhaps), and one cache holds only one of them: make a product for each"
                )
            })
            .collect()
    }

    /// The same, of the project in this folder.
    pub fn in_project(mut self, project: &Path) -> Requirements {
        self.project = Some(project.to_owned());
        self
    }

    /// The project that it is of, where it is known.
    pub(super) fn project(&self) -> Option<&Path> {
        self.project.as_deref()
    }

    /// What a needed Python package is installed for.
    pub(super) fn interpreters(
        &self,
        package: &PythonPackage,
    ) -> impl Iterator<Item = &Interpreter> {
        self.interpreters.get(package).into_iter().flatten()
    }

    /// Whether the lock has a Python package of this name for other environments only.
    pub(super) fn is_of_others(&self, name: &str) -> bool {
        self.others.contains(name)
    }

    /// What any of them asks of the machine.
    pub fn virtual_packages(&self) -> BTreeSet<&str> {
        self.conda
            .iter()
            .flat_map(|conda| &conda.virtual_packages)
            .map(String::as_str)
            .collect()
    }

    /// The oldest glibc that all of them run with.
    pub fn glibc(&self) -> Option<(u32, u32)> {
        let python = self.python.iter().filter_map(PythonPackage::glibc);
        let conda = self.conda.iter().filter_map(|conda| conda.glibc);
        conda.chain(python).max()
    }
}

/// Why there are no packages for an environment on a platform.
fn missing(lock: &Lock, environment: &str, platform: &str) -> String {
    match lock.platforms(environment) {
        None => format!(
            "pixi.lock has no environment {environment}; it has {}",
            lock.environments().collect::<Vec<_>>().join(", ")
        ),
        Some(platforms) => {
            let has = match platforms.as_slice() {
                [] => "it is for other platforms only".to_owned(),
                some => format!("it has {}", some.join(", ")),
            };
            // An image is a Linux, so another one helps with such a platform only.
            let other = match platforms.iter().find(|name| name.starts_with("linux-")) {
                Some(name) => format!(", or use an image for {name}"),
                None => String::new(),
            };
            format!(
                "pixi.lock has no packages of environment {environment} for {platform}, the platform of the image; {has}: {}{other}",
                add_platform(platform)
            )
        }
    }
}

/// How a lock comes to have packages for a platform.
pub fn add_platform(platform: &str) -> String {
    format!("add {platform} to the platforms of the project, and lock it again")
}

/// Where the source folder of a package is, when that is outside of the project.
pub fn source_outside(package: &Package) -> Option<&str> {
    let location = match package {
        Package::Python(python) if python.kind == PythonKind::Folder => &python.location,
        Package::CondaSource { location, .. } => location,
        _ => return None,
    };
    leads_out(location).then_some(location.as_str())
}

/// Whether a location is a path that leads out of the project. URLs do not;
/// those of local channels are looked at by [`LocalChannel`].
fn leads_out(location: &str) -> bool {
    let scheme = location.split_once(':').map(|(scheme, _)| scheme);
    if scheme.is_some_and(|scheme| scheme.len() > 1 && !scheme.contains('/')) {
        return false;
    }
    let mut depth = 0;
    Path::new(location).components().any(|part| {
        match part {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::RootDir => depth = -1,
            _ => {}
        }
        depth < 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_project_are_told_from_those_that_do_not() {
        for inside in [
            "./lib",
            "lib/a/../b",
            "https://x/y.whl",
            "git+https://x/../y",
            "file:///p/chan/a.conda",
            ".",
        ] {
            assert!(!leads_out(inside), "{inside}");
        }
        for outside in ["../lib", "./a/../../b", "/opt/lib"] {
            assert!(leads_out(outside), "{outside}");
        }
    }
}
