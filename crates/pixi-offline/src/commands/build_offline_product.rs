//! From a project to a product that is proved, in one go.

mod commands;
mod dry_run;
mod explain;
mod outside;
mod places;
mod request;
mod requests;
mod source_plan;
mod summary;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use self::commands::{make_command, verify_command};
use self::places::Places;
pub use self::request::{OfflineProductRequest, OptionOrigin, OptionValue, ProductArchive, Source};
use self::request::{asked_out_dir, asked_product, asked_workdir};
use self::requests::{asked_image, product_of, verification_of};
use self::source_plan::SourcePlan;
use crate::commands::BuiltWorkdir;
use crate::commands::final_verify_product;
use crate::commands::final_verify_product::{FoundEngine, VerifyRequest};
use crate::commands::make_product;
use crate::commands::make_product::{MadeProduct, ProductPlace};
use crate::commands::previous::Previous;
use crate::context::Context;
use crate::evidence::verification::VerificationRecord;
use crate::failure::{self, Failure};
use crate::layout::{self, OfflineLogs, Product, Workdir};
use crate::replacement::{require_no_file, require_writable_dir, write_file};
use crate::request::Transfer;

/// Builds, makes the product and proves it.
///
/// # Errors
///
/// As the steps; what a failed one leaves, and how to go on from there, is said
/// before.
pub fn run(request: &OfflineProductRequest, context: &Context) -> anyhow::Result<()> {
    let request = &request.with_workdir(context)?;
    let mut progress = Progress::default();
    let result = progress.go(request, context);
    if let (Err(_), Some(workdirs)) = (&result, &request.workdirs) {
        // When nothing came of the run: one that has something in it stays.
        let _ = fs::remove_dir(workdirs);
    }
    let failed = context.report.end_phases(result.as_ref().err());
    if let Some(phase) = failed {
        let error = result.as_ref().expect_err("a phase failed");
        progress.help(phase, error, request, context);
    }
    result.map(|proved| context.report.result(proved))
}

/// Prints the plan of [`run`].
///
/// # Errors
///
/// Those errors of [`run`] that are found before anything is changed.
pub fn dry_run(request: &OfflineProductRequest, context: &Context) -> anyhow::Result<()> {
    let request = &request.with_workdir(context)?;
    require_places(request, context)?;
    previous_of(request, context)?;
    let source = SourcePlan::new(request, context)?;
    source.require_space()?;
    dry_run::show(&source, request, context)
}

/// Says which rule keeps or drops a path of the project.
///
/// # Errors
///
/// Exit code 2 when the path is not in the project.
pub fn explain(
    path: &Path,
    request: &OfflineProductRequest,
    context: &Context,
) -> anyhow::Result<()> {
    explain::explain(path, request, context)
}

/// How far a run came.
#[derive(Default)]
struct Progress {
    places: Option<Places>,
    made: Option<BuiltWorkdir>,
    product: Option<MadeProduct>,
}

impl Progress {
    fn go(&mut self, request: &OfflineProductRequest, context: &Context) -> anyhow::Result<String> {
        // STEP 1: everything that can be known without touching anything. Most of
        // it is the first step's.
        context
            .report
            .phase("preflight", "checking project, lock and engine");
        require_places(request, context)?;
        // The later steps have it from here: nobody waits for its password after the build.
        context.signing_key(&request.product.signing)?;
        let workdir = asked_workdir(request, context);
        let _locks = Places::of(request, &workdir, context).lock()?;
        // Nobody changes what is there from here on.
        let places = Places::of(request, &workdir, context);
        let places = &*self.places.insert(places);
        // Into memory: the run may replace that product.
        let previous = previous_of(request, context)?;
        let source = SourcePlan::new(request, context)?;
        if let Some(workdirs) = &request.workdirs {
            mark_workdirs(workdirs)?;
        }
        // STEP 2 and 3: stage, build and verify with a network.
        let made = source.execute(places.stay(), context)?;
        let made = self.made.insert(made);
        context.report.field("image", made.record.image.as_ref());
        context.report.field("pixi", made.record.pixi_version());
        context
            .report
            .field("environments", &made.record.environments);
        context
            .report
            .field("lock_sha256", made.record.lock.built.as_ref());

        // STEP 4: the product, beside one that has passed.
        let product_request = product_of(request, made, places);
        let product = make_product::run(&product_request, previous, context)?;
        let product = self.product.insert(product);

        // STEP 5: install and verify it without a network. Only then it takes its place.
        let mut verify = verification_of(request, made, places)?;
        let found = FoundEngine {
            engine: made.engine.clone(),
            volume: made.volume.take(),
        };
        if found.volume.is_some() {
            // What the first step found out.
            verify.transfer = Transfer::Copy;
        }
        let record = final_verify_product::run(&verify, Some(found), context)?;
        places.accept(product, context)?;

        record_proof(made, product, &record, context);
        // They were moved there with the product.
        let logs = places.logs.display().to_string();
        context.report.field("logs", logs);

        // STEP 6: one file to carry.
        if let Some(archive) = &request.archive {
            context.report.phase("pack", "packing the product");
            archive.pack(&product.path, context)?;
            record_product(product, context);
        }
        let next = outside::next(request, &workdir, product, context);
        Ok(summary::lines(
            product,
            &record,
            &verify,
            places,
            request.archive.as_deref(),
            &next,
        ))
    }

