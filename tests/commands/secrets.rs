//! What looks like a secret is said or refused, before anything is staged.

use std::fs;

use serde_json::json;
use testbed::sandbox::{Run, has, names, words};

use crate::create_workdir_from_container::Container;
use crate::fake::{Fake, LOCK};

/// The values that must never be shown.
const VALUES: [&str; 4] = ["Ahf7Oiqu", "ooZ9ahsh", "Kei4vohz", "wu5Iepee"];

/// Secrets and what only looks like them, in the project and in `data`.
fn furnish(fake: &Fake) {
    let sandbox = &fake.sandbox;
    let [name, url, token, resource] = VALUES;
    sandbox.write("demo/.env.local", format!("KEY={name}\n"));
    let manifest = format!("[project]\nname = 'demo'\nx = 'https://joe:{url}@git.corp.net/'\n");
    sandbox.write("demo/pixi.toml", manifest);
    let lock = LOCK.replacen("/chan/", &format!("/t/tk-{token}/chan/"), 1);
    sandbox.write("demo/pixi.lock", lock);
    sandbox.write(
        "demo/.pixi/config.toml",
        format!("x = 'http://ci:{url}@h.corp.net'\n"),
    );
    // Never staged, so nothing to say of.
    sandbox.write(
        "demo/.git/config",
        format!("https://joe:{url}@git.corp.net"),
    );
    sandbox.write("demo/out/.netrc", url);
    // Data: a NUL at the beginning, or more than a megabyte.
    let login = format!("https://joe:{url}@git.corp.net\n");
    sandbox.write("demo/program", format!("\0{login}"));
    sandbox.write("demo/table.csv", login.repeat(40_000));
    sandbox.write("data/deep/.env", resource);
    sandbox.write(
        "data/notes.txt",
        format!("\n\nhttps://joe:{resource}@h.corp.net"),
    );
}

const PLACES: [&str; 6] = [
    "demo/.env.local: file of environment variables",
    "demo/pixi.toml:3: credentials in a URL",
    "demo/pixi.lock:5: token in the URL of a conda channel",
    "demo/.pixi/config.toml:1: credentials in a URL",
    "data/deep/.env: file of environment variables",
    "data/notes.txt:3: credentials in a URL",
];

const QUIET: [&str; 5] = ["demo/.env:", ".git/", "out/", "program", "table.csv"];

#[track_caller]
fn shows_no_value(run: &Run) {
    for value in VALUES {
        assert!(
            !run.stdout.contains(value) && !run.stderr.contains(value),
            "{run}"
        );
    }
}

#[track_caller]
fn names_all_places(run: &Run, places: &[&str]) {
    for place in places {
        run.says(place);
    }
    for place in QUIET {
        run.says_not(place);
    }
    shows_no_value(run);
}

const USUAL: [&str; 4] = ["--resources-dir", "data", "--exclude", "/out/"];

fn with<'a>(usual: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    usual.iter().chain(more).copied().collect()
}

#[test]
fn deny_touches_nothing_and_warn_never_shows_the_value() {
    let fake = Fake::new();
    furnish(&fake);
    let run = fake.create(&with(&USUAL, &["--secrets", "deny"]));
    run.code(2).says("--allow-secret").says("--exclude");
    names_all_places(&run, &PLACES);
    assert_eq!(names(&fake.sandbox.work()), ["data", "demo"]);
    assert!(fake.calls().iter().all(|call| call[0] != "run"));

    let run = fake.create(&USUAL);
    run.success().says("WARNING: looks like a secret: ");
    names_all_places(&run, &PLACES);
    assert_eq!(
        run.stderr.matches("looks like a secret: ").count(),
        6,
        "{run}"
    );

    // The product as well: what the workdir holds, and the values of --env.
    let make = |more: &[&str]| {
        let usual = ["--workdir", "W", "--env", "MODE=production"];
        fake.sandbox
            .run("make-archive-ready-product", with(&usual, more))
    };
    let places = PLACES.map(|place| {
        place
            .replace("data/", "W/resources/")
            .replace("demo/", "W/project/demo/")
    });
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let token = format!("API_TOKEN={}", VALUES[3]);
    let url = format!("PROXY=http://me:{}@proxy.corp.net", VALUES[1]);
    let run = make(&["--secrets", "deny", "--env", &token, "--env", &url]);
    run.code(2)
        .says("--env API_TOKEN: value of a variable that is named like a secret")
        .says("--env PROXY: credentials in a URL")
        .says_not("MODE");
    names_all_places(&run, &places);
    assert_eq!(names(&fake.path("W/product")), [""; 0]);
    let run = make(&["--env", &token]);
    run.success();
    names_all_places(&run, &places);
    run.says("WARNING: looks like a secret: --env API_TOKEN: ");
    testbed::ran("deny_touches_nothing_and_warn_never_shows_the_value", 4);
}

