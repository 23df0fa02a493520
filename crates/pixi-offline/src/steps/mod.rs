//! One file for each thing that a person runs.
//!
//! A step takes a request that is valid, looks before it touches anything, and
//! then acts; the numbered comments in it read as the procedure.

mod approval;
mod build;
pub mod build_offline_product;
mod carried;
mod carried_cache;
mod container_out;
pub mod create_workdir_from_container;
pub mod create_workdir_from_host;
mod environments;
mod evidence;
pub mod final_verify_product;
mod generated;
mod git_version;
pub mod inside;
mod installed;
pub mod make_product;
pub mod make_production_image;
mod manifest_environments;
mod new_workdir;
mod pixi_check;
mod pixi_words;
mod plan;
mod project_manifest;
mod secrets;
mod signed_product;
mod source_state;
mod stage;
mod verdict;
mod verified;
mod workspace_platforms;

pub use generated::Generated;
pub use new_workdir::Made;
pub use stage::ProjectRules;
