//! Texts of others in a page: escaped, and without characters that hide or turn
//! around what stands beside them.

use maud::{Markup, Render, html};

use crate::escape::escape;

/// A text from a project, a package or a log.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl Render for Escaped<'_> {
    fn render(&self) -> Markup {
        html! { bdi { (escape(self.0)) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup_or_hidden() {
        let page = html! { p title=("\"'") { (Escaped("<script>&\u{202e}\u{1b}[1m\n")) } };
        assert_eq!(
            page.into_string(),
            "<p title=\"&quot;'\"><bdi>&lt;script&gt;&amp;\\u{202e}\\u{1b}[1m\\n</bdi></p>"
        );
    }
}
