//! Locks of several platforms: which one is installed, recorded and packed.

use super::*;
use testbed::sandbox::{has, words};

/// A lock with two platforms of one subdir, and an environment for each of three tasks.
fn lock_with_platforms() -> String {
    let url = "http://conda.example/chan";
    let environment = |name: &str, lists: &[(&str, &str)]| {
        let lists: String = lists
            .iter()
            .map(|(platform, package)| {
                format!("      {platform}:\n      - conda: {url}/linux-64/{package}-1-0.conda\n")
            })
            .collect();
        format!("  {name}:\n    channels:\n    - url: {url}/\n    packages:\n{lists}")
    };
    let package = |name: &str| {
        format!(
            "- conda: {url}/linux-64/{name}-1-0.conda\n  sha256: {}\n",
            "a".repeat(64)
        )
    };
    format!(
        "version: 7\nplatforms:\n- name: linux-64\n- name: p1\n  subdir: linux-64\n  virtual-packages:\n  - __cuda=12.0\n- name: osx-arm64\nenvironments:\n{}{}{}packages:\n{}{}",
        environment("default", &[("linux-64", "a"), ("p1", "b")]),
        environment("mac", &[("osx-arm64", "a")]),
        environment("t", &[("linux-64", "a")]),
        package("a"),
        package("b"),
    )
}

#[test]
fn the_platform_that_pixi_chose_is_recorded_and_what_the_verification_installed_too() {
    let list = r#"environment default
package b-1-0
file {"resolved_platform": {"subdir": "linux-64", "virtual_packages": ["__cuda=12.0"]}}
environment t
package a-1-0
file {}
environment ../../etc
package a-1-0
environment not-locked
environment UPPER
file not json
"#;
    let left = json!({"/workdir/out/.pixi-offline-new-environments": list});
    let fake = Fake::new().with(json!({"writes": left.clone()}));
    fake.sandbox.write("demo/pixi.lock", lock_with_platforms());
    let run = fake.create(&["--verify-task", "all"]);
    run.success()
        .says("NOTE: the verification made pixi install more environments: t;");
    let record = record(&fake);
    assert_eq!(record["environments"], json!(["default", "t"]));
    assert_eq!(record["environments_of_verification"], json!(["t"]));
    assert_eq!(
        record["platforms"],
        json!({
            "default": {"name": "p1", "subdir": "linux-64"},
            "t": {"name": "linux-64", "subdir": "linux-64"},
        })
    );
    assert!(!fake.path("W/out/.pixi-offline-new-environments").exists());
    // A verification that failed proves nothing of what it needs.
    let fake = Fake::new().with(json!({
        "phases": [["install", "", 0], ["verify", "", 3]],
        "writes": left,
    }));
    fake.sandbox.write("demo/pixi.lock", lock_with_platforms());
    fake.create(&["--verify-task", "all"]).code(3);
    assert_eq!(self::record(&fake)["environments"], json!(["default"]));
}

/// A conda package in the cache of `W`, with a variable that activation sets.
fn cached_with_variable(fake: &Fake, name: &str) {
    let files = [
        ("info/index.json", "{}".to_owned()),
        ("info/paths.json", json!({"paths": []}).to_string()),
        (
            "info/repodata_record.json",
            json!({"sha256": "a".repeat(64), "url": format!("http://conda.example/chan/linux-64/{name}-1-0.conda")})
                .to_string(),
        ),
        (
            "etc/conda/env_vars.d/v.json",
            json!({format!("OF_{}", name.to_uppercase()): format!("$CONDA_PREFIX/{name}")})
                .to_string(),
        ),
    ];
    for (file, text) in files {
        fake.sandbox
            .write(format!("W/pixi-cache/pkgs/{name}-1-0/{file}"), text);
    }
}

