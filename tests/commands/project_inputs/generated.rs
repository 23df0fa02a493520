//! What a build makes in the project.

use super::*;
use testbed::sandbox::words;

/// A build that makes files in the project, beside the environments.
fn building() -> Fake {
    Fake::new().with(json!({"writes": {
        "/workdir/project/demo/build/CMakeCache.txt": "CMAKE_HOME=/workdir/project/demo\n",
        "/workdir/project/demo/build/sub/empty.o": "",
        "/workdir/project/demo/src/_version.py": "version = '1.0'\n",
        "/workdir/project/demo/src/__pycache__/main.pyc": "x",
        "/workdir/project/demo/.pixi/envs/default/x": "/workdir/project/demo",
    }}))
}

fn generated(fake: &Fake) -> Value {
    let record = fake.json("W/workdir.json");
    record["generated"].clone()
}

#[test]
fn what_a_build_made_is_listed_and_what_holds_its_path_is_named() {
    let fake = building();
    let run = fake.create(&[""; 0]);
    run.success().says(
        "WARNING: 1 file that the build made in the project holds its path in the container, /workdir,",
    );
    run.says(": build/CMakeCache.txt\n");
    let listed = generated(&fake);
    let paths: Vec<&str> = listed["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        words("build build/CMakeCache.txt build/sub build/sub/empty.o src/_version.py")
    );
    assert_eq!(listed["entries"][0]["sha256"], Value::Null);
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(listed["entries"][3]["sha256"], empty);
    // So is a manifest, and a variable of the product, but not its value.
    let fake = Fake::new();
    fake.sandbox.write(
        "demo/pixi.toml",
        "[project]\nname = 'demo'\n[activation.env]\nD = '/workdir/project/demo/data'\n",
    );
    fake.create(&[""; 0])
        .success()
        .says("WARNING: pixi.toml names a path below /workdir,");
    let args = words("--env A=/elsewhere --env B=x:/workdir/resources/secret");
    let run = make(&fake, &args);
    run.success()
        .says("WARNING: --env B names a path below /workdir,")
        .says_not("--env A names");
    run.says_not("secret");
    // A build that makes nothing says nothing.
    let fake = Fake::new();
    fake.create(&[""; 0]).success().says_not("the build made");
    assert_eq!(generated(&fake)["entries"], json!([]));
}

#[test]
fn alone_the_product_has_what_the_build_made_unless_it_is_dropped() {
    let fake = building();
    fake.create(&[""; 0]).success();
    make(&fake, &[])
        .success()
        .says("1 file that the build made in the project is packed and holds its path");
    let product = fake.path("W/product/demo");
    assert_eq!(
        names(&product),
        [".pixi", "build", "pixi.lock", "pixi.toml", "src"]
    );
    let run = make(&fake, &["--drop-generated"]);
    run.success().says(
        "NOTE: 3 files that the build made in the project are left out: build/CMakeCache.txt, build/sub/empty.o, src/_version.py; --keep-generated packs what the build made",
    );
    run.says_not("hold its path");
    assert_eq!(names(&product), [".pixi", "pixi.lock", "pixi.toml", "src"]);
    assert_eq!(names(&product.join("src")), ["main.py"]);
}

#[test]
fn what_a_person_adds_or_changes_after_the_build_is_always_packed() {
    let fake = building();
    fs::remove_file(fake.path("demo/pixi.lock")).unwrap();
    let fake = fake.with(json!({"writes": {
        "/workdir/project/demo/build/one": "1",
        "/workdir/project/demo/build/two": "2",
        "/workdir/project/demo/pixi.lock": LOCK,
        "/workdir/project/demo/new/only": "x",
    }}));
    fake.create(&[""; 0]).success();
    let staged = fake.path("W/project/demo");
    fs::write(staged.join("build/two"), "changed").unwrap();
    fs::write(staged.join("build/three"), "added").unwrap();
    fs::remove_file(staged.join("new/only")).unwrap();
    symlink("../src/main.py", staged.join("new/only")).unwrap();
    make(&fake, &["--drop-generated"])
        .success()
        .says("1 file that the build made")
        .says(": build/one;");
    let product = fake.path("W/product/demo");
    assert_eq!(
        names(&product),
        [".pixi", "build", "new", "pixi.lock", "pixi.toml", "src"]
    );
    assert_eq!(names(&product.join("build")), ["three", "two"]);
    assert!(product.join("new/only").is_symlink());
}

