//! From a project to a product that is proved, in one go.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;

use crate::container::{self, Engine, Resident};
use crate::failure::{self, Failure};
use crate::layout::{OfflineLogs, Product, Workdir};
use crate::product::{is_product, shell_quote};
use crate::proof::verification::VerificationRecord;
use crate::replacement::Guard;
use crate::report::Report;
use crate::request::{
    ContainerPlatform, EnvironmentName, Expectations, ImageReference, ProductVariable, ProjectName,
    SecretAction, SecretPolicy, SigningOptions, Transfer, Verification,
};
use crate::staging::LinkMode;
use crate::steps::make_product::MadeProduct;
use crate::steps::{
    Generated, Made, create_workdir_from_container, create_workdir_from_host, evidence,
    final_verify_product, make_product, plan,
};
use crate::surroundings::Surroundings;

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
    /// How the engine gets at the product.
    pub transfer: Transfer,
}

/// The part of a product's request that does not follow from the steps before.
#[derive(Debug, Clone, Default)]
pub struct ProductChoices {
    /// Where the product goes; `product/` in the workdir when `None`.
    pub output: Option<PathBuf>,
    /// Variables that `envs.sh` exports.
    pub variables: Vec<ProductVariable>,
    /// What becomes of the files that the build made in the project.
    pub generated: Generated,
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
    result.map(|proved| report.result(proved))
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
    look(request, surroundings, report)?;
    plan::Plan::of(request, surroundings, report)?.show(report);
    Ok(())
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
    ) -> anyhow::Result<String> {
        // STEP 1: everything that can be known without touching anything. Most of
        // it is the first step's.
        report.phase("look", "looking before anything is touched");
        look(request, surroundings, report)?;
        let (made, built) = match &request.source {
            // STEP 2 and 3: stage, build and verify with a network.
            Source::Host(source) => {
                create_workdir_from_host::run_and_keep(source, surroundings, report)?
            }
            Source::Container(source) => {
                let made = create_workdir_from_container::run(source, surroundings, report)?;
                (made, None)
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
        let mut verify = verification_of(request, made, &product.path)?;
        if built.is_some() {
            // What the first step found out.
            verify.transfer = Transfer::Copy;
        }
        let record = final_verify_product::run_after(&verify, built, surroundings, report)?;

        // STEP 6: what can be said now.
        report.phase("proof", "writing down what was proved");
        report.tell(
            "manifest",
            Product::new(&product.path).manifest().display().to_string(),
        );
        Ok(conclude(made, product, &record, report))
    }

    /// Shows the last lines of a phase that failed, where the rest is, and what to
    /// run to go on.
    fn help(&self, phase: &str, request: &Request, surroundings: &Surroundings, report: &Report) {
        let workdir = match &self.made {
            Some(made) => Workdir::new(&made.workdir),
            None => asked_workdir(request, surroundings),
        };
        let lines = report.last_lines();
        if !lines.is_empty() {
            report.advice("The last lines that it printed:");
            for line in lines {
                report.advice(format_args!("  | {line}"));
            }
        }
        let offline = OfflineLogs::new(surroundings.absolute(&out_dir(request, workdir.path())));
        let logs = match phase {
            "build" => vec![workdir.install_log(), workdir.verify_log()],
            "verify" => vec![offline.bootstrap(), offline.verify()],
            _ => Vec::new(),
        };
        for log in logs {
            if is_of_this_run(&log, surroundings) {
                report.advice(format_args!("All of it: {}", log.display()));
            }
        }
        let remade = self.made.as_ref().map(|made| {
            let verify = match &self.product {
                Some(product) => verification_of(request, made, &product.path),
                None => verification_of(
                    request,
                    made,
                    &asked_product(request, &workdir, surroundings),
                ),
            };
            (
                make_command(request, made),
                verify.map(|verify| verify_command(&verify)),
            )
        });
        let variables = match &request.source {
            Source::Host(source) => &source.variables,
            Source::Container(source) => &source.variables,
        };
        let again = |option: &str, is_given: bool| match is_given {
            true => format!("\n  (and each {option} again)"),
            false => String::new(),
        };
        match (phase, remade) {
            ("product", Some((make, Ok(verify)))) => report.advice(format_args!(
                "To go on from here:\n  {make}{}\n  {verify}{}",
                again("--env", !request.product.variables.is_empty()),
                again("--container-env", !variables.is_empty()),
            )),
            ("verify" | "proof", Some((_, Ok(verify)))) => report.advice(format_args!(
                "To go on from here:\n  {verify}{}",
                again("--container-env", !variables.is_empty()),
            )),
            ("look", _) => {}
            _ => report.advice("To go on: set it right, then run the same command again; packages that were fetched into the same --workdir are used again"),
        }
    }
}

/// Looks at what the later steps need, so that none of them refuses it after a
/// build of an hour; touches nothing.
///
/// # Errors
///
/// As those steps.
fn look(request: &Request, surroundings: &Surroundings, report: &Report) -> anyhow::Result<()> {
    let choices = &request.product;
    let workdir = asked_workdir(request, surroundings);
    if let Some(output) = &choices.output {
        let output = surroundings.absolute(output);
        let mut guard = Guard::new(surroundings);
        if let Source::Host(source) = &request.source {
            guard.protect(&surroundings.absolute(&source.project_dir), "the project");
            if let Some(resources) = &source.resources_dir {
                guard.protect(&surroundings.absolute(resources), "the resources");
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
            |folder| is_usual || is_product(folder),
            choices.force,
        )?;
    }
    let product = asked_product(request, &workdir, surroundings);
    let out_dir = surroundings.absolute(&out_dir(request, workdir.path()));
    if fs::metadata(&out_dir).is_ok_and(|metadata| !metadata.is_dir()) {
        return Err(Failure::usage(format!(
            "--out-dir {} is no folder; name another",
            out_dir.display()
        )));
    }
    if out_dir.starts_with(&product) {
        return Err(Failure::usage(format!(
            "--out-dir {} lies in the product, which must stay as it is; choose another place",
            out_dir.display()
        )));
    }
    evidence::signing_key(&choices.signing, surroundings)?;
    if let Source::Container(source) = &request.source {
        let engine = Engine::find(source.engine.as_deref(), surroundings, report)?
            .with_time_limit(source.timeout.as_ref());
        let container = Resident::find(&engine, &source.container)?;
        let (image, of_whom) = match &request.image {
            Some(image) => (image.clone(), "--image"),
            None => (container.image()?, "the container's image"),
        };
        if engine.image(&image)?.is_none() {
            return Err(Failure::with_code(
                failure::ENGINE,
                format!(
                    "{of_whom} {image} is not on this engine, and the final verification fetches nothing; bring it with `{} pull` or name another with --image",
                    engine.client()
                ),
            ));
        }
    }
    Ok(())
}

/// Whether a log was written since this run began.
fn is_of_this_run(log: &Path, surroundings: &Surroundings) -> bool {
    let begun = std::time::Duration::from_secs(surroundings.unix_seconds);
    fs::metadata(log).is_ok_and(|metadata| {
        let written = metadata.modified().ok();
        let since = written.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        metadata.len() > 0 && since.is_some_and(|since| since >= begun)
    })
}

/// The sentence that the proof makes true.
fn conclude(
    made: &Made,
    product: &MadeProduct,
    record: &VerificationRecord,
    report: &Report,
) -> String {
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
    format!(
        "product sha256:{}, made from lock sha256:{lock} with pixi {} in image {image}, installed and passed `{}` with the network off at {}: {}",
        product.digest,
        build.pixi_version().unwrap_or("unknown"),
        words.join("`, `"),
        record.finished.as_deref().unwrap_or("an unknown time"),
        product.path.display(),
    )
}

fn product_of(request: &Request, made: &Made) -> make_product::Request {
    let choices = &request.product;
    make_product::Request {
        workdir: made.workdir.clone(),
        project_name: Some(made.project.clone()),
        variables: choices.variables.clone(),
        excludes: excludes(request).to_vec(),
        generated: choices.generated,
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
    let image = final_image(request, made.record.image.as_ref())?.ok_or_else(|| {
        Failure::usage(
            "the image of the container is not known; name one for the final verification with --image",
        )
    })?;
    Ok(verification_in(
        request,
        image,
        &made.workdir,
        &made.project,
        product,
    ))
}

/// The image of the final verification: the one that was named, else that of the
/// build, by its id.
fn final_image(
    request: &Request,
    built: Option<&container::Image>,
) -> anyhow::Result<Option<ImageReference>> {
    match (&request.image, built) {
        (Some(image), _) => Ok(Some(image.clone())),
        (None, Some(built)) => ImageReference::new(built.id.as_ref()).map(Some),
        (None, None) => Ok(None),
    }
}

/// The final verification of a build that is only planned; `built` is the build's
/// image where the engine has it.
pub(super) fn planned_verification(
    request: &Request,
    built: Option<&container::Image>,
    workdir: &Workdir,
    project: &ProjectName,
    surroundings: &Surroundings,
) -> anyhow::Result<Option<final_verify_product::Request>> {
    let asked = match &request.source {
        Source::Host(source) => Some(source.image.clone()),
        Source::Container(_) => None,
    };
    let product = asked_product(request, workdir, surroundings);
    Ok(final_image(request, built)?
        .or(asked)
        .map(|image| verification_in(request, image, workdir.path(), project, &product)))
}

fn verification_in(
    request: &Request,
    image: ImageReference,
    workdir: &Path,
    project: &ProjectName,
    product: &Path,
) -> final_verify_product::Request {
    let (verification, expectations, environment) = verified(request);
    let (engine, timeout, variables, platform) = match &request.source {
        Source::Host(source) => (
            &source.engine,
            &source.timeout,
            &source.variables,
            source.platform.clone(),
        ),
        Source::Container(source) => (&source.engine, &source.timeout, &source.variables, None),
    };
    final_verify_product::Request {
        image,
        platform,
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
        timeout: timeout.clone(),
        variables: variables.clone(),
        transfer: request.transfer,
    }
}

fn out_dir(request: &Request, workdir: &Path) -> PathBuf {
    request
        .out_dir
        .clone()
        .unwrap_or_else(|| Workdir::new(workdir).proof())
}

fn asked_workdir(request: &Request, surroundings: &Surroundings) -> Workdir {
    let asked = match &request.source {
        Source::Host(source) => source.workdir.as_deref(),
        Source::Container(source) => source.workdir.as_deref(),
    };
    asked.map_or_else(
        || Workdir::default_in(surroundings.workspace_root(), surroundings.unix_seconds),
        |folder| Workdir::new(surroundings.absolute(folder)),
    )
}

fn asked_product(request: &Request, workdir: &Workdir, surroundings: &Surroundings) -> PathBuf {
    match &request.product.output {
        Some(output) => surroundings.absolute(output),
        None => workdir.product().path().to_owned(),
    }
}

fn excludes(request: &Request) -> &[OsString] {
    match &request.source {
        Source::Host(source) => &source.excludes,
        Source::Container(source) => &source.excludes,
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

/// A command line that can be pasted, put together word by word.
struct CommandLine(Vec<OsString>);

impl CommandLine {
    fn of(program: &str) -> CommandLine {
        CommandLine(vec![program.into()])
    }

    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.extend([name.into(), value.as_ref().to_owned()]);
    }

    fn option_if(&mut self, name: &str, value: Option<impl AsRef<OsStr>>) {
        if let Some(value) = value {
            self.option(name, value);
        }
    }

    fn flag_if(&mut self, name: &str, is_given: bool) {
        if is_given {
            self.0.push(name.into());
        }
    }

    fn signing(&mut self, signing: &SigningOptions) {
        self.option_if("--sign-key", signing.sign_key.as_ref());
        self.option_if("--sign-password-file", signing.sign_password_file.as_ref());
    }

    fn pasteable(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|word| pasteable(word)).collect();
        words.join(" ")
    }
}

/// A word as it can be pasted into a shell.
pub(super) fn pasteable(word: &OsStr) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(byte);
    let bytes = word.as_encoded_bytes();
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        return word.to_string_lossy().into_owned();
    }
    String::from_utf8_lossy(&shell_quote(bytes)).into_owned()
}

/// The command that makes the same product, but for the values of variables,
/// which are not shown.
fn make_command(request: &Request, made: &Made) -> String {
    let choices = &request.product;
    let mut line = CommandLine::of("make-archive-ready-product");
    line.option("--workdir", &made.workdir);
    line.option("--project-name", made.project.as_os_str());
    line.option_if("--output", choices.output.as_ref());
    line.flag_if("--force", choices.force && choices.output.is_some());
    for pattern in excludes(request) {
        line.option("--exclude", pattern);
    }
    line.flag_if("--drop-generated", choices.generated == Generated::Drop);
    line.flag_if("--deep", choices.deep);
    line.option_if("--cache", choices.full_cache.then_some("full"));
    line.flag_if("--bundle-pixi", choices.bundle_pixi);
    line.flag_if("--move-cache", choices.move_cache);
    let mode = choices.link_mode.to_possible_value();
    let mode = mode.filter(|_| choices.link_mode != LinkMode::default());
    line.option_if("--link-mode", mode.as_ref().map(|mode| mode.get_name()));
    let policy = secret_policy(request);
    line.option_if(
        "--secrets",
        match policy.action {
            SecretAction::Warn => None,
            SecretAction::Deny => Some("deny"),
            SecretAction::Off => Some("off"),
        },
    );
    for pattern in &policy.known {
        line.option("--allow-secret", pattern);
    }
    line.signing(&choices.signing);
    line.pasteable()
}

/// The command of a final verification, but for the values of variables.
fn verify_command(verify: &final_verify_product::Request) -> String {
    let mut line = CommandLine::of("final-verify-product");
    line.option("--image", verify.image.as_str());
    line.option("--product-dir", &verify.product_dir);
    line.option("--out-dir", &verify.out_dir);
    line.option_if(
        "--project-name",
        verify.project_name.as_ref().map(ProjectName::as_os_str),
    );
    line.flag_if("--attach", verify.attach);
    line.option_if("--engine", verify.engine.as_ref());
    line.option_if(
        "--timeout",
        verify.timeout.as_ref().map(ToString::to_string),
    );
    line.option_if(
        "--container-platform",
        verify.platform.as_ref().map(ContainerPlatform::as_str),
    );
    let transfer = verify.transfer.to_possible_value();
    let transfer = transfer.filter(|_| verify.transfer != Transfer::default());
    line.option_if("--transfer", transfer.as_ref().map(|how| how.get_name()));
    line.signing(&verify.signing);
    line.option_if(
        "--verify-environment",
        verify
            .verify_environment
            .as_ref()
            .map(EnvironmentName::as_str),
    );
    for text in verify.expectations.output() {
        line.option("--expect-output", text);
    }
    for file in verify.expectations.files() {
        line.option("--expect-file", file);
    }
    match &verify.verification {
        Verification::None => {}
        Verification::Task(task) => line.option("--verify-task", task),
        Verification::Command(words) => {
            line.option("--verify-run", "--");
            line.0.extend(words.iter().map(OsString::from));
        }
    }
    line.pasteable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_go_on_with_has_every_option_of_the_verification() {
        let words = ["python", "-c", "print('a b')"].map(OsString::from);
        let verification = Verification::new(None, Some(&words)).unwrap();
        let request = final_verify_product::Request {
            image: ImageReference::new(OsStr::new("img:1")).unwrap(),
            platform: Some(ContainerPlatform::new(OsStr::new("linux/amd64")).unwrap()),
            product_dir: "/w d/product".into(),
            out_dir: "/w d/proof".into(),
            project_name: Some(ProjectName::new(OsStr::new("demo")).unwrap()),
            in_place: false,
            verify_environment: Some(EnvironmentName::new(OsStr::new("test")).unwrap()),
            attach: true,
            verify_key: None,
            signing: SigningOptions {
                sign_key: Some("key".into()),
                sign_password_file: None,
            },
            expectations: Expectations::new(&["a".into()], &["b".into()], &verification).unwrap(),
            verification,
            engine: Some("podman".into()),
            timeout: None,
            variables: Vec::new(),
            transfer: Transfer::Copy,
        };
        assert_eq!(
            verify_command(&request),
            "final-verify-product --image img:1 --product-dir '/w d/product' --out-dir '/w d/proof' \
             --project-name demo --attach --engine podman --container-platform linux/amd64 --transfer copy \
             --sign-key key --verify-environment test --expect-output a --expect-file b \
             --verify-run -- python -c 'print('\\''a b'\\'')'"
        );
    }
}
