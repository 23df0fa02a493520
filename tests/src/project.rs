//! Small pixi projects on the test channel, and their lock files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cache::scratch_dir;
use crate::channel::{Channel, PYTHON_VERSION_SPEC};
use crate::docker::{LABEL, docker, read_only, writable};
use crate::process::{announced, captured};

/// What goes into a project's pixi.toml. It is written for every pixi from 0.15 on, so with a
/// `[project]` table.
#[derive(Debug, Clone)]
pub struct Manifest {
    name: String,
    dependencies: Vec<(String, String)>,
    tasks: Vec<(String, String)>,
    more: String,
}

impl Manifest {
    /// A project of this name that needs nothing.
    #[must_use]
    pub fn new(name: &str) -> Manifest {
        Manifest {
            name: name.to_owned(),
            dependencies: Vec::new(),
            tasks: Vec::new(),
            more: String::new(),
        }
    }

    /// The usual project: `python` and `prefix-tool`, and a task `where` that runs the tool.
    #[must_use]
    pub fn usual(name: &str) -> Manifest {
        Manifest::new(name)
            .dependency("python", PYTHON_VERSION_SPEC)
            .dependency("prefix-tool", "*")
            .task("where", "prefix-tool")
    }

    /// Also needs this package of the channel.
    #[must_use]
    pub fn dependency(mut self, name: &str, spec: &str) -> Manifest {
        self.dependencies.push((name.to_owned(), spec.to_owned()));
        self
    }

    /// Also has this task.
    #[must_use]
    pub fn task(mut self, name: &str, command: &str) -> Manifest {
        self.tasks.push((name.to_owned(), command.to_owned()));
        self
    }

    /// Also has these lines, at the end.
    #[must_use]
    pub fn lines(mut self, toml: &str) -> Manifest {
        self.more.push_str(toml);
        self
    }

    /// The text of pixi.toml.
    #[must_use]
    pub fn text(&self, channel: &Channel) -> String {
        let mut text = format!(
            "[project]\nname = {}\nversion = \"1.0.0\"\nchannels = [{}]\nplatforms = [{}]\n",
            quoted(&self.name),
            quoted(&channel.url),
            quoted(channel.subdir),
        );
        for (table, entries) in [("dependencies", &self.dependencies), ("tasks", &self.tasks)] {
            text.push_str(&format!("\n[{table}]\n"));
            for (key, value) in entries {
                text.push_str(&format!("{} = {}\n", quoted(key), quoted(value)));
            }
        }
        if !self.more.is_empty() {
            text.push_str(&format!("\n{}\n", self.more.trim_end()));
        }
        text
    }

    /// Writes `pixi.toml` into `directory`, which is made when it is not there.
    ///
    /// # Errors
    /// When the directory or the file cannot be written.
    pub fn write(&self, channel: &Channel, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let path = dir.join("pixi.toml");
        fs::write(&path, self.text(channel))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// JSON's way to quote a string is one of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Makes `pixi.lock` for the project in `directory` with the pixi of the image `image`, in a
/// throw-away container that sees the directory read-only. Only the lock file is written, by us.
///
/// # Errors
/// When the image has no pixi or no `sh`, or the project cannot be solved: what pixi said.
pub fn lock_project(image: &str, dir: &Path) -> Result<()> {
    lock_project_at(image, dir, "/tmp/project")
}

/// As [`lock_project`], with the project at the path `place` of the container: what a lock says
/// of directories may be absolute.
///
/// # Errors
/// As [`lock_project`].
pub fn lock_project_at(image: &str, dir: &Path, place: &str) -> Result<()> {
    lock_within(LOCKING, image, dir, "", place)
}

/// As [`lock_project_at`], of a project at the path `below` in `root`; `root` is at `place`.
///
/// # Errors
/// As [`lock_project`].
pub fn lock_project_in(image: &str, root: &Path, below: &str, place: &str) -> Result<()> {
    lock_within(LOCKING, image, root, below, place)
}

/// How long pixi may take to lock a project.
const LOCKING: Duration = Duration::from_secs(300);

/// As [`lock_project_in`], within a limit of time.
pub(crate) fn lock_within(
    limit: Duration,
    image: &str,
    dir: &Path,
    below: &str,
    place: &str,
) -> Result<()> {
    let seconds = limit.as_secs().to_string();
    announced(
        format_args!("locking the project {}", dir.display()),
        || {
            let out = scratch_dir("lock")?;
            let source = read_only(dir, "/source")?;
            let target = writable(out.path(), "/out")?;
            let label = format!("{LABEL}=lock");
            let mut arguments = vec![
                "run",
                "--rm",
                "--init",
                "--label",
                &label,
                "--security-opt",
                "label=disable",
                "--entrypoint",
                "sh",
            ];
            arguments.extend(["--mount", &source, "--mount", &target, image]);
            arguments.extend(["-c", LOCK, "lock", place, &seconds, below]);
            captured(
                format_args!("locking {} in the image {image}", dir.display()),
                docker(arguments),
            )?;
            let lock = fs::read(out.path().join("pixi.lock"))
                .context("pixi ended well but made no lock file")?;
            let path = dir.join(below).join("pixi.lock");
            fs::write(&path, lock).with_context(|| format!("cannot write {}", path.display()))
        },
    )
}

/// Runs in the container. `pixi lock` came with 0.46; before, only an install makes a lock file.
const LOCK: &str = include_str!("lock.sh");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_toml_whatever_the_names() {
        let channel = Channel {
            url: "http://10.0.0.1:1/channel".into(),
            subdir: "linux-64",
            dir: "/c".into(),
        };
        let manifest = Manifest::new("a \"b\"")
            .dependency("python", "3.11.*")
            .task("t", "echo 'x'\n")
            .lines("[x]\ny = 1");
        assert_eq!(
            manifest.text(&channel),
            "[project]\nname = \"a \\\"b\\\"\"\nversion = \"1.0.0\"\n\
             channels = [\"http://10.0.0.1:1/channel\"]\nplatforms = [\"linux-64\"]\n\
             \n[dependencies]\n\"python\" = \"3.11.*\"\n\
             \n[tasks]\n\"t\" = \"echo 'x'\\n\"\n\
             \n[x]\ny = 1\n"
        );
    }
}
