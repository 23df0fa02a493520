//! `sbom.cdx.json`: the packages of a product as a CycloneDX bill of materials.
//!
//! Format: <https://cyclonedx.org/docs/1.6/json/>; package URLs:
//! <https://github.com/package-url/purl-spec>. The same input gives the same
//! bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use spdx::{Expression, ParseMode};

use crate::evidence::built::{BuiltFacts, SourceFacts};
use crate::evidence::hexadecimal;
use crate::evidence::manifest::LockFacts;
use crate::packages::{Inventory, Package, PackageInfo, PackageSource, PythonKind, Subdir};

/// How the project itself is referred to; no package URL looks like it.
const PROJECT: &str = "project";

/// The product that has these packages.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The project's name.
    pub project: &'a str,
    /// The environments whose packages are listed.
    pub environments: &'a [String],
    /// The platform; all that the lock has when `None`.
    pub platform: Option<Subdir>,
    /// The lock.
    pub lock: Option<&'a LockFacts>,
    /// What of the packages pixi built from source.
    pub built: &'a [BuiltFacts],
    /// When it was made (RFC 3339), where the caller can repeat that.
    pub timestamp: Option<&'a str>,
}

/// The text of `sbom.cdx.json`.
///
/// # Errors
///
/// When it cannot be written as JSON.
pub fn text(subject: &Subject, inventory: &Inventory) -> anyhow::Result<String> {
    let references = references(inventory.packages());
    let components = inventory
        .packages()
        .iter()
        .zip(&references)
        .map(|(package, reference)| Component::of(package, reference, subject.built))
        .collect();
    let dependencies = inventory
        .packages()
        .iter()
        .zip(&references)
        .map(|(package, reference)| Dependency {
            reference,
            depends_on: package
                .depends_on
                .iter()
                .map(|place| references[*place].as_str())
                .collect(),
        })
        .collect();
    let mut bill = Bill {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: None,
        version: 1,
        metadata: Metadata::of(subject),
        components,
        dependencies,
        // The lock lists every package, and does not tell which of them the
        // project asks for by name.
        compositions: vec![
            Composition {
                aggregate: match subject.lock {
                    Some(_) => "complete",
                    None => "unknown",
                },
                assemblies: &[PROJECT],
                dependencies: &[],
            },
            Composition {
                aggregate: "unknown",
                assemblies: &[],
                dependencies: &[PROJECT],
            },
        ],
    };
    let digest = Sha256::digest(serde_json::to_vec(&bill)?);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    let uuid = uuid::Builder::from_custom_bytes(bytes).into_uuid();
    bill.serial_number = Some(uuid.urn().to_string());
    let mut text = serde_json::to_string_pretty(&bill)?;
    text.push('\n');
    Ok(text)
}

/// A name for each package in this bill: its package URL, with a part of a digest
/// behind it where several packages have the same one, as two wheels of one
/// version do.
fn references(packages: &[PackageInfo]) -> Vec<String> {
    let mut references: Vec<String> = packages
        .iter()
        .map(|package| package_url(&package.package))
        .collect();
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for reference in &references {
        *uses.entry(reference.clone()).or_default() += 1;
    }
    for (reference, package) in references.iter_mut().zip(packages) {
        if uses[reference.as_str()] > 1 {
            let digest = hexadecimal(&Sha256::digest(format!("{:?}", package.package.id())));
            reference.push('#');
            reference.push_str(&digest[..16]);
        }
    }
    references
}

/// The package URL. What no registry has, because it is built from a directory, is
/// `generic`: another type would be taken for a published package of that name.
fn package_url(package: &Package) -> String {
    let id = package.id();
    let kind = match (package, &id.source) {
        (Package::Conda(conda), _) if conda.is_built_from_source() => "generic",
        (Package::Conda(_), _) => "conda",
        (Package::CondaSource(_), _) | (_, PackageSource::Path(_)) => "generic",
        (Package::Python(python), _) if python.kind == PythonKind::Dir => "generic",
        (Package::Python(_), _) => "pypi",
    };
    let mut url = format!("pkg:{kind}/{}", encoded(&id.name));
    if let Some(version) = &id.version {
        url.push('@');
        url.push_str(&encoded(version).to_string());
    }
    // Qualifiers are sorted by their keys.
    let mut qualifiers: Vec<(&str, Cow<str>)> = Vec::new();
    if let Package::Conda(conda) = package {
        qualifiers.push(("build", (&conda.build).into()));
        let channel = conda
            .channel
            .iter()
            .filter(|_| !conda.is_built_from_source());
        qualifiers.extend(channel.map(|name| ("channel", name.into())));
        qualifiers.push(("subdir", (&conda.subdir).into()));
        qualifiers.push(("type", (&conda.archive).into()));
    }
    if let PackageSource::Git { repository, commit } = &id.source {
        let commit = commit.as_ref().map(|commit| format!("@{commit}"));
        let place = format!("git+{repository}{}", commit.unwrap_or_default());
        qualifiers.push(("vcs_url", place.into()));
    }
    qualifiers.retain(|(_, value)| !value.is_empty());
    for (place, (key, value)) in qualifiers.iter().enumerate() {
        url.push(if place == 0 { '?' } else { '&' });
        url.push_str(&format!("{key}={}", encoded(value)));
    }
    url
}

