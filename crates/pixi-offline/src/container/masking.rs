//! Keeps credentials of the container's environment out of its output.
//!
//! The engine's client puts the proxies of its configuration into every
//! container, with user and password, and programs print what they are
//! configured with. The script tells us each variable that may hold such a URL
//! before anything else runs; so it does not matter where the variable came from. Whoever
//! hands a login to a container teaches it beforehand.

use std::collections::BTreeSet;
use std::fmt;

use data_encoding::BASE64;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stands in the place of a credential.
const MASK: &[u8] = b"***";

/// A password alone is looked for from this length on, in bytes: a shorter one
/// would be found in ordinary words.
const SHORTEST_PASSWORD: usize = 6;

/// A user without a password is taken for a token from this length on, in bytes.
const SHORTEST_TOKEN: usize = 16;

/// Replaces credentials in a stream, however it is cut into pieces. Bytes are
/// held back only while they could still become a credential.
#[derive(Clone, Default)]
pub struct Masking {
    credentials: BTreeSet<Vec<u8>>,
    pending: Vec<u8>,
}

impl Masking {
    /// Takes credentials out of the URLs in `text`.
    pub fn learn(&mut self, text: &str) {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once("://") {
            rest = after;
            let url = after
                .split(|c: char| c.is_whitespace() || c == '"' || c == '\'')
                .next()
                .unwrap_or(after);
            // A password may hold what it should not: `@`, or a slash.
            let authority = url.split(['/', '?', '#']).next().unwrap_or(url);
            let ends = [
                url.split_once('@'),
                authority.rsplit_once('@'),
                url.rsplit_once('@'),
            ];
            for (login, _) in ends.into_iter().flatten() {
                self.learn_login(login);
            }
        }
    }

    /// Takes a password or a token, and the user whose it is if there is one: as they are, as
    /// they stand in a URL, and as HTTP's basic authentication sends them.
    pub fn learn_secret(&mut self, user: Option<&str>, secret: &str) {
        let in_url = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        if secret.len() >= SHORTEST_PASSWORD {
            self.credentials.insert(secret.as_bytes().to_vec());
            self.credentials.insert(in_url(secret).into_bytes());
        }
        if let Some(user) = user.filter(|_| !secret.is_empty()) {
            let login = format!("{user}:{secret}");
            self.credentials
                .insert(BASE64.encode(login.as_bytes()).into_bytes());
            self.credentials.insert(login.into_bytes());
            let login = format!("{}:{}", in_url(user), in_url(secret));
            self.credentials.insert(login.into_bytes());
        }
    }

    /// Takes what stands before the `@` of a URL.
    pub fn learn_login(&mut self, login: &str) {
        match login.split_once(':') {
            Some((_, "")) => {}
            Some((_, password)) => {
                let decoded = percent_decode_str(login).collect::<Vec<u8>>();
                self.credentials
                    .insert(BASE64.encode(&decoded).into_bytes());
                let decoded = percent_decode_str(password).collect::<Vec<u8>>();
                for password in [password.as_bytes(), &decoded] {
                    if password.len() >= SHORTEST_PASSWORD {
                        self.credentials.insert(password.to_vec());
                    }
                }
                self.credentials.insert(login.as_bytes().to_vec());
            }
            None if login.len() >= SHORTEST_TOKEN => {
                self.credentials.insert(login.as_bytes().to_vec());
            }
            None => {}
        }
    }

    /// Takes the next bytes and gives what may be shown.
    pub fn feed(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        if self.credentials.is_empty() {
            return bytes;
        }
        self.pending.extend_from_slice(&bytes);
        let (shown, rest) = self.mask(true);
        self.pending.drain(..rest);
        shown
    }

    /// Nothing more comes for now: gives what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        let (shown, _) = self.mask(false);
        self.pending.clear();
        shown
    }

    /// What may be shown of the pending bytes, and how many of them it was made
    /// of. The longest credential that begins at a place is the one meant.
    fn mask(&self, more_may_come: bool) -> (Vec<u8>, usize) {
        let mut shown = Vec::with_capacity(self.pending.len());
        let mut at = 0;
        while at < self.pending.len() {
            let rest = &self.pending[at..];
            let begins = |credential: &&Vec<u8>| {
                credential.len() > rest.len() && credential.starts_with(rest)
            };
            if more_may_come && self.credentials.iter().any(|one| begins(&one)) {
                break;
            }
            let here = self.credentials.iter().filter(|one| rest.starts_with(one));
            match here.map(Vec::len).max() {
                Some(length) => {
                    shown.extend_from_slice(MASK);
                    at += length;
                }
                None => {
                    shown.push(rest[0]);
                    at += 1;
                }
            }
        }
        (shown, at)
    }
}

/// Keeps them out of whatever is printed.
impl fmt::Debug for Masking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masking({})", self.credentials.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(learned: &[&str], stream: &str, size: usize) -> String {
        let mut masking = Masking::default();
        for text in learned {
            masking.learn(text);
        }
        let mut shown = Vec::new();
        for read in stream.as_bytes().chunks(size) {
            shown.extend(masking.feed(read.to_vec()));
        }
        shown.extend(masking.finish());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn credentials_are_masked_however_the_stream_is_cut() {
        let learned = [
            "HTTP_PROXY=http://joe:Pa%24sword@proxy:3128,http://eve:s@x",
            "X=https://ann:p@ss/w0rd@h/",
        ];
        let stream = "http_proxy=http://joe:Pa%24sword@proxy:3128 joe Pa$sword eve:s@x eve s \
            Basic am9lOlBhJHN3b3Jk ann:p@ss/w0rd@h end jo";
        let expected = "http_proxy=http://***@proxy:3128 joe *** ***@x eve s \
            Basic *** ***@h end jo";
        for size in 1..=stream.len() {
            assert_eq!(masked(&learned, stream, size), expected, "reads of {size}");
        }
    }

    #[test]
    fn a_longer_credential_wins_over_its_beginning() {
        let learned = ["http://a:secret@h http://a:secret-more@h"];
        for size in 1..20 {
            assert_eq!(
                masked(&learned, "[secret-more] [secret]", size),
                "[***] [***]"
            );
        }
    }

    #[test]
    fn output_is_held_back_no_longer_than_needed() {
        let mut masking = Masking::default();
        assert_eq!(
            masking.feed(b"no credentials: prompt> ".to_vec()),
            b"no credentials: prompt> "
        );
        masking.learn("http://joe:secret@h");
        assert_eq!(masking.feed(b"joe> ".to_vec()), b"joe> ");
        assert_eq!(masking.feed(b"who? joe:sec".to_vec()), b"who? ");
        assert_eq!(masking.feed(b"ond".to_vec()), b"joe:second");
    }

    #[test]
    fn what_is_no_login_is_let_through() {
        let text = "git@h https://git@h http://h:80/ http://h/a@b ssh://u:@h";
        assert_eq!(masked(&[text], text, 7), text);
    }
}
