//! The Python part of a package cache: `uv-cache/`, as uv writes it.
//!
//! Unpacked wheels lie in `archive-v0/<id>/`; what leads to them are links and
//! small pointer files (`*.http`, `*.rev`) below `wheels-v*/` and `sdists-v*/`
//! that hold the id. Seen with uv 0.11.15, the version in pixi 0.69 to 0.77.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use memchr::memmem;

use crate::packages::conda::{is_held, sha256_of};
use crate::packages::lock::{PythonKind, PythonPackage};
use crate::packages::need::Need;
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// The longest file that is read as a pointer, in bytes.
const LONGEST_POINTER: u64 = 256 * 1024;

/// The Python packages of a cache folder.
#[derive(Debug, Clone)]
pub struct PythonCache {
    archives: Vec<Archive>,
}

/// An unpacked wheel.
#[derive(Debug, Clone)]
struct Archive {
    folder: PathBuf,
    name: String,
    version: String,
    /// The folder of its metadata.
    metadata: PathBuf,
    /// Whether anything leads to it: uv finds it by nothing else.
    referenced: bool,
}

impl PythonCache {
    /// Reads what the cache in `cache` holds; nothing when there is no Python part.
    pub fn read(cache: &Path) -> PythonCache {
        let cache = cache.join("uv-cache");
        let mut archives: Vec<Archive> = folders(&cache, "archive-v")
            .flat_map(|bucket| entries(&bucket))
            .filter_map(Archive::read)
            .collect();
        let pointers = folders(&cache, "wheels-v").chain(folders(&cache, "sdists-v"));
        for pointer in pointers.flat_map(|folder| pointers_in(&folder)) {
            for archive in archives.iter_mut().filter(|archive| !archive.referenced) {
                let id = archive.folder.file_name().unwrap_or_default();
                archive.referenced = memmem::find(&pointer, id.as_encoded_bytes()).is_some();
            }
        }
        PythonCache { archives }
    }

    /// The lock file of a cache's Python part, when another program holds it.
    pub fn held_by_another(cache: &Path) -> Option<PathBuf> {
        Some(cache.join("uv-cache/.lock")).filter(|lock| is_held(lock))
    }

    /// What is wrong with a package in the cache; nothing when it is there and
    /// whole. `deep` also reads every file that its RECORD lists.
    ///
    /// Folders are built wherever they are installed, and files of the project
    /// are read from there: neither needs to be in the cache.
    pub fn problems(&self, package: &PythonPackage, deep: bool) -> Vec<String> {
        if package.kind == PythonKind::Folder || !package.location.contains("://") {
            return Vec::new();
        }
        let shown = match &package.version {
            Some(version) => format!("{} {version}", package.name),
            None => package.name.clone(),
        };
        let mut there = self
            .archives
            .iter()
            .filter(|archive| archive.is_of(package))
            .peekable();
        if there.peek().is_none() {
            return vec![format!("{shown}: is not in the package cache (uv-cache)")];
        }
        let broken: Vec<Vec<String>> = there
            .map(|archive| {
                if !archive.referenced {
                    return vec!["nothing in the package cache leads to it".to_owned()];
                }
                archive.problems(deep)
            })
            .collect();
        // An older wheel of the same version may be there too: one whole is enough
        // for a quick look, but a damaged file in any may be the one that is used.
        if !deep && broken.iter().any(Vec::is_empty) {
            return Vec::new();
        }
        broken
            .into_iter()
            .flatten()
            .map(|problem| format!("{shown}: {problem}"))
            .collect()
    }

    /// The licence that a package's wheel states: as an SPDX expression
    /// (PEP 639), else as text, else by its classifiers. `None` when there is no
    /// wheel, when it says nothing, or when several wheels say different things.
    pub fn licence(&self, package: &PythonPackage) -> Option<String> {
        let said: BTreeSet<Option<String>> = self
            .archives
            .iter()
            .filter(|archive| archive.is_of(package))
            .map(|archive| {
                let file = archive.metadata.join("METADATA");
                stated_licence(&UntrustedDir::read_file(&file, RECORD_LIMIT).ok()?)
            })
            .collect();
        match said.len() {
            1 => said.into_iter().next()?,
            _ => None,
        }
    }

    /// The unpacked wheels that none of the needed packages is in.
    pub fn not_needed(&self, need: &Need) -> BTreeSet<PathBuf> {
        self.archives
            .iter()
            .filter(|archive| !need.python.iter().any(|package| archive.is_of(package)))
            .map(|archive| archive.folder.clone())
            .collect()
    }
}

impl Archive {
    fn read(folder: PathBuf) -> Option<Archive> {
        let metadata =
            entries(&folder).find(|entry| entry.extension() == Some(OsStr::new("dist-info")))?;
        let stem = metadata.file_stem()?.to_str()?;
        let (name, version) = stem.rsplit_once('-')?;
        Some(Archive {
            name: normalized(name),
            version: version.to_owned(),
            referenced: false,
            folder,
            metadata: metadata.clone(),
        })
    }

    fn is_of(&self, package: &PythonPackage) -> bool {
        self.name == normalized(&package.name)
            && package
                .version
                .as_ref()
                .is_none_or(|version| same_version(version, &self.version))
    }

