//! Where a project is in a workdir and in a product.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::request::ProjectName;

/// The path of a project below the directory that was staged with it (`--source-root`), such
/// as `apps/foo`; empty for a project that was staged alone. It is text, since scripts get it,
/// and leads nowhere but down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathInRoot(String);

impl PathInRoot {
    /// Takes a path below a source root.
    ///
    /// # Errors
    ///
    /// When it is absolute, has a `..`, is not UTF-8, or has a control character.
    pub fn new(path: &Path) -> anyhow::Result<PathInRoot> {
        let refuse = |why: &str| {
            anyhow::anyhow!(
                "the project's path below the source root, {path:?}, {why}; rename the directory, or choose another source root"
            )
        };
        let text = path.to_str().ok_or_else(|| refuse("is not UTF-8"))?;
        if text.chars().any(char::is_control) {
            return Err(refuse("has a control character"));
        }
        if !is_below(path) {
            return Err(refuse("leads out of it"));
        }
        // One separator between two names, and none at the end.
        let path: PathBuf = path.components().collect();
        Ok(PathInRoot(path.to_string_lossy().into_owned()))
    }

    /// Whether the project was staged alone.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path.
    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The project's path where the source root is at `root`.
    pub fn below(&self, root: &Path) -> PathBuf {
        match self.is_empty() {
            // No separator at the end: scripts and lists have this path as text.
            true => root.to_owned(),
            false => root.join(self.path()),
        }
    }

    /// The place below the source root of a path that is relative to the project; `None`
    /// when that leads out of the root.
    pub fn resolve(&self, relative: &Path) -> Option<PathBuf> {
        let mut place = self.path().to_owned();
        for part in relative.components() {
            match part {
                Component::Normal(name) => place.push(name),
                Component::CurDir => {}
                Component::ParentDir if place.pop() => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
            }
        }
        Some(place)
    }
}

/// Whether a path is made of names only.
fn is_below(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_)))
}

impl TryFrom<String> for PathInRoot {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<PathInRoot> {
        PathInRoot::new(Path::new(&text))
    }
}

impl From<PathInRoot> for String {
    fn from(path: PathInRoot) -> String {
        path.0
    }
}

impl fmt::Display for PathInRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A project in a workdir or a product: the name of the directory that was staged, and where
/// the project is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectPlace {
    /// The name of the directory.
    pub name: ProjectName,
    /// The project's path in it.
    pub in_root: PathInRoot,
}

impl ProjectPlace {
    /// The project's path from the directory that holds the staged one: `foo` of a project
    /// that was staged alone, else `foo/apps/foo` for example.
    pub fn path(&self) -> PathBuf {
        self.in_root.below(self.name.as_ref())
    }

    /// The same as text for a script.
    ///
    /// # Errors
    ///
    /// Exit code 2 when the name is not UTF-8.
    pub fn as_utf8(&self) -> anyhow::Result<String> {
        self.name.as_utf8()?;
        Ok(self.path().to_string_lossy().into_owned())
    }

    /// The place of a path that [`ProjectPlace::path`] has made.
    ///
    /// # Errors
    ///
    /// When it has no name, or is none of a project.
    pub fn of_path(path: &Path) -> anyhow::Result<ProjectPlace> {
        let mut parts = path.components();
        let name = parts.next().map(|part| part.as_os_str().to_owned());
        Ok(ProjectPlace {
            name: ProjectName::new(&name.unwrap_or_default())?,
            in_root: PathInRoot::new(parts.as_path())?,
        })
    }
}

impl From<ProjectName> for ProjectPlace {
    fn from(name: ProjectName) -> ProjectPlace {
        ProjectPlace {
            name,
            in_root: PathInRoot::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_place_is_made_of_names_and_comes_back_from_its_path() {
        for (text, in_root) in [
            ("foo", ""),
            ("foo/apps/foo", "apps/foo"),
            ("foo/apps//my app/", "apps/my app"),
        ] {
            let place = ProjectPlace::of_path(Path::new(text)).unwrap();
            assert_eq!(place.in_root.as_str(), in_root);
            assert_eq!(
                place.path(),
                Path::new(text).components().collect::<PathBuf>()
            );
            assert!(!place.as_utf8().unwrap().ends_with('/'));
        }
        for bad in ["", "/foo", "foo/../bar", "../foo", "foo/a\nb", "res/apps"] {
            assert!(ProjectPlace::of_path(Path::new(bad)).is_err(), "{bad:?}");
        }
        for bad in ["\"/etc\"", "\"a/../..\"", "\"a\\u001bb\"", "1"] {
            assert!(serde_json::from_str::<PathInRoot>(bad).is_err(), "{bad}");
        }
        let alone = ProjectPlace::from(ProjectName::new(OsStr::new("foo")).unwrap());
        assert_eq!(serde_json::to_string(&alone.in_root).unwrap(), "\"\"");
    }

    #[test]
    fn a_path_of_the_project_is_found_below_the_root_or_leads_out() {
        let place = PathInRoot::new(Path::new("apps/foo")).unwrap();
        let resolve = |path: &str| place.resolve(Path::new(path));
        assert_eq!(resolve("../../libs/bar"), Some("libs/bar".into()));
        assert_eq!(resolve("./lib/../x"), Some("apps/foo/x".into()));
        assert_eq!(resolve("../.."), Some("".into()));
        for out in ["../../../mono/libs/bar", "/opt/lib", "../../../../x"] {
            assert_eq!(resolve(out), None, "{out}");
        }
        assert_eq!(PathInRoot::default().resolve(Path::new("../lib")), None);
    }
}
