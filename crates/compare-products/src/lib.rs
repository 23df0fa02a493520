//! The command line of `compare-products`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use pixi_offline::comparison::{Comparison, ProductLists};
use pixi_offline::context::Context;
use pixi_offline::parallel;
use pixi_offline::project::require_dir;
use pixi_offline::request::{VerbosityOptions, without_containers};

/// The end of the help; each command line in it is parsed by a test.
const EXAMPLES: &str = r"Examples:
  # what changed since the last delivery
  $ compare-products delivered/weather work/product

  # for a program; 1 when they differ
  $ compare-products --exit-code --format json delivered/weather work/product";

/// Say what differs between two products: packages, files, and how they were made.
///
/// Only the lists are read: manifest.json and sbom.cdx.json, and SHA256SUMS and verification.json where they are
/// there. The bytes of files are compared with the lists by `bootstrap-project.sh --check`.
#[derive(Debug, Parser)]
#[command(
    name = "compare-products",
    version,
    max_term_width = 100,
    after_help = EXAMPLES,
    mut_args(without_containers)
)]
#[allow(missing_docs, reason = "a flattened group has its own")]
pub struct Options {
    /// The older product, or a directory with its lists
    #[arg(value_name = "OLD")]
    pub old: PathBuf,

    /// The newer product, or a directory with its lists
    #[arg(value_name = "NEW")]
    pub new: PathBuf,

    /// What goes to stdout: lines for people, or a JSON object
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,

    /// End with 1 when the products differ
    #[arg(long)]
    pub exit_code: bool,

    /// Compare products of different projects, too
    #[arg(long)]
    pub any_project: bool,

    #[command(flatten)]
    pub verbosity: VerbosityOptions,
}

/// The form of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Lines for people.
    Text,
    /// A JSON object.
    Json,
}

/// Runs the command.
///
/// # Errors
///
/// Exit code 2 when one of them is not a product with lists, or they are of different projects; 1 when a
/// list was changed or cannot be read.
pub fn run(options: Options, context: &Context) -> anyhow::Result<ExitCode> {
    context.report.show(options.verbosity.parse());
    context.report.phase("compare", "comparing the lists");
    let read = |name: &str, dir: &PathBuf| {
        let dir = context.host.absolute(dir);
        require_dir(name, &dir)?;
        ProductLists::read(&dir)
    };
    // The lists of large products take a while each.
    let (old, new) = parallel::both(|| read("OLD", &options.old), || read("NEW", &options.new));
    let comparison = Comparison::new(&old?, &new?, options.any_project)?;
    match options.format {
        // The exit code is the answer, as that of `cmp --quiet`.
        OutputFormat::Text if options.verbosity.quiet => {}
        OutputFormat::Text => {
            for line in comparison.lines() {
                context.report.text(format_args!("{line}\n"));
            }
        }
        OutputFormat::Json => {
            let json = String::from_utf8(comparison.to_json()?)?;
            context.report.text(format_args!("{json}"));
        }
    }
    Ok(ExitCode::from(u8::from(
        options.exit_code && comparison.is_different(),
    )))
}
