//! What is known of Pixi's lock file and of its package cache.
//!
//! In: a lock or a cache folder. Out: facts about it, and a cache that can be
//! carried. This folder knows neither workdirs nor products nor containers.

mod builds;
mod cache;
mod carry;
mod conda;
mod handed_over;
mod inventory;
mod local_channel;
mod lock;
mod need;
mod owners;
mod python;
mod shipped;
mod uv_cache;
mod uv_pointer;
mod virtual_package;
mod wheel_name;

pub use carry::{Carried, carry, pointers, size};
pub use conda::{CondaCache, channel_records};
pub use handed_over::HandOver;
pub use inventory::{Described, Identity, Inventory, PackageKind, PackageSource};
pub use local_channel::LocalChannel;
pub use lock::{
    CondaPackage, Lock, LockedPlatform, Package, PythonKind, PythonPackage, not_checked_out,
};
pub use need::{Need, add_platform, source_outside};
pub use owners::{Reason, Strangers};
pub use python::PythonCache;
pub use virtual_package::VirtualPackage;
