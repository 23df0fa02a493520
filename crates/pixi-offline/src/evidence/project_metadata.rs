//! What the manifest of a project states about the project.

use toml_edit::DocumentMut;

use crate::toml::item;

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
        let text = |keys: &[&str]| {
            let text = item(&document, keys)?.as_str()?;
            let is_plain = !text.chars().any(char::is_control);
            is_plain.then(|| text.to_owned())
        };
        let tables: &[&[&str]] = match name {
            "pyproject.toml" => &[
                &["tool", "pixi", "workspace"],
                &["tool", "pixi", "project"],
                &["tool", "pixi", "package"],
                &["project"],
            ],
            _ => &[&["workspace"], &["project"], &["package"]],
        };
        let in_tables = |key| {
            let mut tables = tables.iter();
            tables.find_map(|table| text(&[table, &[key][..]].concat()))
        };
        // Names of PyPI's list of well-known labels.
        let mut labels = [
            "Repository",
            "repository",
            "Source",
            "source",
            "Source Code",
            "GitHub",
            "github",
        ]
        .into_iter();
        ProjectMetadata {
            version: in_tables("version"),
            source: in_tables("repository")
                .or_else(|| labels.find_map(|label| text(&["project", "urls", label]))),
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
