//! From a product to the proof that it installs without a network.

mod volume_verification;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::container::scripts::{self, Script};
use crate::container::{
    self, ContainerName, ContainerSpec, Engine, KeptVolume, Mount, Network, Owner, PhaseLog, Pull,
    RunResult, Tmpfs,
};
use crate::context::Context;
use crate::evidence;
use crate::evidence::check;
use crate::evidence::signature::VerifyingKey;
use crate::evidence::verification::VerificationRecord;
use crate::failure::{self, Failure};
use crate::layout::{OfflineLogs, Product};
use crate::replacement::{DirLock, sweep_files};
use crate::request::{
    ContainerPlatform, ContainerVariable, EnvironmentName, Expectations, ImageReference,
    ProjectName, SecretPolicy, SigningOptions, TimeLimit, Transfer, Verification, text_for_mount,
};
use crate::staging;
use crate::steps::agent;
use crate::steps::container_out::ContainerOut;
use crate::steps::product_evidence;
use crate::steps::script_result::{self, Phase};
use crate::steps::secrets;
use crate::steps::stage;
use crate::steps::verification_record::{self, ProductState, Written};
use crate::steps::volume_sync;

/// The command's name.
const COMMAND: &str = "final-verify-product";

/// What a file takes in memory beyond its content, in bytes: a page of its last
/// partial content, and the kernel's own structures.
const MEMORY_PER_ENTRY: u64 = 6 * 1024;

/// What was asked for; paths as they were typed.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// An image that has pixi and bash.
    pub image: ImageReference,
    /// What the image shall be for.
    pub platform: Option<ContainerPlatform>,
    /// The product.
    pub product_dir: PathBuf,
    /// Where the logs go.
    pub out_dir: PathBuf,
    /// The project's name; needed for a verification.
    pub project_name: Option<ProjectName>,
    /// Whether the product itself is installed into, as the old script did.
    pub in_place: bool,
    /// The environment to verify in; when `None`, `default` where the product
    /// installs it, else the first that it installs.
    pub verify_environment: Option<EnvironmentName>,
    /// Whether the record of the verification goes into the product.
    pub attach: bool,
    /// The key that the product must be signed with.
    pub verify_key: Option<PathBuf>,
    /// What happens to what looks like a secret in the words of the verification.
    pub secrets: SecretPolicy,
    /// What the record is signed with.
    pub signing: SigningOptions,
    /// What is run to see that it works.
    pub verification: Verification,
    /// What must hold afterwards.
    pub expectations: Expectations,
    /// The engine's client, when one was named.
    pub engine: Option<OsString>,
    /// How long each phase may take.
    pub timeout: Option<TimeLimit>,
    /// Variables for the container.
    pub variables: Vec<ContainerVariable>,
    /// How the engine gets at the product.
    pub transfer: Transfer,
}

/// Installs the product in a container without a network, and verifies it.
///
/// # Errors
///
/// Exit code 2 before anything is touched for what is wrong with the request,
/// 127 and 125 when client, engine or image are missing, else that of bootstrap
/// or verification.
pub fn run(request: &VerifyRequest, context: &Context) -> anyhow::Result<VerificationRecord> {
    run_after(request, None, None, context)
}

