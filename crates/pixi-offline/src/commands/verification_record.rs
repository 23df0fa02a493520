//! The product that is verified, and the record that the verification leaves.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;

use crate::commands::final_verify_product::request::VerifyRequest;
use crate::commands::html_report;
use crate::commands::signed_product::SignedProduct;
use crate::container::{EngineVersion, Image, Outcome};
use crate::context::Context;
use crate::evidence::check::{self, Depth, Installs};
use crate::evidence::manifest::ManifestFacts;
use crate::evidence::signature::{SigningKey, VerifyingKey};
use crate::evidence::trusted_comment::TrustedComment;
use crate::evidence::verification::{
    CountLocation, ExpectedResult, FailureRecord, LogRecord, NetworkRecord, PhaseRecord, Verdict,
    VerificationRecord, Verified,
};
use crate::evidence::{self, Sha256Digest};
use crate::failure::{self, Failure};
use crate::layout::{OfflineLogs, Product};
use crate::replacement::replace_file;
use crate::untrusted_dir::UntrustedDir;

/// What is known of a product before it is installed.
#[derive(Default)]
pub(crate) struct ProductState {
    /// Its digest, when it has one and is as it lists itself.
    pub(crate) digest: Option<Sha256Digest>,
    /// What its manifest states, when it has one.
    pub(crate) facts: Option<ManifestFacts>,
}

/// Compares a product with its lists, every byte of it, and checks their
/// signature when there is a key for it: then nothing may be in it that is not signed.
///
/// # Errors
///
/// Exit code 1 when it is not as it lists itself, or not signed as it should be.
pub(crate) fn check(
    product: &Product,
    key: Option<&VerifyingKey>,
    context: &Context,
) -> anyhow::Result<ProductState> {
    // Nothing else of the product is read before its signature is right.
    let signed = key
        .map(|key| SignedProduct::require(product, key))
        .transpose()?;
    let Some(checked) = check::check(product, Depth::Full)? else {
        context.report.note("the product has no manifest.json (an older version made it): whether it is whole is not known, and the record names no digest");
        return Ok(ProductState {
            digest: None,
            facts: None,
        });
    };
    // Without a key, the product's bootstrap judges what was installed, in the container:
    // it removes what was not installed there, and the record names no digest.
    let installs = match key {
        Some(_) => Installs::Refused,
        None => Installs::Allowed,
    };
    checked.require_as_listed(product, installs)?;
    if let Some(signed) = signed {
        signed.require_is(product, &checked, context)?;
    }
    match Verified::read(product, &checked.digest)? {
        Verified::OfAnother { .. } => context.report.warning(
            "the verification.json in the product belongs to another product and is ignored",
        ),
        Verified::Never | Verified::Failed(_) | Verified::Passed(_) => {}
    }
    let as_listed = checked.left_by_install.is_empty();
    if let Some(first) = checked.left_by_install.first() {
        context.report.note(format_args!(
            "something was installed in the product itself: it holds {} files and directories more than it lists, {} for example, and the record names no digest of the product",
            checked.left_by_install.len(),
            first.display()
        ));
    }
    Ok(ProductState {
        digest: as_listed.then_some(checked.digest),
        facts: Some(checked.manifest.facts),
    })
}

/// Looks again, after the run, whether a product that had a digest still has it.
///
/// # Errors
///
/// Exit code 1 when it was changed meanwhile.
pub(crate) fn require_unchanged(product: &Product, before: &Sha256Digest) -> anyhow::Result<()> {
    let after = check::check(product, Depth::Full)?;
    let Some(after) = after.filter(|after| after.digest == *before) else {
        return Err(Failure::general(
            "the lists of the product were changed while it was verified; verify it again",
        ));
    };
    after
        .require_as_listed(product, Installs::Refused)
        .context("the product was changed while it was verified")
}

/// The record of a verification that is about to begin.
pub(crate) fn begin(
    request: &VerifyRequest,
    engine: EngineVersion,
    image: Option<Image>,
    context: &Context,
) -> VerificationRecord {
    let environment = request.verify_environment.as_ref();
    VerificationRecord {
        started: evidence::rfc3339(context.host.unix_seconds),
        project: request.project_name.as_ref().map(ToString::to_string),
        verify_environment: environment.map(|name| name.as_str().to_owned()),
        engine: Some(engine),
        image,
        ..VerificationRecord::default()
    }
}

