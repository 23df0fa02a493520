//! Numbers with a limit of their own.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use duct::cmd;

use super::page::{Growth, Single};
use super::place::FileSystem;
use super::race::{Runner, race};
use super::rows::{Programs, words};
use super::tree::FILES_IN_PACKAGE;

/// How long `--help` may take.
const HELP: Duration = Duration::from_millis(5);

/// How long a lock of a thousand packages may take, with a look into the cache.
const LOCK: Duration = Duration::from_millis(100);

/// The memory that a million entries may take, in bytes.
const MEMORY: u64 = 300_000_000;

fn limited(what: &str, found: Duration, target: Duration) -> Single {
    Single {
        what: what.to_owned(),
        found: format!("{:.1} ms", found.as_secs_f64() * 1e3),
        target: format!("under {} ms", target.as_millis()),
        met: found < target,
    }
}

/// The start of the command that people wait for most.
pub fn help(programs: &Programs, rounds: usize) -> anyhow::Result<Single> {
    let program = programs.0.join("make-archive-ready-product");
    let runner = Runner::new("--help", || Ok(()), words([&program, &"--help"]));
    let taken = race(&[&runner], rounds * 4)?[0];
    Ok(limited("start-up, `--help`", taken, HELP))
}

/// Reading a lock of a thousand packages and looking whether the cache has each of
/// their files.
pub fn lock(programs: &Programs, rounds: usize) -> anyhow::Result<Single> {
    let place = FileSystem::Tmpfs.place(4 << 30)?;
    let workdir = place.folder.join("W");
    make(programs, &workdir, 1000 * FILES_IN_PACKAGE)?;
    let runner = Runner::new(
        "reading a lock",
        || Ok(()),
        programs.part(&[&"lock", &workdir]),
    );
    // What rattler_lock takes, on one processor, bounds the whole.
    let alone = Runner::new(
        "only reading it",
        || Ok(()),
        programs.part(&[&"lock", &workdir, &"--alone"]),
    );
    let taken = race(&[&runner, &alone], rounds)?;
    let what = "reading a lock of 1,000 packages and looking for each of their 100,000 files";
    let mut single = limited(what, taken[0], LOCK);
    write!(
        single.found,
        ", of which reading the lock alone (rattler_lock, one processor) takes {:.1} ms",
        taken[1].as_secs_f64() * 1e3
    )?;
    Ok(single)
}

fn make(programs: &Programs, workdir: &Path, files: u64) -> anyhow::Result<()> {
    let packages = (files / FILES_IN_PACKAGE).to_string();
    let make = programs.part(&[&"make", &workdir, &packages, &"--files=tiny"]);
    cmd(&make[0], &make[1..]).stdout_null().run()?;
    Ok(())
}

/// Stages trees of so many files.
pub fn growth(programs: &Programs, most: u64, rounds: usize) -> anyhow::Result<Vec<Growth>> {
    let mut all = Vec::new();
    for files in [10_000, 30_000, 100_000, 300_000, 1_000_000] {
        if files > most {
            break;
        }
        eprintln!("{files} files");
        // Each takes a page and an inode, twice.
        let place = FileSystem::Tmpfs.place(files * 2 * 8192)?;
        let (workdir, target) = (place.folder.join("W"), place.folder.join("target"));
        make(programs, &workdir, files)?;
        let clean = || Ok(pixi_offline::replacement::remove_folder(&target)?);
        let source = workdir.join("pixi-cache");
        let stage = programs.part(&[&"stage", &source, &target]);
        let ours = Runner::new("staging", clean, stage.clone());
        let rsync = words([&"rsync", &"-a", &source.join(""), &target.join("")]);
        let peer = Runner::new("rsync -a", clean, rsync);
        // The largest take as long as all the others; they are not to take half an hour.
        let rounds = match files {
            ..=100_000 => rounds,
            100_001..=300_000 => rounds.min(3),
            _ => 1,
        };
        let taken = race(&[&ours, &peer], rounds)?;
        clean()?;
        // With a listing and digests, which takes the most.
        let listed = programs.part(&[&"listed", &source, &target]);
        let memory = cmd(&listed[0], &listed[1..]).read()?;
        clean()?;
        all.push(Growth {
            files,
            ours: taken[0],
            peer: taken[1],
            memory: memory.trim().parse().context("the memory is a number")?,
        });
    }
    Ok(all)
}

/// The memory of the largest of these trees.
pub fn memory(growth: &[Growth]) -> Option<Single> {
    let largest = growth.last()?;
    Some(Single {
        what: format!(
            "memory for {} files, copied with a listing and digests",
            largest.files
        ),
        found: format!("{:.0} MB", largest.memory as f64 / 1e6),
        target: "under 300 MB".to_owned(),
        met: largest.memory < MEMORY,
    })
}

/// Whether time grows no faster than the number of files.
pub fn linear(growth: &[Growth]) -> Option<Single> {
    let (first, last) = (growth.first()?, growth.last()?);
    let each = |at: &Growth| at.ours.as_secs_f64() / at.files as f64;
    let grown = each(last) / each(first);
    Some(Single {
        what: format!("time for each file, {} against {}", last.files, first.files),
        found: format!("{grown:.2} times"),
        target: "1, with 0.25 for noise".to_owned(),
        met: grown < 1.25,
    })
}
