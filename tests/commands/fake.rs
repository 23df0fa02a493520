//! A sandbox whose `docker` is the fake one.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testbed::limit::{InTime as _, Started};
use testbed::sandbox::{Run, Sandbox, binary, words};

/// What create-workdir-from-host takes to build the small project into `work/W`.
pub const CREATE: [&str; 6] = [
    "--image",
    "img:1",
    "--project-dir",
    "demo",
    "--workdir",
    "W",
];

/// What is in a workdir.
pub const WORKDIR: [&str; 7] = [
    "helpers",
    "out",
    "pixi-cache",
    "product",
    "project",
    "resources",
    "workdir.json",
];

/// A lock that needs nothing, in two environments.
pub const LOCK: &str = "version: 6
environments:
  default:
    channels:
    - url: http://conda.example/chan/
    packages:
      linux-64: []
  test:
    channels:
    - url: http://conda.example/chan/
    packages:
      linux-64: []
packages: []
";

/// A sandbox, a scenario for its docker, and a small project in it.
pub struct Fake {
    pub sandbox: Sandbox,
    scenario: Value,
}

impl Fake {
    /// A docker that does everything right.
    pub fn new() -> Fake {
        let mut sandbox = Sandbox::new();
        std::os::unix::fs::symlink(binary("fake-docker"), sandbox.bin().join("docker")).unwrap();
        sandbox.set("FAKE_DOCKER_SCENARIO", sandbox.root().join("scenario.json"));
        sandbox.set("FAKE_DOCKER_CALLS", sandbox.root().join("calls"));
        sandbox.write("demo/pixi.toml", "[project]\nname = 'demo'\n");
        sandbox.write("demo/pixi.lock", LOCK);
        sandbox.write("demo/src/main.py", "print(1)\n");
        sandbox.write("demo/.env", "SECRET=1\n");
        sandbox.write("demo/.git/config", "x");
        sandbox.write("demo/.pixi/config.toml", "x = 1\n");
        sandbox.write("demo/.pixi/envs/default/bin/tool", "x");
        let fake = Fake {
            sandbox,
            scenario: json!({}),
        };
        fake.with(json!({"phases": [
            ["install", "installed\n", 0], ["verify", "verified\n", 0],
            ["bootstrap", "installed\n", 0],
        ]}))
    }

    /// Adds to the scenario.
    pub fn with(mut self, more: Value) -> Fake {
        for (key, value) in more.as_object().expect("an object") {
            self.scenario[key] = value.clone();
        }
        let file = self.sandbox.root().join("scenario.json");
        std::fs::write(file, self.scenario.to_string()).unwrap();
        self
    }

    /// Runs create-workdir-from-host on the small project, into `work/W`.
    pub fn create<S: AsRef<OsStr>>(&self, more: &[S]) -> Run {
        self.run("create-workdir-from-host", more)
    }

    /// Runs a command with options as create-workdir-from-host has them.
    pub fn run<S: AsRef<OsStr>>(&self, command: &str, more: &[S]) -> Run {
        Run::of(self.sandbox.command(command).args(CREATE).args(more))
    }

    /// Starts create-workdir-from-host on the small project, both of its streams piped.
    pub fn spawn(&self) -> Started {
        self.sandbox
            .command("create-workdir-from-host")
            .args(CREATE)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .start()
            .unwrap()
    }

    /// The same with a docker that hangs after the install, and waits until it does.
    pub fn spawn_hanging() -> (Fake, Started) {
        let fake = Fake::new().with(json!({"hang": true, "phases": [["install", "", 0]]}));
        let mut child = fake.spawn();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "hanging\n");
        // The pipe stays open.
        child.stdout = Some(stdout.into_inner());
        (fake, child)
    }

    /// create-workdir-from-host on the small project as the user 65534, who owns nothing.
    pub fn create_as_nobody(&self) -> Command {
        let mut command = self.sandbox.program("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(binary("create-workdir-from-host"))
            .args(CREATE);
        command
    }

    /// Runs final-verify-product on the product of `work/W`, logs in `work/O`.
    pub fn verify(&self, more: &[&str]) -> Run {
        let usual = words("--image img:1 --product-dir W/product --out-dir O");
        self.sandbox
            .run("final-verify-product", usual.iter().chain(more))
    }

    /// Makes the small project a git repository with all of it in a commit; gives
    /// the commit's id.
    pub fn commit(&self) -> String {
        testbed::ensure_debian_package("git", "git").unwrap();
        std::fs::remove_dir_all(self.path("demo/.git")).unwrap();
        let git = |args: &[&str]| {
            let mut command = self.sandbox.program("git");
            command.args(["-C", "demo", "-c", "user.name=n", "-c", "user.email=e"]);
            Run::of(command.args(args)).success().stdout.clone()
        };
        git(&["init", "--quiet"]);
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message", "m"]);
        git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// The calls of docker so far, each with its arguments.
    pub fn calls(&self) -> Vec<Vec<String>> {
        std::fs::read_to_string(self.sandbox.root().join("calls"))
            .unwrap_or_default()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The only call of `docker run`: the arguments before the script, and those after its nonce.
    #[track_caller]
    pub fn run_call(&self) -> (Vec<String>, Vec<String>) {
        let mut runs: Vec<_> = self
            .calls()
            .into_iter()
            .filter(|call| call[0] == "run")
            .collect();
        assert_eq!(runs.len(), 1, "{runs:?}");
        let args = runs.remove(0);
        let script = args.iter().position(|arg| arg == "-c").expect("a script");
        (args[..script].to_vec(), args[script + 5..].to_vec())
    }

    /// The text of a file below `work/`.
    #[track_caller]
    pub fn read(&self, file: impl AsRef<Path>) -> String {
        self.sandbox.read(file)
    }

    /// The JSON in a file below `work/`.
    #[track_caller]
    pub fn json(&self, file: impl AsRef<Path>) -> Value {
        self.sandbox.json(file)
    }

    /// A path below `work/`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.sandbox.work().join(name)
    }
}
