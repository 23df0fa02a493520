//! The pixi that built a workdir: whether it can go along in a product, and its copy there.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::commands::built_channel::of_build;
use crate::commands::elf;
use crate::context::Context;
use crate::failure::Failure;
use crate::layout::Workdir;
use crate::replacement::make_dir;
use crate::untrusted_dir::UntrustedDir;

/// The largest file that is taken for a pixi, in bytes.
const LARGEST_PIXI: u64 = 1 << 30;

/// Whether the workdir has the pixi that built it.
pub(crate) fn is_there(workdir: &Workdir) -> bool {
    open_pixi(workdir).is_ok()
}

/// Looks for the pixi that built the workdir, before anything is written.
///
/// # Errors
///
/// Exit code 2 when the workdir has none.
pub(crate) fn require(workdir: &Workdir, context: &Context) -> anyhow::Result<()> {
    let error = match open_pixi(workdir) {
        Ok((file, _)) => {
            if let Some(interpreter) = elf::interpreter(&file) {
                context.report.warning(format_args!(
                    "the pixi of the image is not static: it runs only where {} and its shared libraries are; to include one that runs everywhere, build in an image with a release of pixi",
                    interpreter.display()
                ));
            }
            return Ok(());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "is not there; the workdir was made by an older version".to_owned()
        }
        Err(error) => format!("cannot be used: {error}"),
    };
    Err(Failure::usage(format!(
        "--bundle-pixi: {} {error}; create the workdir again",
        workdir.pixi().display()
    )))
}

/// The dynamic linker that the pixi of the build needs; `None` for a static one.
pub(crate) fn linker(workdir: &Workdir) -> Option<PathBuf> {
    elf::interpreter(&open_pixi(workdir).ok()?.0)
}

/// Opens the pixi that built the workdir, and gives its size.
fn open_pixi(workdir: &Workdir) -> io::Result<(File, u64)> {
    let pixi = of_build(workdir, workdir.pixi());
    let relative = pixi.strip_prefix(workdir.path()).unwrap_or(&pixi);
    let (file, size) = UntrustedDir::open(workdir.path())?.open_file(relative)?;
    if size > LARGEST_PIXI {
        return Err(io::Error::other(format!(
            "it is larger than {LARGEST_PIXI} bytes"
        )));
    }
    Ok((file, size))
}

/// Copies the pixi that built the workdir.
pub(crate) fn copy(workdir: &Workdir, target: &Path) -> anyhow::Result<()> {
    let copying = || -> io::Result<()> {
        if let Some(dir) = target.parent() {
            make_dir(dir)?;
        }
        let (from, size) = open_pixi(workdir)?;
        let mut to = File::create_new(target)?;
        let copied = io::copy(&mut from.take(size), &mut to)?;
        if copied != size {
            return Err(io::Error::other("it became shorter while it was read"));
        }
        to.set_permissions(fs::Permissions::from_mode(0o755))
    };
    copying().with_context(|| {
        format!(
            "{} cannot be copied to {}",
            workdir.pixi().display(),
            target.display()
        )
    })
}
