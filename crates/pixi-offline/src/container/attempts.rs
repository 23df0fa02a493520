//! Attempts to reach a network where there is none, counted from outside of the container
//! that makes them.
//!
//! The kernel counts packets that find no way out for each network namespace (proc(5),
//! `/proc/net/snmp`). A second container in the same namespace reads these counters. It
//! has nothing else in common with the first one and runs nothing but our own program, so
//! what runs in the first one can neither change what is told nor keep it from being told.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, PipeWriter, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use crate::container::engine::Engine;
use crate::container::outcome::Outcome;
use crate::container::spec::{ContainerName, ContainerSpec, Counting, HelperSpec};
use crate::container::volume::PROGRAM;
use crate::tools::{ChildProcess, Killer, os_strings};
use crate::transfer::Sender;

/// How long the second container gets to start, and to tell a count.
const COUNTER_TIMEOUT: Duration = Duration::from_secs(30);

/// What starts the second container's name.
const COUNTER: &str = "pixi-offline-counter";

/// For each line that is read, writes one with the count as it is then. Ends with the
/// input.
///
/// # Errors
///
/// When the counters cannot be read, or the connection to the reader breaks.
pub fn serve_counters(questions: impl BufRead, mut answers: impl Write) -> anyhow::Result<()> {
    for question in questions.lines() {
        question.context("the request cannot be read")?;
        writeln!(answers, "{}", count()?).and_then(|()| answers.flush())?;
    }
    Ok(())
}

/// What the kernel has counted in this network namespace.
fn count() -> anyhow::Result<u64> {
    let snmp = fs::read_to_string("/proc/net/snmp").context("/proc/net/snmp cannot be read")?;
    // Not there without IPv6.
    let snmp6 = match fs::read_to_string("/proc/net/snmp6") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.context("/proc/net/snmp6 cannot be read")?,
    };
    total(&snmp, &snmp6).context("/proc/net/snmp lacks the expected counters")
}

/// Packets without a way out, and datagrams to a resolver on loopback that is not there.
fn total(snmp: &str, snmp6: &str) -> Option<u64> {
    // A line of names, then one of values, for each protocol.
    let counter = |protocol: &str, name: &str| {
        let mut lines = snmp.lines().filter(|line| line.starts_with(protocol));
        let place = lines
            .next()?
            .split_whitespace()
            .position(|arg| arg == name)?;
        lines.next()?.split_whitespace().nth(place)?.parse().ok()
    };
    let counters6 = snmp6.lines().filter_map(|line| {
        let (name, value) = line.split_once(char::is_whitespace)?;
        let is_wanted = matches!(name, "Ip6OutNoRoutes" | "Udp6NoPorts");
        is_wanted.then(|| value.trim().parse::<u64>().ok())?
    });
    let ours: u64 = counter("Ip:", "OutNoRoutes")?;
    Some(ours + counter("Udp:", "NoPorts")? + counters6.sum::<u64>())
}

/// What is counted during a run, if anything.
#[derive(Debug)]
pub(super) enum OutsideCounter<'a> {
    /// Nothing: it was not asked for, or cannot be done here; and why.
    Unable(String),
    /// It may be done once the container has started.
    Wanted(&'a Engine, &'a ContainerSpec, &'a Counting),
    /// The second container is being started.
    Starting(Receiver<anyhow::Result<Counter>>),
    /// It counts: the counter, and the counts so far, each with the point that it was read
    /// at.
    Counting(Box<Counter>, Vec<(String, u64)>),
    /// It counted, and then could not any more.
    Lost(String),
}

