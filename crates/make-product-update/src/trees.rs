//! Directories of the old product that are the same in the new one, with everything in them: a target
//! copies each of these as a whole.

use std::collections::HashMap;

use pixi_offline::evidence::manifest::{Entry, EntryKind};

use crate::sources::CopiedEntry;

/// How many files and links such a directory has at most: several processes share the work.
const MOST_IN_ONE: u64 = 1_000;

/// What a mode lets its owner do with a directory: list it, and go into it.
const OPEN: u32 = 0o500;

/// The largest of these directories.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Trees<'a> {
    /// Their paths, sorted.
    pub(crate) dirs: Vec<&'a [u8]>,
    /// The directories of the new product that are in none of them.
    pub(crate) dirs_apart: Vec<&'a [u8]>,
    /// What is kept in them.
    pub(crate) kept: Vec<&'a [u8]>,
    /// What is kept elsewhere.
    pub(crate) apart: Vec<&'a [u8]>,
}

/// A directory that both products have.
#[derive(Debug, Default)]
struct CommonDir<'a> {
    path: &'a [u8],
    is_open: bool,
    /// Entries in it, at any depth, of the old product and of the new one.
    old: u64,
    new: u64,
    /// Those that both have: files and links, and directories that are open.
    kept: u64,
    dirs: u64,
    is_in_tree: bool,
}

impl CommonDir<'_> {
    fn is_same(&self) -> bool {
        let same = self.kept + self.dirs;
        self.is_open && self.old == same && self.new == same
    }
}

impl<'a> Trees<'a> {
    /// Finds them; the lists are sorted by the bytes of the paths, and `kept` is what both have at the same path.
    pub(crate) fn find(old: &[Entry], new: &'a [Entry], kept: &[CopiedEntry<'a>]) -> Trees<'a> {
        let mut dirs = SharedDirs::of(old, new);
        for entry in old {
            dirs.count(entry.path.bytes(), |dir| dir.old += 1);
        }
        for entry in new {
            dirs.count(entry.path.bytes(), |dir| dir.new += 1);
        }
        for copied in kept {
            dirs.count(copied.new.path.bytes(), |dir| dir.kept += 1);
        }
        dirs.add_what_is_deeper();
        let mut trees = Trees {
            dirs: dirs.choose(),
            dirs_apart: dirs.apart(new),
            ..Trees::default()
        };
        for copied in kept {
            let path = copied.new.path.bytes();
            match dirs.above(path).is_some_and(|dir| dir.is_in_tree) {
                true => trees.kept.push(path),
                false => trees.apart.push(path),
            }
        }
        trees
    }
}

/// The directories that both products have, sorted: each after the one that it is in.
struct SharedDirs<'a> {
    dirs: Vec<CommonDir<'a>>,
    places: HashMap<&'a [u8], usize>,
    /// The place that was found last: entries of one directory come one after the other.
    last: Option<usize>,
}

impl<'a> SharedDirs<'a> {
    fn of(old: &[Entry], new: &'a [Entry]) -> SharedDirs<'a> {
        let mut dirs = Vec::new();
        let mut old = old.iter().peekable();
        for entry in new {
            let path = entry.path.bytes();
            while old.next_if(|old| old.path.bytes() < path).is_some() {}
            let Some(same) = old.next_if(|old| old.path.bytes() == path) else {
                continue;
            };
            if let (EntryKind::Directory { mode }, EntryKind::Directory { .. }) =
                (&same.kind, &entry.kind)
            {
                dirs.push(CommonDir {
                    path,
                    is_open: mode.bits() & OPEN == OPEN,
                    ..CommonDir::default()
                });
            }
        }
        let places = dirs
            .iter()
            .enumerate()
            .map(|(place, dir)| (dir.path, place));
        SharedDirs {
            places: places.collect(),
            dirs,
            last: None,
        }
    }

    /// The directory that an entry is in.
    fn above(&mut self, path: &[u8]) -> Option<&mut CommonDir<'a>> {
        let end = path.iter().rposition(|byte| *byte == b'/')?;
        let dir = &path[..end];
        let is_last = self.last.is_some_and(|last| self.dirs[last].path == dir);
        if !is_last {
            self.last = self.places.get(dir).copied();
        }
        self.last.map(|place| &mut self.dirs[place])
    }

