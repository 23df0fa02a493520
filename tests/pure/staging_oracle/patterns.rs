//! Patterns made from the names of a tree, so that most of them match something.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use fastrand::Rng;

use crate::staging_oracle::tree::Tree;

/// Patterns as people would not write them. What each means to rsync is what is tested.
const ODD: &[&str] = &[
    "",
    "/",
    "//",
    ".",
    "..",
    "./",
    "./a",
    "a/./b",
    "*",
    "**",
    "***",
    "/*",
    "/**",
    "/***",
    "*/",
    "**/",
    "***/",
    "/*/",
    "**/***",
    "**/**",
    "*/*",
    "*/**",
    "**/*",
    "*/**/*",
    "?",
    "??",
    "?*",
    "?**",
    "[",
    "[a",
    "a[",
    "*[",
    "[]",
    "[!]",
    "[^]",
    "[]]",
    "[!]]",
    "[^]]",
    "[]-a]",
    "[a-]",
    "[-a]",
    "[!a-z]",
    "[z-a]",
    "[!z-a]",
    "[a-c-z]",
    "[a-c--z]",
    "[+--]",
    "[[-a]",
    "[[:alpha:]]",
    "[[:alpha:]]*",
    "[![:alpha:]]*",
    "[[:punct:]]*",
    "*[[:space:]]*",
    "[[:cntrl:]]",
    "[[:xdigit:]]",
    "[[:alpha:]-z]",
    "[[:bogus:]]",
    "[[:ALPHA:]]",
    "[[::]]",
    "[[:]]",
    "[[:]",
    "[[:alpha:]",
    "[[:alpha]",
    "[[:al]pha:]]",
    "[[:al\\pha:]]",
    "[\\[:alpha:]]",
    "[a-[:digit:]]",
    "[[.a.]]",
    "[[=a=]]",
    "[a/b]",
    "[a/b]*",
    "*[!/]*",
    "/[a/b]*",
    "[\\]]",
    "[\\\\]",
    "[a\\-c]",
    "[\\a-\\c]",
    "[a-\\c]",
    "\\",
    "\\*",
    "\\**",
    "\\?",
    "*\\",
    "*\\\\",
    "\\\\*",
    "?\\",
    "**\\",
    "\\a*",
    "a\\/*",
    "a\\/***",
    "[**]",
    "{a,b}",
    "{a,b}*",
    "#hash",
    "!bang",
    "!bang*",
    "-dash",
    "+plus",
    "-",
    "+",
    "- !",
    "+ !",
    "- - minus",
    "-_a",
    "+_a",
    "-! a",
    "-/ a",
    "-s a",
    "trail ",
    "trail",
    " lead",
    "- ",
    "+ /",
    ".*",
    "*.*",
    "*\n*",
    "*.py[co]",
    "caf?",
    "caf??",
    "*[\u{80}-\u{ff}]*",
    "a***b",
    "a****b",
    "***a",
    "**a**",
    "*a*b*c*",
];

/// One to four arguments of `--exclude`.
pub fn random(rng: &mut Rng, tree: &Tree) -> Vec<OsString> {
    // What people write to copy only some files.
    if rng.u8(..12) == 0 {
        let mut only = vec![b"+ ".to_vec()];
        only[0].extend(named(rng, tree));
        let rest: &[u8] = [b"*".as_slice(), b"/*", b"**"][rng.usize(..3)];
        return [vec![b"+ */".to_vec()], only, vec![rest.to_vec()]]
            .concat()
            .into_iter()
            .map(OsString::from_vec)
            .collect();
    }
    (0..rng.usize(1..=4)).map(|_| one(rng, tree)).collect()
}

fn one(rng: &mut Rng, tree: &Tree) -> OsString {
    let pattern = match rng.u8(..20) {
        0..=1 => rng
            .choice(ODD)
            .map(|odd| odd.as_bytes().to_vec())
            .unwrap_or_default(),
        2 => (0..rng.usize(1..8))
            .filter_map(|_| rng.choice(*b"aab/**?[]\\!^-:."))
            .collect(),
        _ => named(rng, tree),
    };
    let sign: &[u8] = match rng.u8(..20) {
        0..=3 => b"+ ",
        4..=6 => b"- ",
        _ => b"",
    };
    match [sign, &pattern].concat().as_slice() {
        // Errors for us, on purpose.
        b"!" | b"+ " | b"- " => "a*".into(),
        argument => OsString::from_vec(argument.to_vec()),
    }
}

