//! From a built workdir to the product in it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::FileType;

use crate::context::Context;
use crate::evidence::listing;
use crate::evidence::manifest::{EncodedPath, Entry, EntryKind, Mode};
use crate::evidence::{BuildState, Sha256Digest, WorkdirRecord};
use crate::failure::Failure;
use crate::layout::{self, Product, Workdir};
use crate::packages::Strangers;
use crate::product;
use crate::replacement::{DirLock, OverwriteGuard, StagedDir, make_folder, require_free_space};
use crate::request::{ProductVariable, ProjectName, SecretPolicy, SigningOptions};
use crate::staging::{CopyOptions, LinkMode, Listing};
use crate::steps::generated::{self, Generated};
use crate::steps::git_version;
use crate::steps::html_report::ProductPackages;
use crate::steps::product_cache::{self, CachePlan};
use crate::steps::product_evidence::{self, Choices};
use crate::steps::project_manifest::ProjectManifest;
use crate::steps::secrets::{self, SecretSearch};
use crate::steps::special_entries::warn_of_special_entries;
use crate::steps::stage::{self, ProjectRules};
use crate::untrusted_dir::{UntrustedDir, name_of};

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
    pub bundle_pixi: bool,
    /// How the package cache gets into the product.
    pub link_mode: LinkMode,
    /// Whether it is moved there instead.
    pub move_cache: bool,
    /// What the list of the product is signed with.
    pub signing: SigningOptions,
    /// Where the product goes; `product/` in the workdir when `None`.
    pub output: Option<PathBuf>,
    /// Whether another folder at `output` may be overwritten.
    pub force: bool,
}

/// A product that is there.
#[derive(Debug, Clone)]
pub struct MadeProduct {
    /// Its place.
    pub path: PathBuf,
    /// The sha256 of its `SHA256SUMS`.
    pub digest: Sha256Digest,
}

