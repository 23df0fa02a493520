//! What chosen environments need on one platform, and whether that can be
//! installed without a network at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use itertools::Itertools as _;
use rattler_conda_types::Subdir;

use crate::packages::local_sources::LocalSources;
use crate::packages::lock::Lock;
use crate::packages::package::{CondaPackage, CondaSource, Package, PythonPackage};
use crate::packages::wheel_name::Interpreter;

/// The packages of some environments on a platform, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Conda packages.
    pub conda: BTreeSet<CondaPackage>,
    /// Conda packages that pixi builds from source.
    pub sources: BTreeSet<CondaSource>,
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
    /// What `environments` need by `lock` on the first of their platforms of `subdir`;
    /// `local` is what goes along of the machine's own directories.
    ///
    /// # Errors
    ///
    /// With everything that cannot be installed from a carried product, a line
    /// each, with advice: an environment or platform that the lock lacks, a package that is
    /// built from source for another platform, a dependency by a path outside of the
    /// project, two environments that need the same name, version and build with
    /// different content.
    pub fn of(
        lock: &Lock,
        environments: &[String],
        subdir: Subdir,
        local: &LocalSources,
    ) -> Result<Requirements, Vec<String>> {
        let mut need = Requirements::default();
        let mut problems = Vec::new();
        for environment in environments {
            if let Some(packages) = lock.packages(environment, subdir) {
                problems.extend(need.add(environment, subdir, packages));
                continue;
            }
            // An environment that needs nothing has no platforms in the lock.
            let platforms = lock.platforms(environment);
            if platforms.is_none_or(|all| all.len() > 0) || lock.is_not_for(subdir) {
                problems.push(missing(lock, environment, subdir));
            }
        }
        problems.extend(need.outside(local));
        need.others = lock.python_names();
        for python in &need.python {
            need.others.remove(&python.id.name);
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

    /// Adds what an environment needs; gives what cannot be installed of it.
    fn add(&mut self, environment: &str, subdir: Subdir, packages: &[Arc<Package>]) -> Vec<String> {
        let conda = packages.iter().filter_map(|package| package.as_conda());
        let interpreter = Interpreter::of(subdir, conda.map(|conda| &*conda.stem));
        let mut problems = Vec::new();
        for package in packages {
            match &**package {
                Package::Conda(conda) => drop(self.conda.insert(conda.clone())),
                Package::Python(python) => {
                    self.python.insert(python.clone());
                    let installed_for = self.interpreters.entry(python.clone()).or_default();
                    installed_for.insert(interpreter.clone());
                }
                Package::CondaSource(source) => {
                    if source.is_for_another(subdir) {
                        problems.push(format!(
                            "environment {environment} needs the source package {} for {subdir}, and pixi.lock has it built for {}: lock the project again",
                            source.id.name,
                            source.built_for.as_deref().unwrap_or_default()
                        ));
                    }
                    self.sources.insert(source.clone());
                }
            }
        }
        problems
    }

    /// The packages that come from a directory that does not go along.
    fn outside(&self, local: &LocalSources) -> Vec<String> {
        let python = self.python.iter().map(|python| &python.id);
        let python = python.filter(|id| local.lack_source(&id.source)).map(|id| {
            if id.source.is_local() {
                return format!(
                    "{} is locked by an absolute path ({}), which is not staged, or the lock is of pixi before 0.68: write it relative to the project in the manifest, and lock it again",
                    id.name, id.source
                );
            }
            format!(
                "path dependency {} is outside the project ({}) and is not staged; stage it with {}, or copy it into the project and update the path",
                id.name, id.source, local.option()
            )
        });
        let sources = self.sources.iter().filter_map(|conda| {
            let source = conda.sources().find(|source| local.lack_source(source))?;
            if source.is_local() {
                return Some(format!(
                    "source package {} is locked by an absolute path ({source}), which is not staged: write it relative to the project in the manifest, and lock it again",
                    conda.id.name
                ));
            }
            Some(format!(
                "source package {} has a path outside the project ({source}), which is not staged; stage it with {}, or copy it into the project, update the path and lock it again",
                conda.id.name,
                local.option()
            ))
        });
        let conda = self.conda.iter();
        let conda = conda.filter(|conda| local.lack_conda(&conda.id.source)).map(|conda| {
            if local.has_moved(&conda.id.source) {
                return format!(
                    "{} comes from a channel in a directory that was locked at another path ({}), and in a running container pixi finds a channel at its locked path only: put the project where it was locked, or lock it again in the container",
                    conda.stem, conda.id.source
                );
            }
            format!(
                "{} comes from a channel in a directory outside of the project ({}), which is not staged; stage it with {}, or move it into the project and lock it again",
                conda.stem, conda.id.source, local.option()
            )
        });
        python.chain(sources).chain(conda).collect()
    }

    /// Packages that share one place in the cache and are not the same archive.
    fn contradictions(&self) -> Vec<String> {
        let conda = self.conda.iter();
        let by_place = conda.into_group_map_by(|conda| &conda.stem);
        let other_archive = |all: Vec<&CondaPackage>| {
            let (one, rest) = all.split_first()?;
            let other = rest.iter().find(|other| !one.is_same_archive(other))?;
            let (first, second) = (&one.id.source, &other.id.source);
            let advice = if (&one.channel, &one.subdir) == (&other.channel, &other.subdir) {
                format!(
                    "have both lock the same (`pixi update {}`), or build one product per environment (-e NAME)",
                    one.id.name
                )
            } else {
                "build one product per environment (-e NAME)".to_owned()
            };
            Some(format!(
                "two environments lock different builds of {} under the same file name ({first} and {second}): {advice}",
                one.stem
            ))
        };
        by_place.into_values().filter_map(other_archive).collect()
    }

    /// The same, of the project in this directory.
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

    /// What any of them requires of the machine.
    pub fn virtual_packages(&self) -> BTreeSet<&str> {
        self.conda
            .iter()
            .flat_map(CondaPackage::virtual_packages)
            .map(String::as_str)
            .collect()
    }

    /// The oldest glibc that all of them run with.
    pub fn glibc(&self) -> Option<(u32, u32)> {
        let python = self.python.iter().filter_map(PythonPackage::glibc);
        let conda = self.conda.iter().filter_map(CondaPackage::glibc);
        conda.chain(python).max()
    }
}

/// Why there are no packages for an environment on a platform.
fn missing(lock: &Lock, environment: &str, subdir: Subdir) -> String {
    let Some(platforms) = lock.platforms(environment) else {
        return format!(
            "pixi.lock has no environment {environment}; it has {}",
            lock.environments().join(", ")
        );
    };
    let platforms: Vec<_> = platforms.collect();
    let names: Vec<&str> = platforms.iter().map(|platform| &*platform.name).collect();
    let has = match names.as_slice() {
        [] => "it is for other platforms only".to_owned(),
        some => format!("it has {}", some.join(", ")),
    };
    // An image is a Linux, so another one helps with such a platform only.
    let linux = platforms.iter().find(|platform| platform.subdir.is_linux());
    let other = linux.map_or_else(String::new, |linux| {
        format!(", or use an image for {}", linux.subdir)
    });
    format!(
        "pixi.lock has no packages of environment {environment} for {subdir}, the platform of the image; {has}: {}{other}",
        add_platform(subdir)
    )
}

/// How a lock comes to have packages for a platform.
pub fn add_platform(subdir: Subdir) -> String {
    format!("add {subdir} to the platforms of the project, and lock it again")
}