impl<'a> OutsideCounter<'a> {
    pub(super) fn new(engine: &'a Engine, spec: &'a ContainerSpec) -> OutsideCounter<'a> {
        match &spec.counting {
            Some(counting) => OutsideCounter::Wanted(engine, spec, counting),
            None => OutsideCounter::Unable(String::new()),
        }
    }

    /// The container runs: the second one is started meanwhile.
    pub(super) fn start(&mut self) {
        let OutsideCounter::Wanted(engine, spec, counting) = *self else {
            return;
        };
        let (engine, spec, counting) = (engine.clone(), spec.clone(), counting.clone());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            // Nobody waits any more: dropping the value removes the container.
            let _ = sender.send(Counter::start(&engine, &spec, &counting));
        });
        *self = OutsideCounter::Starting(receiver);
    }

    /// The script waits at a point: counts.
    pub(super) fn count(&mut self, point: &str) {
        let old = std::mem::replace(self, OutsideCounter::Unable(String::new()));
        *self = match old {
            OutsideCounter::Starting(receiver) => {
                let started = receiver.recv_timeout(COUNTER_TIMEOUT);
                let counter = started.context("it did not start in time").flatten();
                match counter.and_then(|mut counter| Ok((counter.ask()?, counter))) {
                    Ok((count, counter)) => {
                        OutsideCounter::Counting(Box::new(counter), vec![(point.to_owned(), count)])
                    }
                    Err(error) => OutsideCounter::Unable(format!("{error:#}")),
                }
            }
            OutsideCounter::Counting(mut counter, mut counts) => match counter.ask() {
                Ok(count) => {
                    counts.push((point.to_owned(), count));
                    OutsideCounter::Counting(counter, counts)
                }
                Err(error) => OutsideCounter::Lost(format!("{error:#}")),
            },
            other => other,
        };
    }

    /// Why it cannot be done here, where it was asked for.
    pub(super) fn why_not(&self) -> Option<&str> {
        match self {
            OutsideCounter::Unable(why) if !why.is_empty() => Some(why),
            _ => None,
        }
    }

    /// The container has ended: counts once more, and tells the outcome what each phase
    /// has to answer for. What was counted inside does not count then.
    ///
    /// # Errors
    ///
    /// When it counted at first and cannot any more: whoever verifies must not be able to
    /// have the counting changed by what is verified.
    pub(super) fn finish(mut self, outcome: &mut Outcome) -> anyhow::Result<()> {
        if matches!(self, OutsideCounter::Counting(..)) {
            let last = outcome.last_phase().unwrap_or(super::START).to_owned();
            self.count(&last);
        }
        match self {
            OutsideCounter::Counting(_, counts) => {
                outcome.counted_outside = true;
                outcome.attempts = between(&counts);
                Ok(())
            }
            // Whoever removes it shall find it.
            OutsideCounter::Starting(counter) => {
                drop(counter.recv_timeout(COUNTER_TIMEOUT));
                Ok(())
            }
            OutsideCounter::Lost(why) => anyhow::bail!(
                "attempts to reach the network were counted from a second container, which does not answer any more: {why}; run it again"
            ),
            OutsideCounter::Unable(_) | OutsideCounter::Wanted(..) => Ok(()),
        }
    }
}

/// What was counted up to each point since the one before.
fn between(counts: &[(String, u64)]) -> Vec<(String, u64)> {
    let mut phases: Vec<(String, u64)> = Vec::new();
    for pair in counts.windows(2) {
        let (phase, more) = (&pair[1].0, pair[1].1.saturating_sub(pair[0].1));
        match phases.iter_mut().find(|(known, _)| known == phase) {
            // The last phase once more, when the container has ended.
            Some((_, count)) => *count += more,
            None => phases.push((phase.clone(), more)),
        }
    }
    phases
}

/// A second container that counts. It ends with this value; who removes the first one
/// removes it.
#[derive(Debug)]
pub(super) struct Counter {
    input: Option<PipeWriter>,
    answers: Receiver<io::Result<String>>,
    client: Killer,
}

impl Counter {
    /// The name of the container that counts for one with this nonce.
    pub(super) fn name(nonce: &str) -> ContainerName {
        ContainerName::new(COUNTER, nonce)
    }

    fn start(
        engine: &Engine,
        spec: &ContainerSpec,
        counting: &Counting,
    ) -> anyhow::Result<Counter> {
        let name = Counter::name(spec.script.nonce());
        let made = engine
            .program
            .capture(&create_arguments(&name, spec, counting))?;
        anyhow::ensure!(made.succeeded(), "{}", made.stderr);
        put_program(engine, &name, &counting.program)?;
        let start = ["start", "--attach", "--interactive", name.as_str()];
        let (child, input) = engine.program.spawn_silently(&start)?;
        let client = child.killer();
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(child).lines() {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Counter {
            input: Some(input),
            answers,
            client,
        })
    }

