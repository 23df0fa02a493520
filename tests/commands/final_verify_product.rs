use serde_json::json;
use testbed::sandbox::{Run, words};

use crate::fake::Fake;

fn product(fake: &Fake) {
    fake.sandbox.write("P/demo/pixi.toml", "");
    fake.sandbox.write("P/bootstrap-project.sh", "");
}

fn verify(fake: &Fake, more: &[&str]) -> Run {
    let usual = words("--image img:1 --product-dir P --out-dir O/deep");
    fake.sandbox
        .run("final-verify-product", usual.iter().chain(more))
}

#[test]
fn the_platform_is_handed_to_the_engine_and_another_image_is_refused() {
    let fake = Fake::new();
    product(&fake);
    verify(&fake, &["--container-platform", "linux/s390x"])
        .code(2)
        .says("image img:1 is for linux/amd64 on this engine");
    assert!(!fake.path("O").exists());
    verify(&fake, &["--container-platform", "linux/amd64"]).success();
    let asked = |call: &Vec<String>| {
        call.windows(2)
            .any(|pair| pair == ["--platform", "linux/amd64"])
    };
    let runs = |call: &&Vec<String>| call[0] == "run" && asked(call);
    assert_eq!(fake.calls().iter().filter(runs).count(), 1);
}

#[test]
fn the_product_is_mounted_read_only_without_a_network() {
    let fake = Fake::new();
    product(&fake);
    let run = verify(
        &fake,
        &["--project-name", "demo", "--verify-run", "--", "a b", ""],
    );
    run.success();
    run.says(&format!(
        "OK: final verification complete; logs in: {}\n",
        fake.path("O/deep").display()
    ));
    let (options, script) = fake.run_call();
    let product = format!(
        "type=bind,source={},target=/pixi-offline/product,readonly",
        fake.path("P").display()
    );
    assert!(options.contains(&product), "{options:?}");
    for pair in [["--network", "none"], ["--pull", "never"]] {
        assert!(options.windows(2).any(|args| args == pair), "{options:?}");
    }
    let variables = "how='copy'\nname='demo'\nenvironment=''\nexpected_files=''\n";
    assert_eq!(script, [variables, "run", "a b", ""]);
    assert_eq!(fake.read("O/deep/bootstrap.offline.log"), "installed\n");
    assert_eq!(fake.read("O/deep/verify.offline.log"), "verified\n");
}

#[test]
fn in_place_is_the_old_way() {
    let fake = Fake::new().with(json!({"phases": [["bootstrap", "", 0]]}));
    product(&fake);
    verify(&fake, &["--in-place"])
        .success()
        .says("NOTE: no verification was given: only the installation was tested");
    let (options, script) = fake.run_call();
    let product = format!(
        "type=bind,source={},target=/product",
        fake.path("P").display()
    );
    assert!(options.contains(&product), "{options:?}");
    assert!(!options.contains(&"--tmpfs".to_owned()));
    assert_eq!(
        script,
        ["how='in-place'\nname=''\nenvironment=''\nexpected_files=''\n"]
    );
    let log = fake.read("O/deep/verify.offline.log");
    assert_eq!(log, "No verification requested.\n");
}

#[test]
fn bad_input_ends_with_2_before_a_container_starts() {
    let fake = Fake::new();
    product(&fake);
    for (args, text) in [
        (&["--verify-task", "t"][..], "--project-name"),
        (&["--project-name", "nope"], "--project-name"),
        (&["--product-dir", "missing"], "--product-dir"),
        (&["--out-dir", "P/out"], "is in the product"),
        (&["--out-dir", "P/demo/pixi.toml"], "not a directory"),
    ] {
        verify(&fake, args).code(2).says(text);
    }
    assert!(fake.calls().iter().all(|call| call[0] != "run"));
    assert!(!fake.path("O").exists());
}

#[test]
fn an_image_that_is_not_there_is_never_fetched() {
    let fake = Fake::new().with(json!({"images": []}));
    product(&fake);
    verify(&fake, &[])
        .code(125)
        .says("image img:1 is not on this engine")
        .says("load");
    // Nothing is run, and nothing of a killed run removed.
    let deeds = ["run", "ps", "rm"];
    let mut calls = fake.calls().into_iter();
    assert!(calls.all(|call| !deeds.contains(&call[0].as_str())));
}

