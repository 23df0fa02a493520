//! The sections of the page, in the order of an approver's questions.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::Approval;
use super::bytes::{Bytes, shown};
use super::escaped::Escaped;
use crate::container::Image;
use crate::evidence::Sha256Digest;
use crate::evidence::check::Verified;
use crate::evidence::manifest::ManifestFacts;
use crate::evidence::manifest::Secrets;
use crate::evidence::sbom::shown_kind;
use crate::evidence::verification::{Ran, VerificationRecord};
use crate::layout;
use crate::packages::{KeptReason, PackageInfo, PackageKind, PackageSource};
use crate::product::pasteable;

/// The sections that have a heading: the name in a link, and the heading.
pub(super) const TITLES: [(&str, &str); 11] = [
    ("product", "What it is"),
    ("verification", "Was it verified?"),
    ("check", "How to check this"),
    ("bytes", "Where the bytes are"),
    ("environments", "Environments"),
    ("licences", "Licences"),
    ("packages", "Packages"),
    ("cache", "What else the package cache holds"),
    ("secrets", "Secrets"),
    ("excludes", "What was left out"),
    ("digests", "Digests"),
];

pub(super) fn all(approval: &Approval<'_>) -> Markup {
    let contents = [
        what_it_is(approval),
        verification(approval),
        how_to_check(approval),
        where_the_bytes_are(approval),
        environments(approval),
        licences(approval),
        packages(approval),
        cache(approval),
        secrets(approval.secrets),
        left_out(&approval.manifest.facts),
        digests(approval),
    ];
    html! {
        (outcome(approval))
        @for ((id, title), content) in TITLES.into_iter().zip(contents) {
            section aria-labelledby=(id) {
                h2 id=(id) { (title) }
                (content)
            }
        }
    }
}

/// The answer, before everything else.
fn outcome(approval: &Approval<'_>) -> Markup {
    let (tone, title) = match approval.verified {
        Verified::Never => ("care", "Not verified yet"),
        Verified::OfAnother { .. } => (
            "bad",
            "Not verified: the attached verification is of another product",
        ),
        Verified::Failed(_) => ("bad", "The final verification failed"),
        Verified::Passed(_) => ("good", "The final verification passed"),
    };
    html! {
        div.box.(tone) role="note" {
            p.verdict { (title) }
            (sentence(approval))
            (worth(approval))
        }
    }
}

/// What the product is and what was seen of it, in a sentence.
fn sentence(approval: &Approval<'_>) -> Markup {
    let facts = &approval.manifest.facts;
    html! {
        p {
            "This product, digest " code { "sha256:" (approval.digest) } ", was made from "
            @match &facts.project.lock {
                Some(lock) => { "the lock " code { "sha256:" (lock.sha256) } }
                None => "a project without a lock",
            }
            " with " (or_unknown(facts.build.pixi.as_deref(), "pixi ", "an unknown pixi"))
            " in " (or_unknown(reference(facts.build.image.as_ref()), "the image ", "an unknown image"))
            @match approval.verified {
                Verified::Never => ". No final verification is attached to it.",
                Verified::OfAnother { digest } => {
                    ". The attached verification names "
                    @match digest {
                        Some(digest) => { "the product " code { (Escaped(digest)) } "." }
                        None => "no product that could be told from another.",
                    }
                }
                Verified::Failed(record) => { ". With the network off, " (tried(record)) (when(record)) " failed." }
                Verified::Passed(record) => { ". With the network off, " (tried(record)) (when(record)) " went well." }
            }
        }
    }
}

/// What a verification did, as the subject of a sentence.
fn tried(record: &VerificationRecord) -> Markup {
    match record.ran.iter().find(|ran| ran.phase == "verify") {
        Some(ran) => html! { "its install and the verification " (command(ran)) },
        None => html! { "its install (no verification was asked for, or it did not come to that)" },
    }
}

fn when(record: &VerificationRecord) -> Markup {
    html! { @if let Some(time) = &record.finished { " at " span.time { (Escaped(time)) } } }
}