    fn ask(&mut self) -> anyhow::Result<u64> {
        let input = self.input.as_mut().context("it has ended")?;
        input.write_all(b"\n").context("it has ended")?;
        let answer = self.answers.recv_timeout(COUNTER_TIMEOUT);
        let answer = answer.context("it does not answer")??;
        answer
            .trim()
            .parse()
            .with_context(|| format!("it answers {answer:?}"))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        drop(self.input.take());
        self.client.kill();
    }
}

/// The arguments that make the second container. It has the first one's network namespace and
/// none of its others, no rights beyond those of a plain program, and room for a few
/// processes.
fn create_arguments(
    name: &ContainerName,
    spec: &ContainerSpec,
    counting: &Counting,
) -> Vec<OsString> {
    let mut options = Vec::new();
    if let Some(platform) = &spec.platform {
        options.extend(["--platform", platform.as_str()]);
    }
    options.extend(["--log-driver", "none", "--user", "0:0", "--cap-drop", "ALL"]);
    options.extend(["--security-opt", "no-new-privileges", "--pids-limit", "32"]);
    let helper = HelperSpec {
        command: &["create", "--interactive", "--name", name.as_str()],
        purpose: "counter",
        network: &format!("container:{}", spec.name.as_str()),
        options: os_strings(&options),
        entrypoint: Some(PROGRAM),
        image: spec.image.as_str(),
        args: os_strings(&counting.args),
    };
    helper.arguments()
}

/// Puts a copy of our program into a container that has not started.
fn put_program(engine: &Engine, name: &ContainerName, program: &Path) -> anyhow::Result<()> {
    let target = format!("{}:/", name.as_str());
    let args = ["cp", "-", &target];
    let (mut child, to): (ChildProcess, PipeWriter) = engine.program.spawn_silently(&args)?;
    let mut sender = Sender::new(BufWriter::with_capacity(1 << 20, to));
    let sent = sender
        .program(program, Path::new(PROGRAM.trim_start_matches('/')))
        .and_then(|()| sender.finish("").map(drop));
    io::copy(&mut child, &mut io::sink())?;
    let ending = child.ending()?;
    anyhow::ensure!(
        ending.is_some_and(|ending| ending.code == 0),
        "the helper program could not be copied into it"
    );
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNMP: &str = "Ip: Forwarding DefaultTTL OutNoRoutes
Ip: 1 64 3
Icmp: InMsgs
Icmp: 9
Udp: InDatagrams NoPorts
Udp: 5 4
UdpLite: InDatagrams NoPorts
UdpLite: 0 100
";

    #[test]
    fn counters_of_both_protocols_are_added() {
        let snmp6 = "Ip6InReceives 50\nIp6OutNoRoutes                  \t10\nUdp6NoPorts \t20\nUdpLite6NoPorts 1000\n";
        assert_eq!(total(SNMP, ""), Some(7));
        assert_eq!(total(SNMP, snmp6), Some(37));
        for broken in ["", "Ip: OutNoRoutes\nIp: x\n", "Ip: OutNoRoutes\nIp: 3\n"] {
            assert_eq!(total(broken, snmp6), None, "{broken:?}");
        }
    }

    #[test]
    fn this_kernel_tells_a_count_for_each_line() {
        let mut told = Vec::new();
        serve_counters(&b"\n\n"[..], &mut told).unwrap();
        let told = String::from_utf8(told).unwrap();
        assert_eq!(told.lines().count(), 2, "{told:?}");
        assert!(
            told.lines().all(|line| line.parse::<u64>().is_ok()),
            "{told:?}"
        );
    }

    #[test]
    fn each_phase_answers_for_what_came_since_the_point_before() {
        let counts = |counts: &[(&str, u64)]| -> Vec<(String, u64)> {
            counts
                .iter()
                .map(|(point, n)| ((*point).to_owned(), *n))
                .collect()
        };
        assert_eq!(
            between(&counts(&[("start", 5), ("bootstrap", 5), ("verify", 9)])),
            counts(&[("bootstrap", 0), ("verify", 4)])
        );
        // Nothing was verified: what the bootstrap left running counts as its own.
        assert_eq!(
            between(&counts(&[("start", 5), ("bootstrap", 6), ("bootstrap", 8)])),
            counts(&[("bootstrap", 3)])
        );
        assert_eq!(between(&counts(&[("start", 5)])), []);
    }
}
