//! Ctrl-C and its kin while a container runs.

use std::io::PipeWriter;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::container::engine::Engine;
use crate::container::spec::ContainerName;
use crate::tools::Killer;

/// How long a container gets to stop by itself and give its files back before
/// it is removed by force.
const GRACE: Duration = Duration::from_millis(1500);

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
    /// Taken when it is closed.
    input: Option<PipeWriter>,
    client: Killer,
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
        let mut signals =
            Signals::new([SIGINT, SIGTERM, SIGHUP]).context("signals cannot be watched for")?;
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
        restore_defaults_between_runs(false);
        Ok(Watch {
            stop,
            handle,
            thread,
        })
    }

    /// What runs now: the script reads `input`, and `client` is what we talk to.
    pub(super) fn started(&self, input: PipeWriter, client: Killer) {
        let started = Started {
            input: Some(input),
            client,
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
        restore_defaults_between_runs(true);
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
        let input = lock(&self.0.started)
            .as_mut()
            .and_then(|started| started.input.take());
        // Nothing is started yet, or it is being stopped already.
        if input.is_none() {
            return;
        }
        drop(input);
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

/// A handler once registered with signal-hook swallows its signal for good, so
/// outside of runs the default action is asked for again.
fn restore_defaults_between_runs(between: bool) {
    use signal_hook::flag;
    use std::sync::atomic::AtomicBool;
    static BETWEEN: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let flag = BETWEEN.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let _ = flag::register_conditional_default(signal, Arc::clone(&flag));
        }
        flag
    });
    flag.store(between, Ordering::SeqCst);
}
