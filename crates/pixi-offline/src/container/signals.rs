//! SIGINT, SIGTERM and SIGHUP while a container runs.

use std::io::{self, PipeWriter, Write as _};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use signal_hook::SigId;
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::{emulate_default_handler, unregister};

use crate::cancellation::{SIGNALS, restore_defaults, suspend_defaults};
use crate::container::engine::Engine;
use crate::container::spec::ContainerName;
use crate::failure::{self, Failure};
use crate::parallel::locked;
use crate::request::TimeLimit;
use crate::tools::Killer;

/// How long a container gets to stop by itself and give its files back before
/// it is removed by force.
pub(super) const GRACE: Duration = Duration::from_millis(1500);

/// How long the client gets to end after the script has: what the script has left running
/// in the caller's container may hold its output open.
const LINGER: Duration = Duration::from_secs(10);

/// Watches for signals from its creation until [`SignalWatcher::finish`].
///
/// A signal, or [`StopHandle::now`], closes the container's input; the script inside
/// sees that, ends what it runs, gives the files back and exits. What does not
/// exit in time is removed.
#[derive(Debug)]
pub(super) struct SignalWatcher {
    stop: StopHandle,
    handle: Handle,
    thread: JoinHandle<()>,
    limit: Option<TimeLimit>,
}

/// What was started and can be stopped.
#[derive(Debug)]
struct StartedProcess {
    /// Taken when it is closed; without one the client is asked to end instead.
    input: Option<PipeWriter>,
    client: Killer,
    stopping: bool,
}

/// Ends what runs in a container.
#[derive(Debug, Clone)]
pub(super) struct StopHandle(Arc<StopState>);

/// What is done when the script does not end by itself.
#[derive(Debug)]
pub(super) enum KillPolicy {
    /// Remove the containers, in this order: this run started them.
    Remove(Engine, Vec<ContainerName>),
    /// Nothing: it is a container of the caller, and the script's own watchdog kills
    /// what it runs.
    Wait,
}

impl StopState {
    /// Stop now: kill the client, which may still be fetching an image, and remove our
    /// container.
    fn force(&self) {
        if let KillPolicy::Remove(engine, names) = &self.last_resort {
            let _ = engine.remove(names);
        }
        if let Some(started) = &*locked(&self.started) {
            started.client.kill();
        }
    }
}

/// What may take how long.
#[derive(Debug)]
struct Clock {
    /// The phase that runs, in a sentence.
    what: String,
    since: Instant,
    /// Whether its time is over.
    rang: bool,
}

/// Why a run was ended from our side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// This signal came.
    Signal(i32),
    /// This took longer than the limit.
    TooLong(String, TimeLimit),
}

impl From<Cause> for anyhow::Error {
    fn from(cause: Cause) -> anyhow::Error {
        match cause {
            Cause::Signal(signal) => interrupted(signal),
            Cause::TooLong(what, limit) => Failure::with_code(
                failure::TIMED_OUT,
                format!("{what} took longer than --timeout {limit}; the container was stopped"),
            ),
        }
    }
}

#[derive(Debug)]
struct StopState {
    last_resort: KillPolicy,
    started: Mutex<Option<StartedProcess>>,
    clock: Mutex<Clock>,
    signal: AtomicI32,
    ended: Mutex<bool>,
    ended_changed: Condvar,
}

impl SignalWatcher {
    /// Starts to watch, before anything is started that a signal would leave behind.
    /// What is started first is `what`, in a sentence; a phase may take as long as `limit`.
    pub(super) fn start(
        last_resort: KillPolicy,
        what: &str,
        limit: Option<&TimeLimit>,
    ) -> anyhow::Result<SignalWatcher> {
        let stop = StopHandle(Arc::new(StopState {
            last_resort,
            started: Mutex::new(None),
            clock: Mutex::new(Clock {
                what: what.to_owned(),
                since: Instant::now(),
                rang: false,
            }),
            signal: AtomicI32::new(0),
            ended: Mutex::new(false),
            ended_changed: Condvar::new(),
        }));
        let mut signals = Signals::new(SIGNALS).context("signals cannot be watched for")?;
        let handle = signals.handle();
        let in_thread = stop.clone();
        let thread = thread::spawn(move || {
            for signal in signals.forever() {
                let first = in_thread.0.signal.compare_exchange(
                    0,
                    signal,
                    Ordering::SeqCst,
                    Ordering::SeqCst,
                );
                if first.is_ok() {
                    in_thread.now();
                } else {
                    // A second Ctrl-C: stop now.
                    in_thread.0.force();
                }
            }
        });
        suspend_defaults();
        if let Some(limit) = limit {
            let (stop, duration) = (stop.clone(), limit.duration());
            thread::spawn(move || stop.when_it_takes_longer_than(duration));
        }
        Ok(SignalWatcher {
            stop,
            handle,
            thread,
            limit: limit.cloned(),
        })
    }

    /// What runs now: the script reads `input`, and `client` is what we talk to.
    pub(super) fn started(&self, input: Option<PipeWriter>, client: Killer) {
        let started = StartedProcess {
            input,
            client,
            stopping: false,
        };
        *locked(&self.stop.0.started) = Some(started);
        // A signal may have come before there was anything to stop.
        let rang = locked(&self.stop.0.clock).rang;
        if rang || self.stop.0.signal.load(Ordering::SeqCst) != 0 {
            self.stop.now();
        }
    }

