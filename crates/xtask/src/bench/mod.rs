//! `cargo xtask bench`.

pub mod part;
mod tree;
