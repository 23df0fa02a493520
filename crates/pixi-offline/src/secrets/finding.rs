//! Something that looks like a secret, without the secret.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Where something looks like a secret, and what it looks like.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The file, or what else holds it.
    pub place: String,
    /// The line, counted from 1; none when the whole file is meant.
    pub line: Option<u64>,
    /// What it looks like.
    pub kind: String,
}

impl Finding {
    /// A finding in a file.
    pub fn in_file(file: &Path, line: Option<u64>, kind: &str) -> Finding {
        Finding {
            // It may come from anywhere and goes to a terminal.
            place: file
                .to_string_lossy()
                .replace(|c: char| c.is_control(), "\u{fffd}"),
            line,
            kind: kind.to_owned(),
        }
    }
}

/// `path:line: kind`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.kind)
    }
}
