//! The product that was delivered before, and `changes.json`: what changed since.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::commands::signed_product::SignedProduct;
use crate::comparison::{Comparison, ProductLists};
use crate::context::Context;
use crate::evidence::Sha256Digest;
use crate::evidence::evidence_file::{self, LONGEST_LIST};
use crate::evidence::report_page::ReportSection;
use crate::evidence::signature::{SigningKey, VerifyingKey};
use crate::evidence::trusted_comment::TrustedComment;
use crate::evidence::verification::Verified;
use crate::failure::Failure;
use crate::layout::Product;
use crate::project::require_dir;
use crate::replacement::write_file;
use crate::request::PreviousOptions;

/// The lists of the product that was delivered before. They are in memory: a run may replace
/// that product.
#[derive(Debug)]
pub struct Previous {
    lists: ProductLists,
    /// The key that its signature was checked with.
    signed_by: Option<String>,
}

impl Previous {
    /// Reads the lists that `--previous` names, for a product of this project; `None` without
    /// the option.
    ///
    /// # Errors
    ///
    /// Exit code 2 when there are none, the key is not a public key, or they are of another project; 1 when
    /// they were changed, or are not signed by the key that was named.
    pub fn read(
        options: &PreviousOptions,
        project: &str,
        context: &Context,
    ) -> anyhow::Result<Option<Previous>> {
        let Some(dir) = &options.previous else {
            return Ok(None);
        };
        let dir = context.host.absolute(dir);
        require_dir("--previous", &dir)?;
        let product = Product::new(&dir);
        let key = context.verifying_key("--previous-key", options.previous_key.as_ref())?;
        // Nothing else of it is read before its signature is right.
        let signed = key
            .as_ref()
            .map(|key| SignedProduct::require(&product, key))
            .transpose()?;
        let lists = ProductLists::read(&dir)?;
        if let Some(signed) = signed {
            signed.require_names(&product, lists.facts(), lists.digest())?;
        }
        let other = &lists.facts().project.name;
        if other != project {
            return Err(Failure::usage(format!(
                "--previous {} is a product of the project {other}, and this is {project}; name the product that was delivered before, or leave --previous out and use compare-products --any-project",
                dir.display()
            )));
        }
        Ok(Some(Previous {
            lists,
            signed_by: key.map(|key| key.text()),
        }))
    }

    /// Writes `changes.json` of a product whose lists are written; `now` are seconds since 1970.
    pub(crate) fn write_changes(
        &self,
        product: &Product,
        key: Option<&SigningKey>,
        now: u64,
    ) -> anyhow::Result<()> {
        let new = ProductLists::read(product.path())?;
        let comparison = Comparison::new(&self.lists, &new, false)?;
        let content = comparison
            .for_product(self.signed_by.as_deref())
            .to_json()?;
        let file = product.changes();
        write_file(&file, &content)?;
        let Some(key) = key else {
            return Ok(());
        };
        let comment = TrustedComment::of(&file, now, Some((new.facts(), new.digest())));
        let signature = key.sign(&content, &comment)?;
        write_file(&Product::signature_of(&file), signature.as_bytes())
    }
}

/// The section of `report.html` on what changed, of the `changes.json` that is in a product; `None`
/// where there is none, or one that this product's page cannot show, which is said.
pub(crate) fn section(
    product: &Product,
    digest: &Sha256Digest,
    verified: &Verified,
    key: Option<&VerifyingKey>,
    context: &Context,
) -> Option<ReportSection> {
    let file = product.changes();
    fs::symlink_metadata(&file).ok()?;
    let is_signed = fs::symlink_metadata(Product::signature_of(&file)).is_ok();
    comparison(&file, digest, key)
        .inspect_err(|error| {
            context.report.warning(format_args!(
                "report.html leaves out what changes.json states: {error:#}"
            ));
        })
        .ok()
        .map(|comparison| comparison.section(verified, is_signed))
}

fn comparison(
    file: &Path,
    digest: &Sha256Digest,
    key: Option<&VerifyingKey>,
) -> anyhow::Result<Comparison> {
    let content = match key {
        Some(key) => key.require_signed(file, LONGEST_LIST)?.0,
        None => evidence_file::read(file, LONGEST_LIST)?.context("it is missing")?,
    };
    let comparison = Comparison::parse(&content)?;
    anyhow::ensure!(
        comparison.new.product_digest == format!("sha256:{digest}"),
        "it is of another product"
    );
    Ok(comparison)
}
