//! make-production-image against the fake engine: what it asks of it, in which order, and
//! what it refuses before it asks for a build.

mod build_stage;
mod refused;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::json;
use testbed::sandbox::{Run, has, names, words};

use crate::fake::{Fake, LOCK};

/// A verified product of the small project in `W/product`, and what the engine does then.
fn made(scenario: serde_json::Value) -> Fake {
    let fake = Fake::new();
    fake.sandbox.write("demo/a b/$c.txt", "text");
    fake.sandbox.write("res/model.bin", "model");
    symlink("src/main.py", fake.path("demo/link")).unwrap();
    let file = fake.path("demo/src/main.py");
    fs::set_permissions(file, fs::Permissions::from_mode(0o750)).unwrap();
    fake.create(&["--resources-dir", "res", "-e", "test", "-e", "default"])
        .success();
    verified(fake).with(scenario)
}

/// The same with a product made of the workdir that is there, and verified.
fn verified(fake: Fake) -> Fake {
    let args = ["--workdir", "W", "--cache", "full"];
    fake.sandbox
        .run("make-archive-ready-product", args)
        .success();
    fake.verify(&["--attach"]).success();
    fs::remove_file(fake.sandbox.root().join("calls")).unwrap();
    fake.with(json!({"images": ["img:1", "base:1", "old:1"]}))
}

fn make(fake: &Fake, more: &[&str]) -> Run {
    let usual = words("--product-dir W/product --build-image img:1 --base-image base:1");
    fake.sandbox
        .run("make-production-image", usual.iter().chain(more))
}

/// The first arguments of the calls that change something or may.
fn acts(fake: &Fake) -> Vec<String> {
    fake.calls()
        .iter()
        .filter(|call| !["version", "ps", "volume", "container"].contains(&call[0].as_str()))
        .filter(|call| call[..2] != ["image", "inspect"] && call[..2] != ["image", "ls"])
        .map(|call| call[..if call[0] == "image" { 2 } else { 1 }].join(" "))
        .collect()
}

/// Path, mode and content (or target) of what the builder got.
fn context(fake: &Fake) -> BTreeMap<String, (u32, String)> {
    let file = fs::File::open(fake.sandbox.root().join("context.tar")).unwrap();
    let mut archive = tar::Archive::new(file);
    let mut all = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut text = String::new();
        match entry.link_name().unwrap() {
            Some(target) => text.push_str(target.to_str().unwrap()),
            None => drop(entry.read_to_string(&mut text)),
        }
        assert_eq!(entry.header().uid().unwrap(), 0);
        let mode = entry.header().mode().unwrap();
        all.insert(path.trim_end_matches('/').to_owned(), (mode, text));
    }
    all
}