#[test]
fn what_is_not_known_is_never_taken_for_nothing() {
    let fake = building();
    fake.create(&[""; 0]).success();
    let file = fake.path("W/workdir.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for generated in [
        Value::Null,
        json!({"entries": [], "unknown": "it is more than can be listed"}),
    ] {
        record["generated"] = generated;
        fs::write(&file, record.to_string()).unwrap();
        make(&fake, &["--drop-generated"])
            .code(2)
            .says("cannot be left out");
        assert_eq!(names(&fake.path("W/product")), [""; 0]);
    }
    make(&fake, &[]).success();
    // A path that leads out of the project is nobody's.
    fake.sandbox.write("outside", "x");
    let digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    record["generated"] = json!({"entries": [{"path": "../../../outside", "sha256": digest}]});
    fs::write(&file, record.to_string()).unwrap();
    make(&fake, &["--drop-generated"])
        .success()
        .says_not("made in the project are left out");
    assert!(fake.path("W/product/demo/build/CMakeCache.txt").is_file());
}

#[test]
fn a_build_that_made_more_than_can_be_listed_is_told_from_one_that_made_nothing() {
    let container = Container::new();
    let fake = &container.fake;
    // Paths of 3,000 bytes and more, some 9,000 in the list each as it is counted.
    let pixi = "#!/bin/bash
case $1 in
--version) echo pixi 0.77.0 ;;
install) mkdir -p \"$PIXI_CACHE_DIR/pkgs\"
  long=$(printf 'x%.0s' {1..250})
  deep=flood; for _ in {1..12}; do deep=$deep/$long; done
  mkdir -p \"$deep\"; (cd \"$deep\" && seq 1 9000 | xargs touch) ;;
esac
";
    fs::write(fake.sandbox.bin().join("pixi"), pixi).unwrap();
    let run = container.run("build-offline-product", &["--verify-task", "t"]);
    run.code(2)
        .says("it is more than can be listed (9013 entries in flood alone)");
    run.says("--exclude");
    assert!(fs::metadata(fake.path("W/workdir.json")).unwrap().len() < 10_000);
    // As it says.
    let args = ["--verify-task", "t", "--exclude", "/flood/"];
    container.run("build-offline-product", &args).success();
    assert!(!fake.path("W/product/demo/flood").exists());
}

#[test]
fn in_one_go_excludes_and_what_was_made_stay_behind_in_the_product_too() {
    let pixi = "#!/bin/bash
case $1 in
--version) echo pixi 0.77.0 ;;
install) mkdir -p \"$PIXI_CACHE_DIR/pkgs\" build excluded; pwd > build/CMakeCache.txt; touch excluded/x ;;
run) touch made-by-the-verification ;;
esac
";
    let container = Container::new();
    let fake = &container.fake;
    fs::write(fake.sandbox.bin().join("pixi"), pixi).unwrap();
    let args = ["--verify-task", "t", "--exclude", "/excluded/"];
    let run = container.run("build-offline-product", &args);
    run.success().says(
        "NOTE: 2 files that the build made in the project are left out: build/CMakeCache.txt, made-by-the-verification; --keep-generated packs what the build made",
    );
    run.says("holds its path in the container");
    let product = fake.path("W/product/demo");
    assert_eq!(
        names(&product),
        [".env.d", ".pixi", "pixi.lock", "pixi.toml", "src"]
    );
    let run = container.run(
        "build-offline-product",
        &["--verify-task", "t", "--keep-generated"],
    );
    run.success()
        .says("packed and holds its path")
        .says(": build/CMakeCache.txt");
    assert_eq!(
        names(&product),
        words(".env.d .pixi build excluded made-by-the-verification pixi.lock pixi.toml src")
    );
}
