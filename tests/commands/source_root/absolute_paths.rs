//! Absolute paths of a lock that are in the root.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use testbed::sandbox::{names, words};

use super::{LOCK, create, make, monorepo};
use crate::create_workdir_from_container::Container;

#[test]
fn absolute_paths_in_a_container_are_relative_in_its_workdir_too() {
    let container = Container::new();
    let fake = monorepo();
    let mono = container.fake.path("mono");
    fs::rename(fake.path("mono"), &mono).unwrap();
    let own = absolute_lock(&mono);
    let project = mono.join("apps/foo");
    fs::write(project.join("pixi.lock"), &own).unwrap();
    let args = [
        "--container-id",
        "c1",
        "--project-path-in-container",
        project.to_str().unwrap(),
        "--source-root-in-container",
        mono.to_str().unwrap(),
        "--container-workdir-path",
        container.path.to_str().unwrap(),
        "--workdir",
        "W",
    ];
    let run =
        |command: &str, more: &[&str]| container.fake.sandbox.run(command, args.iter().chain(more));
    for (command, more) in [
        ("build-offline-product", &["--dry-run"][..]),
        ("create-workdir-from-container", &[]),
    ] {
        let run = run(command, more);
        run.success().says("installed as it is (--frozen)");
    }
    let read = |path: &str| fs::read_to_string(container.fake.path(path)).unwrap();
    assert_eq!(read("mono/apps/foo/pixi.lock"), own);
    assert_eq!(read("W/pixi.lock.original"), own);
    let staged = read("W/project/foo/apps/foo/pixi.lock");
    assert!(staged.contains("- pypi: ../../libs/bar\n"), "{staged}");
    make(&container.fake).success();
    assert_eq!(read("W/product/foo/apps/foo/pixi.lock"), staged);
}

/// The lock as pixi 0.68 and later write it, with the library at its absolute path and the wheel
/// by its `file:` URL.
fn absolute_lock(mono: &Path) -> String {
    let mono = mono.display();
    let packages = "packages:\n- pypi: ../../libs/bar\n  name: bar\n- pypi: ../../vendor/w-1.0-py3-none-any.whl\n  name: w\n  version: '1.0'\n";
    let (lists, _) = LOCK.split_once("packages:\n- pypi").unwrap();
    let lists = lists.replace("version: 6\n", "version: 7\nplatforms:\n- name: linux-64\n");
    format!("{lists}{packages}")
        .replace("../../libs", &format!("{mono}/libs"))
        .replace("../../vendor", &format!("file://{mono}/vendor"))
}

#[test]
fn absolute_paths_in_the_root_are_relative_in_the_lock_that_is_installed() {
    let fake = monorepo();
    let own = absolute_lock(&fake.path("mono"));
    fake.sandbox.write("mono/apps/foo/pixi.lock", &own);
    let read = |path: &str| fake.read(path);
    // The second run overwrites the first.
    for is_first in [true, false] {
        create(&fake, &[])
            .success()
            .says("with relative paths, installed as it is (--frozen)")
            .says_not("was changed");
        if is_first {
            let (_, args) = fake.run_call();
            assert!(
                args[0].contains("\ninstall_options='--frozen'\n"),
                "{args:?}"
            );
        }
        assert_eq!(read("mono/apps/foo/pixi.lock"), own);
        assert_eq!(read("W/pixi.lock.original"), own);
        let staged = read("W/project/foo/apps/foo/pixi.lock");
        for path in ["../../libs/bar", "../../vendor/w-1.0-py3-none-any.whl"] {
            assert!(staged.contains(&format!("- pypi: {path}\n")), "{staged}");
        }
        assert!(!staged.contains("/mono/"), "{staged}");
        let libs = names(&fake.path("W/project/foo/libs"));
        assert_eq!(libs, ["bar", "baz"]);

        make(&fake).success();
        assert_eq!(read("W/product/pixi.lock.original"), own);
        assert_eq!(read("W/product/foo/apps/foo/pixi.lock"), staged);
        let manifest = read("W/product/manifest.json");
        assert!(manifest.contains("Absolute paths of Python packages are relative"));
        assert!(manifest.contains("\"frozen\": true"));
    }
    // Without the lock that the record names there is no product.
    fs::write(fake.path("W/pixi.lock.original"), "version: 6\n").unwrap();
    make(&fake).code(2).says("W/pixi.lock.original");
    assert_eq!(read("W/product/pixi.lock.original"), own);
    // In a project alone, through a link.
    let wheel = "w-1.0-py3-none-any.whl";
    fake.sandbox.write(format!("alone/{wheel}"), "");
    fake.sandbox.write("alone/pixi.toml", "[project]\n");
    let (lists, _) = own.split_once("packages:\n- pypi").unwrap();
    let (lists, _) = lists.split_once("      - pypi").unwrap();
    let path = fake.path("alone").join(wheel);
    let path = path.display();
    let lock = format!(
        "{lists}      - pypi: {path}\npackages:\n- pypi: {path}\n  name: w\n  version: '1.0'\n"
    );
    fake.sandbox.write("alone/pixi.lock", lock);
    symlink("alone", fake.path("linked")).unwrap();
    for project in ["alone", "linked"] {
        let here = format!("--image img:1 --project-dir {project} --workdir A");
        let here = words(&here);
        fake.sandbox.run("create-workdir-from-host", here).success();
        let staged = read(&format!("A/project/{project}/pixi.lock"));
        assert!(staged.contains(&format!("- pypi: ./{wheel}\n")), "{staged}");
    }
    // Without the root the paths are outside, and the root is named.
    let here = ["--image", "img:1", "--project-dir", "mono/apps/foo"];
    let run = fake.sandbox.run("create-workdir-from-host", here);
    run.code(2)
        .says("bar is locked by an absolute path")
        .says("add:\n  --source-root ");
}
