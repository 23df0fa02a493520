//! The lock file of a project: which packages each environment needs on each
//! platform.
//!
//! `rattler_lock` reads the formats of all versions; here they become the few
//! facts that decide whether an offline install can work.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use rattler_lock::{
    CondaPackageData, LockFile, LockedPackage as RattlerPackage, PackageHashes,
    Platform as RattlerPlatform, PypiPackageData, UrlOrPath,
};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::evidence::{Sha256Digest, hexadecimal};
use crate::failure::Failure;
use crate::packages::virtual_package::{VirtualPackage, virtual_package};
use crate::packages::wheel_name::WheelName;
use crate::regular_file;
use crate::staging::LFS_POINTER_BEGINS;
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// A `pixi.lock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    digest: Sha256Digest,
    version: u16,
    text: String,
    environments: BTreeMap<String, LockedEnvironment>,
    /// The subdirs of the platforms that it lists at its top; empty before format 7.
    declared: BTreeSet<String>,
}

/// One environment of a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct LockedEnvironment {
    channels: Vec<String>,
    /// A list for each platform; where several have one subdir, the one that is
    /// named like it comes first.
    lists: Vec<PackageList>,
}

/// What an environment needs on one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PackageList {
    platform: LockedPlatform,
    packages: Vec<Package>,
}

/// A platform that a lock has packages for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedPlatform {
    /// Its name in the lock: that of its subdir, or another (`p1`) where the
    /// project asks for more of a machine. An environment may have several of one
    /// subdir.
    pub name: String,
    /// The part of a channel that its packages come from, `linux-64` for example.
    pub subdir: String,
    /// What it asks of a machine, such as `__cuda=12.0`; only format 7 tells.
    pub virtual_packages: Vec<String>,
}

/// A package that an environment needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Package {
    /// A conda package, as a channel has it.
    Conda(CondaPackage),
    /// A conda package that pixi builds from source (pixi-build).
    CondaSource {
        /// Its name.
        name: String,
        /// Where its source is.
        location: String,
    },
    /// A Python package.
    Python(PythonPackage),
}

/// A conda package, as a channel has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CondaPackage {
    /// `name-version-build`, the name of its archive without the ending.
    pub stem: String,
    /// Where its archive is: a URL or a path.
    pub location: String,
    /// The sha256 of its archive, where the lock has it.
    pub sha256: Option<String>,
    /// The oldest glibc that it runs with, where it says so.
    pub glibc: Option<(u32, u32)>,
    /// What it asks of the machine, such as `__cuda >=12`.
    pub virtual_packages: Vec<String>,
}

/// A Python package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PythonPackage {
    /// Its name, normalised (PEP 503).
    pub name: String,
    /// Its version; a source folder may have none.
    pub version: Option<String>,
    /// What is locked.
    pub kind: PythonKind,
    /// Where it is: a URL or a path.
    pub location: String,
    /// The sha256 of the wheel or source distribution, where the lock has it.
    pub sha256: Option<String>,
}

/// What of a Python package is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PythonKind {
    /// A wheel, from an index, a URL or a file.
    Wheel,
    /// A source distribution: a wheel is built of it.
    SourceDistribution,
    /// A git repository: a wheel is built of it.
    Git,
    /// A folder: a wheel is built of it wherever it is installed.
    Folder,
}

impl Lock {
    /// Reads a lock file that a container could write; `None` when there is none. No link is
    /// followed.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read; exit code 2 when it is no lock that
    /// this version understands. The file is named.
    pub fn read(file: &Path) -> anyhow::Result<Option<Lock>> {
        match UntrustedDir::read_file(file, RECORD_LIMIT) {
            Ok(bytes) => Lock::of_file(file, bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(Failure::usage(format!(
                    "{} cannot be used: {error}; put the lock file itself in its place",
                    file.display()
                )))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Lock::unreadable(file, error)),
        }
    }

