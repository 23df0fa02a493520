//! What every JSON file of these commands begins with: what it is, and in which format.

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The part of a file that every format has.
#[derive(Serialize, Deserialize)]
pub(super) struct FileHeader {
    kind: String,
    pub(super) format: u32,
}

impl FileHeader {
    /// Reads the header of a text that must be a `kind`.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub(super) fn of(text: &[u8], kind: &str) -> anyhow::Result<FileHeader> {
        let header: FileHeader = serde_json::from_slice(text)?;
        anyhow::ensure!(header.kind == kind, "it says it is a {:?}", header.kind);
        Ok(header)
    }
}

/// Looks whether a text says that it is a `kind` in the one format that is read
/// here.
///
/// # Errors
///
/// When it is something else.
pub(crate) fn require(text: &[u8], kind: &str, format: u32) -> anyhow::Result<()> {
    let header = FileHeader::of(text, kind).with_context(|| format!("it is not a {kind}"))?;
    anyhow::ensure!(
        header.format == format,
        "it has format {}, and this version reads {format} only; use the version of these commands that made it",
        header.format
    );
    Ok(())
}

/// A file: its header, and the values that it holds.
#[derive(Serialize)]
pub(crate) struct WholeFile<'a, Values> {
    #[serde(flatten)]
    header: FileHeader,
    #[serde(flatten)]
    values: &'a Values,
}

impl<'a, Values: Serialize> WholeFile<'a, Values> {
    /// A file of this kind and format.
    pub(crate) fn new(kind: &str, format: u32, values: &'a Values) -> WholeFile<'a, Values> {
        let kind = kind.to_owned();
        let header = FileHeader { kind, format };
        WholeFile { header, values }
    }
}

/// The bytes of a file with these values.
///
/// # Errors
///
/// When the values cannot be written as JSON.
pub(crate) fn to_json(kind: &str, format: u32, values: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(&WholeFile::new(kind, format, values))?;
    text.push(b'\n');
    Ok(text)
}

/// Reads the values of a file that must be a `kind` in the one format that is read here.
///
/// # Errors
///
/// When it is something else, or damaged.
pub(crate) fn parse<T: DeserializeOwned>(
    text: &[u8],
    kind: &str,
    format: u32,
) -> anyhow::Result<T> {
    require(text, kind, format)?;
    Ok(serde_json::from_slice(text)?)
}
