//! Versions that a build takes from git. Git's directory stays behind, so they are taken from it
//! when the project is staged, and are handed over by the variables that the build backends read.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, TableLike};

use crate::context::Context;
use crate::evidence::{GitVersion, rfc3339};
use crate::failure::Failure;
use crate::layout::{self, PathInRoot};
use crate::packages::Lock;
use crate::project::build_backend;
use crate::project::source_state;
use crate::project::source_tree::SourceTree;
use crate::request::{ContainerVariable, ProductVariable};

/// The longest manifest that is looked into, in bytes.
const LONGEST_MANIFEST: u64 = 4 * 1024 * 1024;

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

/// How a tool makes a version out of a tag and the commits since then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    /// The next version's development release, as setuptools-scm's `guess-next-dev`.
    GuessNext,
    /// The tag alone.
    TagOnly,
    /// A post-release of the tag, as setuptools-scm's `post-release`.
    Post,
    /// A development release of a post-release, as setuptools-scm's `no-guess-dev`.
    NoGuess,
    /// The same, as dunamai has it.
    Dunamai,
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
                "{package} takes its version from git ({tool}), which stays behind: the builds get {version} by {variable}; --container-env and --env {variable}=VERSION give another"
            )),
            None => context.report.warning(format_args!(
                "{package} takes its version from git ({tool}), which stays behind, and {tool} reads no variable: its build fails or has another version than {version}; set the fallback that {tool} has in pyproject.toml"
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
    require_one_value(versions, &is_given)?;
    let mut all = variables.to_vec();
    for (key, value) in assignments(versions) {
        if !all.iter().any(|variable| variable.key() == key) {
            all.push(ContainerVariable::new(OsStr::new(&format!(
                "{key}={value}"
            )))?);
        }
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
    require_one_value(versions, &is_given)?;
    let mut all = Vec::new();
    for (key, value) in assignments(versions) {
        if !is_given(key) {
            all.push(ProductVariable::new(OsStr::new(&format!("{key}={value}")))?);
        }
    }
    all.extend(variables.iter().cloned());
    Ok(all)
}

/// Requires that no two packages need different values of one variable: each is built with
/// the same variables, so one of them would get the version of the other.
fn require_one_value(
    versions: &[GitVersion],
    is_given: &dyn Fn(&str) -> bool,
) -> anyhow::Result<()> {
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
    Ok(())
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

/// Whether a text can be a version (PEP 440), as far as its characters tell.
fn is_version(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".!+-_".contains(&byte);
    text.len() < 256 && text.bytes().all(plain) && text.bytes().any(|byte| byte.is_ascii_digit())
}

const OF_PACKAGE: &str = "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_";

/// setuptools-scm's variable for one package.
fn variable_of_package(name: &str) -> String {
    let name = normalized(name).replace('-', "_").to_ascii_uppercase();
    format!("{OF_PACKAGE}{name}")
}

/// A package's name as PEP 503 compares names.
pub(super) fn normalized(name: &str) -> String {
    let mut text = String::new();
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !text.is_empty() {
            text.push('-');
        }
        text.push_str(&part.to_ascii_lowercase());
    }
    text
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

/// Reads a manifest; `None` when it is none.
pub(super) fn read(manifest: &Path) -> Option<DocumentMut> {
    read_text(manifest)?.parse().ok()
}

/// Reads a text no longer than a manifest may be; `None` when there is none.
pub(super) fn read_text(file: &Path) -> Option<String> {
    let metadata = fs::metadata(file).ok()?;
    if !metadata.is_file() || metadata.len() > LONGEST_MANIFEST {
        return None;
    }
    fs::read_to_string(file).ok()
}

/// A package of which a tool makes the version.
struct GitPackage {
    name: Option<String>,
    tool: &'static VersionTool,
    scheme: Scheme,
    /// Whether the version has a local part, which names the commit.
    with_local: bool,
}

impl GitPackage {
    fn of(manifest: &DocumentMut) -> Option<GitPackage> {
        let at = |keys: &[&str]| {
            let root = Some(manifest.as_item());
            keys.iter().fold(root, |item, key| item?.get(key))
        };
        let text = |keys: &[&str]| at(keys).and_then(Item::as_str).map(str::to_owned);
        if at(&["project", "version"]).is_some() {
            return None;
        }
        let requirements: Vec<String> = at(&["build-system", "requires"])?
            .as_array()?
            .iter()
            .filter_map(|requirement| Some(requirement_name(requirement.as_str()?)))
            .collect();
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

/// The name that a requirement begins with.
pub(super) fn requirement_name(requirement: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let end = requirement
        .find(|c| !is_name(c))
        .unwrap_or(requirement.len());
    normalized(&requirement[..end])
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

/// What `git describe` says of the commit that is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GitDescription {
    /// The version that the nearest tag names; none without a tag.
    tag: Option<String>,
    /// The commits since then, or all.
    distance: u64,
    /// The commit.
    commit: String,
    dirty: bool,
}

impl GitDescription {
    fn of(dir: &Path, context: &Context) -> Option<GitDescription> {
        let git = source_state::git(dir, context)?;
        let line = |words: &[&str]| Some(String::from_utf8(git(words)?).ok()?.trim().to_owned());
        let describe = [
            "describe",
            "--tags",
            "--long",
            "--dirty",
            "--abbrev=40",
            "--match",
            "*[0-9]*",
        ];
        if let Some(described) = line(&describe) {
            return GitDescription::parse(&described);
        }
        let commit = line(&["rev-parse", "--verify", "HEAD"])?;
        let status = git(&["status", "--porcelain=v1", "--untracked-files=no"])?;
        Some(GitDescription {
            tag: None,
            distance: line(&["rev-list", "--count", "HEAD"])?.parse().ok()?,
            commit,
            dirty: !status.is_empty(),
        })
    }

    /// Reads `TAG-DISTANCE-gCOMMIT[-dirty]`; a tag may have hyphens.
    fn parse(text: &str) -> Option<GitDescription> {
        let clean = text.strip_suffix("-dirty");
        let mut parts = clean.unwrap_or(text).rsplitn(3, '-');
        let commit = parts.next()?.strip_prefix('g')?.to_owned();
        let distance = parts.next()?.parse().ok()?;
        Some(GitDescription {
            tag: Some(version_of_tag(parts.next()?)?),
            distance,
            commit,
            dirty: clean.is_some(),
        })
    }

    /// The version, as the tools make it where nothing else is set.
    fn version(&self, scheme: Scheme, with_local: bool, unix_seconds: u64) -> String {
        let tag = self.tag.as_deref().unwrap_or("0.0");
        let is_exact = self.tag.is_some() && self.distance == 0 && !self.dirty;
        if is_exact || scheme == Scheme::TagOnly {
            return tag.to_owned();
        }
        let distance = self.distance;
        let short = self.commit.get(..9).unwrap_or(&self.commit);
        if scheme == Scheme::Dunamai {
            if self.tag.is_some() && distance == 0 {
                return tag.to_owned();
            }
            let short = self.commit.get(..7).unwrap_or(&self.commit);
            return format!("{tag}.post{distance}.dev0+{short}");
        }
        let public = match scheme {
            Scheme::Post => format!("{tag}.post{distance}"),
            Scheme::NoGuess => format!("{tag}.post1.dev{distance}"),
            _ => format!("{}.dev{distance}", next_version(tag)),
        };
        let day = match self.dirty {
            // The day of RFC 3339 without its hyphens.
            true => rfc3339(unix_seconds).map(|time| format!(".d{}", time[..10].replace('-', ""))),
            false => None,
        };
        match with_local {
            true => format!("{public}+g{short}{}", day.unwrap_or_default()),
            false => public,
        }
    }
}

/// The version in a tag: without a name before it, a `v`, and what follows a `+`.
fn version_of_tag(tag: &str) -> Option<String> {
    // `name-v1.0`: names are put before it where a repository has several packages.
    let starts = std::iter::once(0).chain(tag.match_indices(['-', '/']).map(|(at, _)| at + 1));
    let version = starts.map(|at| &tag[at..]).find_map(|rest| {
        let rest = rest.strip_prefix(['v', 'V']).unwrap_or(rest);
        rest.starts_with(|c: char| c.is_ascii_digit())
            .then_some(rest)
    })?;
    let public = version.split('+').next()?;
    // `1.0-rc1`, `1.0_rc1` and `1.0.rc1` are `1.0rc1`, as PEP 440 has it.
    let mut text = public.to_ascii_lowercase();
    for (long, short) in [
        ("alpha", "a"),
        ("beta", "b"),
        ("preview", "rc"),
        ("pre", "rc"),
    ] {
        text = text.replace(long, short);
    }
    for kind in ["a", "b", "rc"] {
        for mark in ['-', '_', '.'] {
            text = text.replace(&format!("{mark}{kind}"), kind);
        }
        for mark in ['-', '_', '.'] {
            text = text.replace(&format!("{kind}{mark}"), kind);
        }
    }
    let text = text.replace(['-', '_'], ".");
    is_version(&text).then_some(text)
}

/// The version after this one: its last number is one more.
fn next_version(version: &str) -> String {
    let digits = version.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (start, number) = version.split_at(version.len() - digits);
    match number.parse::<u64>() {
        Ok(number) => format!("{start}{}", number + 1),
        Err(_) => format!("{version}1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_that_setuptools_scm_makes() {
        // By setuptools-scm 10.3.4 and vcs-versioning 2.6.0.
        let version = |text: &str, scheme| {
            let described = GitDescription::parse(text).unwrap();
            described.version(scheme, true, 1_700_000_000)
        };
        let commit = "a".repeat(40);
        let at = |tag: &str| format!("{tag}-g{commit}");
        for (text, expected) in [
            (at("v1.2.3-0"), "1.2.3"),
            (at("1.2-4"), "1.3.dev4+gaaaaaaaaa"),
            (at("v1.2.3-4"), "1.2.4.dev4+gaaaaaaaaa"),
            (at("v1.2.0-rc1-2"), "1.2.0rc2.dev2+gaaaaaaaaa"),
            (at("my-pkg-v2.0-1"), "2.1.dev1+gaaaaaaaaa"),
            (at("release/2.0.1-0"), "2.0.1"),
            (at("v1.0+local-0"), "1.0"),
            (
                format!("{}-dirty", at("v1.2.3-0")),
                "1.2.4.dev0+gaaaaaaaaa.d20231114",
            ),
            (
                format!("{}-dirty", at("v1.2.3-7")),
                "1.2.4.dev7+gaaaaaaaaa.d20231114",
            ),
        ] {
            assert_eq!(version(&text, Scheme::GuessNext), expected, "{text}");
        }
        assert_eq!(
            version(&at("v1.2.3-4"), Scheme::Dunamai),
            "1.2.3.post4.dev0+aaaaaaa"
        );
        assert_eq!(
            version(&at("v1.2.3-4"), Scheme::Post),
            "1.2.3.post4+gaaaaaaaaa"
        );
        assert_eq!(
            version(&at("v1.2.3-4"), Scheme::NoGuess),
            "1.2.3.post1.dev4+gaaaaaaaaa"
        );
        assert_eq!(version(&at("v1.2.3-4"), Scheme::TagOnly), "1.2.3");
        let untagged = GitDescription {
            tag: None,
            distance: 3,
            commit: commit.clone(),
            dirty: false,
        };
        assert_eq!(
            untagged.version(Scheme::GuessNext, true, 0),
            "0.1.dev3+gaaaaaaaaa"
        );
        assert_eq!(untagged.version(Scheme::GuessNext, false, 0), "0.1.dev3");
        assert_eq!(GitDescription::parse("not-a-version"), None);
    }

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

    #[test]
    fn nothing_but_versions_for_these_tools_is_exported() {
        let version = |variable: &str, version: &str| GitVersion {
            package: "p".into(),
            tool: "t".into(),
            version: version.into(),
            variable: Some(variable.into()),
        };
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
                assignments(&[version(variable, value)]).count(),
                0,
                "{variable}={value}"
            );
        }
        let fine = [version("PDM_BUILD_SCM_VERSION", "1.0.dev1+gabc.d20260101")];
        assert_eq!(assignments(&fine).count(), 1);
    }

    #[test]
    fn two_values_of_one_variable_are_refused_unless_one_is_given() {
        let version = |package: &str, variable: &str, version: &str| GitVersion {
            package: package.into(),
            tool: "hatch-vcs".into(),
            version: version.into(),
            variable: Some(variable.into()),
        };
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
        fs::write(
            dir.path().join("pixi.toml"),
            "[pypi-dependencies]\na = { path = \"./libs/a\", editable = true }\nout = { path = \"../b\" }\n[feature.x.pypi-dependencies]\nc = { path = \"c\" }\n[[t]]\npath = \"d\"\n",
        )
        .unwrap();
        let dirs = package_dirs(dir.path(), &PathInRoot::default(), None);
        let expected = ["", "c", "d", "libs/a"].map(PathBuf::from);
        assert_eq!(dirs, BTreeSet::from(expected));
    }

    #[test]
    fn a_package_that_is_named_by_its_manifest_is_looked_for_in_its_directory() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir_all(top.path().join("app")).unwrap();
        fs::write(
            top.path().join("app/pixi.toml"),
            "[dependencies]\na = { path = '../libs/a/pyproject.toml' }\nb = { path = '../libs/b' }\n",
        )
        .unwrap();
        let project = PathInRoot::new(Path::new("app")).unwrap();
        let dirs = package_dirs(top.path(), &project, None);
        let expected = ["app", "libs/a", "libs/b"].map(PathBuf::from);
        assert_eq!(dirs.into_iter().collect::<Vec<_>>(), expected);
    }
}
