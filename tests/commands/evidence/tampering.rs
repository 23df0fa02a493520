//! Products that are not what they list.

use super::*;

/// A way to tamper with a product: what it is, what is done, what is said of it.
type Tampering = (&'static str, fn(&Path), &'static str);

const TAMPERING: [Tampering; 13] = [
    (
        "a byte",
        |product| fs::write(product.join("res/model.bin"), "modem").unwrap(),
        "changed: res/model.bin",
    ),
    (
        "the length",
        |product| fs::write(product.join("res/model.bin"), "m").unwrap(),
        "changed: res/model.bin",
    ),
    (
        "a file more",
        |product| fs::write(product.join("demo/src/evil.py"), "x").unwrap(),
        "added: demo/src/evil.py",
    ),
    (
        "a program more",
        |product| {
            fs::create_dir(product.join("bin")).unwrap();
            fs::write(product.join("bin/git"), "x").unwrap();
        },
        "added: bin/git",
    ),
    (
        "a directory where a list may be",
        |product| {
            fs::remove_file(product.join("report.html")).unwrap();
            fs::create_dir(product.join("report.html")).unwrap();
            fs::write(product.join("report.html/evil"), "x").unwrap();
        },
        "report.html",
    ),
    (
        "a file less",
        |product| fs::remove_file(product.join("pkg-cache/pkgs/a-1-0/info/index.json")).unwrap(),
        "missing: pkg-cache/pkgs/a-1-0/info/index.json",
    ),
    (
        "a link",
        |product| {
            fs::remove_file(product.join("demo/link")).unwrap();
            symlink("/etc/passwd", product.join("demo/link")).unwrap();
        },
        "changed link: demo/link",
    ),
    (
        "a link for a file",
        |product| {
            fs::remove_file(product.join("res/model.bin")).unwrap();
            symlink("/etc/passwd", product.join("res/model.bin")).unwrap();
        },
        "changed: res/model.bin",
    ),
    (
        "a mode",
        |product| {
            let script = product.join("envs.sh");
            fs::set_permissions(script, fs::Permissions::from_mode(0o644)).unwrap();
        },
        "changed mode: envs.sh",
    ),
    (
        "a byte of the manifest",
        |product| {
            edit(
                &product.join("manifest.json"),
                "\"linux-64\"",
                "\"linux-46\"",
            )
        },
        "manifest.json",
    ),
    (
        "no manifest",
        |product| fs::remove_file(product.join("manifest.json")).unwrap(),
        "missing",
    ),
    (
        "no lists",
        |product| {
            fs::remove_file(product.join("manifest.json")).unwrap();
            fs::remove_file(product.join("SHA256SUMS")).unwrap();
        },
        "missing",
    ),
    (
        "a manifest of an unknown version",
        |product| {
            edit(
                &product.join("manifest.json"),
                "\"format\": 1",
                "\"format\": 2",
            );
            let digest = digest_of(&product.join("manifest.json"));
            let sums = fs::read_to_string(product.join("SHA256SUMS")).unwrap();
            let line = sums.lines().find(|line| line.ends_with("  manifest.json"));
            let line = line.unwrap();
            edit(
                &product.join("SHA256SUMS"),
                line,
                &format!("{digest}  manifest.json"),
            );
        },
        "format",
    ),
];

/// Makes the product a copy of the one in `whole` again.
fn renew(fake: &Fake, product: &Path) {
    if product.exists() {
        fs::remove_dir_all(product).unwrap();
    }
    let mut copy = fake.sandbox.program("cp");
    Run::of(copy.arg("-a").arg(fake.path("whole")).arg(product)).success();
}

#[test]
fn a_product_that_was_tampered_with_is_not_verified() {
    let fake = made(&[]);
    let product = fake.path("W/product");
    fake.verify(&["--attach"]).success();
    page_tells_the_engine(&fake.path("W/product"));
    let before = digest_of(&product.join("SHA256SUMS"));
    fs::rename(&product, fake.path("whole")).unwrap();
    for (what, tamper, message) in TAMPERING {
        renew(&fake, &product);
        tamper(&product);
        let run = fake.verify(&["--attach"]);
        println!("{what}: {}", run.stderr);
        run.code(1).says(message);
        // Nothing ran, and nothing claims that it did.
        let runs = fake.calls().iter().filter(|call| call[0] == "run").count();
        assert_eq!(runs, 2, "the build and the first verification");
        let record = json_of(&fake.path("O/verification.json"));
        assert_eq!(record["outcome"], "failed", "{record}");
        assert_eq!(record["product_digest"], Value::Null, "{record}");
        assert_eq!(record["failure"]["exit_code"], 1);
        assert_eq!(record["ran"], json!([]));
        // What was attached still names the product as it was made.
        let attached = json_of(&product.join("verification.json"));
        assert_eq!(attached["product_digest"], format!("sha256:{before}"));
    }
    testbed::ran(
        "a_product_that_was_tampered_with_is_not_verified",
        TAMPERING.len() as u64,
    );
}

