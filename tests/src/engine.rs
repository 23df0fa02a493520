//! A container engine that answers, started here when there is none.

use std::env;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use duct::cmd;

use crate::cache::{Turn, cache_dir};
use crate::debian::{can_install, find_program, install, system_path};
use crate::process::{announced, captured, end_of, say, succeeds};

/// How long a daemon may take until it answers.
const START_TIME: Duration = Duration::from_secs(90);

/// Sees to it that `docker info` answers. An engine that already runs is left as it is; where
/// none does and the machine is Debian-like and we are root, one is installed and started.
///
/// # Errors
/// When no engine answers and none can be started here: what to do about it.
pub fn ensure_engine() -> Result<()> {
    if answers() {
        return Ok(());
    }
    if let Some(host) = env::var_os("DOCKER_HOST") {
        bail!(
            "no container engine answers at DOCKER_HOST={}: start it, or unset DOCKER_HOST",
            host.display()
        );
    }
    if !can_install() {
        bail!(
            "no container engine answers (`docker info` fails): install docker and start it, and let this \
             user talk to it; or run this as root on a Debian-like machine, which then installs and starts it"
        );
    }
    let _turn = Turn::at("engine")?;
    if answers() {
        return Ok(());
    }
    install_what_is_missing()?;
    if !answers() {
        announced("no container engine answers: starting dockerd", start)?;
    }
    Ok(())
}

fn answers() -> bool {
    // The client exits with 0 in some versions though the server part failed: ask for the server's.
    find_program("docker").is_some()
        && captured(
            "docker info",
            cmd!("docker", "info", "--format", "{{.ServerVersion}}"),
        )
        .is_ok_and(|version| !version.is_empty())
}

fn install_what_is_missing() -> Result<()> {
    let _turn = Turn::at("apt")?;
    let has_daemon = find_program("dockerd").is_some();
    let mut packages = Vec::new();
    if !has_daemon || (find_program("docker").is_none() && !splits_off_its_client()) {
        packages.push("docker.io");
    }
    if find_program("docker").is_none() && splits_off_its_client() {
        packages.push("docker-cli");
    }
    if find_program("iptables").is_none() {
        packages.push("iptables");
    }
    if packages.is_empty() {
        return Ok(());
    }
    say("no container engine answers: installing one");
    install(&packages)
}

/// From Debian 13 on, docker.io only recommends its client.
fn splits_off_its_client() -> bool {
    succeeds(cmd!("apt-cache", "show", "docker-cli"))
}

fn start() -> Result<()> {
    let log = cache_dir()?.join("dockerd.log");
    let service = Path::new("/run/systemd/system").is_dir();
    if service {
        captured(
            "systemctl start docker",
            cmd!("systemctl", "start", "docker"),
        )?;
    } else {
        start_detached(&log)?;
    }
    let since = Instant::now();
    while !answers() {
        if since.elapsed() > START_TIME {
            let told = if service {
                "see `journalctl -u docker`".to_owned()
            } else {
                end_of(&log)
            };
            bail!(
                "dockerd does not answer after {} s; start it by hand and look why:\n{told}",
                START_TIME.as_secs()
            );
        }
        sleep(Duration::from_millis(250));
    }
    Ok(())
}

/// In its own session and with none of our streams, so that it outlives us and nobody who
/// waits for the end of our output waits for it.
fn start_detached(log: &Path) -> Result<()> {
    let dockerd = find_program("dockerd").context("dockerd is installed but not found")?;
    let shell = r#"exec setsid --fork "$0" >>"$1" 2>&1 </dev/null"#;
    let launch = cmd!("sh", "-c", shell, dockerd, log)
        .dir("/")
        .env("PATH", system_path());
    captured("setsid dockerd", launch).map(drop)
}
