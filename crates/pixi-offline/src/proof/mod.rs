//! Evidence: digests, and the record that a workdir carries.
//!
//! In: files and facts. Out: what later commands and people can check. This
//! folder decides nothing.

mod digest;
mod record;
mod sbom;

pub use digest::{Sha256Digest, hexadecimal};
pub use record::{BuildState, LockRecord, WorkdirRecord, is_workdir};
pub use sbom::{SbomSubject, sbom};