/// A part of a package URL, as its specification encodes it. A slash is kept,
/// as the specification's examples do in qualifiers; names and versions have none.
fn encoded(text: &str) -> impl Display + '_ {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b':')
        .remove(b'/');
    utf8_percent_encode(text, ENCODED)
}

/// A licence as an SPDX expression; `None` when it is not such an expression.
pub(super) fn spdx_expression(licence: &str) -> Option<&str> {
    let mode = ParseMode {
        allow_deprecated: true,
        ..ParseMode::STRICT
    };
    Expression::parse_mode(licence, mode)
        .is_ok()
        .then_some(licence)
}

/// What a package is, in a word or two.
pub(super) fn shown_kind(package: &Package) -> &'static str {
    match package {
        Package::Conda(conda) if conda.is_built_from_source() => "conda package built from source",
        Package::Conda(_) => "conda package",
        Package::CondaSource(_) => "conda package built from source",
        Package::Python(python) => match python.kind {
            PythonKind::Wheel => "Python wheel",
            PythonKind::SourceDistribution => "Python source distribution",
            PythonKind::Git => "Python package built from git",
            PythonKind::Dir => "Python package built from a directory",
        },
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bill<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Component<'a>>,
    dependencies: Vec<Dependency<'a>>,
    compositions: Vec<Composition>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<&'a str>,
    tools: Tools,
    component: Component<'a>,
}

impl<'a> Metadata<'a> {
    fn of(subject: &Subject<'a>) -> Metadata<'a> {
        let mut properties: Vec<Property<'_>> = subject
            .environments
            .iter()
            .map(|name| Property::new("environment", name))
            .collect();
        properties.extend(
            subject
                .platform
                .map(|platform| Property::new("platform", platform)),
        );
        if let Some(lock) = subject.lock {
            properties.push(Property::new("pixi.lock:sha256", lock.sha256));
            let original = lock.original.as_ref();
            properties.extend(
                original.map(|lock| Property::new("pixi.lock.original:sha256", lock.sha256)),
            );
        }
        Metadata {
            timestamp: subject.timestamp,
            tools: Tools {
                components: vec![Component {
                    version: Some(env!("CARGO_PKG_VERSION").into()),
                    ..Component::new("application", "pixi-offline")
                }],
            },
            component: Component {
                reference: Some(PROJECT),
                properties,
                ..Component::new("application", subject.project)
            },
        }
    }
}

#[derive(Serialize)]
struct Tools {
    components: Vec<Component<'static>>,
}

/// The components of the text of a bill.
///
/// # Errors
///
/// When it is no such bill.
pub(crate) fn components(text: &[u8]) -> serde_json::Result<Vec<Component<'_>>> {
    #[derive(Deserialize)]
    struct ComponentList<'a> {
        #[serde(default, borrow)]
        components: Vec<Component<'a>>,
    }
    serde_json::from_slice(text).map(|list: ComponentList<'_>| list.components)
}

/// A package, the project, or the program that made the bill. What is only written is not read.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Component<'a> {
    #[serde(skip_deserializing)]
    r#type: &'static str,
    #[serde(
        rename = "bom-ref",
        skip_deserializing,
        skip_serializing_if = "Option::is_none"
    )]
    reference: Option<&'a str>,
    #[serde(borrow)]
    pub(crate) name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<Cow<'a, str>>,
    #[serde(default, borrow, skip_serializing_if = "Vec::is_empty")]
    pub(crate) hashes: Vec<Hash<'a>>,
    #[serde(default, borrow, skip_serializing_if = "Vec::is_empty")]
    pub(crate) licenses: Vec<Licence<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) purl: Option<String>,
    #[serde(default, borrow, skip_serializing_if = "Vec::is_empty")]
    pub(crate) external_references: Vec<ExternalReference<'a>>,
    #[serde(default, borrow, skip_serializing_if = "Vec::is_empty")]
    pub(crate) properties: Vec<Property<'a>>,
}

