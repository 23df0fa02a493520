//! A container of the caller: it was running before us and goes on after.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::container::call::{CallResult, Input, call, read_answer};
use crate::container::engine::Engine;
use crate::container::scripts;
use crate::container::signals::{DeferredSignals, KillPolicy};
use crate::container::spec::exec_arguments;
use crate::failure::{self, Failure};
use crate::request::{ContainerId, ContainerVariable, ImageReference};
use crate::tools::{CapturedOutput, ChildProcess, ExitInfo, os_strings};

/// Where a program may be put in a container, in order of preference; the last
/// two are file systems in memory, for containers that are read-only.
const PLACES: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run"];

/// The program's name in the directory that is made for it; `upload.sh` has it too.
const IN_PLACE: &str = "/program";

/// How long after the end of a killed process its container may still count as
/// running.
const SETTLE: Duration = Duration::from_millis(500);

/// A running container and our way into it.
#[derive(Debug)]
pub struct RunningContainer {
    engine: Engine,
    id: ContainerId,
    image: String,
}

impl RunningContainer {
    /// Finds a running container.
    ///
    /// # Errors
    ///
    /// Exit code 2 when there is none of this name, or it does not run: what it
    /// does instead, and how to go on.
    pub fn find(engine: &Engine, id: &ContainerId) -> anyhow::Result<RunningContainer> {
        let client = engine.client();
        let Some(container) = engine.inspect(id.as_str())? else {
            return Err(Failure::usage(format!(
                "there is no container {id}; `{client} ps` shows those that run"
            )));
        };
        match container.state.status.as_str() {
            "running" => {}
            "paused" => {
                return Err(Failure::usage(format!(
                    "container {id} is paused; go on with `{client} unpause {id}`"
                )));
            }
            status => {
                return Err(Failure::usage(format!(
                    "container {id} does not run (it is {status}); start it with `{client} start {id}`"
                )));
            }
        }
        Ok(RunningContainer {
            engine: engine.clone(),
            id: id.clone(),
            image: container.image,
        })
    }

    /// Its name or id.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// The image that it runs.
    ///
    /// # Errors
    ///
    /// When the engine's id for it is none.
    pub fn image(&self) -> anyhow::Result<ImageReference> {
        ImageReference::new(self.image.as_ref())
    }

    /// Copies the agent into the container, to be removed with
    /// [`UploadedAgent`]; until then no signal ends this process.
    ///
    /// # Errors
    ///
    /// 128+n after a signal; when the program cannot be read, the container has no
    /// shell (127) or no place to put a program into.
    pub fn upload(&self, program: &Path, nonce: &str) -> anyhow::Result<UploadedAgent<'_>> {
        let unreadable = || format!("{} cannot be read", program.display());
        let input = File::open(program).with_context(unreadable)?;
        let size = input.metadata().with_context(unreadable)?.len().to_string();
        let name = format!(".pixi-offline-{nonce}");
        let mut args = vec!["sh", "-c", scripts::UPLOAD, "pixi-offline", &name, &size];
        args.extend(PLACES);
        let mut agent = UploadedAgent {
            container: self,
            places: PLACES.map(|place| format!("{place}/{name}")),
            file: String::new(),
            hold: DeferredSignals::start()?,
        };
        let arguments = self.exec(true, &args);
        let (engine, input) = (&self.engine, Input::File(input));
        let take = |stream: &mut ChildProcess| read_answer(stream);
        let CallResult { taken, exit } = call(KillPolicy::Wait, engine, &arguments, input, take)?;
        let answer = taken?;
        let exit = exit.context(STILL_THERE)?;
        match exit.code {
            0 => {
                // Any other answer is not that of our script.
                let file = String::from_utf8(answer).ok();
                agent.file = file
                    .filter(|file| {
                        let place = file.strip_suffix(IN_PLACE);
                        place.is_some_and(|place| agent.places.iter().any(|own| own == place))
                    })
                    .ok_or_else(|| {
                        Failure::general(format!(
                            "container {} did not run the build script; is its sh a shell?",
                            self.id
                        ))
                    })?;
                Ok(agent)
            }
            code @ (failure::NOT_STARTED | failure::MISSING_PROGRAM) => Err(Failure::with_code(
                code,
                format!(
                    "container {} has no usable shell (sh); its message is above",
                    self.id
                ),
            )),
            _ => {
                let (code, message) = self.why_it_ended(true, exit)?;
                Err(Failure::with_code(code, message).context(format!(
                    "the helper program cannot be copied into container {} (the engine's message is above); is it read-only? start it with a file system in memory: --tmpfs /tmp:exec",
                    self.id
                )))
            }
        }
    }

    /// Runs a script in a login shell in it, with these variables; gives what that ended
    /// with.
    ///
    /// # Errors
    ///
    /// When the client cannot be started.
    pub fn ask(
        &self,
        variables: &[ContainerVariable],
        script: &str,
        args: &[&str],
    ) -> anyhow::Result<CapturedOutput> {
        let shell = std::iter::once("sh".into()).chain(scripts::question(script, args));
        let arguments = exec_arguments(false, variables, self.id(), shell);
        self.engine.program.capture(&arguments)
    }

    /// The exit code and the message for a script or program in it that did not
    /// get to its end.
    pub(super) fn why_it_ended(
        &self,
        started: bool,
        client: ExitInfo,
    ) -> anyhow::Result<(u8, String)> {
        let id = &self.id;
        let code = client.code;
        if code == failure::SIGNAL_BASE + 9 && client.signal.is_none() {
            // The engine needs a moment to see that the whole container is gone.
            self.engine.wait_for_end(id.as_str(), SETTLE)?;
        }
        let message = match self.engine.state(id.as_str())? {
            None => format!("container {id} was removed during the work in it"),
            Some(state) if state.out_of_memory => {
                format!("container {id} ran out of memory (exit code {code})")
            }
            Some(state) if state.status != "running" => {
                format!(
                    "container {id} stopped during the work in it (it is {})",
                    state.status
                )
            }
            Some(_) if client.signal.is_some() => format!(
                "the engine's client ({}) was killed by signal {}; the script in container {id} was stopped",
                self.engine.client(),
                code - failure::SIGNAL_BASE
            ),
            Some(_) if !started => {
                format!(
                    "container {id} did not run the build script (exit code {code}); does its image have a shell?"
                )
            }
            Some(_) => {
                format!("the script in container {id} stopped early with exit code {code}")
            }
        };
        Ok((code, message))
    }

    fn exec(&self, interactive: bool, args: &[&str]) -> Vec<OsString> {
        exec_arguments(interactive, &[], self.id(), os_strings(args))
    }
}

