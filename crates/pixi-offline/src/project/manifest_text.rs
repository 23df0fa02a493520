//! Reads the manifests of any tool, and what stands in them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use toml_edit::{DocumentMut, Item, Value};

use crate::packages::requirement_name;
use crate::regular_file;
use crate::toml::item;

/// The longest manifest that is looked into, in bytes.
const LONGEST_MANIFEST: u64 = 4 * 1024 * 1024;

/// The manifests of a directory of projects, each parsed once.
pub(super) struct Manifests<'a> {
    root: &'a Path,
    parsed: RefCell<HashMap<PathBuf, Option<Rc<DocumentMut>>>>,
}

impl<'a> Manifests<'a> {
    /// None yet of the directory `root`.
    pub(super) fn below(root: &'a Path) -> Manifests<'a> {
        Manifests {
            root,
            parsed: RefCell::default(),
        }
    }

    /// The manifest at a path below the root; `None` when it is none.
    pub(super) fn get(&self, file: &Path) -> Option<Rc<DocumentMut>> {
        let mut parsed = self.parsed.borrow_mut();
        let known = parsed.entry(file.to_owned());
        let known = known.or_insert_with(|| read(&self.root.join(file)).map(Rc::new));
        known.clone()
    }

    /// The text at a path below the root.
    pub(super) fn text(&self, file: &Path) -> Option<String> {
        read_text(&self.root.join(file))
    }
}

/// Reads a manifest; `None` when it is none.
pub(super) fn read(manifest: &Path) -> Option<DocumentMut> {
    read_text(manifest)?.parse().ok()
}

/// Reads a text no longer than a manifest may be; `None` when there is none.
pub(super) fn read_text(file: &Path) -> Option<String> {
    String::from_utf8(regular_file::read(file, LONGEST_MANIFEST).ok()?).ok()
}

/// The names of what the build of a Python package requires.
pub(super) fn build_requirements(manifest: &DocumentMut) -> Vec<String> {
    let requires = item(manifest, &["build-system", "requires"]).and_then(Item::as_array);
    let requires = requires.into_iter().flatten().filter_map(Value::as_str);
    requires.map(requirement_name).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::path::Path;

    /// Writes files below a directory, with the directories that they are in.
    pub(crate) fn write_files(dir: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let file = dir.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
    }
}
