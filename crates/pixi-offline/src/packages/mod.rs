//! What is known of Pixi's lock file and of its package cache.
//!
//! In: a lock or a cache folder. Out: facts about it, and a cache that can be
//! carried. This folder knows neither workdirs nor products nor containers.

mod builds;
mod cache;
mod cache_copy;
mod cache_filter;
mod cache_move;
mod conda;
mod inventory;
mod local_channel;
mod lock;
mod owners;
mod python;
mod requirements;
mod uv_cache;
mod uv_pointer;
mod virtual_package;
mod wheel_name;

pub use cache_copy::{CopiedCache, copy_cache, pointers, size};
pub use cache_move::CacheMove;
pub use conda::{CondaCache, channel_records};
pub use inventory::{Inventory, PackageId, PackageInfo, PackageKind, PackageSource};
pub use local_channel::LocalChannel;
pub use lock::{
    CondaPackage, Lock, LockedPlatform, Package, PythonKind, PythonPackage, not_checked_out,
};
pub use owners::{KeptReason, Strangers};
pub use python::PythonCache;
pub use requirements::{Requirements, add_platform, source_outside};
pub use virtual_package::VirtualPackage;
