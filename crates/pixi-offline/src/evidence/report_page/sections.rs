//! The sections of the page, in the order of an approver's questions.

use maud::{Markup, html};

use super::Approval;
use super::bytes::where_the_bytes_are;
use super::escaped::Escaped;
use super::markup::{facts_table, list, number_of, or_unknown};
use super::packages::{cache, environments, licences, packages};
use crate::byte_size::ByteSize;
use crate::container::Image;
use crate::evidence::Sha256Digest;
use crate::evidence::manifest::ManifestFacts;
use crate::evidence::manifest::Secrets;
use crate::evidence::verification::{PhaseRecord, VerificationRecord, Verified};
use crate::layout::{self, Product};
use crate::packages::Subdir;
use crate::quote::{pasteable, pasteable_line};

/// The sections of every page: the name in a link, and the heading.
const TITLES: [(&str, &str); 12] = [
    ("product", "What it is"),
    ("verification", "Was it verified?"),
    ("check", "How to check this"),
    ("install", "How to install it"),
    ("bytes", "Where the bytes are"),
    ("environments", "Environments"),
    ("licences", "Licences"),
    ("packages", "Packages"),
    ("cache", "What else the package cache holds"),
    ("secrets", "Secrets"),
    ("excludes", "What was left out"),
    ("digests", "Digests"),
];

/// The sections of this page: the name in a link, and the heading.
pub(super) fn titles<'a>(approval: &Approval<'a>) -> impl Iterator<Item = (&'static str, &'a str)> {
    let changes = approval.changes.map(|changes| ("changes", &*changes.title));
    changes.into_iter().chain(TITLES)
}

pub(super) fn all(approval: &Approval<'_>) -> Markup {
    let changes = approval.changes.map(|changes| changes.content.clone());
    let contents = [
        what_it_is(approval),
        verification(approval),
        how_to_check(approval),
        how_to_install(&approval.manifest.facts),
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
        @for ((id, title), content) in titles(approval).zip(changes.into_iter().chain(contents)) {
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
            p { (proved(approval)) }
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
                Some(lock) => { "the lock " code { "sha256:" (lock.of_project()) } }
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
                        None => "no product digest.",
                    }
                }
                Verified::Failed(record) => { ". With the network off, " (tried(record)) (when(record)) " failed." }
                Verified::Passed(record) => { ". With the network off, " (tried(record)) (when(record)) " went well." }
            }
        }
    }
}

/// What is proved, and what is not, in a line.
fn proved(approval: &Approval<'_>) -> Markup {
    let Verified::Passed(record) = approval.verified else {
        return html! { strong { "Proved: " } "nothing." };
    };
    let image = or_unknown(reference(record.image.as_ref()), "", "an unknown image");
    html! {
        strong { "Proved: " }
        "without a network, in " (image) ", this product installs"
        @match record.ran.iter().find(|ran| ran.phase == "verify") {
            Some(ran) => { " and " (command(ran)) " succeeds." }
            None => "; nothing else was tried.",
        }
        strong { " Not proved: " }
        "that the target's processor, C library, GPU or pixi fit (" code { "./bootstrap-project.sh --check" }
        " looks there), and anything that was not run."
    }
}

