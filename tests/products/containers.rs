//! Projects that exist only inside a running container.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testbed::images::Variant;
use testbed::project::Manifest;
use testbed::sandbox::{Run, binary};

use crate::images::NEEDS_NO_BASH;
use crate::real::{Real, at_the_target, image, images};

/// A running container, removed with this value.
struct Container {
    name: String,
}

impl Container {
    fn start(image: &str, options: &[&str]) -> Container {
        let name = format!(
            "pixi-offline-test-{}",
            &pixi_offline::surroundings::nonce()[..12]
        );
        let usual = ["run", "--detach", "--name", &name, "--entrypoint", "sh"];
        let run = Run::of(Command::new("docker").args(usual).args(options).args([
            image,
            "-c",
            "while :; do sleep 1; done",
        ]));
        run.success();
        Container { name }
    }

    /// One with the usual project, locked, at `/home/me/demo`, as people have it.
    fn with_project(image: &str, options: &[&str]) -> (Real, Container) {
        Container::with_project_locked_by(&self::image().reference, image, options)
    }

    fn with_project_locked_by(locker: &str, image: &str, options: &[&str]) -> (Real, Container) {
        let real = Real::with_project(
            locker,
            &Manifest::usual("demo").dependency("many-files", "*"),
        );
        real.sandbox.write("demo/.env", "SECRET=1");
        real.sandbox.write("demo/.pixi/config.toml", "");
        real.sandbox
            .write("demo/.pixi/envs/default/huge", vec![0; 1 << 20]);
        real.sandbox.write("data/model.bin", "weights");
        let container = Container::start(image, options);
        container.sh("mkdir -p /home/me").success();
        container.put(&real, "demo");
        container.put(&real, "data");
        fs::remove_dir_all(real.path("demo")).unwrap();
        (real, container)
    }

    fn put(&self, real: &Real, folder: &str) {
        let to = format!("{}:/home/me/{folder}", self.name);
        Run::of(
            Command::new("docker")
                .arg("cp")
                .arg(real.path(folder))
                .arg(to),
        )
        .success();
    }

    fn sh(&self, script: &str) -> Run {
        Run::of(Command::new("docker").args(["exec", &self.name, "sh", "-c", script]))
    }

    fn docker(&self, verb: &str) -> Run {
        Run::of(Command::new("docker").args([verb, &self.name]))
    }

    /// All files outside of what the kernel makes up.
    fn files(&self) -> String {
        self.sh("find / -xdev ! -path '/proc/*' ! -path '/sys/*' | sort")
            .success()
            .stdout
            .clone()
    }

    fn create(&self, real: &Real, more: &[&str]) -> Run {
        Run::of(&mut self.command(real, more))
    }

    fn command(&self, real: &Real, more: &[&str]) -> Command {
        let mut command = real.sandbox.command("create-workdir-from-container");
        command
            .args([
                "--container-id",
                &self.name,
                "--project-path-in-container",
                "/home/me/demo",
                "--workdir",
                "W",
            ])
            .args(more);
        command
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rm", "--force", &self.name])
            .stdout(Stdio::null())
            .status();
    }
}

#[test]
fn a_project_that_exists_only_in_a_container_installs_elsewhere_offline() {
    for image in images() {
        let (real, container) =
            Container::with_project_locked_by(&image.reference, &image.reference, &[]);
        let before = container.files();
        let words = [
            "--resources-path-in-container",
            "/home/me/data",
            "--clean",
            "--expect-file",
            "proof",
        ];
        let verification = [
            "--verify-run",
            "--",
            "python",
            "-c",
            "import os; print(open(os.environ['PRODUCT_RES_DIR'] + '/model.bin').read()); open(os.environ['VERIFY_OUT_DIR'] + '/proof', 'w')",
        ];
        let run = container.create(&real, &[&words[..], &["--verify-task", "where"]].concat());
        run.code(1).says("left no proof");
        fs::remove_dir_all(real.path("W")).unwrap();
        // 0.15.2 would expand quotes and brackets in the words.
        if image.version.minor >= 77 {
            container
                .create(&real, &[&words[..], &verification].concat())
                .success()
                .prints("weights");
            assert!(real.path("W/out/proof").exists());
        } else {
            let words = &words[..3];
            container
                .create(&real, &[words, &["--verify-task", "where"]].concat())
                .success();
        }
        let after = container.files();
        let left: Vec<&str> = after
            .lines()
            .filter(|file| !before.lines().any(|old| old == *file))
            // pixi's own, in the home of whoever runs it.
            .filter(|file| !file.contains("/.rattler"))
            .collect();
        assert_eq!(left, [""; 0], "left in the container");
        let gone = before
            .lines()
            .filter(|file| !after.lines().any(|new| new == *file));
        assert_eq!(gone.count(), 0, "something is gone from the container");
        assert!(!real.path("W/project/demo/.env").exists());
        assert!(!real.path("W/project/demo/.pixi/envs").exists());
        assert!(real.path("W/project/demo/.pixi/config.toml").exists());

        real.make::<&str>(&[]).success();
        real.verify(&["--project-name", "demo", "--verify-task", "where"])
            .success()
            .prints("/product/demo/.pixi");
        let script = "cp -a /carried/it /elsewhere; cd /elsewhere; ./bootstrap-project.sh; . ./envs.sh; cd demo; pixi run where; cat $PRODUCT_RES_DIR/model.bin";
        at_the_target(&image.reference, &real.path("W/product"), script)
            .success()
            .prints("/elsewhere/demo/.pixi/envs/default")
            .prints("weights");
    }
}

