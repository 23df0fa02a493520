//! Whom to ask about a product.

use std::ffi::OsStr;

use crate::escape::escape;
use crate::failure::Failure;
use crate::text_values;

text_values!(Contact);

/// A person or an address, on one line: whom the person at the target asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact(String);

impl Contact {
    /// Reads the text of `--contact`.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is empty, not UTF-8, or has characters that cannot be seen.
    pub fn new(text: &OsStr) -> anyhow::Result<Contact> {
        match text.to_str().map(str::trim) {
            Some(text) if !text.is_empty() && escape(text) == text => Ok(Contact(text.to_owned())),
            _ => Err(Failure::usage(format!(
                "--contact {text:?} must be a name or an address, in UTF-8, on one line"
            ))),
        }
    }
}
