//! A comparison as a section of `report.html`.

use maud::{Markup, html};

use crate::byte_size::ByteSize;
use crate::comparison::text::{content, details, difference, size, totals, versions};
use crate::comparison::{
    Comparison, EntryChange, PackageChange, ProductSummary, SettingChange, settings,
};
use crate::escape::escape;
use crate::evidence::report_page::{Escaped, ReportSection, grouped, list, number_of};
use crate::evidence::verification::Verified;
use crate::layout::Product;

/// Lists that are longer are folded.
const OPEN: usize = 50;

/// Lists that are longer end there, with a count of the rest.
const SHOWN: usize = 500;

/// Digits of a digest in the title.
const DIGITS: usize = "sha256:".len() + 12;

/// The section; `verified` is what is known of the new product now.
pub(super) fn section(
    comparison: &Comparison,
    verified: &Verified,
    is_signed: bool,
) -> ReportSection {
    let digest = &comparison.old.product_digest;
    let short = digest.chars().take(DIGITS);
    ReportSection {
        title: escape(&format!("What changed since {}", short.collect::<String>())).into_owned(),
        content: html! {
            (of_what(comparison))
            (worth(is_signed))
            h3 { "Packages" }
            (changes("Packages", &comparison.packages, package_kind, &["Package", "Change", "Version", "What else differs", "Environments"], package))
            h3 { "Project" }
            (changes("Entries of the project", &comparison.project.changes, entry_kind, &["Path", "Change", "What differs"], entry))
            h3 { "Resources" }
            (changes("Entries of the resources", &comparison.resources.changes, entry_kind, &["Path", "Change", "What differs"], entry))
            h3 { "Package cache" }
            (cache(comparison))
            h3 { "Settings" }
            (settings_table(&settings::with_verification(&comparison.settings, &comparison.old.verified, verified)))
        },
    }
}

fn of_what(comparison: &Comparison) -> Markup {
    let ProductSummary {
        product_digest,
        version,
        files,
        bytes,
        signed_by,
        ..
    } = &comparison.old;
    html! {
        p {
            "The product that was delivered before has the digest " code { (Escaped(product_digest)) }
            @if let Some(version) = version { ", version " (Escaped(version)) }
            ", " (number_of(*files, "file")) ", " (ByteSize(*bytes)) ". "
            @match signed_by {
                Some(key) => { "Its signature was checked with the public key " code { (Escaped(key)) } "." }
                None => {
                    strong { "Its signature was not checked. " }
                    "Compare the digest with the one that you approved."
                }
            }
        }
        p {
            "Content: " (content(comparison)) "."
        }
    }
}

/// How far the section can be trusted.
fn worth(is_signed: bool) -> Markup {
    html! {
        p.soft {
            "Made of the lists of both products when this one was made; " code { "changes.json" } " has all of it. "
            @if is_signed {
                "That file has a signature, which this page cannot check: "
                a href="#check" { "check it" } " (" code { "minisign -V -p KEY.pub -m changes.json" } ")."
            } @else {
                "That file is not signed: whoever can write to the product can write it. "
                code { "compare-products OLD NEW" } " compares the products again."
            }
        }
    }
}

/// Which of old and new there is.
type ChangeKind = (bool, bool);

const fn change_name((is_added, is_removed): ChangeKind) -> &'static str {
    match (is_added, is_removed) {
        (true, _) => "added",
        (false, true) => "removed",
        (false, false) => "changed",
    }
}

/// A count of changes, and a table of them; `cells` gives what stands beside the name and the kind of
/// change of one.
fn changes<T>(
    title: &str,
    changes: &[T],
    kind: fn(&T) -> ChangeKind,
    heads: &[&str],
    cells: fn(&T) -> (Markup, Vec<Markup>),
) -> Markup {
    let more = changes.len().saturating_sub(SHOWN);
    let table = html! {
        div.scroll role="region" aria-label={ (title) " that changed" } tabindex="0" {
            table {
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody {
                    @for change in changes.iter().take(SHOWN) {
                        @let (name, others) = cells(change);
                        tr {
                            th scope="row" { (name) }
                            td { (change_name(kind(change))) }
                            @for cell in others { td { (cell) } }
                        }
                    }
                    @if more > 0 {
                        tr { td colspan=(heads.len()) {
                            "And " (grouped(more as u64)) " more, which " code { "changes.json" } " lists."
                        } }
                    }
                }
            }
        }
    };
    html! {
        @if changes.is_empty() {
            p { (totals(title, changes, kind)) "." }
        } @else {
            details open[changes.len() <= OPEN] {
                summary { (totals(title, changes, kind)) }
                (table)
            }
        }
    }
}

fn package_kind(change: &PackageChange) -> ChangeKind {
    (change.old.is_empty(), change.new.is_empty())
}

fn entry_kind(change: &EntryChange) -> ChangeKind {
    (change.old.is_none(), change.new.is_none())
}

fn package(change: &PackageChange) -> (Markup, Vec<Markup>) {
    let (old, new) = (versions(&change.old), versions(&change.new));
    let shown = match package_kind(change) {
        (true, _) => new,
        (_, true) => old,
        _ if old == new => old,
        _ => format!("{old} → {new}"),
    };
    let details = details(&change.old, &change.new);
    let name =
        html! { (Escaped(&change.name)) span.soft { " (" (Escaped(&change.ecosystem)) ")" } };
    let cells = vec![
        html! { (Escaped(&shown)) },
        html! { (Escaped(details.trim_start_matches("; "))) },
        list(&change.environments),
    ];
    (name, cells)
}

fn entry(change: &EntryChange) -> (Markup, Vec<Markup>) {
    let what = match (&change.old, &change.new) {
        (Some(old), Some(new)) => difference(old, new),
        (None, Some(facts)) | (Some(facts), None) => size(facts),
        (None, None) => String::new(),
    };
    let what = what.trim().trim_start_matches('(').trim_end_matches(')');
    (
        html! { code { (Escaped(&change.path.shown())) } },
        vec![html! { (Escaped(what)) }],
    )
}

fn cache(comparison: &Comparison) -> Markup {
    let cache = &comparison.package_cache;
    html! {
        p {
            (number_of(cache.new_files, "file")) " of " (ByteSize(cache.new_bytes)) " new or changed, "
            (number_of(cache.old_files, "file")) " of " (ByteSize(cache.old_bytes)) " gone or changed, in "
            code { (Product::CACHE) } "."
        }
    }
}

fn settings_table(settings: &[SettingChange]) -> Markup {
    if settings.is_empty() {
        return html! { p { "None differ." } };
    }
    html! {
        div.scroll role="region" aria-label="Settings that differ" tabindex="0" {
            table {
                thead { tr { th scope="col" { "Setting" } th scope="col" { "Before" } th scope="col" { "Now" } } }
                tbody {
                    @for change in settings {
                        tr {
                            th scope="row" { (Escaped(&change.name)) }
                            td { (list(&change.old)) }
                            td { (list(&change.new)) }
                        }
                    }
                }
            }
        }
    }
}
