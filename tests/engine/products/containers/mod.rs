//! Projects that exist only inside a running container.

mod ends;

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testbed::images::Variant;
use testbed::limit::InTime as _;
use testbed::project::Manifest;
use testbed::sandbox::{Run, binary, words};

use crate::products::images::{NEEDS_NO_BASH, Swallowing};
use crate::real::{Real, at_the_target, image, images};
use crate::running::{Running, SLEEP, SOON, send, until};

/// A running container, removed with this value.
pub struct Container {
    pub name: String,
}

impl Container {
    fn start(image: &str, options: &[&str]) -> Container {
        let name = format!(
            "pixi-offline-test-{}",
            &pixi_offline::host_env::nonce()[..12]
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
    pub fn with_project(image: &str, options: &[&str]) -> (Real, Container) {
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

    fn put(&self, real: &Real, dir: &str) {
        let to = format!("{}:/home/me/{dir}", self.name);
        Run::of(Command::new("docker").arg("cp").arg(real.path(dir)).arg(to)).success();
    }

    pub fn sh(&self, script: &str) -> Run {
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
            .status_in_time();
    }
}

#[test]
fn a_dry_run_looks_into_a_container_and_leaves_it_as_it_was() {
    for image in images() {
        let (real, container) =
            Container::with_project_locked_by(&image.reference, &image.reference, &[]);
        let args = |more: &'static str| {
            let fixed = [
                "--container-id",
                &container.name,
                "--project-path-in-container",
                "/home/me/demo",
                "--workdir",
                "W",
                more,
            ];
            real.sandbox.run("build-offline-product", fixed)
        };
        let before = container.files();
        args("--dry-run")
            .success()
            .prints("left out by .env: 1")
            .prints(" conda packages, 0 Python packages")
            .prints("it accepts the manifest, and pixi.lock is up to date\n");
        container
            .sh(r#"sed -i 's/^"many-files" = .*/"many-files" = ">=99"/' /home/me/demo/pixi.toml"#)
            .success();
        args("--dry-run")
            .code(1)
            .says("pixi.lock does not fit the manifest")
            .says("out of date because");
        assert_eq!(container.files(), before);
        assert!(!real.path("W").exists());
    }
}

#[test]
fn a_project_that_exists_only_in_a_container_installs_elsewhere_offline() {
    for image in images() {
        let (real, container) =
            Container::with_project_locked_by(&image.reference, &image.reference, &[]);
        let before = container.files();
        let args = words("--resources-path-in-container /home/me/data --clean --expect-file proof");
        let verification = [
            "--verify-run",
            "--",
            "python",
            "-c",
            "import os; print(open(os.environ['PRODUCT_RES_DIR'] + '/model.bin').read()); open(os.environ['VERIFY_OUT_DIR'] + '/proof', 'w')",
        ];
        let run = container.create(&real, &[&args[..], &["--verify-task", "where"]].concat());
        run.code(1).says("left no proof");
        fs::remove_dir_all(real.path("W")).unwrap();
        // 0.15.2 would expand quotes and brackets in the arguments.
        if image.version.minor >= 77 {
            container
                .create(&real, &[&args[..], &verification].concat())
                .success()
                .prints("weights");
            assert!(real.path("W/out/proof").exists());
        } else {
            let args = &args[..3];
            container
                .create(&real, &[args, &["--verify-task", "where"]].concat())
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
    assert!(real.read("W/out/verify.log").contains("seven"));
    assert!(!real.read("W/out/pixi-install.log").is_empty());
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
            &words("--container-workdir-path /memory --verify-task where"),
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

#[test]
fn codes_of_a_running_container_are_told_apart() {
    let (real, container) = Container::with_project(&image().reference, &["--memory=200m"]);
    container
        .sh("echo 'import sys; sys.exit(int(sys.argv[1]))' >/home/me/demo/end.py")
        .success();
    container
        .sh("echo 'bytearray(1 << 30)' >/home/me/demo/eat.py")
        .success();
    for code in ["125", "126", "127", "255"] {
        container
            .create(&real, &["--verify-run", "--", "python", "end.py", code])
            .code(code.parse().unwrap())
            .says(&format!("the verification failed with exit code {code}"))
            .says_not("memory");
    }
    let run = container.create(&real, &["--verify-run", "--", "python", "eat.py"]);
    assert_ne!(run.code, 0, "{run}");
    run.says("the verification failed with exit code")
        .says("it ran out of memory");
    testbed::ran("codes_of_a_running_container_are_told_apart", 5);
}

#[test]
fn shells_that_swallow_our_script_are_no_success_in_a_running_container() {
    let real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    for variant in Swallowing::ALL {
        let container = Container::start(&image().reference, &[]);
        container.sh("mkdir -p /home/me").success();
        container.put(&real, "demo");
        container.sh(variant.command()).success();
        let run = container.create(&real, &["--verify-task", "where"]);
        assert_ne!(run.code, 0, "{variant:?}: {run}");
        run.says("did not run the build script");
        assert!(!real.path("W/workdir.json").exists() || real.make::<&str>(&[]).code != 0);
    }
    testbed::ran(
        "shells_that_swallow_our_script_are_no_success_in_a_running_container",
        Swallowing::ALL.len() as u64,
    );
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
