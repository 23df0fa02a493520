//! A page, taken apart into its fences.

use std::path::Path;

/// A page.
pub struct Page {
    lines: Vec<String>,
    pub fences: Vec<Fence>,
}

/// What is to be done with a fence.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    Here,
    Target,
    Ignored,
    Other(String),
}

/// A fenced part of a page.
pub struct Fence {
    pub kind: Kind,
    /// The line of its beginning, from 1.
    pub line: usize,
    pub body: Vec<String>,
}

/// A command of a block, and what it prints.
pub struct Command {
    pub text: String,
    pub prints: Vec<String>,
}

impl Page {
    pub fn read(root: &Path, name: &str) -> Page {
        let text = std::fs::read_to_string(root.join(name)).unwrap();
        Page::parse(&text)
    }

    fn parse(text: &str) -> Page {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut fences: Vec<Fence> = Vec::new();
        let mut is_open = false;
        for (number, line) in lines.iter().enumerate() {
            match (line.trim_start().strip_prefix("```"), is_open) {
                (Some(tag), false) => {
                    fences.push(Fence {
                        kind: match tag {
                            "console" => Kind::Here,
                            "console,target" => Kind::Target,
                            "console,ignore" => Kind::Ignored,
                            other => Kind::Other(other.to_owned()),
                        },
                        line: number + 1,
                        body: Vec::new(),
                    });
                    is_open = true;
                }
                (Some(_), true) => is_open = false,
                (None, true) => fences.last_mut().unwrap().body.push(line.clone()),
                (None, false) => {}
            }
        }
        assert!(!is_open, "a fence has no end");
        Page { lines, fences }
    }

    /// The comment right before a fence.
    pub fn comment_before(&self, fence: &Fence) -> Option<&str> {
        let before = self.lines[..fence.line - 1]
            .iter()
            .rev()
            .find(|line| !line.is_empty())?;
        before.strip_prefix("<!-- ")?.strip_suffix(" -->")
    }
}

impl Fence {
    pub fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        let mut goes_on = false;
        for line in &self.body {
            if goes_on {
                let text = &mut commands.last_mut().unwrap().text;
                text.push('\n');
                text.push_str(line);
                goes_on = line.ends_with('\\');
            } else if let Some(text) = line.strip_prefix("$ ") {
                commands.push(Command {
                    text: text.to_owned(),
                    prints: Vec::new(),
                });
                goes_on = line.ends_with('\\');
            } else if !line.is_empty() {
                let command = commands.last_mut();
                let command = command
                    .unwrap_or_else(|| panic!("line {}: no `$ ` before {line:?}", self.line));
                command.prints.push(line.clone());
            }
        }
        commands
    }
}

/// Whether each expected line is there, in order; `…` stands for any text.
///
/// # Errors
///
/// The first that is not.
pub fn require_lines(expected: &[String], printed: &str) -> Result<(), String> {
    let mut printed = printed.lines();
    for line in expected {
        let parts: Vec<&str> = line.split('…').map(str::trim).collect();
        if parts.iter().all(|part| part.is_empty()) {
            continue;
        }
        printed
            .find(|printed| matches(&parts, printed.trim()))
            .ok_or_else(|| line.clone())?;
    }
    Ok(())
}

fn matches(parts: &[&str], line: &str) -> bool {
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    if parts.len() == 1 {
        return line == first;
    }
    let mut rest = match line.strip_prefix(first) {
        Some(rest) => rest,
        None => return false,
    };
    for part in &parts[1..parts.len() - 1] {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn a_page_is_taken_apart() {
    let page = Page::parse(
        "a\n<!-- needs a registry -->\n```console,ignore\n$ x\n```\n\n```console\n$ a \\\n    b\nsays\n\n$ c\n```\n```\ntree\n```\n",
    );
    assert_eq!(
        page.comment_before(&page.fences[0]),
        Some("needs a registry")
    );
    assert_eq!(page.comment_before(&page.fences[1]), None);
    assert_eq!(page.fences[1].line, 7);
    let commands = page.fences[1].commands();
    assert_eq!(commands.len(), 2);
    assert_eq!(commands[0].text, "a \\\n    b");
    assert_eq!(commands[0].prints, ["says"]);
    assert_eq!(page.fences[2].kind, Kind::Other(String::new()));
}

#[test]
fn lines_are_looked_for_in_order() {
    let expected = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>()
    };
    let printed = "first\nOK: made at /x/y (3 MB in 7 entries)\nlast\n";
    for lines in [
        &["first", "last"][..],
        &["…", "OK: made at …"],
        &["OK: … (… MB in … entries)", "last"],
        &[],
    ] {
        assert_eq!(
            require_lines(&expected(lines), printed),
            Ok(()),
            "{lines:?}"
        );
    }
    for lines in [
        &["last", "first"][..],
        &["firs"],
        &["OK: … kB in … entries)"],
        &["…t", "…t", "…t"],
    ] {
        assert!(
            require_lines(&expected(lines), printed).is_err(),
            "{lines:?}"
        );
    }
}
