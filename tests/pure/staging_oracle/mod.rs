//! The staging of the core against the program that it replaces: random trees
//! and patterns, copied by both, must come out the same in every entry's type,
//! mode, owner, mtime, content and link target.
//!
//! `PIXI_OFFLINE_ORACLE_CASES` sets how many cases run (2,000 unless told, 10,000
//! when `PIXI_OFFLINE_LONG` is set), and
//! `PIXI_OFFLINE_ORACLE_SEED` repeats a run: its seed is the first thing that a
//! run prints.

mod patterns;
mod tree;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use pixi_offline::layout::DEFAULT_EXCLUDES;
use pixi_offline::project::ProjectRules;
use pixi_offline::staging::{CopyOptions, CopyStats, PatternError, Rules, Selection, copy_tree};

use crate::staging_oracle::tree::{Found, Tree};
use testbed::limit::InTime as _;

const CASES: &str = "PIXI_OFFLINE_ORACLE_CASES";
const SEED: &str = "PIXI_OFFLINE_ORACLE_SEED";

/// A tree is made once and copied with this many sets of patterns.
const SETS_PER_TREE: u64 = 5;

/// The user that nobody's files belong to on Linux.
const NOBODY: u32 = 65534;

#[test]
fn copies_as_rsync_does() {
    let cases = cases_to_run();
    let seed = number_from(SEED).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("a clock after 1970").as_nanos() as u64 % 1_000_000_000_000
    });
    let who = if is_root() { "root" } else { "a plain user" };
    say(&format!("oracle: {}", rsync_version()));
    say(&format!("oracle: {cases} cases as {who}, {SEED}={seed}"));

    let started = Instant::now();
    let place = scratch();
    let tally = Tally::default();
    let next_tree = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let trees = cases.div_ceil(SETS_PER_TREE);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !failed.load(Ordering::Relaxed) {
                        let number = next_tree.fetch_add(1, Ordering::Relaxed);
                        if number >= trees {
                            break;
                        }
                        let sets = SETS_PER_TREE.min(cases - number * SETS_PER_TREE);
                        let dir = place.path().join(number.to_string());
                        if let Err(failure) = one_tree(seed, number, sets, &dir, &tally) {
                            failed.store(true, Ordering::Relaxed);
                            return Some(failure);
                        }
                    }
                    None
                })
            })
            .collect();
        workers
            .into_iter()
            .filter_map(|worker| worker.join().expect("a worker ends by itself"))
            .collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));

    let Tally {
        cases,
        entries,
        patterns,
        matching,
        leaving_out,
        troubled,
        left_here,
    } = tally;
    let left_here = left_here.into_inner();
    let (patterns, matching) = (patterns.into_inner(), matching.into_inner());
    say(&format!(
        "oracle: {} cases without a difference, {} entries; {matching} of {patterns} patterns \
         matched something, {} cases left something out, {} met unreadable entries; {:.1} s",
        cases.load(Ordering::Relaxed),
        entries.into_inner(),
        leaving_out.into_inner(),
        troubled.into_inner(),
        started.elapsed().as_secs_f64(),
    ));
    assert!(
        matching * 2 > patterns,
        "only {matching} of {patterns} patterns matched something, so little was compared"
    );
    say(&format!(
        "oracle: {left_here} links and git files stayed behind in projects"
    ));
    assert!(
        left_here > 0,
        "no tree had a link or file that a project leaves"
    );
    testbed::ran("copies_as_rsync_does", cases.into_inner());
}

