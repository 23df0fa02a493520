//! The engine's client, and what can be asked of it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::container::endpoint;
use crate::container::spec::ContainerName;
use crate::context::Context;
use crate::failure::Failure;
use crate::parallel::locked;
use crate::report::Report;
use crate::request::{ContainerPlatform, ImageReference, TimeLimit};
use crate::tools::{CapturedOutput, Program, os_strings};

/// A container engine, reached through its command line client.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The client.
    pub(super) program: Program,
    background: Arc<Background>,
    answers: Arc<CachedAnswers>,
    /// How long each phase of what runs on it may take.
    pub(super) time_limit: Option<TimeLimit>,
}

/// What the engine has answered already: one run asks for each thing once.
#[derive(Debug, Default)]
struct CachedAnswers {
    version: OnceLock<EngineVersion>,
    /// Images by their ids. A name may mean another image at any time, so it is looked up
    /// whenever it is used.
    images: Mutex<HashMap<String, Image>>,
    /// Directories that the engine sees, and in which a container can write what is the
    /// caller's.
    shared: Mutex<Vec<PathBuf>>,
    is_swept: AtomicBool,
}

/// Background queries; joined when the last `Engine` clone is dropped.
#[derive(Debug, Default)]
struct Background(Mutex<Vec<JoinHandle<()>>>);

impl Drop for Background {
    fn drop(&mut self) {
        let threads = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What an engine answers about its version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineVersion {
    /// The client's name as it was called.
    pub client: String,
    /// The version of the engine itself.
    pub version: String,
    /// The operating system and architecture that it runs on, where it tells.
    #[serde(skip)]
    pub platform: Option<String>,
    /// Whether it is podman, whatever its client is called.
    #[serde(skip)]
    pub is_podman: bool,
}

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// How it was asked for.
    pub reference: String,
    /// The engine's id for it: the digest of its configuration.
    pub id: String,
    /// Digests under which registries know it, as far as the engine tells.
    #[serde(default)]
    pub repo_digests: Vec<String>,
    /// Operating system and architecture, `linux/amd64` for example.
    pub platform: String,
}

impl Engine {
    /// Finds the client: the one asked for, `CONTAINER_ENGINE`, else `docker`, and where
    /// there is none `podman`, which is said.
    ///
    /// # Errors
    ///
    /// Exit code 127 when it is not there.
    pub fn find(asked: Option<&OsStr>, context: &Context) -> anyhow::Result<Engine> {
        let find = |name: &OsStr| Program::find(name, &context.host);
        let program = match asked.or(context.host.container_engine.as_deref()) {
            Some(name) => find(name)?,
            None => find("docker".as_ref()).or_else(|missing| {
                let podman = find("podman".as_ref()).map_err(|_| missing)?;
                context.report.note(format_args!(
                    "docker is not on PATH, so {} is used; --engine or CONTAINER_ENGINE names another",
                    podman.path().display()
                ));
                Ok::<_, anyhow::Error>(podman)
            })?,
        };
        endpoint::warn(&program, context);
        // What runs in a container can write there, too: by `/proc/1/fd/2`, or by arguments
        // that the engine quotes.
        let program = if context.report.is_plain() {
            program.with_plain_errors()
        } else {
            program
        };
        Ok(Engine {
            program,
            background: Arc::default(),
            answers: Arc::default(),
            time_limit: None,
        })
    }

    /// Ends what runs on it when a phase takes longer than this.
    #[must_use]
    pub fn with_time_limit(self, limit: Option<&TimeLimit>) -> Engine {
        Engine {
            time_limit: limit.cloned(),
            ..self
        }
    }

    /// Has work on the engine done while others go on. It is over before the last
    /// `Engine` clone is dropped.
    pub(super) fn meanwhile(&self, work: impl FnOnce(&Engine) + Send + 'static) {
        let engine = Engine {
            program: self.program.clone(),
            background: Arc::default(),
            answers: Arc::clone(&self.answers),
            time_limit: None,
        };
        let thread = thread::spawn(move || work(&engine));
        locked(&self.background.0).push(thread);
    }

