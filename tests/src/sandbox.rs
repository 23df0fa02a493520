//! A hermetic place to run commands in: nothing of the caller's environment
//! reaches them but what a test puts there.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::limit::output;

/// A directory with a home, a directory of programs and a place to work, removed with
/// this value.
#[derive(Debug)]
pub struct Sandbox {
    root: tempfile::TempDir,
    environment: Vec<(OsString, OsString)>,
    search_path: String,
}

impl Sandbox {
    /// A sandbox whose commands find the machine's usual programs.
    pub fn new() -> Sandbox {
        let root = tempfile::Builder::new()
            .prefix("pixi-offline-test-")
            .tempdir()
            .expect("a temporary directory can be made");
        for dir in ["home", "bin", "work"] {
            std::fs::create_dir(root.path().join(dir)).expect("it can be filled");
        }
        let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let search_path = format!("{}:{usual}", root.path().join("bin").display());
        Sandbox {
            root,
            environment: Vec::new(),
            search_path,
        }
    }

    /// Nothing but the sandbox's own `bin/` on `PATH`.
    #[must_use]
    pub fn with_own_programs_only(mut self) -> Sandbox {
        self.search_path = self.bin().display().to_string();
        self
    }

    /// Sets a variable for every command.
    pub fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.environment
            .push((name.into(), value.as_ref().to_owned()));
    }

    /// Takes a variable from every command again.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(set, _)| set != name);
    }

    /// The whole sandbox.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where commands run.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// The home directory of commands.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The first directory on `PATH`.
    pub fn bin(&self) -> PathBuf {
        self.root.path().join("bin")
    }

    /// Writes a file below `work/`, its directories made.
    pub fn write(&self, file: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.work().join(file);
        std::fs::create_dir_all(file.parent().expect("a file has a directory"))
            .expect("it can be made");
        std::fs::write(&file, content).expect("it can be written");
        file
    }

    /// The text of a file below `work/`.
    #[track_caller]
    pub fn read(&self, file: impl AsRef<Path>) -> String {
        let file = self.work().join(file);
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// The JSON in a file below `work/`.
    #[track_caller]
    pub fn json(&self, file: impl AsRef<Path>) -> serde_json::Value {
        serde_json::from_str(&self.read(file)).expect("it is JSON")
    }

    /// A command of ours, not started.
    pub fn command(&self, name: &str) -> Command {
        self.program(binary(name))
    }

    /// Any program in this sandbox's environment, not started.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.work())
            .env_clear()
            .env("PATH", &self.search_path)
            .env("HOME", self.home())
            .env("TMPDIR", self.root.path())
            .env("LC_ALL", "C.UTF-8")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of ours to its end.
    pub fn run<I, S>(&self, name: &str, args: I) -> Run
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        Run::of(self.command(name).args(args))
    }
}

impl Default for Sandbox {
    fn default() -> Sandbox {
        Sandbox::new()
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Run {
    /// The exit code as a shell shows it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    args: String,
}

impl Run {
    /// Runs a prepared command to its end, within the limit of [`limit::COMMAND`](crate::limit::COMMAND).
    pub fn of(command: &mut Command) -> Run {
        let args = format!("{command:?}");
        let Output {
            status,
            stdout,
            stderr,
        } = output(command);
        Run {
            code: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            args,
        }
    }

    /// Requires an exit code.
    #[track_caller]
    pub fn code(&self, code: i32) -> &Run {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Requires exit code 0.
    #[track_caller]
    pub fn success(&self) -> &Run {
        self.code(0)
    }

    /// Requires a text on standard error.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Run {
        assert!(self.stderr.contains(text), "no {text:?} on stderr\n{self}");
        self
    }

    /// Requires that a text is not on standard error.
    #[track_caller]
    pub fn says_not(&self, text: &str) -> &Run {
        assert!(!self.stderr.contains(text), "{text:?} on stderr\n{self}");
        self
    }

    /// Requires a text on standard output.
    #[track_caller]
    pub fn prints(&self, text: &str) -> &Run {
        assert!(self.stdout.contains(text), "no {text:?} on stdout\n{self}");
        self
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\nended with {}\n--- stdout\n{}--- stderr\n{}",
            self.args, self.code, self.stdout, self.stderr
        )
    }
}

/// The names in a directory, sorted.
///
/// # Panics
///
/// When it cannot be read, or a name is not UTF-8.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Requires a part of a text, which is shown without it.
#[track_caller]
pub fn has(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in {text}");
}

/// The words of a line, such as a command line; none of them has a space in it.
pub fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// The file of a program of this workspace: in `PIXI_OFFLINE_BIN_DIR` (the
/// release build, when `cargo xtask test` runs), else beside the test's directory.
///
/// # Panics
///
/// When it was not built.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test has a file");
    let built = own
        .ancestors()
        .nth(2)
        .expect("target/…/deps/test")
        .to_owned();
    let dirs = std::env::var_os("PIXI_OFFLINE_BIN_DIR")
        .map(PathBuf::from)
        .into_iter()
        .chain([built]);
    dirs.map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!(
                "{name} is not built; run `cargo xtask test`, or `cargo build --workspace` first"
            )
        })
}