/// The same for a plain user, where root runs the tests.
#[test]
fn copies_as_rsync_does_for_a_plain_user() {
    if !is_root() {
        testbed::skip(
            "staging_oracle::copies_as_rsync_does_for_a_plain_user",
            "not root: the other test was for a plain user",
        );
        return;
    }
    rsync_version();
    // The test's own program is where a plain user may not be able to look.
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("its mode");
    let program = dir.path().join("staging-oracle");
    let own = std::env::current_exe().expect("the test's own program");
    // By another process: a file that this one had open for writing may still be open
    // in a child that the other test has just forked, and cannot be started then.
    let copied = Command::new("cp").arg(own).arg(&program).status_in_time();
    assert!(copied.is_ok_and(|status| status.success()), "a copy of it");
    let cases = cases_to_run().div_ceil(8);
    let status = Command::new(&program)
        .args(["--exact", "staging_oracle::copies_as_rsync_does", "--quiet"])
        .current_dir("/")
        .env(CASES, cases.to_string())
        .env_remove("TMPDIR")
        // It could not write there, and what it ran is said below.
        .env_remove("PIXI_OFFLINE_CASES_RUN")
        .uid(NOBODY)
        .gid(NOBODY)
        .status_in_time()
        .expect("the program starts");
    assert!(
        status.success(),
        "the run as a plain user ended with {status}"
    );
    testbed::ran("copies_as_rsync_does_for_a_plain_user", cases);
}

/// Errors that only root can bring about for real: a full target, and a read-only one.
#[test]
fn a_target_that_takes_no_more_stops_the_copy() {
    if !is_root() {
        testbed::skip(
            "staging_oracle::a_target_that_takes_no_more_stops_the_copy",
            "needs root to mount",
        );
        return;
    }
    let place = scratch();
    let source = place.path().join("source");
    fs::create_dir(&source).expect("a source");
    for number in 0..64 {
        fs::write(source.join(format!("file-{number}")), vec![7; 64 * 1024]).expect("a file");
    }
    let mounted = place.path().join("mounted");
    fs::create_dir(&mounted).expect("a place to mount at");
    let mount = |options: &str| {
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&mounted)
            .status_in_time()
            .is_ok_and(|status| status.success())
    };
    if !mount("size=256k") {
        testbed::skip(
            "staging_oracle::a_target_that_takes_no_more_stops_the_copy",
            "mount is not allowed here",
        );
        return;
    }
    let unmount = Unmount(&mounted);
    let how = CopyOptions::default();
    let full = copy_tree(&source, &mounted.join("full"), &Rules::new(), &how);
    let made = fs::read_dir(mounted.join("full")).map_or(0, Iterator::count);
    drop(unmount);
    let full = format!("{:#}", full.expect_err("the target is full"));
    assert!(full.contains("No space left on device"), "{full}");
    assert!(full.contains("was stopped"), "{full}");
    assert!(full.contains(&*mounted.to_string_lossy()), "{full}");
    assert!(made < 10, "{made} files, so it went on");

    assert!(mount("ro"), "a second mount");
    let unmount = Unmount(&mounted);
    let read_only = copy_tree(&source, &mounted, &Rules::new(), &how);
    drop(unmount);
    let read_only = format!("{:#}", read_only.expect_err("the target is read-only"));
    assert!(read_only.contains("Read-only file system"), "{read_only}");
    assert!(read_only.contains("was stopped"), "{read_only}");
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.0).status_in_time();
        if !status.is_ok_and(|status| status.success()) {
            say(&format!("oracle: {} is still mounted", self.0.display()));
        }
    }
}

#[derive(Default)]
struct Tally {
    cases: AtomicU64,
    entries: AtomicU64,
    patterns: AtomicU64,
    matching: AtomicU64,
    leaving_out: AtomicU64,
    troubled: AtomicU64,
    /// Entries that rsync copies and a copy of a project leaves.
    left_here: AtomicU64,
}

