//! The directory around a project that is staged with it.

use std::path::{Component, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// What of a source root is staged.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Project")]
pub struct SourceRootOptions {
    /// Take PATH of the source root, too, a path below it (repeatable)
    #[arg(long, value_name = "PATH")]
    pub also: Vec<PathBuf>,

    /// Take the whole source root, not only what the project needs of it
    #[arg(long, conflicts_with = "also")]
    pub whole_root: bool,
}

/// Where a source root is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourcePlace {
    /// On this machine.
    Host,
    /// In a running container.
    Container,
}

impl SourcePlace {
    /// The option that names a source root there.
    pub fn option(self) -> &'static str {
        match self {
            SourcePlace::Host => "--source-root",
            SourcePlace::Container => "--source-root-in-container",
        }
    }

    /// The option that names a project there.
    pub(crate) fn project_option(self) -> &'static str {
        match self {
            SourcePlace::Host => "--project-dir",
            SourcePlace::Container => "--project-path-in-container",
        }
    }
}

/// A directory that the project is in, and that is staged with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRoot {
    /// Where it is.
    pub place: SourcePlace,
    /// The directory.
    pub dir: PathBuf,
    /// Arguments of `--also`: paths below it.
    pub also: Vec<PathBuf>,
    /// Whether all of it is staged, and not only what the project needs.
    pub whole: bool,
}

impl SourceRoot {
    /// The option that named it.
    pub fn option(&self) -> &'static str {
        self.place.option()
    }
}

impl SourceRootOptions {
    /// The source root in `dir`, if any.
    ///
    /// # Errors
    ///
    /// Exit code 2 for an option that needs a source root where there is none, and for a path
    /// that is not below it.
    pub fn request(
        self,
        dir: Option<(SourcePlace, PathBuf)>,
    ) -> anyhow::Result<Option<SourceRoot>> {
        let Some((place, dir)) = dir else {
            let option = match (self.also.first(), self.whole_root) {
                (Some(path), _) => format!("--also {}", path.display()),
                (None, true) => "--whole-root".to_owned(),
                (None, false) => return Ok(None),
            };
            return Err(Failure::usage(format!(
                "{option} takes a part of a source root, and none is given; name a directory above the project with --source-root (--source-root-in-container for a project in a container)"
            )));
        };
        let is_below = |path: &&PathBuf| {
            let mut parts = path.components();
            parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        };
        if let Some(path) = self
            .also
            .iter()
            .find(|path| !is_below(path) || path.as_os_str().is_empty())
        {
            return Err(Failure::usage(format!(
                "--also {}: give a path below the directory of {}, relative to it and without `..`",
                path.display(),
                place.option()
            )));
        }
        Ok(Some(SourceRoot {
            place,
            dir,
            also: self.also,
            whole: self.whole_root,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_root_need_one_and_lie_below_it() {
        let request = |also: &[&str], whole_root, root: Option<&str>| {
            let options = SourceRootOptions {
                also: also.iter().map(PathBuf::from).collect(),
                whole_root,
            };
            let root = root.map(|dir| (SourcePlace::Host, PathBuf::from(dir)));
            options.request(root).map_err(|error| error.to_string())
        };
        assert_eq!(request(&[], false, None), Ok(None));
        let root = request(&["docs", "./a/b"], false, Some("mono"))
            .unwrap()
            .unwrap();
        assert_eq!(root.option(), "--source-root");
        assert!(request(&[], true, Some("mono")).unwrap().unwrap().whole);
        for (also, whole) in [(&["docs"][..], false), (&[], true)] {
            assert!(
                request(also, whole, None)
                    .unwrap_err()
                    .contains("--source-root")
            );
        }
        for bad in ["", "/etc", "../x", "a/../b"] {
            let error = request(&[bad], false, Some("mono")).unwrap_err();
            assert!(error.contains("--also"), "{error}");
        }
    }
}
