//! Which process of ours a container belongs to, so that a later run can
//! remove what a killed one has left.

use std::ffi::OsString;
use std::fs;

use rustix::process::{Pid, getpid, test_kill_process};

use crate::container::engine::Engine;
use crate::container::spec;

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
    /// This very process; `None` where /proc tells too little.
    pub fn this_process() -> Option<Owner> {
        let pid = getpid();
        Some(Owner {
            realm: realm()?,
            pid: pid.as_raw_nonzero().get(),
            started: Some(start_time(pid)?),
        })
    }

    /// The value of the label.
    pub(super) fn label(&self) -> String {
        let started = self.started.map_or(String::new(), |time| time.to_string());
        format!("{} {} {started}", self.realm, self.pid)
    }

    fn parse(label: &str) -> Option<Owner> {
        let mut words = label.rsplitn(3, ' ');
        let started = words.next()?.parse().ok();
        let pid = words.next()?.parse().ok()?;
        let realm = words.next()?.to_owned();
        Some(Owner {
            realm,
            pid,
            started,
        })
    }

    /// Whether it is known to have ended. Of a process of another machine, boot or
    /// namespace nothing is known.
    fn has_ended(&self) -> bool {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| realm() == Some(self.realm.clone()))
        else {
            return false;
        };
        match test_kill_process(pid) {
            Err(rustix::io::Errno::SRCH) => true,
            // It may be another one that has got the number since.
            _ => matches!(
                (start_time(pid), self.started),
                (Some(now), Some(then)) if now != then
            ),
        }
    }
}

/// Removes the containers of ours that do not run and the volumes whose process has
/// ended: it was killed before it could. Failures are passed over: this is tidying,
/// and others need not wait for it. A run does it once.
pub fn remove_stale(engine: &Engine) {
    if !engine.was_swept() {
        engine.meanwhile(remove_stale_now);
    }
}

fn remove_stale_now(engine: &Engine) {
    let ended = |label: &str| Owner::parse(label).is_some_and(|owner| owner.has_ended());
    for (id, label) in engine.stopped_with_label(LABEL).unwrap_or_default() {
        if ended(&label) {
            // Without force: one that has been started meanwhile stays.
            let _ = engine.remove_stopped(&id);
        }
    }
    for (name, label) in engine.volumes_with_label(LABEL).unwrap_or_default() {
        if ended(&label) {
            engine.remove_volume(&name);
        }
    }
}

/// The words that mark a container as ours, for the next run should this one be
/// killed.
pub(super) fn push_labels(arguments: &mut Vec<OsString>, purpose: &str) {
    arguments.extend([
        "--label".into(),
        format!("{}={purpose}", spec::LABEL).into(),
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

/// The 22nd field of /proc/PID/stat (proc(5)); the name before it, in
/// parentheses, may hold anything.
fn start_time(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(22 - 3)?.parse().ok()
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
}
