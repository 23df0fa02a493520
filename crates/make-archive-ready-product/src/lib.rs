//! The command line of `make-archive-ready-product`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use pack_product::ArchiveOptions;
use pixi_offline::commands::make_product::{self as step, BundlePixi, ProductRequest};
use pixi_offline::context::Context;
use pixi_offline::project::Generated;
use pixi_offline::request::{
    CacheOption, ProductOptions, ProjectName, SecretOptions, SigningOptions,
};

/// The end of the help; each command line in it is parsed by a test.
const EXAMPLES: &str = r"Examples:
  $ make-archive-ready-product --workdir work

  # signed, with its own pixi and a variable for its users, in another place
  $ make-archive-ready-product --workdir work --output products/weather --bundle-pixi \
      --env WEATHER_MODE=production --sign-key minisign.key";

/// Turn a built WORKDIR into WORKDIR/product: the directory that is carried to the
/// place without a network. Needs no container engine.
#[derive(Debug, Parser)]
#[command(name = "make-archive-ready-product", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Options {
    /// The workdir that create-workdir-from-… made
    #[arg(long, value_name = "DIR")]
    pub workdir: PathBuf,

    /// The project's name [default: the only directory below WORKDIR/project]
    #[arg(long, value_name = "NAME")]
    pub project_name: Option<OsString>,

    /// Leave out what matches this rsync pattern, besides .git/ .pixi/ .env and caches (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<OsString>,

    /// Leave out the files that the build made in the project and that nobody changed since
    #[arg(long)]
    pub drop_generated: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub product: ProductOptions,

    /// Overwrite the directory of --output also when it is no product
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub secrets: SecretOptions,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub signing: SigningOptions,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub archive: ArchiveOptions,
}

impl TryFrom<Options> for ProductRequest {
    type Error = anyhow::Error;

    fn try_from(options: Options) -> anyhow::Result<ProductRequest> {
        Ok(ProductRequest {
            workdir: options.workdir,
            project_name: options
                .project_name
                .as_deref()
                .map(ProjectName::new)
                .transpose()?,
            variables: options.product.variables()?,
            contact: options.product.contact()?,
            excludes: options.exclude,
            generated: match options.drop_generated {
                true => Generated::Drop,
                false => Generated::Keep,
            },
            secrets: options.secrets.parse(),
            deep: options.product.deep,
            full_cache: options.product.cache == CacheOption::Full,
            bundle_pixi: match options.product.bundle_pixi {
                true => BundlePixi::Required,
                false => BundlePixi::No,
            },
            link_mode: options.product.link_mode,
            move_cache: options.product.move_cache,
            output: options.product.output,
            force: options.force,
            signing: options.signing,
        })
    }
}

/// Runs the command.
///
/// # Errors
///
/// Those of the step.
pub fn run(options: Options, context: &Context) -> anyhow::Result<()> {
    let archive = options.archive.plan(&options.signing, context)?;
    let request = ProductRequest::try_from(options)?;
    if let Some(archive) = &archive {
        archive.require_outside(&request.product_dir(context))?;
    }
    let made = step::run(&request, context)?;
    match archive {
        Some(archive) => archive.execute(&made.path, context),
        None => Ok(()),
    }
}
