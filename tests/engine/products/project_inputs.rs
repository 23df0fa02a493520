//! Projects as people have them, on the real engine: a build tree that holds its path, `.pixi` as a
//! link in a container, a workdir that container root may not write.

use testbed::project::Manifest;
use testbed::sandbox::{Run, binary, names};

use crate::products::containers::Container;
use crate::products::ends::plain_user;
use crate::real::{Real, image};

#[test]
fn a_build_tree_that_holds_its_path_stays_behind_and_is_made_anew_at_another() {
    let build = "import os, sys
there = os.path.exists('build/CMakeCache.txt')
if there and open('build/CMakeCache.txt').read() != os.getcwd():
    sys.exit('CMakeCache is of another path')
os.makedirs('build', exist_ok=True)
open('build/CMakeCache.txt', 'w').write(os.getcwd())
";
    let real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    real.sandbox.write("demo/configure.py", build);
    let verify = ["--verify-run", "--", "python", "configure.py"];
    real.build(&verify)
        .success()
        .says("left out: build/CMakeCache.txt");
    assert!(!real.path("W/product/demo/build").exists());
    // Packed on request, the tree is of no use: so the test tells something.
    let args = [&["--keep-generated"][..], &verify].concat();
    real.build(&args).code(1).says("packed and hold");
    // Left out by a pattern, of the product too.
    let args = [&["--keep-generated", "--exclude", "/build/"][..], &verify].concat();
    real.build(&args)
        .success()
        .says_not("its path in the container, /workdir, which does not exist elsewhere: build");
    assert!(!real.path("W/product/demo/build").exists());
}

#[test]
fn pixi_in_a_running_container_does_not_install_through_a_link_of_the_project() {
    let (real, container) = Container::with_project(&image().reference, &[]);
    container
        .sh("mkdir /scratch; rm -rf /home/me/demo/.pixi; ln -s /scratch /home/me/demo/.pixi")
        .success();
    let args = [
        "--container-id",
        &container.name,
        "--project-path-in-container",
        "/home/me/demo",
        "--workdir",
        "W",
        "--verify-task",
        "where",
    ];
    real.sandbox
        .run("create-workdir-from-container", args)
        .success();
    container.sh("ls -A /scratch").success();
    assert_eq!(container.sh("ls -A /scratch").stdout, "");
    // The directory that pixi made there, without its environments.
    assert!(!real.path("W/project/demo/.pixi").is_symlink());
    assert_eq!(names(&real.path("W/project/demo/.pixi")), [""; 0]);
}

#[test]
fn a_workdir_that_container_root_may_not_write_is_carried() {
    let real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    let user = plain_user(&real);
    let create = |more: &[&str]| {
        let mut command = real.sandbox.program(&user[0]);
        command
            .args(&user[1..])
            .arg(binary("create-workdir-from-host"))
            .args([
                "--image",
                &real.image,
                "--project-dir",
                "demo",
                "--workdir",
                "W",
            ])
            .args(["--verify-task", "where"])
            .args(more);
        Run::of(&mut command)
    };
    // What a file server that maps root to nobody does to container root.
    let squashed = [
        "--engine-arg=--cap-drop=DAC_OVERRIDE",
        "--engine-arg=--cap-drop=CHOWN",
        "--engine-arg=--cap-drop=FOWNER",
    ];
    let run = create(&[&squashed[..], &["--transfer", "mount"]].concat());
    run.code(1)
        .says(&format!("cannot write into {}:", real.path("W").display()))
        .says("Permission denied");
    assert_eq!(names(&real.sandbox.work()), ["demo"]);
    let run = create(&squashed);
    run.success()
        .says("cannot write into")
        .says("files are copied through volumes");
    assert!(real.path("W/pixi-cache/pkgs").is_dir());
    // With all its capabilities it may, and nothing is carried.
    create(&[]).success().says_not("copied through volumes");
    // The network of the caller is for the build, not for the container that tries it.
    std::fs::remove_dir_all(real.path("W")).unwrap();
    create(&["--engine-arg=--network=host"])
        .success()
        .says_not("copied through volumes");
}

/// What podman's `keep-id` does too: the container's user is the caller, and not root.
#[test]
fn a_container_whose_user_is_not_root_verifies_a_product() {
    let real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    let user = plain_user(&real);
    let docker = |args: &[&str]| {
        let run = Run::of(std::process::Command::new("docker").args(args));
        run.success().stdout.trim().to_owned()
    };
    let name = format!("pixi-offline-test/user-{}", std::process::id());
    let container = docker(&["create", &real.image, "true"]);
    docker(&["commit", "--change", "USER 65534:65534", &container, &name]);
    docker(&["rm", &container]);
    let mut command = real.sandbox.program(&user[0]);
    command
        .args(&user[1..])
        .arg(binary("build-offline-product"))
        .args(["--image", &name, "--project-dir", "demo", "--workdir", "W"])
        .args(["--container-env", "HOME=/tmp", "--verify-task", "where"]);
    let run = Run::of(&mut command);
    docker(&["rmi", &name]);
    run.success().says_not("copied through volumes");
    assert!(real.path("W/product/manifest.json").is_file());
}
