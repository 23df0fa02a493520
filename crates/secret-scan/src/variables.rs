//! Variables that look like secrets by their names.

use crate::placeholder::is_placeholder;

/// Parts of names of variables that hold secrets, in upper case, divided by spaces.
const NAMES: &str = "\
    PASSWORD PASSWD PASSPHRASE SECRET TOKEN CREDENTIAL APIKEY API_KEY ACCESS_KEY PRIVATE_KEY";

/// Parts of names of variables that hold no secret themselves.
const HARMLESS: &str = "TOKENIZE TOKENISE MAX_TOKEN _TOKENS PUBLIC_TOKEN";

/// Ends of names of variables that say where a secret is, or what about it.
const ABOUT: &str = "\
    _FILE _PATH _DIR _URL _URI _ENDPOINT _NAME _ID _TYPE _LENGTH _TTL _ENABLED _REQUIRED _HEADER \
    _COUNT _LIMIT _TIMEOUT _HELPER";

/// What a variable looks like that is named like a secret and has a value;
/// `None` for any other. What the value itself looks like is for
/// [`CompiledPatterns`](crate::contents::CompiledPatterns) to say.
pub fn kind_of_variable(name: &str, value: &[u8]) -> Option<&'static str> {
    let name = name.to_ascii_uppercase();
    let named = NAMES.split(' ').any(|part| name.contains(part))
        && !HARMLESS.split(' ').any(|part| name.contains(part))
        && !ABOUT.split(' ').any(|end| name.ends_with(end));
    (named && !is_placeholder(value) && !is_path(value) && !is_small_number(value))
        .then_some("value of a variable that is named like a secret")
}

fn is_path(value: &[u8]) -> bool {
    value.starts_with(b"/") || value.starts_with(b"./") || value.starts_with(b"~/")
}

fn is_small_number(value: &[u8]) -> bool {
    value.len() < 6 && value.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_and_the_value_both_count() {
        for (name, value) in [
            ("API_TOKEN", "q8Zr1"),
            ("DB_PASSWORD", "hunter2"),
            ("my_secret", "correct horse"),
            ("AWS_SECRET_ACCESS_KEY", "a/b+c"),
        ] {
            assert!(kind_of_variable(name, value.as_bytes()).is_some(), "{name}");
        }
        for (name, value) in [
            ("WEATHER_MODE", "production"),
            ("API_TOKEN", ""),
            ("API_TOKEN", "$TOKEN"),
            ("API_TOKEN", "<token>"),
            ("DB_PASSWORD", "changeme"),
            ("DB_PASSWORD_FILE", "/run/secrets/db"),
            ("SSL_PRIVATE_KEY", "/etc/ssl/key.pem"),
            ("TOKENIZERS_PARALLELISM", "maybe"),
            ("MAX_TOKENS", "4096"),
        ] {
            assert!(
                kind_of_variable(name, value.as_bytes()).is_none(),
                "{name}={value}"
            );
        }
    }
}
