//! The parts that a large project asks most of: patterns, the lock, digests.
//! `cargo bench -p pixi-offline` runs them; nothing else depends on the clock.

#![allow(missing_docs, reason = "criterion's macros write what is public here")]

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pixi_offline::layout::DEFAULT_EXCLUDES;
use pixi_offline::packages::{LocalSources, LockCache, Requirements, Subdir};
use pixi_offline::staging::{HashPolicy, Rules, scan_tree};

/// The paths of a thousand packages' files.
fn paths() -> Vec<PathBuf> {
    (0..10_000)
        .map(|number| {
            let package = number / 10;
            PathBuf::from(format!(
                "envs/package-{package:04}-1.0-0/lib/python3.13/site-packages/module_{number}.py"
            ))
        })
        .collect()
}

fn patterns(criterion: &mut Criterion) {
    let paths = paths();
    let mut group = criterion.benchmark_group("patterns");
    group.throughput(Throughput::Elements(paths.len() as u64));
    let more: &[&str] = &["data/**/raw", "*.tmp", "/results/*/[0-9]*", "- cache_?"];
    for (name, patterns) in [
        ("usual", DEFAULT_EXCLUDES.as_slice()),
        ("with wildcards", more),
    ] {
        let mut rules = Rules::new();
        for pattern in patterns {
            rules.push(OsStr::new(pattern)).expect("a good pattern");
        }
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                paths
                    .iter()
                    .filter(|path| rules.excludes(black_box(path), false))
                    .count()
            });
        });
    }
    group.finish();
}

fn lock(criterion: &mut Criterion) {
    let (mut listed, mut locked) = (String::new(), String::new());
    for number in 0..1000 {
        let url = format!("https://conda.example/chan/linux-64/package-{number}-1.0-0.conda");
        writeln!(listed, "      - conda: {url}").expect("a string takes it");
        writeln!(locked, "- conda: {url}\n  sha256: {number:064x}").expect("a string takes it");
    }
    let text = format!(
        "version: 6\nenvironments:\n  default:\n    channels:\n    - url: https://conda.example/chan/\n    packages:\n      linux-64:\n{listed}packages:\n{locked}"
    );
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("pixi.lock");
    fs::write(&file, text).expect("a lock");
    criterion.bench_function("a lock of 1,000 packages", |bencher| {
        bencher.iter(|| {
            let lock = LockCache::default().read(&file);
            let lock = lock.expect("it can be read").expect("a lock");
            Requirements::of(
                &lock,
                &["default".to_owned()],
                Subdir::Linux64,
                &LocalSources::default(),
            )
            .expect("it is installable")
        });
    });
}

fn digests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("digests");
    for (name, files, size) in [("small files", 1000, 2048), ("large files", 4, 8 << 20)] {
        let dir = tempfile::tempdir().expect("a directory");
        for number in 0..files {
            fs::write(dir.path().join(number.to_string()), vec![7; size]).expect("a file");
        }
        group.throughput(Throughput::Bytes((files * size) as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                scan_tree(dir.path(), &Rules::new(), &|_, _| HashPolicy::Compute)
                    .expect("they are read")
            });
        });
    }
    group.finish();
}

criterion_group!(parts, patterns, lock, digests);
criterion_main!(parts);
