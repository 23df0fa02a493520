//! What `git describe` says of a commit, and the version that a tool makes of that.

use std::path::Path;
use std::str::FromStr as _;

use pep440_rs::Version;

use crate::context::Context;
use crate::evidence::rfc3339;
use crate::project::git::git;

/// How a tool makes a version out of a tag and the commits since then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// The next version's development release, as setuptools-scm's `guess-next-dev`.
    GuessNext,
    /// The tag alone.
    TagOnly,
    /// A post-release of the tag, as setuptools-scm's `post-release`.
    Post,
    /// A development release of a post-release, as setuptools-scm's `no-guess-dev`.
    NoGuess,
    /// The same, as dunamai has it.
    Dunamai,
}

/// What `git describe` says of the commit that is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GitDescription {
    /// The version that the nearest tag names; none without a tag.
    tag: Option<String>,
    /// The commits since then, or all.
    distance: u64,
    /// The commit.
    commit: String,
    dirty: bool,
}

impl GitDescription {
    pub(super) fn of(dir: &Path, context: &Context) -> Option<GitDescription> {
        let git = git(dir, context)?;
        let line = |args: &[&str]| Some(String::from_utf8(git(args)?).ok()?.trim().to_owned());
        let describe = [
            "describe",
            "--tags",
            "--long",
            "--dirty",
            "--abbrev=40",
            "--match",
            "*[0-9]*",
        ];
        if let Some(described) = line(&describe) {
            return GitDescription::parse(&described);
        }
        let commit = line(&["rev-parse", "--verify", "HEAD"])?;
        let status = git(&["status", "--porcelain=v1", "--untracked-files=no"])?;
        Some(GitDescription {
            tag: None,
            distance: line(&["rev-list", "--count", "HEAD"])?.parse().ok()?,
            commit,
            dirty: !status.is_empty(),
        })
    }

    /// Reads `TAG-DISTANCE-gCOMMIT[-dirty]`; a tag may have hyphens.
    fn parse(text: &str) -> Option<GitDescription> {
        let clean = text.strip_suffix("-dirty");
        let mut parts = clean.unwrap_or(text).rsplitn(3, '-');
        let commit = parts.next()?.strip_prefix('g')?.to_owned();
        let distance = parts.next()?.parse().ok()?;
        Some(GitDescription {
            tag: Some(version_of_tag(parts.next()?)?),
            distance,
            commit,
            dirty: clean.is_some(),
        })
    }

    /// The version, as the tools make it where nothing else is set.
    pub(super) fn version(&self, scheme: Scheme, with_local: bool, unix_seconds: u64) -> String {
        let tag = self.tag.as_deref().unwrap_or("0.0");
        let is_exact = self.tag.is_some() && self.distance == 0 && !self.dirty;
        if is_exact || scheme == Scheme::TagOnly {
            return tag.to_owned();
        }
        let distance = self.distance;
        let short = self.commit.get(..9).unwrap_or(&self.commit);
        if scheme == Scheme::Dunamai {
            if self.tag.is_some() && distance == 0 {
                return tag.to_owned();
            }
            let short = self.commit.get(..7).unwrap_or(&self.commit);
            return format!("{tag}.post{distance}.dev0+{short}");
        }
        let public = match scheme {
            Scheme::Post => format!("{tag}.post{distance}"),
            Scheme::NoGuess => format!("{tag}.post1.dev{distance}"),
            _ => format!("{}.dev{distance}", next_version(tag)),
        };
        let day = match self.dirty {
            // The day of RFC 3339 without its hyphens.
            true => rfc3339(unix_seconds).map(|time| format!(".d{}", time[..10].replace('-', ""))),
            false => None,
        };
        match with_local {
            true => format!("{public}+g{short}{}", day.unwrap_or_default()),
            false => public,
        }
    }
}

/// The version in a tag: without a name before it, a `v`, and what follows a `+`.
fn version_of_tag(tag: &str) -> Option<String> {
    // `name-v1.0`: names are put before it where a repository has several packages.
    let starts = std::iter::once(0).chain(tag.match_indices(['-', '/']).map(|(at, _)| at + 1));
    let version = starts.map(|at| &tag[at..]).find_map(|rest| {
        let rest = rest.strip_prefix(['v', 'V']).unwrap_or(rest);
        rest.starts_with(|c: char| c.is_ascii_digit())
            .then_some(rest)
    })?;
    // `1.0-rc1`, `1.0_rc1` and `1.0.rc1` are `1.0rc1`, as PEP 440 has it.
    let text = match Version::from_str(version) {
        Ok(version) => version.without_local().to_string(),
        Err(_) => version.split('+').next()?.replace(['-', '_'], "."),
    };
    is_version(&text).then_some(text)
}

/// The version after this one: its last number is one more.
fn next_version(version: &str) -> String {
    let digits = version.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (start, number) = version.split_at(version.len() - digits);
    match number.parse::<u64>() {
        Ok(number) => format!("{start}{}", number + 1),
        Err(_) => format!("{version}1"),
    }
}

/// Whether a text can be a version (PEP 440), as far as its characters tell.
pub(super) fn is_version(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".!+-_".contains(&byte);
    text.len() < 256 && text.bytes().all(plain) && text.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_that_setuptools_scm_makes() {
        // By setuptools-scm 10.3.4 and vcs-versioning 2.6.0.
        let version = |text: &str, scheme| {
            let described = GitDescription::parse(text).unwrap();
            described.version(scheme, true, 1_700_000_000)
        };
        let commit = "a".repeat(40);
        let at = |tag: &str| format!("{tag}-g{commit}");
        for (text, expected) in [
            (at("v1.2.3-0"), "1.2.3"),
            (at("1.2-4"), "1.3.dev4+gaaaaaaaaa"),
            (at("v1.2.3-4"), "1.2.4.dev4+gaaaaaaaaa"),
            (at("v1.2.0-rc1-2"), "1.2.0rc2.dev2+gaaaaaaaaa"),
            (at("my-pkg-v2.0-1"), "2.1.dev1+gaaaaaaaaa"),
            (at("release/2.0.1-0"), "2.0.1"),
            (at("v1.0+local-0"), "1.0"),
            (at("2024.01.05-0"), "2024.1.5"),
            (
                format!("{}-dirty", at("v1.2.3-0")),
                "1.2.4.dev0+gaaaaaaaaa.d20231114",
            ),
            (
                format!("{}-dirty", at("v1.2.3-7")),
                "1.2.4.dev7+gaaaaaaaaa.d20231114",
            ),
        ] {
            assert_eq!(version(&text, Scheme::GuessNext), expected, "{text}");
        }
        assert_eq!(
            version(&at("v1.2.3-4"), Scheme::Dunamai),
            "1.2.3.post4.dev0+aaaaaaa"
        );
        assert_eq!(
            version(&at("v1.2.3-4"), Scheme::Post),
            "1.2.3.post4+gaaaaaaaaa"
        );
        assert_eq!(
            version(&at("v1.2.3-4"), Scheme::NoGuess),
            "1.2.3.post1.dev4+gaaaaaaaaa"
        );
        assert_eq!(version(&at("v1.2.3-4"), Scheme::TagOnly), "1.2.3");
        let untagged = GitDescription {
            tag: None,
            distance: 3,
            commit: commit.clone(),
            dirty: false,
        };
        assert_eq!(
            untagged.version(Scheme::GuessNext, true, 0),
            "0.1.dev3+gaaaaaaaaa"
        );
        assert_eq!(untagged.version(Scheme::GuessNext, false, 0), "0.1.dev3");
        assert_eq!(GitDescription::parse("not-a-version"), None);
    }
}
