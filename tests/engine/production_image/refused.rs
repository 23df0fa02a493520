//! What makes no image, and leaves nothing behind.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use testbed::images::{Change, Variant, derived_image};
use testbed::limit::InTime as _;
use testbed::project::Manifest;

use crate::production_image::parts::{
    COMMAND, Name, base, docker, left_behind, make, nothing_is_left, project, verified,
};
use crate::real::{Real, image};

/// A verified product that these tests share, one at a time: each asks what is left of it.
fn product() -> MutexGuard<'static, Real> {
    static PRODUCT: OnceLock<Mutex<Real>> = OnceLock::new();
    let product = PRODUCT.get_or_init(|| {
        let real = project("refused", &image().reference, &Manifest::usual("demo"));
        verified(&real, &[]);
        Mutex::new(real)
    });
    product.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with_files(name: &str, changes: &[Change<'_>]) -> String {
    derived_image(&format!("{name}:test"), base(), changes).unwrap()
}

#[test]
fn images_that_cannot_do_are_said_before_the_build() {
    let real = &*product();
    let name = Name::new("refused");
    let old = with_files(
        "old-glibc",
        &[Change::Script {
            text: "#!/bin/sh\necho glibc 2.12\n",
            to: "/usr/bin/getconf",
        }],
    );
    let musl = with_files(
        "musl",
        &[
            Change::Instructions("RUN rm /usr/bin/getconf /usr/bin/ldd"),
            Change::Script {
                text: "",
                to: "/lib/ld-musl-x86_64.so.1",
            },
        ],
    );
    let shellless = with_files("no-shell", &[Change::Instructions("RUN rm /bin/sh")]);
    let plain_user = derived_image(
        "plain-user:test",
        &real.image,
        &[Change::Instructions("USER 1000")],
    )
    .unwrap();
    let without_pixi = Variant::WithoutPixi.of(&real.image).unwrap();
    let missing = "pixi-offline-test/no-such-image:1";
    for (option, image, code, says) in [
        ("--base-image", missing, 125, "is not on this engine"),
        ("--build-image", missing, 125, "is not on this engine"),
        (
            "--base-image",
            &old,
            2,
            "it has glibc 2.12, and the environment needs 2.17",
        ),
        ("--base-image", &musl, 2, "its C library is musl"),
        ("--base-image", &shellless, 2, "has no shell (sh)"),
        ("--build-image", &plain_user, 2, "does not run as root"),
        ("--build-image", &without_pixi, 127, "has no pixi"),
    ] {
        let run = make(real, &["--tag", &name.0, option, image]);
        run.code(code).says(says).says(image);
        assert_eq!(run.stdout, "", "something was built: {run}");
        assert!(!name.exists());
    }
    let run = make(real, &["--tag", base()]);
    run.code(2).says("already exists").says("--force");
    nothing_is_left(real);
}

#[test]
fn an_environment_that_would_be_at_another_path_is_refused_with_the_reason() {
    let real = &*product();
    let name = Name::new("elsewhere");
    let linked = derived_image(
        "linked-dir:test",
        &real.image,
        &[Change::Instructions(
            "RUN mkdir /data && ln -s /data /linked",
        )],
    )
    .unwrap();
    let args = [
        "--tag",
        &name.0,
        "--build-image",
        &linked,
        "--app-dir",
        "/linked/app",
    ];
    make(real, &args)
        .code(1)
        .prints("/linked/app leads to /data/app")
        .prints("conda packages hold the path");
    assert!(!name.exists());

    // As a pixi that does not keep to the project's directory.
    let strays = "#!/bin/sh\n/usr/local/bin/real-pixi \"$@\" || exit\n\
                  if [ \"$1\" = install ]; then mv .pixi/envs /elsewhere && ln -s /elsewhere .pixi/envs; fi\n";
    let straying = derived_image(
        "straying-pixi:test",
        &real.image,
        &[
            Change::Instructions("RUN mv /usr/local/bin/pixi /usr/local/bin/real-pixi"),
            Change::Script {
                text: strays,
                to: "/usr/local/bin/pixi",
            },
        ],
    )
    .unwrap();
    make(real, &["--tag", &name.0, "--build-image", &straying])
        .code(1)
        .says("the image was not built")
        .prints("pixi installed the environment at /elsewhere/default, and in the image it would be at /app/.pixi/envs/default");
    assert!(!name.exists());
    nothing_is_left(real);
}

/// The end of a build by a signal, in its longest step.
#[test]
fn a_signal_in_the_middle_leaves_no_name_no_image_and_no_container() {
    let real = &*product();
    for signal in ["INT", "TERM"] {
        let name = Name::new(&format!("signal-{}", signal.to_lowercase()));
        let mut command = real.sandbox.command(COMMAND);
        command.args(["--product-dir", "W/product", "--build-image", &real.image]);
        command.args(["--base-image", base(), "--tag", &name.0]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .start()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut before = String::new();
        loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("it ended early: {before}"));
            let line = line.unwrap();
            if line.contains("RUN [\"sh\", \"/pixi-offline/build.sh\"") {
                break;
            }
            before.push_str(&line);
            before.push('\n');
        }
        let started = lines.next().unwrap().unwrap();
        assert!(started.contains("Running in"), "{started}");
        let pid = child.id().to_string();
        Command::new("kill")
            .args(["-s", signal, &pid])
            .status_in_time()
            .unwrap();
        let _rest: Vec<_> = lines.collect();
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        let end = child.end().unwrap();
        let code = end.unwrap_or_else(|why| panic!("{why}\n{stderr}")).code();
        let expected = if signal == "INT" { 130 } else { 143 };
        assert_eq!(code, Some(expected), "{stderr}");
        assert!(!name.exists());
        // The engine removes its own container by itself, in its own time.
        let start = Instant::now();
        let product = real.path("W/product");
        while !left_behind(&product).is_empty() && start.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(left_behind(&product), [""; 0], "after {signal}: {stderr}");
    }
}

#[test]
fn a_product_that_is_damaged_or_not_verified_becomes_no_image() {
    let real = project("unverified", &image().reference, &Manifest::usual("demo"));
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    let name = Name::new("unverified");
    make(&real, &["--tag", &name.0])
        .code(2)
        .says("has no verification.json")
        .says("--unverified");
    let file = real.path("W/product/demo/pixi.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("demo", "Demo")).unwrap();
    make(&real, &["--tag", &name.0, "--unverified"])
        .code(1)
        .says("changed: demo/pixi.toml");
    assert!(!name.exists());
    fs::write(&file, text).unwrap();
    make(
        &real,
        &["--tag", &name.0, "--unverified", "--save", "out/image.tar"],
    )
    .success()
    .says("WARNING: ");
    // The archive is the image, and brings its name along.
    let id = name.inspect("{{.Id}}");
    docker(&["image", "rm", &name.0]).success();
    let check = ["--check", "image.tar.sha256"];
    let mut sums = real.sandbox.program("sha256sum");
    let run = testbed::sandbox::Run::of(sums.args(check).current_dir(real.path("out")));
    run.success().prints("image.tar: OK");
    let archive = real.path("out/image.tar").display().to_string();
    docker(&["load", "--input", &archive]).success();
    assert_eq!(name.inspect("{{.Id}}"), id);
    name.run(&["prefix-tool"]).success();
}
