//! Volumes of an engine that does not see this machine's files, and the container
//! through which they are filled and emptied.

use std::io::PipeWriter;
use std::path::Path;
use std::sync::mpsc;

use anyhow::Context as _;

use crate::container::call::{CallResult, Input, call, is_broken_pipe};
use crate::container::engine::Engine;
use crate::container::mount::Mount;
use crate::container::owner::{self, Owner};
use crate::container::signals::{CleanupOnSignal, DeferredSignals, KillPolicy};
use crate::container::spec::{ContainerName, HelperSpec};
use crate::failure::{self, Failure};
use crate::request::ImageReference;
use crate::tools::{ChildProcess, os_strings};
use crate::transfer::Sender;

/// Where our program is in a container that is made for it.
pub(super) const PROGRAM: &str = "/.pixi-offline-program";

/// What happened to an engine that does not answer any more.
const GONE: &str = "the connection to the engine broke while files were copied";

/// What starts a container's name that carries to and from volumes.
const CARRIER: &str = "pixi-offline-carrier";

/// A volume of this run: removed with this value, and until then no signal ends this
/// process.
#[derive(Debug)]
pub struct Volume {
    engine: Engine,
    name: String,
    hold: Option<DeferredSignals>,
}

impl Volume {
    /// A name that no other run has.
    pub fn name_for(nonce: &str) -> String {
        format!("pixi-offline-{}", nonce.get(..12).unwrap_or(nonce))
    }

    /// Makes an empty volume.
    ///
    /// # Errors
    ///
    /// When the engine has one of this name: this run did not make it. Exit code 125 when it
    /// makes none.
    pub fn make(engine: &Engine, name: String) -> anyhow::Result<Volume> {
        let client = engine.client();
        if engine.has_volume(&name)? {
            return Err(Failure::usage(format!(
                "the engine already has a volume {name}, which this run did not create; remove it with `{client} volume rm {name}` if nobody needs it, and run the command again"
            )));
        }
        let hold = DeferredSignals::start()?;
        let owner = Owner::this_process().map_or(String::new(), |owner| owner.label());
        let label = format!("{}={owner}", owner::LABEL);
        let made = engine.volume(&["create", "--label", &label, &name])?;
        // From here on it is removed, also when it was made and the client failed.
        let volume = Volume {
            engine: engine.clone(),
            name,
            hold: Some(hold),
        };
        if made.succeeded() {
            return Ok(volume);
        }
        Err(Failure::engine(format!(
            "{client} could not make a volume: {}",
            made.stderr
        )))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether no signal came since it was made.
    ///
    /// # Errors
    ///
    /// 128+n.
    pub fn not_interrupted(&self) -> anyhow::Result<()> {
        self.hold.as_ref().map_or(Ok(()), DeferredSignals::check)
    }

    /// Keeps it for a later step of this run, while others work: a signal ends the
    /// process again, after the volume was removed.
    ///
    /// # Errors
    ///
    /// 128+n when a signal came before; when signals cannot be watched for.
    pub fn keep(mut self) -> anyhow::Result<KeptVolume> {
        self.not_interrupted()?;
        let (engine, name) = (self.engine.clone(), self.name.clone());
        let tidy = CleanupOnSignal::start(move || engine.remove_volume(&name))?;
        self.hold = None;
        Ok(KeptVolume { volume: self, tidy })
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.engine.remove_volume(&self.name);
    }
}

/// A volume that waits for a later step; removed with this value.
#[derive(Debug)]
pub struct KeptVolume {
    volume: Volume,
    tidy: CleanupOnSignal,
}

impl KeptVolume {
    /// Takes it up again.
    ///
    /// # Errors
    ///
    /// When signals cannot be watched for.
    pub fn reopen(self) -> anyhow::Result<Volume> {
        let KeptVolume { mut volume, tidy } = self;
        volume.hold = Some(DeferredSignals::start()?);
        drop(tidy);
        Ok(volume)
    }
}

/// A container that does nothing but carry: it has volumes and a copy of our
/// program, which is started for each request and reads from its input what it is
/// sent for. It has no network and never runs anything of the image. Removed with
/// this value.
#[derive(Debug)]
pub struct TransferContainer<'a> {
    engine: &'a Engine,
    name: ContainerName,
}

