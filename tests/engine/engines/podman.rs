//! Each command with a real podman.

use std::fs;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use testbed::images::ensure_base_image;
use testbed::project::Manifest;
use testbed::sandbox::{Run, names, words};

use crate::engines::place::{Called, Place};
use crate::running::{Running, SLEEP, SOON, until};

#[test]
fn the_three_commands_make_and_verify_a_product_with_podman() {
    let name = "podman::the_three_commands_make_and_verify_a_product_with_podman";
    let Some(place) = Place::new(name, Called::ByVariable) else {
        return;
    };
    let real = &place.real;
    real.create(&["--verify-task", "where"])
        .success()
        .prints("envs/default");
    let record: Value =
        serde_json::from_slice(&fs::read(real.path("W/workdir.json")).unwrap()).unwrap();
    assert_eq!(record["engine"]["client"], "podman");
    assert_eq!(record["image"]["platform"], "linux/amd64");
    let id = record["image"]["id"].as_str().unwrap();
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    real.make::<&str>(&[]).success();
    real.verify(&words("--project-name demo --attach --verify-task where"))
        .success()
        .prints("/product/demo/.pixi/envs/default");
    assert_eq!(
        names(&real.path("O")),
        [
            "bootstrap.offline.log",
            "verification.json",
            "verify.offline.log"
        ]
    );
    assert_eq!(place.containers(), [""; 0]);
}

#[test]
fn a_docker_that_is_podman_does_the_work_too() {
    let name = "podman::a_docker_that_is_podman_does_the_work_too";
    let Some(place) = Place::new(name, Called::Docker) else {
        return;
    };
    let run = place
        .real
        .build(&["--format", "json", "--verify-task", "where"]);
    let proof: Value = serde_json::from_str(run.success().stdout.lines().last().unwrap()).unwrap();
    let engine = &proof["verification"]["engine"];
    assert_eq!(engine["client"], "docker");
    let version = place.podman(&["version", "--format", "{{.Client.Version}}"]);
    assert_eq!(engine["version"], version.stdout.trim());
    assert_eq!(proof["verification"]["network"]["mode"], "none");
    assert_eq!(place.containers(), [""; 0]);
}

#[test]
fn without_a_docker_podman_is_used_and_that_is_said_once() {
    let name = "podman::without_a_docker_podman_is_used_and_that_is_said_once";
    let Some(mut place) = Place::new(name, Called::Alone) else {
        return;
    };
    let run = place.real.build(&["--verify-task", "where"]);
    run.success();
    let said = "NOTE: docker is not on PATH, so ";
    assert_eq!(run.stderr.matches(said).count(), 1, "{run}");
    // One that was named must be there.
    place
        .real
        .create(&["--engine", "docker"])
        .code(127)
        .says("ERROR: Missing required command: docker");
    place.real.sandbox.set("CONTAINER_ENGINE", "docker");
    place
        .real
        .create::<&str>(&[])
        .code(127)
        .says("ERROR: Missing required command: docker");
}

/// A running container with the project `demo` of a place in it, removed with this value.
struct Container<'a> {
    place: &'a Place,
    name: String,
}

