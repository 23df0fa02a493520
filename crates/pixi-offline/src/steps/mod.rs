//! One file for each thing that a person runs.
//!
//! A step takes a request that is valid, looks before it touches anything, and
//! then acts; the numbered comments in it read as the procedure.

pub mod agent;
mod build;
mod build_logs;
pub mod build_offline_product;
mod container_out;
pub mod create_workdir_from_container;
pub mod create_workdir_from_host;
mod cuda;
mod environment_selection;
mod environments;
pub mod final_verify_product;
mod generated;
mod git_version;
mod html_report;
mod installed;
mod lock_fit;
mod lock_use;
pub mod make_product;
mod manifest_environments;
mod new_workdir;
mod pixi_check;
mod pixi_words;
mod product_cache;
mod product_evidence;
mod project_manifest;
mod script_result;
pub mod secrets;
pub mod signed_product;
mod source_state;
mod special_entries;
mod stage;
mod verification_record;
mod workspace;
mod workspace_platforms;

pub use generated::Generated;
pub use html_report::lock_of;
pub use new_workdir::BuiltWorkdir;
pub use stage::{ProjectRules, require_folder};
