//! Settings in the manifest, with the pixi that reads the same file.

use std::fs;

use semver::Version;
use serde_json::Value;
use testbed::PYTHON_VERSION_SPEC;
use testbed::project::{Manifest, lock_project};

use crate::real::{Real, channel, images};

const SETTINGS: &str = "[tool.pixi-offline]
resources-dir = 'data'
exclude = ['*.md']
verify-run = ['sh', '-c', 'prefix-tool && cat \"$PRODUCT_RES_DIR/model.bin\"']
expect-output = ['weights']
";

/// The first pixi that takes settings of other tools in `pixi.toml`.
const OTHER_TOOLS: Version = Version::new(0, 17, 0);

/// The first pixi that reads `pyproject.toml`.
const PYTHONS: Version = Version::new(0, 18, 0);

fn pyproject() -> String {
    let channel = channel();
    format!(
        "[project]\nname = 'demo'\nversion = '1.0.0'\n\
         [tool.pixi.project]\nchannels = ['{}']\nplatforms = ['{}']\n\
         [tool.pixi.dependencies]\npython = '{PYTHON_VERSION_SPEC}'\nprefix-tool = '*'\n",
        channel.url, channel.subdir
    )
}

/// A build whose options are all in the manifest proves what these ask for.
fn is_proved(real: &Real, manifest: &str) {
    let run = real.build(&["--format", "json"]);
    run.success().says(&format!(
        "NOTE: {manifest} [tool.pixi-offline] sets --resources-dir, --exclude, --verify-run, --expect-output;"
    ));
    let proof: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    let ran = proof["verification"]["ran"].to_string();
    assert!(ran.contains("prefix-tool &&"), "{ran}");
    assert!(real.path("W/product/res/model.bin").exists());
    assert!(!real.path("W/product/demo/notes.md").exists());
    assert!(real.path("W/product/demo").join(manifest).exists());
}

#[test]
fn a_delivery_takes_its_options_from_the_manifest_that_pixi_reads() {
    for image in images() {
        let real = Real::with_project(&image.reference, &Manifest::usual("demo"));
        real.sandbox.write("demo/data/model.bin", "weights");
        real.sandbox.write("demo/notes.md", "left out");
        let file = real.path("demo/pixi.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}\n{SETTINGS}")).unwrap();
        if image.version >= OTHER_TOOLS {
            is_proved(&real, "pixi.toml");
        } else {
            for args in [&["--dry-run"][..], &[]] {
                let run = real.build(args);
                assert_ne!(run.code, 0, "{run}");
                run.says("pixi before 0.17 takes no table [tool.pixi-offline] in pixi.toml");
            }
        }
        if image.version < PYTHONS {
            continue;
        }
        fs::remove_file(&file).unwrap();
        let text = format!("{}\n{SETTINGS}", pyproject());
        real.sandbox.write("demo/pyproject.toml", text);
        lock_project(&image.reference, &real.path("demo")).unwrap();
        is_proved(&real, "pyproject.toml");
    }
}
