//! A line now and then that says what runs, where nothing else is printed.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::parallel::locked;

/// How long nothing may be printed.
const EVERY: Duration = Duration::from_secs(60);

/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Prints the lines, as long as it is there.
#[derive(Debug)]
pub(super) struct Heartbeat(Arc<Mutex<QuietPeriod>>);

impl Heartbeat {
    pub(super) fn start() -> Heartbeat {
        let quiet = Arc::new(Mutex::new(QuietPeriod::new(EVERY, Instant::now())));
        let watched = Arc::downgrade(&quiet);
        thread::spawn(move || {
            while let Some(quiet) = watched.upgrade() {
                let line = locked(&quiet).line(Instant::now());
                drop(quiet);
                if let Some(line) = line {
                    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
                }
                thread::sleep(LOOK);
            }
        });
        Heartbeat(quiet)
    }

    /// Something was printed.
    pub(super) fn printed(&self) {
        locked(&self.0).printed(Instant::now());
    }

    /// From now on this runs.
    pub(super) fn runs(&self, what: &str) {
        locked(&self.0).runs(what, Instant::now());
    }
}

/// How long nothing was printed.
#[derive(Debug)]
struct QuietPeriod {
    every: Duration,
    /// What runs, and since when.
    what: Option<(String, Instant)>,
    printed: Instant,
    /// When the last line of the heartbeat was, if nothing was printed since.
    said: Option<Instant>,
}

impl QuietPeriod {
    fn new(every: Duration, now: Instant) -> QuietPeriod {
        QuietPeriod {
            every,
            what: None,
            printed: now,
            said: None,
        }
    }

    fn printed(&mut self, now: Instant) {
        self.printed = now;
        self.said = None;
    }

    fn runs(&mut self, what: &str, now: Instant) {
        self.what = Some((what.to_owned(), now));
    }

    /// The line that is due, if one is.
    fn line(&mut self, now: Instant) -> Option<String> {
        let (what, begun) = self.what.as_ref()?;
        let last = self.said.unwrap_or(self.printed);
        if now.saturating_duration_since(last) < self.every {
            return None;
        }
        self.said = Some(now);
        let elapsed = |since: Instant| match now.saturating_duration_since(since).as_secs() {
            seconds @ 0..60 => format!("{seconds} s"),
            seconds => format!("{} min", (seconds + 30) / 60),
        };
        Some(format!(
            "still running: {what}, for {}; nothing was printed for {}",
            elapsed(*begun),
            elapsed(self.printed)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_each_minute_without_one_and_none_else() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut quiet = QuietPeriod::new(EVERY, start);
        assert_eq!(quiet.line(at(100)), None, "nothing runs");
        quiet.printed(at(100));
        quiet.runs("installing", at(100));
        assert_eq!(quiet.line(at(159)), None);
        assert_eq!(
            quiet.line(at(160)).unwrap(),
            "still running: installing, for 1 min; nothing was printed for 1 min"
        );
        assert_eq!(quiet.line(at(161)), None);
        assert_eq!(quiet.line(at(219)), None);
        assert_eq!(
            quiet.line(at(220)).unwrap(),
            "still running: installing, for 2 min; nothing was printed for 2 min"
        );
        quiet.printed(at(225));
        assert_eq!(quiet.line(at(284)), None);
        quiet.runs("verifying", at(270));
        assert_eq!(
            quiet.line(at(285)).unwrap(),
            "still running: verifying, for 15 s; nothing was printed for 1 min"
        );
        // A machine that slept says it once.
        assert!(quiet.line(at(9000)).is_some());
        assert_eq!(quiet.line(at(9001)), None);
    }
}
