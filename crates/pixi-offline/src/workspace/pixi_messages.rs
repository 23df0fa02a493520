//! What pixi printed when an install failed: whether it blames the lock, and the lines
//! that name what is at fault.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::network_access::NetworkFailure;

/// How much of the end of a log is looked at, in bytes.
const TAIL: u64 = 64 << 10;

/// How many lines are shown.
const SHOWN: usize = 8;

/// The longest line that is shown, in characters.
const LONGEST: usize = 300;

/// What to do where pixi is too old for `[tool]` in `pixi.toml` (prefix-dev/pixi#963, first
/// released with 0.17.0).
const OTHER_TOOLS: &str = "(pixi before 0.17 takes no table [tool.pixi-offline] in pixi.toml: use an image with a later one, or take the table out and give its settings on the command line)";

/// The end of what pixi printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PixiMessages(Vec<String>);

impl PixiMessages {
    /// Reads the end of a log; what cannot be read says nothing.
    pub(crate) fn of(log: &Path) -> PixiMessages {
        let tail = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
            let mut bytes = Vec::new();
            file.take(TAIL).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        PixiMessages::from_text(&String::from_utf8_lossy(&tail().unwrap_or_default()))
    }

    pub(crate) fn from_text(text: &str) -> PixiMessages {
        let lines = text.split(['\n', '\r']).map(plain);
        PixiMessages(lines.filter(|line| !line.is_empty()).collect())
    }

    /// Whether pixi refused the lock because it does not fit the manifest.
    pub(crate) fn blame_the_lock(&self) -> bool {
        // Lines are cut to the width of a terminal.
        let text = self.fault().join(" ");
        // Since 0.59 "with the workspace", before "with the project"; an environment that
        // the lock lacks is "with requested environment".
        ["lock file", "lock-file", "lockfile"]
            .iter()
            .any(|name| text.contains(name))
            && text.contains("not up-to-date with")
    }

    /// Whether pixi had nothing to list: the environment needs no package.
    pub(crate) fn find_no_packages(&self) -> bool {
        self.fault().join(" ").contains("No packages found")
    }

    /// Why a server or proxy did not let pixi in, if that is what it blames.
    pub(crate) fn network_failure(&self) -> Option<NetworkFailure> {
        // Lines are cut to the width of a terminal, also within a word.
        let text = self.fault().join(" ").to_lowercase();
        let has = |messages: &[&str]| messages.iter().any(|messages| text.contains(messages));
        // Of rustls, of OpenSSL, of git and curl with it.
        let untrusted = [
            "unknownissuer",
            "unknown issuer",
            "unable to get local issuer certificate",
            "self-signed certificate",
            "self signed certificate",
            "certificate verify failed",
            "server certificate verification failed",
        ];
        if has(&[
            "407 proxy",
            "proxy authentication required",
            "proxy authorization required",
        ]) {
            Some(NetworkFailure::ProxyLogin)
        } else if has(&[
            "401 unauthorized",
            "403 forbidden",
            "could not read username for 'http",
            "authentication failed for 'http",
        ]) {
            Some(NetworkFailure::Login)
        } else {
            has(&untrusted).then_some(NetworkFailure::UnknownAuthority)
        }
    }

    /// The last package whose build failed, as pixi or uv in it names it.
    pub(crate) fn failed_build(&self) -> Option<String> {
        // Lines are cut to the width of a terminal.
        let lines: Vec<&str> = self.0.iter().map(|line| without_frame(line)).collect();
        let text = lines.join(" ");
        let messages = [
            "Failed to build ",
            "Failed to download and build ",
            "failed to build ",
        ];
        let after = messages.iter().filter_map(|messages| {
            let (_, rest) = text.rsplit_once(messages)?;
            rest.strip_prefix(['`', '\''])
        });
        let rest = after.min_by_key(|rest| rest.len())?;
        let is_part = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
        let name: String = rest.chars().take_while(is_part).collect();
        (!name.is_empty()).then_some(name)
    }

    /// Whether pixi blames the lock for nothing but source packages, of which it asks the
    /// backends anew: without a network it has none.
    pub(crate) fn blame_sources_alone(&self) -> bool {
        let mut reasons = self.why_stale().into_iter().peekable();
        let is_source = |reason: &str| reason.contains("metadata of source package");
        reasons.peek().is_some() && reasons.all(is_source)
    }

    /// Why the lock does not fit, as `pixi -v` tells: the first few reasons.
    pub(crate) fn why_stale(&self) -> Vec<&str> {
        let reasons = self
            .0
            .iter()
            .filter(|line| line.contains("out of date because"));
        // A line of a log begins with its level, and perhaps with where it is from.
        let begin = |line: &String| {
            let begins = [
                "the dependencies of",
                "the pypi dependencies of",
                "environment '",
            ];
            begins
                .iter()
                .filter_map(|messages| line.find(messages))
                .min()
                .unwrap_or(0)
        };
        reasons
            .take(SHOWN)
            .map(|line| &line[begin(line)..])
            .collect()
    }