impl<'a> TransferContainer<'a> {
    /// Makes it from an image that the engine has, with these volumes mounted, and
    /// puts a copy of the static program `program` into it, to be called with `args`.
    ///
    /// # Errors
    ///
    /// 128+n after a signal; 125 when the engine refuses.
    pub fn make(
        engine: &'a Engine,
        image: &ImageReference,
        mounts: &[Mount],
        program: &Path,
        args: &[String],
        nonce: &str,
    ) -> anyhow::Result<TransferContainer<'a>> {
        let transfer_container = TransferContainer {
            engine,
            name: ContainerName::new(CARRIER, nonce),
        };
        // A user of the image's could not write into a volume of root's.
        let mut options = os_strings(&["--log-driver", "none", "--user", "0:0"]);
        for mount in mounts {
            options.extend(["--mount".into(), mount.value()?.into()]);
        }
        let helper = HelperSpec {
            command: &[
                "create",
                "--interactive",
                "--name",
                transfer_container.name.as_str(),
            ],
            purpose: "carrier",
            network: "none",
            options,
            entrypoint: Some(PROGRAM),
            image: image.as_str(),
            args: os_strings(args),
        };
        let made = engine.program.capture(&helper.arguments())?;
        if !made.succeeded() {
            return Err(Failure::engine(format!(
                "{} could not create a container to copy files: {}",
                engine.client(),
                made.stderr
            )));
        }
        let program = program.to_owned();
        let target = format!("{}:/", transfer_container.name.as_str());
        let put = move |mut to: PipeWriter| {
            let mut sender = Sender::new(&mut to);
            sender.program(&program, Path::new(PROGRAM.trim_start_matches('/')))?;
            sender.finish("").map(drop)
        };
        transfer_container.call(&["cp", "-", &target], put, |_| Ok(()))?;
        Ok(transfer_container)
    }

    /// Starts our program, lets `send` write its input, and hands what it prints to
    /// `take`; its errors are shown.
    ///
    /// # Errors
    ///
    /// 128+n after a signal; 125 when the engine does not answer any more, else the exit
    /// code of our program; those of `send` and `take`.
    pub fn request<T>(
        &self,
        send: impl FnOnce(PipeWriter) -> anyhow::Result<()> + Send + 'static,
        take: impl FnOnce(&mut ChildProcess) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let args = ["start", "--attach", "--interactive", self.name.as_str()];
        self.call(&args, send, take)
    }

    fn call<T>(
        &self,
        args: &[&str],
        send: impl FnOnce(PipeWriter) -> anyhow::Result<()> + Send + 'static,
        take: impl FnOnce(&mut ChildProcess) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let (result, sent) = mpsc::channel();
        let write = move |to: PipeWriter| {
            let _ = result.send(send(to));
        };
        let CallResult { taken, exit } = call(
            KillPolicy::Remove(self.engine.clone(), vec![self.name.clone()]),
            self.engine,
            args,
            Input::Stream(Box::new(write)),
            take,
        )?;
        let code = exit.map_or(0, |exit| exit.code);
        if code != 0 {
            return Err(self.why(code, sent.try_recv().ok().and_then(Result::err)));
        }
        // Without an end it was killed, since what it printed could not be used; when it
        // was cut, the engine may be why.
        let taken = taken.map_err(|error| match self.engine.version() {
            Ok(_) => error,
            Err(gone) => gone.context(GONE),
        })?;
        sent.recv().context("the stream was not written")??;
        Ok(taken)
    }

    /// Why a call ended with this exit code; `error` is what the sender met.
    fn why(&self, code: u8, error: Option<anyhow::Error>) -> anyhow::Error {
        let client = self.engine.client();
        if let Err(gone) = self.engine.version() {
            return gone.context(GONE);
        }
        match error {
            // A reader that went away is told by its own words.
            Some(error) if !is_broken_pipe(&error) => error,
            _ if matches!(code, failure::NOT_STARTED | failure::MISSING_PROGRAM) => {
                Failure::with_code(
                    code,
                    format!(
                        "the helper program cannot be started on the engine behind {client}: does it have a different CPU architecture than this machine?"
                    ),
                )
            }
            _ => Failure::with_code(
                code,
                format!(
                    "files could not be copied to or from the engine behind {client}; see its message above"
                ),
            ),
        }
    }
}

impl Drop for TransferContainer<'_> {
    fn drop(&mut self) {
        let _ = self.engine.remove(std::slice::from_ref(&self.name));
    }
}
