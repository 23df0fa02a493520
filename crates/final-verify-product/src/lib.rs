//! The command line of `final-verify-product`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use pixi_offline::commands::final_verify_product::{self as step, BuiltWith, VerifyRequest};
use pixi_offline::commands::variables_from_here;
use pixi_offline::container::Engine;
use pixi_offline::context::Context;
use pixi_offline::request::{
    ContainerOptions, ContainerVariable, EngineOptions, ImageReference, ProjectName, SecretOptions,
    SigningOptions, TimeLimit, VerbosityOptions, VerifyOptions, each, one,
};

/// The end of the help; each command line in it is parsed by a test.
const EXAMPLES: &str = r"Examples:
  $ final-verify-product --product-dir work/product --out-dir work/proof --verify-task smoke

  # put what was found into the product; accept only one that is signed
  $ final-verify-product --image ghcr.io/prefix-dev/pixi:0.77.0 \
      --product-dir work/product --out-dir work/proof --attach --verify-key minisign.pub \
      --project-name weather --verify-run -- python -m weather --self-test";

/// Install a product in a container without a network, verify it there, and
/// leave the product as it is.
#[derive(Debug, Parser)]
#[command(name = "final-verify-product", version, max_term_width = 100, after_help = EXAMPLES)]
#[allow(missing_docs, reason = "a flattened group has its own")]
pub struct Options {
    /// An image that has pixi and bash; it must be on the engine already [default: the image of the
    /// build, which the product's manifest names]
    #[arg(long)]
    pub image: Option<OsString>,

    /// The product
    #[arg(long, value_name = "DIR")]
    pub product_dir: PathBuf,

    /// Where the logs go, and what the verification writes below $VERIFY_OUT_DIR
    #[arg(long, visible_alias = "logs-dir", value_name = "DIR")]
    pub out_dir: PathBuf,

    /// The project's directory in the product [default for a verification: the one that the
    /// product's manifest names]
    #[arg(long, value_name = "NAME")]
    pub project_name: Option<OsString>,

    /// Install into the product itself instead of a copy; this changes the product
    #[arg(long)]
    pub in_place: bool,

    /// Also put verification.json, the record of the result, into the product
    #[arg(long)]
    pub attach: bool,

    /// Require that the product is signed, and check it with this public key of minisign
    #[arg(long, value_name = "FILE")]
    pub verify_key: Option<PathBuf>,

    #[command(flatten)]
    pub secrets: SecretOptions,

    #[command(flatten)]
    pub signing: SigningOptions,

    #[command(flatten)]
    pub engine: EngineOptions,

    #[command(flatten)]
    pub container: ContainerOptions,

    #[command(flatten)]
    pub verify: VerifyOptions,

    #[command(flatten)]
    pub verbosity: VerbosityOptions,
}

/// The image and the project of the options, or else of the product's manifest; and the engine
/// where it was looked up for that.
fn image_and_project(
    options: &Options,
    is_verified: bool,
    context: &Context,
) -> anyhow::Result<(ImageReference, Option<ProjectName>, Option<Engine>)> {
    let image = one(&options.image, ImageReference::new)?;
    let project = one(&options.project_name, ProjectName::new)?;
    let wanted = match (&image, &project) {
        (None, _) => "--image",
        (Some(_), None) if is_verified => "--project-name",
        (Some(image), project) => return Ok((image.clone(), project.clone(), None)),
    };
    // The engine's absence is said before anything is looked at.
    let engine = Engine::find(options.engine.engine.as_deref(), context)?;
    let built = BuiltWith::of_product(&options.product_dir, wanted, context)?;
    if image.is_none() {
        context.report.note(format_args!(
            "verifying in {}, the image that the product's manifest names",
            built.image
        ));
    }
    let project = project.or_else(|| is_verified.then_some(built.project));
    Ok((image.unwrap_or(built.image), project, Some(engine)))
}

impl Options {
    fn request(self, context: &Context) -> anyhow::Result<(VerifyRequest, Option<Engine>)> {
        let options = self;
        let (verification, expectations) = options.verify.parse()?;
        let (image, project_name, engine) =
            image_and_project(&options, verification.is_requested(), context)?;
        let request = VerifyRequest {
            image,
            platform: options.container.platform()?,
            product_dir: options.product_dir,
            out_dir: options.out_dir,
            project_name,
            in_place: options.in_place,
            attach: options.attach,
            verify_key: options.verify_key,
            secrets: options.secrets.parse(),
            signing: options.signing,
            verify_environment: options.verify.environment()?,
            verification,
            expectations,
            variables: each(&options.engine.container_env, ContainerVariable::new)?,
            timeout: one(&options.engine.timeout, TimeLimit::new)?,
            engine: options.engine.engine,
            gpus: options.container.gpus.parse()?,
            transfer: options.container.transfer,
        };
        Ok((request, engine))
    }
}

/// Runs the command.
///
/// # Errors
///
/// The errors of the step.
pub fn run(mut options: Options, context: &Context) -> anyhow::Result<()> {
    context.report.show(options.verbosity.parse());
    if options.engine.plain_output {
        context.report.show_plainly();
    }
    variables_from_here(&mut options.engine, context);
    let (request, engine) = options.request(context)?;
    step::run(&request, engine.map(Into::into), context).map(drop)
}
