//! One cache, one product: which engine filled it cannot be seen in the product's digest.

use std::fs;
use std::process::Command;

use serde_json::Value;
use testbed::SecondEngine;
use testbed::sandbox::{Run, words};

use crate::engines::place::{Called, Place};

#[test]
fn the_same_project_is_the_same_product_from_every_engine_mounted_and_carried() {
    let name =
        "one_product::the_same_project_is_the_same_product_from_every_engine_mounted_and_carried";
    if let Some(reason) = SecondEngine::cannot_start_on_tcp() {
        testbed::skip(name, &reason);
        return;
    }
    let Some(mut place) = Place::new(name, Called::ByVariable) else {
        return;
    };
    let elsewhere =
        SecondEngine::start_on_tcp(&place.real.sandbox.work(), &place.real.image).unwrap();
    place.real.sandbox.set("SOURCE_DATE_EPOCH", "1700000000");
    let mut products = Vec::new();
    for (engine, host, transfer, output) in [
        ("docker", "", "mount", "docker"),
        ("docker", elsewhere.host(), "auto", "docker-elsewhere"),
        ("podman", "", "auto", "podman"),
        ("podman", "", "copy", "podman-carried"),
    ] {
        place.real.sandbox.set("DOCKER_HOST", host);
        let args = format!("--engine {engine} --transfer {transfer} --output {output}");
        let args = words(&args);
        let more = ["--fresh", "--format", "json", "--verify-task", "where"];
        let run = place.real.build(&[&args[..], &more].concat());
        let proof: Value =
            serde_json::from_str(run.success().stdout.lines().last().unwrap()).unwrap();
        assert_eq!(proof["verification"]["engine"]["client"], engine);
        assert_eq!(proof["verification"]["network"]["attempts_counted"], true);
        // It is told all the same: beside what the digest covers.
        let page = fs::read_to_string(place.real.path(format!("{output}/report.html"))).unwrap();
        let told = format!("<bdi>{engine}</bdi> <bdi>");
        assert!(page.contains(&told), "no {told:?} in report.html");
        let carried = run.stderr.contains("copied to the engine: ");
        assert_eq!(carried, output.contains("-"), "{run}");
        let sums = fs::read_to_string(place.real.path(output).join("SHA256SUMS")).unwrap();
        let mut check = Command::new("sha256sum");
        check.args(["-c", "--quiet", "SHA256SUMS"]);
        Run::of(check.current_dir(place.real.path(output))).success();
        products.push((proof["product_digest"].clone(), sums));
    }
    for product in &products {
        assert_eq!(product, &products[0]);
    }
    testbed::ran(
        "the_same_project_is_the_same_product_from_every_engine_mounted_and_carried",
        products.len() as u64,
    );
}
