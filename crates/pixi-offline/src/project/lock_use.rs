//! How the lock file is treated by an install.

use crate::packages::Lock;
use crate::request::LockOption;

/// How the lock file is treated by the install.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockUse {
    /// There is one, and it must fit the manifest: `--locked`.
    Locked,
    /// There is one that is taken as it is, because that was asked for, it names a directory as
    /// a channel, or it stands for the project's own: `--frozen`.
    Frozen,
    /// There is none, or it may be brought up to date: pixi writes one.
    Write,
}

impl LockUse {
    /// What to say of a lock that pixi refuses.
    pub(crate) const STALE: &'static str = "pixi.lock does not fit the manifest: run `pixi lock`, or give --update-lock to update it in the workdir, or --frozen to install it as it is";

    pub(crate) fn of(lock: Option<&Lock>, asked: LockOption) -> LockUse {
        match (lock, asked) {
            (None, _) | (Some(_), LockOption::Update) => LockUse::Write,
            (Some(_), LockOption::Frozen) => LockUse::Frozen,
            (Some(lock), LockOption::Check)
                if lock.names_local_channel() || lock.own_lock().is_some() =>
            {
                LockUse::Frozen
            }
            (Some(_), LockOption::Check) => LockUse::Locked,
        }
    }

    /// The option of `pixi install`; empty for none.
    pub(crate) fn install_option(self) -> &'static str {
        match self {
            LockUse::Locked => "--locked",
            LockUse::Frozen => "--frozen",
            LockUse::Write => "",
        }
    }
}