/// How far the verdict can be trusted.
fn worth(approval: &Approval<'_>) -> Markup {
    let (Verified::Failed(_) | Verified::Passed(_)) = approval.verified else {
        return html! {
            p {
                "Verify it with " code { "final-verify-product --attach" } ", which writes this page anew."
            }
        };
    };
    html! {
        p {
            @if approval.verification_signed {
                "A signature lies beside " code { "verification.json" } ", and this page cannot tell whether it is right: "
                a href="#check" { "check it" } " with the key of someone you trust."
            } @else {
                strong { "Unsigned." } " Anyone who can write to the product can write this verdict. "
                "Check who made it in another way, or ask for a signed one (" code { "--sign-key" } ")."
            }
        }
    }
}

fn what_it_is(approval: &Approval<'_>) -> Markup {
    let facts = &approval.manifest.facts;
    let git = facts.project.git.as_ref();
    let totals = &facts.totals;
    let packages = &facts.packages;
    facts_table(&[
        ("Project", html! { (Escaped(&facts.project.name)) }),
        (
            "Version",
            or_unknown(facts.project.version.as_deref(), "", "not stated"),
        ),
        (
            "Product digest",
            html! { code { "sha256:" (approval.digest) } },
        ),
        (
            "Platform",
            or_unknown(facts.platform.as_deref(), "", "not known"),
        ),
        ("Environments", list(&facts.environments)),
        (
            "Packages",
            html! {
                @match (packages.conda, packages.python) {
                    (None, None) => "not known: there is no lock that could be asked",
                    (conda, python) => {
                        (counted(conda.unwrap_or_default(), "conda package")) ", "
                        (counted(python.unwrap_or_default(), "Python package"))
                    }
                }
                @if packages.whole_cache { "; the package cache is carried whole, whatever is needed" }
            },
        ),
        (
            "Size",
            html! {
                (shown(totals.bytes)) " in " (counted(totals.files, "file"))
                @if totals.links > 0 { ", " (counted(totals.links, "symbolic link")) }
                @if totals.others > 0 { ", " (counted(totals.others, "other entry")) }
            },
        ),
        (
            "Git commit",
            html! {
                @match git {
                    Some(git) => {
                        code { (Escaped(&git.commit)) }
                        @match git.dirty {
                            Some(true) => { " " strong { "with changes that are not committed" } }
                            Some(false) => ", nothing changed since",
                            None => "; whether something was changed is not known",
                        }
                    }
                    None => "not known",
                }
            },
        ),
        (
            "Made at",
            or_unknown(
                facts.created.as_deref(),
                "",
                "not told here, so that the same input gives the same product; see provenance.json",
            ),
        ),
        (
            "Made by",
            html! { (Escaped(&facts.tool.name)) " " (Escaped(&facts.tool.version)) },
        ),
        (
            "Pixi",
            html! {
                (or_unknown(facts.build.pixi.as_deref(), "", "not known"))
                @if packages.bundled_pixi { ", which is in the product" } @else { ", which is not in the product" }
            },
        ),
        (
            "Image",
            or_unknown(reference(facts.build.image.as_ref()), "", "not known"),
        ),
        (
            "Engine",
            html! {
                @match &facts.build.engine {
                    Some(engine) => (as_stated(html! { (Escaped(&engine.client)) " " (Escaped(&engine.version)) }, approval)),
                    None => "not known",
                }
            },
        ),
        (
            "Asks of the machine",
            list(&facts.virtual_packages.required),
        ),
        (
            "Assumed of the machine",
            list(
                &facts
                    .virtual_packages
                    .overrides
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect::<Vec<_>>(),
            ),
        ),
    ])
}

