//! `SHA256SUMS`, which `sha256sum -c` reads, and the digest of a product.

use std::collections::HashMap;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::evidence::Sha256Digest;
use crate::evidence::entries::{EncodedPath, Entry, EntryKind};
use crate::layout::Product;

/// The text of `SHA256SUMS` for the regular files of a product, in the format of
/// GNU coreutils 9: a line for each, sorted by the bytes of the path; a name
/// with a line end or backslash in it is escaped, and its line begins with a
/// backslash. `manifest` is the text of the manifest, which lists all but itself.
pub fn text(entries: &[Entry], manifest: &[u8]) -> Vec<u8> {
    let manifest_path = EncodedPath::new(Product::MANIFEST);
    let manifest_digest = Sha256Digest::from(Sha256::digest(manifest));
    let mut files: Vec<(&[u8], &Sha256Digest)> = files_of(entries).collect();
    files.push((manifest_path.bytes(), &manifest_digest));
    files.sort();
    lines(files)
}

/// The sha256 of [`text`] without its line of the manifest, for sorted entries.
pub(super) fn digest_without_manifest(entries: &[Entry]) -> Sha256Digest {
    Sha256Digest::from(Sha256::digest(lines(files_of(entries))))
}

fn files_of(entries: &[Entry]) -> impl Iterator<Item = (&[u8], &Sha256Digest)> {
    entries.iter().filter_map(|entry| match &entry.kind {
        EntryKind::File { sha256, .. } => Some((entry.path.bytes(), sha256)),
        _ => None,
    })
}

fn lines<'a>(files: impl IntoIterator<Item = (&'a [u8], &'a Sha256Digest)>) -> Vec<u8> {
    let mut text = Vec::new();
    for (path, digest) in files {
        if needs_escape(path) {
            text.push(b'\\');
        }
        text.extend_from_slice(digest.to_string().as_bytes());
        text.extend_from_slice(b"  ");
        for &byte in path {
            match byte {
                b'\\' => text.extend_from_slice(b"\\\\"),
                b'\n' => text.extend_from_slice(b"\\n"),
                b'\r' => text.extend_from_slice(b"\\r"),
                _ => text.push(byte),
            }
        }
        text.push(b'\n');
    }
    text
}

/// Whether a name is written with escapes, which busybox does not read.
pub fn needs_escape(path: &[u8]) -> bool {
    path.iter()
        .any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'))
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
        let (path, digest) =
            parse_line(line).with_context(|| format!("its line {} is no checksum", index + 1))?;
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
    use crate::evidence::entries::Mode;

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
