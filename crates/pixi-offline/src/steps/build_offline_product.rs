//! From a project to a product that is proved, in one go.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::layout::{OfflineLogs, Product, Workdir};
use crate::product::shell_quote;
use crate::proof::verification::VerificationRecord;
use crate::report::Report;
use crate::request::{
    EnvironmentName, Expectations, ImageReference, ProductVariable, ProjectName, SecretPolicy,
    SigningOptions, Verification,
};
use crate::staging::LinkMode;
use crate::steps::make_product::MadeProduct;
use crate::steps::{
    Made, create_workdir_from_container, create_workdir_from_host, final_verify_product,
    make_product, plan,
};
use crate::surroundings::Surroundings;

/// How many lines of a log are shown when its phase failed.
const SHOWN_LINES: usize = 20;

/// Where the project is.
#[derive(Debug, Clone)]
pub enum Source {
    /// On this machine.
    Host(create_workdir_from_host::Request),
    /// In a running container.
    Container(create_workdir_from_container::Request),
}

/// What was asked for; paths as they were typed.
#[derive(Debug, Clone)]
pub struct Request {
    /// The project, and how its workdir is made.
    pub source: Source,
    /// The image of the final verification; that of the build when `None`.
    pub image: Option<ImageReference>,
    /// What goes into the product.
    pub product: ProductChoices,
    /// Where the logs of the final verification go; `proof/` in the workdir when
    /// `None`.
    pub out_dir: Option<PathBuf>,
}

/// The part of a product's request that does not follow from the steps before.
#[derive(Debug, Clone, Default)]
pub struct ProductChoices {
    /// Where the product goes; `product/` in the workdir when `None`.
    pub output: Option<PathBuf>,
    /// Variables that `envs.sh` exports.
    pub variables: Vec<ProductVariable>,
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
    /// What product and proof are signed with.
    pub signing: SigningOptions,
    /// Whether another folder at `output` may be overwritten.
    pub force: bool,
}

/// Builds, makes the product and proves it.
///
/// # Errors
///
/// As the steps; what a failed one leaves, and how to go on from there, is said
/// before.
pub fn run(request: &Request, surroundings: &Surroundings, report: &Report) -> anyhow::Result<()> {
    let mut progress = Progress::default();
    let result = progress.go(request, surroundings, report);
    let failed = report.end_phases(result.as_ref().err());
    if let Some(phase) = failed {
        progress.help(phase, request, surroundings, report);
    }
    result
}

/// Says what [`run`] would do, and does nothing.
///
/// # Errors
///
/// As the looking part of [`run`].
pub fn dry_run(
    request: &Request,
    surroundings: &Surroundings,
    report: &Report,
) -> anyhow::Result<()> {
    plan::Plan::of(request, surroundings)?.show(report)
}

/// Says which rule keeps or drops a path of the project.
///
/// # Errors
///
/// Exit code 2 when the path is not in the project.
pub fn explain(
    path: &Path,
    request: &Request,
    surroundings: &Surroundings,
    report: &Report,
) -> anyhow::Result<()> {
    plan::explain(path, request, surroundings, report)
}

/// How far a run came.
#[derive(Default)]
struct Progress {
    made: Option<Made>,
    product: Option<MadeProduct>,
}

impl Progress {
    fn go(
        &mut self,
        request: &Request,
        surroundings: &Surroundings,
        report: &Report,
    ) -> anyhow::Result<()> {
        // STEP 1: everything that can be known without touching anything. Most of
        // it is the first step's.
        report.phase("look", "looking before anything is touched");
        let choices = &request.product;
        make_product::look_at_output(choices.output.as_deref(), choices.force, surroundings)?;
        let made = match &request.source {
            // STEP 2 and 3: stage, build and verify with a network.
            Source::Host(source) => create_workdir_from_host::run(source, surroundings, report)?,
            Source::Container(source) => {
                create_workdir_from_container::run(source, surroundings, report)?
            }
        };
        let made = self.made.insert(made);
        report.tell("image", made.record.image.as_ref());
        report.tell("pixi", made.record.pixi_version());
        report.tell("environments", &made.record.environments);
        report.tell("lock_sha256", made.record.lock.built.as_ref());

        // STEP 4: the product.
        let product = make_product::run(&product_of(request, made), surroundings, report)?;
        let product = self.product.insert(product);

        // STEP 5: install and verify it without a network.
        let verify = verification_of(request, made, &product.path)?;
        let record = final_verify_product::run(&verify, surroundings, report)?;

        // STEP 6: what can be said now.
        report.phase("proof", "writing down what was proved");
        report.tell(
            "manifest",
            Product::new(&product.path).manifest().display().to_string(),
        );
        conclude(made, product, &record, report);
        Ok(())
    }

