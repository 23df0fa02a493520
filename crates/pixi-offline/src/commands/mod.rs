//! What a person runs, one file for each, and the parts of it.
//!
//! A command takes a request that is valid, makes a plan without touching anything, and
//! executes it; the numbered comments read as the procedure.

pub mod agent;
mod build;
mod build_logs;
pub mod build_offline_product;
mod build_warnings;
mod built_channel;
mod bundled_pixi;
pub mod create_workdir_from_container;
pub mod create_workdir_from_host;
mod elf;
mod environment_selection;
pub mod final_verify_product;
mod helper_program;
mod here;
mod html_report;
mod installed;
pub mod listed_product;
pub mod make_product;
mod new_workdir;
mod previous;
mod product_cache;
mod product_evidence;
pub mod signed_product;
mod special_entries;
mod verification_record;

pub use here::{exclude_from_here, take_from_here, variables_from_here};
pub use html_report::lock_of;
pub use new_workdir::BuiltWorkdir;
