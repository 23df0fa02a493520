//! Reads the two lists of a product, `manifest.json` and `SHA256SUMS`, and requires that they agree.

use std::collections::HashMap;

use anyhow::Context as _;
use memchr::memmem;
use sha2::{Digest as _, Sha256};

use crate::evidence::Sha256Digest;
use crate::evidence::evidence_file::{self, LONGEST_LIST, LONGEST_RECORD};
use crate::evidence::manifest::{EntryKind, Manifest};
use crate::evidence::sums::{self, ListedSums};
use crate::evidence::update_mark::is_update;
use crate::failure::Failure;
use crate::layout::Product;

/// A text in the bootstrap script of every product that has lists.
const BOOTSTRAP_KNOWS_LISTS: &[u8] = b"\ncarries_manifest='yes'\n";

/// The lists of a product, whatever is beside them.
#[derive(Debug, Clone)]
pub struct Lists {
    /// The manifest.
    pub manifest: Manifest,
    /// The digest of the product, that of its `SHA256SUMS`.
    pub digest: Sha256Digest,
    /// The digest of `manifest.json`.
    pub manifest_digest: Sha256Digest,
}

impl Lists {
    /// Reads both lists of a product, and requires that they agree; `None` when it has none, as
    /// products of older versions.
    ///
    /// # Errors
    ///
    /// When one of them is missing or cannot be read, and when they contradict each other.
    pub fn read_both(product: &Product) -> anyhow::Result<Option<Lists>> {
        let manifest = evidence_file::read(&product.manifest(), LONGEST_LIST)?;
        let sums = evidence_file::read(&product.sums(), LONGEST_LIST)?;
        let missing = match (manifest, sums) {
            (Some(manifest), Some(sums)) => {
                return consistent(product, &manifest, &sums).map(Some);
            }
            (None, None) if is_without_lists(product)? => return Ok(None),
            (None, None) => "its manifest.json and its SHA256SUMS are missing",
            (None, Some(_)) => "its manifest.json is missing",
            (Some(_), None) => "its SHA256SUMS is missing",
        };
        Err(broken(product, missing))
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
                Ok(Some(Lists {
                    manifest,
                    digest,
                    manifest_digest: Sha256::digest(&manifest_text).into(),
                }))
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
    let manifest_digest = Sha256Digest::from(Sha256::digest(manifest_text));
    let listed = ListedSums::of(&manifest.entries);
    // Read line by line only where it is not what the manifest would give: it then takes a message that
    // names what differs.
    if listed.are(sums_text, &manifest_digest) {
        require_own_sums(product, &manifest, &listed)?;
    } else {
        let sums = sums::parse(sums_text)
            .with_context(|| format!("{} cannot be used", product.sums().display()))?;
        require_consistent(product, &manifest, &manifest_digest, &listed, &sums)?;
    }
    Ok(Lists {
        manifest,
        digest: sums::product_digest(sums_text),
        manifest_digest,
    })
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

/// `SHA256SUMS` covers the manifest, and both name the same files with the same
/// digests.
fn require_consistent(
    product: &Product,
    manifest: &Manifest,
    manifest_digest: &Sha256Digest,
    listed: &ListedSums,
    sums: &HashMap<Vec<u8>, Sha256Digest>,
) -> anyhow::Result<()> {
    if sums.get(Product::MANIFEST.as_bytes()) != Some(manifest_digest) {
        return Err(broken(
            product,
            "its manifest.json was changed: SHA256SUMS has another digest of it",
        ));
    }
    require_own_sums(product, manifest, listed)?;
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

/// The digest of `SHA256SUMS` that the manifest has, where it has one, is that of its entries.
fn require_own_sums(
    product: &Product,
    manifest: &Manifest,
    listed: &ListedSums,
) -> anyhow::Result<()> {
    let stated = manifest.facts.sums;
    if stated.is_some_and(|stated| stated != listed.digest()) {
        return Err(broken(
            product,
            "its manifest.json was changed: its digest of SHA256SUMS is not that of its entries",
        ));
    }
    Ok(())
}

/// The refusal of a product, and why.
pub(super) fn broken(product: &Product, why: &str) -> anyhow::Error {
    if is_update(product.path()) {
        return Failure::usage(format!(
            "{0} is an update, not a product; its product is made at the target with {0}/apply-update.sh, and {0}/product has the lists of it",
            product.path().display()
        ));
    }
    Failure::general(format!(
        "the product {} is not whole: {why}; copy all of it again, or make it again",
        product.path().display()
    ))
}
