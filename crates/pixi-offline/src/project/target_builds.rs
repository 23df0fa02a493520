//! The packages that are built wherever a product is installed: directories and source
//! distributions of the project. Their builds get build requirements from the package cache;
//! whatever else a build fetches is not there without a network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use itertools::Itertools as _;
use serde::{Deserialize, Serialize};
use toml_edit::Item;

use crate::context::Context;
use crate::layout;
use crate::packages::{
    LocalSources, Lock, Package, PackageSource, PythonKind, PythonPackage, Subdir,
};
use crate::project::manifest_text::{build_requirements, read};
use crate::regular_file;
use crate::toml::item;
use crate::untrusted_dir::UntrustedDir;

/// The longest file that is looked into, in bytes.
const LONGEST: u64 = 4 << 20;

/// How deep, and into how many directories, a package is looked into for files of CMake.
const DEEPEST: usize = 4;
const MOST_DIRS: usize = 500;

/// The build backend of a project that names none (PEP 517).
const BY_DEFAULT: &str = "setuptools.build_meta:__legacy__";

/// What a build that fetches may fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FetchKind {
    Crates,
    NpmPackages,
    CmakeSources,
    MesonSubprojects,
}

/// Requirements of a build by which it is known that it fetches.
const FETCHING: [(&str, FetchKind); 4] = [
    ("maturin", FetchKind::Crates),
    ("setuptools-rust", FetchKind::Crates),
    ("hatch-jupyter-builder", FetchKind::NpmPackages),
    ("jupyter-packaging", FetchKind::NpmPackages),
];

/// What CMake fetches by.
const CMAKE_COMMANDS: [&str; 5] = [
    "FetchContent_Declare",
    "ExternalProject_Add",
    "CPMAddPackage",
    "CPMFindPackage",
    "file(DOWNLOAD",
];

/// A package that is built where it is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetBuild {
    package: String,
    /// Its build backend, as its `pyproject.toml` names it.
    backend: String,
    /// What its build fetches, each with the file that says so.
    fetches: BTreeMap<FetchKind, String>,
}

/// The packages of a lock that are built where they are installed; `local` is what goes along
/// with the project.
pub(crate) fn find(lock: Option<&Lock>, project: &Path, local: &LocalSources) -> Vec<TargetBuild> {
    let packages = lock.into_iter().flat_map(|lock| {
        let all = lock.environments().flat_map(|name| {
            let platforms = lock.platforms(name).into_iter().flatten();
            platforms.filter_map(|platform| lock.packages_on(name, &platform.name))
        });
        let all = all.flatten();
        all.filter(|package| local.source_outside(package).is_none())
            .filter_map(|package| built(package))
    });
    let mut seen = BTreeSet::new();
    packages
        .filter(|(python, _)| seen.insert(&python.id))
        .map(|(python, path)| TargetBuild::read(python, &project.join(path), project))
        .collect()
}

/// Names those that the chosen environments have, and warns of what their builds fetch.
pub(crate) fn say(
    builds: &[TargetBuild],
    lock: Option<&Lock>,
    environments: &[String],
    subdir: Option<Subdir>,
    context: &Context,
) {
    let (Some(lock), Some(subdir)) = (lock, subdir) else {
        return;
    };
    let packages = environments
        .iter()
        .filter_map(|name| lock.packages(name, subdir));
    let needed: BTreeSet<&str> = packages
        .flatten()
        .filter_map(|package| Some(built(package)?.0.id.name.as_str()))
        .collect();
    let builds = builds
        .iter()
        .filter(|build| needed.contains(build.package.as_str()));
    let (mut shown, mut warnings) = (BTreeSet::new(), BTreeSet::new());
    for build in builds {
        shown.insert(format!("{} ({})", build.package, build.backend));
        for (fetched, file) in &build.fetches {
            warnings.insert(format!(
                "the build of {} fetches {} ({file}): it passes here and fails where the product is installed without a network; {}, or depend on a wheel of it",
                build.package,
                fetched.what(),
                fetched.hint()
            ));
        }
    }
    if !shown.is_empty() {
        context.report.note(format_args!(
            "built where the product is installed, each with its build backend: {}",
            shown.iter().join(", ")
        ));
    }
    for warning in warnings {
        context.report.warning(warning);
    }
}

/// A package that is built where it is installed, and its path in the project.
fn built(package: &Package) -> Option<(&PythonPackage, &str)> {
    let python = package.as_python()?;
    let PackageSource::Path(path) = &python.id.source else {
        return None;
    };
    let is_built = matches!(
        python.kind,
        PythonKind::Dir | PythonKind::SourceDistribution
    );
    is_built.then_some((python, path))
}

