//! `build-offline-product` with a real engine, pixi and packages.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use testbed::project::Manifest;
use testbed::sandbox::{Run, names, words};

use crate::listing::listing;
use crate::products::containers::Container;
use crate::real::{Real, at_the_target, channel, containers_of, image, images};

/// What each phase told, by its name.
fn phases(run: &Run) -> BTreeMap<String, Value> {
    run.stdout
        .lines()
        .map(|line| {
            let object: Value = serde_json::from_str(line).unwrap();
            (object["phase"].as_str().unwrap().to_owned(), object)
        })
        .collect()
}

/// The sentence that a run proves, out of its JSON alone.
fn sentence(run: &Run) -> String {
    let proof = &phases(run)["verify"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let record = &proof["verification"];
    assert_eq!(record["outcome"], "passed");
    assert_eq!(record["network"]["mode"], "none");
    assert_eq!(record["product_digest"], proof["product_digest"]);
    let ran: Vec<String> = record["ran"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ran| {
            assert_eq!(ran["exit_code"], 0);
            let args = ran["command"].as_array().unwrap().iter();
            args.map(text).collect::<Vec<_>>().join(" ")
        })
        .collect();
    format!(
        "this product, digest {}, made from lock {} with pixi {} in image {}, installed and passed {} with the network off at {}",
        text(&proof["product_digest"]),
        text(&proof["lock_sha256"]),
        text(&proof["pixi"]),
        text(&proof["image"]["id"]),
        ran.join(" and "),
        text(&record["finished"]),
    )
}

fn sha256(file: &std::path::Path) -> String {
    let run = Run::of(std::process::Command::new("sha256sum").arg(file));
    run.success().stdout[..64].to_owned()
}

#[test]
fn one_command_makes_what_the_four_make_and_proves_it() {
    let mut real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    real.sandbox.set("SOURCE_DATE_EPOCH", "1700000000");
    real.sandbox.set("PIXI_IMAGE", &real.image);
    real.sandbox.write("data/model.bin", "weights");
    real.sandbox.write("demo/notes.md", "left out");
    let shared = ["--resources-dir", "data", "--exclude", "*.md"];
    let made = ["--bundle-pixi", "--env", "GREETING=hi"];
    let verified = ["--expect-output", "envs/default", "--verify-task", "where"];

    // The image is that of $PIXI_IMAGE.
    let args = [
        &words("--project-dir demo --workdir W --format json"),
        &shared[..],
        // It brings its pixi without being told to.
        &made[1..],
        &verified,
    ]
    .concat();
    let run = real.sandbox.run("build-offline-product", args);
    run.success();
    let digest = sha256(&real.path("W/product/SHA256SUMS"));
    let lock = sha256(&real.path("demo/pixi.lock"));
    let said = sentence(&run);
    let parts = [
        format!("digest sha256:{digest}, made from lock {lock} with pixi {} in image sha256:", image().version),
        "installed and passed ./bootstrap-project.sh --project-name demo and pixi run where with the network off at 20".to_owned(),
    ];
    for part in parts {
        assert!(said.contains(&part), "no {part:?} in {said}");
    }
    run.says(&format!("OK: product sha256:{digest}\n"))
        .says(&format!("Lock     sha256:{lock}\n"));
    let record = fs::read(real.path("W/product/verification.json")).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&record).unwrap(),
        phases(&run)["verify"]["verification"]
    );
    let one = names(&real.path("W/product"));

    // The four, one after the other.
    fs::rename(real.path("W"), real.path("of-one")).unwrap();
    real.create(&[&shared[..], &verified[2..]].concat())
        .success();
    real.make(&made).success();
    assert_eq!(sha256(&real.path("W/product/SHA256SUMS")), digest);
    real.verify(&[&["--project-name", "demo", "--attach"], &verified[..]].concat())
        .success()
        .says(&format!("Product digest: sha256:{digest}"));
    assert_eq!(names(&real.path("W/product")), one);

    // It installs where there is no network and no pixi but its own.
    let script = "cp -a /carried/it /there; cd /there; rm \"$(command -v pixi)\"; \
                  ./bootstrap-project.sh --check; ./bootstrap-project.sh; . ./envs.sh; \
                  cd demo; pixi run where; echo \"$GREETING\"";
    at_the_target(&real.image, &real.path("of-one/product"), script)
        .success()
        .prints("/there/demo/.pixi/envs/default")
        .prints("hi\n");
}

#[test]
fn a_dry_run_on_the_real_engine_starts_and_touches_nothing() {
    let real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    let before = listing(real.sandbox.root());
    let run = real.build(&["--dry-run", "--verify-task", "where"]);
    run.success()
        .prints("environments default: ")
        .prints(" to fetch")
        .prints("disk: ")
        .prints(&format!("image {}: sha256:", real.image));
    let plan = real.build(&["--dry-run", "--format", "json"]);
    let plan = &phases(&plan)["plan"];
    assert!(plan["packages"]["conda"].as_u64().unwrap() >= 2, "{plan}");
    assert!(
        plan["packages"]["download_bytes"].as_u64().unwrap() > 0,
        "{plan}"
    );
    assert_eq!(listing(real.sandbox.root()), before);
    assert_eq!(containers_of(&real), "");
}

