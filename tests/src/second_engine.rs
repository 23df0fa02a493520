//! A second container engine that sees other files than we do, as one on another machine
//! does: a dockerd in a mount namespace of its own in which a directory is hidden.
//!
//! It has a network namespace of its own as well: a dockerd that is told to make no bridge
//! deletes `docker0` where it starts, and with it the network of the machine's own engine.
//! So it is reached through a socket file, which both namespaces of mounts see.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use duct::cmd;

use crate::cache::Turn;
use crate::channel::ensure_channel;
use crate::debian::{ensure_debian_package, find_program, system_path};
use crate::docker::docker;
use crate::engine::ensure_engine;
use crate::limit::Started;
use crate::process::{LONG_PATIENCE, announced, captured, end_of, succeeds};

/// How long it may take until it answers, and until it has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// Hides the directory $1, and the sockets of the machine's own containerd, then becomes dockerd.
/// The private mounts go with the last process of the namespace.
const LAUNCH: &str = r#"
mount -t tmpfs -o mode=755 hidden "$1" || exit
mount -t tmpfs -o mode=755 hidden /run/containerd 2>/dev/null
shift
exec "$@"
"#;

/// A running engine that is stopped and removed with this value.
#[derive(Debug)]
pub struct SecondEngine {
    state: tempfile::TempDir,
    hidden: PathBuf,
    host: String,
    daemon: Started,
    /// Its part of the first engine's bridge, which no other second engine has meanwhile.
    _addresses: Option<Turn>,
}

