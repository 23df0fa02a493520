//! `cargo xtask bench`: how fast the commands are, beside the programs that people
//! know, and the page that says so.

mod engine;
mod page;
pub mod part;
mod place;
mod plot;
mod race;
mod rows;
mod singles;
mod tree;

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::build;
use page::Findings;
use place::FileSystem;
use rows::{Ground, Programs};

/// What is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// How many files the tree has
    #[arg(long, default_value_t = 100_000)]
    files: u64,

    /// How often both sides run
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// The file systems [default: all]
    #[arg(long = "on", value_enum)]
    file_systems: Vec<FileSystem>,

    /// How many files the largest tree has of those that show how time grows; 0 for none
    #[arg(long, default_value_t = 1_000_000)]
    growth: u64,

    /// Measure also what takes a container engine
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    engine: bool,

    /// Where the page goes
    #[arg(long, value_name = "FILE", default_value = "docs/performance.md")]
    page: PathBuf,
}

/// Measures, and writes the page.
///
/// # Errors
/// When a part cannot be built, set up or run.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let load = page::load()?;
    for (program, package) in [("rsync", "rsync"), ("sync", "coreutils")] {
        testbed::ensure_debian_package(program, package)?;
    }
    let programs = Programs(build::release(&["xtask"])?);
    let file_systems = match options.file_systems.as_slice() {
        [] => FileSystem::ALL.to_vec(),
        chosen => chosen.to_vec(),
    };
    let mut measured = Vec::new();
    for file_system in file_systems {
        // Three copies of the tree at most, and what the file system takes for itself.
        let place = file_system.place(options.files * 50_000)?;
        let ground = Ground {
            programs: &programs,
            place: &place,
            file_system,
            files: options.files,
            rounds: options.rounds,
        };
        measured.push(ground.measure()?);
    }
    if options.engine {
        let place = FileSystem::Tmpfs.place(options.files * 50_000)?;
        measured.push(engine::out_of_a_container(
            &programs,
            &place,
            options.files,
            options.rounds,
        )?);
    }
    let growth = singles::growth(&programs, options.growth, options.rounds)?;
    let mut singles = vec![
        singles::help(&programs, options.rounds)?,
        singles::lock(&programs, options.rounds)?,
    ];
    if options.engine {
        singles.push(engine::added(&programs, options.rounds)?);
    }
    singles.extend(singles::memory(&growth));
    singles.extend(singles::linear(&growth));
    let findings = Findings {
        files: options.files,
        rounds: options.rounds,
        load,
        measured,
        singles,
        growth,
    };
    let page = build::workspace().join(&options.page);
    let old = fs::read_to_string(&page).unwrap_or_default();
    fs::write(&page, page::text(&findings, page::notes_of(&old))?)?;
    if !findings.growth.is_empty() {
        fs::write(page.with_extension("svg"), plot::svg(&findings.growth))?;
    }
    println!("{}", page.display());
    Ok(())
}
