//! From a built workdir to the product in it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::failure::Failure;
use crate::layout::{Product, Workdir};
use crate::product;
use crate::proof::{BuildState, Sha256Digest, WorkdirRecord};
use crate::replacement::{Beside, Claim, Guard, require_room};
use crate::report::Report;
use crate::request::{ProductVariable, ProjectName, SecretPolicy, SigningOptions};
use crate::steps::carried_cache::{self, CachePlan};
use crate::steps::evidence::{self, Choices};
use crate::steps::secrets::{self, SecretSearch};
use crate::steps::stage::{self, ProjectRules};
use crate::surroundings::Surroundings;

/// The command's name.
const COMMAND: &str = "make-archive-ready-product";

/// What was asked for; paths as they were typed.
#[derive(Debug, Clone)]
pub struct Request {
    /// The workdir.
    pub workdir: PathBuf,
    /// The project's name; the only one in the workdir when `None`.
    pub project_name: Option<ProjectName>,
    /// Variables that `envs.sh` exports.
    pub variables: Vec<ProductVariable>,
    /// Arguments of `--exclude`.
    pub excludes: Vec<OsString>,
    /// What happens to what looks like a secret.
    pub secrets: SecretPolicy,
    /// Whether every file of every needed package is read and compared.
    pub deep: bool,
    /// Whether the cache is carried whole.
    pub full_cache: bool,
    /// Whether the pixi that built the workdir goes along.
    pub bundle_pixi: bool,
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
pub fn run(
    request: &Request,
    surroundings: &Surroundings,
    report: &Report,
) -> anyhow::Result<MadeProduct> {
    // STEP 1: look.
    report.phase("product", "making the product");
    let workdir = Workdir::new(surroundings.absolute(&request.workdir));
    stage::require_folder("--workdir", workdir.path())?;
    if !workdir.projects().is_dir() {
        return Err(Failure::usage(format!(
            "{} has no folder project/; create the workdir with create-workdir-from-host or create-workdir-from-container first",
            workdir.path().display()
        )));
    }
    let rules = ProjectRules::new(&request.excludes)?;
    let signing_key = evidence::signing_key(&request.signing, surroundings)?;
    // Nobody changes what is looked at from here on.
    let claim = Claim::alone(workdir.path(), COMMAND)?;
    let target = target(request, &workdir, surroundings)?;
    let elsewhere = match target.path().starts_with(workdir.path()) {
        true => None,
        false => Some(Claim::alone(target.path(), COMMAND)?),
    };
    let place = elsewhere.as_ref().unwrap_or(&claim);
    Beside::sweep(place, target.path())?;
    let mut search = SecretSearch::new(&request.secrets)?;
    let record = WorkdirRecord::read(&workdir)?;
    match record.as_ref().map(|record| record.state) {
        Some(BuildState::Built) => {}
        Some(BuildState::Installed) => {
            report.warning("the verification of this workdir did not succeed; the product is made all the same");
        }
        Some(BuildState::Staged) => {
            return Err(Failure::usage(format!(
                "the build of {} did not come to its end, so its package cache is not whole; see {} and create the workdir again",
                workdir.path().display(),
                workdir.install_log().display()
            )));
        }
        None => report.note("the workdir has no workdir.json (the old scripts made it): image, pixi version and state of the build are not known"),
    }
    let name = match &request.project_name {
        Some(name) => name.clone(),
        None => only_project(&workdir.projects())?,
    };
    let project = workdir.project(&name);
    stage::require_folder("the staged project", &project)?;
    stage::require_manifest(&project)?;
    if !workdir.cache().is_dir() {
        return Err(Failure::usage(format!(
            "{} has no folder pixi-cache/, so nothing could be installed offline; build the workdir again",
            workdir.path().display()
        )));
    }
    if request.bundle_pixi {
        carried_cache::require_pixi(&workdir)?;
    }
    let plan = CachePlan::make(&workdir, &name, record.as_ref(), request.deep, report)?;
    search.project(&project, &rules);
    search.resources(&workdir.resources());
    search.variables(&request.variables);
    let findings = search.findings();
    secrets::refuse(&request.secrets, &findings)?;
    secrets::warn(&findings, report);

    // STEP 2: build the new product beside the old one.
    require_room(
        target.path(),
        &[
            workdir.projects().as_path(),
            workdir.resources().as_path(),
            workdir.cache().as_path(),
        ],
        || {
            let mut size = stage::survey_project(&project, &rules).size;
            size += stage::size_of_folder(&workdir.resources());
            size += plan.size(&workdir, request.full_cache);
            (size.bytes, size.entries)
        },
    )?;
    let beside = Beside::new(place, target.path())?;
    let new = Product::new(beside.path());
    stage::copy_project(&project, &new.project(&name), &rules, report)?;
    if workdir.resources().is_dir() {
        stage::copy_folder(&workdir.resources(), &new.resources(), report)?;
    } else {
        let folder = new.resources();
        fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let carried = plan.carry(&workdir, &new.cache(), request.full_cache, record.as_ref())?;
    let mut facts = plan.facts(record.as_ref(), &carried);
    if request.full_cache {
        // Most of it is never installed.
        (facts.install_bytes, facts.install_entries) = (None, None);
    }
    if request.bundle_pixi {
        carried_cache::bundle_pixi(&workdir, &new.pixi())?;
        facts.bundled_pixi = true;
    }
    product::write_scripts(&new, &request.variables, &facts)?;

    // STEP 3: list what is in it.
    let choices = Choices {
        excludes: &request.excludes,
        whole_cache: request.full_cache,
        bundled_pixi: request.bundle_pixi,
    };
    let facts = evidence::facts(&new, &name, &plan, record.as_ref(), &choices, surroundings)?;
    let started = record.as_ref().and_then(|record| record.started.clone());
    let (_, digest) = evidence::write(
        &new,
        facts,
        &|_| None,
        (signing_key.as_ref(), started),
        surroundings,
        report,
    )?;

    // STEP 4: put it in place.
    beside.take_place()?;
    report.ok(format_args!(
        "product created at: {}",
        target.path().display()
    ));
    report.fact(format_args!("Project: {name}"));
    report.fact(format_args!(
        "Package cache: {} in {} entries; left out as not needed: {} in {} entries",
        shown_bytes(carried.bytes),
        carried.entries,
        shown_bytes(carried.left_bytes),
        carried.left_entries,
    ));
    report.fact(format_args!("Product digest: sha256:{digest}"));
    report.tell("product", target.path().display().to_string());
    report.tell("product_digest", format!("sha256:{digest}"));
    report.tell("cache_bytes", carried.bytes);
    report.tell("cache_entries", carried.entries);
    Ok(MadeProduct {
        path: target.path().to_owned(),
        digest,
    })
}

/// Where the product goes, when a folder there may be replaced.
fn target(
    request: &Request,
    workdir: &Workdir,
    surroundings: &Surroundings,
) -> anyhow::Result<Product> {
    let mut guard = Guard::new(surroundings);
    let Some(output) = &request.output else {
        // product/ is ours by its place in a workdir.
        let target = workdir.product();
        guard.check("the product's place", target.path(), |_| true, false)?;
        return Ok(target);
    };
    let target = Product::new(surroundings.absolute(output));
    if target == workdir.product() {
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

/// A number of bytes as people read it.
fn shown_bytes(bytes: u64) -> String {
    if bytes < 1_000_000 {
        return format!("{:.1} kB", bytes as f64 / 1e3);
    }
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The only folder below `project/`.
fn only_project(projects: &Path) -> anyhow::Result<ProjectName> {
    let mut names: Vec<OsString> = Vec::new();
    let reading = || format!("{} cannot be read", projects.display());
    for entry in fs::read_dir(projects).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        if entry.path().is_dir() {
            names.push(entry.file_name());
        }
    }
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
