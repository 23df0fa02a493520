//! The core of the pixi-offline commands, which package [Pixi](https://pixi.sh) projects
//! for machines without a network.
//!
//! Start reading in [`commands`], which has one module for each command.
//! `docs/architecture.md` in the repository describes all modules and their order.

pub mod byte_size;
pub mod cancellation;
pub mod commands;
pub mod comparison;
pub mod container;
pub mod context;
pub mod counted;
pub mod digest;
pub mod entry;
pub mod escape;
pub mod evidence;
pub mod failure;
pub mod host_env;
pub mod layout;
mod network_access;
pub mod packages;
pub mod parallel;
pub mod product;
pub mod project;
pub mod quote;
pub mod regular_file;
pub mod replacement;
pub mod report;
pub mod request;
pub mod secret_search;
pub mod staging;
mod text_values;
mod toml;
pub mod tools;
pub mod transfer;
pub mod untrusted_dir;
pub mod url;
mod workspace;
