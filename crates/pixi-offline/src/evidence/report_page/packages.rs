//! The sections on packages: environments, licences, and what the package cache holds.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::Approval;
use super::escaped::Escaped;
use super::markup::{grouped, list, number_of, or_unknown};
use crate::evidence::built::BuiltFacts;
use crate::evidence::sbom::shown_kind;
use crate::packages::{KeptReason, Package, PackageInfo, PackageSource};
use crate::url::UrlText;

pub(super) fn environments(approval: &Approval<'_>) -> Markup {
    let facts = &approval.manifest.facts;
    html! {
        p { "Installed by " code { "bootstrap-project.sh" } ":" }
        table {
            thead { tr { th scope="col" { "Environment" } th.number scope="col" { "Conda packages" } th.number scope="col" { "Python packages" } } }
            tbody {
                @for name in &facts.environments {
                    @let (conda, python) = in_environment(approval, name)
                        .partition::<Vec<_>, _>(|info| !matches!(*info.package, Package::Python(_)));
                    tr {
                        th scope="row" { (Escaped(name)) }
                        @if approval.inventory.is_some() {
                            td.number { (grouped(conda.len() as u64)) } td.number { (grouped(python.len() as u64)) }
                        } @else {
                            td.number { "not known" } td.number { "not known" }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn licences(approval: &Approval<'_>) -> Markup {
    let Some(inventory) = approval.inventory else {
        return unknown_packages();
    };
    if inventory.packages().is_empty() {
        return html! { p { "No packages are needed." } };
    }
    let mut licences: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for info in inventory.packages() {
        let names = licences.entry(info.licence.as_deref()).or_default();
        names.push(&info.package.id().name);
    }
    html! {
        p {
            "As the packages state them. One that states none is not free of conditions: ask its authors."
        }
        div.scroll role="region" aria-label="Licences" tabindex="0" {
            table {
                thead { tr { th scope="col" { "Licence" } th.number scope="col" { "Packages" } th scope="col" { "Which" } } }
                tbody {
                    @for (licence, names) in licences {
                        tr {
                            th scope="row" { (licence_of(licence)) }
                            td.number { (grouped(names.len() as u64)) }
                            td { (few(names)) }
                        }
                    }
                }
            }
        }
    }
}

/// The first names of a sorted list, each once, and how many there are more.
fn few(mut names: Vec<&str>) -> Markup {
    const SHOWN: usize = 12;
    names.dedup();
    let more = names.len().saturating_sub(SHOWN);
    html! {
        @for (place, name) in names.iter().take(SHOWN).enumerate() {
            @if place > 0 { ", " }
            (Escaped(name))
        }
        @if more > 0 { " and " (grouped(more as u64)) " more" }
    }
}

pub(super) fn packages(approval: &Approval<'_>) -> Markup {
    if approval.inventory.is_none() {
        return unknown_packages();
    }
    html! {
        p { "Their digests and exact sources are in " code { "sbom.cdx.json" } "." }
        @for name in &approval.manifest.facts.environments {
            @let packages: Vec<&PackageInfo> = in_environment(approval, name).collect();
            h3 { "Environment " (Escaped(name)) }
            @if packages.is_empty() { p { "No packages." } } @else { (package_table(name, &packages, &approval.manifest.facts.built)) }
        }
    }
}

/// Open, so that it is printed too.
fn package_table(environment: &str, packages: &[&PackageInfo], built: &[BuiltFacts]) -> Markup {
    html! {
        details open {
            summary { (number_of(packages.len() as u64, "package")) }
            div.scroll role="region" aria-label={ "Packages of " (environment) } tabindex="0" {
                table.packages {
                    thead { tr {
                        th scope="col" { "Package" } th scope="col" { "Version" } th scope="col" { "Licence" }
                        th scope="col" { "Kind" } th scope="col" { "From" }
                    } }
                    tbody {
                        @for info in packages {
                            @let id = info.package.id();
                            tr {
                                th scope="row" { (Escaped(&id.name)) }
                                td { (or_unknown(id.version.as_deref(), "", "not locked")) }
                                td { (licence_of(info.licence.as_deref())) }
                                td { (shown_kind(&info.package)) }
                                td { (origin(&info.package, built)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn unknown_packages() -> Markup {
    html! { p { "Not known: the product has no readable lock file." } }
}

/// Where a package comes from, short: the file is in the bill of materials.
fn origin(package: &Package, built: &[BuiltFacts]) -> Markup {
    if let Some(facts) = built.iter().find(|facts| facts.is_of(package)) {
        let place = facts.build_source.as_ref().unwrap_or(&facts.source);
        return html! {
            code { (Escaped(&place.shown())) }
            @if let Some(backend) = &facts.backend {
                ", built with " (Escaped(backend))
                @if let Some(version) = &facts.backend_version { " " (Escaped(version)) }
            }
        };
    }
    let source = &package.id().source;
    if let Package::Conda(conda) = package
        && let Some(channel) = &conda.channel
    {
        return html! {
            @if let PackageSource::Url(url) = source { (Escaped(host(url))) " " }
            (Escaped(channel)) "/" (Escaped(&conda.subdir))
        };
    }
    match source {
        PackageSource::Url(url) => html! { (Escaped(host(url))) },
        PackageSource::Git { repository, commit } => html! {
            (Escaped(repository))
            @if let Some(commit) = commit { " at " code { (Escaped(commit)) } }
        },
        PackageSource::Path(path) => html! { code { (Escaped(path)) } },
    }
}

/// The host of a URL; the URL itself when it has none.
fn host(url: &str) -> &str {
    match UrlText::new(url) {
        UrlText {
            scheme: Some(_),
            host,
            ..
        } if !host.is_empty() => host,
        _ => url,
    }
}

/// What no package of the list needs, and why it is there.
pub(super) fn cache(approval: &Approval<'_>) -> Markup {
    let packages = &approval.manifest.facts.packages;
    let mut there = approval.unlisted.iter().peekable();
    html! {
        @if there.peek().is_none() {
            p { "Nothing: every entry of it belongs to a package of the list above." }
        }
        @for (reason, names) in there {
            p { (because(reason)) }
            (list(names))
        }
        @if let Some(count @ 1..) = packages.wheels_by_name {
            p {
                (number_of(count, "wheel")) " of the list above are known by the names of their files only: the cache has no sha256 of them that could be compared with the lock's."
            }
        }
        @if let Some(count @ 1..) = packages.conda_by_name {
            p {
                (number_of(count, "conda package")) " of the list above have no checksums of their files, as was usual before 2017."
            }
        }
    }
}

fn because(reason: KeptReason) -> &'static str {
    match reason {
        KeptReason::Build => "Build requirements of packages that are built at the target:",
        KeptReason::PerhapsBuild => {
            "Packages that are in no environment and that a build at the target may need:"
        }
        KeptReason::Page => "Index pages in which a build at the target looks up packages:",
        KeptReason::Repository => {
            "Git repositories, with their history, from which a build at the target takes packages:"
        }
        KeptReason::Whole => {
            "Entries that no environment needs; the whole cache was packed (--cache full, or what is needed was not known):"
        }
        KeptReason::None => "Entries that belong to no package, and should not be there:",
    }
}

fn in_environment<'a>(
    approval: &Approval<'a>,
    name: &'a str,
) -> impl Iterator<Item = &'a PackageInfo> {
    let packages = approval
        .inventory
        .map_or(&[][..], |inventory| inventory.packages());
    packages
        .iter()
        .filter(move |package| package.environments.contains(name))
}

fn licence_of(licence: Option<&str>) -> Markup {
    or_unknown(licence, "", "none stated")
}
