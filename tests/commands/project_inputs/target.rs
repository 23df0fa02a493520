//! What is built or fetched at the target is said when the workdir is made.

use super::*;
use testbed::sandbox::words;

const SYSTEM: &str = "[build-system]\nrequires = ['maturin>=1']\nbuild-backend = 'maturin'\n";

const SCRIPT: &str = "# /// script\n# dependencies = ['rich']\n# ///\nimport rich\nprint('told')\n";

/// Puts a project with a package that is built at the target and tasks that fetch into `demo`.
fn lay(fake: &Fake) {
    let write = |name: &str, text: &str| fake.sandbox.write(format!("demo/{name}"), text);
    write(
        "pixi.toml",
        "[workspace]\nname = 'demo'\nchannels = []\nplatforms = ['linux-64']\n[tasks]\nlint = 'pixi exec ruff check'\n\
         tell = 'uv run tools/tell.py'\nsmoke = { cmd = 'python -c 1', depends-on = ['tell'] }\n",
    );
    write(
        "pixi.lock",
        "version: 6\nenvironments:\n  default:\n    channels: []\n    packages:\n      linux-64:\n      - pypi: ./native\n  other:\n    channels: []\n    packages:\n      linux-64:\n      - pypi: ./unused\npackages:\n- pypi: ./native\n  name: native\n  version: 0.1.0\n- pypi: ./unused\n  name: unused\n  version: 0.1.0\n",
    );
    write("native/pyproject.toml", SYSTEM);
    write("unused/pyproject.toml", SYSTEM);
    write("tools/tell.py", SCRIPT);
}

/// What each way to look at that project says.
fn expect(run: &Run) {
    run.says("built where the product is installed, each with its build backend: native (maturin)")
        .says("WARNING: the build of native fetches crates of Rust (maturin)")
        .says("`cargo vendor`")
        .says_not("unused");
    run.says("WARNING: the verification runs uv run tools/tell.py (a script with dependencies of its own, PEP 723), which fetches")
        .says("fail at a target without a network: lint (pixi exec)\n");
}

#[test]
fn what_is_built_or_fetched_at_the_target_is_said_in_the_first_step() {
    let fake = Fake::new();
    lay(&fake);
    expect(fake.create(&["--verify-task", "smoke"]).success());
    let dry = fake.run(
        "build-offline-product",
        &["--dry-run", "--verify-task", "smoke"],
    );
    expect(dry.success());

    // Words of the command line, and a verification that fetches nothing.
    let args = ["--force", "--verify-run", "--", "pixi", "exec", "x"];
    fake.create(&args)
        .success()
        .says("the verification runs pixi exec, which fetches")
        .says("without a network: lint (pixi exec), tell (uv run tools/tell.py");
    fake.create(&["--force", "--verify-run", "--", "python", "tools/tell.py"])
        .success()
        .says_not("the verification runs");
}

#[test]
fn the_same_is_said_of_a_project_in_a_container() {
    let container = Container::new();
    lay(&container.fake);
    expect(container.create(&["--verify-task", "smoke"]).success());
    // In the container: that this machine has such a script as well counts for nothing.
    let args = words("--verify-run -- uv run --no-project demo/tools/tell.py");
    let run = container.create(&[&["--force"], &args[..]].concat());
    run.success().says_not("the verification runs");
}

#[test]
fn the_final_verification_names_the_package_whose_build_failed() {
    let fake = Fake::new();
    fake.create(&[""; 0]).success();
    make(&fake, &[]).success();
    let said = "Error:   \u{d7} Failed to prepare distributions\n  \u{251c}\u{2500}\u{25b6} Failed to build `native @\n  \u{2502}   file:///pixi-offline/product/demo/native`\n  \u{2570}\u{2500}\u{25b6} error: failed to get `pyo3`\n";
    let fake = fake.with(json!({"phases": [["bootstrap", said, 1]]}));
    let args = words("--image img:1 --product-dir W/product --out-dir O");
    fake.sandbox
        .run("final-verify-product", args)
        .code(1)
        .says("bootstrap-project.sh failed with exit code 1")
        .says("the build of native failed: it is built where the product is installed")
        .says("error: failed to get `pyo3`");
}
