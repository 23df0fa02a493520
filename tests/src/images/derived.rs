//! Images made from another one by a few changes, remade when what they are made from changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::{RECIPE_LABEL, REPOSITORY};
use crate::cache::{Turn, scratch_dir};
use crate::docker::{LABEL, docker, image_id, image_label};
use crate::engine::ensure_engine;
use crate::fingerprint::{Fingerprint, sha256, sha256_of_file};
use crate::process::{announced, captured};

/// One change to an image.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// Dockerfile instructions, one a line. `RUN` goes through the image's `sh`.
    Instructions(&'a str),
    /// Debian's packages of these names, without their recommendations.
    Packages(&'a [&'a str]),
    /// A program of the host, copied to an absolute path without spaces, mode 0755.
    Program {
        /// Where it is on the host.
        from: &'a Path,
        /// Where it goes.
        to: &'a str,
    },
    /// A script, written to an absolute path without spaces, mode 0755.
    Script {
        /// The whole text, with its `#!` line.
        text: &'a str,
        /// Where it goes.
        to: &'a str,
    },
}

/// Makes `pixi-offline-test/<name>` from the image `base` by `changes` and returns its
/// reference. `name` may have a tag. One that was made from the same is used as it is.
///
/// # Errors
/// When there is no engine or no image `base`, a program cannot be read, or the build fails.
pub fn derived_image(name: &str, base: &str, changes: &[Change<'_>]) -> Result<String> {
    ensure_engine()?;
    let reference = format!("{REPOSITORY}/{name}");
    let base_id = image_id(base)
        .with_context(|| format!("no image {base} to make {reference} from: make it first"))?;
    let recipe = recipe(&base_id, changes)?.to_string();
    let is_there = || image_label(&reference, RECIPE_LABEL).as_ref() == Some(&recipe);
    if is_there() {
        return Ok(reference);
    }
    let _turn = Turn::at("images")?;
    if !is_there() {
        let replaced = image_id(&reference);
        announced(format_args!("making the image {reference}"), || {
            build(&reference, base, changes, &recipe)
        })?;
        if let Some(id) = replaced {
            // Only tidying: it stays while a container or another image needs it.
            let _ = captured("docker image rm", docker(["image", "rm", &id]));
        }
    }
    Ok(reference)
}

fn recipe(base_id: &str, changes: &[Change<'_>]) -> Result<Fingerprint> {
    let mut parts = vec![base_id.to_owned()];
    for change in changes {
        parts.push(match change {
            Change::Instructions(lines) => (*lines).to_owned(),
            Change::Packages(names) => format!("packages {}", names.join(" ")),
            Change::Program { from, to } => format!("{to} {}", sha256_of_file(from)?),
            Change::Script { text, to } => format!("{to} {}", sha256(text.as_bytes())),
        });
    }
    Ok(Fingerprint::of(parts))
}

fn build(reference: &str, base: &str, changes: &[Change<'_>], recipe: &str) -> Result<()> {
    let context = scratch_dir("image")?;
    let mut dockerfile = format!("FROM {base}\n");
    for (index, change) in changes.iter().enumerate() {
        let file = format!("file{index}");
        let path = context.path().join(&file);
        match change {
            Change::Instructions(lines) => dockerfile.push_str(&format!("{lines}\n")),
            Change::Packages(names) => dockerfile.push_str(&format!(
                "RUN apt-get -qq update \\\n\
                 && DEBIAN_FRONTEND=noninteractive apt-get -qq --yes --no-install-recommends install {} \\\n\
                 && rm -rf /var/lib/apt/lists/*\n",
                names.join(" ")
            )),
            Change::Program { from, to } => {
                fs::copy(from, &path).with_context(|| format!("cannot copy {}", from.display()))?;
                make_executable(&path)?;
                dockerfile.push_str(&format!("COPY {file} {to}\n"));
            }
            Change::Script { text, to } => {
                fs::write(&path, text)?;
                make_executable(&path)?;
                dockerfile.push_str(&format!("COPY {file} {to}\n"));
            }
        }
    }
    dockerfile.push_str(&format!("LABEL {LABEL}=derived {RECIPE_LABEL}={recipe}\n"));
    fs::write(context.path().join("Dockerfile"), dockerfile)?;
    let mut arguments = vec!["build", "--quiet", "--tag", reference];
    if changes
        .iter()
        .any(|change| matches!(change, Change::Packages(_)))
    {
        // The engine's own network need not reach a mirror.
        arguments.extend(["--network", "host"]);
        for proxy in ["http_proxy", "https_proxy", "no_proxy"] {
            arguments.extend(["--build-arg", proxy]);
        }
    }
    arguments.push(".");
    let build = docker(arguments).dir(context.path());
    captured(format_args!("docker build of {reference}"), build).map(drop)
}

fn make_executable(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_follows_the_base_and_every_change() {
        let of = |base: &str, changes: &[Change<'_>]| recipe(base, changes).unwrap();
        let script = |text| Change::Script { text, to: "/bin/x" };
        let first = of("sha256:1", &[script("#!/bin/sh\n")]);
        assert_eq!(first, of("sha256:1", &[script("#!/bin/sh\n")]));
        assert_ne!(first, of("sha256:2", &[script("#!/bin/sh\n")]));
        assert_ne!(first, of("sha256:1", &[script("#!/bin/bash\n")]));
        assert_ne!(first, of("sha256:1", &[Change::Instructions("ENV A=1")]));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let change = Change::Program {
            from: Path::new("/no/such/pixi"),
            to: "/bin/pixi",
        };
        let error = recipe("sha256:1", &[change]).unwrap_err().to_string();
        assert!(error.contains("/no/such/pixi"), "{error}");
    }
}
