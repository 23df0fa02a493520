//! The command line of `make-production-image`, and the command itself: an image without
//! pixi that is made from a product, without a network.
//!
//! In: a product, and what the image shall have. Out: a build context: a Dockerfile that
//! every builder takes (no `COPY --chmod`, no `RUN --mount`, no syntax line that would be
//! fetched), the scripts that it uses, and the product. The same files serve our own build
//! and whoever builds by hand.

mod activation;
mod build;
mod build_context;
mod contents;
mod dockerfile;
mod emit;
mod images;
mod labels;
mod product;
mod request;
mod system;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use pixi_offline::context::Context;
use pixi_offline::failure::Failure;
use pixi_offline::request::{
    EnvironmentName, GpuOptions, ImageReference, SecretOptions, VerbosityOptions, each, one,
    utf8_arg,
};

use crate::product::CheckedProduct;
use crate::request::{
    AppDir, CopiedPath, ExposedPort, ImageRequest, ImageSetting, ImageTag, ImageUser, NewImage,
    Purpose,
};

/// The command's name.
const COMMAND: &str = "make-production-image";

/// The end of the help; each command line in it is parsed by a test.
const EXAMPLES: &str = r"Examples:
  $ make-production-image --product-dir work/product \
      --build-image ghcr.io/prefix-dev/pixi:0.77.0 --base-image debian:12-slim \
      --tag weather:1.4 --expose 8000 --user 1000 -- python -m weather

  # only some of the project; tried without a network before it gets its name; saved for `docker load`
  $ make-production-image --product-dir work/product --environment serve \
      --build-image ghcr.io/prefix-dev/pixi:0.77.0 --base-image debian:12-slim \
      --tag weather:1.4 --copy src --copy pixi.toml --save weather.tar \
      --cmd python --cmd=-m --cmd weather --verify-run -- python -m weather --self-test

  # files for a builder elsewhere
  $ make-production-image --product-dir work/product \
      --build-image ghcr.io/prefix-dev/pixi:0.77.0 --base-image debian:12-slim \
      --emit-dockerfile work/image -- python -m weather";

/// Make an image without pixi from a product, without a network: one environment at the
/// path that it was installed at, the project, and an entry point that activates.
#[derive(Debug, Parser)]
#[command(
    name = "make-production-image",
    version,
    max_term_width = 100,
    after_help = EXAMPLES,
    override_usage = "make-production-image --product-dir DIR --base-image IMAGE --tag NAME [OPTIONS] [-- CMD ARG…]\n       \
                      make-production-image … --tag NAME [--cmd WORD]… --verify-run -- CMD ARG…\n       \
                      make-production-image … --emit-dockerfile DIR [OPTIONS] [-- CMD ARG…]"
)]
#[allow(missing_docs, reason = "a flattened group has its own")]
pub struct Options {
    /// The product
    #[arg(long, value_name = "DIR")]
    pub product_dir: PathBuf,

    /// An image that has pixi, runs as root, and is on the engine: the environment is installed in it
    /// [default: the image of the product's build, which its manifest names]
    #[arg(long, value_name = "IMAGE")]
    pub build_image: Option<OsString>,

    /// An image that has a shell and is on the engine: the new one is made from it
    #[arg(long, value_name = "IMAGE")]
    pub base_image: OsString,

    /// The name of the new image
    #[arg(long, short, value_name = "NAME[:TAG]", help_heading = "Image")]
    pub tag: Option<OsString>,

    /// Build nothing: write Dockerfile, build.sh, entrypoint.sh and .dockerignore into this directory
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub emit_dockerfile: Option<PathBuf>,

    /// The environment of the product that goes into the image [default: default, or the only one]
    #[arg(long, short, value_name = "NAME", help_heading = "Image")]
    pub environment: Option<OsString>,

    /// Where the project is in the image
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/app",
        help_heading = "Image"
    )]
    pub app_dir: OsString,

    /// Include only this path of the project (repeatable)
    /// [default: everything]
    #[arg(long, value_name = "PATH", help_heading = "Image")]
    pub copy: Vec<OsString>,

    /// Include the product's resources, at this path; $PRODUCT_RES_DIR names it in the image
    #[arg(
        long,
        visible_alias = "resources-path",
        value_name = "PATH",
        help_heading = "Image"
    )]
    pub resources_dir: Option<OsString>,

    /// Document that the image listens on this port: 8000, 8000-8010, 53/udp (repeatable)
    #[arg(long, value_name = "PORT", help_heading = "Image")]
    pub expose: Vec<OsString>,

    /// Set a variable in the image (repeatable)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Image")]
    pub env: Vec<OsString>,

    /// Set a label, beside or instead of the usual ones (repeatable)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Image")]
    pub label: Vec<OsString>,

    /// Run as this user: UID, UID:GID or a name of the base image [default: that of the base image]
    #[arg(long, value_name = "UID", help_heading = "Image")]
    pub user: Option<OsString>,

    /// Health check of the image: a shell command that runs in the activated environment
    #[arg(long, value_name = "CMD", help_heading = "Image")]
    pub healthcheck: Option<OsString>,

    /// An argument of the image's command, as in `-- CMD ARG…`; for use with --verify-run (repeatable)
    #[arg(long, value_name = "WORD", help_heading = "Image")]
    pub cmd: Vec<OsString>,

    /// Also write the image as an archive for `docker load`, and its digest to FILE.sha256
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub save: Option<PathBuf>,

    /// Accept a product without an attached final verification
    #[arg(long, visible_alias = "allow-unverified", help_heading = "Checks")]
    pub unverified: bool,

    /// Require that SHA256SUMS and verification.json in the product are signed with this public key of
    /// minisign
    #[arg(long, value_name = "FILE", help_heading = "Checks")]
    pub verify_key: Option<PathBuf>,

    #[command(flatten)]
    pub secrets: SecretOptions,

    /// Replace an image of this name, or files that are to be written
    #[arg(long, help_heading = "Output")]
    pub force: bool,

    /// The engine's client: docker, podman or a path [default: $CONTAINER_ENGINE, else docker, else podman]
    #[arg(long, value_name = "ENGINE", help_heading = "Container engine")]
    pub engine: Option<OsString>,

    /// Escape control characters in the container output that is shown
    #[arg(long, help_heading = "Container engine")]
    pub plain_output: bool,

    #[command(flatten)]
    pub gpus: GpuOptions,

    #[command(flatten)]
    pub verbosity: VerbosityOptions,

    /// Run CMD in the finished image, without a network and with a read-only root file system, before it
    /// gets its name, and end with its exit code; the last option: --verify-run -- CMD ARG…
    #[arg(long, help_heading = "Checks")]
    pub verify_run: bool,

    /// The image's command; after --verify-run the arguments that are run to verify it
    #[arg(last = true, value_name = "CMD")]
    pub command_args: Vec<OsString>,
}

