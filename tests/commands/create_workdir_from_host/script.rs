//! What the script in the container is told, and what its end means.

use super::*;
use testbed::sandbox::words;

/// The variables of a build of `demo` in this workdir of the container.
fn variables(workdir: &str) -> String {
    format!(
        "where='mounted'\nworkdir='{workdir}'\nproject_dir='project'\nresources_dir='resources'\n\
         cache_dir='pixi-cache'\nout_dir='out'\nname='demo'\ninstall_options='--locked'\n\
         environments='default'\nexpected_files=''\nagent=''\nneeds_git=''\nnetwork_files=''\n\
         network_variables=''\n"
    )
}

#[test]
fn the_container_is_asked_for_as_the_contract_says() {
    let fake = Fake::new();
    let args = [
        "--container-env",
        "CONDA_OVERRIDE_CUDA=12",
        "--engine-arg",
        "--cpus=1",
        "--engine-arg",
        "--dns=10.0.0.1",
        "--container-workdir-path",
        "/tmp/w d",
        "--verify-run",
        "--",
        "python",
        "-c",
        "print('a b')",
        "",
        "--",
        "$x",
        "a\nb",
    ];
    fake.create(&args).success();
    let (options, script) = fake.run_call();
    let mount = |name: &str| {
        let field = format!("type=bind,source={}/{name}", fake.path("W").display());
        format!("{field},\"target=/tmp/w d/{name}\"")
    };
    let out = format!(
        "type=bind,source={}/out/.pixi-offline-out,\"target=/tmp/w d/out\"",
        fake.path("W").display()
    );
    assert_eq!(options[..2], ["run", "--interactive"]);
    assert_eq!(options[2], "--name");
    let name = options[3].clone();
    // What tells a later run that its maker is gone: boot, process, start.
    let owner = options[7].clone();
    assert!(
        owner.starts_with("io.github.pixi-offline.process="),
        "{owner}"
    );
    assert!(name.starts_with("create-workdir-from-host-"), "{name}");
    assert_eq!(
        options[4..],
        [
            "--label",
            "io.github.pixi-offline.command=create-workdir-from-host",
            "--label",
            &owner,
            "--log-driver",
            "none",
            "--cap-drop",
            "MKNOD",
            "--mount",
            &mount("project"),
            "--mount",
            &mount("resources"),
            "--mount",
            &out,
            "--mount",
            &mount("pixi-cache"),
            "--env",
            "CONDA_OVERRIDE_CUDA=12",
            "--cpus=1",
            "--dns=10.0.0.1",
            "--entrypoint",
            "sh",
            "img:1",
        ]
    );
    assert_eq!(
        script,
        [
            &variables("/tmp/w d"),
            "run",
            "python",
            "-c",
            "print('a b')",
            "",
            "--",
            "$x",
            "a\nb"
        ]
    );
    // The container is removed by its name, whatever happened.
    assert!(fake.calls().contains(&vec![
        "rm".into(),
        "--force".into(),
        "--volumes".into(),
        name
    ]));
}

#[test]
fn the_platform_is_handed_to_the_engine_and_another_is_refused_before_anything_is_staged() {
    let asked = |fake: &Fake, platform: &str, more: &[&str]| {
        fake.create(&[&["--container-platform", platform], more].concat())
    };
    let fake = Fake::new();
    asked(&fake, "linux/x86_64", &[]).success();
    let (args, _) = fake.run_call();
    assert!(
        args.windows(2)
            .any(|pair| pair == ["--platform", "linux/amd64"])
    );
    let record = fake.json("W/workdir.json");
    assert_eq!(record["image"]["platform"], "linux/amd64");

    // The image is another one.
    let fake = Fake::new();
    asked(&fake, "linux/arm64", &[]).code(2).says(
        "image img:1 is for linux/amd64 on this engine; give that platform, or have the other fetched by `docker pull --platform linux/arm64 img:1`",
    );
    assert!(!fake.path("W").exists());
    let other = Fake::new().with(json!({"architectures": {"img:1": "arm64"}}));
    asked(&other, "linux/amd64", &[])
        .code(2)
        .says("is for linux/arm64");
    assert!(!other.path("W").exists());

    // The lock has nothing for it: known before anything is fetched.
    let absent = Fake::new().with(json!({"images": []}));
    asked(&absent, "linux/arm64", &[])
        .code(2)
        .says("linux-aarch64");
    assert!(absent.calls().iter().all(|call| call[0] != "pull"));
    asked(&absent, "linux/amd64", &[]).code(125);
    let pull = ["pull", "--platform", "linux/amd64", "img:1"];
    assert!(absent.calls().iter().any(|call| *call == pull));
    assert!(!absent.path("W").exists());
}

