//! How long something may take.

use std::ffi::OsStr;
use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;

use crate::failure::Failure;

/// A time limit as it was typed, such as `90s`, `15m`, `2h` or `1h 30m`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeLimit {
    text: String,
    duration: Duration,
}

impl TimeLimit {
    /// Takes a limit with its unit.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it has no unit, or is no time longer than none.
    pub fn new(text: &OsStr) -> anyhow::Result<TimeLimit> {
        let refuse =
            |cure: String| Failure::usage(format!("--timeout {}: {cure}", text.to_string_lossy()));
        let typed = text.to_string_lossy();
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number(&typed) {
            return Err(refuse(format!(
                "a number needs its unit; give {typed}s for seconds, {typed}m for minutes or {typed}h for hours"
            )));
        }
        let parsed = typed.parse::<SignedDuration>().ok();
        let duration = parsed.and_then(|parsed| Duration::try_from(parsed).ok());
        match duration.filter(|duration| !duration.is_zero()) {
            Some(duration) => Ok(TimeLimit {
                text: typed.into_owned(),
                duration,
            }),
            None => Err(refuse(
                "it is not a time; give a number with its unit, such as 90s, 15m or 2h".to_owned(),
            )),
        }
    }

    /// The time.
    pub fn duration(&self) -> Duration {
        self.duration
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{USAGE, exit_code};

    #[test]
    fn a_number_has_a_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("2h", 7200),
            ("1h 30m", 5400),
            ("1h30m", 5400),
            ("1.5h", 5400),
        ] {
            let limit = TimeLimit::new(OsStr::new(text)).unwrap();
            assert_eq!(limit.duration(), Duration::from_secs(seconds), "{text}");
            assert_eq!(limit.to_string(), text);
        }
        assert_eq!(
            TimeLimit::new(OsStr::new("500ms")).unwrap().duration(),
            Duration::from_millis(500)
        );
    }

    #[test]
    fn anything_else_is_refused_with_the_cure() {
        let refused = |text: &str| {
            let error = TimeLimit::new(OsStr::new(text)).unwrap_err();
            assert_eq!(exit_code(&error), USAGE, "{text:?}");
            error.to_string()
        };
        assert!(refused("90").contains("90s for seconds"));
        for text in [
            "",
            "0s",
            "-5s",
            "5s ago",
            "s",
            "5 apples",
            "1e9h",
            "\u{661}s",
            "99999999999999999999h",
        ] {
            assert!(refused(text).contains("such as 90s, 15m or 2h"), "{text:?}");
        }
    }
}
