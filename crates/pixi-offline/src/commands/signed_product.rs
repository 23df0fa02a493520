//! What the signatures of a product are worth under a key that the caller trusts.

use std::path::Path;

use crate::context::Context;
use crate::evidence::check::CheckReport;
use crate::evidence::evidence_file::{LONGEST_LIST, LONGEST_RECORD};
use crate::evidence::manifest::{EncodedPath, ManifestFacts};
use crate::evidence::signature::VerifyingKey;
use crate::evidence::trusted_comment::TrustedComment;
use crate::evidence::{Sha256Digest, sums};
use crate::failure::Failure;
use crate::layout::Product;

/// A signature of `SHA256SUMS` that is right.
#[derive(Debug)]
pub struct SignedProduct {
    key: VerifyingKey,
    digest: Sha256Digest,
    comment: TrustedComment,
}

impl SignedProduct {
    /// Checks the signature of a product's `SHA256SUMS`, before anything else of the
    /// product is read.
    ///
    /// # Errors
    ///
    /// Exit code 1 when there is none, or it is not one by this key.
    pub fn require(product: &Product, key: &VerifyingKey) -> anyhow::Result<SignedProduct> {
        if std::fs::symlink_metadata(product.sums()).is_err() {
            return Err(refused(format!(
                "{} has no SHA256SUMS, so nothing in it is signed; make the product again, with --sign-key",
                product.path().display()
            )));
        }
        let (content, comment) = key.require_signed(&product.sums(), LONGEST_LIST)?;
        Ok(SignedProduct {
            key: key.clone(),
            digest: sums::product_digest(&content),
            comment,
        })
    }

    /// Requires that what was signed is the product of these lists, by its digest and by what
    /// the signed comment names.
    ///
    /// # Errors
    ///
    /// Exit code 1 when it is another one.
    pub fn require_names(
        &self,
        product: &Product,
        facts: &ManifestFacts,
        digest: &Sha256Digest,
    ) -> anyhow::Result<()> {
        if self.digest != *digest {
            return Err(refused(format!(
                "{} was changed while it was read; copy the complete product again",
                product.sums().display()
            )));
        }
        let signature = Product::signature_of(&product.sums());
        self.comment.require_product(&signature, facts, digest)
    }

    /// Requires that what was signed is the product that was compared with its lists,
    /// by its digest and by what the signed comment names; shows the comment.
    ///
    /// # Errors
    ///
    /// Exit code 1 when it is another one, or holds what no signature covers.
    pub fn require_is(
        &self,
        product: &Product,
        checked: &CheckReport,
        context: &Context,
    ) -> anyhow::Result<()> {
        let facts = &checked.manifest.facts;
        self.require_names(product, facts, &checked.digest)?;
        if let Some(first) = checked.left_by_install.first() {
            return Err(refused(format!(
                "{} holds {} files and directories that no signature covers, {} for example: something was installed in it, or they were added on its way; copy the complete product again",
                product.path().display(),
                checked.left_by_install.len(),
                EncodedPath::new(first)
            )));
        }
        if self.comment.field("project").is_none() {
            context.report.note("the signature names no project, version and platform, so it would fit any product of that signer; compare the digest, or have the product made again with --sign-key");
        }
        context
            .report
            .info(format_args!("Signed comment: {}", self.comment.shown()));
        self.require_provenance(product, checked, context)
    }

    /// Requires that the statement of provenance, where it is there and signed, is signed by
    /// the key for this product: no list covers it.
    fn require_provenance(
        &self,
        product: &Product,
        checked: &CheckReport,
        context: &Context,
    ) -> anyhow::Result<()> {
        let file = product.provenance();
        let is_there = |file| std::fs::symlink_metadata(file).is_ok();
        if !is_there(&file) {
            return Ok(());
        }
        if !is_there(&Product::signature_of(&file)) {
            context.report.warning(
                "provenance.json is not signed: anyone could have written it, and nothing is taken from it",
            );
            return Ok(());
        }
        signed_for(product, &file, checked, &self.key).map(drop)
    }
}

/// A file of a product that is signed by the key, for this product: its bytes and the
/// comment.
fn signed_for(
    product: &Product,
    file: &Path,
    checked: &CheckReport,
    key: &VerifyingKey,
) -> anyhow::Result<(Vec<u8>, TrustedComment)> {
    let (content, comment) = key.require_signed(file, LONGEST_RECORD)?;
    let signature = Product::signature_of(file);
    comment.require_product(&signature, &checked.manifest.facts, &checked.digest)?;
    // A signature of these commands names its file: else the signature of another file of this product would do.
    let name = file.file_name().unwrap_or_default();
    match comment.field("file") {
        Some(signed) if comment.field("product").is_some() && name != signed => {
            Err(refused(format!(
                "{} was made for another file, {}; copy the complete product {} again",
                signature.display(),
                EncodedPath::new(signed),
                product.path().display()
            )))
        }
        _ => Ok((content, comment)),
    }
}

/// Requires that the verification in a product is signed by the key, for this product;
/// gives its bytes.
///
/// # Errors
///
/// Exit code 1 when it is not.
pub fn require_signed_verification(
    product: &Product,
    checked: &CheckReport,
    key: &VerifyingKey,
    context: &Context,
) -> anyhow::Result<Vec<u8>> {
    let file = product.verification();
    if std::fs::symlink_metadata(&file).is_err() {
        return Err(refused(format!(
            "{} is missing, so the product is not verified offline; run final-verify-product with --attach and --sign-key first, or give --unverified",
            file.display()
        )));
    }
    let (content, comment) = signed_for(product, &file, checked, key)?;
    context
        .report
        .info(format_args!("Signed comment: {}", comment.shown()));
    Ok(content)
}

fn refused(why: String) -> anyhow::Error {
    Failure::general(why)
}
