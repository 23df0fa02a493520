//! Tables, lists and numbers as every section of the page shows them.

use maud::{Markup, html};

use super::escaped::Escaped;
use crate::counted::counted;

/// A table of facts, each with its name.
pub(super) fn facts_table(rows: &[(&str, Markup)]) -> Markup {
    html! {
        table.facts { tbody { @for (name, value) in rows {
            tr { th scope="row" { (name) } td { (value) } }
        } } }
    }
}

pub(super) fn or_unknown(text: Option<&str>, before: &str, unknown: &str) -> Markup {
    html! {
        @match text {
            Some(text) => { (before) (Escaped(text)) }
            None => (unknown),
        }
    }
}

/// Texts in a row, each told from the next.
pub(crate) fn list<T: AsRef<str>>(texts: &[T]) -> Markup {
    html! {
        @for (place, text) in texts.iter().enumerate() {
            @if place > 0 { ", " }
            code { (Escaped(text.as_ref())) }
        }
        @if texts.is_empty() { "none" }
    }
}

/// A number, its digits in groups, and what it counts.
pub(crate) fn number_of(number: u64, of: &str) -> String {
    let many = match of.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{of}s"),
    };
    counted(grouped(number), of, &many)
}

/// A number with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_words_follow_them() {
        assert_eq!(number_of(1, "package"), "1 package");
        assert_eq!(number_of(0, "package"), "0 packages");
        assert_eq!(
            number_of(1_234_567, "other entry"),
            "1,234,567 other entries"
        );
    }
}
