//! What every step is handed: the process's environment, the report, the scanner for
//! secrets, the locks that were read, the clock and random names.

use std::sync::Arc;

use crate::host_env::{self, HostEnv};
use crate::packages::LockCache;
use crate::report::Report;
use crate::secret_search::SecretScanner;

/// What one run of a command has in common.
#[derive(Debug)]
pub struct Context {
    /// The environment of the process, read once when it started.
    pub host: HostEnv,
    /// Where messages and results go.
    pub report: Report,
    /// What judges whether a text looks like a secret.
    pub secret_scanner: Arc<dyn SecretScanner>,
    /// Reads the locks of this run.
    pub locks: LockCache,
}

impl Context {
    /// The same environment with another report.
    #[must_use]
    pub fn with_report(&self, report: Report) -> Context {
        Context {
            host: self.host.clone(),
            report,
            secret_scanner: self.secret_scanner.clone(),
            locks: self.locks.clone(),
        }
    }

    /// Seconds since 1970-01-01 UTC, for when something ended; when the process started
    /// is in [`HostEnv::unix_seconds`].
    pub fn now(&self) -> u64 {
        host_env::now()
    }

    /// 32 random hexadecimal digits, which nobody can guess and no other run has.
    pub fn nonce(&self) -> String {
        host_env::nonce()
    }
}
