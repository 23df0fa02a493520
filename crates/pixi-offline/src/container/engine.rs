//! The engine's client, and what can be asked of it.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::container::mount::Mount;
use crate::container::owner::{self, Owner};
use crate::container::spec::ContainerName;
use crate::failure::{self, Failure};
use crate::request::ImageReference;
use crate::surroundings::Surroundings;
use crate::tools::{Captured, Program};

/// A container engine, reached through its command line client.
#[derive(Debug, Clone)]
pub struct Engine {
    program: Program,
}

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineVersion {
    /// The client's name as it was called.
    pub client: String,
    /// The version of the engine itself.
    pub version: String,
    /// The operating system and architecture that it runs on, where it tells.
    #[serde(skip)]
    pub platform: Option<String>,
}

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// How it was asked for.
    pub reference: String,
    /// The engine's id for it: the digest of its configuration.
    pub id: String,
    /// Digests under which registries know it.
    pub repo_digests: Vec<String>,
    /// Operating system and architecture, `linux/amd64` for example.
    pub platform: String,
}

/// The part of a container that we ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct InspectedContainer {
    pub(super) state: ContainerState,
    /// The id of its image.
    pub(super) image: String,
}

/// The part of a container's state that tells ends apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ContainerState {
    pub(super) status: String,
    pub(super) error: String,
    #[serde(rename = "OOMKilled")]
    pub(super) out_of_memory: bool,
}

impl Engine {
    /// Finds the client: the one asked for, `CONTAINER_ENGINE`, else `docker`.
    ///
    /// # Errors
    ///
    /// Exit code 127 when it is not there.
    pub fn find(asked: Option<&OsStr>, surroundings: &Surroundings) -> anyhow::Result<Engine> {
        let name = asked
            .or(surroundings.container_engine.as_deref())
            .unwrap_or(OsStr::new("docker"));
        Ok(Engine {
            program: Program::find(name, surroundings)?,
        })
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
            return Err(Failure::with_code(
                failure::ENGINE,
                format!(
                    "the container engine behind {client} does not answer: {}; start it (systemctl start docker), or name another with --engine or DOCKER_HOST",
                    answer.stderr
                ),
            ));
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Side {
            version: String,
            #[serde(default)]
            os: String,
            #[serde(default)]
            arch: String,
        }
        // podman without a service has a client only.
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Sides {
            client: Option<Side>,
            server: Option<Side>,
        }
        let sides: Sides = serde_json::from_slice(&answer.stdout)
            .with_context(|| format!("the answer of `{client} version` cannot be read"))?;
        let side = sides.server.or(sides.client);
        Ok(EngineVersion {
            client,
            platform: side
                .as_ref()
                .filter(|side| !side.os.is_empty() && !side.arch.is_empty())
                .map(|side| format!("{}/{}", side.os, side.arch)),
            version: side.map(|side| side.version).unwrap_or_default(),
        })
    }

