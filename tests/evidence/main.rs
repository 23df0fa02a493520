//! What a product carries for those who must judge it, read by programs that are not ours:
//! validators and a browser.

#![allow(missing_docs, reason = "tests, not the core that the rules are for")]

#[allow(dead_code, reason = "the third ring's, which uses all of it")]
#[path = "../products/real.rs"]
mod real;
mod real_product;
mod report;
mod sbom;
