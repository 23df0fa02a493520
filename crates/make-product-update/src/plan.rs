//! Which products an update is between, and where it goes: decided before anything is written.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pack_product::PackPlan;
use pixi_offline::byte_size::ByteSize;
use pixi_offline::cancellation::{self, Interruptible};
use pixi_offline::context::Context;
use pixi_offline::counted::{self, counted};
use pixi_offline::evidence::manifest::ManifestFacts;
use pixi_offline::evidence::signature::SigningKey;
use pixi_offline::evidence::update_mark::{is_update, update_around};
use pixi_offline::failure::Failure;
use pixi_offline::parallel;
use pixi_offline::project::require_dir;
use pixi_offline::replacement::{DirLock, OverwriteGuard, StagedDir, TargetState};
use pixi_offline::request::SigningOptions;

use crate::bases::{Base, NewProduct};
use crate::contents::{self, NewContent};
use crate::description::Description;
use crate::plan_files::short;
use crate::sources::UpdateSources;
use crate::update::Update;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct UpdateRequest {
    /// Where it is packed to, too.
    pub(crate) archive: Option<PackPlan>,
    /// Products that targets have.
    pub(crate) from: Vec<PathBuf>,
    /// The product that they are to have.
    pub(crate) product_dir: PathBuf,
    /// Where the update goes.
    pub(crate) output: PathBuf,
    /// Whether an update that is there is replaced.
    pub(crate) force: bool,
    /// The key that the product must be signed with.
    pub(crate) verify_key: Option<PathBuf>,
    /// The key that signs the update.
    pub(crate) signing: SigningOptions,
}

/// An update that can be made.
pub(crate) struct UpdatePlan {
    new: NewProduct,
    bases: Vec<Base>,
    output: PathBuf,
    force: bool,
    key: Option<SigningKey>,
    archive: Option<PackPlan>,
}

impl UpdatePlan {
    /// Reads the lists of the products, and decides whether there can be an update; nothing is touched.
    ///
    /// # Errors
    ///
    /// Exit code 2 for places, keys and products that cannot be used; 1 for a product that is not as it
    /// lists itself.
    pub(crate) fn new(request: UpdateRequest, context: &Context) -> anyhow::Result<UpdatePlan> {
        let absolute = |path: &PathBuf| context.host.absolute(path);
        let product_dir = absolute(&request.product_dir);
        let from: Vec<PathBuf> = request.from.iter().map(absolute).collect();
        let output = absolute(&request.output);
        require_dir("--product-dir", &product_dir)?;
        for dir in &from {
            require_dir("--from", dir)?;
            require_apart(("--from", dir), ("--product-dir", &product_dir))?;
            require_apart(("--product-dir", &product_dir), ("--from", dir))?;
        }
        let key = context.signing_key(&request.signing)?;
        let verify_key = context.verifying_key("--verify-key", request.verify_key.as_ref())?;
        require_place(&output, request.force, &product_dir, &from, context)?;
        if let Some(archive) = &request.archive {
            for dir in from.iter().chain([&product_dir, &output]) {
                archive.require_outside(dir)?;
            }
        }
        // The lists of large products take a while each.
        let (new, bases) = parallel::both(
            || NewProduct::open(&product_dir, verify_key.as_ref(), context),
            || {
                from.iter()
                    .map(|dir| Base::read(dir))
                    .collect::<anyhow::Result<Vec<Base>>>()
            },
        );
        let (bases, new) = (bases?, new?);
        let mut plan = UpdatePlan {
            new,
            bases: Vec::new(),
            output,
            force: request.force,
            key,
            archive: request.archive,
        };
        for base in bases {
            plan.require_fits(&base)?;
            match plan.like(&base) {
                Some(other) => context.report.note(format_args!(
                    "{} and {} are one product (sha256:{})",
                    other.dir.display(),
                    base.dir.display(),
                    base.lists.digest
                )),
                None => plan.bases.push(base),
            }
        }
        Ok(plan)
    }