#[test]
fn an_image_is_built_then_named_and_what_was_unfinished_goes() {
    let fake = made(json!({"nameless": ["sha256:aaa"]}));
    let run = make(
        &fake,
        &["--tag", "demo:1", "--", "serve", "-x", "--", "a b"],
    );
    run.success()
        .says("NOTE: the product's resources are left out")
        .says("OK: image demo:1 is there: sha256:b111d\n")
        .says("Product digest: sha256:")
        .prints("building");
    // Looks into both images, and then nothing but these.
    assert_eq!(
        acts(&fake),
        ["run", "run", "build", "tag", "image rm", "image rm"]
    );
    let calls = fake.calls();
    for look in calls.iter().filter(|call| call[0] == "run") {
        let args = look.join(" ");
        has(&args, "--network none --pull never --entrypoint sh");
        assert!(args.starts_with("run --rm "), "{args}");
    }
    let build = calls.iter().find(|call| call[0] == "build").unwrap();
    let unfinished = build
        .iter()
        .find(|arg| arg.starts_with("pixi-offline/unfinished:"));
    let unfinished = unfinished.unwrap();
    assert_eq!(
        build[..5],
        ["build", "--network", "none", "--force-rm", "--no-cache"]
    );
    assert_eq!(build.last().unwrap(), "-");
    let has = |args: [&str; 3]| {
        assert!(
            calls.iter().any(|call| *call == args),
            "{args:?}: {calls:?}"
        )
    };
    has(["tag", "sha256:b111d", "demo:1"]);
    has(["image", "rm", unfinished]);
    has(["image", "rm", "sha256:aaa"]);

    let context = context(&fake);
    let dockerfile = &context["Dockerfile"].1;
    assert!(
        dockerfile.contains("CMD [\"serve\", \"-x\", \"--\", \"a b\"]\n"),
        "{dockerfile}"
    );
    assert!(
        dockerfile
            .contains("\"/pixi-offline/build.sh\", \"demo\", \"default\", \"/app\", \"sha256:"),
        "{dockerfile}"
    );
    assert_eq!(context["product/demo/a b/$c.txt"].1, "text");
    assert_eq!(context["product/demo/link"].1, "src/main.py");
    assert_eq!(context["product/demo/src/main.py"].0, 0o750);
    assert!(!context.keys().any(|path| path.starts_with("product/res/")));
    assert!(
        !context.contains_key("product/verification.json"),
        "only what is listed goes along"
    );
    for list in ["SHA256SUMS", "manifest.json"] {
        let own = fs::read_to_string(fake.path("W/product").join(list)).unwrap();
        assert_eq!(context[&format!("product/{list}")].1, own);
    }
}

