//! Where each entry of the new product comes from: what of it the old one has, by content, whatever the
//! path, and what only the update can bring.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use pixi_offline::evidence::Sha256Digest;
use pixi_offline::evidence::manifest::{Entry, EntryKind};
use pixi_offline::layout::Product;

/// What stands for the top of a product where a directory is named.
const TOP: &[u8] = b".";

/// Where the entries of a new product come from, for those who have a certain old one. Each file and link
/// is in one of the lists; directories are made.
#[derive(Debug, Default)]
pub(crate) struct UpdateSources<'a> {
    /// At the same path in the old product.
    pub(crate) kept: Vec<CopiedEntry<'a>>,
    /// At another path there, below the directories of the key.
    pub(crate) moved: BTreeMap<Move<'a>, Vec<CopiedEntry<'a>>>,
    /// At another path there, with another name.
    pub(crate) renamed: Vec<CopiedEntry<'a>>,
    /// Files whose content the old product does not have.
    pub(crate) new: Vec<&'a Entry>,
    /// Links that the old product does not have.
    pub(crate) links: Vec<&'a Entry>,
}

/// A directory of the old product and one of the new product, that have things at the same paths below them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Move<'a> {
    pub(crate) from: &'a [u8],
    pub(crate) to: &'a [u8],
}

/// An entry of the new product, and one of the old product that it is a copy of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CopiedEntry<'a> {
    pub(crate) old: &'a Entry,
    pub(crate) new: &'a Entry,
}

/// What is the same wherever it is: the bytes of a file, or the target of a link.
#[derive(Debug, PartialEq, Eq, Hash, Clone, Copy)]
enum EntryContent<'a> {
    Bytes(&'a Sha256Digest),
    Target(&'a [u8]),
}

impl<'a> EntryContent<'a> {
    fn of(entry: &'a Entry) -> Option<EntryContent<'a>> {
        match &entry.kind {
            EntryKind::File { sha256, .. } => Some(EntryContent::Bytes(sha256)),
            EntryKind::Link { target } => Some(EntryContent::Target(target.bytes())),
            _ => None,
        }
    }
}

impl<'a> UpdateSources<'a> {
    /// Looks for each entry of the new product in the old one; both lists are sorted by the bytes of the paths.
    pub(crate) fn find(old: &'a [Entry], new: &'a [Entry]) -> UpdateSources<'a> {
        let mut sources = UpdateSources::default();
        let rest = sources.keep(old, new);
        let places = OldEntries::of(old, &rest);
        let mut several = Vec::new();
        for entry in rest {
            match places.of_same(entry) {
                [] => sources.add_new(entry),
                [one] => sources.copy(CopiedEntry {
                    old: one,
                    new: entry,
                }),
                _ => several.push(entry),
            }
        }
        // Many files have one content, the empty one for example: those of a directory that moved come
        // from where the rest of it is.
        let known: HashMap<&[u8], &[u8]> = sources
            .moved
            .keys()
            .map(|found| (found.to, found.from))
            .collect();
        for entry in several {
            let old = places
                .beside(entry, &known)
                .or_else(|| places.nearest(entry));
            match old {
                Some(old) => sources.copy(CopiedEntry { old, new: entry }),
                None => sources.add_new(entry),
            }
        }
        for moved in sources.moved.values_mut() {
            moved.sort_by_key(|copied| copied.new.path.bytes());
        }
        sources.new.sort_by_key(|entry| entry.path.bytes());
        sources.links.sort_by_key(|entry| entry.path.bytes());
        sources
    }

    /// Takes what is the same at the same path, and gives the rest of the files and links.
    fn keep(&mut self, old: &'a [Entry], new: &'a [Entry]) -> Vec<&'a Entry> {
        let mut rest = Vec::new();
        let mut old = old.iter().peekable();
        for entry in new.iter().filter(|entry| !is_listed_apart(entry)) {
            let Some(held) = EntryContent::of(entry) else {
                continue;
            };
            let path = entry.path.bytes();
            while old.next_if(|old| old.path.bytes() < path).is_some() {}
            match old.peek() {
                Some(old) if old.path == entry.path && EntryContent::of(old) == Some(held) => {
                    self.kept.push(CopiedEntry { old, new: entry });
                }
                _ => rest.push(entry),
            }
        }
        rest
    }

    fn copy(&mut self, copied: CopiedEntry<'a>) {
        match common_end(copied.old.path.bytes(), copied.new.path.bytes()) {
            Some(found) => self.moved.entry(found).or_default().push(copied),
            None if matches!(copied.new.kind, EntryKind::Link { .. }) => {
                self.links.push(copied.new)
            }
            None => self.renamed.push(copied),
        }
    }

    fn add_new(&mut self, entry: &'a Entry) {
        match entry.kind {
            EntryKind::Link { .. } => self.links.push(entry),
            _ => self.new.push(entry),
        }
    }

    /// Everything that is copied out of the old product.
    pub(crate) fn copied(&self) -> impl Iterator<Item = &CopiedEntry<'a>> {
        let moved = self.moved.values().flatten();
        self.kept.iter().chain(moved).chain(&self.renamed)
    }
}