    /// Another base that is the same product.
    fn like(&self, base: &Base) -> Option<&Base> {
        let mut others = self.bases.iter();
        others.find(|other| short(&other.lists.digest) == short(&base.lists.digest))
    }

    /// Requires that the base is another product of the same project and platform.
    fn require_fits(&self, base: &Base) -> anyhow::Result<()> {
        let (old, new) = (&base.lists.manifest.facts, &self.new.manifest().facts);
        let (old_dir, new_dir) = (base.dir.display(), self.new.product.path().display());
        let name = |facts: &ManifestFacts| facts.project.name.clone();
        if name(old) != name(new) {
            return Err(Failure::usage(format!(
                "{old_dir} is a product of the project {}, and {new_dir} is one of {}; an update is between products of one project: name another --from, or deliver the new product whole",
                name(old),
                name(new)
            )));
        }
        if let (Some(old), Some(new)) = (old.platform, new.platform)
            && old != new
        {
            return Err(Failure::usage(format!(
                "{old_dir} is a product for {old}, and {new_dir} is one for {new}; an update is between products for one platform: name another --from, or deliver the new product whole"
            )));
        }
        if base.lists.digest == self.new.checked.digest {
            return Err(Failure::usage(format!(
                "there is nothing to update: {old_dir} and {new_dir} are one product (sha256:{}); name the product that the targets have with --from",
                base.lists.digest
            )));
        }
        Ok(())
    }

    /// Where everything comes from, by base.
    fn sources(&self) -> Vec<(&Base, UpdateSources<'_>)> {
        let new = &self.new.manifest().entries;
        let bases = self.bases.iter();
        bases
            .map(|base| (base, UpdateSources::find(&base.lists.manifest.entries, new)))
            .collect()
    }

    /// Says what the update would hold.
    ///
    /// # Errors
    ///
    /// None: what can go wrong has been looked at.
    pub(crate) fn print(&self, context: &Context) -> anyhow::Result<()> {
        let bases = self.sources();
        let contents = contents::of(bases.iter().flat_map(|(_, sources)| &sources.new).copied());
        note_what_may_bite(&bases, &self.new, &contents, context);
        let description = Description::new(&self.new, &bases, &contents);
        let mut lines = vec![format!(
            "Would make {}: {} of {}, {} with {}",
            self.output.display(),
            description.project,
            description.to.product_digest,
            counted::files(description.files),
            ByteSize(description.bytes)
        )];
        lines.extend(self.bases.iter().zip(&description.from).map(|(base, facts)| {
            format!(
                "From {} ({}): files and links at the same path: {}, from other places in it: {}, new: {} with {}",
                base.dir.display(),
                facts.product.product_digest,
                facts.kept,
                facts.moved + facts.renamed,
                facts.new + facts.links,
                ByteSize(facts.new_bytes)
            )
        }));
        context.report.print_document(
            "make-product-update",
            &serde_json::to_value(&description)?,
            &lines,
        );
        Ok(())
    }

    /// Makes the update.
    ///
    /// # Errors
    ///
    /// Exit code 1 when a file is no longer as it is listed, or the update cannot be written: then what
    /// was in its place is as it was.
    pub(crate) fn execute(&self, context: &Context) -> anyhow::Result<()> {
        let bases = self.sources();
        let contents = contents::of(bases.iter().flat_map(|(_, sources)| &sources.new).copied());
        note_what_may_bite(&bases, &self.new, &contents, context);
        let dir_lock = DirLock::exclusive(&self.output, crate::COMMAND)?;
        StagedDir::recover_stale(&dir_lock, &self.output)?;
        let from: Vec<PathBuf> = self.bases.iter().map(|base| base.dir.clone()).collect();
        let product_dir = self.new.product.path();
        require_place(&self.output, self.force, product_dir, &from, context)?;
        let watch = Interruptible::start()?;
        let staged = StagedDir::new(&dir_lock, &self.output)?;
        let update = Update {
            new: &self.new,
            description: Description::new(&self.new, &bases, &contents),
            bases,
            contents,
            key: self.key.as_ref(),
        };
        let entries = update.write(staged.path(), context)?;
        cancellation::check()?;
        drop(watch);
        staged.commit()?;
        self.report(&update.description, context);
        if let Some(archive) = &self.archive {
            update
                .pack(archive, &self.output, &entries, context)
                .with_context(|| {
                    format!(
                        "the update {} is whole, and only its archive was not written; carry the update as it is, or give the command again with --force",
                        self.output.display()
                    )
                })?;
        }
        let needs_older = update
            .bases
            .iter()
            .any(|(base, _)| base.is_newer(&self.new) == Some(true));
        let older = if needs_older { "--older " } else { "" };
        let carried = if self.archive.is_some() {
            "the archive"
        } else {
            "it"
        };
        context.report.next(format_args!(
            "carry {carried} to the target, and there: ./apply-update.sh {older}PRODUCT"
        ));
        Ok(())
    }

