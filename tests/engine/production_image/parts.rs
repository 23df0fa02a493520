//! Products to make images from, and images that go again.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testbed::images::{Change, PixiImage, derived_image, ensure_base_image};
use testbed::limit::InTime as _;
use testbed::project::{Manifest, lock_project};
use testbed::python::ensure_python_index;
use testbed::sandbox::{Run, Sandbox, words};

use crate::real::{Real, channel, image};

pub const COMMAND: &str = "make-production-image";

/// Runs docker to its end.
pub fn docker<S: AsRef<OsStr>>(args: &[S]) -> Run {
    Run::of(Command::new("docker").args(args))
}

/// The plain image that the new ones are made from.
pub fn base() -> &'static str {
    ensure_base_image().unwrap()
}

/// A name for an image of this test, removed with this value.
pub struct Name(pub String);

impl Name {
    pub fn new(test: &str) -> Name {
        Name(format!(
            "pixi-offline-test/production-{test}:{}",
            std::process::id()
        ))
    }

    pub fn exists(&self) -> bool {
        docker(&["image", "inspect", &self.0]).code == 0
    }

    /// A part of what the engine says of the image.
    pub fn inspect(&self, format: &str) -> String {
        let run = docker(&["image", "inspect", "--format", format, &self.0]);
        run.success().stdout.trim_end().to_owned()
    }

    /// Runs a command in it, as it is.
    pub fn run(&self, args: &[&str]) -> Run {
        let mut all = vec!["run", "--rm", "--network", "none", "--read-only", &self.0];
        all.extend(args);
        docker(&all)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["image", "rm", "--force", &self.0])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status_in_time();
    }
}

/// make-production-image of `W/product`.
pub fn make(real: &Real, more: &[&str]) -> Run {
    let mut args = vec!["--product-dir", "W/product", "--build-image", &real.image];
    args.extend(["--base-image", base()]);
    args.extend(more);
    real.sandbox.run(COMMAND, args)
}

/// A locked project `demo` like no other: products of equal content have one digest, and
/// tests ask what is left of theirs.
pub fn project(test: &str, image: &str, manifest: &Manifest) -> Real {
    let real = Real::with_project(image, manifest);
    real.sandbox.write("demo/made-for", test);
    real
}

/// From the locked project `demo` to a product that was verified.
pub fn verified(real: &Real, environments: &[&str]) {
    real.create(environments).success();
    real.make::<&str>(&[]).success();
    real.verify(&["--attach"]).success();
}

/// The digest of the product that a directory is.
pub fn digest_of(product: &Path) -> String {
    let run = Run::of(Command::new("sha256sum").arg(product.join("SHA256SUMS")));
    run.success().stdout[..64].to_owned()
}

const LABEL: &str = "io.github.pixi-offline.product.digest";

/// Which of these came from a product: ids, and what their label says.
fn of_product(product: &Path, ids: &str) -> Vec<(String, String)> {
    let digest = digest_of(product);
    let format = format!("{{{{index .Config.Labels \"{LABEL}\"}}}}");
    let label = |id: &str| docker(&["inspect", "--format", &format, id]).stdout;
    ids.lines()
        .map(|id| (id.to_owned(), label(id)))
        .filter(|(_, label)| label.contains(&digest))
        .collect()
}

fn nameless_images() -> String {
    let key = format!("label={LABEL}");
    let args = format!("image ls --quiet --filter dangling=true --filter {key}");
    let args = words(&args);
    docker(&args).success().stdout.clone()
}

/// Containers, running or not, and images without a name, that came from this product and
/// are unfinished.
pub fn left_behind(product: &Path) -> Vec<String> {
    let key = format!("label={LABEL}");
    let containers = docker(&["ps", "--all", "--quiet", "--filter", &key]);
    let ids = nameless_images() + &containers.success().stdout;
    of_product(product, &ids)
        .into_iter()
        .filter_map(|(id, label)| label.contains("unfinished").then_some(id))
        .collect()
}

/// Removes what a build by hand, and an image whose name was taken, leave: as their owner
/// would.
pub fn prune(product: &Path) {
    for (id, _) in of_product(product, &nameless_images()) {
        docker(&["image", "rm", &id]);
    }
}

/// How long the build of another test with the same product may go on, in seconds.
const OTHERS_TAKE: u64 = 90;

