//! `SHA256SUMS`, which `sha256sum -c` reads, and the digest of a product.

use std::collections::HashMap;

use anyhow::Context as _;
use memchr::memchr3;
use sha2::{Digest as _, Sha256};

use crate::evidence::Sha256Digest;
use crate::evidence::entries::{Entry, EntryKind};
use crate::layout::Product;

/// The text of `SHA256SUMS` for the regular files of a product, in the format of
/// GNU coreutils 9: a line for each, sorted by the bytes of the path; a name
/// with a line end or backslash in it is escaped, and its line begins with a
/// backslash. `manifest` is the text of the manifest, which lists all but itself.
pub fn text(entries: &[Entry], manifest: &[u8]) -> Vec<u8> {
    let digest = Sha256Digest::from(Sha256::digest(manifest));
    ListedSums::of(entries).with_manifest(&digest)
}

/// The lines of [`text`] but for that of the manifest, which lists all but itself.
pub(super) struct ListedSums {
    lines: Vec<u8>,
    /// Where the line of the manifest goes.
    manifest_at: usize,
}

impl ListedSums {
    /// Those of sorted entries.
    pub(super) fn of(entries: &[Entry]) -> ListedSums {
        let (mut lines, mut manifest_at) = (Vec::new(), None);
        for (path, digest) in files_of(entries) {
            if manifest_at.is_none() && path >= Product::MANIFEST.as_bytes() {
                manifest_at = Some(lines.len());
            }
            push_line(&mut lines, path, digest);
        }
        ListedSums {
            manifest_at: manifest_at.unwrap_or(lines.len()),
            lines,
        }
    }

    pub(super) fn digest(&self) -> Sha256Digest {
        Sha256Digest::from(Sha256::digest(&self.lines))
    }

    /// Whether a text is that of these lines and of a manifest with this digest.
    pub(super) fn are(&self, text: &[u8], manifest_digest: &Sha256Digest) -> bool {
        let (before, after) = self.lines.split_at(self.manifest_at);
        text.strip_prefix(before)
            .and_then(|text| text.strip_prefix(&*line_of_manifest(manifest_digest)))
            == Some(after)
    }

    /// The text of these lines and of a manifest with this digest.
    fn with_manifest(mut self, manifest_digest: &Sha256Digest) -> Vec<u8> {
        let place = self.manifest_at..self.manifest_at;
        self.lines.splice(place, line_of_manifest(manifest_digest));
        self.lines
    }
}

fn line_of_manifest(digest: &Sha256Digest) -> Vec<u8> {
    lines([(Product::MANIFEST.as_bytes(), digest)])
}

fn files_of(entries: &[Entry]) -> impl Iterator<Item = (&[u8], &Sha256Digest)> {
    entries.iter().filter_map(|entry| match &entry.kind {
        EntryKind::File { sha256, .. } => Some((entry.path.bytes(), sha256)),
        _ => None,
    })
}

/// A line for each of some files, as in [`text`].
pub fn lines<'a>(files: impl IntoIterator<Item = (&'a [u8], &'a Sha256Digest)>) -> Vec<u8> {
    let mut text = Vec::new();
    for (path, digest) in files {
        push_line(&mut text, path, digest);
    }
    text
}

fn push_line(text: &mut Vec<u8>, path: &[u8], digest: &Sha256Digest) {
    let is_escaped = needs_escape(path);
    if is_escaped {
        text.push(b'\\');
    }
    text.extend_from_slice(&digest.digits());
    text.extend_from_slice(b"  ");
    if is_escaped {
        for &byte in path {
            match byte {
                b'\\' => text.extend_from_slice(b"\\\\"),
                b'\n' => text.extend_from_slice(b"\\n"),
                b'\r' => text.extend_from_slice(b"\\r"),
                _ => text.push(byte),
            }
        }
    } else {
        text.extend_from_slice(path);
    }
    text.push(b'\n');
}

/// Whether a name is written with escapes, which busybox does not read.
pub fn needs_escape(path: &[u8]) -> bool {
    memchr3(b'\\', b'\n', b'\r', path).is_some()
}

