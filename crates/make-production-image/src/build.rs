//! The build of an image: made under a name for the time being, tried, named, saved.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use pixi_offline::container::{self, ContainerName, Engine, EngineVersion};
use pixi_offline::context::Context;
use pixi_offline::evidence::Sha256Digest;
use pixi_offline::failure::Failure;
use pixi_offline::replacement::replace_file;
use pixi_offline::request::ImageReference;
use sha2::{Digest as _, Sha256};

use crate::build_context::BuildContext;
use crate::dockerfile::unfinished;
use crate::emit::require_free;
use crate::images;
use crate::labels::PRODUCT_DIGEST;
use crate::product::CheckedProduct;
use crate::request::{ImageRequest, ImageTag, NewImage};

/// How often the engine is asked whether a build that was ended has let go of its
/// images, and how long is waited between.
const CLEANUP_RETRIES: (u32, Duration) = (40, Duration::from_millis(150));

impl NewImage {
    /// Makes it of this Dockerfile.
    ///
    /// # Errors
    ///
    /// Exit code 2 for what is wrong with the images, 1 for a build that failed, 125 and 127
    /// when client, engine, image or pixi are missing; else that of the verification.
    pub fn make(
        &self,
        dockerfile: String,
        request: &ImageRequest,
        source: &CheckedProduct,
        context: &Context,
    ) -> anyhow::Result<()> {
        // STEP 2: look at the images.
        context.report.phase("images", "looking at the images");
        let report = &context.report;
        let tag = &self.tag;
        let archive = self.save.as_ref().map(|file| context.host.absolute(file));
        if let Some(archive) = &archive {
            require_free("--save", archive, request.force)?;
        }
        let engine = Engine::find(request.engine.as_deref(), context)?;
        let version = engine.version()?;
        let gpus = self
            .gpus
            .as_ref()
            .map(|gpus| gpus.arguments(version.is_podman));
        let gpus = gpus.transpose()?.unwrap_or_default();
        container::remove_stale(&engine);
        images::check(request, &engine, &version, source, context)?;
        let replaced = engine.image(&ImageReference::new(tag.as_str().as_ref())?)?;
        if replaced.is_some() && !request.force {
            return Err(Failure::usage(format!(
                "image {tag} already exists; choose another --tag, or give --force to replace it"
            )));
        }

        // STEP 3 and 4: build it, try it, and only then give it its own name.
        report.phase("image", "building the image");
        let build_context = BuildContext {
            dockerfile,
            product: source.product.path().to_owned(),
            manifest: source.checked.manifest.clone(),
            with_resources: request.resources.is_some(),
        };
        let digest = &source.checked.digest;
        let id = self.build(build_context, digest, &engine, &version, gpus, context)?;

        // STEP 5: save it, and say so.
        if let Some(old) = replaced.filter(|old| old.id != id) {
            report.note(format_args!(
                "the image that was {tag} is still there: {}",
                old.id
            ));
        }
        report.ok(format_args!("image {tag} is there: {id}"));
        report.info(format_args!(
            "Product digest: sha256:{}",
            source.checked.digest
        ));
        if let Some(archive) = &archive {
            let digest = save_archive(&engine, tag, archive).with_context(|| {
                format!("the image {tag} is there, but {} is not", archive.display())
            })?;
            report.ok(format_args!("saved to: {}", archive.display()));
            report.info(format_args!("Archive digest: sha256:{digest}"));
        }
        Ok(())
    }

    /// Builds it without a network under a name that only this run knows, tries it, and
    /// gives it its own name; returns its id.
    fn build(
        &self,
        build_context: BuildContext,
        digest: &Sha256Digest,
        engine: &Engine,
        version: &EngineVersion,
        gpus: Vec<OsString>,
        context: &Context,
    ) -> anyhow::Result<String> {
        let temporary = TempImage::new(engine, digest, context)?;
        let id = engine.build_image(
            move |to| build_context.send(to),
            temporary.name.as_str(),
            &temporary.build,
            version,
            &context.report,
        )?;
        let tag = &self.tag;
        if let Some(args) = &self.verify {
            let name = ContainerName::new(crate::COMMAND, &temporary.build);
            let code = engine.try_image(&id, &name, gpus, args, &context.report)?;
            if code != 0 {
                return Err(Failure::with_code(
                    code,
                    format!(
                        "--verify-run failed with exit code {code}, so no image was tagged {tag}; run again without --verify-run to inspect the image"
                    ),
                ));
            }
        }
        engine.tag_image(&id, tag.as_str())?;
        Ok(id)
    }
}

/// What a build makes on its way: the image under a name for the time being, images
/// without a name, and containers. All of it goes with this value; an image that has got
/// another name stays.
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
            label: format!("{PRODUCT_DIGEST}={}", unfinished(product, &build)),
            build,
        })
    }
}

impl Drop for TempImage<'_> {
    /// The engine ends an interrupted build after its client has gone: what belongs to the
    /// build can still appear for a moment. A step whose start and whose end met leaves
    /// its container behind, and the container keeps its image.
    fn drop(&mut self) {
        self.engine.remove_image(self.name.as_str());
        let mut was_empty = false;
        for _ in 0..CLEANUP_RETRIES.0 {
            let Ok(containers) = self.engine.remove_containers(&self.label) else {
                return;
            };
            let Ok(nameless) = self.engine.nameless_images(&self.label) else {
                return;
            };
            let is_empty = containers == 0 && nameless.is_empty();
            if is_empty && was_empty {
                return;
            }
            was_empty = is_empty;
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
    let dir = file.parent().unwrap_or(file);
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let new = tempfile::Builder::new()
        .prefix(".pixi-offline-new-")
        .tempfile_in(dir)
        .with_context(|| format!("nothing can be written in {}", dir.display()))?;
    let mut digesting = DigestWriter {
        file: new.as_file(),
        hash: Sha256::new(),
    };
    engine.save_image(tag.as_str(), &mut digesting)?;
    let digest = Sha256Digest::from(digesting.hash.finalize());
    new.as_file().sync_all()?;
    // Whoever may read other files of this directory may read the archive.
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
struct DigestWriter<'a> {
    file: &'a File,
    hash: Sha256,
}

impl Write for DigestWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.hash.update(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
