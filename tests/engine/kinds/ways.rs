//! The ways of one locked project to another machine: by each engine and transport, out of a
//! running container, and into an image.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use testbed::ensure_podman;
use testbed::limit::InTime as _;
use testbed::sandbox::Run;

use crate::kinds::journey::Journey;
use crate::production_image::parts::{COMMAND, Name, base, docker};

const PROVE: [&str; 4] = ["--verify-run", "--", "python", "prove.py"];

/// Where the directory around the project is in a container.
const ROOT_THERE: &str = "/home/me/mono";

/// A locked project at [`PROJECT`](crate::kinds::journey::PROJECT), in the directory `mono`.
pub struct Ways<'a> {
    pub journey: Journey<'a>,
    /// Whether `mono` is the source root.
    pub in_root: bool,
    /// Fails where a product is not as it must be.
    pub check: fn(&Ways<'_>, workdir: &str),
}

impl Ways<'_> {
    /// The project in the product of a workdir.
    pub fn delivered(&self, workdir: &str) -> PathBuf {
        let in_root = if self.in_root { "/apps/demo" } else { "" };
        self.journey
            .path(&format!("{workdir}/product/demo{in_root}"))
    }

    /// build-offline-product of the project.
    pub fn build(&self, workdir: &str, more: &[&str]) -> Run {
        let mut args = vec!["--project-dir", crate::kinds::journey::PROJECT];
        if self.in_root {
            args.extend(["--source-root", "mono"]);
        }
        args.extend(["--image", self.journey.build_image, "--workdir", workdir]);
        args.extend(more);
        args.extend(PROVE);
        self.journey.sandbox.run("build-offline-product", args)
    }

    /// Checks the product of a workdir, and installs it at another path, by another user, two
    /// days later.
    #[track_caller]
    pub fn works_at_the_target(&self, workdir: &str) {
        (self.check)(self, workdir);
        let product = self.journey.path(&format!("{workdir}/product"));
        if let Err(error) = self.journey.at_the_target(&product) {
            panic!("{error}");
        }
    }

    /// Builds it by docker, mounted in `W` and carried in `C`, and by podman in `P`; `skipped` is
    /// the name of the last part where this machine cannot.
    #[track_caller]
    pub fn by_each_engine(mut self, skipped: &str) {
        self.build("W", &["--dry-run"])
            .success()
            .prints("it accepts the manifest, and pixi.lock is up to date");
        self.build("W", &[]).success();
        self.works_at_the_target("W");
        self.build("C", &["--transfer", "copy"]).success();
        self.works_at_the_target("C");
        if !rustix::process::geteuid().is_root() {
            testbed::skip(skipped, "the podman of the tests runs as root");
            return;
        }
        let podman = ensure_podman().unwrap();
        podman.bring(self.journey.build_image).unwrap();
        for (name, value) in podman.variables() {
            self.journey.sandbox.set(name, value);
        }
        self.journey.sandbox.set("CONTAINER_ENGINE", "podman");
        self.build("P", &[]).success();
        self.works_at_the_target("P");
    }

    /// Has it only in a running container, and builds it from there.
    #[track_caller]
    pub fn out_of_a_running_container(self) {
        let nonce = pixi_offline::host_env::nonce();
        let name = format!("pixi-offline-test-{}", &nonce[..12]);
        let script = "while :; do sleep 1; done";
        let start = ["run", "--detach", "--rm", "--name", &name];
        let idle = ["--entrypoint", "sh", self.journey.build_image, "-c", script];
        docker(&[&start[..], &idle].concat()).success();
        let _removed = Removed(&name);
        docker(&["exec", &name, "mkdir", "-p", "/home/me"]).success();
        let mono = self.journey.path("mono").display().to_string();
        docker(&["cp", &mono, &format!("{name}:{ROOT_THERE}")]).success();
        fs::remove_dir_all(self.journey.path("mono")).unwrap();
        let project = format!("{ROOT_THERE}/apps/demo");
        let run = |more: &[&str]| {
            let mut args = vec!["--container-id", &name, "--workdir", "W"];
            args.extend(["--project-path-in-container", &project]);
            args.extend(more);
            args.extend(PROVE);
            self.journey.sandbox.run("build-offline-product", args)
        };
        let root = ["--source-root-in-container", ROOT_THERE];
        let root = if self.in_root { &root[..] } else { &[] };
        if self.in_root {
            run(&[])
                .code(2)
                .says(&format!("\n  --source-root-in-container {ROOT_THERE}\n"));
        }
        run(&[root, &["--dry-run"]].concat()).success();
        run(root).success();
        self.works_at_the_target("W");
    }

    /// make-production-image of the product in `W`.
    pub fn image(&self, name: &Name, more: &[&str]) -> Run {
        self.image_with(COMMAND, &[], name, more)
    }

    /// As [`Ways::image`], by another command, or its first arguments.
    pub fn image_with(&self, command: &str, first: &[&str], name: &Name, more: &[&str]) -> Run {
        let usual = ["--product-dir", "W/product", "--tag", &name.0];
        let images = ["--build-image", self.journey.image, "--base-image", base()];
        let args = [first, &usual, &images, more].concat();
        self.journey.sandbox.run(command, args)
    }
}

/// A container that is removed with this value.
struct Removed<'a>(&'a str);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rm", "--force", self.0])
            .stdout(Stdio::null())
            .status_in_time();
    }
}
