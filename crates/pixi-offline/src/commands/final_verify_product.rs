//! From a product to the proof that it installs without a network.

mod built_with;
mod container;
pub(crate) mod request;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

pub use self::built_with::BuiltWith;
pub(crate) use self::container::planned_arguments;
use self::container::{CopyAgent, container_for, script, tmpfs_for, tree};
use self::request::COMMAND;
pub use self::request::VerifyRequest;
use crate::commands::verification_record::{self, ProductState, Written};
use crate::container::{
    Engine, EngineVersion, Image, KeptVolume, Outcome, PhaseLog, Probe, RunResult, remove_stale,
};
use crate::context::Context;
use crate::evidence;
use crate::evidence::lists;
use crate::evidence::signature::{SigningKey, VerifyingKey};
use crate::evidence::verification::VerificationRecord;
use crate::failure::Failure;
use crate::layout::{OfflineLogs, Product};
use crate::project::dirs;
use crate::project::secrets;
use crate::replacement::{DirLock, require_no_file, require_writable_dir, sweep_files};
use crate::request::text_for_mount;
use crate::workspace::container_out::ContainerOut;
use crate::workspace::pixi_messages::PixiMessages;
use crate::workspace::script_result::{self, Phase};
use crate::workspace::{ScriptPlace, ScriptRun, Transport, Workspace};

/// An engine that was looked up already.
#[derive(Debug)]
pub struct FoundEngine {
    /// The engine.
    pub engine: Engine,
    /// The volume that the product's packages were fetched into, where a build copied its
    /// workdir to the engine.
    pub(crate) volume: Option<KeptVolume>,
}

impl From<Engine> for FoundEngine {
    fn from(engine: Engine) -> FoundEngine {
        FoundEngine {
            engine,
            volume: None,
        }
    }
}

/// Installs the product in a container without a network, and verifies it.
///
/// # Errors
///
/// Exit code 2 before anything is touched for what is wrong with the request,
/// 127 and 125 when client, engine or image are missing, else that of bootstrap
/// or verification.
pub fn run(
    request: &VerifyRequest,
    engine: Option<FoundEngine>,
    context: &Context,
) -> anyhow::Result<VerificationRecord> {
    context
        .report
        .phase("verify", request.verification.offline_phase());
    let out_dir = context.host.absolute(&request.out_dir);
    context.report.field("logs", out_dir.display().to_string());
    VerifyPlan::new(request, engine, context)?.execute(context)
}

/// Requires a product, and not the workdir that it is in.
fn require_product(product: &Product) -> anyhow::Result<()> {
    let dir = product.path();
    dirs::require_dir("--product-dir", dir)?;
    if product.bootstrap_script().is_file() {
        return Ok(());
    }
    // Another run may be making it: that run is named.
    if let Some(workdir) = dir.parent().filter(|dir| evidence::is_workdir(dir)) {
        DirLock::shared(workdir, COMMAND)?;
    }
    Err(Failure::usage(format!(
        "--product-dir {} is not a product: it has no bootstrap-project.sh{}",
        dir.display(),
        evidence::did_you_mean(dir)
    )))
}

/// A final verification: all is decided, and nothing is touched.
struct VerifyPlan<'a> {
    request: &'a VerifyRequest,
    engine: Engine,
    /// A volume of an earlier step that has packages of the product.
    volume: Option<KeptVolume>,
    version: EngineVersion,
    image: Image,
    product: Product,
    out_dir: PathBuf,
    logs: OfflineLogs,
    signing_key: Option<SigningKey>,
    verify_key: Option<VerifyingKey>,
}

