//! A listing of a tree with all that must not change.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// A line for each entry, sorted: path, mode, owner, size, time, link target or sha256.
pub fn listing(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    add(dir, dir, &mut lines);
    lines.sort();
    lines
}

fn add(top: &Path, path: &Path, lines: &mut Vec<String>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let content = if metadata.is_symlink() {
        fs::read_link(path).unwrap().display().to_string()
    } else if metadata.is_file() {
        format!("{:x}", Sha256::digest(fs::read(path).unwrap()))
    } else {
        String::new()
    };
    lines.push(format!(
        "{:?} {:o} {}:{} {} {}.{} {content}",
        std::ffi::OsStr::from_bytes(path.strip_prefix(top).unwrap().as_os_str().as_bytes()),
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        if metadata.is_dir() { 0 } else { metadata.len() },
        metadata.mtime(),
        metadata.mtime_nsec(),
    ));
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            add(top, &entry.unwrap().path(), lines);
        }
    }
}