#[test]
fn without_a_verification_the_log_says_so() {
    let fake = Fake::new().with(json!({"phases": [["install", "x\n", 0]]}));
    fake.create::<&str>(&[])
        .success()
        .says("NOTE: no verification was given: only the installation is tested");
    let log = fake.read("W/out/verify.log");
    assert_eq!(log, "No verification requested.\n");
    assert_eq!(fake.run_call().1, [variables("/workdir")]);
}

#[test]
fn the_exit_code_of_the_container_command_is_ours() {
    for code in [1, 7, 125, 127, 137, 255] {
        let fake =
            Fake::new().with(json!({"phases": [["install", "", 0], ["verify", "boo\n", code]]}));
        let run = fake.create(&["--verify-task", "t"]);
        run.code(code)
            .prints("boo")
            .says("the verification")
            .says("out/verify.log");
        assert_eq!(record(&fake)["state"], "installed");
        let fake = Fake::new().with(json!({"phases": [["install", "boo\n", code]]}));
        fake.create(&["--verify-task", "t"])
            .code(code)
            .says("pixi install")
            .says("\n    boo")
            .says_not("--update-lock");
        assert_eq!(record(&fake)["state"], "staged");
        assert_eq!(fake.read("W/out/pixi-install.log"), "boo\n");
    }
}

#[test]
fn success_is_proved_not_assumed() {
    // An entry point that prints its arguments and ends with 0.
    let fake = Fake::new().with(json!({"swallow": 0}));
    fake.create(&["--verify-task", "t"])
        .code(1)
        .says("did not start in image");
    // An engine that mounts another machine's directory.
    let fake = Fake::new().with(json!({"elsewhere": true}));
    fake.create(&["--verify-task", "t"])
        .code(1)
        .says("does not see this machine's files");
}

#[test]
fn a_volume_that_is_somebodys_is_not_touched() {
    let fake = Fake::new().with(json!({"has_every_volume": true}));
    fake.create(&["--transfer", "copy"])
        .code(2)
        .says("has a volume pixi-offline-")
        .says("volume rm pixi-offline-");
    let volumes: Vec<_> = fake
        .calls()
        .into_iter()
        .filter(|call| call[0] == "volume")
        .map(|call| call[1].clone())
        .collect();
    assert_eq!(volumes, ["ls", "inspect"]);
    assert!(!fake.path("W").exists());
    fake.create(&["--transfer", "ssh"])
        .code(2)
        .says("--transfer");
}

#[test]
fn ends_that_are_not_the_scripts_are_told_apart() {
    for (scenario, code, text) in [
        (
            json!({"refuse": ["docker: invalid reference", 125], "state": {"Status": "created", "Error": "bad"}}),
            125,
            "refused to start a container",
        ),
        (
            json!({"refuse": ["no sh", 127], "state": {"Status": "created", "Error": "sh not found"}}),
            127,
            "no shell",
        ),
        (
            json!({"refuse": ["sh is closed", 126], "state": {"Status": "created", "Error": "permission denied"}}),
            126,
            "cannot be started (exit code 126): permission denied",
        ),
        (
            json!({"die": 137, "state": {"Status": "exited", "OOMKilled": true}}),
            137,
            "out of memory",
        ),
        (json!({"die": 137}), 137, "killed by signal 9"),
        (json!({"die": 0}), 1, "before the script did"),
        (json!({"missing_program": "pixi"}), 127, "no pixi"),
    ] {
        let fake = Fake::new().with(scenario);
        fake.create(&["--verify-task", "t"]).code(code).says(text);
    }
}

#[test]
fn expected_output_must_appear() {
    let fake = Fake::new();
    fake.create(&["--expect-output", "verified", "--verify-task", "t"])
        .success();
    let run = fake.create(&words(
        "--expect-output verified --expect-output gold --verify-task t",
    ));
    run.code(1).says("did not print \"gold\"");
    assert_eq!(record(&fake)["state"], "installed");
}
