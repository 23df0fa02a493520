//! What is packed, where to, and how.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pixi_offline::byte_size::ByteSize;
use pixi_offline::commands::build_offline_product::ProductArchive;
use pixi_offline::commands::signing_key;
use pixi_offline::context::Context;
use pixi_offline::evidence::check::{self, Checked, Depth, Installs};
use pixi_offline::evidence::is_workdir;
use pixi_offline::evidence::signature::SigningKey;
use pixi_offline::evidence::trusted_comment::TrustedComment;
use pixi_offline::failure::Failure;
use pixi_offline::layout::Product;
use pixi_offline::product::pasteable;
use pixi_offline::project::require_dir;
use pixi_offline::replacement::DirLock;
use pixi_offline::request::SigningOptions;

use crate::archive;
use crate::compression::{self, Compression};
use crate::output::{NewArchive, Packed, PartSize, Place};

/// The name of the command, for locks.
const COMMAND: &str = "pack-product";

/// What was asked for.
#[derive(Debug)]
pub struct PackRequest {
    /// The archive.
    pub file: PathBuf,
    /// The size of parts, where it is split.
    pub split: Option<PartSize>,
    /// Whether an archive that is there is replaced.
    pub force: bool,
    /// The key that signs the list of digests.
    pub signing: SigningOptions,
}

/// An archive that can be written, for a product that may not be there yet.
pub struct PackPlan {
    place: Place,
    compression: Compression,
    key: Option<SigningKey>,
    /// The words that name the key, for the command line to go on with.
    signing: Vec<OsString>,
    force: bool,
}

impl PackPlan {
    /// Decides everything that does not depend on the product; nothing is touched.
    ///
    /// # Errors
    ///
    /// Exit code 2 for a name without a known ending, a directory that is not there, an archive that is
    /// there already, and a key that cannot be used.
    pub fn new(request: &PackRequest, context: &Context) -> anyhow::Result<PackPlan> {
        let file = context.host.absolute(&request.file);
        let compression = Compression::of(&file)?;
        let dir = file.parent().unwrap_or(Path::new("/"));
        require_dir("the directory of the archive", dir)?;
        let name = file.file_name().and_then(|name| name.to_str());
        let place = Place {
            name: name.unwrap_or_default().to_owned(),
            split: request.split,
            file,
        };
        let plan = PackPlan {
            key: signing_key(&request.signing, context)?,
            signing: words_of(&request.signing),
            force: request.force,
            compression,
            place,
        };
        plan.require_free()?;
        Ok(plan)
    }

    /// Nothing is in the place, or it may be replaced.
    fn require_free(&self) -> anyhow::Result<()> {
        let mut there = self.place.earlier()?;
        there.extend(self.place.in_the_way());
        for earlier in there {
            if !earlier
                .symlink_metadata()
                .is_ok_and(|found| found.is_file())
            {
                return Err(Failure::usage(format!(
                    "{} is no regular file, and would have to be replaced; give the archive another name",
                    earlier.display()
                )));
            }
            if !self.force {
                return Err(Failure::usage(format!(
                    "{} is there already; give the archive another name, or add --force to replace it",
                    earlier.display()
                )));
            }
        }
        Ok(())
    }