impl TargetBuild {
    fn read(python: &PythonPackage, place: &Path, project: &Path) -> TargetBuild {
        let package = python.id.name.clone();
        if python.kind != PythonKind::Dir {
            return TargetBuild {
                package,
                backend: "a source distribution".to_owned(),
                fetches: BTreeMap::new(),
            };
        }
        let manifest = read(&place.join(layout::PYTHON_MANIFEST)).unwrap_or_default();
        let backend = item(&manifest, &["build-system", "build-backend"]).and_then(Item::as_str);
        let requires = build_requirements(&manifest);
        TargetBuild {
            package,
            backend: backend.unwrap_or(BY_DEFAULT).to_owned(),
            fetches: fetches(&requires, place, project),
        }
    }
}

/// What a build fetches, by the names of what it requires and by the files of its directory.
fn fetches(requires: &[String], place: &Path, project: &Path) -> BTreeMap<FetchKind, String> {
    let mut found = BTreeMap::new();
    for (name, fetched) in FETCHING {
        let is_there = fetched != FetchKind::Crates || !has_its_crates(place, project);
        if requires.iter().any(|one| one == name) && is_there {
            found.insert(fetched, name.to_owned());
        }
    }
    let asks_for_cmake = |one: &String| {
        ["cmake", "scikit-build", "py-build-cmake", "cmeel"]
            .iter()
            .any(|name| one.starts_with(name))
    };
    if place.join("CMakeLists.txt").is_file() || requires.iter().any(asks_for_cmake) {
        let file = cmake_file_that_fetches(place);
        found.extend(file.map(|file| (FetchKind::CmakeSources, file)));
    }
    if place.join("meson.build").is_file() {
        let file = subproject_to_fetch(place);
        found.extend(file.map(|file| (FetchKind::MesonSubprojects, file)));
    }
    found
}

/// Whether a package of Rust has its crates in the project, or needs none.
fn has_its_crates(place: &Path, project: &Path) -> bool {
    let dirs = || place.ancestors().take_while(|dir| dir.starts_with(project));
    let is_vendored = |dir: &Path| {
        [".cargo/config.toml", ".cargo/config"]
            .iter()
            .filter_map(|name| text(&dir.join(name)))
            .any(|text| text.contains("replace-with"))
    };
    let lock = dirs().find_map(|dir| text(&dir.join("Cargo.lock")));
    let needs_none = lock.is_some_and(|lock| !lock.contains("\nsource = "));
    needs_none || dirs().any(is_vendored)
}

/// A file of CMake in a directory by which CMake fetches, from there.
fn cmake_file_that_fetches(place: &Path) -> Option<String> {
    let mut open = vec![(PathBuf::new(), 0)];
    let mut seen = 0;
    while let Some((dir, depth)) = open.pop() {
        seen += 1;
        let entries = UntrustedDir::entries_of(&place.join(&dir)).into_iter();
        for entry in entries.sorted_by(|one, other| one.name.cmp(&other.name)) {
            let Some(name) = entry.name.to_str().filter(|name| !name.starts_with('.')) else {
                continue;
            };
            let path = dir.join(name);
            if entry.kind.is_dir() {
                if depth < DEEPEST && seen + open.len() < MOST_DIRS {
                    open.push((path, depth + 1));
                }
            } else if (name == "CMakeLists.txt" || name.ends_with(".cmake"))
                && text(&place.join(&path)).is_some_and(|text| is_fetched_by(&text))
            {
                return Some(path.display().to_string());
            }
        }
    }
    None
}

fn is_fetched_by(text: &str) -> bool {
    let mut lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    lines.any(|line| CMAKE_COMMANDS.iter().any(|command| line.contains(command)))
}

/// A subproject of Meson that is not in the project, by its file.
fn subproject_to_fetch(place: &Path) -> Option<String> {
    let dir = place.join("subprojects");
    let names = UntrustedDir::entries_of(&dir).into_iter();
    let names = names.filter_map(|entry| entry.name.into_string().ok());
    let is_missing = |name: &String| {
        let wrap = text(&dir.join(name)).unwrap_or_default();
        let named = wrap.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "directory").then(|| value.trim().to_owned())
        });
        let named = named.unwrap_or_else(|| name.trim_end_matches(".wrap").to_owned());
        let is_fetched = wrap.contains("[wrap-git]") || wrap.contains("[wrap-file]");
        is_fetched && !dir.join(named).is_dir()
    };
    let wraps = names.filter(|name| name.ends_with(".wrap")).sorted();
    let name = wraps.into_iter().find(is_missing)?;
    Some(format!("subprojects/{name}"))
}