    /// Reads the lock file of somebody's project, which may be a link; `None` when there
    /// is none. A link to nowhere is a lock that cannot be read.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is there and cannot be read, or is no lock that this version
    /// understands. The file is named.
    pub fn read_through_links(file: &Path) -> anyhow::Result<Option<Lock>> {
        match regular_file::read(file, RECORD_LIMIT) {
            Ok(bytes) => Lock::of_file(file, bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(file) {
                Err(_) => Ok(None),
                Ok(target) => Err(Failure::usage(format!(
                    "{} is a link to {}, where nothing is; bring the lock there, or remove the link",
                    file.display(),
                    target.display()
                ))),
            },
            Err(error) => Err(Lock::unreadable(file, error)),
        }
    }

    fn of_file(file: &Path, bytes: Vec<u8>) -> anyhow::Result<Lock> {
        let text = String::from_utf8(bytes).map_err(|_| {
            Failure::usage(format!(
                "{} is no lock file: it is not text",
                file.display()
            ))
        })?;
        Lock::parse(text).map_err(|error| {
            Failure::usage(format!(
                "{} is no lock file that can be used: {error}",
                file.display()
            ))
        })
    }

    /// What to say of a lock that is there and cannot be read.
    fn unreadable(file: &Path, error: io::Error) -> anyhow::Error {
        let shown = file.display();
        let is_circle = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
        match error.kind() {
            _ if is_circle => Failure::usage(format!(
                "{shown} is a link that leads in a circle; bring the lock there, or remove the link"
            )),
            io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::PermissionDenied => Failure::usage(format!(
                "{shown} is there and cannot be read as a lock: {error}; without it nobody knows what the product must hold"
            )),
            _ => anyhow::Error::new(error).context(format!("{shown} cannot be read")),
        }
    }

    /// Reads the text of a lock file.
    ///
    /// # Errors
    ///
    /// When it does not parse or has an unknown version, or a package in it has a
    /// name that is no file name: it would lead out of the cache.
    pub fn parse(text: String) -> anyhow::Result<Lock> {
        if let Some(why) = not_checked_out(&text) {
            anyhow::bail!("{why}");
        }
        anyhow::ensure!(
            is_flat(&text),
            "it opens more than {DEEPEST} brackets and does not close them; make it again with pixi"
        );
        let lock = LockFile::from_str_with_base_directory(&text, None).map_err(|error| {
            anyhow::anyhow!("{error}; make it again with pixi, or use newer commands")
        })?;
        let mut environments = BTreeMap::new();
        for (name, environment) in lock.environments() {
            let mut locked = LockedEnvironment {
                channels: environment
                    .channels()
                    .iter()
                    .map(|channel| channel.url.clone())
                    .collect(),
                lists: Vec::new(),
            };
            for (platform, packages) in environment.packages_by_platform() {
                locked.lists.push(PackageList {
                    platform: LockedPlatform::from(&platform),
                    packages: packages
                        .map(Package::from)
                        .map(Package::with_plain_name)
                        .collect::<anyhow::Result<_>>()?,
                });
            }
            // They come out of a hash map.
            locked.lists.sort_by_cached_key(|list| list.platform.rank());
            environments.insert(name.to_owned(), locked);
        }
        Ok(Lock {
            digest: Sha256Digest::from(Sha256::digest(&text)),
            version: lock.version() as u16,
            text,
            environments,
            declared: lock
                .platforms()
                .map(|platform| platform.subdir().to_string())
                .collect(),
        })
    }

    /// The sha256 of the file.
    pub fn digest(&self) -> &Sha256Digest {
        &self.digest
    }

    /// The version of its format.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names of its environments, sorted.
    pub fn environments(&self) -> impl Iterator<Item = &str> {
        self.environments.keys().map(String::as_str)
    }

    /// The channels of all its environments.
    pub fn channels(&self) -> impl Iterator<Item = &str> {
        self.environments
            .values()
            .flat_map(|environment| &environment.channels)
            .map(String::as_str)
    }

    /// Whether a channel in it is a folder. Pixi records the folder's absolute
    /// path, so at another path `--locked` takes the lock for stale, while
    /// `--frozen` installs it (seen with pixi 0.77.0).
    pub fn names_local_channel(&self) -> bool {
        self.channels().any(|channel| channel.starts_with("file:"))
    }

    /// The names of the platforms that an environment is locked for; `None` when the
    /// lock lacks the environment.
    pub fn platforms(&self, environment: &str) -> Option<Vec<&str>> {
        let lists = &self.environments.get(environment)?.lists;
        Some(lists.iter().map(|list| &*list.platform.name).collect())
    }

    /// Whether one of the environments has a package that is built from a git repository,
    /// on every platform that it is locked for.
    pub fn needs_git(&self, environments: &[String]) -> bool {
        let is_git = |package: &Package| matches!(package, Package::Python(python) if python.kind == PythonKind::Git);
        environments
            .iter()
            .filter_map(|name| self.environments.get(name))
            .filter(|environment| !environment.lists.is_empty())
            .any(|environment| {
                let mut lists = environment.lists.iter();
                lists.all(|list| list.packages.iter().any(is_git))
            })
    }

    /// The names of all Python packages in it, normalised.
    pub(super) fn python_names(&self) -> BTreeSet<String> {
        let packages = self
            .environments
            .values()
            .flat_map(|environment| &environment.lists)
            .flat_map(|list| &list.packages);
        packages
            .filter_map(|package| match package {
                Package::Python(python) => Some(python.name.clone()),
                _ => None,
            })
            .collect()
    }

    /// The names of all its platforms.
    pub fn platform_names(&self) -> BTreeSet<&str> {
        self.environments
            .values()
            .flat_map(|environment| &environment.lists)
            .map(|list| &*list.platform.name)
            .collect()
    }

    /// The platforms of a subdir that an environment is locked for.
    pub fn platforms_of(&self, environment: &str, subdir: &str) -> Vec<&LockedPlatform> {
        let lists = self
            .environments
            .get(environment)
            .map(|found| &*found.lists);
        lists
            .unwrap_or_default()
            .iter()
            .map(|list| &list.platform)
            .filter(|platform| platform.subdir == subdir)
            .collect()
    }

    /// Whether nothing in it is for a platform of this subdir. Of locks before format 7
    /// that is not known while an environment needs nothing: it has no platforms there.
    pub fn is_not_for(&self, subdir: &str) -> bool {
        if self.version >= 7 {
            return !self.declared.is_empty() && !self.declared.contains(subdir);
        }
        !self.environments.values().any(|environment| {
            let lists = &environment.lists;
            lists.is_empty() || lists.iter().any(|list| list.platform.subdir == subdir)
        })
    }

    /// What an environment needs on a platform, which may be named by its subdir;
    /// `None` when the lock lacks either.
    pub fn packages(&self, environment: &str, platform: &str) -> Option<&[Package]> {
        self.list(environment, platform).map(|list| &*list.packages)
    }

    /// The platform of that name; where none has it, the first of that subdir.
    pub fn platform(&self, environment: &str, platform: &str) -> Option<&LockedPlatform> {
        self.list(environment, platform).map(|list| &list.platform)
    }

    fn list(&self, environment: &str, platform: &str) -> Option<&PackageList> {
        let lists = &self.environments.get(environment)?.lists;
        let named = lists.iter().find(|list| list.platform.name == platform);
        named.or_else(|| lists.iter().find(|list| list.platform.subdir == platform))
    }

    /// The platform of `subdir` that an environment was installed for: the one with
    /// the most of its conda packages among those of which each is in `conda_packages`
    /// (`name-version-build`); of equals the one that asks for most of the virtual
    /// packages that pixi chose by, where it told them.
    pub fn installed_platform(
        &self,
        environment: &str,
        subdir: &str,
        conda_packages: &BTreeSet<String>,
        virtual_packages: &[String],
    ) -> Option<&LockedPlatform> {
        let lists = &self.environments.get(environment)?.lists;
        let mut best: Option<(&PackageList, (usize, usize))> = None;
        for list in lists.iter().filter(|list| list.platform.subdir == subdir) {
            let Some(fit) = list.fits(conda_packages, virtual_packages) else {
                continue;
            };
            // Of equals the first.
            if best.is_none_or(|(_, found)| fit > found) {
                best = Some((list, fit));
            }
        }
        best.map(|(list, _)| &list.platform)
    }

    /// Forgets, of each environment named in `choices`, the platforms that have the
    /// subdir of the one named there and another name.
    #[must_use]
    pub fn choosing<'a>(mut self, choices: impl IntoIterator<Item = (&'a str, &'a str)>) -> Lock {
        for (environment, name) in choices {
            let Some(found) = self.environments.get_mut(environment) else {
                continue;
            };
            let chosen = found.lists.iter().find(|list| list.platform.name == name);
            let Some(subdir) = chosen.map(|list| list.platform.subdir.clone()) else {
                continue;
            };
            found
                .lists
                .retain(|list| list.platform.name == name || list.platform.subdir != subdir);
        }
        self
    }
}

