//! A small pure Python package, as its author has it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What builds a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The oldest; leaves an `egg-info` directory beside the code.
    Setuptools,
    /// A younger one, with dependencies of its own.
    Hatchling,
    /// setuptools with a version from git.
    SetuptoolsScm,
    /// hatchling with a version from git.
    HatchVcs,
    /// setuptools with a `setup.py` that adds a local version, [`LOCAL_VERSION`], as one does
    /// that builds for the CUDA of a machine.
    LocalVersion,
}

/// What a build with [`Backend::LocalVersion`] adds.
pub const LOCAL_VERSION: &str = "+cu122";

/// A package with one module that says its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As on an index, with dashes.
    pub name: String,
    /// Its version.
    pub version: String,
    backend: Backend,
}

impl Source {
    /// A package of this name.
    pub fn new(name: &str, version: &str, backend: Backend) -> Source {
        Source {
            name: name.to_owned(),
            version: version.to_owned(),
            backend,
        }
    }

    /// The name of its module, and of its files on an index.
    pub fn module(&self) -> String {
        module_name(&self.name)
    }

    /// Path and text of each file.
    pub fn files(&self) -> Vec<(String, String)> {
        let module = (
            format!("src/{}/__init__.py", self.module()),
            module_text(&self.version),
        );
        if self.backend == Backend::LocalVersion {
            let pyproject = "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n";
            let setup = format!(
                "from setuptools import setup\nsetup(name=\"{}\", version=\"{}{LOCAL_VERSION}\", packages=[\"{}\"], package_dir={{\"\": \"src\"}})\n",
                self.name,
                self.version,
                self.module()
            );
            return vec![
                ("pyproject.toml".to_owned(), pyproject.to_owned()),
                ("setup.py".to_owned(), setup),
                module,
            ];
        }
        let (setuptools, hatchling) = ("setuptools.build_meta", "hatchling.build");
        let (requires, backend, tool) = match self.backend {
            Backend::Setuptools | Backend::LocalVersion => (&["setuptools"][..], setuptools, ""),
            Backend::Hatchling => (&["hatchling"][..], hatchling, ""),
            Backend::SetuptoolsScm => (
                &["setuptools", "setuptools-scm"][..],
                setuptools,
                "\n[tool.setuptools_scm]\nsearch_parent_directories = true\n",
            ),
            Backend::HatchVcs => (
                &["hatchling", "hatch-vcs"][..],
                hatchling,
                "\n[tool.hatch.version]\nsource = \"vcs\"\n\n\
                 [tool.hatch.version.raw-options]\nsearch_parent_directories = true\n",
            ),
        };
        let version = match tool {
            "" => format!("version = \"{}\"", self.version),
            _ => "dynamic = [\"version\"]".to_owned(),
        };
        let pyproject = format!(
            "[build-system]\nrequires = {requires:?}\nbuild-backend = \"{backend}\"\n\n\
             [project]\nname = \"{}\"\n{version}\nrequires-python = \">=3.8\"\n{tool}",
            self.name
        );
        vec![("pyproject.toml".to_owned(), pyproject), module]
    }

    /// Writes the files into a directory, which is made when it is not there.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        for (name, text) in self.files() {
            let path = dir.join(name);
            let write = || {
                fs::create_dir_all(path.parent().unwrap_or(dir))?;
                fs::write(&path, text)
            };
            write().with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// `plain-wheel` as a module and in file names: `plain_wheel`.
pub(super) fn module_name(package: &str) -> String {
    package.replace('-', "_")
}

/// The code of a package.
pub(super) fn module_text(version: &str) -> String {
    format!("VERSION = \"{version}\"\n")
}

/// The least metadata of a package.
pub(super) fn metadata(name: &str, version: &str, metadata_version: &str) -> String {
    format!(
        "Metadata-Version: {metadata_version}\nName: {name}\nVersion: {version}\nSummary: For tests\n"
    )
}
