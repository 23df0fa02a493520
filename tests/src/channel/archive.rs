//! The `.conda` format: compressed archives in a zip.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// All times in packages: the same input gives the same bytes.
pub(super) const TIME: u64 = 1_700_000_000;

/// The files themselves, with their modes and links.
pub(super) fn payload_archive(prefix: &Path, files: &[PathBuf]) -> Result<Vec<u8>> {
    let mut archive = archive();
    for file in files {
        let path = prefix.join(file);
        let mut header = tar::Header::new_gnu();
        let about = path.symlink_metadata()?;
        header.set_metadata_in_mode(&about, tar::HeaderMode::Deterministic);
        header.set_mtime(TIME);
        if about.file_type().is_symlink() {
            header.set_size(0);
            archive.append_link(&mut header, file, fs::read_link(&path)?)?;
        } else {
            archive.append_data(&mut header, file, File::open(&path)?)?;
        }
    }
    finished(archive)
}

/// A compressed archive that is being written.
pub(super) type Archive = tar::Builder<zstd::Encoder<'static, Vec<u8>>>;

/// A new one.
pub(super) fn archive() -> Archive {
    // Encoder::new fails only on an unknown level.
    tar::Builder::new(zstd::Encoder::new(Vec::new(), 3).expect("zstd has a level 3"))
}

/// Adds a text file.
pub(super) fn append_text(archive: &mut Archive, name: &str, text: &str) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(TIME);
    archive.append_data(&mut header, name, text.as_bytes())?;
    Ok(())
}

/// The bytes of a whole archive.
pub(super) fn finished(archive: Archive) -> Result<Vec<u8>> {
    Ok(archive.into_inner()?.finish()?)
}

/// The outer zip. Its members are stored, not packed again, and come in conda's order.
pub(super) fn conda_file(stem: &str, payload: &[u8], info: &[u8]) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let metadata = br#"{"conda_pkg_format_version": 2}"#;
    for (name, bytes) in [
        ("metadata.json".to_owned(), metadata.as_slice()),
        (format!("pkg-{stem}.tar.zst"), payload),
        (format!("info-{stem}.tar.zst"), info),
    ] {
        zip.start_file(name, stored)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}
