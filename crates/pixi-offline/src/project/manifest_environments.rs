//! The environments of a manifest, and the platforms that each is for.

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools as _;
use serde::{Deserialize, Serialize};
use toml_edit::TableLike;

use crate::failure::Failure;
use crate::packages::Subdir;
use crate::project::workspace_platforms::WorkspacePlatform;
use crate::request::DEFAULT_ENVIRONMENT;

/// The environments of a manifest by name, each with the subdirs that it can be installed
/// for, `None` where that cannot be read. Empty when the manifest cannot be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ManifestEnvironments(BTreeMap<String, Option<BTreeSet<Subdir>>>);

impl ManifestEnvironments {
    /// Reads pixi's table of a manifest; `workspace` are its platforms.
    pub(crate) fn read(
        manifest: &dyn TableLike,
        workspace: Option<&[WorkspacePlatform]>,
    ) -> ManifestEnvironments {
        let mut known = BTreeMap::from([(DEFAULT_ENVIRONMENT.to_owned(), Vec::new())]);
        let table = manifest
            .get("environments")
            .and_then(|item| item.as_table_like());
        for (name, item) in table.into_iter().flat_map(TableLike::iter) {
            let features = match item.as_table_like() {
                Some(environment) => environment.get("features"),
                None => Some(item),
            };
            let features = features.and_then(|item| item.as_array()).into_iter();
            let names = features.flatten().filter_map(|name| name.as_str());
            known.insert(name.to_owned(), names.map(str::to_owned).collect());
        }
        let subdirs_of = |features: Vec<String>| {
            let own = features
                .iter()
                .filter_map(|feature| platforms_of(manifest, feature, workspace));
            let subdirs = own.reduce(|all, one| all.intersection(&one).copied().collect());
            subdirs.or_else(|| {
                let workspace = workspace.filter(|all| !all.is_empty())?;
                Some(workspace.iter().map(|one| one.subdir).collect())
            })
        };
        let known = known.into_iter();
        ManifestEnvironments(
            known
                .map(|(name, features)| (name, subdirs_of(features)))
                .collect(),
        )
    }

    /// Whether an environment may be for the platform of an image; where that is not known,
    /// for one that an image can have. What the manifest does not tell may be.
    pub(crate) fn is_for(&self, environment: &str, subdir: Option<Subdir>) -> bool {
        let Some(Some(subdirs)) = self.0.get(environment) else {
            return true;
        };
        match subdir {
            Some(subdir) => subdirs.contains(&subdir),
            None => subdirs.iter().any(|one| one.is_linux()),
        }
    }

    /// Requires that environments may be for the platform of an image.
    ///
    /// # Errors
    ///
    /// Exit code 2 naming one that is not, and what it is for.
    pub(crate) fn require(
        &self,
        environments: &[String],
        subdir: Option<Subdir>,
    ) -> anyhow::Result<()> {
        let mut others = environments
            .iter()
            .filter(|name| !self.is_for(name, subdir));
        let Some(other) = others.next() else {
            return Ok(());
        };
        let subdirs = self.0.get(other).and_then(Option::as_ref);
        let subdirs: Vec<&str> = subdirs
            .into_iter()
            .flatten()
            .map(|one| one.as_str())
            .collect();
        let only = match subdirs.as_slice() {
            [] => "no platform: its features have none in common".to_owned(),
            some => format!("{} only", some.join(", ")),
        };
        // Without an image nothing but its being a Linux is known.
        let platform = subdir.unwrap_or(Subdir::Linux64);
        let image = match subdir {
            Some(subdir) => format!("the image is for {subdir}"),
            None => "an image is for Linux".to_owned(),
        };
        Err(Failure::usage(format!(
            "the manifest has environment {other} for {only}, and {image}: name other environments with --environment, or add {platform} to the platforms of the project or of the environment's features and run `pixi lock`"
        )))
    }