/// The same after a build: with its engine, and the volume that the product's packages were
/// fetched into where they were carried to the engine.
pub(super) fn run_after(
    request: &VerifyRequest,
    engine: Option<&Engine>,
    built: Option<KeptVolume>,
    context: &Context,
) -> anyhow::Result<VerificationRecord> {
    // STEP 1: look.
    context
        .report
        .phase("verify", "installing and verifying without a network");
    context.report.field(
        "logs",
        context
            .host
            .absolute(&request.out_dir)
            .display()
            .to_string(),
    );
    if request.verification.is_requested() && request.project_name.is_none() {
        return Err(Failure::usage(
            "a verification needs --project-name: it runs in that folder of the product",
        ));
    }
    let engine = match engine {
        Some(engine) => engine.clone(),
        None => Engine::find(request.engine.as_deref(), context)?
            .with_time_limit(request.timeout.as_ref()),
    };
    let product_dir = context.host.absolute(&request.product_dir);
    let out_dir = context.host.absolute(&request.out_dir);
    stage::require_folder("--product-dir", &product_dir)?;
    if let Some(name) = &request.project_name {
        name.as_utf8()?;
        stage::require_folder("--project-name", &product_dir.join(name))?;
    }
    for path in [&product_dir, &out_dir] {
        text_for_mount("a path that must be mounted", path.as_os_str())?;
    }
    if fs::metadata(&out_dir).is_ok_and(|metadata| !metadata.is_dir()) {
        return Err(Failure::usage(format!(
            "--out-dir {} is no folder",
            out_dir.display()
        )));
    }
    if !request.in_place && lies_in(&out_dir, &product_dir) {
        return Err(Failure::usage(format!(
            "--out-dir {} lies in the product, which must stay as it is; choose another place",
            out_dir.display()
        )));
    }
    if request.attach && request.in_place {
        return Err(Failure::usage(
            "--attach does not go with --in-place: the install changes the product, and no record could name its digest",
        ));
    }
    let product = Product::new(&product_dir);
    if request.attach && check::is_without_lists(&product)? {
        return Err(Failure::usage(format!(
            "--attach: {} has no SHA256SUMS, so that no record can name its digest; make the product again",
            product_dir.display()
        )));
    }
    secrets::look_at_verification(&request.secrets, &request.verification, context)?;
    let signing_key = product_evidence::signing_key(&request.signing, context)?;
    let verify_key = request
        .verify_key
        .as_ref()
        .map(|file| VerifyingKey::read(&context.host.absolute(file)))
        .transpose()?;
    let (version, image) = engine.version_and_image(&request.image)?;
    container::remove_stale(&engine);
    let Some(image) = image else {
        return Err(Failure::with_code(
            failure::ENGINE,
            format!(
                "image {} is not on this engine, and an offline verification fetches nothing; bring it with `{} pull` or `{} load` first",
                request.image,
                engine.client(),
                engine.client()
            ),
        ));
    };
    engine.require_platform(&image, request.platform.as_ref())?;
    engine.require_runnable(&image, &version)?;

    // STEP 2: look whether the product is whole, run its own bootstrap, then the
    // verification, while nobody writes the same logs or replaces the product.
    let _out = DirLock::exclusive(&out_dir, COMMAND)?;
    let _product = match product_dir.parent() {
        Some(workdir) if evidence::is_workdir(workdir) => Some(if request.in_place {
            DirLock::exclusive(workdir, COMMAND)?
        } else {
            DirLock::shared(workdir, COMMAND)?
        }),
        _ => None,
    };
    fs::create_dir_all(&out_dir)
        .with_context(|| format!("{} cannot be made", out_dir.display()))?;
    let logs = OfflineLogs::new(&out_dir);
    verification_record::remove_earlier(&logs)?;
    sweep_files(&out_dir)?;
    if request.attach {
        sweep_files(&product_dir)?;
    }
    let is_carried = volume_sync::is_needed(
        request.transfer,
        &engine,
        &request.image,
        (&out_dir, &out_dir),
        &[&product_dir],
        &[],
        context,
    )?;
    if is_carried && request.in_place {
        return Err(Failure::usage(format!(
            "--in-place installs into the product itself, and the engine behind {} does not see it; leave --in-place out",
            engine.client()
        )));
    }
    let mut record = verification_record::begin(request, version, Some(image), context);
    let run = Run {
        request,
        engine: &engine,
        product: &product,
        verify_key: verify_key.as_ref(),
        out_dir: &out_dir,
        logs: &logs,
        is_carried,
    };
    let mut known = ProductState::default();
    let end = run.to_its_end(built, (&mut known, &mut record), context);
    verification_record::conclude(&mut record, &end, context);

    // STEP 3: write down what was found, whatever it was.
    let speaks_of = known.facts.as_ref().zip(known.digest.as_ref());
    let written = Written::of(&record, speaks_of, signing_key.as_ref(), context);
    let kept = written.and_then(|written| {
        written.put(&logs.verification())?;
        if request.attach {
            verification_record::attach(&written, &record, &product, verify_key.as_ref(), context)?;
        }
        Ok(())
    });
    match (end, kept) {
        (Ok(()), kept) => kept?,
        (Err(error), Ok(())) => return Err(error),
        (Err(error), Err(trouble)) => {
            context.report.warning(format_args!("{trouble:#}"));
            return Err(error);
        }
    }

    // STEP 4: say so.
    if let Some(digest) = &record.product_digest {
        context
            .report
            .info(format_args!("Product digest: {digest}"));
    }
    context.report.ok(format_args!(
        "final verification complete; logs in: {}",
        out_dir.display()
    ));
    Ok(record)
}

