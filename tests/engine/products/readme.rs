//! A person at the target who has the product and its README.txt, and nothing else.

use std::fs;

use testbed::images::ensure_base_image;
use testbed::project::Manifest;

use crate::real::{Real, at_the_target, image};

/// What a command of the page begins with; all else is prose.
const COMMANDS: [&str; 6] = ["sha256sum ", "./", ". ./", "cd ", "pixi run ", "pixi task "];

#[test]
fn the_lines_of_the_readme_install_and_run_a_product_without_network_and_pixi() {
    let real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    real.build(&["--contact", "ada@example.com", "--verify-task", "where"])
        .success();
    let product = real.path("W/product");
    let text = fs::read_to_string(product.join("README.txt")).unwrap();
    let rows = text.lines().map(|line| line.get(11..).unwrap_or_default());
    let typed: Vec<&str> = rows
        .filter(|row| COMMANDS.iter().any(|start| row.starts_with(start)))
        .collect();
    let expected = [
        "sha256sum -c --quiet SHA256SUMS",
        "./bootstrap-project.sh --check",
        "./bootstrap-project.sh",
        ". ./envs.sh",
        "cd demo",
        "pixi run where",
    ];
    assert_eq!(typed, expected, "{text}");
    assert!(text.contains("ada@example.com"), "{text}");
    let script = format!(
        "! command -v pixi; cp -a /carried/it /opt/demo; cd /opt/demo; {}",
        typed.join("; ")
    );
    at_the_target(ensure_base_image().unwrap(), &product, &script)
        .success()
        .prints("/opt/demo/demo/.pixi/envs/default");
}
