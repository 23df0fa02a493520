//! What differs between the packages of two products, by their bills of materials.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::evidence::sbom::{self, Component, Licence};

/// The packages of each environment, by kind of package and name.
pub(super) type EnvironmentPackages =
    BTreeMap<String, BTreeMap<(String, String), Vec<PackageFacts>>>;

/// A package that was added, removed or changed in some environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageChange {
    /// Its name.
    pub name: String,
    /// `conda`, `pypi`, or `generic` for what is built from a directory.
    pub ecosystem: String,
    /// What it was; empty when it was added. Several when a lock has several wheels of it.
    pub old: Vec<PackageFacts>,
    /// What it is; empty when it was removed.
    pub new: Vec<PackageFacts>,
    /// The environments that this is so in.
    pub environments: Vec<String>,
}

/// What a bill of materials states of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PackageFacts {
    /// The version; what is built from a directory may have none.
    pub version: Option<String>,
    /// The build string of a conda package.
    pub build: Option<String>,
    /// The channel of a conda package.
    pub channel: Option<String>,
    /// The part of the channel: `linux-64` or `noarch` for example.
    pub subdir: Option<String>,
    /// What it is: `conda package`, `Python wheel` for example.
    pub kind: Option<String>,
    /// The licence.
    pub licence: Option<String>,
    /// Where it comes from: a URL, a git URL with its commit, or a path.
    pub source: Option<String>,
    /// The sha256 of its archive.
    pub sha256: Option<String>,
}

impl PackageFacts {
    /// Version and build, as people name a package.
    pub fn shown(&self) -> String {
        let version = self.version.as_deref().unwrap_or("without a version");
        match &self.build {
            Some(build) => format!("{version} ({build})"),
            None => version.to_owned(),
        }
    }

    /// The name of its archive, and the beginning of the digest: what tells two archives of one version apart.
    pub fn archive(&self) -> String {
        let source = self.source.as_deref().unwrap_or("without a source");
        let name = source.rsplit('/').next().unwrap_or(source);
        match &self.sha256 {
            Some(digest) => format!("{name} (sha256:{digest:.12})"),
            None => name.to_owned(),
        }
    }
}

/// Reads the text of `sbom.cdx.json`.
///
/// # Errors
///
/// When it is no such bill.
pub(super) fn read(bill: &[u8]) -> anyhow::Result<EnvironmentPackages> {
    let mut environments = EnvironmentPackages::new();
    for component in sbom::components(bill)? {
        let key = (component.name.to_string(), component.ecosystem());
        let facts = component.facts();
        for environment in component.values("environment") {
            let packages = environments.entry(environment.to_owned()).or_default();
            packages.entry(key.clone()).or_default().push(facts.clone());
        }
    }
    for packages in environments.values_mut().flat_map(BTreeMap::values_mut) {
        packages.sort();
    }
    Ok(environments)
}

impl Component<'_> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let properties = self.properties.iter();
        properties.filter_map(move |property| property.value_of(name))
    }

    /// The type of the package URL.
    fn ecosystem(&self) -> String {
        let url = self
            .purl
            .as_deref()
            .and_then(|url| url.strip_prefix("pkg:"));
        let ecosystem = url.and_then(|url| url.split('/').next());
        ecosystem.unwrap_or("generic").to_owned()
    }

    /// A qualifier of the package URL.
    fn qualifier(&self, key: &str) -> Option<String> {
        let (_, qualifiers) = self.purl.as_deref()?.split_once('?')?;
        let qualifiers = qualifiers.split('#').next()?;
        let value = qualifiers
            .split('&')
            .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))?;
        let value = percent_encoding::percent_decode_str(value);
        Some(value.decode_utf8_lossy().into_owned())
    }

    fn source(&self) -> Option<String> {
        let reference = self.external_references.iter().find_map(|reference| {
            match (&*reference.r#type, &reference.comment) {
                ("distribution", _) | ("vcs", None) => Some(reference.url.to_string()),
                ("vcs", Some(commit)) => Some(format!("{} ({commit})", reference.url)),
                _ => None,
            }
        });
        reference.or_else(|| self.values("path").next().map(str::to_owned))
    }

    fn facts(&self) -> PackageFacts {
        let licence = |licence: &Licence<'_>| match licence {
            Licence::Expression(licence) | Licence::License { name: licence } => {
                licence.to_string()
            }
        };
        let sha256 = self.hashes.iter().find(|hash| hash.alg == "SHA-256");
        PackageFacts {
            version: self.version.as_deref().map(str::to_owned),
            build: self.qualifier("build"),
            channel: self.qualifier("channel"),
            subdir: self.qualifier("subdir"),
            kind: self.values("kind").next().map(str::to_owned),
            licence: self.licenses.first().map(licence),
            source: self.source(),
            sha256: sha256.map(|hash| hash.content.to_string()),
        }
    }
}

/// What differs, by name; a change that several environments share is one.
pub(super) fn compare(old: &EnvironmentPackages, new: &EnvironmentPackages) -> Vec<PackageChange> {
    let none = BTreeMap::new();
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = BTreeMap::<_, Vec<String>>::new();
    for environment in names {
        let before = old.get(environment).unwrap_or(&none);
        let after = new.get(environment).unwrap_or(&none);
        let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        for key in keys {
            let [was, is] = [before, after].map(|packages| packages.get(key));
            if was != is {
                let environments = changes.entry((key, was, is)).or_default();
                environments.push(environment.clone());
            }
        }
    }
    let changes = changes.into_iter();
    let change =
        |(((name, ecosystem), was, is), environments): (Change<'_>, Vec<String>)| PackageChange {
            name: name.clone(),
            ecosystem: ecosystem.clone(),
            old: was.cloned().unwrap_or_default(),
            new: is.cloned().unwrap_or_default(),
            environments,
        };
    changes.map(change).collect()
}

/// A package by its key, and what it was and is.
type Change<'a> = (
    &'a (String, String),
    Option<&'a Vec<PackageFacts>>,
    Option<&'a Vec<PackageFacts>>,
);