    /// Requires that the manifest has environments of these names.
    ///
    /// # Errors
    ///
    /// Exit code 2 naming one that it has not, and those that it has.
    pub(crate) fn require_names(&self, environments: &[String]) -> anyhow::Result<()> {
        let missing = environments.iter().find(|name| !self.0.contains_key(*name));
        match missing {
            Some(missing) if !self.0.is_empty() => Err(Failure::usage(format!(
                "the manifest has no environment {missing}; it has {}",
                self.0.keys().join(", ")
            ))),
            _ => Ok(()),
        }
    }
}

/// The subdirs that a feature names; `None` where it names none or they cannot be read.
fn platforms_of(
    manifest: &dyn TableLike,
    feature: &str,
    workspace: Option<&[WorkspacePlatform]>,
) -> Option<BTreeSet<Subdir>> {
    let feature = manifest.get("feature")?.as_table_like()?.get(feature)?;
    let platforms = feature.as_table_like()?.get("platforms")?.as_array()?;
    let subdir_of = |entry| {
        // The name of a platform of the workspace, or a platform of its own.
        let name = WorkspacePlatform::name_of(entry);
        let mut workspace = workspace.into_iter().flatten();
        let known = workspace.find(|known| name.is_some() && known.name.as_deref() == name);
        match known {
            Some(known) => Some(known.subdir),
            None => Some(WorkspacePlatform::read(entry)?.subdir),
        }
    };
    platforms.iter().map(subdir_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_for_what_its_features_have_in_common_else_for_the_workspace() {
        let text = "
[feature]
mac.platforms = ['osx-arm64', 'osx-64']
m1.platforms = ['osx-arm64']
gpu.platforms = ['gpu']
win.platforms = ['win-64']
plain.dependencies.python = '*'
[environments]
apple = ['mac', 'plain']
m1 = { features = ['m1', 'mac'], solve-group = 'x' }
gpu = { features = ['gpu'], no-default-feature = true }
none = ['win', 'm1']
plain = ['plain', 'not-there']
";
        let document: toml_edit::DocumentMut = text.parse().unwrap();
        let platforms = "a = ['linux-64', { name = 'gpu', platform = 'linux-aarch64' }]";
        let platforms: toml_edit::DocumentMut = platforms.parse().unwrap();
        let workspace = WorkspacePlatform::read_all(platforms["a"].as_array().unwrap());
        let read = ManifestEnvironments::read(document.as_table(), workspace.as_deref());
        let shown = |name: &str| {
            let subdirs = read.0[name].as_ref().unwrap();
            let subdirs = subdirs.iter().map(|one| one.as_str());
            subdirs.collect::<Vec<_>>().join(" ")
        };
        for (name, subdirs) in [
            ("default", "linux-64 linux-aarch64"),
            ("apple", "osx-64 osx-arm64"),
            ("m1", "osx-arm64"),
            ("gpu", "linux-aarch64"),
            ("none", ""),
            ("plain", "linux-64 linux-aarch64"),
        ] {
            assert_eq!(shown(name), subdirs, "{name}");
        }
        let said = |name: &str, subdir| {
            let result = read.require(&[name.to_owned()], subdir);
            result
                .map_err(|error| error.to_string())
                .err()
                .unwrap_or_default()
        };
        assert!(
            said("gpu", Some(Subdir::Linux64)).contains("environment gpu for linux-aarch64 only")
        );
        assert!(said("none", Some(Subdir::Linux64)).contains("no platform"));
        assert!(said("apple", None).contains("an image is for Linux"));
        for (name, subdir) in [
            ("gpu", Some(Subdir::LinuxAarch64)),
            ("gpu", None),
            ("x", None),
        ] {
            assert_eq!(said(name, subdir), "", "{name}");
        }
        let unread = ManifestEnvironments::read(document.as_table(), None);
        for name in ["plain", "gpu"] {
            assert_eq!(unread.0[name], None);
            assert!(unread.is_for(name, Some(Subdir::Win64)));
        }
    }
}
