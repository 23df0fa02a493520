//! Images that are made from products: real engine, real pixi, real packages, and each
//! builder of this machine. No image stays behind.

pub mod parts;

mod builders;
mod contents;
mod example;
mod page;
mod refused;
