//! What every step is handed: the process's environment, the report, the scanner for
//! secrets, the locks and keys that were read, the clock and random names.

use std::path::PathBuf;
use std::sync::Arc;

use crate::evidence::signature::{SigningKey, SigningKeys, VerifyingKey};
use crate::failure::Failure;
use crate::host_env::{self, HostEnv};
use crate::packages::LockCache;
use crate::report::Report;
use crate::request::SigningOptions;
use crate::secret_search::SecretScanner;

/// What one run of a command has in common.
#[derive(Debug)]
pub struct Context {
    /// Read once, at the start of the process.
    pub host: HostEnv,
    /// Prints messages and results.
    pub report: Report,
    /// What judges whether a text looks like a secret.
    pub secret_scanner: Arc<dyn SecretScanner>,
    /// Reads the locks of this run.
    pub locks: LockCache,
    /// Reads the secret keys of this run.
    pub signing_keys: SigningKeys,
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
            signing_keys: self.signing_keys.clone(),
        }
    }

    /// The key to sign with, when one was named; its password is asked for once in a run.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`SigningKeys::read`], and for a password without a key.
    pub fn signing_key(&self, options: &SigningOptions) -> anyhow::Result<Option<SigningKey>> {
        let files = self.key_files(options)?;
        let key = files.map(|(key, password)| self.signing_keys.read(&key, password.as_deref()));
        key.transpose()
    }

    /// Requires a key that can sign, when one was named, as far as that needs no question.
    ///
    /// # Errors
    ///
    /// As [`Context::signing_key`], but for a wrong answer.
    pub fn check_signing_key(&self, options: &SigningOptions) -> anyhow::Result<()> {
        match self.key_files(options)? {
            Some((key, password)) => self.signing_keys.check(&key, password.as_deref()),
            None => Ok(()),
        }
    }

    /// The public key of `option`, when one was named.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`VerifyingKey::read`].
    pub fn verifying_key(
        &self,
        option: &'static str,
        file: Option<&PathBuf>,
    ) -> anyhow::Result<Option<VerifyingKey>> {
        file.map(|file| VerifyingKey::read(option, &self.host.absolute(file)))
            .transpose()
    }

    /// The key and the file with its password.
    fn key_files(
        &self,
        options: &SigningOptions,
    ) -> anyhow::Result<Option<(PathBuf, Option<PathBuf>)>> {
        let absolute = |file: &PathBuf| self.host.absolute(file);
        let password = options.sign_password_file.as_ref().map(absolute);
        match &options.sign_key {
            Some(key) => Ok(Some((absolute(key), password))),
            None if password.is_some() => Err(Failure::usage(
                "--sign-password-file is for a key: give --sign-key",
            )),
            None => Ok(None),
        }
    }

    /// Seconds since 1970-01-01 UTC, for when something ended; when the process started
    /// is in [`HostEnv::unix_seconds`].
    pub fn now(&self) -> u64 {
        host_env::now()
    }

    /// The time that signatures and statements name, in seconds since 1970.
    pub fn signing_time(&self) -> u64 {
        let given = self.host.source_date_epoch;
        given.unwrap_or_else(|| self.now())
    }

    /// 32 random hexadecimal digits, which nobody can guess and no other run has.
    pub fn nonce(&self) -> String {
        host_env::nonce()
    }
}
