//! Two commands side by side: one after the other, in each round, so that what
//! else the machine does meets both.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use duct::cmd;

/// One side of a race.
pub struct Runner<'a> {
    /// What it runs, for people.
    pub name: String,
    /// What is done before each run, unmeasured.
    pub before: Box<dyn Fn() -> anyhow::Result<()> + 'a>,
    /// What is measured.
    pub words: Vec<OsString>,
}

impl<'a> Runner<'a> {
    pub fn new(
        name: &str,
        before: impl Fn() -> anyhow::Result<()> + 'a,
        words: Vec<OsString>,
    ) -> Runner<'a> {
        Runner {
            name: name.to_owned(),
            before: Box::new(before),
            words,
        }
    }

    fn run(&self) -> anyhow::Result<Duration> {
        (self.before)().with_context(|| format!("{} cannot be prepared", self.name))?;
        let command = cmd(&self.words[0], &self.words[1..])
            .stdout_null()
            .stderr_capture()
            .unchecked();
        let started = Instant::now();
        let output = command.run();
        let taken = started.elapsed();
        let output = output.with_context(|| format!("{} cannot be started", self.name))?;
        anyhow::ensure!(
            output.status.success(),
            "{} ended with {}: {}",
            self.name,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(taken)
    }
}

/// Runs all in turn, `rounds` times, and gives the median of each.
pub fn race(runners: &[&Runner<'_>], rounds: usize) -> anyhow::Result<Vec<Duration>> {
    let mut times = vec![Vec::new(); runners.len()];
    for _ in 0..rounds {
        for (runner, times) in runners.iter().zip(&mut times) {
            let taken = runner.run()?;
            eprintln!("  {:>8.3} s  {}", taken.as_secs_f64(), runner.name);
            times.push(taken);
        }
    }
    Ok(times.into_iter().map(median).collect())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
