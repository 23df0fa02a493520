//! `update.json`: what an update is, for programs and for people.

use pixi_offline::evidence::ContentDigest;
use pixi_offline::evidence::Sha256Digest;
use pixi_offline::evidence::manifest::{Manifest, Tool};
use pixi_offline::evidence::update_mark::KIND;
use pixi_offline::packages::Subdir;
use serde::Serialize;

use crate::bases::{Base, NewProduct};
use crate::contents::NewContent;
use crate::sources::UpdateSources;

/// The format of an update: of this file and of those that the script reads.
pub(crate) const FORMAT: u32 = 1;

/// What `update.json` has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Description {
    kind: &'static str,
    format: u32,
    /// What made the update.
    tool: Tool,
    /// The project's name.
    pub(crate) project: String,
    platform: Option<Subdir>,
    /// The product that the targets have afterwards.
    pub(crate) to: ProductFacts,
    /// The products that it can be made of.
    pub(crate) from: Vec<BaseFacts>,
    /// How many contents are in `files/`.
    pub(crate) files: u64,
    /// The bytes of these.
    pub(crate) bytes: u64,
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ProductFacts {
    /// The project's version, when its manifest states one.
    pub(crate) version: Option<String>,
    /// When it was complete, or its `SOURCE_DATE_EPOCH`, in the form of RFC 3339.
    pub(crate) made: Option<String>,
    /// The digest of its `SHA256SUMS`, `sha256:…`.
    pub(crate) product_digest: String,
    /// The digest of what it holds, without the bookkeeping of caches.
    content_digest: String,
    /// Regular files.
    pub(crate) files: u64,
    /// The bytes of these.
    pub(crate) bytes: u64,
}

/// A product that an update begins with, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BaseFacts {
    #[serde(flatten)]
    pub(crate) product: ProductFacts,
    /// Whether it was made after the product that it becomes, where that is known.
    pub(crate) newer: Option<bool>,
    /// Files and links that stay where they are.
    pub(crate) kept: u64,
    /// Files and links that come from another directory.
    pub(crate) moved: u64,
    /// Files that come from another name.
    pub(crate) renamed: u64,
    /// Files that it does not have.
    pub(crate) new: u64,
    /// The bytes of these.
    pub(crate) new_bytes: u64,
    /// Links that it does not have.
    pub(crate) links: u64,
}

impl Description {
    pub(crate) fn new(
        new: &NewProduct,
        bases: &[(&Base, UpdateSources<'_>)],
        contents: &[NewContent<'_>],
    ) -> Description {
        let facts = &new.manifest().facts;
        Description {
            kind: KIND,
            format: FORMAT,
            tool: Tool::this(),
            project: facts.project.name.clone(),
            platform: facts.platform,
            to: product_facts(new.manifest(), &new.checked.digest, new.made.as_deref()),
            from: bases
                .iter()
                .map(|(base, sources)| base_facts(base, new, sources))
                .collect(),
            files: contents.len() as u64,
            bytes: contents.iter().map(|content| content.size).sum(),
        }
    }

    /// The bytes of the file.
    pub(crate) fn to_json(&self) -> anyhow::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

fn product_facts(manifest: &Manifest, digest: &Sha256Digest, made: Option<&str>) -> ProductFacts {
    let facts = &manifest.facts;
    let content = facts
        .content_digest
        .unwrap_or_else(|| ContentDigest::of(facts.project.staged_dir(), &manifest.entries));
    ProductFacts {
        version: facts.project.version.clone(),
        made: made.map(str::to_owned),
        product_digest: format!("sha256:{digest}"),
        content_digest: content.to_string(),
        files: facts.totals.files,
        bytes: facts.totals.bytes,
    }
}

fn base_facts(base: &Base, new: &NewProduct, sources: &UpdateSources<'_>) -> BaseFacts {
    let lists = &base.lists;
    let moved = sources.moved.values().map(|moved| moved.len() as u64);
    BaseFacts {
        product: product_facts(&lists.manifest, &lists.digest, base.made.as_deref()),
        newer: base.is_newer(new),
        kept: sources.kept.len() as u64,
        moved: moved.sum(),
        renamed: sources.renamed.len() as u64,
        new: sources.new.len() as u64,
        new_bytes: crate::sources::bytes_of(&sources.new),
        links: sources.links.len() as u64,
    }
}
