use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use testbed::sandbox::{Run, Sandbox, binary, names, words};

fn workdir() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("W/project/demo/pixi.toml", "");
    sandbox.write("W/project/demo/pixi.lock", crate::fake::LOCK);
    sandbox.write("W/project/demo/.pixi/envs/default/x", "");
    sandbox.write("W/project/demo/.pixi/config.toml", "");
    sandbox.write("W/project/demo/notes.md", "");
    sandbox.write("W/resources/model.bin", "m");
    sandbox.write("W/pixi-cache/pkgs/a-1-0/info/index.json", "{}");
    fs::create_dir(sandbox.work().join("W/out")).unwrap();
    sandbox
}

fn make(sandbox: &Sandbox, more: &[&str]) -> Run {
    sandbox.run(
        "make-archive-ready-product",
        ["--workdir", "W"].iter().chain(more),
    )
}

#[test]
fn the_product_holds_what_the_contract_says() {
    let sandbox = workdir();
    let run = make(&sandbox, &["--exclude", "*.md", "--cache", "full"]);
    let product = sandbox.work().join("W/product");
    run.success();
    run.says(&format!(
        "OK: product created at: {}\nProject: demo\n",
        product.display()
    ));
    run.says("NOTE: the workdir has no workdir.json");
    assert_eq!(
        names(&product),
        words(
            "README.txt SHA256SUMS bootstrap-project.sh demo envs.sh manifest.json pkg-cache \
             provenance.json report.html res sbom.cdx.json"
        )
    );
    assert_eq!(
        names(&product.join("demo")),
        [".pixi", "pixi.lock", "pixi.toml"]
    );
    assert_eq!(names(&product.join("demo/.pixi")), ["config.toml"]);
    assert_eq!(fs::read(product.join("res/model.bin")).unwrap(), b"m");
    for script in ["envs.sh", "bootstrap-project.sh"] {
        assert_eq!(
            fs::metadata(product.join(script))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o755
        );
    }
    // Copied, not linked: pixi links cached files into environments, and who
    // edits one there must not edit the workdir's cache.
    let package = "pkgs/a-1-0/info/index.json";
    assert_ne!(
        fs::metadata(product.join("pkg-cache").join(package))
            .unwrap()
            .ino(),
        fs::metadata(sandbox.work().join("W/pixi-cache").join(package))
            .unwrap()
            .ino()
    );
}

#[test]
fn umask_and_the_bits_of_the_dir_around_show_in_no_product() {
    let mut digests = Vec::new();
    for (umask, around) in [
        ("022", 0o755),
        ("000", 0o777),
        ("077", 0o700),
        ("027", 0o2775),
    ] {
        let sandbox = workdir();
        fs::remove_dir_all(sandbox.work().join("W/resources")).unwrap();
        sandbox.write("W/pixi-cache/pixi-offline-bin/pixi", "pixi");
        let mode = fs::Permissions::from_mode(around);
        fs::set_permissions(sandbox.work().join("W"), mode).unwrap();
        let script = "umask $0; exec \"$@\" --workdir W --bundle-pixi";
        let run = Run::of(
            sandbox
                .program("sh")
                .args(["-c", script, umask])
                .arg(binary("make-archive-ready-product"))
                .env("SOURCE_DATE_EPOCH", "1000000000"),
        );
        run.success();
        let product = sandbox.work().join("W/product");
        for dir in ["", "res", "bin", "pkg-cache"] {
            let mode = fs::metadata(product.join(dir)).unwrap().mode();
            assert_eq!(mode & 0o7777, 0o755, "{dir:?} under umask {umask}");
        }
        let sums = fs::read_to_string(product.join("manifest.json")).unwrap();
        digests.push(sums);
    }
    for other in &digests[1..] {
        assert_eq!(&digests[0], other);
    }
}

