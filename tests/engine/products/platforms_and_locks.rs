//! Manifests and locks that only a current pixi knows: several platforms of one subdir, tasks of
//! other environments, locks that are stale although no package changes, installs that move.

use std::fs;
use std::path::Path;
use std::process::Command;

use semver::Version;
use serde_json::Value;
use testbed::images::{PixiImage, ensure_base_image};
use testbed::project::{Manifest, lock_project};
use testbed::sandbox::{Run, has};

use crate::real::{Real, at_the_target, channel, images};

/// The first pixi that all of this was seen with.
const CURRENT: Version = Version::new(0, 77, 0);

/// The image with a current pixi; where there is none, the skip of this test is recorded.
fn current(test: &str) -> Option<&'static PixiImage> {
    let found = images().iter().find(|image| image.version >= CURRENT);
    if found.is_none() {
        testbed::skip(
            test,
            "needs a pixi of 0.77.0 or later; put one into pixi-bin/ of the cache directory",
        );
    }
    found
}

/// A tool to run, and nothing that takes long to install.
fn small() -> Manifest {
    Manifest::new("demo")
        .dependency("prefix-tool", "*")
        .task("where", "prefix-tool")
}

/// A locked project whose manifest has these platforms.
fn with_platforms(image: &PixiImage, manifest: &Manifest, platforms: &str) -> Real {
    let real = Real::new(&image.reference);
    let text = manifest.text(channel());
    let usual = format!("platforms = [\"{}\"]", channel().subdir);
    assert!(text.contains(&usual), "{text}");
    real.sandbox.write(
        "demo/pixi.toml",
        text.replace(&usual, &format!("platforms = [{platforms}]")),
    );
    lock_project(&real.image, &real.path("demo")).unwrap();
    real
}

fn gpu() -> String {
    format!(
        "{{ name = \"gpu\", platform = \"{}\", cuda = \"12.0\" }}",
        channel().subdir
    )
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// The name in the lock of the platform that `default` was installed for.
fn chosen(real: &Real) -> String {
    let record = json(&real.path("W/workdir.json"));
    let platform = &record["platforms"]["default"];
    assert_eq!(platform["subdir"], channel().subdir, "{record}");
    platform["name"].as_str().unwrap().to_owned()
}

fn carries(real: &Real, package: &str) -> bool {
    fs::read_dir(real.path("W/product/pkg-cache/pkgs"))
        .unwrap()
        .any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_str().unwrap().starts_with(package)
        })
}

const WHERE: [&str; 2] = ["--verify-task", "where"];

#[test]
fn of_two_platforms_of_one_subdir_the_one_that_pixi_chose_is_carried_and_recorded() {
    let Some(image) = current(
        "platforms_and_locks::of_two_platforms_of_one_subdir_the_one_that_pixi_chose_is_carried_and_recorded",
    ) else {
        return;
    };
    let manifest = small().lines("[target.gpu.dependencies]\nflavour = \"2.0\"\n");
    let both = format!("{}, \"{}\"", gpu(), channel().subdir);
    let real = with_platforms(image, &manifest, &both);
    let target = |script: &str| {
        let script = format!("cp -a /carried/it /p; cd /p; {script}");
        at_the_target(&image.reference, &real.path("W/product"), &script)
    };
    let install = "./bootstrap-project.sh --check; ./bootstrap-project.sh; . ./envs.sh; cd demo; pixi run where";

    real.build(&WHERE).success();
    assert_eq!(chosen(&real), channel().subdir);
    assert!(!carries(&real, "flavour-"));
    target(install)
        .success()
        .prints("/p/demo/.pixi/envs/default\n");
    // Where pixi would take the other, that is told before pixi runs.
    let run = target("export CONDA_OVERRIDE_CUDA=12.0; ./bootstrap-project.sh --check 2>&1");
    assert_ne!(run.code, 0, "{run}");
    run.prints("pixi would install for the platform gpu of pixi.lock here");

    let asked = ["--container-env", "CONDA_OVERRIDE_CUDA=12.0"];
    real.build(&[&asked[..], &WHERE].concat()).success();
    let name = chosen(&real);
    assert_ne!(name, channel().subdir);
    assert!(carries(&real, "flavour-2.0"));
    let product = json(&real.path("W/product/manifest.json")).to_string();
    has(
        &product,
        &format!("\"platform_names\":{{\"default\":\"{name}\"}}"),
    );
    let run = target("./bootstrap-project.sh --check 2>&1");
    assert_ne!(run.code, 0, "{run}");
    run.prints("__cuda >=12.0")
        .prints("no __cuda on this machine");
    target(&format!("export CONDA_OVERRIDE_CUDA=12.4; {install}"))
        .success()
        .prints("/p/demo/.pixi/envs/default\n");
}