/// A verification that may begin.
struct Run<'a> {
    request: &'a VerifyRequest,
    engine: &'a Engine,
    product: &'a Product,
    verify_key: Option<&'a VerifyingKey>,
    out_dir: &'a Path,
    logs: &'a OfflineLogs,
    /// Whether the engine does not see the product, so that it is carried there.
    is_carried: bool,
}

impl Run<'_> {
    /// Looks at the product, installs it, verifies it and looks at it again; what
    /// is learnt goes into the record at once.
    fn to_its_end(
        &self,
        built: Option<KeptVolume>,
        (known, record): (&mut ProductState, &mut VerificationRecord),
        context: &Context,
    ) -> anyhow::Result<()> {
        *known = verification_record::check(self.product, self.verify_key, context)?;
        if let Some(facts) = &known.facts {
            record.environments.clone_from(&facts.environments);
        }
        if self.request.in_place {
            known.digest = None;
        }
        let digest = known.digest;
        record.product_digest = digest.as_ref().map(|digest| format!("sha256:{digest}"));
        let Run {
            request,
            engine,
            product,
            out_dir,
            logs,
            ..
        } = self;
        let (bootstrap_log, verify_log) = (logs.bootstrap(), logs.verify());
        let phase_logs = [
            PhaseLog {
                phase: "bootstrap",
                file: bootstrap_log.clone(),
            },
            PhaseLog {
                phase: "verify",
                file: verify_log.clone(),
            },
        ];
        let container_out = ContainerOut::make(out_dir)?;
        let RunResult { outcome, end } = if self.is_carried {
            self.run_elsewhere(built, container_out, &phase_logs, context)?
        } else {
            let (product, memory) = (product.path(), context.host.available_memory);
            let tmpfs = memory_for(product, memory).filter(|_| !request.in_place);
            let mounts = mounts(request, product, logs);
            let nonce = context.nonce();
            let spec = container_for(request, mounts, tmpfs, &nonce, context)?;
            let out = container_out.path();
            let copier = (!request.in_place).then(|| CopyAgent::lay(&out, context));
            let mut ended =
                container::run(engine, &spec, Some(&out), &phase_logs, &context.report)?;
            drop(copier);
            let brought = container_out.move_out("", &logs.files(), context);
            ended.end = first_of(ended.end, brought, context);
            ended
        };
        verification_record::learn(record, &outcome, request, logs)?;
        end?;
        if let Some(digest) = &digest {
            let unchanged = verification_record::require_unchanged(product, digest);
            record.product_unchanged = Some(unchanged.is_ok());
            unchanged?;
        }
        script_result::require_success(
            &outcome,
            &[
                Phase {
                    name: "copy",
                    what: "copying the product inside the container",
                    log: None,
                    advice: "",
                },
                Phase {
                    name: "bootstrap",
                    what: "bootstrap-project.sh",
                    log: Some(&bootstrap_log),
                    advice: "",
                },
                Phase {
                    name: "verify",
                    what: "the verification",
                    log: Some(&verify_log),
                    advice: "",
                },
            ],
        )?;
        match outcome.attempts("bootstrap") {
            Some(0) => {}
            Some(count) => {
                return Err(Failure::with_code(
                    failure::GENERAL,
                    format!(
                        "the install went well, but something in it tried to reach the network ({count} attempts found no way out): it may fail or hang where there is another network; see {}",
                        bootstrap_log.display()
                    ),
                ));
            }
            None => context
                .report
                .note("network attempts were not counted: the container shows no /proc/net/snmp"),
        }
        if let Some(count @ 1..) = outcome.attempts("verify") {
            context.report.note(format_args!(
                "the verification tried to reach the network: {count} attempts found no way out"
            ));
        }
        if request.verification.is_requested() {
            script_result::require_output(&request.expectations, &verify_log, Some(&verify_log))?;
        } else {
            script_result::write_no_verification(&verify_log)?;
        }
        Ok(())
    }
}

/// How a run ended, or why what it left could not be brought here; a second failure
/// is a warning.
fn first_of(
    end: anyhow::Result<()>,
    brought: anyhow::Result<()>,
    context: &Context,
) -> anyhow::Result<()> {
    match (end, brought) {
        (Err(end), Err(error)) => {
            context.report.warning(format_args!("{error:#}"));
            Err(end)
        }
        (end, brought) => end.and(brought),
    }
}

/// A copy of this program in the container's out directory, which copies the product inside the
/// container (`AgentRequest::Copy`). Without it the image's cp does that.
struct CopyAgent(PathBuf);

