//! The files of a build that is made elsewhere.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use pixi_offline::context::Context;
use pixi_offline::failure::Failure;
use pixi_offline::quote::quoted;
use pixi_offline::replacement::{replace_file, require_creatable, require_writable_dir};

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
    require_writable_dir("--emit-dockerfile", dir)?;
    for (name, _) in &files {
        require_free("--emit-dockerfile", &dir.join(name), force)?;
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
    if !here && place.symlink_metadata().is_ok() {
        // `cp` would put the product into what is there.
        context.report.note(format_args!(
            "{} is not the product of this Dockerfile; put a copy of {} in its place before you build",
            place.display(),
            product.path().display()
        ));
    } else if !here {
        context.report.next(format_args!(
            "cp -a {} {}",
            quoted(product.path().as_os_str()),
            quoted(place.as_os_str())
        ));
    }
    context.report.next(format_args!(
        "docker build --network none --tag localhost/{} {}",
        image_name(&source.project.name.as_os_str().to_string_lossy()),
        quoted(dir.as_os_str())
    ));
    Ok(())
}

/// A name that every engine takes for an image of this project. Below `localhost/` it is not that of
/// an image of a registry, whatever the project's name is.
fn image_name(project: &str) -> String {
    let name = project.to_lowercase();
    let parts = name.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    match parts.is_empty() {
        true => "image".to_owned(),
        false => parts.join("-"),
    }
}

/// Requires that nothing is in the place of a file that is to be written.
///
/// # Errors
///
/// Exit code 2 for a directory, and without `force` for anything else; 1 where this user can
/// make nothing.
pub fn require_free(option: &str, file: &Path, force: bool) -> anyhow::Result<()> {
    match fs::symlink_metadata(file) {
        Ok(metadata) if metadata.is_dir() => Err(Failure::usage(format!(
            "{} is a directory; name a file",
            file.display()
        ))),
        Ok(_) if !force => Err(Failure::usage(format!(
            "{} already exists; choose another place, or give --force to replace it",
            file.display()
        ))),
        _ => require_creatable(option, file),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::request::ImageTag;

    #[test]
    fn an_image_has_a_name_whatever_the_project_has() {
        for (project, name) in [
            ("demo", "demo"),
            ("Web_Service 2.0", "web-service-2-0"),
            ("-ä-", "image"),
            ("a--b__", "a-b"),
            ("$(x)", "x"),
        ] {
            assert_eq!(image_name(project), name);
            ImageTag::new(OsStr::new(&format!("localhost/{name}"))).unwrap();
        }
    }
}
