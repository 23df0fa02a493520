//! Environments, the pruned cache, the pixi that travels, and the network that
//! nothing may try to reach.

use std::fs;

use testbed::images::{Change, Variant, derived_image};
use testbed::project::Manifest;
use testbed::sandbox::words;

use crate::real::{Real, at_the_target, image, images};

/// Two environments that need other versions of one package.
fn two_environments() -> Manifest {
    Manifest::usual("demo").lines(
        "[feature.old.dependencies]\nflavour = \"1.0\"\n\n[feature.new.dependencies]\nflavour = \"2.0\"\n\n\
         [environments]\nold = [\"old\"]\nnew = [\"new\"]\n",
    )
}

fn packages(real: &Real) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(real.path("W/product/pkg-cache/pkgs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    names.sort();
    names
}

#[test]
fn the_pruned_product_of_a_project_with_environments_installs_them_offline() {
    for image in images() {
        let real = Real::with_project(&image.reference, &two_environments());
        let args = words("-e old --environment new --verify-environment old --verify-task where");
        real.create(&args).success().prints("/.pixi/envs/old");
        real.make(&["--deep"]).success();
        assert_eq!(packages(&real).len(), 4, "{:?}", packages(&real));
        // Without being told which: the first that the product installs.
        let args = ["--project-name", "demo", "--verify-task", "where"];
        real.verify(&args)
            .success()
            .prints("/product/demo/.pixi/envs/old");
        let args = words("--project-name demo --verify-environment new --verify-task where");
        real.verify(&args)
            .success()
            .prints("/product/demo/.pixi/envs/new");
        let script = "cp -a /carried/it /elsewhere; cd /elsewhere; ./bootstrap-project.sh; . ./envs.sh; cd demo; \
                      ls .pixi/envs; pixi run -e new where";
        let run = at_the_target(&image.reference, &real.path("W/product"), script);
        run.success()
            .prints("new\nold\n")
            .prints("/elsewhere/demo/.pixi/envs/new");

        // What another environment needs goes.
        real.create(&["-e", "old"]).success();
        real.make::<&str>(&[]).success();
        assert!(
            packages(&real)
                .iter()
                .any(|name| name.starts_with("flavour-1.0"))
        );
        assert!(
            !packages(&real)
                .iter()
                .any(|name| name.starts_with("flavour-2.0"))
        );
        // And all of them, by the lock.
        real.create(&["--all-environments"]).success();
        real.make::<&str>(&[]).success();
        assert_eq!(packages(&real).len(), 4, "{:?}", packages(&real));
        real.verify::<&str>(&[]).success();
    }
}

#[test]
fn a_product_with_its_pixi_bootstraps_where_there_is_none() {
    for image in images() {
        let real = Real::with_project(&image.reference, &Manifest::usual("demo"));
        real.create::<&str>(&[]).success();
        real.make(&["--bundle-pixi"]).success();
        let bare = Variant::WithoutPixi.of(&image.reference).unwrap();
        let script = "! command -v pixi; cp -a /carried/it /elsewhere; cd /elsewhere; ./bootstrap-project.sh; . ./envs.sh; \
                      cd demo; pixi run where";
        let run = at_the_target(&bare, &real.path("W/product"), script);
        run.success().prints("/elsewhere/demo/.pixi/envs/default");
    }
}

#[test]
fn a_pixi_that_tries_the_network_and_falls_back_is_found_out() {
    let real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    // 192.0.2.0/24 is nobody's (RFC 5737), and the container has no way out.
    let eager = "#!/bin/bash\n(exec 3<>/dev/tcp/192.0.2.1/80) 2>/dev/null\nexec /usr/local/bin/real-pixi \"$@\"\n";
    let moved = derived_image(
        "eager-pixi:test",
        &image().reference,
        &[
            Change::Instructions("RUN mv \"$(command -v pixi)\" /usr/local/bin/real-pixi"),
            Change::Script {
                text: eager,
                to: "/usr/local/bin/pixi",
            },
        ],
    )
    .unwrap();
    let real = Real {
        image: moved,
        ..real
    };
    real.verify::<&str>(&[])
        .code(1)
        .says("tried to reach the network")
        .says("bootstrap.offline.log");
}

#[test]
fn a_verification_that_tries_the_network_is_only_told() {
    let real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    real.sandbox.write("demo/call.py", "import socket\ntry:\n  socket.create_connection(('192.0.2.1', 80), 1)\nexcept OSError:\n  print('no way')\n");
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    let args = words("--project-name demo --verify-run -- python call.py");
    real.verify(&args)
        .success()
        .prints("no way")
        .says("NOTE: the verification tried to reach the network");
}

#[test]
fn detached_environments_do_not_lead_a_product_astray() {
    for image in images() {
        let real = Real::with_project(&image.reference, &Manifest::usual("demo"));
        real.sandbox
            .write("demo/.pixi/config.toml", "detached-environments = true\n");
        real.create(&["--verify-task", "where"])
            .success()
            .prints("/workdir/project/demo/.pixi/envs/default");
        real.make::<&str>(&[]).success();
        let args = ["--project-name", "demo", "--verify-task", "where"];
        real.verify(&args)
            .success()
            .prints("/product/demo/.pixi/envs/default");
    }
}

#[test]
fn damage_to_any_file_of_a_real_package_is_found_deep() {
    let real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    real.create::<&str>(&[]).success();
    real.make(&["--deep"]).success();
    let package = fs::read_dir(real.path("W/pixi-cache/pkgs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir() && path.to_string_lossy().contains("prefix-tool"))
        .unwrap();
    let paths = fs::read(package.join("info/paths.json")).unwrap();
    let paths: serde_json::Value = serde_json::from_slice(&paths).unwrap();
    let listed: Vec<&str> = paths["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["_path"].as_str().unwrap())
        .collect();
    assert!(listed.len() >= 3, "{listed:?}");
    for name in listed {
        let file = package.join(name);
        let content = fs::read(&file).unwrap();
        let mut damaged = content.clone();
        match damaged.last_mut() {
            Some(last) => *last ^= 1,
            None => damaged.push(0),
        }
        fs::write(&file, damaged).unwrap();
        real.make(&["--deep"]).code(1).says(name);
        fs::write(&file, content).unwrap();
    }
    real.make(&["--deep"]).success();
}
