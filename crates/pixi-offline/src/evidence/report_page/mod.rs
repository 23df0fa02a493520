//! `report.html`: a product for the person who must approve its transfer.
//!
//! One page that needs nothing else: no script, nothing that is loaded, and
//! every text of others escaped. The same input gives the same bytes. It is not
//! covered by `SHA256SUMS`, since it tells of the verification that comes later.

mod bytes;
mod escaped;
mod markup;
mod packages;
mod sections;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::evidence::Sha256Digest;
use crate::evidence::manifest::{Manifest, Secrets};
use crate::evidence::verification::Verified;
use crate::packages::{Inventory, UnlistedEntries};
pub(crate) use escaped::Escaped;
pub(crate) use markup::{grouped, list, number_of};

/// A section that is made elsewhere: of a comparison with another product.
#[derive(Debug, Clone)]
pub struct ReportSection {
    /// Its heading.
    pub title: String,
    /// What is below it.
    pub content: Markup,
}

/// What the page tells of.
#[derive(Debug, Clone, Copy)]
pub struct Approval<'a> {
    /// The product.
    pub manifest: &'a Manifest,
    /// Its digest: that of `SHA256SUMS`.
    pub digest: &'a Sha256Digest,
    /// The packages of its environments; `None` when the lock could not be asked.
    pub inventory: Option<&'a Inventory>,
    /// What its package cache holds beside these.
    pub unlisted: &'a UnlistedEntries,
    /// What its `verification.json` is worth.
    pub verified: &'a Verified,
    /// What was done about secrets; `None` when that is not known.
    pub secrets: Option<&'a Secrets>,
    /// Whether `SHA256SUMS` has a signature beside it, right or wrong.
    pub sums_signed: bool,
    /// Whether `verification.json` has one.
    pub verification_signed: bool,
    /// Whether `provenance.json` has one.
    pub provenance_signed: bool,
    /// What changed since the product that was delivered before, when that was named.
    pub changes: Option<&'a ReportSection>,
}

/// Only the style below may be used, and nothing may be loaded: a page that was
/// tampered with can still not send anything by itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// The text of the page.
pub fn text(approval: &Approval<'_>) -> String {
    let facts = &approval.manifest.facts;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { "Approval report: " (facts.project.name) }
                // Keeps browsers from asking for a picture of their own.
                link rel="icon" href="data:,";
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header {
                    h1 { "Approval report: " (Escaped(&facts.project.name)) }
                    p.soft {
                        "For the person who decides whether this product may be carried into an air-gapped network."
                    }
                }
                nav aria-label="Contents" {
                    ul { @for (id, title) in sections::titles(approval) { li { a href={ "#" (id) } { (title) } } } }
                }
                main { (sections::all(approval)) }
            }
        }
    }
    .into_string()
        + "\n"
}
