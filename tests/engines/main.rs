//! Engines other than the machine's own docker: a real podman, a docker that is podman, and
//! engines that the client's own settings name.

#![allow(missing_docs, reason = "tests, not the core that the rules are for")]

#[path = "../products/real.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod real;
#[path = "../products/running.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod running;

mod one_product;
mod place;
mod podman;
mod settings;
