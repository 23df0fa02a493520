//! What a product carries for those who must approve it: the bill of materials,
//! and the page. Both are made of the product itself, so that making it and
//! verifying it write the same.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::commands::previous;
use crate::context::Context;
use crate::evidence::evidence_file::{self, LONGEST_LIST, LONGEST_RECORD};
use crate::evidence::manifest::{Manifest, ManifestFacts};
use crate::evidence::report_page::{self, Approval};
use crate::evidence::signature::VerifyingKey;
use crate::evidence::verification::Verified;
use crate::evidence::{Sha256Digest, provenance, sbom, sums};
use crate::layout::{self, Product, ProjectPlace};
use crate::packages::{Inventory, LocalSources, Lock, PythonCache, Requirements, UnlistedEntries};
use crate::replacement::{replace_file, write_file};

/// The packages of a product, by its lock.
pub(crate) struct ProductPackages {
    /// `None` when it has no lock.
    inventory: Option<Inventory>,
    need: Option<Requirements>,
    whole_cache: bool,
}

impl ProductPackages {
    /// Reads the product's lock, and in `cache`, where its package cache is now, the
    /// licences of Python packages.
    pub(crate) fn read(
        product: &Product,
        cache: &Path,
        facts: &ManifestFacts,
        context: &Context,
    ) -> anyhow::Result<ProductPackages> {
        let project = product.path().join(facts.project.dir.path());
        let (environments, whole_cache) = (&facts.environments, facts.packages.whole_cache);
        let Some(lock) = lock_of(product, facts, context)? else {
            return Ok(ProductPackages {
                inventory: None,
                need: None,
                whole_cache,
            });
        };
        let mut inventory = Inventory::of(&lock, environments, facts.platform);
        inventory.add_python_licences(&PythonCache::read(cache));
        let place = ProjectPlace::of_path(facts.project.dir.path())?;
        let local = LocalSources::of(&lock, &product.staged(&place.name), &place.in_root);
        let need = facts
            .platform
            .and_then(|subdir| Requirements::of(&lock, environments, subdir, &local).ok());
        Ok(ProductPackages {
            inventory: Some(inventory),
            need: need.map(|need| need.in_project(&project)),
            whole_cache,
        })
    }

    /// What is in the product's cache beside what its environments need. `left` are paths in
    /// it that do not ship.
    pub(crate) fn unlisted(&self, cache: &Path, left: &[PathBuf]) -> UnlistedEntries {
        // What is not known to be needed is carried whole.
        let whole = self.whole_cache || self.need.is_none();
        UnlistedEntries::of(cache, self.need.as_ref(), whole, left)
    }

    /// Writes `sbom.cdx.json`, before the product is listed.
    pub(crate) fn write_sbom(
        &self,
        product: &Product,
        facts: &ManifestFacts,
    ) -> anyhow::Result<()> {
        let subject = sbom::Subject {
            project: &facts.project.name,
            environments: &facts.environments,
            platform: facts.platform,
            lock: facts.project.lock.as_ref(),
            built: &facts.built,
            timestamp: facts.created.as_deref(),
        };
        let none = Inventory::default();
        let text = sbom::text(&subject, self.inventory.as_ref().unwrap_or(&none))?;
        write_file(&product.sbom(), text.as_bytes())
    }

    /// Writes `report.html`, which tells of the verification that is attached too, and of what
    /// changed since the product before. With a key, only what is signed with it has a say.
    pub(crate) fn write_html_report(
        &self,
        product: &Product,
        manifest: &Manifest,
        digest: &Sha256Digest,
        unlisted: &UnlistedEntries,
        key: Option<&VerifyingKey>,
        context: &Context,
    ) -> anyhow::Result<()> {
        let is_signed = |file| {
            let beside = fs::symlink_metadata(Product::signature_of(file));
            beside.is_ok_and(|beside| beside.is_file())
        };
        let verified = Verified::read(product, digest)?;
        let changes = previous::section(product, digest, &verified, key, context);
        let text = report_page::text(&Approval {
            manifest,
            digest,
            inventory: self.inventory.as_ref(),
            unlisted,
            verified: &verified,
            secrets: manifest.facts.secrets.as_ref(),
            sums_signed: is_signed(&product.sums()),
            verification_signed: is_signed(&product.verification()),
            provenance_signed: is_signed(&product.provenance()),
            changes: changes.as_ref(),
        });
        replace_file(&product.report(), text.as_bytes())
    }
}

/// Writes `report.html` of a product that is there complete. With a key, only a
/// statement that is signed with it has a say.
pub(crate) fn rewrite_page(
    product: &Product,
    key: Option<&VerifyingKey>,
    context: &Context,
) -> anyhow::Result<()> {
    let read = |file: &Path| {
        evidence_file::read(file, LONGEST_LIST)?
            .with_context(|| format!("{} is missing", file.display()))
    };
    let digest = sums::product_digest(&read(&product.sums())?);
    let file = product.manifest();
    let mut manifest = Manifest::parse(&read(&file)?)
        .with_context(|| format!("{} cannot be read as a manifest", file.display()))?;
    if let Some(statement) = statement(product, &digest, key, context) {
        provenance::complete(&mut manifest.facts.build, &statement);
    }
    let cache = product.cache();
    let packages = ProductPackages::read(product, &cache, &manifest.facts, context)?;
    packages.write_html_report(
        product,
        &manifest,
        &digest,
        &packages.unlisted(&cache, &[]),
        key,
        context,
    )
}

/// The statement of provenance that is in a product; without it the page says less.
fn statement(
    product: &Product,
    digest: &Sha256Digest,
    key: Option<&VerifyingKey>,
    context: &Context,
) -> Option<Value> {
    let file = product.provenance();
    let content = match key {
        Some(key) => {
            key.require_signed(&file, LONGEST_RECORD)
                .inspect_err(|error| {
                    context.report.warning(format_args!(
                        "report.html leaves out what provenance.json states: {error:#}"
                    ));
                })
                .ok()?
                .0
        }
        None => evidence_file::read(&file, LONGEST_RECORD).ok()??,
    };
    let statement: Value = serde_json::from_slice(&content).ok()?;
    let subject = statement["subject"][0]["digest"]["sha256"].as_str()?;
    (subject == digest.to_string()).then_some(statement)
}

/// The lock of a product, without the platforms that pixi could have chosen and did not:
/// their packages are not carried.
///
/// # Errors
///
/// When it cannot be read.
pub fn lock_of(
    product: &Product,
    facts: &ManifestFacts,
    context: &Context,
) -> anyhow::Result<Option<Lock>> {
    let project = product.path().join(facts.project.dir.path());
    let lock = context.locks.read(&project.join(layout::LOCK_FILE))?;
    let chosen = facts.platform_names.iter();
    let chosen = chosen.map(|(environment, name)| (&**environment, &**name));
    Ok(lock.map(|lock| lock.choosing(chosen)))
}
