//! `manifest.json`: what a product is, where it comes from, and everything that
//! is in it. `docs/reference/evidence.md` describes the format.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::container::{EngineVersion, Image};
use crate::evidence::ContentDigest;
use crate::evidence::Sha256Digest;
use crate::evidence::SourceState;
use crate::evidence::built::BuiltFacts;
use crate::evidence::entries;
pub use crate::evidence::entries::{EncodedPath, Entry, EntryKind, Mode};
use crate::evidence::file_header;
use crate::evidence::sums::ListedSums;
use crate::packages::Subdir;
use crate::parallel;

/// The format that this version reads and writes.
pub const FORMAT: u32 = 1;

/// What marks the file as made by these commands.
pub const KIND: &str = "pixi-offline product manifest";

/// What `manifest.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What it says of the product as a whole.
    #[serde(flatten)]
    pub facts: ManifestFacts,
    /// Everything in the product but the manifest itself and the files that are
    /// written after it, sorted by the bytes of the path; a directory comes before
    /// what is in it, and the directory of the product is not listed.
    pub entries: Vec<Entry>,
}

/// What is known of a product as a whole. What was not known is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFacts {
    /// [`KIND`].
    pub kind: String,
    /// [`FORMAT`].
    pub format: u32,
    /// What made the product.
    pub tool: Tool,
    /// The time of `SOURCE_DATE_EPOCH`, in the form of RFC 3339; no other time
    /// is in a manifest.
    pub created: Option<String>,
    /// The project.
    pub project: Project,
    /// The environments that bootstrap installs, in this order.
    pub environments: Vec<String>,
    /// The platform that they are for, as pixi calls it: `linux-64`.
    pub platform: Option<Subdir>,
    /// By environment, the name in the lock of the platform that was installed, where
    /// it is another than `platform`: a lock may have several of one subdir.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platform_names: BTreeMap<String, String>,
    /// What packages ask of the machine.
    pub virtual_packages: VirtualPackages,
    /// Where the packages were fetched and built.
    pub build: BuildInfo,
    /// The packages that the environments need.
    pub packages: PackageCounts,
    /// Whom the person at the target asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// The conda packages that pixi built from source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub built: Vec<BuiltFacts>,
    /// What was done about secrets; products of older versions do not say it.
    #[serde(default)]
    pub secrets: Option<Secrets>,
    /// What is in the product, counted.
    pub totals: Totals,
    /// The sha256 of `SHA256SUMS` without its line of the manifest: the lists agree when
    /// both are known. Products of older versions do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sums: Option<Sha256Digest>,
    /// The digest of what the product holds, without the bookkeeping of caches. Products of
    /// older versions do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_digest: Option<ContentDigest>,
}

impl ManifestFacts {
    fn is_ours(&self) -> bool {
        self.kind == KIND && self.format == FORMAT
    }
}

/// What was done about secrets before a product was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// Whether they were looked for.
    pub searched: bool,
    /// The patterns of what was named as known, and not reported.
    pub known: Vec<String>,
    /// What was found and went along: where, and what it looks like.
    pub findings: Vec<String>,
}

/// The program that made a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Default for Tool {
    fn default() -> Tool {
        Tool::this()
    }
}

impl Tool {
    /// These commands.
    pub fn this() -> Tool {
        Tool {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The project of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its name, for people: what of it is not UTF-8 is replaced.
    pub name: String,
    /// Its version, when its manifest states one; products of older versions do not
    /// say it.
    #[serde(default)]
    pub version: Option<String>,
    /// Its directory in the product.
    #[serde(rename = "folder")]
    pub dir: EncodedPath,
    /// The file that says that it is a Pixi project.
    pub manifest: DigestedFile,
    /// Its lock, when it has one.
    pub lock: Option<LockFacts>,
    /// The git commit that it was staged from, where that is known.
    pub git: Option<SourceState>,
}

impl Project {
    /// The directory of the product that the project is in: itself, or the copy of the
    /// source root that was staged with it.
    pub fn staged_dir(&self) -> &Path {
        let above = self.dir.path().ancestors();
        let named = above.filter(|dir| !dir.as_os_str().is_empty());
        named.last().unwrap_or(Path::new(""))
    }
}

/// A file of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestedFile {
    /// Its name: `pixi.toml`, `pyproject.toml` or `mojoproject.toml`.
    pub name: String,
    /// Its sha256.
    pub sha256: Sha256Digest,
}

/// The lock of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockFacts {
    /// The sha256 of pixi.lock.
    pub sha256: Sha256Digest,
    /// The version of its format.
    pub version: u16,
    /// Whether it was installed as it is, without a comparison with the manifest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// The project's own lock, where the product has another one in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<OriginalLock>,
}

impl LockFacts {
    /// The sha256 of the lock that the project has.
    pub fn of_project(&self) -> &Sha256Digest {
        self.original
            .as_ref()
            .map_or(&self.sha256, |own| &own.sha256)
    }
}

/// The lock that a project has, where its product has another one: `pixi.lock.original`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalLock {
    /// Its sha256.
    pub sha256: Sha256Digest,
    /// The version of its format.
    pub version: u16,
    /// Why the two differ, in a sentence.
    pub why: String,
}