impl<'a> VerifyPlan<'a> {
    fn new(
        request: &'a VerifyRequest,
        engine: Option<FoundEngine>,
        context: &Context,
    ) -> anyhow::Result<VerifyPlan<'a>> {
        if request.verification.is_requested() && request.project_name.is_none() {
            return Err(Failure::usage(
                "a verification needs --project-name: it runs in that directory of the product",
            ));
        }
        let FoundEngine { engine, volume } = match engine {
            Some(found) => found,
            None => Engine::find(request.engine.as_deref(), context)?.into(),
        };
        let engine = engine.with_time_limit(request.timeout.as_ref());
        let product = Product::new(context.host.absolute(&request.product_dir));
        let out_dir = context.host.absolute(&request.out_dir);
        require_places(request, &product, &out_dir)?;
        secrets::search_verification(&request.secrets, &request.verification, context)?;
        let signing_key = context.signing_key(&request.signing)?;
        let verify_key = context.verifying_key("--verify-key", request.verify_key.as_ref())?;
        let (version, image) = require_image(request, &engine)?;
        Ok(VerifyPlan {
            request,
            engine,
            volume,
            version,
            image,
            product,
            logs: OfflineLogs::new(&out_dir),
            out_dir,
            signing_key,
            verify_key,
        })
    }

    /// Executes the plan, and records the result, also a failure.
    fn execute(mut self, context: &Context) -> anyhow::Result<VerificationRecord> {
        let volume = self.volume.take();
        let (request, product, out_dir) = (self.request, &self.product, &self.out_dir);
        // STEP 1: nobody writes the same logs or replaces the product meanwhile.
        remove_stale(&self.engine);
        let _out = DirLock::exclusive(out_dir, COMMAND)?;
        let _product = match product.path().parent() {
            Some(workdir) if evidence::is_workdir(workdir) => Some(if request.in_place {
                DirLock::exclusive(workdir, COMMAND)?
            } else {
                DirLock::shared(workdir, COMMAND)?
            }),
            _ => None,
        };
        fs::create_dir_all(out_dir)
            .with_context(|| format!("{} cannot be made", out_dir.display()))?;
        verification_record::remove_earlier(&self.logs)?;
        sweep_files(out_dir)?;
        if request.attach {
            sweep_files(product.path())?;
        }

        // STEP 2: look whether the product is whole, run its own bootstrap, then the
        // verification.
        let container = container_for(request, &self.engine, context)?;
        let probe = Probe {
            writable: out_dir,
            shown: out_dir,
            others: &[product.path()],
        };
        let transport = container.transport(request.transfer, &probe, context)?;
        match transport {
            Transport::Volume if request.in_place => {
                return Err(Failure::usage(format!(
                    "--in-place installs into the product itself, and the engine behind {} does not see it; leave --in-place out",
                    self.engine.client()
                )));
            }
            Transport::Mounted | Transport::Volume => {}
        }
        let (version, image) = (self.version.clone(), Some(self.image.clone()));
        let mut record = verification_record::begin(request, version, image, context);
        let mut known = ProductState::default();
        let open = |context: &Context| {
            let cache = product.cache();
            let base = volume.map(|volume| (volume, cache.as_path()));
            let tree = tree(request, product.path(), &self.logs);
            Workspace::open(container, tree, transport, base, context)
        };
        let end = self.to_its_end(open, &mut known, &mut record, context);
        verification_record::conclude(&mut record, &end, context);

        // STEP 3: write down what was found.
        let found = known.facts.as_ref().zip(known.digest.as_ref());
        let written = Written::of(&record, found, self.signing_key.as_ref(), context);
        let kept = written.and_then(|written| {
            written.put(&self.logs.verification())?;
            if request.attach {
                let key = self.verify_key.as_ref();
                verification_record::attach(&written, &record, product, key, context)?;
            }
            Ok(())
        });
        first_of(end, kept, context)?;

        // STEP 4: say so.
        if let Some(digest) = &record.product_digest {
            context
                .report
                .info(format_args!("Product digest: {digest}"));
        }
        // A run of several phases says so itself, when the logs are in their last place.
        if !context.report.has_phases() {
            context.report.ok(format_args!(
                "final verification complete; logs in: {}",
                out_dir.display()
            ));
        }
        Ok(record)
    }

    /// Looks at the product, installs it, verifies it and looks at it again; what
    /// is learnt goes into the record at once.
    fn to_its_end<'w>(
        &self,
        open: impl FnOnce(&Context) -> anyhow::Result<Workspace<'w>>,
        known: &mut ProductState,
        record: &mut VerificationRecord,
        context: &Context,
    ) -> anyhow::Result<()> {
        let VerifyPlan {
            request,
            product,
            logs,
            ..
        } = self;
        *known = verification_record::check(product, self.verify_key.as_ref(), context)?;
        if let Some(facts) = &known.facts {
            record.environments.clone_from(&facts.environments);
        }
        if request.in_place {
            known.digest = None;
        }
        let digest = known.digest;
        if request.attach && digest.is_none() {
            return Err(Failure::general(
                "--attach: something was installed in the product, so the record cannot name its digest; remove what was installed, or leave --attach out",
            ));
        }
        record.product_digest = digest.as_ref().map(|digest| format!("sha256:{digest}"));
        let container_out = ContainerOut::make(&self.out_dir)?;
        let workspace = open(context)?;
        let RunResult { outcome, end } = self.run_in(&workspace, container_out, context)?;
        drop(workspace);
        verification_record::learn(record, &outcome, request, logs)?;
        end?;
        if let Some(digest) = &digest {
            let unchanged = verification_record::require_unchanged(product, digest);
            record.product_unchanged = Some(unchanged.is_ok());
            unchanged?;
        }
        self.classify(&outcome, context)
    }

    /// Runs bootstrap and verification, and brings here what they left.
    fn run_in(
        &self,
        workspace: &Workspace<'_>,
        container_out: ContainerOut,
        context: &Context,
    ) -> anyhow::Result<RunResult> {
        let (request, logs) = (self.request, &self.logs);
        let log = |phase, file| PhaseLog { phase, file };
        let phases = [
            log("bootstrap", logs.bootstrap()),
            log("verify", logs.verify()),
        ];
        let memory = workspace.memory(context);
        let tmpfs = tmpfs_for(request, self.product.path(), memory);
        let agent = workspace.mounted_out().filter(|_| !request.in_place);
        let agent = agent.map(|out| CopyAgent::lay(out, context));
        let script = |place: ScriptPlace<'_>| script(request, place.nonce);
        let run = ScriptRun {
            variables: &request.variables,
            tmpfs,
            script: &script,
        };
        let mut ended = workspace.run(&run, &phases, context)?;
        drop(agent);
        let brought = workspace.fetch_out(container_out, &logs.files(), &ended.outcome, context);
        ended.end = first_of(ended.end, brought, context);
        Ok(ended)
    }

    /// Success, or what the script's outcome and the logs say against it.
    fn classify(&self, outcome: &Outcome, context: &Context) -> anyhow::Result<()> {
        let (request, logs) = (self.request, &self.logs);
        let (bootstrap_log, verify_log) = (logs.bootstrap(), logs.verify());
        let advice = match outcome.phase("bootstrap") {
            Some(1..) => advice_on_bootstrap(&PixiMessages::of(&bootstrap_log)),
            _ => String::new(),
        };
        let phase = |name, what, log| Phase {
            name,
            what,
            log,
            advice: if name == "bootstrap" { &advice } else { "" },
        };
        script_result::require_success(
            outcome,
            &[
                phase("copy", "copying the product inside the container", None),
                phase("bootstrap", "bootstrap-project.sh", Some(&bootstrap_log)),
                phase("verify", "the verification", Some(&verify_log)),
            ],
        )?;
        match outcome.attempts("bootstrap") {
            Some(0) => {}
            Some(count) => {
                return Err(Failure::general(format!(
                    "the installation succeeded, but something in it tried to reach the network ({count} attempts were blocked): it may fail or hang on another network; see {}",
                    bootstrap_log.display()
                )));
            }
            None => context
                .report
                .note("network attempts were not counted: the container shows no /proc/net/snmp"),
        }
        if let Some(count @ 1..) = outcome.attempts("verify") {
            context.report.note(format_args!(
                "the verification tried to reach the network: {count} attempts were blocked"
            ));
        }
        match request.verification.is_requested() {
            true => {
                script_result::require_output(&request.expectations, &verify_log, Some(&verify_log))
            }
            false => {
                context.report.note(
                    "no verification was given: only the installation was tested (--verify-task TASK)",
                );
                script_result::write_no_verification(&verify_log)
            }
        }
    }
}

