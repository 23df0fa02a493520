//! Numbers with a limit of their own.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use duct::cmd;

use super::file_system::FileSystem;
use super::races::{BenchShell, median, timed};
use super::results_page::{Growth, SingleMeasurement};
use super::tree::FILES_IN_PACKAGE;

/// How long `--help` may take.
const HELP: Duration = Duration::from_millis(5);

/// How long a lock of a thousand packages may take, with a look into the cache.
const LOCK: Duration = Duration::from_millis(100);

/// What create-workdir-from-host may add to a run.
const ADDED: Duration = Duration::from_millis(200);

/// The memory that a million entries may take, in bytes.
const MEMORY: u64 = 300_000_000;

/// The part of the bytes of changed files that an update may have.
const CARRIED: f64 = 1.05;

/// A product, and another one in which one of fifty packages changed, with an update between both.
const UPDATED: &str = r#"xtask bench-part make "$W" "$PACKAGES" &&
    make-archive-ready-product --workdir "$W" && mv "$PRODUCT" "$HERE/old" &&
    for file in "$CACHE"/pkgs/package-00007-*/*/module_*.py; do
        [ -h "$file" ] || ! [ -s "$file" ] || printf x 1<>"$file"
    done &&
    make-archive-ready-product --workdir "$W" &&
    make-product-update --from "$HERE/old" --product-dir "$PRODUCT" --output "$HERE/update""#;

/// The bytes of the contents in an update.
const CONTENTS: &str = r#"find "$HERE/update/files" -type f -printf '%s\n' |
    awk '{ all += $1 } END { print all + 0 }'"#;

/// The bytes of everything in an update.
const WHOLE: &str = r#"find "$HERE/update" -type f -printf '%s\n' |
    awk '{ all += $1 } END { print all + 0 }'"#;

/// The bytes of the files that changed, as rsync counts them, but for the lists.
const CHANGED: &str = r#"rsync -an --checksum --stats --no-human-readable --compare-dest="$HERE/old" \
    --exclude=/manifest.json --exclude=/SHA256SUMS --exclude=/sbom.cdx.json --exclude=/provenance.json \
    "$PRODUCT/" "$TARGET/" | awk '/^Total transferred file size/ { print $5 }'"#;

/// Makes a tree where only the number of files matters.
const MAKE: &str = "xtask bench-part make \"$W\" \"$PACKAGES\" --files tiny";

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The start of the command that people wait for most.
pub fn help(programs: &Path, rounds: usize) -> anyhow::Result<SingleMeasurement> {
    // Without a shell, which takes as long to start.
    let command = cmd!(programs.join("make-archive-ready-product"), "--help");
    let times: anyhow::Result<Vec<_>> = (0..rounds * 4).map(|_| timed(&command)).collect();
    let taken = median(times?);
    Ok(SingleMeasurement {
        what: "start-up, `--help`".to_owned(),
        found: format!("{:.1} ms", milliseconds(taken)),
        target: format!("under {} ms", HELP.as_millis()),
        met: taken < HELP,
    })
}

/// The bytes of an update where one of fifty packages changed, beside those of the files that changed.
pub fn update_bytes(programs: &Path) -> anyhow::Result<SingleMeasurement> {
    let place = FileSystem::Tmpfs.make_dir(1 << 30)?;
    let shell = BenchShell::new(programs, &place, 50 * FILES_IN_PACKAGE);
    shell.run(UPDATED)?;
    let bytes = |script: &str| -> anyhow::Result<f64> {
        let text = shell.script(script).read()?;
        text.trim()
            .parse()
            .with_context(|| format!("{script} printed {text:?}"))
    };
    let (ours, changed) = (bytes(CONTENTS)?, bytes(CHANGED)?);
    Ok(SingleMeasurement {
        what: "an update where 1 of 50 packages changed, without lists".to_owned(),
        found: format!(
            "{:.2} MB of the {:.2} MB that changed, {:.2}; {:.2} MB with lists and plan",
            ours / 1e6,
            changed / 1e6,
            ours / changed,
            bytes(WHOLE)? / 1e6
        ),
        target: format!("at most {CARRIED}"),
        met: ours <= CARRIED * changed,
    })
}

/// Reading a lock of a thousand packages and looking whether the cache has each of
/// their files.
pub fn lock(programs: &Path, rounds: usize) -> anyhow::Result<SingleMeasurement> {
    let place = FileSystem::Tmpfs.make_dir(4 << 30)?;
    let shell = BenchShell::new(programs, &place, 1000 * FILES_IN_PACKAGE);
    shell.run(MAKE)?;
    // What rattler_lock takes, on one processor, bounds the whole.
    let sides = [
        ("reading a lock", "exec xtask bench-part lock \"$W\""),
        (
            "only reading it",
            "exec xtask bench-part lock \"$W\" --alone",
        ),
    ];
    let taken = shell.race("", &sides, rounds)?;
    Ok(SingleMeasurement {
        what: "reading a lock of 1,000 packages and looking for each of their 100,000 files"
            .to_owned(),
        found: format!(
            "{:.1} ms, of which reading the lock alone (rattler_lock, one processor) takes {:.1} ms",
            milliseconds(taken[0]),
            milliseconds(taken[1])
        ),
        target: format!("under {} ms", LOCK.as_millis()),
        met: taken[0] < LOCK,
    })
}

/// What create-workdir-from-host adds to a plain run of the same.
pub fn added(programs: &Path, image: &str, rounds: usize) -> anyhow::Result<SingleMeasurement> {
    const CREATE: &str = "exec create-workdir-from-host --image \"$IMAGE\" \
                          --project-dir \"$HERE/source/project/demo\" --workdir \"$W\"";
    let place = FileSystem::Disk.make_dir(0)?;
    let shell = BenchShell::new(programs, &place, 0).with("IMAGE", image);
    shell.run("xtask bench-part make \"$HERE/source\" 1 --files tiny")?;
    let plain = "exec docker run --rm --entrypoint bash \"$IMAGE\" -lc 'pixi --version && pixi install --locked'";
    let sides = [
        ("create-workdir-from-host", CREATE),
        ("docker run --rm", plain),
        // A question to the engine that is answered at once.
        (
            "docker image inspect",
            "exec docker image inspect \"$IMAGE\"",
        ),
    ];
    let taken = shell.race("rm -rf \"$W\"", &sides, rounds)?;
    let added = milliseconds(taken[0]) - milliseconds(taken[1]);
    // How often it starts the engine's client.
    let strace = testbed::ensure_debian_package("strace", "strace")?;
    let traced = "exec \"$STRACE\" -f -qq -e trace=execve -o \"$SCRATCH/trace\" sh -c \"$CREATE\"";
    let shell = shell.with("STRACE", strace).with("CREATE", CREATE);
    shell.run(traced)?;
    let trace = fs::read_to_string(place.scratch().join("trace"))?;
    let is_start = |line: &&str| line.contains("/docker\"") && line.ends_with("= 0");
    Ok(SingleMeasurement {
        what: format!(
            "what create-workdir-from-host adds to a `docker run --rm` of the same ({:.0} ms), with {} calls of the engine's client where that has 1 (a question takes {:.0} ms)",
            milliseconds(taken[1]),
            trace.lines().filter(is_start).count(),
            milliseconds(taken[2]),
        ),
        found: format!("{added:.0} ms"),
        target: format!("under {} ms", ADDED.as_millis()),
        met: added < milliseconds(ADDED),
    })
}

/// Stages trees of so many files.
pub fn growth(programs: &Path, most: u64, rounds: usize) -> anyhow::Result<Vec<Growth>> {
    let sizes = [10_000, 30_000, 100_000, 300_000, 1_000_000];
    let stage = |files: u64| {
        eprintln!("{files} files");
        // Each takes a page and an inode, twice.
        let place = FileSystem::Tmpfs.make_dir(files * 2 * 8192)?;
        let shell = BenchShell::new(programs, &place, files);
        shell.run(MAKE)?;
        let sides = [
            ("staging", "xtask bench-part stage \"$CACHE\" \"$TARGET\""),
            ("rsync -a", "rsync -a \"$CACHE/\" \"$TARGET/\""),
        ];
        // The largest take as long as all the others; they are not to take half an hour.
        let rounds = match files {
            ..=100_000 => rounds,
            100_001..=300_000 => rounds.min(3),
            _ => 1,
        };
        let taken = shell.race("rm -rf \"$TARGET\"", &sides, rounds)?;
        // With a listing and digests, which takes the most.
        let memory = shell
            .script("xtask bench-part listed \"$CACHE\" \"$TARGET\"")
            .read()?;
        Ok(Growth {
            files,
            ours: taken[0],
            peer: taken[1],
            memory: memory.trim().parse().context("the memory is a number")?,
        })
    };
    sizes
        .into_iter()
        .filter(|files| *files <= most)
        .map(stage)
        .collect()
}

/// The memory of the largest of these trees, and whether time grows no faster than the number
/// of files.
pub fn of_growth(growth: &[Growth]) -> Vec<SingleMeasurement> {
    let (Some(first), Some(last)) = (growth.first(), growth.last()) else {
        return Vec::new();
    };
    let each = |at: &Growth| at.ours.as_secs_f64() / at.files as f64;
    let grown = each(last) / each(first);
    vec![
        SingleMeasurement {
            what: format!(
                "memory for {} files, copied with a listing and digests",
                last.files
            ),
            found: format!("{:.0} MB", last.memory as f64 / 1e6),
            target: format!("under {} MB", MEMORY / 1_000_000),
            met: last.memory < MEMORY,
        },
        SingleMeasurement {
            what: format!("time for each file, {} against {}", last.files, first.files),
            found: format!("{grown:.2} times"),
            target: "1, with 0.25 for noise".to_owned(),
            met: grown < 1.25,
        },
    ]
}
