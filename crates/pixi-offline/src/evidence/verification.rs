//! `verification.json`: what a final verification found, for programs.

use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::container::{EngineVersion, Image};
use crate::evidence::file_header::WholeFile;
use crate::evidence::manifest::Tool;
use crate::evidence::{Sha256Digest, evidence_file, file_header};
use crate::layout::Product;

/// The format that this version reads and writes.
const FORMAT: u32 = 1;

/// What marks the file as made by these commands.
const KIND: &str = "pixi-offline product verification";

/// What `verification.json` says; by default of a verification that has not ended yet, and so has
/// failed until something else is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationRecord {
    /// What verified.
    pub tool: Tool,
    /// Whether everything that was asked for went well.
    pub outcome: Verdict,
    /// The digest of the product that was verified, `sha256:…`: that of its
    /// `SHA256SUMS`. `None` when the product has none, was not as it lists
    /// itself, or was installed into: then it names no product that could be
    /// told from another.
    pub product_digest: Option<String>,
    /// Whether the product was after the run what it was before it, each file's
    /// bytes included; `None` when it did not come to that, or there is no digest.
    pub product_unchanged: Option<bool>,
    /// Why it failed.
    pub failure: Option<FailureRecord>,
    /// When it was started, in the form of RFC 3339.
    pub started: Option<String>,
    /// When it ended, in the form of RFC 3339.
    pub finished: Option<String>,
    /// The project's directory, when one was named.
    pub project: Option<String>,
    /// The environments that the product installs, when it says so.
    pub environments: Vec<String>,
    /// The environment that was verified in, when one was named.
    pub verify_environment: Option<String>,
    /// What ran in the container, in order.
    pub ran: Vec<PhaseRecord>,
    /// What was expected beyond exit codes of 0.
    pub expected: ExpectedResult,
    /// The network of the container.
    pub network: NetworkRecord,
    /// The image.
    pub image: Option<Image>,
    /// The engine.
    pub engine: Option<EngineVersion>,
    /// What `pixi --version` printed in the container.
    pub pixi: Option<String>,
}

/// How a verification ended.
#[derive(Default, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything that was asked for went well.
    Passed,
    /// Something did not.
    #[default]
    Failed,
}

/// Why a verification failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// The exit code of the command.
    pub exit_code: u8,
    /// Its message.
    pub message: String,
}

/// Something that ran in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseRecord {
    /// Its name: `bootstrap` or `verify`.
    pub phase: String,
    /// Its args.
    pub command: Vec<String>,
    /// Its exit code; `None` when it did not get to its end.
    pub exit_code: Option<u8>,
    /// What it printed.
    pub log: Option<LogRecord>,
    /// How often something in it tried to reach the network; `None` when that
    /// was not counted.
    pub network_attempts: Option<u64>,
}

/// A log beside `verification.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Its file name.
    pub name: String,
    /// The sha256 of its content.
    pub sha256: Sha256Digest,
}

/// What was expected beyond exit codes of 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedResult {
    /// Texts that the verification had to print.
    pub output: Vec<String>,
    /// Files that had to be there afterwards.
    pub files: Vec<String>,
}

/// The network of the container, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// What the engine was asked for: `none`.
    pub mode: String,
    /// Whether attempts to reach a network were counted.
    pub attempts_counted: bool,
    /// How they are known.
    pub known_by: String,
}

/// Where attempts to reach a network were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountLocation {
    /// Nowhere.
    Not,
    /// In the container itself.
    Inside,
    /// In a second container that has the same network namespace.
    Outside,
}

impl Default for NetworkRecord {
    fn default() -> NetworkRecord {
        NetworkRecord::none(CountLocation::Not)
    }
}

impl NetworkRecord {
    /// A container without a network.
    pub fn none(counted: CountLocation) -> NetworkRecord {
        let known_by = match counted {
            CountLocation::Outside => {
                "the container had no network interface but loopback (--network none); the kernel's counters of packets without a way out and of datagrams to closed ports (/proc/net/snmp, /proc/net/snmp6) were read from outside, by a second container in the same network namespace in which nothing of the product runs: before the first phase, between phases, and after the container had ended"
            }
            CountLocation::Inside => {
                "the container had no network interface but loopback (--network none); the kernel's counters of packets without a way out and of datagrams to closed ports (/proc/net/snmp, /proc/net/snmp6) were read before and after each phase, in the container itself: no second container could be started in its network namespace"
            }
            CountLocation::Not => {
                "the container was started without a network (--network none); it showed no /proc/net/snmp, so attempts were not counted"
            }
        };
        NetworkRecord {
            mode: "none".to_owned(),
            attempts_counted: counted != CountLocation::Not,
            known_by: known_by.to_owned(),
        }
    }
}

impl VerificationRecord {
    /// What the file holds, its header too.
    pub(crate) fn whole_file(&self) -> WholeFile<'_, VerificationRecord> {
        WholeFile::new(KIND, FORMAT, self)
    }

    /// The file's bytes.
    ///
    /// # Errors
    ///
    /// When the values cannot be written as JSON.
    pub fn to_json(&self) -> anyhow::Result<Vec<u8>> {
        file_header::to_json(KIND, FORMAT, self)
    }

    /// Reads the record of a product; `None` when it has none.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no such record, or one of another format.
    pub fn read(file: &Path) -> anyhow::Result<Option<VerificationRecord>> {
        let Some(text) = evidence_file::read(file, evidence_file::LONGEST_RECORD)? else {
            return Ok(None);
        };
        VerificationRecord::parse(&text).map(Some).with_context(|| {
            format!(
                "{} cannot be read as the record of a verification",
                file.display()
            )
        })
    }

    /// Reads the bytes of a record.
    ///
    /// # Errors
    ///
    /// When they are no such record, or one of another format.
    pub fn parse(text: &[u8]) -> anyhow::Result<VerificationRecord> {
        file_header::parse(text, KIND, FORMAT)
    }
}

/// What the `verification.json` of a product is worth. That it passed is said by
/// whoever wrote the file: only its signature says who that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// The product has none.
    Never,
    /// It is of another product, or of none: this one is not verified.
    OfAnother {
        /// The digest that it names.
        digest: Option<String>,
    },
    /// This product failed.
    Failed(Box<VerificationRecord>),
    /// This product passed.
    Passed(Box<VerificationRecord>),
}

impl Verified {
    /// Reads what was attached to the product with this digest.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read(product: &Product, digest: &Sha256Digest) -> anyhow::Result<Verified> {
        let record = VerificationRecord::read(&product.verification())?;
        Ok(record.map_or(Verified::Never, |record| Verified::of(record, digest)))
    }

    /// What a record is worth for the product with this digest.
    pub fn of(record: VerificationRecord, digest: &Sha256Digest) -> Verified {
        if record.product_digest.as_deref() != Some(&format!("sha256:{digest}")) {
            return Verified::OfAnother {
                digest: record.product_digest,
            };
        }
        let record = Box::new(record);
        match record.outcome {
            Verdict::Passed => Verified::Passed(record),
            Verdict::Failed => Verified::Failed(record),
        }
    }
}
