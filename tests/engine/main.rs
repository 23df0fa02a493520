//! The third ring: real engine, real pixi, real packages. Only here products
//! are proved.

#![allow(missing_docs, reason = "tests, not the core that the rules are for")]

mod listing;
mod real;
mod running;

mod docs;
mod engines;
mod evidence;
mod hostile;
mod kinds;
mod production_image;
mod products;
mod set_up;