#[test]
fn wrong_input_leaves_the_old_product_as_it_was() {
    let sandbox = workdir();
    make(&sandbox, &[]).success();
    fs::write(sandbox.work().join("W/product/mark"), "old").unwrap();
    for (args, text) in [
        (&["--env", "NOVALUE"][..], "no `=`"),
        (&["--env", "=x"], "shell identifier"),
        (&["--env", "A-B=x"], "shell identifier"),
        (&["--project-name", "nope"], "nope"),
        (&["--exclude", "!"], "--exclude"),
        (&["--verify-task", "t"], "--verify-task"),
    ] {
        make(&sandbox, args).code(2).says(text);
    }
    fs::create_dir(sandbox.work().join("W/project/second")).unwrap();
    make(&sandbox, &[])
        .code(2)
        .says("demo, second")
        .says("--project-name");
    fs::remove_dir(sandbox.work().join("W/project/second")).unwrap();

    // A link in the cache that leads out of it.
    let links = sandbox.work().join("W/pixi-cache/uv-cache/wheels-v6");
    fs::create_dir_all(&links).unwrap();
    symlink("/usr/lib/python3", links.join("six")).unwrap();
    make(&sandbox, &["--cache", "full"])
        .code(1)
        .says("uv-cache/wheels-v6/six")
        .says("/usr/lib/python3");

    assert_eq!(
        fs::read(sandbox.work().join("W/product/mark")).unwrap(),
        b"old"
    );
    assert_eq!(
        names(&sandbox.work().join("W")),
        ["out", "pixi-cache", "product", "project", "resources"]
    );
    fs::remove_dir_all(links).unwrap();
    make(&sandbox, &[]).success();
    assert!(!sandbox.work().join("W/product/mark").exists());
}

#[test]
fn each_missing_part_is_named() {
    for (missing, text) in [
        ("W/project", "project/"),
        ("W/pixi-cache", "pixi-cache/"),
        ("W/project/demo/pixi.toml", "not a Pixi project"),
        ("W/project/demo", "holds no project"),
        ("W", "--workdir"),
    ] {
        let sandbox = workdir();
        let path = sandbox.work().join(missing);
        if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
        .unwrap();
        make(&sandbox, &[]).code(2).says(text);
        assert!(!sandbox.work().join("W/product").exists());
    }
}

#[test]
fn a_build_that_did_not_end_makes_no_product() {
    let fake = crate::fake::Fake::new().with(serde_json::json!({"phases": [["install", "", 1]]}));
    fake.create::<&str>(&[]).code(1);
    let run = make(&fake.sandbox, &[]);
    run.code(2).says("did not finish").says("pixi-install.log");
    // A verification that failed is the person's to judge.
    let fake = fake.with(serde_json::json!({"phases": [["install", "", 0], ["verify", "", 1]]}));
    fake.create(&["--verify-task", "t"]).code(1);
    make(&fake.sandbox, &[])
        .success()
        .says("WARNING: the verification of this workdir failed");
}

#[test]
fn links_in_the_python_cache_work_from_anywhere() {
    let sandbox = workdir();
    let cache = sandbox.work().join("W/pixi-cache/uv-cache");
    sandbox.write("W/pixi-cache/uv-cache/archive-v0/abc/six.py", "six");
    fs::create_dir_all(cache.join("wheels-v6/pypi/six")).unwrap();
    symlink(
        "/workdir/pixi-cache/uv-cache/archive-v0/abc",
        cache.join("wheels-v6/pypi/six/1.17"),
    )
    .unwrap();
    // An interpreter that a wheel was built with never ships, and its link out
    // of the cache is no error.
    fs::create_dir_all(cache.join("builds-v0/x/bin")).unwrap();
    symlink("/usr/bin/python3", cache.join("builds-v0/x/bin/python")).unwrap();
    make(&sandbox, &["--cache", "full"]).success();
    let product = sandbox.work().join("W/product/pkg-cache/uv-cache");
    assert_eq!(
        fs::read(product.join("wheels-v6/pypi/six/1.17/six.py")).unwrap(),
        b"six"
    );
    assert!(!product.join("builds-v0").exists());
    // The workdir's own cache is as it was.
    assert!(
        fs::read_link(cache.join("wheels-v6/pypi/six/1.17"))
            .unwrap()
            .is_absolute()
    );
}

#[test]
fn a_product_has_no_place_in_the_workdir_but_its_own_and_none_around_it() {
    let sandbox = workdir();
    for output in ["W/elsewhere", "W"] {
        let run = make(&sandbox, &["--output", output, "--force"]);
        run.code(2).says("is in the workdir").says("or contains it");
    }
    make(&sandbox, &["--output", "W/product.failed"]).success();
}

#[test]
fn a_product_that_is_a_link_is_not_followed() {
    let sandbox = workdir();
    sandbox.write("precious/thesis.txt", "x");
    symlink("../precious", sandbox.work().join("W/product")).unwrap();
    make(&sandbox, &[]).code(2).says("symbolic link");
    assert!(sandbox.work().join("precious/thesis.txt").exists());
}

