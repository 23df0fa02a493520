//! Replacing folders, and deleting them: never one that is not ours to delete,
//! and never so that half of one is left.
//!
//! In: a folder that shall become another one. Out: the new one in its place,
//! or the old one as it was. This folder knows no layout: what makes a folder
//! ours is handed to it.

mod beside;
mod claim;
mod file;
mod guard;
mod mounts;
mod remove;
mod room;

pub use beside::{Beside, Provisional, put_in_place};
pub use claim::{Claim, RunClaim};
pub use file::{make_folder, replace_file, sweep_files, write_file};
pub use guard::{Guard, Standing};
pub use remove::{clear_folder, remove_folder};
pub use room::{Reserve, Room, require_room};
