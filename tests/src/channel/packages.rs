//! What is in the channel.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

use super::package::{PLACEHOLDER, Package};
use crate::cache::cache_dir;
use crate::docker::{docker, writable};
use crate::images::ensure_base_image;
use crate::process::logged;

/// How many files the package `many-files` has.
pub const MANY_FILES: usize = 3_000;

/// What a project asks for to get the channel's python.
pub const PYTHON_VERSION_SPEC: &str = "3.11.*";

/// Lays Debian's python out as a conda package.
pub(super) const PYTHON_SCRIPT: &str = include_str!("python.sh");

const TOOL: &str = r#"#!/bin/sh
# Says where it is installed, as replaced in a script and in a binary file, and what its
# activation script set.
set -eu
prefix=PLACEHOLDER
printf 'script: %s\n' "$prefix"
printf 'binary: %s\n' "$(tr -d '\0' <"$prefix/share/prefix-tool/prefix.bin")"
printf 'activated: %s\n' "${PREFIX_TOOL_HOME-no}"
"#;

const ACTIVATE: &str = r#"export PREFIX_TOOL_HOME="$CONDA_PREFIX/share/prefix-tool"
"#;

const DEACTIVATE: &str = "unset PREFIX_TOOL_HOME\n";

/// Makes each package's files in a directory below `scratch` and hands it on to be packed; puts
/// the server's program at `busybox`.
pub(super) fn make_all(
    scratch: &Path,
    busybox: &Path,
    mut pack: impl FnMut(&Package, &Path) -> Result<()>,
) -> Result<()> {
    let debian = scratch.join("debian");
    fs::create_dir(&debian)?;
    take_from_debian(&debian)?;
    fs::rename(debian.join("busybox"), busybox)?;
    let version = fs::read_to_string(debian.join("python-version"))?
        .trim()
        .to_owned();
    let native = |name, version: &str, depends| Package {
        name,
        version: version.to_owned(),
        build: "h0_0",
        noarch: false,
        depends,
    };
    let generic = |name, version: &str| Package {
        noarch: true,
        build: "0",
        ..native(name, version, &[])
    };

    // A virtual package, as real ones ask for; pixi assumes 2.17 where a project says nothing.
    let glibc = &["__glibc >=2.17,<3.0.a0"];
    pack(&native("python", &version, glibc), &debian.join("python"))?;

    let tool = scratch.join("prefix-tool");
    write_tool(&tool)?;
    pack(&native("prefix-tool", "1.0", &[]), &tool)?;

    let many = scratch.join("many-files");
    write_many_files(&many)?;
    pack(&generic("many-files", "1.0"), &many)?;

    for version in ["1.0", "2.0"] {
        let flavour = scratch.join(format!("flavour-{version}"));
        write_program(
            &flavour.join("bin/flavour"),
            &format!("#!/bin/sh\necho flavour {version}\n"),
        )?;
        pack(&generic("flavour", version), &flavour)?;
    }
    Ok(())
}

/// In a container, so that the packages fit the base image whatever Debian the host is; with
/// the host's network, since the engine's own need not reach a mirror.
fn take_from_debian(out: &Path) -> Result<()> {
    let owner = fs::metadata(out)?;
    let owner = format!("OWNER={}:{}", owner.uid(), owner.gid());
    let mount = writable(out, "/out")?;
    let base = ensure_base_image()?;
    let mut arguments = vec![
        "run",
        "--rm",
        "--network",
        "host",
        "--security-opt",
        "label=disable",
    ];
    arguments.extend([
        "--env",
        "http_proxy",
        "--env",
        "https_proxy",
        "--env",
        "no_proxy",
    ]);
    arguments.extend([
        "--env",
        &owner,
        "--mount",
        &mount,
        base,
        "sh",
        "-c",
        PYTHON_SCRIPT,
    ]);
    let log = cache_dir()?.join("channel-python.log");
    logged(
        "taking python out of Debian's packages",
        &log,
        docker(arguments),
    )
}

fn write_tool(prefix: &Path) -> Result<()> {
    write_program(
        &prefix.join("bin/prefix-tool"),
        &TOOL.replace("PLACEHOLDER", &quoted(PLACEHOLDER)),
    )?;
    // A string in a program is ended by a NUL; what follows must stay where it is.
    write(
        &prefix.join("share/prefix-tool/prefix.bin"),
        format!("{PLACEHOLDER}\0").as_bytes(),
    )?;
    write(
        &prefix.join("etc/conda/activate.d/prefix-tool.sh"),
        ACTIVATE.as_bytes(),
    )?;
    write(
        &prefix.join("etc/conda/deactivate.d/prefix-tool.sh"),
        DEACTIVATE.as_bytes(),
    )
}

/// In single quotes: the prefix that comes to stand there may have spaces.
fn quoted(text: &str) -> String {
    format!("'{text}'")
}

fn write_many_files(prefix: &Path) -> Result<()> {
    for number in 0..MANY_FILES {
        let path = prefix.join(format!(
            "share/many-files/{:02}/{number:04}.txt",
            number % 50
        ));
        write(&path, format!("file {number}\n").as_bytes())?;
    }
    Ok(())
}

pub(super) fn write_program(path: &Path, text: &str) -> Result<()> {
    write(path, text.as_bytes())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_has_the_placeholder_once_in_text_and_once_in_binary() {
        let prefix = tempfile::tempdir().unwrap();
        write_tool(prefix.path()).unwrap();
        let script = fs::read_to_string(prefix.path().join("bin/prefix-tool")).unwrap();
        assert_eq!(script.matches(PLACEHOLDER).count(), 1);
        assert!(!script.contains("PLACEHOLDER"));
        let binary = fs::read(prefix.path().join("share/prefix-tool/prefix.bin")).unwrap();
        assert_eq!(binary.len(), PLACEHOLDER.len() + 1);
    }
}
