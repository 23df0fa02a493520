//! Texts of others in a page: escaped, and without characters that hide or turn
//! around what stands beside them.

use maud::{Markup, Render, html};

/// A text from a project, a package or a log.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Render for Text<'_> {
    fn render(&self) -> Markup {
        html! { bdi { (visible(self.0)) } }
    }
}

/// The text with characters that cannot be seen written as `\u{…}`.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
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
    fn nothing_of_a_text_is_markup_or_hidden() {
        let page = html! { p title=("\"'") { (Text("<script>&\u{202e}\u{1b}[1m\n")) } };
        assert_eq!(
            page.into_string(),
            "<p title=\"&quot;'\"><bdi>&lt;script&gt;&amp;\\u{202e}\\u{1b}[1m\\n</bdi></p>"
        );
    }
}
