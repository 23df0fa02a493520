//! From a built workdir to the product in it.

mod source;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::byte_size::ByteSize;
use crate::commands::html_report::ProductPackages;
use crate::commands::product_cache::{self, CacheChoice, CachePlan};
use crate::commands::product_evidence::{self, Choices, Evidence};
use crate::commands::special_entries::warn_of_special_entries;
use crate::context::Context;
use crate::evidence::listing;
use crate::evidence::manifest::{EncodedPath, Entry, EntryKind, ManifestFacts, Mode};
use crate::evidence::readme;
use crate::evidence::signature::SigningKey;
use crate::evidence::{Sha256Digest, WorkdirRecord};
use crate::failure::Failure;
use crate::layout::{self, Product, ProjectPlace, Workdir};
use crate::packages::{CacheMove, CopiedCache, Strangers};
use crate::product::{self, Facts};
use crate::project::generated::{self, Generated};
use crate::project::git_version;
use crate::project::secrets::{self, SecretSearch};
use crate::project::stage::{self, ProjectRules};
use crate::replacement::{
    DirLock, OverwriteGuard, StagedDir, make_dir, require_free_space, write_file,
};
use crate::request::{Contact, ProductVariable, ProjectName, SecretPolicy, SigningOptions};
use crate::secret_search::Finding;
use crate::staging::{CopyOptions, LinkMode, Listing, Size};
use crate::untrusted_dir::UntrustedDir;

/// The command's name.
const COMMAND: &str = "make-archive-ready-product";

/// What was asked for; paths as they were typed.
#[derive(Debug, Clone)]
pub struct ProductRequest {
    /// The workdir.
    pub workdir: PathBuf,
    /// The project's name; the only one in the workdir when `None`.
    pub project_name: Option<ProjectName>,
    /// Variables that `envs.sh` exports.
    pub variables: Vec<ProductVariable>,
    /// Arguments of `--exclude`.
    pub excludes: Vec<OsString>,
    /// What becomes of the files that the build made in the project.
    pub generated: Generated,
    /// What happens to what looks like a secret.
    pub secrets: SecretPolicy,
    /// Whether every file of every needed package is read and compared.
    pub deep: bool,
    /// Whether the cache is carried whole.
    pub full_cache: bool,
    /// Whether the pixi that built the workdir goes along.
    pub bundle_pixi: BundlePixi,
    /// How the package cache gets into the product.
    pub link_mode: LinkMode,
    /// Whether it is moved there instead.
    pub move_cache: bool,
    /// What the list of the product is signed with.
    pub signing: SigningOptions,
    /// Where the product goes; `product/` in the workdir when `None`.
    pub output: Option<PathBuf>,
    /// Whether another directory at `output` may be overwritten.
    pub force: bool,
    /// Whom the person at the target asks.
    pub contact: Option<Contact>,
}

impl ProductRequest {
    /// Where the product goes.
    pub fn product_dir(&self, context: &Context) -> PathBuf {
        match &self.output {
            Some(output) => context.host.absolute(output),
            None => Workdir::new(context.host.absolute(&self.workdir))
                .product()
                .path()
                .to_owned(),
        }
    }
}

/// Whether the pixi that built a workdir goes into the product.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BundlePixi {
    /// It does not.
    #[default]
    No,
    /// It does where the workdir has it; else that is said.
    WherePresent,
    /// It does; a workdir without one is refused.
    Required,
}

impl BundlePixi {
    /// Whether the pixi of this workdir goes along.
    pub(crate) fn is_wanted_of(self, workdir: &Workdir) -> bool {
        match self {
            BundlePixi::No => false,
            BundlePixi::WherePresent => product_cache::has_pixi(workdir),
            BundlePixi::Required => true,
        }
    }
}

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

/// Makes the product.
///
/// # Errors
///
/// Exit code 2 before the old product is touched for what is wrong with the
/// request or the workdir; any later error leaves the old product as it was.
pub fn run(request: &ProductRequest, context: &Context) -> anyhow::Result<MadeProduct> {
    context.report.phase("product", "making the product");
    ProductPlan::new(request, context)?.execute(context)
}

