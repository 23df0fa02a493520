//! The manifest of a Pixi project: which file it is, and the little that is read of it.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use toml_edit::{DocumentMut, Item, TableLike};

use crate::evidence::Sha256Digest;
use crate::failure::Failure;
use crate::layout;
use crate::packages::not_checked_out;
use crate::project::manifest_environments::ManifestEnvironments;
use crate::project::workspace_platforms::WorkspacePlatform;
use crate::regular_file;
use crate::toml::item;
use crate::untrusted_dir::RECORD_LIMIT;

/// The manifest of a project.
#[derive(Debug)]
pub(crate) struct ProjectManifest {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its place.
    pub(crate) file: PathBuf,
    /// Whether it says anything of pixi. A `pyproject.toml` may not.
    is_pixis: bool,
    text: String,
    /// `None` when it is no TOML, or none that we can read.
    document: Option<DocumentMut>,
    platforms: Option<Vec<WorkspacePlatform>>,
    environments: ManifestEnvironments,
}

impl ProjectManifest {
    /// Finds the manifest that pixi would take; a `pyproject.toml` without pixi's table
    /// only where there is no other. `None` when the directory has none.
    pub(crate) fn find(project: &Path) -> Option<ProjectManifest> {
        let mut pythons = None;
        for name in layout::PROJECT_MANIFESTS {
            let file = project.join(name);
            if !file.is_file() {
                continue;
            }
            let manifest = ProjectManifest::read(name, file);
            if manifest.is_pixis {
                return Some(manifest);
            }
            pythons = Some(manifest);
        }
        pythons
    }

    fn read(name: &'static str, file: PathBuf) -> ProjectManifest {
        let bytes = regular_file::read(&file, RECORD_LIMIT).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let document = text.parse::<DocumentMut>().ok();
        let mut manifest = ProjectManifest {
            name,
            file,
            is_pixis: true,
            text,
            document,
            platforms: None,
            environments: ManifestEnvironments::default(),
        };
        if name == layout::PYTHON_MANIFEST {
            manifest.is_pixis = match &manifest.document {
                Some(_) => manifest.table(&[]).is_some(),
                None => true,
            };
        }
        let platforms = manifest.workspace_platforms();
        manifest.platforms = platforms.and_then(WorkspacePlatform::read_all);
        if let Some(top) = manifest.table(&[]) {
            manifest.environments = ManifestEnvironments::read(top, manifest.platforms());
        }
        manifest
    }

    /// Whether it describes a workspace that pixi can install.
    pub(super) fn has_workspace(&self) -> bool {
        ["workspace", "project"]
            .iter()
            .any(|key| self.table(&[key]).is_some())
    }

    /// Whether it describes a package that pixi can build from source.
    pub(super) fn has_package(&self) -> bool {
        self.table(&["package"]).is_some()
    }

    /// Requires that a directory is a Pixi project.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it has no manifest.
    pub(crate) fn require(project: &Path) -> anyhow::Result<ProjectManifest> {
        ProjectManifest::find(project).ok_or_else(|| {
            let names = layout::PROJECT_MANIFESTS.iter();
            let links = names.map(|name| project.join(name));
            let mut links = links.filter_map(|link| Some((link.read_link().ok()?, link)));
            if let Some((target, link)) = links.next() {
                return Failure::usage(format!(
                    "{} is a link to {}, which does not exist; put the manifest there, or remove the link",
                    link.display(),
                    target.display()
                ));
            }
            // Pixi looks above the current directory, too, so this one is typed there.
            let above = project.ancestors().skip(1);
            let mut above = above.filter(|dir| {
                ProjectManifest::find(dir).is_some_and(|manifest| manifest.has_workspace())
            });
            let instead = above.next().map_or_else(String::new, |dir| {
                format!("; name the project that it is in: {}", dir.display())
            });
            Failure::usage(format!(
                "{} is not a Pixi project: it has no {}{instead}",
                project.display(),
                layout::PROJECT_MANIFESTS.join(" and no ")
            ))
        })
    }

    /// Requires that pixi can use it.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it says nothing of pixi, or is not the file that git keeps.
    pub(crate) fn require_usable(&self) -> anyhow::Result<()> {
        let shown = self.file.display();
        if let Some(why) = not_checked_out(&self.text) {
            return Err(Failure::usage(format!("{shown} cannot be used: {why}")));
        }
        if !self.is_pixis {
            return Err(Failure::usage(format!(
                "{shown} has no table [tool.pixi], and there is no pixi.toml beside it, so this is not a Pixi project yet; `pixi init` makes it one"
            )));
        }
        Ok(())
    }

