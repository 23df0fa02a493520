//! A container image of the commands with a docker client in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use duct::cmd;

use super::Member;

/// How to make the image.
#[derive(Debug, clap::Args)]
pub struct ImageOptions {
    /// The name of the image
    #[arg(long, default_value = "pixi-offline")]
    tag: String,
    /// The Debian that it is made from
    #[arg(long, default_value = "debian:13-slim")]
    base: String,
    /// A docker client that runs in the image, best a static one [default: docker on PATH]
    #[arg(long, value_name = "FILE")]
    docker_client: Option<PathBuf>,
}

/// Where the image looks for what starts the commands.
const ENTRYPOINT: &str = "libexec/pixi-offline/entrypoint";

/// Builds the image and returns its name.
///
/// # Errors
/// When there is no docker client, or docker fails.
pub fn build(members: &[Member], options: &ImageOptions) -> anyhow::Result<String> {
    let client = match &options.docker_client {
        Some(file) => file.clone(),
        None => which::which("docker")
            .context("no docker on PATH; name a static client with --docker-client")?,
    };
    let context = tempfile::tempdir()?;
    fs::write(
        context.path().join("Dockerfile"),
        include_str!("Dockerfile"),
    )?;
    let top = context.path().join("usr");
    super::write_below(&top, members)?;
    let programs = [
        (ENTRYPOINT, include_bytes!("entrypoint.sh").to_vec()),
        ("bin/docker", fs::read(&client)?),
    ];
    for (path, content) in programs {
        let program = Member {
            path: path.to_owned(),
            content,
            mode: 0o755,
        };
        super::write_below(&top, &[program])?;
    }
    fs::set_permissions(&top, fs::Permissions::from_mode(0o755))?;
    let base = format!("BASE={}", options.base);
    let mut args = vec!["build", "--tag", &options.tag, "--build-arg", &base];
    // docker hands the value of one that is set to the build, and keeps it out of the image.
    for proxy in ["http_proxy", "https_proxy", "no_proxy"] {
        args.extend(["--build-arg", proxy]);
    }
    args.push(".");
    cmd("docker", args)
        .dir(context.path())
        .stdout_to_stderr()
        .run()
        .context("docker build failed")?;
    Ok(options.tag.clone())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, chown};
    use std::path::Path;

    use testbed::images::{Change, derived_image, ensure_base_image, ensure_pixi_image};

    use super::*;

    const SOCKET: &str = "/var/run/docker.sock";

    /// Nobody on this machine.
    const OWNER: u32 = 54_321;

    fn below(dir: &Path) -> Vec<PathBuf> {
        let mut found = vec![dir.to_owned()];
        let mut next = 0;
        while let Some(path) = found.get(next).cloned() {
            next += 1;
            if path.symlink_metadata().unwrap().is_dir() {
                let entries = fs::read_dir(path).unwrap();
                found.extend(entries.map(|entry| entry.unwrap().path()));
            }
        }
        found
    }

    #[test]
    fn the_image_makes_a_product_that_belongs_to_the_owner_of_the_directory() {
        let name = "the_image_makes_a_product_that_belongs_to_the_owner_of_the_directory";
        testbed::ensure_engine().unwrap();
        if !rustix::process::geteuid().is_root() || !Path::new(SOCKET).exists() {
            testbed::skip(name, "needs root and docker at /var/run/docker.sock");
            return;
        }
        let packages = Change::Packages(&["ca-certificates", "git", "tini"]);
        let options = ImageOptions {
            tag: "pixi-offline-test/commands".to_owned(),
            base: derived_image("commands-base", ensure_base_image().unwrap(), &[packages])
                .unwrap(),
            docker_client: None,
        };
        let binaries = crate::dist::tests::stripped();
        let members = crate::dist::members(binaries.path()).unwrap();
        let image = build(&members, &options).unwrap();

        let place = tempfile::tempdir().unwrap();
        let project = place.path().join("hello");
        let pixi_image = ensure_pixi_image().unwrap();
        testbed::copy_hello_example(&project, &pixi_image.version).unwrap();
        for path in below(place.path()) {
            chown(path, Some(OWNER), Some(OWNER)).unwrap();
        }
        let socket = format!("{SOCKET}:{SOCKET}");
        let dir = place.path().display().to_string();
        let mount = format!("{dir}:{dir}");
        let run = [
            "run", "--rm", "-v", &socket, "-v", &mount, "-w", &dir, &image,
        ];
        let args = [
            "build",
            "--image",
            &pixi_image.reference,
            "--project-dir",
            "hello",
            "--workdir",
            "work",
            "--verify-task",
            "smoke",
        ];
        let printed = cmd("docker", run.iter().chain(&args))
            .stderr_to_stdout()
            .unchecked()
            .read()
            .unwrap();
        assert!(printed.contains("OK: product sha256:"), "{printed}");
        let made = below(&place.path().join("work"));
        assert!(made.contains(&place.path().join("work/product/hello/pixi.toml")));
        for path in &made {
            let about = path.symlink_metadata().unwrap();
            assert_eq!(
                (about.uid(), about.gid()),
                (OWNER, OWNER),
                "{}",
                path.display()
            );
        }

        // Its exit codes are those of the commands.
        let wrong = cmd("docker", run.iter().chain(&["builds"])).unchecked();
        let wrong = wrong.stderr_null().run().unwrap();
        assert_eq!(wrong.status.code(), Some(2));
    }
}
