//! What is known of Pixi's lock file and of its package cache.
//!
//! In: a lock or a cache folder. Out: facts about it, and a cache that can be
//! carried. This folder knows neither workdirs nor products nor containers.

mod cache;
mod carry;
mod conda;
mod handed_over;
mod inventory;
mod local_channel;
mod lock;
mod need;
mod python;
mod shipped;

pub use carry::{Carried, carry, size};
pub use conda::CondaCache;
pub use handed_over::HandOver;
pub use inventory::{Described, Identity, Inventory, PackageKind, PackageSource};
pub use local_channel::LocalChannel;
pub use lock::{CondaPackage, Lock, Package, PythonKind, PythonPackage};
pub use need::Need;
pub use python::PythonCache;
