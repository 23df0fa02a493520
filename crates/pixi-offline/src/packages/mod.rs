//! What is known of Pixi's lock file and of its package cache.
//!
//! In: a lock or a cache directory. Out: facts about it, and a cache that can be
//! carried. This directory knows neither workdirs nor products nor containers.

mod builds;
mod built;
mod cache;
mod cache_copy;
mod cache_filter;
mod cache_move;
mod conda;
mod delivered_lock;
mod inventory;
mod local_channel;
mod local_sources;
mod lock;
mod lock_cache;
mod owners;
mod package;
mod package_source;
mod python;
mod relative_paths;
mod requirements;
mod subdir;
mod uv_cache;
mod uv_pointer;
mod virtual_package;
mod wheel_name;

pub use builds::requirement_name;
pub use built::{Backend, BuiltPackage, BuiltPackages, DeliveredLock, Delivery};
pub use cache_copy::{CopiedCache, copy_cache, pointers, size};
pub use cache_move::CacheMove;
pub use conda::{CondaCache, channel_records};
pub use delivered_lock::{DELIVERED_FORMAT, ListOfLock, ReplacePackage, deliver};
pub use inventory::{Inventory, PackageInfo};
pub use local_channel::LocalChannel;
pub use local_sources::{LocalSources, ProjectOrigin};
pub use lock::{Lock, LockedPlatform};
pub use lock_cache::{LockCache, not_checked_out};
pub use owners::{KeptReason, UnlistedEntries};
pub use package::{CondaPackage, CondaSource, Package, PackageId, PythonKind, PythonPackage};
pub use package_source::PackageSource;
pub use python::PythonCache;
pub use rattler_conda_types::Subdir;
pub use requirements::{Requirements, add_platform};
pub use subdir::{image_platform, machine, subdir_of_image};
pub use virtual_package::VirtualPackage;
pub use wheel_name::normalized;
