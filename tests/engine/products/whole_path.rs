//! From a project to a product that installs elsewhere without a network.

use std::fs;

use testbed::project::Manifest;
use testbed::sandbox::{has, words};

use crate::listing::listing;
use crate::real::{Real, at_the_target, image, images};

/// The usual project, and a package of thousands of files.
fn manifest() -> Manifest {
    Manifest::usual("demo").dependency("many-files", "*")
}

#[test]
fn the_whole_path_with_every_pixi_of_this_machine() {
    for image in images() {
        eprintln!("pixi {}", image.version);
        let real = Real::with_project(&image.reference, &manifest());
        real.sandbox.write("demo/read me.txt", "x");
        real.sandbox.write("data/model.bin", "weights");
        let lock = fs::read(real.path("demo/pixi.lock")).unwrap();

        let run = real.create(&["--resources-dir", "data", "--verify-task", "where"]);
        run.success()
            .prints("/workdir/project/demo/.pixi/envs/default");
        assert_eq!(
            fs::read(real.path("W/project/demo/pixi.lock")).unwrap(),
            lock
        );
        let log = real.read("W/out/verify.log");
        has(&log, "/workdir/project/demo/.pixi/envs/default");

        let helper = real.path("W/helpers/make-archive-ready-product.sh");
        let args = ["--workdir", "W", "--env", "GREETING=it's $HOME"];
        testbed::sandbox::Run::of(real.sandbox.program(helper).args(args)).success();
        let before = listing(&real.path("W/product"));
        assert!(!real.path("W/product/demo/.pixi").exists());

        let run = real.verify(&["--project-name", "demo", "--verify-task", "where"]);
        run.success().prints("/product/demo/.pixi/envs/default");
        assert_eq!(
            listing(&real.path("W/product")),
            before,
            "the product was changed by being verified"
        );
        let log = real.read("O/verify.offline.log");
        assert!(log.contains("/product/demo/.pixi/envs/default"), "{log}");
        let log = real.read("O/bootstrap.offline.log");
        assert!(!log.is_empty());

        // Carried to another path, installed there, by hand.
        let script = "cp -a /carried/it '/some place'; cd '/some place'; ./bootstrap-project.sh; \
                      ./bootstrap-project.sh --check; . ./envs.sh; cd demo; pixi run where; \
                      pixi run python -c 'import json, os; print(os.environ[\"GREETING\"])'; \
                      cat \"$PRODUCT_RES_DIR/model.bin\"";
        let run = at_the_target(&image.reference, &real.path("W/product"), script);
        run.success()
            .prints("/some place/demo/.pixi/envs/default")
            .prints("ok: the bytes of every file are as SHA256SUMS says\n")
            .prints("it's $HOME\n")
            .prints("weights");
    }
}

#[test]
fn project_names_and_paths_with_spaces_colons_and_commas() {
    for name in ["my, project 1", "my: project, 1"] {
        let real = Real::with_project(&image().reference, &manifest());
        let place = "projects: all, \"of\" them";
        fs::create_dir(real.path(place)).unwrap();
        let project = format!("{place}/{name}");
        fs::rename(real.path("demo"), real.path(&project)).unwrap();
        // A colon in the path of an environment cuts PATH in two, so there the
        // verification uses a program of the system's.
        let verification: &[&str] = if name.contains(':') {
            &["--verify-run", "--", "sh", "-c", "echo \"$CONDA_PREFIX\""]
        } else {
            &["--verify-task", "where"]
        };
        let workdir = "work: dir, 2";
        let args = [
            "--project-dir",
            &project,
            "--workdir",
            workdir,
            "--container-workdir-path",
            "/tmp/w d",
        ];
        let run = real.create(&[&args, verification].concat());
        run.success()
            .prints(&format!("/tmp/w d/project/{name}/.pixi/envs/default"));
        assert_eq!(
            run.stderr.contains("WARNING: "),
            name.contains(':'),
            "{run}"
        );
        real.make(&["--workdir", workdir]).success();
        let product = format!("{workdir}/product");
        let args = [
            "--product-dir",
            &product,
            "--out-dir",
            "out: x, y",
            "--project-name",
            name,
        ];
        let run = real.verify(&[&args, verification].concat());
        run.success()
            .prints(&format!("/product/{name}/.pixi/envs/default"));
        assert!(real.path("out: x, y/verify.offline.log").exists());
    }
}

#[test]
fn a_project_without_a_lock_gets_one_in_the_product() {
    let real = Real::with_project(&image().reference, &manifest());
    fs::remove_file(real.path("demo/pixi.lock")).unwrap();
    real.create::<&str>(&[])
        .success()
        .says("WARNING: no pixi.lock");
    real.make::<&str>(&[]).success();
    assert!(real.path("W/product/demo/pixi.lock").exists());
    assert!(!real.path("demo/pixi.lock").exists());
    real.verify::<&str>(&[]).success();
    let log = real.read("O/verify.offline.log");
    assert_eq!(log, "No verification requested.\n");
}

