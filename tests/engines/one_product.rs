//! One cache, one product: which engine filled it cannot be seen in the product's digest.

use std::fs;
use std::process::Command;

use serde_json::Value;
use testbed::sandbox::Run;

use crate::place::{Called, Place};

#[test]
fn the_same_project_is_the_same_product_from_docker_and_from_podman() {
    let name = "one_product::the_same_project_is_the_same_product_from_docker_and_from_podman";
    let Some(mut place) = Place::new(name, Called::ByVariable) else {
        return;
    };
    place.real.sandbox.set("SOURCE_DATE_EPOCH", "1700000000");
    let mut digests = Vec::new();
    for engine in ["docker", "podman"] {
        let run = place.real.build(&[
            "--engine",
            engine,
            "--output",
            engine,
            "--fresh",
            "--format",
            "json",
            "--verify-task",
            "where",
        ]);
        let proof: Value =
            serde_json::from_str(run.success().stdout.lines().last().unwrap()).unwrap();
        assert_eq!(proof["verification"]["engine"]["client"], engine);
        assert_eq!(proof["verification"]["network"]["attempts_counted"], true);
        // It is told all the same: beside what the digest covers.
        let page = fs::read_to_string(place.real.path(format!("{engine}/report.html"))).unwrap();
        let told = format!("<bdi>{engine}</bdi> <bdi>");
        assert!(page.contains(&told), "no {told:?} in report.html");
        digests.push(proof["product_digest"].clone());
    }
    assert_eq!(digests[0], digests[1]);
    let listed =
        |engine: &str| fs::read_to_string(place.real.path(format!("{engine}/SHA256SUMS"))).unwrap();
    assert_eq!(listed("docker"), listed("podman"));
    for engine in ["docker", "podman"] {
        let mut check = Command::new("sha256sum");
        check.args(["-c", "--quiet", "SHA256SUMS"]);
        Run::of(check.current_dir(place.real.path(engine))).success();
    }
}
