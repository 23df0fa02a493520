//! Items of TOML documents, by their keys.

use toml_edit::{DocumentMut, Item};

/// The item that these keys lead to, from the top of a document.
pub(crate) fn item<'a>(document: &'a DocumentMut, keys: &[&str]) -> Option<&'a Item> {
    let mut keys = keys.iter();
    keys.try_fold(document.as_item(), |item, key| item.get(key))
}