impl<'a> Container<'a> {
    fn with_project(place: &'a Place) -> Container<'a> {
        let nonce = pixi_offline::host_env::nonce();
        let name = format!("pixi-offline-test-{}", &nonce[..12]);
        let start = ["run", "--detach", "--name", &name, "--entrypoint", "sh"];
        let script = ["-c", "while :; do sleep 1; done"];
        let args = [&start[..], &[&place.real.image], &script].concat();
        place.podman(&args).success();
        let container = Container { place, name };
        let demo = place.real.path("demo").display().to_string();
        let to = format!("{}:/home/me/demo", container.name);
        place
            .podman(&["exec", &container.name, "mkdir", "-p", "/home/me"])
            .success();
        place.podman(&["cp", &demo, &to]).success();
        container
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.place
            .podman(&["rm", "--force", "--time", "0", &self.name]);
    }
}

#[test]
fn a_project_in_a_container_of_podmans_becomes_a_product() {
    let name = "podman::a_project_in_a_container_of_podmans_becomes_a_product";
    let Some(place) = Place::new(name, Called::ByVariable) else {
        return;
    };
    let container = Container::with_project(&place);
    let source = [
        "--container-id",
        &container.name,
        "--project-path-in-container",
        "/home/me/demo",
    ];
    let run = |command: &str, more: &[&str]| {
        place
            .real
            .sandbox
            .run(command, [&source[..], more].concat())
    };
    run(
        "create-workdir-from-container",
        &["--workdir", "W", "--verify-task", "where"],
    )
    .success()
    .prints("/tmp/pixi-offline-workdir/project/demo/.pixi/envs/default");
    place.real.make::<&str>(&[]).success();
    place.real.verify::<&str>(&[]).success();
    let whole = words("--workdir V --clean --format json --verify-task where");
    let whole = run("build-offline-product", &whole);
    let proof: Value =
        serde_json::from_str(whole.success().stdout.lines().last().unwrap()).unwrap();
    assert_eq!(proof["verification"]["image"]["id"], proof["image"]["id"]);
    assert_eq!(proof["verification"]["engine"]["client"], "podman");
    // Nothing of ours is left in it, nor beside it.
    let left = [
        "exec",
        &container.name,
        "find",
        "/tmp",
        "/var/tmp",
        "-mindepth",
        "1",
    ];
    assert_eq!(place.podman(&left).success().stdout, "");
    assert_eq!(place.containers(), [""; 0]);
    // A signal ends what runs for us, and only that.
    let mut command = place.real.sandbox.command("create-workdir-from-container");
    command.args(source).args(["--workdir", "S"]);
    command.args(["--verify-run", "--", "python", "-c", SLEEP]);
    let running = Running::until_it_prints(&mut command, "asleep");
    running.signal("TERM");
    assert_eq!(running.end().0, 143);
    let script = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '";
    let runs = place.podman(&["exec", &container.name, "sh", "-c", script]);
    assert!(!runs.success().stdout.contains("asl"), "{runs}");
    run(
        "create-workdir-from-container",
        &["--container-id", "there-is-none", "--workdir", "X"],
    )
    .code(2)
    .says("there is no container there-is-none; `podman ps` shows those that run");
}

/// An image of podman's, removed with this value.
struct Image<'a>(&'a Place, String);

impl Drop for Image<'_> {
    fn drop(&mut self) {
        self.0.podman(&["image", "rm", "--force", &self.1]);
    }
}

/// The images, with a name or without, that came from the product in `W`: other tests make
/// theirs at the same time.
fn images_of_product(place: &Place) -> Vec<String> {
    const LABEL: &str = "io.github.pixi-offline.product.digest";
    let mut sum = Command::new("sha256sum");
    let sum = Run::of(sum.arg(place.real.path("W/product/SHA256SUMS")));
    let digest = &sum.success().stdout[..64];
    let of_products = format!("label={LABEL}");
    let args = ["image", "ls", "--quiet", "--all", "--filter", &of_products];
    let all = place.podman(&args);
    let format = format!("{{{{index .Config.Labels \"{LABEL}\"}}}}");
    let label = |id: &str| {
        let inspect = ["image", "inspect", "--format", &format, id];
        place.podman(&inspect).stdout
    };
    let ids = all.success().stdout.lines();
    ids.filter(|id| label(id).contains(digest))
        .map(str::to_owned)
        .collect()
}