    /// Asks for the version and an image at once: each question takes as long as
    /// copying thousands of files.
    ///
    /// # Errors
    ///
    /// When the engine does not answer.
    pub fn version_and_image(
        &self,
        reference: &ImageReference,
    ) -> anyhow::Result<(EngineVersion, Option<Image>)> {
        let known = locked(&self.answers.images)
            .get(reference.as_str())
            .cloned();
        if let (Some(version), Some(image)) = (self.answers.version.get(), known) {
            let reference = reference.as_str().to_owned();
            return Ok((version.clone(), Some(Image { reference, ..image })));
        }
        thread::scope(|scope| {
            let image = scope.spawn(|| self.image(reference));
            let version = self.version()?;
            let image = image.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            Ok((version, image))
        })
    }

    /// Whether what a killed run has left was looked for already; from now on it was.
    pub(super) fn was_swept(&self) -> bool {
        self.answers.is_swept.swap(true, Ordering::Relaxed)
    }

    /// Whether the engine was seen to share directories that all of these are in, on their
    /// file systems.
    pub fn shares_already(&self, dirs: &[&Path]) -> bool {
        let shared = locked(&self.answers.shared);
        let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
        dirs.iter().all(|dir| {
            shared.iter().any(|outer| {
                dir.starts_with(outer) && device(dir).is_some() && device(dir) == device(outer)
            })
        })
    }

    /// Keeps what the engine has answered of an image.
    pub(super) fn remember_image(&self, image: &Image) {
        locked(&self.answers.images).insert(image.id.clone(), image.clone());
    }

    /// Keeps that the engine shares a directory.
    pub fn remember_shared(&self, dir: &Path) {
        locked(&self.answers.shared).push(dir.to_owned());
    }

