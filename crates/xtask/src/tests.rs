//! Every test, and an honest account of those that could not run.

mod programs;
mod runner;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;

use crate::build;
use programs::{TestArgs, TestProgram};
use runner::{Runner, Test, TestResult};

/// Tests that may be left out on some machine, one a line, with the reason.
const ALLOWED_SKIPS: &str = include_str!("../../../tests/allowed-skips.txt");

/// The tests of the program `engine` that show a reader's commands, and what pixi prints: how
/// their names begin. They run with the registry's pixi alone too, which is all that a bare
/// machine has.
const FOR_READERS: [&str; 2] = ["docs::the_", "production_image::page::every_"];

/// How many of the slowest tests are listed.
const SLOWEST: usize = 20;

/// How long the tests of many cases take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Short,
    Long,
}

impl Length {
    /// How long one test may take. The longest takes some minutes on a machine that does
    /// nothing else.
    fn limit(self) -> Duration {
        let minutes = match self {
            Length::Short => 25,
            Length::Long => 180,
        };
        Duration::from_secs(minutes * 60)
    }
}

/// What a run of the tests showed.
#[derive(Debug, Default)]
pub struct Account {
    /// Whether each test passed, by the last part of its name.
    pub passed: BTreeMap<String, bool>,
    /// How many cases a test of many cases ran.
    pub cases: BTreeMap<String, u64>,
    /// Why a test did not run.
    pub skipped: BTreeMap<String, String>,
}

/// A shell has what it starts in its background ignore Ctrl-C, and children inherit that; the tests
/// send one. A signal with a handler, here one that does nothing, is at its default in a new program.
fn give_children_default_signals() -> anyhow::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap_or("0").trim(), 16)?;
    for signal in [SIGINT, SIGQUIT, SIGTERM, SIGHUP] {
        if ignored & 1 << (signal - 1) != 0 {
            flag::register(signal, Arc::default())?;
        }
    }
    Ok(())
}

/// Sets up the real parts, builds the release binaries, runs the tests of the workspace that
/// `args` choose, each in a process of its own, and lists the slowest and what was skipped.
///
/// # Errors
/// When a part cannot be set up, a test fails, or a test that must run was skipped.
pub fn run(args: &[String], length: Length) -> anyhow::Result<Account> {
    let since = Instant::now();
    give_children_default_signals()?;
    let args = TestArgs::of(args);
    let (parts, binaries, programs) = set_up(&args)?;
    println!(
        "image: {} (pixi {})",
        parts.image.reference, parts.image.version
    );
    println!("channel: {}", parts.channel.url);
    println!("set up in {}", in_words(since.elapsed()));

    let skips = tempfile::NamedTempFile::new().context("no temporary file can be made")?;
    let cases = tempfile::NamedTempFile::new().context("no temporary file can be made")?;
    let binaries = readable_by_all(&binaries)?;
    let mut environment = vec![
        ("PIXI_OFFLINE_BIN_DIR", binaries.path().to_owned()),
        ("PIXI_OFFLINE_SKIPS", skips.path().to_owned()),
        ("PIXI_OFFLINE_CASES_RUN", cases.path().to_owned()),
        ("PIXI_OFFLINE_XTASK", std::env::current_exe()?),
    ];
    if length == Length::Long {
        environment.push(("PIXI_OFFLINE_LONG", "1".into()));
    }
    let registry = testbed::pixi::registry_pixi()?.version;
    let tests = chosen(&programs, &args, parts.image.version != registry)?;
    let runner = Runner {
        environment,
        limit: length.limit(),
        at_once: at_once(),
    };
    let results = runner.run(tests)?;

    let mut account = Account::default();
    for result in &results {
        let name = result.name.rsplit("::").next().unwrap_or(&result.name);
        // One that runs twice must pass twice.
        let passed = account.passed.entry(name.to_owned()).or_insert(true);
        *passed &= result.passed;
    }
    for line in fs::read_to_string(cases.path())?.lines() {
        if let Some((test, count)) = line.split_once('\t') {
            account.cases.insert(test.to_owned(), count.parse()?);
        }
    }
    for line in fs::read_to_string(skips.path())?.lines() {
        let (test, reason) = line.split_once('\t').unwrap_or((line, ""));
        account.skipped.insert(test.to_owned(), reason.to_owned());
    }
    let unexpected = print_skipped(&account.skipped);
    tell_slowest(&results);
    require_all_passed(&results, since)?;
    anyhow::ensure!(
        unexpected == 0,
        "{unexpected} tests were skipped that tests/allowed-skips.txt does not allow"
    );
    Ok(account)
}

