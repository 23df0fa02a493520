//! Versions that a build takes from git. Git's directory is left out, so they are taken from it
//! when the project is staged, and are handed over by the variables that the build backends read.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use itertools::Itertools as _;
use toml_edit::{DocumentMut, Item, TableLike};

use crate::context::Context;
use crate::evidence::GitVersion;
use crate::failure::Failure;
use crate::layout::{self, PathInRoot};
use crate::packages::{Lock, normalized};
use crate::project::build_backend;
use crate::project::git_description::{GitDescription, Scheme, is_version};
use crate::project::manifest_text::{build_requirements, read, read_text};
use crate::project::source_tree::SourceTree;
use crate::request::{ContainerVariable, ProductVariable};
use crate::toml::item;

/// How a build backend is told a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    /// By one for the package.
    OfPackage,
    /// By this one, for every package that is built.
    OfAll(&'static str),
    /// Not at all.
    None,
}

/// A tool that takes versions from git.
struct VersionTool {
    /// The requirement of the build by which it is known.
    requirement: &'static str,
    variable: Variable,
    scheme: Scheme,
}

const TOOLS: [VersionTool; 8] = [
    // Before setuptools-scm, which they call without the package's name.
    VersionTool {
        requirement: "hatch-vcs",
        variable: Variable::OfAll("SETUPTOOLS_SCM_PRETEND_VERSION"),
        scheme: Scheme::GuessNext,
    },
    VersionTool {
        requirement: "flit-scm",
        variable: Variable::OfAll("SETUPTOOLS_SCM_PRETEND_VERSION"),
        scheme: Scheme::GuessNext,
    },
    VersionTool {
        requirement: "setuptools-scm",
        variable: Variable::OfPackage,
        scheme: Scheme::GuessNext,
    },
    VersionTool {
        requirement: "pdm-backend",
        variable: Variable::OfAll("PDM_BUILD_SCM_VERSION"),
        scheme: Scheme::GuessNext,
    },
    VersionTool {
        requirement: "uv-dynamic-versioning",
        variable: Variable::OfAll("UV_DYNAMIC_VERSIONING_BYPASS"),
        scheme: Scheme::Dunamai,
    },
    VersionTool {
        requirement: "poetry-dynamic-versioning",
        variable: Variable::OfAll("POETRY_DYNAMIC_VERSIONING_BYPASS"),
        scheme: Scheme::Dunamai,
    },
    VersionTool {
        requirement: "versioningit",
        variable: Variable::None,
        scheme: Scheme::Post,
    },
    VersionTool {
        requirement: "setuptools-git-versioning",
        variable: Variable::None,
        scheme: Scheme::Post,
    },
];

/// The versions of the project's own packages that come from git: of the project itself, and of
/// the directories of what is staged that its manifest names by `path`, or its lock.
pub(crate) fn find(source: &SourceTree, lock: Option<&Lock>, context: &Context) -> Vec<GitVersion> {
    let dirs = package_dirs(source.dir(), source.in_root(), lock);
    let mut versions = Vec::new();
    for dir in &dirs {
        let place = source.dir().join(dir);
        let Some(package) = read(&place.join("pyproject.toml"))
            .as_ref()
            .and_then(GitPackage::of)
        else {
            continue;
        };
        // A package of no name of its own is called by its directory.
        let name = package.name.clone().or_else(|| name_in_setup_cfg(&place));
        let name = name.unwrap_or_else(|| dir.display().to_string());
        let Some(described) = GitDescription::of(&place, context) else {
            continue;
        };
        let today = context.host.unix_seconds;
        versions.push(GitVersion {
            variable: match package.tool.variable {
                Variable::OfPackage => Some(variable_of_package(&name)),
                Variable::OfAll(name) => Some(name.to_owned()),
                Variable::None => None,
            },
            package: name,
            tool: package.tool.requirement.to_owned(),
            version: described.version(package.scheme, package.with_local, today),
        });
    }
    versions
}

/// Says which versions are handed over, and which cannot be.
pub(crate) fn say(versions: &[GitVersion], variables: &[ContainerVariable], context: &Context) {
    for version in versions {
        let GitVersion {
            package,
            tool,
            version,
            variable,
        } = version;
        match variable {
            Some(variable) if variables.iter().any(|given| given.key() == variable) => {}
            Some(variable) => context.report.note(format_args!(
                "{package} takes its version from git ({tool}), which is not staged: the builds get {version} by {variable}; --container-env and --env {variable}=VERSION give another"
            )),
            None => context.report.warning(format_args!(
                "{package} takes its version from git ({tool}), which is not staged, and {tool} reads no variable: its build fails or has another version than {version}; set the fallback that {tool} has in pyproject.toml"
            )),
        }
    }
}

