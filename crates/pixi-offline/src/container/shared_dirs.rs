//! Whether the engine sees directories of this machine.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::container::engine::Engine;
use crate::container::engine_arguments;
use crate::container::mount::Mount;
use crate::container::spec::HelperSpec;
use crate::failure;
use crate::request::ImageReference;
use crate::tools::{CapturedOutput, os_strings};
use crate::untrusted_dir::UntrustedDir;

/// How the engine reaches a directory of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// As far as was asked for.
    Granted,
    /// It does not see the directory: what to say.
    Unseen(String),
    /// A container cannot write there what is the caller's then: what to say.
    Closed(String),
}

/// Directories on which an engine's view of this machine is tried.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// A file is made here for a moment.
    pub writable: &'a Path,
    /// The place of it that people know.
    pub shown: &'a Path,
    /// Directories that are to be seen as well.
    pub others: &'a [&'a Path],
}

/// Whether the engine sees these directories: it is asked to make a container that has them,
/// and never starts it.
///
/// # Errors
///
/// When no file can be made in the probe's directory.
pub fn shares(
    engine: &Engine,
    image: &ImageReference,
    probe: &Probe<'_>,
    nonce: &str,
) -> anyhow::Result<Access> {
    let nonce = NonceFile::lay(probe.writable, nonce)?;
    let nonce_path = nonce.path();
    let mut paths = vec![nonce_path.as_path()];
    paths.extend(probe.others);
    engine.sees(&paths, probe.shown, image)
}

/// Like [`shares`], and whether a file that a container writes into the probe's directory
/// belongs to the caller: a container writes there, with the caller's arguments for `run`.
pub fn shares_writable(
    engine: &Engine,
    image: &ImageReference,
    probe: &Probe<'_>,
    engine_arguments: &[OsString],
    nonce: &str,
) -> anyhow::Result<Access> {
    let Probe {
        writable,
        shown,
        others,
    } = *probe;
    let there = NonceFile::lay(writable, nonce)?;
    let written = format!("{}written-{nonce}", NonceFile::START);
    let answer = engine.write_into(
        writable,
        others,
        &there.name,
        &written,
        image,
        engine_arguments,
    )?;
    let file = writable.join(&written);
    let is_own = std::fs::symlink_metadata(&file)
        .is_ok_and(|found| found.uid() == rustix::process::geteuid().as_raw());
    let removed = std::fs::remove_file(&file).is_ok();
    if answer.succeeded() && is_own && removed {
        return Ok(Access::Granted);
    }
    if answer.code == Engine::OTHER_DIRECTORY {
        let message = "it is another directory there";
        return Ok(Access::Unseen(not_shared(engine, shown, message)));
    }
    if answer.code == failure::ENGINE {
        // It made no container: perhaps since it has no such directory.
        drop(there);
        let access = shares(engine, image, probe, nonce)?;
        if access != Access::Granted {
            return Ok(access);
        }
    }
    let message = match answer.stderr.trim() {
        "" => "what it writes is not this user's",
        message => message,
    };
    Ok(Access::Closed(format!(
        "a container of {} cannot write into {}: {message}; a file server that maps root to nobody does that, and so do --engine-arg options that take capabilities away; give --transfer copy, or name a directory on a local disk",
        engine.client(),
        shown.display()
    )))
}

/// What to say of a directory that the engine does not have as we have it.
pub fn not_shared(engine: &Engine, dir: &Path, message: &str) -> String {
    format!(
        "the engine behind {} does not see this machine's files: {}: {message}; give --transfer copy to copy them there and back, or use an engine on this machine",
        engine.client(),
        dir.display()
    )
}

impl Engine {
    /// Whether the engine sees these files and directories of this machine; people know them
    /// as `shown`. It is asked to make a container, never to start it.
    pub(super) fn sees(
        &self,
        paths: &[&Path],
        shown: &Path,
        image: &ImageReference,
    ) -> anyhow::Result<Access> {
        let mounts = read_only(paths)?;
        let options: Vec<&str> = mounts.iter().map(String::as_str).collect();
        let with = self.try_to_create(&options, image)?;
        if with.succeeded() {
            return Ok(Access::Granted);
        }
        // Refused without the directory too: that is another error, which another check finds.
        let without = self.try_to_create(&[], image)?;
        Ok(if without.succeeded() {
            Access::Unseen(not_shared(self, shown, &with.stderr))
        } else {
            Access::Granted
        })
    }