/// What packages ask of the machine that they run on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualPackages {
    /// Dependencies of the needed conda packages on what a machine is, as they
    /// are locked and sorted: `__glibc >=2.17,<3.0.a0`.
    pub required: Vec<String>,
    /// Overridden virtual packages of the build: `CONDA_OVERRIDE_CUDA` and its
    /// like, with their values.
    pub overrides: BTreeMap<String, String>,
}

/// Where the packages of a product were fetched and built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    /// The image. Its digests in registries are not written: which of them are known depends
    /// on the engine, and products of one cache are one product. `provenance.json` has them.
    #[serde(serialize_with = "without_registries")]
    pub image: Option<Image>,
    /// The engine; not written either, for the same reason. Older products tell it.
    #[serde(default, skip_serializing)]
    pub engine: Option<EngineVersion>,
    /// The version of pixi, such as `0.77.0`.
    pub pixi: Option<String>,
    /// What was run after the installation to see that it works, with a network: the arguments
    /// of a command, `pixi run smoke`; none when nothing was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tested: Vec<String>,
    /// The patterns of what was left out besides the usual: those of the workdir,
    /// then those of the product.
    pub excludes: Vec<String>,
}

fn without_registries<S: Serializer>(
    image: &Option<Image>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct ImageFacts<'a> {
        reference: &'a str,
        id: &'a str,
        platform: &'a str,
    }
    let known = image.as_ref().map(|image| ImageFacts {
        reference: &image.reference,
        id: &image.id,
        platform: &image.platform,
    });
    known.serialize(serializer)
}

/// How many packages the environments need, each counted once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageCounts {
    /// Conda packages; `None` when the lock could not be asked.
    pub conda: Option<u64>,
    /// Python packages.
    pub python: Option<u64>,
    /// Python packages by what of them is locked: `wheel`,
    /// `source-distribution`, `git`, `directory`.
    pub python_kinds: BTreeMap<String, u64>,
    /// Wheels that are tied to the lock by the names of their files only, since uv kept
    /// no sha256 of them; `None` when that was not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wheels_by_name: Option<u64>,
    /// Conda packages without checksums of their files (before 2017), which are known by
    /// name only; `None` when that was not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conda_by_name: Option<u64>,
    /// Whether the package cache is carried whole, whatever is needed.
    pub whole_cache: bool,
    /// Whether the product brings the pixi that built it.
    pub bundled_pixi: bool,
}

/// The entries of a manifest, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Everything else: fifos, sockets, devices.
    pub others: u64,
    /// The bytes of the regular files.
    pub bytes: u64,
}

impl Manifest {
    /// The manifest of these entries, which are sorted; it counts them, and has the digest
    /// of what `SHA256SUMS` says of them.
    pub fn new(facts: ManifestFacts, entries: Vec<Entry>) -> Manifest {
        let facts = ManifestFacts {
            totals: Totals::of(&entries),
            sums: Some(ListedSums::of(&entries).digest()),
            content_digest: Some(ContentDigest::of(facts.project.staged_dir(), &entries)),
            ..facts
        };
        Manifest { facts, entries }
    }
}

impl Totals {
    /// Counts entries.
    pub fn of(entries: &[Entry]) -> Totals {
        let mut totals = Totals::default();
        for entry in entries {
            match &entry.kind {
                EntryKind::File { size, .. } => {
                    totals.files += 1;
                    totals.bytes += size;
                }
                EntryKind::Directory { .. } => totals.directories += 1,
                EntryKind::Link { .. } => totals.links += 1,
                _ => totals.others += 1,
            }
        }
        totals
    }
}

/// How many entries are written by one processor at a time.
const PIECE: usize = 4096;

/// Some entries, a line for each.
fn lines(entries: &[Entry]) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            text.extend_from_slice(b",\n");
        }
        serde_json::to_writer(&mut text, entry)?;
    }
    Ok(text)
}

impl Manifest {
    /// The file's bytes: the facts as JSON for people, then the entries, each on
    /// a line of its own, so that a shell can read them.
    ///
    /// # Errors
    ///
    /// When the values cannot be written as JSON.
    pub fn to_json(&self) -> anyhow::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(&self.facts)?;
        // The brace that closes the facts, and the line end before it.
        text.truncate(text.len() - 2);
        text.extend_from_slice(b",\n  \"entries\": [");
        for (index, lines) in
            parallel::par_map(self.entries.chunks(PIECE), |entries| lines(entries))
                .into_iter()
                .enumerate()
        {
            text.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
            text.append(&mut lines?);
        }
        text.extend_from_slice(b"\n  ]\n}\n");
        Ok(text)
    }

    /// Reads the text of a manifest.
    ///
    /// # Errors
    ///
    /// When it is no manifest, one of another format, or damaged, and when its entries could not all
    /// be in one directory, or not where they are named.
    pub fn parse(text: &[u8]) -> anyhow::Result<Manifest> {
        let read = serde_json::from_slice::<Manifest>(text);
        // The header by itself takes to read the whole text: it is what tells why one is not ours.
        if !read.as_ref().is_ok_and(|manifest| manifest.facts.is_ours()) {
            file_header::require(text, KIND, FORMAT)?;
        }
        let manifest = read.context("it is damaged")?;
        entries::require_sound(&manifest.entries).context("it is damaged, or not ours")?;
        Ok(manifest)
    }
}
