//! What is packed, where to, and how.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pixi_offline::byte_size::ByteSize;
use pixi_offline::cancellation::Interruptible;
use pixi_offline::commands::build_offline_product::ProductArchive;
use pixi_offline::commands::listed_product::ListedProduct;
use pixi_offline::context::Context;
use pixi_offline::counted::counted;
use pixi_offline::evidence::check::CheckReport;
use pixi_offline::evidence::manifest::Totals;
use pixi_offline::evidence::trusted_comment::TrustedComment;
use pixi_offline::evidence::update_mark::update_around;
use pixi_offline::evidence::verification::Verified;
use pixi_offline::failure::Failure;
use pixi_offline::layout::Product;
use pixi_offline::project::require_dir;
use pixi_offline::quote::pasteable_line;
use pixi_offline::replacement::{DirLock, require_writable_dir};
use pixi_offline::request::SigningOptions;

use crate::archive::{self, ArchiveContents};
use crate::compression::{self, Compression};
use crate::output::{ArchivePlace, NewArchive, PackedArchive, PartSize};

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
    /// What the record of the final verification may be.
    pub record: RecordRule,
}

/// What the record of a product's final verification may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordRule {
    /// That of a pass, or none, which is said.
    NotFailed,
    /// Any: what it is gets a warning.
    Any,
    /// None yet: the product was made by the same command.
    Later,
}

/// An archive that can be written, for a product that may not be there yet.
pub struct PackPlan {
    place: ArchivePlace,
    compression: Compression,
    signing: SigningOptions,
    force: bool,
    record: RecordRule,
}

