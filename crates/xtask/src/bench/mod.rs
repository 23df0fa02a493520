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

    /// Measure nothing but the checks of a product, and print the page
    #[arg(long)]
    only_checks: bool,

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
    let mut findings = Findings {
        files: options.files,
        rounds: options.rounds,
        load,
        measured: Vec::new(),
        singles: Vec::new(),
        growth: Vec::new(),
    };
    // The disk last: it takes as long as all the others.
    let (disk, memory): (Vec<_>, Vec<_>) = file_systems
        .into_iter()
        .partition(|file_system| *file_system == FileSystem::Disk && !options.only_checks);
    for file_system in memory {
        findings.measured.push(on(file_system, &programs, options)?);
        write(&findings, options)?;
    }
    if options.only_checks {
        return Ok(());
    }
    findings.singles.extend([
        singles::help(&programs, options.rounds)?,
        singles::lock(&programs, options.rounds)?,
    ]);
    if options.engine {
        let place = FileSystem::Tmpfs.place(options.files * 50_000)?;
        findings.measured.push(engine::out_of_a_container(
            &programs,
            &place,
            options.files,
            options.rounds,
        )?);
        drop(place);
        findings
            .singles
            .push(engine::added(&programs, options.rounds)?);
        write(&findings, options)?;
    }
    findings.growth = singles::growth(&programs, options.growth, options.rounds)?;
    let growth = &findings.growth;
    let of_growth = [singles::memory(growth), singles::linear(growth)];
    findings.singles.extend(of_growth.into_iter().flatten());
    write(&findings, options)?;
    for file_system in disk {
        findings.measured.push(on(file_system, &programs, options)?);
        write(&findings, options)?;
    }
    Ok(())
}

/// Measures what a file system can have.
fn on(
    file_system: FileSystem,
    programs: &Programs,
    options: &Options,
) -> anyhow::Result<rows::Measured> {
    // Three copies of the tree at most, and what the file system takes for itself.
    let place = file_system.place(options.files * 50_000)?;
    Ground {
        programs,
        place: &place,
        file_system,
        files: options.files,
        rounds: options.rounds,
        only_checks: options.only_checks,
    }
    .measure()
}

/// Writes what is known so far: a run that is ended before its time has a page, too.
fn write(findings: &Findings, options: &Options) -> anyhow::Result<()> {
    if options.only_checks {
        print!("{}", page::text(findings, "")?);
        return Ok(());
    }
    let page = build::workspace().join(&options.page);
    let old = fs::read_to_string(&page).unwrap_or_default();
    fs::write(&page, page::text(findings, page::notes_of(&old))?)?;
    if !findings.growth.is_empty() {
        fs::write(page.with_extension("svg"), plot::svg(&findings.growth))?;
    }
    println!("{}", page.display());
    Ok(())
}
