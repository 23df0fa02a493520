//! What is handed out: static binaries and what belongs to them, in one of several forms.

mod conda;
mod deb;
mod image;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use duct::cmd;
use sha2::{Digest as _, Sha256};

use crate::{build, generate};

/// How hard zstd tries; a higher one takes minutes for a few percent.
const LEVEL: i32 = 15;

/// What is made.
#[derive(Debug, clap::Subcommand)]
pub enum Form {
    /// One archive, to be unpacked into a prefix such as ~/.local (what is made without an argument)
    Archive,
    /// A package for Debian and Ubuntu
    Deb,
    /// The archive and a recipe of a conda package for rattler-build
    CondaRecipe,
    /// A container image of the commands with a docker client in it, on this machine's engine
    Image(image::ImageOptions),
}

/// Builds everything, packs it, and returns the path of the file or the name of the image.
///
/// # Errors
/// When the build fails or a file cannot be read or written.
pub fn run(form: &Form) -> anyhow::Result<String> {
    let binaries = build::release(&[])?;
    let members = members(&binaries)?;
    let dir = binaries.join("dist");
    fs::create_dir_all(&dir)?;
    let made = match form {
        Form::Archive => write_archive(&members, &dir, LEVEL)?.0,
        Form::Deb => deb::write(&members, &dir, time()?)?,
        Form::CondaRecipe => {
            let (archive, sha256) = write_archive(&members, &dir, LEVEL)?;
            let name = archive.file_name().unwrap_or_default().to_string_lossy();
            conda::write(&dir, &name, &sha256)?
        }
        Form::Image(options) => return image::build(&members, options),
    };
    Ok(made.display().to_string())
}

/// Writes the archive and its digest; returns its file and the digest.
fn write_archive(members: &[Member], dir: &Path, level: i32) -> anyhow::Result<(PathBuf, String)> {
    let name = format!(
        "pixi-offline-{}-{}-linux",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    );
    let file = format!("{name}.tar.zst");
    let archive = dir.join(&file);
    let content = pack(&name, members, time()?, level)?;
    fs::write(&archive, &content)
        .with_context(|| format!("{} cannot be written", archive.display()))?;
    let digest = format!("{:x}", Sha256::digest(&content));
    fs::write(
        dir.join(format!("{file}.sha256")),
        format!("{digest}  {file}\n"),
    )?;
    Ok((archive, digest))
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
    Ok(members)
}

/// The list of all digests, for the archive.
fn sums(members: &[Member]) -> Member {
    let sums: String = members
        .iter()
        .map(|member| format!("{:x}  {}\n", Sha256::digest(&member.content), member.path))
        .collect();
    Member {
        path: "SHA256SUMS".to_owned(),
        content: sums.into_bytes(),
        mode: 0o644,
    }
}

/// Writes them below a directory.
fn write_below(dir: &Path, members: &[Member]) -> anyhow::Result<()> {
    for member in members {
        let file = dir.join(&member.path);
        fs::create_dir_all(file.parent().unwrap_or(dir))?;
        fs::write(&file, &member.content)
            .with_context(|| format!("{} cannot be written", file.display()))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(member.mode))?;
    }
    Ok(())
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
    let sums = sums(members);
    for member in members.iter().chain([&sums]) {
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

    /// The commands of a plain `cargo build`, without the hundred megabytes for debuggers that
    /// each has.
    pub(super) fn stripped() -> tempfile::TempDir {
        let binaries = tempfile::tempdir().unwrap();
        for command in build::COMMANDS {
            let built = testbed::sandbox::binary(command);
            let stripped = binaries.path().join(command);
            cmd!("strip", "-o", stripped, built).run().unwrap();
        }
        binaries
    }

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

    /// Two small files.
    fn few_members() -> Vec<Member> {
        [
            ("bin/pixi-offline", 0o755),
            ("share/doc/pixi-offline/LICENSE", 0o644),
        ]
        .map(|(path, mode)| Member {
            path: path.to_owned(),
            content: b"#!/bin/sh\necho installed\n".to_vec(),
            mode,
        })
        .into()
    }

    #[test]
    fn the_deb_installs_below_usr_and_is_the_same_each_time() {
        if which::which("dpkg-deb").is_err() {
            let name = "the_deb_installs_below_usr_and_is_the_same_each_time";
            testbed::skip(name, "needs dpkg-deb");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = deb::write(&few_members(), dir.path(), 1_700_000_000).unwrap();
        let first = fs::read(&file).unwrap();
        deb::write(&few_members(), dir.path(), 1_700_000_000).unwrap();
        assert!(first == fs::read(&file).unwrap());
        let name = cmd!("dpkg-deb", "--field", &file, "Package")
            .read()
            .unwrap();
        assert_eq!(name, "pixi-offline");
        let root = dir.path().join("root");
        cmd!("dpkg-deb", "--extract", &file, &root).run().unwrap();
        let printed = cmd!(root.join("usr/bin/pixi-offline")).read().unwrap();
        assert_eq!(printed, "installed");
        let listing = cmd!("dpkg-deb", "--contents", &file).read().unwrap();
        assert!(
            listing.lines().all(|line| line.contains("root/root")),
            "{listing}"
        );
    }

    #[test]
    fn the_script_of_the_conda_recipe_fills_a_prefix_from_the_archive_that_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let (archive, sha256) = write_archive(&few_members(), dir.path(), 1).unwrap();
        let name = archive.file_name().unwrap().to_str().unwrap();
        let recipe = conda::write(dir.path(), name, &sha256).unwrap();
        let text = fs::read_to_string(&recipe).unwrap();
        assert!(text.contains(&format!("sha256: {sha256}\n")), "{text}");
        let source = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("path: "));
        let source = recipe.with_file_name(source.unwrap());
        assert!(text.contains(conda::SCRIPT));

        // As rattler-build does: the one directory of the archive is where the script runs.
        let unpacked = dir.path().join("source");
        fs::create_dir(&unpacked).unwrap();
        let strip = ["--strip-components=1", "--zstd", "-xf"].map(PathBuf::from);
        let args = strip
            .into_iter()
            .chain([source, "-C".into(), unpacked.clone()]);
        cmd("tar", args).run().unwrap();
        let prefix = dir.path().join("prefix");
        fs::create_dir(&prefix).unwrap();
        cmd("sh", ["-ec", conda::SCRIPT])
            .dir(&unpacked)
            .env("PREFIX", &prefix)
            .run()
            .unwrap();
        assert_eq!(
            cmd!(prefix.join("bin/pixi-offline")).read().unwrap(),
            "installed"
        );
        assert!(prefix.join("share/doc/pixi-offline/LICENSE").is_file());
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
        let binaries = stripped();
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
            let args = [
                root.as_os_str(),
                format!("/bin/{command}").as_ref(),
                "--help".as_ref(),
            ]
            .map(std::ffi::OsStr::to_owned);
            let help = cmd("chroot", args).read().unwrap();
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
