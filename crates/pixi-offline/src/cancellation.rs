//! SIGINT, SIGTERM and SIGHUP during work that removes what it began.
//!
//! Without a watch a signal ends the process at once, as ever.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context as _;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::unregister;

use crate::failure::Failure;

/// What ends a run.
pub(crate) const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// As long as it is there, the first signal does not end the process: work that looks at [`check`] now and
/// then ends with an error, and what it made is removed on the way out. The second one ends the process at once.
#[derive(Debug)]
pub struct Interruptible {
    handlers: Vec<SigId>,
}

impl Interruptible {
    /// Starts to watch.
    ///
    /// # Errors
    ///
    /// When the system refuses it.
    pub fn start() -> anyhow::Result<Interruptible> {
        seen().store(0, Ordering::SeqCst);
        let mut watch = Interruptible {
            handlers: Vec::new(),
        };
        let came = Arc::new(AtomicBool::new(false));
        suspend_defaults();
        for signal in SIGNALS {
            let number = usize::try_from(signal).unwrap_or(0);
            // In this order: the first signal sets what makes the next one end the process.
            let handlers = [
                flag::register_conditional_default(signal, Arc::clone(&came)),
                flag::register(signal, Arc::clone(&came)),
                flag::register_usize(signal, Arc::clone(seen()), number),
            ];
            for handler in handlers {
                watch
                    .handlers
                    .push(handler.context("signals cannot be watched for")?);
            }
        }
        Ok(watch)
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        restore_defaults();
        for handler in self.handlers.drain(..) {
            unregister(handler);
        }
        seen().store(0, Ordering::SeqCst);
    }
}

/// Whether no signal came since an [`Interruptible`] started.
///
/// # Errors
///
/// 128+n for the signal that came.
pub fn check() -> anyhow::Result<()> {
    match seen().load(Ordering::SeqCst) {
        0 => Ok(()),
        signal => Err(Failure::by_signal(
            i32::try_from(signal).unwrap_or(0),
            format!("interrupted by signal {signal}; unfinished files are removed"),
        )),
    }
}

/// The number of the signal that came; 0 when none did.
fn seen() -> &'static Arc<AtomicUsize> {
    static SEEN: OnceLock<Arc<AtomicUsize>> = OnceLock::new();
    SEEN.get_or_init(Arc::default)
}

/// How many watches and holds there are.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// From now on a signal does not end the process by itself.
pub(crate) fn suspend_defaults() {
    HELD.fetch_add(1, Ordering::SeqCst);
    use_defaults(false);
}

/// The end of what [`suspend_defaults`] began.
pub(crate) fn restore_defaults() {
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
