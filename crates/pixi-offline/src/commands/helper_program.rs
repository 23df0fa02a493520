//! The program that a workdir carries, so that its next step can be taken on another machine.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::context::Context;
use crate::layout::{self, Workdir};
use crate::staging::{self, Size};
use crate::tools::Program;

/// The program that a workdir carries, so that the next step can be taken on
/// another machine.
#[derive(Debug, Clone)]
pub(crate) struct HelperProgram(PathBuf);

/// The helper under the old script's name.
const HELPER_SHIM: &str = include_str!("../../../../scripts-compat/make-archive-ready-product.sh");

impl HelperProgram {
    /// Finds it beside this program, then on `PATH`.
    ///
    /// # Errors
    ///
    /// Exit code 127 when it is nowhere.
    pub(crate) fn find(context: &Context) -> anyhow::Result<HelperProgram> {
        let beside = context.host.program.with_file_name(layout::HELPER);
        if beside.is_file() {
            return Ok(HelperProgram(beside));
        }
        match Program::find(OsStr::new(layout::HELPER), &context.host) {
            Ok(program) => Ok(HelperProgram(program.path().to_owned())),
            Err(error) => Err(error.context(format!(
                "the workdir includes {}, which is neither beside {} nor on PATH; install it there",
                layout::HELPER,
                context.host.program.display()
            ))),
        }
    }

    /// What it takes in a workdir.
    pub(crate) fn size(&self) -> Size {
        Size {
            bytes: fs::metadata(&self.0).map_or(0, |metadata| metadata.len()),
            entries: 2,
        }
    }

    /// Puts it into a workdir's `helpers/`, with its shim.
    pub(crate) fn install(&self, workdir: &Workdir) -> anyhow::Result<()> {
        let executable = |file: &Path| fs::set_permissions(file, fs::Permissions::from_mode(0o755));
        let install = || -> anyhow::Result<()> {
            let binary = workdir.helpers().join(layout::HELPER);
            staging::copy_file(&self.0, &binary)?;
            executable(&binary)?;
            let shim = workdir.helper_shim();
            fs::write(&shim, HELPER_SHIM)?;
            executable(&shim)?;
            Ok(())
        };
        install().with_context(|| format!("{} cannot be filled", workdir.helpers().display()))
    }
}