    /// Asks the engine for its version, and so whether it answers at all.
    ///
    /// # Errors
    ///
    /// Exit code 125 with the client's own words when the engine is not there.
    pub fn version(&self) -> anyhow::Result<EngineVersion> {
        let answer = self.ask(["version", "--format", "{{json .}}"])?;
        let client = self.client();
        if !answer.succeeded() {
            // Before the client has looked for an engine.
            let advice = if answer.stderr.contains("context \"") {
                "`docker context ls` lists the contexts; choose one with DOCKER_CONTEXT or `docker context use`"
            } else if answer.stderr.contains("permission denied") {
                "this user may not use it: have the user added to the group `docker` (as root: usermod -aG docker USER) and log in again, or use a rootless engine (podman, or docker in rootless mode), named with --engine or DOCKER_HOST"
            } else {
                "start it (systemctl start docker), or name another with --engine or DOCKER_HOST"
            };
            return Err(Failure::engine(format!(
                "the container engine behind {client} does not answer: {}; {advice}",
                answer.stderr
            )));
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct VersionSide {
            version: String,
            #[serde(default)]
            os: String,
            #[serde(default)]
            arch: String,
            // podman's, instead of the latter.
            #[serde(default)]
            os_arch: String,
            // docker writes it `ApiVersion`.
            #[serde(default, rename = "APIVersion")]
            podman_api: Option<String>,
        }
        // podman without a service has a client only.
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Sides {
            client: Option<VersionSide>,
            server: Option<VersionSide>,
        }
        let sides: Sides = serde_json::from_slice(&answer.stdout)
            .with_context(|| format!("the answer of `{client} version` cannot be read"))?;
        let side = sides.server.or(sides.client);
        let version = EngineVersion {
            client,
            is_podman: side.as_ref().is_some_and(|side| side.podman_api.is_some()),
            platform: side
                .as_ref()
                .map(|side| match (side.os.as_str(), side.arch.as_str()) {
                    ("", _) | (_, "") => side.os_arch.clone(),
                    (os, architecture) => format!("{os}/{architecture}"),
                })
                .filter(|platform| !platform.is_empty()),
            version: side.map(|side| side.version).unwrap_or_default(),
        };
        Ok(self.answers.version.get_or_init(|| version).clone())
    }

    /// Whether it is podman, as [`Engine::version`] tells; asked once.
    ///
    /// # Errors
    ///
    /// When the engine does not answer.
    pub fn is_podman(&self) -> anyhow::Result<bool> {
        match self.answers.version.get() {
            Some(version) => Ok(version.is_podman),
            None => Ok(self.version()?.is_podman),
        }
    }

    /// Checks that an image is for the platform that was asked for, if one was.
    ///
    /// # Errors
    ///
    /// Exit code 2 naming both, and how to fetch the other.
    pub fn require_platform(
        &self,
        image: &Image,
        asked: Option<&ContainerPlatform>,
    ) -> anyhow::Result<()> {
        let Some(asked) = asked.filter(|asked| !asked.takes(&image.platform)) else {
            return Ok(());
        };
        let client = self.client();
        Err(Failure::usage(format!(
            "--container-platform {asked}: image {0} is for {1} on this engine; give that platform, or have the other fetched by `{client} pull --platform {asked} {0}`",
            image.reference, image.platform
        )))
    }

    /// Checks that the engine can run programs of an image: it is of the engine's own
    /// platform, or its shell starts all the same, by emulation for example.
    ///
    /// # Errors
    ///
    /// Exit code 125 naming both platforms.
    pub fn require_runnable(&self, image: &Image, engine: &EngineVersion) -> anyhow::Result<()> {
        let Some(platform) = engine
            .platform
            .as_ref()
            .filter(|own| **own != image.platform)
        else {
            return Ok(());
        };
        let shell = os_strings(&["-c", ":"]);
        let ran = self.run_probe(&image.reference, Vec::new(), shell)?;
        if ran.succeeded() {
            return Ok(());
        }
        Err(Failure::engine(format!(
            "image {} is for {}, and the engine behind {} is {platform} and cannot run it; use an image for {platform}, or set up emulation (binfmt_misc)",
            image.reference,
            image.platform,
            self.client()
        )))
    }

    /// The client's name, as people call it.
    pub fn client(&self) -> String {
        let path = self.program.path();
        let name = path.file_name().unwrap_or(path.as_os_str());
        name.display().to_string()
    }

    /// The engine as it is called where both streams of the client are shown: with
    /// `--plain-output` as one, in their order.
    pub(super) fn shown_by(&self, report: &Report) -> Engine {
        let mut engine = self.clone();
        if report.is_plain() {
            engine.program = self.program.with_joined_streams();
        }
        engine
    }

    /// Whether there is a volume of this name.
    pub(super) fn has_volume(&self, name: &str) -> anyhow::Result<bool> {
        Ok(self.volume(&["inspect", name])?.succeeded())
    }

    /// Asks for something about volumes.
    pub(super) fn volume(&self, args: &[&str]) -> anyhow::Result<CapturedOutput> {
        self.program.capture(&[&["volume"], args].concat())
    }

    /// Removes a volume that no container has. One that is not there is no error.
    pub(super) fn remove_volume(&self, name: &str) {
        let _ = self.volume(&["rm", "--force", name]);
    }

    /// The memory of the engine's machine, in bytes; 0 where it does not tell.
    pub fn memory(&self) -> u64 {
        // docker's place for it, then podman's.
        let told = |format| {
            let answer = self.ask(["info", "--format", format]).ok()?;
            String::from_utf8_lossy(&answer.stdout).trim().parse().ok()
        };
        ["{{.MemTotal}}", "{{.Host.MemTotal}}"]
            .into_iter()
            .find_map(told)
            .unwrap_or(0)
    }

    /// Removes a container that does not run.
    pub(super) fn remove_stopped(&self, id: &str) -> anyhow::Result<()> {
        self.ask(["rm", "--volumes", id]).map(drop)
    }

    /// Removes containers, running or not, in this order. One that is not there is no
    /// error.
    pub(super) fn remove(&self, names: &[ContainerName]) -> anyhow::Result<()> {
        // One after the other: podman drops a running container from its books when
        // another one of the same call is not there.
        for name in names {
            self.ask(["rm", "--force", "--volumes", name.as_str()])?;
        }
        Ok(())
    }

    pub(super) fn ask<const N: usize>(&self, args: [&str; N]) -> anyhow::Result<CapturedOutput> {
        self.program.capture(&args)
    }
}

/// An image's id as docker writes it: podman leaves the kind of digest away.
pub(super) fn image_id(id: String) -> String {
    let is_bare = id.len() == 64 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_bare { format!("sha256:{id}") } else { id }
}
