//! The processes of this machine as /proc shows them, and how one is ended with all that it has
//! started.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a program that is asked to end may tidy up.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// A process as /proc shows it.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    parent: u32,
    /// When it began: with the number, what no other process has.
    began: String,
    pub(crate) args: String,
}

/// Every process of the machine that is no zombie, by its number.
pub(crate) fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let process = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        if fields.first() == Some(&"Z") {
            return None;
        }
        let args = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let args = String::from_utf8_lossy(&args).replace('\0', " ");
        let process = Process {
            parent: fields.get(1)?.parse().ok()?,
            began: (*fields.get(19)?).to_owned(),
            args: if args.is_empty() {
                name.split_once('(')?.1.to_owned()
            } else {
                args.trim_end().to_owned()
            },
        };
        Some((pid, process))
    };
    entries.filter_map(process).collect()
}

/// A process and all below it, parents first, with how deep each is.
fn tree(all: &BTreeMap<u32, Process>, root: u32) -> Vec<(u32, usize)> {
    let mut found = Vec::new();
    let mut ahead = vec![(root, 0)];
    while let Some((pid, depth)) = ahead.pop() {
        if all.contains_key(&pid) && !found.iter().any(|(known, _)| *known == pid) {
            found.push((pid, depth));
        }
        let children = all.iter().filter(|(_, process)| process.parent == pid);
        ahead.extend(children.rev().map(|(&child, _)| (child, depth + 1)));
    }
    found
}

/// What a process is and what it has started, a line each.
#[must_use]
pub fn running_below(root: u32) -> String {
    let all = processes();
    let mut text = String::new();
    for (pid, depth) in tree(&all, root) {
        let args: String = all[&pid].args.chars().take(500).collect();
        let _ = writeln!(text, "  {}{pid} {args}", "  ".repeat(depth));
    }
    text
}

/// Asks a process to end, and ends it and all that it has started by force where that does not
/// come about soon.
pub fn end_with_descendants(root: u32) {
    let before = processes();
    let mut ours = tree(&before, root);
    let send = |pid: u32, signal| {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    };
    // The first of them alone: one of our commands then ends what it started in its own way.
    send(root, Signal::TERM);
    let since = Instant::now();
    loop {
        let now = processes();
        let started_since = tree(&now, root);
        ours.extend(started_since);
        ours.sort_unstable();
        ours.dedup_by_key(|(pid, _)| *pid);
        ours.retain(|(pid, _)| {
            let known = before.get(pid);
            let process = now.get(pid);
            process.is_some_and(|process| known.is_none_or(|known| known.began == process.began))
        });
        if ours.is_empty() {
            return;
        }
        if since.elapsed() > GRACE {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    for (pid, _) in ours {
        send(pid, Signal::KILL);
    }
}