impl PackageList {
    /// How many of the installed conda packages, and of the virtual packages that
    /// pixi chose by, are of this list; `None` when it needs one that is not there.
    fn fits(
        &self,
        conda_packages: &BTreeSet<String>,
        virtual_packages: &[String],
    ) -> Option<(usize, usize)> {
        let mut conda = 0;
        for package in &self.packages {
            if let Package::Conda(package) = package {
                if !conda_packages.contains(&package.stem) {
                    return None;
                }
                conda += 1;
            }
        }
        let chosen_by: BTreeSet<_> = virtual_packages
            .iter()
            .map(|text| virtual_package(text))
            .collect();
        let own = self.platform.virtual_packages.iter();
        let own: BTreeSet<_> = own.map(|text| virtual_package(text)).collect();
        // One that asks for more than pixi chose by was not chosen.
        let asked = if own.is_subset(&chosen_by) {
            1 + own.len()
        } else {
            0
        };
        Some((conda, asked))
    }
}

impl LockedPlatform {
    /// What it asks of a machine beyond what every machine of its subdir has.
    pub fn asked(&self) -> BTreeSet<VirtualPackage> {
        let all = self.virtual_packages.iter();
        all.filter_map(|text| VirtualPackage::parse(text))
            .filter(|one| !one.is_of_every_machine(&self.subdir))
            .collect()
    }

