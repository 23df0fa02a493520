//! The search for secrets in what is about to be packed.
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

use crate::layout;
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
    /// What kind of thing holds it.
    pub holder: Holder,
    /// Its path below the directory that was searched, the same in a copy of that; else its
    /// place.
    pub within: String,
}

/// What holds a possible secret, which decides what a person can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A file that `--exclude` can leave out.
    File,
    /// A file of the resources, which are copied whole.
    Resource,
    /// The manifest or the lock, without which there is no product.
    Lock,
    /// A file of the package cache.
    Cache,
    /// A file of a finished product.
    Product,
    /// An option of the command line.
    Argument,
}

impl Holder {
    /// What removes it.
    pub fn cure(self) -> &'static str {
        match self {
            Holder::File => "exclude the files (--exclude PATTERN)",
            Holder::Resource => "take the files out of the resources, which are copied whole",
            Holder::Lock => "take the login out of the URL in manifest and lock file",
            Holder::Cache => {
                "build again with an empty package cache (without --reuse-cache; build-offline-product: with --fresh)"
            }
            Holder::Product => "make the product again without the files",
            Holder::Argument => "take the secret out of the command line",
        }
    }

    /// Of a file that is copied as `self` says: manifest and lock cannot be left out.
    fn of_file(self, relative: &Path) -> Holder {
        let is_needed = relative.file_name().is_some_and(|name| {
            name == layout::LOCK_FILE
                || layout::PROJECT_MANIFESTS
                    .iter()
                    .any(|manifest| name == *manifest)
        });
        match self {
            Holder::File if is_needed => Holder::Lock,
            holder => holder,
        }
    }
}

impl Finding {
    fn in_file(file: &SurveyedFile<'_>, line: Option<u64>, kind: &str, holder: Holder) -> Finding {
        Finding {
            place: shown(file.path),
            line,
            kind: kind.to_owned(),
            holder,
            within: shown(file.relative),
        }
    }

    /// A finding in an option.
    fn in_argument(place: &str, kind: &str) -> Finding {
        let place = shown(Path::new(place));
        Finding {
            line: None,
            kind: kind.to_owned(),
            holder: Holder::Argument,
            within: place.clone(),
            place,
        }
    }

    /// What two findings share that are one: a copy of what was searched has the same.
    pub fn key(&self) -> String {
        let Finding {
            line,
            kind,
            holder,
            within,
            ..
        } = self;
        format!("{holder:?} {within}:{line:?}: {kind}")
    }
}

/// A path as it may stand on a terminal: it may come from anywhere.
fn shown(path: &Path) -> String {
    path.to_string_lossy()
        .replace(|c: char| c.is_control(), "\u{fffd}")
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
    pub fn dir(&mut self, root: &Path, selection: &dyn Selection, holder: Holder) -> Survey {
        staging::survey(root, selection, &mut |file| {
            if !self.is_known(file.relative) {
                self.search_file(file, LONGEST, holder);
            }
        })
    }

    /// Looks at one file of `root`, unless it is known, read whole however long
    /// it is; with `follows_links` at what a link leads to.
    pub fn file(&mut self, root: &Path, relative: &Path, follows_links: bool, holder: Holder) {
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
            self.search_file(file, u64::MAX, holder);
        }
    }

    /// Whether a file, or a directory that it is in, is passed over.
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
            self.findings.push(Finding::in_argument(place, kind));
        }
    }

    /// Looks at the arguments of a command; `place` is the option that they came with.
    pub fn args(&mut self, place: &str, args: &[String]) {
        if self.known.excludes(Path::new(place), false) {
            return;
        }
        for (at, kind) in self.scanner.arguments(args) {
            let place = format!("{place}, argument {}", at + 1);
            self.findings.push(Finding::in_argument(&place, kind));
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
            let finding = |kind: SecretKind| Finding {
                place: shown(&file),
                line: None,
                kind: kind.to_owned(),
                holder: Holder::Cache,
                within: shown(relative),
            };
            self.findings.extend(kinds.into_iter().map(finding));
        }
    }

    /// What was found, in the order of places and lines.
    pub fn findings(mut self) -> Vec<Finding> {
        self.findings.sort();
        self.findings.dedup();
        self.findings
    }

    fn search_file(&mut self, file: SurveyedFile<'_>, longest: u64, holder: Holder) {
        let holder = holder.of_file(file.relative);
        // An empty file holds nothing, whatever its name.
        if file.length == 0 {
            return;
        }
        if let Some(kind) = self.scanner.file_name(file.relative) {
            self.findings
                .push(Finding::in_file(&file, None, kind, holder));
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
            let finding = |(line, kind)| Finding::in_file(&file, Some(line), kind, holder);
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
