//! Images: looked into, built, tried, named, saved and removed.

use std::ffi::OsString;
use std::io::{PipeWriter, Read as _, Write};

use anyhow::Context as _;

use crate::container::call::{CallResult, Input, call, is_broken_pipe};
use crate::container::engine::{Engine, EngineVersion, image_id};
use crate::container::engine_arguments;
use crate::container::scripts;
use crate::container::signals::KillPolicy;
use crate::container::spec::{ContainerName, HelperSpec};
use crate::failure::{self, Failure};
use crate::report::Report;
use crate::request::ImageReference;
use crate::tools::{CapturedOutput, ChildProcess, os_strings};

/// How a look into an image ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageProbe {
    /// What the script printed.
    Seen(String),
    /// It has no shell that could be started: the engine's words.
    NoShell(String),
}

impl Engine {
    /// Runs a script in a container of the image that has no network and is removed.
    ///
    /// # Errors
    ///
    /// Exit code 125 when the engine cannot make one.
    pub fn probe(
        &self,
        image: &ImageReference,
        script: &str,
        args: &[&str],
    ) -> anyhow::Result<ImageProbe> {
        let mut shell: Vec<OsString> = ["-c", script, "look"].map(OsString::from).into();
        shell.extend(args.iter().map(OsString::from));
        let answer = self.run_probe(image.as_str(), Vec::new(), shell)?;
        match answer.code {
            0 => Ok(ImageProbe::Seen(
                String::from_utf8_lossy(&answer.stdout).into_owned(),
            )),
            // What the client says of a program that is not there or cannot be started.
            failure::MISSING_PROGRAM | failure::NOT_STARTED => {
                Ok(ImageProbe::NoShell(answer.stderr))
            }
            _ => Err(Failure::engine(format!(
                "{} cannot run a container of {image}: {}",
                self.client(),
                answer.stderr
            ))),
        }
    }

    /// Runs a script in a login shell of a container of the image that has no network and is
    /// removed, with these arguments for the engine's `run` and what of the caller's
    /// `engine_arguments` fits such a container; gives what that ended with.
    ///
    /// # Errors
    ///
    /// When the client cannot be started.
    pub fn ask_image(
        &self,
        image: &ImageReference,
        mut options: Vec<OsString>,
        engine_arguments: &[OsString],
        script: &str,
        args: &[&str],
    ) -> anyhow::Result<CapturedOutput> {
        options.extend(engine_arguments::without_network(engine_arguments));
        self.run_probe(image.as_str(), options, scripts::question(script, args))
    }

    /// Runs `sh` with the arguments `shell` in a container that has no network and is removed.
    pub(super) fn run_probe(
        &self,
        image: &str,
        options: Vec<OsString>,
        shell: Vec<OsString>,
    ) -> anyhow::Result<CapturedOutput> {
        let helper = HelperSpec {
            command: &["run", "--rm"],
            purpose: "look",
            network: "none",
            options,
            entrypoint: Some("sh"),
            image,
            args: shell,
        };
        self.program.capture(&helper.arguments())
    }

    /// Has an image built without a network from the context that `send` writes, shows
    /// what the builder says, and returns the image's id. The image gets a name for the
    /// time being, since nothing else keeps it from being tidied away; `build` is the
    /// value of the argument `PIXI_OFFLINE_BUILD`, `engine` what the engine said of itself.
    ///
    /// # Errors
    ///
    /// 128+n after a signal; 125 when the engine went away; 1 when the build failed or the
    /// context could not be sent.
    pub fn build_image(
        &self,
        send: impl FnOnce(&mut PipeWriter) -> anyhow::Result<()> + Send + 'static,
        name: &str,
        build: &str,
        engine: &EngineVersion,
        report: &Report,
    ) -> anyhow::Result<String> {
        let dir = tempfile::tempdir().context("no temporary directory can be made")?;
        let id_file = dir.path().join("id");
        // The classic builder's cache is made of images without a name: a build that used
        // those of another would lose them when that one tidies up.
        let mut arguments = os_strings(&["build", "--network", "none", "--force-rm", "--no-cache"]);
        if engine.is_podman {
            // Its own format knows no health check.
            arguments.extend(os_strings(&["--format", "docker"]));
        }
        arguments.extend(["--iidfile".into(), id_file.clone().into_os_string()]);
        arguments.extend(["--tag", name, "--build-arg"].map(OsString::from));
        arguments.extend([format!("PIXI_OFFLINE_BUILD={build}").into(), "-".into()]);
        let (result, sent) = std::sync::mpsc::channel();
        let write = move |mut to: PipeWriter| {
            let done = send(&mut to);
            drop(to);
            let _ = result.send(done);
        };
        let show = |stream: &mut ChildProcess| show(stream, report);
        let called = call(
            KillPolicy::Wait,
            &self.shown_by(report),
            &arguments,
            Input::Stream(Box::new(write)),
            show,
        );
        if engine.is_podman && called.is_err() {
            report.note(format_args!(
                "{0} keeps the working containers of a build that a signal ended: `{0} ps --all --external` lists them, `{0} rm` removes them",
                self.client()
            ));
        }
        let CallResult { taken, exit } = called?;
        taken?;
        let code = exit.map_or(failure::GENERAL, |exit| exit.code);
        if code != 0 {
            // A context that broke off is why; one that the builder did not want is not.
            if let Ok(Err(error)) = sent.try_recv()
                && !is_broken_pipe(&error)
            {
                return Err(error.context("the build context could not be sent"));
            }
            // An engine that went away is told by its own words.
            self.version()?;
            return Err(Failure::general(format!(
                "the image was not built: {} build ended with {code}, see its output above; no image got a name",
                self.client()
            )));
        }
        sent.recv().context("the build context was not sent")??;
        let id = std::fs::read_to_string(&id_file)
            .with_context(|| format!("{} build did not report the image's id", self.client()))?;
        let id = image_id(id.trim().to_owned());
        let built = ImageReference::new(id.as_ref())?;
        if self.image(&built)?.is_none() {
            return Err(Failure::engine(format!(
                "{} build made the image {id}, but the engine does not have it: its builder keeps images to itself; use the engine's own (BUILDX_BUILDER=default)",
                self.client()
            )));
        }
        Ok(id)
    }

