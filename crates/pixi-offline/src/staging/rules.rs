//! Patterns in their order: the first that matches decides.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::pattern::Pattern;

/// What a rule says of a path that its pattern matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleVerdict {
    /// It is copied.
    Include,
    /// It is left out; a directory is not even entered.
    Exclude,
}

/// A list of rsync patterns. The first that matches decides; what none matches
/// is copied.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    list: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    /// The argument as it was pushed.
    text: OsString,
    verdict: RuleVerdict,
    pattern: Pattern,
}

impl Rules {
    /// A list with no rule, which copies everything.
    pub fn new() -> Rules {
        Rules::default()
    }

    /// Adds a rule after the others, from the argument that rsync's
    /// `--exclude` takes: a pattern that excludes, also after `- `, or one that
    /// **includes** after `+ `. An empty argument is no rule.
    ///
    /// Everything else is taken as it stands: `-foo`, `+foo`, `!foo`, `#foo`
    /// and spaces at the end are parts of the name.
    ///
    /// # Errors
    ///
    /// For `+ ` and `- ` with nothing after, as rsync has it, and for `!`. That
    /// one clears the list for rsync, and would let in what was excluded for
    /// good reason by a rule before it.
    pub fn push(&mut self, argument: &OsStr) -> Result<(), PatternError> {
        let refuse = |reason| PatternError {
            argument: argument.to_owned(),
            reason,
        };
        let (verdict, pattern) = match argument.as_bytes() {
            b"" => return Ok(()),
            b"!" => return Err(refuse(Reason::Clears)),
            b"- " | b"+ " => return Err(refuse(Reason::NothingAfterSign)),
            [b'-', b' ', pattern @ ..] => (RuleVerdict::Exclude, pattern),
            [b'+', b' ', pattern @ ..] => (RuleVerdict::Include, pattern),
            pattern => (RuleVerdict::Exclude, pattern),
        };
        self.list.push(Rule {
            text: argument.to_owned(),
            verdict,
            pattern: Pattern::new(OsStr::from_bytes(pattern)),
        });
        Ok(())
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What the first matching rule says of `relative`, a path below the root
    /// of the copy; `None` when no rule matches. The root itself, the empty
    /// path, is never matched.
    ///
    /// `is_dir` is about the entry itself, so it is false for a link to a
    /// directory. The directories above are not looked at: whoever walks does not
    /// enter an excluded one.
    pub fn decide(&self, relative: &Path, is_dir: bool) -> Option<RuleVerdict> {
        self.first_match(relative, is_dir).map(|rule| rule.verdict)
    }

    /// Whether `relative` is left out.
    pub fn excludes(&self, relative: &Path, is_dir: bool) -> bool {
        self.decide(relative, is_dir) == Some(RuleVerdict::Exclude)
    }

    /// The argument of the rule that decides on `relative`, as it was pushed.
    pub fn deciding(&self, relative: &Path, is_dir: bool) -> Option<&OsStr> {
        self.first_match(relative, is_dir)
            .map(|rule| rule.text.as_os_str())
    }

    fn first_match(&self, relative: &Path, is_dir: bool) -> Option<&Rule> {
        if relative.as_os_str().is_empty() {
            return None;
        }
        self.list
            .iter()
            .find(|rule| rule.pattern.matches(relative, is_dir))
    }
}

/// A pattern that cannot be a rule. Its text names the pattern and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    argument: OsString,
    reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Clears,
    NothingAfterSign,
}

impl fmt::Display for PatternError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let argument = self.argument.display();
        match self.reason {
            Reason::Clears => write!(
                formatter,
                "the exclude pattern `{argument}` would clear all the patterns before it, the \
                 built-in ones too; leave it out, or write `- !` to exclude a file of that name"
            ),
            Reason::NothingAfterSign => write!(
                formatter,
                "the exclude pattern `{argument}` has nothing after its sign; write a pattern \
                 there, or leave it out"
            ),
        }
    }
}

