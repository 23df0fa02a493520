//! What differs between two products, by their lists.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testbed::sandbox::Run;

use crate::package_cache::Workdir;

/// A workdir whose product `OLD` has the environment `default`; a second product of it comes next.
fn delivered() -> Workdir {
    let workdir = Workdir::new();
    let sandbox = &workdir.sandbox;
    sandbox.write("W/project/demo/a b/old%.txt", "old");
    sandbox.write("W/project/demo/main.py", "print(1)");
    sandbox.write("W/resources/model.bin", "model");
    workdir.make(&[]).success();
    fs::rename(workdir.path("W/product"), workdir.path("OLD")).unwrap();
    workdir
}

impl Workdir {
    pub fn path(&self, path: &str) -> std::path::PathBuf {
        self.sandbox.work().join(path)
    }

    fn compare(&self, words: &[&str]) -> Run {
        self.sandbox.run("compare-products", words)
    }
}

fn json_of(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn the_same_product_does_not_differ() {
    let workdir = delivered();
    workdir.make(&[]).success();
    let run = workdir.compare(&["--exit-code", "OLD", "W/product"]);
    run.success()
        .prints("Content: the same to the byte")
        .prints("Packages: nothing changed")
        .prints("Project: nothing changed")
        .prints("Settings: none differ");
    let run = workdir.compare(&["--format", "json", "OLD", "OLD"]);
    let found = json_of(run.success());
    assert_eq!(found["kind"], "pixi-offline product comparison");
    assert_eq!(found["same_product"], json!(true));
}

#[test]
fn packages_files_and_settings_are_told_with_what_differs() {
    let workdir = delivered();
    let sandbox = &workdir.sandbox;
    let lock = workdir.path("W/project/demo/pixi.lock");
    let text = fs::read_to_string(&lock).unwrap();
    // `default` has b in place of a.
    let text = text.replacen("/a-1.0-0.conda", "/b-1.0-0.conda", 1);
    let text = text.replace(
        "linux-64/b-1.0-0.conda\n  sha256: bb",
        "linux-64/b-1.0-0.conda\n  license: MIT\n  sha256: bb",
    );
    fs::write(&lock, text).unwrap();
    fs::remove_dir_all(workdir.path("W/project/demo/a b")).unwrap();
    sandbox.write("W/project/demo/main.py", "print(2)\nprint(3)");
    sandbox.write("W/project/demo/new.py", "");
    sandbox.write("W/resources/model.bin", "MODEL");
    workdir.make(&["--exclude", "*.tmp"]).success();
    let words = ["OLD", "W/product"];
    let run = workdir.compare(&words);
    run.success()
        .prints("Content: different")
        .prints("  added    b (conda) 1.0 (0) [default]")
        .prints("  removed  a (conda) 1.0 (0) [default]")
        .prints("Project: 1 added, 2 removed, 2 changed")
        .prints("  removed  a b/old%25.txt (3 B)")
        .prints("  removed  a b (directory)")
        .prints("  changed  main.py (8 B -> 17 B)")
        .prints("  added    new.py (0 B)")
        .prints("Resources: 0 added, 0 removed, 1 changed")
        .prints("  changed  model.bin (5 B, other bytes)")
        .prints("  excludes: none -> *.tmp");
    workdir
        .compare(&["--exit-code", words[0], words[1]])
        .code(1)
        .says_not("ERROR");
    let json_words = ["--format", "json", words[0], words[1]];
    let found = json_of(workdir.compare(&json_words).success());
    let changes = found["packages"].as_array().unwrap();
    let added = changes.iter().find(|change| change["name"] == "b").unwrap();
    assert_eq!(added["old"], json!([]));
    assert_eq!(added["new"][0]["licence"], "MIT");
    assert_eq!(added["environments"], json!(["default"]));
    assert_eq!(found["same_product"], json!(false));
    let changes = found["project"]["changes"].as_array().unwrap();
    let main = changes.iter().find(|change| change["path"] == "main.py");
    assert_eq!(main.unwrap()["new"]["size"], 17);
}

#[test]
fn the_lists_alone_are_enough() {
    let workdir = delivered();
    workdir.sandbox.write("W/project/demo/main.py", "print(2)");
    workdir.make(&[]).success();
    let whole = workdir.compare(&["OLD", "W/product"]);
    for name in ["manifest.json", "sbom.cdx.json"] {
        let text = fs::read(workdir.path("OLD").join(name)).unwrap();
        workdir.sandbox.write(Path::new("LISTS").join(name), text);
    }
    let lists = workdir.compare(&["LISTS", "W/product"]);
    lists.success();
    assert_eq!(lists.stdout, whole.stdout.replace("/OLD:", "/LISTS:"));
}

#[test]
fn what_is_no_product_or_another_one_is_refused_by_name() {
    let workdir = delivered();
    let old = workdir.path("OLD");
    workdir.compare(&["OLD"]).code(2).says("<NEW>");
    workdir.compare(&["OLD", "GONE"]).code(2).says("NEW");
    workdir
        .compare(&["OLD", "W/project"])
        .code(2)
        .says("has no manifest.json")
        .says("name a product");
    let edited = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(old.join(file)).unwrap();
        assert!(text.contains(from), "no {from} in {file}");
        fs::write(old.join(file), text.replacen(from, to, 1)).unwrap();
        let run = workdir.compare(&["OLD", "OLD"]);
        fs::write(old.join(file), text).unwrap();
        run
    };
    edited("manifest.json", "\"format\": 1", "\"format\": 2")
        .code(1)
        .says("has format 2");
    edited("manifest.json", "\"name\": \"demo\"", "\"name\": \"domo\"")
        .code(1)
        .says("manifest.json was changed");
    edited("sbom.cdx.json", "\"six\"", "\"sex\"")
        .code(1)
        .says("sbom.cdx.json is not the file");
    edited("SHA256SUMS", "envs.sh", "envs.sx")
        .code(1)
        .says("envs.sh");
    fs::remove_file(old.join("sbom.cdx.json")).unwrap();
    workdir
        .compare(&["OLD", "OLD"])
        .code(2)
        .says("has no sbom.cdx.json");
}

#[test]
fn products_of_two_projects_are_compared_on_request_only() {
    let workdir = delivered();
    fs::rename(
        workdir.path("W/project/demo"),
        workdir.path("W/project/other"),
    )
    .unwrap();
    workdir.make(&["--project-name", "other"]).success();
    workdir
        .compare(&["OLD", "W/product"])
        .code(2)
        .says("of the project demo")
        .says("--any-project");
    workdir
        .compare(&["--any-project", "OLD", "W/product"])
        .success()
        .prints("  project: demo -> other")
        .prints("Project: nothing changed");
}
