//! Whether a product is as its lists say.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use itertools::{EitherOrBoth, Itertools as _};
use sha2::{Digest as _, Sha256};

use crate::evidence::Sha256Digest;
use crate::evidence::evidence_file;
use crate::evidence::listing::{self, ExcludePaths};
use crate::evidence::lists::{Lists, broken};
use crate::evidence::manifest::{EncodedPath, Entry, EntryKind, Manifest, Mode};
use crate::failure::Failure;
use crate::layout::Product;
use crate::staging::{self, HashPolicy, ListedEntry, Listing};

/// How many findings are shown.
const SHOWN: usize = 40;

/// How closely is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The lists, and of each entry all but the bytes of files.
    Quick,
    /// The bytes of files, too.
    Full,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// The manifest.
    pub manifest: Manifest,
    /// The digest of the product, that of its `SHA256SUMS`.
    pub digest: Sha256Digest,
    /// The digest of `manifest.json`.
    pub manifest_digest: Sha256Digest,
    /// When each entry of the manifest was last written, in whole seconds since 1970; 0 where it is missing.
    pub times: Vec<i64>,
    /// What is not as it is listed, by path.
    pub findings: Vec<CheckFinding>,
    /// What is not listed, and is where an install in the product leaves its
    /// things. Nothing vouches for it.
    pub left_by_install: Vec<PathBuf>,
}

/// What may be in a product beside what it lists: what an install in it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installs {
    /// Nothing: what is signed is what is listed.
    Refused,
    /// Whatever is in the places of an install: it is installed there again, by a
    /// bootstrap that judges it.
    Allowed,
}

impl CheckReport {
    /// # Errors
    ///
    /// Exit code 1, with each finding named, when something is not as it is
    /// listed, or is there and not listed.
    pub fn require_as_listed(&self, product: &Product, installs: Installs) -> anyhow::Result<()> {
        let left: &[PathBuf] = match installs {
            Installs::Refused => &self.left_by_install,
            Installs::Allowed => &[],
        };
        if self.findings.is_empty() && left.is_empty() {
            return Ok(());
        }
        let left_found = left.iter().map(|path| CheckFinding {
            path: EncodedPath::new(path),
            what: Difference::Added,
        });
        let found = self.findings.iter().cloned().chain(left_found);
        let mut lines: Vec<String> = found.take(SHOWN).map(|it| it.to_string()).collect();
        let more = self.findings.len() + left.len() - lines.len();
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        Err(Failure::general(format!(
            "the product {} is not as its manifest.json and SHA256SUMS say; copy all of it again, or make it again:\n  {}",
            product.path().display(),
            lines.join("\n  ")
        )))
    }
}

impl CheckReport {
    /// The first entry that plain files and a list cannot carry: a pipe, a socket or a device.
    pub fn special_entry(&self) -> Option<&Entry> {
        self.manifest.entries.iter().find(|entry| {
            !matches!(
                entry.kind,
                EntryKind::File { .. } | EntryKind::Directory { .. } | EntryKind::Link { .. }
            )
        })
    }

    /// The listed digest of a file; `None` when no file is listed there.
    pub fn digest_of(&self, path: &Path) -> Option<Sha256Digest> {
        match &entry_at(&self.manifest, path)?.kind {
            EntryKind::File { sha256, .. } => Some(*sha256),
            _ => None,
        }
    }

    /// The bytes of a file that was compared, which may have changed since.
    ///
    /// # Errors
    ///
    /// Exit code 1 when it is not listed, has not the listed bytes or more than `limit`,
    /// or cannot be read.
    pub fn read(&self, product: &Product, path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
        let listed = self.digest_of(path);
        let content = evidence_file::read(&product.path().join(path), limit)?.unwrap_or_default();
        if listed != Some(Sha256Digest::from(Sha256::digest(&content))) {
            let path = EncodedPath::new(path);
            return Err(broken(
                product,
                &format!("{path} was changed while it was read"),
            ));
        }
        Ok(content)
    }
}

/// Something that is not as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFinding {
    /// Where.
    pub path: EncodedPath,
    /// What.
    pub what: Difference,
}

/// How something differs from what is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// It is listed and not there.
    Missing,
    /// It is there and not listed.
    Added,
    /// A file has other bytes, as many as listed.
    Content,
    /// A file has another number of bytes.
    Size {
        /// The number that is listed.
        listed: u64,
        /// The number that was found.
        found: u64,
    },
    /// A link leads elsewhere.
    Link {
        /// The target that is listed.
        listed: EncodedPath,
        /// The target that was found.
        found: EncodedPath,
    },
    /// Its permissions are others.
    Mode {
        /// Those that are listed.
        listed: Mode,
        /// Those that were found.
        found: Mode,
    },
    /// It is a file where a link is listed, or the like.
    Kind,
}

