//! The archive that is handed out: static binaries and what belongs to them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use duct::cmd;
use sha2::{Digest as _, Sha256};

use crate::{build, generate};

/// How hard zstd tries; a higher one takes minutes for a few percent.
const LEVEL: i32 = 15;

/// Builds everything and packs it.
///
/// # Errors
/// When the build fails or a file cannot be read or written.
pub fn run() -> anyhow::Result<PathBuf> {
    let binaries = build::release(&[])?;
    let name = format!(
        "pixi-offline-{}-{}-linux",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    );
    let dir = binaries.join("dist");
    fs::create_dir_all(&dir)?;
    let archive = dir.join(format!("{name}.tar.zst"));
    let content = pack(&name, &members(&binaries)?, time()?, LEVEL)?;
    fs::write(&archive, &content)
        .with_context(|| format!("{} cannot be written", archive.display()))?;
    let file = format!("{name}.tar.zst");
    let line = format!("{:x}  {file}\n", Sha256::digest(&content));
    fs::write(dir.join(format!("{file}.sha256")), line)?;
    Ok(archive)
}

/// A file of the archive.
struct Member {
    path: String,
    content: Vec<u8>,
    mode: u32,
}

/// All of them, in the order of their paths.
fn members(binaries: &Path) -> anyhow::Result<Vec<Member>> {
    let root = build::workspace();
    let mut members = Vec::new();
    let mut add = |file: &Path, dir: &str, mode| -> anyhow::Result<()> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        members.push(Member {
            path: format!("{dir}{name}"),
            content: fs::read(file)
                .with_context(|| format!("{} cannot be read", file.display()))?,
            mode,
        });
        Ok(())
    };
    for command in build::COMMANDS {
        add(&binaries.join(command), "bin/", 0o755)?;
    }
    // The shims look for the binaries beside themselves.
    for entry in fs::read_dir(root.join("scripts-compat"))? {
        add(&entry?.path(), "bin/", 0o755)?;
    }
    for file in ["README.md", "LICENSE"] {
        add(&root.join(file), "share/doc/pixi-offline/", 0o644)?;
    }
    for (path, content) in generate::files()? {
        members.push(Member {
            path: path.to_string_lossy().into_owned(),
            content,
            mode: 0o644,
        });
    }
    members.sort_by(|a, b| a.path.cmp(&b.path));
    let sums: String = members
        .iter()
        .map(|member| format!("{:x}  {}\n", Sha256::digest(&member.content), member.path))
        .collect();
    members.push(Member {
        path: "SHA256SUMS".to_owned(),
        content: sums.into_bytes(),
        mode: 0o644,
    });
    Ok(members)
}

/// The time of every file: `SOURCE_DATE_EPOCH`, else that of the last commit, in
/// seconds since 1970.
fn time() -> anyhow::Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => cmd("git", ["log", "-1", "--format=%ct"])
            .dir(build::workspace())
            .read()
            .context("the time of the last commit is not known; set SOURCE_DATE_EPOCH")?,
    };
    text.trim()
        .parse()
        .with_context(|| format!("SOURCE_DATE_EPOCH is {text:?}; give seconds since 1970"))
}

/// The same members give the same bytes, on any machine.
fn pack(name: &str, members: &[Member], time: u64, level: i32) -> anyhow::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), level)?);
    for member in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(member.content.len().try_into()?);
        header.set_mode(member.mode);
        header.set_mtime(time);
        header.set_uid(0);
        header.set_gid(0);
        let path = format!("{name}/{}", member.path);
        archive.append_data(&mut header, path, member.content.as_slice())?;
    }
    let mut packed = archive.into_inner()?.finish()?;
    packed.flush()?;
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_members_give_the_same_archive() {
        let packed = |time| {
            let member = Member {
                path: "bin/x".to_owned(),
                content: vec![7; 100_000],
                mode: 0o755,
            };
            pack("name", &[member], time, 3).unwrap()
        };
        let one = packed(1_700_000_000);
        assert_eq!(one, packed(1_700_000_000));
        assert_ne!(one, packed(1_700_000_001));
        let mut archive = tar::Archive::new(zstd::Decoder::new(one.as_slice()).unwrap());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        let header = entry.header();
        assert_eq!(header.mode().unwrap(), 0o755);
        assert_eq!(header.mtime().unwrap(), 1_700_000_000);
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
    }

    #[test]
    fn what_is_packed_is_whole_and_runs_in_an_empty_root() {
        if !rustix::process::geteuid().is_root() {
            testbed::skip(
                "what_is_packed_is_whole_and_runs_in_an_empty_root",
                "chroot needs root",
            );
            return;
        }
        // Those of a plain `cargo test` have a hundred megabytes for debuggers each.
        let binaries = tempfile::tempdir().unwrap();
        for command in build::COMMANDS {
            let built = testbed::sandbox::binary(command);
            let stripped = binaries.path().join(command);
            cmd!("strip", "-o", stripped, built).run().unwrap();
        }
        let members = members(binaries.path()).unwrap();
        let packed = pack("dist", &members, 1_700_000_000, 1).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let unpack = zstd::Decoder::new(packed.as_slice()).unwrap();
        tar::Archive::new(unpack).unpack(dir.path()).unwrap();
        let root = dir.path().join("dist");
        let checked = cmd(
            "sha256sum",
            ["--check", "--strict", "--quiet", "SHA256SUMS"],
        )
        .dir(&root)
        .run();
        assert!(checked.is_ok(), "{checked:?}");
        for command in build::COMMANDS {
            let words = [
                root.as_os_str(),
                format!("/bin/{command}").as_ref(),
                "--help".as_ref(),
            ]
            .map(std::ffi::OsStr::to_owned);
            let help = cmd("chroot", words).read().unwrap();
            assert!(help.contains("Usage:"), "{help}");
            for file in [
                format!("share/man/man1/{command}.1"),
                format!("share/bash-completion/completions/{command}"),
                format!("share/zsh/site-functions/_{command}"),
                format!("share/fish/vendor_completions.d/{command}.fish"),
            ] {
                assert!(root.join(&file).is_file(), "{file}");
            }
        }
        // A shim finds the binary beside it.
        let shim = root.join("bin/final-verify-product.sh");
        assert!(
            cmd(shim, ["--version"])
                .read()
                .unwrap()
                .contains("final-verify-product")
        );
        for file in ["README.md", "LICENSE"] {
            let file = format!("share/doc/pixi-offline/{file}");
            assert!(root.join(&file).is_file(), "{file}");
        }
    }
}
