//! Copying directory trees as `rsync -a SRC/ DST/` would, without rsync.
//!
//! What comes in: a source directory, a target that is not there yet (or an empty
//! directory), and the [`Rules`] that say what is left out, in rsync's own pattern
//! language. What goes out: the copy, and what was really done ([`CopyStats`]).
//!
//! What this directory must not know: anything of pixi, of workdirs and products,
//! or of container engines. Which patterns are built in, and which directories are
//! never staged, is for the caller to say.
//!
//! The pattern language and the semantics of the copy were written from rsync's
//! observable behaviour, and `tests/pure/staging_oracle` compares both with the real
//! program over random trees.

mod copy;
mod dir;
mod file;
mod listing;
mod pattern;
mod queue;
mod rules;
mod scan;
mod selection;
mod survey;

pub use copy::{CopyOptions, CopyOutcome, CopyStats, ExcludedStats, LinkMode, copy_tree};
pub use file::copy_file;
pub use listing::{ListedEntry, ListedKind, Listing};
pub use pattern::Pattern;
pub use rules::{PatternError, RuleVerdict, Rules};
pub use scan::{Digests, HashPolicy, TreeScan, scan_tree};
pub use selection::{LinkAction, RulesAndSkip, Selection};
pub use survey::lfs::BEGINS as LFS_POINTER_BEGINS;
pub use survey::{Examples, Explanation, Size, Survey, SurveyedFile, explain, survey};
