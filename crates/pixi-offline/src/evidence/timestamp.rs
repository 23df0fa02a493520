//! Times as text.

use jiff::Timestamp;

/// A time in seconds since 1970-01-01 UTC in the form of RFC 3339, such as
/// `2026-01-31T12:00:00Z`; `None` for one beyond the year 9999.
pub fn rfc3339(unix_seconds: u64) -> Option<String> {
    let seconds = i64::try_from(unix_seconds).ok()?;
    Some(Timestamp::from_second(seconds).ok()?.to_string())
}

/// A time in the form of RFC 3339 in seconds since 1970-01-01 UTC; `None` for another text.
pub fn unix_seconds(text: &str) -> Option<i64> {
    Some(text.parse::<Timestamp>().ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_written_in_utc() {
        assert_eq!(rfc3339(0).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_700_000_000).unwrap(), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(u64::MAX), None);
        assert_eq!(unix_seconds("2023-11-14T22:13:20Z"), Some(1_700_000_000));
        assert_eq!(unix_seconds("yesterday"), None);
    }
}
