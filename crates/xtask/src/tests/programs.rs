//! The test programs that cargo builds, and the tests that are in each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use duct::cmd;
use serde_json::Value;

use crate::build;

/// A program of tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestProgram {
    /// What cargo calls it: `docs` say.
    pub name: String,
    pub file: PathBuf,
    /// The directory of its package, where cargo runs it.
    pub dir: PathBuf,
}

/// The arguments for `cargo test`, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TestArgs {
    /// Those that say what is built.
    pub build: Vec<String>,
    /// Those that say which tests are chosen, and how.
    pub choice: Vec<String>,
}

impl TestArgs {
    /// As cargo does: an argument that no option before it takes is a filter, and all after `--` is
    /// for the test programs.
    pub fn of(args: &[String]) -> TestArgs {
        // Divided by spaces.
        const TAKE_A_VALUE: &str = "-p --package --exclude --test --bin --bench --example \
            -F --features -j --jobs --profile --config --color";
        let (mut build, mut choice) = (Vec::new(), Vec::new());
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                choice.extend(args.by_ref().cloned());
            } else if arg.starts_with('-') {
                build.push(arg.clone());
                if TAKE_A_VALUE.split(' ').any(|option| option == arg) {
                    build.extend(args.next().cloned());
                }
            } else {
                choice.push(arg.clone());
            }
        }
        TestArgs { build, choice }
    }
}

/// Builds the test programs.
///
/// # Errors
/// When cargo fails.
pub fn build(args: &TestArgs) -> anyhow::Result<Vec<TestProgram>> {
    let usual = [
        "test",
        "--workspace",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ];
    let usual = usual.into_iter().map(str::to_owned);
    let built = cmd(build::cargo(), usual.chain(args.build.iter().cloned()))
        .dir(build::workspace())
        .stdout_capture()
        .run()
        .context("the tests cannot be built")?;
    Ok(String::from_utf8(built.stdout)?
        .lines()
        .filter_map(program)
        .collect())
}

/// The test program that a line of cargo's tells of.
fn program(line: &str) -> Option<TestProgram> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["profile"]["test"] != true {
        return None;
    }
    Some(TestProgram {
        name: message["target"]["name"].as_str()?.to_owned(),
        file: message["executable"].as_str()?.into(),
        dir: Path::new(message["manifest_path"].as_str()?)
            .parent()?
            .to_owned(),
    })
}

/// How long a program may take to list its tests.
const LISTING: Duration = Duration::from_secs(60);

impl TestProgram {
    /// The names of its tests that the arguments choose.
    ///
    /// # Errors
    /// When it does not list them.
    pub fn tests(&self, choice: &[String]) -> anyhow::Result<Vec<String>> {
        let mut list = std::process::Command::new(&self.file);
        list.current_dir(&self.dir)
            .args(choice)
            .args(["--list", "--format", "terse"]);
        let listed = testbed::limit::output_within(&mut list, LISTING);
        anyhow::ensure!(
            listed.status.success(),
            "{} does not list its tests: {}",
            self.name,
            String::from_utf8_lossy(&listed.stderr)
        );
        Ok(String::from_utf8(listed.stdout)?
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).collect()
    }

    #[test]
    fn words_are_for_the_build_or_for_the_choice() {
        let args = |args: &[&str]| TestArgs::of(&owned(args));
        let of = |build: &[&str], choice: &[&str]| TestArgs {
            build: owned(build),
            choice: owned(choice),
        };
        assert_eq!(args(&["the_guide"]), of(&[], &["the_guide"]));
        assert_eq!(
            args(&["-p", "testbed", "--test", "docs", "the_guide"]),
            of(&["-p", "testbed", "--test", "docs"], &["the_guide"])
        );
        assert_eq!(
            args(&["--package=testbed", "--", "a", "--skip", "b"]),
            of(&["--package=testbed"], &["a", "--skip", "b"])
        );
        assert_eq!(args(&[]), TestArgs::default());
    }

    #[test]
    fn a_test_program_is_known_by_its_profile() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/w/tests/Cargo.toml","target":{"name":"docs"},"profile":{"test":true},"executable":"/t/docs-1"}"#;
        assert_eq!(
            program(line),
            Some(TestProgram {
                name: "docs".to_owned(),
                file: "/t/docs-1".into(),
                dir: "/w/tests".into(),
            })
        );
        assert_eq!(program(&line.replace("true", "false")), None);
        assert_eq!(program("not JSON"), None);
    }
}