    /// What [`Engine::write_into`] ends with for a directory that is another one there.
    const OTHER_DIRECTORY: u8 = 72;

    /// Has a container that sees the directories `others` too make a file named `name` in a directory,
    /// and give it to the directory's owner, as our scripts do at their end; it ends with
    /// [`Engine::OTHER_DIRECTORY`] when the file `there` is not in the directory.
    fn write_into(
        &self,
        dir: &Path,
        others: &[&Path],
        there: &str,
        name: &str,
        image: &ImageReference,
        engine_arguments: &[OsString],
    ) -> anyhow::Result<CapturedOutput> {
        const SCRIPT: &str = r#"cd /pixi-offline/probe || exit
[ -f "$1" ] || exit 72
: >"$2" || exit
[ "$(id -u)" != 0 ] || chown "$(stat -c %u:%g .)" "$2""#;
        // SELinux is turned off for it as for every container of these commands; elsewhere the option
        // means nothing.
        let mut options: Vec<OsString> = ["--security-opt", "label=disable"]
            .map(OsString::from)
            .into();
        let mount = Mount::writable(dir, "/pixi-offline/probe").value()?;
        options.extend(["--mount".into(), mount.into()]);
        options.extend(read_only(others)?.into_iter().map(OsString::from));
        options.extend(engine_arguments::without_network(engine_arguments));
        let shell = ["-c", SCRIPT, "write-into", there, name].map(OsString::from);
        self.run_probe(image.as_str(), options, shell.into())
    }

    fn try_to_create(
        &self,
        options: &[&str],
        image: &ImageReference,
    ) -> anyhow::Result<CapturedOutput> {
        let helper = HelperSpec {
            command: &["create"],
            purpose: "look",
            network: "none",
            options: os_strings(options),
            entrypoint: Some("sh"),
            image: image.as_str(),
            args: Vec::new(),
        };
        let done = self.program.capture(&helper.arguments())?;
        if done.succeeded() {
            let id = String::from_utf8_lossy(&done.stdout).trim().to_owned();
            // A removal takes longer than all the rest.
            self.meanwhile(move |engine| drop(engine.remove_stopped(&id)));
        }
        Ok(done)
    }
}

/// The options of the engine's `run` and `create` that mount these paths.
fn read_only(paths: &[&Path]) -> anyhow::Result<Vec<String>> {
    let mut options = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let mount = Mount::read_only(*path, format!("/pixi-offline/probe-{number}"));
        options.extend(["--mount".to_owned(), mount.value()?]);
    }
    Ok(options)
}

/// The name of the file in an out directory that tells a script with this nonce that the
/// directory is the one that is meant.
pub fn nonce_file(nonce: &str) -> String {
    format!("{}{nonce}", NonceFile::START)
}

/// The nonce in the out directory, there as long as this is.
pub(super) struct NonceFile {
    dir: UntrustedDir,
    name: String,
}

impl NonceFile {
    /// What the file's name starts with; `session.sh` looks for it too.
    const START: &'static str = ".pixi-offline-";

    pub(super) fn lay(out: &Path, nonce: &str) -> anyhow::Result<NonceFile> {
        // Those of killed runs: nobody else works with a directory that is locked.
        let is_nonce = |name: &OsStr| {
            let name = name.as_encoded_bytes();
            name.strip_prefix(NonceFile::START.as_bytes())
                .is_some_and(|rest| {
                    rest.len() == nonce.len() && rest.iter().all(u8::is_ascii_hexdigit)
                })
        };
        let name = nonce_file(nonce);
        let lay = || {
            let dir = UntrustedDir::open(out)?;
            dir.for_each_entry(|entry| {
                if is_nonce(&entry.name) {
                    let _ = dir.remove(&entry.name);
                }
                Ok(())
            })?;
            dir.create_file(&name)?;
            io::Result::Ok(dir)
        };
        match lay() {
            Ok(dir) => Ok(NonceFile { dir, name }),
            Err(error) => Err(error)
                .with_context(|| format!("{} cannot be written", out.join(name).display())),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }
}

impl Drop for NonceFile {
    fn drop(&mut self) {
        let _ = self.dir.remove(&self.name);
    }
}
