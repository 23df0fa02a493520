//! Whether a product is as its lists say.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use memchr::memmem;
use sha2::{Digest as _, Sha256};

use crate::evidence::Sha256Digest;
use crate::evidence::evidence_file::{self, LONGEST_LIST, LONGEST_RECORD};
use crate::evidence::listing::{self, Without};
use crate::evidence::manifest::{EncodedPath, Entry, EntryKind, Manifest, Mode};
use crate::evidence::sums;
use crate::failure::Failure;
use crate::layout::Product;
use crate::staging::{self, HashPolicy, Listed};

/// How many findings are shown.
const SHOWN: usize = 40;

/// What a bootstrap script says whose product has lists.
const BOOTSTRAP_KNOWS_LISTS: &[u8] = b"\ncarries_manifest='yes'\n";

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
pub struct Checked {
    /// The manifest.
    pub manifest: Manifest,
    /// The digest of the product, that of its `SHA256SUMS`.
    pub digest: Sha256Digest,
    /// What is not as it is listed, by path.
    pub findings: Vec<CheckFinding>,
    /// What is not listed, and lies where an install in the product leaves its
    /// things. Nothing vouches for it.
    pub left_by_install: Vec<PathBuf>,
}

/// What may be in a product beside what it lists: what an install in it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installs {
    /// Nothing: what is signed is what is listed.
    Refused,
    /// Whatever lies in the places of an install: it is installed there again, by a
    /// bootstrap that judges it.
    Allowed,
}

impl Checked {
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
        let mut lines: Vec<String> = self
            .findings
            .iter()
            .cloned()
            .chain(left_found)
            .take(SHOWN)
            .map(|finding| finding.to_string())
            .collect();
        let more = self.findings.len() + left.len() - lines.len();
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        Err(Failure::general(format!(
            "the product {} is not as its manifest.json and SHA256SUMS say; copy it again, whole, or make it again:\n  {}",
            product.path().display(),
            lines.join("\n  ")
        )))
    }
}