impl fmt::Display for CheckFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.shown();
        match &self.what {
            Difference::Missing => write!(f, "missing: {path}"),
            Difference::Added => write!(f, "added: {path}"),
            Difference::Content => write!(f, "changed: {path} (content differs)"),
            Difference::Size { listed, found } => {
                write!(f, "changed: {path} ({found} bytes, {listed} are listed)")
            }
            Difference::Link { listed, found } => write!(
                f,
                "changed link: {path} (leads to {}, {} is listed)",
                found.shown(),
                listed.shown()
            ),
            Difference::Mode { listed, found } => {
                write!(f, "changed mode: {path} ({found}, {listed} is listed)")
            }
            Difference::Kind => write!(f, "changed: {path} (another kind of file)"),
        }
    }
}

/// Compares a product with its lists; `None` when it has none, as products of
/// older versions.
///
/// # Errors
///
/// When a list is missing, cannot be read, is of an unknown format, or when they
/// contradict each other; when something in the product cannot be read.
pub fn check(product: &Product, depth: Depth) -> anyhow::Result<Option<CheckReport>> {
    let Some(lists) = Lists::read_both(product)? else {
        return Ok(None);
    };
    let seen = see(product, &lists.manifest, depth)?;
    Ok(Some(compare(product, lists, &seen)))
}

/// Looks at everything in a product that a manifest lists, or should.
fn see(product: &Product, manifest: &Manifest, depth: Depth) -> anyhow::Result<Listing> {
    let listed: HashMap<&[u8], &EntryKind> = match depth {
        Depth::Quick => HashMap::new(),
        Depth::Full => {
            let entries = manifest.entries.iter();
            entries
                .map(|entry| (entry.path.bytes(), &entry.kind))
                .collect()
        }
    };
    // One of another length is changed, whatever its digest is.
    let digests = |path: &Path, found| match listed.get(bytes(path)) {
        Some(EntryKind::File { size, .. }) if *size == found => HashPolicy::Compute,
        _ => HashPolicy::Skip,
    };
    let seen = staging::scan_tree(product.path(), &ExcludePaths(is_not_listed), &digests)?;
    Ok(seen.listing)
}

/// What in a product is not as it is listed, by path; and what an install left there.
fn compare(product: &Product, lists: Lists, seen: &Listing) -> CheckReport {
    let Lists {
        manifest,
        digest,
        manifest_digest,
    } = lists;
    let (mut findings, mut left_by_install) = (Vec::new(), Vec::new());
    let seen = || seen.entries(Path::new(""));
    let project = manifest.facts.project.dir.path().to_owned();
    let environments = project.join(".pixi");
    // A link in its place leads out of the product.
    let is_dir = |path: &Path| {
        fs::symlink_metadata(product.path().join(path)).is_ok_and(|found| found.is_dir())
    };
    let installed = is_dir(&environments)
        && seen().any(|seen| {
            seen.path.starts_with(&environments) && entry_at(&manifest, &seen.path).is_none()
        });
    // A path dependency may be built in its directory, beside the project.
    let staged = manifest.facts.project.staged_dir().to_owned();
    let where_installs_write = [staged, PathBuf::from("res"), PathBuf::from("pkg-cache")];
    let finding = |path: &EncodedPath, what| CheckFinding {
        path: path.clone(),
        what,
    };
    let mut times = vec![0; manifest.entries.len()];
    // Both are sorted by the bytes of the paths.
    let listed = manifest.entries.iter().zip(&mut times);
    for pair in listed.merge_join_by(seen(), |(entry, _), seen| {
        entry.path.bytes().cmp(bytes(&seen.path))
    }) {
        let (entry, time, seen) = match pair {
            EitherOrBoth::Both((entry, time), seen) => (entry, time, seen),
            EitherOrBoth::Left((entry, _)) => {
                findings.push(finding(&entry.path, Difference::Missing));
                continue;
            }
            EitherOrBoth::Right(seen) => {
                let mut places = where_installs_write.iter();
                if installed && places.any(|place| seen.path.starts_with(place)) {
                    left_by_install.push(seen.path);
                } else {
                    findings.push(finding(&EncodedPath::new(seen.path), Difference::Added));
                }
                continue;
            }
        };
        *time = seen.time;
        let differences = differences(entry, &seen).into_iter();
        let differences = differences.filter(|what| !is_inherited(what, entry, product));
        findings.extend(differences.map(|what| finding(&entry.path, what)));
    }
    findings.extend(uncovered(product));
    findings.extend(writable_by_everybody(product));
    findings.sort_by(|a, b| a.path.bytes().cmp(b.path.bytes()));
    CheckReport {
        manifest,
        digest,
        manifest_digest,
        times,
        findings,
        left_by_install,
    }
}

