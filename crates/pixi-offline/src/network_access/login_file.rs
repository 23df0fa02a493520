//! Files with logins: pixi's own, and netrc.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use itertools::Itertools as _;
use serde_json::{Map, Value};

use super::named_file::read_named;
use crate::container::Masking;
use crate::context::Context;
use crate::failure::Failure;

/// What a login file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginKind {
    /// Pixi's: an object of JSON with a login for each host.
    Pixi,
    /// A netrc(5), which uv, git, curl and pixi read.
    Netrc,
}

impl LoginKind {
    /// Its name in the container; the script of the build knows it.
    pub(super) fn name(self) -> &'static str {
        match self {
            LoginKind::Pixi => "auth.json",
            LoginKind::Netrc => "netrc",
        }
    }

    /// What it is, in a sentence.
    pub(super) fn what(self) -> &'static str {
        match self {
            LoginKind::Pixi => "login files of pixi (JSON)",
            LoginKind::Netrc => "netrc files",
        }
    }
}

/// A file with logins.
#[derive(Clone)]
pub(super) struct LoginFile {
    pub(super) path: PathBuf,
    pub(super) kind: LoginKind,
    pub(super) content: Vec<u8>,
    logins: Vec<Login>,
    /// Whether others than its owner may read it.
    is_open: bool,
}

/// The login of a host.
#[derive(Clone, Default, PartialEq, Eq)]
struct Login {
    host: String,
    user: Option<String>,
    /// Passwords and tokens.
    secrets: Vec<String>,
}

impl LoginFile {
    /// Reads one; what is in it says of which kind it is.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it cannot be read or is of neither kind.
    pub(super) fn read(path: &Path) -> anyhow::Result<LoginFile> {
        let content = read_named("--auth-file", path)?;
        let refuse = |why: &str| {
            Failure::usage(format!(
                "--auth-file {} {why}; it is either pixi's login file, JSON as `pixi auth login HOST` writes it into ~/.rattler/credentials.json ({{\"HOST\": {{\"BearerToken\": \"…\"}}}}), or a netrc (lines `machine HOST login USER password …`)",
                path.display()
            ))
        };
        let text = std::str::from_utf8(&content).map_err(|_| refuse("is not text in UTF-8"))?;
        let (kind, logins) = match text.trim_start().starts_with(['{', '[', '"']) {
            true => (LoginKind::Pixi, of_json(text).map_err(|why| refuse(&why))?),
            false => (
                LoginKind::Netrc,
                of_netrc(text).map_err(|why| refuse(&why))?,
            ),
        };
        if logins.iter().all(|login| login.secrets.is_empty()) {
            return Err(refuse("has no login"));
        }
        let is_open = fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0);
        Ok(LoginFile {
            path: path.to_owned(),
            kind,
            logins,
            is_open,
            content,
        })
    }

    /// Keeps what is secret in it out of an output.
    pub(super) fn mask(&self, masking: &mut Masking) {
        for login in &self.logins {
            for secret in &login.secrets {
                masking.learn_secret(login.user.as_deref(), secret);
            }
        }
    }

    /// Says what it was taken for.
    pub(super) fn say(&self, context: &Context) {
        let path = self.path.display();
        let hosts = self.logins.iter().map(|login| &login.host);
        let hosts = hosts.dedup().join(", ");
        match self.kind {
            LoginKind::Pixi => context.report.note(format_args!(
                "--auth-file {path}: a login file of pixi, for conda channels and package indexes of {hosts}"
            )),
            LoginKind::Netrc => context.report.note(format_args!(
                "--auth-file {path}: a netrc, for package indexes, conda channels and git repositories of {hosts}"
            )),
        }
        if self.is_open {
            context.report.warning(format_args!(
                "other users of this machine may read {path}, which has logins: restrict it with `chmod 600`"
            ));
        }
    }
}

/// The logins of pixi's file: an object with an entry for each host, which is an object of one
/// entry named after the kind of login.
fn of_json(text: &str) -> Result<Vec<Login>, String> {
    let hosts: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        // The error's own words may show a part of the text.
        format!(
            "is not a JSON object (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    let mut logins = Vec::new();
    for (host, login) in hosts {
        let entries = login.as_object().filter(|entries| entries.len() == 1);
        let entry = entries.and_then(|entries| entries.iter().next());
        let of_kind = entry.filter(|(kind, value)| {
            kind.starts_with(|c: char| c.is_ascii_uppercase())
                && (value.is_string() || value.is_object())
        });
        let Some((_, value)) = of_kind else {
            return Err(format!("has no login of pixi for {host:?}"));
        };
        let mut login = Login {
            host,
            ..Login::default()
        };
        take_secrets(value, &mut login);
        logins.push(login);
    }
    Ok(logins)
}

/// Takes the texts of a login that are secret. What a later pixi adds is taken for that, too.
fn take_secrets(value: &Value, login: &mut Login) {
    const OPEN: [&str; 3] = ["token_endpoint", "revocation_endpoint", "client_id"];
    match value {
        Value::String(text) => login.secrets.push(text.clone()),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(user) if name == "username" => login.user = Some(user.to_owned()),
                    _ if OPEN.contains(&name.as_str()) => {}
                    _ => take_secrets(value, login),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| take_secrets(value, login)),
        _ => {}
    }
}