/// Message for a client that closes its output and keeps running.
const STILL_THERE: &str = "the engine's client closed its output and did not end";

/// The agent in the caller's container, there as long as this is, or until
/// its input ends while it runs: then it removes itself.
#[derive(Debug)]
pub struct UploadedAgent<'a> {
    container: &'a RunningContainer,
    /// The directories that it may be in, wholly or in part.
    places: [String; PLACES.len()],
    file: String,
    hold: DeferredSignals,
}

impl UploadedAgent<'_> {
    /// Its path in the container.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Whether no signal to us came since it was brought.
    ///
    /// # Errors
    ///
    /// 128+n.
    pub fn not_interrupted(&self) -> anyhow::Result<()> {
        self.hold.check()
    }

    /// Runs the program and takes what it prints; its errors are shown.
    ///
    /// # Errors
    ///
    /// 128+n after a signal; with its exit code when it fails, and when it cannot
    /// run there at all (another processor).
    pub fn run(&self, args: &[impl AsRef<str>]) -> anyhow::Result<Vec<u8>> {
        self.run_piped(args, |stream| read_answer(stream))
    }

    /// Runs the program and hands what it prints to `take`; its errors are shown.
    ///
    /// # Errors
    ///
    /// As [`UploadedAgent::run`], and those of `take`.
    pub fn run_piped<T>(
        &self,
        args: &[impl AsRef<str>],
        take: impl FnOnce(&mut dyn Read) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.not_interrupted()?;
        let whole: Vec<&str> = std::iter::once(self.file.as_str())
            .chain(args.iter().map(AsRef::as_ref))
            .collect();
        let arguments = self.container.exec(true, &whole);
        let engine = &self.container.engine;
        let take = |stream: &mut ChildProcess| take(stream);
        let CallResult { taken, exit } =
            call(KillPolicy::Wait, engine, &arguments, Input::Held, take)?;
        match (&taken, exit) {
            (Ok(_), exit) => self.classify(exit.context(STILL_THERE)?)?,
            // The stream was cut because the client ended.
            (Err(_), Some(exit)) if exit.signal.is_some() => self.classify(exit)?,
            (Err(_), _) => {}
        }
        taken
    }

    fn classify(&self, ending: ExitInfo) -> anyhow::Result<()> {
        let id = &self.container.id;
        match ending.code {
            0 => Ok(()),
            code @ (failure::NOT_STARTED | failure::MISSING_PROGRAM) => Err(Failure::with_code(
                code,
                format!(
                    "the helper program does not run in container {id}: does it have a different CPU architecture than this machine?"
                ),
            )),
            code => {
                let running = self.container.engine.state(id.as_str())?;
                let runs = running.is_some_and(|state| state.status == "running");
                if !runs || ending.signal.is_some() {
                    let (code, message) = self.container.why_it_ended(true, ending)?;
                    return Err(Failure::with_code(code, message));
                }
                Err(Failure::with_code(
                    code,
                    format!("the work in container {id} failed; its message is above"),
                ))
            }
        }
    }
}

impl Drop for UploadedAgent<'_> {
    fn drop(&mut self) {
        let mut args = vec!["rm", "-rf"];
        args.extend(self.places.iter().map(String::as_str));
        let _ = self
            .container
            .engine
            .program
            .capture(&self.container.exec(false, &args));
    }
}