impl Checked {
    /// The bytes of a file that was compared, which may have changed since.
    ///
    /// # Errors
    ///
    /// Exit code 1 when it is not listed, has not the listed bytes or more than `limit`,
    /// or cannot be read.
    pub fn read(&self, product: &Product, path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
        // They are sorted by these bytes.
        let entries = &self.manifest.entries;
        let place = entries.binary_search_by(|entry| entry.path.bytes().cmp(bytes(path)));
        let listed = place.ok().and_then(|place| match &entries[place].kind {
            EntryKind::File { sha256, .. } => Some(*sha256),
            _ => None,
        });
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
        let path = &self.path;
        match &self.what {
            Difference::Missing => write!(f, "missing: {path}"),
            Difference::Added => write!(f, "added: {path}"),
            Difference::Content => write!(f, "changed: {path} (other bytes)"),
            Difference::Size { listed, found } => {
                write!(f, "changed: {path} ({found} bytes, {listed} are listed)")
            }
            Difference::Link { listed, found } => write!(
                f,
                "changed link: {path} (leads to {found}, {listed} is listed)"
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
pub fn check(product: &Product, depth: Depth) -> anyhow::Result<Option<Checked>> {
    let Some((manifest_text, sums_text)) = read_lists(product)? else {
        return Ok(None);
    };
    let Lists { manifest, digest } = consistent(product, &manifest_text, &sums_text)?;
    let (findings, left_by_install) = compare(product, &manifest, depth)?;
    Ok(Some(Checked {
        digest,
        findings,
        left_by_install,
        manifest,
    }))
}

/// The lists of a product, whatever lies beside them.
#[derive(Debug, Clone)]
pub struct Lists {
    /// The manifest.
    pub manifest: Manifest,
    /// The digest of the product, that of its `SHA256SUMS`.
    pub digest: Sha256Digest,
}

impl Lists {
    /// Reads both lists of a product, and requires that they agree; `None` when it has none, as
    /// products of older versions.
    ///
    /// # Errors
    ///
    /// When one of them is missing or cannot be read, and when they contradict each other.
    pub fn read_both(product: &Product) -> anyhow::Result<Option<Lists>> {
        let Some((manifest_text, sums_text)) = read_lists(product)? else {
            return Ok(None);
        };
        consistent(product, &manifest_text, &sums_text).map(Some)
    }

    /// Reads the lists of a product, of which only `manifest.json` must be there: what `SHA256SUMS`
    /// has follows from it. `None` where there is neither.
    ///
    /// # Errors
    ///
    /// When a list cannot be read or is of an unknown format, and when they contradict each other.
    pub fn read(product: &Product) -> anyhow::Result<Option<Lists>> {
        let manifest_text = evidence_file::read(&product.manifest(), LONGEST_LIST)?;
        let sums_text = evidence_file::read(&product.sums(), LONGEST_LIST)?;
        match (manifest_text, sums_text) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(broken(product, "its manifest.json is missing")),
            (Some(manifest_text), Some(sums_text)) => {
                consistent(product, &manifest_text, &sums_text).map(Some)
            }
            (Some(manifest_text), None) => {
                let manifest = parse(product, &manifest_text)?;
                let sums_text = sums::text(&manifest.entries, &manifest_text);
                let digest = sums::product_digest(&sums_text);
                Ok(Some(Lists { manifest, digest }))
            }
        }
    }
}

fn parse(product: &Product, manifest_text: &[u8]) -> anyhow::Result<Manifest> {
    Manifest::parse(manifest_text)
        .with_context(|| format!("{} cannot be used", product.manifest().display()))
}

/// Both lists, which agree.
fn consistent(product: &Product, manifest_text: &[u8], sums_text: &[u8]) -> anyhow::Result<Lists> {
    let manifest = parse(product, manifest_text)?;
    let sums = sums::parse(sums_text)
        .with_context(|| format!("{} cannot be used", product.sums().display()))?;
    require_consistent(product, &manifest, manifest_text, &sums)?;
    Ok(Lists {
        manifest,
        digest: sums::product_digest(sums_text),
    })
}

/// The bytes of `manifest.json` and `SHA256SUMS`; `None` where a product has no lists.
fn read_lists(product: &Product) -> anyhow::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let manifest = evidence_file::read(&product.manifest(), LONGEST_LIST)?;
    let sums = evidence_file::read(&product.sums(), LONGEST_LIST)?;
    let missing = match (manifest, sums) {
        (Some(manifest), Some(sums)) => return Ok(Some((manifest, sums))),
        (None, None) if is_without_lists(product)? => return Ok(None),
        (None, None) => "its manifest.json and its SHA256SUMS are missing",
        (None, Some(_)) => "its manifest.json is missing",
        (Some(_), None) => "its SHA256SUMS is missing",
    };
    Err(broken(product, missing))
}

/// What in a product is not as it is listed, by path; and what an install left there.
fn compare(
    product: &Product,
    manifest: &Manifest,
    depth: Depth,
) -> anyhow::Result<(Vec<CheckFinding>, Vec<PathBuf>)> {
    let (mut findings, mut left_by_install) = (Vec::new(), Vec::new());
    let mut listed: HashMap<&[u8], &Entry> = manifest
        .entries
        .iter()
        .map(|entry| (entry.path.bytes(), entry))
        .collect();
    // One of another length is changed, whatever its digest is.
    let digests = |path: &Path, found| match listed.get(bytes(path)).map(|entry| &entry.kind) {
        Some(EntryKind::File { size, .. }) if depth == Depth::Full && *size == found => {
            HashPolicy::Compute
        }
        _ => HashPolicy::Skip,
    };
    let seen = staging::scan_tree(product.path(), &Without(is_not_listed), &digests)?;
    let seen = || seen.listing.entries(Path::new(""));
    let project = manifest.facts.project.dir.path().to_owned();
    let environments = project.join(".pixi");
    // A link in its place leads out of the product.
    let is_dir = |path: &Path| {
        fs::symlink_metadata(product.path().join(path)).is_ok_and(|found| found.is_dir())
    };
    let installed = is_dir(&environments)
        && seen().any(|seen| {
            seen.path.starts_with(&environments) && !listed.contains_key(bytes(&seen.path))
        });
    // A path dependency may be built in its directory, beside the project.
    let staged = manifest.facts.project.staged_dir().to_owned();
    let where_installs_write = [staged, PathBuf::from("res"), PathBuf::from("pkg-cache")];
    for seen in seen() {
        let Some(entry) = listed.remove(bytes(&seen.path)) else {
            if installed
                && where_installs_write
                    .iter()
                    .any(|place| seen.path.starts_with(place))
            {
                left_by_install.push(seen.path.clone());
            } else {
                findings.push(CheckFinding {
                    path: EncodedPath::new(&seen.path),
                    what: Difference::Added,
                });
            }
            continue;
        };
        let differences = differences(entry, &seen).into_iter();
        let differences = differences.filter(|what| !is_inherited(what, entry, product));
        findings.extend(differences.map(|what| CheckFinding {
            path: entry.path.clone(),
            what,
        }));
    }
    findings.extend(uncovered(product));
    findings.extend(writable_by_everybody(product));
    findings.extend(listed.into_values().map(|entry| CheckFinding {
        path: entry.path.clone(),
        what: Difference::Missing,
    }));
    findings.sort_by(|a, b| a.path.bytes().cmp(b.path.bytes()));
    Ok((findings, left_by_install))
}

/// Whether a product was made without lists, as older versions did.
///
/// # Errors
///
/// When its bootstrap script cannot be read.
pub fn is_without_lists(product: &Product) -> anyhow::Result<bool> {
    if product.manifest().exists() || product.sums().exists() {
        return Ok(false);
    }
    let script =
        evidence_file::read(&product.bootstrap_script(), LONGEST_RECORD)?.unwrap_or_default();
    Ok(memmem::find(&script, BOOTSTRAP_KNOWS_LISTS).is_none())
}

/// Whether something is of the files that no manifest lists.
fn is_not_listed(path: &Path) -> bool {
    path == Product::MANIFEST || Product::UNCOVERED.iter().any(|name| path == *name)
}

/// What has the name of a file that no manifest lists, and is none, or one that
/// somebody may run, or more than its owner write.
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

fn broken(product: &Product, why: &str) -> anyhow::Error {
    Failure::general(format!(
        "the product {} is not whole: {why}; copy it again, whole, or make it again",
        product.path().display()
    ))
}

/// `SHA256SUMS` covers the manifest, and both name the same files with the same
/// digests.
fn require_consistent(
    product: &Product,
    manifest: &Manifest,
    manifest_text: &[u8],
    sums: &HashMap<Vec<u8>, Sha256Digest>,
) -> anyhow::Result<()> {
    let digest = Sha256Digest::from(Sha256::digest(manifest_text));
    if sums.get(Product::MANIFEST.as_bytes()) != Some(&digest) {
        return Err(broken(
            product,
            "its manifest.json was changed: SHA256SUMS has another digest of it",
        ));
    }
    let listed = manifest.facts.sums;
    if listed.is_some_and(|listed| listed != sums::digest_without_manifest(&manifest.entries)) {
        return Err(broken(
            product,
            "its manifest.json was changed: its digest of SHA256SUMS is not that of its entries",
        ));
    }
    let mut files = 0;
    for entry in &manifest.entries {
        let EntryKind::File { sha256, .. } = &entry.kind else {
            continue;
        };
        files += 1;
        if sums.get(entry.path.bytes()) != Some(sha256) {
            return Err(broken(
                product,
                &format!(
                    "its SHA256SUMS was changed: manifest.json has another digest of {}",
                    entry.path
                ),
            ));
        }
    }
    if sums.len() != files + 1 {
        return Err(broken(
            product,
            "its SHA256SUMS was changed: it names files that manifest.json does not have",
        ));
    }
    Ok(())
}

/// How something that is there differs from what is listed; a digest that was not
/// computed does not differ.
fn differences(entry: &Entry, seen: &Listed<'_>) -> Vec<Difference> {
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
        staging::Kind::File {
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
