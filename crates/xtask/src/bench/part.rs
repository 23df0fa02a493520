//! Parts of the commands that are measured by themselves, each in a process of
//! its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use pixi_offline::evidence::check::{Depth, check};
use pixi_offline::layout::{DEFAULT_EXCLUDES, PathInRoot, Product};
use pixi_offline::packages::{CondaCache, LocalSources, LockCache, Requirements, Subdir};
use pixi_offline::parallel;
use pixi_offline::staging::{CopyOptions, HashPolicy, Rules, RulesAndSkip, copy_tree, scan_tree};
use pixi_offline::transfer;

use super::tree::{Files, Packages, workdir};

/// What the last entry of a stream is named after.
const MARK: &str = "bench";

/// What `cargo xtask bench` starts of itself.
#[derive(Debug, Subcommand)]
pub enum BenchPart {
    /// Make a workdir
    Make {
        dir: PathBuf,
        packages: u64,
        #[arg(long, value_enum, default_value = "as-in-caches")]
        files: Files,
        /// One of so many packages is of the next version
        #[arg(long)]
        newer_each: Option<u64>,
    },
    /// Copy a tree as a project is staged
    Stage { source: PathBuf, target: PathBuf },
    /// Copy a tree as a product is made: with a listing and digests
    Listed { source: PathBuf, target: PathBuf },
    /// Read the lock of a workdir and look whether its cache has everything
    Lock {
        workdir: PathBuf,
        /// Only read the lock
        #[arg(long)]
        alone: bool,
    },
    /// Read a tree for its digests
    Hash { dir: PathBuf },
    /// Write a tree to stdout as a tar stream
    Send { dir: PathBuf },
    /// Unpack a tar stream from stdin into a new directory
    Receive { dir: PathBuf },
    /// Compare a product with its lists, every byte
    Check { product: PathBuf },
}

impl BenchPart {
    /// Does it, and says how much memory that took at most.
    pub fn run(&self) -> anyhow::Result<()> {
        match self {
            BenchPart::Make {
                dir,
                packages,
                files,
                newer_each,
            } => {
                let packages = Packages {
                    count: *packages,
                    files: *files,
                    newer_each: *newer_each,
                };
                workdir(dir, packages)?;
            }
            BenchPart::Stage { source, target } => {
                let mut rules = Rules::new();
                for pattern in DEFAULT_EXCLUDES {
                    rules.push(pattern.as_ref())?;
                }
                let selection = RulesAndSkip {
                    rules: &rules,
                    skip: &pixi_offline::evidence::is_workdir,
                };
                copy_tree(source, target, &selection, &CopyOptions::default())?;
            }
            BenchPart::Listed { source, target } => {
                let options = CopyOptions {
                    list: true,
                    hash: true,
                    ..CopyOptions::default()
                };
                let outcome = copy_tree(source, target, &Rules::new(), &options)?;
                let listed = outcome.listing.entries(Path::new("")).count();
                anyhow::ensure!(listed as u64 == outcome.copied.entries, "{listed}");
            }
            BenchPart::Lock { workdir, alone } => lock(workdir, *alone)?,
            BenchPart::Hash { dir } => {
                scan_tree(dir, &Rules::new(), &|_, _| HashPolicy::Compute)?;
            }
            BenchPart::Send { dir } => {
                let stdout = io::BufWriter::with_capacity(1 << 20, io::stdout().lock());
                transfer::send(dir, &Rules::new(), stdout, MARK)?;
                // Stdout is the stream's.
                return Ok(());
            }
            BenchPart::Receive { dir } => {
                fs::create_dir(dir)?;
                transfer::receive(
                    io::stdin().lock(),
                    dir,
                    MARK,
                    &transfer::ExpectedStream::default(),
                )?;
            }
            BenchPart::Check { product } => {
                let checked = check(&Product::new(product), Depth::Full)?;
                let findings = checked.context("the product has no lists")?.findings;
                anyhow::ensure!(findings.is_empty(), "{findings:?}");
            }
        }
        println!("{}", most_memory()?);
        Ok(())
    }
}

fn lock(workdir: &Path, alone: bool) -> anyhow::Result<()> {
    let project = workdir.join("project/demo");
    let lock = LockCache::default().read(&project.join("pixi.lock"))?;
    let lock = lock.context("no lock")?;
    if alone {
        return Ok(());
    }
    let need = Requirements::of(
        &lock,
        &["default".to_owned()],
        Subdir::Linux64,
        &LocalSources::of(&lock, &project, &PathInRoot::default()),
    )
    .map_err(|reasons| anyhow::anyhow!("{reasons:?}"))?;
    let cache = CondaCache::new(&workdir.join("pixi-cache"));
    let problems =
        parallel::par_map(&need.conda, |package| cache.problems(package, false)).concat();
    anyhow::ensure!(problems.is_empty(), "{problems:?}");
    Ok(())
}

/// The most memory that this process had, in bytes (proc(5), `VmHWM`).
fn most_memory() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line
        .and_then(|line| line.split_whitespace().next())
        .context("no VmHWM")?;
    Ok(kibibytes.parse::<u64>()? * 1024)
}
