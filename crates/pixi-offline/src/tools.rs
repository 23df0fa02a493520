//! Other programs: the only module that starts processes.

#![allow(
    clippy::disallowed_methods,
    reason = "this is the module that starts processes"
)]

use std::ffi::{OsStr, OsString};
use std::io::{PipeWriter, Read, Write as _};
use std::os::fd::IntoRawFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context as _;

use crate::failure::{Failure, SIGNAL_BASE};
use crate::host_env::HostEnv;
use crate::report::PlainText;
use crate::untrusted_dir::RECORD_LIMIT;

/// A program that was found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    errors: Errors,
}

/// Where the standard error of a program that is read live goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errors {
    /// To this process's standard error, as it is.
    Ours,
    /// To this process's standard error, with control characters written out.
    Plain,
    /// Into what is read of it.
    Joined,
}

/// What a program printed, and how it ended.
#[derive(Debug, Clone)]
pub struct CapturedOutput {
    /// The exit code as a shell would show it.
    pub code: u8,
    /// Every byte of standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, lossily as text, trimmed.
    pub stderr: String,
}

impl CapturedOutput {
    /// Whether the program ended with 0.
    pub fn succeeded(&self) -> bool {
        self.code == 0
    }
}

impl Program {
    /// Finds `name` on `PATH`, or at the path that it is.
    ///
    /// # Errors
    ///
    /// Exit code 127, `Missing required command: …`, when it is not there.
    pub fn find(name: &OsStr, host: &HostEnv) -> anyhow::Result<Program> {
        which::which_in(name, host.search_path.as_ref(), &host.current_dir)
            .map(|path| Program {
                path,
                errors: Errors::Ours,
            })
            .map_err(|_| Failure::missing_program(&name.to_string_lossy()))
    }

    /// The program's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes this process the program, with our input, output and environment, so that signals
    /// and the exit code are the program's own. Returns only when that fails.
    pub fn replace_process(&self, arguments: &[impl AsRef<OsStr>]) -> anyhow::Error {
        // duct starts a child; nothing is started here.
        let error = std::process::Command::new(&self.path)
            .args(arguments)
            .exec();
        anyhow::Error::new(error).context(format!("{} cannot be started", self.path.display()))
    }

    /// Runs the program to its end with no input, both streams captured.
    ///
    /// # Errors
    ///
    /// When it cannot be started. A non-zero end is no error here.
    pub fn capture(&self, arguments: &[impl AsRef<OsStr>]) -> anyhow::Result<CapturedOutput> {
        self.capture_without(arguments, &[])
    }

    /// As [`Program::capture`], without these variables in its environment.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn capture_without(
        &self,
        arguments: &[impl AsRef<OsStr>],
        variables: &[&str],
    ) -> anyhow::Result<CapturedOutput> {
        let command = duct::cmd(&self.path, os_strings(arguments))
            .stdin_null()
            .unchecked();
        let command = variables
            .iter()
            .fold(command, |command, name| command.env_remove(name));
        let (errors, to_errors) = std::io::pipe().context("no pipe could be made")?;
        let started = command.stderr_file(to_errors).reader();
        let reader =
            started.with_context(|| format!("{} cannot be started", self.path.display()))?;
        // Both at once: who waits to write the one does not write the other.
        let (stdout, stderr) = std::thread::scope(|threads| {
            let stderr = threads.spawn(|| read_bounded(errors, &reader));
            let stdout = read_bounded(&reader, &reader);
            (stdout, stderr.join())
        });
        let reading = || format!("what {} prints cannot be read", self.path.display());
        let stdout = stdout.with_context(reading)?;
        let stderr = stderr
            .unwrap_or_else(|_| Err(std::io::Error::other("its reader panicked")))
            .with_context(reading)?;
        let ended = reader.try_wait().with_context(reading)?;
        let ended = ended.with_context(reading)?;
        Ok(CapturedOutput {
            code: shell_code(ended.status),
            stdout,
            stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
        })
    }

    /// The same program; what is read of it live has its standard error, too.
    pub fn with_joined_streams(&self) -> Program {
        Program {
            errors: Errors::Joined,
            ..self.clone()
        }
    }

    /// The same program; its standard error does not reach the terminal while it is read
    /// live.
    pub fn with_plain_errors(&self) -> Program {
        Program {
            errors: Errors::Plain,
            ..self.clone()
        }
    }

    /// Starts the program with `input` as its input and its standard output to
    /// be read live; standard error stays ours, but for
    /// [`Program::with_joined_streams`] and [`Program::with_plain_errors`].
    ///
    /// It gets a process group of its own: a Ctrl-C at the terminal reaches us,
    /// and we decide what becomes of it.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn run_piped(
        &self,
        arguments: &[impl AsRef<OsStr>],
        input: impl IntoRawFd,
    ) -> anyhow::Result<ChildProcess> {
        let command = duct::cmd(&self.path, os_strings(arguments)).stdin_file(input);
        match self.errors {
            Errors::Ours => self.read(command),
            Errors::Joined => self.read(command.stderr_to_stdout()),
            Errors::Plain => {
                let (errors, to_errors) = std::io::pipe().context("no pipe could be made")?;
                let mut child = self.read(command.stderr_file(to_errors))?;
                child.errors = Some(std::thread::spawn(|| show_plainly(errors)));
                Ok(child)
            }
        }
    }

    fn read(&self, command: duct::Expression) -> anyhow::Result<ChildProcess> {
        let reader = command
            .unchecked()
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            })
            .reader()
            .with_context(|| format!("{} cannot be started", self.path.display()))?;
        Ok(ChildProcess {
            reader: Arc::new(reader),
            errors: None,
        })
    }

    /// As [`Program::spawn_piped`], with what it says on standard error thrown away.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn_silently(
        &self,
        arguments: &[impl AsRef<OsStr>],
    ) -> anyhow::Result<(ChildProcess, PipeWriter)> {
        let (input, writer) = std::io::pipe().context("no pipe could be made")?;
        let command = duct::cmd(&self.path, os_strings(arguments)).stderr_null();
        Ok((self.read(command.stdin_file(input))?, writer))
    }

    /// As [`Program::run_piped`], with a pipe as the input.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn_piped(
        &self,
        arguments: &[impl AsRef<OsStr>],
    ) -> anyhow::Result<(ChildProcess, PipeWriter)> {
        let (input, writer) = std::io::pipe().context("no pipe could be made")?;
        Ok((self.run_piped(arguments, input)?, writer))
    }
}