/// A product that can be made: all is decided, and nothing is touched.
struct ProductPlan<'a> {
    request: &'a ProductRequest,
    workdir: Workdir,
    place: ProjectPlace,
    record: Option<WorkdirRecord>,
    rules: ProjectRules,
    cache: CachePlan,
    target: Product,
    signing_key: Option<SigningKey>,
    findings: Vec<Finding>,
    /// What `envs.sh` exports.
    variables: Vec<ProductVariable>,
    /// Whether the pixi of the build goes along.
    bundles_pixi: bool,
    /// What the copies of the project and of the resources will take.
    staged: Size,
    workdir_lock: DirLock,
    /// The lock of a place outside of the workdir.
    output_lock: Option<DirLock>,
}

/// What was copied into a product.
struct Content {
    /// What is listed already, by the directory of the product that it is in.
    listings: Vec<(PathBuf, Listing)>,
    cache: CopiedCache,
    /// What is still to be done to a cache that is moved into the product.
    cache_move: Option<CacheMove>,
}

impl Content {
    /// What was copied into a directory.
    fn listing_of(&self, dir: &Path) -> Option<&Listing> {
        let mut listings = self.listings.iter();
        listings
            .find(|(of, _)| of == dir)
            .map(|(_, listing)| listing)
    }
}

