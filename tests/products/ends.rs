//! How runs end: exit codes, interruptions, what is left behind.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use testbed::project::Manifest;
use testbed::sandbox::Run;

use crate::real::{Real, at_the_target, containers_of, image};

fn project() -> Real {
    Real::with_project(&image().reference, &Manifest::usual("demo"))
}

#[test]
fn a_verification_that_fails_with_7_gives_7() {
    let real = project();
    real.sandbox.write(
        "demo/seven.py",
        "import sys; print('to', 'seven'); sys.exit(7)",
    );
    let words = ["--verify-run", "--", "python", "seven.py"];
    real.create(&words)
        .code(7)
        .prints("to seven")
        .says("W/out/verify.log");
    real.make::<&str>(&[]).success().says("WARNING");
    let words = [
        "--project-name",
        "demo",
        "--verify-run",
        "--",
        "python",
        "seven.py",
    ];
    real.verify(&words)
        .code(7)
        .prints("to seven")
        .says("O/verify.offline.log");
    assert_eq!(containers_of(&real), "");
}

#[test]
fn codes_that_look_like_the_engines_are_the_verifications() {
    let real = project();
    real.sandbox
        .write("demo/end.py", "import sys; sys.exit(int(sys.argv[1]))");
    for code in ["125", "126", "127", "255"] {
        let words = ["--verify-run", "--", "python", "end.py", code];
        real.create(&words)
            .code(code.parse().unwrap())
            .says("the verification failed with exit code");
    }
}

#[test]
fn a_product_that_lacks_a_package_fails_offline() {
    let real = project();
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    let packages = real.path("W/product/pkg-cache/pkgs");
    let tool = fs::read_dir(&packages)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.is_dir()
                && path
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with("prefix-tool")
        })
        .unwrap();
    fs::remove_dir_all(tool).unwrap();
    // It is found before anything runs; a bootstrap that goes on all the same
    // fails in pixi.
    real.verify::<&str>(&[])
        .code(1)
        .says("missing: pkg-cache/pkgs/prefix-tool");
    let script = "cp -a /carried/it /it; cd /it; ./bootstrap-project.sh --any-files";
    let run = at_the_target(&image().reference, &real.path("W/product"), script);
    assert_ne!(run.code, 0, "{run}");
    run.says("WARNING: missing: pkg-cache/pkgs/prefix-tool");
}

#[test]
fn an_engine_that_is_not_there_is_said() {
    let mut real = project();
    real.sandbox
        .set("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    real.create::<&str>(&[])
        .code(125)
        .says("does not answer")
        .says("--engine");
    assert!(!real.path("W").exists());
}

/// Starts create-workdir-from-host with a verification that sleeps, and waits until it does.
fn sleeping(real: &Real, prefix: &[&str]) -> std::process::Child {
    real.sandbox.write(
        "demo/sleep.py",
        "import time; open('made-by-root', 'w'); print('asleep', flush=True); time.sleep(600)",
    );
    let create = testbed::sandbox::binary("create-workdir-from-host");
    let mut words: Vec<&str> = prefix.to_vec();
    words.push(create.to_str().unwrap());
    let mut child = real
        .sandbox
        .program(words[0])
        .args(&words[1..])
        .args([
            "--image",
            &real.image,
            "--project-dir",
            "demo",
            "--workdir",
            "W",
        ])
        .args(["--verify-run", "--", "python", "sleep.py"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap() == "asleep"),
        "it never slept"
    );
    // The rest is read so that the pipe stays open.
    thread::spawn(move || lines.count());
    child
}

/// Waits until none of our containers is left; how long it took.
fn until_gone(real: &Real) -> Duration {
    let start = Instant::now();
    while !containers_of(real).is_empty() && start.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(50));
    }
    start.elapsed()
}

#[test]
fn ctrl_c_and_its_kin_leave_no_container() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let real = project();
        let mut child = sleeping(&real, &[]);
        Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status()
            .unwrap();
        let gone = until_gone(&real);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(
            gone < Duration::from_secs(5),
            "{signal}: the container was there for {gone:?}"
        );
        eprintln!("{signal}: gone after {gone:?}");
        real.create(&["--verify-task", "where"]).success();
    }
}

