//! The digest of what a product holds, without the bookkeeping of package caches: two people who
//! build one lock on two machines get the same one.
//!
//! It is over the files and links of the project, the resources, the conda packages and the unpacked wheels. Left out
//! are names that uv draws at random, its records of HTTP answers, pixi's records of where a package came
//! from, the sources that wheels were built of, and our own scripts. Of permissions it has whether the owner may
//! execute a file, as git has: others depend on the umask of whoever checked the project out.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::str::FromStr;

use serde_with::{DeserializeFromStr, SerializeDisplay};
use sha2::{Digest as _, Sha256};

use crate::digest::NoDigest;
use crate::evidence::Sha256Digest;
use crate::evidence::entries::{Entry, EntryKind, push_encoded};
use crate::layout::Product;

/// What the digest begins with, so that another definition gives another digest.
const HEADER: &[u8] = b"pixi-offline content 1\n";

/// The digest of what a product holds, written `sha256:…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SerializeDisplay, DeserializeFromStr)]
pub struct ContentDigest(Sha256Digest);

impl ContentDigest {
    /// The digest for the entries of a product. `staged` is the directory that the project is
    /// in, that of its source root where it has one.
    pub fn of(staged: &Path, entries: &[Entry]) -> ContentDigest {
        let top = staged.as_os_str().as_bytes();
        let mut lines = Lines::default();
        let mut wheels: BTreeMap<&[u8], Lines> = BTreeMap::new();
        for entry in entries {
            match location(entry.path.bytes(), top) {
                Some(ContentLocation::Below(dir, path)) => lines.add(dir, path, &entry.kind),
                Some(ContentLocation::Wheel(id, path)) => {
                    let wheel = wheels.entry(id).or_default();
                    wheel.add("wheel", path, &entry.kind);
                }
                None => {}
            }
        }
        // A wheel is known by what is in it.
        for wheel in wheels.values() {
            lines.add_wheel(wheel);
        }
        ContentDigest(lines.digest(HEADER))
    }
}

/// Where the content of a product is.
enum ContentLocation<'a> {
    /// Below a directory that has the same name in each build.
    Below(&'static str, &'a [u8]),
    /// In the directory of an unpacked wheel, whose name is random.
    Wheel(&'a [u8], &'a [u8]),
}

/// The location of what counts; `None` for all else.
fn location<'a>(path: &'a [u8], project: &[u8]) -> Option<ContentLocation<'a>> {
    let below = |dir: &[u8]| path.strip_prefix(dir)?.strip_prefix(b"/");
    if let Some(path) = below(project) {
        return Some(ContentLocation::Below("project", path));
    }
    if let Some(path) = below(Product::RESOURCES.as_bytes()) {
        return Some(ContentLocation::Below("resources", path));
    }
    let cached = below(Product::CACHE.as_bytes())?;
    if let Some(path) = cached.strip_prefix(b"pkgs/") {
        // Files beside the packages are locks and the like.
        let (_, inside) = split(path)?;
        let is_record = inside == b"info/repodata_record.json";
        return (!is_record).then_some(ContentLocation::Below("conda", path));
    }
    let (bucket, path) = split(cached.strip_prefix(b"uv-cache/")?)?;
    let (id, inside) = split(path)?;
    bucket
        .starts_with(b"archive-v")
        .then_some(ContentLocation::Wheel(id, inside))
}

fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = path.iter().position(|&byte| byte == b'/')?;
    Some((&path[..at], &path[at + 1..]))
}

/// Lines in one piece of memory: there is one for each file of a product.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    places: Vec<Range<usize>>,
}

impl Lines {
    /// Adds a line for a file or link.
    fn add(&mut self, dir: &str, path: &[u8], kind: &EntryKind) {
        let (start, text) = (self.text.len(), &mut self.text);
        match kind {
            EntryKind::File { mode, sha256, .. } => {
                let is_program = mode.bits() & 0o100 != 0;
                text.extend_from_slice(if is_program { b"program " } else { b"file " });
                text.extend_from_slice(&sha256.digits());
            }
            EntryKind::Link { target } => {
                text.extend_from_slice(b"link ");
                push_encoded(text, target.bytes());
            }
            _ => return,
        }
        text.push(b' ');
        text.extend_from_slice(dir.as_bytes());
        text.push(b'/');
        push_encoded(text, path);
        text.push(b'\n');
        self.places.push(start..text.len());
    }