    /// Runs a command in a container of the image without a network whose root file
    /// system is read-only, shows its output, and returns its exit code. The container
    /// is removed however that ends.
    ///
    /// # Errors
    ///
    /// 128+n after a signal; 125 when the engine cannot make or start the container.
    pub fn try_image(
        &self,
        image: &str,
        name: &ContainerName,
        own_options: Vec<OsString>,
        args: &[OsString],
        report: &Report,
    ) -> anyhow::Result<u8> {
        let mut options = os_strings(&["--read-only", "--log-driver", "none"]);
        options.extend(own_options);
        let helper = HelperSpec {
            command: &["run", "--name", name.as_str()],
            purpose: "verify-run",
            network: "none",
            options,
            entrypoint: None,
            image,
            args: args.to_vec(),
        };
        let arguments = helper.arguments();
        let last_resort = KillPolicy::Remove(self.clone(), vec![name.clone()]);
        let show = |stream: &mut ChildProcess| show(stream, report);
        let done = call(
            last_resort,
            &self.shown_by(report),
            &arguments,
            Input::Held,
            show,
        );
        let state = self.state(name.as_str());
        self.remove(std::slice::from_ref(name))?;
        let CallResult { taken, exit } = done?;
        taken?;
        let code = exit.map_or(failure::GENERAL, |exit| exit.code);
        match state? {
            Some(state) if state.status == "exited" => Ok(code),
            Some(state) if !state.error.is_empty() => Err(Failure::with_code(
                code,
                format!("the image cannot be started: {}", state.error),
            )),
            _ => Err(Failure::engine(format!(
                "{} could not run the image; see its output above",
                self.client()
            ))),
        }
    }

    /// Gives an image a name; another that had it loses it.
    ///
    /// # Errors
    ///
    /// Exit code 125 with the engine's words.
    pub fn tag_image(&self, id: &str, tag: &str) -> anyhow::Result<()> {
        let answer = self.program.capture(&["tag", id, tag])?;
        if answer.succeeded() {
            return Ok(());
        }
        Err(Failure::engine(format!(
            "the image cannot be named {tag}: {}",
            answer.stderr
        )))
    }

    /// Writes an image as an archive that `load` reads.
    ///
    /// # Errors
    ///
    /// 128+n after a signal; 125 when the engine fails; 1 when `to` takes no more.
    pub fn save_image(&self, tag: &str, to: &mut impl Write) -> anyhow::Result<()> {
        let write = |stream: &mut ChildProcess| {
            std::io::copy(stream, to).context("the archive cannot be written")
        };
        let args = ["save", tag];
        let CallResult { taken, exit } = call(KillPolicy::Wait, self, &args, Input::Held, write)?;
        taken?;
        match exit {
            Some(exit) if exit.code == 0 => Ok(()),
            _ => Err(Failure::engine(format!(
                "{} save failed; see its output above",
                self.client()
            ))),
        }
    }

    /// The ids of the images without a name that carry this label.
    ///
    /// # Errors
    ///
    /// When the client cannot be started.
    pub fn nameless_images(&self, label: &str) -> anyhow::Result<Vec<String>> {
        let label = format!("label={label}");
        let mut args = vec!["image", "ls", "--quiet", "--no-trunc"];
        args.extend(["--filter", "dangling=true", "--filter", &label]);
        let answer = self.program.capture(&args)?;
        let text = String::from_utf8_lossy(&answer.stdout);
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Removes the containers that carry this label, and returns how many there were.
    /// Failures are passed over: this is tidying.
    ///
    /// # Errors
    ///
    /// When the client cannot be started.
    pub fn remove_containers(&self, label: &str) -> anyhow::Result<usize> {
        let label = format!("label={label}");
        let args = ["ps", "--all", "--quiet", "--no-trunc", "--filter", &label];
        let answer = self.program.capture(&args)?;
        let text = String::from_utf8_lossy(&answer.stdout);
        for id in text.lines() {
            let remove = ["rm", "--force", "--volumes", id];
            let _ = self.program.capture(&remove)?;
        }
        Ok(text.lines().count())
    }

    /// Removes an image by its id, or its name and with the last one the image, unless
    /// something uses it. Failures are passed over: this is tidying.
    pub fn remove_image(&self, id: &str) {
        let _ = self.program.capture(&["image", "rm", id]);
    }
}

/// Shows what the client prints until it ends.
fn show(stream: &mut ChildProcess, report: &Report) -> anyhow::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => report
                .container_output(&buffer[..length])
                .context("stdout takes no more")?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("the engine's client cannot be read"),
        }
    }
}