impl SecondEngine {
    /// Why there can be no engine of [`SecondEngine::start`] here, if so: for a test to say.
    #[must_use]
    pub fn cannot_start() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("a second engine needs root".to_owned());
        }
        if find_program("dockerd").is_none() {
            return Some("a second engine needs dockerd on this machine".to_owned());
        }
        None
    }

    /// As [`SecondEngine::cannot_start`], for [`SecondEngine::start_on_tcp`]: a network that it
    /// cannot have is found before anything is built.
    #[must_use]
    pub fn cannot_start_on_tcp() -> Option<String> {
        let no_network = |error| format!("a second engine has no network here: {error:#}");
        SecondEngine::cannot_start().or_else(|| bridge().err().map(no_network))
    }

    /// Starts an engine that sees `hidden`, a directory of this machine, as an empty one, and has
    /// the image `image`. It has no network but loopback, and is reached through a socket.
    ///
    /// # Errors
    /// When this is not root on a machine with dockerd, or the engine does not answer.
    pub fn start(hidden: &Path, image: &str) -> Result<SecondEngine> {
        let state = state_dir()?;
        let host = format!("unix://{}", state.path().join("socket").display());
        let network = ["--bridge=none", "--iptables=false", "--ip-masq=false"].map(str::to_owned);
        SecondEngine::launch(state, host, &["--net"], &network, hidden, image)
    }

    /// As [`SecondEngine::start`], but reached through TCP on loopback, and with a part of the
    /// first engine's bridge for its containers: they reach what those of that engine do, the
    /// channel too.
    ///
    /// # Errors
    /// As [`SecondEngine::start`], and when the first engine has no bridge `docker0` on this
    /// machine, or the channel is not reached through it.
    pub fn start_on_tcp(hidden: &Path, image: &str) -> Result<SecondEngine> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (addresses, turn) = a_part_of_the_bridge()?;
        let network = [
            "--bridge=docker0".to_owned(),
            format!("--fixed-cidr={addresses}"),
            "--iptables=false".to_owned(),
            "--ip-masq=false".to_owned(),
            "--tls=false".to_owned(),
        ];
        let host = format!("tcp://127.0.0.1:{port}");
        let mut engine = SecondEngine::launch(state_dir()?, host, &[], &network, hidden, image)?;
        engine._addresses = Some(turn);
        engine.require_the_channel(image)?;
        Ok(engine)
    }

    /// An install without a way to the channel would wait for minutes, and say nothing of it.
    fn require_the_channel(&self, image: &str) -> Result<()> {
        let url = ensure_channel()?.url;
        let authority = url.split('/').nth(2).unwrap_or_default();
        let (address, port) = authority.split_once(':').unwrap_or((authority, "80"));
        let script = format!("exec 3<>/dev/tcp/{address}/{port}");
        let ask = docker([
            "--host",
            self.host(),
            "run",
            "--rm",
            "--entrypoint",
            "timeout",
            image,
            "10",
            "bash",
            "-c",
            &script,
        ]);
        captured("a container of the second engine", ask)
            .map(drop)
            .with_context(|| {
                format!(
                    "the second engine's containers do not reach the channel at {url}: \
                     the first engine must be on this machine, with the bridge docker0"
                )
            })
    }

    fn launch(
        state: tempfile::TempDir,
        host: String,
        namespaces: &[&str],
        network: &[String],
        hidden: &Path,
        image: &str,
    ) -> Result<SecondEngine> {
        let dockerd = find_program("dockerd").context("a second engine needs dockerd")?;
        let configuration = state.path().join("daemon.json");
        fs::write(&configuration, "{}")?;
        let log = state.path().join("log");
        let mut daemon = Command::new("unshare");
        daemon
            .args(namespaces)
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                LAUNCH,
                "sh",
            ])
            .arg(hidden)
            .arg(dockerd)
            .args(network)
            .arg("--data-root")
            .arg(state.path().join("data"))
            .arg("--exec-root")
            .arg(state.path().join("exec"))
            .arg("--pidfile")
            .arg(state.path().join("pid"))
            .arg("--host")
            .arg(&host)
            .arg("--config-file")
            .arg(configuration)
            .env("PATH", system_path())
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        let daemon =
            Started::within(&mut daemon, LONG_PATIENCE).context("unshare cannot be started")?;
        let mut engine = SecondEngine {
            state,
            hidden: hidden.to_owned(),
            host,
            daemon,
            _addresses: None,
        };
        announced("starting a second engine", || {
            engine.wait_for_answer(&log)?;
            engine.load(image)
        })?;
        Ok(engine)
    }

    /// What `DOCKER_HOST` must be to reach it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Ends it by force with all that runs on it, as if its machine lost its power.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.kill()?;
        self.daemon.wait_in_time()?;
        end_what_it_left(self.state.path());
        Ok(())
    }

    /// Where it keeps what it has; `data/` is its data root.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Runs a shell script where this engine's files are, and returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn sh(&self, script: &str) -> Result<String> {
        let pid = self.daemon.id().to_string();
        let hidden = &self.hidden;
        captured(
            "nsenter",
            cmd!(
                "nsenter", "--mount", "--target", pid, "sh", "-c", script, "sh", hidden
            ),
        )
    }

    fn wait_for_answer(&mut self, log: &Path) -> Result<()> {
        let since = Instant::now();
        let host = self.host.clone();
        let format = "{{.ServerVersion}}";
        while !succeeds(cmd!("docker", "--host", &host, "info", "--format", format)) {
            if self.daemon.try_wait()?.is_some() || since.elapsed() > PATIENCE {
                bail!("the second engine does not answer:\n{}", end_of(log));
            }
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn load(&self, image: &str) -> Result<()> {
        let load = cmd!("docker", "--host", self.host(), "load", "--quiet");
        captured(
            format_args!("docker save and load of {image}"),
            docker(["save", image]).pipe(load),
        )?;
        Ok(())
    }
}

/// A directory for an engine's state.
fn state_dir() -> Result<tempfile::TempDir> {
    if !rustix::process::geteuid().is_root() {
        bail!("a second engine needs root");
    }
    // Beside the system's own: the sockets in it must have short paths, and the directory
    // that is hidden may well be the one for temporary files.
    Ok(tempfile::Builder::new()
        .prefix("pixi-offline-engine-")
        .tempdir_in("/var/lib")?)
}

/// How many second engines there may be at a time.
const ENGINES: u32 = 16;

/// A part of the last sixteenth of the addresses of `docker0`, which the first engine hands out
/// last, that no other second engine has.
fn a_part_of_the_bridge() -> Result<(String, Turn)> {
    let (address, length) = bridge()?;
    for number in 0..ENGINES {
        if let Some(turn) = Turn::at_once(&format!("second-engine-{number}"))? {
            return Ok((part_of(address, length, number), turn));
        }
    }
    bail!("{ENGINES} second engines are running")
}

/// The address of the first engine's bridge on this machine, and the length of its network.
fn bridge() -> Result<(Ipv4Addr, u32)> {
    ensure_engine()?;
    let ip = ensure_debian_package("ip", "iproute2")?;
    let args = ["-4", "-oneline", "address", "show", "docker0"];
    let shown = captured(
        "the engine's bridge docker0 is not on this machine",
        cmd(ip, args),
    )?;
    address_in(&shown).with_context(|| format!("the bridge docker0 has no address: {shown}"))
}

/// What `ip -oneline address show` says of an interface's first address.
fn address_in(shown: &str) -> Option<(Ipv4Addr, u32)> {
    let mut words = shown.split_whitespace().skip_while(|word| *word != "inet");
    let (address, length) = words.nth(1)?.split_once('/')?;
    Some((address.parse().ok()?, length.parse().ok()?))
}

/// The part of this number of the last sixteenth of a network.
fn part_of(address: Ipv4Addr, length: u32, number: u32) -> String {
    let hosts = u32::MAX.checked_shr(length).unwrap_or(0);
    let (last, part) = (hosts >> 4, hosts >> 8);
    let first = (u32::from(address) | hosts) & !last;
    let first = first + number * (part + 1);
    format!("{}/{}", Ipv4Addr::from(first), length + 8)
}

/// Ends the shims of containers, which outlive a daemon that is killed, and what they run.
fn end_what_it_left(state: &Path) {
    let state = state.as_os_str().as_encoded_bytes();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for entry in entries {
        let args = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let pid = entry.file_name().to_string_lossy().into_owned();
        let is_ours = args.windows(state.len()).any(|part| part == state);
        if is_ours && args.windows(16).any(|part| part == b"containerd-shim-") {
            let _ = captured("pkill", cmd!("pkill", "-KILL", "-P", &pid).unchecked());
            let _ = captured("kill", cmd!("kill", "-KILL", &pid).unchecked());
        }
    }
}

impl Drop for SecondEngine {
    fn drop(&mut self) {
        // Its end by TERM takes its containers and its containerd along.
        let pid = self.daemon.id();
        let _ = captured("kill", cmd!("kill", pid.to_string()));
        let since = Instant::now();
        while matches!(self.daemon.try_wait(), Ok(None)) {
            if since.elapsed() > PATIENCE {
                let _ = self.daemon.kill();
                let _ = self.daemon.wait_in_time();
                break;
            }
            sleep(Duration::from_millis(50));
        }
        end_what_it_left(self.state.path());
        // What its containers had mounted, in its own namespace, is gone with it.
        let _ = fs::remove_dir_all(self.state.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_has_an_address_or_none() {
        let shown = "3: docker0    inet 172.17.0.1/16 brd 172.17.255.255 scope global docker0";
        let bridge = Ipv4Addr::new(172, 17, 0, 1);
        assert_eq!(address_in(shown), Some((bridge, 16)));
        assert_eq!(address_in(""), None);
        assert_eq!(
            address_in("3: docker0    inet6 fe80::1/64 scope link"),
            None
        );
    }

    #[test]
    fn each_engine_has_a_part_of_its_own_at_the_end_of_the_network() {
        let bridge = Ipv4Addr::new(172, 17, 0, 1);
        assert_eq!(part_of(bridge, 16, 0), "172.17.240.0/24");
        assert_eq!(part_of(bridge, 16, 15), "172.17.255.0/24");
        assert_eq!(part_of(Ipv4Addr::new(10, 1, 2, 3), 20, 1), "10.1.15.16/28");
    }
}
