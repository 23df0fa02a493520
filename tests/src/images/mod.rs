//! The images that tests and the demo run in: a plain Debian, the same with pixi, and the
//! odd ones that a person's own image may resemble.

mod base;
mod derived;
mod pixi;
mod variants;

pub use base::{BASE_IMAGE, ensure_base_image};
pub use derived::{Change, derived_image};
pub use pixi::{OFFICIAL, PixiImage, ensure_image_with, ensure_pixi_image};
pub(crate) use pixi::{chosen_by_variable, ensure_image_made_here, ensure_published};
pub use variants::Variant;

use crate::fingerprint::Fingerprint;

/// The label that says from what an image was made: another value means that it is stale.
const RECIPE_LABEL: &str = "pixi-offline-test.recipe";

/// The images' common name; each kind has its own part after the slash.
const REPOSITORY: &str = "pixi-offline-test";

/// What every image made here stands on, as the recipes know it.
pub(crate) fn base_recipe() -> Fingerprint {
    base::recipe()
}
