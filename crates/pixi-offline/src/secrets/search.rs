//! A walk over what will be copied.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{Contents, Finding, kind_of_name, kind_of_variable};
use crate::staging::Rules;

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
    ///
    /// # Errors
    ///
    /// As [`Contents::new`].
    pub fn new(known: Rules) -> anyhow::Result<Search> {
        Ok(Search {
            contents: Contents::new()?,
            known,
            findings: Vec::new(),
        })
    }

    /// Looks at every file that a copy of `root` by `rules` would hold. `skip`
    /// is asked for each folder, as the copy asks it. Gives the number of files.
    ///
    /// What cannot be read is passed over: the copy will say so.
    pub fn folder(&mut self, root: &Path, rules: &Rules, skip: &dyn Fn(&Path) -> bool) -> u64 {
        let mut files = 0;
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(root.join(&folder)) else {
                continue;
            };
            let mut entries: Vec<_> = entries.flatten().collect();
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let relative = folder.join(entry.file_name());
                // A link is copied as one: what it leads to is not ours to judge.
                let Ok(kind) = entry.file_type() else {
                    continue;
                };
                if rules.excludes(&relative, kind.is_dir())
                    || self.known.excludes(&relative, kind.is_dir())
                {
                    continue;
                }
                if kind.is_dir() && !skip(&entry.path()) {
                    folders.push(relative);
                } else if kind.is_file() {
                    files += 1;
                    self.look(&entry.path(), &relative, LONGEST);
                }
            }
        }
        files
    }

    /// Looks at one file of `root`, unless it is known, read whole however long
    /// it is.
    pub fn file(&mut self, root: &Path, relative: &Path) {
        let known = relative
            .ancestors()
            .any(|path| self.known.excludes(path, path != relative));
        if !known {
            self.look(&root.join(relative), relative, u64::MAX);
        }
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

    /// What was found, in the order of places and lines.
    pub fn findings(mut self) -> Vec<Finding> {
        self.findings.sort();
        self.findings.dedup();
        self.findings
    }

    fn look(&mut self, file: &Path, relative: &Path, longest: u64) {
        let Ok(length) = fs::metadata(file).map(|metadata| metadata.len()) else {
            return;
        };
        // An empty file holds nothing, whatever its name.
        if length == 0 {
            return;
        }
        if let Some(kind) = kind_of_name(relative) {
            self.findings.push(Finding::in_file(file, None, kind));
            return;
        }
        if let Ok(Some(content)) = text_of(file, longest) {
            let found = self.contents.find(&content, relative);
            let finding = |(line, kind)| Finding::in_file(file, Some(line), kind);
            self.findings.extend(found.into_iter().map(finding));
        }
    }
}

/// The content of a file that is text and no longer than `longest`.
fn text_of(file: &Path, longest: u64) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(file)?;
    if file.metadata()?.len() > longest {
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
    if memchr::memchr(0, &content).is_some() {
        return Ok(None);
    }
    file.read_to_end(&mut content)?;
    Ok(Some(content))
}