    /// The same, each as a conda package asks: `__cuda >=12.0`.
    pub fn requirements(&self) -> Vec<String> {
        let is_asked = |text: &&String| {
            VirtualPackage::parse(text).is_none_or(|one| !one.is_of_every_machine(&self.subdir))
        };
        self.virtual_packages
            .iter()
            .filter(is_asked)
            .map(|text| match virtual_package(text) {
                (name, "0") => name.to_owned(),
                (name, version) => format!("{name} >={version}"),
            })
            .collect()
    }

    /// What platforms are sorted by.
    fn rank(&self) -> (String, bool, String) {
        let is_other = self.name != self.subdir;
        (self.subdir.clone(), is_other, self.name.clone())
    }
}

impl From<&RattlerPlatform<'_>> for LockedPlatform {
    fn from(platform: &RattlerPlatform<'_>) -> LockedPlatform {
        LockedPlatform {
            name: platform.name().to_string(),
            subdir: platform.subdir().to_string(),
            virtual_packages: platform.virtual_packages().to_vec(),
        }
    }
}

impl Package {
    /// The oldest glibc that it runs with, where it says so.
    pub fn glibc(&self) -> Option<(u32, u32)> {
        match self {
            Package::Conda(conda) => conda.glibc,
            Package::CondaSource { .. } => None,
            Package::Python(python) => python.glibc(),
        }
    }

    /// The package, when its name can be that of a folder in the cache.
    fn with_plain_name(self) -> anyhow::Result<Package> {
        if let Package::Conda(conda) = &self {
            anyhow::ensure!(
                is_file_name(&conda.stem),
                "the package {:?} has no name that a folder can have; make the lock again with pixi",
                conda.stem
            );
        }
        Ok(self)
    }
}

/// How many brackets may be open in a lock, those in strings included; a lock of pixi's has
/// a few.
const DEEPEST: usize = 1000;

/// Whether a text has no deeply nested brackets: the YAML parser takes a time for them that
/// grows with the square of their number, hours for a mebibyte.
fn is_flat(text: &str) -> bool {
    let mut open = 0_usize;
    text.bytes().all(|byte| {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open <= DEEPEST
    })
}

/// Why a text is not the file that git keeps under its name: it only stands for it,
/// or two versions of it are not merged yet.
pub fn not_checked_out(text: &str) -> Option<String> {
    if LFS_POINTER_BEGINS
        .iter()
        .any(|begin| text.starts_with(begin))
    {
        return Some(
            "it is a pointer of Git LFS, not the file itself; bring it with `git lfs pull`"
                .to_owned(),
        );
    }
    if text.starts_with("/annex/objects/") {
        return Some(
            "it is a pointer of git-annex, not the file itself; bring it with `git annex get`"
                .to_owned(),
        );
    }
    if is_path(text) {
        return Some(format!(
            "it has nothing but the path {}, as git writes a link where core.symlinks is off; put the file that is meant in its place",
            text.trim()
        ));
    }
    let line_of = |mark: &str| text.lines().position(|line| line.starts_with(mark));
    let (begin, end) = (line_of("<<<<<<< ")?, line_of(">>>>>>> ")?);
    (begin < end).then(|| {
        format!(
            "it has git's conflict markers, in line {} first; merge it, or take one side of it (`git checkout --ours` or `--theirs`) and lock again",
            begin + 1
        )
    })
}

/// Whether a text is a path of several components, and nothing else.
fn is_path(text: &str) -> bool {
    let path = text.trim();
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "=:[]{}#\"'".contains(c);
    path.contains('/') && !path.contains(is_odd)
}

