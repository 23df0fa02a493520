//! Two builds of one lock hold the same.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testbed::limit::InTime as _;
use testbed::project::lock_project_at;

use crate::kinds::draft::{Draft, Installed};
use crate::kinds::parts::Parts;
use crate::real::Real;

#[test]
fn two_builds_of_one_lock_have_one_content_digest() {
    let parts = Parts::get();
    for image in &parts.images {
        let is_young = image.version.minor >= 74;
        let mut draft = match is_young {
            true => Draft::python(
                "plain-wheel = \"*\"",
                "plain-wheel",
                Installed::InEnvironment,
            ),
            false => Draft::default(),
        };
        if is_young {
            draft.python.push("old-sdist = \"*\"".to_owned());
        }
        draft.conda = vec!["prefix-tool", "many-files"];
        let one = Real::new(&image.reference);
        let other = Real::new(&image.reference);
        fs::create_dir(one.path("demo")).unwrap();
        draft.write(&one.path("demo"), image, parts);
        let place = one.path("demo");
        lock_project_at(&image.reference, &place, place.to_str().unwrap()).unwrap();
        let copy = Command::new("cp")
            .arg("-R")
            .args([&place, &other.path("demo")])
            .status_in_time();
        assert!(copy.unwrap().success());
        for real in [&one, &other] {
            real.build(&[] as &[&str]).success();
        }
        let products = [one.path("W/product"), other.path("W/product")];
        let run = one.sandbox.run("compare-products", &products);
        run.success().prints(match is_young {
            true => "Content: packages, project and resources hold the same",
            false => "Content: the same to the byte",
        });
        let digest = |product: &Path| {
            let manifest = fs::read(product.join("manifest.json")).unwrap();
            let manifest: Value = serde_json::from_slice(&manifest).unwrap();
            manifest["content_digest"].as_str().unwrap().to_owned()
        };
        assert_eq!(digest(&products[0]), digest(&products[1]));
        assert!(digest(&products[0]).starts_with("sha256:"));
    }
}
