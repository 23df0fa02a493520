//! A built package: a zip of files with a list of them.

use std::io::Write as _;

use anyhow::Result;
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::source::{metadata, module_name, module_text};

/// A pure Python wheel with one module that says its version: the file's name and bytes.
///
/// # Errors
/// When it cannot be packed.
pub fn wheel(name: &str, version: &str) -> Result<(String, Vec<u8>)> {
    wheel_named(name, version, version)
}

/// The same, with another version in the name of its file than in its metadata.
pub(super) fn wheel_named(
    name: &str,
    version: &str,
    in_file_name: &str,
) -> Result<(String, Vec<u8>)> {
    let module = module_name(name);
    let info = format!("{module}-{version}.dist-info");
    let tags = "Wheel-Version: 1.0\nGenerator: testbed\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let mut files = vec![
        (format!("{module}/__init__.py"), module_text(version)),
        (format!("{info}/METADATA"), metadata(name, version, "2.1")),
        (format!("{info}/WHEEL"), tags.to_owned()),
    ];
    files.push((
        format!("{info}/RECORD"),
        record(&files, &format!("{info}/RECORD")),
    ));

    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (path, text) in files {
        zip.start_file(path, stored)?;
        zip.write_all(text.as_bytes())?;
    }
    let file_name = format!("{module}-{in_file_name}-py3-none-any.whl");
    Ok((file_name, zip.finish()?.into_inner()))
}

/// A line for each file with its sum and size, and one without for the list itself.
fn record(files: &[(String, String)], own: &str) -> String {
    let mut lines = String::new();
    for (path, text) in files {
        let sum = BASE64URL_NOPAD.encode(&Sha256::digest(text.as_bytes()));
        lines.push_str(&format!("{path},sha256={sum},{}\n", text.len()));
    }
    format!("{lines}{own},,\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_lists_every_file_and_itself() {
        let files = [("a".to_owned(), "abc".to_owned())];
        assert_eq!(
            record(&files, "x/RECORD"),
            "a,sha256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0,3\nx/RECORD,,\n"
        );
    }
}
