//! Ends a run before what runs in the container fills a disk of this machine.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::container::signals::StopHandle;
use crate::replacement::Reserve;

/// How long a container can write unseen: it writes a gigabyte in half a second at
/// most, and the question takes microseconds.
const INTERVAL: Duration = Duration::from_millis(100);

/// Watches the space on the disks of some directories until [`DiskWatch::finish`].
#[derive(Debug)]
pub(super) struct DiskWatch {
    done: Sender<()>,
    thread: JoinHandle<Option<anyhow::Error>>,
}

impl DiskWatch {
    /// Starts to watch; a disk that is too full ends the run through `stop`.
    pub(super) fn start(dirs: impl IntoIterator<Item = PathBuf>, stop: StopHandle) -> DiskWatch {
        // One question for each file system.
        let reserves: HashMap<u64, Reserve> = dirs
            .into_iter()
            .filter_map(|dir| {
                let device = fs::metadata(&dir).ok()?.dev();
                Some((device, Reserve::on(&dir).ok()?))
            })
            .collect();
        let (done, is_done) = mpsc::channel();
        let thread = thread::spawn(move || {
            while is_done.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let full = reserves
                    .values()
                    .find_map(|reserve| reserve.require().err());
                if full.is_some() {
                    stop.now();
                    return full;
                }
            }
            None
        });
        DiskWatch { done, thread }
    }

    /// Ends the watch; gives the disk that was too full, if one was.
    pub(super) fn finish(self) -> Option<anyhow::Error> {
        drop(self.done);
        self.thread.join().ok().flatten()
    }
}
