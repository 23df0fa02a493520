//! Evidence: digests, and the record that a workdir carries.
//!
//! In: files and facts. Out: what later commands and people can check. This
//! directory decides nothing.

pub mod built;
pub mod check;
mod content;
mod digest;
mod entries;
pub mod evidence_file;
mod file_header;
pub mod listing;
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
pub mod verification;

pub use content::ContentDigest;
pub use digest::{Sha256Digest, hexadecimal};
pub use project_metadata::ProjectMetadata;
pub use record::{
    BuildState, GeneratedEntry, GeneratedFiles, GitVersion, InstalledPlatform, LockRecord,
    SourceState, WorkdirRecord, is_never_staged, is_workdir,
};
pub use timestamp::rfc3339;
