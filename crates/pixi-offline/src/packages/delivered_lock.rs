//! The lock that a product carries where the project's own cannot be installed there: some of
//! its packages are replaced, and `rattler_lock` writes it anew, in format 7.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use rattler_lock::{
    CondaPackageData, Environment, EnvironmentPackages, LockFile, LockFileBuilder, LockedPackage,
    PackageHandle, Platform, PlatformData, PypiPackageData, SourceData, SourceIdentifier,
};

use crate::packages::lock::Lock;
use crate::packages::lock_cache::LockCache;
use crate::packages::package::Package;

/// The format that a delivered lock has.
pub const DELIVERED_FORMAT: u16 = 7;

/// A list of packages in a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListOfLock<'a> {
    /// The environment.
    pub environment: &'a str,
    /// The name of its platform.
    pub platform: &'a str,
}

/// What takes the place of a package in a list of a lock; `None` where it stays.
pub type ReplacePackage<'a> = dyn Fn(ListOfLock<'_>, &LockedPackage) -> Option<LockedPackage> + 'a;

/// The lock with some packages replaced, in format 7; `None` where none is. The text is read
/// again and compared: it differs from the original in these packages alone.
///
/// # Errors
///
/// When the lock cannot be written, or what was written differs from what was to be.
pub fn deliver(
    original: &Lock,
    locks: &LockCache,
    replace: &ReplacePackage<'_>,
) -> anyhow::Result<Option<Lock>> {
    let file = locks.file(original)?;
    // Most locks have nothing to replace: they are not built anew to learn that.
    if !has_replaced(&file, replace) {
        return Ok(None);
    }
    let written = build(&file, replace)?;
    let text = written.render_to_string()?;
    let delivered = locks.parse(text)?;
    let base = in_format_7(original, &file, locks)?;
    require_same(&base, &locks.file(&delivered)?, replace)
        .context("the lock file of the product would differ from pixi.lock in more than the replaced packages")?;
    Ok(Some(delivered))
}

fn has_replaced(file: &LockFile, replace: &ReplacePackage<'_>) -> bool {
    file.environments().any(|(name, environment)| {
        let lists = environment.packages_by_platform();
        lists.into_iter().any(|(platform, mut packages)| {
            let list = ListOfLock {
                environment: name,
                platform: platform.name(),
            };
            packages.any(|package| replace(list, package).is_some())
        })
    })
}

/// The lock itself where it has format 7, else as `rattler_lock` writes it in that format.
fn in_format_7(original: &Lock, file: &LockFile, locks: &LockCache) -> anyhow::Result<LockFile> {
    if original.version() == DELIVERED_FORMAT {
        return Ok(file.clone());
    }
    let converted = locks.parse(file.render_to_string()?)?;
    anyhow::ensure!(
        converted.has_the_packages_of(original),
        "pixi.lock has format {} and changes when it is written in format {DELIVERED_FORMAT}: lock the project again with a newer pixi",
        original.version()
    );
    locks.file(&converted)
}

/// The same lock with the replacements.
fn build(file: &LockFile, replace: &ReplacePackage<'_>) -> anyhow::Result<LockFile> {
    let platforms = file.platforms().map(|platform| PlatformData {
        name: platform.name().clone(),
        subdir: platform.subdir(),
        virtual_packages: platform.virtual_packages().to_vec(),
    });
    let mut builder = LockFileBuilder::new().with_platforms(platforms.collect())?;
    let mut sources = SourcePackages {
        file,
        registered: BTreeMap::new(),
        open: BTreeSet::new(),
    };
    // Packages that sources are built with are in no environment.
    for package in file.packages() {
        if source_data(package).is_some() {
            sources.register(package.clone(), &mut builder)?;
        }
    }
    for (name, environment) in sorted(file) {
        builder.set_channels(name, environment.channels().iter().cloned());
        if let Some(indexes) = environment.pypi_indexes() {
            builder.set_pypi_indexes(name, indexes.clone());
        }
        builder.set_options(name, environment.solve_options().clone());
        for (platform, packages) in environment.packages_by_platform() {
            let platform: &str = platform.name();
            builder.add_environment_platform(name, platform)?;
            for package in packages {
                let list = ListOfLock {
                    environment: name,
                    platform,
                };
                let package = replace(list, package).unwrap_or_else(|| package.clone());
                // Then it is there, with what it is built with.
                sources.register(package.clone(), &mut builder)?;
                builder.add_package(name, platform, package)?;
            }
        }
    }
    Ok(builder.finish())
}

/// The packages that are built from source, each with what it is built with.
struct SourcePackages<'a> {
    file: &'a LockFile,
    registered: BTreeMap<String, PackageHandle>,
    /// Packages that are being registered: a lock may have cycles.
    open: BTreeSet<String>,
}

