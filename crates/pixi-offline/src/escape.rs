//! Text of others, with invisible characters written out: without terminal escape
//! sequences, and without characters of Unicode that hide or reverse the text
//! around them.

use std::borrow::Cow;

/// The text with each invisible character written as an escape, `\u{202e}` for
/// example; a space stays.
pub fn escape(text: &str) -> Cow<'_, str> {
    escaped(text, is_invisible)
}

/// As [`escape`], but line ends stay.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_invisible(c))
}

/// As [`escape`], in one line of plain words: invisible characters and line ends
/// become spaces.
pub fn one_line(text: &str) -> String {
    text.replace(is_invisible, " ")
}

fn escaped(text: &str, is_hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and those of Unicode that only change how their
/// neighbours are shown (general category Cf, and the line separators).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        let text = "a\u{1b}[2J\u{202e}b\r\n\u{9b}c d";
        assert_eq!(escape(text), "a\\u{1b}[2J\\u{202e}b\\r\\n\\u{9b}c d");
        assert_eq!(visible_lines("a\n\tb"), "a\n\\tb");
        assert_eq!(one_line("a\nLABEL b\u{2028}c"), "a LABEL b c");
        assert!(matches!(escape("grün 日本"), Cow::Borrowed(_)));
    }
}