#[test]
fn a_failing_verification_keeps_its_code_and_brings_its_logs() {
    let (real, container) = Container::with_project(&image().reference, &[]);
    container
        .sh("echo 'import sys; print(\"se\" + \"ven\"); sys.exit(7)' > /home/me/demo/seven.py")
        .success();
    let run = container.create(&real, &["--verify-run", "--", "python", "seven.py"]);
    run.code(7).prints("seven").says("W/out");
    assert!(
        fs::read_to_string(real.path("W/out/verify.log"))
            .unwrap()
            .contains("seven")
    );
    assert!(
        !fs::read_to_string(real.path("W/out/pixi-install.log"))
            .unwrap()
            .is_empty()
    );
    container.sh("true").success();
    // Again, over what the failed run left on both sides.
    container
        .create(&real, &["--verify-task", "where"])
        .success();
}

#[test]
fn containers_as_people_have_them() {
    // With bash gone, pixi gone, read-only with memory for /tmp, or the path itself in memory.
    let (real, container) =
        Container::with_project(&Variant::WithoutBash.of(&image().reference).unwrap(), &[]);
    let run = container.create(&real, &[]);
    if image().version >= NEEDS_NO_BASH {
        run.success();
    } else {
        run.code(1).prints("__glibc").says("pixi install failed");
    }
    let (real, container) =
        Container::with_project(&Variant::WithoutPixi.of(&image().reference).unwrap(), &[]);
    container.create(&real, &[]).code(127).says("no pixi");
    let (real, container) = Container::with_project(
        &Variant::PixiOnlyOnImagePath.of(&image().reference).unwrap(),
        &[],
    );
    container
        .create(&real, &["--verify-task", "where"])
        .success();

    let (real, container) = Container::with_project(&image().reference, &["--tmpfs", "/tmp:exec"]);
    container
        .create(&real, &["--verify-task", "where"])
        .success();
    real.make::<&str>(&[]).success();
    real.verify::<&str>(&[]).success();
    let (real, container) =
        Container::with_project(&image().reference, &["--tmpfs", "/memory:exec"]);
    container
        .create(
            &real,
            &[
                "--container-workdir-path",
                "/memory",
                "--verify-task",
                "where",
            ],
        )
        .success();
    container
        .create(&real, &["--container-workdir-path", "/memory", "--clean"])
        .success();
    container.sh("[ -z \"$(ls -A /memory)\" ]").success();
}

#[test]
fn a_read_only_container_is_said_and_works_with_memory_to_write_to() {
    let real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    let mount = format!(
        "type=bind,source={},target=/home/me/demo,readonly",
        real.path("demo").display()
    );
    let read_only = ["--read-only", "--mount", &mount, "--tmpfs", "/root"];
    let container = Container::start(
        &image().reference,
        &[&read_only[..], &["--tmpfs", "/dev/shm:noexec"]].concat(),
    );
    let run = container.create(&real, &[]);
    run.says("--tmpfs /tmp:exec");
    assert_ne!(run.code, 0);
    assert!(!real.path("W").exists());
    let container = Container::start(
        &image().reference,
        &[&read_only[..], &["--tmpfs", "/tmp:exec"]].concat(),
    );
    container
        .create(&real, &["--verify-task", "where"])
        .success();
    let run = container.create(
        &real,
        &["--container-workdir-path", "/srv/work", "--workdir", "W2"],
    );
    run.code(1).says("read-only");
}

#[test]
fn stopped_and_paused_containers_are_said() {
    let (real, container) = Container::with_project(&image().reference, &[]);
    container.docker("pause").success();
    container.create(&real, &[]).code(2).says("docker unpause");
    container.docker("unpause").success();
    container.docker("kill").success();
    container.create(&real, &[]).code(2).says("docker start");
    container.docker("rm").success();
    container.create(&real, &[]).code(2).says("no container");
}

/// Starts a create whose verification sleeps, and waits until it does.
fn sleeping(real: &Real, container: &Container) -> std::process::Child {
    container.sh("echo 'import time; print(\"asl\" + \"eep\", flush=True); time.sleep(600)' > /home/me/demo/sleep.py").success();
    let mut child = container
        .command(real, &["--verify-run", "--", "python", "sleep.py"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(
        lines.any(|line| line.unwrap() == "asleep"),
        "it never slept"
    );
    thread::spawn(move || lines.count());
    child
}

#[test]
fn an_interruption_ends_what_we_started_and_nothing_else() {
    let (real, container) = Container::with_project(&image().reference, &[]);
    for (signal, code) in [("TERM", Some(143)), ("KILL", None)] {
        let mut child = sleeping(&real, &container);
        Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), code);
        let start = Instant::now();
        let ours = || {
            container
                .sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c sleep.p[y]")
                .stdout
                .trim()
                != "0"
        };
        while ours() && start.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(50));
        }
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{signal}: it ran for {:?}",
            start.elapsed()
        );
        eprintln!("{signal}: gone after {:?}", start.elapsed());
        container.sh("true").success();
    }
    container
        .create(&real, &["--verify-task", "where"])
        .success();
}

#[test]
fn a_container_that_goes_in_the_middle_is_said_and_the_old_workdir_stays() {
    let (real, container) = Container::with_project(&image().reference, &[]);
    container
        .create(&real, &["--verify-task", "where"])
        .success();
    let before = fs::read(real.path("W/workdir.json")).unwrap();
    let mut child = sleeping(&real, &container);
    container.docker("kill").success();
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(137));
    assert_eq!(fs::read(real.path("W/workdir.json")).unwrap(), before);
}

#[test]
fn our_binary_runs_where_it_is_brought() {
    // What is brought into a container is the command itself, so it must be static.
    let file = binary("create-workdir-from-container");
    let run = Run::of(Command::new("ldd").arg(&file));
    assert!(
        format!("{run}").contains("statically linked")
            || format!("{run}").contains("not a dynamic"),
        "{run}"
    );
}