impl<'a> Component<'a> {
    fn new(r#type: &'static str, name: &'a str) -> Component<'a> {
        Component {
            r#type,
            reference: None,
            name: name.into(),
            version: None,
            hashes: Vec::new(),
            licenses: Vec::new(),
            purl: None,
            external_references: Vec::new(),
            properties: Vec::new(),
        }
    }

    fn of(info: &'a PackageInfo, reference: &'a str, built: &'a [BuiltFacts]) -> Component<'a> {
        let id = info.package.id();
        let mut component = Component::new("library", &id.name);
        component.reference = Some(reference);
        component.version = id.version.as_deref().map(Cow::from);
        component.purl = Some(package_url(&info.package));
        for (alg, content) in [("SHA-256", &id.sha256), ("MD5", &id.md5)] {
            let hash = content.as_deref().map(|content| Hash {
                alg: alg.into(),
                content: content.into(),
            });
            component.hashes.extend(hash);
        }
        component
            .licenses
            .extend(info.licence.as_deref().map(Licence::of));
        component.properties = info
            .environments
            .iter()
            .map(|name| Property::new("environment", name))
            .collect();
        let kind = Property::new("kind", shown_kind(&info.package));
        component.properties.push(kind);
        if let Some(facts) = built.iter().find(|facts| facts.is_of(&info.package)) {
            component.say_source(facts);
            return component;
        }
        match &id.source {
            PackageSource::Url(url) => {
                let reference = ExternalReference::new("distribution", url, None);
                component.external_references.push(reference);
            }
            PackageSource::Git { repository, commit } => {
                let reference = ExternalReference::new("vcs", repository, commit.as_deref());
                component.external_references.push(reference);
            }
            PackageSource::Path(path) => component.properties.push(Property::new("path", path)),
        }
        component
    }

    /// What it was built from, and with what.
    fn say_source(&mut self, facts: &'a BuiltFacts) {
        for source in [Some(&facts.source), facts.build_source.as_ref()] {
            match source {
                Some(SourceFacts::Path { path }) => {
                    self.properties.push(Property::new("path", path));
                }
                Some(SourceFacts::Git { git, commit }) => {
                    let reference = ExternalReference::new("vcs", git, commit.as_deref());
                    self.external_references.push(reference);
                }
                Some(SourceFacts::Url { url }) => {
                    let reference = ExternalReference::new("source-distribution", url, None);
                    self.external_references.push(reference);
                }
                None => {}
            }
        }
        self.properties.push(Property::new("file", &facts.file));
        for (name, value) in [
            (
                "source:sha256",
                facts.source_sha256.map(|it| it.to_string()),
            ),
            ("backend", facts.backend.clone()),
            ("backend:version", facts.backend_version.clone()),
        ] {
            let property = value.map(|value| Property::new(name, value));
            self.properties.extend(property);
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Hash<'a> {
    #[serde(borrow)]
    pub(crate) alg: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) content: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Licence<'a> {
    Expression(#[serde(borrow)] Cow<'a, str>),
    License {
        #[serde(borrow)]
        name: Cow<'a, str>,
    },
}

impl<'a> Licence<'a> {
    fn of(licence: &'a str) -> Licence<'a> {
        match spdx_expression(licence) {
            Some(expression) => Licence::Expression(expression.into()),
            None => Licence::License {
                name: licence.into(),
            },
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ExternalReference<'a> {
    #[serde(borrow)]
    pub(crate) r#type: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
}

impl<'a> ExternalReference<'a> {
    fn new(r#type: &'a str, url: &'a str, commit: Option<&str>) -> ExternalReference<'a> {
        ExternalReference {
            r#type: r#type.into(),
            url: url.into(),
            comment: commit.map(|commit| format!("commit {commit}")),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Property<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

impl Property<'_> {
    const PREFIX: &'static str = "pixi-offline:";

    fn new(name: &str, value: impl ToString) -> Property<'static> {
        Property {
            name: format!("{}{name}", Property::PREFIX).into(),
            value: value.to_string().into(),
        }
    }

    /// The value, where the property has this name.
    pub(crate) fn value_of(&self, name: &str) -> Option<&str> {
        let is_it = self.name.strip_prefix(Property::PREFIX) == Some(name);
        is_it.then_some(&*self.value)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<&'a str>,
}

#[derive(Serialize)]
struct Composition {
    aggregate: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    assemblies: &'static [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    dependencies: &'static [&'static str],
}