#[test]
fn an_install_that_tried_to_reach_the_network_is_a_failure() {
    let fake = Fake::new().with(json!({"attempts": {"bootstrap": 0, "verify": 2}}));
    product(&fake);
    let args = ["--project-name", "demo", "--verify-task", "t"];
    verify(&fake, &args)
        .success()
        .says("NOTE: the verification tried to reach the network: 2");
    let fake = fake.with(json!({"attempts": {"bootstrap": 3}}));
    verify(&fake, &args)
        .code(1)
        .says("tried to reach the network (3 attempts")
        .says("bootstrap.offline.log");
}

#[test]
fn plain_output_gives_the_terminal_no_orders_and_the_log_keeps_them() {
    let order = "\u{1b}[2Jcleared\u{9b}1m\n";
    let scenario = json!({"phases": [["bootstrap", order, 0]], "client_errors": order});
    let fake = Fake::new().with(scenario);
    product(&fake);
    let run = verify(&fake, &[]);
    run.success().prints(order);
    assert!(run.stderr.contains(order), "{run}");
    let run = verify(&fake, &["--plain-output"]);
    let shown = "\\u{1b}[2Jcleared\\u{9b}1m\n";
    run.success().prints(shown);
    for stream in [&run.stdout, &run.stderr] {
        assert!(
            stream.contains(shown) && !stream.contains('\u{1b}'),
            "{run}"
        );
    }
    let log = fake.read("O/deep/bootstrap.offline.log");
    assert_eq!(log, order);
}

/// What the record says of the network.
fn network(fake: &Fake) -> serde_json::Value {
    let record = fake.json("O/deep/verification.json");
    record["network"].clone()
}

#[test]
fn attempts_are_counted_by_a_second_container_where_there_can_be_one() {
    let args = ["--project-name", "demo", "--verify-task", "t"];
    let fake = Fake::new().with(json!({"attempts": {"bootstrap": 0, "verify": 2}}));
    product(&fake);
    verify(&fake, &args)
        .success()
        .says_not("in the container itself");
    let known_by = network(&fake)["known_by"].to_string();
    assert!(known_by.contains("from outside"), "{known_by}");
    let calls = fake.calls();
    let counter =
        |call: &&Vec<String>| call[0] == "create" && call.contains(&"--interactive".to_owned());
    let counter = calls.iter().find(counter).expect("a second container");
    let (first, _) = fake.run_call();
    let name = first.windows(2).find(|pair| pair[0] == "--name").unwrap()[1].clone();
    for pair in [
        ["--network", &format!("container:{name}")],
        ["--cap-drop", "ALL"],
        ["--security-opt", "no-new-privileges"],
        ["--pids-limit", "32"],
        ["--pull", "never"],
        ["--entrypoint", "/.pixi-offline-program"],
    ] {
        assert!(
            counter.windows(2).any(|args| args == pair),
            "{pair:?}: {counter:?}"
        );
    }
    for shared in ["--pid", "--volumes-from", "--mount", "--ipc"] {
        assert!(!counter.iter().any(|arg| arg == shared), "{counter:?}");
    }
    // Both are removed, the second one first.
    let removals = calls.iter().filter(|call| call[..2] == ["rm", "--force"]);
    let names: Vec<&str> = removals.map(|call| call[3].as_str()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("pixi-offline-counter-"), "{names:?}");
    assert_eq!(names[1], name);

    // None can be made: the container's own counts are taken, and that is said.
    let fake = fake.with(json!({"counts_nothing": true}));
    verify(&fake, &args)
        .success()
        .says("in the container itself")
        .says("no second container")
        .says("NOTE: the verification tried to reach the network: 2");
    let known_by = network(&fake)["known_by"].to_string();
    assert!(known_by.contains("in the container itself"), "{known_by}");

    // It began to count and does not any more: nothing is known of the rest.
    let fake = fake.with(json!({"counts_nothing": false, "counts_once": true}));
    verify(&fake, &args)
        .code(1)
        .says("does not answer any more");
}