/// What to do about an install that failed, where it was the build of a package.
fn advice_on_bootstrap(messages: &PixiMessages) -> String {
    let Some(package) = messages.failed_build() else {
        return String::new();
    };
    format!(
        "the build of {package} failed: it is built where the product is installed, without a network; put what its build fetches into the project, or depend on a wheel of it; pixi says:{}",
        messages.shown()
    )
}

/// Requires an image that the engine has and can run, and an engine that knows the GPUs that
/// were asked for.
///
/// # Errors
///
/// Exit code 2 for GPUs and a platform that do not fit, 125 for an image that is not there or
/// cannot be run.
pub(crate) fn require_image(
    request: &VerifyRequest,
    engine: &Engine,
) -> anyhow::Result<(EngineVersion, Image)> {
    let (version, image) = engine.version_and_image(&request.image)?;
    if let Some(gpus) = &request.gpus {
        gpus.arguments(version.is_podman)?;
    }
    let Some(image) = image else {
        return Err(Failure::engine(format!(
            "image {} is not on this engine, and an offline verification fetches nothing; get it with `{} pull` or `{} load` first, or name another with --image",
            request.image,
            engine.client(),
            engine.client()
        )));
    };
    engine.require_platform(&image, request.platform.as_ref())?;
    engine.require_runnable(&image, &version)?;
    Ok((version, image))
}

