//! What counts as success.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::request::DEFAULT_ENVIRONMENT;

/// What is run with pixi, in the project, to see that it works.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verification {
    /// Nothing was asked for.
    #[default]
    None,
    /// `pixi run T`, T as one argument.
    Task(String),
    /// `pixi run CMD ARG…`, argument for argument.
    Command(Vec<String>),
}

/// Requires that pixi cannot take a task for an option: `pixi run --help` ends with 0, and runs
/// nothing. The commands that replace scripts take any text, as the scripts did.
///
/// # Errors
///
/// Exit code 2 for one that begins with a hyphen.
pub fn require_task_name(task: &OsStr) -> anyhow::Result<()> {
    if task.as_encoded_bytes().starts_with(b"-") {
        return Err(Failure::usage(format!(
            "--verify-task {task:?} begins with a hyphen, and pixi would take it for an option; give the name of a task of the project"
        )));
    }
    Ok(())
}

impl Verification {
    /// Reads the two forms, of which at most one may be given.
    ///
    /// # Errors
    ///
    /// Exit code 2 when both are given, the task is empty, or an argument is not
    /// UTF-8 (the engine's client would change it).
    pub fn new(task: Option<&OsStr>, command: Option<&[OsString]>) -> anyhow::Result<Verification> {
        let text = |arg: &OsStr| {
            arg.to_str().map(str::to_owned).ok_or_else(|| {
                Failure::usage(format!(
                    "an argument of the verification is not UTF-8: {}; put it into a script or a task of the project",
                    arg.display()
                ))
            })
        };
        match (task, command) {
            (Some(_), Some(_)) => Err(Failure::usage(
                "pick at most one of --verify-task and --verify-run",
            )),
            (Some(task), None) if task.is_empty() => Err(Failure::usage(
                "--verify-task is empty; give the name of a task of the project",
            )),
            (Some(task), None) => Ok(Verification::Task(text(task)?)),
            (None, Some(args)) => Ok(Verification::Command(
                args.iter().map(|arg| text(arg)).collect::<Result<_, _>>()?,
            )),
            (None, None) => Ok(Verification::None),
        }
    }

    /// What a build does, for people.
    pub fn build_phase(&self) -> &'static str {
        match self {
            Verification::None => "installing with a network",
            _ => "installing and verifying with a network",
        }
    }

    /// What a final verification does, for people.
    pub fn offline_phase(&self) -> &'static str {
        match self {
            Verification::None => "installing without a network",
            _ => "installing and verifying without a network",
        }
    }

    /// Whether anything is to be run.
    pub fn is_requested(&self) -> bool {
        *self != Verification::None
    }

    /// The arguments after `pixi` (`run …`), in `environment` where that is not the
    /// default one; empty when nothing is to be run.
    pub fn pixi_args<'a>(&'a self, environment: Option<&'a str>) -> Vec<&'a str> {
        let option = environment.filter(|name| *name != DEFAULT_ENVIRONMENT);
        let option = option.into_iter().flat_map(|name| ["-e", name]);
        let run = std::iter::once("run").chain(option);
        match self {
            Verification::None => Vec::new(),
            Verification::Task(task) => run.chain([task.as_str()]).collect(),
            Verification::Command(args) => run.chain(args.iter().map(String::as_str)).collect(),
        }
    }
}

/// What must hold after a verification besides its exit code 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectations {
    output: Vec<OsString>,
    files: Vec<String>,
}

impl Expectations {
    /// Takes the texts that must be printed and the files that must exist.
    ///
    /// # Errors
    ///
    /// Exit code 2 when something is expected but nothing is verified, when a
    /// text is empty, or when a path is absolute, leads out with `..`, or holds
    /// a newline or bytes that are not UTF-8.
    pub fn new(
        output: &[OsString],
        files: &[OsString],
        verification: &Verification,
    ) -> anyhow::Result<Expectations> {
        let expects = !output.is_empty() || !files.is_empty();
        if expects && !verification.is_requested() {
            return Err(Failure::usage(
                "--expect-output and --expect-file require --verify-task or --verify-run",
            ));
        }
        if output.iter().any(|text| text.is_empty()) {
            return Err(Failure::usage("--expect-output is empty; give the text"));
        }
        let files = files
            .iter()
            .map(|file| expected_file(file))
            .collect::<anyhow::Result<_>>()?;
        Ok(Expectations {
            output: output.to_vec(),
            files,
        })
    }

    /// Texts that must appear in what the verification prints.
    pub fn output(&self) -> &[OsString] {
        &self.output
    }

    /// Paths that must exist afterwards, below the project or `$VERIFY_OUT_DIR`.
    pub fn files(&self) -> &[String] {
        &self.files
    }
}

fn expected_file(file: &OsStr) -> anyhow::Result<String> {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    match file.to_str() {
        Some(text)
            if !text.is_empty()
                && !text.contains('\n')
                && Path::new(text).components().all(plain) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(Failure::usage(format!(
            "--expect-file {file:?} must be a relative path below the project or $VERIFY_OUT_DIR, in UTF-8, on one line"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(args: &[&str]) -> Vec<OsString> {
        args.iter().map(OsString::from).collect()
    }

    #[test]
    fn at_most_one_form_and_no_empty_task() {
        assert!(Verification::new(Some(OsStr::new("t")), Some(&args(&["x"]))).is_err());
        assert!(Verification::new(Some(OsStr::new("")), None).is_err());
        assert_eq!(
            Verification::new(None, None).unwrap().pixi_args(None),
            [""; 0]
        );
    }

    #[test]
    fn words_reach_pixi_as_they_are() {
        let task = Verification::new(Some(OsStr::new("my task")), None).unwrap();
        assert_eq!(task.pixi_args(None), ["run", "my task"]);
        assert_eq!(task.pixi_args(Some("default")), ["run", "my task"]);
        assert_eq!(
            task.pixi_args(Some("test")),
            ["run", "-e", "test", "my task"]
        );
        let command = Verification::new(None, Some(&args(&["", "--", "$x", "a\nb"]))).unwrap();
        assert_eq!(command.pixi_args(None), ["run", "", "--", "$x", "a\nb"]);
    }

    #[test]
    fn expectations_need_a_verification_and_paths_that_stay_inside() {
        let task = Verification::Task("t".into());
        assert!(Expectations::new(&args(&["x"]), &[], &Verification::None).is_err());
        assert!(Expectations::new(&args(&[""]), &[], &task).is_err());
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a\nb"] {
            assert!(
                Expectations::new(&[], &args(&[bad]), &task).is_err(),
                "{bad:?}"
            );
        }
        assert!(Expectations::new(&[], &args(&["a/b c"]), &task).is_ok());
    }
}
