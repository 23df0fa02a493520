//! What a copy will do, without making it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::AddAssign;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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

/// What a copy would take, and what it would leave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// What would be copied.
    pub size: Size,
    /// For each rule that keeps something back, how many entries it meets; what
    /// lies in a folder that is left counts with that folder.
    pub left: BTreeMap<OsString, u64>,
    /// Folders of which `skip` said true, from the source's top.
    pub skipped: Vec<PathBuf>,
}

/// Looks at what [`copy_tree`](crate::staging::copy_tree) would do with `source`
/// by `rules`, without the folders of which `skip` says true. What cannot be
/// looked at counts nothing: the copy will name it. Nothing is there where
/// `source` is not.
pub fn survey(
    source: &Path,
    rules: &Rules,
    skip: impl Fn(&Path) -> bool + Send + Sync + 'static,
) -> Survey {
    let Ok(root) = source.canonicalize() else {
        return Survey::default();
    };
    // Filled by the walk's filter, which decides what is not even entered.
    let survey = Arc::new(Mutex::new(Survey::default()));
    let (top, rules, filled) = (root.clone(), rules.clone(), Arc::clone(&survey));
    let mut walk = WalkBuilder::new(&root);
    walk.standard_filters(false).follow_links(false);
    walk.filter_entry(move |entry| {
        let path = entry.path();
        let relative = path.strip_prefix(&top).unwrap_or(path);
        let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
        let mut survey = filled.lock().unwrap_or_else(PoisonError::into_inner);
        if rules.excludes(relative, is_dir) {
            let rule = rules.deciding(relative, is_dir).unwrap_or_default();
            *survey.left.entry(rule.to_owned()).or_default() += 1;
            false
        } else if entry.depth() > 0 && is_dir && skip(path) {
            survey.skipped.push(relative.to_owned());
            false
        } else {
            true
        }
    });
    let mut size = Size::default();
    for entry in walk.build().flatten() {
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        size.entries += 1;
        size.bytes += if metadata.is_file() {
            metadata.size()
        } else {
            0
        };
    }
    let survey = std::mem::take(&mut *survey.lock().unwrap_or_else(PoisonError::into_inner));
    Survey { size, ..survey }
}

/// Why a path below the top of a tree is copied, or is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The part of the path that was decided on: itself, or the first folder above
    /// it that stays behind.
    pub decided: PathBuf,
    /// Whether the path stays behind.
    pub left: bool,
    /// The rule that decided, as it was given; `None` when none matched, which
    /// keeps a path.
    pub rule: Option<OsString>,
}

/// Explains what `rules` say of `relative`, a path below the top; `is_dir` is
/// about the entry itself.
pub fn explain(relative: &Path, is_dir: bool, rules: &Rules) -> Explanation {
    let mut above: Vec<&Path> = relative
        .ancestors()
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    above.reverse();
    for path in above {
        let is_dir = is_dir || path != relative;
        if rules.excludes(path, is_dir) || path == relative {
            return Explanation {
                decided: path.to_owned(),
                left: rules.excludes(path, is_dir),
                rule: rules.deciding(path, is_dir).map(OsStr::to_owned),
            };
        }
    }
    Explanation {
        decided: relative.to_owned(),
        left: false,
        rule: None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::staging::copy_tree;

    #[test]
    fn what_is_surveyed_is_what_is_copied() {
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
        let survey = survey(&source, &rules, skip);
        let size = survey.size;
        let copied = copy_tree(&source, &root.path().join("target"), &rules, &skip).unwrap();
        // The top folder takes an inode too.
        assert_eq!(
            (size.bytes, size.entries),
            (copied.bytes, copied.entries + 1)
        );
        assert_eq!((size.bytes, size.entries), (3, 5));
        assert_eq!(survey.left, BTreeMap::from([("left/".into(), 1)]));
        assert_eq!(survey.skipped, [Path::new("skipped")]);
    }

    #[test]
    fn a_path_is_explained_by_the_first_folder_that_stays_behind() {
        let mut rules = Rules::new();
        for rule in ["+ /data/keep", "/data/*", "*.tmp"] {
            rules.push(OsStr::new(rule)).unwrap();
        }
        let explained = |path: &str, is_dir| {
            let explanation = explain(Path::new(path), is_dir, &rules);
            (
                explanation.decided.display().to_string(),
                explanation.left,
                explanation.rule.map(|rule| rule.into_string().unwrap()),
            )
        };
        let row = |decided: &str, left, rule: Option<&str>| {
            (decided.to_owned(), left, rule.map(str::to_owned))
        };
        assert_eq!(
            explained("data/raw/a.txt", false),
            row("data/raw", true, Some("/data/*"))
        );
        assert_eq!(
            explained("data/keep", false),
            row("data/keep", false, Some("+ /data/keep"))
        );
        assert_eq!(
            explained("a/b.tmp", false),
            row("a/b.tmp", true, Some("*.tmp"))
        );
        assert_eq!(explained("a/b", true), row("a/b", false, None));
    }
}