    /// Looks an image up on the engine, never on a registry.
    ///
    /// # Errors
    ///
    /// When the client cannot be started or its answer cannot be read. An image
    /// that is not there is `None`.
    pub fn image(&self, reference: &ImageReference) -> anyhow::Result<Option<Image>> {
        let answer = self.ask(["image", "inspect", reference.as_str()])?;
        if !answer.succeeded() {
            return Ok(None);
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Inspected {
            id: String,
            #[serde(default)]
            repo_digests: Option<Vec<String>>,
            #[serde(default)]
            os: String,
            #[serde(default)]
            architecture: String,
        }
        let images: Vec<Inspected> = serde_json::from_slice(&answer.stdout).with_context(|| {
            format!("what {} says of {reference} cannot be read", self.client())
        })?;
        Ok(images.into_iter().next().map(|image| Image {
            reference: reference.as_str().to_owned(),
            id: image.id,
            repo_digests: image.repo_digests.unwrap_or_default(),
            platform: format!("{}/{}", image.os, image.architecture),
        }))
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
        let mut words = vec!["run", "--rm", "--network", "none", "--pull", "never"];
        words.extend(["--entrypoint", "sh", &image.reference, "-c", ":"]);
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        if self.program.capture(&words)?.succeeded() {
            return Ok(());
        }
        Err(Failure::with_code(
            failure::ENGINE,
            format!(
                "image {} is for {}, and the engine behind {} is {platform} and cannot run it; use an image for {platform}, or set up emulation (binfmt_misc)",
                image.reference,
                image.platform,
                self.client()
            ),
        ))
    }

    /// The client's name, as people call it.
    pub fn client(&self) -> String {
        let path = self.program.path();
        let name = path.file_name().unwrap_or(path.as_os_str());
        name.display().to_string()
    }

    /// The client.
    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    /// How a container stands; `None` when it is not there.
    pub(super) fn state(&self, container: &str) -> anyhow::Result<Option<ContainerState>> {
        Ok(self.inspect(container)?.map(|container| container.state))
    }

    /// What the engine says of a container; `None` when it is not there.
    pub(super) fn inspect(&self, container: &str) -> anyhow::Result<Option<InspectedContainer>> {
        let answer = self.ask(["container", "inspect", "--format", "{{json .}}", container])?;
        if !answer.succeeded() {
            return Ok(None);
        }
        serde_json::from_slice(&answer.stdout)
            .map(Some)
            .with_context(|| format!("what {} says of a container cannot be read", self.client()))
    }

    /// Whether the engine sees these files and folders of this machine; if not, its
    /// words. It is asked to make a container, never to start it.
    pub(super) fn shares(
        &self,
        paths: &[&Path],
        image: &ImageReference,
    ) -> anyhow::Result<Result<(), String>> {
        let mounts = paths
            .iter()
            .enumerate()
            .map(|(number, path)| {
                Mount::read_only(*path, format!("/pixi-offline/probe-{number}")).value()
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let options: Vec<&str> = mounts
            .iter()
            .flat_map(|mount| ["--mount", mount.as_str()])
            .collect();
        let with = self.try_to_create(&options, image)?;
        if with.succeeded() {
            return Ok(Ok(()));
        }
        // Refused without the folder too: that is another trouble, not ours to tell.
        let without = self.try_to_create(&[], image)?;
        Ok(if without.succeeded() {
            Err(with.stderr)
        } else {
            Ok(())
        })
    }

    fn try_to_create(&self, options: &[&str], image: &ImageReference) -> anyhow::Result<Captured> {
        let owner = Owner::this_process().map(|owner| owner.label());
        let label = format!("{}={}", owner::LABEL, owner.unwrap_or_default());
        let mut words = vec!["create", "--label", &label, "--network", "none"];
        words.extend(["--pull", "never"]);
        words.extend(options);
        words.extend(["--entrypoint", "sh", image.as_str()]);
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let done = self.program.capture(&words)?;
        if done.succeeded() {
            self.remove_stopped(String::from_utf8_lossy(&done.stdout).trim())?;
        }
        Ok(done)
    }

    /// Waits until a container does not run any more, but not longer than `patience`.
    pub(super) fn wait_for_end(&self, container: &str, patience: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        while start.elapsed() < patience
            && self
                .state(container)?
                .is_some_and(|state| state.status == "running")
        {
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The containers that have this label and do not run: id, and the label's value.
    pub(super) fn stopped_with_label(&self, label: &str) -> anyhow::Result<Vec<(String, String)>> {
        let statuses = ["created", "exited", "dead"].map(|status| format!("status={status}"));
        let mut words = vec!["ps", "--all", "--no-trunc"];
        words.extend(statuses.iter().flat_map(|filter| ["--filter", filter]));
        self.labelled(&words, "{{.ID}}", label)
    }

    /// The volumes that have this label: name, and the label's value.
    pub(super) fn volumes_with_label(&self, label: &str) -> anyhow::Result<Vec<(String, String)>> {
        self.labelled(&["volume", "ls"], "{{.Name}}", label)
    }

    /// What a listing shows of all that has this label: `field`, and the label's value.
    fn labelled(
        &self,
        listing: &[&str],
        field: &str,
        label: &str,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let filter = format!("label={label}");
        let format = format!("{field} {{{{.Label \"{label}\"}}}}");
        let words = listing
            .iter()
            .copied()
            .chain(["--filter", &filter, "--format", &format]);
        let words: Vec<OsString> = words.map(OsString::from).collect();
        let answer = self.program.capture(&words)?;
        let text = String::from_utf8_lossy(&answer.stdout);
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        Ok(lines
            .map(|(id, value)| (id.to_owned(), value.to_owned()))
            .collect())
    }

    /// Whether there is a volume of this name.
    pub(super) fn has_volume(&self, name: &str) -> anyhow::Result<bool> {
        Ok(self.volume(&["inspect", name])?.succeeded())
    }

    /// Asks for something about volumes.
    pub(super) fn volume(&self, words: &[&str]) -> anyhow::Result<Captured> {
        let words = ["volume"].iter().chain(words).map(OsString::from);
        self.program.capture(&words.collect::<Vec<_>>())
    }

    /// Removes a volume that no container has. One that is not there is no error.
    pub(super) fn remove_volume(&self, name: &str) {
        let _ = self.volume(&["rm", "--force", name]);
    }

    /// The memory of the engine's machine, in bytes; 0 where it does not tell.
    pub fn memory(&self) -> u64 {
        let answer = self.ask(["info", "--format", "{{.MemTotal}}"]);
        let text = answer.map_or(Vec::new(), |answer| answer.stdout);
        let text = String::from_utf8_lossy(&text);
        text.trim().parse().unwrap_or(0)
    }

    /// Removes a container that does not run.
    pub(super) fn remove_stopped(&self, id: &str) -> anyhow::Result<()> {
        self.ask(["rm", "--volumes", id]).map(drop)
    }

    /// Removes a container, running or not. One that is not there is no error.
    pub(super) fn remove(&self, name: &ContainerName) -> anyhow::Result<()> {
        self.ask(["rm", "--force", "--volumes", name.as_str()])
            .map(drop)
    }

    fn ask<const N: usize>(&self, words: [&str; N]) -> anyhow::Result<Captured> {
        self.program.capture(&words.map(OsString::from))
    }
}
