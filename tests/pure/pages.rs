//! The pages and the texts of the commands: links lead somewhere, and no phrase of the word
//! list in CONTRIBUTING.md is used.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The page with the word list.
const CONTRIBUTING: &str = "CONTRIBUTING.md";

const WORDS: [&str; 2] = ["<!-- words -->\n", "<!-- end -->\n"];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files below a path of the checkout with one of these extensions, from its top.
pub(crate) fn files(top: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut dirs = vec![root().join(top)];
    let mut found = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() && top != "." {
                dirs.push(path);
            } else if extension.is_some_and(|extension| extensions.contains(&extension)) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found
}

fn pages() -> Vec<PathBuf> {
    [files(".", &["md"]), files("docs", &["md"])]
        .concat()
        .into_iter()
        .map(|page| normal(&page))
        .collect()
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(normal.pop(), "{}", path.display()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

fn read(page: &Path) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

/// The lines outside of fences.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_fenced = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        !is_fenced && !is_fence
    })
}

/// The anchors of the headings, as forges make them.
fn anchors(text: &str) -> Vec<String> {
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// The targets of the links of a page, without code.
fn links(text: &str) -> Vec<String> {
    let prose: Vec<&str> = prose(text).collect();
    let prose = prose.join("\n");
    let without_code: String = prose.split('`').step_by(2).collect();
    without_code
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

#[test]
fn every_link_of_a_page_leads_to_a_file_and_a_heading() {
    let mut checked = 0;
    for page in pages() {
        for link in links(&read(&page)) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => page.clone(),
                file => normal(&page.parent().unwrap().join(file)),
            };
            let place = format!("{}: {link}", page.display());
            assert!(root().join(&target).exists(), "{place}: no such file");
            if !anchor.is_empty() {
                let anchors = anchors(&read(&target));
                assert!(
                    anchors.iter().any(|it| it == anchor),
                    "{place}: no such heading"
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
}

/// The phrases of the list.
fn phrases(contributing: &str) -> Vec<String> {
    let (_, rest) = contributing.split_once(WORDS[0]).unwrap();
    let (list, _) = rest.split_once(WORDS[1]).unwrap();
    let phrases: Vec<String> = list
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(phrase, _)| phrase.to_lowercase())
        .collect();
    assert!(phrases.len() > 10, "{phrases:?}");
    phrases
}

#[test]
fn no_page_and_no_text_of_a_command_has_a_phrase_of_the_list() {
    let contributing = read(Path::new(CONTRIBUTING));
    let phrases = phrases(&contributing);
    let mut found = Vec::new();
    for file in [pages(), files("crates", &["rs", "sh"])].concat() {
        let mut text = read(&file);
        if file == Path::new(CONTRIBUTING) {
            let (list, _) = text.split_once(WORDS[1]).unwrap();
            let list = list.split_once(WORDS[0]).unwrap().1.to_owned();
            text = text.replace(&list, "");
        }
        // A phrase may go on in the next line of a paragraph or a comment.
        let words: Vec<&str> = text
            .split_whitespace()
            .filter(|word| !matches!(*word, "//" | "///" | "//!" | "#" | "\\"))
            .collect();
        let text = words.join(" ").to_lowercase();
        for phrase in &phrases {
            if text.contains(phrase) {
                found.push(format!("{}: {phrase}", file.display()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The page whose headings are messages.
const TROUBLESHOOTING: &str = "docs/troubleshooting.md";

/// Messages of pixi, git, shells and sudo, which no source here has.
const MESSAGES_OF_OTHERS: [&str; 9] = [
    "lock file not up-to-date with the workspace",
    "invalid peer certificate: UnknownIssuer",
    "401 Unauthorized",
    "Failed to create .pixi/ directory … Permission denied",
    "…: command not found",
    "network access is disabled by offline mode",
    "target prefix cannot be longer than the placeholder prefix",
    "found newer lockfile format",
    "unknown field …",
];

/// A text on one line, its strings as they are printed.
fn on_one_line(text: &str) -> String {
    let text = text.replace("\\\n", " ").replace("\\\"", "\"");
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// The messages in the headings of a page, each between backticks.
fn messages(page: &str) -> Vec<&str> {
    let headings = prose(page).filter_map(|line| line.strip_prefix("### "));
    headings
        .flat_map(|heading| heading.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_message_of_the_troubleshooting_page_is_in_the_source() {
    let sources = files("crates", &["rs", "sh"]);
    let source: Vec<String> = sources
        .iter()
        .map(|file| on_one_line(&read(file)))
        .collect();
    let page = read(Path::new(TROUBLESHOOTING));
    let (others, own): (Vec<&str>, Vec<&str>) = messages(&page)
        .into_iter()
        .partition(|message| MESSAGES_OF_OTHERS.contains(message));
    assert_eq!(others.len(), MESSAGES_OF_OTHERS.len(), "{others:?}");
    assert!(own.len() > 80, "{}", own.len());
    let mut missing = Vec::new();
    for message in own {
        // The level is printed by the report.
        let text = ["WARNING: ", "NOTE: "]
            .iter()
            .find_map(|level| message.strip_prefix(level));
        for part in text.unwrap_or(message).split('…') {
            let part = part.trim_matches([' ', ':']);
            if !source.iter().any(|source| source.contains(part)) {
                missing.push(format!("{message}: {part}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// bash 4.2 takes the `)` of a pattern for the end of the command substitution that it is in, unless the pattern
/// begins with a parenthesis; and it forgets an array that `declare -gA` gives a value.
#[test]
fn scripts_have_nothing_that_bash_4_2_reads_differently() {
    let mut looked = 0;
    for file in files("crates", &["sh"]) {
        let text = read(&file);
        let mut is_inside = false;
        for (number, line) in text.lines().enumerate() {
            let words = line.trim();
            if words.ends_with("$(") {
                is_inside = true;
            } else if words.starts_with(')') {
                is_inside = false;
            } else if words.starts_with("declare -gA ") {
                // Another one that bash 4.2 makes nothing of.
                assert!(
                    !words.contains('='),
                    "{}:{}: {words}",
                    file.display(),
                    number + 1
                );
            } else if is_inside && words.starts_with("case ") {
                looked += 1;
                assert!(
                    words.contains(" in ("),
                    "{}:{}: {words}",
                    file.display(),
                    number + 1
                );
            }
        }
    }
    assert!(looked >= 2, "{looked}");
}