/// Requires that the engine's client can be told the directories to mount.
fn require_mountable(product: &Path, out_dir: &Path) -> anyhow::Result<()> {
    for path in [product, out_dir] {
        text_for_mount("a path that must be mounted", path.as_os_str())?;
    }
    Ok(())
}

/// Requires that product and logs can be where they were asked for.
fn require_places(
    request: &VerifyRequest,
    product: &Product,
    out_dir: &Path,
) -> anyhow::Result<()> {
    let product_dir = product.path();
    require_product(product)?;
    if let Some(name) = &request.project_name {
        name.as_utf8()?;
        dirs::require_dir("--project-name", &product_dir.join(name))?;
    }
    require_mountable(product_dir, out_dir)?;
    require_no_file("--out-dir", out_dir)?;
    if !request.in_place && lies_in(out_dir, product_dir) {
        return Err(Failure::usage(format!(
            "--out-dir {} is in the product, which must stay as it is; choose another place",
            out_dir.display()
        )));
    }
    if request.attach && request.in_place {
        return Err(Failure::usage(
            "--attach cannot be combined with --in-place: the install changes the product, and no record could name its digest",
        ));
    }
    if request.attach && lists::is_without_lists(product)? {
        return Err(Failure::usage(format!(
            "--attach: {} has no SHA256SUMS, so the record cannot name its digest; make the product again",
            product_dir.display()
        )));
    }
    require_writable_dir("--out-dir", out_dir)
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

/// Whether `directory`, there or not, is `outer` or is in it.
fn lies_in(dir: &Path, outer: &Path) -> bool {
    let Ok(outer) = outer.canonicalize() else {
        return false;
    };
    dir.ancestors()
        .find_map(|existing| existing.canonicalize().ok())
        .is_some_and(|real| real.starts_with(outer))
}
