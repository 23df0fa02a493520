//! Where the blocks of a page run: the files that the docs name are there.

use std::process::Command;

use semver::Version;
use testbed::images::PixiImage;
use testbed::limit::InTime as _;
use testbed::project::{Manifest, lock_project};
use testbed::sandbox::{Run, Sandbox, binary, words};
use testbed::{Parts, SecondEngine, ensure_debian_package, ensure_podman};

use crate::docs::root;
use crate::docs::shell::Shell;

/// The image that the docs name; the test image stands in for it.
const OFFICIAL: &str = "ghcr.io/prefix-dev/pixi:0.77.0";

/// The plain image of the docs.
const PLAIN: &str = "debian:bookworm";

/// The engine of another machine.
const BIG: &str = "ssh://ada@big";

/// Lines of the docs that pixi prints, as the image that they name has it, and what the oldest
/// pixi of the tests prints there; `…` stands for any text.
const OLD_WORDS: [(&str, &str); 2] = [
    (
        "The default environment has been installed.",
        "Project in … is ready to use!",
    ),
    ("Pixi task (smoke): ", "Pixi task (default): "),
];

/// From here on pixi prints what the docs show; 0.15 prints the old words.
const OTHER_WORDS: Version = Version::new(0, 30, 0);

/// The home of the docs.
const HOME: &str = "/home/ada";

/// A directory with the projects of the docs, a container with one of them, and
/// shells on both sides.
pub struct Place {
    sandbox: Sandbox,
    image: PixiImage,
    container: String,
    here: Option<Shell>,
    target: Option<Shell>,
    /// The engine of another machine.
    big: Option<SecondEngine>,
}

impl Place {
    pub fn new() -> Place {
        let parts = testbed::ensure_all().unwrap();
        let mut sandbox = Sandbox::new();
        sandbox.set("PIXI_IMAGE", &parts.image.reference);
        for name in ["DOCKER_HOST", "DOCKER_CONTEXT"] {
            if let Some(value) = std::env::var_os(name) {
                sandbox.set(name, value);
            }
        }
        for command in words(
            "build-offline-product create-workdir-from-container create-workdir-from-host \
             final-verify-product make-archive-ready-product pixi-offline",
        ) {
            std::os::unix::fs::symlink(binary(command), sandbox.bin().join(command)).unwrap();
        }
        for (program, package) in [("minisign", "minisign"), ("ssh-keygen", "openssh-client")] {
            ensure_debian_package(program, package).unwrap();
        }
        let keys = "mkdir ~/.ssh; ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519";
        Run::of(sandbox.program("sh").args(["-c", keys])).success();
        hello(&sandbox, &parts);
        demo(&sandbox, &parts);
        weather(&sandbox, &parts);
        let container = format!(
            "pixi-offline-docs-{}",
            &pixi_offline::host_env::nonce()[..12]
        );
        Place {
            sandbox,
            image: parts.image,
            container,
            here: None,
            target: None,
            big: None,
        }
    }

    /// One with podman, and an engine that sees nothing of it.
    pub fn with_engines() -> Place {
        let mut place = Place::new();
        let podman = ensure_podman().unwrap();
        podman.bring(&place.image.reference).unwrap();
        for (name, value) in podman.variables() {
            place.sandbox.set(name, value);
        }
        ensure_debian_package("make", "make").unwrap();
        let makefile = root().join("examples/several-engines/Makefile");
        let makefile = std::fs::read(makefile).unwrap();
        place.sandbox.write("Makefile", makefile);
        let work = place.sandbox.work();
        place.big = Some(SecondEngine::start_on_tcp(&work, &place.image.reference).unwrap());
        place
    }

    fn instead(&self) -> Vec<(String, String)> {
        let own = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let work = self.sandbox.work().display().to_string();
        let mut instead = vec![
            own(OFFICIAL, &self.image.reference),
            own(PLAIN, &self.image.reference),
            own("demo-box", &self.container),
            own("weather-box", &self.container),
            own(HOME, &work),
            own(BIG, self.big.as_ref().map_or(BIG, SecondEngine::host)),
        ];
        if self.image.version < OTHER_WORDS {
            instead.extend(OLD_WORDS.map(|(from, to)| own(from, to)));
        }
        instead
    }

