//! What differs between two products, by their lists alone.
//!
//! In: the `manifest.json` and `sbom.cdx.json` of both. Out: a [`Comparison`], for people and for
//! programs. No other file of a product is opened. `changes.json` in a product is the comparison
//! with the product that was delivered before; `html.rs` shows it in `report.html`.

mod entries;
mod html;
mod lists;
mod packages;
mod settings;
mod text;

use serde::{Deserialize, Serialize};

use crate::escape::escape;
use crate::evidence::file_header;
use crate::evidence::report_page::ReportSection;
use crate::evidence::verification::Verified;

use crate::failure::Failure;
use crate::parallel;
pub use entries::{DirComparison, EntryChange, EntryFacts, FileCounts};
pub use lists::ProductLists;
pub use packages::{PackageChange, PackageFacts};
pub use settings::SettingChange;

/// The format of the JSON form.
const FORMAT: u32 = 1;

/// What marks the JSON form as made by these commands.
const KIND: &str = "pixi-offline product comparison";

/// What differs between two products.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductSummary {
    /// Where it was read; not in `changes.json`, which is the same wherever it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
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
    /// What its final verification ran, `not verified` or `not known`; empty for the new product of
    /// `changes.json`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verified: Vec<String>,
    /// The public key of minisign that its signature was checked with; `None` where it was not
    /// checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
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
        let (old_summary, new_summary) = parallel::both(|| old.summary(), || new.summary());
        Ok(Comparison {
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

    /// What `changes.json` of the new product has: nothing of where the products were, and nothing
    /// of how the new one was verified, which comes afterwards.
    #[must_use]
    pub fn for_product(mut self, old_signed_by: Option<&str>) -> Comparison {
        (self.old.path, self.new.path) = (None, None);
        self.new.verified.clear();
        self.settings = settings::without_verification(&self.settings);
        self.old.signed_by = old_signed_by.map(str::to_owned);
        self
    }

    /// The file's bytes.
    ///
    /// # Errors
    ///
    /// When the values cannot be written as JSON.
    pub fn to_json(&self) -> anyhow::Result<Vec<u8>> {
        file_header::to_json(KIND, FORMAT, self)
    }

    /// Reads the bytes of a comparison, whoever wrote it.
    ///
    /// # Errors
    ///
    /// When they are no comparison, or one of another format.
    pub fn parse(text: &[u8]) -> anyhow::Result<Comparison> {
        file_header::parse(text, KIND, FORMAT)
    }

    /// The section of `report.html` on it; `verified` is what is known of the new product now,
    /// `is_signed` whether `changes.json` has a signature beside it, right or wrong.
    pub fn section(&self, verified: &Verified, is_signed: bool) -> ReportSection {
        html::section(self, verified, is_signed)
    }

    /// Whether anything differs that is compared.
    pub fn is_different(&self) -> bool {
        !self.same_product
    }

    /// The lines for people, without escape sequences that a list may hold.
    pub fn lines(&self) -> Vec<String> {
        let lines = text::lines(self).into_iter();
        lines.map(|line| escape(&line).into_owned()).collect()
    }
}
