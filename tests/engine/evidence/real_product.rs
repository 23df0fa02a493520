//! A product of real packages, and what it carries for those who must judge it.

use std::fs;

use serde_json::Value;
use testbed::PYTHON_VERSION_SPEC;
use testbed::project::lock_project;
use testbed::python::ensure_python_index;
use testbed::sandbox::words;

use crate::evidence::browser::{assert_says, show};
use crate::evidence::sbom::assert_valid;
use crate::real::{Real, channel, image};

/// A project with conda packages and, where pixi can have it without a server of the outside, a
/// wheel.
fn manifest(has_wheel: bool) -> String {
    let (table, map, python) = if has_wheel {
        let index = ensure_python_index().unwrap().simple();
        (
            "workspace",
            "conda-pypi-map = false\n",
            format!(
                "[pypi-options]\nindex-url = \"{index}\"\n[pypi-dependencies]\nplain-wheel = \"*\"\n"
            ),
        )
    } else {
        ("project", "", String::new())
    };
    let channel = channel();
    format!(
        "[{table}]\nname = \"demo\"\nversion = \"1.0.0\"\nchannels = [\"{}\"]\nplatforms = [\"{}\"]\n{map}\
         [dependencies]\npython = \"{PYTHON_VERSION_SPEC}\"\n{python}\
         [tasks]\nsmoke = \"python -c 'print(6 * 7)'\"\n",
        channel.url, channel.subdir
    )
}

#[test]
fn a_real_product_has_a_valid_bill_and_a_page_with_the_verdict() {
    let image = image();
    let has_wheel = image.version >= semver::Version::new(0, 74, 0);
    let real = Real::new(&image.reference);
    real.sandbox.write("demo/pixi.toml", manifest(has_wheel));
    lock_project(&image.reference, &real.path("demo")).unwrap();
    real.create(&["--verify-task", "smoke"]).success();
    real.make(&["--bundle-pixi"]).success();
    let args = words("--attach --project-name demo --verify-task smoke");
    real.verify(&args).success();

    let read = |name: &str| fs::read_to_string(real.path("W/product").join(name)).unwrap();
    let bill = read("sbom.cdx.json");
    let json: Value = serde_json::from_str(&bill).unwrap();
    let names: Vec<&str> = json["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|component| component["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"python"), "{names:?}");
    assert_eq!(names.contains(&"plain-wheel"), has_wheel, "{names:?}");
    assert_valid(&[("real".to_owned(), bill)]);

    let shown = show(&read("report.html"));
    assert_eq!(shown.console, Vec::<String>::new());
    assert_eq!(shown.connections, 0);
    let pixi = format!("Required pixi {} (included)", image.version);
    let tried = "With the network off, its install and the verification pixi run smoke at 2";
    assert_says(
        &shown.text,
        &[
            "The final verification passed",
            "Unsigned.",
            tried,
            &pixi,
            "Conda packages",
            "conda package",
        ],
    );
    if let Some(dir) = std::env::var_os("PIXI_OFFLINE_PICTURES") {
        fs::write(
            std::path::Path::new(&dir).join("real.html"),
            read("report.html"),
        )
        .unwrap();
        fs::write(
            std::path::Path::new(&dir).join("real.cdx.json"),
            read("sbom.cdx.json"),
        )
        .unwrap();
    }
}