/// Asserts that nothing unfinished is left of the product in `W`. Another test may be building
/// from a product with the same content: what it is at goes by itself.
#[track_caller]
pub fn nothing_is_left(real: &Real) {
    let product = real.path("W/product");
    let end = Instant::now() + Duration::from_secs(OTHERS_TAKE);
    while !left_behind(&product).is_empty() && Instant::now() < end {
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(left_behind(&product), [""; 0]);
}

/// The example, locked, as `web-service` in a sandbox.
pub fn example(test: &str, editable: bool) -> Real {
    let image = quiet_image(image());
    let real = Real::new(&image);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/web-service");
    let copy = ["-a".as_ref(), source.as_os_str(), "web-service".as_ref()];
    Run::of(real.sandbox.program("cp").args(copy)).success();
    real.sandbox.write("web-service/made-for", test);
    let file = real.path("web-service/pixi.toml");
    let channel = channel();
    let mut text = fs::read_to_string(&file).unwrap();
    let mut replace = |from: &str, to: &str| {
        assert!(text.contains(from), "the example has no {from:?}: {text}");
        text = text.replace(from, to);
    };
    replace("\"conda-forge\"", &format!("{:?}", channel.url));
    replace(
        "\"linux-64\", \"linux-aarch64\"",
        &format!("{:?}", channel.subdir),
    );
    if editable {
        let index = ensure_python_index().unwrap();
        replace(
            "[activation.env]\nPYTHONPATH = \"$PIXI_PROJECT_ROOT/src\"\n",
            &format!(
                "[pypi-options]\nindex-url = {:?}\n\n[pypi-dependencies]\nweb-service = {{ path = \".\", editable = true }}\n",
                index.simple()
            ),
        );
        replace("[workspace]\n", "[workspace]\nconda-pypi-map = false\n");
    }
    fs::write(&file, text).unwrap();
    lock_project(&image, &real.path("web-service")).unwrap();
    real
}

/// What pixi asks beyond channel and index, it asks over https: nobody answers, wherever
/// the test runs.
fn quiet_image(image: &PixiImage) -> String {
    let changes = [Change::Instructions("ENV https_proxy=http://127.0.0.1:9")];
    derived_image("production-build:test", &image.reference, &changes).unwrap()
}

/// The pixi of the tests, if it knows the example's manifest.
pub fn knows_the_example(test: &str) -> bool {
    let young = image().version >= semver::Version::new(0, 74, 0);
    if !young {
        testbed::skip(test, "needs a pixi of 0.74 or later");
    }
    young
}

/// Something in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub kind: tar::EntryType,
    pub mode: u32,
    pub seconds: u64,
    pub owner: u64,
}

/// All that is in an image, by path.
pub fn listing(image: &str) -> BTreeMap<String, Seen> {
    let run = docker(&["create", "--network", "none", image, "x"]);
    let id = run.success().stdout.trim().to_owned();
    let mut export = Command::new("docker")
        .args(["export", &id])
        .stdout(Stdio::piped())
        .start()
        .unwrap();
    let mut archive = tar::Archive::new(export.stdout.take().unwrap());
    let mut all = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let seen = Seen {
            kind: header.entry_type(),
            mode: header.mode().unwrap(),
            seconds: header.mtime().unwrap(),
            owner: header.uid().unwrap(),
        };
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        all.insert(path.trim_end_matches('/').to_owned(), seen);
    }
    let mut rest = Vec::new();
    archive.into_inner().read_to_end(&mut rest).unwrap();
    assert!(export.wait_in_time().unwrap().success());
    docker(&["rm", &id]).success();
    all
}

/// What an image has and another has not.
pub fn added(image: &str, base: &str) -> BTreeMap<String, Seen> {
    let base = listing(base);
    let mut all = listing(image);
    all.retain(|path, _| !base.contains_key(path));
    all
}

/// A client that builds with BuildKit: docker's own where it has the plugin, else an older
/// one beside it that needs none. As a program of the sandbox.
pub fn buildkit_client(sandbox: &Sandbox) -> Option<String> {
    let candidates = ["docker", "/usr/bin/docker"];
    candidates.into_iter().find_map(|client| {
        let probe = Command::new(client)
            .env("DOCKER_BUILDKIT", "1")
            .args(["build", "--network", "none", "--quiet", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .start();
        let mut probe = probe.ok()?;
        let dockerfile = format!("FROM {}\nCMD [\"probe\"]\n", base());
        std::io::Write::write_all(&mut probe.stdin.take()?, dockerfile.as_bytes()).ok()?;
        let output = probe.output_in_time().ok()?;
        if !output.status.success() {
            return None;
        }
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let _ = docker(&["image", "rm", &id]);
        let script = format!("#!/bin/sh\nDOCKER_BUILDKIT=1 exec {client} \"$@\"\n");
        let file = sandbox.write("buildkit", script);
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&file, executable).unwrap();
        Some(file.to_str().unwrap().to_owned())
    })
}
