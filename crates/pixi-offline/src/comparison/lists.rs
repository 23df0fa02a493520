//! The lists of one product that is compared.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::comparison::packages::{self, EnvironmentPackages};
use crate::comparison::{ProductSummary, settings};
use crate::evidence::evidence_file::{self, LONGEST_RECORD};
use crate::evidence::lists::Lists;
use crate::evidence::manifest::{Entry, EntryKind, ManifestFacts};
use crate::evidence::verification::Verified;
use crate::evidence::{ContentDigest, Sha256Digest, did_you_mean};
use crate::failure::Failure;
use crate::layout::Product;

/// The lists of a product: of a whole one, or of a directory that has only its lists.
#[derive(Debug)]
pub struct ProductLists {
    path: PathBuf,
    lists: Lists,
    packages: EnvironmentPackages,
    /// `None` where it is not known: beside lists alone there need be no record.
    verified: Option<Verified>,
}

impl ProductLists {
    /// Reads the lists in `dir`.
    ///
    /// # Errors
    ///
    /// Exit code 2 when there is no `manifest.json` or no `sbom.cdx.json`, or one of an unknown format; 1 when
    /// `SHA256SUMS` is beside them and has another digest of one of them, or when one cannot be read.
    pub fn read(dir: &Path) -> anyhow::Result<ProductLists> {
        let product = Product::new(dir);
        let Some(lists) = Lists::read(&product)? else {
            return Err(missing(dir, Product::MANIFEST));
        };
        let Some(bill) = evidence_file::read(&product.sbom(), LONGEST_RECORD)? else {
            return Err(missing(dir, Product::SBOM));
        };
        let digest = Sha256Digest::from(Sha256::digest(&bill));
        let entries = &lists.manifest.entries;
        let listed = entries
            .binary_search_by(|entry| entry.path.bytes().cmp(Product::SBOM.as_bytes()))
            .ok()
            .map(|place| &entries[place].kind);
        if !matches!(listed, Some(EntryKind::File { sha256, .. }) if *sha256 == digest) {
            return Err(Failure::general(format!(
                "{} is not the file that {} lists: it was changed; copy the complete product again",
                product.sbom().display(),
                product.manifest().display()
            )));
        }
        let packages = packages::read(&bill)
            .with_context(|| format!("{} cannot be used", product.sbom().display()))?;
        let verified = match Verified::read(&product, &lists.digest)? {
            Verified::Never if !product.bootstrap_script().is_file() => None,
            verified => Some(verified),
        };
        Ok(ProductLists {
            path: dir.to_owned(),
            lists,
            packages,
            verified,
        })
    }

    /// Where they were read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The product's digest, that of its `SHA256SUMS`.
    pub fn digest(&self) -> &Sha256Digest {
        &self.lists.digest
    }

    /// What its manifest states.
    pub fn facts(&self) -> &ManifestFacts {
        &self.lists.manifest.facts
    }

    pub(super) fn packages(&self) -> &EnvironmentPackages {
        &self.packages
    }

    pub(super) fn verification(&self) -> Option<&Verified> {
        self.verified.as_ref()
    }

    /// Those of the project's directory, or of the copy of its source root, with their paths
    /// below it.
    pub(super) fn project_entries(&self) -> impl Iterator<Item = (&[u8], &EntryKind)> {
        let dir = self.facts().project.staged_dir();
        self.below(dir.as_os_str().as_encoded_bytes())
    }

    /// Those of the resources, with their paths below these.
    pub(super) fn resource_entries(&self) -> impl Iterator<Item = (&[u8], &EntryKind)> {
        self.below(Product::RESOURCES.as_bytes())
    }

    /// Those of the package cache.
    pub(super) fn cache_entries(&self) -> impl Iterator<Item = (&[u8], &EntryKind)> {
        self.below(Product::CACHE.as_bytes())
    }

    fn below<'a>(&'a self, dir: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a EntryKind)> {
        let below = move |entry: &'a Entry| {
            let path = entry.path.bytes().strip_prefix(dir)?;
            Some((path.strip_prefix(b"/")?, &entry.kind))
        };
        self.lists.manifest.entries.iter().filter_map(below)
    }

    /// Of the entries, so that it is known of an older product, too.
    pub(super) fn content_digest(&self) -> ContentDigest {
        ContentDigest::of(
            self.facts().project.staged_dir(),
            &self.lists.manifest.entries,
        )
    }

    pub(super) fn summary(&self) -> ProductSummary {
        let facts = self.facts();
        ProductSummary {
            path: Some(self.path.display().to_string()),
            project: facts.project.name.clone(),
            version: facts.project.version.clone(),
            product_digest: format!("sha256:{}", self.lists.digest),
            content_digest: self.content_digest().to_string(),
            files: facts.totals.files,
            bytes: facts.totals.bytes,
            verified: settings::verification(self.verification()),
            signed_by: None,
        }
    }
}

fn missing(dir: &Path, name: &str) -> anyhow::Error {
    Failure::usage(format!(
        "{} has no {name}{}; name a product, or a directory with its manifest.json and its sbom.cdx.json",
        dir.display(),
        did_you_mean(dir)
    ))
}
