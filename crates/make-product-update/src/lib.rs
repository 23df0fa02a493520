//! The command line of `make-product-update`.
//!
//! An update turns a product that was delivered into a newer one of the same project. It
//! holds the files that the delivered one lacks, the lists of the newer one, and a script
//! that puts both together at the target.

mod apply_script;
mod bases;
mod contents;
mod description;
mod plan;
mod plan_files;
mod readme;
mod records;
mod sources;
mod trees;
mod update;

use std::path::PathBuf;

use clap::{Arg, Parser};
use pack_product::ArchiveOptions;
use pixi_offline::context::Context;
use pixi_offline::request::{SigningOptions, VerbosityOptions, without_containers};

use plan::{UpdatePlan, UpdateRequest};

/// The name of the command, for locks.
const COMMAND: &str = "make-product-update";

/// The end of the help; each command line in it is parsed by a test.
const EXAMPLES: &str = r"Examples:
  $ make-product-update --from delivered/weather --product-dir work/product --output update

  # for targets that have either of two deliveries, signed
  $ make-product-update --from delivered/weather-1.2 --from delivered/weather-1.1 \
      --product-dir work/product --output update --sign-key minisign.key

  # in parts that fit on a FAT file system, too
  $ make-product-update --from delivered/weather --product-dir work/product --output update \
      --archive /media/stick/update.tar.zst --split 4G";

/// Options of several commands, as this one explains them.
fn in_help(argument: Arg) -> Arg {
    match argument.get_id().as_str() {
        "archive" => argument.help(
            "Pack the update into this file, too: .tar, .tar.gz or .tar.zst; FILE.sha256 has its digest",
        ),
        _ => without_containers(argument),
    }
}

/// Make an update: a directory with what a product has and a delivered one lacks, and a script that
/// puts both together at the target.
///
/// The update is plain files named by their digests, so that it survives FAT. At the target,
/// `apply-update.sh PRODUCT` needs bash and coreutils.
#[derive(Debug, Parser)]
#[command(
    name = "make-product-update",
    version,
    max_term_width = 100,
    after_help = EXAMPLES,
    mut_args(in_help)
)]
#[allow(missing_docs, reason = "a flattened group has its own")]
pub struct Options {
    /// A product that was delivered, or a directory with its manifest.json and its SHA256SUMS; the update
    /// holds what any of them lacks (repeatable)
    #[arg(long, value_name = "OLD", required = true)]
    pub from: Vec<PathBuf>,

    /// The product that the targets are to have
    #[arg(long, value_name = "NEW")]
    pub product_dir: PathBuf,

    /// Where the update goes
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,

    /// Replace an update that is in the place of --output, and an archive of the name of --archive
    #[arg(long)]
    pub force: bool,

    /// Require that the product of --product-dir is signed, and check it with this public key of minisign
    #[arg(long, value_name = "FILE")]
    pub verify_key: Option<PathBuf>,

    /// Say what the update would hold, and write nothing
    #[arg(long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub signing: SigningOptions,

    #[command(flatten)]
    pub archive: ArchiveOptions,

    #[command(flatten)]
    pub verbosity: VerbosityOptions,
}

/// Runs the command.
///
/// # Errors
///
/// Exit code 2 before anything is written for a wrong place or key, a directory that is not a product with
/// lists, products of different projects or platforms, and for one that is the same as the new one; 1 for a
/// product that is not as it lists itself, or when the update cannot be written.
pub fn run(options: Options, context: &Context) -> anyhow::Result<()> {
    context.report.show(options.verbosity.parse());
    context.report.phase("update", "making the update");
    let archive = options
        .archive
        .plan(&options.signing, options.force, context)?;
    let request = UpdateRequest {
        archive,
        from: options.from,
        product_dir: options.product_dir,
        output: options.output,
        force: options.force,
        verify_key: options.verify_key,
        signing: options.signing,
    };
    let plan = UpdatePlan::new(request, context)?;
    match options.dry_run {
        true => plan.print(context),
        false => plan.execute(context),
    }
}
