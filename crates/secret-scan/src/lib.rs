//! Judges what looks like a secret: names of files, contents, variables, arguments.
//!
//! In: bytes and names. Out: which line or argument looks like a secret and of which kind
//! it is, **never the secret itself**. No input or output; `pixi-offline` walks the files,
//! and warns or refuses.
//!
//! A few kinds of files are a finding by their mere name (`names.rs`); everything else is
//! judged by its content (`contents.rs`), with patterns that are precise rather than
//! complete: a warning that is mostly wrong is not read.

mod arguments;
mod contents;
mod names;
mod patterns;
mod placeholder;
mod variables;

use std::path::Path;
use std::sync::Arc;

use pixi_offline::secret_search::{SecretKind, SecretScanner};

use crate::contents::CompiledPatterns;
use crate::variables::kind_of_variable;

/// The name that what tells of a request is searched under.
const OF_REQUEST: &str = "request.http";

/// The scanner that each command hands to its steps.
///
/// # Errors
///
/// When one of the patterns cannot be compiled.
pub fn scanner() -> anyhow::Result<Arc<dyn SecretScanner>> {
    Ok(Arc::new(CompiledPatterns::new()?))
}

impl SecretScanner for CompiledPatterns {
    fn file_name(&self, file: &Path) -> Option<SecretKind> {
        names::kind_of_name(file)
    }

    fn content(&self, content: &[u8], file: &Path) -> Vec<(u64, SecretKind)> {
        self.find(content, file)
    }

    fn cache_record(&self, mut content: Vec<u8>, file: &Path) -> Vec<SecretKind> {
        // Texts in it follow each other without a separator, or with bytes that are
        // no text; what goes across these is no secret.
        for byte in &mut content {
            if !(b' '..=b'~').contains(byte) && *byte != b'\t' {
                *byte = b'\n';
            }
        }
        // Some have names that say nothing of what they are.
        let found = [file, Path::new(OF_REQUEST)]
            .into_iter()
            .flat_map(|name| self.find(&content, name));
        let mut kinds: Vec<SecretKind> = found.map(|(_, kind)| kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    fn variable(&self, name: &str, value: &[u8]) -> Option<SecretKind> {
        let by_content = self.find(value, Path::new(""));
        let kind = by_content.first().map(|(_, kind)| *kind);
        kind.or_else(|| kind_of_variable(name, value))
    }

    fn arguments(&self, arguments: &[String]) -> Vec<(usize, SecretKind)> {
        arguments::find(self, arguments)
    }
}