#[test]
fn a_container_that_contradicts_itself_has_not_passed() {
    let whole = [
        "ready start",
        "begin bootstrap",
        "end bootstrap 0",
        "attempts bootstrap 0",
        "finished 0",
    ];
    let with = |place: usize, args: &[&str]| {
        let mut all: Vec<&str> = whole.to_vec();
        all.splice(place..place, args.iter().copied());
        all.into_iter().map(str::to_owned).collect::<Vec<String>>()
    };
    let fake = Fake::new().with(json!({"signals": with(0, &[])}));
    product(&fake);
    verify(&fake, &[]).success();
    for signals in [
        with(3, &["end bootstrap 0"]),
        with(3, &["begin bootstrap"]),
        with(3, &["attempts verify 0"]),
        with(3, &["attempts bootstrap 0"]),
        with(3, &["begin copy", "end copy 0"]),
        with(1, &["begin install", "end install 0"]),
        with(1, &["attempts bootstrap 0"]),
        with(2, &["finished 0"]),
        with(5, &["finished 0"]),
        with(5, &["begin verify", "end verify 0", "finished 0"]),
        with(1, &["started bash"]),
        with(1, &["anything else"]),
    ] {
        let fake = Fake::new().with(json!({"signals": signals}));
        product(&fake);
        verify(&fake, &[])
            .code(1)
            .says("the output of the container contradicts itself");
        let record = fake.json("O/deep/verification.json");
        assert_eq!(record["outcome"], "failed", "{signals:?}");
    }
}

#[test]
fn a_verification_may_name_its_environment() {
    let fake = Fake::new();
    product(&fake);
    let args = words("--project-name demo --verify-environment test --verify-task t");
    verify(&fake, &args).success();
    assert_eq!(
        fake.run_call().1,
        [
            "how='copy'\nname='demo'\nenvironment='chosen'\nexpected_files=''\n",
            "run",
            "-e",
            "test",
            "t"
        ]
    );
}

#[test]
fn failures_name_the_phase_and_keep_the_code() {
    for (phases, code, text) in [
        (
            json!([["copy", "No space left on device\n", 1]]),
            1,
            "copying the product",
        ),
        (json!([["bootstrap", "x\n", 3]]), 3, "bootstrap.offline.log"),
        (
            json!([["bootstrap", "", 0], ["verify", "", 7]]),
            7,
            "verify.offline.log",
        ),
    ] {
        let fake = Fake::new().with(json!({"phases": phases}));
        product(&fake);
        verify(&fake, &["--project-name", "demo", "--verify-task", "t"])
            .code(code)
            .says(text);
    }
    let fake = Fake::new().with(json!({"missing_program": "bash"}));
    product(&fake);
    verify(&fake, &[]).code(127).says("no bash");
}

#[test]
fn image_and_project_are_those_of_the_manifest_where_none_are_given() {
    let fake = Fake::new();
    fake.create::<&str>(&[]).success();
    let make = ["--workdir", "W"];
    fake.sandbox
        .run("make-archive-ready-product", make)
        .success();
    let verify = |dir: &str, args: &[&str]| {
        let usual = ["--product-dir", dir, "--out-dir", "O"];
        fake.sandbox
            .run("final-verify-product", usual.iter().chain(args))
    };
    verify("W/product", &["--verify-task", "smoke"])
        .success()
        .says("NOTE: verifying in img:1, the image that the product's manifest names");
    let runs = fake.calls();
    let last = runs.iter().rfind(|call| call[0] == "run").unwrap();
    assert!(last.iter().any(|arg| arg == "img:1"), "{last:?}");
    let is_of_demo = |arg: &String| arg.contains("\nname='demo'\n");
    assert!(last.iter().any(is_of_demo), "{last:?}");
    // What is given counts, and nothing is said of the manifest.
    verify("W/product", &["--image", "img:1", "--verify-task", "smoke"])
        .success()
        .says_not("manifest names");

    // A manifest that SHA256SUMS does not cover is not believed.
    let manifest = fake.path("W/product/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("img:1", "img:2")).unwrap();
    verify("W/product", &["--verify-task", "smoke"])
        .code(2)
        .says("--image cannot be taken from the product: the product ")
        .says("its manifest.json was changed: SHA256SUMS has another digest of it");
    // One of the old scripts has none.
    fake.sandbox.write("P/bootstrap-project.sh", "");
    verify("P", &[])
        .code(2)
        .says("--image is required")
        .says("has no manifest.json");
    verify("P", &["--image", "img:1", "--verify-task", "t"])
        .code(2)
        .says("--project-name is required");
    // The likely slip.
    verify("W", &[])
        .code(2)
        .says("is not a product")
        .says("did you mean ")
        .says("W/product?");
}