    /// Shows the end of the log of a phase that failed, and what to run to go on.
    fn help(&self, phase: &str, request: &Request, surroundings: &Surroundings, report: &Report) {
        let workdir = self.made.as_ref().map_or_else(
            || asked_workdir(request).map(|folder| surroundings.absolute(folder)),
            |made| Some(made.workdir.clone()),
        );
        let logs = match (phase, &workdir) {
            ("build", Some(workdir)) => {
                let workdir = Workdir::new(workdir);
                vec![workdir.verify_log(), workdir.install_log()]
            }
            ("verify", Some(workdir)) => {
                let logs = OfflineLogs::new(out_dir(request, workdir));
                vec![logs.verify(), logs.bootstrap()]
            }
            _ => Vec::new(),
        };
        if let Some(log) = logs.iter().find(|log| has_content(log)) {
            report.fact(format_args!("The last lines of {}:", log.display()));
            for line in last_lines(log) {
                report.always(format_args!("  | {line}"));
            }
        }
        let next = match (phase, &self.made, &self.product) {
            ("product", Some(made), _) => command(
                "make-archive-ready-product",
                &["--workdir".as_ref(), made.workdir.as_os_str()],
            ),
            ("verify" | "proof", Some(made), Some(product)) => {
                match verification_of(request, made, &product.path) {
                    Ok(verify) => command(
                        "final-verify-product",
                        &[
                            "--image".as_ref(),
                            verify.image.as_str().as_ref(),
                            "--product-dir".as_ref(),
                            verify.product_dir.as_os_str(),
                            "--out-dir".as_ref(),
                            verify.out_dir.as_os_str(),
                            "--project-name".as_ref(),
                            made.project.as_os_str(),
                            "--attach".as_ref(),
                        ],
                    ),
                    Err(_) => return,
                }
            }
            _ => {
                report.always("To go on: set it right, then run the same command again; packages that were fetched are used again");
                return;
            }
        };
        report.always(format_args!(
            "To go on from here, with the verification's options added: {next}"
        ));
    }
}

/// The sentence that the proof makes true.
fn conclude(made: &Made, product: &MadeProduct, record: &VerificationRecord, report: &Report) {
    let build = &made.record;
    report.tell("product", product.path.display().to_string());
    report.tell("product_digest", format!("sha256:{}", product.digest));
    report.tell("lock_sha256", build.lock.built.as_ref());
    report.tell("pixi", build.pixi_version());
    report.tell("image", build.image.as_ref());
    report.tell("verification", record);
    let unknown = || "unknown".to_owned();
    let lock = build
        .lock
        .built
        .as_ref()
        .map_or_else(unknown, ToString::to_string);
    let image = build.image.as_ref().map_or_else(unknown, |image| {
        format!("{} ({})", image.reference, image.id)
    });
    let words: Vec<String> = record.ran.iter().map(|ran| ran.command.join(" ")).collect();
    report.always(format_args!(
        "OK: product sha256:{}, made from lock sha256:{lock} with pixi {} in image {image}, installed and passed `{}` with the network off at {}: {}",
        product.digest,
        build.pixi_version().unwrap_or("unknown"),
        words.join("`, `"),
        record.finished.as_deref().unwrap_or("an unknown time"),
        product.path.display(),
    ));
}

fn product_of(request: &Request, made: &Made) -> make_product::Request {
    let choices = &request.product;
    make_product::Request {
        workdir: made.workdir.clone(),
        project_name: Some(made.project.clone()),
        variables: choices.variables.clone(),
        excludes: Vec::new(),
        secrets: secret_policy(request).clone(),
        deep: choices.deep,
        full_cache: choices.full_cache,
        bundle_pixi: choices.bundle_pixi,
        link_mode: choices.link_mode,
        move_cache: choices.move_cache,
        signing: choices.signing.clone(),
        output: choices.output.clone(),
        force: choices.force,
    }
}