#[test]
fn a_product_of_two_platforms_is_read_for_the_one_that_pixi_chose() {
    let manifest = "[workspace]\nname = 'demo'\nplatforms = ['linux-64', { name = 'gpu', platform = 'linux-64', cuda = '12' }]\n";
    for (package, other, asked, virtual_packages) in [
        ("b", "a", "p1", json!(["__cuda=12.0"])),
        ("a", "b", "linux-64", json!([])),
    ] {
        let platform = json!({"resolved_platform": {"subdir": "linux-64", "virtual_packages": virtual_packages}});
        let list = format!("environment default\npackage {package}-1-0\nfile {platform}\n");
        let fake = Fake::new().with(json!({
            "writes": {"/workdir/out/.pixi-offline-new-environments": list},
        }));
        fake.sandbox.write("demo/pixi.lock", lock_with_platforms());
        fake.sandbox.write("demo/pixi.toml", manifest);
        fake.create(&["--verify-task", "all"]).success();
        assert_eq!(record(&fake)["platforms"]["default"]["name"], asked);
        let fake = fake.with(json!({"writes": {}, "images": ["img:1"]}));
        for name in ["a", "b"] {
            cached_with_variable(&fake, name);
        }
        let run = |command: &str, args: &[&str]| fake.sandbox.run(command, args);
        run("make-archive-ready-product", &["--workdir", "W"]).success();
        let product = fake.path("W/product");
        assert!(
            product
                .join(format!("pkg-cache/pkgs/{package}-1-0"))
                .is_dir()
        );
        assert!(!product.join(format!("pkg-cache/pkgs/{other}-1-0")).exists());
        let bill = fs::read_to_string(product.join("sbom.cdx.json")).unwrap();
        let in_bill = |name: &str| bill.contains(&format!("{name}-1-0.conda"));
        assert!(in_bill(package) && !in_bill(other), "{bill}");

        fake.verify(&["--attach"]).success();
        let args = words(
            "--product-dir W/product --build-image img:1 --base-image img:1 --emit-dockerfile E",
        );
        run("make-production-image", &args).success();
        let text = fake.read("E/Dockerfile");
        let variable = |name: &str| format!("OF_{}=\"", name.to_uppercase());
        has(&text, "PIXI_ENVIRONMENT_PLATFORMS=\"gpu,linux-64\"");
        assert!(text.contains(&variable(package)), "{text}");
        assert!(!text.contains(&variable(other)), "{text}");
    }
}

#[test]
fn all_environments_are_those_for_the_images_platform() {
    let fake = Fake::new();
    fake.sandbox.write("demo/pixi.lock", lock_with_platforms());
    fake.create(&["--all-environments"])
        .success()
        .says("NOTE: left out")
        .says(": mac\n");
    let variables = &fake.run_call().1[0];
    assert!(variables.contains("\nenvironments='default t'\n"));
    fake.create(&["--environment", "mac"])
        .code(2)
        .says("environment mac for linux-64")
        .says_not("use an image");
    let fake = Fake::new();
    fake.sandbox.write("demo/pixi.lock", lock_with_platforms());
    fake.run(
        "build-offline-product",
        &["--all-environments", "--dry-run"],
    )
    .success()
    .prints("environments left out")
    .prints("mac");
}

#[test]
fn an_environment_of_another_platform_is_refused_before_anything_runs() {
    let manifest = "[project]\nname = 'demo'\nplatforms = ['linux-64', 'osx-arm64']\n\
        [feature.mac]\nplatforms = ['osx-arm64']\n[environments]\nmac = ['mac']\n";
    let lock = LOCK.replace("    packages:\n      linux-64: []\n", "    packages: {}\n");
    let lock = lock.replace("  test:", "  mac:");
    let fake = Fake::new();
    fake.sandbox.write("demo/pixi.toml", manifest);
    fake.sandbox.write("demo/pixi.lock", &lock);
    let refused = |options: &[&str]| {
        for (command, more) in [
            ("create-workdir-from-host", &[][..]),
            ("build-offline-product", &[][..]),
            ("build-offline-product", &["--dry-run"][..]),
        ] {
            let args: Vec<&str> = options.iter().chain(more).copied().collect();
            fake.run(command, &args)
                .code(2)
                .says("environment mac for osx-arm64 only, and the image is for linux-64")
                .says("--environment")
                .says("pixi lock");
        }
        let runs = fake.calls().into_iter().filter(|call| call[0] == "run");
        assert_eq!(runs.count(), 0);
        assert!(!fake.path("W").exists());
    };
    refused(&["--environment", "mac"]);
    refused(&words("--environment default --environment mac --frozen"));
    refused(&["--environment", "mac", "--update-lock"]);
    fake.run(
        "build-offline-product",
        &["--all-environments", "--dry-run"],
    )
    .success()
    .prints("environments left out")
    .prints(": mac\n");
    fs::remove_file(fake.path("demo/pixi.lock")).unwrap();
    let fake = &fake;
    fake.run(
        "build-offline-product",
        &["--environment", "mac", "--dry-run"],
    )
    .code(2)
    .says("environment mac for osx-arm64 only");
    fake.create(&["--environment", "other"])
        .code(2)
        .says("the manifest has no environment other; it has default, mac");
}

#[test]
fn a_lock_that_asks_for_cuda_has_the_variable_named() {
    let fake = Fake::new();
    let lock = lock_with_platforms().replace(
        "      linux-64:\n      - conda: http://conda.example/chan/linux-64/a-1-0.conda\n      p1:",
        "      p1:",
    );
    fake.sandbox.write("demo/pixi.lock", lock);
    let warning = "give --container-env CONDA_OVERRIDE_CUDA=12.0";
    fake.create::<&str>(&[]).success().says(warning);
    fake.run("build-offline-product", &["--dry-run"])
        .success()
        .says(warning);
    for args in [
        ["--container-env", "CONDA_OVERRIDE_CUDA=12.4"],
        ["--engine-arg", "--gpus=all"],
    ] {
        fake.create(&args)
            .success()
            .says_not("CONDA_OVERRIDE_CUDA=12.0");
    }
}
