//! What every step is handed: the process's environment, the report, the clock and random
//! names.

use crate::host_env::{self, HostEnv};
use crate::report::Report;

/// What one run of a command has in common.
#[derive(Debug)]
pub struct Context {
    /// The environment of the process, read once when it started.
    pub host: HostEnv,
    /// Where messages and results go.
    pub report: Report,
}

impl Context {
    /// Puts them together.
    pub fn new(host: HostEnv, report: Report) -> Context {
        Context { host, report }
    }

    /// The same environment with another report.
    #[must_use]
    pub fn with_report(&self, report: Report) -> Context {
        Context::new(self.host.clone(), report)
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