#[test]
fn an_image_is_made_tried_and_saved_with_podman() {
    let name = "podman::an_image_is_made_tried_and_saved_with_podman";
    let Some(place) = Place::new(name, Called::ByVariable) else {
        return;
    };
    let base = ensure_base_image().unwrap();
    place.bring(base);
    let real = &place.real;
    real.sandbox.write("demo/made-for", name);
    real.build::<&str>(&[]).success();
    let image = Image(
        &place,
        format!("pixi-offline-test/podman:{}", std::process::id()),
    );
    let make = |more: &[&str]| {
        let mut args = vec!["--product-dir", "W/product", "--build-image", &real.image];
        args.extend(["--base-image", base, "--tag", &image.1]);
        args.extend(more);
        real.sandbox.run("make-production-image", args)
    };
    let before = images_of_product(&place);
    make(&["--verify-run", "--", "python", "-c", "raise SystemExit(9)"]).code(9);
    assert_eq!(
        images_of_product(&place),
        before,
        "something is left of a build that was no good"
    );
    make(&["--base-image", "localhost/no-such-image:1"]).code(125);

    let args = [
        "--save",
        "image.tar",
        "--user",
        "1000",
        "--healthcheck",
        "python -V",
    ];
    let verified = [
        "--cmd",
        "prefix-tool",
        "--verify-run",
        "--",
        "python",
        "-c",
        "print(6 * 7)",
    ];
    let run = make(&[&args[..], &verified].concat());
    run.success()
        .prints("42")
        .says_not("HEALTHCHECK is not supported");
    make(&[]).code(2).says("--force");
    let inspected = place.podman(&["image", "inspect", &image.1]);
    let inspected: Value = serde_json::from_str(&inspected.success().stdout).unwrap();
    let id = format!("sha256:{}", inspected[0]["Id"].as_str().unwrap());
    run.says(&format!("is there: {id}"));
    assert_eq!(inspected[0]["User"], "1000");
    assert!(inspected[0]["HealthCheck"].is_object() || inspected[0]["Healthcheck"].is_object());
    place
        .podman(&["run", "--rm", "--network", "none", "--read-only", &image.1])
        .success()
        .prints("/app/.pixi/envs/default");
    // docker takes the archive; podman has put the name of no registry before the image's.
    let archive = real.path("image.tar");
    let docker = |args: &[&str]| Run::of(Command::new("docker").args(args));
    docker(&["load", "--input", archive.to_str().unwrap()])
        .success()
        .prints(&format!("Loaded image: localhost/{}", image.1));
    docker(&["image", "rm", &format!("localhost/{}", image.1)]).success();
    let working = ["ps", "--all", "--external", "--format", "{{.Names}}"];
    let left = place.podman(&working);
    assert!(!left.success().stdout.contains("working-container"));
}

#[test]
fn ends_of_what_runs_in_podman_are_told_apart() {
    let name = "podman::ends_of_what_runs_in_podman_are_told_apart";
    let manifest = Manifest::usual("demo").task("seven", "exit 7");
    let Some(place) = Place::with(name, Called::ByVariable, &manifest) else {
        return;
    };
    let real = &place.real;
    real.create(&["--verify-task", "seven"])
        .code(7)
        .says("the verification failed with exit code 7");
    real.create(&["--engine-arg", "--no-such-option"])
        .code(125)
        .says("refused to start a container");
    real.create(&["--image", "localhost/no-such-image:1"])
        .code(125)
        .says("could not fetch it");
    // What makes a directory a product for the check before the engine is asked.
    real.sandbox.write("P/bootstrap-project.sh", "");
    real.verify(&["--image", "localhost/no-such-image:1", "--product-dir", "P"])
        .code(125)
        .says("is not on this engine");
    // A directory whose name is CSV to the engine.
    let odd = real.path("a, \"b\": c");
    fs::create_dir(&odd).unwrap();
    let args = ["--workdir", "a, \"b\": c/W", "--verify-task", "where"];
    real.create(&args).success();
    assert_eq!(place.containers(), [""; 0]);
}

#[test]
fn signals_end_what_runs_in_podman_and_nothing_is_left() {
    let name = "podman::signals_end_what_runs_in_podman_and_nothing_is_left";
    let Some(place) = Place::new(name, Called::ByVariable) else {
        return;
    };
    let real = &place.real;
    let start = || {
        let mut command = real.sandbox.command("create-workdir-from-host");
        command.args([
            "--image",
            &real.image,
            "--project-dir",
            "demo",
            "--workdir",
            "W",
        ]);
        command.args(["--verify-run", "--", "python", "-c", SLEEP]);
        Running::until_it_prints(&mut command, "asleep")
    };
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let running = start();
        assert_eq!(place.containers().len(), 1);
        let since = Instant::now();
        running.signal(signal);
        let (ended, stderr) = running.end();
        assert_eq!(ended, code, "{stderr}");
        assert!(since.elapsed() < SOON, "{signal}: {:?}", since.elapsed());
        assert_eq!(place.containers(), [""; 0], "{signal}");
    }
    // Killed, it cannot remove the container: that ends by itself, and the next run removes it.
    let running = start();
    running.signal("KILL");
    assert_eq!(running.end().0, 137);
    let runs = || {
        place.podman(&words(
            "ps --quiet --filter label=io.github.pixi-offline.command",
        ))
    };
    let took = until(|| runs().success().stdout.is_empty());
    assert!(took < SOON, "the container ran for {took:?}");
    // The next run may be one of a test that runs beside this one.
    assert!(place.containers().len() <= 1);
    real.create::<&str>(&[]).success();
    assert_eq!(place.containers(), [""; 0]);
}
