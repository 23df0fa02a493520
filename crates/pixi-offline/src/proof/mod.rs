//! Evidence: digests, and the record that a workdir carries.
//!
//! In: files and facts. Out: what later commands and people can check. This
//! folder decides nothing.

mod digest;
pub mod manifest;
mod record;
mod sbom;

pub use digest::{Sha256Digest, hexadecimal};
pub use record::{BuildState, LockRecord, SourceState, WorkdirRecord, is_workdir};
pub use sbom::{SbomSubject, sbom};