#[test]
fn kill_9_leaves_no_running_container() {
    let real = project();
    let mut child = sleeping(&real, &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    let start = Instant::now();
    let running = |real: &Real| {
        let words = ["ps", "--no-trunc", "--format", "{{.Mounts}}"];
        let run = Run::of(Command::new("docker").args(words));
        run.stdout
            .contains(&real.sandbox.root().display().to_string())
    };
    while running(&real) && start.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(50));
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "it ran for {:?}",
        start.elapsed()
    );
    eprintln!("kill -9: stopped after {:?}", start.elapsed());
    // Nobody was left to remove it.
    let name = containers_of(&real)
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned();
    Run::of(Command::new("docker").args(["rm", &name])).success();
}

/// A plain user who may use the engine: nobody, in the group of its socket.
fn plain_user(real: &Real) -> Vec<String> {
    let socket = fs::metadata("/var/run/docker.sock").expect("the engine's socket");
    for entry in ["", "work", "home"] {
        chown(real.sandbox.root().join(entry), Some(65534), Some(65534)).unwrap();
    }
    fs::set_permissions(real.sandbox.root(), fs::Permissions::from_mode(0o755)).unwrap();
    [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--groups",
        &socket.gid().to_string(),
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn a_plain_user_can_remove_everything_after_success_failure_and_interruption() {
    let real = project();
    let user = plain_user(&real);
    let user: Vec<&str> = user.iter().map(String::as_str).collect();
    let as_user =
        |words: &[&str]| Run::of(real.sandbox.program(user[0]).args(&user[1..]).args(words));
    real.sandbox.write(
        "demo/fail.py",
        "open('made-by-root', 'w'); raise SystemExit(3)",
    );
    let create = testbed::sandbox::binary("create-workdir-from-host");
    let usual = [
        create.to_str().unwrap(),
        "--image",
        &real.image,
        "--project-dir",
        "demo",
        "--workdir",
        "W",
    ];

    as_user(&[&usual[..], &["--verify-task", "where"]].concat()).success();
    as_user(&["rm", "-rf", "W"]).success();
    as_user(&[&usual[..], &["--verify-run", "--", "python", "fail.py"]].concat()).code(3);
    assert_eq!(
        fs::metadata(real.path("W/project/demo/made-by-root"))
            .unwrap()
            .uid(),
        65534
    );
    as_user(&["rm", "-rf", "W"]).success();
    let mut child = sleeping(&real, &user);
    Command::new("kill")
        .args(["-s", "TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(
        fs::metadata(real.path("W/project/demo/made-by-root"))
            .unwrap()
            .uid(),
        65534
    );
    as_user(&[&usual[..], &["--verify-task", "where"]].concat()).success();
    as_user(&["rm", "-rf", "W"]).success();
}

#[test]
fn the_owner_of_staged_files_is_kept_when_root_builds() {
    if rustix::process::geteuid().as_raw() != 0 {
        testbed::skip(
            "ends::the_owner_of_staged_files_is_kept_when_root_builds",
            "needs root",
        );
        return;
    }
    let real = project();
    let tool = real.sandbox.write("demo/tool", "x");
    chown(&tool, Some(1234), Some(1234)).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o4755)).unwrap();
    real.create::<&str>(&[]).success();
    let staged = fs::metadata(real.path("W/project/demo/tool")).unwrap();
    assert_eq!((staged.uid(), staged.mode() & 0o7777), (1234, 0o4755));
}

#[test]
fn both_streams_are_logged_in_order() {
    let real = project();
    let python = "import os\nfor i in range(2000):\n  os.write(1, b'out %d\\n' % i)\n  os.write(2, b'err %d\\n' % i)\n";
    real.sandbox.write("demo/both.py", python);
    real.create(&["--verify-run", "--", "python", "both.py"])
        .success();
    let log = fs::read_to_string(real.path("W/out/verify.log")).unwrap();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("out ") || line.starts_with("err "))
        .collect();
    let expected: Vec<String> = (0..2000)
        .flat_map(|i| [format!("out {i}"), format!("err {i}")])
        .collect();
    assert!(
        lines == expected,
        "{} lines, out of order or incomplete",
        lines.len()
    );
}
