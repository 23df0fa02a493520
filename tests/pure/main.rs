//! Tests of the core alone: no command is started, and no engine is needed.

#![allow(missing_docs, reason = "tests, not the core that the rules are for")]

mod architecture;
mod fuzz;
mod growth;
mod pages;
mod secrets;
mod skips;
mod staging_oracle;

/// Counts for `growth`, and only while its profiler is there.
#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;
