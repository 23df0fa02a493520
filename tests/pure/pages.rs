//! The pages and the texts of the commands: links lead somewhere, and no phrase of the word
//! list in CONTRIBUTING.md is used.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The page with the word list.
const CONTRIBUTING: &str = "CONTRIBUTING.md";

const WORDS: [&str; 2] = ["<!-- words -->\n", "<!-- end -->\n"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files below a path of the checkout with one of these extensions, from its top.
fn files(top: &str, extensions: &[&str]) -> Vec<PathBuf> {
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
