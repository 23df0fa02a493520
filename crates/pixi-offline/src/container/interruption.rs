//! Ctrl-C and its kin while a container runs.

use std::io::PipeWriter;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::{emulate_default_handler, unregister};

use crate::container::engine::Engine;
use crate::container::spec::ContainerName;
use crate::failure::Failure;
use crate::tools::Killer;

/// How long a container gets to stop by itself and give its files back before
/// it is removed by force.
pub(super) const GRACE: Duration = Duration::from_millis(1500);

/// What ends a run of ours.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Watches for signals from its creation until [`Watch::finish`].
///
/// A signal, or [`Stop::now`], closes the container's input; the script inside
/// sees that, ends what it runs, gives the files back and exits. What does not
/// exit in time is removed.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Stop,
    handle: Handle,
    thread: JoinHandle<()>,
}

/// What was started and can be stopped.
#[derive(Debug)]
struct Started {
    /// Taken when it is closed; without one the client is asked to end instead.
    input: Option<PipeWriter>,
    client: Killer,
    stopping: bool,
}

/// A lock that a panic elsewhere does not take from us.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends what runs in a container.
#[derive(Debug, Clone)]
pub(super) struct Stop(Arc<Shared>);

/// What is done when the script does not end by itself.
#[derive(Debug)]
pub(super) enum LastResort {
    /// Remove the container: it is ours.
    Remove(Engine, ContainerName),
    /// Nothing: the container is somebody's, and the script's own watchdog kills
    /// what it runs.
    Wait,
}

impl Shared {
    /// No more patience: the container goes, if it is ours, and so does the
    /// client, which may still be fetching an image.
    fn force(&self) {
        if let LastResort::Remove(engine, name) = &self.last_resort {
            let _ = engine.remove(name);
        }
        if let Some(started) = &*lock(&self.started) {
            started.client.kill();
        }
    }
}

#[derive(Debug)]
struct Shared {
    last_resort: LastResort,
    started: Mutex<Option<Started>>,
    signal: AtomicI32,
    ended: Mutex<bool>,
    ended_changed: Condvar,
}

impl Watch {
    /// Starts to watch, before anything is started that a signal would leave behind.
    pub(super) fn start(last_resort: LastResort) -> anyhow::Result<Watch> {
        let stop = Stop(Arc::new(Shared {
            last_resort,
            started: Mutex::new(None),
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
                    // A second Ctrl-C: no more patience.
                    in_thread.0.force();
                }
            }
        });
        suspend_defaults();
        Ok(Watch {
            stop,
            handle,
            thread,
        })
    }

    /// What runs now: the script reads `input`, and `client` is what we talk to.
    pub(super) fn started(&self, input: Option<PipeWriter>, client: Killer) {
        let started = Started {
            input,
            client,
            stopping: false,
        };
        *lock(&self.stop.0.started) = Some(started);
        // A signal may have come before there was anything to stop.
        if self.stop.0.signal.load(Ordering::SeqCst) != 0 {
            self.stop.now();
        }
    }

    /// A handle for other reasons to stop.
    pub(super) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// The client has ended: stops watching and tells the signal, if one came.
    pub(super) fn finish(self) -> Option<i32> {
        *lock(&self.stop.0.ended) = true;
        self.stop.0.ended_changed.notify_all();
        restore_defaults();
        self.handle.close();
        let _ = self.thread.join();
        match self.stop.0.signal.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(signal),
        }
    }
}

impl Stop {
    /// Closes the script's input, and takes the last resort when that does not help.
    pub(super) fn now(&self) {
        match &mut *lock(&self.0.started) {
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
        let shared = Arc::clone(&self.0);
        thread::spawn(move || {
            let ended = lock(&shared.ended);
            let (ended, _) = shared
                .ended_changed
                .wait_timeout_while(ended, GRACE, |ended| !*ended)
                .unwrap_or_else(PoisonError::into_inner);
            if !*ended {
                drop(ended);
                shared.force();
            }
        });
    }
}

/// Keeps signals from ending the process, between runs too, as long as it is
/// there: what must be tidied up in somebody's container is.
#[derive(Debug)]
pub(super) struct Hold {
    seen: Arc<AtomicUsize>,
    handlers: Vec<SigId>,
}

impl Hold {
    pub(super) fn start() -> anyhow::Result<Hold> {
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
        Ok(Hold { seen, handlers })
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

impl Drop for Hold {
    fn drop(&mut self) {
        restore_defaults();
        for handler in self.handlers.drain(..) {
            unregister(handler);
        }
    }
}

/// Lets a signal end the process as ever, but has something tidied up before.
#[derive(Debug)]
pub(super) struct Tidy {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Tidy {
    pub(super) fn start(tidy: impl FnOnce() + Send + 'static) -> anyhow::Result<Tidy> {
        let mut signals = Signals::new(SIGNALS).context("signals cannot be watched for")?;
        let handle = signals.handle();
        let thread = thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                tidy();
                let _ = emulate_default_handler(signal);
            }
        });
        suspend_defaults();
        Ok(Tidy {
            handle,
            thread: Some(thread),
        })
    }
}

impl Drop for Tidy {
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
pub(super) fn interrupted(signal: i32) -> anyhow::Error {
    let message = format!("interrupted by signal {signal}; what ran in the container was ended");
    Failure::signal(signal, message)
}

/// How many watches and holds there are.
static HELD: AtomicUsize = AtomicUsize::new(0);

fn suspend_defaults() {
    HELD.fetch_add(1, Ordering::SeqCst);
    use_defaults(false);
}

fn restore_defaults() {
    if HELD.fetch_sub(1, Ordering::SeqCst) == 1 {
        use_defaults(true);
    }
}

/// A handler once registered with signal-hook swallows its signal for good, so
/// outside of runs the default action is asked for again.
fn use_defaults(on: bool) {
    static USED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let used = USED.get_or_init(|| {
        let used = Arc::new(AtomicBool::new(false));
        for signal in SIGNALS {
            let _ = flag::register_conditional_default(signal, Arc::clone(&used));
        }
        used
    });
    used.store(on, Ordering::SeqCst);
}