/// Whether a text is a single component of a path.
fn is_file_name(text: &str) -> bool {
    !text.contains(['/', '\0']) && !matches!(text, "" | "." | "..")
}

impl PythonPackage {
    /// Whether it is read from a file or folder of the project.
    pub(super) fn is_in_project(&self) -> bool {
        !self.location.contains("://")
    }

    /// The name of its file, by where it is.
    pub(super) fn file(&self) -> Option<String> {
        let path = self.location.split(['#', '?']).next()?;
        let name = path.rsplit('/').next()?;
        let name = percent_encoding::percent_decode_str(name)
            .decode_utf8()
            .ok()?;
        (!name.is_empty()).then(|| name.into_owned())
    }

    /// The commit of a git repository.
    pub(super) fn commit(&self) -> Option<String> {
        let (_, commit) = self.location.rsplit_once('#')?;
        let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_commit.then(|| commit.to_ascii_lowercase())
    }

    /// How messages name it.
    pub(super) fn shown(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.name),
            None => self.name.clone(),
        }
    }

    /// The oldest glibc that it runs with, where the name of its wheel says so.
    pub(super) fn glibc(&self) -> Option<(u32, u32)> {
        let file = self.file().filter(|_| self.kind == PythonKind::Wheel)?;
        WheelName::parse(&file)?.glibc()
    }
}

impl From<&RattlerPackage> for Package {
    fn from(package: &RattlerPackage) -> Package {
        match package {
            RattlerPackage::Conda(conda) => match conda {
                CondaPackageData::Binary(binary) => Package::Conda(CondaPackage {
                    stem: binary.file_name.identifier.to_string(),
                    location: binary.location.to_string(),
                    glibc: binary
                        .package_record
                        .depends
                        .iter()
                        .find_map(|text| oldest_glibc(text)),
                    virtual_packages: binary
                        .package_record
                        .depends
                        .iter()
                        .filter(|text| text.starts_with("__"))
                        .map(ToString::to_string)
                        .collect(),
                    sha256: binary
                        .package_record
                        .sha256
                        .map(|sha256| hexadecimal(&sha256)),
                }),
                CondaPackageData::Source(source) => Package::CondaSource {
                    name: conda.name().as_normalized().to_owned(),
                    location: source.location.to_string(),
                },
            },
            RattlerPackage::Pypi(python) => Package::Python(PythonPackage::from(python)),
        }
    }
}

impl From<&PypiPackageData> for PythonPackage {
    fn from(package: &PypiPackageData) -> PythonPackage {
        match package {
            PypiPackageData::Distribution(distribution) => {
                let location = distribution.location.inner();
                PythonPackage {
                    name: distribution.name.to_string(),
                    version: Some(distribution.version.to_string()),
                    kind: kind_of(location, distribution.hash.as_ref()),
                    location: location.to_string(),
                    sha256: distribution
                        .hash
                        .as_ref()
                        .and_then(|hash| hash.sha256())
                        .map(|sha256| hexadecimal(sha256)),
                }
            }
            PypiPackageData::Source(source) => {
                let location = source.location.inner();
                let text = location.to_string();
                PythonPackage {
                    name: source.name.to_string(),
                    version: None,
                    kind: if text.starts_with("git+") {
                        PythonKind::Git
                    } else {
                        PythonKind::Folder
                    },
                    location: text,
                    sha256: None,
                }
            }
        }
    }
}

/// The version in a dependency such as `__glibc >=2.17,<3.0.a0`.
fn oldest_glibc(dependency: &str) -> Option<(u32, u32)> {
    let version = dependency
        .strip_prefix("__glibc")?
        .trim_start()
        .strip_prefix(">=")?;
    let mut numbers = version.split([',', ' ']).next()?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What a distribution is, by where it is; only files of an index or a URL have
/// a hash, so a path without one is a folder in locks that do not say it.
fn kind_of(location: &UrlOrPath, hash: Option<&PackageHashes>) -> PythonKind {
    let text = location.to_string();
    let file = text.split(['#', '?']).next().unwrap_or(&text);
    let source = [".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz", ".tar"];
    if text.starts_with("git+") {
        PythonKind::Git
    } else if file.ends_with(".whl") {
        PythonKind::Wheel
    } else if source.iter().any(|ending| file.ends_with(ending)) || hash.is_some() {
        PythonKind::SourceDistribution
    } else {
        PythonKind::Folder
    }
}

#[cfg(test)]
mod tests;
