//! A product that a command reads, as it lists itself.

use std::path::Path;

use crate::commands::signed_product::SignedProduct;
use crate::context::Context;
use crate::counted;
use crate::evidence::check::{self, CheckReport, Depth, Installs};
use crate::evidence::signature::VerifyingKey;
use crate::evidence::{did_you_mean, is_workdir};
use crate::failure::Failure;
use crate::layout::Product;
use crate::replacement::DirLock;

/// A product that is as it lists itself, but for the bytes of its files.
#[derive(Debug)]
pub struct ListedProduct {
    /// Where it is.
    pub product: Product,
    /// What it lists.
    pub checked: CheckReport,
    /// Keeps other runs from replacing it.
    pub reading: Option<DirLock>,
}

impl ListedProduct {
    /// Compares a product with its lists, and with its signature where there is a key. Messages begin
    /// with `option`, which named it; what an installation left in it is not in the `result`.
    ///
    /// # Errors
    ///
    /// Exit code 2 for what is not a product with lists; 1 for one that is not as it lists itself, or is
    /// not signed as required.
    pub fn open(
        (option, dir): (&str, &Path),
        key: Option<&VerifyingKey>,
        result: &str,
        command: &str,
        context: &Context,
    ) -> anyhow::Result<ListedProduct> {
        let product = Product::new(dir);
        let reading = lock_workdir_of(dir, command)?;
        let signed = key.map(|key| SignedProduct::require(&product, key));
        let signed = signed.transpose()?;
        let Some(checked) = check::check(&product, Depth::Quick)? else {
            return Err(Failure::usage(format!(
                "{option}{} has no manifest.json and no SHA256SUMS, so it is not a product, or an older version made it{}; make the product again",
                dir.display(),
                did_you_mean(dir)
            )));
        };
        if let Some(signed) = signed {
            signed.require_is(&product, &checked, context)?;
        }
        checked.require_as_listed(&product, Installs::Allowed)?;
        match checked.left_by_install.len() {
            0 => {}
            left => context.report.note(format_args!(
                "left out of the {result}: {} that an install left in the product",
                counted::entries(left)
            )),
        }
        Ok(ListedProduct {
            product,
            checked,
            reading,
        })
    }
}

/// Keeps other runs from changing the workdir that a product is in, if it is in one.
///
/// # Errors
///
/// Exit code 1 when another run holds it.
pub fn lock_workdir_of(product_dir: &Path, command: &str) -> anyhow::Result<Option<DirLock>> {
    let workdir = product_dir.parent().filter(|dir| is_workdir(dir));
    let lock = workdir.map(|workdir| DirLock::shared(workdir, command));
    lock.transpose()
}
