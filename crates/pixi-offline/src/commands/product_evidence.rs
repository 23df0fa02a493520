//! The evidence of a finished product: manifest, checksums, SBOM, provenance.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::commands::product_cache::CachePlan;
use crate::context::Context;
use crate::evidence::built::BuiltFacts;
use crate::evidence::listing::{self, KnownDigests};
use crate::evidence::manifest::{
    self, BuildInfo, DigestedFile, EncodedPath, Entry, EntryKind, LockFacts, Manifest,
    ManifestFacts, OriginalLock, PackageCounts, Project, Secrets, Tool, Totals, VirtualPackages,
};
use crate::evidence::provenance::{self, Invocation};
use crate::evidence::signature::SigningKey;
use crate::evidence::trusted_comment::TrustedComment;
use crate::evidence::{self, ProjectMetadata, Sha256Digest, WorkdirRecord, sums};
use crate::layout::{self, Product, ProjectPlace};
use crate::packages::{BuiltPackage, PythonKind};
use crate::project::project_manifest::ProjectManifest;
use crate::replacement::write_file;
use crate::request::Contact;
use crate::staging::Listing;

/// What the person chose for a product, as far as the manifest says it.
pub(crate) struct Choices<'a> {
    /// The arguments of `--exclude`.
    pub(crate) excludes: &'a [std::ffi::OsString],
    pub(crate) whole_cache: bool,
    pub(crate) bundled_pixi: bool,
    pub(crate) secrets: Secrets,
    pub(crate) contact: Option<&'a Contact>,
    /// What was copied of the project.
    pub(crate) project: Option<&'a Listing>,
}

/// Why a product's lock is not the project's, in a sentence.
fn why_locks_differ(plan: &CachePlan, record: Option<&WorkdirRecord>) -> String {
    let built = "What pixi built from source stands in the product's pixi.lock as the packages that it was built into, so that it is installed without a network and without building";
    let relative = "Absolute paths of Python packages are relative to the project in the product's pixi.lock, so that they are found wherever the product is";
    let has_relative = record.is_some_and(|record| record.lock.own.is_some());
    let why = match (has_relative, plan.built.is_empty()) {
        (true, true) => relative.to_owned(),
        (true, false) => format!("{built}. {relative}"),
        (false, _) => built.to_owned(),
    };
    format!(
        "{why}; everything else in it is as in the project's own pixi.lock, which is pixi.lock.original."
    )
}

/// What is known of a product whose files are all there but the evidence; it
/// counts nothing yet.
pub(crate) fn facts(
    product: &Product,
    place: &ProjectPlace,
    plan: &CachePlan,
    record: Option<&WorkdirRecord>,
    choices: &Choices<'_>,
    context: &Context,
) -> anyhow::Result<ManifestFacts> {
    let (manifest, metadata) = project_manifest(&product.project(place))?;
    let lock = plan.lock.as_ref().map(|lock| LockFacts {
        sha256: *lock.digest(),
        version: lock.version(),
        frozen: record.is_some_and(|record| record.lock.frozen),
        original: plan.original_lock.as_ref().map(|original| OriginalLock {
            sha256: *original.digest(),
            version: original.version(),
            why: why_locks_differ(plan, record),
        }),
    });
    let mut excludes = record.map_or_else(Vec::new, |record| record.excludes.clone());
    // build-offline-product gives both steps the same ones.
    for text in choices.excludes {
        let text = text.to_string_lossy().into_owned();
        if !excludes.contains(&text) {
            excludes.push(text);
        }
    }
    Ok(ManifestFacts {
        kind: manifest::KIND.to_owned(),
        format: manifest::FORMAT,
        tool: Tool::this(),
        created: context.host.source_date_epoch.and_then(evidence::rfc3339),
        project: Project {
            name: place.name.to_string(),
            version: metadata.version,
            dir: EncodedPath::new(place.path()),
            manifest,
            lock,
            git: record.and_then(|record| record.source.clone()),
        },
        environments: plan.environments.clone(),
        platform: plan.platform,
        platform_names: record.map_or_else(BTreeMap::new, other_names),
        virtual_packages: VirtualPackages {
            required: plan
                .need
                .as_ref()
                .map(|need| {
                    need.virtual_packages()
                        .into_iter()
                        .map(str::to_owned)
                        .collect()
                })
                .unwrap_or_default(),
            overrides: record.map_or_else(Default::default, |record| record.overrides.clone()),
        },
        build: BuildInfo {
            image: record.and_then(|record| record.image.clone()),
            engine: record.and_then(|record| record.engine.clone()),
            pixi: record
                .and_then(WorkdirRecord::pixi_version)
                .map(str::to_owned),
            tested: record.map_or_else(Vec::new, WorkdirRecord::tested),
            excludes,
        },
        packages: count(plan, choices),
        contact: choices.contact.map(|contact| contact.as_str().to_owned()),
        built: built(product, place, plan, choices),
        secrets: Some(choices.secrets.clone()),
        totals: Totals::default(),
        sums: None,
        content_digest: None,
    })
}