fn text(file: &Path) -> Option<String> {
    let bytes = regular_file::read(file, LONGEST).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

impl FetchKind {
    fn what(self) -> &'static str {
        match self {
            FetchKind::Crates => "crates of Rust",
            FetchKind::NpmPackages => "packages of npm",
            FetchKind::CmakeSources => "sources by CMake",
            FetchKind::MesonSubprojects => "subprojects of Meson",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            FetchKind::Crates => {
                "vendor them in the project (`cargo vendor`, with the settings that it prints in .cargo/config.toml)"
            }
            FetchKind::NpmPackages => "add the built files to the project",
            FetchKind::CmakeSources => {
                "put the sources into the project (FETCHCONTENT_SOURCE_DIR_NAME names where), or take them from conda packages"
            }
            FetchKind::MesonSubprojects => {
                "put them into the project (`meson subprojects download`)"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::LockCache;
    use crate::project::manifest_text::tests::write_files;

    fn found(files: &[(&str, &str)]) -> Vec<TargetBuild> {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), files);
        let lock = "version: 6\nenvironments:\n  default:\n    channels: []\n    packages:\n      linux-64:\n      - pypi: ./native\n      - pypi: ./dist/old-1.0.tar.gz\n      - pypi: ./wheels/w-1.0-py3-none-any.whl\n      - pypi: ../out\n  other:\n    channels: []\n    packages:\n      linux-64:\n      - pypi: ./native\npackages:\n- pypi: ./native\n  name: native\n  version: 0.1.0\n- pypi: ./dist/old-1.0.tar.gz\n  name: old\n  version: '1.0'\n- pypi: ./wheels/w-1.0-py3-none-any.whl\n  name: w\n  version: '1.0'\n- pypi: ../out\n  name: out\n  version: '1.0'\n";
        let lock = LockCache::default().parse(lock.to_owned()).unwrap();
        find(Some(&lock), dir.path(), &LocalSources::default())
    }

    fn fetched(files: &[(&str, &str)]) -> String {
        let builds = found(files);
        let native = builds
            .iter()
            .find(|build| build.package == "native")
            .unwrap();
        let fetches = native.fetches.iter();
        fetches
            .map(|(what, file)| format!("{what:?} {file}"))
            .join(", ")
    }

    #[test]
    fn what_is_built_where_it_is_installed_is_named_with_its_backend() {
        let system =
            "[build-system]\nrequires = ['hatchling>=1']\nbuild-backend = 'hatchling.build'\n";
        let shown = |files: &[(&str, &str)]| {
            let builds = found(files).into_iter();
            let shown = builds.map(|one| format!("{} {}", one.package, one.backend));
            shown.sorted().collect::<Vec<_>>()
        };
        let named = shown(&[("native/pyproject.toml", system)]);
        assert_eq!(
            named,
            ["native hatchling.build", "old a source distribution"]
        );
        assert_eq!(shown(&[])[0], format!("native {BY_DEFAULT}"));
        assert_eq!(find(None, Path::new("/"), &LocalSources::default()), []);
    }

    #[test]
    fn what_a_build_fetches_is_known_by_its_files() {
        let requires = |name: &str| format!("[build-system]\nrequires = [{name:?}]\n");
        let lock = |source: &str| format!("[[package]]\nname = \"a\"\n{source}");
        let (maturin, cmake) = (requires("maturin>=1,<2"), requires("scikit-build-core"));
        let (other, locked) = (
            requires("maturin-import-hook"),
            lock("source = \"registry+x\"\n"),
        );
        let (jupyter, rust) = (
            requires("jupyter_packaging~=0.10"),
            requires(" Setuptools_Rust [x]>=1"),
        );
        let local = lock("version = \"1\"\n");
        let manifest = |text| ("native/pyproject.toml", text);
        for (files, wanted) in [
            (vec![manifest(&*maturin)], "Crates maturin"),
            (
                vec![manifest(&maturin), ("Cargo.lock", &*locked)],
                "Crates maturin",
            ),
            (vec![manifest(&maturin), ("native/Cargo.lock", &local)], ""),
            (
                vec![
                    manifest(&maturin),
                    (
                        "native/.cargo/config.toml",
                        "[source.crates-io]\nreplace-with = 'v'\n",
                    ),
                ],
                "",
            ),
            (vec![manifest(&other)], ""),
            (vec![manifest(&jupyter)], "NpmPackages jupyter-packaging"),
            (vec![manifest(&rust)], "Crates setuptools-rust"),
            (
                vec![
                    manifest(&cmake),
                    ("native/cmake/deps.cmake", "  FetchContent_Declare(fmt\n"),
                ],
                "CmakeSources cmake/deps.cmake",
            ),
            (
                vec![(
                    "native/CMakeLists.txt",
                    "# FetchContent_Declare(fmt\nproject(x)\n",
                )],
                "",
            ),
            (
                vec![("native/CMakeLists.txt", "ExternalProject_Add(x)\n")],
                "CmakeSources CMakeLists.txt",
            ),
            (
                vec![
                    ("native/meson.build", ""),
                    (
                        "native/subprojects/fmt.wrap",
                        "[wrap-file]\ndirectory = fmt-9\n",
                    ),
                ],
                "MesonSubprojects subprojects/fmt.wrap",
            ),
            (
                vec![
                    ("native/meson.build", ""),
                    (
                        "native/subprojects/fmt.wrap",
                        "[wrap-file]\ndirectory = fmt-9\n",
                    ),
                    ("native/subprojects/fmt-9/a", ""),
                ],
                "",
            ),
        ] {
            assert_eq!(fetched(&files), wanted, "{files:?}");
        }
    }
}
