//! What every JSON file of ours begins with: what it is, and in which format.

use anyhow::Context as _;
use serde::Deserialize;

#[derive(Deserialize)]
struct FileHeader {
    kind: String,
    format: u32,
}

/// Looks whether a text says that it is a `kind` in the one format that is read
/// here.
///
/// # Errors
///
/// When it is something else.
pub(super) fn require(text: &[u8], kind: &str, format: u32) -> anyhow::Result<()> {
    let marks: FileHeader =
        serde_json::from_slice(text).with_context(|| format!("it is no {kind}"))?;
    anyhow::ensure!(
        marks.kind == kind,
        "it is no {kind}: it says it is a {:?}",
        marks.kind
    );
    anyhow::ensure!(
        marks.format == format,
        "it has format {}, and this version reads {format} only; use the version of these commands that made it",
        marks.format
    );
    Ok(())
}
