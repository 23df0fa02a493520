//! What a product carries to show what it is, and what becomes of one that is no
//! longer that.

mod signatures;
mod tampering;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use testbed::limit::InTime as _;
use testbed::sandbox::{Run, names, words};

use crate::fake::Fake;

/// A fake engine, and a product of the small project made with it, in `W/product`.
fn made(more: &[&str]) -> Fake {
    let fake = built();
    make(&fake, more).success();
    fake
}

/// A fake engine and a built workdir `W`.
fn built() -> Fake {
    let fake = Fake::new();
    fake.sandbox.write("res/model.bin", "model");
    fake.sandbox.write("demo/a b/c%d.txt", "text");
    symlink("src/main.py", fake.path("demo/link")).unwrap();
    fake.create(&["--resources-dir", "res", "--exclude", "*.md"])
        .success();
    fake.sandbox
        .write("W/pixi-cache/pkgs/a-1-0/info/index.json", "{}");
    fake
}

fn make(fake: &Fake, more: &[&str]) -> Run {
    let usual = ["--workdir", "W", "--cache", "full"];
    fake.sandbox
        .run("make-archive-ready-product", usual.iter().chain(more))
}

fn bootstrap(fake: &Fake, args: &[&str]) -> Run {
    let pixi = fake.sandbox.bin().join("pixi");
    fs::write(&pixi, "#!/bin/sh\necho \"pixi 0.77.0\"\n").unwrap();
    fs::set_permissions(&pixi, fs::Permissions::from_mode(0o755)).unwrap();
    Run::of(
        fake.sandbox
            .program(fake.path("W/product/bootstrap-project.sh"))
            .args(args),
    )
}