    fn report(&self, description: &Description, context: &Context) {
        context.report.ok(format_args!(
            "update made at: {} ({} with {}, to {})",
            self.output.display(),
            counted::files(description.files),
            ByteSize(description.bytes),
            description.to.product_digest
        ));
    }
}

/// Says what is good to know before it is carried.
fn note_what_may_bite(
    bases: &[(&Base, UpdateSources<'_>)],
    new: &NewProduct,
    contents: &[NewContent<'_>],
    context: &Context,
) {
    for (base, _) in bases
        .iter()
        .filter(|(base, _)| base.is_newer(new) == Some(true))
    {
        context.report.note(format_args!(
            "{} was made after {}: apply-update.sh requires --older there",
            base.dir.display(),
            new.product.path().display()
        ));
    }
    let mut large = contents.iter().filter(|content| !content.fits_on_fat());
    if let Some(first) = large.next() {
        context.report.note(format_args!(
            "{} too large for a FAT file system, {} with {} for example; carry the update on another one, or as an archive in parts (--archive FILE --split 4G)",
            counted(1 + large.count(), "file is", "files are"),
            first.path.display(),
            ByteSize(first.size)
        ));
    }
}

/// Requires that one directory is not in the other.
fn require_apart(inner: (&str, &Path), outer: (&str, &Path)) -> anyhow::Result<()> {
    let real = |dir: &Path| dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let (inside, outside) = (real(inner.1), real(outer.1));
    // The same directory is the same product, which has a message of its own.
    if inside == outside || !inside.starts_with(&outside) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} {} is in {} {}; an update is between two products: name each by its own directory",
        inner.0,
        inner.1.display(),
        outer.0,
        outer.1.display()
    )))
}

/// Requires that the update can go to its place.
fn require_place(
    output: &Path,
    force: bool,
    product_dir: &Path,
    from: &[PathBuf],
    context: &Context,
) -> anyhow::Result<()> {
    let mut guard = OverwriteGuard::new(&context.host);
    guard.without_force();
    let products = from
        .iter()
        .map(|dir| ("the product of --from", dir.as_path()));
    for (what, dir) in products.chain([("the product of --product-dir", product_dir)]) {
        guard.protect(dir, what);
        let real = |dir: &Path| dir.canonicalize().ok();
        let place = output.ancestors().find_map(real);
        if place
            .zip(real(dir))
            .is_some_and(|(place, dir)| place.starts_with(dir))
        {
            return Err(Failure::usage(format!(
                "--output {} is in {what}, {}; choose another place",
                output.display(),
                dir.display()
            )));
        }
    }
    if let Some(update) = update_around(output) {
        return Err(Failure::usage(format!(
            "--output {} is in the update {}, and apply-update.sh refuses an update with additional files; choose another place",
            output.display(),
            update.display()
        )));
    }
    let state = guard.check("--output", output, is_update, false)?;
    if state == TargetState::Owned && !force {
        return Err(Failure::usage(format!(
            "--output {} is an update already; choose another place, or add --force to replace it",
            output.display()
        )));
    }
    Ok(())
}
