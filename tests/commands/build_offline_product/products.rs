//! What happens to the product of an earlier run.

use super::*;

#[test]
fn the_product_goes_to_output() {
    let fake = Fake::new();
    fs::create_dir(fake.path("empty")).unwrap();
    for output in ["absent/below", "empty", "empty"] {
        build(&fake, &["--output", output]).success();
        assert!(
            fake.path(output).join("verification.json").exists(),
            "{output}"
        );
        assert_eq!(names(&fake.path("W/product")), [""; 0]);
    }
    build(&fake, &["--output", "W/product"]).success();
    assert!(fake.path("W/product/manifest.json").exists());
}

/// Content and inode of what is in a directory, but for its subdirectories.
fn product_at(dir: &Path) -> BTreeMap<String, (u64, Vec<u8>)> {
    names(dir)
        .into_iter()
        .filter(|name| dir.join(name).is_file())
        .map(|name| {
            let file = dir.join(&name);
            let inode = fs::metadata(&file).unwrap().ino();
            (name, (inode, fs::read(file).unwrap()))
        })
        .collect()
}

/// The outcome that the record in a directory tells.
fn outcome_in(dir: &Path) -> String {
    let record = fs::read(dir.join("verification.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    record["outcome"].as_str().unwrap().to_owned()
}

#[test]
fn a_product_that_has_passed_stays_with_its_logs_until_another_one_has() {
    for (output, out_dir) in [(None, None), (Some("P"), None), (Some("P"), Some("L"))] {
        let fake = Fake::new();
        let mut args = vec!["--verify-task", "t"];
        args.extend(output.iter().flat_map(|output| ["--output", output]));
        args.extend(out_dir.iter().flat_map(|out_dir| ["--out-dir", out_dir]));
        let place = output.unwrap_or("W/product");
        let (product, failed) = (fake.path(place), fake.path(&format!("{place}.failed")));
        let logs = fake.path(out_dir.unwrap_or("W/proof"));
        build(&fake, &args).success();
        let inode = |dir: &Path| fs::metadata(dir).unwrap().ino();
        let proved = (inode(&product), product_at(&product), product_at(&logs));
        let stays = |what: &str| {
            assert_eq!(inode(&product), proved.0, "{what}");
            assert_eq!(product_at(&product), proved.1, "{what}");
            if out_dir.is_none() {
                assert_eq!(product_at(&logs), proved.2, "{what}");
            }
        };
        let said = format!(
            "The last product that passed is still in its place: {}\n",
            product.display()
        );
        let kept = format!(
            "The new one, which did not pass, is kept until the next run: {}\n",
            failed.display()
        );

        // Another project each time, so that each product would be another one.
        let mut fake = fake;
        let good = json!([
            ["install", "installed\n", 0],
            ["verify", "verified\n", 0],
            ["bootstrap", "installed\n", 0],
        ]);
        for (what, scenario, code, makes_one) in [
            (
                "install",
                json!({"phases": [["install", "no luck\n", 7]]}),
                7,
                false,
            ),
            (
                "verify",
                json!({"phases": [["install", "i\n", 0], ["verify", "no\n", 7]]}),
                7,
                false,
            ),
            (
                "network",
                json!({"phases": good.clone(), "attempts": {"bootstrap": 2}}),
                1,
                true,
            ),
        ] {
            fake.sandbox.write("demo/notes.txt", what);
            fake = fake.with(scenario);
            let run = build(&fake, &args);
            run.code(code).says(&said);
            stays(what);
            if makes_one {
                run.says(&kept)
                    .says("To go on from here:\n  final-verify-product ");
                assert_eq!(outcome_in(&failed), "failed");
                let own = fs::read_to_string(failed.join("demo/notes.txt")).unwrap();
                assert_eq!(own, what);
                if out_dir.is_none() {
                    run.says("W/proof.failed/bootstrap.offline.log");
                    assert_eq!(outcome_in(&fake.path("W/proof.failed")), "failed");
                }
            } else {
                run.says_not("did not pass");
            }
        }
        fake = fake.with(json!({"attempts": {}}));
        // A product that is refused while it is made.
        build(&fake, &[&REFUSED[..], &args[..]].concat())
            .code(2)
            .says(&said)
            .says(&format!(" --output {}", failed.display()));
        stays("refused");

        build(&fake, &args).success().says_not("still in its place");
        assert_ne!(inode(&product), proved.0);
        assert_eq!(outcome_in(&product), "passed");
        assert_eq!(outcome_in(&logs), "passed");
        for leftover in [&failed, &fake.path("W/proof.failed")] {
            assert!(!leftover.exists(), "{}", leftover.display());
        }
        assert_eq!(
            fs::read_to_string(product.join("demo/notes.txt")).unwrap(),
            "network"
        );
    }
}

#[test]
fn logs_that_a_killed_run_left_behind_its_product_come_to_it() {
    let fake = Fake::new();
    build(&fake, &[]).success();
    // As it is when a run is killed between the two renames: the product is the new one,
    // and its logs still have the name of those of one that failed.
    fs::rename(fake.path("W/proof"), fake.path("W/proof.failed")).unwrap();
    fs::create_dir(fake.path("W/proof")).unwrap();
    fs::write(fake.path("W/proof/old.log"), "old").unwrap();
    let fake = fake.with(json!({"phases": [["install", "no luck\n", 7]]}));
    build(&fake, &[]).code(7);
    assert_eq!(outcome_in(&fake.path("W/proof")), "passed");
    assert!(!fake.path("W/proof/old.log").exists());
}

#[test]
fn a_cache_that_was_moved_is_told_where_the_product_is_in_the_end() {
    let fake = Fake::new();
    for _ in ["first", "second"] {
        build(&fake, &["--move-cache"]).success();
        let record = fake.json("W/workdir.json");
        let cache = fake.path("W/product/pkg-cache");
        assert_eq!(record["cache_moved"], cache.display().to_string());
        assert!(cache.is_dir() && !fake.path("W/pixi-cache").exists());
        assert!(!fake.path("W/product.failed").exists());
    }
}

#[test]
fn without_options_the_project_is_the_current_dir_and_the_workdir_stays_the_same() {
    let mut fake = Fake::new();
    fake.sandbox.set("PIXI_IMAGE", "img:1");
    let run = |args: &[&str]| {
        let mut command = fake.sandbox.command("build-offline-product");
        Run::of(command.args(args).current_dir(fake.path("demo")))
    };
    let workdir = fake.path("demo/.pixi-offline/demo");
    // Nothing is left of a run that is refused before it begins.
    run(&["--exclude", "!"]).code(2);
    assert!(!fake.path("demo/.pixi-offline").exists());
    run(&["--dry-run"]).success();
    assert!(!fake.path("demo/.pixi-offline").exists());

    run(&[]).success();
    assert!(workdir.join("product/demo/pixi.toml").exists());
    let ignored = fake.read("demo/.pixi-offline/.gitignore");
    assert!(ignored.ends_with("\n*\n"), "{ignored}");
    let staged = names(&workdir.join("project/demo"));
    assert!(!staged.contains(&".pixi-offline".to_owned()), "{staged:?}");
    let digest = fs::read(workdir.join("product/SHA256SUMS")).unwrap();
    // Our own directory is no news, and neither is the cache in it.
    run(&["."])
        .success()
        .says_not("is reused")
        .says_not("NOTE: .pixi-offline");
    run(&["--explain", ".pixi-offline"])
        .success()
        .prints("is left out: .pixi-offline is the directory of workdirs, which is never staged\n");
    assert_eq!(names(&workdir.join("project/demo")), staged);
    assert_eq!(
        fs::read(workdir.join("product/SHA256SUMS")).unwrap(),
        digest
    );

    // The project may be an argument, and is named once.
    let run = |args: &[&str]| fake.sandbox.run("build-offline-product", args);
    run(&["demo"]).success();
    assert!(fake.path(".pixi-offline/demo/product").exists());
    run(&["demo", "--project-dir", "demo"]).code(2);
    run(&["demo", "--container-id", "c"]).code(2);
    // A directory of that name that is not ours belongs to the project.
    fake.sandbox.write("other/pixi.toml", "");
    fake.sandbox.write("other/pixi.lock", crate::fake::LOCK);
    fake.sandbox.write("other/.pixi-offline/notes", "");
    run(&["other"]).success();
    assert!(
        fake.path(".pixi-offline/other/product/other/.pixi-offline/notes")
            .exists()
    );
}

#[test]
fn the_pixi_of_the_build_is_in_the_product_unless_it_shall_not_be() {
    let fake = Fake::new();
    let build = |args: &[&str]| build(&fake, args);
    // This build brings none along: what follows is said, and only what was asked for refused.
    build(&[])
        .success()
        .says("WARNING: the build kept no copy of pixi");
    build(&["--no-bundle-pixi"])
        .success()
        .says_not("kept no copy of pixi");
    build(&["--bundle-pixi"]).code(2).says("--bundle-pixi: ");
    build(&["--bundle-pixi", "--no-bundle-pixi"]).code(2);
}

#[test]
fn a_product_is_packed_when_it_has_passed_and_not_before() {
    let fails = json!({"phases": [["install", "i\n", 0], ["bootstrap", "no\n", 7]]});
    let mut fake = Fake::new().with(fails);
    let archive = ["--archive", "demo.tar.zst"];
    build(&fake, &archive).code(7);
    let archives = || {
        let names = names(&fake.sandbox.work()).into_iter();
        names
            .filter(|name| name.contains("demo.tar"))
            .collect::<Vec<_>>()
    };
    assert_eq!(archives(), [""; 0]);
    for (inside, dir) in [("W/demo.tar", "/W,"), ("P/demo.tar", "/P,")] {
        fs::create_dir_all(fake.path("P")).unwrap();
        fs::create_dir_all(fake.path("W")).unwrap();
        let args = ["--output", "P", "--archive", inside];
        build(&fake, &args)
            .code(2)
            .says("which is replaced")
            .says(dir);
    }
    fake = Fake::new();
    let run = build(&fake, &["--format", "json", archive[0], archive[1]]);
    run.success()
        .says("Archive  ")
        .says("sha256sum -c demo.tar.zst.sha256\n");
    let packed = objects(&run);
    let of = |phase: &str| packed.iter().find(|object| object["phase"] == phase);
    let (packed, verify) = (of("pack"), of("verify"));
    let archive_of = |fake: &Fake| fs::read(fake.path("demo.tar.zst")).unwrap();
    let packed = packed.unwrap();
    assert_eq!(packed["outcome"], "passed");
    let file = fake.path("demo.tar.zst").display().to_string();
    assert_eq!(packed["archive"], file);
    assert_eq!(packed["bytes"], archive_of(&fake).len());
    let list = fake.read("demo.tar.zst.sha256");
    let digest = packed["sha256"].as_str().unwrap();
    assert_eq!(list, format!("{digest}  demo.tar.zst\n"));
    assert_eq!(packed["product_digest"], verify.unwrap()["product_digest"]);
    fake.sandbox
        .run("pack-product", ["W/product", "again.tar.zst"])
        .success();
    let again = fs::read(fake.path("again.tar.zst")).unwrap();
    assert!(archive_of(&fake) == again);
    let calls = fake.calls().len();
    build(&fake, &archive)
        .code(2)
        .says("demo.tar.zst already exists");
    assert_eq!(fake.calls().len(), calls);
}

#[test]
fn the_last_line_can_be_pasted_whatever_the_project_is_called() {
    let mut fake = Fake::new();
    fake.sandbox.set("PIXI_IMAGE", "img:1");
    for name in ["back\\slash", "it's a $HOME", "~", "#x*?", "a:b", "ä"] {
        fake.sandbox
            .write(format!("{name}/pixi.toml"), "[project]\nname = 'demo'\n");
        fake.sandbox
            .write(format!("{name}/pixi.lock"), crate::fake::LOCK);
        let made = fake
            .sandbox
            .run("build-offline-product", [&format!("./{name}"), "-v"]);
        let next = made.success().stderr.lines().last().unwrap().to_owned();
        let next = next.strip_prefix("Next: ").unwrap();
        Run::of(fake.sandbox.program("sh").args(["-c", next]))
            .success()
            .says("OK: packed ");
    }
}

#[test]
fn no_run_stages_what_an_earlier_one_has_written() {
    let mut fake = Fake::new();
    fake.sandbox.set("PIXI_IMAGE", "img:1");
    let run = |args: &[&str]| {
        let mut command = fake.sandbox.command("build-offline-product");
        Run::of(command.args(args).current_dir(fake.path("demo")))
    };
    let lists = |number: usize| {
        let made = run(&["-v"]);
        let next = made.success().stderr.lines().last().unwrap().to_owned();
        let next = next
            .strip_prefix("Next: ")
            .unwrap_or_else(|| panic!("{made}"));
        // The archive of the run before is replaced.
        assert_eq!(next.contains("--force"), number > 0, "{next}");
        Run::of(
            fake.sandbox
                .program("sh")
                .args(["-c", next])
                .current_dir(fake.path("demo")),
        )
        .success();
        let dir = fake.path("demo/.pixi-offline");
        assert!(dir.join("demo.tar.zst.sha256").is_file(), "{next}");
        fs::read(dir.join("demo/product/SHA256SUMS")).unwrap()
    };
    assert_eq!(lists(0), lists(1));

    let told = "is in the project, and the next build would put it into the product";
    for args in [
        ["--archive", "x.tar.zst"],
        ["--archive", "src/x.tar"],
        ["--out-dir", "."],
        ["--out-dir", "logs"],
    ] {
        run(&args).code(2).says(told);
        run(&[&args[..], &["--dry-run"]].concat())
            .code(2)
            .says(told);
    }
    for args in [
        &["--archive", "x.tar.zst", "--exclude", "x.tar*"][..],
        &["--archive", ".pixi-offline/x.tar.zst"],
        &["--archive", "../x.tar.zst"],
        &["--out-dir", "logs", "--exclude", "logs/"],
        &["--out-dir", "../logs"],
    ] {
        run(&[args, &["--dry-run"]].concat()).success();
    }
    // Where the place beside the workdir is the project, it is the one beside that.
    run(&["--workdir", "W"])
        .success()
        .says(&format!(" {}\n", fake.path("demo.tar.zst").display()));
}