fn verification_of(
    request: &Request,
    made: &Made,
    product: &Path,
) -> anyhow::Result<final_verify_product::Request> {
    let image = match (&request.image, &made.record.image) {
        (Some(image), _) => image.clone(),
        (None, Some(built)) => ImageReference::new(built.id.as_ref())?,
        (None, None) => {
            return Err(Failure::usage(
                "the image of the container is not known; name one for the final verification with --image",
            ));
        }
    };
    Ok(verification_in(
        request,
        image,
        &made.workdir,
        &made.project,
        product,
    ))
}

/// The final verification of a build on this machine that is only planned.
pub(super) fn planned_verification(
    request: &Request,
    seen: &create_workdir_from_host::Seen,
) -> anyhow::Result<final_verify_product::Request> {
    let Source::Host(source) = &request.source else {
        anyhow::bail!("the project is in a container");
    };
    let image = request
        .image
        .clone()
        .unwrap_or_else(|| source.image.clone());
    let workdir = &seen.place.workdir;
    let product = request
        .product
        .output
        .clone()
        .unwrap_or_else(|| workdir.product().path().to_owned());
    Ok(verification_in(
        request,
        image,
        workdir.path(),
        &seen.name,
        &product,
    ))
}

fn verification_in(
    request: &Request,
    image: ImageReference,
    workdir: &Path,
    project: &ProjectName,
    product: &Path,
) -> final_verify_product::Request {
    let (verification, expectations, environment) = verified(request);
    let (engine, variables) = match &request.source {
        Source::Host(source) => (&source.engine, &source.variables),
        Source::Container(source) => (&source.engine, &source.variables),
    };
    final_verify_product::Request {
        image,
        product_dir: product.to_owned(),
        out_dir: out_dir(request, workdir),
        project_name: Some(project.clone()),
        in_place: false,
        verify_environment: environment.cloned(),
        attach: true,
        verify_key: None,
        signing: request.product.signing.clone(),
        verification: verification.clone(),
        expectations: expectations.clone(),
        engine: engine.clone(),
        variables: variables.clone(),
    }
}

fn out_dir(request: &Request, workdir: &Path) -> PathBuf {
    request
        .out_dir
        .clone()
        .unwrap_or_else(|| Workdir::new(workdir).proof())
}

fn asked_workdir(request: &Request) -> Option<&Path> {
    match &request.source {
        Source::Host(source) => source.workdir.as_deref(),
        Source::Container(source) => source.workdir.as_deref(),
    }
}

fn secret_policy(request: &Request) -> &SecretPolicy {
    match &request.source {
        Source::Host(source) => &source.secrets,
        Source::Container(source) => &source.secrets,
    }
}

fn verified(request: &Request) -> (&Verification, &Expectations, Option<&EnvironmentName>) {
    match &request.source {
        Source::Host(source) => (
            &source.verification,
            &source.expectations,
            source.verify_environment.as_ref(),
        ),
        Source::Container(source) => (
            &source.verification,
            &source.expectations,
            source.verify_environment.as_ref(),
        ),
    }
}

fn has_content(log: &Path) -> bool {
    fs::metadata(log).is_ok_and(|metadata| metadata.len() > 0)
}

/// The end of a log, as text without control characters.
fn last_lines(log: &Path) -> Vec<String> {
    let Ok(file) = fs::File::open(log) else {
        return Vec::new();
    };
    let mut last = std::collections::VecDeque::new();
    for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
        if last.len() == SHOWN_LINES {
            last.pop_front();
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        let text = console::strip_ansi_codes(&text).into_owned();
        last.push_back(text.chars().filter(|char| !char.is_control()).collect());
    }
    last.into()
}

/// A command line as a person can paste it.
fn command(program: &str, words: &[&std::ffi::OsStr]) -> String {
    let mut line = program.to_owned();
    for word in words {
        line.push(' ');
        line.push_str(&String::from_utf8_lossy(&shell_quote(
            word.as_encoded_bytes(),
        )));
    }
    line
}