/// A pattern from the path of one of the tree's entries.
fn named(rng: &mut Rng, tree: &Tree) -> Vec<u8> {
    let Some(node) = rng.choice(&tree.nodes) else {
        return b"*".to_vec();
    };
    let path: Vec<&[u8]> = node.path.iter().map(|name| name.as_bytes()).collect();
    // The last components of the path, or all.
    let start = match rng.u8(..10) {
        0..=3 => path.len() - 1,
        4..=6 => rng.usize(..path.len()),
        _ => 0,
    };
    let mut parts: Vec<Vec<u8>> = path[start..].iter().map(|part| part.to_vec()).collect();

    // Make some of the names vague.
    let mut wild = false;
    for part in &mut parts {
        if rng.u8(..10) < 4 {
            let vague = vague(rng, part);
            wild |= vague != *part;
            *part = vague;
        }
    }
    // Leave some directories out between.
    if parts.len() > 2 && rng.u8(..3) == 0 {
        let from = rng.usize(1..parts.len() - 1);
        let until = rng.usize(from..parts.len() - 1);
        let stars: &[u8] = [b"**".as_slice(), b"*", b"***"][rng.usize(..3)];
        parts.splice(from..=until, [stars.to_vec()]);
        wild = true;
    }
    // Names may hold what is special. In a vague name that was seen to already;
    // here an escape is right or wrong, as the rest of the pattern has it.
    if rng.u8(..4) == 0 && !wild {
        for part in &mut parts {
            *part = escaped(part);
        }
    }

    // Mostly a slash between them; the others must not match one.
    let between: &[u8] = match rng.u8(..40) {
        0 => b"//",
        1..=2 => b"[!q]",
        3 => b"?",
        _ => b"/",
    };
    let mut pattern = parts.join(between);
    let before: &[u8] = match rng.u8(..10) {
        0..=2 if start == 0 => b"/",
        3 => b"**/",
        4 => [b"**".as_slice(), b"*/", b"*", b"/**/", b"/*", b"./"][rng.usize(..6)],
        _ => b"",
    };
    let after: &[u8] = match (rng.u8(..20), node.is_dir()) {
        (0..=5, true) | (0, false) => b"/",
        (6..=8, true) => b"/***",
        (9..=10, true) => b"/**",
        (11..=12, true) | (1, false) => b"/*",
        (13, _) => [
            b"*".as_slice(),
            b"**",
            b"***",
            b"?",
            b"//",
            b"/***/",
            b"/*/",
            b" ",
        ][rng.usize(..8)],
        _ => b"",
    };
    pattern.splice(..0, before.iter().copied());
    pattern.extend(after);
    pattern
}

/// A pattern for `name` that other names match, too; mostly one that it matches itself.
fn vague(rng: &mut Rng, name: &[u8]) -> Vec<u8> {
    let at = rng.usize(..name.len());
    let (before, byte, after) = (&name[..at], name[at], &name[at + 1..]);
    let (before, after) = match rng.bool() {
        true => (escaped(before), escaped(after)),
        false => (before.to_vec(), after.to_vec()),
    };
    let middle = match rng.u8(..12) {
        0..=1 => b"?".to_vec(),
        2..=3 => b"*".to_vec(),
        4 => b"**".to_vec(),
        5 => vec![b'[', byte, b'q', b']'],
        6 => vec![b'[', b'\\', byte, b']'],
        7 => vec![
            b'[',
            byte.saturating_sub(1).max(1),
            b'-',
            byte.saturating_add(1),
            b']',
        ],
        8 => b"[!q]".to_vec(),
        9 => match byte {
            b'a'..=b'z' => b"[[:lower:]]".to_vec(),
            b'A'..=b'Z' => b"[[:alpha:]]".to_vec(),
            b'0'..=b'9' => b"[[:digit:]_]".to_vec(),
            _ => b"[^[:alnum:]]".to_vec(),
        },
        // The rest of the name.
        10 => return [before, b"*".to_vec()].concat(),
        _ => return b"*".to_vec(),
    };
    [before, middle, after].concat()
}

fn escaped(name: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(name.len());
    for &byte in name {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\') {
            text.push(b'\\');
        }
        text.push(byte);
    }
    text
}