fn json_of(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// `sha256sum` of the machine, or another with the same options.
fn checks(dir: &Path, program: &[&str]) -> std::process::Output {
    Command::new(program[0])
        .args(&program[1..])
        .args(["-c", "SHA256SUMS"])
        .current_dir(dir)
        .output_in_time()
        .unwrap()
}

fn digest_of(file: &Path) -> String {
    let output = Command::new("sha256sum")
        .arg(file)
        .output_in_time()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

/// What the digest does not cover, the page tells all the same.
fn page_tells_the_engine(product: &Path) {
    let page = fs::read_to_string(product.join("report.html")).unwrap();
    for told in ["<bdi>docker</bdi> <bdi>20.10.24</bdi>", "img@sha256:beef"] {
        assert!(page.contains(told), "no {told:?} in report.html");
    }
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "no {from} in {text}");
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn the_manifest_says_what_the_product_is_and_where_it_comes_from() {
    let fake = made(&["--exclude", "*.tmp"]);
    let product = fake.path("W/product");
    let manifest = json_of(&product.join("manifest.json"));
    assert_eq!(manifest["kind"], "pixi-offline product manifest");
    assert_eq!(manifest["format"], 1);
    assert_eq!(manifest["created"], Value::Null);
    assert_eq!(manifest["project"]["name"], "demo");
    assert_eq!(
        manifest["project"]["manifest"],
        json!({"name": "pixi.toml", "sha256": digest_of(&product.join("demo/pixi.toml"))})
    );
    assert_eq!(
        manifest["project"]["lock"],
        json!({"sha256": digest_of(&product.join("demo/pixi.lock")), "version": 6})
    );
    assert_eq!(manifest["environments"], json!(["default"]));
    assert_eq!(manifest["platform"], "linux-64");
    let build = &manifest["build"];
    assert_eq!(build["image"]["reference"], "img:1");
    assert_eq!(build["image"]["id"], "sha256:feed");
    // The same cache makes the same product, whichever engine knows the image how.
    assert_eq!(build["image"].get("repo_digests"), None);
    assert_eq!(build.get("engine"), None);
    page_tells_the_engine(&product);
    assert_eq!(build["pixi"], "0.77.0");
    assert_eq!(build["excludes"], json!(["*.md", "*.tmp"]));
    assert_eq!(manifest["packages"]["conda"], 0);

    let entries = manifest["entries"].as_array().unwrap();
    let entry = |path: &str| {
        entries
            .iter()
            .find(|entry| entry["path"] == path)
            .unwrap_or_else(|| panic!("no {path} in {entries:?}"))
    };
    assert_eq!(
        entry("demo/link"),
        &json!({"path": "demo/link", "kind": "link", "target": "src/main.py"})
    );
    assert_eq!(
        entry("envs.sh"),
        &json!({"path": "envs.sh", "kind": "file", "mode": "0755",
                "size": fs::metadata(product.join("envs.sh")).unwrap().len(),
                "sha256": digest_of(&product.join("envs.sh"))})
    );
    assert_eq!(entry("res/model.bin")["size"], 5);
    // A percent sign is written as its code.
    assert_eq!(entry("demo/a b/c%25d.txt")["kind"], "file");
    // One entry a line, which shells read.
    let text = fs::read_to_string(product.join("manifest.json")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("{\"path\":"));
    assert_eq!(lines.count(), entries.len());
    let own = ["manifest.json", "SHA256SUMS", "provenance.json"];
    assert!(
        entries
            .iter()
            .all(|entry| own.iter().all(|own| entry["path"] != *own))
    );
}

#[test]
fn the_git_commit_and_what_differs_from_it_are_recorded() {
    let fake = Fake::new();
    let commit = fake.commit();
    let source = |fake: &Fake| json_of(&fake.path("W/workdir.json"))["source"].clone();

    fake.create::<&str>(&[]).success();
    assert_eq!(source(&fake), json!({"commit": commit, "dirty": false}));
    // A workdir in the project is nobody's change of it.
    fs::rename(fake.path("W"), fake.path("demo/W")).unwrap();
    fake.create::<&str>(&[]).success();
    assert_eq!(source(&fake), json!({"commit": commit, "dirty": false}));
    fake.sandbox.write("demo/new.txt", "");
    fake.create(&["--container-env", "CONDA_OVERRIDE_CUDA=12.4"])
        .success();
    assert_eq!(source(&fake), json!({"commit": commit, "dirty": true}));
    make(&fake, &[]).success();
    let manifest = json_of(&fake.path("W/product/manifest.json"));
    assert_eq!(
        manifest["project"]["git"],
        json!({"commit": commit, "dirty": true})
    );
    assert_eq!(
        manifest["virtual_packages"]["overrides"],
        json!({"CONDA_OVERRIDE_CUDA": "12.4"})
    );
    let provenance = json_of(&fake.path("W/product/provenance.json"));
    let materials = &provenance["predicate"]["buildDefinition"]["resolvedDependencies"];
    assert!(
        materials
            .as_array()
            .unwrap()
            .iter()
            .any(|material| material["digest"]["gitCommit"] == commit.as_str()),
        "{materials}"
    );
}

#[test]
fn sha256sum_checks_the_product_and_busybox_too_unless_a_name_is_odd() {
    let fake = made(&[]);
    let product = fake.path("W/product");
    let busybox = testbed::ensure_debian_package("busybox", "busybox").unwrap();
    let busybox = [busybox.to_str().unwrap(), "sha256sum"];
    let strict = ["sha256sum", "--strict"];
    for program in [&strict[..], &busybox] {
        let output = checks(&product, program);
        assert!(output.status.success(), "{output:?}");
    }
    let sums = fs::read_to_string(product.join("SHA256SUMS")).unwrap();
    let covered: Vec<&str> = sums.lines().map(|line| &line[66..]).collect();
    assert!(covered.contains(&"manifest.json"));
    assert!(covered.is_sorted(), "{covered:?}");
    assert!(!sums.contains("provenance.json"));

    for name in ["back\\slash", "line\nend", "return\r", "\\", "-"] {
        fake.sandbox
            .write(Path::new("W/project/demo").join(name), name);
    }
    make(&fake, &[])
        .success()
        .says("NOTE: 4 file names have a line end or a backslash");
    let output = checks(&product, &strict);
    assert!(output.status.success(), "{output:?}");
    assert!(!checks(&product, &busybox).status.success());
    // The very lines of coreutils.
    let ours = fs::read_to_string(product.join("SHA256SUMS")).unwrap();
    let files: Vec<PathBuf> = ["back\\slash", "line\nend", "return\r"]
        .iter()
        .map(|name| Path::new("demo").join(name))
        .collect();
    let theirs = Command::new("sha256sum")
        .args(&files)
        .current_dir(&product)
        .output_in_time()
        .unwrap();
    for line in String::from_utf8(theirs.stdout).unwrap().lines() {
        assert!(ours.lines().any(|our| our == line), "{line}\n{ours}");
    }
    bootstrap(&fake, &["--check"]).success().prints(
        "ok: every file, directory and link is there as manifest.json lists it\n\
         ok: the bytes of every file are as SHA256SUMS says\n",
    );
}

#[test]
fn the_same_workdir_gives_the_same_evidence() {
    let mut fake = built();
    fake.sandbox.set("SOURCE_DATE_EPOCH", "1700000000");
    let read = |fake: &Fake| {
        let names = "manifest.json SHA256SUMS sbom.cdx.json report.html provenance.json";
        let read = |name| fake.read(Path::new("W/product").join(name));
        names.split(' ').map(read).collect::<Vec<_>>()
    };
    make(&fake, &[]).success();
    let first = read(&fake);
    make(&fake, &[]).success();
    assert_eq!(read(&fake), first);
    assert!(first[0].contains("\"created\": \"2023-11-14T22:13:20Z\""));
    // Times of files are of no account.
    let file = fs::File::open(fake.path("W/project/demo/pixi.toml")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    make(&fake, &[]).success();
    assert_eq!(read(&fake), first);
    assert_eq!(
        fs::metadata(fake.path("W/product/demo/pixi.toml"))
            .unwrap()
            .modified()
            .unwrap(),
        std::time::UNIX_EPOCH
    );
    fake.sandbox.set("SOURCE_DATE_EPOCH", "yesterday");
    make(&fake, &[]).code(2).says("SOURCE_DATE_EPOCH");
}

#[test]
fn provenance_is_an_in_toto_statement_on_the_product() {
    let fake = made(&[]);
    let product = fake.path("W/product");
    let statement = json_of(&product.join("provenance.json"));
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    assert_eq!(
        statement["subject"],
        json!([{"name": "demo", "digest": {"sha256": digest_of(&product.join("SHA256SUMS"))}}])
    );
    let definition = &statement["predicate"]["buildDefinition"];
    let materials = definition["resolvedDependencies"].as_array().unwrap();
    for digest in [
        "beef",
        "feed",
        &digest_of(&product.join("demo/pixi.lock")),
        &digest_of(&product.join("demo/pixi.toml")),
    ] {
        assert!(
            materials
                .iter()
                .any(|material| material["digest"]["sha256"] == digest),
            "no {digest} in {materials:?}"
        );
    }
    let details = &statement["predicate"]["runDetails"];
    assert!(details["builder"]["id"].is_string());
    for time in ["startedOn", "finishedOn"] {
        let time = details["metadata"][time].as_str().unwrap();
        assert!(time.ends_with('Z') && time.len() == 20, "{time}");
    }
}

#[test]
fn the_record_of_a_verification_is_enough_to_tell_what_was_verified() {
    let fake = made(&[]).with(json!({"attempts": {"bootstrap": 0, "verify": 2}}));
    let product = fake.path("W/product");
    let before = names(&product);
    let run = fake.verify(&words(
        "--project-name demo --expect-output verified --attach --verify-task t",
    ));
    let digest = format!("sha256:{}", digest_of(&product.join("SHA256SUMS")));
    run.success()
        .says(&format!("Product digest: {digest}"))
        // Nobody asked for a signature.
        .says_not("not signed");
    let record = json_of(&fake.path("O/verification.json"));
    assert_eq!(record["outcome"], "passed");
    assert_eq!(record["product_digest"], digest);
    assert_eq!(record["product_unchanged"], true);
    assert_eq!(record["failure"], Value::Null);
    assert_eq!(record["environments"], json!(["default"]));
    assert_eq!(record["image"]["id"], "sha256:feed");
    assert_eq!(record["pixi"], "0.77.0");
    assert_eq!(record["network"]["mode"], "none");
    assert_eq!(record["network"]["attempts_counted"], true);
    assert_eq!(record["expected"]["output"], json!(["verified"]));
    let log = |name: &str| json!({"name": name, "sha256": digest_of(&fake.path("O").join(name))});
    assert_eq!(
        record["ran"],
        json!([
            {"phase": "bootstrap", "command": ["./bootstrap-project.sh", "--project-name", "demo"],
             "exit_code": 0, "log": log("bootstrap.offline.log"), "network_attempts": 0},
            {"phase": "verify", "command": ["pixi", "run", "t"],
             "exit_code": 0, "log": log("verify.offline.log"), "network_attempts": 2},
        ])
    );
    let (started, finished) = (&record["started"], &record["finished"]);
    assert!(started.as_str() <= finished.as_str() && started.is_string());
    // Attached, it changes neither the digest nor anything else.
    assert_eq!(json_of(&product.join("verification.json")), record);
    let mut after = before;
    after.push("verification.json".to_owned());
    after.sort();
    assert_eq!(names(&product), after);
    assert!(checks(&product, &["sha256sum"]).status.success());
    bootstrap(&fake, &["--check"])
        .success()
        .prints("note: verification.json reports a pass at 2")
        .prints("it is not signed, so this is no proof of its origin");

    // A verification that fails takes the place of one that passed.
    let fake = fake.with(json!({"phases": [["bootstrap", "x\n", 3]]}));
    fake.verify(&["--attach"]).code(3);
    let record = json_of(&product.join("verification.json"));
    assert_eq!(record["outcome"], "failed");
    assert_eq!(record["failure"]["exit_code"], 3);
    assert_eq!(record["product_digest"], digest);
    assert_eq!(record["ran"][0]["exit_code"], 3);
    bootstrap(&fake, &["--check"]).success().prints(
        "warning: verification.json reports that the final verification of this product failed",
    );
    let pack = |more: &[&str]| {
        let usual = ["W/product", "x.tar"];
        fake.sandbox.run("pack-product", more.iter().chain(&usual))
    };
    pack(&[])
        .code(2)
        .says("did not pass its final verification")
        .says("--unverified");
    assert!(!fake.path("x.tar").exists());
    pack(&["--unverified"])
        .success()
        .says("WARNING: ")
        .says("did not pass its final verification");
    // The record of another product is ignored.
    edit(&product.join("verification.json"), "sha256:", "sha256:0");
    pack(&["--force"]).success().says("of another product");
    bootstrap(&fake, &["--check"])
        .success()
        .prints("warning: verification.json belongs to another product");
    let fake = fake.with(json!({"phases": [["bootstrap", "", 0]]}));
    fake.verify(&[])
        .success()
        .says("WARNING: the verification.json in the product belongs to another product");
    // In place, nothing can be said of a digest.
    fake.verify(&["--in-place", "--attach"])
        .code(2)
        .says("--attach");
    fake.verify(&["--in-place"]).success();
    let record = json_of(&fake.path("O/verification.json"));
    assert_eq!(record["outcome"], "passed");
    assert_eq!(record["product_digest"], Value::Null);
}

#[test]
fn a_record_that_can_name_no_digest_is_not_attached_and_that_is_a_failure() {
    let fake = made(&[]);
    fake.sandbox
        .run("pack-product", ["W/product", "x.tar"])
        .success()
        .says("NOTE: ")
        .says("has no verification.json");
    bootstrap(&fake, &[]).success();
    let left = "W/product/demo/.pixi/envs/default/conda-meta/history";
    fake.sandbox.write(left, "x");
    fake.verify(&["--attach"])
        .code(1)
        .says("something was installed in the product")
        .says("leave --attach out");
    assert!(!fake.path("W/product/verification.json").exists());
    fake.verify(&[]).success();
}

/// A file system in memory of this many KiB at a directory, as long as this exists;
/// `None` where none may be mounted.
struct Small(PathBuf);

impl Small {
    fn at(dir: PathBuf, kibibytes: u64) -> Option<Small> {
        fs::create_dir_all(&dir).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kibibytes}k"), "tmpfs"])
            .arg(&dir)
            .status_in_time();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Small(dir))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status_in_time();
    }
}

#[test]
fn a_disk_that_is_full_while_evidence_is_written_leaves_no_product_and_no_claim() {
    let test = "a_disk_that_is_full_while_evidence_is_written_leaves_no_product_and_no_claim";
    let fake = built();
    fs::rename(fake.path("W"), fake.path("built")).unwrap();
    // Few bytes and many names: the manifest is larger than what it lists.
    for number in 0..1500 {
        let file = format!("built/resources/a rather long name for an empty file {number}");
        fake.sandbox.write(file, "");
    }
    fs::remove_dir_all(fake.path("built/helpers")).unwrap();
    // Full at the manifest, and at what comes after it.
    for kibibytes in [280, 400] {
        let Some(small) = Small::at(fake.path("small"), kibibytes) else {
            return testbed::skip(test, "no file system can be mounted here");
        };
        Run::of(fake.sandbox.program("cp").args(["-a", "built", "small/W"])).success();
        let run = fake.sandbox.run(
            "make-archive-ready-product",
            ["--workdir", "small/W", "--cache", "full"],
        );
        run.code(1)
            .says("cannot be written")
            .says("No space left on device");
        assert_eq!(names(&small.0.join("W/product")), Vec::<String>::new());
    }

    // A record that cannot be written is no success, and none is left behind.
    fs::rename(fake.path("built"), fake.path("W")).unwrap();
    make(&fake, &[]).success();
    let small = Small::at(fake.path("O"), 16).expect("one more file system");
    let filling = "x".repeat(4096);
    fs::write(small.0.join("a"), &filling).unwrap();
    while fs::write(small.0.join(format!("{}", fastrand::u64(..))), &filling).is_ok() {}
    fs::remove_file(small.0.join("a")).unwrap();
    fake.verify(&["--attach"])
        .code(1)
        .says("No space left on device");
    assert!(!fake.path("O/verification.json").exists());
    assert!(!fake.path("W/product/verification.json").exists());
}

#[test]
fn the_bill_is_part_of_the_product_and_the_page_follows_what_is_attached() {
    let mut fake = built();
    fake.sandbox.set("SOURCE_DATE_EPOCH", "1700000000");
    make(&fake, &[]).success();
    let product = fake.path("W/product");
    let sums = fs::read_to_string(product.join("SHA256SUMS")).unwrap();
    assert!(sums.contains("  sbom.cdx.json\n"), "{sums}");
    assert!(!sums.contains("report.html"), "{sums}");
    let bill = fs::read(product.join("sbom.cdx.json")).unwrap();
    let component = &json_of(&product.join("sbom.cdx.json"))["metadata"]["component"];
    assert_eq!(component["name"], "demo");

    let page = || fs::read_to_string(product.join("report.html")).unwrap();
    let before = digest_of(&product.join("SHA256SUMS"));
    assert!(page().contains("Not verified yet") && page().contains(&before));
    fake.verify(&[]).success();
    assert!(page().contains("Not verified yet"), "nothing was attached");
    fake.verify(&["--attach"]).success();
    assert!(page().contains("The final verification passed") && page().contains("Unsigned."));
    assert_eq!(digest_of(&product.join("SHA256SUMS")), before);
    assert!(checks(&product, &["sha256sum"]).status.success());

    make(&fake, &[]).success();
    assert_eq!(fs::read(product.join("sbom.cdx.json")).unwrap(), bill);
    assert!(page().contains("Not verified yet"), "it is another product");
}

#[test]
fn a_variable_of_the_caller_is_not_taken_for_the_products_digest() {
    let mut fake = made(&[]);
    fake.verify(&["--project-name", "demo", "--attach", "--verify-task", "t"])
        .success();
    fake.sandbox.set("product_digest", "0".repeat(64));
    bootstrap(&fake, &["--check"]).prints("verification.json reports a pass at");
}
