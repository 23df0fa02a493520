//! What the engine says of images, containers and volumes that it has.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::container::engine::{Engine, Image, image_id};
use crate::request::ImageReference;

/// The part of a container that we ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct InspectedContainer {
    pub(super) state: ContainerState,
    /// The id of its image.
    pub(super) image: String,
}

/// The labels of a container or a volume, which name its owner; podman reports no labels at all
/// where there are none.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ObjectLabels {
    labels: Option<BTreeMap<String, String>>,
    /// A container's.
    config: Option<Box<ObjectLabels>>,
}

impl ObjectLabels {
    fn labels(self) -> Option<BTreeMap<String, String>> {
        self.labels.or_else(|| self.config?.labels)
    }
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
    /// Looks an image up on the engine, never on a registry.
    ///
    /// # Errors
    ///
    /// When the client cannot be started or its answer cannot be read. An image
    /// that is not there is `None`.
    pub fn image(&self, reference: &ImageReference) -> anyhow::Result<Option<Image>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct InspectedImage {
            id: String,
            #[serde(default)]
            repo_digests: Option<Vec<String>>,
            #[serde(default)]
            os: String,
            #[serde(default)]
            architecture: String,
        }
        let name = reference.as_str();
        let image: Option<InspectedImage> = self.inspect_one("image", name, name)?;
        let image = image.map(|image| Image {
            reference: reference.as_str().to_owned(),
            id: image_id(image.id),
            repo_digests: image.repo_digests.unwrap_or_default(),
            platform: format!("{}/{}", image.os, image.architecture),
        });
        if let Some(image) = &image {
            self.remember_image(image);
        }
        Ok(image)
    }

    /// How a container stands; `None` when it is not there.
    pub(super) fn state(&self, container: &str) -> anyhow::Result<Option<ContainerState>> {
        Ok(self.inspect(container)?.map(|container| container.state))
    }

    /// What the engine says of a container; `None` when it is not there.
    pub(super) fn inspect(&self, container: &str) -> anyhow::Result<Option<InspectedContainer>> {
        let container: Option<InspectedContainer> =
            self.inspect_one("container", container, "a container")?;
        Ok(container.map(|container| InspectedContainer {
            image: image_id(container.image),
            ..container
        }))
    }

    /// The part of what the engine says of one thing of a kind that is asked for; `None` when
    /// it is not there. `shown` is how an error names it.
    fn inspect_one<Part: DeserializeOwned>(
        &self,
        kind: &str,
        name: &str,
        shown: &str,
    ) -> anyhow::Result<Option<Part>> {
        // Without a template: to that of `{{json .}}` docker answers with an object for each
        // thing, podman with one list.
        let answer = self.ask([kind, "inspect", name])?;
        if !answer.succeeded() {
            return Ok(None);
        }
        let found: Vec<Part> = serde_json::from_slice(&answer.stdout)
            .with_context(|| format!("what {} says of {shown} cannot be read", self.client()))?;
        Ok(found.into_iter().next())
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
        // podman refuses docker's `status=dead`, which is rare.
        let statuses = ["created", "exited"].map(|status| format!("status={status}"));
        let mut args = vec!["ps", "--all", "--no-trunc"];
        args.extend(statuses.iter().flat_map(|filter| ["--filter", filter]));
        self.labelled("container", &args, "{{.ID}}", label)
    }

    /// The volumes that have this label: name, and the label's value.
    pub(super) fn volumes_with_label(&self, label: &str) -> anyhow::Result<Vec<(String, String)>> {
        self.labelled("volume", &["volume", "ls"], "{{.Name}}", label)
    }

    /// What a listing shows of all of a kind that has this label: `field`, and the label's value.
    fn labelled(
        &self,
        kind: &str,
        listing: &[&str],
        field: &str,
        label: &str,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let filter = format!("label={label}");
        let args = [listing, &["--filter", &filter, "--format", field]].concat();
        let answer = self.program.capture(&args)?;
        let names = String::from_utf8_lossy(&answer.stdout).into_owned();
        // Listings tell labels to docker by `.Label`, to podman by `.Labels`; `inspect` to both alike.
        names
            .lines()
            .map(|name| {
                let found = self.inspect_one(kind, name, name).unwrap_or_default();
                let labels = found.and_then(ObjectLabels::labels);
                let value = labels.and_then(|labels| labels.get(label).cloned());
                Ok((name.to_owned(), value.unwrap_or_default()))
            })
            .collect()
    }
}
