//! Images that are made from products: real engine, real pixi, real packages, and each
//! builder of this machine. No image stays behind.

#![allow(missing_docs, reason = "tests, not the core that the rules are for")]

mod parts;
#[path = "../products/real.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod real;

mod builders;
mod contents;
mod example;
mod page;
mod refused;