    /// A handle for other reasons to stop.
    pub(super) fn stop(&self) -> StopHandle {
        self.stop.clone()
    }

    /// The client has ended: stops watching and tells why it was ended, if it was.
    pub(super) fn finish(self) -> Option<Cause> {
        *locked(&self.stop.0.ended) = true;
        self.stop.0.ended_changed.notify_all();
        restore_defaults();
        self.handle.close();
        let _ = self.thread.join();
        match self.stop.0.signal.load(Ordering::SeqCst) {
            0 => {
                let clock = locked(&self.stop.0.clock);
                let limit = self.limit.filter(|_| clock.rang)?;
                Some(Cause::TooLong(clock.what.clone(), limit))
            }
            signal => Some(Cause::Signal(signal)),
        }
    }
}

impl StopHandle {
    /// Another phase runs from now on.
    pub(super) fn runs(&self, what: String) {
        let mut clock = locked(&self.0.clock);
        if !clock.rang {
            clock.what = what;
            clock.since = Instant::now();
        }
    }

    /// Waits for the end, and ends what runs when a phase takes longer than this.
    fn when_it_takes_longer_than(&self, limit: Duration) {
        let mut ended = locked(&self.0.ended);
        loop {
            let left = limit.saturating_sub(locked(&self.0.clock).since.elapsed());
            if *ended {
                return;
            }
            if left.is_zero() {
                break;
            }
            ended = self
                .0
                .ended_changed
                .wait_timeout(ended, left)
                .map_or_else(|error| error.into_inner().0, |(ended, _)| ended);
        }
        drop(ended);
        locked(&self.0.clock).rang = true;
        self.now();
    }

    /// Tells a script that waits for us to go on.
    ///
    /// # Errors
    ///
    /// When its input cannot be written to: it would wait for ever.
    pub(super) fn answer_script(&self) -> io::Result<()> {
        match &mut *locked(&self.0.started) {
            Some(started) => started
                .input
                .as_mut()
                .map_or(Ok(()), |input| input.write_all(b"\n")),
            None => Ok(()),
        }
    }

    /// The script has ended: what does not let go of its output soon is not waited for.
    pub(super) fn soon(&self) {
        self.force_after(LINGER);
    }

    /// Closes the script's input, and takes the last resort when that does not help.
    pub(super) fn now(&self) {
        match &mut *locked(&self.0.started) {
            Some(started) if !started.stopping => {
                started.stopping = true;
                match started.input.take() {
                    Some(input) => drop(input),
                    // podman leaves what it runs for a build when it is killed at once.
                    None => started.client.terminate(),
                }
            }
            // Nothing is started yet, or it is being stopped already.
            _ => return,
        }
        self.force_after(GRACE);
    }

    fn force_after(&self, patience: Duration) {
        let shared = Arc::clone(&self.0);
        thread::spawn(move || {
            let ended = locked(&shared.ended);
            let (ended, _) = shared
                .ended_changed
                .wait_timeout_while(ended, patience, |ended| !*ended)
                .unwrap_or_else(PoisonError::into_inner);
            if !*ended {
                drop(ended);
                shared.force();
            }
        });
    }
}

/// Keeps signals from ending the process, between runs too, as long as it is
/// there: what must be tidied up in the caller's container is.
#[derive(Debug)]
pub(super) struct DeferredSignals {
    seen: Arc<AtomicUsize>,
    handlers: Vec<SigId>,
}

impl DeferredSignals {
    pub(super) fn start() -> anyhow::Result<DeferredSignals> {
        let seen = Arc::new(AtomicUsize::new(0));
        let handlers = SIGNALS
            .into_iter()
            .map(|signal| {
                let number = usize::try_from(signal).unwrap_or(0);
                flag::register_usize(signal, Arc::clone(&seen), number)
            })
            .collect::<Result<_, _>>()
            .context("signals cannot be watched for")?;
        suspend_defaults();
        Ok(DeferredSignals { seen, handlers })
    }

    /// Whether no signal came so far.
    ///
    /// # Errors
    ///
    /// 128+n for the last one that came.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self.seen.load(Ordering::SeqCst) {
            0 => Ok(()),
            signal => Err(interrupted(i32::try_from(signal).unwrap_or(0))),
        }
    }
}

impl Drop for DeferredSignals {
    fn drop(&mut self) {
        restore_defaults();
        for handler in self.handlers.drain(..) {
            unregister(handler);
        }
    }
}

/// Lets a signal end the process as ever, but has something tidied up before.
#[derive(Debug)]
pub(super) struct CleanupOnSignal {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl CleanupOnSignal {
    pub(super) fn start(tidy: impl FnOnce() + Send + 'static) -> anyhow::Result<CleanupOnSignal> {
        let mut signals = Signals::new(SIGNALS).context("signals cannot be watched for")?;
        let handle = signals.handle();
        let thread = thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                tidy();
                let _ = emulate_default_handler(signal);
            }
        });
        suspend_defaults();
        Ok(CleanupOnSignal {
            handle,
            thread: Some(thread),
        })
    }
}

impl Drop for CleanupOnSignal {
    fn drop(&mut self) {
        restore_defaults();
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // A signal that came is being dealt with there.
            let _ = thread.join();
        }
    }
}

/// The failure of a run that a signal ended.
fn interrupted(signal: i32) -> anyhow::Error {
    let message = format!("interrupted by signal {signal}; the container was stopped");
    Failure::by_signal(signal, message)
}
