//! What differs between the packages of two products, by their bills of materials.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The packages of each environment, by kind of package and name.
pub(super) type EnvironmentPackages =
    BTreeMap<String, BTreeMap<(String, String), Vec<PackageFacts>>>;

/// A package that was added, removed or changed in some environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
}

/// What a bill of materials is read for.
#[derive(Deserialize)]
struct Bill {
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    name: String,
    version: Option<String>,
    purl: Option<String>,
    #[serde(default)]
    hashes: Vec<Hash>,
    #[serde(default)]
    licenses: Vec<Licence>,
    #[serde(default)]
    external_references: Vec<ExternalReference>,
    #[serde(default)]
    properties: Vec<Property>,
}

#[derive(Deserialize)]
struct Hash {
    alg: String,
    content: String,
}

#[derive(Deserialize)]
struct Licence {
    expression: Option<String>,
    license: Option<NamedLicence>,
}

#[derive(Deserialize)]
struct NamedLicence {
    name: String,
}

#[derive(Deserialize)]
struct ExternalReference {
    r#type: String,
    url: String,
    comment: Option<String>,
}

#[derive(Deserialize)]
struct Property {
    name: String,
    value: String,
}

/// Reads the text of `sbom.cdx.json`.
///
/// # Errors
///
/// When it is no such bill.
pub(super) fn read(bill: &[u8]) -> anyhow::Result<EnvironmentPackages> {
    let bill: Bill = serde_json::from_slice(bill)?;
    let mut environments = EnvironmentPackages::new();
    for component in bill.components {
        let key = (component.name.clone(), component.ecosystem());
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

impl Component {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name =
            move |property: &&Property| property.name.strip_prefix("pixi-offline:") == Some(name);
        let properties = self.properties.iter().filter(of_name);
        properties.map(|property| property.value.as_str())
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
                ("distribution", _) | ("vcs", None) => Some(reference.url.clone()),
                ("vcs", Some(commit)) => Some(format!("{} ({commit})", reference.url)),
                _ => None,
            }
        });
        reference.or_else(|| self.values("path").next().map(str::to_owned))
    }

    fn facts(&self) -> PackageFacts {
        let licence = |licence: &Licence| {
            let name = licence.license.as_ref().map(|licence| licence.name.clone());
            licence.expression.clone().or(name)
        };
        let sha256 = self.hashes.iter().find(|hash| hash.alg == "SHA-256");
        PackageFacts {
            version: self.version.clone(),
            build: self.qualifier("build"),
            channel: self.qualifier("channel"),
            subdir: self.qualifier("subdir"),
            kind: self.values("kind").next().map(str::to_owned),
            licence: self.licenses.iter().find_map(licence),
            source: self.source(),
            sha256: sha256.map(|hash| hash.content.clone()),
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
