//! The environment of the process on this machine. Only this module reads the current
//! directory, the clock, the environment variables and the machine's memory; everything
//! else takes a [`HostEnv`], most of it in a [`Context`](crate::context::Context).

#![allow(
    clippy::disallowed_methods,
    reason = "this module reads them for all others"
)]

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::failure::Failure;

/// The last second of the year 9999: later ones have no usual form as text.
const LAST_SECOND: u64 = 253_402_300_799;

/// What was found when the process started.
#[derive(Debug, Clone)]
pub struct HostEnv {
    /// The current directory, absolute.
    pub current_dir: PathBuf,
    /// The caller's home directory, where one is known.
    pub home: Option<PathBuf>,
    /// `CONTAINER_ENGINE`, when set and not empty.
    pub container_engine: Option<OsString>,
    /// How docker's client is led to its engine.
    pub docker: DockerSettings,
    /// The proxies, where there are some.
    pub proxies: ProxyVariables,
    /// `PIXI_IMAGE`, when set and not empty: the image to build in.
    pub pixi_image: Option<OsString>,
    /// `PATH`.
    pub search_path: Option<OsString>,
    /// This program's own file, links resolved.
    pub program: PathBuf,
    /// Seconds since 1970-01-01 UTC.
    pub unix_seconds: u64,
    /// `SOURCE_DATE_EPOCH`: the time that output is to be dated with, in seconds
    /// since 1970-01-01 UTC (reproducible-builds.org).
    pub source_date_epoch: Option<u64>,
    /// The effective user.
    pub user_id: u32,
    /// Bytes of memory that can be had without swapping; 0 where unknown.
    pub available_memory: u64,
    /// Whether a terminal may be drawn on: `NO_COLOR` (no-color.org) is not set, and
    /// `TERM` is not `dumb`.
    pub may_draw: bool,
    /// SELinux is there and enforcing.
    pub selinux_enforcing: bool,
}

/// What leads docker's client to another engine than the usual one.
#[derive(Debug, Clone, Default)]
pub struct DockerSettings {
    /// `DOCKER_HOST`, when set and not empty; it counts before any context.
    pub host: Option<OsString>,
    /// `DOCKER_TLS_VERIFY` or `DOCKER_TLS` is set: `host` is reached with TLS.
    pub tls: bool,
    /// A context is chosen: by `DOCKER_CONTEXT`, or in the client's configuration.
    pub has_context: bool,
}

impl DockerSettings {
    fn read(set: impl Fn(&'static str) -> Option<OsString>) -> DockerSettings {
        let dir = set("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| Some(env::home_dir()?.join(".docker")));
        let chosen = || {
            let text = fs::read(dir?.join("config.json")).ok()?;
            let settings: serde_json::Value = serde_json::from_slice(&text).ok()?;
            let name = settings.get("currentContext")?.as_str()?;
            (!name.is_empty()).then_some(())
        };
        DockerSettings {
            host: set("DOCKER_HOST"),
            tls: set("DOCKER_TLS_VERIFY")
                .or_else(|| set("DOCKER_TLS"))
                .is_some(),
            has_context: set("DOCKER_CONTEXT").is_some() || chosen().is_some(),
        }
    }
}

/// The variables that name proxies, and those that they are not for, as set and not empty.
#[derive(Clone, Default)]
pub struct ProxyVariables(Vec<(&'static str, OsString)>);

impl ProxyVariables {
    /// The names, which programs read in both cases of letters.
    const NAMES: [&'static str; 8] = [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
    ];

    fn read(set: impl Fn(&'static str) -> Option<OsString>) -> ProxyVariables {
        let found = ProxyVariables::NAMES.into_iter();
        ProxyVariables::new(found.filter_map(|name| Some((name, set(name)?))))
    }

    /// These variables with these values.
    pub fn new(variables: impl IntoIterator<Item = (&'static str, OsString)>) -> ProxyVariables {
        ProxyVariables(variables.into_iter().collect())
    }

    /// Each name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &OsString)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }
}

/// Names alone: a value may have a password.
impl fmt::Debug for ProxyVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}

impl HostEnv {
    /// Reads them all.
    ///
    /// # Errors
    ///
    /// Exit code 2 when `SOURCE_DATE_EPOCH` is no such number. When the current directory or the program's own file cannot be found
    /// (deleted, say).
    pub fn read() -> anyhow::Result<HostEnv> {
        let current_dir = env::current_dir()
            .context("the current directory cannot be read; change to one that exists")?;
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        let source_date_epoch = set("SOURCE_DATE_EPOCH")
            .map(|text| {
                let number = text.to_str().and_then(|text| text.parse().ok());
                number.filter(|seconds| *seconds <= LAST_SECOND).ok_or_else(|| {
                    Failure::usage(format!(
                        "SOURCE_DATE_EPOCH is {text:?}; give a whole number of seconds since 1970, or unset it"
                    ))
                })
            })
            .transpose()?;
        Ok(HostEnv {
            current_dir,
            home: env::home_dir().filter(|home| !home.as_os_str().is_empty()),
            container_engine: set("CONTAINER_ENGINE"),
            docker: DockerSettings::read(set),
            proxies: ProxyVariables::read(set),
            pixi_image: set("PIXI_IMAGE"),
            search_path: set("PATH"),
            program: env::current_exe().context("this program's own file cannot be found")?,
            unix_seconds: now(),
            source_date_epoch,
            user_id: rustix::process::geteuid().as_raw(),
            available_memory: available_memory().unwrap_or(0),
            may_draw: set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb"),
            selinux_enforcing: fs::read("/sys/fs/selinux/enforce")
                .is_ok_and(|state| state.starts_with(b"1")),
        })
    }

    /// The value of a variable of the process, which the caller asked for by its name.
    pub fn variable(&self, name: &OsStr) -> Option<OsString> {
        env::var_os(name)
    }

    /// The git top level of the current directory, else the current directory:
    /// the root below which a workdir is put when none is named.
    pub fn workspace_root(&self) -> &Path {
        self.current_dir
            .ancestors()
            .find(|dir| dir.join(".git").exists())
            .unwrap_or(&self.current_dir)
    }

    /// `path` made absolute against the current directory, without touching the
    /// file system: links and `..` stay as they are, `.` and slashes at the end
    /// go (a slash after a link would lead through it).
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.current_dir.join(path).components().collect()
    }
}

/// Seconds since 1970-01-01 UTC, for when something ended; what was begun with is
/// in [`HostEnv`].
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

/// A name that no other run has, as 32 hexadecimal digits; nobody can guess it.
pub fn nonce() -> String {
    random_words(1, 16)
}

/// So many words of so many random bytes each from the kernel (getrandom(2)), as
/// hexadecimal digits with a space between.
///
/// # Panics
///
/// When the kernel gives no random bytes: nothing that must not be guessed could be made.
pub fn random_words(words: usize, bytes: usize) -> String {
    let mut random = vec![0; words * bytes];
    getrandom::fill(&mut random).expect("the kernel gives random bytes");
    let words: Vec<String> = random
        .chunks(bytes)
        .map(|word| data_encoding::HEXLOWER.encode(word))
        .collect();
    words.join(" ")
}

/// How much of a disk stays free while a container writes to it, in bytes, where the
/// tests set it; internal.
pub fn reserved_space() -> Option<u64> {
    env::var("PIXI_OFFLINE_RESERVED_SPACE").ok()?.parse().ok()
}

/// `MemAvailable` of Linux's `/proc/meminfo` (proc(5)), in bytes.
fn available_memory() -> Option<u64> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let line = table
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