    fn count(&mut self, path: &[u8], add: impl FnOnce(&mut CommonDir<'a>)) {
        if let Some(dir) = self.above(path) {
            add(dir);
        }
    }

    /// Adds what is in each directory to the one that it is in.
    fn add_what_is_deeper(&mut self) {
        for place in (0..self.dirs.len()).rev() {
            let CommonDir {
                path,
                is_open,
                old,
                new,
                kept,
                dirs,
                ..
            } = self.dirs[place];
            self.count(path, |above| {
                above.old += old;
                above.new += new;
                above.kept += kept;
                above.dirs += dirs + u64::from(is_open);
            });
        }
    }

    /// Those of the new product that are neither chosen nor in one that is.
    fn apart(&self, new: &'a [Entry]) -> Vec<&'a [u8]> {
        let is_dir = |entry: &&Entry| matches!(entry.kind, EntryKind::Directory { .. });
        let is_apart = |path: &&[u8]| {
            let place = self.places.get(path);
            place.is_none_or(|place| !self.dirs[*place].is_in_tree)
        };
        let paths = new.iter().filter(is_dir).map(|entry| entry.path.bytes());
        paths.filter(is_apart).collect()
    }

    /// Marks the largest that are the same and not too large, and what is in them.
    fn choose(&mut self) -> Vec<&'a [u8]> {
        let mut chosen = Vec::new();
        for place in 0..self.dirs.len() {
            let path = self.dirs[place].path;
            let mut is_in_tree = self.above(path).is_some_and(|above| above.is_in_tree);
            let dir = &mut self.dirs[place];
            if !is_in_tree && dir.is_same() && (1..=MOST_IN_ONE).contains(&dir.kept) {
                chosen.push(path);
                is_in_tree = true;
            }
            dir.is_in_tree = is_in_tree;
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use pixi_offline::evidence::manifest::{EncodedPath, Mode};

    use super::*;
    use crate::sources::UpdateSources;
    use crate::sources::tests::file;

    fn directory(path: &str, mode: u32) -> Entry {
        Entry {
            path: EncodedPath::new(path),
            kind: EntryKind::Directory {
                mode: Mode::of(mode),
            },
        }
    }

    /// Files and the directories above them; what ends with a slash is a directory without any.
    fn entries(files: &[(&str, &str)]) -> Vec<Entry> {
        let mut entries = BTreeMap::new();
        for (path, content) in files {
            let ends = path.match_indices('/').map(|(end, _)| &path[..end]);
            for dir in ends {
                let mode = if dir.ends_with("closed") {
                    0o300
                } else {
                    0o755
                };
                entries.insert(dir, directory(dir, mode));
            }
            if !path.ends_with('/') {
                entries.insert(path, file(path, content));
            }
        }
        entries.into_values().collect()
    }

    fn texts(paths: &[&[u8]]) -> Vec<String> {
        let text = |path: &&[u8]| String::from_utf8_lossy(path).into_owned();
        paths.iter().map(text).collect()
    }

    fn find(old: &[(&str, &str)], new: &[(&str, &str)]) -> [Vec<String>; 4] {
        let (old, new) = (entries(old), entries(new));
        let sources = UpdateSources::find(&old, &new);
        let trees = Trees::find(&old, &new, &sources.kept);
        [&trees.dirs, &trees.dirs_apart, &trees.kept, &trees.apart].map(|paths| texts(paths))
    }

    #[test]
    fn the_largest_directories_that_are_the_same_are_found() {
        let same = [
            ("a/b/1", "1"),
            ("a/b/c/2", "2"),
            ("a/b-d/3", "3"),
            ("a/e/", ""),
        ];
        let [dirs, apart, kept, others] = find(&same, &same);
        assert_eq!((dirs, apart.len()), (vec!["a".to_owned()], 0));
        assert_eq!((kept.len(), others.len()), (3, 0));
        // One file that changed, was added, went or is another kind of thing: the rest stays whole.
        let changes: [&[(&str, &str)]; 5] = [
            &[
                ("a/b/1", "1"),
                ("a/b/c/2", "2"),
                ("a/b-d/3", "other"),
                ("a/e/", ""),
            ],
            &[
                ("a/b/1", "1"),
                ("a/b/c/2", "2"),
                ("a/b-d/3", "3"),
                ("a/b-d/4", "4"),
                ("a/e/", ""),
            ],
            &[("a/b/1", "1"), ("a/b/c/2", "2"), ("a/e/", "")],
            &[
                ("a/b/1", "1"),
                ("a/b/c/2", "2"),
                ("a/b-d/3/4", "3"),
                ("a/e/", ""),
            ],
            &[("a/b/1", "1"), ("a/b/c/2", "2"), ("a/b-d/3", "3")],
        ];
        for change in changes {
            for (old, new) in [(&same[..], change), (change, &same[..])] {
                let [dirs, apart, kept, _] = find(old, new);
                assert!(dirs.contains(&"a/b".to_owned()), "{dirs:?}");
                assert!(
                    apart.contains(&"a".to_owned()) && !apart.contains(&"a/b/c".to_owned()),
                    "{apart:?}"
                );
                for path in ["a/b/1", "a/b/c/2"] {
                    assert!(kept.contains(&path.to_owned()), "{path}: {kept:?}");
                }
            }
        }
        // Nor one that nobody can list, or without a file.
        let closed = [("a/closed/1", "1"), ("a/b/2", "2"), ("c/", "")];
        let [dirs, apart, kept, others] = find(&closed, &closed);
        assert_eq!(dirs, ["a/b"]);
        assert_eq!(apart, ["a", "a/closed", "c"]);
        assert_eq!(
            (kept, others),
            (vec!["a/b/2".to_owned()], vec!["a/closed/1".to_owned()])
        );
    }

    #[test]
    fn a_directory_with_very_much_in_it_is_several() {
        let names: Vec<String> = (0..3 * MOST_IN_ONE / 2)
            .map(|number| format!("a/{}/{number:05}", number / (MOST_IN_ONE / 2)))
            .chain(["a/file".to_owned()])
            .collect();
        let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        let [dirs, apart, kept, others] = find(&files, &files);
        assert_eq!(dirs, ["a/0", "a/1", "a/2"]);
        assert_eq!(apart, ["a"]);
        assert_eq!(others, ["a/file"]);
        let kept: BTreeSet<String> = kept.into_iter().collect();
        assert_eq!(kept.len() as u64, 3 * MOST_IN_ONE / 2);
    }
}
