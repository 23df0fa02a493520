//! `cargo xtask bench`: how fast the commands are, beside the programs that people
//! know, and the page that says so.

mod file_system;
pub mod part;
mod plot;
mod races;
mod results_page;
mod singles;
mod tree;

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum as _};
use testbed::images::{Change, derived_image};

use crate::build;
use file_system::FileSystem;
use races::{CONTAINER, SectionRun};
use results_page::{BenchSection, Findings};

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
    #[arg(
        long,
        value_name = "FILE",
        default_value = "docs/explanation/performance.md"
    )]
    page: PathBuf,
}

/// Measures, and writes the page.
///
/// # Errors
/// When a part cannot be built, set up or run.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let load = results_page::load()?;
    for (program, package) in [("rsync", "rsync"), ("sync", "coreutils"), ("zstd", "zstd")] {
        testbed::ensure_debian_package(program, package)?;
    }
    let programs = build::release(&["xtask"])?;
    let (programs, rounds) = (programs.as_path(), options.rounds);
    let mut findings = Findings {
        files: options.files,
        rounds,
        load,
        sections: Vec::new(),
        singles: Vec::new(),
        growth: Vec::new(),
    };
    let measure = |section, file_system, image: &str| -> anyhow::Result<BenchSection> {
        SectionRun {
            programs,
            section,
            file_system,
            files: options.files,
            rounds,
            only_checks: options.only_checks,
            image: image.to_owned(),
        }
        .measure()
    };
    let chosen = match options.file_systems.as_slice() {
        [] => FileSystem::value_variants().to_vec(),
        chosen => chosen.to_vec(),
    };
    // The disk last: it takes as long as all the others.
    let (disk, memory): (Vec<_>, Vec<_>) = chosen
        .into_iter()
        .partition(|file_system| *file_system == FileSystem::Disk && !options.only_checks);
    for file_system in memory {
        findings
            .sections
            .push(measure(file_system.name(), file_system, "")?);
        write(&findings, options)?;
    }
    if options.only_checks {
        return Ok(());
    }
    findings.singles.push(singles::help(programs, rounds)?);
    findings.singles.push(singles::lock(programs, rounds)?);
    findings.singles.push(singles::update_bytes(programs)?);
    if options.engine {
        let image = image()?;
        findings
            .sections
            .push(measure(CONTAINER, FileSystem::Tmpfs, &image)?);
        findings
            .singles
            .push(singles::added(programs, &image, rounds)?);
        write(&findings, options)?;
    }
    findings.growth = singles::growth(programs, options.growth, rounds)?;
    findings
        .singles
        .extend(singles::of_growth(&findings.growth));
    write(&findings, options)?;
    for file_system in disk {
        findings
            .sections
            .push(measure(file_system.name(), file_system, "")?);
        write(&findings, options)?;
    }
    Ok(())
}

/// An image whose pixi does nothing at once.
fn image() -> anyhow::Result<String> {
    let change = Change::Script {
        text: "#!/bin/sh\n[ \"$1\" != --version ] || echo pixi 0.77.0\n",
        to: "/usr/local/bin/pixi",
    };
    let parts = testbed::ensure_all()?;
    derived_image("bench", &parts.image.reference, &[change])
}

/// Writes what is known so far: a run that is ended before its time has a page, too.
fn write(findings: &Findings, options: &Options) -> anyhow::Result<()> {
    if options.only_checks {
        print!("{}", results_page::text(findings, "")?);
        return Ok(());
    }
    let page = build::workspace().join(&options.page);
    let old = fs::read_to_string(&page).unwrap_or_default();
    fs::write(&page, results_page::text(findings, &old)?)?;
    if !findings.growth.is_empty() {
        fs::write(page.with_extension("svg"), plot::svg(&findings.growth))?;
    }
    println!("{}", page.display());
    Ok(())
}