/// Texts as a program takes them.
pub fn os_strings(texts: &[impl AsRef<OsStr>]) -> Vec<OsString> {
    texts.iter().map(|text| text.as_ref().to_owned()).collect()
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitInfo {
    /// The exit code as a shell would show it.
    pub code: u8,
    /// The signal that killed it.
    pub signal: Option<i32>,
}

/// A started program whose standard output is being read.
#[derive(Debug)]
pub struct ChildProcess {
    reader: Arc<duct::ReaderHandle>,
    /// Who shows its standard error, where that is not done by itself.
    errors: Option<JoinHandle<()>>,
}

/// Ends a started program by force, from another thread.
#[derive(Debug)]
pub struct Killer(Arc<duct::ReaderHandle>);

impl Killer {
    /// Asks the program to end; one that has ended is left alone.
    pub fn terminate(&self) {
        for pid in self.0.pids() {
            let pid = i32::try_from(pid)
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            if let (Some(pid), Ok(None)) = (pid, self.0.try_wait()) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
    }

    /// Kills the program; one that has ended is left alone.
    pub fn kill(&self) {
        let _ = self.0.kill();
    }
}

/// Reads what is there; 0 bytes mean that the program has ended.
impl Read for ChildProcess {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        (&*self.reader).read(buffer)
    }
}

impl ChildProcess {
    /// A way to end the program while it is being read.
    pub fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.reader))
    }

    /// How the program ended; `None` while it runs.
    ///
    /// # Errors
    ///
    /// When the process cannot be waited for.
    pub fn ending(&mut self) -> std::io::Result<Option<ExitInfo>> {
        let Some(output) = self.reader.try_wait()? else {
            return Ok(None);
        };
        let ending = ExitInfo {
            code: shell_code(output.status),
            signal: output.status.signal(),
        };
        // What it said last stands before what we say of its end.
        if let Some(errors) = self.errors.take() {
            let _ = errors.join();
        }
        Ok(Some(ending))
    }
}

/// Shows what comes on standard error, with control characters written out.
fn show_plainly(mut stream: impl Read) {
    let mut plain = PlainText::default();
    let mut buffer = [0; 8 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                // A closed stderr is no reason to let the program wait for a reader.
                let text = plain.text(&buffer[..length]);
                let _ = std::io::stderr().write_all(text.as_bytes());
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Reads all that a program prints on a stream; one that prints more than a record may
/// have is killed.
fn read_bounded(stream: impl Read, program: &duct::ReaderHandle) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    stream.take(RECORD_LIMIT + 1).read_to_end(&mut all)?;
    if all.len() as u64 <= RECORD_LIMIT {
        return Ok(all);
    }
    program.kill()?;
    Err(std::io::Error::new(
        std::io::ErrorKind::FileTooLarge,
        format!("it is more than {RECORD_LIMIT} bytes"),
    ))
}

/// The exit code that a shell shows for this end: 128 + n after signal n.
fn shell_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
        (None, Some(signal)) => SIGNAL_BASE + (u8::try_from(signal).unwrap_or(0) & 0x7f),
        (None, None) => u8::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> anyhow::Result<CapturedOutput> {
        let program = Program {
            path: "/bin/sh".into(),
            errors: Errors::Ours,
        };
        program.capture(&["-c", script])
    }

    #[test]
    fn both_streams_and_the_code_are_captured() {
        let script = "head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; exit 3";
        let captured = shell(script).unwrap();
        assert_eq!(captured.code, 3);
        assert_eq!(captured.stdout.len(), 3_000_000);
        assert_eq!(captured.stderr.len(), 3_000_000);
        assert_eq!(shell("kill -9 $$").unwrap().code, 137);
    }

    #[test]
    fn a_program_that_prints_without_an_end_is_killed() {
        for script in ["exec cat /dev/zero", "exec cat /dev/zero >&2"] {
            let error = shell(script).unwrap_err();
            assert!(format!("{error:#}").contains("more than"), "{error:#}");
        }
    }
}
