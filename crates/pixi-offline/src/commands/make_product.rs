//! From a built workdir to the product in it.

mod contents;
mod plan;
mod product_place;
mod request;
mod source;

use std::path::{Path, PathBuf};

use self::contents::{Content, copy, entries_of_moved, move_cache, require_space};
use self::plan::{LockedWorkdir, ProductPlan};
pub(crate) use self::product_place::ProductPlace;
pub use self::request::{BundlePixi, ProductChoices, ProductRequest};
pub(crate) use self::source::require_one_device;
use crate::byte_size::ByteSize;
use crate::cancellation::{self, Interruptible};
use crate::commands::bundled_pixi;
use crate::commands::html_report::ProductPackages;
use crate::commands::previous::Previous;
use crate::commands::product_evidence::{self, Choices, Evidence};
use crate::commands::special_entries::warn_of_special_entries;
use crate::context::Context;
use crate::counted;
use crate::evidence::Sha256Digest;
use crate::evidence::manifest::ManifestFacts;
use crate::evidence::readme;
use crate::layout::Product;
use crate::packages::{CacheMove, CopiedCache, UnlistedEntries};
use crate::product::{self, Facts};
use crate::project::secrets;
use crate::replacement::{StagedDir, write_file};

/// A product that is there.
#[derive(Debug, Clone)]
pub struct MadeProduct {
    /// Its place.
    pub path: PathBuf,
    /// The sha256 of its `SHA256SUMS`.
    pub digest: Sha256Digest,
    /// What its manifest states.
    pub facts: ManifestFacts,
}

/// Makes the product; with the lists of the product that was delivered before, where they were
/// read already.
///
/// # Errors
///
/// Exit code 2 before the old product is touched for what is wrong with the
/// request or the workdir; any later error leaves the old product as it was.
pub fn run(
    request: &ProductRequest,
    previous: Option<Previous>,
    context: &Context,
) -> anyhow::Result<MadeProduct> {
    context.report.phase("product", "making the product");
    // Nobody changes what is looked at from here on.
    let workdir = LockedWorkdir::open(request, context)?;
    ProductPlan::new(request, workdir, context)?.execute(previous, context)
}

