//! From a product to an image without pixi, with no network.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::container::{self, ContainerName, Engine, Image, Look};
use crate::context::Context;
use crate::evidence::check::{self, Checked, Depth, Installs, Verified};
use crate::evidence::evidence_file::LONGEST_RECORD;
use crate::evidence::manifest::{Entry, EntryKind, ManifestFacts, Mode};
use crate::evidence::signature::VerifyingKey;
use crate::evidence::verification::VerificationRecord;
use crate::evidence::{self, ProjectMetadata, Sha256Digest};
use crate::failure::{self, Failure};
use crate::image::{self, Activated, BuildContext, Dockerfile, LOOK, Libc, PRODUCT_DIGEST, System};
use crate::layout::Product;
use crate::packages::{Lock, Package};
use crate::product::shell_quote;
use crate::replacement::{DirLock, replace_file};
use crate::request::{
    AppFolder, CopiedPath, DEFAULT_ENVIRONMENT, EnvironmentName, ExposedPort, ImageReference,
    ImageSetting, ImageTag, ImageUser, ProjectName, SecretPolicy,
};
use crate::steps::html_report;
use crate::steps::secrets::{self, SecretSearch};
use crate::steps::signed_product::{SignedProduct, require_signed_verification};
use crate::steps::stage;

/// The command's name.
const COMMAND: &str = "make-production-image";

/// How often the engine is asked whether a build that was ended has let go of its
/// images, and how long is waited between.
const CLEANUP_RETRIES: (u32, Duration) = (40, Duration::from_millis(150));

/// What was asked for; paths as they were typed.
#[derive(Debug, Clone)]
pub struct ImageRequest {
    /// The product.
    pub product_dir: PathBuf,
    /// The image with pixi.
    pub build_image: ImageReference,
    /// The image that the last one is made from.
    pub base_image: ImageReference,
    /// What becomes of it.
    pub purpose: Purpose,
    /// The environment; when `None`, `default` or the only one.
    pub environment: Option<EnvironmentName>,
    /// Where the project is in the image.
    pub app: AppFolder,
    /// What of the project goes into the image; empty means everything.
    pub copies: Vec<CopiedPath>,
    /// Where the product's resources go.
    pub resources: Option<AppFolder>,
    /// Ports to announce.
    pub ports: Vec<ExposedPort>,
    /// Variables of the image.
    pub variables: Vec<ImageSetting>,
    /// Labels beside the usual.
    pub labels: Vec<ImageSetting>,
    /// The user that it runs as.
    pub user: Option<ImageUser>,
    /// The command of its health check.
    pub healthcheck: Option<String>,
    /// What it runs by itself.
    pub command: Vec<String>,
    /// Whether a product will do that no final verification has passed.
    pub unverified: bool,
    /// The key that product and verification must be signed with.
    pub verify_key: Option<PathBuf>,
    /// What happens to what looks like a secret and goes into the image.
    pub secrets: SecretPolicy,
    /// Whether an image of the same name, or files, may be replaced.
    pub force: bool,
    /// The engine's client, when one was named.
    pub engine: Option<OsString>,
}

/// What becomes of the Dockerfile.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// It is written into this folder, with all that it uses, and nothing is built.
    Emit(PathBuf),
    /// An image is built.
    Build {
        /// The image's name.
        tag: ImageTag,
        /// What is run in it before it gets the name.
        verify: Option<Vec<OsString>>,
        /// The archive that it is saved to.
        save: Option<PathBuf>,
    },
}

