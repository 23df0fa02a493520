//! The old names.

use std::fs;
use std::path::Path;

use testbed::sandbox::{Run, Sandbox, binary};

fn shims() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts-compat")
}

#[test]
fn a_shim_runs_the_binary_beside_it_also_through_a_link() {
    let sandbox = Sandbox::new();
    let place = sandbox.work().join("some place");
    fs::create_dir(&place).unwrap();
    let name = "make-archive-ready-product";
    fs::copy(
        shims().join(format!("{name}.sh")),
        place.join(format!("{name}.sh")),
    )
    .unwrap();
    fs::copy(binary(name), place.join(name)).unwrap();
    let link = sandbox.work().join("link.sh");
    std::os::unix::fs::symlink(place.join(format!("{name}.sh")), &link).unwrap();
    for shim in [&place.join(format!("{name}.sh")), &link] {
        let run = Run::of(sandbox.program(shim).args(["--workdir", "a b"]));
        run.code(2).says("--workdir").says("a b");
    }
}

#[test]
fn a_shim_finds_the_binary_on_path_and_says_when_it_is_nowhere() {
    let sandbox = Sandbox::new();
    for name in [
        "create-workdir-from-host",
        "make-archive-ready-product",
        "final-verify-product",
    ] {
        let shim = sandbox.work().join(format!("{name}.sh"));
        fs::copy(shims().join(format!("{name}.sh")), &shim).unwrap();
        Run::of(&mut sandbox.program(&shim))
            .code(127)
            .says(&format!("Missing required command: {name}"));
        fs::copy(binary(name), sandbox.bin().join(name)).unwrap();
        Run::of(sandbox.program(&shim).arg("--version"))
            .success()
            .prints(name);
    }
}
