//! make-production-image against the fake engine: what it asks of it, in which order, and
//! what it refuses before it asks for a build.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::json;
use testbed::limit::InTime as _;
use testbed::sandbox::{Run, names};

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
    let words = ["--workdir", "W", "--cache", "full"];
    fake.sandbox
        .run("make-archive-ready-product", words)
        .success();
    fake.verify(&["--attach"]).success();
    fs::remove_file(fake.sandbox.root().join("calls")).unwrap();
    fake.with(json!({"images": ["img:1", "base:1", "old:1"]}))
}

fn make(fake: &Fake, more: &[&str]) -> Run {
    let usual = [
        "--product-dir",
        "W/product",
        "--build-image",
        "img:1",
        "--base-image",
        "base:1",
    ];
    fake.sandbox
        .run("make-production-image", usual.iter().chain(more))
}

/// The first words of the calls that change something or may.
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
        .says("NOTE: the product's resources stay out")
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
        let words = look.join(" ");
        assert!(
            words.contains("--network none --pull never --entrypoint sh"),
            "{words}"
        );
        assert!(words.starts_with("run --rm "), "{words}");
    }
    let build = calls.iter().find(|call| call[0] == "build").unwrap();
    let unfinished = build
        .iter()
        .find(|word| word.starts_with("pixi-offline/unfinished:"));
    let unfinished = unfinished.unwrap();
    assert_eq!(
        build[..5],
        ["build", "--network", "none", "--force-rm", "--no-cache"]
    );
    assert_eq!(build.last().unwrap(), "-");
    let has = |words: [&str; 3]| {
        assert!(
            calls.iter().any(|call| *call == words),
            "{words:?}: {calls:?}"
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
    let words = [
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
    make(&fake, &words)
        .success()
        .says("OK: Dockerfile written to: ")
        .says("Next: cp -a ")
        .says("Next: docker build --network none --tag NAME ")
        .says("WARNING: 1 files and folders of the project")
        .says("demo/src/main.py");
    // No engine is asked for anything.
    assert_eq!(fake.calls(), [[""; 0]; 0]);
    assert_eq!(
        names(&fake.path("E")),
        [".dockerignore", "Dockerfile", "build.sh", "entrypoint.sh"]
    );
    let text = fs::read_to_string(fake.path("E/Dockerfile")).unwrap();
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
    make(&fake, &words).code(2).says("is there already");
    make(&fake, &[&words[..], &["--force"]].concat()).success();
}

#[test]
fn what_is_verified_is_not_the_command_and_decides_before_the_name() {
    let fake = made(json!({"verify": 3}));
    let words = [
        "--tag",
        "demo:1",
        "--cmd",
        "serve",
        "--save",
        "image.tar",
        "--verify-run",
        "--",
        "check",
        "--x",
    ];
    make(&fake, &words)
        .code(3)
        .prints("verifying")
        .says("--verify-run ended with 3");
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
    assert!(
        run.contains("--network none --pull never --read-only"),
        "{run}"
    );
    assert!(run.ends_with("sha256:b111d check --x"), "{run}");
    assert!(context(&fake)["Dockerfile"].1.contains("CMD [\"serve\"]"));

    let fake = fake.with(json!({"verify": 0}));
    make(&fake, &words)
        .success()
        .says("OK: saved to: ")
        .says("Archive digest: sha256:");
    assert_eq!(
        fs::read_to_string(fake.path("image.tar")).unwrap(),
        "an archive"
    );
    let sums = fs::read_to_string(fake.path("image.tar.sha256")).unwrap();
    assert!(sums.ends_with("  image.tar\n"), "{sums}");
    let mut check = fake.sandbox.program("sha256sum");
    Run::of(check.args(["--check", "image.tar.sha256"])).success();
}

#[test]
fn plain_output_of_a_build_and_of_a_verification_gives_the_terminal_no_orders() {
    let order = "\u{1b}[2Jcleared\u{9b}1m\n";
    let scenario = json!({"prints": order});
    let words = ["--tag", "demo:1", "--verify-run", "--", "check"];
    make(&made(scenario.clone()), &words)
        .success()
        .prints(order);
    let plain = [&["--plain-output"], &words[..]].concat();
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

#[test]
fn what_cannot_become_an_image_is_refused_before_the_build() {
    let no_shell =
        json!({"systems": {"base:1": {"Err": "exec: \"sh\": executable file not found"}}});
    let system = |image: &str, text: &str| json!({"systems": {image: {"Ok": text}}});
    let table: [(serde_json::Value, &[&str], i32, &str); 20] = [
        (
            json!({"images": ["img:1"]}),
            &[],
            125,
            "--base-image base:1 is not on this engine",
        ),
        (
            json!({"images": ["base:1"]}),
            &[],
            125,
            "--build-image img:1 is not on this engine",
        ),
        (no_shell, &[], 2, "base:1 has no shell"),
        (
            json!({"architectures": {"base:1": "arm64"}}),
            &[],
            2,
            "--base-image base:1 is for linux/arm64",
        ),
        (
            json!({"architectures": {"img:1": "arm64"}}),
            &[],
            2,
            "--build-image img:1 is for linux/arm64",
        ),
        (
            system("img:1", "libc glibc 2.36\nuser 0"),
            &[],
            127,
            "has no pixi",
        ),
        (
            system("img:1", "libc glibc 2.36\npixi pixi 0.77.0\nuser 1000"),
            &[],
            2,
            "does not run as root",
        ),
        (
            json!({"no_daemon": "no daemon"}),
            &[],
            125,
            "does not answer",
        ),
        (
            json!({}),
            &["--tag", "old:1"],
            2,
            "there is an image old:1 already",
        ),
        (
            json!({}),
            &["-e", "other"],
            2,
            "the product installs test, default",
        ),
        (
            json!({}),
            &["--copy", "nothing"],
            2,
            "--copy nothing: the project in the product has no such",
        ),
        (json!({}), &["--save", "O"], 2, "is a folder"),
        (
            json!({}),
            &["--tag", "Demo"],
            2,
            "--tag \"Demo\" is no name",
        ),
        (
            json!({}),
            &["--app-dir", "/usr"],
            2,
            "--app-dir /usr is a folder of the system",
        ),
        (json!({}), &["--env", "A"], 2, "--env needs KEY=VALUE"),
        (json!({}), &["--user", ""], 2, "--user \"\" is no user"),
        (
            json!({}),
            &["--expose", "http"],
            2,
            "--expose \"http\" is no port",
        ),
        (
            json!({}),
            &["--emit-dockerfile", "E"],
            2,
            "--emit-dockerfile builds nothing",
        ),
        (json!({}), &["--cmd", "a", "--", "b"], 2, "give one of them"),
        (json!({}), &["--product-dir", "missing"], 2, "missing"),
    ];
    let mut fake = made(json!({}));
    let usual = json!({
        "images": ["img:1", "base:1", "old:1"], "systems": {}, "architectures": {}, "no_daemon": null,
    });
    for (scenario, words, code, says) in table {
        fake = fake.with(usual.clone()).with(scenario);
        let run = make(&fake, &[&["--tag", "demo:1"], words].concat());
        run.code(code).says(says);
        assert!(!acts(&fake).contains(&"build".to_owned()), "{run}");
    }
    let fake = fake.with(usual);
    make(&fake, &[]).code(2).says("nothing to make");
    make(&fake, &["--tag", "old:1", "--force"]).success();
    testbed::ran(
        "what_cannot_become_an_image_is_refused_before_the_build",
        22,
    );
}

#[test]
fn a_product_that_is_not_what_was_verified_is_refused() {
    let fake = made(json!({}));
    let record = fake.path("W/product/verification.json");
    let text = fs::read_to_string(&record).unwrap();
    for (with, says) in [
        (
            text.replace("\"passed\"", "\"failed\""),
            "did not pass its final verification",
        ),
        (
            text.replace("\"sha256:", "\"sha256:0"),
            "is of another product",
        ),
    ] {
        assert_ne!(with, text);
        fs::write(&record, with).unwrap();
        make(&fake, &["--tag", "demo:1"])
            .code(2)
            .says(says)
            .says("--unverified");
        make(&fake, &["--tag", "demo:1", "--unverified"])
            .success()
            .says("WARNING: ");
    }
    fs::remove_file(&record).unwrap();
    make(&fake, &["--tag", "demo:1"])
        .code(2)
        .says("has no verification.json");
    fs::write(&record, text).unwrap();
    fs::write(fake.path("W/product/demo/src/main.py"), "print(2)\n").unwrap();
    make(&fake, &["--tag", "demo:1", "--unverified"])
        .code(1)
        .says("changed: demo/src/main.py");
    fs::remove_file(fake.path("W/product/SHA256SUMS")).unwrap();
    make(&fake, &["--tag", "demo:1"])
        .code(1)
        .says("SHA256SUMS is missing");
}

/// Makes a pair of keys, `work/mine.key` and `mine.pub`, and another.
fn keys(fake: &Fake) {
    let minisign = testbed::ensure_debian_package("minisign", "minisign").unwrap();
    for name in ["mine", "other"] {
        let (secret, public) = (format!("{name}.key"), format!("{name}.pub"));
        let mut command = fake.sandbox.program(&minisign);
        Run::of(command.args(["-G", "-W", "-f", "-p", &public, "-s", &secret])).success();
    }
}

#[test]
fn with_a_key_only_a_product_and_a_verification_that_it_signed_become_an_image() {
    let fake = made(json!({}));
    keys(&fake);
    let image = |more: &[&str]| {
        let words = ["--tag", "demo:1", "--force", "--verify-key", "mine.pub"];
        make(&fake, &[&words, more].concat())
    };
    let product = |signed: &[&str]| {
        let words = ["--workdir", "W", "--cache", "full"];
        let words = words.iter().chain(signed);
        fake.sandbox
            .run("make-archive-ready-product", words)
            .success();
    };
    let verify = |signed: &[&str]| {
        let words = "--image img:1 --product-dir W/product --out-dir O --attach";
        let words = words.split(' ').chain(signed.iter().copied());
        fake.sandbox.run("final-verify-product", words).success();
    };
    let (mine, other) = (["--sign-key", "mine.key"], ["--sign-key", "other.key"]);
    image(&[]).code(1).says("SHA256SUMS.minisig is missing");
    product(&other);
    image(&[])
        .code(1)
        .says("is no signature of SHA256SUMS by the key of --verify-key");
    product(&mine);
    image(&[]).code(1).says("verification.json is missing");
    image(&["--unverified"])
        .success()
        .says("WARNING: ")
        .says("has no verification.json");
    verify(&[]);
    image(&[])
        .code(1)
        .says("verification.json.minisig is missing");
    verify(&other);
    image(&[])
        .code(1)
        .says("is no signature of verification.json by the key of --verify-key");
    verify(&mine);
    image(&[])
        .success()
        .says("Signed comment: ")
        .says(" file:SHA256SUMS project:demo ")
        .says(" file:verification.json project:demo ");

    // A right signature of the same person's, for a product of another day.
    let record = fake.path("W/product/verification.json");
    let signature = fake.path("W/product/verification.json.minisig");
    let kept = [&record, &signature].map(|file| fs::read(file).unwrap());
    fs::write(fake.path("W/project/demo/src/main.py"), "print(3)\n").unwrap();
    product(&mine);
    for (file, content) in [&record, &signature].iter().zip(kept) {
        fs::write(file, content).unwrap();
    }
    image(&[])
        .code(1)
        .says("was made for another product: it names the product sha256:");

    // What the signature does not cover.
    verify(&mine);
    fake.sandbox
        .write("W/product/demo/.pixi/envs/default/bin/python", "x");
    image(&[]).code(1).says("added: demo/.pixi/envs");
}

/// The part of the build stage's script that compares the product, to be run on this
/// machine with `root` in the place of the stage's folder.
fn comparison(fake: &Fake, root: &str) -> std::path::PathBuf {
    make(fake, &["--emit-dockerfile", "E", "--force"]).success();
    let script = fs::read_to_string(fake.path("E/build.sh")).unwrap();
    let (compares, _) = script
        .split_once("# ---- The project at its place.")
        .unwrap();
    let file = fake.path("compare.sh");
    fs::write(
        &file,
        compares.replace("/pixi-offline/", &format!("{root}/")),
    )
    .unwrap();
    file
}

/// The product's digest, as the Dockerfile has it.
fn digest_in_dockerfile(fake: &Fake) -> String {
    let text = fs::read_to_string(fake.path("E/Dockerfile")).unwrap();
    let line = text.lines().find(|line| line.starts_with("RUN ")).unwrap();
    let words: Vec<String> = serde_json::from_str(&line[4..]).unwrap();
    words[5].clone()
}

fn mode(product: &std::path::Path, path: &str, mode: u32) {
    fs::set_permissions(product.join(path), fs::Permissions::from_mode(mode)).unwrap();
}

/// A change to the product in a folder.
type Change = Box<dyn Fn(&std::path::Path)>;

#[test]
fn the_build_stage_takes_the_product_that_the_dockerfile_names_and_no_other() {
    let test = "the_build_stage_takes_the_product_that_the_dockerfile_names_and_no_other";
    let fake = Fake::new();
    for name in [
        "a b",
        "c%d",
        "q\"uote",
        "back\\slash",
        "new\nline",
        "grün",
        "-dash",
        "\x1b[2J",
    ] {
        fake.sandbox.write(format!("demo/odd/{name}"), name);
        symlink(name, fake.path("demo/odd").join(format!("{name}.link"))).unwrap();
        fs::create_dir(fake.path("demo/odd").join(format!("{name}.folder"))).unwrap();
    }
    fs::remove_dir_all(fake.path("demo/.pixi")).unwrap();
    fake.sandbox.write("demo/empty/one", "");
    fake.sandbox.write("demo/empty/two", "");
    symlink("one", fake.path("demo/empty/link")).unwrap();
    fake.sandbox.write("res/model.bin", "model");
    fake.create(&["--resources-dir", "res"]).success();
    let words = ["--workdir", "W", "--cache", "full"];
    fake.sandbox
        .run("make-archive-ready-product", words)
        .success();
    let words = "--image img:1 --product-dir W/product --out-dir O --attach";
    fake.sandbox
        .run("final-verify-product", words.split(' '))
        .success();
    let root = fake.path("stage");
    let script = comparison(&fake, root.to_str().unwrap());
    let digest = digest_in_dockerfile(&fake);
    let busybox = testbed::ensure_debian_package("busybox", "busybox").unwrap();
    let applets = fake.path("applets");
    fs::create_dir(&applets).unwrap();
    for name in [
        "sh",
        "sed",
        "cut",
        "sort",
        "uniq",
        "head",
        "find",
        "grep",
        "sha256sum",
        "od",
        "awk",
        "tr",
        "rm",
        "rmdir",
        "readlink",
        "cat",
        "stat",
    ] {
        symlink(&busybox, applets.join(name)).unwrap();
    }
    let run = |shell: &str, path: Option<&std::path::Path>, change: &dyn Fn(&std::path::Path)| {
        let _ = fs::remove_dir_all(&root);
        fs::create_dir(&root).unwrap();
        let copy = Run::of(
            fake.sandbox
                .program("cp")
                .arg("-a")
                .arg(fake.path("W/product"))
                .arg(&root),
        );
        copy.success();
        change(&root.join("product"));
        let mut command = fake.sandbox.program(shell);
        if let Some(path) = path {
            command.env("PATH", path);
        }
        Run::of(
            command
                .arg(&script)
                .args(["demo", "default", "/app", &digest]),
        )
    };
    let applet = applets.join("sh");
    // busybox' sha256sum knows no escaped names.
    let plain = |_: &std::path::Path| {};
    for (shell, path) in [("sh", None), ("bash", None)] {
        run(shell, path, &plain).success();
        run(shell, path, &|product| {
            fs::remove_dir_all(product.join("res")).unwrap()
        })
        .success();
        run(shell, path, &|product| {
            fs::create_dir(product.join("demo/.pixi")).unwrap()
        })
        .success();
        // A copy under another umask.
        run(shell, path, &|product| {
            mode(product, "demo/src/main.py", 0o600);
            mode(product, "demo/src", 0o700);
        })
        .success();
    }
    run(applet.to_str().unwrap(), Some(&applets), &plain)
        .code(1)
        .says("ERROR: ");

    let tampered: Vec<(&str, Change)> = vec![
        (
            "added file",
            Box::new(|product| fs::write(product.join("demo/sitecustomize.py"), "x").unwrap()),
        ),
        (
            "added program",
            Box::new(|product| {
                fs::create_dir(product.join("bin")).unwrap();
                fs::write(product.join("bin/pixi"), "x").unwrap();
            }),
        ),
        (
            "added at the top",
            Box::new(|product| fs::write(product.join("x"), "x").unwrap()),
        ),
        (
            "added below res",
            Box::new(|product| fs::write(product.join("res/x"), "x").unwrap()),
        ),
        (
            "added folder",
            Box::new(|product| fs::create_dir(product.join("pkg-cache/x")).unwrap()),
        ),
        (
            "added link",
            Box::new(|product| symlink("x", product.join("demo/x")).unwrap()),
        ),
        (
            "added pipe",
            Box::new(|product| {
                let made = std::process::Command::new("mkfifo")
                    .arg(product.join("demo/x"))
                    .status_in_time();
                assert!(made.unwrap().success());
            }),
        ),
        (
            "added with a newline",
            Box::new(|product| fs::write(product.join("demo/a\nb\"file\""), "x").unwrap()),
        ),
        (
            "environment",
            Box::new(|product| {
                fs::create_dir_all(product.join("demo/.pixi/envs/default/bin")).unwrap();
            }),
        ),
        (
            "link for .pixi",
            Box::new(|product| symlink("/tmp", product.join("demo/.pixi")).unwrap()),
        ),
        (
            "changed bytes",
            Box::new(|product| fs::write(product.join("demo/src/main.py"), "x").unwrap()),
        ),
        (
            "changed script",
            Box::new(|product| fs::write(product.join("envs.sh"), "x").unwrap()),
        ),
        (
            "missing",
            Box::new(|product| fs::remove_file(product.join("demo/src/main.py")).unwrap()),
        ),
        (
            "changed link",
            Box::new(|product| {
                fs::remove_file(product.join("demo/empty/link")).unwrap();
                symlink("two", product.join("demo/empty/link")).unwrap();
            }),
        ),
        (
            "link for a file of the same bytes",
            Box::new(|product| {
                fs::remove_file(product.join("demo/empty/one")).unwrap();
                symlink("two", product.join("demo/empty/one")).unwrap();
            }),
        ),
        (
            "one link for another",
            Box::new(|product| {
                fs::remove_file(product.join("demo/empty/link")).unwrap();
                symlink("one", product.join("demo/empty/other")).unwrap();
            }),
        ),
        (
            "folder for a folder",
            Box::new(|product| {
                fs::remove_dir(product.join("demo/odd/a b.folder")).unwrap();
                fs::create_dir(product.join("demo/odd/other.folder")).unwrap();
            }),
        ),
        (
            "lists of its own",
            Box::new(|product| {
                let text = fs::read_to_string(product.join("SHA256SUMS")).unwrap();
                fs::write(
                    product.join("SHA256SUMS"),
                    text.lines().skip(1).collect::<String>(),
                )
                .unwrap();
            }),
        ),
        (
            "changed manifest",
            Box::new(|product| {
                let text = fs::read_to_string(product.join("manifest.json")).unwrap();
                fs::write(
                    product.join("manifest.json"),
                    text.replace("demo/odd", "demo/0dd"),
                )
                .unwrap();
            }),
        ),
        (
            "no manifest",
            Box::new(|product| fs::remove_file(product.join("manifest.json")).unwrap()),
        ),
        (
            "no lists",
            Box::new(|product| fs::remove_file(product.join("SHA256SUMS")).unwrap()),
        ),
        (
            "a folder of an uncovered name",
            Box::new(|product| {
                let _ = fs::remove_file(product.join("report.html"));
                fs::create_dir(product.join("report.html")).unwrap();
            }),
        ),
    ];
    let modes: [(&str, u32); 8] = [
        ("bootstrap-project.sh", 0o644),
        ("demo/src/main.py", 0o755),
        ("demo/src/main.py", 0o645),
        ("demo/src/main.py", 0o664),
        ("demo/src/main.py", 0o4644),
        ("demo/src/main.py", 0o044),
        ("demo/odd/new\nline", 0o666),
        ("demo/src", 0o777),
    ];
    for (path, other) in modes {
        run("sh", None, &move |product| mode(product, path, other))
            .code(1)
            .says("these have other modes than manifest.json lists: ")
            .says(path.split('\n').next().unwrap())
            .says(&format!("({other:04o}, "));
    }
    for (what, change) in &tampered {
        for (shell, path) in [
            ("sh", None),
            (applet.to_str().unwrap(), Some(applets.as_path())),
        ] {
            let run = run(shell, path, change);
            assert_eq!(run.code, 1, "{what}: {run}");
            run.says("the product beside the Dockerfile is not the one");
        }
    }
    testbed::ran(test, 2 * tampered.len() as u64);
}

#[test]
fn what_looks_like_a_secret_is_said_or_refused_before_a_build() {
    const VALUE: &str = "Ahf7Oiqu";
    let login = format!("https://joe:{VALUE}@h.corp.net/x");
    let fake = made(json!({}));
    // Beside a package of the product's cache, as pixi keeps it, and a channel's token in
    // the lock: both end up in the image's conda-meta.
    let record = format!("{{\"url\": \"https://h.corp.net/t/tk-{VALUE}/c/a-1-0.conda\"}}");
    let cases: [(&[&str], &str); 6] = [
        (
            &["--label", &format!("org.corp.source={login}")],
            "label org.corp.source",
        ),
        (
            &["--env", &format!("DB_PASSWORD={VALUE}")],
            "--env DB_PASSWORD",
        ),
        (
            &["--healthcheck", &format!("curl -f {login}")],
            "--healthcheck, word 1",
        ),
        (
            &["--cmd", "serve", "--cmd", &format!("--password={VALUE}")],
            "the image's command, word 2",
        ),
        (
            &[],
            "repodata_record.json: token in the URL of a conda channel",
        ),
        (&[], "demo/pixi.lock:5: token in the URL of a conda channel"),
    ];
    for (options, place) in cases {
        let fake = if options.is_empty() {
            planted(place, &record, VALUE)
        } else {
            made(json!({}))
        };
        let run = make(
            &fake,
            &[&["--tag", "demo:1", "--secrets", "deny"], options].concat(),
        );
        run.code(2).says(place).says("--allow-secret");
        assert!(!run.stderr.contains(VALUE), "{run}");
        assert_eq!(acts(&fake), [""; 0]);
        let run = make(&fake, &[&["--tag", "demo:1"], options].concat());
        run.success()
            .says("WARNING: looks like a secret: ")
            .says(place);
        assert!(!run.stderr.contains(VALUE), "{run}");
        make(
            &fake,
            &[&["--tag", "demo:1", "--force", "--secrets", "off"], options].concat(),
        )
        .success()
        .says_not("looks like a secret");
    }
    make(
        &fake,
        &["--tag", "demo:1", "--secrets", "deny", "--label", "a=b"],
    )
    .success();
}

/// A product whose cache or lock tells of a token.
fn planted(place: &str, record: &str, value: &str) -> Fake {
    let fake = Fake::new();
    if place.contains("pixi.lock") {
        let lock = LOCK.replacen("/chan/", &format!("/t/tk-{value}/chan/"), 1);
        fake.sandbox.write("demo/pixi.lock", lock);
    }
    fake.create::<&str>(&[]).success();
    if place.contains("repodata_record") {
        fake.sandbox.write(
            "W/pixi-cache/pkgs/other-1-0/info/repodata_record.json",
            record,
        );
    }
    verified(fake)
}
