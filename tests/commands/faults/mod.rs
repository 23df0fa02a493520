//! What is there after something went wrong at the worst moment.
//!
//! The commands under test, with a scripted docker; killed, or told by the
//! kernel that a disk is full or broken, at system calls all over their runs.

mod injection;
mod interrupted;
mod leftovers;
mod packing;
mod replacing;
mod room;
mod together;
mod tree;
