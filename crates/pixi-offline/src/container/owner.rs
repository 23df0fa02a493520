//! The labels of containers and volumes: which command made one, and which process, so
//! that a later run can remove what a killed one has left.

use std::ffi::OsString;
use std::fs;

use rustix::process::{Pid, getpid, test_kill_process};

/// The label whose value is the command.
const COMMAND_LABEL: &str = "io.github.pixi-offline.command";

/// The label whose value names the process.
pub(super) const LABEL: &str = "io.github.pixi-offline.process";

/// A process, named so that no other one is ever taken for it: by the boot, the
/// process namespace, the id and the time of its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    realm: String,
    pid: i32,
    /// Clock ticks from boot to start; `None` where /proc hides it.
    started: Option<u64>,
}

impl Owner {
    /// The current process; `None` where /proc tells too little.
    pub fn this_process() -> Option<Owner> {
        let pid = getpid();
        Some(Owner {
            realm: realm()?,
            pid: pid.as_raw_nonzero().get(),
            started: Some(stat(pid)?.1),
        })
    }

    /// The value of the label.
    pub(super) fn label(&self) -> String {
        let started = self.started.map_or(String::new(), |time| time.to_string());
        format!("{} {} {started}", self.realm, self.pid)
    }

    pub(super) fn parse(label: &str) -> Option<Owner> {
        let mut fields = label.rsplitn(3, ' ');
        let started = fields.next()?.parse().ok();
        let pid = fields.next()?.parse().ok()?;
        let realm = fields.next()?.to_owned();
        Some(Owner {
            realm,
            pid,
            started,
        })
    }

    /// Whether it is known to have ended. Of a process of another machine, boot or
    /// namespace nothing is known.
    pub(super) fn has_ended(&self) -> bool {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| realm() == Some(self.realm.clone()))
        else {
            return false;
        };
        match test_kill_process(pid) {
            Err(rustix::io::Errno::SRCH) => true,
            _ => stat(pid).is_some_and(|(state, now)| {
                // A zombie has ended, and nobody has asked for its exit code. Another process
                // may have got the number since.
                matches!(state, 'Z' | 'X') || self.started.is_some_and(|then| then != now)
            }),
        }
    }
}

/// The labels that mark a container as made by these commands, for the next run should this one be
/// killed.
pub(super) fn push_labels(arguments: &mut Vec<OsString>, purpose: &str) {
    arguments.extend([
        "--label".into(),
        format!("{}={purpose}", COMMAND_LABEL).into(),
    ]);
    if let Some(owner) = Owner::this_process() {
        arguments.extend([
            "--label".into(),
            format!("{LABEL}={}", owner.label()).into(),
        ]);
    }
}

/// The boot and the process namespace (proc(5), namespaces(7)).
fn realm() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), namespace.to_str()?))
}

/// State and start of a process: the third and the 22nd field of /proc/PID/stat (proc(5)). The
/// name before them, in parentheses, may hold anything.
fn stat(pid: Pid) -> Option<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(22 - 4)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read_back_and_has_not_ended() {
        let own = Owner::this_process().unwrap();
        assert_eq!(Owner::parse(&own.label()), Some(own.clone()));
        assert!(!own.has_ended());
    }

    #[test]
    fn only_what_is_known_to_have_ended_has() {
        let own = Owner::this_process().unwrap();
        let with = |change: fn(&mut Owner)| {
            let mut other = own.clone();
            change(&mut other);
            other.has_ended()
        };
        assert!(
            with(|other| other.started = Some(1)),
            "the number is used again"
        );
        assert!(
            with(|other| other.pid = i32::MAX),
            "there is no such process"
        );
        assert!(!with(|other| other.started = None));
        assert!(!with(|other| {
            other.pid = i32::MAX;
            other.realm.push('x');
        }));
        assert_eq!(Owner::parse("x"), None);
    }

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "duct waits for its children, so none of them stays a zombie"
    )]
    fn a_zombie_has_ended() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let of_child = Owner {
            pid,
            started: stat(Pid::from_raw(pid).unwrap()).map(|(_, started)| started),
            ..Owner::this_process().unwrap()
        };
        let begin = std::time::Instant::now();
        while !of_child.has_ended() && begin.elapsed() < std::time::Duration::from_secs(20) {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(of_child.has_ended());
        child.wait().unwrap();
    }
}
