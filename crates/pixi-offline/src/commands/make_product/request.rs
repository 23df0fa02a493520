//! What a product of a workdir is asked for.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::commands::bundled_pixi;
use crate::context::Context;
use crate::layout::Workdir;
use crate::project::Generated;
use crate::request::{
    CacheOption, Contact, PreviousOptions, ProductOptions, ProductVariable, ProjectName,
    SecretPolicy, SigningOptions, each, one,
};
use crate::staging::LinkMode;

/// The command's name.
pub(super) const COMMAND: &str = "make-archive-ready-product";

/// What was asked for; paths as they were typed.
#[derive(Debug, Clone)]
pub struct ProductRequest {
    /// The workdir.
    pub workdir: PathBuf,
    /// The project's name; the only one in the workdir when `None`.
    pub project_name: Option<ProjectName>,
    /// Arguments of `--exclude`.
    pub excludes: Vec<OsString>,
    /// What happens to what looks like a secret.
    pub secrets: SecretPolicy,
    /// What does not follow from the build.
    pub choices: ProductChoices,
}

/// The part of a request that does not follow from the build of the workdir.
#[derive(Debug, Clone, Default)]
pub struct ProductChoices {
    /// Where the product goes; `product/` in the workdir when `None`.
    pub output: Option<PathBuf>,
    /// Whether another directory at `output` may be overwritten.
    pub force: bool,
    /// Whom the person at the target asks.
    pub contact: Option<Contact>,
    /// Variables that `envs.sh` exports.
    pub variables: Vec<ProductVariable>,
    /// What becomes of the files that the build made in the project.
    pub generated: Generated,
    /// Whether every file of every needed package is read and compared.
    pub deep: bool,
    /// Whether the cache is carried whole.
    pub full_cache: bool,
    /// Whether the pixi that built the workdir goes along.
    pub bundle_pixi: BundlePixi,
    /// How the package cache gets into the product.
    pub link_mode: LinkMode,
    /// Whether it is moved there instead.
    pub move_cache: bool,
    /// What the list of the product is signed with.
    pub signing: SigningOptions,
    /// The product that was delivered before.
    pub previous: PreviousOptions,
}

impl ProductRequest {
    /// Where the product goes.
    pub fn product_dir(&self, context: &Context) -> PathBuf {
        match &self.choices.output {
            Some(output) => context.host.absolute(output),
            None => Workdir::new(context.host.absolute(&self.workdir))
                .product()
                .path()
                .to_owned(),
        }
    }
}

impl ProductChoices {
    /// Those of the options that every command with a product has.
    ///
    /// # Errors
    ///
    /// Exit code 2 for a variable or a contact that cannot be one.
    pub fn new(options: ProductOptions) -> anyhow::Result<ProductChoices> {
        Ok(ProductChoices {
            contact: one(&options.contact, Contact::new)?,
            variables: each(&options.env, ProductVariable::new)?,
            output: options.output,
            deep: options.deep,
            full_cache: options.cache == CacheOption::Full,
            bundle_pixi: match options.bundle_pixi {
                true => BundlePixi::Required,
                false => BundlePixi::No,
            },
            link_mode: options.link_mode,
            move_cache: options.move_cache,
            ..ProductChoices::default()
        })
    }
}

/// Whether the pixi that built a workdir goes into the product.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BundlePixi {
    /// It does not.
    #[default]
    No,
    /// It does where the workdir has it; else that is said.
    WherePresent,
    /// It does; a workdir without one is refused.
    Required,
}

impl BundlePixi {
    /// Whether the pixi of this workdir goes along.
    pub(crate) fn is_wanted_of(self, workdir: &Workdir) -> bool {
        match self {
            BundlePixi::No => false,
            BundlePixi::WherePresent => bundled_pixi::is_there(workdir),
            BundlePixi::Required => true,
        }
    }
}