/// The logins of a netrc(5).
fn of_netrc(text: &str) -> Result<Vec<Login>, String> {
    let mut logins: Vec<Login> = Vec::new();
    let mut tokens = tokens_of_netrc(text).into_iter();
    while let Some(word) = tokens.next() {
        if word == "default" {
            logins.push(Login {
                host: "every other host".to_owned(),
                ..Login::default()
            });
            continue;
        }
        if !["machine", "login", "password", "account"].contains(&word.as_str()) {
            return Err("is neither JSON nor a netrc".to_owned());
        }
        let value = tokens.next();
        let value = value.ok_or_else(|| format!("ends after `{word}`"))?;
        if word == "machine" {
            logins.push(Login {
                host: value,
                ..Login::default()
            });
            continue;
        }
        let login = logins.last_mut();
        let login = login.ok_or_else(|| format!("has `{word}` before any machine"))?;
        match word.as_str() {
            "login" => login.user = Some(value),
            _ => login.secrets.push(value),
        }
    }
    Ok(logins)
}

/// The words of a netrc(5), without comments and macros: those with a space in them have
/// double quotes around, and a backslash before these.
fn tokens_of_netrc(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        // A comment has a line of its own: a password may begin with its character.
        if line.trim_start().starts_with('#') {
            continue;
        }
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let word;
            (word, rest) = next_word(rest);
            if word == "macdef" {
                // To the next empty line.
                lines.by_ref().find(|line| line.trim().is_empty());
                break;
            }
            tokens.push(word);
        }
    }
    tokens
}

/// The first word of a line that begins with one, and what follows it.
fn next_word(line: &str) -> (String, &str) {
    let Some(quoted) = line.strip_prefix('"') else {
        let end = line.find(char::is_whitespace).unwrap_or(line.len());
        return (line[..end].to_owned(), line[end..].trim_start());
    };
    let mut word = String::new();
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' => word.extend(rest.next()),
            c => word.push(c),
        }
    }
    (word, rest.as_str().trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<LoginFile> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logins");
        fs::write(&path, text).unwrap();
        LoginFile::read(&path)
    }

    /// The kind, and each login as `HOST USER SECRETS…`.
    fn logins(text: &str) -> (LoginKind, Vec<String>) {
        let file = read(text).unwrap();
        let line = |login: &Login| {
            let user = login.user.as_deref().unwrap_or("-");
            format!("{} {user} {}", login.host, login.secrets.join(" "))
        };
        (file.kind, file.logins.iter().map(line).collect())
    }

    #[test]
    fn what_is_in_a_file_says_which_kind_it_is() {
        let json = r#" {"a.corp": {"BearerToken": "t0ken"}, "*.b.corp": {"BasicHTTP": {"username": "joe", "password": "p"}},
            "c": {"CondaToken": "xy"}, "s3://d": {"S3Credentials": {"access_key_id": "k", "secret_access_key": "s", "session_token": null}},
            "e": {"OAuth": {"access_token": "a", "refresh_token": "r", "expires_at": 1, "token_endpoint": "https://e/t", "revocation_endpoint": null, "client_id": "c"}}}"#;
        assert_eq!(
            logins(json),
            (
                LoginKind::Pixi,
                [
                    "*.b.corp joe p",
                    "a.corp - t0ken",
                    "c - xy",
                    "e - a r",
                    "s3://d - k s"
                ]
                .map(str::to_owned)
                .into()
            )
        );
        let netrc = "# all of it\nmachine a.corp login joe\n\tpassword p#1\nmacdef init\nmachine no\n\nmachine b.corp\nlogin\neve password \"q \\\"r\"\ndefault login x password y account z";
        assert_eq!(
            logins(netrc),
            (
                LoginKind::Netrc,
                [
                    "a.corp joe p#1",
                    "b.corp eve q \"r",
                    "every other host x y z"
                ]
                .map(str::to_owned)
                .into()
            )
        );
        // A password may be any word.
        assert_eq!(
            logins("machine h login default password machine").1,
            ["h default machine"]
        );
    }

    #[test]
    fn what_is_neither_is_refused_with_both_forms_and_without_values() {
        for (text, part) in [
            ("", "has no login"),
            ("{}", "has no login"),
            ("# only this\n", "has no login"),
            ("machine h login joe", "has no login"),
            (
                "{\"auths\": {\"h\": {\"auth\": \"Ahf7Oiqu\"}}}",
                "no login of pixi for \"auths\"",
            ),
            (
                "{\"h\": {\"BearerToken\": \"Ahf7Oiqu\", \"CondaToken\": \"Ahf7Oiqu\"}}",
                "no login of pixi for \"h\"",
            ),
            ("{\"h\": {\"BearerToken\": 7}}", "no login of pixi"),
            (
                "{\"h\": {\"BearerToken\": \"Ahf7Oiqu\"",
                "is not a JSON object (line 1",
            ),
            ("[\"Ahf7Oiqu\"]", "is not a JSON object"),
            (
                "https://joe:Ahf7Oiqu@h.corp\n",
                "is neither JSON nor a netrc",
            ),
            ("password Ahf7Oiqu", "has `password` before any machine"),
            ("machine h password", "ends after `password`"),
            ("[global]\nindex-url = Ahf7Oiqu", "is not a JSON object"),
        ] {
            let error = read(text).err().unwrap().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
            assert!(
                error.contains("pixi auth login") && error.contains("machine HOST"),
                "{error}"
            );
            assert!(!error.contains("Ahf7Oiqu"), "{error}");
        }
    }

    #[test]
    fn passwords_and_tokens_are_masked_alone_and_with_their_user() {
        let file = read("machine h login joe password Ahf7%41/Oiqu").unwrap();
        let mut masking = Masking::default();
        file.mask(&mut masking);
        let basic = data_encoding::BASE64.encode(b"joe:Ahf7%41/Oiqu");
        let text = format!("joe: Ahf7%41/Oiqu Basic {basic} https://joe:Ahf7%2541%2FOiqu@h");
        let mut shown = masking.feed(text.into_bytes());
        shown.extend(masking.finish());
        assert_eq!(
            String::from_utf8(shown).unwrap(),
            "joe: *** Basic *** https://***@h"
        );
    }
}
