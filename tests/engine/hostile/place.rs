//! A sandbox with a project whose verification is hostile, and each way to run it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use testbed::images::{Change, derived_image, ensure_base_image};
use testbed::limit::InTime as _;
use testbed::sandbox::{Run, Sandbox, binary};

use crate::hostile::witness::{self, Witness};

/// How long a run may take, in seconds: each takes a few, and one that waits for a
/// fifo takes for ever.
const LIMIT: &str = "180";

/// A lock that needs no package, so that a stand-in for pixi can install it.
const LOCK: &str = "version: 6\nenvironments:\n  default:\n    channels:\n    - url: https://example.org/channel/\n    packages:\n      linux-64: []\npackages: []\n";

const MANIFEST: &str = "[workspace]\nname = \"demo\"\nchannels = [\"https://example.org/channel\"]\nplatforms = [\"linux-64\"]\n";

/// The image whose pixi and verification are hostile.
pub fn image() -> String {
    let script = |text, to| Change::Script { text, to };
    let changes = [
        script(include_str!("pixi.sh"), "/usr/local/bin/pixi"),
        script(include_str!("plant.sh"), "/usr/local/bin/plant"),
    ];
    derived_image("hostile:1", ensure_base_image().unwrap(), &changes).unwrap()
}

/// A way from the project to a directory that a container could write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Mounted,
    Carried,
    Running,
    VerifiedMounted,
    VerifiedCarried,
}

impl Transport {
    pub const ALL: [Transport; 5] = [
        Transport::Mounted,
        Transport::Carried,
        Transport::Running,
        Transport::VerifiedMounted,
        Transport::VerifiedCarried,
    ];

    /// Whether it is a final verification, and no build.
    pub fn is_verification(self) -> bool {
        matches!(
            self,
            Transport::VerifiedMounted | Transport::VerifiedCarried
        )
    }
}

/// A project, resources, and somebody's directory beside them.
pub struct Place {
    pub sandbox: Sandbox,
    pub witness: Witness,
    image: String,
}

impl Place {
    /// A place whose container follows a plan.
    pub fn new(plan: &str) -> Place {
        let mut sandbox = Sandbox::new();
        for name in ["DOCKER_HOST", "DOCKER_CONTEXT"] {
            if let Some(value) = std::env::var_os(name) {
                sandbox.set(name, value);
            }
        }
        sandbox.write("demo/pixi.toml", MANIFEST);
        sandbox.write("demo/pixi.lock", LOCK);
        sandbox.write("demo/plan", plan);
        sandbox.write("demo/data", "of the project");
        sandbox.write("demo/.pixi/config.toml", "");
        sandbox.write("res/model", "weights");
        let witness = Witness::new(sandbox.root());
        sandbox.write("demo/witness", witness.path().display().to_string());
        Place {
            image: image(),
            sandbox,
            witness,
        }
    }

