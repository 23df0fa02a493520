//! The command lines that people have in their documents and pipelines, word
//! for word but for the names they leave open, through the old names.

use std::fs;
use std::path::Path;
use std::process::Command;

use testbed::project::Manifest;
use testbed::sandbox::{Run, binary};

use crate::real::{Real, image};

const NAMES: [&str; 4] = [
    "create-workdir-from-host",
    "create-workdir-from-container",
    "make-archive-ready-product",
    "final-verify-product",
];

/// A project with a package to import and a task `smoke`, and the old `scripts/`
/// directory beside it, each name a link into scripts-compat.
fn workspace() -> Real {
    let manifest = Manifest::usual("yourpkg").task("smoke", "prefix-tool");
    let real = Real::with_project(&image().reference, &manifest);
    fs::rename(real.path("demo"), real.path("yourpkg")).unwrap();
    real.sandbox.write("yourpkg/yourpkg.py", "");
    real.sandbox.write("resources/model.bin", "weights");
    fs::create_dir(real.path("scripts")).unwrap();
    fs::create_dir(real.path(".git")).unwrap();
    let compat = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts-compat");
    for name in NAMES {
        let shim = compat.join(format!("{name}.sh")).canonicalize().unwrap();
        std::os::unix::fs::symlink(shim, real.path(format!("scripts/{name}.sh"))).unwrap();
        fs::copy(binary(name), real.sandbox.bin().join(name)).unwrap();
    }
    real
}

/// Runs a line as bash would, with the names that a document leaves open.
fn line(real: &Real, line: &str, container: &str) -> Run {
    let line = line
        .replace("your-pixi-image:tag", &real.image)
        .replace("/path/to/project", real.path("yourpkg").to_str().unwrap())
        .replace(
            "/path/to/resources",
            real.path("resources").to_str().unwrap(),
        )
        .replace("<CONTAINER_ID>", container)
        .replace("<project_name>", "yourpkg");
    Run::of(real.sandbox.program("bash").args(["-c", &line]))
}

const PRODUCT_LINES: [&str; 4] = [
    "./tmp/pixi-offline-work/helpers/make-archive-ready-product.sh --help",
    "./tmp/pixi-offline-work/helpers/make-archive-ready-product.sh \\
       --workdir ./tmp/pixi-offline-work --project-name <project_name>",
    "./scripts/final-verify-product.sh --help",
    "./scripts/final-verify-product.sh \\
       --image your-pixi-image:tag \\
       --product-dir ./tmp/pixi-offline-work/product \\
       --out-dir ./tmp/pixi-offline-work/out \\
       --project-name <project_name> \\
       --verify-run -- python -c 'import yourpkg; print(\"ok\")'",
];

#[test]
fn from_the_host() {
    let real = workspace();
    line(&real, "./scripts/create-workdir-from-host.sh --help", "")
        .success()
        .prints("Usage:");
    let create = "./scripts/create-workdir-from-host.sh \\
       --image your-pixi-image:tag \\
       --project-dir /path/to/project \\
       --resources-dir /path/to/resources \\
       --container-workdir-path /tmp/workdir \\
       WORKDIR --verify-run -- python -c 'import yourpkg; print(\"ok\")'";
    // Without --workdir, the result is below the git top level.
    let run = line(&real, &create.replace("WORKDIR", ""), "");
    run.success().prints("ok\n").says("/tmp/workdir-");
    line(
        &real,
        &create.replace("WORKDIR", "--workdir ./tmp/pixi-offline-work"),
        "",
    )
    .success()
    .prints("ok\n");
    let product = real.path("tmp/pixi-offline-work/product");
    for text in PRODUCT_LINES {
        line(&real, text, "").success();
    }
    assert!(product.join("res/model.bin").exists());
    let log = real.read("tmp/pixi-offline-work/out/verify.offline.log");
    assert!(log.ends_with("ok\n"), "{log}");
}

#[test]
fn from_a_container() {
    let real = workspace();
    let name = format!(
        "pixi-offline-test-{}",
        &pixi_offline::host_env::nonce()[..12]
    );
    let start = [
        "run",
        "--detach",
        "--name",
        &name,
        "--entrypoint",
        "sh",
        &real.image,
        "-c",
        "while :; do sleep 1; done",
    ];
    Run::of(Command::new("docker").args(start)).success();
    let project = real.path("yourpkg");
    Run::of(Command::new("docker").args([
        "exec",
        &name,
        "mkdir",
        "-p",
        project.parent().unwrap().to_str().unwrap(),
    ]))
    .success();
    Run::of(
        Command::new("docker")
            .arg("cp")
            .arg(&project)
            .arg(format!("{name}:{}", project.display())),
    )
    .success();

    line(
        &real,
        "./scripts/create-workdir-from-container.sh --help",
        "",
    )
    .success()
    .prints("Usage:");
    let create = "./scripts/create-workdir-from-container.sh \\
       --container-id <CONTAINER_ID> \\
       --project-path-in-container /path/to/project \\
       --container-workdir-path /tmp/workdir \\
       WORKDIR --verify-task smoke";
    let first = line(&real, &create.replace("WORKDIR", ""), &name);
    let second = line(
        &real,
        &create.replace("WORKDIR", "--workdir ./tmp/pixi-offline-work"),
        &name,
    );
    Run::of(Command::new("docker").args(["rm", "--force", &name])).success();
    first.success().says("/tmp/workdir-");
    second
        .success()
        .prints("/tmp/workdir/project/yourpkg/.pixi");
    for text in PRODUCT_LINES {
        line(&real, text, "").success();
    }
}
