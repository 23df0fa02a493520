//! A container that is somebody's: it was running before us and goes on after.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::container::call::{Input, call, read_answer};
use crate::container::engine::Engine;
use crate::container::scripts;
use crate::container::signals::DeferredSignals;
use crate::container::spec::exec_arguments;
use crate::failure::{self, Failure};
use crate::request::{ContainerId, ContainerVariable, ImageReference};
use crate::tools::{Captured, ExitInfo, os_strings};

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

    /// Copies a program of ours into the container, to be removed with
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
        let mut words = vec!["sh", "-c", scripts::UPLOAD, "pixi-offline", &name, &size];
        words.extend(PLACES);
        let mut brought = UploadedAgent {
            container: self,
            places: PLACES.map(|place| format!("{place}/{name}")),
            file: String::new(),
            hold: DeferredSignals::start()?,
        };
        let arguments = self.exec(true, &words);
        let (answer, ending) = call(&self.engine, &arguments, Input::File(input), |stream| {
            read_answer(stream)
        })?;
        let answer = answer?;
        let ending = ending.context(STILL_THERE)?;
        match ending.code {
            0 => {
                // Any other answer is not that of our script.
                let file = String::from_utf8(answer).ok();
                brought.file = file
                    .filter(|file| {
                        let place = file.strip_suffix(IN_PLACE);
                        place.is_some_and(|place| brought.places.iter().any(|own| own == place))
                    })
                    .ok_or_else(|| {
                        Failure::general(format!(
                            "container {} did not run our script; is its sh a shell?",
                            self.id
                        ))
                    })?;
                Ok(brought)
            }
            code @ (failure::NOT_STARTED | failure::MISSING_PROGRAM) => Err(Failure::with_code(
                code,
                format!(
                    "container {} has no usable shell (sh); its message is above",
                    self.id
                ),
            )),
            _ => {
                let (code, message) = self.why_it_ended(true, ending)?;
                Err(Failure::with_code(code, message).context(format!(
                    "our program cannot be put into container {} (its message is above); is it read-only? give it a file system in memory: --tmpfs /tmp:exec",
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
        words: &[&str],
    ) -> anyhow::Result<Captured> {
        let shell = std::iter::once("sh".into()).chain(scripts::question(script, words));
        let arguments = exec_arguments(false, variables, self.id(), shell);
        self.engine.program().capture(&arguments)
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
            None => format!("container {id} was removed while we worked in it"),
            Some(state) if state.out_of_memory => {
                format!("container {id} ran out of memory (exit code {code})")
            }
            Some(state) if state.status != "running" => {
                format!(
                    "container {id} stopped while we worked in it (it is {})",
                    state.status
                )
            }
            Some(_) if client.signal.is_some() => format!(
                "the engine's client ({}) was killed by signal {}; what ran for us in container {id} was ended",
                self.engine.client(),
                code - failure::SIGNAL_BASE
            ),
            Some(_) if !started => {
                format!(
                    "container {id} did not run our script (exit code {code}); does its image have a shell?"
                )
            }
            Some(_) => {
                format!("what ran in container {id} ended with exit code {code} before its end")
            }
        };
        Ok((code, message))
    }

    fn exec(&self, interactive: bool, words: &[&str]) -> Vec<OsString> {
        exec_arguments(interactive, &[], self.id(), os_strings(words))
    }
}

/// What should never be said of a client.
const STILL_THERE: &str = "the engine's client closed its output and goes on";

/// A program of ours in somebody's container, there as long as this is, or until
/// its input ends while it runs: then it removes itself.
#[derive(Debug)]
pub struct UploadedAgent<'a> {
    container: &'a RunningContainer,
    /// The directories that it may lie in, wholly or in part.
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
    pub fn run(&self, words: &[impl AsRef<str>]) -> anyhow::Result<Vec<u8>> {
        self.run_piped(words, |stream| read_answer(stream))
    }

    /// Runs the program and hands what it prints to `take`; its errors are shown.
    ///
    /// # Errors
    ///
    /// As [`UploadedAgent::run`], and those of `take`.
    pub fn run_piped<T>(
        &self,
        words: &[impl AsRef<str>],
        take: impl FnOnce(&mut dyn Read) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.not_interrupted()?;
        let whole: Vec<&str> = std::iter::once(self.file.as_str())
            .chain(words.iter().map(AsRef::as_ref))
            .collect();
        let arguments = self.container.exec(true, &whole);
        let engine = &self.container.engine;
        let (taken, ending) = call(engine, &arguments, Input::Held, |stream| take(stream))?;
        match (&taken, ending) {
            (Ok(_), ending) => self.classify(ending.context(STILL_THERE)?)?,
            // A stream was cut since nobody was left to carry it.
            (Err(_), Some(ending)) if ending.signal.is_some() => self.classify(ending)?,
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
                    "our program does not run in container {id}: is its processor architecture another than this machine's?"
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
        let mut words = vec!["rm", "-rf"];
        words.extend(self.places.iter().map(String::as_str));
        let _ = self
            .container
            .engine
            .program()
            .capture(&self.container.exec(false, &words));
    }
}