/// The variables of a build: those of the caller, and those of the versions that the caller
/// does not give.
///
/// # Errors
///
/// Exit code 2 when two packages need different values of one variable.
pub(crate) fn for_build(
    versions: &[GitVersion],
    variables: &[ContainerVariable],
) -> anyhow::Result<Vec<ContainerVariable>> {
    let is_given = |key: &str| variables.iter().any(|variable| variable.key() == key);
    let mut all = variables.to_vec();
    for variable in not_given(versions, &is_given)? {
        all.push(ContainerVariable::new(&variable)?);
    }
    Ok(all)
}

/// The variables of a product: those of the versions, then those of the caller, so that the
/// caller's win.
///
/// # Errors
///
/// Exit code 2 when two packages need different values of one variable.
pub(crate) fn for_product(
    versions: &[GitVersion],
    variables: &[ProductVariable],
) -> anyhow::Result<Vec<ProductVariable>> {
    let is_given = |key: &str| variables.iter().any(|variable| variable.key() == key);
    let mut all = Vec::new();
    for variable in not_given(versions, &is_given)? {
        all.push(ProductVariable::new(&variable)?);
    }
    all.extend(variables.iter().cloned());
    Ok(all)
}

/// The variables of the versions that the caller does not give, each as `KEY=VALUE`, once. No two
/// packages may need different values of one: each is built with the same variables, so one of
/// them would get the version of the other.
fn not_given(
    versions: &[GitVersion],
    is_given: &dyn Fn(&str) -> bool,
) -> anyhow::Result<Vec<OsString>> {
    for (at, one) in versions.iter().enumerate() {
        let Some(variable) = one.variable.as_deref().filter(|name| !is_given(name)) else {
            continue;
        };
        let differs =
            |other: &&GitVersion| other.variable == one.variable && other.version != one.version;
        if let Some(other) = versions[at..].iter().find(differs) {
            return Err(Failure::usage(format!(
                "{} has the version {} and {} has {}, both from git, and the build backends of both read it from {variable} alone; set a version in pyproject.toml for one of them, or give both the same: --container-env {variable}=VERSION for the build, --env {variable}=VERSION for the product",
                one.package, one.version, other.package, other.version
            )));
        }
    }
    let found = assignments(versions)
        .filter(|(key, _)| !is_given(key))
        .unique();
    Ok(found
        .map(|(key, value)| format!("{key}={value}").into())
        .collect())
}

/// What is exported; a record may come out of a container, so nothing but versions is.
fn assignments(versions: &[GitVersion]) -> impl Iterator<Item = (&str, &str)> {
    let is_variable = |name: &str| {
        let known =
            |tool: &VersionTool| matches!(tool.variable, Variable::OfAll(known) if known == name);
        name.strip_prefix(OF_PACKAGE).is_some_and(|rest| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            !rest.is_empty() && rest.bytes().all(plain)
        }) || TOOLS.iter().any(known)
    };
    versions.iter().filter_map(move |version| {
        let variable = version
            .variable
            .as_deref()
            .filter(|name| is_variable(name))?;
        is_version(&version.version).then_some((variable, version.version.as_str()))
    })
}

const OF_PACKAGE: &str = "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_";

/// setuptools-scm's variable for one package.
fn variable_of_package(name: &str) -> String {
    let name = normalized(name).replace('-', "_").to_ascii_uppercase();
    format!("{OF_PACKAGE}{name}")
}

/// The directories of what is staged that may hold a Python package of the project at
/// `project`. The lock has those that only a path dependency names in turn.
fn package_dirs(top: &Path, project: &PathInRoot, lock: Option<&Lock>) -> BTreeSet<PathBuf> {
    let mut dirs = BTreeSet::from([project.path().to_owned()]);
    let locked = lock.into_iter().flat_map(Lock::local_paths);
    dirs.extend(locked.filter_map(|path| package_dir_at(project, &path)));
    for manifest in layout::PROJECT_MANIFESTS {
        if let Some(manifest) = read(&top.join(project.path()).join(manifest)) {
            collect_paths(manifest.as_table(), project, &mut dirs);
        }
    }
    dirs
}

