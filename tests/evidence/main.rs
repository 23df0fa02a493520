//! What a product carries for those who must judge it, read by programs that are not ours:
//! validators and a browser.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests, not the core that the rules are for"
)]

mod sbom;