    /// Refuses a place in the product.
    ///
    /// # Errors
    ///
    /// Exit code 2 for such a place.
    pub fn require_outside(&self, product_dir: &Path) -> anyhow::Result<()> {
        if !self.place.file.starts_with(product_dir) {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "{} lies in the product; give the archive a place outside of it",
            self.place.file.display()
        )))
    }

    /// Packs the product.
    ///
    /// # Errors
    ///
    /// Exit code 2 for what is no product with lists, and for a place in it; 1 when the product is not as it
    /// lists itself or the archive cannot be written: then nothing is left of it.
    pub fn execute(&self, product_dir: &Path, context: &Context) -> anyhow::Result<()> {
        let product_dir = context.host.absolute(product_dir);
        require_dir("PRODUCT", &product_dir)?;
        self.require_outside(&product_dir)?;
        let product = Product::new(&product_dir);
        let _reading = match product_dir.parent() {
            Some(workdir) if is_workdir(workdir) => Some(DirLock::shared(workdir, COMMAND)?),
            _ => None,
        };
        let checked = as_listed(&product, context)?;
        archive::require_packable(&checked)?;
        let _writing = DirLock::exclusive(&self.place.file, COMMAND)?;
        self.require_free()?;
        let new = NewArchive::begin(&self.place)?;
        let packed = self.write(&new, &product, &checked, context);
        if packed.is_err() {
            new.discard();
        }
        self.tell(&packed?, context);
        Ok(())
    }

    fn write(
        &self,
        new: &NewArchive,
        product: &Product,
        checked: &Checked,
        context: &Context,
    ) -> anyhow::Result<Packed> {
        context.report.runs("packing the product");
        context
            .report
            .progress_of(|| checked.manifest.facts.totals.bytes);
        let mut to = self
            .compression
            .writer(new.clone(), compression::threads())
            .context("the compression cannot be started")?;
        archive::write(product, checked, &mut to, context)?;
        to.finish()
            .with_context(|| format!("{} cannot be written", self.place.file.display()))?;
        new.commit(|file, content| {
            let Some(key) = &self.key else {
                return Ok(None);
            };
            let now = context.host.source_date_epoch;
            let now = now.unwrap_or_else(|| context.now());
            let about = (&checked.manifest.facts, &checked.digest);
            let comment = TrustedComment::of(file, now, Some(about));
            key.sign(content, &comment).map(Some)
        })
    }

    fn tell(&self, packed: &Packed, context: &Context) {
        let parts = match packed.parts {
            Some(parts) => format!(" in {parts} parts"),
            None => String::new(),
        };
        context.report.ok(format_args!(
            "packed {}{parts} ({}, sha256:{})",
            self.place.file.display(),
            ByteSize(packed.bytes),
            packed.digest
        ));
    }
}

impl ProductArchive for PackPlan {
    fn file(&self) -> &Path {
        &self.place.file
    }

    fn list(&self) -> PathBuf {
        match self.place.split {
            Some(_) => self.place.part_sums(),
            None => self.place.sums(),
        }
    }

    fn command_line(&self, product: &Path) -> String {
        let mut words = vec![OsString::from(COMMAND)];
        if let Some(split) = &self.place.split {
            words.extend(["--split".into(), split.to_string().into()]);
        }
        words.extend(self.signing.iter().cloned());
        words.extend([product.into(), self.place.file.clone().into()]);
        let words: Vec<String> = words.iter().map(|word| pasteable(word)).collect();
        words.join(" ")
    }

    fn pack(&self, product: &Path, context: &Context) -> anyhow::Result<()> {
        self.execute(product, context)
    }
}

impl fmt::Debug for PackPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackPlan")
            .field("file", &self.place.file)
            .finish_non_exhaustive()
    }
}

fn words_of(signing: &SigningOptions) -> Vec<OsString> {
    let options = [
        ("--sign-key", &signing.sign_key),
        ("--sign-password-file", &signing.sign_password_file),
    ];
    let given = options.into_iter().filter_map(|(name, file)| {
        let file = file.as_ref()?;
        Some([name.into(), file.clone().into_os_string()])
    });
    given.flatten().collect()
}

/// The lists of a product that is as they say, but for the bytes of its files.
fn as_listed(product: &Product, context: &Context) -> anyhow::Result<Checked> {
    let Some(checked) = check::check(product, Depth::Quick)? else {
        return Err(Failure::usage(format!(
            "{} has no manifest.json and no SHA256SUMS, so it is no product, or an older version made it; make the product again",
            product.path().display()
        )));
    };
    checked.require_as_listed(product, Installs::Allowed)?;
    match checked.left_by_install.len() {
        0 => {}
        left => context.report.note(format_args!(
            "{left} files and directories that an install left in the product stay out of the archive"
        )),
    }
    Ok(checked)
}