/// Takes over into the record what the script in the container said.
pub(crate) fn learn(
    record: &mut VerificationRecord,
    outcome: &Outcome,
    request: &VerifyRequest,
    logs: &OfflineLogs,
) -> anyhow::Result<()> {
    let text = |text: &OsStr| text.to_string_lossy().into_owned();
    let name = request
        .project_name
        .as_ref()
        .map(|name| text(name.as_os_str()));
    let mut bootstrap = vec!["./bootstrap-project.sh".to_owned()];
    if let Some(name) = name {
        bootstrap.extend(["--project-name".to_owned(), name]);
    }
    let environment = request
        .verify_environment
        .as_ref()
        .map(|name| name.as_str());
    let mut verify = vec!["pixi".to_owned()];
    verify.extend(
        request
            .verification
            .pixi_args(environment)
            .into_iter()
            .map(str::to_owned),
    );
    for (phase, command, log) in [
        ("bootstrap", bootstrap, logs.bootstrap()),
        ("verify", verify, logs.verify()),
    ] {
        if phase == "verify" && !request.verification.is_requested() {
            continue;
        }
        let log = log_record(&log)?;
        let exit_code = outcome.phase(phase);
        if exit_code.is_none() && log.is_none() {
            continue;
        }
        record.ran.push(PhaseRecord {
            phase: phase.to_owned(),
            command,
            exit_code,
            log,
            network_attempts: outcome.attempts(phase),
        });
    }
    record.network = NetworkRecord::none(match outcome.attempts("bootstrap") {
        None => CountLocation::Not,
        Some(_) if outcome.counted_outside => CountLocation::Outside,
        Some(_) => CountLocation::Inside,
    });
    record.pixi = outcome
        .pixi
        .as_deref()
        .and_then(|text| text.split_whitespace().last())
        .map(str::to_owned);
    record.expected = ExpectedResult {
        output: request
            .expectations
            .output()
            .iter()
            .map(|expected| text(expected))
            .collect(),
        files: request.expectations.files().to_vec(),
    };
    Ok(())
}

/// A log as the record names it; `None` when its phase was never begun.
fn log_record(log: &Path) -> anyhow::Result<Option<LogRecord>> {
    let digest =
        UntrustedDir::of_file(log).and_then(|(dir, name)| Ok((name, dir.digest(name, u64::MAX)?)));
    match digest {
        Ok((name, sha256)) => Ok(Some(LogRecord {
            name: name.to_string_lossy().into_owned(),
            sha256,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", log.display())),
    }
}

/// Closes a record with how the verification ended.
pub(crate) fn conclude(
    record: &mut VerificationRecord,
    end: &anyhow::Result<()>,
    context: &Context,
) {
    record.finished = evidence::rfc3339(context.now());
    match end {
        Ok(()) => record.outcome = Verdict::Passed,
        Err(error) => {
            record.outcome = Verdict::Failed;
            record.failure = Some(FailureRecord {
                exit_code: failure::exit_code(error),
                message: format!("{error:#}"),
            });
        }
    }
}

/// A record as it is written, and its signature.
pub(crate) struct Written {
    content: Vec<u8>,
    signature: Option<String>,
}

impl Written {
    /// # Errors
    ///
    /// When it cannot be signed.
    pub(crate) fn of(
        record: &VerificationRecord,
        product: Option<(&ManifestFacts, &Sha256Digest)>,
        key: Option<&SigningKey>,
        context: &Context,
    ) -> anyhow::Result<Written> {
        let content = record.to_json()?;
        let file = Product::new("").verification();
        let comment = TrustedComment::of(&file, context.now(), product);
        let signature = key.map(|key| key.sign(&content, &comment)).transpose()?;
        Ok(Written { content, signature })
    }

    /// Writes record and signature; never a record with the signature of another.
    pub(crate) fn put(&self, file: &Path) -> anyhow::Result<()> {
        remove_signature(file)?;
        replace_file(file, &self.content)?;
        match &self.signature {
            Some(text) => replace_file(&Product::signature_of(file), text.as_bytes()),
            None => Ok(()),
        }
    }
}

/// Puts a record into the product that it names; one that names none, or a product that was
/// changed meanwhile, is of a verification that failed. `key` is the one that the product must
/// be signed with.
pub(crate) fn attach(
    written: &Written,
    record: &VerificationRecord,
    product: &Product,
    key: Option<&VerifyingKey>,
    context: &Context,
) -> anyhow::Result<()> {
    if record.product_digest.is_none() || record.product_unchanged != Some(true) {
        return Ok(());
    }
    written.put(&product.verification())?;
    html_report::rewrite_page(product, key, context)?;
    let is_signed = fs::symlink_metadata(Product::signature_of(&product.sums())).is_ok();
    if written.signature.is_none() && (is_signed || key.is_some()) {
        context.report.note("verification.json is not signed: whoever can write to the product can write one that says that it passed; --sign-key signs it");
    }
    Ok(())
}

/// Removes what an earlier verification left in the out directory: it says nothing
/// of this one.
pub(crate) fn remove_earlier(logs: &OfflineLogs) -> anyhow::Result<()> {
    remove_signature(&logs.verification())?;
    for file in [logs.verification(), logs.bootstrap(), logs.verify()] {
        remove(&file)?;
    }
    Ok(())
}

fn remove_signature(file: &Path) -> anyhow::Result<()> {
    remove(&Product::signature_of(file))
}

fn remove(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", file.display()))
        }
        _ => Ok(()),
    }
}