#[test]
fn what_was_asked_for_stands_in_the_dockerfile() {
    let fake = made(json!({}));
    let args = [
        "--emit-dockerfile",
        "E",
        "-e",
        "test",
        "--app-dir",
        "/srv/app",
        "--copy",
        "a b/$c.txt",
        "--copy",
        "src/",
        "--resources-dir",
        "/srv/res",
        "--expose",
        "80",
        "--expose",
        "53/udp",
        "--env",
        "A=$x \"y\"",
        "--env",
        "B=",
        "--label",
        "org.opencontainers.image.version=9",
        "--user",
        "1000:1000",
        "--healthcheck",
        "x && y",
        "--cmd",
        "serve",
        "--cmd",
        "--",
        "--cmd",
        "--help",
    ];
    make(&fake, &args)
        .success()
        .says("OK: Dockerfile written to: ")
        .says("Next: cp -a ")
        .says("Next: docker build --network none --tag localhost/demo ")
        .says("WARNING: 1 file or directory of the project")
        .says("demo/src/main.py");
    // What is in the place of the product is left alone, and no line deletes it.
    fs::create_dir(fake.path("E/product")).unwrap();
    make(&fake, &[&args[..], &["--force"]].concat())
        .success()
        .says("NOTE: ")
        .says("/E/product is not the product of this Dockerfile; put a copy of ")
        .says_not("cp -a")
        .says_not("rm -rf");
    fs::remove_dir(fake.path("E/product")).unwrap();
    // No engine is asked for anything.
    assert_eq!(fake.calls(), [[""; 0]; 0]);
    assert_eq!(
        names(&fake.path("E")),
        [".dockerignore", "Dockerfile", "build.sh", "entrypoint.sh"]
    );
    let text = fake.read("E/Dockerfile");
    let sums = Run::of(
        fake.sandbox
            .program("sha256sum")
            .arg("W/product/SHA256SUMS"),
    );
    let digest = &sums.success().stdout[..64];
    for line in [
        "FROM img:1 AS build\n",
        &format!(
            "RUN [\"sh\", \"/pixi-offline/build.sh\", \"demo\", \"test\", \"/srv/app\", \"sha256:{digest}\", \"a b/$c.txt\", \"src\"]\n"
        ),
        "\nFROM base:1\n",
        "COPY --from=build /srv/app/.pixi/envs/test /srv/app/.pixi/envs/test\n",
        "COPY product/res /srv/res\n",
        "ENV PATH=\"/srv/app/.pixi/envs/test/bin:${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}\" \\\n    \
         CONDA_PREFIX=\"/srv/app/.pixi/envs/test\" \\\n",
        "    CONDA_DEFAULT_ENV=\"demo:test\" \\\n    PIXI_PROJECT_VERSION=\"NO_VERSION_SPECIFIED\" \\\n    PRODUCT_RES_DIR=\"/srv/res\" \\\n    A=\"\\$x \\\"y\\\"\" \\\n    B=\"\"\n",
        "EXPOSE 80 53/udp\n",
        "USER 1000:1000\n",
        "HEALTHCHECK CMD [\"/srv/app/.pixi/entrypoint.sh\", \"sh\", \"-c\", \"x && y\"]\n",
        "CMD [\"serve\", \"--\", \"--help\"]\n",
        "      org.opencontainers.image.source=\"\" \\\n",
        "org.opencontainers.image.version=\"9\"\n",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    make(&fake, &args).code(2).says("already exists");
    make(&fake, &[&args[..], &["--force"]].concat()).success();
}

#[test]
fn what_is_verified_is_not_the_command_and_decides_before_the_name() {
    let fake = made(json!({"verify": 3}));
    let args = words("--tag demo:1 --cmd serve --save image.tar --verify-run -- check --x");
    make(&fake, &args)
        .code(3)
        .prints("verifying")
        .says("--verify-run failed with exit code 3");
    assert_eq!(
        acts(&fake),
        ["run", "run", "build", "run", "rm", "image rm"]
    );
    assert!(!fake.path("image.tar").exists());
    let calls = fake.calls();
    let run = calls
        .iter()
        .filter(|call| call[0] == "run")
        .nth(2)
        .unwrap()
        .join(" ");
    has(&run, "--network none --pull never --read-only");
    assert!(run.ends_with("sha256:b111d check --x"), "{run}");
    assert!(context(&fake)["Dockerfile"].1.contains("CMD [\"serve\"]"));

    let fake = fake.with(json!({"verify": 0}));
    make(&fake, &args)
        .success()
        .says("OK: saved to: ")
        .says("Archive digest: sha256:");
    assert_eq!(fake.read("image.tar"), "an archive");
    let sums = fake.read("image.tar.sha256");
    assert!(sums.ends_with("  image.tar\n"), "{sums}");
    let mut check = fake.sandbox.program("sha256sum");
    Run::of(check.args(["--check", "image.tar.sha256"])).success();
}

#[test]
fn plain_output_of_a_build_and_of_a_verification_gives_the_terminal_no_orders() {
    let order = "\u{1b}[2Jcleared\u{9b}1m\n";
    let scenario = json!({"prints": order});
    let args = ["--tag", "demo:1", "--verify-run", "--", "check"];
    make(&made(scenario.clone()), &args).success().prints(order);
    let plain = [&["--plain-output"], &args[..]].concat();
    let run = make(&made(scenario), &plain);
    run.success();
    let shown = run.stdout.matches("\\u{1b}[2Jcleared\\u{9b}1m\n").count();
    assert_eq!(shown, 4, "{run}");
    assert!(
        !run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'),
        "{run}"
    );
}

#[test]
fn an_engine_that_goes_away_in_the_middle_leaves_no_name() {
    let scenario = json!({"leaves_in_the_build": true, "build": ["error during connect\n", 1]});
    let fake = made(scenario);
    make(&fake, &["--tag", "demo:1"])
        .code(125)
        .says("error during connect")
        .says("does not answer");
    assert!(!acts(&fake).contains(&"tag".to_owned()));
    assert!(acts(&fake).contains(&"image rm".to_owned()));
    // One that only fails is told from that.
    let fake = made(json!({"build": ["no space left on device\n", 1], "nameless": ["sha256:aaa"]}));
    make(&fake, &["--tag", "demo:1"])
        .code(1)
        .says("no space left")
        .says("the image was not built");
    assert!(!acts(&fake).contains(&"tag".to_owned()));
    assert!(
        fake.calls()
            .iter()
            .any(|call| *call == ["image", "rm", "sha256:aaa"])
    );
}
