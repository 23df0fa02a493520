//! A container that is somebody's: it was running before us and goes on after.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use anyhow::Context as _;

use crate::container::engine::Engine;
use crate::container::scripts;
use crate::failure::{self, Failure};
use crate::request::{ContainerId, ImageReference};
use crate::tools::{Captured, Conversation};

/// Where a program may be put in a container, in order of preference; the last
/// two are file systems in memory, for containers that are read-only.
const PLACES: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run"];

/// A running container and our way into it.
#[derive(Debug)]
pub struct Resident {
    engine: Engine,
    id: ContainerId,
    image: String,
}

impl Resident {
    /// Finds a running container.
    ///
    /// # Errors
    ///
    /// Exit code 2 when there is none of this name, or it does not run: what it
    /// does instead, and how to go on.
    pub fn find(engine: &Engine, id: &ContainerId) -> anyhow::Result<Resident> {
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
        Ok(Resident {
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
    /// [`Brought`].
    ///
    /// # Errors
    ///
    /// When the program cannot be read, the container has no shell (127) or no
    /// place to put a program into.
    pub fn bring(&self, program: &Path, nonce: &str) -> anyhow::Result<Brought<'_>> {
        let input =
            File::open(program).with_context(|| format!("{} cannot be read", program.display()))?;
        let name = format!(".pixi-offline-{nonce}");
        let mut words = vec!["sh", "-c", scripts::BRING, "pixi-offline", name.as_str()];
        words.extend(PLACES);
        let brought = self
            .engine
            .program()
            .capture_output(&self.exec(true, &words), Some(input))?;
        match brought.code {
            0 => Ok(Brought {
                container: self,
                file: String::from_utf8_lossy(&brought.stdout).into_owned(),
            }),
            code @ (126 | failure::MISSING_PROGRAM) => Err(Failure::with_code(
                code,
                format!(
                    "container {} has no usable shell (sh); its message is above",
                    self.id
                ),
            )),
            code => {
                let (code, message) = self.why_it_ended(true, code)?;
                Err(Failure::with_code(code, message).context(format!(
                    "our program cannot be put into container {} (its message is above); is it read-only? give it a file system in memory: --tmpfs /tmp:exec",
                    self.id
                )))
            }
        }
    }

    /// The exit code and the message for a script or program in it that did not
    /// get to its end.
    pub(super) fn why_it_ended(&self, started: bool, code: u8) -> anyhow::Result<(u8, String)> {
        let id = &self.id;
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
            Some(_) if !started => {
                format!("container {id} did not run our script (exit code {code}); has it a shell?")
            }
            Some(_) => {
                format!("what ran in container {id} ended with exit code {code} before its end")
            }
        };
        Ok((code, message))
    }

    fn exec(&self, interactive: bool, words: &[&str]) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["exec".into()];
        if interactive {
            arguments.push("--interactive".into());
        }
        arguments.push(self.id().into());
        arguments.extend(words.iter().map(OsString::from));
        arguments
    }
}

/// A program of ours in somebody's container, there as long as this is.
#[derive(Debug)]
pub struct Brought<'a> {
    container: &'a Resident,
    file: String,
}

impl Brought<'_> {
    /// Runs the program and takes what it prints; its errors are shown.
    ///
    /// # Errors
    ///
    /// With its exit code when it fails, and when it cannot run there at all
    /// (another processor).
    pub fn run(&self, words: &[&str]) -> anyhow::Result<Vec<u8>> {
        let done = self
            .container
            .engine
            .program()
            .capture_output(&self.arguments(words), None)?;
        self.judge(&done)?;
        Ok(done.stdout)
    }

    /// Starts the program and reads what it prints; its errors are shown.
    ///
    /// # Errors
    ///
    /// When the client cannot be started.
    pub fn listen(&self, words: &[&str]) -> anyhow::Result<Conversation> {
        self.container
            .engine
            .program()
            .listen(&self.arguments(words))
    }

    fn arguments(&self, words: &[&str]) -> Vec<OsString> {
        let whole: Vec<&str> = std::iter::once(self.file.as_str())
            .chain(words.iter().copied())
            .collect();
        self.container.exec(false, &whole)
    }

    fn judge(&self, done: &Captured) -> anyhow::Result<()> {
        match done.code {
            0 => Ok(()),
            code @ (126 | failure::MISSING_PROGRAM) => Err(Failure::with_code(
                code,
                format!(
                    "our program does not run in container {}: is it of another processor than this machine's?",
                    self.container.id
                ),
            )),
            code => {
                let id = &self.container.id;
                let running = self.container.engine.state(id.as_str())?;
                if running.is_none_or(|state| state.status != "running") {
                    let (code, message) = self.container.why_it_ended(true, code)?;
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

impl Drop for Brought<'_> {
    fn drop(&mut self) {
        let words = ["rm", "-f", self.file.as_str()];
        let _ = self
            .container
            .engine
            .program()
            .capture(&self.container.exec(false, &words));
    }
}
