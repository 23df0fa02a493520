//! The product that an image is made from.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use pixi_offline::commands::listed_product::lock_workdir_of;
use pixi_offline::commands::lock_of;
use pixi_offline::commands::signed_product::{SignedProduct, require_signed_verification};
use pixi_offline::context::Context;
use pixi_offline::evidence::check::{self, CheckReport, Depth, Installs};
use pixi_offline::evidence::manifest::{Entry, ManifestFacts};
use pixi_offline::evidence::signature::VerifyingKey;
use pixi_offline::evidence::verification::{VerificationRecord, Verified};
use pixi_offline::failure::Failure;
use pixi_offline::layout::{Product, ProjectPlace};
use pixi_offline::packages::{Lock, Package};
use pixi_offline::project::require_dir;
use pixi_offline::replacement::DirLock;
use pixi_offline::request::{DEFAULT_ENVIRONMENT, EnvironmentName, ImageReference};

use crate::request::{AppDir, CopiedPath, ImageRequest};

/// A product that was compared with its lists, every byte of it, and what of it goes into
/// the image.
pub struct CheckedProduct {
    /// Where it is.
    pub product: Product,
    /// What it lists.
    pub checked: CheckReport,
    /// The image that the environment is installed in.
    pub build_image: ImageReference,
    /// Where the project is in it.
    pub project: ProjectPlace,
    /// Where the project is in the image: `--app-dir`, or below it, where that has a copy of
    /// the project's source root.
    pub project_dir: AppDir,
    /// The environment that goes into the image.
    pub environment: EnvironmentName,
    lock: Option<Lock>,
    _dir_lock: Option<DirLock>,
}

impl CheckedProduct {
    /// Compares the product with its lists, signatures and verification.
    ///
    /// # Errors
    ///
    /// Exit code 2 for a product without evidence or without what the request names, 1 for
    /// one that is damaged or not signed as required.
    pub fn open(request: &ImageRequest, context: &Context) -> anyhow::Result<CheckedProduct> {
        let product_dir = context.host.absolute(&request.product_dir);
        require_dir("--product-dir", &product_dir)?;
        let product = Product::new(&product_dir);
        let dir_lock = lock_workdir_of(&product_dir, crate::COMMAND)?;
        let key = context.verifying_key("--verify-key", request.verify_key.as_ref())?;
        // Nothing else of the product is read before its signature is right.
        let signed = key
            .as_ref()
            .map(|key| SignedProduct::require(&product, key))
            .transpose()?;
        let installs = match key {
            Some(_) => Installs::Refused,
            None => Installs::Allowed,
        };
        let checked = check_whole(&product, installs)?;
        if let Some(signed) = signed {
            signed.require_is(&product, &checked, context)?;
        }
        require_verified(&product, &checked, request, key.as_ref(), context)?;
        let facts = &checked.manifest.facts;
        let project = ProjectPlace::of_path(facts.project.dir.path())?;
        let project_dir = request.app.below(project.in_root.as_str())?;
        let environment = environment(request, facts)?;
        let build_image = build_image(request, facts, context)?;
        require_copied_paths(&request.copies, &project, &checked.manifest.entries)?;
        Ok(CheckedProduct {
            lock: lock_of(&product, facts, context)?,
            build_image,
            product,
            checked,
            project,
            project_dir,
            environment,
            _dir_lock: dir_lock,
        })
    }

    /// The facts of its manifest.
    pub fn facts(&self) -> &ManifestFacts {
        &self.checked.manifest.facts
    }

    /// The packages of the environment.
    pub fn packages(&self) -> &[Arc<Package>] {
        let (lock, subdir) = (self.lock.as_ref(), self.facts().platform);
        let packages = lock.and_then(|lock| lock.packages(self.environment.as_str(), subdir?));
        packages.unwrap_or_default()
    }
}

/// The image that was named, else the one of the product's build.
fn build_image(
    request: &ImageRequest,
    facts: &ManifestFacts,
    context: &Context,
) -> anyhow::Result<ImageReference> {
    if let Some(image) = &request.build_image {
        return Ok(image.clone());
    }
    let Some(image) = &facts.build.image else {
        return Err(Failure::usage(
            "--build-image is required: the product does not record the image of its build",
        ));
    };
    let image = ImageReference::new(image.reference.as_ref()).context("--build-image")?;
    context.report.note(format_args!(
        "building in {image}, the image that the product's manifest names"
    ));
    Ok(image)
}

fn check_whole(product: &Product, installs: Installs) -> anyhow::Result<CheckReport> {
    let Some(checked) = check::check(product, Depth::Full)? else {
        return Err(Failure::usage(format!(
            "{} has no manifest.json and no SHA256SUMS (an older version made it), so what is in it is not known; make the product again",
            product.path().display()
        )));
    };
    // What an install left is not sent to the build; where there is a key, nothing may be
    // there that it has not signed.
    checked.require_as_listed(product, installs)?;
    Ok(checked)
}

fn require_verified(
    product: &Product,
    checked: &CheckReport,
    request: &ImageRequest,
    key: Option<&VerifyingKey>,
    context: &Context,
) -> anyhow::Result<()> {
    let verified = match key {
        Some(key) if !request.unverified => {
            let record = require_signed_verification(product, checked, key, context)?;
            let record = VerificationRecord::parse(&record).with_context(|| {
                format!(
                    "{} cannot be read as the record of a verification; run final-verify-product with --attach again",
                    product.verification().display()
                )
            })?;
            Verified::of(record, &checked.digest)
        }
        _ => Verified::read(product, &checked.digest)?,
    };
    let why = match verified {
        Verified::Passed(_) => return Ok(()),
        Verified::Never => "has no verification.json",
        Verified::OfAnother { .. } => "has a verification.json of another product",
        Verified::Failed(_) => "did not pass its final verification",
    };
    let path = product.path().display();
    if request.unverified {
        context
            .report
            .warning(format_args!("{path} {why}: not verified offline"));
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{path} {why}: not verified offline; run final-verify-product with --attach first, or give --unverified"
    )))
}

fn environment(request: &ImageRequest, facts: &ManifestFacts) -> anyhow::Result<EnvironmentName> {
    let has = facts.environments.join(", ");
    let wanted = match (&request.environment, facts.environments.as_slice()) {
        (Some(name), all) => {
            if !all.iter().any(|one| one == name.as_str()) {
                return Err(Failure::usage(format!(
                    "--environment {name}: the product installs {has}; choose one of these, or make a product with it"
                )));
            }
            return Ok(name.clone());
        }
        (None, [only]) => only,
        (None, all) => all
            .iter()
            .find(|name| *name == DEFAULT_ENVIRONMENT)
            .ok_or_else(|| {
                Failure::usage(format!(
                    "the product has several environments ({has}), and one goes into an image; name it with --environment"
                ))
            })?,
    };
    EnvironmentName::new(wanted.as_ref())
}

/// Each `--copy` is something that the product lists.
fn require_copied_paths(
    copies: &[CopiedPath],
    project: &ProjectPlace,
    entries: &[Entry],
) -> anyhow::Result<()> {
    for copy in copies {
        let path = Path::new(project.name.as_os_str()).join(copy.as_str());
        let environments = project.path().join(".pixi");
        if path.starts_with(&environments) {
            return Err(Failure::usage(format!(
                "--copy {}: this is pixi's own directory; only the environment is copied from it",
                copy.as_str()
            )));
        }
        if !entries.iter().any(|entry| entry.path.path() == path) {
            return Err(Failure::usage(format!(
                "--copy {}: the project in the product has no such file or directory",
                copy.as_str()
            )));
        }
    }
    Ok(())
}
