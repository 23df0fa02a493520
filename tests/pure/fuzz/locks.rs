//! Whatever a lock file says, reading it ends soon, with a lock or an error,
//! and no package of it leads out of a cache.

use std::path::{Component, Path};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pixi_offline::layout::PathInRoot;
use pixi_offline::packages::{
    CondaCache, CondaPackage, LocalSources, LockCache, PythonCache, Requirements,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestCaseResult;

use crate::fuzz::holds;

/// One of each form that there is.
const SEEDS: [&str; 5] = [
    include_str!("locks/v3.lock"),
    include_str!("locks/v4.lock"),
    include_str!("locks/v5.lock"),
    include_str!("locks/v6.lock"),
    include_str!("locks/v7.lock"),
];

/// What takes the place of a value.
const HOSTILE: [&str; 26] = [
    "../../x",
    "..",
    "/etc/passwd",
    "https://conda.example/forge/linux-64/..%2f..%2fx-1-0.conda",
    "https://conda.example/forge/linux-64/%2e%2e-1-0.conda",
    "https://conda.example/forge/linux-64/../../../x-1-0.conda",
    "https://conda.example/..%2f..%2f..-1-0.conda",
    "./a/..%2f..-1-0.conda",
    "'a/../../b-1-0.conda'",
    "\"\\e[31m\\0\\x9b\"",
    "\"a\\nb\\rc\"",
    "\u{9b}31m",
    "99999999999999999999999999",
    "-1",
    "1e999",
    "~",
    "[]",
    "{}",
    "&a [*a]",
    "*a",
    "!!binary x",
    "file:///../../x/",
    "file://%00/",
    "git+",
    "__glibc >=999999999999.1",
    "é-1-0.conda",
];

/// What is done to the text of a lock.
#[derive(Debug, Clone)]
enum Damage {
    Byte(Index, u8),
    Without(Index),
    Twice(Index, Index),
    Swapped(Index, Index),
    /// A line's value becomes another.
    Value(Index, &'static str),
    /// So it does everywhere where it is.
    Everywhere(Index, &'static str),
    /// A line's value becomes that of another line.
    Moved(Index, Index),
    Cut(Index),
    Deep(Index, u16),
}

fn damages() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    let hostile = || select(&HOSTILE[..]);
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        at().prop_map(Damage::Without),
        (at(), at()).prop_map(|(from, to)| Damage::Twice(from, to)),
        (at(), at()).prop_map(|(one, other)| Damage::Swapped(one, other)),
        (at(), hostile()).prop_map(|(at, value)| Damage::Value(at, value)),
        (at(), hostile()).prop_map(|(at, value)| Damage::Everywhere(at, value)),
        (at(), at()).prop_map(|(to, from)| Damage::Moved(to, from)),
        at().prop_map(Damage::Cut),
        (at(), 1..1000_u16).prop_map(|(at, depth)| Damage::Deep(at, depth)),
    ]
}

/// The key of a line with its colon or dash, and its value.
fn split(line: &str) -> (&str, &str) {
    let at = line.find(": ").map_or_else(|| line.find("- "), Some);
    line.split_at(at.map_or(line.len(), |at| at + 2))
}

impl Damage {
    fn apply(&self, text: String) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.is_empty() {
            return text;
        }
        let line = |at: &Index| at.index(text.lines().count());
        let give = |line: &mut String, value: &str| *line = format!("{}{value}", split(line).0);
        match self {
            Damage::Byte(at, byte) => {
                let mut bytes = text.into_bytes();
                let at = at.index(bytes.len());
                bytes[at] = *byte;
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            Damage::Cut(at) => {
                let bytes = &text.as_bytes()[..at.index(text.len())];
                return String::from_utf8_lossy(bytes).into_owned();
            }
            Damage::Without(at) => drop(lines.remove(line(at))),
            Damage::Twice(from, to) => lines.insert(line(to), lines[line(from)].clone()),
            Damage::Swapped(one, other) => lines.swap(line(one), line(other)),
            Damage::Value(at, value) => give(&mut lines[line(at)], value),
            Damage::Everywhere(at, value) => {
                let old = split(&lines[line(at)]).1.to_owned();
                if !old.is_empty() {
                    return text.replace(&old, value);
                }
            }
            Damage::Moved(to, from) => {
                let value = split(&lines[line(from)]).1.to_owned();
                give(&mut lines[line(to)], &value);
            }
            Damage::Deep(at, depth) => {
                give(&mut lines[line(at)], &"[".repeat(usize::from(*depth)));
            }
        }
        lines.join("\n") + "\n"
    }
}

fn in_cache(package: &CondaPackage) -> bool {
    let mut parts = Path::new(&package.stem).components();
    matches!(parts.next(), Some(Component::Normal(_)))
        && parts.next().is_none()
        && !package.stem.contains('/')
}

/// Reads a text as a lock, and asks it all that the commands ask.
fn read(text: String, cache: &Path) -> TestCaseResult {
    let lock = match LockCache::default().parse(text) {
        Ok(lock) => lock,
        Err(error) => {
            prop_assert!(!error.to_string().is_empty());
            return Ok(());
        }
    };
    let local = LocalSources::of(&lock, cache, &PathInRoot::default());
    for channel in &local.channels {
        let plain = |part| matches!(part, Component::Normal(_));
        let inside = channel.in_root.components().all(plain);
        prop_assert!(inside, "{channel:?}");
    }
    let names: Vec<String> = lock.environments().map(str::to_owned).collect();
    for name in &names {
        for platform in lock.platforms(name).into_iter().flatten() {
            let environments = std::slice::from_ref(name);
            let chosen = lock.choosing([(name.as_str(), &*platform.name)]);
            let need = Requirements::of(&chosen, environments, platform.subdir, &local);
            let Ok(need) = need else {
                continue;
            };
            let (conda, python) = (CondaCache::new(cache), PythonCache::read(cache));
            for package in &need.conda {
                prop_assert!(in_cache(package), "{package:?}");
                prop_assert!(!conda.problems(package, true).is_empty(), "an empty cache");
            }
            for package in &need.python {
                python.problems(&need, package, true);
            }
        }
    }
    Ok(())
}

#[test]
fn mutated_locks_never_panic() {
    let mut seeds: Vec<String> = SEEDS.map(str::to_owned).to_vec();
    for seed in &seeds {
        LockCache::default()
            .parse(seed.clone())
            .unwrap_or_else(|error| panic!("{error:#}\n{seed}"));
    }
    if let Some(dir) = std::env::var_os("PIXI_LOCK_SAMPLES") {
        let samples = std::fs::read_dir(dir).expect("the samples");
        let files = samples.map(|sample| sample.expect("a sample").path().join("pixi.lock"));
        // The small ones: a long one says little that they do not, and slowly.
        let texts = files.filter_map(|file| std::fs::read_to_string(file).ok());
        seeds.extend(texts.filter(|text| text.len() < 40_000));
    }
    let cache = tempfile::tempdir().expect("a directory");
    let slowest = AtomicU64::new(0);
    let number = testbed::cases(1000, 20_000);
    let inputs = (any::<Index>(), vec(damages(), 1..5));
    holds(
        "mutated_locks_never_panic",
        number,
        &inputs,
        |(seed, damages)| {
            let text = damages
                .iter()
                .fold(seeds[seed.index(seeds.len())].clone(), |text, damage| {
                    damage.apply(text)
                });
            let started = Instant::now();
            read(text, cache.path())?;
            let took = started.elapsed();
            slowest.fetch_max(took.as_millis() as u64, Ordering::Relaxed);
            prop_assert!(took < Duration::from_secs(10), "{took:?}");
            Ok(())
        },
    );
    testbed::ran("mutated_locks_never_panic", number);
    println!("{} seeds, slowest {} ms", seeds.len(), slowest.into_inner());
}

/// Every value of every form, each with every hostile one in its place.
#[test]
fn no_value_of_a_lock_leads_out_of_the_cache() {
    let cache = tempfile::tempdir().expect("a directory");
    let mut tried = 0;
    for seed in SEEDS {
        for number in 0..seed.lines().count() {
            for value in HOSTILE {
                let at = |line: &str| format!("{}{value}", split(line).0);
                let mut lines: Vec<String> = seed.lines().map(str::to_owned).collect();
                let old = split(&lines[number]).1.to_owned();
                lines[number] = at(&lines[number]);
                let mut texts = vec![lines.join("\n")];
                if !old.is_empty() {
                    texts.push(seed.replace(&old, value));
                }
                for text in texts {
                    let shown = text.clone();
                    read(text, cache.path()).unwrap_or_else(|why| panic!("{why}\n{shown}"));
                    tried += 1;
                }
            }
        }
    }
    testbed::ran("no_value_of_a_lock_leads_out_of_the_cache", tried);
}

/// Aliases of aliases are a gigabyte when they are written out.
#[test]
fn a_lock_of_aliases_ends_soon() {
    let mut text = String::from("version: 6\nx0: &x0 [a, a, a, a, a, a, a, a, a, a]\n");
    for level in 1..12 {
        let below = format!("*x{}", level - 1);
        let all = vec![below; 10].join(", ");
        text.push_str(&format!("x{level}: &x{level} [{all}]\n"));
    }
    text.push_str("environments: *x11\npackages: *x11\n");
    let started = Instant::now();
    assert!(LockCache::default().parse(text).is_err());
    assert!(started.elapsed() < Duration::from_secs(10));
}
