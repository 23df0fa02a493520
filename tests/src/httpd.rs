//! Serves a directory over HTTP from a container on the engine's default network: a container
//! that builds reaches it, one that runs with `--network none` cannot.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cache::Turn;
use crate::docker::{LABEL, docker, image_id, read_only};
use crate::fingerprint::{Fingerprint, sha256_of_file};
use crate::process::{announced, captured, succeeds};

const PORT: u16 = 8080;

const ADDRESS: &str =
    "{{.State.Running}} {{(index .NetworkSettings.Networks \"bridge\").IPAddress}}";

/// A directory that is to be served.
pub(crate) struct Site<'a> {
    /// A static busybox of the host, which has the server in it.
    pub(crate) busybox: &'a Path,
    pub(crate) dir: &'a Path,
    /// The first part of its addresses, and of the container's name.
    pub(crate) name: &'a str,
    /// A file in it, by which to see that it is served.
    pub(crate) probe: &'a str,
}

impl Site<'_> {
    /// Sees to it that a container serves the directory, and returns the directory's address.
    pub(crate) fn ensure_served(&self) -> Result<String> {
        let container = format!(
            "pixi-offline-test-{}-{}",
            self.name,
            Fingerprint::of([self.dir.as_os_str().as_encoded_bytes()]).short()
        );
        if let Some(url) = self.answering(&container) {
            return Ok(url);
        }
        let _turn = Turn::at(&format!("{}-server", self.name))?;
        if let Some(url) = self.answering(&container) {
            return Ok(url);
        }
        announced(
            format_args!("serving the {} from the container {container}", self.name),
            || self.start(&container),
        )
    }

    /// The directory's address, when it is really served there.
    fn answering(&self, container: &str) -> Option<String> {
        let inspected = captured(
            "docker inspect",
            docker(["container", "inspect", "--format", ADDRESS, container]),
        )
        .ok()?;
        let address = inspected
            .strip_prefix("true ")
            .filter(|address| !address.is_empty())?;
        // From inside, since the host may have no way into the engine's network.
        let local = format!("http://127.0.0.1:{PORT}/{}/{}", self.name, self.probe);
        let probe = docker([
            "exec",
            container,
            "/busybox",
            "wget",
            "-q",
            "-O",
            "/dev/null",
            &local,
        ]);
        succeeds(probe).then(|| format!("http://{address}:{PORT}/{}", self.name))
    }

    fn start(&self, container: &str) -> Result<String> {
        let image = self.ensure_image()?;
        // What has the name is not running or does not answer.
        let _ = captured("docker rm", docker(["rm", "--force", container]));
        let port = PORT.to_string();
        let label = format!("{LABEL}={}", self.name);
        let mount = read_only(self.dir, &format!("/served/{}", self.name))?;
        let mut arguments = vec![
            "run",
            "--detach",
            "--name",
            container,
            "--label",
            &label,
            "--network",
            "bridge",
        ];
        arguments.extend([
            "--log-driver",
            "none",
            "--security-opt",
            "label=disable",
            "--mount",
            &mount,
            &image,
        ]);
        arguments.extend(["/busybox", "httpd", "-f", "-p", &port, "-h", "/served"]);
        captured(
            format_args!("docker run of the server {container}"),
            docker(arguments),
        )?;

        let since = Instant::now();
        loop {
            if let Some(url) = self.answering(container) {
                return Ok(url);
            }
            if since.elapsed() > Duration::from_secs(20) {
                bail!(
                    "the server of the {} does not answer: look at `docker container inspect {container}`",
                    self.name
                );
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// An image with nothing but the program.
    fn ensure_image(&self) -> Result<String> {
        let reference = format!(
            "pixi-offline-test/httpd:{}",
            &sha256_of_file(self.busybox)?[..12]
        );
        if image_id(&reference).is_none() {
            let mut archive = tar::Builder::new(Vec::new());
            archive
                .append_path_with_name(self.busybox, "busybox")
                .context("cannot pack the server's program")?;
            let label = format!("LABEL {LABEL}=httpd");
            let import = docker(["import", "--change", &label, "-", &reference])
                .stdin_bytes(archive.into_inner()?);
            captured("docker import of the server's program", import)?;
        }
        Ok(reference)
    }
}