    /// A path below `work/`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.sandbox.work().join(name)
    }

    /// Runs one of our commands, to its end or for [`LIMIT`] seconds.
    pub fn run(&self, name: &str, args: &[&str]) -> Run {
        let mut command = self.sandbox.program("timeout");
        command
            .args(["--kill-after=5", LIMIT])
            .arg(binary(name))
            .args(args);
        Run::of(&mut command)
    }

    /// Builds a workdir `W`, or verifies a product, as [`run_by`](Place::run_by), without a
    /// verification.
    pub fn run_without_verification(&self, transport: Transport) -> Run {
        self.run_with(transport, &[])
    }

    /// Builds a workdir `W` the way that a transport stands for, or verifies a product
    /// that an honest build made, and has the container follow its plan in that.
    pub fn run_by(&self, transport: Transport, more: &[&str]) -> Run {
        self.run_with(transport, &[more, &["--verify-task", "plant"]].concat())
    }

    fn run_with(&self, transport: Transport, more: &[&str]) -> Run {
        let build = [
            "--image",
            &self.image,
            "--project-dir",
            "demo",
            "--workdir",
            "W",
        ];
        let build = [&build[..], &["--resources-dir", "res"]].concat();
        let verify = ["--image", &self.image, "--product-dir", "W/product"];
        let verify = [&verify[..], &["--out-dir", "O", "--project-name", "demo"]].concat();
        let (name, args) = match transport {
            Transport::Mounted => (
                "create-workdir-from-host",
                [build, vec!["--transfer", "mount"]].concat(),
            ),
            Transport::Carried => (
                "create-workdir-from-host",
                [build, vec!["--transfer", "copy"]].concat(),
            ),
            Transport::Running => return self.run_in_a_container(more),
            Transport::VerifiedMounted => (
                "final-verify-product",
                [verify, vec!["--transfer", "mount"]].concat(),
            ),
            Transport::VerifiedCarried => (
                "final-verify-product",
                [verify, vec!["--transfer", "copy"]].concat(),
            ),
        };
        if transport.is_verification() {
            // An honest build: the plan gets into its product, and is not followed before.
            let plan = fs::read(self.path("demo/plan")).unwrap();
            self.sandbox.write("demo/plan", "");
            self.make_product(&plan);
        }
        self.run(name, &[&args[..], more].concat())
    }

    fn make_product(&self, plan: &[u8]) {
        let args = [
            "--image",
            &self.image,
            "--project-dir",
            "demo",
            "--workdir",
            "W",
        ];
        self.run("create-workdir-from-host", &args).success();
        self.sandbox.write("W/project/demo/plan", plan);
        self.run("make-archive-ready-product", &["--workdir", "W"])
            .success();
    }

    fn run_in_a_container(&self, more: &[&str]) -> Run {
        let container = Container::start(&self.image);
        for dir in ["demo", "res"] {
            container.put(&self.path(dir), &format!("/srv/{dir}"));
        }
        let args = [
            "--container-id",
            &container.0,
            "--project-path-in-container",
            "/srv/demo",
            "--resources-path-in-container",
            "/srv/res",
            "--workdir",
            "W",
        ];
        self.run("create-workdir-from-container", &[&args[..], more].concat())
    }

    /// Requires that a run ended by itself with an exit code of ours, touched nothing of
    /// the person's, and brought none of it anywhere.
    #[track_caller]
    pub fn require_harmless(&self, run: &Run, what: &str) {
        assert!(
            !matches!(run.code, 101 | 124 | 134..=139),
            "{what}: no orderly end\n{run}"
        );
        for text in [&run.stdout, &run.stderr] {
            assert!(!text.contains(witness::SECRET), "{what}: shown\n{run}");
        }
        self.witness.require_untouched(&format!("{what}\n{run}"));
        for dir in ["W", "O"] {
            if self.path(dir).exists() {
                witness::require_none_of_it_in(&self.path(dir), what);
                witness::require_no_device_in(&self.path(dir), what);
            }
        }
        let expected = ["demo", "res", "W", "O"];
        for name in testbed::sandbox::names(&self.sandbox.work()) {
            let is_lock = name.ends_with(".pixi-offline-lock");
            assert!(
                expected.contains(&name.as_str()) || is_lock,
                "{what}: {name} was left\n{run}"
            );
        }
        assert!(
            testbed::sandbox::names(&self.sandbox.home()).is_empty(),
            "{what}"
        );
    }

    /// Makes a product of what came, with all that leaves.
    pub fn make(&self) -> Run {
        let args = ["--workdir", "W", "--project-name", "demo", "--bundle-pixi"];
        self.run("make-archive-ready-product", &args)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What the container left without permissions is removed with the sandbox.
        let root = self.sandbox.root();
        let _ = Command::new("chmod")
            .args(["-R", "u+rwX"])
            .arg(root)
            .status_in_time();
        let _ = fs::remove_dir_all(self.path("W"));
    }
}

/// A running container, removed with this value.
struct Container(String);

impl Container {
    fn start(image: &str) -> Container {
        let args = ["run", "--detach", "--entrypoint", "sh", image, "-c"];
        let run = Run::of(
            Command::new("docker")
                .args(args)
                .arg("while :; do sleep 1; done"),
        );
        Container(run.success().stdout.trim().to_owned())
    }

    fn put(&self, dir: &std::path::Path, place: &str) {
        let to = format!("{}:{place}", self.0);
        Run::of(Command::new("docker").arg("cp").arg(dir).arg(to)).success();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let mut remove = Command::new("docker");
        let _ = remove
            .args(["rm", "--force", &self.0])
            .stdout(Stdio::null())
            .status_in_time();
    }
}
