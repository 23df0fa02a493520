//! Secrets among the arguments of a command.

use std::path::Path;

use crate::contents::CompiledPatterns;
use crate::patterns::ARGUMENTS;
use crate::placeholder::is_placeholder;
use crate::variables::kind_of_variable;

/// The programs that take a login as an argument of its own, and their options for it.
const LOGINS: [(&str, [&str; 4]); 2] = [
    ("curl", ["-u", "--user", "-U", "--proxy-user"]),
    ("http", ["-a", "--auth", "-a", "--auth"]),
];

/// What each of the arguments of a command looks like that looks like a secret, by its
/// place: by its form (`Authorization: Bearer …`), as a setting (`TOKEN=…`,
/// `--password=…`), or as what follows an option for one (`--password …`).
pub fn find(contents: &CompiledPatterns, args: &[String]) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for (at, arg) in args.iter().enumerate() {
        let by_form = contents.find(arg.as_bytes(), Path::new(ARGUMENTS));
        let before = at.checked_sub(1).map(|at| args[at].as_str());
        let kind = by_form
            .first()
            .map(|(_, kind)| *kind)
            .or_else(|| setting(arg))
            .or_else(|| before.and_then(|option| value_of_option(option, arg)))
            .or_else(|| before.and_then(|option| login(&args[..at], option, arg)));
        found.extend(kind.map(|kind| (at, kind)));
    }
    found
}

/// `KEY=VALUE`, also as an option.
fn setting(arg: &str) -> Option<&'static str> {
    let (key, value) = arg.split_once('=')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    key.chars().all(plain).then_some(())?;
    kind_of_variable(&name(key), value.as_bytes())
}

/// The argument after `--password`.
fn value_of_option(option: &str, arg: &str) -> Option<&'static str> {
    let key = option.strip_prefix("--")?;
    (!arg.starts_with('-') && !key.contains('=')).then_some(())?;
    kind_of_variable(&name(key), arg.as_bytes())
}

/// The argument after `-u` of curl.
fn login(before: &[String], option: &str, arg: &str) -> Option<&'static str> {
    let takes_login = LOGINS.iter().any(|(program, options)| {
        options.contains(&option)
            && before
                .iter()
                .any(|arg| arg.rsplit('/').next() == Some(program))
    });
    let (_, password) = arg.split_once(':').filter(|_| takes_login)?;
    (!is_placeholder(password.as_bytes())).then_some("login for a request")
}

/// The name of a variable for an option's.
fn name(option: &str) -> String {
    option.trim_start_matches('-').replace(['-', '.'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(args: &[&str]) -> Vec<usize> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let found = find(&CompiledPatterns::new().unwrap(), &args);
        found.into_iter().map(|(at, _)| at).collect()
    }

    #[test]
    fn secrets_in_words_of_commands_are_found() {
        for (args, at) in [
            (&["curl", "-H", "Authorization: Bearer SEKRET123"][..], 2),
            (
                &["curl", "-H", "authorization: basic dXNlcjpTM0NSRVRwdw=="],
                2,
            ),
            (&["curl", "-H", "Authorization: token SEKRET123"], 2),
            (&["curl", "-u", "me:hunter22", "http://h.org"], 2),
            (&["wget", "https://me:hunter22@h.org/x"], 1),
            (&["wget", "https://h.org/x?token=T0KENT0KEN"], 1),
            (&["wget", "https://h.org/t/tk-12ab34/x"], 1),
            (&["serve", "--api-key", "q8Zr1x"], 2),
            (&["serve", "--password=hunter22"], 1),
            (&["env", "DB_PASSWORD=hunter22", "serve"], 1),
        ] {
            assert_eq!(places(args), [at], "{args:?}");
        }
    }

    #[test]
    fn words_that_speak_of_secrets_only_are_left_alone() {
        for args in [
            &["python", "-m", "weather", "--self-test"][..],
            &["curl", "-H", "Authorization: Bearer $TOKEN"],
            &[
                "curl",
                "-H",
                "Authorization: Bearer ${TOKEN}",
                "https://h.org",
            ],
            &["docker", "run", "-u", "1000:1000", "x"],
            &["serve", "--password-file", "/run/secrets/db"],
            &["serve", "--max-tokens", "4096"],
            &["pytest", "-k", "token", "--verbose"],
            &["basic", "authentication"],
            &["wget", "https://h.org/x?page=2&key=<key>"],
        ] {
            assert_eq!(places(args), [0; 0], "{args:?}");
        }
    }
}