/// The directory of a package that the project names by its directory or by its manifest.
fn package_dir_at(project: &PathInRoot, path: &Path) -> Option<PathBuf> {
    let place = project.resolve(path)?;
    Some(build_backend::package_dir(&place).to_owned())
}

/// Adds the directory of each `path = "…"` of a manifest that does not lead out of what is
/// staged.
fn collect_paths(table: &dyn TableLike, project: &PathInRoot, dirs: &mut BTreeSet<PathBuf>) {
    for (key, item) in table.iter() {
        if let ("path", Some(path)) = (key, item.as_str()) {
            dirs.extend(package_dir_at(project, Path::new(path)));
        } else if let Some(table) = item.as_table_like() {
            collect_paths(table, project, dirs);
        } else if let Some(tables) = item.as_array_of_tables() {
            for table in tables {
                collect_paths(table, project, dirs);
            }
        }
    }
}

/// A package with a version that a tool derives from git.
struct GitPackage {
    name: Option<String>,
    tool: &'static VersionTool,
    scheme: Scheme,
    /// Whether the version has a local part, which names the commit.
    with_local: bool,
}

impl GitPackage {
    fn of(manifest: &DocumentMut) -> Option<GitPackage> {
        let at = |keys: &[&str]| item(manifest, keys);
        let text = |keys: &[&str]| at(keys).and_then(Item::as_str).map(str::to_owned);
        if at(&["project", "version"]).is_some() {
            return None;
        }
        let requirements = build_requirements(manifest);
        let is_required =
            |tool: &&VersionTool| requirements.iter().any(|name| name == tool.requirement);
        let tool = TOOLS.iter().find(is_required)?;
        // It takes versions from elsewhere too.
        if tool.requirement == "pdm-backend"
            && text(&["tool", "pdm", "version", "source"]).as_deref() != Some("scm")
        {
            return None;
        }
        let of_scm = |key| {
            let hatch = ["tool", "hatch", "version", "raw-options", key];
            text(&["tool", "setuptools_scm", key])
                .or_else(|| text(&["tool", "setuptools-scm", key]))
                .or_else(|| text(&hatch))
        };
        let scheme = match of_scm("version_scheme").as_deref() {
            Some("post-release") => Scheme::Post,
            Some("no-guess-dev") => Scheme::NoGuess,
            Some("only-version") => Scheme::TagOnly,
            _ => tool.scheme,
        };
        Some(GitPackage {
            name: text(&["project", "name"]).or_else(|| text(&["tool", "poetry", "name"])),
            tool,
            scheme,
            with_local: of_scm("local_scheme").as_deref() != Some("no-local-version"),
        })
    }
}

