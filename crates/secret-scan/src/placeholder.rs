//! What stands in the place of a secret and is none.

/// Words that stand for a secret, whole and in lower case, divided by spaces.
const WORDS: &str = "\
    password passwd passwort pass pwd passphrase secret token key apikey api_key api-key auth \
    credential credentials user username foo bar baz qux tiger test none null nil undefined true \
    false yes no on off hidden masked blank empty x-token-auth";

/// Parts of texts that stand for a secret, in lower case, divided by spaces.
const PARTS: &str = "\
    example changeme change_me change-me placeholder your dummy redacted insert replace fixme \
    mypass my_pass my-pass my_token my-token mytoken my_secret my-secret mysecret notasecret \
    not_a_secret not-a-secret notreal not-real fake lorem xxxx ... *** \u{2022}\u{2022} \u{2026}";

/// Marks of a text that is filled in later, by a shell, a template or a program.
const TEMPLATES: &[&str] = &[
    "${", "$(", "{{", "%(", "%s", "%v", "%d", "{}", "<", "[", "{",
];

/// Whether `value` stands for a secret: a placeholder, a template, a reference.
pub fn is_placeholder(value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value).to_lowercase();
    let text = text.trim();
    text.len() < 3
        || text.starts_with(['$', '%', '@'])
        || WORDS.split(' ').any(|word| text == word)
        || PARTS.split(' ').any(|part| text.contains(part))
        || TEMPLATES.iter().any(|mark| text.contains(mark))
        || is_monotonous(text.as_bytes())
}

/// The same within something that looks drawn.
const PARTS_OF_TOKENS: &[&[u8]] = &[
    b"example",
    b"placeholder",
    b"redacted",
    b"changeme",
    b"xxxx",
    b"your_",
    b"your-",
    b"dummy",
];

/// Whether `token`, the random part of a secret, was typed rather than drawn:
/// few different characters, one of them over and over, or the alphabet.
pub fn is_typed(token: &[u8]) -> bool {
    let lower = token.to_ascii_lowercase();
    let holds = |part: &&[u8]| memchr::memmem::find(&lower, part).is_some();
    if PARTS_OF_TOKENS.iter().any(holds) {
        return true;
    }
    !is_varied(&lower) || longest_run(&lower, 0) >= 6 || longest_run(&lower, 1) >= 7
}

/// Whether `text` has many different bytes.
pub fn is_varied(text: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in text {
        seen[usize::from(*byte)] = true;
    }
    seen.iter().filter(|seen| **seen).count() >= 8
}

fn is_monotonous(text: &[u8]) -> bool {
    longest_run(text, 0) == text.len() || longest_run(text, 1) == text.len()
}

/// The most bytes in a row of which each is `step` more than the one before;
/// after 9 may come 0, and after z or 9 a, as people type it.
fn longest_run(text: &[u8], step: u8) -> usize {
    let mut longest = 0;
    let mut run = 0;
    let mut before = None;
    for &byte in text {
        let follows = match before {
            None => false,
            Some(b'9') if step == 1 && matches!(byte, b'0' | b'a') => true,
            Some(b'z') if step == 1 && byte == b'0' => true,
            Some(before) => byte == u8::wrapping_add(before, step),
        };
        run = if follows { run + 1 } else { 1 };
        longest = longest.max(run);
        before = Some(byte);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_instead_of_a_secret() {
        for text in [
            "",
            "pw",
            "password",
            "PASSWORD",
            "<token>",
            "${TOKEN}",
            "$TOKEN",
            "{password}",
            "%s",
            "****",
            "xxxxxxxx",
            "your-token",
            "changeme",
            "12345678",
            "abcdef",
            "...",
            "[secret]",
        ] {
            assert!(is_placeholder(text.as_bytes()), "{text}");
        }
        for text in ["s3cret", "hunter2", "Tr0ub4dor", "correct-horse-battery"] {
            assert!(!is_placeholder(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn typed_tokens() {
        for text in [
            "xxxxxxxxxxxxxxxxxxxx",
            "00000000000000000000",
            "1234567890abcdefghijklmnop",
            "ABCDEFGHIJKLMNOP",
            "IOSFODNN7EXAMPLE",
        ] {
            assert!(is_typed(text.as_bytes()), "{text}");
        }
        assert!(!is_typed(b"q7Vz0Lk2Pd9Xw4Rt"));
    }
}