impl std::error::Error for PatternError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(arguments: &[&str]) -> Rules {
        let mut rules = Rules::new();
        for argument in arguments {
            rules.push(OsStr::new(argument)).expect("a good pattern");
        }
        rules
    }

    fn file(rules: &Rules, path: &str) -> Option<RuleVerdict> {
        rules.decide(Path::new(path), false)
    }

    #[test]
    fn rule_1_the_first_match_wins_and_no_match_includes() {
        let listed = rules(&["a.log", "+ *.log", "*.log", "b"]);
        assert_eq!(file(&listed, "a.log"), Some(RuleVerdict::Exclude));
        assert_eq!(file(&listed, "b.log"), Some(RuleVerdict::Include));
        assert_eq!(file(&listed, "b"), Some(RuleVerdict::Exclude));
        assert_eq!(file(&listed, "c"), None);
        assert!(!listed.excludes(Path::new("c"), false));
        assert_eq!(
            listed.deciding(Path::new("x/b.log"), false),
            Some(OsStr::new("+ *.log"))
        );
        assert_eq!(listed.deciding(Path::new("c"), false), None);
        assert_eq!(file(&Rules::new(), "a"), None);
    }

    #[test]
    fn rule_2_signs_before_the_pattern() {
        for (argument, name, verdict) in [
            ("- foo", "foo", RuleVerdict::Exclude),
            ("+ foo", "foo", RuleVerdict::Include),
            ("foo", "foo", RuleVerdict::Exclude),
            ("- - n", "- n", RuleVerdict::Exclude),
            ("-  n", " n", RuleVerdict::Exclude),
            ("- !", "!", RuleVerdict::Exclude),
            ("-", "-", RuleVerdict::Exclude),
            ("+", "+", RuleVerdict::Exclude),
        ] {
            assert_eq!(file(&rules(&[argument]), name), Some(verdict), "{argument}");
        }
    }

    #[test]
    fn rule_2_what_only_looks_like_a_sign_is_part_of_the_name() {
        for literal in [
            "!foo", "-foo", "+foo", "#foo", "# foo", "-_foo", "foo ", " foo", "! foo",
        ] {
            let listed = rules(&[literal]);
            assert_eq!(
                file(&listed, literal),
                Some(RuleVerdict::Exclude),
                "{literal}"
            );
            assert_eq!(file(&listed, "foo"), None, "{literal}");
        }
    }

    #[test]
    fn rule_2_an_empty_argument_is_no_rule() {
        let listed = rules(&["", "b"]);
        assert_eq!(listed.list.len(), 1);
        assert_eq!(file(&listed, "a"), None);
    }

    #[test]
    fn rule_2_refused_arguments_leave_the_list_as_it_was() {
        let mut listed = rules(&[".env"]);
        for (argument, advice) in [
            ("!", "write `- !`"),
            ("- ", "nothing after its sign"),
            ("+ ", "nothing after its sign"),
        ] {
            let error = listed.push(OsStr::new(argument)).expect_err(argument);
            let text = error.to_string();
            assert!(text.contains(&format!("`{argument}`")), "{text}");
            assert!(text.contains(advice), "{text}");
        }
        assert_eq!(file(&listed, ".env"), Some(RuleVerdict::Exclude));
        assert_eq!(listed.list.len(), 1);
    }

    #[test]
    fn rule_11_the_root_is_never_matched() {
        for pattern in ["*", "**", "/", "/*", "***", "."] {
            assert_eq!(
                rules(&[pattern]).decide(Path::new(""), true),
                None,
                "{pattern}"
            );
        }
    }

    #[test]
    fn arguments_need_not_be_utf_8() {
        let mut listed = Rules::new();
        listed
            .push(OsStr::from_bytes(b"- caf\xe9"))
            .expect("any bytes are a pattern");
        assert!(listed.excludes(Path::new(OsStr::from_bytes(b"x/caf\xe9")), false));
    }
}
