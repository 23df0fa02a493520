//! Evidence: digests, and the record that a workdir carries.
//!
//! In: files and facts. Out: what later commands and people can check. This
//! directory decides nothing.

pub mod built;
pub mod check;
mod content;
mod entries;
pub mod evidence_file;
pub(crate) mod file_header;
pub mod listing;
pub mod lists;
pub mod manifest;
mod project_metadata;
pub mod provenance;
pub mod readme;
mod record;
pub mod report_page;
pub mod sbom;
pub mod signature;
pub mod sums;
mod timestamp;
pub mod trusted_comment;
pub mod update_mark;
pub mod verification;

pub use crate::digest::{Sha256Digest, hexadecimal};
pub use content::ContentDigest;
pub use project_metadata::ProjectMetadata;
pub(crate) use record::holds_workdirs;
pub use record::{
    BuildState, GeneratedEntry, GeneratedFiles, GitVersion, InstalledPlatform, LockRecord,
    SourceState, WorkdirRecord, did_you_mean, is_never_staged, is_workdir,
};
pub use timestamp::{rfc3339, unix_seconds};