    /// The last error that pixi printed, the most particular cause at its end; where it
    /// printed none as it usually does, its last lines.
    pub(crate) fn fault(&self) -> Vec<&str> {
        let is_first = |line: &String| line.starts_with('\u{d7}') || line.starts_with("Error:");
        let from = self.0.iter().rposition(is_first);
        let from = from.unwrap_or(self.0.len().saturating_sub(3));
        let lines: Vec<&str> = self.0[from..]
            .iter()
            .map(|line| without_frame(line))
            .collect();
        lines.into_iter().filter(|line| !line.is_empty()).collect()
    }

    /// The same as the end of a message: some lines, each below the other.
    pub(crate) fn shown(&self) -> String {
        let fault = self.fault();
        let skipped = fault.len().saturating_sub(SHOWN);
        // The first says what failed, the last ones why.
        let kept = fault
            .iter()
            .enumerate()
            .filter(|(place, _)| *place == 0 || *place > skipped);
        let lines = kept.map(|(_, line)| *line);
        let advice = self.refuse_other_tools().then_some(OTHER_TOOLS);
        let lines = lines.chain(advice);
        lines.map(|line| format!("\n    {line}")).collect()
    }

    /// Whether pixi does not know that a `pixi.toml` may have settings of other tools.
    fn refuse_other_tools(&self) -> bool {
        // Lines are cut to the width of a terminal.
        self.fault().join(" ").contains("unknown field `tool`")
    }
}

/// A line without what is for a terminal, cut to a bearable length.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line.trim().chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' && rest.peek() == Some(&'[') {
            rest.next();
            // A letter or one of a few other characters ends an escape sequence.
            while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
        } else if !c.is_control() {
            text.push(c);
        }
    }
    text.trim().chars().take(LONGEST).collect()
}

