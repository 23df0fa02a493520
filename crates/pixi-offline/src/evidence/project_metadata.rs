//! What the manifest of a project states about the project.

use toml_edit::{DocumentMut, Item, TableLike};

/// Metadata that a project's manifest states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectMetadata {
    /// Its version.
    pub version: Option<String>,
    /// Where its source is.
    pub source: Option<String>,
}

impl ProjectMetadata {
    /// Reads the text of a `pixi.toml` or `pyproject.toml`. What cannot be read says
    /// nothing: metadata is no reason to fail.
    pub fn of(name: &str, text: &str) -> ProjectMetadata {
        let Ok(document) = text.parse::<DocumentMut>() else {
            return ProjectMetadata::default();
        };
        let table = |path: &[&str]| -> Option<&dyn TableLike> {
            let mut item: &Item = document.as_item();
            for key in path {
                item = item.as_table_like()?.get(key)?;
            }
            item.as_table_like()
        };
        let text = |table: Option<&dyn TableLike>, keys: &[&str]| {
            let table = table?;
            keys.iter()
                .find_map(|key| table.get(key)?.as_str())
                .filter(|text| !text.chars().any(char::is_control))
                .map(str::to_owned)
        };
        let is_python = name == "pyproject.toml";
        let top: &[&str] = if is_python { &["tool", "pixi"] } else { &[] };
        let own = |last: &'static str| table(&[top, &[last]].concat());
        let pixi = own("workspace").or_else(|| own("project"));
        let package = own("package");
        let python = is_python.then(|| table(&["project"])).flatten();
        let urls = is_python.then(|| table(&["project", "urls"])).flatten();
        ProjectMetadata {
            version: text(pixi, &["version"])
                .or_else(|| text(package, &["version"]))
                .or_else(|| text(python, &["version"])),
            // Names of PyPI's list of well-known labels.
            source: text(pixi, &["repository"])
                .or_else(|| text(package, &["repository"]))
                .or_else(|| {
                    text(
                        urls,
                        &[
                            "Repository",
                            "repository",
                            "Source",
                            "source",
                            "Source Code",
                            "GitHub",
                            "github",
                        ],
                    )
                }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_source_are_read_from_either_manifest() {
        let facts = |version: &str, source: &str| ProjectMetadata {
            version: Some(version.to_owned()),
            source: Some(source.to_owned()),
        };
        let pixi = "[workspace]\nversion = '1.2'\nrepository = 'https://a.example'\n";
        assert_eq!(
            ProjectMetadata::of("pixi.toml", pixi),
            facts("1.2", "https://a.example")
        );
        let old = pixi.replace("workspace", "project");
        assert_eq!(
            ProjectMetadata::of("pixi.toml", &old),
            facts("1.2", "https://a.example")
        );
        let python = "[project]\nversion = '2'\nurls = { Source = 'https://b.example' }\n[tool.pixi.workspace]\nchannels = []\n";
        assert_eq!(
            ProjectMetadata::of("pyproject.toml", python),
            facts("2", "https://b.example")
        );
        for nothing in ["", "no toml", "[workspace]\nversion = 3\n"] {
            assert_eq!(
                ProjectMetadata::of("pixi.toml", nothing),
                ProjectMetadata::default()
            );
        }
    }
}
