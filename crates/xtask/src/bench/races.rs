//! Runs the races of `races.toml`: programs side by side, one after the other in each round, so
//! that what else the machine does meets all of them.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use duct::{Expression, cmd};
use pixi_offline::layout::DEFAULT_EXCLUDES;
use pixi_offline::staging::{HashPolicy, Rules, scan_tree};
use serde::Deserialize;

use super::file_system::{BenchPlace, FileSystem};
use super::results_page::{BenchSection, RaceRow};
use super::tree::FILES_IN_PACKAGE;

/// Where the section of containers is measured: not a file system of its own.
pub const CONTAINER: &str = "container";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Races {
    race: Vec<Race>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Race {
    /// The only section that has it; without one, each file system has.
    on: Option<String>,
    /// Whether it checks a product.
    #[serde(default)]
    is_check: bool,
    #[serde(default)]
    set_up: String,
    #[serde(default)]
    before: String,
    peer: Option<RacedCommand>,
    #[serde(default)]
    row: Vec<Work>,
    #[serde(default)]
    limit: Vec<RacedCommand>,
    #[serde(default)]
    tear_down: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RacedCommand {
    name: String,
    run: String,
}

/// Work of these commands that the peer does too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Work {
    work: String,
    on: Option<String>,
    run: String,
    target: f64,
    on_disk: Option<f64>,
    bound: String,
}

/// Runs scripts of sh that know where things are.
pub struct BenchShell {
    environment: Vec<(&'static str, OsString)>,
}

impl BenchShell {
    /// For scripts that work on `place` with so many files in the cache, and find the commands
    /// in `programs`.
    pub fn new(programs: &Path, place: &BenchPlace, files: u64) -> BenchShell {
        let workdir = place.dir.join("W");
        let mut path = programs.as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let excludes = DEFAULT_EXCLUDES.map(|pattern| format!("--exclude={pattern}"));
        let sync = match place.file_system {
            FileSystem::Tmpfs => "true".to_owned(),
            _ => format!("sync -f {}", place.dir.display()),
        };
        let environment = vec![
            ("PATH", path),
            ("PROGRAMS", programs.into()),
            ("CACHE", workdir.join("pixi-cache").into()),
            ("PRODUCT", workdir.join("product").into()),
            ("W", workdir.into()),
            ("NEXT", place.dir.join("next").into()),
            ("TARGET", place.dir.join("target").into()),
            ("HERE", place.dir.clone().into()),
            ("SCRATCH", place.scratch().into()),
            ("EXCLUDES", excludes.join(" ").into()),
            ("PACKAGES", (files / FILES_IN_PACKAGE).to_string().into()),
            ("SYNC", sync.into()),
        ];
        BenchShell { environment }
    }

    /// With one more name that scripts know.
    pub fn with(mut self, name: &'static str, value: impl Into<OsString>) -> BenchShell {
        self.environment.push((name, value.into()));
        self
    }

    /// A script, not yet run.
    pub fn script(&self, script: &str) -> Expression {
        let shell = cmd!("sh", "-c", script);
        let known = self.environment.iter();
        known.fold(shell, |shell, (name, value)| shell.env(name, value))
    }

    /// Runs a script; its output is shown only when it fails.
    pub fn run(&self, script: &str) -> anyhow::Result<Duration> {
        timed(&self.script(script)).with_context(|| format!("the script failed: {script}"))
    }

    /// Runs all in turn, `rounds` times, and gives the median of each. Before each and at the
    /// end, unmeasured, runs `before`.
    pub fn race(
        &self,
        before: &str,
        sides: &[(&str, &str)],
        rounds: usize,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut times = vec![Vec::new(); sides.len()];
        for _ in 0..rounds {
            for ((name, script), times) in sides.iter().zip(&mut times) {
                self.run(before)?;
                let taken = self.run(script)?;
                eprintln!("  {:>8.3} s  {name}", taken.as_secs_f64());
                times.push(taken);
            }
        }
        self.run(before)?;
        Ok(times.into_iter().map(median).collect())
    }
}

/// How long a command takes that must succeed.
pub fn timed(command: &Expression) -> anyhow::Result<Duration> {
    let command = command.stdout_null().stderr_capture().unchecked();
    let started = Instant::now();
    let output = command.run();
    let taken = started.elapsed();
    let output = output?;
    anyhow::ensure!(
        output.status.success(),
        "ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(taken)
}

/// The one in the middle.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A section of the page that is to be measured.
pub struct SectionRun<'a> {
    pub programs: &'a Path,
    /// The name of a file system, or [`CONTAINER`].
    pub section: &'static str,
    pub file_system: FileSystem,
    pub files: u64,
    pub rounds: usize,
    pub only_checks: bool,
    /// For containers.
    pub image: String,
}

impl SectionRun<'_> {
    /// Makes the file system with the tree on it, and has all races of the section.
    pub fn measure(&self) -> anyhow::Result<BenchSection> {
        // Three copies of the tree at most, or two and a tree of twice the size with its archives; and what the
        // file system takes for itself.
        let place = self.file_system.make_dir(self.files * 90_000)?;
        let memory = FileSystem::Tmpfs.make_dir(self.files * 40_000)?;
        let shell = BenchShell::new(self.programs, &place, self.files)
            .with("MEMORY", &memory.dir)
            .with("IMAGE", &self.image);
        shell.run("xtask bench-part make \"$W\" \"$PACKAGES\"")?;
        let mut section = BenchSection {
            title: match self.section {
                CONTAINER => "tmpfs, from a container",
                name => name,
            },
            tree: String::new(),
            rows: Vec::new(),
            limits: Vec::new(),
        };
        let races: Races = toml_edit::de::from_str(include_str!("races.toml"))?;
        for race in races.race.iter().filter(|race| self.has(race)) {
            let set_up = shell.run(&race.set_up);
            let done = set_up.and_then(|_| self.race(race, &shell, &mut section));
            let torn_down = shell.run(&race.tear_down);
            done.and(torn_down)?;
        }
        section.tree = tree(&place.dir.join("W"))?;
        Ok(section)
    }

    fn has(&self, race: &Race) -> bool {
        (race.is_check || !self.only_checks)
            && match &race.on {
                Some(only) => only == self.section,
                None => self.section != CONTAINER,
            }
    }

    fn race(
        &self,
        race: &Race,
        shell: &BenchShell,
        section: &mut BenchSection,
    ) -> anyhow::Result<()> {
        let is_here = |work: &&Work| work.on.as_ref().is_none_or(|only| only == self.section);
        let works: Vec<&Work> = race.row.iter().filter(is_here).collect();
        let ours = works.iter().map(|work| (&work.work, &work.run));
        let others = race.peer.iter().chain(&race.limit);
        let sides: Vec<(&str, &str)> = ours
            .chain(others.map(|side| (&side.name, &side.run)))
            .map(|(name, run)| (name.as_str(), run.as_str()))
            .collect();
        eprintln!("on {}", section.title);
        let taken = shell.race(&race.before, &sides, self.rounds)?;
        let (ours, others) = taken.split_at(works.len());
        let (peer, limits) = others.split_at(usize::from(race.peer.is_some()));
        for (work, ours) in works.iter().zip(ours) {
            let side = race.peer.as_ref().context("a row without a peer")?;
            section.rows.push(RaceRow {
                work: work.work.clone(),
                against: side.name.clone(),
                ours: *ours,
                peer: peer[0],
                target: match work.on_disk {
                    Some(target) if self.file_system == FileSystem::Disk => target,
                    _ => work.target,
                },
                bound: work.bound.clone(),
            });
        }
        for (side, taken) in race.limit.iter().zip(limits) {
            section.limits.push((side.name.clone(), *taken));
        }
        Ok(())
    }
}

/// What is in a workdir, for people.
fn tree(workdir: &Path) -> anyhow::Result<String> {
    let kept = scan_tree(workdir, &Rules::new(), &|_, _| HashPolicy::Skip)?.kept;
    Ok(format!(
        "{} entries with {:.2} GB",
        kept.entries,
        kept.bytes as f64 / 1e9
    ))
}
