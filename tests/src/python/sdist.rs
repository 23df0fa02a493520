//! A source distribution.

use std::fs;
use std::path::Path;

use anyhow::Result;
use duct::cmd;

use super::source::{Source, metadata};
use crate::process::captured;

/// The author's files and a PKG-INFO that says `metadata_version`, as `<name>-<version>.tar.gz`:
/// its name and bytes. Before 2.2 a PKG-INFO is not to be trusted, so an installer builds the
/// package to learn what it needs.
pub(super) fn sdist(
    source: &Source,
    metadata_version: &str,
    scratch: &Path,
) -> Result<(String, Vec<u8>)> {
    let stem = format!("{}-{}", source.module(), source.version);
    let about = metadata(&source.name, &source.version, metadata_version);
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in source
        .files()
        .into_iter()
        .chain([("PKG-INFO".to_owned(), about)])
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        archive.append_data(&mut header, format!("{stem}/{path}"), text.as_bytes())?;
    }
    let plain = scratch.join(format!("{stem}.tar"));
    fs::write(&plain, archive.into_inner()?)?;
    captured("gzip", cmd!("gzip", "--no-name", &plain))?;
    let packed = scratch.join(format!("{stem}.tar.gz"));
    Ok((format!("{stem}.tar.gz"), fs::read(packed)?))
}
