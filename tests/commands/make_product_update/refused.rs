//! What there can be no update of, each with its own message, and nothing half-made.

use std::fs;
use std::os::unix::fs::symlink;

use testbed::sandbox::{Run, names};

use super::{USUAL, delivered};
use crate::package_cache::Workdir;

/// The usual words with others in their places.
fn with(changes: &[(&str, &str)]) -> Vec<String> {
    let mut words: Vec<String> = USUAL.iter().map(|&word| word.to_owned()).collect();
    for (option, value) in changes {
        let place = words.iter().position(|word| word == option).unwrap();
        words[place + 1] = (*value).to_owned();
    }
    words
}

fn refused(workdir: &Workdir, changes: &[(&str, &str)]) -> Run {
    let before = names(&workdir.path(""));
    let run = workdir.sandbox.run("make-product-update", with(changes));
    assert!(run.code != 0, "{run}");
    assert!(run.stderr.contains("ERROR: "), "{run}");
    assert_eq!(names(&workdir.path("")), before, "{run}");
    run
}

#[test]
fn wrong_places_are_refused_by_name() {
    let workdir = delivered();
    let product = workdir.path("W/product").display().to_string();
    workdir.update(&[]).code(2).says("--from");
    for (changes, text) in [
        (&[("--from", "GONE")][..], "--from"),
        (&[("--product-dir", "GONE")], "--product-dir"),
        (&[("--from", "W/project")], "has no manifest.json"),
        (&[("--product-dir", "W/project")], "is not a product"),
        (&[("--output", "OLD")], "is in the product of --from"),
        (
            &[("--output", "OLD/demo/new")],
            "is in the product of --from",
        ),
        (
            &[("--output", "W/product/x/y")],
            "is in the product of --product-dir",
        ),
        (&[("--output", "W")], "the product of --product-dir"),
        (
            &[("--output", "W/project")],
            "was not made by these commands",
        ),
        (&[("--from", "W/product/pkg-cache")], "is in --product-dir"),
        (&[("--from", &product)], "there is nothing to update"),
    ] {
        refused(&workdir, changes).code(2).says(text);
    }
    symlink("W/product", workdir.path("LINK")).unwrap();
    refused(&workdir, &[("--output", "LINK/x")])
        .code(2)
        .says("is in the product of --product-dir");
}

#[test]
fn an_update_is_replaced_on_request_and_nothing_else_is() {
    let workdir = delivered();
    workdir.update(&USUAL).success();
    refused(&workdir, &[]).code(2).says("is an update already");
    workdir
        .update(&[&USUAL[..], &["--force"]].concat())
        .success();
    workdir.sandbox.write("MINE/thesis", "x");
    let words = with(&[("--output", "MINE")]);
    let words = words.iter().map(String::as_str).chain(["--force"]);
    let run = workdir.sandbox.run("make-product-update", words);
    run.code(2).says("was not made by these commands");
    assert_eq!(names(&workdir.path("MINE")), ["thesis"]);
}

#[test]
fn products_of_another_project_or_platform_are_refused() {
    let workdir = delivered();
    fs::rename(
        workdir.path("W/project/demo"),
        workdir.path("W/project/other"),
    )
    .unwrap();
    workdir.make(&["--project-name", "other"]).success();
    refused(&workdir, &[])
        .code(2)
        .says("of the project demo")
        .says("one of other");
}

#[test]
fn lists_that_were_changed_are_refused() {
    let workdir = delivered();
    for product in ["OLD", "W/product"] {
        let edited = |file: &str, from: &str, to: &str| {
            let file = workdir.path(product).join(file);
            let text = fs::read(&file).unwrap();
            let place = text
                .windows(from.len())
                .position(|window| window == from.as_bytes())
                .unwrap_or_else(|| panic!("no {from} in {}", file.display()));
            let changed = [&text[..place], to.as_bytes(), &text[place + from.len()..]].concat();
            fs::write(&file, changed).unwrap();
            let run = refused(&workdir, &[]);
            fs::write(&file, text).unwrap();
            run
        };
        edited("manifest.json", "\"format\": 1", "\"format\": 2")
            .code(1)
            .says("has format 2");
        edited(
            "manifest.json",
            "\"path\":\"demo/main.py\"",
            "\"path\":\"../demo/main.py\"",
        )
        .code(1)
        .says("which is not a path in a product");
        edited(
            "manifest.json",
            "\"path\":\"demo/main.py\"",
            "\"path\":\"/etc/main.py\"",
        )
        .code(1)
        .says("which is not a path in a product");
        edited(
            "manifest.json",
            "\"path\":\"demo/main.py\"",
            "\"path\":\"demo/link/main.py\"",
        )
        .code(1)
        .says("and not the directory that this is in");
        edited("SHA256SUMS", "envs.sh", "envs.sx")
            .code(1)
            .says("envs.sh");
    }
}

#[test]
fn a_new_product_that_is_not_as_it_is_listed_is_refused_and_named() {
    let workdir = delivered();
    // Of the same length: seen when it is copied.
    let file = "W/product/demo/new\nname";
    workdir.sandbox.write(file, "old");
    refused(&workdir, &[])
        .code(1)
        .says("demo/new")
        .says("is not as it is listed");
    workdir.sandbox.write(file, "new");
    workdir.sandbox.write("W/product/demo/main.py", "print(22)");
    refused(&workdir, &[]).code(1).says("demo/main.py (9 bytes");
    workdir.sandbox.write("W/product/demo/main.py", "print(2)");
    workdir.sandbox.write("W/product/added", "x");
    refused(&workdir, &[]).code(1).says("added: added");
    fs::remove_file(workdir.path("W/product/added")).unwrap();
    fs::remove_file(workdir.path("W/product/envs.sh")).unwrap();
    refused(&workdir, &[]).code(1).says("missing: envs.sh");
}
