//! `--previous`: what changed since the product that was delivered before, in `report.html` and
//! `changes.json`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testbed::ensure_debian_package;
use testbed::sandbox::{Run, words};

use crate::fake::Fake;
use crate::package_cache::Workdir;

/// How the heading of the section begins.
const HEADING: &str = ">What changed since sha256:";

/// A workdir that has changed since its product was delivered as `OLD`.
fn changed() -> Workdir {
    let workdir = Workdir::new();
    let sandbox = &workdir.sandbox;
    sandbox.write("W/project/demo/main.py", "print(1)");
    sandbox.write("W/project/demo/old.py", "");
    workdir.make(&[]).success();
    fs::rename(workdir.path("W/product"), workdir.path("OLD")).unwrap();
    let lock = workdir.path("W/project/demo/pixi.lock");
    let text = fs::read_to_string(&lock).unwrap();
    let text = text.replacen("/a-1.0-0.conda", "/b-1.0-0.conda", 1);
    fs::write(&lock, text).unwrap();
    fs::remove_file(workdir.path("W/project/demo/old.py")).unwrap();
    sandbox.write("W/project/demo/main.py", "print(1)\nprint(2)");
    sandbox.write("W/project/demo/<b>new & \u{202e}.py", "");
    workdir
}

fn page(product: &Path) -> String {
    fs::read_to_string(product.join("report.html")).unwrap()
}

