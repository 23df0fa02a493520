//! Options whose values are on this machine: files of patterns, and variables of the caller.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use anyhow::Context as _;

use crate::context::Context;
use crate::failure::{self, Failure};
use crate::regular_file;
use crate::request::{BuildOptions, EngineOptions, ExcludeOptions};

/// The longest file of patterns, in bytes.
const LONGEST: u64 = 1 << 20;

/// Fills in what [`exclude_from_here`] and [`variables_from_here`] find.
///
/// # Errors
///
/// Exit code 2 for a file that cannot be read.
pub fn take_from_here(options: &mut BuildOptions, context: &Context) -> anyhow::Result<()> {
    variables_from_here(&mut options.engine, context);
    exclude_from_here(&mut options.workdir.excludes, context)
}

/// Gives each variable of `--container-env KEY` the value that it has here.
pub fn variables_from_here(options: &mut EngineOptions, context: &Context) {
    for text in &mut options.container_env {
        let is_key = !text.is_empty() && !text.as_bytes().contains(&b'=');
        let value = is_key.then(|| context.host.variable(text)).flatten();
        if let Some(value) = value {
            text.push("=");
            text.push(value);
        }
    }
}

/// Adds the patterns of `--exclude-from` to those of `--exclude`.
///
/// # Errors
///
/// Exit code 2 for a file that cannot be read.
pub fn exclude_from_here(options: &mut ExcludeOptions, context: &Context) -> anyhow::Result<()> {
    for file in &options.exclude_from {
        let shown = format!("--exclude-from {}", file.display());
        let bytes = regular_file::read(&context.host.absolute(file), LONGEST)
            .map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
        for pattern in patterns_of(&bytes) {
            // Each by itself, so that a wrong one is named with its file.
            crate::project::ProjectRules::new(std::slice::from_ref(&pattern))
                .map_err(|error| Failure::with_code(failure::USAGE, format!("{error:#}")))
                .with_context(|| shown.clone())?;
            options.exclude.push(pattern);
        }
    }
    Ok(())
}

/// The patterns in a file, as rsync reads it: lines that end with a newline or a carriage return, but
/// empty ones and those that begin with `#` or `;`.
fn patterns_of(bytes: &[u8]) -> Vec<OsString> {
    let lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
    let is_pattern = |line: &&[u8]| !matches!(line.first(), None | Some(b'#' | b';'));
    lines
        .filter(is_pattern)
        .map(|line| OsString::from_vec(line.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_patterns_is_read_as_rsync_reads_it() {
        let text = b"# c\n; c\n\n*.md\r\n+ keep \n #hash\n\xff\nlast";
        let expected: [&[u8]; 5] = [b"*.md", b"+ keep ", b" #hash", b"\xff", b"last"];
        let expected = expected.map(|line| OsString::from_vec(line.to_owned()));
        assert_eq!(patterns_of(text), expected);
        assert!(patterns_of(b"").is_empty());
    }
}