    /// The shell on this machine.
    pub fn here(&mut self) -> &mut Shell {
        if self.here.is_none() {
            self.start_container();
            let mut bash = self.sandbox.program("bash");
            bash.args(["--noprofile", "--norc"]);
            self.here = Some(Shell::start(bash, self.instead()));
        }
        self.here.as_mut().unwrap()
    }

    /// The shell where there is no network, in a copy of what this side has.
    pub fn target(&mut self) -> &mut Shell {
        if self.target.is_none() {
            let mount = format!(
                "type=bind,source={},target=/carried,readonly",
                self.sandbox.work().display()
            );
            let mut docker = self.sandbox.program("docker");
            docker.args(words("run --rm --interactive --network none --mount"));
            docker.args([&mount, "--entrypoint", "bash", &self.image.reference]);
            let mut shell = Shell::start(docker, self.instead());
            let bring = "mkdir -p /any/path /home/ada; cp -a /carried/. /home/ada; cd /home/ada; \
                         for product in workdir/product work/product; do \
                         if test -e $product; then cp -a $product '/any/path/of the product'; fi; done";
            let (printed, code) = shell.command(bring);
            assert_eq!(code, 0, "{printed}");
            self.target = Some(shell);
        }
        self.target.as_mut().unwrap()
    }

    /// The container of the docs, with the projects at the paths that they name.
    fn start_container(&self) {
        let docker = |args: &[&str]| {
            Run::of(Command::new("docker").args(args)).success();
        };
        docker(&[
            "run",
            "--detach",
            "--name",
            &self.container,
            "--entrypoint",
            "sh",
            &self.image.reference,
            "-c",
            "mkdir -p /srv/app; while :; do sleep 1; done",
        ]);
        for dir in ["demo", "data", "weather"] {
            let from = self.sandbox.work().join(dir).display().to_string();
            docker(&["cp", &from, &format!("{}:/srv/", self.container)]);
        }
        let copy = "cp -a /srv/weather /srv/data /srv/app";
        docker(&["exec", &self.container, "sh", "-c", copy]);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.here.is_some() {
            let args = ["rm", "--force", "--volumes", &self.container];
            let _ = Command::new("docker").args(args).output_in_time();
        }
    }
}

/// The example of the README.
fn hello(sandbox: &Sandbox, parts: &Parts) {
    let examples = sandbox.work().join("examples");
    std::fs::create_dir(&examples).unwrap();
    testbed::copy_hello_example(&examples.join("hello"), &parts.image.version).unwrap();
}

/// The project of the page of the commands and of `cargo xtask demo`.
fn demo(sandbox: &Sandbox, parts: &Parts) {
    let source = root().join("tests/demo-project");
    let manifest = std::fs::read_to_string(source.join("pixi.toml"))
        .unwrap()
        .replace("CHANNEL", &parts.channel.url)
        .replace("PLATFORM", parts.channel.subdir);
    sandbox.write("demo/pixi.toml", manifest);
    let report = std::fs::read(source.join("src/report.py")).unwrap();
    sandbox.write("demo/src/report.py", report);
    sandbox.write("data/model.bin", "weights of a model\n");
    lock_project(&parts.image.reference, &sandbox.work().join("demo")).unwrap();
}

/// The project of the guide.
fn weather(sandbox: &Sandbox, parts: &Parts) {
    let dir = sandbox.work().join("weather");
    Manifest::usual("weather")
        .task("smoke", "python -m weather --self-test")
        .write(&parts.channel, &dir)
        .unwrap();
    sandbox.write("weather/weather/__init__.py", "");
    sandbox.write("weather/weather/__main__.py", WEATHER);
    lock_project(&parts.image.reference, &dir).unwrap();
}

/// What the guide says of it.
const WEATHER: &str = "\
import os, sys
if '--version' in sys.argv:
    print('weather 1.0.0')
if '--self-test' in sys.argv:
    data = os.path.join(os.environ['PRODUCT_RES_DIR'], 'model.bin')
    assert open(data).read(), data
    out = os.environ.get('VERIFY_OUT_DIR')
    if out:
        open(os.path.join(out, 'report.json'), 'w').write('{}')
    print('weather: self-test passed')
";