/// Makes the image, or writes what makes it.
///
/// # Errors
///
/// Exit code 2 before anything is touched for what is wrong with the request or the
/// images, 1 for a product that is damaged or not signed as required and a build that failed, 125 and 127 when
/// client, engine, image or pixi are missing; else that of the verification.
pub fn run(request: &ImageRequest, context: &Context) -> anyhow::Result<()> {
    // STEP 1: look at the product.
    let product_dir = context.host.absolute(&request.product_dir);
    stage::require_folder("--product-dir", &product_dir)?;
    let product = Product::new(&product_dir);
    let _product = match product_dir.parent() {
        Some(workdir) if evidence::is_workdir(workdir) => Some(DirLock::shared(workdir, COMMAND)?),
        _ => None,
    };
    let key = request
        .verify_key
        .as_ref()
        .map(|file| VerifyingKey::read(&context.host.absolute(file)))
        .transpose()?;
    // Nothing else of the product is read before its signature is right.
    let signed = key
        .as_ref()
        .map(|key| SignedProduct::require(&product, key))
        .transpose()?;
    let installs = match key {
        Some(_) => Installs::Refused,
        None => Installs::Allowed,
    };
    let checked = whole(&product, installs)?;
    if let Some(signed) = signed {
        signed.require_is(&product, &checked, context)?;
    }
    require_verified(&product, &checked, request, key.as_ref(), context)?;
    let facts = &checked.manifest.facts;
    let project = ProjectName::new(facts.project.folder.path().as_os_str())?;
    let environment = environment(request, facts)?;
    require_copied_paths(request, &project, &checked.manifest.entries)?;
    let dockerfile = dockerfile(request, &product, &checked, &project, &environment)?;
    let text = dockerfile.text()?;
    look_for_secrets(request, &product, &project, &dockerfile, context)?;
    tell_what_stays_out(request, &project, &checked.manifest.entries, context);

    let (tag, verify, save) = match &request.purpose {
        Purpose::Emit(folder) => {
            let folder = context.host.absolute(folder);
            return emit(&folder, &text, &product, request.force, context);
        }
        Purpose::Build { tag, verify, save } => (tag, verify, save),
    };

    // STEP 2: look at the images.
    let archive = save.as_ref().map(|file| context.host.absolute(file));
    if let Some(archive) = &archive {
        require_free(archive, request.force)?;
    }
    let engine = Engine::find(request.engine.as_deref(), context)?;
    let version = engine.version()?;
    container::remove_stale(&engine);
    let build = there(&engine, "--build-image", &request.build_image)?;
    let base = there(&engine, "--base-image", &request.base_image)?;
    for (option, image) in [("--build-image", &build), ("--base-image", &base)] {
        require_architecture(option, image, facts)?;
        engine.require_runnable(image, &version)?;
    }
    let need = ImageRequirements {
        environment: &environment,
        glibc: oldest_glibc(&product, &environment, facts)?,
    };
    look_at_images(request, &engine, facts, &need, context)?;
    let replaced = engine.image(&ImageReference::new(tag.as_str().as_ref())?)?;
    if replaced.is_some() && !request.force {
        return Err(Failure::usage(format!(
            "there is an image {tag} already; choose another --tag, or give --force to have the new one take its name"
        )));
    }

    // STEP 3: build, without a network, under a name that only this run knows.
    let build_context = BuildContext {
        dockerfile: text,
        product: product_dir,
        manifest: checked.manifest.clone(),
        with_resources: request.resources.is_some(),
    };
    let id = {
        let unfinished = TempImage::new(&engine, &checked.digest, context)?;
        let id = engine.build_image(
            move |to| build_context.send(to),
            &unfinished.name,
            &unfinished.build,
            &version,
            &context.report,
        )?;

        // STEP 4: try it, and only then give it its own name.
        if let Some(words) = verify {
            let name = ContainerName::new(COMMAND, &unfinished.build);
            let code = engine.try_image(&id, &name, words, &context.report)?;
            if code != 0 {
                return Err(Failure::with_code(
                    code,
                    format!(
                        "--verify-run ended with {code}, so no image was named {tag}; leave --verify-run out to have the image and look into it"
                    ),
                ));
            }
        }
        engine.tag_image(&id, tag)?;
        id
    };

    // STEP 5: save it, and say so.
    if let Some(old) = replaced.filter(|old| old.id != id) {
        context.report.note(format_args!(
            "the image that was {tag} is still there: {}",
            old.id
        ));
    }
    context
        .report
        .ok(format_args!("image {tag} is there: {id}"));
    context
        .report
        .info(format_args!("Product digest: sha256:{}", checked.digest));
    if let Some(archive) = &archive {
        let digest = save_archive(&engine, tag, archive).with_context(|| {
            format!("the image {tag} is there, but {} is not", archive.display())
        })?;
        context
            .report
            .ok(format_args!("saved to: {}", archive.display()));
        context
            .report
            .info(format_args!("Archive digest: sha256:{digest}"));
    }
    Ok(())
}