    /// Shows the last lines of a phase that failed, where the rest is, and what to
    /// run to go on.
    fn help(
        &self,
        phase: &str,
        error: &anyhow::Error,
        request: &OfflineProductRequest,
        context: &Context,
    ) {
        let workdir = match &self.made {
            Some(made) => Workdir::new(&made.workdir),
            None => asked_workdir(request, context),
        };
        let unlocked;
        let places = match &self.places {
            Some(places) => places,
            None => {
                unlocked = Places::of(request, &workdir, context);
                &unlocked
            }
        };
        show_last_lines(context);
        let offline = OfflineLogs::new(places.new_logs());
        let logs = match phase {
            "build" => vec![workdir.install_log(), workdir.verify_log()],
            "verify" => vec![offline.bootstrap(), offline.verify()],
            _ => Vec::new(),
        };
        for log in logs.iter().filter(|log| is_of_this_run(log, context)) {
            context
                .report
                .hint(format_args!("Full log: {}", log.display()));
        }
        self.hint_what_stays(places, context);
        if let Some(way_on) = self.way_on(phase, error, request, places) {
            context.report.hint(way_on);
        }
    }

    /// What to run to go on after a phase that failed.
    fn way_on(
        &self,
        phase: &str,
        error: &anyhow::Error,
        request: &OfflineProductRequest,
        places: &Places,
    ) -> Option<String> {
        let verify = self.made.as_ref().and_then(|made| {
            let verify = verification_of(request, made, places).ok()?;
            // By the name that the person knows.
            let image = asked_image(request).unwrap_or(verify.image);
            Some((made, verify_command(&VerifyRequest { image, ..verify })))
        });
        let again = |option: &str, is_given: bool| match is_given {
            true => format!("\n  (and each {option} again)"),
            false => String::new(),
        };
        let build = request.source.build();
        let variables = again("--container-env", !build.variables.is_empty());
        match (phase, verify) {
            ("preflight", _) => None,
            ("product", Some((made, verify))) if !failure::asks_to_build_again(error) => {
                let make = make_command(&product_of(request, made, places));
                let of_product = again("--env", !request.product.variables.is_empty());
                Some(format!(
                    "To go on from here:\n  {make}{of_product}\n  {verify}{variables}"
                ))
            }
            ("verify", Some((_, verify))) => {
                Some(format!("To go on from here:\n  {verify}{variables}"))
            }
            ("pack", _) => request.archive.as_ref().map(|archive| {
                format!(
                    "The product has passed and is in its place. To go on from here:\n  {}",
                    archive.command_line(&places.product)
                )
            }),
            _ => {
                let by = match build.reuse_cache {
                    true => "",
                    false => "without --fresh ",
                };
                Some(format!(
                    "Fix the problem and run the same command again; {by}downloaded packages are reused"
                ))
            }
        }
    }

    /// Says what has become of the product that has passed, and of one that has not.
    fn hint_what_stays(&self, places: &Places, context: &Context) {
        if self.places.is_none() || !places.has_passed {
            return;
        }
        context.report.hint(format_args!(
            "The last product that passed is still in its place: {}",
            places.product.display()
        ));
        if self.product.is_some() {
            context.report.hint(format_args!(
                "The new one, which did not pass, is kept until the next run: {}",
                places.new_product().display()
            ));
        }
    }
}

/// Shows what the phase that failed has printed last.
fn show_last_lines(context: &Context) {
    let lines = context.report.last_lines();
    if !lines.is_empty() {
        let number = lines.len();
        context
            .report
            .hint(format_args!("Last {number} lines of output:"));
    }
    for line in lines {
        context.report.hint(format_args!("  | {line}"));
    }
}