    /// The sha256 of its text.
    pub(crate) fn digest(&self) -> Sha256Digest {
        Sha256Digest::from(Sha256::digest(&self.text))
    }

    /// Requires that nothing in the project is named as a source of Python packages by a path
    /// of this machine: the project is elsewhere in the container, and again at the target.
    ///
    /// # Errors
    ///
    /// Exit code 2 naming the path, and what to write instead.
    pub(crate) fn require_find_links_elsewhere(&self, project: &Path) -> anyhow::Result<()> {
        let real = project
            .canonicalize()
            .unwrap_or_else(|_| project.to_owned());
        for path in self.absolute_find_links() {
            let below = [project, &real]
                .into_iter()
                .find_map(|top| Path::new(&path).strip_prefix(top).ok());
            if let Some(below) = below {
                return Err(Failure::usage(format!(
                    "{} names {path}, a path of this machine, which is in the project: write it as ./{} in a path of find-links, and lock again",
                    self.file.display(),
                    below.display()
                )));
            }
        }
        Ok(())
    }

    /// Its environments, and the subdirs that each is for; none when it cannot be read.
    pub(crate) fn environments(&self) -> &ManifestEnvironments {
        &self.environments
    }

    /// The platforms of the workspace in pixi's order of preference; `None` when they cannot
    /// be read.
    pub(crate) fn platforms(&self) -> Option<&[WorkspacePlatform]> {
        self.platforms.as_deref()
    }

    /// Its tasks, each with what it is: several may have one name.
    pub(crate) fn tasks(&self) -> Vec<(&str, &Item)> {
        self.table(&[]).map(tasks_of).unwrap_or_default()
    }

    /// The table `[tool.NAME]`, where every tool but pixi has its settings.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is no table, or when the manifest names it and cannot be read: then
    /// nobody knows what is set.
    pub(super) fn tool_table(&self, name: &str) -> anyhow::Result<Option<&dyn TableLike>> {
        let shown = self.file.display();
        let Some(document) = &self.document else {
            return match self.text.contains(name) {
                true => Err(Failure::usage(format!(
                    "{shown} is not valid TOML, so the settings in [tool.{name}] cannot be read; correct it"
                ))),
                false => Ok(None),
            };
        };
        let tools = document.get("tool").and_then(Item::as_table_like);
        let Some(item) = tools.and_then(|tools| tools.get(name)) else {
            return Ok(None);
        };
        item.as_table_like().map(Some).ok_or_else(|| {
            Failure::usage(format!(
                "{shown}: [tool.{name}] must be a table of settings"
            ))
        })
    }

    fn workspace_platforms(&self) -> Option<&toml_edit::Array> {
        let workspace = self
            .table(&["workspace"])
            .or_else(|| self.table(&["project"]))?;
        workspace.get("platforms")?.as_array()
    }

    /// The directories and files that `find-links` and indexes of Python packages name by a path
    /// of this machine, or by a URL with one.
    pub(crate) fn absolute_find_links(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(top) = self.table(&[]) {
            collect_find_links(top, &mut found);
        }
        found
    }

    /// A table of pixi's.
    fn table(&self, path: &[&str]) -> Option<&dyn TableLike> {
        let top: &[&str] = match self.name {
            layout::PYTHON_MANIFEST => &["tool", "pixi"],
            _ => &[],
        };
        item(self.document.as_ref()?, &[top, path].concat())?.as_table_like()
    }
}

/// The path of this machine that a path or URL names; `None` for any other.
fn path_here(place: &str) -> Option<String> {
    let path = match place.strip_prefix("file:") {
        Some(rest) => {
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            let rest = rest
                .strip_prefix("localhost/")
                .map_or(rest, |_| &rest["localhost".len()..]);
            percent_encoding::percent_decode_str(rest)
                .decode_utf8()
                .ok()?
                .into_owned()
        }
        None => place.to_owned(),
    };
    path.starts_with('/').then_some(path)
}

/// Looks for `find-links` and indexes in a table and those in it: pypi-options are in several.
fn collect_find_links(table: &dyn TableLike, found: &mut Vec<String>) {
    for (key, item) in table.iter() {
        if ["find-links", "index-url", "extra-index-urls"].contains(&key) {
            let listed = item.as_array().into_iter().flatten();
            for entry in listed.chain(item.as_value()) {
                let of_table = |key: &str| entry.as_inline_table()?.get(key)?.as_str();
                let places = [of_table("path"), of_table("url"), entry.as_str()];
                found.extend(places.into_iter().flatten().filter_map(path_here));
            }
        } else if let Some(inner) = item.as_table_like() {
            collect_find_links(inner, found);
        }
    }
}