/// The product, compared with its lists, every byte of it.
fn whole(product: &Product, installs: Installs) -> anyhow::Result<Checked> {
    let Some(checked) = check::check(product, Depth::Full)? else {
        return Err(Failure::usage(format!(
            "{} has no manifest.json and no SHA256SUMS (an older version made it), so what is in it is not known; make the product again",
            product.path().display()
        )));
    };
    // What an install left is not sent to the build; where there is a key, nothing may be
    // there that it has not signed.
    checked.require_as_listed(product, installs)?;
    Ok(checked)
}

fn require_verified(
    product: &Product,
    checked: &Checked,
    request: &ImageRequest,
    key: Option<&VerifyingKey>,
    context: &Context,
) -> anyhow::Result<()> {
    let verified = match key {
        Some(key) if !request.unverified => {
            let record = require_signed_verification(product, checked, key, context)?;
            let record = VerificationRecord::parse(&record).with_context(|| {
                format!(
                    "{} is no verification that can be read; run final-verify-product with --attach again",
                    product.verification().display()
                )
            })?;
            Verified::of(record, &checked.digest)
        }
        _ => check::verify(product, &checked.digest)?,
    };
    let why = match verified {
        Verified::Passed(_) => return Ok(()),
        Verified::Never => "has no verification.json",
        Verified::OfAnother { .. } => "has a verification.json that is of another product",
        Verified::Failed(_) => "did not pass its final verification",
    };
    let path = product.path().display();
    if request.unverified {
        context
            .report
            .warning(format_args!("{path} {why}: nothing says that it installs"));
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{path} {why}: nothing says that it installs; run final-verify-product with --attach first, or give --unverified"
    )))
}

fn environment(request: &ImageRequest, facts: &ManifestFacts) -> anyhow::Result<EnvironmentName> {
    let has = facts.environments.join(", ");
    let wanted = match (&request.environment, facts.environments.as_slice()) {
        (Some(name), all) => {
            if !all.iter().any(|one| one == name.as_str()) {
                return Err(Failure::usage(format!(
                    "--environment {name}: the product installs {has}; choose one of these, or make a product with it"
                )));
            }
            return Ok(name.clone());
        }
        (None, [only]) => only,
        (None, all) => all
            .iter()
            .find(|name| *name == DEFAULT_ENVIRONMENT)
            .ok_or_else(|| {
                Failure::usage(format!(
                    "the product has several environments ({has}), and one goes into an image; name it with --environment"
                ))
            })?,
    };
    EnvironmentName::new(wanted.as_ref())
}