    fn problems(&self, deep: bool) -> Vec<String> {
        let record = self.metadata.join("RECORD");
        let record = match UntrustedDir::read_file(&record, RECORD_LIMIT) {
            Ok(record) => record,
            Err(error) => return vec![format!("RECORD cannot be read: {error}")],
        };
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(record.as_slice());
        let mut problems = Vec::new();
        for line in reader.byte_records() {
            let line = match line {
                Ok(line) => line,
                Err(error) => return vec![format!("RECORD cannot be parsed: {error}")],
            };
            let text = |field: usize| {
                line.get(field)
                    .and_then(|bytes| std::str::from_utf8(bytes).ok())
            };
            let Some(name) = text(0) else { continue };
            let file = self.folder.join(name);
            // Nothing outside is read, where a file may have no end.
            let stays = |part| matches!(part, Component::Normal(_) | Component::CurDir);
            let problem = if !Path::new(name).components().all(stays) {
                Some("leads out of the package")
            } else if !deep {
                fs::symlink_metadata(&file).is_err().then_some("is missing")
            } else {
                differs(&file, text(1).unwrap_or_default())
            };
            problems.extend(problem.map(|problem| format!("{name} {problem}")));
        }
        problems
    }
}

/// The licence in a wheel's METADATA ("Core metadata specifications" of the
/// Python packaging guide): headers as of an e-mail, up to an empty line.
fn stated_licence(metadata: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(metadata);
    let headers: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    let values = |name: &'static str| {
        headers.iter().enumerate().filter_map(move |(place, line)| {
            let (key, value) = line.split_once(':')?;
            let value = value.trim();
            key.eq_ignore_ascii_case(name).then_some((place, value))
        })
    };
    // A text of several lines is the licence itself, not its name.
    let in_one_line = |place: usize| {
        !headers
            .get(place + 1)
            .is_some_and(|next| next.starts_with([' ', '\t']))
    };
    let named = values("License-Expression")
        .chain(values("License"))
        .find(|(place, value)| !value.is_empty() && *value != "UNKNOWN" && in_one_line(*place))
        .map(|(_, value)| value.to_owned());
    named.or_else(|| {
        let classified: Vec<&str> = values("Classifier")
            .filter_map(|(_, value)| value.strip_prefix("License ::"))
            .filter_map(|value| value.rsplit("::").next())
            .map(str::trim)
            .collect();
        (!classified.is_empty()).then(|| classified.join(", "))
    })
}

/// What is wrong with a file by the hash in RECORD, `sha256=` and base64 for
/// URLs (PEP 376 and the wheel format).
fn differs(file: &Path, hash: &str) -> Option<&'static str> {
    let Ok(found) = sha256_of(file) else {
        return Some("cannot be read");
    };
    let wanted = hash.strip_prefix("sha256=")?;
    let Ok(wanted) = data_encoding::BASE64URL_NOPAD.decode(wanted.trim_end_matches('=').as_bytes())
    else {
        return Some("has a hash in RECORD that cannot be read");
    };
    (found != crate::proof::hexadecimal(&wanted))
        .then_some("has another content than its package says (sha256)")
}

/// The bytes of each pointer below a folder: small files, and what links lead to.
fn pointers_in(folder: &Path) -> Vec<Vec<u8>> {
    let mut walk = ignore::WalkBuilder::new(folder);
    walk.standard_filters(false).follow_links(false);
    walk.build()
        .flatten()
        .filter_map(|entry| {
            if entry.path_is_symlink() {
                let target = fs::read_link(entry.path()).ok()?;
                return Some(target.into_os_string().into_encoded_bytes());
            }
            let ending = entry.path().extension()?;
            let pointer = ending == "http" || ending == "rev" || ending == "msgpack";
            (pointer
                && entry
                    .metadata()
                    .is_ok_and(|m| m.is_file() && m.len() <= LONGEST_POINTER))
            .then(|| UntrustedDir::read_file(entry.path(), LONGEST_POINTER).ok())?
        })
        .collect()
}

/// The folders in `folder` whose names begin with `prefix`.
fn folders(folder: &Path, prefix: &'static str) -> impl Iterator<Item = PathBuf> + use<> {
    entries(folder).filter(move |entry| {
        entry.is_dir()
            && entry
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
    })
}

/// What is in a folder; nothing when it cannot be read.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

/// A name as PEP 503 compares it.
fn normalized(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.extend(c.to_lowercase()),
        }
    }
    normal
}

/// Whether two versions are the same (PEP 440): written alike, or alike once
/// separators and the local part's are normal.
fn same_version(locked: &str, folder: &str) -> bool {
    let normal = |version: &str| {
        version
            .to_lowercase()
            .replace(['-', '_'], ".")
            .replace('+', ".")
    };
    normal(locked) == normal(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_pep_503_says() {
        for name in ["Ruamel.Yaml", "ruamel_yaml", "ruamel-_.yaml"] {
            assert_eq!(normalized(name), "ruamel-yaml");
        }
    }

    #[test]
    fn a_licence_is_taken_from_the_plainest_statement() {
        let licence = |metadata: &str| stated_licence(metadata.as_bytes());
        let classified =
            "Name: a\nClassifier: License :: OSI Approved :: MIT License\nClassifier: Topic :: X\n";
        assert_eq!(licence(classified).as_deref(), Some("MIT License"));
        let named = format!("License: BSD-3-Clause\n{classified}");
        assert_eq!(licence(&named).as_deref(), Some("BSD-3-Clause"));
        let expression = format!("{named}License-Expression: MIT OR Apache-2.0\n");
        assert_eq!(licence(&expression).as_deref(), Some("MIT OR Apache-2.0"));
        let whole = format!("License: Copyright somebody\n        All rights\n{classified}");
        assert_eq!(licence(&whole).as_deref(), Some("MIT License"));
        assert_eq!(
            licence("License: UNKNOWN\n\nLicense: in the description\n"),
            None
        );
    }

    #[test]
    fn versions_in_folder_names_have_other_separators() {
        assert!(same_version("1.0+local.1", "1.0+local_1"));
        assert!(!same_version("1.0", "1.0.1"));
    }
}
