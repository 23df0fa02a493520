//! The command line of `pack-product`, and packing for the commands that make a product.
//!
//! The same product gives the same bytes, whatever machine packs it.

mod archive;
mod compression;
mod joining;
mod output;
mod plan;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser};
use pixi_offline::context::Context;
use pixi_offline::request::{SigningOptions, VerbosityOptions, one, without_containers};

pub use archive::ArchiveContents;
pub use compression::Compression;
pub use output::PartSize;
pub use plan::{PackPlan, PackRequest, RecordRule};

/// The end of the help; each command line in it is parsed by a test.
const EXAMPLES: &str = r"Examples:
  $ pack-product work/product weather-1.3.tar.zst

  # parts that fit on a FAT file system, and a script that joins them
  $ pack-product --split 4G --sign-key minisign.key work/product weather-1.3.tar.zst";

/// Pack a product into one archive, with its digest beside it, or into parts.
///
/// The ending of FILE says how it is compressed: .tar, .tar.gz or .tar.zst. The same product gives the same bytes.
/// Every file is compared with SHA256SUMS while it is packed. What an installation left in the product is not packed.
#[derive(Debug, Parser)]
#[command(
    name = "pack-product",
    version,
    max_term_width = 100,
    after_help = EXAMPLES,
    mut_args(without_containers)
)]
#[allow(missing_docs, reason = "a flattened group has its own")]
pub struct Options {
    /// The product
    #[arg(value_name = "PRODUCT")]
    pub product: PathBuf,

    /// The archive: a name that ends with .tar, .tar.gz or .tar.zst
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Make parts of at most SIZE bytes, FILE.001 and so on, and join.sh and JOIN.txt; K, M and G are
    /// powers of 1000: 4G for FAT, 4.7G for a DVD
    #[arg(long, value_name = "SIZE")]
    pub split: Option<OsString>,

    /// Replace an archive of this name
    #[arg(long)]
    pub force: bool,

    /// Pack a product whose verification.json says that its final verification failed
    #[arg(long, visible_alias = "allow-unverified")]
    pub unverified: bool,

    #[command(flatten)]
    pub signing: SigningOptions,

    #[command(flatten)]
    pub verbosity: VerbosityOptions,
}

/// The options of a command that makes a product and can pack it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Archive")]
pub struct ArchiveOptions {
    /// Pack the product into this file, too: .tar, .tar.gz or .tar.zst; FILE.sha256 has its digest
    #[arg(long, value_name = "FILE")]
    pub archive: Option<PathBuf>,

    /// Split the archive into parts of at most SIZE bytes: 4G for FAT, 4.7G for a DVD
    #[arg(long, value_name = "SIZE", requires = "archive")]
    pub split: Option<OsString>,
}

impl ArchiveOptions {
    /// The archive that was asked for, if any; with `force` it replaces one of its name.
    ///
    /// # Errors
    ///
    /// Exit code 2 when the archive cannot be made there.
    pub fn plan(
        &self,
        signing: &SigningOptions,
        force: bool,
        context: &Context,
    ) -> anyhow::Result<Option<PackPlan>> {
        let Some(file) = &self.archive else {
            return Ok(None);
        };
        let request = PackRequest {
            file: file.clone(),
            split: one(&self.split, PartSize::new)?,
            force,
            signing: signing.clone(),
            record: RecordRule::Later,
        };
        PackPlan::new(&request, context).map(Some)
    }
}

/// Runs the command.
///
/// # Errors
///
/// Exit code 2 before anything is written for a wrong name, size or key, something that is no
/// product with lists, one that failed its verification, and an archive that is there already; 1 for a product that is not as it lists itself, or
/// when the archive cannot be written.
pub fn run(options: Options, context: &Context) -> anyhow::Result<()> {
    context.report.show(options.verbosity.parse());
    let request = PackRequest {
        file: options.file,
        split: one(&options.split, PartSize::new)?,
        force: options.force,
        signing: options.signing,
        record: match options.unverified {
            true => RecordRule::Any,
            false => RecordRule::NotFailed,
        },
    };
    context.report.phase("pack", "packing the product");
    PackPlan::new(&request, context)?.execute(&options.product, context)
}