impl<'a> ProductPlan<'a> {
    fn new(request: &'a ProductRequest, context: &Context) -> anyhow::Result<ProductPlan<'a>> {
        let workdir = Workdir::new(context.host.absolute(&request.workdir));
        let dir = source::open(&workdir)?;
        let mut rules = ProjectRules::of_built(&request.excludes)?;
        let signing_key = product_evidence::signing_key(&request.signing, context)?;
        // Nobody changes what is looked at from here on.
        let workdir_lock = DirLock::exclusive(workdir.path(), COMMAND)?;
        let target = target(request, &workdir, context)?;
        let output_lock = match target.path().starts_with(workdir.path()) {
            true => None,
            false => Some(DirLock::exclusive(target.path(), COMMAND)?),
        };
        let place = output_lock.as_ref().unwrap_or(&workdir_lock);
        StagedDir::recover_stale(place, target.path())?;
        let mut search = SecretSearch::new(&request.secrets, context)?;
        let record = WorkdirRecord::read(&workdir)?;
        source::require_built(&workdir, record.as_ref(), context)?;
        let versions = record.as_ref().map(|record| &*record.git_versions);
        let versions = versions.unwrap_or_default();
        let variables = git_version::for_product(versions, &request.variables)?;
        let name = match &request.project_name {
            Some(name) => name.clone(),
            None => source::only_project(&dir)?,
        };
        let place = match &record {
            Some(record) => record.place_of(&name),
            None => name.into(),
        };
        source::require_whole(&dir, &workdir, &place, record.as_ref())?;
        rules.stage_in_root(&place.in_root);
        let bundles_pixi = request.bundle_pixi.is_wanted_of(&workdir);
        if bundles_pixi {
            product_cache::require_pixi(&workdir, context)?;
        } else if request.bundle_pixi == BundlePixi::WherePresent {
            context.report.warning("the build brought no pixi along, so the product includes none: the target needs one of the same version");
        }
        if request.move_cache {
            source::require_movable(&workdir, &target, record.as_ref())?;
        }
        let choice = CacheChoice {
            deep: request.deep,
            full: request.full_cache,
        };
        let cache = CachePlan::make(&workdir, &place, record.as_ref(), choice, context)?;
        generated::warn_of_variables(&request.variables, &place.name, record.as_ref(), context);
        let staged = workdir.staged(&place.name);
        generated::apply(
            request.generated,
            &staged,
            &place.name,
            record.as_ref(),
            &mut rules,
            context,
        )?;
        let mut size = search.project(&staged, &rules).size;
        size += search.resources(&workdir.resources())?.size;
        search.variables(&request.variables);
        if search.is_on() {
            search.cache(&workdir.cache(), &cache.pointers()?);
        }
        let findings = search.findings();
        secrets::refuse(&request.secrets, &findings)?;
        secrets::warn(&findings, context);
        if cache.original_lock().is_some() {
            rules.leave_out(layout::LOCK_FILE);
        }
        Ok(ProductPlan {
            request,
            workdir,
            place,
            record,
            rules,
            cache,
            target,
            signing_key,
            findings,
            variables,
            bundles_pixi,
            staged: size,
            workdir_lock,
            output_lock,
        })
    }

    /// Builds the new product beside the old one, lists it, and puts it in its place.
    fn execute(self, context: &Context) -> anyhow::Result<MadeProduct> {
        self.require_space(context)?;
        let place = self.output_lock.as_ref().unwrap_or(&self.workdir_lock);
        let beside = StagedDir::new(place, self.target.path())?;
        let new = Product::new(beside.path());
        let mut content = self.copy(&new, context)?;
        let installation = self.installation(&content);
        self.write_scripts(&new, &installation)?;
        let (facts, digest) = self.write_evidence(&new, &mut content, &installation, context)?;
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

    /// Whether the cache takes room: what is shared or moved takes none.
    fn copies_cache(&self) -> bool {
        let copies = matches!(self.request.link_mode, LinkMode::Auto | LinkMode::Copy);
        copies && !self.request.move_cache
    }

    fn require_space(&self, context: &Context) -> anyhow::Result<()> {
        let cache = self.workdir.cache();
        let (projects, resources) = (self.workdir.projects(), self.workdir.resources());
        let mut sources = vec![projects.as_path()];
        if stage::is_dir(&resources)? {
            sources.push(&resources);
        }
        if self.copies_cache() {
            sources.push(&cache);
        }
        let size = || {
            let mut size = self.staged;
            if self.copies_cache() {
                size += self.cache.size();
            }
            (size.bytes, size.entries)
        };
        require_free_space(self.target.path(), &sources, size)?;
        context.report.progress_of(|| size().0);
        Ok(())
    }

    /// Copies project, resources and cache; digests are computed meanwhile.
    fn copy(&self, new: &Product, context: &Context) -> anyhow::Result<Content> {
        let how = CopyOptions {
            list: true,
            hash: true,
            progress: Some(&|bytes| context.report.progress(bytes)),
            // A container may put a link in the place of each of them at any time.
            below: Some(self.workdir.path()),
            ..CopyOptions::default()
        };
        let (from, to) = (
            self.workdir.staged(&self.place.name),
            new.staged(&self.place.name),
        );
        let project = stage::copy_project(&from, &to, &self.rules, &how, context)?;
        self.write_locks(new)?;
        let mut listings = vec![(to, project.listing)];
        let (from, to) = (self.workdir.resources(), new.resources());
        if stage::is_dir(&from)? {
            let outcome = stage::copy_dir(&from, &to, &how, context)?;
            listings.push((to, outcome.listing));
        } else {
            make_dir(&to).with_context(|| format!("{} cannot be made", to.display()))?;
        }
        let (cache_move, cache) = if self.request.move_cache {
            let (cache_move, cache) = self.cache.prepare_move()?;
            (Some(cache_move), cache)
        } else {
            let how = CopyOptions {
                link_mode: self.request.link_mode,
                ..how
            };
            let cache = self.cache.copy(&new.cache(), &how)?;
            note_not_shared(self.request.link_mode, cache.not_shared, context);
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
    fn write_locks(&self, new: &Product) -> anyhow::Result<()> {
        let (Some(original), Some(lock)) = (self.cache.original_lock(), self.cache.lock()) else {
            return Ok(());
        };
        let file = new.project(&self.place).join(layout::LOCK_FILE);
        write_file(&file, lock.text().as_bytes())?;
        write_file(&new.original_lock(), original.text().as_bytes())
    }

    /// What the scripts that install the product compare with the target.
    fn installation(&self, content: &Content) -> Facts {
        let mut facts = self.cache.facts(self.record.as_ref(), &content.cache);
        if self.request.full_cache {
            // Most of it is never installed.
            (facts.install_bytes, facts.install_entries) = (None, None);
        }
        if !self.place.in_root.is_empty() {
            facts.below_root = Some(self.place.clone());
        }
        facts.bundled_pixi = self.bundles_pixi;
        facts
    }

    /// Writes the scripts that install the product, and the pixi that they use.
    fn write_scripts(&self, new: &Product, installation: &Facts) -> anyhow::Result<()> {
        if self.bundles_pixi {
            product_cache::bundle_pixi(&self.workdir, &new.pixi())?;
        }
        product::write_scripts(new, &self.variables, installation)
    }

    /// Lists what is in the product, and describes it; gives its digest.
    fn write_evidence(
        &self,
        new: &Product,
        content: &mut Content,
        installation: &Facts,
        context: &Context,
    ) -> anyhow::Result<(ManifestFacts, Sha256Digest)> {
        let (request, record) = (self.request, self.record.as_ref());
        let choices = Choices {
            excludes: &request.excludes,
            whole_cache: request.full_cache,
            bundled_pixi: self.bundles_pixi,
            secrets: secrets::told(&request.secrets, &self.findings),
            contact: request.contact.as_ref(),
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
        let strangers = packages.strangers(&cache_now, left.unwrap_or_default());
        require_owned(&strangers)?;
        warn_of_special_entries(&manifest.entries, context);
        packages.write_html_report(new, &manifest, &digest, &strangers)?;
        Ok((manifest.facts, digest))
    }

    /// Says what was made.
    fn announce(&self, cache: &CopiedCache, digest: &Sha256Digest, context: &Context) {
        let (report, path) = (&context.report, self.target.path().display());
        report.ok(format_args!("product created at: {path}"));
        report.info(format_args!("Project: {}", self.place.path().display()));
        report.info(format_args!(
            "Package cache: {} in {} entries; left out as not needed: {} in {} entries",
            ByteSize(cache.bytes),
            cache.entries,
            ByteSize(cache.left_bytes),
            cache.left_entries,
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
fn require_owned(strangers: &Strangers) -> anyhow::Result<()> {
    let nobodys = strangers.without_reason();
    anyhow::ensure!(
        nobodys.is_empty(),
        "the product was not made: its package cache has {} entries that no package needs, {} for example; this is an error in this program, --cache full passes over it",
        nobodys.len(),
        nobodys[0]
    );
    Ok(())
}

/// Where the product goes, when a directory there may be replaced.
fn target(
    request: &ProductRequest,
    workdir: &Workdir,
    context: &Context,
) -> anyhow::Result<Product> {
    let mut guard = OverwriteGuard::new(&context.host);
    let Some(output) = &request.output else {
        // product/ is ours by its place in a workdir.
        let target = workdir.product();
        guard.check("the product's place", target.path(), |_| true, false)?;
        return Ok(target);
    };
    let target = Product::new(context.host.absolute(output));
    let product = workdir.product();
    if target == product || target.path() == layout::failed(product.path()) {
        guard.check("--output", target.path(), |_| true, false)?;
        return Ok(target);
    }
    if target.path().starts_with(workdir.path()) {
        return Err(Failure::usage(format!(
            "--output {} lies in the workdir, which is what the product is made of; choose another place",
            target.path().display()
        )));
    }
    guard.protect(workdir.path(), "the workdir");
    guard.check(
        "--output",
        target.path(),
        product::is_product,
        request.force,
    )?;
    Ok(target)
}

/// Moves the cache into the product that is in its place. The workdir says so
/// first: a second run can then explain what it misses.
fn move_cache(
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
fn entries_of_moved(workdir: &Workdir, listing: &Listing) -> anyhow::Result<Vec<Entry>> {
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

/// Says that files were copied which were to be shared.
fn note_not_shared(link_mode: LinkMode, files: u64, context: &Context) {
    let way = match link_mode {
        LinkMode::Clone => "cloned",
        LinkMode::Hardlink => "hard-linked",
        LinkMode::Auto | LinkMode::Copy => return,
    };
    if files > 0 {
        context.report.note(format_args!(
            "{files} files of the package cache could not be {way} here, and were copied"
        ));
    }
}
