//! What is asked of the docker command line, and nothing about what it is asked for.

use std::path::Path;

use anyhow::{Context, Result};
use duct::{Expression, cmd};

use crate::process::captured;

/// Marks everything made here, so that it can be found and removed:
/// `docker image ls --filter label=pixi-offline-test`.
pub(crate) const LABEL: &str = "pixi-offline-test";

/// A docker command that is not run yet.
pub(crate) fn docker<A: Into<std::ffi::OsString>>(
    arguments: impl IntoIterator<Item = A>,
) -> Expression {
    // BuildKit's choice by environment fails where its plugin is missing; the client knows.
    cmd("docker", arguments).env_remove("DOCKER_BUILDKIT")
}

/// A read-only bind mount as the value of `--mount`; takes any path that is UTF-8.
///
/// # Errors
/// When the path is not UTF-8: docker would mount another directory.
pub(crate) fn read_only(source: &Path, target: &str) -> Result<String> {
    Ok(format!("{},readonly", writable(source, target)?))
}

/// Like [`read_only`], for a directory that the container writes into.
///
/// # Errors
/// When the path is not UTF-8: docker would mount another directory.
pub(crate) fn writable(source: &Path, target: &str) -> Result<String> {
    let source = std::path::absolute(source)?;
    let source = source.to_str().with_context(|| {
        format!(
            "docker cannot mount {}: move it to a path that is UTF-8",
            source.display()
        )
    })?;
    Ok(format!(
        "type=bind,\"source={}\",target={target}",
        source.replace('"', "\"\"")
    ))
}

/// The label `name` of an image, or nothing when the image or the label is not there.
pub(crate) fn image_label(reference: &str, name: &str) -> Option<String> {
    let format = format!("{{{{index .Config.Labels \"{name}\"}}}}");
    inspect_image(reference, &format).filter(|value| !value.is_empty() && value != "<no value>")
}

/// The id of an image, or nothing when it is not there.
pub(crate) fn image_id(reference: &str) -> Option<String> {
    inspect_image(reference, "{{.Id}}")
}

fn inspect_image(reference: &str, format: &str) -> Option<String> {
    captured(
        "docker image inspect",
        docker(["image", "inspect", "--format", format, reference]),
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_take_commas_quotes_and_colons() {
        let mount = read_only(Path::new("/a b/c,d:e\"f"), "/project").unwrap();
        assert_eq!(
            mount,
            r#"type=bind,"source=/a b/c,d:e""f",target=/project,readonly"#
        );
    }
}
