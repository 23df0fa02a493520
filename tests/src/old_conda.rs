//! Conda packages in the format before `.conda`.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result};
use duct::cmd;
use zip::ZipArchive;

use crate::cache::scratch_dir;
use crate::debian::ensure_debian_package;
use crate::process::captured;

/// A `.conda` file as a `.tar.bz2`: one archive of the files and of `info/`.
///
/// # Errors
/// When the file cannot be read, or there is no bzip2.
pub fn as_tar_bz2(conda: &Path) -> Result<Vec<u8>> {
    let file = File::open(conda).with_context(|| format!("cannot read {}", conda.display()))?;
    let mut zip = ZipArchive::new(file)?;
    let mut whole = tar::Builder::new(Vec::new());
    for place in 0..zip.len() {
        let mut packed = Vec::new();
        let mut member = zip.by_index(place)?;
        member.read_to_end(&mut packed)?;
        if !member.name()?.ends_with(".tar.zst") {
            continue;
        }
        let mut part = tar::Archive::new(zstd::Decoder::new(packed.as_slice())?);
        for entry in part.entries()? {
            let entry = entry?;
            let (mut header, path) = (entry.header().clone(), entry.path()?.into_owned());
            match entry.link_name()? {
                Some(target) => whole.append_link(&mut header, path, target)?,
                None => whole.append_data(&mut header, path, entry)?,
            }
        }
    }
    let scratch = scratch_dir("old-conda")?;
    let plain = scratch.path().join("package.tar");
    fs::write(&plain, whole.into_inner()?)?;
    let bzip2 = ensure_debian_package("bzip2", "bzip2")?;
    captured("bzip2", cmd!(bzip2, &plain))?;
    Ok(fs::read(plain.with_extension("tar.bz2"))?)
}
