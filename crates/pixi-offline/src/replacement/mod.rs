//! Atomic replacement and guarded deletion of directories.
//!
//! In: a directory that shall become another one. Out: the new one in its place,
//! or the old one as it was. This directory knows no layout: what makes a directory
//! ours is handed to it.

mod creatable;
mod dir_lock;
mod file;
mod free_space;
mod mounts;
mod overwrite_guard;
mod remove;
mod staged_dir;

pub use creatable::{require_creatable, require_no_file, require_writable_dir};
pub use dir_lock::{DirLock, RunLock};
pub use file::{make_dir, replace_file, sweep_files, write_file};
pub use free_space::{FreeSpace, Reserve, require_free_space};
pub use overwrite_guard::{OverwriteGuard, TargetState};
pub use remove::{clear_dir, remove_dir};
pub use staged_dir::{StagedDir, SwappedDir, put_in_place};
