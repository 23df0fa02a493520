//! One rsync pattern, compiled, and matched on bytes.
//!
//! rsync's patterns are not gitignore's: `data/raw` matches at any depth, `**`
//! needs its slashes, `{a,b}` is a plain name. So the matcher is our own. It
//! needs no UTF-8, allocates nothing while matching, and takes at most
//! quadratic time, whatever the number of stars.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// One rsync pattern, without the `- ` or `+ ` that may stand before it.
///
/// Compiling never fails: a pattern with an unclosed `[`, an unknown
/// `[:class:]` or a lone `\` at its end is one that matches nothing, as it is
/// for rsync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// A slash at the end was there: only directories match, and a link to one is not one.
    dirs_only: bool,
    /// `***` at the end: a directory is matched as if its path ended with a slash,
    /// so that `dir/***` is the directory and all in it.
    opens_dirs: bool,
    scope: Scope,
    body: Body,
}

/// Which part of the path the body has to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The last component: no slash and no `**` in the pattern.
    Name,
    /// The whole path: the pattern began with a slash, which the body lacks.
    Root,
    /// Exactly this many last components: slashes, but no `**`.
    Tail(usize),
    /// From the start of the path, or from after any slash, to the end: `**` inside.
    AnyDir,
    /// A slash and the whole path: `**` at the start, so that `**/foo` matches `foo`.
    Slashed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Body {
    /// No wildcard: these bytes, where a backslash is one of them.
    Literal(Box<[u8]>),
    Wild(Box<[Token]>),
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`: one byte that is not a slash.
    AnyByte,
    /// `[…]`
    Class(Box<ByteSet>),
    /// `*`: any bytes but slashes.
    Star,
    /// `**` or more: any bytes.
    DoubleStar,
}

impl Pattern {
    /// Compiles `text`, which is what rsync's `--exclude` takes after `- ` or `+ `.
    pub fn new(text: &OsStr) -> Pattern {
        let mut text = text.as_bytes();
        let dirs_only = text.len() > 1 && text.ends_with(b"/");
        if dirs_only {
            text = &text[..text.len() - 1];
        }
        let slashes = memchr::memchr_iter(b'/', text).count();
        let crosses_slashes = text.windows(2).any(|pair| pair == b"**");
        let (scope, body) = if let Some(below_root) = text.strip_prefix(b"/") {
            (Scope::Root, below_root)
        } else if text.starts_with(b"**") {
            (Scope::Slashed, text)
        } else if crosses_slashes {
            (Scope::AnyDir, text)
        } else if slashes == 0 {
            (Scope::Name, text)
        } else {
            (Scope::Tail(slashes + 1), text)
        };
        Pattern {
            dirs_only,
            opens_dirs: text.ends_with(b"***"),
            scope,
            body: Body::compile(body),
        }
    }

    /// Whether the pattern matches `relative`, a path below the root of the
    /// copy as a walker makes it: no slash at either end, no `.` or `..`.
    ///
    /// `is_dir` is about the entry itself, so it is false for a link to a directory.
    pub fn matches(&self, relative: &Path, is_dir: bool) -> bool {
        if self.dirs_only && !is_dir {
            return false;
        }
        let path = relative.as_os_str().as_bytes();
        let whole = MatchedText {
            path,
            slash_before: false,
            slash_after: self.opens_dirs && is_dir,
        };
        match self.scope {
            Scope::Name => {
                let start = memchr::memrchr(b'/', path).map_or(0, |slash| slash + 1);
                self.body.matches(whole.from(start))
            }
            Scope::Root => self.body.matches(whole),
            Scope::Tail(components) => start_of_last(components, path)
                .is_some_and(|start| self.body.matches(whole.from(start))),
            Scope::AnyDir => {
                self.body.matches(whole)
                    || memchr::memchr_iter(b'/', path)
                        .any(|slash| self.body.matches(whole.from(slash + 1)))
            }
            Scope::Slashed => self.body.matches(MatchedText {
                slash_before: true,
                ..whole
            }),
        }
    }
}

/// Where the last `components` of `path` begin; nothing when it has fewer.
fn start_of_last(components: usize, path: &[u8]) -> Option<usize> {
    let mut slashes = 0;
    for slash in memchr::memrchr_iter(b'/', path) {
        slashes += 1;
        if slashes == components {
            return Some(slash + 1);
        }
    }
    (slashes + 1 == components).then_some(0)
}

/// A path with a slash that may be thought before and after it, which spares
/// an allocation for each path that is looked at.
#[derive(Clone, Copy)]
struct MatchedText<'a> {
    path: &'a [u8],
    slash_before: bool,
    slash_after: bool,
}

impl MatchedText<'_> {
    fn from(self, start: usize) -> Self {
        MatchedText {
            path: &self.path[start..],
            ..self
        }
    }

    fn len(self) -> usize {
        self.path.len() + usize::from(self.slash_before) + usize::from(self.slash_after)
    }

    /// The byte at `index`, which must be less than `len`.
    fn byte(self, index: usize) -> u8 {
        let index = if self.slash_before {
            match index.checked_sub(1) {
                None => return b'/',
                Some(index) => index,
            }
        } else {
            index
        };
        self.path.get(index).copied().unwrap_or(b'/')
    }
}

impl Body {
    fn compile(text: &[u8]) -> Body {
        // Only a pattern with one of these is a wildcard to rsync. In any other
        // a backslash is a plain byte, not an escape.
        if memchr::memchr3(b'*', b'?', b'[', text).is_none() {
            return Body::Literal(text.into());
        }
        let mut tokens = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            tokens.push(match byte {
                b'*' => {
                    let more = rest.iter().take_while(|&&byte| byte == b'*').count();
                    rest = &rest[more..];
                    if more == 0 {
                        Token::Star
                    } else {
                        Token::DoubleStar
                    }
                }
                b'?' => Token::AnyByte,
                b'[' => match ByteSet::parse(rest) {
                    Some((class, after)) => {
                        rest = after;
                        Token::Class(Box::new(class))
                    }
                    None => return Body::Never,
                },
                b'\\' => match rest.split_first() {
                    Some((&escaped, after)) => {
                        rest = after;
                        Token::Byte(escaped)
                    }
                    None => return Body::Never,
                },
                plain => Token::Byte(plain),
            });
        }
        Body::Wild(tokens.into())
    }

    fn matches(&self, text: MatchedText<'_>) -> bool {
        match self {
            // A literal never ends with `***` nor starts with `**`, so no slash is thought to it.
            Body::Literal(bytes) => **bytes == *text.path,
            Body::Wild(tokens) => wild(tokens, text),
            Body::Never => false,
        }
    }
}

/// Whether `tokens` match the whole `text`.
///
/// Each star first takes nothing, and one byte more whenever what follows it
/// does not match. It is enough to remember the last star of each kind: what an
/// earlier one could take instead, the later one can take too.
fn wild(tokens: &[Token], text: MatchedText<'_>) -> bool {
    let len = text.len();
    let (mut token, mut at) = (0, 0);
    // (the token after the star, where the text goes on after what the star took)
    let mut star: Option<(usize, usize)> = None;
    let mut double_star: Option<(usize, usize)> = None;
    loop {
        match tokens.get(token) {
            Some(Token::Star) => {
                token += 1;
                star = Some((token, at));
                continue;
            }
            Some(Token::DoubleStar) => {
                token += 1;
                double_star = Some((token, at));
                star = None;
                continue;
            }
            Some(one) if at < len && one.matches(text.byte(at)) => {
                token += 1;
                at += 1;
                continue;
            }
            None if at == len => return true,
            _ => {}
        }
        match (star, double_star) {
            (Some((after, taken)), _) if taken < len && text.byte(taken) != b'/' => {
                star = Some((after, taken + 1));
                (token, at) = (after, taken + 1);
            }
            (_, Some((after, taken))) if taken < len => {
                star = None;
                double_star = Some((after, taken + 1));
                (token, at) = (after, taken + 1);
            }
            _ => return false,
        }
    }
}

impl Token {
    fn matches(&self, byte: u8) -> bool {
        match self {
            Token::Byte(wanted) => *wanted == byte,
            Token::AnyByte => byte != b'/',
            Token::Class(class) => class.contains(byte),
            Token::Star | Token::DoubleStar => false,
        }
    }
}

/// A set of bytes, one bit each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn remove(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] &= !(1 << (byte & 63));
    }

    /// Reads a class from after its `[`. Gives it and the text after its `]`,
    /// or nothing when it is unclosed or names a class that there is not.
    fn parse(text: &[u8]) -> Option<(ByteSet, &[u8])> {
        let mut set = ByteSet::default();
        let (negated, mut rest) = match text {
            [b'!' | b'^', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let mut first = true;
        loop {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            let low = match byte {
                b']' if !first => break,
                b'\\' => take(&mut rest)?,
                b'[' if rest.first() == Some(&b':') => {
                    // The next `]` closes a class only with a `:` of its own
                    // before it. Else the `[` stands for itself.
                    let inside = &rest[1..];
                    let end = memchr::memchr(b']', inside)?;
                    if let Some(name) = inside[..end].strip_suffix(b":") {
                        set.insert_named(name)?;
                        rest = &inside[end + 1..];
                        first = false;
                        continue;
                    }
                    b'['
                }
                plain => plain,
            };
            first = false;
            // Also in a range that ends before it begins, as rsync has it: `[z-a]` is `z`.
            set.insert(low);
            if let [b'-', end, ..] = rest
                && *end != b']'
            {
                rest = &rest[1..];
                let high = match take(&mut rest)? {
                    b'\\' => take(&mut rest)?,
                    plain => plain,
                };
                (low..=high).for_each(|byte| set.insert(byte));
            }
        }
        if negated {
            set.0.iter_mut().for_each(|bits| *bits = !*bits);
        }
        set.remove(b'/');
        Some((set, rest))
    }

    /// Adds a POSIX class. Only ASCII is in them: rsync looks at single bytes,
    /// and in a UTF-8 locale none above 127 is a letter.
    fn insert_named(&mut self, name: &[u8]) -> Option<()> {
        let is_in: fn(&u8) -> bool = match name {
            b"alnum" => u8::is_ascii_alphanumeric,
            b"alpha" => u8::is_ascii_alphabetic,
            b"blank" => |byte| matches!(byte, b' ' | b'\t'),
            b"cntrl" => u8::is_ascii_control,
            b"digit" => u8::is_ascii_digit,
            b"graph" => u8::is_ascii_graphic,
            b"lower" => u8::is_ascii_lowercase,
            b"print" => |byte| matches!(byte, b' '..=b'~'),
            b"punct" => u8::is_ascii_punctuation,
            b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
            b"upper" => u8::is_ascii_uppercase,
            b"xdigit" => u8::is_ascii_hexdigit,
            _ => return None,
        };
        (0..=u8::MAX)
            .filter(is_in)
            .for_each(|byte| self.insert(byte));
        Some(())
    }
}

/// Takes the next byte off `rest`.
fn take(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, after) = rest.split_first()?;
    *rest = after;
    Some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks `pattern` against paths; one with a slash at its end is a directory.
    fn check(pattern: impl AsRef<[u8]>, matching: &[&str], others: &[&str]) {
        let text = OsStr::from_bytes(pattern.as_ref());
        let compiled = Pattern::new(text);
        let try_one = |path: &str| {
            let bare = path.strip_suffix('/').unwrap_or(path);
            compiled.matches(Path::new(bare), bare != path)
        };
        for path in matching {
            assert!(try_one(path), "{text:?} must match {path:?}: {compiled:?}");
        }
        for path in others {
            assert!(
                !try_one(path),
                "{text:?} must not match {path:?}: {compiled:?}"
            );
        }
    }

    // The rules are numbered as in the page they were written from; 1, 2 and 12
    // are about lists of patterns and walks, and tested there.

    #[test]
    fn rule_3_a_slash_at_the_end_means_dirs_only() {
        check("foo/", &["foo/", "a/foo/"], &["foo", "a/foo", "foo/a"]);
        check("a/b/", &["a/b/", "x/a/b/"], &["a/b", "a/b/c/"]);
        check("f*/", &["foo/"], &["foo"]);
        check("foo", &["foo", "foo/"], &[]);
    }

    #[test]
    fn rule_4_no_slash_matches_the_base_name() {
        check(
            "foo",
            &["foo", "a/foo", "a/b/foo/"],
            &["foo/a", "afoo", "a/foob"],
        );
        check("*.py", &["x.py", "a/x.py", ".py"], &["x.pyc", "x.py/a"]);
        check("a*", &["a", "ab", "b/ab"], &["ab/b"]);
    }

    #[test]
    fn rule_5_a_slash_at_the_start_anchors() {
        check("/foo", &["foo", "foo/"], &["a/foo", "foo/a"]);
        check("/foo/", &["foo/"], &["foo", "a/foo/"]);
        check("/foo/bar", &["foo/bar"], &["a/foo/bar", "bar", "foo/bar/a"]);
        check("/*", &["foo", "a"], &["a/foo"]);
        check("/*/b", &["a/b"], &["b", "a/a/b"]);
        check("/**/b", &["a/b", "a/a/b"], &["b"]);
        check("/a/**", &["a/b", "a/b/c"], &["a/", "b/a/b"]);
    }

    #[test]
    fn rule_6_slashes_inside_match_that_many_last_components() {
        check(
            "foo/bar",
            &["foo/bar", "a/foo/bar"],
            &["foo/bar/a", "afoo/bar", "bar"],
        );
        check(
            "data/*.csv",
            &["data/x.csv", "a/data/x.csv"],
            &["data/a/x.csv"],
        );
        check("*/*", &["a/b", "x/a/b"], &["a"]);
        // A slash in a class counts, though no class matches a slash. So these
        // need two components in one that has no slash.
        check("[a/b]c", &[], &["ac", "x/ac", "bc"]);
        check("/[a/b]c", &["ac", "bc"], &["x/ac"]);
        check(r"x\/a?", &["x/ab", "y/x/ab"], &["x/a"]);
    }

    #[test]
    fn rule_7_double_stars_inside_start_after_any_slash() {
        check(
            "foo/**/bar",
            &["foo/a/bar", "foo/a/b/bar", "x/foo/a/bar"],
            &["foo/bar", "xfoo/a/bar"],
        );
        check(
            "a**c",
            &["ac", "abc", "a/b/c", "x/ac", "x/a/b/c"],
            &["xac", "ac/x"],
        );
        check(
            "logs/**.log",
            &["logs/x.log", "logs/a/x.log", "x/logs/a.log"],
            &["logs/x", "alogs/x.log"],
        );
        check(
            "node_modules/**",
            &["node_modules/a", "x/node_modules/a/b"],
            &["node_modules/"],
        );
        check("b**", &["b", "b/c", "a/b/c", "foo/bar"], &["ab", "a"]);
    }

    #[test]
    fn rule_7_double_stars_at_the_start_match_from_a_slash_before_the_path() {
        check("**/foo", &["foo", "a/foo", "a/b/foo/"], &["foo/a", "afoo"]);
        check("**foo", &["foo", "afoo", "a/bfoo"], &["foo/a"]);
        check("**", &["a", "a/b/"], &[]);
        check("**/", &["a/", "a/b/"], &["a"]);
        check("**/**/**", &["a/b", "a/b/c"], &["a"]);
    }

    #[test]
    fn rule_8_wildcards_and_plain_bytes() {
        check("?", &["a", "b/c"], &["ab", "b/cd"]);
        check("a?b", &["axb"], &["a/b", "ab", "axxb"]);
        check("a*b", &["ab", "axxb"], &["a/b"]);
        check("a***b", &["ab", "a/b", "a/x/b"], &[]);
        // Without a wildcard, a backslash is one byte of the name.
        check(r"a\b", &[r"a\b"], &["ab"]);
        check(r"a\", &[r"a\"], &["a"]);
        // With one, it takes the next byte as it is.
        check(r"a\*?", &["a*b"], &["axb", r"a\*b"]);
        check(r"\a?", &["ab"], &[r"\ab"]);
        check(r"a\**", &["a*", "a*x", "y/a*x"], &["ax"]);
        check(r"*\", &[], &["a", r"a\", r"\"]);
    }

    #[test]
    fn rule_8_classes() {
        check("[ab]", &["a", "b", "x/a"], &["c", "ab"]);
        check("[a-c]x", &["ax", "bx", "cx"], &["dx", "-x"]);
        check("[!a-c]", &["d", "]"], &["a", "b"]);
        check("[^a-c]", &["d"], &["b"]);
        check("[]]", &["]"], &["a"]);
        check("[!]]", &["a"], &["]"]);
        check("[]-a]", &["]", "^", "a"], &["b", "-"]);
        check("[a-]", &["a", "-"], &["b"]);
        check("[-a]", &["a", "-"], &["b"]);
        check("[a-c-z]", &["a", "b", "c", "-", "z"], &["d", "y"]);
        check("[a-c--z]", &["b", "-", "4", "y"], &["+"]);
        check("[z-a]", &["z"], &["a", "m"]);
        check(r"[\]]", &["]"], &[r"\"]);
        check(r"[\\]", &[r"\"], &["]"]);
        check(r"[a\-c]", &["a", "-", "c"], &["b", r"\"]);
        check(r"[\d-\f]", &["d", "e", "f"], &["g", "-"]);
        check("x[!q]y", &["xay"], &["x/y", "xqy"]);
        check("x[/]y", &[], &["x/y"]);
        check("x[.-0]y", &[], &["x/y"]);
    }

    #[test]
    fn rule_8_posix_classes() {
        check("[[:alpha:]]x", &["ax", "Zx"], &["1x", "[x", ":x"]);
        check("[[:digit:]_]", &["1", "_"], &["a"]);
        check("[![:digit:]]", &["a"], &["1"]);
        check("[[:alpha:]-z]", &["a", "z", "-"], &["1"]);
        check("[a[:digit:]b]", &["a", "1", "b"], &["c"]);
        check("[[:space:]]", &[" ", "\t", "\n", "\u{b}"], &["a"]);
        check("[[:blank:]]", &[" ", "\t"], &["\n"]);
        check("[[:punct:]]", &["!", "~"], &["a", " "]);
        check(
            "[[:xdigit:]][[:upper:]][[:lower:]][[:alnum:]]",
            &["fGg1"],
            &["gGg1", "fgg1"],
        );
        check("[[:print:]][[:graph:]]", &[" a"], &["a ", "\u{1}a"]);
        check("[[:cntrl:]]", &["\u{1}", "\u{7f}"], &["a"]);
        // Not a class after all: the `]` has no `:` of its own before it.
        check("[[:]", &["[", ":"], &["a"]);
        check("[[:]]", &["[]", ":]"], &["[", ":"]);
        check("[[:alpha]", &["[", ":", "a", "p"], &["b"]);
        check("[a-[:digit:]]", &["a]", "d]", ":]"], &["1", "a"]);
        check("[[.a.]]", &["a]", ".]"], &["a"]);
    }

    #[test]
    fn rule_8_broken_patterns_match_nothing() {
        let all = &["a", "[", "[a", "a[", "]", "a-", "1", ":", r"a\"];
        for broken in [
            "[",
            "[a",
            "[a-",
            "a[",
            "*[",
            "[]",
            "[!]",
            "[^]",
            r"[a\",
            r"a*\",
            "[[:bogus:]]",
            "[[:ALPHA:]]",
            "[[::]]",
            "[[:alpha:]",
            r"[[:al\pha:]]",
            "**[",
        ] {
            check(broken, &[], all);
        }
    }

    #[test]
    fn rule_9_three_stars_are_the_dir_and_all_in_it() {
        check(
            "dir/***",
            &["dir/", "dir/a", "dir/a/b", "x/dir/", "x/dir/a"],
            &["dir", "adir/"],
        );
        check(
            "/dir/***",
            &["dir/", "dir/a"],
            &["x/dir/", "x/dir/a", "dir"],
        );
        check("dir/***/", &["dir/", "dir/a/"], &["dir", "dir/a"]);
        check("**/***", &["a", "a/", "a/b"], &[]);
        check("a/*/***", &["a/b/", "a/b/c"], &["a/b", "a/"]);
        check("dir/**", &["dir/a", "dir/a/b"], &["dir/", "dir"]);
    }

    #[test]
    fn rule_10_bytes_and_case() {
        check("caf??", &["café"], &["cafe"]);
        check("caf?", &["cafe"], &["café"]);
        check("FOO", &["FOO"], &["foo"]);
        check("[[:alpha:]]*", &["caf"], &["é"]);
        let latin = Path::new(OsStr::from_bytes(b"caf\xe9"));
        assert!(Pattern::new(OsStr::new("caf?")).matches(latin, false));
        assert!(Pattern::new(OsStr::from_bytes(b"caf\xe9")).matches(latin, false));
        assert!(Pattern::new(OsStr::from_bytes(b"caf[\xe0-\xef]")).matches(latin, false));
    }

    #[test]
    fn rule_11_nothing_is_normalised() {
        let all = &["data", "data/", "data/x", "data/raw/", "a/data"];
        for odd in [
            "./data",
            "data//x",
            "data/raw//",
            "/",
            "//",
            ".",
            "./",
            "..",
            "",
        ] {
            check(odd, &[], all);
        }
    }

    #[test]
    fn what_gitignore_would_see_otherwise() {
        check("br{a,b}", &["br{a,b}"], &["bra", "brb"]);
        check("#hash", &["#hash"], &["hash"]);
        check("!bang", &["!bang"], &["bang", "x"]);
        check("sp ", &["sp "], &["sp"]);
    }

    /// The matcher as it could be written without a thought of time.
    fn naive(tokens: &[Token], text: &[u8]) -> bool {
        match tokens.split_first() {
            None => text.is_empty(),
            Some((Token::Star, rest)) => {
                naive(rest, text)
                    || text.first().is_some_and(|&byte| byte != b'/') && naive(tokens, &text[1..])
            }
            Some((Token::DoubleStar, rest)) => {
                naive(rest, text) || !text.is_empty() && naive(tokens, &text[1..])
            }
            Some((one, rest)) => text
                .split_first()
                .is_some_and(|(&byte, text)| one.matches(byte) && naive(rest, text)),
        }
    }

    #[test]
    fn remembering_only_the_last_stars_loses_no_match() {
        // All patterns of up to six tokens from this alphabet, against all
        // texts of up to five bytes from {a, b, /}.
        let alphabet = [
            Token::Byte(b'a'),
            Token::Byte(b'/'),
            Token::AnyByte,
            Token::Star,
            Token::DoubleStar,
        ];
        let mut texts = vec![Vec::new()];
        let mut from = 0;
        for _ in 0..5 {
            let until = texts.len();
            for known in from..until {
                for byte in *b"ab/" {
                    texts.push([texts[known].as_slice(), &[byte]].concat());
                }
            }
            from = until;
        }
        let mut pattern = Vec::new();
        for number in 0..5_usize.pow(6) {
            pattern.clear();
            let mut digits = number;
            while digits > 0 {
                pattern.push(alphabet[digits % 5].clone());
                digits /= 5;
            }
            for text in texts.iter().step_by(1 + number % 3) {
                let got = wild(
                    &pattern,
                    MatchedText {
                        path: text,
                        slash_before: false,
                        slash_after: false,
                    },
                );
                assert_eq!(got, naive(&pattern, text), "{pattern:?} {text:?}");
            }
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let name = "a".repeat(250);
        let path = format!("{name}/{name}/{name}");
        check("*a".repeat(60) + "b", &[], &[&path]);
        check("**a".repeat(60) + "b", &[], &[&path]);
        check("**/*a*a*a*a*a*a*a*a*a*b", &[], &[&path]);
    }
}
