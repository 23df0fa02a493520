//! What the packages of chosen environments are, for those who must judge them:
//! licence, digests, where they come from, what they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rattler_conda_types::{PackageName, Subdir};

use crate::packages::lock::Lock;
use crate::packages::package::{Package, PackageId};
use crate::packages::python::PythonCache;

/// The packages of some environments, each once, sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    packages: Vec<PackageInfo>,
}

/// A package of an inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageInfo {
    /// The package.
    pub package: Arc<Package>,
    /// The licence, as the package states it.
    pub licence: Option<String>,
    /// The environments that need it.
    pub environments: BTreeSet<String>,
    /// Where the packages that it depends on are in the inventory. Only those
    /// of the same environment; virtual packages (`__glibc`) are none.
    pub depends_on: BTreeSet<usize>,
}

impl Inventory {
    /// What `environments` need by `lock` on the first of their platforms of `subdir`; on
    /// each of their platforms when `None`. An environment or platform that the lock lacks
    /// adds nothing: [`Requirements::of`](crate::packages::Requirements::of) refuses those.
    pub fn of(lock: &Lock, environments: &[String], subdir: Option<Subdir>) -> Inventory {
        let mut packages: BTreeMap<&PackageId, PackageInfo> = BTreeMap::new();
        let mut lists = Vec::new();
        for name in environments {
            for list in lock.lists_on(name, subdir) {
                for package in &list.packages {
                    let info = packages.entry(package.id()).or_insert_with(|| PackageInfo {
                        package: Arc::clone(package),
                        licence: package.record().and_then(|record| record.licence.clone()),
                        environments: BTreeSet::new(),
                        depends_on: BTreeSet::new(),
                    });
                    info.environments.insert(name.clone());
                }
                lists.push(&list.packages);
            }
        }
        let places: BTreeMap<&PackageId, usize> = packages.keys().copied().zip(0..).collect();
        let mut packages: Vec<PackageInfo> = packages.into_values().collect();
        for (from, to) in lists.into_iter().flat_map(|list| dependencies(list)) {
            packages[places[from]].depends_on.insert(places[to]);
        }
        Inventory { packages }
    }

    /// Adds the licences of Python packages, which a lock does not have, as the
    /// wheels in a cache state them.
    pub fn add_python_licences(&mut self, cache: &PythonCache) {
        for info in &mut self.packages {
            if let Package::Python(python) = &*info.package {
                info.licence = cache.licence(python);
            }
        }
    }

    /// The packages.
    pub fn packages(&self) -> &[PackageInfo] {
        &self.packages
    }
}

/// Each dependency between two packages of one environment on one platform.
fn dependencies(list: &[Arc<Package>]) -> Vec<(&PackageId, &PackageId)> {
    let mut conda: BTreeMap<&str, &PackageId> = BTreeMap::new();
    let mut python: BTreeMap<&str, &PackageId> = BTreeMap::new();
    for package in list {
        let id = package.id();
        let Some(record) = package.record() else {
            python.insert(&id.name, id);
            continue;
        };
        conda.insert(&id.name, id);
        // A conda package can be the Python package that others require.
        for name in &record.provides {
            python.entry(name).or_insert(id);
        }
    }
    let extras: Vec<_> = list
        .iter()
        .filter_map(|package| package.as_python())
        .flat_map(|python| &python.requires)
        .flat_map(|requirement| requirement.extras.iter().cloned())
        .collect();
    let mut found = Vec::new();
    for package in list {
        let depends = package.record().map(|record| &record.depends);
        found.extend(depends.into_iter().flatten().filter_map(|text| {
            let on = conda.get(&*PackageName::normalized_name_from_matchspec_str(text))?;
            Some((package.id(), *on))
        }));
        let requires = package.as_python().map(|python| &python.requires);
        found.extend(requires.into_iter().flatten().filter_map(|required| {
            // Without the requirements of extras that were not requested.
            let is_asked = required.marker.evaluate_optional_environment(None, &extras);
            let name = required.name.to_string();
            let on = python.get(&*name).or_else(|| conda.get(&*name));
            on.filter(|_| is_asked).map(|on| (package.id(), *on))
        }));
    }
    found.retain(|(from, to)| from != to);
    found
}