/// The tasks in a table of pixi's, in those of its features, and in those for targets.
fn tasks_of(table: &dyn TableLike) -> Vec<(&str, &Item)> {
    let mut tasks: Vec<(&str, &Item)> = Vec::new();
    let own = table.get("tasks").and_then(Item::as_table_like);
    tasks.extend(own.into_iter().flat_map(TableLike::iter));
    for key in ["feature", "target"] {
        let inner = table.get(key).and_then(Item::as_table_like);
        for (_, item) in inner.into_iter().flat_map(TableLike::iter) {
            tasks.extend(item.as_table_like().into_iter().flat_map(tasks_of));
        }
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::manifest_text::tests::write_files;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), files);
        dir
    }

    #[test]
    fn the_manifest_is_the_one_that_pixi_takes() {
        let python = ("pyproject.toml", "[project]\nname = 'a'\n");
        let pixis = (
            "pyproject.toml",
            "[tool.pixi.workspace]\nplatforms = ['linux-64']\n",
        );
        let mojo = ("mojoproject.toml", "[workspace]\nplatforms = []\n");
        let pixi = ("pixi.toml", "");
        for (files, name) in [
            (vec![pixi, pixis, mojo], "pixi.toml"),
            (vec![pixis, mojo], "pyproject.toml"),
            (vec![python, mojo], "mojoproject.toml"),
            (vec![mojo], "mojoproject.toml"),
            (vec![python], "pyproject.toml"),
        ] {
            let dir = project(&files);
            let manifest = ProjectManifest::require(dir.path()).unwrap();
            assert_eq!(manifest.name, name, "{files:?}");
            let is_usable = manifest.require_usable().is_ok();
            assert_eq!(is_usable, files != [python], "{files:?}");
        }
        let error = ProjectManifest::require(project(&[]).path()).unwrap_err();
        assert!(error.to_string().contains("no mojoproject.toml"), "{error}");
    }

    #[test]
    fn what_git_has_not_finished_is_said() {
        for (text, wanted) in [
            (
                "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n",
                "git lfs pull",
            ),
            (
                "version https://hawser.github.com/spec/v1\noid sha256:1\nsize 3\n",
                "git lfs pull",
            ),
            ("/annex/objects/SHA256E-s9--1.toml\n", "git annex get"),
            ("../shared/pixi.toml", "core.symlinks"),
            (
                "[workspace]\n<<<<<<< HEAD\na = 1\n=======\na = 2\n>>>>>>> x\n",
                "line 2",
            ),
        ] {
            let dir = project(&[("pixi.toml", text)]);
            let manifest = ProjectManifest::require(dir.path()).unwrap();
            let error = manifest.require_usable().unwrap_err().to_string();
            assert!(
                error.contains(wanted) && error.contains("pixi.toml"),
                "{error}"
            );
        }
    }

    #[test]
    fn platforms_and_find_links_are_read_in_every_form() {
        let text = "[tool.pixi.workspace]\nplatforms = ['linux-64', { name = 'gpu', platform = 'linux-aarch64', cuda = '12' }]\n\
            [tool.pixi.pypi-options]\nfind-links = [{ path = '/home/me/links' }, { path = './b' }, { url = 'https://x/' }, { url = 'file:///srv/a%20b' }]\n\
            index-url = 'https://x/simple'\nextra-index-urls = ['file://localhost/srv/index', 'file:relative']\n\
            [tool.pixi.feature.a.pypi-options]\nfind-links = [{ path = '/opt/links' }]\nindex-url = 'file:/opt/index'\n";
        let dir = project(&[("pyproject.toml", text)]);
        let manifest = ProjectManifest::require(dir.path()).unwrap();
        let subdirs = manifest.platforms().unwrap();
        let subdirs: Vec<&str> = subdirs.iter().map(|one| one.subdir.as_str()).collect();
        assert_eq!(subdirs, ["linux-64", "linux-aarch64"]);
        assert_eq!(
            manifest.absolute_find_links(),
            [
                "/home/me/links",
                "/srv/a b",
                "/srv/index",
                "/opt/links",
                "/opt/index"
            ]
        );
        let none = project(&[("pixi.toml", "[project]\nname = 'a'\n")]);
        assert_eq!(
            ProjectManifest::require(none.path()).unwrap().platforms(),
            None
        );
    }
}
