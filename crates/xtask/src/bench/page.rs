//! The page that the benchmark writes.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use super::rows::{Measured, Row};
use super::tree::{FILES_IN_PACKAGE, FOLDERS_IN_PACKAGE};

/// A number with the limit that it must keep.
pub struct Single {
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
    /// The most memory that ours had, in bytes.
    pub memory: u64,
}

/// All that a run found.
pub struct Findings {
    pub files: u64,
    pub rounds: usize,
    /// What else the machine did before: its load average of a minute.
    pub load: String,
    pub measured: Vec<Measured>,
    pub singles: Vec<Single>,
    pub growth: Vec<Growth>,
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn yes(met: bool) -> &'static str {
    if met { "yes" } else { "**no**" }
}

/// The page, in Markdown; `notes` is what people wrote about it.
pub fn text(findings: &Findings, notes: &str) -> anyhow::Result<String> {
    let mut page = String::new();
    writeln!(
        page,
        "# Performance\n\nThis page is written by `cargo xtask bench`, but for the [notes](#notes) at its end.\n\n\
         The tree is a workdir whose package cache has {} files in {} folders, with links. Both sides run \
         in turn, {} rounds; the times are medians. But on tmpfs both wait until all is written (`sync -f`), as a product does before it takes its place.\n\n\
         - {}; its load average before the run was {}\n- {}\n- {}",
        findings.files,
        findings.files / FILES_IN_PACKAGE * FOLDERS_IN_PACKAGE,
        findings.rounds,
        machine()?,
        findings.load,
        first_line(&["rsync", "--version"]),
        first_line(&["cp", "--version"]),
    )?;
    for measured in &findings.measured {
        writeln!(
            page,
            "\n## On {}\n\n{}.\n\n| work | ours | peer | ratio | target | met |\n|---|---|---|---|---|---|",
            measured.place, measured.tree
        )?;
        for row in &measured.rows {
            writeln!(
                page,
                "| {} | {} | {}: {} | {:.2} | {:.2} | {} |",
                row.work,
                seconds(row.ours),
                row.against,
                seconds(row.peer),
                row.ratio(),
                row.target,
                yes(row.met()),
            )?;
        }
        if !measured.limits.is_empty() {
            writeln!(page, "\n| the limit | time |\n|---|---|")?;
        }
        for limit in &measured.limits {
            writeln!(page, "| {} | {} |", limit.what, seconds(limit.taken))?;
        }
        let missed = measured.rows.iter().filter(|row| !row.met());
        let reasons: Vec<String> = missed.filter_map(|row| reason(row, measured)).collect();
        if !reasons.is_empty() {
            writeln!(page, "\nMissed:\n\n{}", reasons.join("\n"))?;
        }
    }
    writeln!(
        page,
        "\n## Single numbers\n\n| what | found | target | met |\n|---|---|---|---|"
    )?;
    for single in &findings.singles {
        let Single {
            what,
            found,
            target,
            met,
        } = single;
        writeln!(page, "| {what} | {found} | {target} | {} |", yes(*met))?;
    }
    if !findings.growth.is_empty() {
        writeln!(
            page,
            "\n## How time grows\n\nStaging files of a hundred bytes, on a tmpfs; at most three rounds above 100,000 files, one above 300,000.\n\n\
             ![time over number of files](performance.svg)\n\n\
             | files | ours | for each file | rsync -a | memory |\n|---|---|---|---|---|"
        )?;
        for growth in &findings.growth {
            writeln!(
                page,
                "| {} | {} | {:.1} µs | {} | {:.1} MB |",
                growth.files,
                seconds(growth.ours),
                growth.ours.as_secs_f64() * 1e6 / growth.files as f64,
                seconds(growth.peer),
                growth.memory as f64 / 1e6,
            )?;
        }
    }
    write!(page, "\n{NOTES}\n{notes}")?;
    Ok(page)
}

/// What a row that missed its target could have had at most.
fn reason(row: &Row, measured: &Measured) -> Option<String> {
    let bound = row.bound?;
    let limit = measured.limits.iter().find(|limit| limit.what == bound)?;
    let part = |time: Duration| time.as_secs_f64() / row.peer.as_secs_f64();
    Some(format!(
        "- {}: {:.2} of {}, of which {:.2} are the limit of it, {bound}",
        row.work,
        part(row.ours),
        row.against,
        part(limit.taken)
    ))
}

/// Where the part begins that is not written by us.
pub const NOTES: &str = "## Notes\n";

/// What people wrote into the old page.
pub fn notes_of(old: &str) -> &str {
    old.split_once(NOTES)
        .map_or("", |(_, notes)| notes.trim_start_matches('\n'))
}

fn machine() -> anyhow::Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let field = |name: &str| {
        let line = cpu.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map_or("unknown", |(_, value)| value.trim())
            .to_owned()
    };
    let threads = std::thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kibibytes: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "{}, {threads} processors, {:.0} GB of memory, Linux {}",
        field("model name"),
        kibibytes as f64 / 1e6,
        release.trim()
    ))
}

/// The load average of the last minute (proc(5), `loadavg`).
pub fn load() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

fn first_line(words: &[&str]) -> String {
    duct::cmd(words[0], &words[1..])
        .read()
        .ok()
        .and_then(|text| text.lines().next().map(str::to_owned))
        .unwrap_or_else(|| format!("{} is missing", words[0]))
}