#[test]
fn a_dry_run_says_what_each_pixi_refuses_and_ends_as_the_run() {
    for image in images() {
        let real = Real::with_project(&image.reference, &Manifest::usual("demo"));
        let fits = format!(
            "pixi {} of the image: it accepts the manifest, and pixi.lock is up to date\n",
            image.version
        );
        real.build(&["--dry-run"]).success().prints(&fits);
        let manifest = Manifest::usual("demo").dependency("many-files", "*");
        manifest.write(channel(), &real.path("demo")).unwrap();
        let before = listing(real.sandbox.root());
        let dry = real.build(&["--dry-run"]);
        assert_eq!(listing(real.sandbox.root()), before);
        assert_eq!(containers_of(&real), "");
        dry.says("pixi.lock does not fit the manifest")
            .says("out of date because")
            .says("many-files")
            .says("--update-lock");
        let run = real.build::<&str>(&[]);
        run.says("pixi.lock does not fit the manifest");
        assert_eq!((dry.code, run.code), (1, 1));
        for lock_option in ["--frozen", "--update-lock"] {
            real.build(&["--dry-run", lock_option])
                .success()
                .prints("of the image: it accepts the manifest\n");
        }
        let other = manifest.text(channel()).replacen(
            "[project]\n",
            "[workspace]\nrequires-pixi = \">=99\"\n",
            1,
        );
        fs::write(real.path("demo/pixi.toml"), other).unwrap();
        let (dry, run) = (real.build(&["--dry-run"]), real.build::<&str>(&[]));
        dry.says(&format!(
            "pixi {} of the image refuses pixi.toml",
            image.version
        ));
        assert_eq!(dry.code, run.code, "{dry}{run}");
    }
}

#[test]
fn failures_keep_their_code_and_a_second_run_fetches_nothing_again() {
    let real = Real::with_project(
        &image().reference,
        &Manifest::usual("demo")
            .task("seven", "sh -c 'echo it is broken; exit 7'")
            .task(
                "online",
                "sh -c 'grep -q eth0 /proc/net/dev || { echo no network; exit 9; }'",
            ),
    );
    real.build(&["--verify-task", "seven"])
        .code(7)
        .says("failed: build (")
        .says("  | it is broken\n")
        .says(&format!(
            "Full log: {}\n",
            real.path("W/out/verify.log").display()
        ))
        .says("run the same command again");
    assert!(!real.path("W/product/manifest.json").exists());

    // The packages of the failed build are used: nothing is fetched anew.
    let packages = real.path("W/pixi-cache/pkgs");
    let cached = listing(&packages);
    let run = real.build(&["--format", "json", "--verbose", "--verify-task", "online"]);
    run.code(9)
        .says("NOTE: the package cache of the previous workdir is reused")
        .says("failed: verify (")
        .says("  | no network\n")
        .says(&format!(
            "Full log: {}\n",
            real.path("W/proof/verify.offline.log").display()
        ))
        .says(" --attach --verify-task online\n");
    assert_eq!(listing(&packages), cached);
    let phases = phases(&run);
    assert_eq!(phases["stage"]["cache_reused"], true);
    assert_eq!(phases["product"]["outcome"], "passed");
    assert_eq!(phases["verify"]["exit_code"], 9);
    assert!(phases["verify"].get("verification").is_none());
    assert_eq!(containers_of(&real), "");
}

#[test]
fn a_project_in_a_container_the_whole_way() {
    let (real, container) = Container::with_project(&image().reference, &[]);
    let args = [
        "--container-id",
        &container.name,
        "--project-path-in-container",
        "/home/me/demo",
        "--resources-path-in-container",
        "/home/me/data",
        "--workdir",
        "W",
        "--output",
        "product of the box",
        "--clean",
        "--format",
        "json",
        "--verify-task",
        "where",
    ];
    let run = real.sandbox.run("build-offline-product", args);
    run.success();
    let said = sentence(&run);
    let digest = sha256(&real.path("product of the box/SHA256SUMS"));
    assert!(said.contains(&format!("digest sha256:{digest}")), "{said}");
    // The image of the container is that of the final verification.
    let proof = &phases(&run)["verify"];
    assert_eq!(proof["verification"]["image"]["id"], proof["image"]["id"]);
    assert_eq!(real.read("product of the box/res/model.bin"), "weights");
    at_the_target(
        &real.image,
        &real.path("product of the box"),
        "cp -a /carried/it /p; cd /p; ./bootstrap-project.sh; . ./envs.sh; cd demo; pixi run where",
    )
    .success()
    .prints("/p/demo/.pixi/envs/default");
}
