//! The deliverable: what is generated into a product.
//!
//! In: the variables that the person wants exported. Out: `envs.sh` and
//! `bootstrap-project.sh`. This folder knows no workdir and no engine; copying
//! project, resources and cache is staging's.

mod quote;

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::layout::Product;
use crate::request::ProductVariable;

pub use quote::shell_quote;

/// The settings that every product has; the person's own follow.
const ENVIRONMENT_SCRIPT: &str = include_str!("envs.sh");

/// The installer; the same in every product.
const BOOTSTRAP_SCRIPT: &str = include_str!("bootstrap-project.sh");

/// Writes `envs.sh` and `bootstrap-project.sh`, both executable, into a product
/// that has neither yet.
///
/// # Errors
///
/// When a file cannot be written.
pub fn write_scripts(product: &Product, variables: &[ProductVariable]) -> anyhow::Result<()> {
    write_executable(
        &product.environment_script(),
        &environment_script(variables),
    )?;
    write_executable(&product.bootstrap_script(), BOOTSTRAP_SCRIPT.as_bytes())
}

/// The whole of `envs.sh`: bytes, since values need not be UTF-8.
fn environment_script(variables: &[ProductVariable]) -> Vec<u8> {
    let mut script = ENVIRONMENT_SCRIPT.as_bytes().to_vec();
    for variable in variables {
        script.extend_from_slice(format!("export {}=", variable.key()).as_bytes());
        script.extend_from_slice(&shell_quote(variable.value().as_bytes()));
        script.push(b'\n');
    }
    script
}

fn write_executable(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || {
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(file)?
            .write_all(content)
    };
    write().with_context(|| format!("{} cannot be written", file.display()))
}
