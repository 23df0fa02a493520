//! The real parts that the tests and `cargo xtask demo` run on, set up where they are missing.
//!
//! In the order in which they need each other: a [container engine](ensure_engine), a [Debian
//! base image](images::ensure_base_image), a [pixi] and an [image with
//! it](images::ensure_pixi_image), a [conda channel](ensure_channel), [projects](project) on
//! it, and an [index of Python packages](python). Each `ensure_` function may be called on its
//! own, any number of times and by any number of processes at once; what is there already
//! costs a fraction of a second. What takes long is kept in the [cache directory](cache_dir),
//! outside the checkout.
//!
//! These parts know nothing of the commands under test.

mod cache;
mod channel;
mod debian;
mod descendants;
mod docker;
mod engine;
mod fingerprint;
mod hadolint;
mod httpd;
pub mod images;
pub mod limit;
mod old_conda;
mod pip;
pub mod pixi;
mod platform;
mod podman;
mod process;
pub mod project;
pub mod published;
pub mod python;
mod reliability;
pub mod sandbox;
mod second_engine;
mod skips;

pub use cache::cache_dir;
pub use channel::{
    Channel, MANY_FILES, PYTHON_VERSION_SPEC, copy_hello_example, ensure_channel,
    write_hello_channel,
};
pub use debian::ensure_debian_package;
pub use engine::ensure_engine;
pub use hadolint::ensure_hadolint;
pub use old_conda::as_tar_bz2;
pub use podman::{Podman, ensure_podman};
pub use reliability::{cases, ran};
pub use second_engine::SecondEngine;
pub use skips::skip;

use std::thread;

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

/// Sets up whatever is missing; the image and the channel side by side, since much of both is
/// waiting for a network.
///
/// # Errors
/// When a part is missing and cannot be made here: which one, and what to do.
pub fn ensure_all() -> Result<Parts> {
    ensure_engine()?;
    thread::scope(|scope| {
        let channel = scope.spawn(ensure_channel);
        let image = images::ensure_pixi_image();
        let channel = channel.join().expect("setting up does not panic");
        Ok(Parts {
            image: image?,
            channel: channel?,
        })
    })
}

/// As [`ensure_all`], with the pixi from the crates registry, and with what single tests need
/// beside the parts. What of the latter cannot be had is left to the tests: they say so.
///
/// # Errors
/// As [`ensure_all`].
pub fn ensure_all_for_tests() -> Result<Parts> {
    ensure_engine()?;
    thread::scope(|scope| {
        let registry = scope.spawn(|| pixi::registry_pixi().map(drop));
        scope.spawn(|| {
            for (program, package) in PROGRAMS {
                let _ = ensure_debian_package(program, package);
            }
            let _ = ensure_podman();
        });
        scope.spawn(|| {
            let _ = python::ensure_uv();
            let _ = ensure_hadolint();
            let _ = python::ensure_cyclonedx();
            let _ = python::ensure_python_index();
        });
        let parts = ensure_all();
        registry.join().expect("setting up does not panic")?;
        parts
    })
}

/// The programs that single tests use, and Debian's packages that have them.
const PROGRAMS: [(&str, &str); 15] = [
    ("rsync", "rsync"),
    ("strace", "strace"),
    ("zsh", "zsh"),
    ("fish", "fish"),
    ("dash", "dash"),
    ("git", "git"),
    ("make", "make"),
    ("minisign", "minisign"),
    ("busybox", "busybox"),
    ("shellcheck", "shellcheck"),
    ("ssh-keygen", "openssh-client"),
    ("pip3", "python3-pip"),
    ("python3", "python3"),
    ("openssl", "openssl"),
    ("zstd", "zstd"),
];