#[test]
fn bootstrap_refuses_a_product_that_was_tampered_with() {
    let fake = made(&[]);
    let product = fake.path("W/product");
    bootstrap(&fake, &[]).success();
    bootstrap(&fake, &["--check"])
        .success()
        .prints("ok: the bytes of every file");
    fs::rename(&product, fake.path("whole")).unwrap();
    for (what, tamper, message) in TAMPERING {
        renew(&fake, &product);
        tamper(&product);
        let check = bootstrap(&fake, &["--check"]);
        println!("{what}: {}", check.stdout);
        check.code(2).prints("problem: ").prints(message);
        let run = bootstrap(&fake, &[]);
        if what == "a byte" {
            // As many bytes as before: only --check reads them.
            run.success();
            continue;
        }
        run.code(2).says(message);
        assert!(!run.stdout.contains("pixi 0.77.0"), "pixi ran\n{run}");
        bootstrap(&fake, &["--any-files"])
            .success()
            .says("WARNING: ")
            .prints("pixi 0.77.0");
    }
    testbed::ran(
        "bootstrap_refuses_a_product_that_was_tampered_with",
        TAMPERING.len() as u64,
    );
}

#[test]
fn what_an_install_leaves_is_not_taken_for_damage() {
    let fake = made(&[]);
    let product = fake.path("W/product");
    bootstrap(&fake, &[]).success();
    for file in [
        "demo/.pixi/envs/default/conda-meta/history",
        "demo/src/__pycache__/main.pyc",
        "pkg-cache/.cache.lock",
    ] {
        fake.sandbox.write(Path::new("W/product").join(file), "x");
    }
    fs::write(product.join("demo/src/main.py"), "print(2)\n# mine\n").unwrap();
    let run = bootstrap(&fake, &[]);
    run.success();
    assert!(!run.stderr.contains("added"), "{run}");
    bootstrap(&fake, &["--check"])
        .success()
        .prints("note: 4 files or directories")
        .prints("something was installed here before");
    // The cache that came with it is still looked at.
    fs::remove_file(product.join("pkg-cache/pkgs/a-1-0/info/index.json")).unwrap();
    bootstrap(&fake, &[])
        .code(2)
        .says("missing: pkg-cache/pkgs/a-1-0/info/index.json");
}

#[test]
fn a_product_without_lists_is_verified_and_that_is_said() {
    let fake = Fake::new();
    fake.sandbox.write("W/product/demo/pixi.toml", "");
    fake.sandbox.write("W/product/bootstrap-project.sh", "");
    fake.verify(&[])
        .success()
        .says("NOTE: the product has no manifest.json")
        .says_not("Product digest");
    let record = json_of(&fake.path("O/verification.json"));
    assert_eq!(record["outcome"], "passed");
    assert_eq!(record["product_digest"], Value::Null);
    fake.verify(&["--attach"])
        .code(2)
        .says("--attach")
        .says("no SHA256SUMS");
}

#[test]
fn a_product_that_changes_while_it_is_verified_did_not_pass() {
    let fake = made(&[]);
    // The fake engine writes into what is mounted.
    let fake = fake.with(json!({
        "phases": [["bootstrap", "", 0]],
        "writes": {"/pixi-offline/product/demo/src/main.py": "changed"},
    }));
    fake.verify(&["--attach"])
        .code(1)
        .says("the product was changed while it was verified")
        .says("changed: demo/src/main.py");
    let record = json_of(&fake.path("O/verification.json"));
    assert_eq!(record["outcome"], "failed");
    assert_eq!(record["product_unchanged"], false);
    assert!(!fake.path("W/product/verification.json").exists());
}
