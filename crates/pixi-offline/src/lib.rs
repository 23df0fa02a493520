//! What the commands of pixi-offline share: bringing [Pixi](https://pixi.sh)
//! projects into places without a network.
//!
//! A request flows one way, and every arrow is a directory of this crate:
//!
//! ```text
//! command line → request → layout → staging → container → product → evidence → report
//! ```
//!
//! [`commands`] composes them, one file for each thing that a person runs. Start
//! reading there. `docs/architecture.md` in the repository is the map.

pub mod byte_size;
pub mod commands;
pub mod comparison;
pub mod container;
pub mod context;
pub mod entry;
pub mod escape;
pub mod evidence;
pub mod failure;
pub mod host_env;
pub mod layout;
pub mod packages;
pub mod parallel;
pub mod product;
pub mod project;
pub mod regular_file;
pub mod replacement;
pub mod report;
pub mod request;
pub mod secret_search;
pub mod staging;
pub mod tools;
pub mod transfer;
pub mod untrusted_dir;
mod workspace;
