//! An image with pixi and a conda channel as the world publishes them, where the network has
//! them, and else the ones that are made here.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cache::scratch_dir;
use crate::channel::ensure_channel;
use crate::engine::ensure_engine;
use crate::images::{
    OFFICIAL, PixiImage, chosen_by_variable, ensure_image_made_here, ensure_published,
};
use crate::platform::Platform;
use crate::process::{announced, say};
use crate::project::lock_within;

/// How long a channel may take to answer: a solve for one small package.
const PATIENCE: Duration = Duration::from_secs(45);

/// Where to look for what is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// An image with pixi.
    pub image: String,
    /// A channel with python 3.11, as a project's `channels` names it.
    pub channel: String,
}

impl Default for Published {
    fn default() -> Published {
        Published {
            image: OFFICIAL.to_owned(),
            channel: "conda-forge".to_owned(),
        }
    }
}

/// An image, and a channel that its containers reach.
#[derive(Debug, Clone)]
pub struct Place {
    /// The image.
    pub image: PixiImage,
    /// What goes into a project's `channels`.
    pub channel: String,
    /// The platform that projects are for.
    pub subdir: &'static str,
    /// Where the two are from, in a line.
    pub told: String,
}

impl Published {
    /// The published image and channel, each where the network has it; else the ones that are
    /// made here. `PIXI_IMAGE` and `PIXI_BIN` go before the published image. A network that
    /// does not answer costs seconds.
    ///
    /// # Errors
    /// When there is no engine, or a part can be neither had nor made.
    pub fn or_made_here(&self) -> Result<Place> {
        ensure_engine()?;
        let subdir = Platform::host()?.subdir;
        let (image, image_told) = self.image()?;
        let (channel, channel_told) = self.channel(&image, subdir)?;
        let told = format!("image: {image_told}; channel: {channel_told}");
        say(&told);
        Ok(Place {
            image,
            channel,
            subdir,
            told,
        })
    }

    fn image(&self) -> Result<(PixiImage, String)> {
        if let Some(image) = chosen_by_variable()? {
            let told = format!("{}, as PIXI_IMAGE or PIXI_BIN says", image.reference);
            return Ok((image, told));
        }
        match ensure_published(&self.image) {
            Ok(image) => {
                let told = format!("{}, as published", image.reference);
                Ok((image, told))
            }
            Err(error) => {
                say(format_args!("{error:#}"));
                let image = ensure_image_made_here()?;
                let told = format!(
                    "{}, made on this machine (no {} can be had)",
                    image.reference, self.image
                );
                Ok((image, told))
            }
        }
    }

    fn channel(&self, image: &PixiImage, subdir: &str) -> Result<(String, String)> {
        let asked = announced(
            format_args!("asking for the channel {}", self.channel),
            || ask(&self.channel, subdir, image),
        );
        match asked {
            Ok(()) => Ok((
                self.channel.clone(),
                format!("{}, as published", self.channel),
            )),
            Err(error) => {
                let reason = format!("{error:#}");
                say(reason.lines().next().unwrap_or_default());
                let made = ensure_channel()?;
                let told = format!(
                    "{}, made of Debian's packages (no {} can be reached)",
                    made.url, self.channel
                );
                Ok((made.url, told))
            }
        }
    }
}

/// Whether a project in a container gets a package of the channel.
fn ask(channel: &str, subdir: &str, image: &PixiImage) -> Result<()> {
    let dir = scratch_dir("channel-question")?;
    write_question(dir.path(), channel, subdir)?;
    lock_within(PATIENCE, &image.reference, dir.path(), "", "/tmp/question")
        .with_context(|| format!("the channel {channel} cannot be reached from a container"))
}

/// A project that every pixi reads, with the smallest package that the demo would ask for.
fn write_question(dir: &Path, channel: &str, subdir: &str) -> Result<()> {
    let [channel, subdir] = [channel, subdir].map(|text| serde_json::Value::from(text).to_string());
    let text = format!(
        "[project]\nname = \"question\"\nversion = \"1.0.0\"\nchannels = [{channel}]\nplatforms = [{subdir}]\n\
         \n[dependencies]\npython = \"3.11.*\"\n"
    );
    fs::write(dir.join("pixi.toml"), text).context("cannot write a project")
}
