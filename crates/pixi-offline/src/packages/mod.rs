//! What is known of Pixi's lock file and of its package cache.
//!
//! In: a lock or a cache folder. Out: facts about it, and a cache that can be
//! carried. This folder knows neither workdirs nor products nor containers.

mod cache;
mod lock;

pub use cache::{CacheLinks, make_links_relative, never_ships};
pub use lock::Lock;
