//! What marks a directory as an update: its `update.json`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::evidence_file::{self, LONGEST_RECORD};

/// The description of an update.
pub const DESCRIPTION: &str = "update.json";

/// The kind in the description of an update.
pub const KIND: &str = "pixi-offline product update";

/// Whether a directory is an update.
pub fn is_update(dir: &Path) -> bool {
    #[derive(Deserialize)]
    struct Header {
        kind: String,
    }
    let text = evidence_file::read(&dir.join(DESCRIPTION), LONGEST_RECORD);
    let text = text.ok().flatten().unwrap_or_default();
    serde_json::from_slice::<Header>(&text).is_ok_and(|header| header.kind == KIND)
}

/// The update that a place is in, there or not: with anything more in it, `apply-update.sh`
/// refuses it.
pub fn update_around(place: &Path) -> Option<PathBuf> {
    let real = |dir: &Path| dir.canonicalize().ok();
    let existing = place.ancestors().skip(1).find_map(real)?;
    let update = existing.ancestors().find(|dir| is_update(dir));
    update.map(Path::to_owned)
}