impl ProductPlan<'_> {
    /// Builds the new product beside the old one, lists it, and puts it in its place.
    fn execute(self, previous: Option<Previous>, context: &Context) -> anyhow::Result<MadeProduct> {
        let output_lock = self.lock_output()?;
        let place_lock = output_lock.as_ref().unwrap_or(&self.workdir_lock);
        self.recover(place_lock, context)?;
        // Only now: it may be the product that is replaced.
        let previous = match previous {
            Some(previous) => Some(previous),
            None => self.read_previous(context)?,
        };
        require_space(&self, context)?;
        let watch = Interruptible::start()?;
        let beside = StagedDir::new(place_lock, self.target.path())?;
        let new = Product::new(beside.path());
        let mut content = copy(&self, &new, context)?;
        let installation = self.installation(&content);
        self.write_scripts(&new, &installation)?;
        let (facts, digest) = self.write_evidence(
            &new,
            &mut content,
            &installation,
            previous.as_ref(),
            context,
        )?;
        cancellation::check()?;
        drop(watch);
        beside.commit()?;
        if let Some(cache_move) = &content.cache_move {
            // Only now: what is beside its place is deleted when a run dies.
            move_cache(cache_move, &self.workdir, &self.target, self.record.clone())?;
        }
        self.announce(&content.cache, &digest, context);
        Ok(MadeProduct {
            path: self.target.path().to_owned(),
            digest,
            facts,
        })
    }

    /// The lists of the product that was delivered before.
    fn read_previous(&self, context: &Context) -> anyhow::Result<Option<Previous>> {
        let name = self.place.name.to_string();
        Previous::read(&self.request.choices.previous, &name, context)
    }

    /// What the scripts that install the product compare with the target.
    fn installation(&self, content: &Content) -> Facts {
        let mut facts = self.cache.facts(self.record.as_ref(), &content.cache);
        if self.request.choices.full_cache {
            // Most of it is never installed.
            (facts.install_bytes, facts.install_entries) = (None, None);
        }
        if !self.place.in_root.is_empty() {
            facts.below_root = Some(self.place.clone());
        }
        facts.bundled_pixi = self.bundles_pixi;
        if self.bundles_pixi {
            let linker = bundled_pixi::linker(&self.workdir);
            facts.pixi_linker = linker.map(|path| path.display().to_string());
        }
        facts
    }

    /// Writes the scripts that install the product, and the pixi that they use.
    fn write_scripts(&self, new: &Product, installation: &Facts) -> anyhow::Result<()> {
        if self.bundles_pixi {
            bundled_pixi::copy(&self.workdir, &new.pixi())?;
        }
        product::write_scripts(new, &self.variables, installation)
    }

    /// Lists what is in the product, and describes it; gives its digest.
    fn write_evidence(
        &self,
        new: &Product,
        content: &mut Content,
        installation: &Facts,
        previous: Option<&Previous>,
        context: &Context,
    ) -> anyhow::Result<(ManifestFacts, Sha256Digest)> {
        let (request, record) = (self.request, self.record.as_ref());
        let choices = Choices {
            excludes: &request.excludes,
            whole_cache: request.choices.full_cache,
            bundled_pixi: self.bundles_pixi,
            secrets: secrets::told(&request.secrets, &self.findings),
            contact: request.choices.contact.as_ref(),
            project: content.listing_of(&new.staged(&self.place.name)),
        };
        let facts =
            product_evidence::facts(new, &self.place, &self.cache, record, &choices, context)?;
        let cache_now = match content.cache_move {
            Some(_) => self.workdir.cache(),
            None => new.cache(),
        };
        let packages = ProductPackages::read(new, &cache_now, &facts, context)?;
        packages.write_sbom(new, &facts)?;
        write_file(&new.readme(), readme::text(&facts, installation).as_bytes())?;
        let listing = std::mem::take(&mut content.cache.listing);
        let not_there = match content.cache_move {
            Some(_) => entries_of_moved(&self.workdir, &listing)?,
            None => Vec::new(),
        };
        content.listings.push((new.cache(), listing));
        let known = |path: &Path, size| {
            // Each listing is of a directory in the product itself.
            let mut parts = path.components();
            let top = parts.next()?.as_os_str();
            let mut listings = content.listings.iter();
            let (_, listing) = listings.find(|(of, _)| of.file_name() == Some(top))?;
            listing.digest(parts.as_path(), size)
        };
        let evidence = Evidence {
            facts,
            known: &known,
            not_there,
            signing_key: self.signing_key.as_ref(),
            started: record.and_then(|record| record.started.clone()),
        };
        let (manifest, digest) = evidence.write(new, context)?;
        let left = content.cache_move.as_ref().map(CacheMove::left);
        let unlisted = packages.unlisted(&cache_now, left.unwrap_or_default());
        require_owned(&unlisted)?;
        warn_of_special_entries(&manifest.entries, context);
        if let Some(previous) = previous {
            previous.write_changes(new, self.signing_key.as_ref(), context.signing_time())?;
        }
        packages.write_html_report(new, &manifest, &digest, &unlisted, None, context)?;
        Ok((manifest.facts, digest))
    }

    /// Says what was made.
    fn announce(&self, cache: &CopiedCache, digest: &Sha256Digest, context: &Context) {
        let (report, path) = (&context.report, self.target.path().display());
        report.ok(format_args!("product created at: {path}"));
        report.info(format_args!("Project: {}", self.place.path().display()));
        report.info(format_args!(
            "Package cache: {} in {}; left out as not needed: {} in {}",
            ByteSize(cache.bytes),
            counted::entries(cache.entries),
            ByteSize(cache.left_bytes),
            counted::entries(cache.left_entries),
        ));
        report.info(format_args!("Product digest: sha256:{digest}"));
        report.field("product", path.to_string());
        report.field("product_digest", format!("sha256:{digest}"));
        report.field("cache_bytes", cache.bytes);
        report.field("cache_entries", cache.entries);
    }
}

/// Requires that everything in a finished product's cache belongs to a package, or has a
/// reason to be there, which the report tells.
fn require_owned(unlisted: &UnlistedEntries) -> anyhow::Result<()> {
    let nobodys = unlisted.without_reason();
    anyhow::ensure!(
        nobodys.is_empty(),
        "the product was not made: its package cache has {} that no package needs, {} for example; this is a bug, and --cache full works around it",
        counted::entries(nobodys.len()),
        nobodys[0]
    );
    Ok(())
}
