//! A tree as it can be compared between runs: everything but times.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Mode, and content or link target, of each entry by its path.
pub type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// Reads the parts of a directory that are there.
pub fn tree(dir: &Path, parts: &[&str]) -> Tree {
    let mut tree = Tree::new();
    for part in parts {
        let path = dir.join(part);
        if path.symlink_metadata().is_ok() {
            add(dir, &path, &mut tree);
        }
    }
    tree
}

fn add(top: &Path, path: &Path, tree: &mut Tree) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let content = if metadata.is_symlink() {
        fs::read_link(path)
            .unwrap()
            .into_os_string()
            .into_encoded_bytes()
    } else if metadata.is_file() {
        fs::read(path).unwrap()
    } else {
        Vec::new()
    };
    let relative = path.strip_prefix(top).unwrap().to_owned();
    tree.insert(relative, (metadata.permissions().mode(), content));
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            add(top, &entry.unwrap().path(), tree);
        }
    }
}

/// Names below a directory that only a run at work may have there.
pub fn temporaries(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(dir, &mut found);
    found
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with('.') && name.contains("pixi-offline-") {
            found.push(path.clone());
        }
        if path.symlink_metadata().unwrap().is_dir() {
            collect(&path, found);
        }
    }
}