#[test]
fn an_image_is_made_of_a_product_for_a_gpu_where_there_is_none() {
    let Some(image) =
        current("platforms_and_locks::an_image_is_made_of_a_product_for_a_gpu_where_there_is_none")
    else {
        return;
    };
    let manifest = small().lines("[target.gpu.dependencies]\nflavour = \"2.0\"\n");
    let both = format!("{}, \"{}\"", gpu(), channel().subdir);
    let real = with_platforms(image, &manifest, &both);
    let asked = ["--container-env", "CONDA_OVERRIDE_CUDA=12.4"];
    real.build(&[&asked[..], &WHERE].concat()).success();
    let name = format!("pixi-offline-test/gpu:{}", std::process::id());
    let args = ["--product-dir", "W/product", "--build-image", &real.image];
    let names = ["--base-image", ensure_base_image().unwrap(), "--tag", &name];
    let run = real
        .sandbox
        .run("make-production-image", [&args[..], &names].concat());
    let docker = |args: &[&str]| Run::of(Command::new("docker").args(args));
    let ran = docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        &name,
        "sh",
        "-c",
        "flavour; prefix-tool",
    ]);
    let variables = docker(&["image", "inspect", "--format", "{{.Config.Env}}", &name]);
    docker(&["image", "rm", "--force", &name]);
    run.success();
    ran.success()
        .prints("flavour 2.0\n")
        .prints("/app/.pixi/envs/default\n");
    // The override is for the installation: what runs asks the machine itself.
    variables.success();
    assert!(!variables.stdout.contains("CONDA_OVERRIDE"), "{variables}");
}

#[test]
fn environments_that_the_verification_had_pixi_install_are_carried_and_named() {
    let Some(image) = current(
        "platforms_and_locks::environments_that_the_verification_had_pixi_install_are_carried_and_named",
    ) else {
        return;
    };
    let manifest = small().lines(
        "all = { depends-on = [{ task = \"inner\", environment = \"one\" }] }\n\
         away = { cmd = \"echo in $PIXI_ENVIRONMENT_NAME\", default-environment = \"two\" }\n\
         both = { depends-on = [\"all\", \"away\"] }\n\n\
         [feature.one.dependencies]\nflavour = \"1.0\"\n\n\
         [feature.one.tasks]\ninner = \"prefix-tool\"\n\n\
         [feature.two.dependencies]\nflavour = \"2.0\"\n\n\
         [environments]\none = [\"one\"]\ntwo = [\"two\"]\nunused = []\n",
    );
    let real = Real::with_project(&image.reference, &manifest);
    for (task, environments, printed) in [
        ("all", "one", "/.pixi/envs/one"),
        ("both", "one, two", "in two"),
    ] {
        let run = real.build(&["--verify-task", task]);
        run.success().says(&format!(
            "the verification made pixi install more environments: {environments};"
        ));
        let log = real.read("W/proof/verify.offline.log");
        assert!(log.contains(printed), "{task}: {log}");
        let record = json(&real.path("W/workdir.json"));
        let listed = record["environments"].as_array().unwrap().iter();
        let listed: Vec<&str> = listed.map(|name| name.as_str().unwrap()).collect();
        assert_eq!(listed.join(", "), format!("default, {environments}"));
        assert_eq!(carries(&real, "flavour-2.0"), task == "both");
        let script = format!(
            "cp -a /carried/it /p; cd /p; ./bootstrap-project.sh; . ./envs.sh; cd demo; pixi run {task}"
        );
        at_the_target(&image.reference, &real.path("W/product"), &script)
            .success()
            .prints(printed);
    }
}

