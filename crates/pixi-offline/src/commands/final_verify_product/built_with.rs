//! What the manifest of a product records of its build.

use std::path::Path;

use super::require_product;
use crate::context::Context;
use crate::evidence::lists::Lists;
use crate::failure::Failure;
use crate::layout::{Product, ProjectPlace};
use crate::request::{ImageReference, ProjectName};

/// The image and the project's name in the manifest of a product: they are taken where the
/// command line names none.
#[derive(Debug, Clone)]
pub struct BuiltWith {
    /// The image of the build.
    pub image: ImageReference,
    /// The project's name.
    pub project: ProjectName,
}

impl BuiltWith {
    /// Reads it. `wanted` names the options that are missing.
    ///
    /// # Errors
    ///
    /// Exit code 2 when the product has no manifest that `SHA256SUMS` covers, or that names no
    /// image.
    pub fn of_product(dir: &Path, wanted: &str, context: &Context) -> anyhow::Result<BuiltWith> {
        let product = Product::new(context.host.absolute(dir));
        let refuse = |why: &str| {
            Failure::usage(format!(
                "{wanted} is required: {} {why}",
                product.path().display()
            ))
        };
        require_product(&product)?;
        let lists = match Lists::read_both(&product) {
            Ok(Some(lists)) => lists,
            Ok(None) => return Err(refuse("has no manifest.json to take it from")),
            Err(error) => {
                return Err(Failure::usage(format!(
                    "{wanted} cannot be taken from the product: {error:#}"
                )));
            }
        };
        let facts = lists.manifest.facts;
        let Some(image) = facts.build.image else {
            return Err(refuse("does not record the image of its build"));
        };
        Ok(BuiltWith {
            image: ImageReference::new(image.reference.as_ref())?,
            project: ProjectPlace::of_path(facts.project.dir.path())?.name,
        })
    }
}
