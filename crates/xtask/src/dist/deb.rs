//! A package for Debian and its relatives.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use duct::cmd;

use super::Member;

/// Writes the package into a directory and returns its file. The same members give the same
/// bytes.
///
/// # Errors
/// When dpkg-deb is missing or fails.
pub fn write(members: &[Member], dir: &Path, time: u64) -> anyhow::Result<PathBuf> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("Debian's name for the architecture {other} is not known here"),
    };
    let root = tempfile::tempdir()?;
    let tree = root.path().join("tree");
    super::write_below(&tree.join("usr"), members)?;
    let bytes: usize = members.iter().map(|member| member.content.len()).sum();
    let control = format!(
        "Package: pixi-offline\n\
         Version: {}\n\
         Architecture: {architecture}\n\
         Maintainer: the authors of pixi-offline <pixi-offline@example.com>\n\
         Installed-Size: {}\n\
         Recommends: docker.io | docker-ce-cli | podman\n\
         Suggests: git, minisign\n\
         Section: utils\n\
         Priority: optional\n\
         Description: Package Pixi projects for air-gapped machines\n \
         Stages a Pixi project, installs it in a container, makes a directory with every\n \
         package that it needs, and proves without a network that it installs.\n",
        env!("CARGO_PKG_VERSION"),
        bytes.div_ceil(1024),
    );
    fs::create_dir_all(tree.join("DEBIAN"))?;
    fs::write(tree.join("DEBIAN/control"), control)?;
    let file = dir.join(format!(
        "pixi-offline_{}_{architecture}.deb",
        env!("CARGO_PKG_VERSION")
    ));
    let args = ["--root-owner-group", "-Zxz", "--build"].map(PathBuf::from);
    cmd("dpkg-deb", args.into_iter().chain([tree, file.clone()]))
        .env("SOURCE_DATE_EPOCH", time.to_string())
        .stdout_to_stderr()
        .run()
        .context("dpkg-deb failed; it is in Debian's package dpkg")?;
    Ok(file)
}