/// Makes the tree of this number and compares `sets` copies of it.
fn one_tree(seed: u64, number: u64, sets: u64, dir: &Path, tally: &Tally) -> Result<(), String> {
    // Each tree has a generator of its own, so that a run does not depend on
    // which worker takes which tree.
    let mut rng = Rng::with_seed(seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let tree = Tree::random(&mut rng, is_root());
    fs::create_dir(dir).expect("a directory for the case");
    let source = dir.join("source");
    tree.make(&source);
    let whole = tree.nodes.len();
    for _ in 0..sets {
        let patterns = patterns::random(&mut rng, &tree);
        let mut given = source.clone();
        if rng.u8(..10) == 0 {
            given = dir.join("link-to-source");
            let _ = fs::remove_file(&given);
            std::os::unix::fs::symlink("source", &given).expect("a link");
        }
        let whose = match rng.bool() {
            true => Whose::Project,
            false => Whose::AnyDir,
        };
        let compared = compare(&given, dir, &patterns, whose, &tally.left_here);
        let (entries, troubled) = compared.map_err(|difference| {
            let mut text = format!("seed {seed}, tree {number}: {difference}\npatterns:\n");
            for pattern in &patterns {
                let _ = writeln!(text, "  {pattern:?}");
            }
            let _ = writeln!(text, "tree:\n{tree}");
            text
        })?;
        tally.cases.fetch_add(1, Ordering::Relaxed);
        tally.entries.fetch_add(entries as u64, Ordering::Relaxed);
        tally.troubled.fetch_add(troubled.into(), Ordering::Relaxed);
        tally
            .leaving_out
            .fetch_add((entries < whole).into(), Ordering::Relaxed);
        for pattern in &patterns {
            let alone =
                rules_of(std::slice::from_ref(pattern)).map_err(|error| error.to_string())?;
            let matches = tree
                .nodes
                .iter()
                .any(|node| alone.decide(&node.path, node.is_dir()).is_some());
            tally.patterns.fetch_add(1, Ordering::Relaxed);
            tally.matching.fetch_add(matches.into(), Ordering::Relaxed);
        }
    }
    tree::remove(dir);
    Ok(())
}

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// By the patterns alone, as rsync does.
    AnyDir,
    /// As a project: the usual excludes first, and beside rsync's patterns the two rules
    /// that `docs/compatibility.md` has in "Staging".
    Project,
}

impl Whose {
    /// The arguments of `--exclude` before those of the caller.
    fn usual(self) -> &'static [&'static str] {
        match self {
            Whose::AnyDir => &[],
            Whose::Project => &DEFAULT_EXCLUDES,
        }
    }

    /// Whether an entry that rsync copies stays behind here.
    fn leaves(self, path: &Path, found: &Found) -> bool {
        let is_usual = |name: &OsStr| {
            let mut usual = DEFAULT_EXCLUDES.iter();
            usual.any(|pattern| OsStr::new(pattern.trim_end_matches('/')) == name)
        };
        let content = found.content.as_deref().unwrap_or_default();
        self == Whose::Project
            && path.file_name().is_some_and(|name| {
                found.is_link() && is_usual(name)
                    || name == ".git" && content.starts_with(b"gitdir: ")
            })
    }
}

/// Copies `source` with both, and tells how many entries the copies have and
/// whether both met trouble; or what differs.
fn compare(
    source: &Path,
    dir: &Path,
    patterns: &[OsString],
    whose: Whose,
    left_here: &AtomicU64,
) -> Result<(usize, bool), String> {
    let theirs = dir.join("theirs");
    let mut from = source.as_os_str().to_owned();
    from.push("/");
    let mut command = Command::new("rsync");
    command.arg("-a");
    let usual = whose.usual().iter().map(OsStr::new);
    for pattern in usual.chain(patterns.iter().map(OsString::as_os_str)) {
        let mut argument = OsString::from("--exclude=");
        argument.push(pattern);
        command.arg(argument);
    }
    let output = command
        .arg(from)
        .arg(theirs.join(""))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .output_in_time()
        .map_err(|error| format!("rsync cannot be started: {error}"))?;
    // 23: some entries were not copied, the rest was.
    let rsync_met_trouble = match output.status.code() {
        Some(0) => false,
        Some(23) => true,
        _ => return Err(format!("rsync failed: {output:?}")),
    };

    let ours = dir.join("ours");
    let rules = rules_of(patterns).map_err(|error| error.to_string())?;
    let project = ProjectRules::new(patterns).map_err(|error| error.to_string())?;
    let selection: &dyn Selection = match whose {
        Whose::AnyDir => &rules,
        Whose::Project => &project,
    };
    let result = copy_tree(source, &ours, selection, &CopyOptions::default());
    let result = result.map(|outcome| outcome.copied);
    if result.is_err() != rsync_met_trouble {
        return Err(format!(
            "we say {result:?}, rsync says {}: {}",
            output.status,
            OsString::from_vec(output.stderr).display()
        ));
    }

    let (mut expected, got) = (tree::look(&theirs), tree::look(&ours));
    let all = expected.len();
    expected.retain(|path, found| !whose.leaves(path, found));
    left_here.fetch_add((all - expected.len()) as u64, Ordering::Relaxed);
    if expected != got {
        return Err(difference(&expected, &got));
    }
    if let Ok(copied) = &result {
        check_account(copied, &got)?;
    }
    tree::remove(&theirs);
    tree::remove(&ours);
    // The directory itself is among what was found.
    Ok((got.len() - 1, rsync_met_trouble))
}