/// The copy in the workdir is not searched aloud again, and no advice names an option that
/// does not help.
#[test]
fn one_run_names_each_secret_once_and_advises_what_helps() {
    let fake = Fake::new();
    furnish(&fake);
    let token = format!("API_TOKEN={}", VALUES[3]);
    let args = ["--image", "img:1", "--project-dir", "demo", "--env", &token];
    let run = fake
        .sandbox
        .run("build-offline-product", with(&args, &USUAL));
    run.success();
    names_all_places(&run, &PLACES);
    run.says_not("W/project/demo").says_not("W/resources");
    assert_eq!(
        run.stderr.matches("looks like a secret: ").count(),
        7,
        "{run}"
    );
    run.says("exclude the files (--exclude PATTERN), take the files out of the resources, which are copied whole, ");
    run.says("NOTE: 1 possible secret will be packed into the product: take the secret out of the command line");
    testbed::ran("one_run_names_each_secret_once_and_advises_what_helps", 1);
}

#[test]
fn off_is_silent_and_what_is_known_is_passed_over() {
    let fake = Fake::new();
    furnish(&fake);
    let run = fake.create(&with(&USUAL, &["--secrets", "off"]));
    run.success().says_not("looks like");
    let known =
        words("--secrets deny --allow-secret .env* --allow-secret /pixi.* --allow-secret .pixi/");
    let run = fake.create(&with(&USUAL, &known));
    run.code(2).says(PLACES[5]);
    for place in &PLACES[..5] {
        run.says_not(place);
    }
    let run = fake.create(&with(
        &with(&USUAL, &known),
        &["--allow-secret", "notes.txt"],
    ));
    run.success().says_not("looks like");
    let args = words("--workdir W --env API_TOKEN=Eithoh7e --secrets deny --allow-secret *");
    let run = fake.sandbox.run("make-archive-ready-product", args);
    run.success().says_not("looks like");
    let run = fake.create(&["--allow-secret", "!"]);
    run.code(2).says("--allow-secret");
}

#[test]
fn many_findings_are_counted_and_not_all_shown() {
    let fake = Fake::new();
    for number in 0..45 {
        fake.sandbox.write(format!("demo/{number}/.env.x"), "A=b");
    }
    let run = fake.create::<&str>(&[]);
    run.success().says("and 5 more");
    assert_eq!(run.stderr.matches("looks like a secret: ").count(), 40);
}

#[test]
fn a_lock_that_the_build_writes_is_looked_at_too() {
    let fake = Fake::new();
    fs::remove_file(fake.path("demo/pixi.lock")).unwrap();
    let lock = LOCK.replacen("/chan/", "/t/tk-Ahf7Oiqu/chan/", 1);
    let fake = fake.with(json!({"writes": {"/workdir/project/demo/pixi.lock": lock}}));
    let run = fake.create::<&str>(&[]);
    run.success()
        .says("W/project/demo/pixi.lock:5: token in the URL of a conda channel");
    shows_no_value(&run);
}

#[test]
fn the_container_variant_looks_before_anything_leaves() {
    let container = Container::new();
    let fake = &container.fake;
    furnish(fake);
    let data = fake.path("data");
    let usual = [
        "--resources-path-in-container",
        data.to_str().unwrap(),
        "--exclude",
        "/out/",
    ];
    let run = container.create(&with(&usual, &["--secrets", "deny"]));
    run.code(2).says("--allow-secret");
    names_all_places(&run, &PLACES);
    assert!(!container.path.exists());
    assert_eq!(names(&fake.sandbox.work()), ["data", "demo"]);

    let run = container.create(&usual);
    run.success();
    names_all_places(&run, &PLACES);
    assert_eq!(
        run.stderr.matches("WARNING: looks like a secret: ").count(),
        6,
        "{run}"
    );

    let run = container.create(&with(&usual, &["--secrets", "off"]));
    run.success().says_not("looks like");
    let known = ["--secrets", "deny", "--allow-secret", "*"];
    let run = container.create(&with(&usual, &known));
    run.success().says_not("looks like");
    testbed::ran("the_container_variant_looks_before_anything_leaves", 4);
}