fn verification(approval: &Approval<'_>) -> Markup {
    let (Verified::Failed(record) | Verified::Passed(record)) = approval.verified else {
        return html! {
            p {
                @match approval.verified {
                    Verified::Never => "No. Nobody has shown yet that it installs without a network.",
                    _ => "No. What is attached was found of another product, and says nothing of this one.",
                }
            }
        };
    };
    html! {
        @if let Some(failure) = &record.failure {
            p { "It failed with exit code " (failure.exit_code) ":" }
            pre { @for line in failure.message.lines() { (Escaped(line)) "\n" } }
        }
        div.scroll role="region" aria-label="What ran" tabindex="0" {
            table {
                caption { "What ran in the container" }
                thead { tr {
                    th scope="col" { "Phase" } th scope="col" { "Command" } th scope="col" { "Exit code" }
                    th scope="col" { "Tries to reach the network" } th scope="col" { "Log" }
                } }
                tbody {
                    @for ran in &record.ran {
                        tr {
                            th scope="row" { (Escaped(&ran.phase)) }
                            td { (command(ran)) }
                            td { @match ran.exit_code { Some(code) => (code), None => "did not end" } }
                            td { @match ran.network_attempts { Some(count) => (count), None => "not counted" } }
                            td { @match &ran.log {
                                Some(log) => { (Escaped(&log.name)) " " code { "sha256:" (log.sha256) } }
                                None => "none",
                            } }
                        }
                    }
                    @if record.ran.is_empty() { tr { td colspan="5" { "Nothing." } } }
                }
            }
        }
        (facts_table(&[
            ("Started", or_unknown(record.started.as_deref(), "", "not known")),
            ("Ended", or_unknown(record.finished.as_deref(), "", "not known")),
            ("Network", html! { code { (Escaped(&record.network.mode)) } "; " (Escaped(&record.network.known_by)) }),
            ("Product unchanged by it", html! {
                @match record.product_unchanged {
                    Some(true) => "yes: every file compared before and after",
                    Some(false) => { strong { "no" } }
                    None => "not looked at",
                }
            }),
            ("Environments installed", list(&record.environments)),
            ("Had to print", list(&record.expected.output)),
            ("Had to leave", list(&record.expected.files)),
            ("Image", or_unknown(reference(record.image.as_ref()), "", "not known")),
            ("Image id", or_unknown(record.image.as_ref().map(|image| image.id.as_str()), "", "not known")),
            ("Pixi", or_unknown(record.pixi.as_deref(), "", "not known")),
            ("Verified by", html! { (Escaped(&record.tool.name)) " " (Escaped(&record.tool.version)) }),
        ]))
        p.soft {
            "It shows that this product installs and that this command works, in this image. "
            "It does not show that the target's processor, C library, GPU or pixi fit."
        }
    }
}

fn how_to_check(approval: &Approval<'_>) -> Markup {
    html! {
        p {
            "This page and " code { "bootstrap-project.sh" } " are parts of the product: whoever can change it can change them. "
            "Get the digest or the public key from another source than the product, from someone you trust. "
            "Then, in the folder of the product, with programs of your own and in this order:"
        }
        ol {
            li {
                "Who made it. "
                @if approval.sums_signed {
                    "The signed comment that is printed names project, version, platform and date: a right signature of an older "
                    "product, or of another project, is right, too."
                    pre { "minisign -V -p KEY.pub -m SHA256SUMS\n" }
                } @else {
                    code { "SHA256SUMS" } " is not signed: only the digest, from someone you trust, tells that nothing was changed on the way."
                }
                pre { "sha256sum SHA256SUMS    # must print the digest that you were told\n# this page says: " (approval.digest) "\n" }
            }
            li {
                "The bytes of every listed file."
                pre { "sha256sum --quiet -c SHA256SUMS\n" }
            }
            @if approval.verification_signed || approval.provenance_signed {
                li {
                    "What " code { "SHA256SUMS" } " does not cover, and has a signature of its own."
                    pre {
                        @if approval.verification_signed { "minisign -V -p KEY.pub -m verification.json\n" }
                        @if approval.provenance_signed { "minisign -V -p KEY.pub -m provenance.json\n" }
                    }
                }
            }
            li {
                "Only now something of the product itself: additions, links, modes, and what lies in " code { ".pixi/" } ". It installs nothing."
                pre { "./bootstrap-project.sh --check\n" }
            }
        }
        p {
            "For programs: " code { "manifest.json" } " lists every file, " code { "sbom.cdx.json" }
            " every package (CycloneDX), " code { "provenance.json" } " tells how the product was made (in-toto, SLSA)."
        }
    }
}

