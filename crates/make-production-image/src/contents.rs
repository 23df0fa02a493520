//! What goes into the image, and what is said of it before anything is built.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use pixi_offline::context::Context;
use pixi_offline::counted::counted;
use pixi_offline::evidence::ProjectMetadata;
use pixi_offline::evidence::evidence_file::LONGEST_RECORD;
use pixi_offline::evidence::manifest::{Entry, EntryKind, ManifestFacts, Mode};
use pixi_offline::layout::{self, Product};
use pixi_offline::packages::{self, Subdir};
use pixi_offline::project::secrets::{self, SecretSearch};
use pixi_offline::secret_search::Holder;
use pixi_offline::staging::Rules;

use crate::activation::ProjectInImage;
use crate::dockerfile::Dockerfile;
use crate::labels::labels;
use crate::product::CheckedProduct;
use crate::request::{CopiedPath, ImageRequest, ImageUser};

/// The Dockerfile as data.
///
/// # Errors
///
/// Exit code 1 when a file of the product is not as it was compared.
pub fn dockerfile<'a>(
    request: &'a ImageRequest,
    source: &'a CheckedProduct,
) -> anyhow::Result<Dockerfile<'a>> {
    let facts = source.facts();
    let name = &facts.project.manifest.name;
    let file = source.project.path().join(name);
    let manifest = source
        .checked
        .read(&source.product, &file, LONGEST_RECORD)?;
    let text = String::from_utf8_lossy(&manifest);
    let activated = ProjectInImage {
        app: &source.project_dir,
        environment: &source.environment,
        pixi: facts.build.pixi.as_deref(),
        platform: facts.platform.map_or("", Subdir::as_str),
        manifest: name,
        text: &text,
        of_packages: &variables_of_packages(source)?,
    };
    Ok(Dockerfile {
        request,
        project: &source.project,
        build_image: &source.build_image,
        project_dir: &source.project_dir,
        environment: &source.environment,
        product_digest: source.checked.digest,
        labels: labels(
            facts,
            &source.checked.digest,
            &ProjectMetadata::of(name, &text),
            &source.environment,
            &request.base_image,
            &request.labels,
        ),
        activated: activated.variables(),
        overrides: overrides(facts),
    })
}

/// The overridden virtual packages of the build that a Dockerfile can set.
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
fn variables_of_packages(source: &CheckedProduct) -> anyhow::Result<Vec<Vec<u8>>> {
    const LONGEST: u64 = 1 << 20;
    let cache = Product::new("").cache().join("pkgs");
    let places: HashSet<PathBuf> = source
        .packages()
        .iter()
        .filter_map(|package| package.as_conda())
        .map(|conda| cache.join(&conda.stem).join("etc/conda/env_vars.d"))
        .collect();
    let entries = source.checked.manifest.entries.iter();
    let mut files: Vec<&Path> = entries
        .filter(|entry| matches!(entry.kind, EntryKind::File { .. }))
        .map(|entry| entry.path.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .filter(|path| path.parent().is_some_and(|parent| places.contains(parent)))
        .collect();
    files.sort_by_key(|path| path.file_name());
    files
        .into_iter()
        .map(|path| source.checked.read(&source.product, path, LONGEST))
        .collect()
}

/// Looks at all that goes into the image, but for what is in the packages: whoever has
/// the image can read it.
///
/// # Errors
///
/// Exit code 2 when something looks like a secret and `--secrets deny` was given.
pub fn look_for_secrets(
    request: &ImageRequest,
    source: &CheckedProduct,
    dockerfile: &Dockerfile<'_>,
    context: &Context,
) -> anyhow::Result<()> {
    let mut secrets = SecretSearch::new(&request.secrets, context)?;
    let project = source.product.staged(&source.project.name);
    if request.resources.is_some() {
        secrets.resources(&source.product.resources())?;
    }
    if let Some(search) = secrets.search() {
        if request.copies.is_empty() {
            search.dir(&project, &Rules::new(), Holder::Product);
        }
        for copy in &request.copies {
            let path = project.join(copy.as_str());
            if path.is_dir() {
                search.dir(&path, &Rules::new(), Holder::Product);
            } else {
                search.file(&project, Path::new(copy.as_str()), false, Holder::Product);
            }
        }
        // Where conda packages come from, which pixi writes into an environment's
        // `conda-meta`: the channels' URLs, as the lock and the cache of a product have them.
        let lock = source.project.in_root.path().join(layout::LOCK_FILE);
        search.file(&project, &lock, false, Holder::File);
        let cache = source.product.cache();
        for record in packages::channel_records(&cache) {
            search.pointer(&cache, &record);
        }
        for one in &request.variables {
            let place = format!("--env {}", one.key);
            search.variable(&place, &one.key, one.value.as_bytes());
        }
        for label in &dockerfile.labels {
            let place = format!("label {}", label.key);
            search.variable(&place, &label.key, label.value.as_bytes());
        }
        search.args("the image's command", &request.command);
        search.args("--healthcheck", request.healthcheck.as_slice());
    }
    let findings = secrets.findings();
    secrets::refuse(&request.secrets, &findings)?;
    secrets::warn_that(
        &findings,
        "will be in the image, where everyone who has it can read it",
        context,
    );
    Ok(())
}

/// Says what may be missed in the image.
pub fn tell_what_stays_out(request: &ImageRequest, source: &CheckedProduct, context: &Context) {
    let entries = &source.checked.manifest.entries;
    let resources = Product::new("").resources();
    let is_resource =
        |entry: &Entry| entry.path.path().starts_with(&resources) && entry.path.path() != resources;
    if request.resources.is_none() && entries.iter().any(is_resource) {
        context.report.note(
            "the product's resources are left out of the image; --resources-dir PATH includes them",
        );
    }
    let Some(user) = request.user.as_ref().filter(|user| !user.is_root()) else {
        return;
    };
    let closed: Vec<&Entry> = entries
        .iter()
        .filter(|entry| {
            let Ok(path) = entry.path.path().strip_prefix(&source.project.name) else {
                return false;
            };
            let copied = |copy: &CopiedPath| path.starts_with(copy.as_str());
            path.components().next().is_some()
                && (request.copies.is_empty() || request.copies.iter().any(copied))
                && is_closed(entry, user)
        })
        .collect();
    if let Some(first) = closed.first() {
        context.report.warning(format_args!(
            "{} not readable by others, so the user {} cannot read everything: {} for example",
            counted(
                closed.len(),
                "file or directory of the project belongs to root in the image and is",
                "files and directories of the project belong to root in the image and are"
            ),
            user.as_str(),
            first.path
        ));
    }
}

/// Whether a user cannot read a file of root's or enter a directory of root's.
fn is_closed(entry: &Entry, user: &ImageUser) -> bool {
    // A number that the base does not know runs in root's group, whose the files are.
    let in_group = user.may_be_in_roots_group();
    let opens = |mode: &Mode, wanted: u32| {
        mode.bits() & wanted == wanted || (in_group && mode.bits() >> 3 & wanted == wanted)
    };
    match &entry.kind {
        EntryKind::File { mode, .. } => !opens(mode, 0o4),
        EntryKind::Directory { mode } => !opens(mode, 0o5),
        _ => false,
    }
}