/// A container may have left them in the workdir; whoever unpacks the product as root
/// makes them again.
#[test]
fn files_that_give_rights_and_devices_are_named() {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let sandbox = workdir();
    make(&sandbox, &[]).success().says_not("WARNING");
    let shell = sandbox.write("W/resources/shell", "");
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o4755)).unwrap();
    let disk = sandbox.work().join("W/resources/disk");
    // Only root can make one, and only root's copy has it.
    let has_device = mknodat(CWD, &disk, FileType::BlockDevice, Mode::RWXU, makedev(7, 9)).is_ok();
    let run = make(&sandbox, &["--force"]);
    run.success()
        .says("WARNING: 1 file of the product is setuid or setgid")
        .says("res/shell for example");
    if has_device {
        run.says("WARNING: 1 entry of the product is a device")
            .says("res/disk for example");
    }
}

#[test]
fn a_name_with_a_line_end_begins_no_message_of_its_own() {
    let sandbox = workdir();
    let name = "W/resources/x\nERROR: forged\nOK: forged";
    let shell = sandbox.write(name, "");
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("/gone", sandbox.work().join(format!("{name} link"))).unwrap();
    let run = make(&sandbox, &[]);
    run.success();
    for line in run.stderr.lines() {
        assert!(
            !line.starts_with("ERROR: ") && line != "OK: forged",
            "{run}"
        );
    }
}

#[test]
fn the_readme_is_made_from_what_the_product_is_and_the_same_each_time() {
    let fake = crate::fake::Fake::new();
    fake.sandbox.write(
        "demo/pixi.toml",
        "[project]\nname = 'demo'\nversion = '1.4.7'\n",
    );
    fake.create(&["-e", "test", "-e", "default", "--verify-task", "smoke it"])
        .success();
    let contact = "Ada <ada@example.com>";
    let readme = |args: &[&str]| {
        let usual = ["--workdir", "W", "--contact", contact];
        let args = usual.iter().chain(args);
        fake.sandbox
            .run("make-archive-ready-product", args)
            .success();
        fake.read("W/product/README.txt")
    };
    let text = readme(&[]);
    for line in [
        "demo 1.4.7 for linux-64\n",
        "\nNeeds      Linux on x86_64, bash, coreutils.\n",
        "\nPixi       pixi 0.77.0 is not included.",
        "\nCheck      sha256sum -c --quiet SHA256SUMS\n           ./bootstrap-project.sh --check\n",
        "\nInstall    ./bootstrap-project.sh\n",
        "\nUse        . ./envs.sh\n           cd demo\n           pixi run 'smoke it'\n",
        "\nContact    Ada <ada@example.com>\n",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert_eq!(readme(&["--force"]), text);
    let sums = fake.read("W/product/SHA256SUMS");
    assert!(sums.contains("  README.txt\n"), "{sums}");
    fake.sandbox
        .write("W/pixi-cache/pixi-offline-bin/pixi", "pixi");
    assert!(
        readme(&["--bundle-pixi"]).contains("\nPixi       pixi 0.77.0 is included: bin/pixi.\n")
    );
    // A pixi that needs libraries of the machine.
    fs::copy("/bin/sh", fake.path("W/pixi-cache/pixi-offline-bin/pixi")).unwrap();
    let text = readme(&["--bundle-pixi"]);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = "is included: bin/pixi. It is not static: the machine must have /";
    assert!(words.contains(told), "{text}");
    for contact in ["", " ", "a\nb", "\u{1b}[2J"] {
        let args = ["--workdir", "W", "--contact", contact];
        let run = fake.sandbox.run("make-archive-ready-product", args);
        run.code(2).says("--contact");
    }
}

#[test]
fn a_refused_run_leaves_what_a_killed_one_left_and_makes_no_directory() {
    let sandbox = workdir();
    make(&sandbox, &[]).success();
    let work = sandbox.work();
    let stale = work.join("W/.product.pixi-offline-new-abc-old");
    fs::rename(work.join("W/product"), &stale).unwrap();
    let before = names(&work);
    let secret = "PROXY=http://me:qx7Lm2vT9pKd@proxy.corp.net";
    let refused = ["--secrets", "deny", "--env", secret];
    make(&sandbox, &refused).code(2);
    make(
        &sandbox,
        &[&refused[..], &["--output", "new/deep/P"]].concat(),
    )
    .code(2);
    assert_eq!(names(&work), before);
    assert!(stale.join("manifest.json").exists() && !work.join("W/product").exists());
    // The next one that may heals first: what came back is the previous product.
    make(&sandbox, &["--previous", "W/product"]).success();
    assert!(!stale.exists() && work.join("W/product/changes.json").exists());
}