#[test]
fn a_stale_lock_is_refused_and_can_be_updated() {
    for image in images() {
        let real = Real::with_project(&image.reference, &Manifest::usual("demo"));
        let lock = fs::read(real.path("demo/pixi.lock")).unwrap();
        manifest()
            .write(crate::real::channel(), &real.path("demo"))
            .unwrap();
        let run = real.create::<&str>(&[]);
        assert_ne!(run.code, 0, "pixi {}: {run}", image.version);
        run.says("pixi install failed").says("--update-lock");
        real.make::<&str>(&[]).code(2).says("did not finish");
        real.create(&["--update-lock"])
            .success()
            .says("WARNING: pixi.lock was changed");
        assert_eq!(fs::read(real.path("demo/pixi.lock")).unwrap(), lock);
        assert_ne!(
            fs::read(real.path("W/project/demo/pixi.lock")).unwrap(),
            lock
        );
    }
}

#[test]
fn a_second_run_over_the_first() {
    let real = Real::with_project(&image().reference, &manifest());
    for round in 0..2 {
        real.sandbox.write("demo/round", format!("{round}"));
        real.create(&["--verify-task", "where"]).success();
        real.make::<&str>(&[]).success();
        real.verify(&["--project-name", "demo", "--verify-task", "where"])
            .success();
        assert_eq!(real.read("W/product/demo/round"), round.to_string());
    }
    let names: Vec<_> = fs::read_dir(real.path("W")).unwrap().collect();
    assert_eq!(names.len(), 7, "{names:?}");
}

#[test]
fn a_workdir_as_the_old_scripts_left_it() {
    let real = Real::with_project(&image().reference, &manifest());
    real.create::<&str>(&[]).success();
    fs::remove_file(real.path("W/workdir.json")).unwrap();
    fs::remove_dir_all(real.path("W/helpers")).unwrap();
    fs::remove_dir_all(real.path("W/product")).unwrap();
    real.make::<&str>(&[])
        .success()
        .says("NOTE: the workdir has no workdir.json");
    real.verify(&["--project-name", "demo", "--verify-task", "where"])
        .success();
}

#[test]
fn in_place_installs_into_the_product_itself() {
    let real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    let args = words("--in-place --project-name demo --verify-task where");
    real.verify(&args)
        .success()
        .prints("/product/demo/.pixi/envs/default");
    assert!(
        real.path("W/product/demo/.pixi/envs/default/bin/python")
            .exists()
    );
    // Installed into, it is still whole, but no longer what its digest names.
    real.verify(&args[1..])
        .success()
        .says("NOTE: something was installed in the product itself")
        .says_not("Product digest");
}

#[test]
fn a_verification_sees_the_resources_and_leaves_files_in_the_out_dir() {
    let real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    real.sandbox.write("data/model.bin", "weights");
    let python = "import os, shutil; shutil.copy(os.environ['PRODUCT_RES_DIR'] + '/model.bin', os.environ['VERIFY_OUT_DIR'] + '/seen')";
    real.sandbox.write("demo/check.py", python);
    let args = words("--expect-file seen --verify-run -- python check.py");
    real.create(&[&["--resources-dir", "data"], &args[..]].concat())
        .success();
    assert_eq!(real.read("W/out/seen"), "weights");
    real.make::<&str>(&[]).success();
    real.verify(&[&["--project-name", "demo"], &args[..]].concat())
        .success();
    assert_eq!(real.read("O/seen"), "weights");
    let args = words("--project-name demo --expect-file never --verify-task where");
    real.verify(&args).code(1).says("left no never");
    real.create(&["--expect-file", "never", "--verify-task", "where"])
        .code(1)
        .says("left no never");
}

#[test]
fn variables_of_any_name_do_not_get_into_the_way_of_our_own_scripts() {
    let real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    real.create::<&str>(&[]).success();
    let names = words("project pixi root name nonce out code child VERIFY_OUT_DIR");
    let assignments: Vec<String> = names.iter().map(|name| format!("{name}=x")).collect();
    let args: Vec<&str> = assignments
        .iter()
        .flat_map(|text| ["--env", text])
        .collect();
    real.make(&args).success();
    let args = [
        "--project-name",
        "demo",
        "--expect-file",
        "seen",
        "--verify-run",
        "--",
        "sh",
        "-c",
        "echo \"$project\" >$VERIFY_OUT_DIR/seen",
    ];
    if image().version.minor >= 77 {
        real.verify(&args).success();
        assert_eq!(real.read("O/seen"), "x\n");
    } else {
        real.verify(&["--project-name", "demo", "--verify-task", "where"])
            .success();
    }
    real.make(&["--env", "UID=5"])
        .code(2)
        .says("bash lets nobody set");
}
