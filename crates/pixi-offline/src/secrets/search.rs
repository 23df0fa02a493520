//! A walk over what will be copied.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use super::{Contents, Finding, kind_of_name, kind_of_variable, words};
use crate::staging::{self, Rules, Selection, Survey, SurveyedFile};
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// The name that what tells of a request is searched under.
const OF_REQUEST: &str = "request.http";

/// Longest file that is read, in bytes. Longer ones are data.
const LONGEST: u64 = 1024 * 1024;

/// How far a NUL is looked for, in bytes: git tells binary files so, too.
const BINARY_WITHIN: usize = 8 * 1024;

/// Looks into folders, files and variables, and collects what it finds.
#[derive(Debug)]
pub struct Search {
    contents: Contents,
    known: Rules,
    findings: Vec<Finding>,
}

impl Search {
    /// A search that passes over what `known` excludes.
    pub fn new(known: Rules) -> anyhow::Result<Search> {
        Ok(Search {
            contents: Contents::new()?,
            known,
            findings: Vec::new(),
        })
    }

    /// Looks at every file that a copy of `root` by `selection` would hold, and gives
    /// what else that copy would be.
    ///
    /// What cannot be read is passed over: the copy will say so.
    pub fn folder(&mut self, root: &Path, selection: &dyn Selection) -> Survey {
        staging::survey(root, selection, &mut |file| {
            if !self.is_known(file.relative) {
                self.search_file(file, LONGEST);
            }
        })
    }

    /// Looks at one file of `root`, unless it is known, read whole however long
    /// it is; with `follows_links` at what a link leads to.
    pub fn file(&mut self, root: &Path, relative: &Path, follows_links: bool) {
        let path = root.join(relative);
        let resolved = follows_links.then(|| path.canonicalize().ok()).flatten();
        let length = fs::metadata(&path).map(|metadata| metadata.len());
        if let Ok(length) = length
            && !self.is_known(relative)
        {
            let file = SurveyedFile {
                path: &path,
                content_at: resolved.as_deref().unwrap_or(&path),
                relative,
                length,
                content: None,
            };
            self.search_file(file, u64::MAX);
        }
    }

    /// Whether a file, or a folder that it lies in, is passed over.
    fn is_known(&self, relative: &Path) -> bool {
        let mut above = relative.ancestors();
        !self.known.is_empty() && above.any(|path| self.known.excludes(path, path != relative))
    }

    /// Looks at a variable; `place` is what its finding shows, and what a
    /// pattern for known places is held against.
    pub fn variable(&mut self, place: &str, name: &str, value: &[u8]) {
        if self.known.excludes(Path::new(place), false) {
            return;
        }
        let by_content = self.contents.find(value, Path::new(""));
        let kind = by_content.first().map(|(_, kind)| *kind);
        if let Some(kind) = kind.or_else(|| kind_of_variable(name, value)) {
            self.findings
                .push(Finding::in_file(Path::new(place), None, kind));
        }
    }

    /// Looks at the words of a command; `place` is the option that they came with.
    pub fn words(&mut self, place: &str, words: &[String]) {
        if self.known.excludes(Path::new(place), false) {
            return;
        }
        for (at, kind) in words::find(&self.contents, words) {
            let place = format!("{place}, word {}", at + 1);
            self.findings
                .push(Finding::in_file(Path::new(&place), None, kind));
        }
    }

    /// Looks at a small file of a package cache, text or not, unless it is known:
    /// what it tells of requests is searched for logins and tokens.
    pub fn pointer(&mut self, root: &Path, relative: &Path) {
        let file = root.join(relative);
        let Some(mut content) = (!self.is_known(relative))
            .then(|| UntrustedDir::read_file(&file, RECORD_LIMIT).ok())
            .flatten()
        else {
            return;
        };
        // Texts in it follow each other without a separator, or with bytes that are
        // no text; what goes across these is no secret.
        for byte in &mut content {
            if !(b' '..=b'~').contains(byte) && *byte != b'\t' {
                *byte = b'\n';
            }
        }
        // Some have names that say nothing of what they are.
        let found = [relative, Path::new(OF_REQUEST)]
            .into_iter()
            .flat_map(|name| self.contents.find(&content, name));
        let mut kinds: Vec<&str> = found.map(|(_, kind)| kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let finding = |kind| Finding::in_file(&file, None, kind);
        self.findings.extend(kinds.into_iter().map(finding));
    }

    /// What was found, in the order of places and lines.
    pub fn findings(mut self) -> Vec<Finding> {
        self.findings.sort();
        self.findings.dedup();
        self.findings
    }

    fn search_file(&mut self, file: SurveyedFile<'_>, longest: u64) {
        // An empty file holds nothing, whatever its name.
        if file.length == 0 {
            return;
        }
        if let Some(kind) = kind_of_name(file.relative) {
            self.findings.push(Finding::in_file(file.path, None, kind));
            return;
        }
        let read;
        let content = match file.content {
            Some(content) => Some(content).filter(|content| is_text(content)),
            None => {
                read = text_of(file.content_at, longest).unwrap_or_default();
                read.as_deref()
            }
        };
        if let Some(content) = content {
            let found = self.contents.find(content, file.relative);
            let finding = |(line, kind)| Finding::in_file(file.path, Some(line), kind);
            self.findings.extend(found.into_iter().map(finding));
        }
    }
}

/// Whether the start of a file is that of a text.
fn is_text(start: &[u8]) -> bool {
    memchr::memchr(0, start).is_none()
}

/// The content of a file that is text and no longer than `longest`.
fn text_of(file: &Path, longest: u64) -> io::Result<Option<Vec<u8>>> {
    let mut file = UntrustedDir::open_listed(file)?;
    let size = file.metadata()?.len();
    if size > longest {
        return Ok(None);
    }
    let mut content = vec![0; BINARY_WITHIN];
    let mut length = 0;
    while length < BINARY_WITHIN {
        match file.read(&mut content[length..])? {
            0 => break,
            more => length += more,
        }
    }
    content.truncate(length);
    if !is_text(&content) {
        return Ok(None);
    }
    file.take(size).read_to_end(&mut content)?;
    Ok(Some(content))
}