/// The lists of the product that was delivered before.
fn previous_of(
    request: &OfflineProductRequest,
    context: &Context,
) -> anyhow::Result<Option<Previous>> {
    let name = request.source.name(context)?.to_string();
    Previous::read(&request.product.previous, &name, context)
}

/// Looks at what the later steps need, so that none of them refuses it after a
/// build of an hour; touches nothing.
fn require_places(request: &OfflineProductRequest, context: &Context) -> anyhow::Result<()> {
    let choices = &request.product;
    let workdir = asked_workdir(request, context);
    if choices.output.is_some() {
        let protected = read_paths(request, context);
        let place = ProductPlace::of(choices, &workdir).for_good();
        place.require(&protected, context)?;
    }
    let product = asked_product(request, &workdir, context);
    if choices.move_cache {
        make_product::require_one_device(workdir.path(), &product)?;
    }
    outside::require_archive(request, &workdir, &product, context)?;
    let out_dir = context
        .host
        .absolute(&asked_out_dir(request, workdir.path()));
    let places = Places::of(request, &workdir, context);
    if places.has_passed {
        ProductPlace::beside(&places.new_product(), &workdir).require(&[], context)?;
    }
    require_no_file("--out-dir", &out_dir)?;
    if out_dir.starts_with(&product) || out_dir.starts_with(places.new_product()) {
        return Err(Failure::usage(format!(
            "--out-dir {} is in the product, which must stay as it is; choose another place",
            out_dir.display()
        )));
    }
    outside::require_out_dir(request, &workdir, &out_dir, context)?;
    // The one in the workdir is made with it.
    if request.out_dir.is_some() || out_dir.exists() {
        require_writable_dir("--out-dir", &out_dir)?;
    }
    context.check_signing_key(&choices.signing)
}

/// What the build reads on this machine, and what it is to messages.
fn read_paths(request: &OfflineProductRequest, context: &Context) -> Vec<(PathBuf, &'static str)> {
    let Source::Host(source) = &request.source else {
        return Vec::new();
    };
    let root = source.build.source_root.as_ref();
    let root = root.map(|root| (&root.dir, "the source root"));
    let resources = source.resources_dir.as_ref();
    let resources = resources.map(|dir| (dir, "the resources"));
    let files = source.network.files();
    [(&source.project_dir, "the project")]
        .into_iter()
        .chain(root)
        .chain(resources)
        .chain(files.map(|file| (file, "a file of --ca-cert or --auth-file")))
        .map(|(path, what)| (context.host.absolute(path), what))
        .collect()
}

/// Marks the directory of workdirs, so that neither git nor staging takes it for a part of
/// the project that it is in.
fn mark_workdirs(dir: &Path) -> anyhow::Result<()> {
    let mark = dir.join(layout::WORKDIRS_MARK);
    if fs::symlink_metadata(&mark).is_ok() {
        return Ok(());
    }
    fs::create_dir_all(dir)
        .map_err(anyhow::Error::from)
        .and_then(|()| write_file(&mark, layout::WORKDIRS_MARK_TEXT.as_bytes()))
        .with_context(|| format!("{} cannot be made", dir.display()))
}

/// Whether a log was written since this run began.
fn is_of_this_run(log: &Path, context: &Context) -> bool {
    let begun = std::time::Duration::from_secs(context.host.unix_seconds);
    fs::metadata(log).is_ok_and(|metadata| {
        let written = metadata.modified().ok();
        let since = written.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        metadata.len() > 0 && since.is_some_and(|since| since >= begun)
    })
}

/// Adds what was proved to the record of the verification's phase.
fn record_proof(
    made: &BuiltWorkdir,
    product: &MadeProduct,
    record: &VerificationRecord,
    context: &Context,
) {
    let (build, report) = (&made.record, &context.report);
    let manifest = Product::new(&product.path).manifest();
    report.field("manifest", manifest.display().to_string());
    record_product(product, context);
    report.field("lock_sha256", build.lock.built.as_ref());
    report.field("pixi", build.pixi_version());
    report.field("image", build.image.as_ref());
    report.field("verification", record.whole_file());
}

/// Adds which product it is to the record of a phase.
fn record_product(product: &MadeProduct, context: &Context) {
    let digest = format!("sha256:{}", product.digest);
    context.report.field("product_digest", digest);
    let path = product.path.display().to_string();
    context.report.field("product", path);
}
