//! The example service, from a product to a running container and its end.

use std::thread;
use std::time::{Duration, Instant};

use crate::production_image::parts::{
    COMMAND, Name, added, base, docker, example, knows_the_example, nothing_is_left,
};

/// A container, removed with this value.
struct Container(String);

impl Drop for Container {
    fn drop(&mut self) {
        let _ = docker(&["rm", "--force", &self.0]);
    }
}

/// How long a service has to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(30);

/// `docker stop` kills after ten seconds.
const SOON: Duration = Duration::from_secs(5);

fn the_service_runs(editable: bool) {
    let real = example("example", editable);
    let args = ["--project-dir", "web-service", "--workdir", "W", "--quiet"];
    let mut args = args.to_vec();
    args.extend(["--image", &real.image, "--verify-task", "self-test"]);
    real.sandbox.run("build-offline-product", args).success();

    let name = Name::new(if editable { "editable" } else { "example" });
    let args = [
        "--product-dir",
        "W/product",
        "--build-image",
        &real.image,
        "--base-image",
        base(),
        "--tag",
        &name.0,
        "--user",
        "1000",
        "--expose",
        "8000",
        "--healthcheck",
        "python -m web_service --self-test",
        "--",
        "python",
        "-m",
        "web_service",
    ];
    let run = real.sandbox.run(COMMAND, args);
    run.success()
        .says("OK: image")
        .says("Product digest: sha256:");
    nothing_is_left(&real);

    if editable {
        // Its source is in the project, and must come along.
        let other = Name::new("editable-without");
        let args = [
            "--product-dir",
            "W/product",
            "--build-image",
            &real.image,
            "--base-image",
            base(),
            "--tag",
            &other.0,
            "--copy",
            "pyproject.toml",
        ];
        let run = real.sandbox.run(COMMAND, args);
        run.code(1).prints("add --copy src");
        assert!(!other.exists());
    }

    // Neither pixi nor a cache, nor anything outside of the application's directory.
    let added = added(&name.0, base());
    for (path, seen) in &added {
        assert!(path == "app" || path.starts_with("app/"), "{path}");
        assert_eq!(seen.owner, 0, "{path}");
        let file = path.rsplit('/').next().unwrap();
        assert!(!["pkgs", "pkg-cache", "uv-cache"].contains(&file), "{path}");
        assert!(
            file != "pixi" || path.ends_with("conda-meta/pixi"),
            "{path}"
        );
    }
    assert!(
        added.contains_key("app/.pixi/envs/default/bin/python3.11"),
        "{added:?}"
    );
    name.run(&["sh", "-c", "command -v pixi"]).code(127);

    // Started, asked over HTTP, stopped.
    let args = [
        "run",
        "--detach",
        "--network",
        "none",
        "--read-only",
        &name.0,
    ];
    let container = Container(docker(&args).success().stdout.trim().to_owned());
    let ask = |path: &str| {
        let script = format!(
            "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000{path}').read().decode())"
        );
        let args = [
            "exec",
            &container.0,
            "/app/.pixi/entrypoint.sh",
            "python",
            "-c",
            &script,
        ];
        docker(&args)
    };
    let start = Instant::now();
    while ask("/health").code != 0 && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(100));
    }
    ask("/health").success().prints("ok");
    let about = ask("/");
    about
        .success()
        .prints("\"prefix\": \"/app/.pixi/envs/default\"")
        .prints("\"source\": \"/app/src/web_service\"")
        .prints("\"user\": 1000")
        // The entry point became the service.
        .prints("\"process\": 1}");
    let start = Instant::now();
    docker(&["stop", &container.0]).success();
    let took = start.elapsed();
    eprintln!("stopped after {took:?}");
    assert!(took < SOON, "stopped after {took:?}");
    let code = docker(&["inspect", "--format", "{{.State.ExitCode}}", &container.0]);
    assert_eq!(code.stdout.trim(), "0", "TERM was not handled: {code}");

    // The health check goes through the entry point.
    let check = name.inspect("{{json .Config.Healthcheck.Test}}");
    let args: Vec<String> = serde_json::from_str(&check).unwrap();
    let args: Vec<&str> = args[1..].iter().map(String::as_str).collect();
    let run = name.run(&[&["sh", "-c", "\"$@\"", "sh"], args.as_slice()].concat());
    run.success().prints("self-test: ok");
}

#[test]
fn the_example_service_runs_from_an_image_made_without_a_network() {
    let test = "example::the_example_service_runs_from_an_image_made_without_a_network";
    if knows_the_example(test) {
        the_service_runs(false);
    }
}

#[test]
fn the_example_as_its_own_editable_dependency_runs_too() {
    let test = "example::the_example_as_its_own_editable_dependency_runs_too";
    if knows_the_example(test) {
        the_service_runs(true);
    }
}
