//! What a copy made, entry by entry.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Every entry below the top of a tree. It takes about 40 bytes for each beside
/// its own name, and 32 more where there is a digest: the names of the directories
/// above are kept once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// By number; the top is number 0, where there is any.
    dirs: Vec<Option<ListedDir>>,
}

/// One entry of a [`Listing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEntry<'a> {
    /// The path below the top.
    pub path: PathBuf,
    /// Permissions, setuid, setgid and sticky bits. Linux gives links 0o777.
    pub mode: u32,
    /// When it was last written, in whole seconds since 1970.
    pub time: i64,
    /// What it is.
    pub kind: ListedKind<'a>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedKind<'a> {
    /// A directory.
    Dir,
    /// A regular file.
    File {
        /// The length of its content in bytes.
        size: u64,
        /// The digest of its content, when that was asked for.
        sha256: Option<&'a [u8; 32]>,
    },
    /// A symbolic link.
    Link {
        /// Its text.
        leads_to: &'a Path,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharacterDevice,
}

/// The entries of one directory, sorted by name once they are all there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ListedDir {
    /// Names, and the texts of links.
    text: Vec<u8>,
    entries: Vec<Record>,
    digests: Vec<[u8; 32]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    /// Where the name begins in the text; what follows it is a link's text.
    name: u32,
    name_length: u16,
    mode: u16,
    time: i64,
    what: RecordKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecordKind {
    Dir { number: u32 },
    File { size: u64 },
    HashedFile { size: u64, digest: u32 },
    Link { length: u32 },
    Fifo,
    Socket,
    BlockDevice,
    CharacterDevice,
}

/// What is told of an entry when it is added.
#[derive(Debug, Clone, Copy)]
pub(super) enum NewEntry<'a> {
    Dir { number: u32 },
    File { size: u64, sha256: Option<[u8; 32]> },
    Link { leads_to: &'a [u8] },
    Fifo,
    Socket,
    BlockDevice,
    CharacterDevice,
}

impl ListedDir {
    /// Adds an entry. One that does not fit, in a directory whose names are 4 GiB
    /// together, is no longer an entry that any file system here can hold.
    pub(super) fn add(&mut self, name: &[u8], mode: u32, time: i64, new: NewEntry<'_>) {
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let at = number(self.text.len());
        self.text.extend_from_slice(name);
        let what = match new {
            NewEntry::Dir { number } => RecordKind::Dir { number },
            NewEntry::File { size, sha256: None } => RecordKind::File { size },
            NewEntry::File {
                size,
                sha256: Some(digest),
            } => {
                self.digests.push(digest);
                RecordKind::HashedFile {
                    size,
                    digest: number(self.digests.len() - 1),
                }
            }
            NewEntry::Link { leads_to } => {
                self.text.extend_from_slice(leads_to);
                RecordKind::Link {
                    length: number(leads_to.len()),
                }
            }
            NewEntry::Fifo => RecordKind::Fifo,
            NewEntry::Socket => RecordKind::Socket,
            NewEntry::BlockDevice => RecordKind::BlockDevice,
            NewEntry::CharacterDevice => RecordKind::CharacterDevice,
        };
        self.entries.push(Record {
            name: at,
            name_length: name.len() as u16,
            mode: (mode & 0o7777) as u16,
            time,
            what,
        });
    }

    pub(super) fn finish(&mut self) {
        let text = &self.text;
        self.entries
            .sort_unstable_by(|one, other| one.name(text).cmp(other.name(text)));
        self.text.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.digests.shrink_to_fit();
    }

    /// The numbers of the entries in the order of their paths, where a directory
    /// stands twice: by its name as itself, and by its name and a slash for what
    /// is in it (then with `true`).
    fn order(&self) -> Vec<(u32, bool)> {
        let mut order: Vec<(u32, bool)> = Vec::with_capacity(self.entries.len());
        let numbers = 0..u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let dirs = numbers
            .clone()
            .filter(|&number| matches!(self.entries[number as usize].what, RecordKind::Dir { .. }));
        order.extend(numbers.map(|number| (number, false)));
        order.extend(dirs.map(|number| (number, true)));
        // Two runs, the first of them sorted: quick for a merge sort.
        order.sort_by(|&(one, inside), &(other, other_inside)| {
            let name = |number: u32| self.entries[number as usize].name(&self.text);
            compare(name(one), inside, name(other), other_inside)
        });
        order
    }
}

/// Compares names, with a slash at the end of those that are entered.
fn compare(one: &[u8], entered: bool, other: &[u8], other_entered: bool) -> Ordering {
    let slash = |entered: bool| entered.then_some(&b'/');
    let common = one.len().min(other.len());
    one[..common].cmp(&other[..common]).then_with(|| {
        let one = one[common..].iter().chain(slash(entered));
        one.cmp(other[common..].iter().chain(slash(other_entered)))
    })
}

impl Record {
    fn name<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.name as usize..][..usize::from(self.name_length)]
    }
}