/// What a verification did, as the subject of a sentence.
fn tried(record: &VerificationRecord) -> Markup {
    match record.ran.iter().find(|ran| ran.phase == "verify") {
        Some(ran) => html! { "its install and the verification " (command(ran)) },
        None => {
            html! { "its install (no verification command was given, or the run ended before it)" }
        }
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
                "A signature is beside " code { "verification.json" } ", which this page cannot check: "
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
    let (build, totals, packages) = (&facts.build, &facts.totals, &facts.packages);
    let overrides = facts.virtual_packages.overrides.iter();
    let overrides: Vec<String> = overrides
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    html! {
        (facts_table(&[
            ("Project", html! {
                (Escaped(&facts.project.name))
                @if facts.project.staged_dir() != facts.project.dir.path() {
                    ", in " code { (Escaped(&facts.project.dir.to_string())) } ": "
                    code { (Escaped(&facts.project.staged_dir().to_string_lossy())) }
                    " is a copy of what it needs of the directory around it"
                }
            }),
            ("Version", or_unknown(facts.project.version.as_deref(), "", "not stated")),
            ("Product digest", html! { code { "sha256:" (approval.digest) } }),
            ("Platform", or_unknown(facts.platform.map(Subdir::as_str), "", "not known")),
            ("Environments", list(&facts.environments)),
            ("Packages", html! {
                @match (packages.conda, packages.python) {
                    (None, None) => "not known: no readable lock file",
                    (conda, python) => {
                        (number_of(conda.unwrap_or_default(), "conda package")) ", "
                        (number_of(python.unwrap_or_default(), "Python package"))
                    }
                }
                @if packages.whole_cache { "; it has the whole package cache" }
            }),
            ("Size", html! {
                (ByteSize(totals.bytes)) " in " (number_of(totals.files, "file"))
                @if totals.links > 0 { ", " (number_of(totals.links, "symbolic link")) }
                @if totals.others > 0 { ", " (number_of(totals.others, "other entry")) }
            }),
            ("Git commit", html! {
                @match &facts.project.git {
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
            }),
            ("Created", or_unknown(facts.created.as_deref(), "", "omitted, so that the same input gives the same product; see provenance.json")),
            ("Contact", or_unknown(facts.contact.as_deref(), "", "not stated")),
            ("Made by", html! { (Escaped(&facts.tool.name)) " " (Escaped(&facts.tool.version)) }),
            ("Required pixi", html! {
                (or_unknown(build.pixi.as_deref(), "", "not known"))
                @if packages.bundled_pixi { " (included)" } @else { " (not included)" }
            }),
            ("Image", or_unknown(reference(build.image.as_ref()), "", "not known")),
            ("Engine", html! {
                @match &build.engine {
                    Some(engine) => (as_stated(html! { (Escaped(&engine.client)) " " (Escaped(&engine.version)) }, approval)),
                    None => "not known",
                }
            }),
            ("System requirements", list(&facts.virtual_packages.required)),
            ("Overridden virtual packages", list(&overrides)),
        ]))
    }
}

fn verification(approval: &Approval<'_>) -> Markup {
    let (Verified::Failed(record) | Verified::Passed(record)) = approval.verified else {
        return html! {
            p {
                @match approval.verified {
                    Verified::Never => "No. No final verification is attached.",
                    _ => "No. The attached verification belongs to another product.",
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
                            td { @match ran.network_attempts { Some(count) => (count), None => "not number_of" } }
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
            ("Expected output", list(&record.expected.output)),
            ("Expected files", list(&record.expected.files)),
            ("Image", or_unknown(reference(record.image.as_ref()), "", "not known")),
            ("Image id", or_unknown(record.image.as_ref().map(|image| image.id.as_str()), "", "not known")),
            ("Pixi", or_unknown(record.pixi.as_deref(), "", "not known")),
            ("Verified by", html! { (Escaped(&record.tool.name)) " " (Escaped(&record.tool.version)) }),
        ]))
    }
}

fn how_to_check(approval: &Approval<'_>) -> Markup {
    html! {
        p {
            "This page and " code { "bootstrap-project.sh" } " are parts of the product: whoever can change it can change them. "
            "Get the digest or the public key from another source than the product, from someone you trust. "
            "Then, in the directory of the product, with programs of your own and in this order:"
        }
        ol {
            li {
                "Who made it. "
                @if approval.sums_signed {
                    "The signed comment that is printed names project, version, platform and date: a signature of an older "
                    "product or of another project is valid as well."
                    pre { "minisign -V -p KEY.pub -m SHA256SUMS\n" }
                } @else {
                    code { "SHA256SUMS" } " is not signed: only the digest, from someone you trust, proves that nothing was changed on the way."
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
                "Only now something of the product itself: additions, links, modes, and what is in " code { ".pixi/" } ". It installs nothing."
                pre { "./bootstrap-project.sh --check\n" }
            }
        }
        p {
            "For programs: " code { "manifest.json" } " lists every file, " code { "sbom.cdx.json" }
            " every package (CycloneDX), " code { "provenance.json" } " tells how the product was made (in-toto, SLSA)."
        }
    }
}

fn how_to_install(facts: &ManifestFacts) -> Markup {
    let dir = pasteable(facts.project.dir.path().as_os_str());
    let args = pasteable_line(&facts.build.tested);
    html! {
        p {
            "At the target, in the directory of the product; "
            @if facts.packages.bundled_pixi { "pixi is included." } @else {
                "it needs pixi " (or_unknown(facts.build.pixi.as_deref(), "", "of the version that made it")) " on " code { "PATH" } "."
            }
            " " code { "README.txt" } " has the requirements, and how to move, update and remove it."
        }
        pre {
            "./bootstrap-project.sh\n. ./envs.sh\ncd " (Escaped(&dir)) "\n"
            @if args.is_empty() { "pixi task list\n" } @else { (Escaped(&args)) "\n" }
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
        p {
            "Also left out, where the directory has them: " code { ".pixi-offline" }
            ", workdirs and products of these commands; and, unless they were asked for, files that the build generated there. "
            "Everything else in the project's directory is in the product."
        }
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
        rows.extend(lock.original.as_ref().map(|original| {
            let name = format!("{}, format {}", Product::ORIGINAL_LOCK, original.version);
            let why = html! { (digest(&original.sha256)) br; (Escaped(&original.why)) };
            (name, why)
        }));
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

fn reference(image: Option<&Image>) -> Option<&str> {
    image.map(|image| image.reference.as_str())
}

/// The arguments of a command, so that a shell takes them as they were.
fn command(ran: &PhaseRecord) -> Markup {
    html! { code { (Escaped(&pasteable_line(&ran.command))) } }
}