/// Looks at all that goes into the image, but for what is in the packages: whoever has
/// the image can read it.
fn look_for_secrets(
    request: &ImageRequest,
    product: &Product,
    project: &ProjectName,
    dockerfile: &Dockerfile,
    context: &Context,
) -> anyhow::Result<()> {
    let mut search = SecretSearch::new(&request.secrets, context)?;
    let project = product.project(project);
    let copies: Vec<&Path> = request
        .copies
        .iter()
        .map(|copy| Path::new(copy.as_str()))
        .collect();
    search.copied(&project, &copies);
    if request.resources.is_some() {
        search.resources(&product.resources())?;
    }
    search.channels(&project, &product.cache());
    let variables = request.variables.iter();
    search.settings(
        "--env",
        variables.map(|setting| (setting.key(), setting.value())),
    );
    let labels = dockerfile.labels.iter();
    search.settings(
        "label",
        labels.map(|label| (label.key.as_str(), label.value.as_str())),
    );
    search.words("the image's command", &request.command);
    let healthcheck: Vec<String> = request.healthcheck.iter().cloned().collect();
    search.words("--healthcheck", &healthcheck);
    let findings = search.findings();
    secrets::refuse(&request.secrets, &findings)?;
    secrets::warn_that(
        &findings,
        "will be in the image, and whoever has that can read it",
        context,
    );
    Ok(())
}

/// Each `--copy` is something that the product lists.
fn require_copied_paths(
    request: &ImageRequest,
    project: &ProjectName,
    entries: &[Entry],
) -> anyhow::Result<()> {
    for copy in &request.copies {
        let path = Path::new(project.as_os_str()).join(copy.as_str());
        if !entries.iter().any(|entry| entry.path.path() == path) {
            return Err(Failure::usage(format!(
                "--copy {}: the project in the product has no such file or folder",
                copy.as_str()
            )));
        }
    }
    Ok(())
}