impl Listing {
    pub(super) fn new(dirs: impl IntoIterator<Item = (u32, ListedDir)>) -> Listing {
        let mut listing = Listing::default();
        for (number, dir) in dirs {
            let number = number as usize;
            if listing.dirs.len() <= number {
                listing.dirs.resize_with(number + 1, || None);
            }
            listing.dirs[number] = Some(dir);
        }
        listing
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        let dirs = self.dirs.iter().flatten();
        dirs.map(|dir| dir.entries.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The digest of the file at `path`, below the top, when it has one and that
    /// many bytes.
    pub fn digest(&self, path: &Path, size: u64) -> Option<[u8; 32]> {
        let mut dir = self.dirs.first()?.as_ref()?;
        let mut parts = path.iter();
        let mut part = parts.next()?;
        loop {
            let wanted = part.as_bytes();
            let name = |record: &Record| record.name(&dir.text).cmp(wanted);
            let found = dir.entries.binary_search_by(name).ok()?;
            match (dir.entries[found].what, parts.next()) {
                (RecordKind::Dir { number }, Some(next)) => {
                    dir = self.dirs.get(number as usize)?.as_ref()?;
                    part = next;
                }
                (RecordKind::HashedFile { size: had, digest }, None) if had == size => {
                    return Some(dir.digests[digest as usize]);
                }
                _ => return None,
            }
        }
    }

    /// The entries, sorted by the bytes of their paths, each path below `top`,
    /// which may be empty.
    pub fn entries<'a>(&'a self, top: &Path) -> impl Iterator<Item = ListedEntry<'a>> + use<'a> {
        let mut entries = Entries {
            listing: self,
            path: top.to_owned(),
            open: Vec::new(),
        };
        entries.enter(0);
        entries
    }
}

/// A walk over a listing.
struct Entries<'a> {
    listing: &'a Listing,
    /// The directory of the walk.
    path: PathBuf,
    open: Vec<(&'a ListedDir, std::vec::IntoIter<(u32, bool)>)>,
}

impl Entries<'_> {
    fn enter(&mut self, number: u32) {
        // One that could not be read has no record, and no entries.
        static NONE: ListedDir = ListedDir {
            text: Vec::new(),
            entries: Vec::new(),
            digests: Vec::new(),
        };
        let dir = self.listing.dirs.get(number as usize);
        let dir = dir.and_then(Option::as_ref).unwrap_or(&NONE);
        self.open.push((dir, dir.order().into_iter()));
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = ListedEntry<'a>;

    fn next(&mut self) -> Option<ListedEntry<'a>> {
        loop {
            let (dir, order) = self.open.last_mut()?;
            let dir = *dir;
            let Some((number, inside)) = order.next() else {
                self.open.pop();
                if !self.open.is_empty() {
                    self.path.pop();
                }
                continue;
            };
            let record = &dir.entries[number as usize];
            let name = OsStr::from_bytes(record.name(&dir.text));
            let kind = match record.what {
                RecordKind::Dir { number } if inside => {
                    self.path.push(name);
                    self.enter(number);
                    continue;
                }
                RecordKind::Dir { .. } => ListedKind::Dir,
                RecordKind::File { size } => ListedKind::File { size, sha256: None },
                RecordKind::HashedFile { size, digest } => ListedKind::File {
                    size,
                    sha256: Some(&dir.digests[digest as usize]),
                },
                RecordKind::Link { length } => {
                    let from = record.name as usize + usize::from(record.name_length);
                    let text = &dir.text[from..][..length as usize];
                    ListedKind::Link {
                        leads_to: Path::new(OsStr::from_bytes(text)),
                    }
                }
                RecordKind::Fifo => ListedKind::Fifo,
                RecordKind::Socket => ListedKind::Socket,
                RecordKind::BlockDevice => ListedKind::BlockDevice,
                RecordKind::CharacterDevice => ListedKind::CharacterDevice,
            };
            return Some(ListedEntry {
                path: self.path.join(name),
                mode: record.mode.into(),
                time: record.time,
                kind,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_by_the_bytes_of_their_whole_paths() {
        let file = NewEntry::File {
            size: 1,
            sha256: None,
        };
        let mut top = ListedDir::default();
        top.add(b"a0", 0o644, 7, file);
        top.add(b"a", 0o755, 7, NewEntry::Dir { number: 2 });
        top.add(b"a-b", 0o644, 7, file);
        top.add(b"a.b", 0o755, 7, NewEntry::Dir { number: 1 });
        top.add(b"unread", 0o755, 7, NewEntry::Dir { number: 3 });
        top.finish();
        let mut inner = ListedDir::default();
        inner.add(b"z", 0o600, 7, NewEntry::Link { leads_to: b"../a" });
        inner.add(
            b"\xff",
            0o600,
            -1,
            NewEntry::File {
                size: 7,
                sha256: Some([9; 32]),
            },
        );
        inner.add(b"b", 0o4755, 7, NewEntry::Fifo);
        inner.finish();
        let listing = Listing::new([(2, inner.clone()), (0, top), (1, inner)]);
        assert_eq!(listing.len(), 11);
        let listed: Vec<ListedEntry<'_>> = listing.entries(Path::new("top")).collect();
        let paths: Vec<&[u8]> = listed
            .iter()
            .map(|entry| entry.path.as_os_str().as_bytes())
            .collect();
        assert_eq!(
            paths,
            [
                &b"top/a"[..],
                b"top/a-b",
                b"top/a.b",
                b"top/a.b/b",
                b"top/a.b/z",
                b"top/a.b/\xff",
                b"top/a/b",
                b"top/a/z",
                b"top/a/\xff",
                b"top/a0",
                b"top/unread",
            ]
        );
        assert!(paths.is_sorted());
        assert_eq!((listed[3].mode, listed[3].time), (0o4755, 7));
        assert_eq!(listed[5].time, -1);
        assert_eq!(listed[3].kind, ListedKind::Fifo);
        let leads_to = Path::new("../a");
        assert_eq!(listed[4].kind, ListedKind::Link { leads_to });
        let sha256 = Some(&[9; 32]);
        assert_eq!(listed[5].kind, ListedKind::File { size: 7, sha256 });
        let digest = |path: &[u8], size| listing.digest(Path::new(OsStr::from_bytes(path)), size);
        assert_eq!(digest(b"a/\xff", 7), Some([9; 32]));
        for (path, size) in [
            (&b"a/\xff"[..], 8),
            (b"a/z", 7),
            (b"a", 0),
            (b"no", 1),
            (b"", 0),
        ] {
            assert_eq!(digest(path, size), None, "{path:?}");
        }
        assert_eq!(Listing::default().entries(Path::new("")).count(), 0);
    }
}
