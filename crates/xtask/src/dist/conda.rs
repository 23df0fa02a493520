//! A recipe for a conda package, in the format of rattler-build.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// What the package holds of the archive.
pub const SCRIPT: &str = "cp -R bin share \"$PREFIX/\"";

/// Writes `recipe/recipe.yaml` into a directory and returns its file. The recipe packs the
/// archive beside the directory, so it needs no compiler.
///
/// # Errors
/// When a file cannot be written.
pub fn write(dir: &Path, archive: &str, sha256: &str) -> anyhow::Result<PathBuf> {
    let recipe = format!(
        "schema_version: 1\n\
         \n\
         package:\n  name: pixi-offline\n  version: \"{}\"\n\
         \n\
         source:\n  path: ../{archive}\n  sha256: {sha256}\n\
         \n\
         build:\n  number: 0\n  script:\n    - '{SCRIPT}'\n  dynamic_linking:\n    binary_relocation: false\n\
         \n\
         tests:\n  - script:\n      - pixi-offline --version\n      - build-offline-product --version\n\
         \n\
         about:\n  summary: Package Pixi projects for air-gapped machines\n  license: MIT\n  license_file: share/doc/pixi-offline/LICENSE\n",
        env!("CARGO_PKG_VERSION"),
    );
    let file = dir.join("recipe/recipe.yaml");
    fs::create_dir_all(dir.join("recipe"))?;
    fs::write(&file, recipe).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(file)
}
