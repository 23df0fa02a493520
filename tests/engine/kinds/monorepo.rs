//! A project with an editable library and a wheel outside of its directory, the whole way by each
//! engine and transport, out of a running container, and into an image.

use std::fs;
use std::process::{Command, Stdio};

use testbed::ensure_podman;
use testbed::images::PixiImage;
use testbed::limit::InTime as _;
use testbed::project::lock_project_in;
use testbed::sandbox::Run;

use crate::kinds::draft::{Draft, Installed};
use crate::kinds::journey::{Journey, PROJECT};
use crate::kinds::kind::{library_beside, wheel_beside};
use crate::kinds::parts::Parts;
use crate::production_image::parts::{Name, base};

/// The newest pixi of this machine, which must be one that locks Python packages here.
fn image(test: &str) -> Option<&'static PixiImage> {
    let images = Parts::get().images.iter();
    let newest = images.max_by_key(|image| &image.version);
    let newest = newest.filter(|image| image.version >= semver::Version::new(0, 74, 0));
    if newest.is_none() {
        testbed::skip(&format!("monorepo::{test}"), "needs a pixi >=0.74");
    }
    newest
}

/// A locked monorepo in `work/mono`.
fn monorepo(image: &'static PixiImage) -> Journey<'static> {
    let journey = Journey::new(&image.reference);
    let (root, project) = (journey.path("mono"), journey.path(PROJECT));
    fs::create_dir_all(&project).unwrap();
    let library = library_beside(&project, Installed::Beside);
    let wheel = wheel_beside(&project);
    let draft = Draft {
        python: [library.python, wheel.python].concat(),
        proof: library.proof + &wheel.proof,
        ..library
    };
    draft.write(&project, image, Parts::get());
    fs::write(root.join("unneeded"), "x").unwrap();
    lock_project_in(&image.reference, &root, "apps/demo", "/home/me/mono").unwrap();
    journey
}

const PROVE: [&str; 4] = ["--verify-run", "--", "python", "prove.py"];

/// build-offline-product of the monorepo.
fn build(journey: &Journey<'_>, workdir: &str, more: &[&str]) -> Run {
    let here = ["--project-dir", PROJECT, "--source-root", "mono"];
    let usual = ["--image", journey.image, "--workdir", workdir];
    let words = [&here[..], &usual, more, &PROVE].concat();
    journey.sandbox.run("build-offline-product", words)
}

/// Installs the product of a workdir at another path, by another user, two days later.
#[track_caller]
fn works_at_the_target(journey: &Journey<'_>, workdir: &str) {
    let product = journey.path(&format!("{workdir}/product"));
    assert!(!product.join("demo/unneeded").exists());
    if let Err(error) = journey.at_the_target(&product) {
        panic!("{error}");
    }
}

#[test]
fn a_monorepo_goes_the_whole_way_mounted_and_carried_and_by_podman() {
    let Some(image) = image("engines") else {
        return;
    };
    let mut journey = monorepo(image);
    build(&journey, "W", &["--dry-run"])
        .success()
        .prints("it takes the manifest, and pixi.lock fits");
    build(&journey, "W", &[]).success();
    works_at_the_target(&journey, "W");
    build(&journey, "C", &["--transfer", "copy"]).success();
    works_at_the_target(&journey, "C");
    let manifest = |workdir: &str| {
        let file = journey.path(&format!("{workdir}/product/manifest.json"));
        fs::read_to_string(file).unwrap()
    };
    assert!(manifest("W").contains("\"folder\": \"demo/apps/demo\""));
    if !rustix::process::geteuid().is_root() {
        testbed::skip("monorepo::podman", "the podman of the tests runs as root");
        return;
    }
    let podman = ensure_podman().unwrap();
    podman.bring(journey.image).unwrap();
    for (name, value) in podman.variables() {
        journey.sandbox.set(name, value);
    }
    journey.sandbox.set("CONTAINER_ENGINE", "podman");
    build(&journey, "P", &[]).success();
    works_at_the_target(&journey, "P");
}

#[test]
fn a_monorepo_in_a_running_container_goes_the_whole_way() {
    let Some(image) = image("running") else {
        return;
    };
    let journey = monorepo(image);
    let nonce = pixi_offline::host_env::nonce();
    let name = format!("pixi-offline-test-{}", &nonce[..12]);
    let docker = |words: &[&str]| Run::of(Command::new("docker").args(words));
    let script = "mkdir -p /home/me; while :; do sleep 1; done";
    let start = [
        "run",
        "--detach",
        "--rm",
        "--name",
        &name,
        "--entrypoint",
        "sh",
    ];
    docker(&[&start[..], &[journey.image, "-c", script]].concat()).success();
    let _removed = Removed(&name);
    let mono = journey.path("mono").display().to_string();
    docker(&["cp", &mono, &format!("{name}:/home/me/mono")]).success();
    fs::remove_dir_all(journey.path("mono")).unwrap();
    let there = [
        "--container-id",
        &name,
        "--project-path-in-container",
        "/home/me/mono/apps/demo",
        "--workdir",
        "W",
    ];
    let run = |more: &[&str]| {
        let words = [&there[..], more, &PROVE].concat();
        journey.sandbox.run("build-offline-product", words)
    };
    run(&[])
        .code(2)
        .says("\n  --source-root-in-container /home/me/mono\n");
    let root = ["--source-root-in-container", "/home/me/mono"];
    run(&[&root[..], &["--dry-run"]].concat()).success();
    run(&root).success();
    works_at_the_target(&journey, "W");
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

#[test]
fn an_image_has_the_copy_of_the_source_root_with_the_project_in_it() {
    let Some(image) = image("image") else {
        return;
    };
    let journey = monorepo(image);
    build(&journey, "W", &[]).success();
    let make = |name: &Name, more: &[&str]| {
        let usual = ["--product-dir", "W/product", "--tag", &name.0];
        let images = ["--build-image", journey.image, "--base-image", base()];
        let words = [&usual[..], &images, more].concat();
        journey.sandbox.run("make-production-image", words)
    };
    let name = Name::new("monorepo");
    make(&name, &[]).success();
    let where_it_is = "import library, os; print(library.__file__, os.getcwd())";
    name.run(&["python", "-c", where_it_is])
        .success()
        .prints("/app/libs/library/")
        .prints(" /app/apps/demo\n");
    name.run(&[
        "sh",
        "-c",
        "ls -A /app /app/apps/demo/.pixi; echo $PIXI_PROJECT_ROOT",
    ])
    .success()
    .prints("/app/apps/demo\n")
    .prints("envs\n");
    // A part of it: the library that is editable must be there.
    make(&name, &["--copy", "apps/demo/.pixi/envs"]).code(2);
    let name = Name::new("monorepo-part");
    make(&name, &["--copy", "apps/demo/prove.py"])
        .code(1)
        .prints("add --copy libs/library");
    make(
        &name,
        &["--copy", "libs/library", "--copy", "apps/demo/prove.py"],
    )
    .success();
    name.run(&[
        "sh",
        "-c",
        "ls -A /app/apps/demo; python -c 'import library'",
    ])
    .success()
    .prints(".pixi\nprove.py\n");
}
