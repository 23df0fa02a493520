//! An image with a real pixi.

use std::env;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use semver::Version;

use super::derived::{Change, derived_image};
use super::{BASE_IMAGE, REPOSITORY, ensure_base_image};
use crate::cache::scratch_dir;
use crate::docker::{docker, image_id, image_label};
use crate::engine::ensure_engine;
use crate::fingerprint::Fingerprint;
use crate::limit::run_within;
use crate::pixi::{
    Newest, is_registry_only, newest_beside, parse_version, pixi_bin, registry, registry_pixi,
    version_of,
};
use crate::process::{LONG_PATIENCE, announced, captured, end_of, say};

/// pixi's own image, used where a container registry can be reached.
pub const OFFICIAL: &str = "ghcr.io/prefix-dev/pixi:0.77.0";

/// Says of an image with pixi what it was made from, whichever pixi it has: one of another
/// make is not taken for an earlier run's.
const MAKE_LABEL: &str = "pixi-offline-test.make";

/// How long a pull may stay without any answer, and without progress once it got one.
const PATIENCE: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(300)];

/// An image with pixi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PixiImage {
    /// What docker knows it by.
    pub reference: String,
    /// The version of its pixi: what a test may ask of it.
    pub version: Version,
}

/// An image with pixi, from the first of these that there is: `PIXI_IMAGE`; one made from
/// `PIXI_BIN`; the newest that an earlier run made, or one made from a newer program in
/// `<cache>/pixi-bin/`; pixi's own image, when it can be pulled; one made from the newest program
/// of `<cache>/pixi-bin/` and the crates registry.
///
/// # Errors
/// When there is no engine, what a variable names is not a pixi, or making the image fails.
pub fn ensure_pixi_image() -> Result<PixiImage> {
    ensure_engine()?;
    if is_registry_only() {
        return ensure_image_with(&registry_pixi()?.path);
    }
    if let Some(image) = chosen_by_variable()? {
        return Ok(image);
    }
    if newest_made_before()?.is_none() {
        match ensure_published(OFFICIAL) {
            Ok(image) => return Ok(image),
            Err(error) => say(format_args!("{error:#}; making an image here instead")),
        }
    }
    ensure_image_made_here()
}

/// The newest image that an earlier run made, or one made from a newer program in
/// `<cache>/pixi-bin/` or from the crates registry.
pub(crate) fn ensure_image_made_here() -> Result<PixiImage> {
    let made = newest_made_before()?;
    match (
        newest_beside(made.as_ref().map(|image| &image.version))?,
        made,
    ) {
        (Newest::Image, Some(image)) => Ok(image),
        (Newest::Brought(pixi), _) => ensure_image_with(&pixi.path),
        (Newest::Registry | Newest::Image, _) => ensure_image_with(&registry_pixi()?.path),
    }
}

/// The image that `PIXI_IMAGE` names, or one with the pixi that `PIXI_BIN` names; nothing where
/// neither is set.
pub(crate) fn chosen_by_variable() -> Result<Option<PixiImage>> {
    let reference = env::var("PIXI_IMAGE").unwrap_or_default();
    if !reference.is_empty() {
        return ensure_published(&reference)
            .context("PIXI_IMAGE must name an image that is there or can be pulled")
            .map(Some);
    }
    pixi_bin()?
        .map(|pixi| ensure_image_with(&pixi.path))
        .transpose()
}

/// An image with pixi that others made, pulled where the engine does not have it.
pub(crate) fn ensure_published(reference: &str) -> Result<PixiImage> {
    if image_id(reference).is_none() {
        announced(format_args!("pulling {reference}"), || pull(reference))?;
    }
    named(reference.to_owned())
}

/// Makes `pixi-offline-test/pixi:<version>` from the base image with this pixi at
/// /usr/local/bin/pixi. One that holds the same bytes is used as it is.
///
/// # Errors
/// When `pixi` is not a pixi, or one of the images cannot be made.
pub fn ensure_image_with(pixi: &Path) -> Result<PixiImage> {
    let version = version_of(pixi)?;
    let base = ensure_base_image()?;
    let make = make()?.with_context(|| format!("the image {base} went away: try again"))?;
    let label = format!("LABEL {MAKE_LABEL}={make}");
    let changes = [
        Change::Program {
            from: pixi,
            to: "/usr/local/bin/pixi",
        },
        Change::Instructions(&label),
    ];
    let reference = derived_image(&format!("pixi:{version}"), base, &changes)?;
    Ok(PixiImage { reference, version })
}

/// The base image as it is now, and the crate that builds the registry's pixi; nothing where
/// there is no base image yet.
fn make() -> Result<Option<String>> {
    let Some(base_id) = image_id(BASE_IMAGE) else {
        return Ok(None);
    };
    let crate_recipe = registry::recipe()?.to_string();
    Ok(Some(Fingerprint::of([base_id, crate_recipe]).to_string()))
}

/// Those of another make are passed over; they are remade when someone asks for their pixi.
fn newest_made_before() -> Result<Option<PixiImage>> {
    let repository = format!("{REPOSITORY}/pixi");
    let Some(make) = make()? else {
        return Ok(None);
    };
    let tags = captured(
        "docker image ls",
        docker(["image", "ls", "--format", "{{.Tag}}", &repository]),
    )?;
    let made = tags.lines().filter_map(|tag| {
        let image = PixiImage {
            reference: format!("{repository}:{tag}"),
            version: Version::parse(tag).ok()?,
        };
        (image_label(&image.reference, MAKE_LABEL)? == make).then_some(image)
    });
    Ok(made.max_by(|a, b| a.version.cmp(&b.version)))
}

/// Asks an image that others made for its pixi.
fn named(reference: String) -> Result<PixiImage> {
    let arguments = [
        "run",
        "--rm",
        "--network",
        "none",
        "--entrypoint",
        "pixi",
        &reference,
        "--version",
    ];
    let says = captured(
        format_args!("the image {reference} has no pixi that answers; name another image"),
        docker(arguments),
    )?;
    let version = parse_version(&says)
        .with_context(|| format!("pixi in the image {reference} says `{says}` of its version"))?;
    Ok(PixiImage { reference, version })
}

/// Gives up when nothing answers: where there is no network, some wait for minutes.
fn pull(reference: &str) -> Result<()> {
    let scratch = scratch_dir("pull")?;
    let log = scratch.path().join("log");
    let pull = docker(["pull", reference])
        .stdin_null()
        .stderr_to_stdout()
        .stdout_path(&log);
    let mut written = 0;
    let mut last_sign = Duration::ZERO;
    let end = run_within(&pull, LONG_PATIENCE, |running| {
        let length = log.metadata().map_or(0, |about| about.len());
        if length > written {
            written = length;
            last_sign = running;
        }
        let patience = PATIENCE[usize::from(written > 0)];
        if running - last_sign > patience {
            return ControlFlow::Break(format!("nothing came for {} s", patience.as_secs()));
        }
        ControlFlow::Continue(())
    });
    match end.context("cannot start docker pull")? {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("cannot pull {reference}: {}", end_of(&log)),
        Err(why) => bail!("cannot pull {reference}: {why}"),
    }
}