fn changes(product: &Path) -> Value {
    let text = fs::read(product.join("changes.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The section of a page.
fn section(page: &str) -> &str {
    let from = page.find("<h2 id=\"changes\">").expect("no section");
    let length = page[from..].find("</section>").unwrap();
    &page[from..from + length]
}

#[test]
fn the_page_and_a_file_have_what_changed_and_the_lists_do_not() {
    let mut workdir = changed();
    workdir.sandbox.set("SOURCE_DATE_EPOCH", "1700000000");
    let product = workdir.path("W/product");
    let sums = || fs::read(product.join("SHA256SUMS")).unwrap();
    workdir.make(&[]).success();
    assert!(!page(&product).contains(HEADING));
    assert!(!product.join("changes.json").exists());
    let without = sums();

    workdir.make(&["--previous", "OLD"]).success();
    assert!(sums() == without, "the digest depends on --previous");
    let (found, text) = (changes(&product), page(&product));
    assert_eq!(found["kind"], "pixi-offline product comparison");
    assert_eq!(found["old"].get("path"), None);
    assert_eq!(found["old"]["verified"], json!(["not verified"]));
    // The new one is verified afterwards.
    assert_eq!(found["new"].get("verified"), None);
    let shown = section(&text);
    let digest = found["old"]["product_digest"].as_str().unwrap();
    for told in [
        digest,
        "Its signature was not checked.",
        "Packages: 1 added, 1 removed, 0 changed",
        "<bdi>b</bdi>",
        "Entries of the project: 1 added, 1 removed, 2 changed",
        "<bdi>main.py</bdi>",
        "8 B -&gt; 17 B",
        "<bdi>lock (sha256 of pixi.lock)</bdi>",
        "That file is not signed",
    ] {
        assert!(shown.contains(told), "no {told:?} in {shown}");
    }
    assert!(text.contains(HEADING) && text.contains("<a href=\"#changes\">"));
    // Names of files give a browser no orders.
    assert!(!shown.contains("<b>") && !shown.contains('\u{202e}'));

    let first = (page(&product), found);
    workdir.make(&["--previous", "OLD"]).success();
    assert_eq!((page(&product), changes(&product)), first);
    // The product that is replaced can be the one before.
    workdir.make(&["--previous", "W/product"]).success();
    let found = changes(&product);
    assert_eq!(found["same_product"], json!(true));
    let text = page(&product);
    for told in ["the same to the byte", "Packages: nothing changed."] {
        assert!(section(&text).contains(told), "no {told:?}");
    }
}

#[test]
fn long_lists_are_folded_and_end_with_a_count() {
    let workdir = changed();
    for number in 0..600 {
        let file = format!("W/project/demo/many/{number:03}.py");
        workdir.sandbox.write(file, "");
    }
    workdir.make(&["--previous", "OLD"]).success();
    let text = page(&workdir.path("W/product"));
    let shown = section(&text);
    assert!(shown.contains("<details><summary>Entries of the project: 602 added"));
    assert!(shown.contains("many/480.py") && !shown.contains("many/599.py"));
    assert!(shown.contains("And 105 more, which <code>changes.json</code> lists."));
    let all = changes(&workdir.path("W/product"));
    assert_eq!(all["project"]["changes"].as_array().unwrap().len(), 605);
}

#[test]
fn what_cannot_be_compared_is_refused_and_the_product_stays() {
    let workdir = changed();
    workdir.make(&[]).success();
    let before = page(&workdir.path("W/product"));
    let refused = |args: &[&str], code: i32, message: &str| {
        workdir.make(args).code(code).says(message);
        assert_eq!(page(&workdir.path("W/product")), before);
    };
    refused(&["--previous", "GONE"], 2, "--previous");
    refused(&["--previous", "W/project"], 2, "has no manifest.json");
    refused(&["--previous-key", "key.pub"], 2, "--previous");
    let args = words("--previous OLD --previous-key W/project/demo/pixi.toml");
    refused(&args, 2, "is not a public key of minisign");
    let manifest = workdir.path("OLD/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(
        &manifest,
        text.replacen("\"format\": 1", "\"format\": 9", 1),
    )
    .unwrap();
    refused(&["--previous", "OLD"], 1, "has format 9");
    fs::write(&manifest, text).unwrap();
    fs::rename(
        workdir.path("W/project/demo"),
        workdir.path("W/project/other"),
    )
    .unwrap();
    let args = ["--project-name", "other", "--previous", "OLD"];
    refused(
        &args,
        2,
        "is a product of the project demo, and this is other",
    );
}

/// Keys of the real minisign in the directory of a test: `mine` and `other`.
fn keys(run: impl Fn(&str) -> Run) {
    for name in ["mine", "other"] {
        run(&format!("minisign -G -W -p {name}.pub -s {name}.key")).success();
    }
}

#[test]
fn a_signature_of_the_old_product_is_checked_with_a_key_of_its_own() {
    ensure_debian_package("minisign", "minisign").unwrap();
    let workdir = changed();
    let sh = |script: &str| Run::of(workdir.sandbox.program("sh").args(["-c", script]));
    keys(sh);
    let with = |key: &str| {
        let args = ["--previous", "OLD", "--previous-key", key];
        workdir.make(&args)
    };
    with("mine.pub")
        .code(1)
        .says("SHA256SUMS.minisig is missing")
        .says("--previous-key");
    workdir.make(&["--sign-key", "mine.key"]).success();
    fs::remove_dir_all(workdir.path("OLD")).unwrap();
    fs::rename(workdir.path("W/product"), workdir.path("OLD")).unwrap();
    with("other.pub")
        .code(1)
        .says("is not a signature of SHA256SUMS by the key of --previous-key");
    with("mine.pub").success();
    let key = fs::read_to_string(workdir.path("mine.pub")).unwrap();
    let key = key.lines().nth(1).unwrap();
    let product = workdir.path("W/product");
    assert_eq!(changes(&product)["old"]["signed_by"], key);
    let text = page(&product);
    let told = "Its signature was checked with the public key";
    assert!(section(&text).contains(told) && section(&text).contains(key));
    // The key that signs a product signs this file of it, too.
    let args = ["--previous", "OLD", "--sign-key", "mine.key"];
    workdir.make(&args).success();
    sh("cd W/product && minisign -V -p ../../mine.pub -m changes.json")
        .success()
        .prints("file:changes.json\tproject:demo");
    assert!(section(&page(&product)).contains("That file has a signature"));
}

#[test]
fn the_section_outlives_the_verification_that_is_attached() {
    let fake = Fake::new();
    let build = |more: &[&str]| fake.run("build-offline-product", more);
    build(&["--output", "P"]).success();
    fs::rename(fake.path("P"), fake.path("OLD")).unwrap();
    fake.sandbox.write("demo/new.py", "");
    build(&words("--output P --previous OLD --verify-task smoke")).success();
    let product = fake.path("P");
    let settings = changes(&product)["settings"].to_string();
    assert!(!settings.contains("verified"), "{settings}");
    let text = page(&product);
    for told in ["<bdi>new.py</bdi>", "<bdi>verified</bdi>", "pixi run smoke"] {
        assert!(section(&text).contains(told), "no {told:?} in {text}");
    }
    // A later verification, on another machine for example, has only the product.
    fs::remove_dir_all(fake.path("OLD")).unwrap();
    let attach = |more: &[&str]| {
        let usual = words("--image img:1 --product-dir P --out-dir O --attach");
        fake.sandbox
            .run("final-verify-product", usual.iter().chain(more))
    };
    attach(&[]).success();
    // Now both were verified in the same way.
    assert!(!section(&page(&product)).contains("<bdi>verified</bdi>"));

    // What is there need not be ours.
    let file = product.join("changes.json");
    let right = fs::read_to_string(&file).unwrap();
    let digest = changes(&product)["new"]["product_digest"].clone();
    let digest = digest.as_str().unwrap();
    let other = format!("sha256:{}", "0".repeat(64));
    for (text, why) in [
        (right.replace(digest, &other), "it is of another product"),
        (
            "{}".to_owned(),
            "it is not a pixi-offline product comparison",
        ),
        (right.replace("\"format\": 1", "\"format\": 7"), "format 7"),
        (
            right.replace("\"changes\": [", "\"changes\": 1, \"x\": ["),
            "invalid type",
        ),
    ] {
        fs::write(&file, text).unwrap();
        attach(&[])
            .success()
            .says("report.html leaves out what changes.json states")
            .says(why);
        assert!(!page(&product).contains(HEADING), "{why}");
    }
    let hostile = right
        .replace("new.py", "</td><script>alert(1)</script>")
        .replace("\"verified\": [", "\"verified\": [\"<img src=x>\u{202e}\",");
    fs::write(&file, hostile).unwrap();
    attach(&[]).success();
    let text = page(&product);
    assert!(section(&text).contains("&lt;script&gt;alert"));
    for raw in ["<script", "<img", "\u{202e}"] {
        assert!(!text.contains(raw), "{raw}");
    }
}

#[test]
fn another_project_is_refused_before_a_container_starts_and_by_a_dry_run() {
    let fake = Fake::new();
    fake.run("build-offline-product", &["--output", "P"])
        .success();
    fs::rename(fake.path("P"), fake.path("OLD")).unwrap();
    fs::rename(fake.path("demo"), fake.path("domo")).unwrap();
    let before = fake.calls().len();
    for more in [&[][..], &["--dry-run"]] {
        let args = words("domo --image img:1 --workdir V --previous OLD");
        fake.sandbox
            .run("build-offline-product", args.iter().chain(more))
            .code(2)
            .says("is a product of the project demo, and this is domo");
    }
    assert_eq!(fake.calls().len(), before, "{:?}", fake.calls());
    assert!(!fake.path("V").exists());
}