impl TryFrom<Options> for ImageRequest {
    type Error = anyhow::Error;

    fn try_from(options: Options) -> anyhow::Result<ImageRequest> {
        let (command, verify) = match (options.verify_run, options.cmd) {
            (true, cmd) => (cmd, Some(options.command_args)),
            (false, cmd) if cmd.is_empty() => (options.command_args, None),
            (false, cmd) if options.command_args.is_empty() => (cmd, None),
            (false, _) => {
                return Err(Failure::usage(
                    "--cmd and `-- CMD` both name the image's command; give one of them",
                ));
            }
        };
        let gpus = options.gpus.parse()?;
        let purpose = match (options.emit_dockerfile, options.tag) {
            (None, None) => {
                return Err(Failure::usage(
                    "nothing to make: give --tag NAME for an image, or --emit-dockerfile DIR",
                ));
            }
            (None, Some(_)) if gpus.is_some() && verify.is_none() => {
                return Err(Failure::usage(
                    "--gpus is for --verify-run, which tries the image; whoever runs it later gives it GPUs then",
                ));
            }
            (None, Some(tag)) => Purpose::Build(NewImage {
                tag: ImageTag::new(&tag)?,
                verify,
                gpus,
                save: options.save,
            }),
            (Some(dir), None) if verify.is_none() && options.save.is_none() && gpus.is_none() => {
                Purpose::Emit(dir)
            }
            (Some(_), _) => {
                return Err(Failure::usage(
                    "--emit-dockerfile builds nothing and cannot be combined with --tag, --save, --verify-run or --gpus",
                ));
            }
        };
        let arg = |what: &'static str| move |text: &OsStr| Ok(utf8_arg(what, text)?.to_owned());
        Ok(ImageRequest {
            product_dir: options.product_dir,
            build_image: one(&options.build_image, ImageReference::new).context("--build-image")?,
            base_image: ImageReference::new(&options.base_image).context("--base-image")?,
            purpose,
            environment: one(&options.environment, EnvironmentName::new)?,
            app: AppDir::new("--app-dir", &options.app_dir)?,
            copies: each(&options.copy, CopiedPath::new)?,
            resources: one(&options.resources_dir, |text| {
                AppDir::new("--resources-dir", text)
            })?,
            ports: each(&options.expose, ExposedPort::new)?,
            variables: each(&options.env, ImageSetting::variable)?,
            labels: each(&options.label, ImageSetting::label)?,
            user: one(&options.user, ImageUser::new)?,
            healthcheck: one(&options.healthcheck, arg("--healthcheck"))?,
            command: each(&command, arg("an argument of the command"))?,
            unverified: options.unverified,
            verify_key: options.verify_key,
            secrets: options.secrets.parse(),
            force: options.force,
            engine: options.engine,
        })
    }
}

/// Makes the image, or writes what makes it.
///
/// # Errors
///
/// Exit code 2 before anything is touched for what is wrong with the request or the
/// images, 1 for a product that is damaged or not signed as required and a build that
/// failed, 125 and 127 when client, engine, image or pixi are missing; else that of the
/// verification.
pub fn run(options: Options, context: &Context) -> anyhow::Result<()> {
    context.report.show(options.verbosity.parse());
    if options.plain_output {
        context.report.show_plainly();
    }
    let request = ImageRequest::try_from(options)?;
    // STEP 1: look at the product.
    context.report.phase("look", "looking at the product");
    let source = CheckedProduct::open(&request, context)?;
    let dockerfile = contents::dockerfile(&request, &source)?;
    let text = dockerfile.text()?;
    contents::look_for_secrets(&request, &source, &dockerfile, context)?;
    contents::tell_what_stays_out(&request, &source, context);
    match &request.purpose {
        Purpose::Emit(dir) => {
            let dir = context.host.absolute(dir);
            emit::emit(&dir, &text, &source, request.force, context)
        }
        Purpose::Build(image) => image.make(text, &request, &source, context),
    }
}