/// What pixi built from source.
fn built(
    product: &Product,
    place: &ProjectPlace,
    plan: &CachePlan,
    choices: &Choices<'_>,
) -> Vec<BuiltFacts> {
    let (top, none) = (product.staged(&place.name), Listing::default());
    let listing = choices.project.unwrap_or(&none);
    let facts = |built: &BuiltPackage| {
        let backend = plan.backend_of(built, &top, &place.in_root);
        BuiltFacts::new(built, backend.as_ref(), listing, &place.in_root)
    };
    plan.built.iter().map(facts).collect()
}

/// The names of platforms in the lock that are not those of their subdirs.
fn other_names(record: &WorkdirRecord) -> BTreeMap<String, String> {
    let platforms = record.platforms.iter();
    platforms
        .filter(|(_, platform)| platform.name != platform.subdir.as_str())
        .map(|(environment, platform)| (environment.clone(), platform.name.clone()))
        .collect()
}

/// The manifest of the project in the product, and what it states about the project.
fn project_manifest(project: &Path) -> anyhow::Result<(DigestedFile, ProjectMetadata)> {
    let Some(found) = ProjectManifest::find(project) else {
        anyhow::bail!(
            "{} has no {} that was not excluded",
            project.display(),
            layout::PROJECT_MANIFESTS.join(" and no ")
        );
    };
    let bytes = fs::read(&found.file)
        .with_context(|| format!("{} cannot be read", found.file.display()))?;
    let metadata = ProjectMetadata::of(found.name, &String::from_utf8_lossy(&bytes));
    let digested = DigestedFile {
        name: found.name.to_owned(),
        sha256: Sha256Digest::from(Sha256::digest(bytes)),
    };
    Ok((digested, metadata))
}

fn count(plan: &CachePlan, choices: &Choices<'_>) -> PackageCounts {
    let unhashed = plan.unhashed;
    let mut counts = PackageCounts {
        wheels_by_name: unhashed.wheels_by_name,
        conda_by_name: unhashed.conda_by_name,
        whole_cache: choices.whole_cache,
        bundled_pixi: choices.bundled_pixi,
        ..PackageCounts::default()
    };
    if let Some(need) = &plan.need {
        counts.conda = Some(need.conda.len() as u64);
        counts.python = Some(need.python.len() as u64);
        for python in &need.python {
            let kind = match python.kind {
                PythonKind::Wheel => "wheel",
                PythonKind::SourceDistribution => "source-distribution",
                PythonKind::Git => "git",
                PythonKind::Dir => "folder",
            };
            *counts.python_kinds.entry(kind.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// What the evidence of a product is made of.
pub(crate) struct Evidence<'a> {
    pub(crate) facts: ManifestFacts,
    /// Digests that need not be computed again.
    pub(crate) known: KnownDigests<'a>,
    /// Entries that are not in the product yet.
    pub(crate) not_there: Vec<Entry>,
    pub(crate) signing_key: Option<&'a SigningKey>,
    /// When the build was started, in the form of RFC 3339.
    pub(crate) started: Option<String>,
}

impl Evidence<'_> {
    /// Lists a product that is otherwise complete: writes `manifest.json`,
    /// `SHA256SUMS`, `provenance.json` and the signatures of the last two, and gives the
    /// manifest and the product's digest.
    pub(crate) fn write(
        self,
        product: &Product,
        context: &Context,
    ) -> anyhow::Result<(Manifest, Sha256Digest)> {
        let mut entries = listing::list(product.path(), &[], self.known)?;
        if !self.not_there.is_empty() {
            entries.extend(self.not_there);
            entries.sort_by(|one, other| one.path.bytes().cmp(other.path.bytes()));
        }
        let manifest = Manifest::new(self.facts, entries);
        let manifest_text = manifest.to_json()?;
        let sums_text = sums::text(&manifest.entries, &manifest_text);
        let digest = sums::product_digest(&sums_text);
        write_file(&product.manifest(), &manifest_text)?;
        write_file(&product.sums(), &sums_text)?;
        let now = context.signing_time();
        let sign = |file: &Path, content: &[u8]| -> anyhow::Result<()> {
            let Some(key) = self.signing_key else {
                return Ok(());
            };
            let comment = TrustedComment::of(file, now, Some((&manifest.facts, &digest)));
            let signature = key.sign(content, &comment)?;
            write_file(&Product::signature_of(file), signature.as_bytes())
        };
        sign(&product.sums(), &sums_text)?;
        let invocation = Invocation {
            started: self.started,
            finished: evidence::rfc3339(now),
        };
        let mut statement = serde_json::to_vec_pretty(&provenance::statement(
            &manifest.facts,
            &digest,
            &invocation,
        ))?;
        statement.push(b'\n');
        write_file(&product.provenance(), &statement)?;
        sign(&product.provenance(), &statement)?;

        note_escaped(&manifest.entries, context);
        Ok((manifest, digest))
    }
}

/// Says that not every checker reads the names of some files.
fn note_escaped(entries: &[Entry], context: &Context) {
    let mut escaped = entries
        .iter()
        .filter(|entry| matches!(entry.kind, EntryKind::File { .. }))
        .filter(|entry| sums::needs_escape(entry.path.bytes()));
    if let Some(first) = escaped.next() {
        context.report.note(format_args!(
            "{} file names have a line end or a backslash in them, {} for example: coreutils checks SHA256SUMS all the same, busybox's sha256sum does not",
            1 + escaped.count(),
            first.path
        ));
    }
}