/// The name in a `setup.cfg`: the first `name = …` of its section `[metadata]`.
fn name_in_setup_cfg(dir: &Path) -> Option<String> {
    let text = read_text(&dir.join("setup.cfg"))?;
    let mut lines = text
        .lines()
        .skip_while(|line| line.trim() != "[metadata]")
        .skip(1);
    lines
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "name").then(|| value.trim().to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::manifest_text::tests::write_files;
    use std::ffi::OsStr;

    fn tool_of(manifest: &str) -> Option<(&'static str, Variable)> {
        let package = GitPackage::of(&manifest.parse().unwrap())?;
        Some((package.tool.requirement, package.tool.variable))
    }

    #[test]
    fn tools_are_known_by_what_the_build_requires() {
        let requiring = |name: &str| {
            format!(
                "[build-system]\nrequires = [\"x\", \"{name}\"]\n[project]\nname = \"p\"\ndynamic = [\"version\"]\n"
            )
        };
        for (requirement, tool) in [
            ("setuptools-scm>=8", "setuptools-scm"),
            ("setuptools_scm[toml]>=6.2", "setuptools-scm"),
            ("Hatch.VCS", "hatch-vcs"),
            ("flit_scm", "flit-scm"),
            ("versioningit ~= 3.0", "versioningit"),
            ("uv-dynamic-versioning", "uv-dynamic-versioning"),
        ] {
            let found = tool_of(&requiring(requirement)).map(|(tool, _)| tool);
            assert_eq!(found, Some(tool), "{requirement}");
        }
        assert_eq!(tool_of(&requiring("setuptools")), None);
        assert_eq!(tool_of(&requiring("pdm-backend")), None);
        let scm = format!(
            "{}[tool.pdm.version]\nsource = \"scm\"\n",
            requiring("pdm-backend")
        );
        assert_eq!(
            tool_of(&scm),
            Some(("pdm-backend", Variable::OfAll("PDM_BUILD_SCM_VERSION")))
        );
        let fixed =
            requiring("setuptools-scm").replace("dynamic = [\"version\"]", "version = \"1\"");
        assert_eq!(tool_of(&fixed), None);
    }

    #[test]
    fn a_variable_is_for_one_package_by_its_normalized_name() {
        assert_eq!(
            variable_of_package("My--odd_Pkg.x"),
            "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MY_ODD_PKG_X"
        );
    }

    fn version(package: &str, variable: &str, version: &str) -> GitVersion {
        GitVersion {
            package: package.into(),
            tool: "hatch-vcs".into(),
            version: version.into(),
            variable: Some(variable.into()),
        }
    }

    #[test]
    fn nothing_but_versions_for_these_tools_is_exported() {
        for (variable, value) in [
            ("PATH", "1.0"),
            ("LD_PRELOAD", "1"),
            ("SETUPTOOLS_SCM_PRETEND_VERSION_FOR_", "1.0"),
            ("SETUPTOOLS_SCM_PRETEND_VERSION_FOR_X=1 Y", "1.0"),
            ("PDM_BUILD_SCM_VERSION", "1.0\nX=y"),
            ("PDM_BUILD_SCM_VERSION", "$(id)1"),
            ("PDM_BUILD_SCM_VERSION", ""),
        ] {
            assert_eq!(
                assignments(&[version("p", variable, value)]).count(),
                0,
                "{variable}={value}"
            );
        }
        let fine = [version(
            "p",
            "PDM_BUILD_SCM_VERSION",
            "1.0.dev1+gabc.d20260101",
        )];
        assert_eq!(assignments(&fine).count(), 1);
    }

    #[test]
    fn two_values_of_one_variable_are_refused_unless_one_is_given() {
        let all = "SETUPTOOLS_SCM_PRETEND_VERSION";
        let differing = [
            version("one", all, "1.0"),
            version("same", all, "1.0"),
            version("two", all, "7.0"),
        ];
        for error in [
            for_build(&differing, &[]).unwrap_err(),
            for_product(&differing, &[]).unwrap_err(),
        ] {
            let error = error.to_string();
            for part in ["one has the version 1.0", "two has 7.0", all] {
                assert!(error.contains(part), "{error}");
            }
        }
        let given = OsStr::new("SETUPTOOLS_SCM_PRETEND_VERSION=2");
        let given = [ContainerVariable::new(given).unwrap()];
        assert_eq!(for_build(&differing, &given).unwrap().len(), 1);
        let fine = [
            version("one", all, "1.0"),
            version("same", all, "1.0"),
            version("two", "PDM_BUILD_SCM_VERSION", "7.0"),
        ];
        assert!(for_build(&fine, &[]).is_ok());
    }

    #[test]
    fn packages_are_looked_for_in_the_dirs_that_the_manifest_names() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = "[pypi-dependencies]\na = { path = \"./libs/a\", editable = true }\nout = { path = \"../b\" }\n[feature.x.pypi-dependencies]\nc = { path = \"c\" }\n[[t]]\npath = \"d\"\n";
        write_files(dir.path(), &[("pixi.toml", manifest)]);
        let dirs = package_dirs(dir.path(), &PathInRoot::default(), None);
        let expected = ["", "c", "d", "libs/a"].map(PathBuf::from);
        assert_eq!(dirs, BTreeSet::from(expected));
    }

    #[test]
    fn a_package_that_is_named_by_its_manifest_is_looked_for_in_its_directory() {
        let top = tempfile::tempdir().unwrap();
        let manifest = "[dependencies]\na = { path = '../libs/a/pyproject.toml' }\nb = { path = '../libs/b' }\n";
        write_files(top.path(), &[("app/pixi.toml", manifest)]);
        let project = PathInRoot::new(Path::new("app")).unwrap();
        let dirs = package_dirs(top.path(), &project, None);
        let expected = ["app", "libs/a", "libs/b"].map(PathBuf::from);
        assert_eq!(dirs.into_iter().collect::<Vec<_>>(), expected);
    }
}
