//! What an image says of itself.

use toml_edit::{DocumentMut, Item, TableLike};

use crate::proof::Sha256Digest;
use crate::proof::manifest::Facts;
use crate::request::{EnvironmentName, ImageReference, ImageSetting};

/// The label with the digest of the product that an image was made from.
pub const PRODUCT_DIGEST: &str = "io.github.pixi-offline.product.digest";

/// A label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Label {
    /// A label.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Label {
        Label {
            key: key.into(),
            value: value.into(),
        }
    }
}

/// What a project's manifest says of the project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectFacts {
    /// Its version.
    pub version: Option<String>,
    /// Where its source is.
    pub source: Option<String>,
}

impl ProjectFacts {
    /// Reads the text of a `pixi.toml` or `pyproject.toml`. What cannot be read says
    /// nothing: labels are no reason to fail.
    pub fn of(name: &str, text: &str) -> ProjectFacts {
        let Ok(document) = text.parse::<DocumentMut>() else {
            return ProjectFacts::default();
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
        ProjectFacts {
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

/// An address without the login that it may have: a label can be read by everybody.
fn without_login(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The labels of an image: those of the OCI image specification
/// (annotations.md) first. What is not known is empty, so that no value of the base
/// image stands in its place. Those that were asked for win.
pub fn labels(
    facts: &Facts,
    digest: &Sha256Digest,
    project: &ProjectFacts,
    environment: &EnvironmentName,
    base: &ImageReference,
    asked: &[ImageSetting],
) -> Vec<Label> {
    let revision = facts.project.git.as_ref().map(|state| {
        let mark = if state.dirty == Some(true) {
            "-dirty"
        } else {
            ""
        };
        format!("{}{mark}", state.commit)
    });
    let lock = facts.project.lock.as_ref();
    let known = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut labels = vec![
        Label::new(
            "org.opencontainers.image.title",
            one_line(&facts.project.name),
        ),
        Label::new("org.opencontainers.image.version", known(&project.version)),
        Label::new(
            "org.opencontainers.image.source",
            without_login(&known(&project.source)),
        ),
        Label::new("org.opencontainers.image.revision", known(&revision)),
        Label::new("org.opencontainers.image.base.name", base.as_str()),
        Label::new("io.github.pixi-offline.environment", environment.as_str()),
        Label::new(
            "io.github.pixi-offline.lock.digest",
            lock.map(|lock| format!("sha256:{}", lock.sha256))
                .unwrap_or_default(),
        ),
        Label::new(PRODUCT_DIGEST, format!("sha256:{digest}")),
    ];
    for setting in asked {
        labels.retain(|label| label.key != setting.key());
        labels.push(Label::new(setting.key(), setting.value()));
    }
    labels
}

/// A Dockerfile has no word for a control character.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_gives_no_login_away() {
        for (address, label) in [
            (
                "https://me:secret@git.example/a@b",
                "https://git.example/a@b",
            ),
            ("https://git.example", "https://git.example"),
            ("git@git.example:a/b", "git@git.example:a/b"),
            ("", ""),
        ] {
            assert_eq!(without_login(address), label);
        }
    }

    #[test]
    fn version_and_source_are_read_from_either_manifest() {
        let facts = |version: &str, source: &str| ProjectFacts {
            version: Some(version.to_owned()),
            source: Some(source.to_owned()),
        };
        let pixi = "[workspace]\nversion = '1.2'\nrepository = 'https://a.example'\n";
        assert_eq!(
            ProjectFacts::of("pixi.toml", pixi),
            facts("1.2", "https://a.example")
        );
        let old = pixi.replace("workspace", "project");
        assert_eq!(
            ProjectFacts::of("pixi.toml", &old),
            facts("1.2", "https://a.example")
        );
        let python = "[project]\nversion = '2'\nurls = { Source = 'https://b.example' }\n[tool.pixi.workspace]\nchannels = []\n";
        assert_eq!(
            ProjectFacts::of("pyproject.toml", python),
            facts("2", "https://b.example")
        );
        for nothing in ["", "no toml", "[workspace]\nversion = 3\n"] {
            assert_eq!(
                ProjectFacts::of("pixi.toml", nothing),
                ProjectFacts::default()
            );
        }
    }
}