/// What a `SHA256SUMS` says: each file's digest, by the bytes of its path.
///
/// # Errors
///
/// When a line is none of [`text`]'s, or a file is named twice.
pub(super) fn parse(text: &[u8]) -> anyhow::Result<HashMap<Vec<u8>, Sha256Digest>> {
    let mut sums = HashMap::new();
    let lines = text
        .strip_suffix(b"\n")
        .context("its last line is cut short")?
        .split(|&byte| byte == b'\n');
    for (index, line) in lines.enumerate() {
        let (path, digest) = parse_line(line)
            .with_context(|| format!("its line {} is not a checksum", index + 1))?;
        if sums.insert(path, digest).is_some() {
            anyhow::bail!("its line {} names a file again", index + 1);
        }
    }
    Ok(sums)
}

fn parse_line(line: &[u8]) -> Option<(Vec<u8>, Sha256Digest)> {
    let escaped = line.strip_prefix(b"\\");
    let (digest, rest) = escaped.unwrap_or(line).split_at_checked(64)?;
    let name = rest.strip_prefix(b"  ")?;
    let digest = std::str::from_utf8(digest).ok()?.parse().ok()?;
    let mut path = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        path.push(match (byte, escaped) {
            (b'\\', Some(_)) => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            (byte, _) => byte,
        });
    }
    Some((path, digest))
}

/// The digest of a product: that of its `SHA256SUMS`.
pub fn product_digest(sums: &[u8]) -> Sha256Digest {
    Sha256Digest::from(Sha256::digest(sums))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;
    use crate::evidence::entries::{EncodedPath, Mode};

    #[test]
    fn what_is_written_is_read_back() {
        let names = [&b"a b"[..], b"a\\b", b"line\nend", b"r\rn", b"\\", b"\xff"];
        let entries: Vec<Entry> = names
            .iter()
            .map(|name| Entry {
                path: EncodedPath::new(OsStr::from_bytes(name)),
                kind: EntryKind::File {
                    mode: Mode::of(0o644),
                    size: 1,
                    sha256: Sha256Digest::from(Sha256::digest(name)),
                },
            })
            .collect();
        let sums = parse(&text(&entries, b"{}")).unwrap();
        assert_eq!(sums.len(), names.len() + 1);
        for name in names {
            assert_eq!(sums[name], Sha256Digest::from(Sha256::digest(name)));
        }
    }

    #[test]
    fn the_line_of_the_manifest_is_where_it_is_sorted_to() {
        let manifest = Sha256Digest::from(Sha256::digest(b"{}"));
        for names in [
            &["envs.sh", "pkg-cache/a", "sbom.cdx.json"][..],
            &["envs.sh", "manifest"],
            &["manifest.json-", "res/x"],
            &[],
        ] {
            let files = names.iter().map(|name| (*name, Sha256::digest(name)));
            let entries: Vec<Entry> = files
                .map(|(name, digest)| Entry {
                    path: EncodedPath::new(name),
                    kind: EntryKind::File {
                        mode: Mode::of(0o644),
                        size: 1,
                        sha256: digest.into(),
                    },
                })
                .collect();
            let mut all = files_of(&entries).collect::<Vec<_>>();
            all.push((Product::MANIFEST.as_bytes(), &manifest));
            all.sort();
            let written = text(&entries, b"{}");
            assert_eq!(written, lines(all), "{names:?}");
            let listed = ListedSums::of(&entries);
            assert!(listed.are(&written, &manifest), "{names:?}");
            assert!(!listed.are(&written, &Sha256::digest(b"").into()));
            assert!(!listed.are(&written[1..], &manifest));
            assert!(!listed.are(&[&written[..], b"x"].concat(), &manifest));
        }
    }

    #[test]
    fn what_is_not_written_by_us_is_refused() {
        let digest = "0".repeat(64);
        for (text, why) in [
            (format!("{digest}  a"), "cut short"),
            (format!("{digest}  a\n{digest} b\n"), "line 2"),
            (format!("{digest}  a\n{digest}  a\n"), "again"),
            (format!("\\{digest}  a\\x\n"), "line 1"),
            ("xyz\n".to_owned(), "line 1"),
            (String::new(), "cut short"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
