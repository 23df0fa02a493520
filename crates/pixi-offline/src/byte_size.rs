//! A number of bytes as people read it.

use std::fmt;

/// A number of bytes, shown with the decimal unit that fits: `1.5 MB` is 1,500,000 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["B", "kB", "MB", "GB", "TB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 999.95 && unit + 1 < units.len() {
            value /= 1000.0;
            unit += 1;
        }
        match unit {
            0 => write!(f, "{} B", self.0),
            unit => write!(f, "{value:.1} {}", units[unit]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_with_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_960, "1.0 MB"),
            (123_456_789, "123.5 MB"),
            (12_000_000_000_000, "12.0 TB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