    /// Adds a line for a wheel of these lines.
    fn add_wheel(&mut self, wheel: &Lines) {
        let start = self.text.len();
        self.text.extend_from_slice(b"wheel ");
        self.text.extend_from_slice(&wheel.digest(b"").digits());
        self.text.push(b'\n');
        self.places.push(start..self.text.len());
    }

    /// The digest of a header and of the sorted lines.
    fn digest(&self, header: &[u8]) -> Sha256Digest {
        let lines = self.places.iter().map(|place| &self.text[place.clone()]);
        let mut lines: Vec<&[u8]> = lines.collect();
        lines.sort_unstable();
        let mut hash = Sha256::new();
        hash.update(header);
        for line in lines {
            hash.update(line);
        }
        hash.finalize().into()
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl FromStr for ContentDigest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<ContentDigest, NoDigest> {
        let digest = text.strip_prefix("sha256:").unwrap_or_default();
        digest.parse().map(ContentDigest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::entries::{EncodedPath, Mode};

    fn of(entries: &[(&str, &str, u32)]) -> String {
        let entries: Vec<Entry> = entries
            .iter()
            .map(|(path, content, mode)| Entry {
                path: EncodedPath::new(path),
                kind: EntryKind::File {
                    mode: Mode::of(*mode),
                    size: content.len() as u64,
                    sha256: Sha256::digest(content).into(),
                },
            })
            .collect();
        ContentDigest::of(Path::new("demo"), &entries).to_string()
    }

    #[test]
    fn the_bookkeeping_of_caches_and_the_umask_do_not_count() {
        let one = of(&[
            ("demo/apps/foo/pixi.toml", "a", 0o644),
            ("pkg-cache/pkgs/a-1-0.lock", "1", 0o644),
            ("pkg-cache/pkgs/a-1-0/bin/a", "a", 0o755),
            ("pkg-cache/pkgs/a-1-0/info/repodata_record.json", "x", 0o644),
            ("pkg-cache/uv-cache/archive-v0/X/a.py", "1", 0o644),
            ("pkg-cache/uv-cache/archive-v0/Y/a.py", "2", 0o644),
            ("pkg-cache/uv-cache/wheels-v6/pypi/a/1.http", "now", 0o644),
            ("envs.sh", "1", 0o755),
        ]);
        let other = of(&[
            ("demo/apps/foo/pixi.toml", "a", 0o664),
            ("pkg-cache/pkgs/a-1-0/bin/a", "a", 0o700),
            ("pkg-cache/uv-cache/archive-v0/A/a.py", "2", 0o644),
            ("pkg-cache/uv-cache/archive-v0/B/a.py", "1", 0o644),
            ("pkg-cache/uv-cache/wheels-v6/pypi/a/1.http", "later", 0o644),
        ]);
        assert_eq!(one, other);
    }

    #[test]
    fn every_file_that_is_installed_counts() {
        let all = [
            ("demo/lib/x", "a", 0o644),
            ("res/x", "a", 0o644),
            ("pkg-cache/pkgs/a-1-0/bin/a", "a", 0o755),
            ("pkg-cache/uv-cache/archive-v0/X/a.py", "a", 0o644),
            ("pkg-cache/uv-cache/archive-v0/X/b.py", "b", 0o644),
        ];
        let whole = of(&all);
        for (place, (path, _, mode)) in all.iter().enumerate() {
            let mut changed = all;
            changed[place].1 = "other";
            assert_ne!(of(&changed), whole, "content of {path}");
            changed = all;
            changed[place].2 = mode ^ 0o111;
            assert_ne!(of(&changed), whole, "{path} executable or not");
            let without: Vec<_> = all
                .iter()
                .filter(|entry| entry.0 != *path)
                .copied()
                .collect();
            assert_ne!(of(&without), whole, "without {path}");
        }
        // A file that went from one wheel to another.
        let mut moved = all;
        moved[4].0 = "pkg-cache/uv-cache/archive-v0/Z/b.py";
        assert_ne!(of(&moved), whole);
    }
}
