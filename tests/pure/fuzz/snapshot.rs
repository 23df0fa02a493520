//! A tree as it is, to see afterwards whether it still is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// An entry: device and inode, mode, and content or where a link leads.
pub type Entry = (u64, u64, u32, Vec<u8>);

/// Everything below a directory by its path, but for what is at or below `without`.
pub fn snapshot(dir: &Path, without: Option<&Path>) -> BTreeMap<PathBuf, Entry> {
    let mut all = BTreeMap::new();
    let mut ahead = vec![dir.to_owned()];
    while let Some(path) = ahead.pop() {
        if Some(path.as_path()) == without {
            continue;
        }
        let metadata = fs::symlink_metadata(&path).expect("an entry");
        let content = if metadata.is_symlink() {
            fs::read_link(&path)
                .expect("a link")
                .into_os_string()
                .into_encoded_bytes()
        } else if metadata.is_file() {
            fs::read(&path).expect("a file")
        } else {
            let entries = fs::read_dir(&path).expect("a directory");
            ahead.extend(entries.map(|entry| entry.expect("an entry").path()));
            Vec::new()
        };
        let entry = (metadata.dev(), metadata.ino(), metadata.mode(), content);
        all.insert(path, entry);
    }
    all
}