/// A line without the frame that pixi draws around the causes of an error.
fn without_frame(line: &str) -> &str {
    let line = line.strip_prefix("Error:").unwrap_or(line);
    line.trim_start_matches(|c: char| {
        c.is_whitespace()
            || c == '\u{d7}'
            || ('\u{2500}'..='\u{257f}').contains(&c)
            || c == '\u{25b6}'
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pixis_own_words_blame_the_lock() {
        for stale in [
            // 0.77
            "Error:   \u{d7} lock file not up-to-date with the workspace\n",
            // 0.15
            "  \u{d7} lock-file not up-to-date with the project\n\n",
            " WARN x\n\u{1b}[31m  \u{d7} \u{1b}[0mlock-file not\n  \u{2502} up-to-date with the workspace\n",
            "Error:   \u{d7} the lock file is not up-to-date with requested environment: 'test'\n",
        ] {
            let messages = PixiMessages::from_text(stale);
            assert!(
                messages.blame_the_lock(),
                "{stale:?}: {:?}",
                messages.fault()
            );
        }
        for other in [
            "",
            "Error:   \u{d7} Failed to create .pixi/ directory at '/w/project/t'\n  \u{2570}\u{2500}\u{25b6} File exists (os error 17)\n",
            // Something that went well before.
            " INFO lock file not up-to-date with the workspace, solving\nError:   \u{d7} 401 Unauthorized\n",
            "the lock file is up-to-date\n  \u{d7} Git executable not found\n",
        ] {
            assert!(
                !PixiMessages::from_text(other).blame_the_lock(),
                "{other:?}"
            );
        }
    }

    #[test]
    fn a_lock_that_is_blamed_for_source_packages_alone_may_fit() {
        let blamed = |reasons: &[&str]| {
            let lines = reasons.iter().map(|reason| {
                format!(" INFO the dependencies of environment 'default' for platform linux-64 are out of date because {reason}\n")
            });
            let end = "Error:   \u{d7} lock file not up-to-date with the workspace\n";
            let messages = PixiMessages::from_text(&(lines.collect::<String>() + end));
            messages.blame_the_lock() && messages.blame_sources_alone()
        };
        // 0.77, with and without the sources.
        let source = "the metadata of source package 'root' changed: failed to discover a valid project manifest";
        assert!(blamed(&[source]) && blamed(&[source, source]));
        assert!(!blamed(&[
            source,
            "the requirement 'x' could not be satisfied"
        ]));
        assert!(!blamed(&[]));
    }

    #[test]
    fn an_environment_that_needs_no_package_is_told_from_a_failure() {
        let none = |text: &str| PixiMessages::from_text(text).find_no_packages();
        // 0.15 and 0.77
        assert!(none(
            " INFO the lock-file is up-to-date\n\u{2718} No packages found.\n"
        ));
        assert!(none(
            " INFO the lock file is up-to-date\nError:   \u{d7} No packages found in 'default' environment for 'linux-64' platform.\n"
        ));
        assert!(!none(
            "No packages found.\nError:   \u{d7} 401 Unauthorized\n"
        ));
    }

    #[test]
    fn what_kept_pixi_out_is_told() {
        for (text, failure) in [
            (
                "Error:   \u{d7} failed to fetch\n  \u{251c}\u{2500}\u{25b6} client error (Connect)\n  \u{2570}\u{2500}\u{25b6} invalid peer certificate: UnknownIssuer\n",
                Some(NetworkFailure::UnknownAuthority),
            ),
            (
                "Error: \u{d7} x\n  \u{2570}\u{2500}\u{25b6} fatal: server certificate verification failed. CAfile: none\n",
                Some(NetworkFailure::UnknownAuthority),
            ),
            (
                "  \u{d7} HTTP status client error (401 Unauthorized) for url (https://h/)\n",
                Some(NetworkFailure::Login),
            ),
            (
                "  \u{d7} x\n  \u{2570}\u{2500}\u{25b6} HTTP status client error (403\n      Forbidden) for url (https://h/)\n",
                Some(NetworkFailure::Login),
            ),
            (
                "  \u{d7} fatal: could not read Username for 'https://h': terminal prompts disabled\n",
                Some(NetworkFailure::Login),
            ),
            (
                "  \u{d7} x\n  \u{2570}\u{2500}\u{25b6} tunnel error: proxy authorization required\n",
                Some(NetworkFailure::ProxyLogin),
            ),
            ("  \u{d7} 404 Not Found for url (https://h/401/)\n", None),
            // Something that went well at another try.
            (
                " WARN 401 Unauthorized\nError: \u{d7} no space left\n",
                None,
            ),
        ] {
            assert_eq!(
                PixiMessages::from_text(text).network_failure(),
                failure,
                "{text}"
            );
        }
    }

    #[test]
    fn the_package_whose_build_failed_is_named() {
        for (text, name) in [
            // 0.77 with uv 0.11.15
            (
                "Error:   \u{d7} Failed to prepare distributions\n  \u{251c}\u{2500}\u{25b6} Failed to build `native @ file:///p/demo/native`\n  \u{251c}\u{2500}\u{25b6} The build backend returned an error\n  \u{2570}\u{2500}\u{25b6} Call to `maturin.build_wheel` failed\n      Error: offline\n",
                "native",
            ),
            (
                "  \u{251c}\u{2500}\u{25b6} Failed to download and build\n  \u{2502}   `old_thing==1.0`\n",
                "old_thing",
            ),
            ("  \u{d7} failed to build 'greet' from './greet'\n", "greet"),
        ] {
            let found = PixiMessages::from_text(text).failed_build();
            assert_eq!(found.as_deref(), Some(name), "{text:?}");
        }
        assert_eq!(
            PixiMessages::from_text("Failed to build ``\n").failed_build(),
            None
        );
        assert_eq!(
            PixiMessages::from_text("401 Unauthorized\n").failed_build(),
            None
        );
    }

    #[test]
    fn the_lines_at_fault_are_the_last_error_with_its_causes() {
        let messages = PixiMessages::from_text(
            "   downloading\r   done\n  \u{d7} an earlier one\nError:   \u{d7} failed to fetch six-1.17.0\n  \u{251c}\u{2500}\u{25b6} error sending request\n  \u{2570}\u{2500}\u{25b6} HTTP status 401\n      for url (https://x/)\n",
        );
        assert_eq!(
            messages.fault(),
            [
                "failed to fetch six-1.17.0",
                "error sending request",
                "HTTP status 401",
                "for url (https://x/)"
            ]
        );
        let many: String = (0..30)
            .map(|n| format!("  \u{251c}\u{2500}\u{25b6} cause {n}\n"))
            .collect();
        let shown = PixiMessages::from_text(&format!("Error: \u{d7} it failed\n{many}")).shown();
        assert_eq!(shown.lines().count(), 1 + SHOWN, "{shown}");
        assert!(
            shown.contains("    it failed") && shown.ends_with("    cause 29"),
            "{shown}"
        );
        assert_eq!(
            PixiMessages::from_text("a\nb\nc\nd\n").fault(),
            ["b", "c", "d"]
        );
        assert_eq!(PixiMessages::from_text("").shown(), "");
    }

    #[test]
    fn a_pixi_that_takes_no_settings_of_other_tools_is_told_from_other_faults() {
        let said = |field: &str| {
            let text = format!(
                "  \u{d7} failed to parse project manifest\n    \u{256d}\u{2500}[pixi.toml:4:1]\n 4 \u{2502} [tool.pixi-offline]\n   \u{b7}  \u{2570}\u{2500}\u{2500} unknown field `{field}`, expected one of `project`\n"
            );
            PixiMessages::from_text(&text).shown()
        };
        assert!(said("tool").ends_with(&format!("\n    {OTHER_TOOLS}")));
        assert!(!said("tools").contains("0.17"));
    }
}
