//! `pixi offline …`: pixi runs a program `pixi-offline` that is on `PATH`.

use std::os::unix::fs::symlink;

use semver::Version;
use testbed::pixi;
use testbed::sandbox::{Run, Sandbox, binary};

/// From here on pixi runs programs that are called `pixi-NAME`.
const RUNS_OTHERS: Version = Version::new(0, 49, 0);

#[test]
fn pixi_runs_the_commands_by_their_short_names() {
    let pixis = pixi::pixis().unwrap();
    let mut able = pixis.iter().filter(|pixi| pixi.version >= RUNS_OTHERS);
    let Some(pixi) = able.next() else {
        let name = "pixi_subcommand::pixi_runs_the_commands_by_their_short_names";
        testbed::skip(name, "needs a pixi of 0.49 or later, which no registry has");
        return;
    };
    let sandbox = Sandbox::new();
    for command in ["pixi-offline", "build-offline-product"] {
        symlink(binary(command), sandbox.bin().join(command)).unwrap();
    }
    let offline = |args: &[&str]| Run::of(sandbox.program(&pixi.path).arg("offline").args(args));
    offline(&["build", "--help"])
        .success()
        .prints("Usage: build-offline-product");
    offline(&["build", "--project-dir", "no such", "--dry-run"])
        .code(2)
        .says("no such");
    offline(&["unknown"]).code(2).says("build, stage, product");
}
