//! From a project to a product that is proved, in one go.

mod commands;
mod dry_run;
mod explain;
mod places;
mod request;
mod requests;
mod source_plan;
mod summary;

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use self::commands::{make_command, verify_command};
use self::places::Places;
pub use self::request::{OfflineProductRequest, ProductArchive, ProductChoices, Source};
use self::request::{asked_out_dir, asked_product, asked_workdir};
use self::requests::{asked_image, product_of, verification_of};
use self::source_plan::SourcePlan;
use crate::commands::BuiltWorkdir;
use crate::commands::final_verify_product;
use crate::commands::final_verify_product::VerifyRequest;
use crate::commands::make_product;
use crate::commands::make_product::MadeProduct;
use crate::commands::product_evidence;
use crate::context::Context;
use crate::evidence::verification::VerificationRecord;
use crate::failure::{self, Failure};
use crate::layout::{self, OfflineLogs, Product, Workdir};
use crate::product::is_product;
use crate::replacement::{OverwriteGuard, write_file};
use crate::request::Transfer;

/// The command's name.
const COMMAND: &str = "build-offline-product";

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

/// Says what [`run`] would do, and does nothing.
///
/// # Errors
///
/// As the looking part of [`run`].
pub fn dry_run(request: &OfflineProductRequest, context: &Context) -> anyhow::Result<()> {
    let request = &request.with_workdir(context)?;
    require_places(request, context)?;
    let source = SourcePlan::new(request, context)?;
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
        context.report.phase("preflight", "preflight checks");
        require_places(request, context)?;
        let workdir = asked_workdir(request, context);
        let _claims = Places::of(request, &workdir, context).claim()?;
        // Nobody changes what is there from here on.
        let places = Places::of(request, &workdir, context);
        let places = &*self.places.insert(places);
        let source = SourcePlan::new(request, context)?;
        if let Some(workdirs) = &request.workdirs {
            mark_workdirs(workdirs)?;
        }
        // STEP 2 and 3: stage, build and verify with a network.
        let (made, built) = source.execute(places.stay(), context)?;
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
        let product = make_product::run(&product_of(request, made, places), context)?;
        let product = self.product.insert(product);

        // STEP 5: install and verify it without a network. Only then it takes its place.
        let mut verify = verification_of(request, made, places)?;
        if built.is_some() {
            // What the first step found out.
            verify.transfer = Transfer::Copy;
        }
        let record = final_verify_product::run_after(&verify, Some(&made.engine), built, context)?;
        places.accept(product, context)?;

        // STEP 6: one file to carry.
        if let Some(archive) = &request.archive {
            context.report.phase("pack", "pack the product");
            archive.pack(&product.path, context)?;
        }

        // STEP 7: what can be said now.
        context.report.phase("proof", "summary");
        if !verify.verification.is_requested() {
            context.report.note(
                "no verification was given: only the installation was tested (--verify-task TASK)",
            );
        }
        context.report.field(
            "manifest",
            Product::new(&product.path).manifest().display().to_string(),
        );
        record_proof(made, product, &record, context);
        Ok(summary::lines(
            product,
            &record,
            &verify,
            places,
            request.archive.as_deref(),
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
        let lines = context.report.last_lines();
        if !lines.is_empty() {
            let number = lines.len();
            context
                .report
                .hint(format_args!("Last {number} lines of output:"));
            for line in lines {
                context.report.hint(format_args!("  | {line}"));
            }
        }
        let unclaimed;
        let places = match &self.places {
            Some(places) => places,
            None => {
                unclaimed = Places::of(request, &workdir, context);
                &unclaimed
            }
        };
        let offline = OfflineLogs::new(places.new_logs());
        let logs = match phase {
            "build" => vec![workdir.install_log(), workdir.verify_log()],
            "verify" => vec![offline.bootstrap(), offline.verify()],
            _ => Vec::new(),
        };
        for log in logs {
            if is_of_this_run(&log, context) {
                context
                    .report
                    .hint(format_args!("Full log: {}", log.display()));
            }
        }
        self.tell_what_stays(places, context);
        let remade = self.made.as_ref().map(|made| {
            (
                make_command(&product_of(request, made, places)),
                verification_of(request, made, places).map(|verify| {
                    // By the name that the person knows.
                    let image = asked_image(request).unwrap_or(verify.image);
                    verify_command(&VerifyRequest { image, ..verify })
                }),
            )
        });
        let variables = &request.source.build().variables;
        let again = |option: &str, is_given: bool| match is_given {
            true => format!("\n  (and each {option} again)"),
            false => String::new(),
        };
        match (phase, remade) {
            ("product", Some((make, Ok(verify)))) if !failure::asks_to_build_again(error) => context.report.hint(format_args!(
                "To go on from here:\n  {make}{}\n  {verify}{}",
                again("--env", !request.product.variables.is_empty()),
                again("--container-env", !variables.is_empty()),
            )),
            ("verify" | "proof", Some((_, Ok(verify)))) => context.report.hint(format_args!(
                "To go on from here:\n  {verify}{}",
                again("--container-env", !variables.is_empty()),
            )),
            ("pack", _) => {
                if let Some(archive) = &request.archive {
                    context.report.hint(format_args!(
                        "The product has passed and is in its place. To go on from here:\n  {}",
                        archive.command_line(places.product())
                    ));
                }
            }
            ("preflight", _) => {}
            _ => context.report.hint(match request.source.build().reuse_cache {
                true => "Fix the problem and run the same command again; downloaded packages are reused",
                false => "Fix the problem and run the same command again; without --fresh downloaded packages are reused",
            }),
        }
    }
}

impl Progress {
    /// Says what has become of the product that has passed, and of one that has not.
    fn tell_what_stays(&self, places: &Places, context: &Context) {
        if self.places.is_none() || !places.has_passed() {
            return;
        }
        context.report.hint(format_args!(
            "The last product that passed is still in its place: {}",
            places.product().display()
        ));
        if self.product.is_some() {
            context.report.hint(format_args!(
                "The new one, which did not pass, is kept until the next run: {}",
                places.new_product().display()
            ));
        }
    }
}

/// Looks at what the later steps need, so that none of them refuses it after a
/// build of an hour; touches nothing.
///
/// # Errors
///
/// As those steps.
fn require_places(request: &OfflineProductRequest, context: &Context) -> anyhow::Result<()> {
    let choices = &request.product;
    let workdir = asked_workdir(request, context);
    if let Some(output) = &choices.output {
        let output = context.host.absolute(output);
        let mut guard = OverwriteGuard::new(&context.host);
        if let Source::Host(source) = &request.source {
            guard.protect(&context.host.absolute(&source.project_dir), "the project");
            if let Some(root) = &source.build.source_root {
                guard.protect(&context.host.absolute(&root.dir), "the source root");
            }
            if let Some(resources) = &source.resources_dir {
                guard.protect(&context.host.absolute(resources), "the resources");
            }
        }
        let is_usual = output == workdir.product().path();
        if !is_usual && (output.starts_with(workdir.path()) || workdir.path().starts_with(&output))
        {
            return Err(Failure::usage(format!(
                "--output {} lies in the workdir {}, or holds it; choose another place, or leave it out",
                output.display(),
                workdir.path().display()
            )));
        }
        guard.check(
            "--output",
            &output,
            |dir| is_usual || is_product(dir),
            choices.force,
        )?;
    }
    let product = asked_product(request, &workdir, context);
    if let Some(archive) = &request.archive {
        let holder = [workdir.path(), &product]
            .into_iter()
            .find(|dir| archive.file().starts_with(dir));
        if let Some(dir) = holder {
            return Err(Failure::usage(format!(
                "--archive {} lies in {}, which is replaced; choose another place",
                archive.file().display(),
                dir.display()
            )));
        }
    }
    let out_dir = context
        .host
        .absolute(&asked_out_dir(request, workdir.path()));
    let places = Places::of(request, &workdir, context);
    if places.has_passed() && !product.starts_with(workdir.path()) {
        let new = places.new_product();
        OverwriteGuard::new(&context.host).check(
            "the place of a new product",
            &new,
            is_product,
            false,
        )?;
    }
    if fs::metadata(&out_dir).is_ok_and(|metadata| !metadata.is_dir()) {
        return Err(Failure::usage(format!(
            "--out-dir {} is no directory; name another",
            out_dir.display()
        )));
    }
    if out_dir.starts_with(&product) || out_dir.starts_with(places.new_product()) {
        return Err(Failure::usage(format!(
            "--out-dir {} lies in the product, which must stay as it is; choose another place",
            out_dir.display()
        )));
    }
    product_evidence::signing_key(&choices.signing, context)?;
    Ok(())
}

/// Marks the directory of workdirs, so that neither git nor staging takes it for a part of
/// the project that it lies in.
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

/// Adds what was proved to the record of the last phase.
fn record_proof(
    made: &BuiltWorkdir,
    product: &MadeProduct,
    record: &VerificationRecord,
    context: &Context,
) {
    let (build, report) = (&made.record, &context.report);
    report.field("product", product.path.display().to_string());
    report.field("product_digest", format!("sha256:{}", product.digest));
    report.field("lock_sha256", build.lock.built.as_ref());
    report.field("pixi", build.pixi_version());
    report.field("image", build.image.as_ref());
    report.field("verification", record);
}