/// What takes a network or an engine beside what takes processors.
fn set_up(args: &TestArgs) -> anyhow::Result<(testbed::Parts, PathBuf, Vec<TestProgram>)> {
    thread::scope(|scope| {
        let parts = scope.spawn(testbed::ensure_all_for_tests);
        let built = || anyhow::Ok((build::release(&[])?, programs::build(args)?));
        let built = built();
        let parts = parts.join().expect("setting up does not panic")?;
        let (binaries, programs) = built?;
        Ok((parts, binaries, programs))
    })
}

/// The commands in a directory that every user can reach: a checkout may be in a home that
/// is closed to others, as root's is on Debian, and some tests run as another user.
fn readable_by_all(binaries: &Path) -> anyhow::Result<tempfile::TempDir> {
    let dir = tempfile::Builder::new()
        .prefix("pixi-offline-commands-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .context("no temporary directory can be made")?;
    for name in build::COMMANDS.iter().chain(&["fake-docker"]) {
        fs::copy(binaries.join(name), dir.path().join(name))
            .with_context(|| format!("{name} cannot be copied"))?;
    }
    Ok(dir)
}

/// The tests that the arguments choose; those for readers a second time where the first time they
/// have another pixi than the registry's.
fn chosen<'a>(
    programs: &'a [TestProgram],
    args: &TestArgs,
    twice: bool,
) -> anyhow::Result<Vec<Test<'a>>> {
    let mut tests = Vec::new();
    for program in programs {
        for name in program.tests(&args.choice)? {
            let is_for_readers =
                program.name == "engine" && FOR_READERS.iter().any(|begin| name.starts_with(begin));
            let mut add = |registry_only| {
                tests.push(Test {
                    program,
                    name: name.clone(),
                    registry_only,
                });
            };
            add(false);
            if twice && is_for_readers {
                add(true);
            }
        }
    }
    Ok(tests)
}

/// As many as there are processors, and one more: much of a test is waiting for the engine.
/// `RUST_TEST_THREADS` is another number, as for any test program of Rust's.
fn at_once() -> usize {
    let asked = std::env::var("RUST_TEST_THREADS").ok();
    let asked = asked.and_then(|number| number.parse().ok());
    let processors = thread::available_parallelism().map_or(1, usize::from);
    asked.unwrap_or(processors + 1).max(1)
}

/// Lists the tests that did not run; how many of them had to.
fn print_skipped(skipped: &BTreeMap<String, String>) -> usize {
    let allowed = |test: &str| {
        ALLOWED_SKIPS
            .lines()
            .filter(|line| !line.starts_with('#'))
            .any(|line| line.split_whitespace().next() == Some(test))
    };
    let mut unexpected = 0;
    println!(
        "\nnot run: {}",
        if skipped.is_empty() { "nothing" } else { "" }
    );
    for (test, reason) in skipped {
        let mark = if allowed(test) {
            "allowed"
        } else {
            unexpected += 1;
            "NOT ALLOWED"
        };
        println!("  {test}: {reason} ({mark})");
    }
    unexpected
}

fn tell_slowest(results: &[TestResult]) {
    let mut slowest: Vec<&TestResult> = results.iter().collect();
    slowest.sort_by_key(|result| std::cmp::Reverse(result.took));
    slowest.truncate(SLOWEST);
    println!("\nthe slowest tests:");
    for result in slowest {
        println!("{:>9.2} s  {}", result.took.as_secs_f64(), result.title);
    }
}

fn require_all_passed(results: &[TestResult], since: Instant) -> anyhow::Result<()> {
    let failed: Vec<&str> = results
        .iter()
        .filter(|result| !result.passed)
        .map(|result| result.title.as_str())
        .collect();
    println!(
        "\n{} tests passed, {} failed, in {}",
        results.len() - failed.len(),
        failed.len(),
        in_words(since.elapsed())
    );
    anyhow::ensure!(failed.is_empty(), "tests failed: {}", failed.join(", "));
    Ok(())
}

fn in_words(time: Duration) -> String {
    format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
}