/// A value that no list of the product covers: `provenance.json` states it.
fn as_stated(value: Markup, approval: &Approval<'_>) -> Markup {
    html! {
        (value)
        span.soft {
            @if approval.provenance_signed {
                " (as provenance.json states it; " a href="#check" { "check its signature" } ")"
            } @else {
                " (as provenance.json states it, which is not signed: anyone could have written it)"
            }
        }
    }
}

fn where_the_bytes_are(approval: &Approval<'_>) -> Markup {
    let bytes = Bytes::of(approval.manifest);
    let mut from = 0.0;
    let widths: Vec<(f64, f64)> = bytes
        .parts
        .iter()
        .map(|part| {
            let width = percent(part.bytes, bytes.total);
            from += width;
            (from - width, width)
        })
        .collect();
    let longest = bytes.largest.first().map_or(0, |share| share.bytes);
    html! {
        svg.whole viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="The parts of the product by size; the table below has the numbers" {
            rect.empty width="100" height="10" {}
            @for (place, (x, width)) in widths.iter().enumerate() {
                rect class={ "c" (place) } x=(decimal(*x)) width=(decimal(*width)) height="10" {}
            }
        }
        table {
            caption { (shown(bytes.total)) " in all, of files as they lie in the product" }
            thead { tr { th scope="col" { "Part" } th.number scope="col" { "Size" } th.number scope="col" { "Share" } } }
            tbody {
                @for (place, (part, (_, width))) in bytes.parts.iter().zip(&widths).enumerate() {
                    tr {
                        th scope="row" { (swatch(place)) (part.name) }
                        td.number { (shown(part.bytes)) }
                        td.number { (format!("{width:.1} %")) }
                    }
                }
            }
        }
        @if !bytes.largest.is_empty() {
            h3 { "Largest packages" }
            table {
                caption { "Unpacked, as the package cache holds them" }
                thead { tr { th scope="col" { "Package" } th.number scope="col" { "Size" } th scope="col" { "Compared" } } }
                tbody {
                    @for share in &bytes.largest {
                        tr {
                            th scope="row" { (Escaped(&share.name)) }
                            td.number { (shown(share.bytes)) }
                            td.bar {
                                svg.row viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
                                    rect.c0 width=(decimal(percent(share.bytes, longest))) height="10" {}
                                }
                            }
                        }
                    }
                    @if bytes.others.0 > 0 {
                        tr {
                            th scope="row" { (counted(bytes.others.0 as u64, "more package")) }
                            td.number { (shown(bytes.others.1)) }
                            td {}
                        }
                    }
                }
            }
        }
    }
}