/// Makes the product.
///
/// # Errors
///
/// Exit code 2 before the old product is touched for what is wrong with the
/// request or the workdir; any later error leaves the old product as it was.
pub fn run(request: &ProductRequest, context: &Context) -> anyhow::Result<MadeProduct> {
    // STEP 1: look.
    context.report.phase("product", "making the product");
    let workdir = Workdir::new(context.host.absolute(&request.workdir));
    stage::require_folder("--workdir", workdir.path())?;
    let dir = UntrustedDir::open(workdir.path())
        .with_context(|| format!("{} cannot be read", workdir.path().display()))?;
    require_own(&dir, Path::new(layout::PROJECT))?;
    if dir.kind(layout::PROJECT)?.is_none() {
        return Err(Failure::usage(format!(
            "{} has no folder project/; create the workdir with create-workdir-from-host or create-workdir-from-container first",
            workdir.path().display()
        )));
    }
    let mut rules = ProjectRules::of_built(&request.excludes)?;
    let signing_key = product_evidence::signing_key(&request.signing, context)?;
    // Nobody changes what is looked at from here on.
    let claim = DirLock::exclusive(workdir.path(), COMMAND)?;
    let target = target(request, &workdir, context)?;
    let elsewhere = match target.path().starts_with(workdir.path()) {
        true => None,
        false => Some(DirLock::exclusive(target.path(), COMMAND)?),
    };
    let place = elsewhere.as_ref().unwrap_or(&claim);
    StagedDir::recover_stale(place, target.path())?;
    let mut search = SecretSearch::new(&request.secrets, context)?;
    let record = WorkdirRecord::read(&workdir)?;
    match record.as_ref().map(|record| record.state) {
        Some(BuildState::Built) => {}
        Some(BuildState::Installed) => {
            context.report.warning("the verification of this workdir did not succeed; the product is made all the same");
        }
        Some(BuildState::Staged) => {
            return Err(Failure::usage(format!(
                "the build of {} did not come to its end, so its package cache is not whole; see {} and create the workdir again",
                workdir.path().display(),
                workdir.install_log().display()
            )));
        }
        None => context.report.note("the workdir has no workdir.json (the old scripts made it): image, pixi version and state of the build are not known"),
    }
    let name = match &request.project_name {
        Some(name) => name.clone(),
        None => only_project(&dir)?,
    };
    let project = workdir.project(&name);
    for source in [
        Path::new(layout::PROJECT).join(&name),
        layout::RESOURCES.into(),
        layout::CACHE.into(),
    ] {
        require_own(&dir, &source)?;
    }
    stage::require_folder("the staged project", &project)?;
    ProjectManifest::require(&project)?;
    if !workdir.cache().is_dir() {
        if let Some(moved) = record
            .as_ref()
            .and_then(|record| record.cache_moved.as_ref())
        {
            return Err(Failure::usage(format!(
                "the package cache was moved into the product by --move-cache; to make the product again, take it back with `mv {moved} {}`, or create the workdir again",
                workdir.cache().display(),
            )));
        }
        return Err(Failure::usage(format!(
            "{} has no folder pixi-cache/, so nothing could be installed offline; build the workdir again",
            workdir.path().display()
        )));
    }
    if request.bundle_pixi {
        product_cache::require_pixi(&workdir)?;
    }
    if request.move_cache {
        require_movable(&workdir, &target, record.as_ref())?;
    }
    let plan = CachePlan::make(&workdir, &name, record.as_ref(), request.deep, context)?;
    generated::warn_of_variables(&request.variables, &name, record.as_ref(), context);
    generated::apply(
        request.generated,
        &project,
        &name,
        record.as_ref(),
        &mut rules,
        context,
    )?;
    let mut staged = search.project(&project, &rules).size;
    staged += search.resources(&workdir.resources())?.size;
    search.variables(&request.variables);
    if search.is_on() {
        let pointers = plan.pointers(&workdir, request.full_cache)?;
        search.cache(&workdir.cache(), &pointers);
    }
    let findings = search.findings();
    secrets::refuse(&request.secrets, &findings)?;
    secrets::warn(&findings, context);

    // STEP 2: build the new product beside the old one.
    let cache = workdir.cache();
    let (projects, resources) = (workdir.projects(), workdir.resources());
    let mut sources = vec![projects.as_path()];
    let has_resources = stage::is_folder(&resources)?;
    if has_resources {
        sources.push(&resources);
    }
    // What is shared takes no room.
    let copies_cache =
        !request.move_cache && matches!(request.link_mode, LinkMode::Auto | LinkMode::Copy);
    if copies_cache {
        sources.push(&cache);
    }
    let size = || {
        let mut size = staged;
        if copies_cache {
            size += plan.size(&workdir, request.full_cache, record.as_ref());
        }
        (size.bytes, size.entries)
    };
    require_free_space(target.path(), &sources, size)?;
    context.report.progress_of(|| size().0);
    let beside = StagedDir::new(place, target.path())?;
    let new = Product::new(beside.path());
    // Digests are computed while the files are copied.
    let how = CopyOptions {
        list: true,
        hash: true,
        progress: Some(&|bytes| context.report.progress(bytes)),
        // A container may put a link in the place of each of them at any time.
        below: Some(workdir.path()),
        ..CopyOptions::default()
    };
    let mut listings = vec![(
        new.project(&name),
        stage::copy_project(&project, &new.project(&name), &rules, &how, context)?.listing,
    )];
    if has_resources {
        let outcome = stage::copy_folder(&workdir.resources(), &new.resources(), &how, context)?;
        listings.push((new.resources(), outcome.listing));
    } else {
        let folder = new.resources();
        make_folder(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let (hand_over, mut carried) = if request.move_cache {
        let (hand_over, carried) =
            plan.prepare_hand_over(&workdir, request.full_cache, record.as_ref())?;
        (Some(hand_over), carried)
    } else {
        let how = CopyOptions {
            link_mode: request.link_mode,
            ..how
        };
        let target = new.cache();
        let carried = plan.copy(&workdir, &target, request.full_cache, record.as_ref(), &how)?;
        note_not_shared(request.link_mode, carried.not_shared, context);
        (None, carried)
    };
    let mut facts = plan.facts(record.as_ref(), &carried);
    if request.full_cache {
        // Most of it is never installed.
        (facts.install_bytes, facts.install_entries) = (None, None);
    }
    if request.bundle_pixi {
        product_cache::bundle_pixi(&workdir, &new.pixi())?;
        facts.bundled_pixi = true;
    }
    let git_versions = record.as_ref().map(|record| record.git_versions.as_slice());
    let variables = git_version::for_product(git_versions.unwrap_or_default(), &request.variables)?;
    product::write_scripts(&new, &variables, &facts)?;

    // STEP 3: list what is in it.
    let choices = Choices {
        excludes: &request.excludes,
        whole_cache: request.full_cache,
        bundled_pixi: request.bundle_pixi,
        secrets: secrets::told(&request.secrets, &findings),
    };
    let facts = product_evidence::facts(&new, &name, &plan, record.as_ref(), &choices, context)?;
    let cache_now = match &hand_over {
        Some(_) => workdir.cache(),
        None => new.cache(),
    };
    let mut packages = ProductPackages::read(&new, &cache_now, &facts, context)?;
    packages.write_sbom(&new, &facts)?;
    let started = record.as_ref().and_then(|record| record.started.clone());
    let listing = std::mem::take(&mut carried.listing);
    let elsewhere = match &hand_over {
        Some(_) => entries_of_moved(&workdir, &listing)?,
        None => Vec::new(),
    };
    listings.push((new.cache(), listing));
    let known = |path: &Path, size| {
        // Each listing is of a folder in the product itself.
        let mut parts = path.components();
        let top = parts.next()?.as_os_str();
        let (_, listing) = listings
            .iter()
            .find(|(of, _)| of.file_name() == Some(top))?;
        listing.digest(parts.as_path(), size)
    };
    let (manifest, digest) = product_evidence::write(
        &new,
        facts,
        (&known, elsewhere),
        (signing_key.as_ref(), started),
        context,
    )?;

    // STEP 4: put it in place.
    if let Some(hand_over) = &hand_over {
        hand_over.prune()?;
        packages = ProductPackages::read(&new, &cache_now, &manifest.facts, context)?;
    }
    let strangers = packages.strangers(&cache_now);
    require_owned(&strangers)?;
    warn_of_special_entries(&manifest.entries, context);
    packages.write_html_report(&new, &manifest, &digest, &strangers)?;
    beside.commit()?;
    if hand_over.is_some() {
        // Only now: what is beside its place is deleted when a run dies.
        move_cache(&workdir, &target, record)?;
    }
    context.report.ok(format_args!(
        "product created at: {}",
        target.path().display()
    ));
    context.report.info(format_args!("Project: {name}"));
    context.report.info(format_args!(
        "Package cache: {} in {} entries; left out as not needed: {} in {} entries",
        shown_bytes(carried.bytes),
        carried.entries,
        shown_bytes(carried.left_bytes),
        carried.left_entries,
    ));
    context
        .report
        .info(format_args!("Product digest: sha256:{digest}"));
    context
        .report
        .field("product", target.path().display().to_string());
    context
        .report
        .field("product_digest", format!("sha256:{digest}"));
    context.report.field("cache_bytes", carried.bytes);
    context.report.field("cache_entries", carried.entries);
    Ok(MadeProduct {
        path: target.path().to_owned(),
        digest,
    })
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

/// Where the product goes, when a folder there may be replaced.
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

/// Requires that the cache can be renamed into the product, and that the workdir
/// can say so.
fn require_movable(
    workdir: &Workdir,
    target: &Product,
    record: Option<&WorkdirRecord>,
) -> anyhow::Result<()> {
    let device = |path: &Path| {
        let metadata = fs::symlink_metadata(path).ok()?;
        metadata.is_dir().then(|| metadata.dev())
    };
    // The product's own place, or the first folder above it that is there.
    let place = target.path().ancestors().skip(1).find_map(device);
    let same = device(&workdir.cache()).is_some_and(|cache| Some(cache) == place);
    if !same {
        return Err(Failure::usage(format!(
            "--move-cache: {} is a link or on another file system than the product; leave --move-cache out",
            workdir.cache().display()
        )));
    }
    if record.is_none() {
        return Err(Failure::usage(format!(
            "--move-cache: {} has no workdir.json that could say where the package cache is; leave --move-cache out",
            workdir.path().display()
        )));
    }
    Ok(())
}

/// Moves the cache into the product that is in its place. The workdir says so
/// first: a second run can then explain what it misses.
fn move_cache(
    workdir: &Workdir,
    target: &Product,
    record: Option<WorkdirRecord>,
) -> anyhow::Result<()> {
    let (from, to) = (workdir.cache(), target.cache());
    if let Some(mut record) = record {
        record.cache_moved = Some(to.display().to_string());
        record.write(workdir)?;
    }
    let rename = || {
        let product = UntrustedDir::open(target.path())?;
        let name = to.file_name().unwrap_or_default();
        UntrustedDir::open(workdir.path())?.rename(layout::CACHE, &product, name)
    };
    rename().with_context(|| {
        format!(
            "the product is not whole: {} cannot be moved to {}",
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

/// A number of bytes as people read it.
fn shown_bytes(bytes: u64) -> String {
    if bytes < 1_000_000 {
        return format!("{:.1} kB", bytes as f64 / 1e3);
    }
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Requires that a source of the product is a directory in the workdir itself, if it is
/// there: a container may have put a link in its place, and the product would hold what
/// that leads to.
fn require_own(workdir: &UntrustedDir, source: &Path) -> anyhow::Result<()> {
    let path = workdir.path().join(source);
    let kind = workdir
        .kind(source)
        .with_context(|| format!("{} cannot be looked at", path.display()))?;
    match kind {
        None | Some(FileType::Directory) => Ok(()),
        Some(FileType::Symlink) => Err(Failure::usage(format!(
            "{0} is a symbolic link, and a product is made only of what lies in the workdir; if you made the link yourself, put a copy of the directory in its place (`cp -aL {0} {0}.copy && rm {0} && mv {0}.copy {0}`), else create the workdir again",
            path.display()
        ))),
        Some(kind) => Err(Failure::usage(format!(
            "{} is {} and must be a directory; create the workdir again",
            path.display(),
            name_of(kind)
        ))),
    }
}

/// The only folder below `project/`.
fn only_project(workdir: &UntrustedDir) -> anyhow::Result<ProjectName> {
    let projects = workdir.path().join(layout::PROJECT);
    let mut names: Vec<OsString> = Vec::new();
    workdir
        .open_dir(layout::PROJECT)
        .and_then(|dir| {
            dir.for_each_entry(|entry| {
                if matches!(entry.kind, FileType::Directory | FileType::Symlink) {
                    names.push(entry.name);
                }
                Ok(())
            })
        })
        .with_context(|| format!("{} cannot be read", projects.display()))?;
    names.sort();
    match names.as_slice() {
        [name] => ProjectName::new(name),
        [] => Err(Failure::usage(format!(
            "{} holds no project",
            projects.display()
        ))),
        several => Err(Failure::usage(format!(
            "{} holds several projects: {}; name one with --project-name",
            projects.display(),
            several
                .iter()
                .map(|name| name.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}
