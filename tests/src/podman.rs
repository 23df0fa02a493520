//! A real podman beside the machine's docker: its programs from Debian, its settings and its
//! store in the cache directory, so that neither the machine's own podman nor docker sees it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use duct::{Expression, cmd};

use crate::cache::{Turn, cache_dir};
use crate::debian::{can_install, find_program, install};
use crate::docker::{docker, image_id};
use crate::process::{announced, captured};

/// Debian's packages: podman only recommends those that give containers a network.
const PACKAGES: [&str; 3] = ["podman", "netavark", "aardvark-dns"];

/// A podman that can run containers as root, and how to call it.
#[derive(Debug, Clone)]
pub struct Podman {
    program: PathBuf,
    /// The variables by which the program finds its settings.
    variables: [(&'static str, PathBuf); 2],
}

/// Sees to it that podman runs containers here. What it keeps is below the cache directory, and
/// what it keeps in memory in a directory of this boot: an engine that thinks that its containers
/// still run after the machine was started anew does not work.
///
/// # Errors
/// When it is missing and cannot be installed here, or this is not root.
pub fn ensure_podman() -> Result<Podman> {
    if !rustix::process::geteuid().is_root() {
        bail!("the podman of the tests runs as root");
    }
    if find_program("podman").is_none() || find_netavark().is_none() {
        let _turn = Turn::at("apt")?;
        if find_program("podman").is_none() || find_netavark().is_none() {
            if !can_install() {
                bail!("podman or its netavark is missing: install both");
            }
            install(&PACKAGES)?;
        }
    }
    let program = find_program("podman").context("podman is installed but not found")?;
    let _turn = Turn::at("podman")?;
    let dir = cache_dir()?.join("podman");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let fleeting = Path::new("/run").join(format!("pixi-offline-podman-{}", &boot[..8]));
    fs::create_dir_all(&dir)?;
    let [settings, storage] = ["containers.conf", "storage.conf"].map(|name| dir.join(name));
    fs::write(&settings, settings_text(&dir, &fleeting))?;
    fs::write(&storage, storage_text(&dir, &fleeting))?;
    let podman = Podman {
        program,
        variables: [
            ("CONTAINERS_CONF", settings),
            ("CONTAINERS_STORAGE_CONF", storage),
        ],
    };
    captured("podman info", podman.command(["info"]))?;
    Ok(podman)
}

/// podman looks for it in directories of its own, not on PATH.
fn find_netavark() -> Option<PathBuf> {
    ["/usr/lib/podman", "/usr/libexec/podman"]
        .into_iter()
        .map(|dir| Path::new(dir).join("netavark"))
        .find(|program| program.is_file())
}

/// The limits are such that a container may set them where the kernel lets nobody raise any;
/// systemd need not be there.
fn settings_text(dir: &Path, fleeting: &Path) -> String {
    let networks = dir.join("networks");
    let fleeting = fleeting.join("libpod");
    format!(
        "[containers]\n\
         default_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n\
         [engine]\n\
         cgroup_manager = \"cgroupfs\"\n\
         events_logger = \"file\"\n\
         runtime = \"runc\"\n\
         tmp_dir = \"{}\"\n\
         [network]\n\
         network_backend = \"netavark\"\n\
         network_config_dir = \"{}\"\n",
        fleeting.display(),
        networks.display()
    )
}

fn storage_text(dir: &Path, fleeting: &Path) -> String {
    format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
        dir.join("storage").display(),
        fleeting.join("storage").display()
    )
}

impl Podman {
    /// The client.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What must be in the environment of whoever calls the client, by himself or not.
    #[must_use]
    pub fn variables(&self) -> &[(&'static str, PathBuf)] {
        &self.variables
    }

    /// Gives it an image that docker has, under the same name.
    ///
    /// # Errors
    /// When docker does not have it, or podman does not take it.
    pub fn bring(&self, image: &str) -> Result<()> {
        let id = image_id(image).with_context(|| format!("docker has no image {image}"))?;
        let id = id.trim_start_matches("sha256:");
        let format = "{{.Id}}";
        let is_there = || {
            let inspect = ["image", "inspect", "--format", format, image];
            captured("podman image inspect", self.command(inspect)).is_ok_and(|known| known == id)
        };
        if is_there() {
            return Ok(());
        }
        let _turn = Turn::at("podman")?;
        if is_there() {
            return Ok(());
        }
        announced(format_args!("bringing {image} to podman"), || {
            let load = self.command(["load", "--quiet"]);
            captured(
                format_args!("docker save and podman load of {image}"),
                docker(["save", image]).pipe(load),
            )
        })?;
        Ok(())
    }

    fn command<const N: usize>(&self, args: [&str; N]) -> Expression {
        self.variables
            .iter()
            .fold(cmd(&self.program, args), |command, (name, value)| {
                command.env(name, value)
            })
    }
}