impl PackPlan {
    /// Decides everything that does not depend on the product; nothing is touched.
    ///
    /// # Errors
    ///
    /// Exit code 2 for a name without a known ending, a directory that is not there, an archive that is
    /// there already, and a key that cannot be used.
    pub fn new(request: &PackRequest, context: &Context) -> anyhow::Result<PackPlan> {
        if request.file.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(Failure::usage(format!(
                "{} is a directory; name the archive: a file that ends in .tar, .tar.gz or .tar.zst",
                request.file.display()
            )));
        }
        let file = context.host.absolute(&request.file);
        let compression = Compression::of(&file)?;
        let dir = file.parent().unwrap_or(Path::new("/"));
        require_dir("the directory of the archive", dir)?;
        if let Some(update) = update_around(&file) {
            return Err(Failure::usage(format!(
                "{} is in the update {}, and apply-update.sh refuses an update with additional files; give the archive a place outside of it",
                file.display(),
                update.display()
            )));
        }
        // Where an archive goes is asked for by an option, and known before anything begins.
        require_writable_dir("the directory of the archive", dir)
            .map_err(|error| Failure::usage(error.to_string()))?;
        let name = file.file_name().and_then(|name| name.to_str());
        let place = ArchivePlace {
            name: name.unwrap_or_default().to_owned(),
            split: request.split,
            file,
        };
        context.check_signing_key(&request.signing)?;
        let plan = PackPlan {
            signing: request.signing.clone(),
            force: request.force,
            record: request.record,
            compression,
            place,
        };
        plan.require_free()?;
        Ok(plan)
    }

    /// Nothing is in the place, or it may be replaced.
    fn require_free(&self) -> anyhow::Result<()> {
        for earlier in self.place.earlier()? {
            if !earlier
                .symlink_metadata()
                .is_ok_and(|found| found.is_file())
            {
                return Err(Failure::usage(format!(
                    "{} is not a regular file, and would have to be replaced; give the archive another name",
                    earlier.display()
                )));
            }
            if !self.force {
                return Err(Failure::usage(format!(
                    "{} already exists; give the archive another name, or add --force to replace it",
                    earlier.display()
                )));
            }
        }
        if let Some(other) = self.place.in_the_way().first() {
            return Err(Failure::usage(format!(
                "{} already exists and is not that of an archive, and --split makes one: move it away, or name another directory",
                other.display()
            )));
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
            "{} is in the product; give the archive a place outside of it",
            self.place.file.display()
        )))
    }

    /// Packs the product.
    ///
    /// # Errors
    ///
    /// Exit code 2 for what is not a product with lists, and for a place in it; 1 when the product is not as it
    /// lists itself or the archive cannot be written: then nothing is left of it.
    pub fn execute(&self, product_dir: &Path, context: &Context) -> anyhow::Result<()> {
        let product_dir = context.host.absolute(product_dir);
        require_dir("PRODUCT", &product_dir)?;
        self.require_outside(&product_dir)?;
        // A password is asked for before the work, and not in the middle of it.
        context.signing_key(&self.signing)?;
        let named = ("", &*product_dir);
        let listed = ListedProduct::open(named, None, "archive", COMMAND, context)?;
        let (product, checked) = (&listed.product, &listed.checked);
        self.require_record(product, checked, context)?;
        let contents = ArchiveContents::of_product(product, checked)?;
        let about = (&checked.manifest.facts, &checked.digest);
        let comment = |file: &Path, now| TrustedComment::of(file, now, Some(about));
        self.pack_contents(&contents, comment, context)
    }

    /// Refuses a product that failed, unless that may be; says what is known of another one.
    fn require_record(
        &self,
        product: &Product,
        checked: &CheckReport,
        context: &Context,
    ) -> anyhow::Result<()> {
        let dir = product.path().display();
        let report = &context.report;
        match (Verified::read(product, &checked.digest)?, self.record) {
            (Verified::Passed(_), _) | (_, RecordRule::Later) => {}
            (Verified::Never, _) => report.note(format_args!(
                "{dir} has no verification.json: not verified offline"
            )),
            (Verified::OfAnother { .. }, _) => report.warning(format_args!(
                "{dir} has a verification.json of another product: not verified offline"
            )),
            (Verified::Failed(_), RecordRule::Any) => {
                report.warning(format_args!("{dir} did not pass its final verification"))
            }
            (Verified::Failed(_), RecordRule::NotFailed) => {
                return Err(Failure::usage(format!(
                    "{dir} did not pass its final verification; run final-verify-product with --attach again, or give --unverified"
                )));
            }
        }
        Ok(())
    }

    /// Packs a directory. `comment` gives what is signed together with the list of digests, for its name
    /// and a time in seconds since 1970.
    ///
    /// # Errors
    ///
    /// Exit code 2 when an archive is there that may not be replaced; 1 when a file is not as it is listed
    /// or the archive cannot be written: then nothing is left of it.
    pub fn pack_contents(
        &self,
        contents: &ArchiveContents<'_>,
        comment: impl Fn(&Path, u64) -> TrustedComment,
        context: &Context,
    ) -> anyhow::Result<()> {
        let key = context.signing_key(&self.signing)?;
        let _writing = DirLock::exclusive(&self.place.file, COMMAND)?;
        self.require_free()?;
        let _watch = Interruptible::start()?;
        let new = NewArchive::begin(&self.place)?;
        let sign = |file: &Path, content: &[u8]| {
            let comment = comment(file, context.signing_time());
            let key = key.as_ref();
            key.map(|key| key.sign(content, &comment)).transpose()
        };
        let packed = self.write(&new, contents, sign, context);
        if packed.is_err() {
            new.discard();
        }
        self.report(&packed?, context);
        Ok(())
    }

    fn write(
        &self,
        new: &NewArchive,
        contents: &ArchiveContents<'_>,
        sign: impl Fn(&Path, &[u8]) -> anyhow::Result<Option<String>>,
        context: &Context,
    ) -> anyhow::Result<PackedArchive> {
        context.report.runs("packing");
        context
            .report
            .progress_of(|| Totals::of(contents.entries).bytes);
        let mut to = self
            .compression
            .writer(new.clone(), compression::threads())
            .context("the compression cannot be started")?;
        archive::write(contents, &mut to, &self.place.file, context)?;
        to.finish()
            .with_context(|| archive::writing(&self.place.file))?;
        new.commit(sign)
    }

    fn report(&self, packed: &PackedArchive, context: &Context) {
        let (file, report) = (self.place.file.display().to_string(), &context.report);
        report.field("archive", file);
        report.field("sha256", packed.digest.to_string());
        report.field("bytes", packed.bytes);
        if let Some(parts) = packed.parts {
            report.field("parts", parts);
        }
        let parts = match packed.parts {
            Some(parts) => format!(" in {}", counted(parts, "part", "parts")),
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
        let mut args = vec![OsString::from(COMMAND)];
        if let Some(split) = &self.place.split {
            args.extend(["--split".into(), split.to_string().into()]);
        }
        args.extend(args_of(&self.signing));
        args.extend([product.into(), self.place.file.clone().into()]);
        pasteable_line(args)
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

fn args_of(signing: &SigningOptions) -> Vec<OsString> {
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