fn dockerfile(
    request: &ImageRequest,
    product: &Product,
    checked: &Checked,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> anyhow::Result<Dockerfile> {
    let facts = &checked.manifest.facts;
    let name = &facts.project.manifest.name;
    let file = Path::new(project.as_os_str()).join(name);
    let manifest = checked.read(product, &file, LONGEST_RECORD)?;
    let text = String::from_utf8_lossy(&manifest);
    let platform = facts.platform.as_deref().unwrap_or_default();
    let lock = html_report::lock_of(product, facts)?;
    let activated = Activated {
        app: &request.app,
        environment,
        pixi: facts.build.pixi.as_deref(),
        platform,
        manifest: name,
        text: &text,
        of_packages: &variables_of_packages(product, checked, lock.as_ref(), environment)?,
    };
    Ok(Dockerfile {
        build_image: request.build_image.clone(),
        base_image: request.base_image.clone(),
        project: project.clone(),
        environment: environment.clone(),
        product_digest: checked.digest,
        app: request.app.clone(),
        copies: request.copies.clone(),
        resources: request.resources.clone(),
        labels: image::labels(
            facts,
            &checked.digest,
            &ProjectMetadata::of(name, &text),
            environment,
            &request.base_image,
            &request.labels,
        ),
        activated: activated.variables(),
        overrides: overrides(facts),
        variables: request.variables.clone(),
        ports: request.ports.clone(),
        user: request.user.clone(),
        healthcheck: request.healthcheck.clone(),
        command: request.command.clone(),
    })
}

/// What the build was told of the machine, as far as a Dockerfile has words for it.
fn overrides(facts: &ManifestFacts) -> Vec<(String, String)> {
    let is_name = |name: &str| {
        name.strip_prefix("CONDA_OVERRIDE_").is_some_and(|rest| {
            rest.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
    };
    facts
        .virtual_packages
        .overrides
        .iter()
        .filter(|(name, value)| is_name(name) && !value.chars().any(char::is_control))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The texts of `etc/conda/env_vars.d/*.json` of the environment's packages, by the names
/// of the files: so they are read in an environment.
fn variables_of_packages(
    product: &Product,
    checked: &Checked,
    lock: Option<&Lock>,
    environment: &EnvironmentName,
) -> anyhow::Result<Vec<Vec<u8>>> {
    const LONGEST: u64 = 1 << 20;
    let manifest = &checked.manifest;
    let platform = manifest.facts.platform.as_deref().unwrap_or_default();
    let packages = lock.and_then(|lock| lock.packages(environment.as_str(), platform));
    let cache = product.cache().join("pkgs");
    let cache = cache.strip_prefix(product.path()).unwrap_or(&cache);
    let places: Vec<PathBuf> = packages
        .unwrap_or_default()
        .iter()
        .filter_map(|package| match package {
            Package::Conda(conda) => Some(cache.join(&conda.stem).join("etc/conda/env_vars.d")),
            _ => None,
        })
        .collect();
    let mut files: Vec<&Path> = manifest
        .entries
        .iter()
        .filter(|entry| matches!(entry.kind, EntryKind::File { .. }))
        .map(|entry| entry.path.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .filter(|path| {
            path.parent()
                .is_some_and(|parent| places.iter().any(|place| place == parent))
        })
        .collect();
    files.sort_by_key(|path| path.file_name());
    files
        .into_iter()
        .map(|path| checked.read(product, path, LONGEST))
        .collect()
}

/// Says what may be missed in the image.
fn tell_what_stays_out(
    request: &ImageRequest,
    project: &ProjectName,
    entries: &[Entry],
    context: &Context,
) {
    let resources = Product::new("").resources();
    if request.resources.is_none()
        && entries.iter().any(|entry| {
            entry.path.path().starts_with(&resources) && entry.path.path() != resources
        })
    {
        context.report.note(
            "the product's resources stay out of the image; --resources-dir PATH takes them along",
        );
    }
    let Some(user) = request.user.as_ref().filter(|user| !user.is_root()) else {
        return;
    };
    // A number that the base does not know runs in root's group, whose the files are.
    let in_group = user.may_be_in_roots_group();
    let opens = |mode: &Mode, wanted: u32| {
        mode.bits() & wanted == wanted || (in_group && mode.bits() >> 3 & wanted == wanted)
    };
    let closed: Vec<&Entry> = entries
        .iter()
        .filter(|entry| {
            let Ok(path) = entry.path.path().strip_prefix(project) else {
                return false;
            };
            let copied = |copy: &CopiedPath| path.starts_with(copy.as_str());
            path.components().next().is_some()
                && (request.copies.is_empty() || request.copies.iter().any(copied))
                && match &entry.kind {
                    EntryKind::File { mode, .. } => !opens(mode, 0o4),
                    EntryKind::Directory { mode } => !opens(mode, 0o5),
                    _ => false,
                }
        })
        .collect();
    if let Some(first) = closed.first() {
        context.report.warning(format_args!(
            "{} files and folders of the project are root's in the image and closed to others, so that the user {} cannot read them: {} for example",
            closed.len(),
            user.as_str(),
            first.path
        ));
    }
}

/// Writes Dockerfile and scripts.
fn emit(
    folder: &Path,
    dockerfile: &str,
    product: &Product,
    force: bool,
    context: &Context,
) -> anyhow::Result<()> {
    let dockerfile = ("Dockerfile", dockerfile.to_owned());
    let files: Vec<(&str, String)> = image::files().into_iter().chain([dockerfile]).collect();
    for (name, _) in &files {
        require_free(&folder.join(name), force)?;
    }
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for (name, text) in files {
        replace_file(&folder.join(name), text.as_bytes())?;
    }
    context
        .report
        .ok(format_args!("Dockerfile written to: {}", folder.display()));
    let quoted = |path: &Path| {
        let quoted = shell_quote(path.as_os_str().as_encoded_bytes());
        String::from_utf8_lossy(&quoted).into_owned()
    };
    let place = folder.join("product");
    let here = place
        .canonicalize()
        .is_ok_and(|there| product.path().canonicalize().is_ok_and(|own| own == there));
    if !here {
        context.report.next(format_args!(
            "cp -a {} {}",
            quoted(product.path()),
            quoted(&place)
        ));
    }
    context.report.next(format_args!(
        "docker build --network none --tag NAME {}",
        quoted(folder)
    ));
    Ok(())
}

fn require_free(file: &Path, force: bool) -> anyhow::Result<()> {
    match fs::symlink_metadata(file) {
        Ok(metadata) if metadata.is_dir() => Err(Failure::usage(format!(
            "{} is a folder; name a file",
            file.display()
        ))),
        Ok(_) if !force => Err(Failure::usage(format!(
            "{} is there already; choose another place, or give --force to replace it",
            file.display()
        ))),
        _ => Ok(()),
    }
}

fn there(engine: &Engine, option: &str, image: &ImageReference) -> anyhow::Result<Image> {
    engine.image(image)?.ok_or_else(|| {
        Failure::with_code(
            failure::ENGINE,
            format!(
                "{option} {image} is not on this engine, and nothing is fetched here; bring it with `{client} pull` or `{client} load` first",
                client = engine.client()
            ),
        )
    })
}

/// What the environment's packages are for is what the image is for.
fn require_architecture(option: &str, image: &Image, facts: &ManifestFacts) -> anyhow::Result<()> {
    let platform = facts.platform.as_deref().unwrap_or_default();
    // The names of conda's subdirs and of Go's architectures.
    let wanted = match platform {
        "linux-64" => "linux/amd64",
        "linux-aarch64" => "linux/arm64",
        "linux-ppc64le" => "linux/ppc64le",
        "linux-s390x" => "linux/s390x",
        _ => return Ok(()),
    };
    if image.platform == wanted {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{option} {} is for {}, and the environment's packages are for {platform}; take an image for {wanted}",
        image.reference, image.platform
    )))
}

/// What the environment asks of a system.
struct ImageRequirements<'a> {
    environment: &'a EnvironmentName,
    glibc: Option<(u32, u32)>,
}

fn oldest_glibc(
    product: &Product,
    environment: &EnvironmentName,
    facts: &ManifestFacts,
) -> anyhow::Result<Option<(u32, u32)>> {
    let lock = html_report::lock_of(product, facts)?;
    let platform = facts.platform.as_deref().unwrap_or_default();
    let packages = lock
        .as_ref()
        .and_then(|lock| lock.packages(environment.as_str(), platform))
        .unwrap_or_default();
    Ok(packages.iter().filter_map(Package::glibc).max())
}

/// Finds out what would make the build, or the image, fail.
fn look_at_images(
    request: &ImageRequest,
    engine: &Engine,
    facts: &ManifestFacts,
    need: &ImageRequirements<'_>,
    context: &Context,
) -> anyhow::Result<()> {
    let app = request.app.as_str();
    let look = |option: &str, image: &ImageReference, why: &str| match engine.look_into(
        image,
        LOOK,
        &[app],
    )? {
        Look::Seen(text) => Ok(System::read(&text)),
        Look::NoShell(words) => Err(Failure::usage(format!(
            "{option} {image} has no shell (sh), {why}; take another image: {words}"
        ))),
    };
    let build = look(
        "--build-image",
        &request.build_image,
        "and the build runs a script",
    )?;
    let base = look(
        "--base-image",
        &request.base_image,
        "and the environment is activated by a script",
    )?;
    for (option, image, system) in [
        ("--build-image", &request.build_image, &build),
        ("--base-image", &request.base_image, &base),
    ] {
        if let Some(why) = system.lacks(need.glibc) {
            return Err(Failure::usage(format!(
                "{option} {image} cannot run the environment {}: {why}",
                need.environment
            )));
        }
    }
    if !build.root {
        return Err(Failure::usage(format!(
            "--build-image {} does not run as root, and the build makes {app}; take an image that does",
            request.build_image
        )));
    }
    let bundled = facts.packages.bundled_pixi;
    match (&build.pixi, &facts.build.pixi) {
        (None, _) if !bundled => {
            return Err(Failure::with_code(
                failure::MISSING_PROGRAM,
                format!(
                    "--build-image {} has no pixi on its PATH, and the product brings none; take an image with pixi, or make the product with --bundle-pixi",
                    request.build_image
                ),
            ));
        }
        (Some(here), Some(then)) if !bundled && here.split(' ').next_back() != Some(then) => {
            context.report.warning(format_args!(
                "the build image has {here}, and pixi {then} made the product: another version may not find what is in its package cache"
            ));
        }
        _ => {}
    }
    match (&build.libc, &base.libc) {
        (Libc::Glibc(_), Libc::Musl) => context.report.warning(
            "the build image has glibc and the base image has musl: programs of the environment that are no scripts do not run",
        ),
        (Libc::Glibc(Some(build)), Libc::Glibc(Some(base))) if base < build => {
            context.report.note(format_args!(
                "the base image has glibc {}.{}, older than the build image's {}.{}: Python packages that are compiled in the build may not run",
                base.0, base.1, build.0, build.1
            ));
        }
        (_, Libc::Unknown) => context.report.note(
            "not checked: whether the base image's C library fits (neither getconf nor ldd tells there)",
        ),
        _ => {}
    }
    if !base.bash {
        context.report.note(
            "the base image has no bash: its sh reads the activation scripts of the packages",
        );
    }
    if base.folder_is_taken {
        context.report.warning(format_args!(
            "the base image has something in {app} already, which stays there; --app-dir names another place"
        ));
    }
    Ok(())
}

/// What a build makes on its way: the image under a name for the time being, and those
/// without a name. All of it goes with this value; an image that has got another name
/// stays.
struct TempImage<'a> {
    engine: &'a Engine,
    name: ImageTag,
    build: String,
    label: String,
}

impl<'a> TempImage<'a> {
    fn new(
        engine: &'a Engine,
        product: &Sha256Digest,
        context: &Context,
    ) -> anyhow::Result<TempImage<'a>> {
        let build = context.nonce();
        let name = format!("pixi-offline/unfinished:{build}");
        Ok(TempImage {
            engine,
            name: ImageTag::new(name.as_ref())?,
            label: format!("{PRODUCT_DIGEST}={}", image::unfinished(product, &build)),
            build,
        })
    }
}