/// Whether a file is in the directory of the lists, which the update always has.
pub(crate) fn is_listed_apart(entry: &Entry) -> bool {
    entry.path.bytes() == Product::SBOM.as_bytes()
}

/// The entries of the old product, by what they hold.
struct OldEntries<'a>(HashMap<EntryContent<'a>, Vec<&'a Entry>>);

impl<'a> OldEntries<'a> {
    /// Those that hold the same as one of `wanted`.
    fn of(old: &'a [Entry], wanted: &[&'a Entry]) -> OldEntries<'a> {
        let wanted = wanted.iter().filter_map(|entry| EntryContent::of(entry));
        let mut places: HashMap<EntryContent, Vec<&Entry>> =
            wanted.map(|held| (held, Vec::new())).collect();
        if !places.is_empty() {
            for entry in old {
                if let Some(found) = EntryContent::of(entry).and_then(|held| places.get_mut(&held))
                {
                    found.push(entry);
                }
            }
        }
        for found in places.values_mut() {
            found.sort_by(|one, other| from_the_end(one).cmp(from_the_end(other)));
        }
        OldEntries(places)
    }

    fn of_same(&self, entry: &'a Entry) -> &[&'a Entry] {
        let found = EntryContent::of(entry).and_then(|held| self.0.get(&held));
        found.map_or(&[], Vec::as_slice)
    }

    /// The one in a directory from which others moved to where `entry` is: `known` has these, by where they
    /// moved to.
    fn beside(&self, entry: &'a Entry, known: &HashMap<&[u8], &[u8]>) -> Option<&'a Entry> {
        let path = entry.path.bytes();
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut dirs = ends.map(|(end, _)| (&path[..end], &path[end..]));
        dirs.find_map(|(dir, below)| {
            let wanted = [known.get(dir)?, below].concat();
            let same = self.of_same(entry);
            let place = same.binary_search_by(|old| from_the_end(old).cmp(wanted.iter().rev()));
            place.ok().map(|place| same[place])
        })
    }

    /// The one whose path ends most like that of `entry`.
    fn nearest(&self, entry: &'a Entry) -> Option<&'a Entry> {
        let same = self.of_same(entry);
        let place = same
            .partition_point(|old| from_the_end(old).cmp(from_the_end(entry)) == Ordering::Less);
        // Sorted so, the nearest is on one side of its own place.
        let around = same[place.saturating_sub(1)..].iter().take(2);
        around.copied().max_by_key(|old| {
            let both = from_the_end(old).zip(from_the_end(entry));
            both.take_while(|(one, other)| one == other).count()
        })
    }
}

/// The bytes of the path, the last first.
fn from_the_end(entry: &Entry) -> impl Iterator<Item = &u8> {
    entry.path.bytes().iter().rev()
}

/// The directories above the longest end that two paths have in common; `None` when the names differ.
fn common_end<'a>(old: &'a [u8], new: &'a [u8]) -> Option<Move<'a>> {
    let both = old.iter().rev().zip(new.iter().rev());
    let same = both.take_while(|(one, other)| one == other).count();
    let (mut from, mut to) = (old.len() - same, new.len() - same);
    let begins = |path: &[u8], place: usize| place == 0 || path[place - 1] == b'/';
    if !(begins(old, from) && begins(new, to)) {
        let next = 1 + old[from..].iter().position(|byte| *byte == b'/')?;
        (from, to) = (from + next, to + next);
    }
    let dir = |path: &'a [u8], end: usize| if end == 0 { TOP } else { &path[..end - 1] };
    Some(Move {
        from: dir(old, from),
        to: dir(new, to),
    })
}

impl Move<'_> {
    /// A path of the new product below the directory.
    pub(crate) fn below<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        match self.to {
            TOP => path,
            to => &path[to.len() + 1..],
        }
    }
}