#[test]
fn credentials_of_the_containers_environment_are_masked_in_stdout_and_log() {
    let proxy = "http_proxy=http://joe:Ahf7Oiqu@proxy.corp.net:3128";
    let fake = Fake::new().with(json!({
        "credentials": [proxy],
        "phases": [
            ["install", format!("using {proxy}\n"), 0],
            ["verify", "password Ahf7Oiqu, joe:Ahf7Oi", 0],
        ],
    }));
    let run = fake.create(&["--verify-task", "t"]);
    run.success()
        .prints("using http_proxy=http://***@proxy.corp.net:3128\n")
        .prints("password ***, joe:Ahf7Oi");
    shows_no_value(&run);
    let log = |name: &str| fs::read_to_string(fake.path("W/out").join(name)).unwrap();
    assert_eq!(
        log("pixi-install.log"),
        "using http_proxy=http://***@proxy.corp.net:3128\n"
    );
    assert_eq!(log("verify.log"), "password ***, joe:Ahf7Oi");
}

#[test]
fn credentials_of_a_running_container_are_masked_too() {
    let container = Container::new();
    let pixi = container.fake.sandbox.bin().join("pixi");
    let text = fs::read_to_string(&pixi).unwrap();
    fs::write(&pixi, text.replace("echo verified", "env; echo verified")).unwrap();
    let run = container.create(&words(
        "--container-env HTTPS_PROXY=http://joe:Ahf7Oiqu@proxy.corp.net --verify-task t",
    ));
    run.success()
        .prints("HTTPS_PROXY=http://***@proxy.corp.net\n");
    shows_no_value(&run);
    let log = fs::read_to_string(container.fake.path("W/out/verify.log")).unwrap();
    has(&log, "HTTPS_PROXY=http://***@proxy.corp.net\n");
    assert!(!log.contains("Ahf7Oiqu"), "{log}");
}

#[test]
fn args_of_a_verification_are_searched_before_anything_is_touched() {
    let args: [&[&str]; 4] = [
        &["curl", "-H", "Authorization: Bearer Ahf7Oiqu"],
        &["curl", "-u", "joe:Ahf7Oiqu", "https://h.corp.net/"],
        &["serve", "--api-token", "Ahf7Oiqu"],
        &["fetch", "https://h.corp.net/x?token=Ahf7Oiqu"],
    ];
    for args in args {
        let verify = with(&["--verify-run", "--"], args);
        let fake = Fake::new();
        let run = fake.create(&with(&["--secrets", "deny"], &verify));
        run.code(2).says("--verify-run, argument ");
        shows_no_value(&run);
        assert_eq!(names(&fake.sandbox.work()), ["demo"], "{run}");

        let run = fake.create(&verify);
        run.success()
            .says("WARNING: looks like a secret: --verify-run, argument ");
        fake.create(&with(&["--secrets", "off"], &verify))
            .success()
            .says_not("looks like a secret");
        fake.create(&with(&["--allow-secret", "--verify-run*"], &verify))
            .success()
            .says_not("looks like a secret");

        fake.sandbox
            .run("make-archive-ready-product", ["--workdir", "W"])
            .success();
        let usual = words("--image img:1 --product-dir W/product --out-dir O --project-name demo");
        let verified = |more: &[&str]| {
            let args = with(&with(&usual, more), &verify);
            fake.sandbox.run("final-verify-product", args)
        };
        let run = verified(&["--secrets", "deny"]);
        run.code(2).says("--verify-run, argument ");
        assert!(!fake.path("O").exists(), "{run}");
        verified(&[])
            .success()
            .says("WARNING: looks like a secret: --verify-run, argument ");
    }
}
