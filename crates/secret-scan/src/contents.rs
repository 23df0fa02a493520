//! Secrets in the content of a file.

use std::collections::HashSet;
use std::path::Path;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use anyhow::Context as _;
use regex::bytes::{Captures, Regex};

use crate::patterns::{PATTERNS, Proof, SecretPattern};
use crate::placeholder::{is_placeholder, is_typed, is_varied};
use crate::variables::kind_of_variable;

/// Ends of the names of files whose URLs are those of conda channels, whatever a token in
/// them looks like, divided by spaces.
const CHANNEL_FILES: &str = "\
    pixi.toml pyproject.toml mojoproject.toml pixi.lock config.toml condarc environment.yml \
    environment.yaml repodata_record.json .info.json";

/// Hosts that stand for any host (RFC 2606), by their ends, divided by spaces.
const NO_HOSTS: &str = "\
    example.com example.org example.net .example .test .invalid hostname host";

/// The patterns, made ready.
#[derive(Debug)]
pub struct CompiledPatterns {
    /// Finds the marks of all patterns in one pass; most content has none.
    marks: AhoCorasick,
    /// Which pattern a mark is of.
    owners: Vec<usize>,
    forms: Vec<OnceLock<Option<Regex>>>,
}

impl CompiledPatterns {
    /// Makes them ready.
    ///
    /// # Errors
    ///
    /// When a built-in pattern cannot be compiled.
    pub fn new() -> anyhow::Result<CompiledPatterns> {
        let owned = PATTERNS.iter().enumerate();
        let (owners, marks): (Vec<usize>, Vec<&str>) = owned
            .flat_map(|(owner, pattern)| pattern.marks.iter().map(move |mark| (owner, *mark)))
            .unzip();
        let marks = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(marks)
            .context("the marks of secrets")?;
        Ok(CompiledPatterns {
            marks,
            owners,
            forms: PATTERNS.iter().map(|_| OnceLock::new()).collect(),
        })
    }

    /// Line, counted from 1, and kind of each secret in `content`; one that
    /// occurs again is told once. `file` is where the content is from: some
    /// files are looked at for more.
    pub fn find(&self, content: &[u8], file: &Path) -> Vec<(u64, &'static str)> {
        let file = file.to_string_lossy();
        let mut wanted = vec![false; PATTERNS.len()];
        for mark in self.marks.find_overlapping_iter(content) {
            wanted[self.owners[mark.pattern().as_usize()]] = true;
        }
        let mut found: Vec<(usize, &'static str)> = Vec::new();
        let mut told = HashSet::new();
        for (index, pattern) in PATTERNS.iter().enumerate() {
            let fits =
                pattern.files.is_empty() || pattern.files.iter().any(|end| file.ends_with(end));
            if !wanted[index] || !fits {
                continue;
            }
            let Some(form) = self.form(index) else {
                continue;
            };
            for captures in form.captures_iter(content) {
                let value = value_of(content, &captures);
                if is_proved(pattern.proof, &captures, &file) && told.insert((pattern.kind, value))
                {
                    let start = captures.get(0).map_or(0, |whole| whole.start());
                    found.push((start, pattern.kind));
                }
            }
        }
        found.sort_unstable();
        let mut lines: Vec<(u64, &'static str)> = Vec::new();
        let (mut line, mut counted) = (1, 0);
        for (start, kind) in found {
            line += memchr::memchr_iter(b'\n', &content[counted..start]).count() as u64;
            counted = start;
            lines.push((line, kind));
        }
        lines.dedup();
        lines
    }

    fn form(&self, index: usize) -> Option<&Regex> {
        let pattern: &SecretPattern = &PATTERNS[index];
        // Bytes, not characters: a file may be in any encoding.
        self.forms[index]
            .get_or_init(|| Regex::new(&format!("(?-u){}", pattern.form)).ok())
            .as_ref()
    }
}

/// What makes two matches the same secret: a login is its user and password,
/// whatever the host.
fn value_of<'a>(content: &'a [u8], captures: &Captures<'a>) -> &'a [u8] {
    let whole = captures.get(0).map_or(0..0, |whole| whole.range());
    let start = captures.get(1).map_or(whole.start, |first| first.start());
    let end = captures
        .get(2)
        .or_else(|| captures.get(1))
        .map_or(whole.end, |last| last.end());
    &content[start..end]
}

fn is_proved(proof: Proof, captures: &Captures<'_>, file: &str) -> bool {
    let group = |index| captures.get(index).map(|part| part.as_bytes());
    let first = group(1).or(group(0)).unwrap_or_default();
    let second = group(2).unwrap_or_default();
    match proof {
        Proof::Form => true,
        Proof::Drawn => !is_typed(first),
        Proof::Block => is_varied(first),
        Proof::NoPlaceholder => !is_placeholder(first),
        Proof::Login => is_login(first, second, group(3).unwrap_or_default()),
        Proof::ChannelToken => is_channel_token(first, second, file),
        Proof::BasicLogin => is_basic_login(first),
        Proof::Variable => {
            let name = String::from_utf8_lossy(first);
            kind_of_variable(&name, second).is_some()
        }
    }
}

fn is_login(user: &[u8], password: &[u8], host: &[u8]) -> bool {
    let host = String::from_utf8_lossy(host).to_lowercase();
    let host = host.split(':').next().unwrap_or_default();
    let port =
        password.iter().all(u8::is_ascii_digit) && password.len() < 6 && user.contains(&b'.');
    !port
        && user != password
        && !is_placeholder(password)
        && !NO_HOSTS.split(' ').any(|end| host.ends_with(end))
}

/// Whether a text is a user and a password as a header `Basic` has them.
fn is_basic_login(text: &[u8]) -> bool {
    let plain: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'=').collect();
    let decoded = data_encoding::BASE64_NOPAD
        .decode(&plain)
        .or_else(|_| data_encoding::BASE64URL_NOPAD.decode(&plain));
    // What follows in a file without separators may have been taken along: each four
    // characters are three bytes by themselves.
    let decoded = decoded
        .or_else(|_| data_encoding::BASE64_NOPAD.decode(&plain[..plain.len() - plain.len() % 4]));
    decoded.is_ok_and(|login| {
        let mut parts = login.splitn(2, |byte| *byte == b':');
        let user = parts.next().unwrap_or_default();
        parts.next().is_some_and(|password| !password.is_empty())
            && user.iter().all(|byte| !byte.is_ascii_control())
    })
}

fn is_channel_token(token: &[u8], next: &[u8], file: &str) -> bool {
    // Forums have `/t/TITLE/NUMBER`.
    if is_placeholder(token) || next.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let name = file.rsplit('/').next().unwrap_or(file);
    let drawn = token.len() >= 6 && token.iter().any(u8::is_ascii_digit);
    drawn || CHANNEL_FILES.split(' ').any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, file: &str) -> Vec<(u64, &'static str)> {
        let contents = CompiledPatterns::new().unwrap();
        contents.find(text.as_bytes(), Path::new(file))
    }

