//! A small Debian, made with debootstrap and kept as an image and as a tar file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use duct::cmd;

use super::RECIPE_LABEL;
use crate::cache::{Turn, cache_dir, scratch_dir};
use crate::debian::{ensure_debian_package, install, mirror, system_path};
use crate::docker::{LABEL, docker, image_label};
use crate::engine::ensure_engine;
use crate::fingerprint::Fingerprint;
use crate::platform::Platform;
use crate::process::{announced, captured, logged};

/// The plain Debian that every other image is made from.
pub const BASE_IMAGE: &str = "pixi-offline-test/debian:bookworm";

const SUITE: &str = "bookworm";

/// What it has beyond Debian's minimal base (which has bash and coreutils).
const INCLUDED: &str = "ca-certificates";

/// What a container does not need: half of the size.
const LEFT_OUT: [&str; 11] = [
    "./dev/*",
    "./etc/hostname",
    "./etc/resolv.conf",
    "./usr/share/doc/*",
    "./usr/share/info/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
    "./var/cache/*/*",
    "./var/lib/apt/lists/*",
    "./var/lib/dpkg/*-old",
    "./var/log/*",
];

const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Sees to it that [`BASE_IMAGE`] is there. It is bootstrapped once per machine; an engine that
/// does not have it (any more) gets it from the tar file in the cache directory.
///
/// # Errors
/// When there is no engine, or debootstrap is missing, may not run or fails.
pub fn ensure_base_image() -> Result<&'static str> {
    ensure_engine()?;
    let recipe = recipe().to_string();
    let is_there = || image_label(BASE_IMAGE, RECIPE_LABEL).as_ref() == Some(&recipe);
    if is_there() {
        return Ok(BASE_IMAGE);
    }
    let _turn = Turn::at("base-image")?;
    if !is_there() {
        let archive = ensure_archive()?;
        announced(format_args!("importing {BASE_IMAGE}"), || {
            import(&archive, &recipe)
        })?;
    }
    Ok(BASE_IMAGE)
}

/// All that decides what is in the image, but for Debian's own updates.
pub(super) fn recipe() -> Fingerprint {
    let mut parts = vec![SUITE, INCLUDED, SEARCH_PATH, std::env::consts::ARCH];
    parts.extend(LEFT_OUT);
    Fingerprint::of(parts)
}

fn ensure_archive() -> Result<PathBuf> {
    let archive = cache_dir()?.join(format!("debian-{SUITE}-{}.tar", recipe().short()));
    if !archive.is_file() {
        announced(
            "making a Debian base image with debootstrap (a minute or two)",
            || bootstrap(&archive),
        )?;
    }
    Ok(archive)
}

fn bootstrap(archive: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the base image is made with debootstrap, which needs root: run this once as root, or set PIXI_IMAGE"
        );
    }
    let debootstrap = ensure_debian_package("debootstrap", "debootstrap")?;
    if !Path::new(KEYRING).exists() {
        install(&["debian-archive-keyring"])?;
    }
    let scratch = scratch_dir("debootstrap")?;
    let root = scratch.path().join("root");
    let log = cache_dir()?.join("debootstrap.log");
    let architecture = format!("--arch={}", Platform::host()?.debian);
    let include = format!("--include={INCLUDED}");
    let mut arguments = vec![
        "--mount".into(),
        debootstrap.into_os_string(),
        architecture.into(),
    ];
    arguments.extend([
        "--variant=minbase".into(),
        include.into(),
        SUITE.into(),
        root.clone().into_os_string(),
    ]);
    arguments.extend(mirror().map(Into::into));
    // In a mount namespace of its own: whatever debootstrap mounts is gone when it ends, also
    // when it fails, and the scratch directory can be removed without reaching into /proc.
    let bootstrap = cmd("unshare", arguments)
        .env("PATH", system_path())
        .env("DEBIAN_FRONTEND", "noninteractive");
    logged("debootstrap", &log, bootstrap)?;
    pack(&root, scratch.path(), archive)
}

fn pack(root: &Path, scratch: &Path, archive: &Path) -> Result<()> {
    // Beside the tree first, so that a half-written archive never has the final name.
    let unfinished = scratch.join("root.tar");
    let mut arguments = vec![
        "--create".to_owned(),
        "--numeric-owner".to_owned(),
        "--sort=name".to_owned(),
    ];
    arguments.extend(
        LEFT_OUT
            .iter()
            .map(|pattern| format!("--exclude={pattern}")),
    );
    let tar = cmd(
        "tar",
        arguments.into_iter().map(Into::into).chain([
            "--file".into(),
            unfinished.clone().into_os_string(),
            "--directory".into(),
            root.as_os_str().to_owned(),
            ".".into(),
        ]),
    );
    captured("packing the base image with tar", tar)?;
    fs::rename(&unfinished, archive).with_context(|| format!("cannot make {}", archive.display()))
}

fn import(archive: &Path, recipe: &str) -> Result<()> {
    let import = docker([
        "import".into(),
        "--change".into(),
        format!("ENV PATH={SEARCH_PATH}").into(),
        "--change".into(),
        "CMD [\"bash\"]".into(),
        "--change".into(),
        format!("LABEL {LABEL}=base {RECIPE_LABEL}={recipe}").into(),
        archive.as_os_str().to_owned(),
        BASE_IMAGE.into(),
    ]);
    captured("docker import", import).map(drop)
}