impl SourcePackages<'_> {
    /// Registers a package, and before it those that it is built with: places in the
    /// original's list of packages say nothing in the new one.
    fn register(
        &mut self,
        package: LockedPackage,
        builder: &mut LockFileBuilder,
    ) -> anyhow::Result<PackageHandle> {
        let Some(used) = source_data(&package).cloned() else {
            return Ok(match package {
                LockedPackage::Conda(conda) => builder.register_conda_package(conda),
                LockedPackage::Pypi(python) => builder.register_pypi_package(python),
            });
        };
        let key = selector(&package);
        if let Some(handle) = self.registered.get(&key) {
            return Ok(handle.clone());
        }
        anyhow::ensure!(
            self.open.insert(key.clone()),
            "pixi.lock lists {key} as a build dependency of itself"
        );
        let build = self.register_all(&used.build_packages, builder)?;
        let host = self.register_all(&used.host_packages, builder)?;
        let handle = match package {
            LockedPackage::Conda(CondaPackageData::Source(source)) => {
                builder.register_conda_source_package(*source, build, host)?
            }
            LockedPackage::Pypi(PypiPackageData::Source(source)) => {
                builder.register_pypi_source_package(*source, build, host)?
            }
            _ => unreachable!("only these have what they are built with"),
        };
        self.registered.insert(key, handle.clone());
        Ok(handle)
    }

    fn register_all(
        &mut self,
        packages: &EnvironmentPackages,
        builder: &mut LockFileBuilder,
    ) -> anyhow::Result<Vec<PackageHandle>> {
        let mut handles = Vec::new();
        for package in packages.iter(self.file) {
            handles.push(self.register(package?.clone(), builder)?);
        }
        Ok(handles)
    }
}

/// What a package is built with, where it is built from source.
fn source_data(package: &LockedPackage) -> Option<&SourceData> {
    match package {
        LockedPackage::Conda(CondaPackageData::Source(source)) => Some(&source.source_data),
        LockedPackage::Pypi(PypiPackageData::Source(source)) => Some(&source.source_data),
        _ => None,
    }
}

/// Whether two packages, each of its lock, are the same and built with the same.
fn are_same(one: (&LockedPackage, &LockFile), other: (&LockedPackage, &LockFile)) -> bool {
    let alone = |package: &LockedPackage| {
        let mut package = package.clone();
        if let LockedPackage::Pypi(PypiPackageData::Source(source)) = &mut package {
            source.source_data = SourceData::default();
        }
        package
    };
    let used = |(package, file): (&LockedPackage, &LockFile)| {
        let data = source_data(package)?;
        let names = |packages: &EnvironmentPackages| {
            let names = packages.iter(file).map(|used| Some(selector(used.ok()?)));
            names.collect::<Option<Vec<String>>>()
        };
        Some((names(&data.build_packages)?, names(&data.host_packages)?))
    };
    let sources = |package: &LockedPackage| {
        let source = package.as_source_conda()?;
        Some(source.sources.clone())
    };
    alone(one.0) == alone(other.0) && used(one) == used(other) && sources(one.0) == sources(other.0)
}

/// Requires that two locks differ in the replaced packages alone.
fn require_same(
    original: &LockFile,
    delivered: &LockFile,
    replace: &ReplacePackage<'_>,
) -> anyhow::Result<()> {
    let (before, after) = (sorted(original), sorted(delivered));
    let names = |all: &BTreeMap<&str, Environment<'_>>| {
        let names = all.keys().map(|name| (*name).to_owned());
        names.collect::<Vec<String>>()
    };
    anyhow::ensure!(names(&before) == names(&after), "it has other environments");
    for (name, one) in before {
        let other = after[name];
        let settings_are_same = one.channels() == other.channels()
            && one.pypi_indexes() == other.pypi_indexes()
            && one.solve_options() == other.solve_options();
        anyhow::ensure!(settings_are_same, "environment {name} has other settings");
        require_same_lists(name, original, one, delivered, other, replace)?;
    }
    Ok(())
}

fn require_same_lists(
    name: &str,
    original_file: &LockFile,
    original: Environment<'_>,
    delivered_file: &LockFile,
    delivered: Environment<'_>,
    replace: &ReplacePackage<'_>,
) -> anyhow::Result<()> {
    let mut after: BTreeMap<_, _> = delivered
        .packages_by_platform()
        .map(|(platform, packages)| (shown(&platform), packages.collect::<Vec<_>>()))
        .collect();
    for (platform, packages) in original.packages_by_platform() {
        let list = ListOfLock {
            environment: name,
            platform: platform.name(),
        };
        let mut expected: Vec<(String, bool, LockedPackage)> = packages
            .map(|package| match replace(list, package) {
                Some(replacement) => (selector(&replacement), true, replacement),
                None => (selector(package), false, package.clone()),
            })
            .collect();
        expected.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        let mut found = after.remove(&shown(&platform)).unwrap_or_default();
        found.sort_by_cached_key(|package| selector(package));
        let mut pairs = expected.iter().zip(&found);
        let all_are_same = pairs.all(|((_, is_replaced, wanted), found)| match is_replaced {
            // What stands in its file name is written once.
            true => Package::from(wanted) == Package::from(*found),
            false => are_same((wanted, original_file), (found, delivered_file)),
        });
        anyhow::ensure!(
            expected.len() == found.len() && all_are_same,
            "environment {name} has other packages for {}",
            platform.name()
        );
    }
    anyhow::ensure!(after.is_empty(), "environment {name} has other platforms");
    Ok(())
}

/// What tells a platform from any other.
fn shown(platform: &Platform<'_>) -> String {
    let (name, subdir) = (platform.name(), platform.subdir());
    format!("{name} {subdir} {:?}", platform.virtual_packages())
}

/// What tells a package from the others of a list.
fn selector(package: &LockedPackage) -> String {
    match package {
        LockedPackage::Conda(CondaPackageData::Source(source)) => {
            SourceIdentifier::from_source_data(source).to_string()
        }
        LockedPackage::Conda(binary) => binary.location().to_string(),
        LockedPackage::Pypi(python) => python.location().inner().to_string(),
    }
}

/// The environments of a lock: rattler keeps them in a hash map.
fn sorted(file: &LockFile) -> BTreeMap<&str, Environment<'_>> {
    file.environments().collect()
}

#[cfg(test)]
mod tests;
