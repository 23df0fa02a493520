//! How runs end: exit codes, interruptions, what is left behind.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::process::Command;

use testbed::project::Manifest;
use testbed::sandbox::{Run, has, words};

use crate::real::{Real, at_the_target, containers_of, image};
use crate::running::{Running, SLEEP, SOON, gone_soon, send, until};

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
    let args = ["--verify-run", "--", "python", "seven.py"];
    real.create(&args)
        .code(7)
        .prints("to seven")
        .says("W/out/verify.log");
    real.make::<&str>(&[]).success().says("WARNING");
    let args = words("--project-name demo --verify-run -- python seven.py");
    real.verify(&args)
        .code(7)
        .prints("to seven")
        .says("O/verify.offline.log");
    assert_eq!(containers_of(&real), "");
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

/// A project, built and made into a product.
fn with_product() -> Real {
    let real = project();
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    real
}

/// create-workdir-from-host, or final-verify-product where `offline`, with a verification
/// that runs a python program, by a user that `prefix` changes to.
fn verifying(real: &Real, offline: bool, program: &str, prefix: &[&str]) -> Command {
    let file = "verification.py";
    let (name, args) = if offline {
        real.sandbox
            .write(format!("W/project/demo/{file}"), program);
        // A product lists its files: one that was put there later is refused.
        let make = testbed::sandbox::binary("make-archive-ready-product");
        let make = make.to_str().unwrap();
        let whole = [prefix, &[make, "--workdir", "W"]].concat();
        Run::of(real.sandbox.program(whole[0]).args(&whole[1..])).success();
        let args = "--product-dir W/product --out-dir O --project-name demo";
        ("final-verify-product", args)
    } else {
        real.sandbox.write(format!("demo/{file}"), program);
        let args = "--project-dir demo --workdir W";
        ("create-workdir-from-host", args)
    };
    let binary = testbed::sandbox::binary(name);
    let whole: Vec<&str> = prefix
        .iter()
        .copied()
        .chain([binary.to_str().unwrap(), "--image", &real.image])
        .chain(args.split(' '))
        .chain(["--verify-run", "--", "python", file])
        .collect();
    let mut command = real.sandbox.program(whole[0]);
    command.args(&whole[1..]);
    command
}

#[test]
fn ctrl_c_and_its_kin_leave_no_container() {
    let real = with_product();
    let cases = [("INT", 130), ("TERM", 143), ("HUP", 129)];
    for (signal, code) in cases {
        // The product first: a new workdir has none.
        for offline in [true, false] {
            let mut command = verifying(&real, offline, SLEEP, &[]);
            let running = Running::until_it_prints(&mut command, "asleep");
            running.signal(signal);
            gone_soon(&real, signal);
            let (ended, stderr) = running.end();
            assert_eq!(ended, code, "{stderr}");
            assert!(stderr.contains("interrupted by signal"), "{stderr}");
        }
        // What is left is accepted.
        real.create(&["--verify-task", "where"]).success();
        real.make::<&str>(&[]).success();
        real.verify::<&str>(&[]).success();
    }
    testbed::ran("ctrl_c_and_its_kin_leave_no_container", 6);
}

#[test]
fn a_reader_that_goes_away_ends_the_run_and_leaves_nothing() {
    let real = with_product();
    for offline in [true, false] {
        let endless = "while True: print('line', flush=True)";
        let mut command = verifying(&real, offline, endless, &[]);
        let (code, stderr) = Running::until_head_ends(&mut command).end();
        assert_eq!(code, 141, "{stderr}");
        gone_soon(&real, "a closed stdout");
    }
    real.create(&["--verify-task", "where"]).success();
    testbed::ran("a_reader_that_goes_away_ends_the_run_and_leaves_nothing", 2);
}

#[test]
fn kill_9_leaves_no_running_container_and_the_next_run_removes_the_stopped_one() {
    let real = with_product();
    let names = || {
        containers_of(&real)
            .split_whitespace()
            .filter(|arg| arg.contains("-product-") || arg.contains("-host-"))
            .count()
    };
    for offline in [true, false] {
        let mut command = verifying(&real, offline, SLEEP, &[]);
        let running = Running::until_it_prints(&mut command, "asleep");
        running.signal("KILL");
        let took = until(|| !is_running(&real));
        assert!(took < SOON, "it ran for {took:?}");
        eprintln!("kill -9: stopped after {took:?}");
        assert_eq!(running.end().0, 137);
        // Another run that goes on keeps its own container.
        if offline {
            assert_eq!(names(), 1, "nobody was left to remove it");
            let mut command = verifying(&real, true, SLEEP, &[]);
            let other = Running::until_it_prints(&mut command, "asleep");
            assert_eq!(names(), 1, "the stopped one is swept");
            // Another out directory: one run at a time works on one.
            real.verify(&["--out-dir", "O2"]).success();
            assert!(is_running(&real));
            other.signal("TERM");
            other.end();
        }
        gone_if_swept(&real);
    }
    testbed::ran(
        "kill_9_leaves_no_running_container_and_the_next_run_removes_the_stopped_one",
        2,
    );
}

fn gone_if_swept(real: &Real) {
    real.create(&["--verify-task", "where"]).success();
    real.make::<&str>(&[]).success();
    assert_eq!(containers_of(real), "");
}

/// Whether a container runs that has a directory of the sandbox mounted.
fn is_running(real: &Real) -> bool {
    let args = ["ps", "--no-trunc", "--format", "{{.Mounts}}"];
    let run = Run::of(Command::new("docker").args(args));
    run.stdout
        .contains(&real.sandbox.root().display().to_string())
}

