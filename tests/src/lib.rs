//! The real parts that the tests and `cargo xtask demo` run on, set up where they are missing.
//!
//! In the order in which they need each other: a [container engine](ensure_engine), a [Debian
//! base image](images::ensure_base_image), a [pixi] and an [image with
//! it](images::ensure_pixi_image), a [conda channel](ensure_channel), [projects](project) on
//! it, and an [index of Python packages](python). Each `ensure_` function may be called on its
//! own, any number of times and by any number of processes at once; what is there already
//! costs a fraction of a second. What takes long is kept in the [cache folder](cache_folder),
//! outside the checkout.
//!
//! These parts know nothing of the commands under test.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "test support, not the core that the rules are for"
)]

mod cache;
mod channel;
mod debian;
mod docker;
mod engine;
mod fingerprint;
mod hadolint;
mod httpd;
pub mod images;
pub mod pixi;
mod platform;
mod podman;
mod process;
pub mod project;
pub mod python;
mod reliability;
pub mod sandbox;
mod second_engine;
mod skips;

pub use cache::cache_folder;
pub use channel::{Channel, MANY_FILES, PYTHON_VERSION_SPEC, ensure_channel};
pub use debian::ensure_debian_package;
pub use engine::ensure_engine;
pub use hadolint::ensure_hadolint;
pub use podman::{Podman, ensure_podman};
pub use reliability::{cases, ran};
pub use second_engine::SecondEngine;
pub use skips::skip;

use anyhow::Result;
use images::PixiImage;

/// What the demo and most tests need.
#[derive(Debug, Clone)]
pub struct Parts {
    /// An image with a pixi.
    pub image: PixiImage,
    /// A channel that is being served.
    pub channel: Channel,
}

/// Sets up whatever is missing.
///
/// # Errors
/// When a part is missing and cannot be made here: which one, and what to do.
pub fn ensure_all() -> Result<Parts> {
    ensure_engine()?;
    let image = images::ensure_pixi_image()?;
    let channel = ensure_channel()?;
    Ok(Parts { image, channel })
}