/// What a manifest lists at a path: its entries are sorted by these bytes.
fn entry_at<'a>(manifest: &'a Manifest, path: &Path) -> Option<&'a Entry> {
    let entries = &manifest.entries;
    let place = entries.binary_search_by(|entry| entry.path.bytes().cmp(bytes(path)));
    Some(&entries[place.ok()?])
}

/// Whether something is of the files that no manifest lists, which are all at the top.
fn is_not_listed(path: &Path) -> bool {
    let path = bytes(path);
    !path.contains(&b'/')
        && (path == Product::MANIFEST.as_bytes()
            || Product::UNCOVERED
                .iter()
                .any(|name| path == name.as_bytes()))
}

/// What has the name of a file that no manifest lists, and is none, or one that
/// another user may run, or more than its owner write.
fn uncovered(product: &Product) -> impl Iterator<Item = CheckFinding> {
    let names = Product::UNCOVERED
        .iter()
        .chain(std::iter::once(&Product::MANIFEST));
    names.filter_map(|name| {
        let found = fs::symlink_metadata(product.path().join(name)).ok()?;
        let mode = Mode::of(found.mode());
        let what = match found.is_file() {
            false => Difference::Kind,
            true if mode.bits() & 0o7133 != 0 => Difference::Mode {
                listed: Mode::of(0o644),
                found: mode,
            },
            true => return None,
        };
        Some(CheckFinding {
            path: EncodedPath::new(name),
            what,
        })
    })
}

/// The directory of the product, when everybody may write there. No list has its mode.
fn writable_by_everybody(product: &Product) -> Option<CheckFinding> {
    let found = fs::metadata(product.path()).ok()?.mode();
    (found & 0o002 != 0).then(|| CheckFinding {
        path: EncodedPath::new("."),
        what: Difference::Mode {
            listed: Mode::of(found & !0o002),
            found: Mode::of(found),
        },
    })
}

/// Whether a directory only got the set-group-ID bit of the directory that it is in, as new
/// ones do.
fn is_inherited(what: &Difference, entry: &Entry, product: &Product) -> bool {
    const SET_GROUP_ID: u32 = 0o2000;
    let Difference::Mode { listed, found } = what else {
        return false;
    };
    let parent = product.path().join(entry.path.path());
    matches!(entry.kind, EntryKind::Directory { .. })
        && found.bits() == listed.bits() | SET_GROUP_ID
        && parent
            .parent()
            .and_then(|parent| fs::metadata(parent).ok())
            .is_some_and(|parent| parent.mode() & SET_GROUP_ID != 0)
}

/// How something that is there differs from what is listed; a digest that was not
/// computed does not differ.
fn differences(entry: &Entry, seen: &ListedEntry<'_>) -> Vec<Difference> {
    let found_mode = Mode::of(seen.mode);
    let mode = |listed: &Mode| {
        (*listed != found_mode).then_some(Difference::Mode {
            listed: *listed,
            found: found_mode,
        })
    };
    let mut all = Vec::new();
    if let (
        EntryKind::File {
            mode: listed_mode,
            size,
            sha256,
        },
        staging::ListedKind::File {
            size: found,
            sha256: digest,
        },
    ) = (&entry.kind, seen.kind)
    {
        if *size != found {
            all.push(Difference::Size {
                listed: *size,
                found,
            });
        }
        all.extend(mode(listed_mode));
        if digest.is_some_and(|digest| Sha256Digest::from(*digest) != *sha256) {
            all.push(Difference::Content);
        }
        return all;
    }
    match (&entry.kind, &listing::kind(seen)) {
        (EntryKind::Link { target: listed }, Some(EntryKind::Link { target: found })) => {
            if listed != found {
                all.push(Difference::Link {
                    listed: listed.clone(),
                    found: found.clone(),
                });
            }
        }
        (EntryKind::Directory { mode: listed }, Some(EntryKind::Directory { .. }))
        | (EntryKind::Fifo { mode: listed }, Some(EntryKind::Fifo { .. }))
        | (EntryKind::Socket { mode: listed }, Some(EntryKind::Socket { .. }))
        | (EntryKind::BlockDevice { mode: listed }, Some(EntryKind::BlockDevice { .. }))
        | (EntryKind::CharacterDevice { mode: listed }, Some(EntryKind::CharacterDevice { .. })) => {
            all.extend(mode(listed));
        }
        _ => all.push(Difference::Kind),
    }
    all
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}
