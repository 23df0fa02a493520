//! The search for secrets in what is about to travel.
//!
//! In: a directory and the rules of what is copied from it, or variables and arguments. Out:
//! `Finding`s. A [`SecretScanner`] judges each text; this file reads them. Whether
//! findings are shown or refused is for the caller to say.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::staging::{self, Rules, Selection, Survey, SurveyedFile};
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// Longest file that is read, in bytes. Longer ones are data.
const LONGEST: u64 = 1024 * 1024;

/// How far a NUL is looked for, in bytes: git tells binary files so, too.
const BINARY_WITHIN: usize = 8 * 1024;

/// What people call a kind of secret.
pub type SecretKind = &'static str;

/// Judges what looks like a secret; it does no input or output. The binaries have one in
/// their [`Context`](crate::context::Context).
pub trait SecretScanner: fmt::Debug + Send + Sync {
    /// What the name of a file alone says; the path may be relative.
    fn file_name(&self, file: &Path) -> Option<SecretKind>;

    /// Line, counted from 1, and kind of each secret in the content of `file`; one that
    /// occurs again is told once.
    fn content(&self, content: &[u8], file: &Path) -> Vec<(u64, SecretKind)>;

    /// What a small file of a package cache, text or not, says of logins and tokens for
    /// requests.
    fn cache_record(&self, content: Vec<u8>, file: &Path) -> Vec<SecretKind>;

    /// What a variable looks like, by its name or its value.
    fn variable(&self, name: &str, value: &[u8]) -> Option<SecretKind>;

    /// Place, counted from 0, and kind of each argument that looks like a secret.
    fn arguments(&self, arguments: &[String]) -> Vec<(usize, SecretKind)>;
}

/// Where something looks like a secret, and what it looks like.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The file, or what else holds it.
    pub place: String,
    /// The line, counted from 1; none when the whole file is meant.
    pub line: Option<u64>,
    /// What it looks like.
    pub kind: String,
}

impl Finding {
    /// A finding in a file.
    pub fn in_file(file: &Path, line: Option<u64>, kind: &str) -> Finding {
        Finding {
            // It may come from anywhere and goes to a terminal.
            place: file
                .to_string_lossy()
                .replace(|c: char| c.is_control(), "\u{fffd}"),
            line,
            kind: kind.to_owned(),
        }
    }
}

/// `path:line: kind`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.kind)
    }
}

/// Looks into directories, files and variables, and collects what it finds.
#[derive(Debug)]
pub struct Search {
    scanner: Arc<dyn SecretScanner>,
    known: Rules,
    findings: Vec<Finding>,
}

impl Search {
    /// A search that passes over what `known` excludes.
    pub fn new(known: Rules, scanner: Arc<dyn SecretScanner>) -> Search {
        Search {
            scanner,
            known,
            findings: Vec::new(),
        }
    }

    /// Looks at every file that a copy of `root` by `selection` would hold, and gives
    /// what else that copy would be.
    ///
    /// What cannot be read is passed over: the copy will say so.
    pub fn dir(&mut self, root: &Path, selection: &dyn Selection) -> Survey {
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

    /// Whether a file, or a directory that it lies in, is passed over.
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
        if let Some(kind) = self.scanner.variable(name, value) {
            self.findings
                .push(Finding::in_file(Path::new(place), None, kind));
        }
    }

    /// Looks at the words of a command; `place` is the option that they came with.
    pub fn words(&mut self, place: &str, words: &[String]) {
        if self.known.excludes(Path::new(place), false) {
            return;
        }
        for (at, kind) in self.scanner.arguments(words) {
            let place = format!("{place}, word {}", at + 1);
            self.findings
                .push(Finding::in_file(Path::new(&place), None, kind));
        }
    }

    /// Looks at a small file of a package cache, text or not, unless it is known:
    /// what it tells of requests is searched for logins and tokens.
    pub fn pointer(&mut self, root: &Path, relative: &Path) {
        let file = root.join(relative);
        if self.is_known(relative) {
            return;
        }
        if let Ok(content) = UntrustedDir::read_file(&file, RECORD_LIMIT) {
            let kinds = self.scanner.cache_record(content, relative);
            let finding = |kind| Finding::in_file(&file, None, kind);
            self.findings.extend(kinds.into_iter().map(finding));
        }
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
        if let Some(kind) = self.scanner.file_name(file.relative) {
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
            let found = self.scanner.content(content, file.relative);
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