impl Drop for TempImage<'_> {
    /// A build that was ended holds on to its images for a moment.
    fn drop(&mut self) {
        self.engine.remove_image(self.name.as_str());
        for _ in 0..CLEANUP_RETRIES.0 {
            let Ok(nameless) = self.engine.nameless_images(&self.label) else {
                return;
            };
            if nameless.is_empty() {
                return;
            }
            for id in nameless {
                self.engine.remove_image(&id);
            }
            thread::sleep(CLEANUP_RETRIES.1);
        }
    }
}

/// Writes the archive beside its place, then its digest in the form of `sha256sum`, and
/// puts both there.
fn save_archive(engine: &Engine, tag: &ImageTag, file: &Path) -> anyhow::Result<Sha256Digest> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let new = tempfile::Builder::new()
        .prefix(".pixi-offline-new-")
        .tempfile_in(folder)
        .with_context(|| format!("nothing can be written in {}", folder.display()))?;
    let mut digesting = Digesting {
        file: new.as_file(),
        hash: Sha256::new(),
    };
    engine.save_image(tag, &mut digesting)?;
    let digest = Sha256Digest::from(digesting.hash.finalize());
    new.as_file().sync_all()?;
    // Whoever may read other files of this folder may read the archive.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    new.as_file().set_permissions(readable)?;
    let mut name = file.as_os_str().to_owned();
    name.push(".sha256");
    let mut line = format!("{digest}  ").into_bytes();
    line.extend(file.file_name().unwrap_or_default().as_encoded_bytes());
    line.push(b'\n');
    new.persist(file)
        .map_err(|error| error.error)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    replace_file(Path::new(&name), &line)?;
    Ok(digest)
}

/// Digests what it writes.
struct Digesting<'a> {
    file: &'a File,
    hash: Sha256,
}

impl Write for Digesting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.hash.update(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
