//! The output of containers, shown without terminal escape sequences.

/// Writes control characters out, also where they are cut by reads.
#[derive(Debug, Default)]
pub struct PlainText {
    /// The beginning of a character.
    rest: Vec<u8>,
}

impl PlainText {
    /// The next bytes as text: control characters but tab and newline as `\u{1b}`, what is
    /// no UTF-8 as U+FFFD.
    pub fn text(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.rest);
        let mut text = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            for c in chunk.valid().chars() {
                match c {
                    '\t' | '\n' => text.push(c),
                    c if c.is_control() => text.extend(c.escape_unicode()),
                    c => text.push(c),
                }
            }
            let invalid = chunk.invalid();
            let is_cut =
                std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if is_cut && chunks.peek().is_none() {
                self.rest = invalid.to_owned();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_order_reaches_a_terminal_however_the_output_is_cut() {
        let output = "a\tb\r\n\x1b[2J\x07\u{9b}31m\u{e9}\u{20ac}\u{1f600}\x7f\n".as_bytes();
        let output = [output, b"\xff\x9b1m\xe2\x82x\n"].concat();
        let expected = "a\tb\\u{d}\n\\u{1b}[2J\\u{7}\\u{9b}31m\u{e9}\u{20ac}\u{1f600}\\u{7f}\n\u{fffd}\u{fffd}1m\u{fffd}x\n";
        for size in 1..=output.len() {
            let mut plain = PlainText::default();
            let shown: String = output.chunks(size).map(|part| plain.text(part)).collect();
            assert_eq!(shown, expected, "reads of {size}");
        }
    }
}
