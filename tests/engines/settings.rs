//! Where docker's own settings lead: contexts, `DOCKER_HOST`, and engines that do not answer.

use testbed::project::Manifest;
use testbed::sandbox::Run;

use crate::real::{Real, image};

/// A sandbox with docker's client set up for itself, and a project.
fn place() -> Real {
    let mut real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    real.sandbox.set("DOCKER_CONFIG", real.path("docker"));
    real
}

fn docker(real: &Real, words: &[&str]) -> Run {
    Run::of(real.sandbox.program("docker").args(words))
}

#[test]
fn an_engine_that_cannot_be_reached_is_said_with_the_next_step() {
    let mut real = place();
    let unreachable = |real: &Real, parts: &[&str]| {
        for run in [
            real.create::<&str>(&[]),
            real.build::<&str>(&[]),
            real.verify(&["--product-dir", "demo"]),
        ] {
            run.code(125);
            for part in parts {
                run.says(part);
            }
            run.says_not("WARNING");
        }
        assert!(!real.path("W").exists());
        assert!(!real.path("O").exists());
    };
    real.sandbox.set("DOCKER_CONTEXT", "none");
    unreachable(&real, &["context \"none\"", "`docker context ls`"]);
    // One that was chosen and removed since.
    real.sandbox.set("DOCKER_CONTEXT", "");
    real.sandbox
        .write("docker/config.json", r#"{"currentContext": "gone"}"#);
    unreachable(&real, &["context \"gone\"", "`docker context ls`"]);
    real.sandbox.write("docker/config.json", "{}");
    // Nobody listens.
    for host in ["tcp://127.0.0.1:9", "unix:///no/such/socket"] {
        real.sandbox.set("DOCKER_HOST", host);
        unreachable(&real, &[host, "start it (systemctl start docker)"]);
    }
}

#[test]
fn plain_tcp_to_another_machine_is_warned_of_once() {
    let mut real = place();
    // The engine's own end of its bridge: an address that is not loopback, where nobody
    // listens on this port.
    let gateway = "{{(index .IPAM.Config 0).Gateway}}";
    let gateway = docker(
        &real,
        &["network", "inspect", "bridge", "--format", gateway],
    );
    let far = format!("tcp://{}:9", gateway.success().stdout.trim());
    let warned = |real: &Real, times: usize| {
        let run = real.build::<&str>(&[]);
        run.code(125);
        let text = format!("WARNING: the engine is reached at {far} without TLS");
        assert_eq!(run.stderr.matches(&text).count(), times, "{run}");
    };
    let create = [
        "context",
        "create",
        "far",
        "--docker",
        &format!("host={far}"),
    ];
    docker(&real, &create).success();
    docker(&real, &["context", "use", "far"]).success();
    warned(&real, 1);
    docker(&real, &["context", "use", "default"]).success();
    real.sandbox.set("DOCKER_HOST", &far);
    warned(&real, 1);
    // Without certificates that fails, but in no clear text.
    real.sandbox.set("DOCKER_TLS_VERIFY", "1");
    warned(&real, 0);
}
