//! Runs tests, each in a process of its own: so each has a time, a limit of it, and an output
//! that is there also when it is ended.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use testbed::limit::Limit;

use super::programs::TestProgram;

/// A test that is to be run.
#[derive(Debug, Clone)]
pub struct Test<'a> {
    pub program: &'a TestProgram,
    pub name: String,
    /// Run with no pixi but the one from the crates registry, whatever is here beside it.
    pub registry_only: bool,
}

/// How a test ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TestResult {
    /// The test, with its program and how it was run.
    pub title: String,
    /// Its name in the program.
    pub name: String,
    pub passed: bool,
    pub took: Duration,
    pub output: String,
}

/// How tests are run.
#[derive(Debug)]
pub struct Runner {
    pub environment: Vec<(&'static str, PathBuf)>,
    /// For each test.
    pub limit: Duration,
    pub at_once: usize,
}

impl Test<'_> {
    /// How it is called in what is printed.
    pub fn title(&self) -> String {
        let with = if self.registry_only {
            " (with the registry's pixi alone)"
        } else {
            ""
        };
        format!("{}::{}{with}", self.program.name, self.name)
    }
}

impl Runner {
    /// Runs them all, those that took longest last time first, and prints a line for each.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn run(&self, mut tests: Vec<Test<'_>>) -> anyhow::Result<Vec<TestResult>> {
        let mut times = TestTimes::read();
        // One that is new may be long.
        tests.sort_by_key(|test| times.last(&test.title()).unwrap_or(Duration::MAX));
        let tests = Mutex::new(tests);
        let results = Mutex::new(Vec::new());
        let work = || -> anyhow::Result<()> {
            loop {
                let next = tests.lock().expect("no worker panics").pop();
                let Some(test) = next else { return Ok(()) };
                let result = self.run_one(&test)?;
                result.print();
                results.lock().expect("no worker panics").push(result);
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.at_once).map(|_| scope.spawn(work)).collect();
            let mut ended = workers.into_iter().map(|worker| worker.join());
            ended.try_for_each(|end| end.expect("no worker panics"))
        })?;
        let results = results.into_inner().expect("no worker panics");
        times.keep(&results);
        Ok(results)
    }

    fn run_one(&self, test: &Test<'_>) -> anyhow::Result<TestResult> {
        let printed = tempfile::NamedTempFile::new().context("no temporary file can be made")?;
        let append = || File::options().append(true).open(printed.path());
        let mut command = Command::new(&test.program.file);
        command
            .args([&test.name, "--exact", "--nocapture"])
            .current_dir(&test.program.dir)
            .env("CARGO_MANIFEST_DIR", &test.program.dir)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(append()?)
            .stderr(append()?);
        if test.registry_only {
            command.env(testbed::pixi::REGISTRY_ONLY, "1");
        }
        let since = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", test.title()))?;
        let limit = Limit::on(child.id(), self.limit);
        let status = child.wait()?;
        let mut output =
            String::from_utf8_lossy(&fs::read(printed.path()).unwrap_or_default()).into_owned();
        let reached = limit.reached();
        if let Some(why) = &reached {
            output.push_str(&format!("\nthe test {why}"));
        }
        Ok(TestResult {
            title: test.title(),
            name: test.name.clone(),
            passed: status.success() && reached.is_none() && ran_one(&output),
            took: since.elapsed(),
            output,
        })
    }
}

/// Whether libtest says that it ran a test: one that it does not find is no success.
fn ran_one(output: &str) -> bool {
    output.contains("test result: ok. 1 passed;")
}

impl TestResult {
    fn print(&self) {
        let took = self.took.as_secs_f64();
        let mut text = format!(
            "test {} ... {} ({took:.2} s)\n",
            self.title,
            if self.passed { "ok" } else { "FAILED" }
        );
        if !self.passed {
            text.push_str(&format!("---- {}\n{}\n----\n", self.title, self.output));
        }
        // One write, so that the lines of two tests do not mix.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
}

/// How long the tests took when they last ran here, kept in the cache directory.
struct TestTimes {
    file: Option<PathBuf>,
    seconds: BTreeMap<String, f64>,
}

impl TestTimes {
    /// Nothing where there are none, or none that can be read: they only order the tests.
    fn read() -> TestTimes {
        let file = testbed::cache_dir().ok().map(|dir| dir.join("test-times"));
        let text = file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        let line = |line: &str| {
            let (seconds, test) = line.split_once('\t')?;
            Some((test.to_owned(), seconds.parse().ok()?))
        };
        TestTimes {
            seconds: text
                .iter()
                .flat_map(|text| text.lines().filter_map(line))
                .collect(),
            file,
        }
    }

    fn last(&self, test: &str) -> Option<Duration> {
        Duration::try_from_secs_f64(*self.seconds.get(test)?).ok()
    }

    fn keep(&mut self, results: &[TestResult]) {
        let new = results
            .iter()
            .map(|result| (result.title.clone(), result.took.as_secs_f64()));
        self.seconds.extend(new);
        let lines = self.seconds.iter();
        let text: String = lines
            .map(|(test, seconds)| format!("{seconds:.2}\t{test}\n"))
            .collect();
        if let Some(file) = &self.file {
            let _ = fs::write(file, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> (tempfile::TempDir, TestProgram) {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("program");
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let program = TestProgram {
            name: "program".to_owned(),
            file,
            dir: dir.path().to_owned(),
        };
        (dir, program)
    }

    fn end_of(text: &str, limit: Duration) -> TestResult {
        let (_dir, program) = script(text);
        let runner = Runner {
            environment: Vec::new(),
            limit,
            at_once: 1,
        };
        let test = Test {
            program: &program,
            name: "a::test".to_owned(),
            registry_only: false,
        };
        runner.run_one(&test).unwrap()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_test_passes_when_its_program_says_so_and_ends_well() {
        let well = "echo 'test result: ok. 1 passed; 0 failed'";
        assert!(end_of(well, LONG).passed);
        assert!(!end_of(&format!("{well}; exit 1"), LONG).passed);
        let none = end_of("echo 'test result: ok. 0 passed; 0 failed'", LONG);
        assert!(!none.passed, "{none:?}");
    }

    #[test]
    fn a_test_that_never_ends_is_ended_and_shows_what_it_waited_for_and_printed() {
        let result = end_of("echo begun; sleep 985; true", Duration::from_millis(300));
        assert!(!result.passed);
        for part in ["begun\n", "did not end within 0.3 s", "sleep 985"] {
            assert!(
                result.output.contains(part),
                "no {part:?} in {}",
                result.output
            );
        }
    }
}