#[test]
fn kill_9_of_the_client_is_noticed_and_said_and_the_container_goes() {
    let real = with_product();
    for offline in [true, false] {
        let mut command = verifying(&real, offline, SLEEP, &[]);
        let running = Running::until_it_prints(&mut command, "asleep");
        send("KILL", running.call("--interactive").expect("its client"));
        gone_soon(&real, "kill -9 of the client");
        let (code, stderr) = running.end();
        assert_eq!(code, 137);
        has(&stderr, "client (docker) was killed by signal 9");
    }
    testbed::ran(
        "kill_9_of_the_client_is_noticed_and_said_and_the_container_goes",
        2,
    );
}

/// A plain user who may use the engine: nobody, in the group of its socket.
pub fn plain_user(real: &Real) -> Vec<String> {
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
fn a_plain_user_can_remove_everything_however_a_run_ended() {
    let real = project();
    let user = plain_user(&real);
    let user: Vec<&str> = user.iter().map(String::as_str).collect();
    let as_user =
        |args: &[&str]| Run::of(real.sandbox.program(user[0]).args(&user[1..]).args(args));
    let owner = |path: &str| fs::metadata(real.path(path)).unwrap().uid();
    let made =
        "open('made-by-root', 'w'); import os; open(os.environ['VERIFY_OUT_DIR'] + '/made', 'w')";
    let make = testbed::sandbox::binary("make-archive-ready-product");
    let make = [make.to_str().unwrap(), "--workdir", "W"];
    let mut cases = 0;
    // After success the product is verified too; the rest of the workdir is the person's already.
    for offline in [false, true] {
        let end = |program: &str, code: i32| {
            Run::of(&mut verifying(&real, offline, program, &user)).code(code);
        };
        // Killed, we bring nothing from the container's out directory into ours.
        let made_in = |out: &str| {
            let hidden = format!("{out}/.pixi-offline-out/made");
            let brought = format!("{out}/made");
            if real.path(&brought).exists() {
                owner(&brought)
            } else {
                owner(&hidden)
            }
        };
        let check = |what: &str| {
            if offline {
                assert_eq!(made_in("O"), 65534, "{what}");
                as_user(&["rm", "-rf", "O"]).success();
            } else {
                assert_eq!(owner("W/project/demo/made-by-root"), 65534, "{what}");
                assert_eq!(made_in("W/out"), 65534, "{what}");
                as_user(&["rm", "-rf", "W"]).success();
            }
        };
        if offline {
            Run::of(&mut verifying(&real, false, made, &user)).success();
            as_user(&make).success();
        }
        end(made, 0);
        check("success");
        end(&format!("{made}; raise SystemExit(3)"), 3);
        check("failure");
        for signal in ["TERM", "KILL"] {
            let program = format!("{made}\n{SLEEP}");
            let mut command = verifying(&real, offline, &program, &user);
            let running = Running::until_it_prints(&mut command, "asleep");
            running.signal(signal);
            running.end();
            let took = until(|| !is_running(&real));
            assert!(took < SOON, "{signal}: {took:?}");
            check(signal);
        }
        cases += 4;
    }
    as_user(&["rm", "-rf", "W"]).success();
    testbed::ran(
        "a_plain_user_can_remove_everything_however_a_run_ended",
        cases,
    );
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
    let log = real.read("W/out/verify.log");
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

#[test]
fn a_log_that_cannot_be_written_fails_the_run() {
    if !rustix::process::geteuid().is_root() {
        testbed::skip(
            "ends::a_log_that_cannot_be_written_fails_the_run",
            "mounting a small file system needs root",
        );
        return;
    }
    let real = with_product();
    let noise = "import sys\nfor i in range(100): print('line' * 10_000)";
    real.sandbox.write("W/project/demo/noise.py", noise);
    real.make::<&str>(&[]).success();
    fs::create_dir(real.path("O")).unwrap();
    let target = real.path("O");
    let mount = ["-t", "tmpfs", "-o", "size=1m", "small"];
    Run::of(Command::new("mount").args(mount).arg(&target)).success();
    let args = "--project-name demo --verify-run -- python noise.py";
    let args: Vec<&str> = args.split(' ').collect();
    let run = real.verify(&args);
    Run::of(Command::new("umount").arg(&target)).success();
    // Whoever notices first says it: the log, or the watch over the disk.
    let is_said = ["verify.offline.log cannot be written", "is nearly full"];
    assert!(
        is_said.iter().any(|text| run.stderr.contains(text)),
        "{run}"
    );
    run.code(1).says("No space left on device");
    assert_eq!(containers_of(&real), "");
}

#[test]
fn the_engine_keeps_no_log_of_the_output() {
    let real = with_product();
    let program = format!("for i in range(1000): print('x' * 10_000)\n{SLEEP}");
    let mut command = verifying(&real, true, &program, &[]);
    let running = Running::until_it_prints(&mut command, "asleep");
    let name = containers_of(&real).split(' ').next().unwrap().to_owned();
    let format = "{{.HostConfig.LogConfig.Type}} {{.LogPath}}|{{.Id}}";
    let inspect = ["inspect", "--format", format, &name];
    let run = Run::of(Command::new("docker").args(inspect));
    let (log, id) = run.stdout.trim().split_once('|').unwrap();
    assert_eq!(log, "none ");
    let root = Run::of(Command::new("docker").args(["info", "--format", "{{.DockerRootDir}}"]));
    let dir = std::path::Path::new(root.stdout.trim())
        .join("containers")
        .join(id);
    // An engine on this machine shows what it keeps; ten megabytes were printed.
    if let Ok(entries) = fs::read_dir(dir) {
        let size: u64 = entries
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(size < 100_000, "{size} bytes");
    }
    let printed = fs::metadata(real.path("O/verify.offline.log")).unwrap();
    assert!(printed.len() > 10_000_000);
    running.signal("TERM");
    assert_eq!(running.end().0, 143);
}
