//! Copies project, resources and package cache into a product, or moves the cache there.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::plan::ProductPlan;
use crate::context::Context;
use crate::counted;
use crate::evidence::WorkdirRecord;
use crate::evidence::listing;
use crate::evidence::manifest::{EncodedPath, Entry, EntryKind, Mode};
use crate::layout::{self, Product, Workdir};
use crate::packages::{CacheMove, CopiedCache};
use crate::project::dirs;
use crate::project::stage;
use crate::replacement::{make_dir, require_free_space, write_file};
use crate::staging::{CopyOptions, LinkMode, Listing};
use crate::untrusted_dir::UntrustedDir;

/// What was copied into a product.
pub(super) struct Content {
    /// What is listed already, by the directory of the product that it is in.
    pub(super) listings: Vec<(PathBuf, Listing)>,
    pub(super) cache: CopiedCache,
    /// What is still to be done to a cache that is moved into the product.
    pub(super) cache_move: Option<CacheMove>,
}

impl Content {
    /// What was copied into a directory.
    pub(super) fn listing_of(&self, dir: &Path) -> Option<&Listing> {
        let mut listings = self.listings.iter();
        listings
            .find(|(of, _)| of == dir)
            .map(|(_, listing)| listing)
    }
}

pub(super) fn require_space(plan: &ProductPlan<'_>, context: &Context) -> anyhow::Result<()> {
    let cache = plan.workdir.cache();
    let (projects, resources) = (plan.workdir.projects(), plan.workdir.resources());
    let mut sources = vec![projects.as_path()];
    if dirs::is_dir(&resources)? {
        sources.push(&resources);
    }
    if copies_cache(plan) {
        sources.push(&cache);
    }
    let size = || {
        let mut size = plan.staged;
        if copies_cache(plan) {
            size += plan.cache.size();
        }
        (size.bytes, size.entries)
    };
    require_free_space(plan.target.path(), &sources, size)?;
    context.report.progress_of(|| size().0);
    Ok(())
}

/// Whether the cache takes room: what is shared or moved takes none.
fn copies_cache(plan: &ProductPlan<'_>) -> bool {
    let copies = matches!(
        plan.request.choices.link_mode,
        LinkMode::Auto | LinkMode::Copy
    );
    copies && !plan.request.choices.move_cache
}

/// Copies project, resources and cache; digests are computed meanwhile.
pub(super) fn copy(
    plan: &ProductPlan<'_>,
    new: &Product,
    context: &Context,
) -> anyhow::Result<Content> {
    let options = CopyOptions {
        list: true,
        hash: true,
        progress: Some(&|bytes| context.report.progress(bytes)),
        // A container may put a link in the place of each of them at any time.
        below: Some(plan.workdir.path()),
        ..CopyOptions::default()
    };
    let (from, to) = (
        plan.workdir.staged(&plan.place.name),
        new.staged(&plan.place.name),
    );
    let project = stage::copy_project(&from, &to, &plan.rules, &options, context)?;
    write_locks(plan, new)?;
    let mut listings = vec![(to, project.listing)];
    let (from, to) = (plan.workdir.resources(), new.resources());
    if dirs::is_dir(&from)? {
        let outcome = stage::copy_dir(&from, &to, &options, context)?;
        listings.push((to, outcome.listing));
    } else {
        make_dir(&to).with_context(|| format!("{} cannot be made", to.display()))?;
    }
    let (cache_move, cache) = if plan.request.choices.move_cache {
        let (cache_move, cache) = plan.cache.prepare_move()?;
        (Some(cache_move), cache)
    } else {
        let options = CopyOptions {
            link_mode: plan.request.choices.link_mode,
            ..options
        };
        let cache = plan.cache.copy(&new.cache(), &options)?;
        note_not_shared(plan.request.choices.link_mode, cache.not_shared, context);
        (None, cache)
    };
    Ok(Content {
        listings,
        cache,
        cache_move,
    })
}

/// Writes the lock of the product, and the project's own beside the project, where they
/// differ.
fn write_locks(plan: &ProductPlan<'_>, new: &Product) -> anyhow::Result<()> {
    let (Some(original), Some(lock)) = (&plan.cache.original_lock, &plan.cache.lock) else {
        return Ok(());
    };
    let file = new.project(&plan.place).join(layout::LOCK_FILE);
    write_file(&file, lock.text().as_bytes())?;
    write_file(&new.original_lock(), original.text().as_bytes())
}

/// Says that files were copied which were to be shared.
fn note_not_shared(link_mode: LinkMode, files: u64, context: &Context) {
    let way = match link_mode {
        LinkMode::Clone => "cloned",
        LinkMode::Hardlink => "hard-linked",
        LinkMode::Auto | LinkMode::Copy => return,
    };
    if files > 0 {
        context.report.note(format_args!(
            "{} of the package cache could not be {way} here, but copied",
            counted::files(files)
        ));
    }
}

/// Moves the cache into the product that is in its place. The workdir says so
/// first: a second run can then explain what it misses.
pub(super) fn move_cache(
    cache_move: &CacheMove,
    workdir: &Workdir,
    target: &Product,
    record: Option<WorkdirRecord>,
) -> anyhow::Result<()> {
    let (from, to) = (workdir.cache(), target.cache());
    if let Some(mut record) = record {
        record.cache_moved = Some(to.display().to_string());
        record.write(workdir)?;
    }
    let rename = || -> anyhow::Result<()> {
        cache_move.prune(workdir.path())?;
        let product = UntrustedDir::open(target.path())?;
        let name = to.file_name().unwrap_or_default();
        UntrustedDir::open(workdir.path())?.rename(layout::CACHE, &product, name)?;
        Ok(())
    };
    rename().with_context(|| {
        format!(
            "the product is not whole: {} cannot be moved to {}; make the product again",
            from.display(),
            to.display()
        )
    })
}

/// The cache's entries in a product that it is not yet in.
pub(super) fn entries_of_moved(workdir: &Workdir, listing: &Listing) -> anyhow::Result<Vec<Entry>> {
    let cache = workdir.cache();
    let metadata = fs::symlink_metadata(&cache)
        .with_context(|| format!("{} cannot be read", cache.display()))?;
    let product = workdir.product().cache();
    let name = Path::new(product.file_name().unwrap_or_default());
    let mut entries = listing::entries(listing, name);
    entries.push(Entry {
        path: EncodedPath::new(name),
        kind: EntryKind::Directory {
            mode: Mode::of(metadata.mode()),
        },
    });
    Ok(entries)
}
