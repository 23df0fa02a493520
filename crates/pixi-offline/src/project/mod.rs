//! A project: its manifest and lock, the environments and platforms that they name, and how
//! it is staged.

pub(crate) mod build_backend;
pub(crate) mod configuration;
pub(crate) mod cuda;
pub(crate) mod dirs;
pub(crate) mod environments;
pub(crate) mod fetching_tasks;
pub(crate) mod generated;
mod git;
mod git_description;
pub(crate) mod git_version;
pub(crate) mod inspection;
pub(crate) mod lock_fit;
pub(crate) mod lock_use;
pub(crate) mod manifest_environments;
mod manifest_text;
mod named_paths;
mod needed_paths;
pub(crate) mod project_manifest;
pub(crate) mod project_rules;
pub mod secrets;
mod settings;
pub(crate) mod source_state;
pub(crate) mod source_tree;
pub(crate) mod stage;
pub(crate) mod target_builds;
pub(crate) mod workspace_platforms;

pub use dirs::require_dir;
pub use generated::Generated;
pub use project_rules::ProjectRules;
pub use settings::Settings;
