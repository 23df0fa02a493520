//! The products that an update is between: what their lists have, and what is known of their files.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pixi_offline::commands::listed_product::ListedProduct;
use pixi_offline::context::Context;
use pixi_offline::evidence::check::CheckReport;
use pixi_offline::evidence::evidence_file::{self, LONGEST_RECORD};
use pixi_offline::evidence::lists::Lists;
use pixi_offline::evidence::manifest::Manifest;
use pixi_offline::evidence::signature::VerifyingKey;
use pixi_offline::evidence::{Sha256Digest, did_you_mean, provenance, unix_seconds};
use pixi_offline::failure::Failure;
use pixi_offline::layout::Product;
use pixi_offline::project::require_dir;
use pixi_offline::replacement::DirLock;

/// The product that the targets are to have, which is as it lists itself but for the bytes of its files.
pub(crate) struct NewProduct {
    pub(crate) product: Product,
    pub(crate) checked: CheckReport,
    pub(crate) made: Option<String>,
    _reading: Option<DirLock>,
}

impl NewProduct {
    /// Compares the product with its lists, and with its signature where there is a key.
    ///
    /// # Errors
    ///
    /// Exit code 2 for what is not a product with lists; 1 for one that is not as it lists itself, is not
    /// signed as required, or holds what an update cannot carry.
    pub(crate) fn open(
        dir: &Path,
        key: Option<&VerifyingKey>,
        context: &Context,
    ) -> anyhow::Result<NewProduct> {
        let named = ("--product-dir ", dir);
        let ListedProduct {
            product,
            checked,
            reading,
        } = ListedProduct::open(named, key, "update", crate::COMMAND, context)?;
        require_portable(&checked)?;
        Ok(NewProduct {
            made: made(&product, &checked.manifest, &checked.digest)?,
            product,
            checked,
            _reading: reading,
        })
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.checked.manifest
    }
}

/// Refuses what plain files and a list cannot carry.
fn require_portable(checked: &CheckReport) -> anyhow::Result<()> {
    match checked.special_entry() {
        None => Ok(()),
        Some(entry) => Err(Failure::general(format!(
            "{} in the product is a pipe, a socket or a device, which an update does not carry; exclude it and make the product again",
            entry.path
        ))),
    }
}

/// A product that targets have, by its lists.
pub(crate) struct Base {
    /// Where the lists are.
    pub(crate) dir: PathBuf,
    pub(crate) lists: Lists,
    pub(crate) made: Option<String>,
}

impl Base {
    /// Reads the lists in `dir`, which may be all that is there.
    ///
    /// # Errors
    ///
    /// Exit code 2 when there is no manifest; 1 when a list was changed or cannot be read.
    pub(crate) fn read(dir: &Path) -> anyhow::Result<Base> {
        require_dir("--from", dir)?;
        let product = Product::new(dir);
        let Some(lists) = Lists::read(&product)? else {
            return Err(Failure::usage(format!(
                "--from {} has no manifest.json{}: an update is made from a product that has one, or from a directory with its manifest.json and its SHA256SUMS; without them, deliver the new product whole",
                dir.display(),
                did_you_mean(dir)
            )));
        };
        Ok(Base {
            made: made(&product, &lists.manifest, &lists.digest)?,
            dir: dir.to_owned(),
            lists,
        })
    }

    /// Whether it was made after the other product; `None` when one of them does not tell when it was made.
    pub(crate) fn is_newer(&self, new: &NewProduct) -> Option<bool> {
        let seconds = |made: &Option<String>| unix_seconds(made.as_deref()?);
        Some(seconds(&self.made)? > seconds(&new.made)?)
    }
}

/// When a product was complete: the time that it was to be dated with, else what its provenance has.
fn made(
    product: &Product,
    manifest: &Manifest,
    digest: &Sha256Digest,
) -> anyhow::Result<Option<String>> {
    if manifest.facts.created.is_some() {
        return Ok(manifest.facts.created.clone());
    }
    let text = evidence_file::read(&product.provenance(), LONGEST_RECORD)?.unwrap_or_default();
    let statement = serde_json::from_slice(&text).unwrap_or_default();
    Ok(provenance::finished(&statement, digest)
        .filter(|time| unix_seconds(time).is_some())
        .map(str::to_owned))
}

/// The time of a regular file of a product, in whole seconds since 1970.
pub(crate) fn time_of(file: &Path) -> anyhow::Result<i64> {
    let found = fs::symlink_metadata(file)
        .with_context(|| format!("{} cannot be looked at", file.display()))?;
    match found.is_file() {
        true => Ok(found.mtime()),
        false => Err(Failure::general(format!(
            "{} is not a regular file any more; copy the complete product again, or make it again",
            file.display()
        ))),
    }
}
