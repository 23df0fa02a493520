//! The build stage takes the product that the Dockerfile names and no other.

use super::*;
use testbed::sandbox::words;

/// The part of the build stage's script that compares the product, to be run on this
/// machine with `root` in the place of the stage's directory.
fn comparison(fake: &Fake, root: &str) -> std::path::PathBuf {
    make(fake, &["--emit-dockerfile", "E", "--force"]).success();
    let script = fake.read("E/build.sh");
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
    let text = fake.read("E/Dockerfile");
    let line = text.lines().find(|line| line.starts_with("RUN ")).unwrap();
    let args: Vec<String> = serde_json::from_str(&line[4..]).unwrap();
    args[5].clone()
}

fn mode(product: &std::path::Path, path: &str, mode: u32) {
    fs::set_permissions(product.join(path), fs::Permissions::from_mode(mode)).unwrap();
}

/// A change to the product in a directory.
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
        fs::create_dir(fake.path("demo/odd").join(format!("{name}.dir"))).unwrap();
    }
    fs::remove_dir_all(fake.path("demo/.pixi")).unwrap();
    fake.sandbox.write("demo/empty/one", "");
    fake.sandbox.write("demo/empty/two", "");
    symlink("one", fake.path("demo/empty/link")).unwrap();
    fake.sandbox.write("res/model.bin", "model");
    fake.create(&["--resources-dir", "res"]).success();
    let args = ["--workdir", "W", "--cache", "full"];
    fake.sandbox
        .run("make-archive-ready-product", args)
        .success();
    let args = "--image img:1 --product-dir W/product --out-dir O --attach";
    fake.sandbox
        .run("final-verify-product", args.split(' '))
        .success();
    let root = fake.path("stage");
    let script = comparison(&fake, root.to_str().unwrap());
    let digest = digest_in_dockerfile(&fake);
    let busybox = testbed::ensure_debian_package("busybox", "busybox").unwrap();
    let applets = fake.path("applets");
    fs::create_dir(&applets).unwrap();
    for name in
        words("sh sed cut sort uniq head find grep sha256sum od awk tr rm rmdir readlink cat stat")
    {
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
            "added directory",
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
            "directory for a directory",
            Box::new(|product| {
                fs::remove_dir(product.join("demo/odd/a b.dir")).unwrap();
                fs::create_dir(product.join("demo/odd/other.dir")).unwrap();
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
            "a directory of an uncovered name",
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
