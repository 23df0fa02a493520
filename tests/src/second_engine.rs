//! A second container engine that sees other files than we do, as one on another machine
//! does: a dockerd in a mount namespace of its own in which a folder is hidden.
//!
//! It has a network namespace of its own as well: a dockerd that is told to make no bridge
//! deletes `docker0` where it starts, and with it the network of the machine's own engine.
//! So it is reached through a socket file, which both namespaces of mounts see.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use duct::cmd;

use crate::debian::{find_program, system_path};
use crate::docker::docker;
use crate::process::{announced, captured, end_of, succeeds};

/// How long it may take until it answers, and until it has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// Hides the folder $1, and the sockets of the machine's own containerd, then becomes dockerd.
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
    daemon: Child,
}

impl SecondEngine {
    /// Starts an engine that sees `hidden`, a folder of this machine, as an empty one, and has
    /// the image `image`. It has no network but loopback.
    ///
    /// # Errors
    /// When this is not root on a machine with dockerd, or the engine does not answer.
    pub fn start(hidden: &Path, image: &str) -> Result<SecondEngine> {
        let dockerd = find_program("dockerd").context("a second engine needs dockerd")?;
        if !rustix::process::geteuid().is_root() {
            bail!("a second engine needs root");
        }
        // Beside the system's own: the sockets in it must have short paths, and the folder
        // that is hidden may well be the one for temporary files.
        let state = tempfile::Builder::new()
            .prefix("pixi-offline-engine-")
            .tempdir_in("/var/lib")?;
        let configuration = state.path().join("daemon.json");
        fs::write(&configuration, "{}")?;
        let log = state.path().join("log");
        let daemon = Command::new("unshare")
            .args([
                "--net",
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
            .args(["--bridge=none", "--iptables=false", "--ip-masq=false"])
            .arg("--data-root")
            .arg(state.path().join("data"))
            .arg("--exec-root")
            .arg(state.path().join("exec"))
            .arg("--pidfile")
            .arg(state.path().join("pid"))
            .arg("--host")
            .arg(host(state.path()))
            .arg("--config-file")
            .arg(configuration)
            .env("PATH", system_path())
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .context("unshare cannot be started")?;
        let mut engine = SecondEngine {
            state,
            hidden: hidden.to_owned(),
            daemon,
        };
        announced("starting a second engine", || {
            engine.wait_for_answer(&log)?;
            engine.load(image)
        })?;
        Ok(engine)
    }

    /// What `DOCKER_HOST` must be to reach it.
    #[must_use]
    pub fn host(&self) -> String {
        host(self.state.path())
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
        let host = self.host();
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

/// Where the engine listens whose state is in this folder.
fn host(state: &Path) -> String {
    format!("unix://{}", state.join("socket").display())
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
                let _ = self.daemon.wait();
                break;
            }
            sleep(Duration::from_millis(50));
        }
        // What its containers had mounted, in its own namespace, is gone with it.
        let _ = fs::remove_dir_all(self.state.path());
    }
}
