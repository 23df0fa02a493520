//! Whether the two images can be what they shall be.

use pixi_offline::container::{Engine, EngineVersion, Image, ImageProbe};
use pixi_offline::context::Context;
use pixi_offline::failure::{self, Failure};
use pixi_offline::packages::{Subdir, image_platform};
use pixi_offline::request::ImageReference;

use crate::product::CheckedProduct;
use crate::request::ImageRequest;
use crate::system::{INSPECT, Libc, System};

/// Finds out what would make the build, or the image, fail.
///
/// # Errors
///
/// Exit code 125 for an image that is not there or cannot be run, 127 for a build image
/// without pixi, 2 for one that cannot run the environment or the scripts.
pub fn check(
    request: &ImageRequest,
    engine: &Engine,
    version: &EngineVersion,
    source: &CheckedProduct,
    context: &Context,
) -> anyhow::Result<()> {
    let asked = [
        ("--build-image", &source.build_image),
        ("--base-image", &request.base_image),
    ];
    let mut images = Vec::new();
    for (option, image) in asked {
        images.push((option, require_image(engine, option, image)?));
    }
    for (option, image) in &images {
        require_architecture(option, image, source.facts().platform)?;
        engine.require_runnable(image, version)?;
    }
    let glibc = source.packages().iter().filter_map(|it| it.glibc()).max();
    let app = request.app.as_str();
    let inspect = |(option, image), why| inspect(engine, option, image, app, why);
    let build = inspect(asked[0], "and the build runs a script")?;
    let base = inspect(asked[1], "and the environment is activated by a script")?;
    for ((option, image), system) in asked.into_iter().zip([&build, &base]) {
        if let Some(why) = system.lacks(glibc) {
            return Err(Failure::usage(format!(
                "{option} {image} cannot run the environment {}: {why}",
                source.environment
            )));
        }
    }
    require_builder(request, &build, source, context)?;
    tell_of_libraries(&build.libc, &base.libc, context);
    if !base.bash {
        context.report.note(
            "the base image has no bash: its sh reads the activation scripts of the packages",
        );
    }
    if base.dir_is_taken {
        context.report.warning(format_args!(
            "{app} is not empty in the base image, and its files stay there; --app-dir names another place"
        ));
    }
    Ok(())
}

fn require_image(engine: &Engine, option: &str, image: &ImageReference) -> anyhow::Result<Image> {
    engine.image(image)?.ok_or_else(|| {
        Failure::engine(format!(
                "{option} {image} is not on this engine, and nothing is fetched here; get it with `{client} pull` or `{client} load` first",
                client = engine.client()
            ))
    })
}

/// What the environment's packages are for is what the image is for.
fn require_architecture(
    option: &str,
    image: &Image,
    platform: Option<Subdir>,
) -> anyhow::Result<()> {
    let wanted = platform.and_then(|subdir| Some((subdir, image_platform(subdir)?)));
    let Some((platform, wanted)) = wanted.filter(|(_, wanted)| image.platform != *wanted) else {
        return Ok(());
    };
    Err(Failure::usage(format!(
        "{option} {} is for {}, and the environment's packages are for {platform}; take an image for {wanted}",
        image.reference, image.platform
    )))
}

/// Looks into an image for the directory `app` and what the scripts need.
fn inspect(
    engine: &Engine,
    option: &str,
    image: &ImageReference,
    app: &str,
    why: &str,
) -> anyhow::Result<System> {
    match engine.probe(image, INSPECT, &[app])? {
        ImageProbe::Seen(text) => Ok(System::read(&text)),
        ImageProbe::NoShell(words) => Err(Failure::usage(format!(
            "{option} {image} has no shell (sh), {why}; take another image: {words}"
        ))),
    }
}

/// The build image runs as root, and has a pixi that is right for the product.
fn require_builder(
    request: &ImageRequest,
    build: &System,
    source: &CheckedProduct,
    context: &Context,
) -> anyhow::Result<()> {
    let facts = source.facts();
    if !build.root {
        return Err(Failure::usage(format!(
            "--build-image {} does not run as root, and the build makes {}; take an image that does",
            source.build_image,
            request.app.as_str()
        )));
    }
    let bundled = facts.packages.bundled_pixi;
    match (&build.pixi, &facts.build.pixi) {
        (None, _) if !bundled => {
            return Err(Failure::with_code(
                failure::MISSING_PROGRAM,
                format!(
                    "--build-image {} has no pixi on its PATH, and the product includes none; take an image with pixi, or make the product with --bundle-pixi",
                    source.build_image
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
    Ok(())
}

/// Says whether what was linked in the build image will run on the base image.
fn tell_of_libraries(build: &Libc, base: &Libc, context: &Context) {
    match (build, base) {
        (Libc::Glibc(_), Libc::Musl) => context.report.warning(
            "the build image has glibc and the base image has musl: compiled programs of the environment do not run",
        ),
        (Libc::Glibc(Some(build)), Libc::Glibc(Some(base))) if base < build => {
            context.report.note(format_args!(
                "the base image has glibc {}.{}, older than the build image's {}.{}: Python packages that are compiled in the build may not run",
                base.0, base.1, build.0, build.1
            ));
        }
        (_, Libc::Unknown) => context.report.note(
            "not checked: whether the base image's C library fits (it has neither getconf nor ldd)",
        ),
        _ => {}
    }
}