    #[test]
    fn every_pattern_is_a_regular_expression() {
        let contents = CompiledPatterns::new().unwrap();
        for (index, pattern) in PATTERNS.iter().enumerate() {
            assert!(contents.form(index).is_some(), "{}", pattern.kind);
            assert!(!pattern.marks.is_empty(), "{}", pattern.kind);
        }
    }

    #[test]
    fn a_secret_is_told_once_with_its_first_line() {
        let text = "a\nx: http://joe:s3cret@h.org/a\ny: http://joe:s3cret@h.org/b\nhttp://joe:other@h.org\n";
        let kind = "credentials in a URL";
        assert_eq!(found(text, "f"), [(2, kind), (4, kind)]);
    }

    #[test]
    fn logins_and_what_only_looks_like_them() {
        for text in [
            "https://alice:hunter2@conda.corp/x",
            "postgres://app:Tr0ub4dor@db:5432/x",
            "redis://:s3cret@cache:6379",
        ] {
            assert_eq!(found(text, "f").len(), 1, "{text}");
        }
        for text in [
            "https://user:password@host/x",
            "https://joe:s3cret@example.com/",
            "https://$USER:$PASS@h.org",
            "f\"https://{user}:{password}@{host}\"",
            "https://%s:%s@h.org",
            "https://me:<token>@h.org",
            "https://me:***@h.org",
            "http://postgres:postgres@db",
            "git+ssh://git@github.com:443/x",
            "http://10.0.0.1:8080/@x",
        ] {
            assert_eq!(found(text, "f"), [], "{text}");
        }
    }

    #[test]
    fn tokens_of_channels_and_topics_of_forums() {
        let kind = "token in the URL of a conda channel";
        assert_eq!(
            found("https://c.corp/t/tk-1a2b/main/noarch", "x.py"),
            [(1, kind)]
        );
        assert_eq!(
            found("https://c.corp/t/weather/main", "a/pixi.toml"),
            [(1, kind)]
        );
        for text in [
            "https://discuss.python.org/t/pep-517-workflow/1234",
            "https://c.corp/t/<TOKEN>/main",
            "https://c.corp/t/TOKEN/main",
            "https://c.corp/t/your-token/main",
            "https://c.corp/t/${TOKEN}/main",
        ] {
            assert_eq!(found(text, "pixi.toml"), [], "{text}");
        }
    }
}
