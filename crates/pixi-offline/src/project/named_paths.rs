//! The paths that the manifests of a directory name, as they stand in them.

use std::path::{Path, PathBuf};

use serde_yaml::Value as Yaml;
use toml_edit::{DocumentMut, TableLike, Value};

use crate::layout;
use crate::project::manifest_text::Manifests;

/// Recipes of rattler-build, where its build backend of pixi looks for them.
const RECIPES: [&str; 4] = [
    "recipe.yaml",
    "recipe.yml",
    "recipe/recipe.yaml",
    "recipe/recipe.yml",
];

/// The manifest of a Rust crate, of which maturin builds a Python package.
pub(super) const CRATE_MANIFEST: &str = "Cargo.toml";

/// Keys whose text is a path, be it a directory or a file.
const PATH_KEYS: [&str; 2] = ["path", "manifest-path"];

/// hatch's table whose keys are paths.
const FORCE_INCLUDE: &str = "force-include";

/// A text of a manifest that may be a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NamedPath {
    /// It, relative to `of`.
    pub(super) text: String,
    /// The directory of the manifest, as it was given.
    pub(super) of: PathBuf,
    /// Whether it is a path by its key; any other text may only look like one.
    pub(super) is_path: bool,
}

/// What the manifests in a directory name.
pub(super) fn in_dir(manifests: &Manifests<'_>, dir: &Path) -> Vec<NamedPath> {
    let mut named = Vec::new();
    for name in layout::PROJECT_MANIFESTS.iter().chain([&CRATE_MANIFEST]) {
        if let Some(manifest) = manifests.get(&dir.join(name)) {
            named.extend(in_manifest(&manifest, dir));
        }
    }
    for name in RECIPES {
        let recipe = dir.join(name);
        let text = manifests.text(&recipe);
        if let Some(yaml) = text.and_then(|text| serde_yaml::from_str(&text).ok()) {
            let of = recipe.parent().unwrap_or(dir);
            collect_yaml("", &yaml, &mut |key, text| {
                named.push(NamedPath::new(key, text, of));
            });
        }
    }
    named
}

/// What a manifest in the directory `of` names.
pub(super) fn in_manifest(manifest: &DocumentMut, of: &Path) -> Vec<NamedPath> {
    let mut named = Vec::new();
    collect("", manifest.as_table(), &mut |key, text| {
        named.push(NamedPath::new(key, text, of));
    });
    named
}

/// The texts of a manifest.
pub(super) fn texts(manifest: &DocumentMut) -> Vec<String> {
    let mut texts = Vec::new();
    collect("", manifest.as_table(), &mut |_, text| {
        texts.push(text.to_owned());
    });
    texts
}

impl NamedPath {
    fn new(key: &str, text: &str, of: &Path) -> NamedPath {
        NamedPath {
            text: text.to_owned(),
            of: of.to_owned(),
            is_path: PATH_KEYS.contains(&key) || key == FORCE_INCLUDE,
        }
    }
}

/// Whether a file is a manifest by its name: who names it means its directory.
pub(super) fn is_manifest(file: &Path) -> bool {
    let name = file.file_name();
    let mut names = layout::PROJECT_MANIFESTS
        .iter()
        .chain([&CRATE_MANIFEST])
        .chain(&RECIPES[..2]);
    names.any(|manifest| name == Some((*manifest).as_ref()))
}

/// Has `visit` each text of a table with its key; of the table `key` is the name.
fn collect(key: &str, table: &dyn TableLike, visit: &mut dyn FnMut(&str, &str)) {
    for (name, item) in table.iter() {
        if key == FORCE_INCLUDE {
            visit(key, name);
        } else if let Some(value) = item.as_value() {
            collect_value(name, value, visit);
        } else if let Some(table) = item.as_table_like() {
            collect(name, table, visit);
        } else if let Some(tables) = item.as_array_of_tables() {
            tables.iter().for_each(|table| collect(name, table, visit));
        }
    }
}

fn collect_value(key: &str, value: &Value, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => visit(key, text.value()),
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect_value(key, value, visit)),
        Value::InlineTable(table) => collect(key, table, visit),
        _ => {}
    }
}

fn collect_yaml(key: &str, yaml: &Yaml, visit: &mut dyn FnMut(&str, &str)) {
    match yaml {
        Yaml::String(text) => visit(key, text),
        Yaml::Sequence(values) => values
            .iter()
            .for_each(|value| collect_yaml(key, value, visit)),
        Yaml::Mapping(mapping) => {
            for (name, value) in mapping {
                collect_yaml(name.as_str().unwrap_or_default(), value, visit);
            }
        }
        Yaml::Tagged(tagged) => collect_yaml(key, &tagged.value, visit),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::manifest_text::tests::write_files;

    #[test]
    fn paths_are_known_by_their_keys_in_toml_and_yaml() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            (
                "a/pyproject.toml",
                "[tool.hatch.build.targets.wheel.force-include]\n'../shared' = 'x/shared'\n[project]\nreadme = '../README.md'\n[tool.maturin]\nmanifest-path = 'rust/Cargo.toml'\n",
            ),
            (
                "a/Cargo.toml",
                "[dependencies]\ncore = { path = '../core' }\n",
            ),
            (
                "a/recipe/recipe.yaml",
                "source:\n  - path: ../../common\n  - if: win\n    then: { path: ../../win }\nabout:\n  license_file: ../../LICENSE\n",
            ),
            ("b/recipe.yml", "source: { path: ../common }\nx: 1\n"),
            ("c/recipe.yaml", "source: [unfinished\n"),
        ];
        write_files(root.path(), &files);
        let found = |dir: &str, is_path: bool| -> Vec<(String, String)> {
            let mut found: Vec<_> = in_dir(&Manifests::below(root.path()), Path::new(dir))
                .into_iter()
                .filter(|named| named.is_path == is_path)
                .map(|named| (named.of.display().to_string(), named.text))
                .collect();
            found.sort();
            found
        };
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let owned = |(of, text): &(&str, &str)| ((*of).to_owned(), (*text).to_owned());
            pairs.iter().map(owned).collect()
        };
        let expected = [
            ("a", "../core"),
            ("a", "../shared"),
            ("a", "rust/Cargo.toml"),
            ("a/recipe", "../../common"),
            ("a/recipe", "../../win"),
        ];
        assert_eq!(found("a", true), pairs(&expected));
        assert!(found("a", false).contains(&("a/recipe".into(), "../../LICENSE".into())));
        assert_eq!(found("b", true), pairs(&[("b", "../common")]));
        assert_eq!(found("c", true), []);
    }
}