fn environments(approval: &Approval<'_>) -> Markup {
    let facts = &approval.manifest.facts;
    html! {
        p { "Installed by " code { "bootstrap-project.sh" } ":" }
        table {
            thead { tr { th scope="col" { "Environment" } th.number scope="col" { "Conda packages" } th.number scope="col" { "Python packages" } } }
            tbody {
                @for name in &facts.environments {
                    @let (conda, python) = in_environment(approval, name)
                        .partition::<Vec<_>, _>(|package| !matches!(package.identity.kind, PackageKind::Python(_)));
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

fn licences(approval: &Approval<'_>) -> Markup {
    let Some(inventory) = approval.inventory else {
        return unknown_packages();
    };
    if inventory.packages().is_empty() {
        return html! { p { "No packages are needed." } };
    }
    let mut licences: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for package in inventory.packages() {
        licences
            .entry(package.licence.as_deref())
            .or_default()
            .push(&package.identity.name);
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

fn packages(approval: &Approval<'_>) -> Markup {
    if approval.inventory.is_none() {
        return unknown_packages();
    }
    html! {
        p { "Their digests and exact sources are in " code { "sbom.cdx.json" } "." }
        @for name in &approval.manifest.facts.environments {
            @let packages: Vec<&PackageInfo> = in_environment(approval, name).collect();
            h3 { "Environment " (Escaped(name)) }
            @if packages.is_empty() { p { "No packages." } } @else { (package_table(name, &packages)) }
        }
    }
}

/// Open, so that it is printed too.
fn package_table(environment: &str, packages: &[&PackageInfo]) -> Markup {
    html! {
        details open {
            summary { (counted(packages.len() as u64, "package")) }
            div.scroll role="region" aria-label={ "Packages of " (environment) } tabindex="0" {
                table.packages {
                    thead { tr {
                        th scope="col" { "Package" } th scope="col" { "Version" } th scope="col" { "Licence" }
                        th scope="col" { "Kind" } th scope="col" { "From" }
                    } }
                    tbody {
                        @for package in packages {
                            tr {
                                th scope="row" { (Escaped(&package.identity.name)) }
                                td { (or_unknown(package.identity.version.as_deref(), "", "not locked")) }
                                td { (licence_of(package.licence.as_deref())) }
                                td { (shown_kind(&package.identity.kind)) }
                                td { (origin(package)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn unknown_packages() -> Markup {
    html! { p { "Not known: the product has no lock that could be asked." } }
}

/// Where a package comes from, short: the file is in the bill of materials.
fn origin(package: &PackageInfo) -> Markup {
    match (&package.identity.kind, &package.identity.source) {
        (
            PackageKind::Conda {
                channel: Some(channel),
                subdir,
                ..
            },
            source,
        ) => html! {
            @if let PackageSource::Url(url) = source { (Escaped(host(url))) " " }
            (Escaped(channel)) "/" (Escaped(subdir))
        },
        (_, PackageSource::Url(url)) => html! { (Escaped(host(url))) },
        (_, PackageSource::Git { repository, commit }) => html! {
            (Escaped(repository))
            @if let Some(commit) = commit { " at " code { (Escaped(commit)) } }
        },
        (_, PackageSource::Path(path)) => html! { code { (Escaped(path)) } },
    }
}

/// The host of a URL; the URL itself when it has none.
fn host(url: &str) -> &str {
    url.split_once("://")
        .and_then(|(_, rest)| rest.split('/').next())
        .filter(|host| !host.is_empty())
        .unwrap_or(url)
}

/// What no package of the list needs, and why it is there.
fn cache(approval: &Approval<'_>) -> Markup {
    let packages = &approval.manifest.facts.packages;
    let mut there = approval.strangers.iter().peekable();
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
                (counted(count, "wheel")) " of the list above are known by the names of their files only: the cache has no sha256 of them that could be compared with the lock's."
            }
        }
        @if let Some(count @ 1..) = packages.conda_by_name {
            p {
                (counted(count, "conda package")) " of the list above have no checksums of their files, as was usual before 2017."
            }
        }
    }
}

fn because(reason: KeptReason) -> &'static str {
    match reason {
        KeptReason::Build => {
            "Packages that something asks for which is built where the product is installed:"
        }
        KeptReason::PerhapsBuild => {
            "Packages of no environment of the lock, which a build where the product is installed may ask for:"
        }
        KeptReason::Page => {
            "Index pages that a build where the product is installed looks packages up in:"
        }
        KeptReason::Repository => {
            "Git repositories, with their history, that a build where the product is installed takes packages from:"
        }
        KeptReason::Whole => {
            "Entries that no environment needs; the cache was carried whole (--cache full, or what is needed was not known):"
        }
        KeptReason::None => "Entries that belong to no package, and should not be there:",
    }
}

fn secrets(secrets: Option<&Secrets>) -> Markup {
    let Some(secrets) = secrets else {
        return html! { p { "Whether the project was searched for secrets is not recorded." } };
    };
    html! {
        @if !secrets.searched {
            p { strong { "Not searched." } " The search for secrets was switched off." }
        } @else if secrets.findings.is_empty() {
            p { "The project and its resources were searched for what looks like keys, tokens and passwords. Nothing was found. That finds common cases, not all." }
        } @else {
            p { strong { "These look like secrets" } " and went into the product:" }
            ul { @for finding in &secrets.findings { li { (Escaped(finding)) } } }
        }
        @if !secrets.known.is_empty() {
            p { "Named as known, and not reported:" }
            ul { @for pattern in &secrets.known { li { code { (Escaped(pattern)) } } } }
        }
    }
}

fn left_out(facts: &ManifestFacts) -> Markup {
    html! {
        p { "Left out of every project, but for " code { ".pixi/config.toml" } ": " (list(&layout::DEFAULT_EXCLUDES)) }
        p { "Left out of this one too (patterns of rsync): " (list(&facts.build.excludes)) }
        p { "Everything else in the project's folder is in the product." }
    }
}

fn digests(approval: &Approval<'_>) -> Markup {
    let facts = &approval.manifest.facts;
    let digest = |sha256: &Sha256Digest| html! { code { "sha256:" (sha256) } };
    let named = |id: &str| html! { code { (Escaped(id)) } };
    let mut rows = vec![
        (
            "SHA256SUMS: the product".to_owned(),
            digest(approval.digest),
        ),
        (
            facts.project.manifest.name.clone(),
            digest(&facts.project.manifest.sha256),
        ),
    ];
    if let Some(lock) = &facts.project.lock {
        let name = format!("{}, format {}", layout::LOCK_FILE, lock.version);
        rows.push((name, digest(&lock.sha256)));
    }
    if let Some(image) = &facts.build.image {
        rows.push(("Image of the build, id".to_owned(), named(&image.id)));
        rows.extend(image.repo_digests.iter().map(|known| {
            (
                "Image of the build, in a registry".to_owned(),
                as_stated(named(known), approval),
            )
        }));
    }
    html! {
        table.facts {
            tbody {
                @for (name, digest) in &rows {
                    tr { th scope="row" { (Escaped(name)) } td { (digest) } }
                }
            }
        }
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

/// A table of facts, each with its name.
fn facts_table(rows: &[(&str, Markup)]) -> Markup {
    html! {
        table.facts { tbody { @for (name, value) in rows {
            tr { th scope="row" { (name) } td { (value) } }
        } } }
    }
}

fn or_unknown(text: Option<&str>, before: &str, unknown: &str) -> Markup {
    html! {
        @match text {
            Some(text) => { (before) (Escaped(text)) }
            None => (unknown),
        }
    }
}

/// Texts in a row, each told from the next.
fn list<T: AsRef<str>>(texts: &[T]) -> Markup {
    html! {
        @for (place, text) in texts.iter().enumerate() {
            @if place > 0 { ", " }
            code { (Escaped(text.as_ref())) }
        }
        @if texts.is_empty() { "none" }
    }
}

fn licence_of(licence: Option<&str>) -> Markup {
    or_unknown(licence, "", "none stated")
}

fn reference(image: Option<&Image>) -> Option<&str> {
    image.map(|image| image.reference.as_str())
}

/// The words of a command, so that a shell takes them as they were.
fn command(ran: &Ran) -> Markup {
    let words = ran.command.iter();
    let words: Vec<String> = words.map(|word| pasteable(word.as_ref())).collect();
    html! { code { (Escaped(&words.join(" "))) } }
}

/// A number and what it counts.
fn counted(number: u64, of: &str) -> String {
    let number_shown = grouped(number);
    match (number, of.strip_suffix('y')) {
        (1, _) => format!("{number_shown} {of}"),
        (_, Some(stem)) => format!("{number_shown} {stem}ies"),
        (_, None) => format!("{number_shown} {of}s"),
    }
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn percent(part: u64, of: u64) -> f64 {
    match of {
        0 => 0.0,
        of => part as f64 * 100.0 / of as f64,
    }
}

/// A length in a picture: with a fixed number of digits, so that it is written
/// in one way only.
fn decimal(length: f64) -> String {
    format!("{length:.3}")
}

/// A square in the colour of a part.
fn swatch(place: usize) -> Markup {
    html! {
        svg.key viewBox="0 0 1 1" aria-hidden="true" { rect class={ "c" (place) } width="1" height="1" {} }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_words_follow_them() {
        assert_eq!(counted(1, "package"), "1 package");
        assert_eq!(counted(0, "package"), "0 packages");
        assert_eq!(counted(1_234_567, "other entry"), "1,234,567 other entries");
    }
}
