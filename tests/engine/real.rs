//! A sandbox on the real engine, with real images and the channel.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use testbed::images::{PixiImage, ensure_image_with, ensure_pixi_image};
use testbed::project::{Manifest, lock_project};
use testbed::sandbox::{Run, Sandbox};
use testbed::{Channel, ensure_channel, pixi};

/// The channel.
pub fn channel() -> &'static Channel {
    static CHANNEL: OnceLock<Channel> = OnceLock::new();
    CHANNEL.get_or_init(|| ensure_channel().unwrap())
}

/// Every image with another version of pixi that this machine has.
pub fn images() -> &'static [PixiImage] {
    static IMAGES: OnceLock<Vec<PixiImage>> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let mut images = vec![ensure_pixi_image().unwrap()];
        for pixi in pixi::pixis().unwrap() {
            if images.iter().all(|image| image.version != pixi.version) {
                images.push(ensure_image_with(&pixi.path).unwrap());
            }
        }
        images
    })
}

/// The image for tests that hold for every pixi.
pub fn image() -> &'static PixiImage {
    &images()[0]
}

/// A sandbox with a locked project in it, and short names for the commands.
pub struct Real {
    pub sandbox: Sandbox,
    pub image: String,
}

impl Real {
    /// An empty sandbox that uses an image.
    pub fn new(image: &str) -> Real {
        let mut sandbox = Sandbox::new();
        for name in ["DOCKER_HOST", "DOCKER_CONTEXT"] {
            if let Some(value) = std::env::var_os(name) {
                sandbox.set(name, value);
            }
        }
        Real {
            sandbox,
            image: image.to_owned(),
        }
    }

    /// One with the usual project, locked, in `work/demo`.
    pub fn with_project(image: &str, manifest: &Manifest) -> Real {
        let real = Real::new(image);
        manifest.write(channel(), &real.path("demo")).unwrap();
        lock_project(image, &real.path("demo")).unwrap();
        real
    }

    /// The text of a file below `work/`.
    #[track_caller]
    pub fn read(&self, file: impl AsRef<Path>) -> String {
        self.sandbox.read(file)
    }

    /// A path below `work/`.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.sandbox.work().join(name)
    }

    /// create-workdir-from-host on `demo` into `W`.
    pub fn create<S: AsRef<OsStr>>(&self, more: &[S]) -> Run {
        self.run(
            "create-workdir-from-host",
            &["--project-dir", "demo", "--workdir", "W"],
            more,
        )
    }

    /// make-archive-ready-product on `W`.
    pub fn make<S: AsRef<OsStr>>(&self, more: &[S]) -> Run {
        let usual = ["--workdir", "W"].iter().map(OsStr::new);
        self.sandbox.run(
            "make-archive-ready-product",
            usual.chain(more.iter().map(AsRef::as_ref)),
        )
    }

    /// final-verify-product on `W/product`, logs in `O`.
    pub fn verify<S: AsRef<OsStr>>(&self, more: &[S]) -> Run {
        self.run(
            "final-verify-product",
            &["--product-dir", "W/product", "--out-dir", "O"],
            more,
        )
    }

    /// build-offline-product on `demo` into `W`.
    pub fn build<S: AsRef<OsStr>>(&self, more: &[S]) -> Run {
        self.run(
            "build-offline-product",
            &["--project-dir", "demo", "--workdir", "W"],
            more,
        )
    }

    fn run<S: AsRef<OsStr>>(&self, command: &str, usual: &[&str], more: &[S]) -> Run {
        let image = ["--image", &self.image];
        let args = image.iter().chain(usual).map(OsStr::new);
        self.sandbox
            .run(command, args.chain(more.iter().map(AsRef::as_ref)))
    }
}

/// Runs a script in a container of its own without a network, a directory mounted at `/carried/it`.
pub fn at_the_target(image: &str, dir: &Path, script: &str) -> Run {
    let mount = format!(
        "type=bind,\"source={}\",target=/carried/it",
        dir.display().to_string().replace('"', "\"\"")
    );
    let args = [
        "run",
        "--rm",
        "--network",
        "none",
        "--mount",
        &mount,
        "--entrypoint",
        "bash",
        image,
        "-ec",
        script,
    ];
    Run::of(std::process::Command::new("docker").args(args))
}

/// Our containers that are running.
pub fn containers_of(real: &Real) -> String {
    let filter = "label=io.github.pixi-offline.command";
    let args = [
        "ps",
        "--all",
        "--no-trunc",
        "--filter",
        filter,
        "--format",
        "{{.Names}} {{.Mounts}}",
    ];
    let run = Run::of(std::process::Command::new("docker").args(args));
    let mark = real.sandbox.root().display().to_string();
    run.success()
        .stdout
        .lines()
        .filter(|line| line.contains(&mark))
        .collect()
}
