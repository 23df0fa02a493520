//! What a product carries for those who must judge it, read by programs that are not ours:
//! validators and a browser.

mod browser;
mod real_product;
mod report;
mod sbom;
