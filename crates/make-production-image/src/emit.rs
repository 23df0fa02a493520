//! The files of a build that is made elsewhere.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use pixi_offline::context::Context;
use pixi_offline::failure::Failure;
use pixi_offline::quote::quoted;
use pixi_offline::replacement::replace_file;

use crate::build_context;
use crate::product::CheckedProduct;

/// Writes Dockerfile and scripts.
///
/// # Errors
///
/// Exit code 2 when one of them is there already and `force` was not given.
pub fn emit(
    dir: &Path,
    dockerfile: &str,
    source: &CheckedProduct,
    force: bool,
    context: &Context,
) -> anyhow::Result<()> {
    let product = &source.product;
    let dockerfile = ("Dockerfile", dockerfile.to_owned());
    let files: Vec<(&str, String)> = build_context::files(&source.project)
        .into_iter()
        .chain([dockerfile])
        .collect();
    for (name, _) in &files {
        require_free(&dir.join(name), force)?;
    }
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    for (name, text) in files {
        replace_file(&dir.join(name), text.as_bytes())?;
    }
    context
        .report
        .ok(format_args!("Dockerfile written to: {}", dir.display()));
    let place = dir.join("product");
    let here = place
        .canonicalize()
        .is_ok_and(|there| product.path().canonicalize().is_ok_and(|own| own == there));
    if !here {
        context.report.next(format_args!(
            "cp -a {} {}",
            quoted(product.path().as_os_str()),
            quoted(place.as_os_str())
        ));
    }
    context.report.next(format_args!(
        "docker build --network none --tag NAME {}",
        quoted(dir.as_os_str())
    ));
    Ok(())
}

/// Requires that nothing is in the place of a file that is to be written.
///
/// # Errors
///
/// Exit code 2 for a directory, and without `force` for anything else.
pub fn require_free(file: &Path, force: bool) -> anyhow::Result<()> {
    match fs::symlink_metadata(file) {
        Ok(metadata) if metadata.is_dir() => Err(Failure::usage(format!(
            "{} is a directory; name a file",
            file.display()
        ))),
        Ok(_) if !force => Err(Failure::usage(format!(
            "{} already exists; choose another place, or give --force to replace it",
            file.display()
        ))),
        _ => Ok(()),
    }
}
