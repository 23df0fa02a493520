//! The command line of `make-archive-ready-product`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use pack_product::ArchiveOptions;
use pixi_offline::commands::exclude_from_here;
use pixi_offline::commands::make_product::{self as step, ProductChoices, ProductRequest};
use pixi_offline::context::Context;
use pixi_offline::project::Generated;
use pixi_offline::request::{
    ExcludeOptions, PreviousOptions, ProductOptions, ProjectName, SecretOptions, SigningOptions,
    VerbosityOptions, one, without_containers,
};

/// The end of the help; each command line in it is parsed by a test.
const EXAMPLES: &str = r"Examples:
  $ make-archive-ready-product --workdir work

  # signed, with its own pixi and a variable for its users, in another place
  $ make-archive-ready-product --workdir work --output products/weather --bundle-pixi \
      --env WEATHER_MODE=production --sign-key minisign.key";

/// Turn a built WORKDIR into WORKDIR/product: the directory that is carried to the
/// air-gapped machine. Needs no container engine.
#[derive(Debug, Parser)]
#[command(
    name = "make-archive-ready-product",
    version,
    max_term_width = 100,
    after_help = EXAMPLES,
    mut_args(without_containers)
)]
#[allow(missing_docs, reason = "a flattened group has its own")]
pub struct Options {
    /// The workdir that create-workdir-from-… made
    #[arg(long, value_name = "DIR")]
    pub workdir: PathBuf,

    /// The project's name [default: the only directory below WORKDIR/project]
    #[arg(long, value_name = "NAME")]
    pub project_name: Option<OsString>,

    #[command(flatten)]
    pub excludes: ExcludeOptions,

    /// Leave out the files that the build made in the project and that nobody changed since
    #[arg(long)]
    pub drop_generated: bool,

    #[command(flatten)]
    pub product: ProductOptions,

    /// Replace the directory of --output also when it is not a product, and an archive of the name of --archive
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    pub secrets: SecretOptions,

    #[command(flatten)]
    pub signing: SigningOptions,

    #[command(flatten)]
    pub previous: PreviousOptions,

    #[command(flatten)]
    pub archive: ArchiveOptions,

    #[command(flatten)]
    pub verbosity: VerbosityOptions,
}

impl TryFrom<Options> for ProductRequest {
    type Error = anyhow::Error;

    fn try_from(options: Options) -> anyhow::Result<ProductRequest> {
        Ok(ProductRequest {
            workdir: options.workdir,
            project_name: one(&options.project_name, ProjectName::new)?,
            excludes: options.excludes.exclude,
            secrets: options.secrets.parse(),
            choices: ProductChoices {
                generated: match options.drop_generated {
                    true => Generated::Drop,
                    false => Generated::Keep,
                },
                force: options.force,
                signing: options.signing,
                previous: options.previous,
                ..ProductChoices::new(options.product)?
            },
        })
    }
}

/// Runs the command.
///
/// # Errors
///
/// The errors of the step.
pub fn run(mut options: Options, context: &Context) -> anyhow::Result<()> {
    context.report.show(options.verbosity.parse());
    let archive = options
        .archive
        .plan(&options.signing, options.force, context)?;
    exclude_from_here(&mut options.excludes, context)?;
    let request = ProductRequest::try_from(options)?;
    if let Some(archive) = &archive {
        archive.require_outside(&request.product_dir(context))?;
    }
    let made = step::run(&request, None, context)?;
    match archive {
        Some(archive) => archive.execute(&made.path, context),
        None => Ok(()),
    }
}
