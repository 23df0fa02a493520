//! What differs between two products, by their lists alone.
//!
//! In: the `manifest.json` and `sbom.cdx.json` of both. Out: a [`Comparison`], for people and for
//! programs. No other file of a product is opened.

mod entries;
mod lists;
mod packages;
mod settings;
mod text;

use serde::Serialize;

use crate::failure::Failure;
pub use entries::{DirComparison, EntryChange, EntryFacts, FileCounts};
pub use lists::ProductLists;
pub use packages::{PackageChange, PackageFacts};
pub use settings::SettingChange;

/// The format of the JSON form.
const FORMAT: u32 = 1;

/// What marks the JSON form as ours.
const KIND: &str = "pixi-offline product comparison";

/// What differs between two products.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    kind: &'static str,
    format: u32,
    /// The product that was there before.
    pub old: ProductSummary,
    /// The product that is compared with it.
    pub new: ProductSummary,
    /// Whether both are the same to the byte: their digests are equal.
    pub same_product: bool,
    /// Whether packages, project and resources hold the same: their content digests are equal.
    pub same_content: bool,
    /// Packages that were added, removed or changed, by name.
    pub packages: Vec<PackageChange>,
    /// Entries of the project that were added, removed or changed, by path below it.
    pub project: DirComparison,
    /// The same of the resources.
    pub resources: DirComparison,
    /// The same of the package cache, where names of directories may be random: a count only.
    pub package_cache: FileCounts,
    /// What differs in how the products were made, and in what they need.
    pub settings: Vec<SettingChange>,
}

/// Which product it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProductSummary {
    /// Where it was read.
    pub path: String,
    /// The project's name.
    pub project: String,
    /// The project's version, when its manifest states one.
    pub version: Option<String>,
    /// The product's digest, `sha256:…`: that of its `SHA256SUMS`.
    pub product_digest: String,
    /// The digest of what it holds, without the bookkeeping of caches.
    pub content_digest: String,
    /// Regular files.
    pub files: u64,
    /// The bytes of these.
    pub bytes: u64,
}

impl Comparison {
    /// Compares two products of one project.
    ///
    /// # Errors
    ///
    /// Exit code 2 when they are of different projects, unless `any_project`.
    pub fn new(
        old: &ProductLists,
        new: &ProductLists,
        any_project: bool,
    ) -> anyhow::Result<Comparison> {
        let name = |lists: &ProductLists| lists.facts().project.name.clone();
        if name(old) != name(new) && !any_project {
            return Err(Failure::usage(format!(
                "{} is a product of the project {}, and {} is one of {}; name two products of one project, or add --any-project when the project was renamed",
                old.path().display(),
                name(old),
                new.path().display(),
                name(new)
            )));
        }
        let (old_summary, new_summary) = (old.summary(), new.summary());
        Ok(Comparison {
            kind: KIND,
            format: FORMAT,
            same_product: old_summary.product_digest == new_summary.product_digest,
            same_content: old_summary.content_digest == new_summary.content_digest,
            packages: packages::compare(old.packages(), new.packages()),
            project: DirComparison::of(old.project_entries(), new.project_entries()),
            resources: DirComparison::of(old.resource_entries(), new.resource_entries()),
            package_cache: FileCounts::of(old.cache_entries(), new.cache_entries()),
            settings: settings::compare(old, new),
            old: old_summary,
            new: new_summary,
        })
    }

    /// Whether anything differs that is compared.
    pub fn is_different(&self) -> bool {
        !self.same_product
    }

    /// The lines for people.
    pub fn lines(&self) -> Vec<String> {
        text::lines(self)
    }
}
