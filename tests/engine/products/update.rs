//! The second delivery: an update is carried to a machine without a network and without tools of ours.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use testbed::images::ensure_base_image;
use testbed::project::{Manifest, lock_project};
use testbed::sandbox::{Run, words};

use crate::real::{Real, at_the_target, channel, image};

/// What a person types at the target: the first delivery, then the second.
const AT_THE_TARGET: &str = r#"
! command -v pixi
cp -a /carried/it/first /opt/demo
cd /opt/demo
./bootstrap-project.sh
bash -ec '. ./envs.sh; cd demo; pixi run taste'
echo mine >demo/own.txt
cd /
/carried/it/update/apply-update.sh --check /opt/demo
/carried/it/update/apply-update.sh /opt/demo
cd /opt/demo
./bootstrap-project.sh --check
./bootstrap-project.sh
bash -ec '. ./envs.sh; cd demo; pixi run taste; cat notes.txt'
sha256sum SHA256SUMS
cat /opt/demo.*/demo/own.txt
bash -ec 'cd /opt/demo.*; . ./envs.sh; cd demo; test -x .pixi/envs/default/bin/flavour'
/carried/it/update/apply-update.sh --remove-old /opt/demo
ls /opt
"#;

#[test]
fn an_update_with_one_package_and_one_file_is_applied_bootstrapped_and_run_at_the_target() {
    let project = |version: &str| {
        Manifest::usual("demo")
            .dependency("flavour", version)
            .task("taste", "flavour")
    };
    let real = Real::with_project(&image().reference, &project("1.0"));
    fs::write(real.path("demo/notes.txt"), "first\n").unwrap();
    real.build(&["--verify-task", "taste"]).success();
    fs::create_dir(real.path("carried")).unwrap();
    fs::rename(real.path("W/product"), real.path("carried/first")).unwrap();
    let lock = fs::read(real.path("demo/pixi.lock")).unwrap();

    project("2.0").write(channel(), &real.path("demo")).unwrap();
    fs::remove_file(real.path("demo/pixi.lock")).unwrap();
    lock_project(&real.image, &real.path("demo")).unwrap();
    assert_ne!(fs::read(real.path("demo/pixi.lock")).unwrap(), lock);
    fs::write(real.path("demo/notes.txt"), "second\n").unwrap();
    real.build(&["--verify-task", "taste"]).success();
    let args = words("--from carried/first --product-dir W/product --output carried/update");
    real.sandbox.run("make-product-update", args).success();

    // The page of the second delivery: this change, and no other.
    let args = ["carried/first", "W/product", "--format", "json"];
    let run = real.sandbox.run("compare-products", args);
    let found: Value = serde_json::from_str(&run.success().stdout).unwrap();
    let names = |list: &Value, field: &str| -> BTreeSet<String> {
        let names = list
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry[field].as_str().unwrap());
        names.map(str::to_owned).collect()
    };
    assert_eq!(
        names(&found["packages"], "name"),
        ["flavour".to_owned()].into()
    );
    let files = ["notes.txt", "pixi.lock", "pixi.toml"].map(str::to_owned);
    assert_eq!(names(&found["project"]["changes"], "path"), files.into());

    let base = ensure_base_image().unwrap();
    let run = at_the_target(base, &real.path("carried"), AT_THE_TARGET);
    let mut digest = real.sandbox.program("sha256sum");
    let digest = Run::of(digest.arg("W/product/SHA256SUMS")).stdout;
    run.success()
        .prints("flavour 1.0\n")
        .prints("flavour 2.0\nsecond\n")
        .prints(&digest[..64])
        .prints("\nmine\n")
        .says("1 environment is installed")
        .says("added: demo/own.txt");
    assert!(run.stdout.ends_with("\ndemo\n"), "{run}");
}
