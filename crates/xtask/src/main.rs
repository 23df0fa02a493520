//! `cargo xtask`: what is done around the commands.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "not the core that the rules are for"
)]

mod bench;
mod build;
mod demo;
mod dist;
mod generate;
mod reliability;
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::tests::Length;

/// The work around the commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Options {
    #[command(subcommand)]
    task: XtaskCommand,
}

#[derive(Debug, Subcommand)]
enum XtaskCommand {
    /// Set up what is missing and take a small project the whole way, each command shown
    Demo(demo::Options),
    /// Set up what is missing and run every test, those with the real engine too
    Test {
        /// Arguments for `cargo test`, a name to filter by for example
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run the tests of docs/explanation/reliability.md, those of many cases long, and write that page
    Reliability,
    /// Measure the commands beside rsync and its like, and write docs/explanation/performance.md
    Bench(bench::Options),
    /// A part of the benchmark, in a process of its own
    #[command(hide = true, subcommand)]
    BenchPart(bench::part::BenchPart),
    /// Build the static release binaries and print their directory
    Build,
    /// Write man pages and shell completions, from the options of the commands, below DIR
    Generate {
        /// A prefix such as ~/.local: the files go to its share/
        dir: PathBuf,
    },
    /// Pack the release binaries with all that belongs to them, and print the path of what was made
    Dist {
        /// An archive, a .deb, a conda recipe or an image
        #[command(subcommand)]
        form: Option<dist::Form>,
    },
}

fn main() -> ExitCode {
    match run(&Options::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &XtaskCommand) -> anyhow::Result<()> {
    match task {
        XtaskCommand::Demo(options) => demo::run(options),
        XtaskCommand::Test { args } => {
            let account = tests::run(args, Length::Short)?;
            // With a filter most rows have nothing to show.
            if args.is_empty() {
                reliability::require(&account)?;
            }
            Ok(())
        }
        XtaskCommand::Reliability => reliability::run(),
        XtaskCommand::Bench(options) => bench::run(options),
        XtaskCommand::Generate { dir } => generate::run(dir),
        XtaskCommand::Dist { form } => {
            println!(
                "{}",
                dist::run(form.as_ref().unwrap_or(&dist::Form::Archive))?
            );
            Ok(())
        }
        XtaskCommand::BenchPart(part) => part.run(),
        XtaskCommand::Build => {
            println!("{}", build::release(&[])?.display());
            Ok(())
        }
    }
}
