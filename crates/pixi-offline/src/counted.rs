//! A number of things as people read it.

use std::fmt::Display;

/// `1 file`, `2 files`: `one` is what follows the number 1, `many` what follows any other.
pub fn counted(count: impl Display, one: &str, many: &str) -> String {
    let count = count.to_string();
    let what = if count == "1" { one } else { many };
    format!("{count} {what}")
}

/// A number of files.
pub fn files(count: impl Display) -> String {
    counted(count, "file", "files")
}

/// A number of files, directories and links.
pub fn entries(count: impl Display) -> String {
    counted(count, "entry", "entries")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_every_other_number_is_not() {
        assert_eq!(files(0), "0 files");
        assert_eq!(files(1), "1 file");
        assert_eq!(files(21), "21 files");
        assert_eq!(entries(1_u64), "1 entry");
    }
}
