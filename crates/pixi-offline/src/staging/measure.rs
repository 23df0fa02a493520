//! How large a copy will be, without making it.

use std::fs;
use std::ops::AddAssign;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ignore::WalkBuilder;

use crate::staging::Rules;

/// What a tree takes on a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Content of the regular files, in bytes.
    pub bytes: u64,
    /// Entries: folders, files, links and the rest. Each takes an inode.
    pub entries: u64,
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Size) {
        self.bytes += other.bytes;
        self.entries += other.entries;
    }
}

/// Measures what [`copy_tree`](crate::staging::copy_tree) would copy of `source`
/// by `rules`, without the folders of which `skip` says true. What cannot be
/// looked at counts nothing: the copy will name it. Nothing is there where
/// `source` is not.
pub fn measure(
    source: &Path,
    rules: &Rules,
    skip: impl Fn(&Path) -> bool + Send + Sync + 'static,
) -> Size {
    let Ok(root) = source.canonicalize() else {
        return Size::default();
    };
    let mut walk = WalkBuilder::new(&root);
    walk.standard_filters(false).follow_links(false);
    let (top, rules) = (root.clone(), rules.clone());
    walk.filter_entry(move |entry| {
        let relative = entry.path().strip_prefix(&top).unwrap_or(entry.path());
        let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
        entry.depth() == 0 || !(rules.excludes(relative, is_dir) || (is_dir && skip(entry.path())))
    });
    let mut size = Size::default();
    for entry in walk.build().flatten() {
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        size.entries += 1;
        if metadata.is_file() {
            size.bytes += metadata.size();
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::staging::copy_tree;

    #[test]
    fn what_is_measured_is_what_is_copied() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        for folder in ["a/b", "left", "skipped/in"] {
            fs::create_dir_all(source.join(folder)).unwrap();
            fs::write(source.join(folder).join("file"), folder).unwrap();
        }
        symlink("nowhere", source.join("a/link")).unwrap();
        let mut rules = Rules::new();
        rules.push(OsStr::new("left/")).unwrap();
        let skip = |folder: &Path| folder.ends_with("skipped");
        let size = measure(&source, &rules, skip);
        let copied = copy_tree(&source, &root.path().join("target"), &rules, &skip).unwrap();
        // The top folder takes an inode too.
        assert_eq!(
            (size.bytes, size.entries),
            (copied.bytes, copied.entries + 1)
        );
        assert_eq!((size.bytes, size.entries), (3, 5));
    }
}
