//! The page that the benchmark writes.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use super::tree::{DIRS_IN_PACKAGE, FILES_IN_PACKAGE};

/// Some work, beside a program that people know.
pub struct RaceRow {
    pub work: String,
    pub against: String,
    pub ours: Duration,
    pub peer: Duration,
    /// At most this part of the peer's time.
    pub target: f64,
    /// How the name of the limit begins that this work cannot be faster than.
    pub bound: String,
}

/// What was measured on one file system.
pub struct BenchSection {
    pub title: &'static str,
    /// The tree, for people.
    pub tree: String,
    pub rows: Vec<RaceRow>,
    /// What bounds what can be had.
    pub limits: Vec<(String, Duration)>,
}

/// A number with the limit that it must keep.
pub struct SingleMeasurement {
    pub what: String,
    pub found: String,
    pub target: String,
    pub met: bool,
}

/// How long staging takes for so many files.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    pub files: u64,
    pub ours: Duration,
    pub peer: Duration,
    /// The most memory that this command had, in bytes.
    pub memory: u64,
}

/// All that a run found.
pub struct Findings {
    pub files: u64,
    pub rounds: usize,
    /// What else the machine did before: its load average of a minute.
    pub load: String,
    pub sections: Vec<BenchSection>,
    pub singles: Vec<SingleMeasurement>,
    pub growth: Vec<Growth>,
}

impl RaceRow {
    /// `time` as a part of the peer's.
    fn part(&self, time: Duration) -> f64 {
        time.as_secs_f64() / self.peer.as_secs_f64()
    }

    fn met(&self) -> bool {
        self.part(self.ours) <= self.target
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.work.clone(),
            seconds(self.ours),
            format!("{}: {}", self.against, seconds(self.peer)),
            format!("{:.2}", self.part(self.ours)),
            format!("{:.2}", self.target),
            yes(self.met()),
        ]
    }

    /// What a row that missed its target could have had at most.
    fn reason(&self, limits: &[(String, Duration)]) -> Option<String> {
        let is_bound = |(name, _): &&(String, Duration)| name.starts_with(&self.bound);
        let (bound, limit) = limits.iter().find(is_bound)?;
        Some(format!(
            "- {}: {:.2} of {}, of which {:.2} are the limit of it, {bound}\n",
            self.work,
            self.part(self.ours),
            self.against,
            self.part(*limit)
        ))
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn yes(met: bool) -> String {
    if met { "yes" } else { "**no**" }.to_owned()
}

/// Where the part begins that is not written by us.
const NOTES: &str = "## Notes\n";

/// The page, in Markdown, with what people wrote into the old one.
pub fn text(findings: &Findings, old: &str) -> anyhow::Result<String> {
    let mut page = format!(
        "# Performance\n\nThe [notes](#notes) at the end begin with one sentence for a reader; the rest is written by `cargo xtask bench`.\n\n\
         The tree is a workdir whose package cache has {} files in {} directories, with links. Both sides run \
         in turn, {} rounds; the times are medians. But on tmpfs both wait until all is written (`sync -f`), as a product does before it takes its place.\n\n\
         - {}; its load average before the run was {}\n- {}\n- {}\n",
        findings.files,
        findings.files / FILES_IN_PACKAGE * DIRS_IN_PACKAGE,
        findings.rounds,
        machine()?,
        findings.load,
        first_line("rsync")?,
        first_line("cp")?,
    );
    for section in &findings.sections {
        write!(page, "\n## On {}\n\n{}.\n", section.title, section.tree)?;
        let heads = ["work", "ours", "peer", "ratio", "target", "met"];
        table(&mut page, &heads, section.rows.iter().map(RaceRow::cells));
        if !section.limits.is_empty() {
            let cells = |(name, taken): &(String, Duration)| vec![name.clone(), seconds(*taken)];
            table(
                &mut page,
                &["the limit", "time"],
                section.limits.iter().map(cells),
            );
        }
        let missed = section.rows.iter().filter(|row| !row.met());
        let reasons: String = missed
            .filter_map(|row| row.reason(&section.limits))
            .collect();
        if !reasons.is_empty() {
            write!(page, "\nMissed:\n\n{reasons}")?;
        }
    }
    page.push_str("\n## Single numbers\n");
    let cells = |single: &SingleMeasurement| {
        let SingleMeasurement {
            what,
            found,
            target,
            met,
        } = single;
        vec![what.clone(), found.clone(), target.clone(), yes(*met)]
    };
    table(
        &mut page,
        &["what", "found", "target", "met"],
        findings.singles.iter().map(cells),
    );
    if !findings.growth.is_empty() {
        page.push_str(
            "\n## How time grows\n\nStaging files of a hundred bytes, on a tmpfs; at most three rounds above 100,000 files, one above 300,000.\n\n\
             ![time over number of files](performance.svg)\n",
        );
        let cells = |at: &Growth| {
            vec![
                at.files.to_string(),
                seconds(at.ours),
                format!("{:.1} µs", at.ours.as_secs_f64() * 1e6 / at.files as f64),
                seconds(at.peer),
                format!("{:.1} MB", at.memory as f64 / 1e6),
            ]
        };
        let heads = ["files", "ours", "for each file", "rsync -a", "memory"];
        table(&mut page, &heads, findings.growth.iter().map(cells));
    }
    let notes = old
        .split_once(NOTES)
        .map_or("", |(_, notes)| notes.trim_start_matches('\n'));
    write!(page, "\n{NOTES}\n{notes}")?;
    Ok(page)
}

fn table(page: &mut String, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let _ = write!(
        page,
        "\n| {} |\n|{}\n",
        heads.join(" | "),
        "---|".repeat(heads.len())
    );
    for cells in rows {
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    }
}

fn machine() -> anyhow::Result<String> {
    let field = |file: &str, name: &str| -> anyhow::Result<String> {
        let text = fs::read_to_string(file)?;
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':'));
        Ok(value
            .map_or("unknown", |(_, value)| value.trim())
            .to_owned())
    };
    let memory = field("/proc/meminfo", "MemTotal")?;
    let kibibytes: f64 = memory.trim_end_matches(" kB").parse().unwrap_or(0.0);
    Ok(format!(
        "{}, {} processors, {:.0} GB of memory, Linux {}",
        field("/proc/cpuinfo", "model name")?,
        std::thread::available_parallelism()?,
        kibibytes / 1e6,
        fs::read_to_string("/proc/sys/kernel/osrelease")?.trim()
    ))
}

/// The load average of the last minute (proc(5), `loadavg`).
pub fn load() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

/// What a program says of its version.
fn first_line(program: &str) -> anyhow::Result<String> {
    let text = duct::cmd!(program, "--version").read()?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