impl CopyAgent {
    fn lay(out_dir: &Path, context: &Context) -> CopyAgent {
        let copier = CopyAgent(out_dir.join(scripts::COPY_AGENT));
        if staging::copy_file(&context.host.program, &copier.0).is_err() {
            let _ = fs::remove_file(&copier.0);
        }
        copier
    }
}

impl Drop for CopyAgent {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Whether `folder`, there or not, is `outer` or lies in it.
fn lies_in(folder: &Path, outer: &Path) -> bool {
    let Ok(outer) = outer.canonicalize() else {
        return false;
    };
    folder
        .ancestors()
        .find_map(|existing| existing.canonicalize().ok())
        .is_some_and(|real| real.starts_with(outer))
}

/// The words that the engine's client would get.
pub(super) fn planned_arguments(
    request: &VerifyRequest,
    context: &Context,
) -> anyhow::Result<Vec<OsString>> {
    let product_dir = context.host.absolute(&request.product_dir);
    let out_dir = context.host.absolute(&request.out_dir);
    let nonce = context.nonce();
    let (mounts, memory) = match request.transfer {
        Transfer::Auto | Transfer::Mount => (
            mounts(request, &product_dir, &OfflineLogs::new(&out_dir)),
            context.host.available_memory,
        ),
        // How much memory an engine elsewhere has is not asked for a plan.
        Transfer::Copy => {
            let volume_spec = volume_verification::volume_spec(&product_dir, &nonce);
            (volume_sync::mounts(&[volume_spec], &nonce), 0)
        }
    };
    let tmpfs = memory_for(&product_dir, memory).filter(|_| !request.in_place);
    container_for(request, mounts, tmpfs, &nonce, context)?.run_arguments()
}

/// Product and out folder as an engine on this machine has them.
fn mounts(request: &VerifyRequest, product_dir: &Path, logs: &OfflineLogs) -> Vec<Mount> {
    let product = if request.in_place {
        Mount::writable(product_dir, scripts::PRODUCT)
    } else {
        Mount::read_only(product_dir, scripts::PRODUCT_SOURCE)
    };
    vec![Mount::writable(logs.container_out(), scripts::OUT), product]
}

fn container_for(
    request: &VerifyRequest,
    mounts: Vec<Mount>,
    tmpfs: Option<u64>,
    nonce: &str,
    context: &Context,
) -> anyhow::Result<ContainerSpec> {
    let how = if request.in_place { "in-place" } else { "copy" };
    let name = request
        .project_name
        .as_ref()
        .map_or(Ok(""), ProjectName::as_utf8)?;
    let expected = request.expectations.files().join("\n");
    let chosen = match request.verify_environment {
        Some(_) => "chosen",
        None => "",
    };
    Ok(ContainerSpec {
        name: ContainerName::new(COMMAND, nonce),
        command: COMMAND,
        owner: Owner::this_process(),
        image: request.image.clone(),
        platform: request.platform.clone(),
        mounts,
        tmpfs: tmpfs.map(|size| Tmpfs {
            target: scripts::PRODUCT.to_owned(),
            size,
        }),
        network: Network::None,
        pull: Pull::Never,
        variables: request.variables.clone(),
        engine_arguments: Vec::new(),
        selinux_enforcing: context.host.selinux_enforcing,
        counting: Some(agent::counting(context)?),
        script: Script::new(
            scripts::FINAL_VERIFY,
            nonce,
            [how, name, chosen, &expected],
            request.verification.pixi_words(
                request
                    .verify_environment
                    .as_ref()
                    .map(EnvironmentName::as_str),
            ),
        ),
    })
}

/// The size of a file system in memory for the product and what is installed
/// from it, in bytes; `None` when that would not fit well. Through the disk the
/// copy of a product of 100,000 files takes several times as long.
fn memory_for(product_dir: &Path, available: u64) -> Option<u64> {
    let mut walk = ignore::WalkBuilder::new(product_dir);
    walk.standard_filters(false).follow_links(false);
    let entries = walk.build().count() as u64;
    // Links count as themselves.
    let bytes = fs_extra::dir::get_size(product_dir).ok()?;
    let product = bytes + entries * MEMORY_PER_ENTRY;
    // The environment links to the cache's files where it can; where it copies
    // them, it is as large again, and a verification writes something too.
    let wanted = 3 * product + 256 * 1024 * 1024;
    (wanted <= available / 2).then_some(available / 2)
}