/// The bytes of the files among these.
pub(crate) fn bytes_of(entries: &[&Entry]) -> u64 {
    let sizes = entries.iter().map(|entry| match entry.kind {
        EntryKind::File { size, .. } => size,
        _ => 0,
    });
    sizes.sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use pixi_offline::evidence::manifest::{EncodedPath, Mode};
    use sha2::{Digest as _, Sha256};

    use super::*;

    pub(crate) fn file(path: &str, content: &str) -> Entry {
        Entry {
            path: EncodedPath::new(path),
            kind: EntryKind::File {
                mode: Mode::of(0o644),
                size: content.len() as u64,
                sha256: Sha256Digest::from(Sha256::digest(content)),
            },
        }
    }

    fn link(path: &str, target: &str) -> Entry {
        Entry {
            path: EncodedPath::new(path),
            kind: EntryKind::Link {
                target: EncodedPath::new(target),
            },
        }
    }

    /// Numbers that are the same in each run.
    struct TestNumbers(u64);

    impl TestNumbers {
        fn below(&mut self, most: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (self.0 >> 33) % most
        }

        /// A few entries, many of which hold the same.
        fn entries(&mut self) -> Vec<Entry> {
            let mut paths = BTreeSet::new();
            for _ in 0..self.below(25) {
                let depth = 1 + self.below(4);
                let names: Vec<&str> = (0..depth)
                    .map(|_| ["a", "b", "aa", "-"][self.below(4) as usize])
                    .collect();
                paths.insert(names.join("/"));
            }
            let entry = |path: String| match self.below(4) {
                0 => link(&path, ["a", "../b"][self.below(2) as usize]),
                _ => file(&path, &"x".repeat(self.below(4) as usize)),
            };
            paths.into_iter().map(entry).collect()
        }
    }

    fn held(entries: &[Entry]) -> BTreeSet<String> {
        let held = entries.iter().filter_map(EntryContent::of);
        held.map(|held| format!("{held:?}")).collect()
    }

    #[test]
    fn each_file_and_link_comes_from_one_place_that_holds_the_same() {
        let mut numbers = TestNumbers(7);
        let (mut moved, mut renamed) = (0, 0);
        for _ in 0..2_000 {
            let (old, new) = (numbers.entries(), numbers.entries());
            let sources = UpdateSources::find(&old, &new);
            let mut paths: Vec<&[u8]> = Vec::new();
            for copied in sources.copied() {
                assert_eq!(
                    EntryContent::of(copied.old),
                    EntryContent::of(copied.new),
                    "{copied:?}"
                );
                paths.push(copied.new.path.bytes());
            }
            for (dirs, copied) in &sources.moved {
                for copied in copied {
                    let below = |dir: &[u8]| match dir {
                        TOP => dirs.below(copied.new.path.bytes()).to_vec(),
                        dir => [dir, b"/", dirs.below(copied.new.path.bytes())].concat(),
                    };
                    assert_eq!(below(dirs.from), copied.old.path.bytes(), "{dirs:?}");
                    assert_eq!(below(dirs.to), copied.new.path.bytes(), "{dirs:?}");
                    moved += 1;
                }
            }
            renamed += sources.renamed.len();
            for entry in sources.new.iter().chain(&sources.links) {
                paths.push(entry.path.bytes());
            }
            let known = held(&old);
            for entry in &sources.new {
                let held = format!("{:?}", EntryContent::of(entry).unwrap());
                assert!(!known.contains(&held), "{entry:?} is in the old product");
            }
            paths.sort_unstable();
            let all: Vec<&[u8]> = new.iter().map(|entry| entry.path.bytes()).collect();
            assert_eq!(paths, all);
        }
        assert!(moved > 1_000 && renamed > 100, "{moved} {renamed}");
    }

    #[test]
    fn a_directory_with_another_name_is_one_move_with_its_empty_files() {
        let tree = |name: &str| {
            vec![
                file(&format!("cache/{name}/__init__.py"), ""),
                file(&format!("cache/{name}/module.py"), name.get(..1).unwrap()),
                file(&format!("cache/{name}/part/__init__.py"), ""),
            ]
        };
        let old = [tree("one-x7"), tree("two-k3")].concat();
        let new = [tree("one-b9"), tree("two-a2")].concat();
        let sources = UpdateSources::find(&old, &new);
        let moved: Vec<_> = sources
            .moved
            .iter()
            .map(|(dirs, moved)| (dirs.from, dirs.to, moved.len()))
            .collect();
        assert_eq!(
            moved,
            [
                (&b"cache/one-x7"[..], &b"cache/one-b9"[..], 3),
                (&b"cache/two-k3"[..], &b"cache/two-a2"[..], 3),
            ]
        );
    }
}
