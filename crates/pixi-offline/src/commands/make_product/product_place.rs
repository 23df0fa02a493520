//! Where a product goes.

use std::path::{Path, PathBuf};

use super::request::ProductChoices;
use crate::context::Context;
use crate::failure::Failure;
use crate::layout::{self, Product, Workdir};
use crate::product;
use crate::replacement::OverwriteGuard;

/// A place for the product of a workdir.
pub(crate) struct ProductPlace<'a> {
    workdir: &'a Workdir,
    /// `product/` in the workdir when `None`.
    output: Option<&'a Path>,
    /// What messages call it.
    label: &'static str,
    /// Whether another directory there may be overwritten; `None` where no option allows it.
    force: Option<bool>,
    /// Whether it may be that of a product in the workdir that failed, where a run of all steps
    /// makes the new one.
    may_be_failed: bool,
}

impl<'a> ProductPlace<'a> {
    /// The one that was asked for.
    pub(crate) fn of(choices: &'a ProductChoices, workdir: &'a Workdir) -> ProductPlace<'a> {
        ProductPlace {
            workdir,
            output: choices.output.as_deref(),
            label: "--output",
            force: Some(choices.force),
            may_be_failed: true,
        }
    }

    /// The place of a new product beside one that stays.
    pub(crate) fn beside(new: &'a Path, workdir: &'a Workdir) -> ProductPlace<'a> {
        ProductPlace {
            workdir,
            output: Some(new),
            label: "the place of a new product",
            force: None,
            may_be_failed: true,
        }
    }

    /// The same, where the product stays when it has passed.
    pub(crate) fn for_good(self) -> ProductPlace<'a> {
        ProductPlace {
            may_be_failed: false,
            ..self
        }
    }

    /// Requires that a directory there may be replaced, which is none of the `protected`;
    /// touches nothing.
    ///
    /// # Errors
    ///
    /// Exit code 2 for another place.
    pub(crate) fn require(
        &self,
        protected: &[(PathBuf, &str)],
        context: &Context,
    ) -> anyhow::Result<Product> {
        let workdir = self.workdir.path();
        let mut guard = OverwriteGuard::new(&context.host);
        for (path, what) in protected {
            guard.protect(path, what);
        }
        let own = self.workdir.product();
        // product/ is ours by its place in a workdir.
        let Some(output) = self.output else {
            guard.check("the product's place", own.path(), |_| true, false)?;
            return Ok(own);
        };
        let place = Product::new(context.host.absolute(output));
        let is_failed = place.path() == layout::failed(own.path());
        if place == own || is_failed && self.may_be_failed {
            guard.check(self.label, place.path(), |_| true, false)?;
            return Ok(place);
        }
        if place.path().starts_with(workdir) || workdir.starts_with(place.path()) {
            return Err(Failure::usage(format!(
                "{} {} is in the workdir {}, or contains it; choose another place, or leave it out",
                self.label,
                place.path().display(),
                workdir.display()
            )));
        }
        guard.protect(workdir, "the workdir");
        if self.force.is_none() {
            guard.without_force();
        }
        guard.check(
            self.label,
            place.path(),
            product::is_product,
            self.force == Some(true),
        )?;
        Ok(place)
    }
}