#[test]
fn a_lock_that_is_stale_for_nothing_is_installed_frozen_byte_for_byte() {
    let Some(image) = current(
        "platforms_and_locks::a_lock_that_is_stale_for_nothing_is_installed_frozen_byte_for_byte",
    ) else {
        return;
    };
    let real = Real::with_project(&image.reference, &small());
    let lock = fs::read(real.path("demo/pixi.lock")).unwrap();
    // Another environment of the same packages: pixi would only add its name.
    let manifest = small().lines("[environments]\nextra = []\n");
    manifest.write(channel(), &real.path("demo")).unwrap();
    let run = real.build(&WHERE);
    run.code(1)
        .says("pixi.lock does not fit the manifest")
        .says("--frozen");
    real.build(&[&["--frozen"][..], &WHERE].concat()).success();
    for name in [
        "demo/pixi.lock",
        "W/project/demo/pixi.lock",
        "W/product/demo/pixi.lock",
    ] {
        assert_eq!(fs::read(real.path(name)).unwrap(), lock, "{name}");
    }
    assert_eq!(json(&real.path("W/workdir.json"))["lock"]["frozen"], true);
    let product = json(&real.path("W/product/manifest.json")).to_string();
    assert!(product.contains("\"frozen\":true"), "{product}");
    let script = "cp -a /carried/it /p; cd /p; ./bootstrap-project.sh; cmp demo/pixi.lock /carried/it/demo/pixi.lock; \
                  . ./envs.sh; cd demo; pixi run where";
    at_the_target(&image.reference, &real.path("W/product"), script)
        .success()
        .prints("/p/demo/.pixi/envs/default\n");
}

#[test]
fn an_installed_product_that_moves_installs_and_passes_the_check_at_its_new_place() {
    let script = "cp -a /carried/it /a; cd /a; ./bootstrap-project.sh >&2; (. ./envs.sh; cd demo; pixi run where)
mv /a /b; cd /b; ./bootstrap-project.sh --check && echo check 1: $?
./bootstrap-project.sh >&2
./bootstrap-project.sh --check && echo check 2: $?
. ./envs.sh; cd demo; pixi run where";
    for image in images() {
        eprintln!("pixi {}", image.version);
        let real = Real::with_project(&image.reference, &small());
        real.build(&WHERE).success();
        let run = at_the_target(&image.reference, &real.path("W/product"), script);
        run.success()
            .prints("/a/demo/.pixi/envs/default\n")
            .prints("check 2: 0\n")
            .prints("/b/demo/.pixi/envs/default\n");
    }
}

#[test]
fn an_environment_without_packages_is_known_by_the_dry_run_and_refused_for_another_platform() {
    for image in images() {
        eprintln!("pixi {}", image.version);
        let real = Real::new(&image.reference);
        let subdir = channel().subdir;
        let manifest = format!(
            "[project]\nname = 'demo'\nversion = '0.1.0'\nchannels = ['{}']\nplatforms = ['{subdir}', 'osx-arm64']\n\
             [feature.mac]\nplatforms = ['osx-arm64']\n[feature.none.tasks]\nx = 'true'\n\
             [environments]\nmac = ['mac']\nnone = ['none']\n",
            channel().url
        );
        real.sandbox.write("demo/pixi.toml", manifest);
        lock_project(&real.image, &real.path("demo")).unwrap();
        for options in [
            &["--dry-run"][..],
            &["--dry-run", "--environment", "none"],
            &["--dry-run", "--all-environments"],
        ] {
            let run = real.build(options);
            run.success()
                .prints("it accepts the manifest, and pixi.lock is up to date");
        }
        for options in [
            &["--environment", "mac"][..],
            &["--environment", "mac", "--dry-run"],
        ] {
            let wanted = format!("for osx-arm64 only, and the image is for {subdir}");
            real.build(options).code(2).says(&wanted);
        }
        assert!(!real.path("W").exists());
    }
}
