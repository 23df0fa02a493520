//! What copying and looking over a tree takes grows as the tree does and no faster:
//! counted in bytes and allocations, not by the clock.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use pixi_offline::staging::{CopyOptions, HashPolicy, Rules, copy_tree, scan_tree};
use testbed::limit::InTime as _;

/// The bytes that an entry may take while a million of them are dealt with: 300 MB
/// together, a third of it left for what else a command knows.
const BYTES_PER_ENTRY: f64 = 200.0;

/// A tree of this many entries: directories of twelve files and a link, in directories of
/// twenty directories.
fn make(top: &Path, entries: usize) {
    let mut made = 0;
    for outer in 0.. {
        for inner in 0..20 {
            if made >= entries {
                return;
            }
            let dir = top.join(format!("package-{outer:04}-1.0-0/lib{inner}"));
            fs::create_dir_all(&dir).unwrap();
            for file in 0..12 {
                fs::write(dir.join(format!("module_{file}.py")), "content").unwrap();
            }
            symlink("module_0.py", dir.join("link.py")).unwrap();
            made += 14;
        }
        made += 1;
    }
}

/// What the allocator saw of some work.
#[derive(Debug)]
struct Taken {
    entries: u64,
    allocations: u64,
    /// The most that was held at a time.
    bytes: usize,
}

/// Counts `work`, which gives the number of entries it dealt with, and drops what
/// else it gives after the count.
fn taken<T>(work: impl FnOnce() -> (u64, T)) -> Taken {
    let profiler = dhat::Profiler::builder().testing().build();
    let (entries, kept) = work();
    let stats = dhat::HeapStats::get();
    drop(kept);
    drop(profiler);
    Taken {
        entries,
        allocations: stats.total_blocks,
        bytes: stats.max_bytes,
    }
}

/// Set for the process that counts.
const ALONE: &str = "PIXI_OFFLINE_GROWTH_ALONE";

/// Runs the test in a process of its own: other tests of this program would be counted too.
fn run_alone() {
    let name = "growth::memory_is_bounded_for_each_entry_and_work_grows_with_the_tree";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, "1")
        .output_in_time()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn memory_is_bounded_for_each_entry_and_work_grows_with_the_tree() {
    if std::env::var_os(ALONE).is_none() {
        return run_alone();
    }
    // In memory where that can be had: what the disk takes is not the question.
    let place = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let (small, large) = (place.path().join("small"), place.path().join("large"));
    make(&small, 1_000);
    make(&large, 10_000);
    let copy = |source: &Path, how: CopyOptions| {
        let target = source.with_extension("copy");
        let taken = taken(|| {
            let outcome = copy_tree(source, &target, &Rules::new(), &how).unwrap();
            (outcome.copied.entries, outcome)
        });
        fs::remove_dir_all(target).unwrap();
        taken
    };
    let plain = CopyOptions::default();
    let listed = CopyOptions {
        list: true,
        hash: true,
        ..plain
    };
    let looked = |source: &Path| {
        taken(|| {
            let seen = scan_tree(source, &Rules::new(), &|_, _| HashPolicy::Compute).unwrap();
            (seen.kept.entries, seen)
        })
    };
    let cases = [
        ("a copy", copy(&small, plain), copy(&large, plain), 60.0),
        (
            "a copy with a listing",
            copy(&small, listed),
            copy(&large, listed),
            BYTES_PER_ENTRY,
        ),
        ("a look", looked(&small), looked(&large), BYTES_PER_ENTRY),
    ];
    for (what, small, large, limit) in cases {
        let more = (large.entries - small.entries) as f64;
        let bytes = (large.bytes as f64 - small.bytes as f64) / more;
        assert!(bytes < limit, "{what}: {bytes} bytes for each entry");
        let each = |taken: &Taken| taken.allocations as f64 / taken.entries as f64;
        // Ten times the tree, and not more for each entry: what is taken once makes the
        // small tree the dearer one.
        assert!(
            each(&large) <= each(&small) * 1.05,
            "{what}: {} and {} allocations for each entry",
            each(&small),
            each(&large)
        );
    }
    testbed::ran(
        "memory_is_bounded_for_each_entry_and_work_grows_with_the_tree",
        6,
    );
}