fn rules_of(patterns: &[OsString]) -> Result<Rules, PatternError> {
    let mut rules = Rules::new();
    patterns
        .iter()
        .try_for_each(|pattern| rules.push(pattern))?;
    Ok(rules)
}

/// Checks what `copy_tree` says it did against what is there.
fn check_account(copied: &CopyStats, found: &BTreeMap<PathBuf, Found>) -> Result<(), String> {
    let files = || found.values().filter_map(|found| found.content.as_ref());
    let account = CopyStats {
        entries: found.len() as u64 - 1,
        files: files().count() as u64,
        bytes: files().map(|content| content.len() as u64).sum(),
        skipped: Vec::new(),
    };
    if *copied == account {
        Ok(())
    } else {
        Err(format!("we say {copied:?}, but it is {account:?}"))
    }
}

fn difference(expected: &BTreeMap<PathBuf, Found>, got: &BTreeMap<PathBuf, Found>) -> String {
    let mut text = String::from("the copies differ:\n");
    for (path, theirs) in expected {
        let _ = match got.get(path) {
            None => writeln!(text, "  only rsync has {path:?}"),
            Some(ours) if ours != theirs => {
                writeln!(
                    text,
                    "  {path:?}\n    rsync: {theirs:?}\n    ours:  {ours:?}"
                )
            }
            Some(_) => Ok(()),
        };
    }
    for path in got.keys().filter(|path| !expected.contains_key(*path)) {
        let _ = writeln!(text, "  only we have {path:?}");
    }
    text
}

/// Where the trees lie: in memory when that can be had, so that thousands of
/// small files cost little.
fn scratch() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("staging-oracle-");
    builder
        .tempdir_in("/dev/shm")
        .or_else(|_| builder.tempdir())
        .expect("a temporary directory")
}

/// The first line of `rsync --version`, after rsync was installed if it had to be.
fn rsync_version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let ask = || Command::new("rsync").arg("--version").output_in_time().ok();
        let answer = ask().or_else(|| {
            assert!(
                is_root() && Path::new("/etc/debian_version").exists(),
                "this test compares with rsync, which is missing; install it, for example with \
                 `apt-get install rsync` or `dnf install rsync`"
            );
            say("oracle: rsync is missing; apt-get installs it");
            let apt = |arguments: &[&str]| {
                Command::new("apt-get")
                    .args(arguments)
                    .env("DEBIAN_FRONTEND", "noninteractive")
                    .stdout(std::process::Stdio::null())
                    .status_in_time()
                    .is_ok_and(|status| status.success())
            };
            let install = ["install", "-y", "rsync"];
            assert!(
                apt(&install) || apt(&["update"]) && apt(&install),
                "`apt-get install -y rsync` failed; install rsync, which this test compares with"
            );
            ask()
        });
        let answer = answer.expect("rsync, after it was installed");
        let text = OsStr::from_bytes(&answer.stdout).to_string_lossy();
        text.lines().next().unwrap_or_default().to_owned()
    })
}

fn cases_to_run() -> u64 {
    number_from(CASES).unwrap_or_else(|| testbed::cases(2000, 10_000))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(error) => panic!("{variable}={text}: {error}"),
    }
}

/// Prints a line that is to be seen when the test passes, too: the harness
/// captures what `println!` prints, and not this.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
