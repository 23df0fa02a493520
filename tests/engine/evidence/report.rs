//! `report.html`, as a browser shows it to an approver.

use std::fs;
use std::path::PathBuf;

use pixi_offline::evidence::manifest::Manifest;
use pixi_offline::evidence::manifest::Secrets;
use pixi_offline::evidence::report_page::{self, Approval, ReportSection};
use pixi_offline::evidence::verification::{PhaseRecord, Verdict, VerificationRecord, Verified};
use pixi_offline::evidence::{Sha256Digest, manifest};
use pixi_offline::packages::{Inventory, LockCache, Subdir, UnlistedEntries};
use serde_json::json;

use super::browser::{assert_says, chromium, show, words_of};

/// A digest of one hexadecimal digit.
fn digest(digit: char) -> Sha256Digest {
    serde_json::from_value(json!(digit.to_string().repeat(64))).unwrap()
}

/// A manifest as it is read from a product, with this many packages of a megabyte and more.
fn manifest(project: &str, packages: usize) -> Manifest {
    let file = |path: String, size: usize| json!({"path": path, "kind": "file", "mode": "0644", "size": size, "sha256": digest('1')});
    let mut entries = vec![
        file("bin/pixi".to_owned(), 60_000_000),
        file(
            format!(
                "{}/pixi.toml",
                project.replace('%', "%25").replace('"', "%22")
            ),
            1_234_567,
        ),
        file("res/model.bin".to_owned(), 45_000_000),
        file("pkg-cache/repodata/x.json".to_owned(), 2_000_000),
    ];
    for number in 0..packages {
        let package = format!("pkg-cache/pkgs/package-{number}-1.0-h0_0");
        entries.push(file(
            format!("{package}/lib/a.so"),
            1_000_000 + number * number * 1_000,
        ));
    }
    if packages > 0 {
        entries.push(file(
            "pkg-cache/uv-cache/archive-v0/abc/six_x-1.17.0.dist-info/RECORD".to_owned(),
            3_000_000,
        ));
        entries.push(file(
            "pkg-cache/uv-cache/archive-v0/abc/six.py".to_owned(),
            3_000_000,
        ));
    }
    let entries: Vec<manifest::Entry> = serde_json::from_value(json!(entries)).unwrap();
    let totals = manifest::Totals::of(&entries);
    let facts = json!({
        "kind": manifest::KIND,
        "format": manifest::FORMAT,
        "tool": {"name": "pixi-offline", "version": "0.1.0"},
        "created": "2026-01-02T03:04:05Z",
        "project": {
            "name": project,
            "folder": project.replace('%', "%25").replace('"', "%22"),
            "manifest": {"name": "pixi.toml", "sha256": digest('2')},
            "lock": {"sha256": digest('3'), "version": 6},
            "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": true},
        },
        "environments": ["default", "train"],
        "platform": "linux-64",
        "virtual_packages": {"required": ["__glibc >=2.17,<3.0.a0"], "overrides": {"CONDA_OVERRIDE_CUDA": "12.4"}},
        "build": {
            "image": {
                "reference": "registry.example/pixi:0.77.0",
                "id": format!("sha256:{}", digest('4')),
                "repo_digests": [format!("registry.example/pixi@sha256:{}", digest('5'))],
                "platform": "linux/amd64",
            },
            "engine": {"client": "docker", "version": "29.0.1"},
            "pixi": "0.77.0",
            "excludes": ["*.key", "/data/<private>/"],
        },
        "packages": {"conda": packages, "python": 1, "python_kinds": {"wheel": 1}, "whole_cache": false, "bundled_pixi": true},
        "totals": totals,
    });
    Manifest {
        facts: serde_json::from_value(facts).unwrap(),
        entries,
    }
}

/// The inventory of a lock with this many conda packages, and with a wheel when there are any.
fn inventory(packages: usize) -> Inventory {
    let licences = [
        "MIT",
        "BSD-3-Clause AND (MIT OR Apache-2.0 WITH LLVM-exception)",
        "Proprietary <b>licence</b> of a company with a long name",
    ];
    let mut listed = String::new();
    let mut described = String::new();
    for number in 0..packages {
        let url = format!("https://conda.example/team/linux-64/package-{number}-1.0-h0_0.conda");
        listed += &format!("      - conda: {url}\n");
        described += &format!(
            "- conda: {url}\n  sha256: {}\n  license: {}\n",
            digest('c'),
            licences[number % 3]
        );
    }
    if packages > 0 {
        let url = "https://index.example/six_x-1.17.0-py3-none-any.whl";
        listed += &format!("      - pypi: {url}\n");
        described += &format!(
            "- pypi: {url}\n  name: six-x\n  version: 1.17.0\n  sha256: {}\n",
            digest('d')
        );
    }
    let environment = |name: &str| {
        let packages = if packages > 0 {
            format!("\n      linux-64:\n{listed}")
        } else {
            " {}\n".to_owned()
        };
        format!(
            "  {name}:\n    channels:\n    - url: https://conda.example/team/\n    packages:{packages}"
        )
    };
    let text = format!(
        "version: 6\nenvironments:\n{}{}packages:{}\n{described}",
        environment("default"),
        environment("train"),
        if packages > 0 { "" } else { " []" }
    );
    let lock = LockCache::default().parse(text).unwrap();
    Inventory::of(
        &lock,
        &["default".to_owned(), "train".to_owned()],
        Some(Subdir::Linux64),
    )
}

/// A verification that went well.
fn passed() -> VerificationRecord {
    VerificationRecord {
        outcome: Verdict::Passed,
        product_digest: Some(format!("sha256:{}", digest('a'))),
        product_unchanged: Some(true),
        started: Some("2026-01-02T04:00:00Z".to_owned()),
        finished: Some("2026-01-02T04:05:06Z".to_owned()),
        environments: vec!["default".to_owned(), "train".to_owned()],
        ran: vec![
            PhaseRecord {
                phase: "bootstrap".to_owned(),
                command: vec!["./bootstrap-project.sh".to_owned()],
                exit_code: Some(0),
                log: None,
                network_attempts: Some(0),
            },
            PhaseRecord {
                phase: "verify".to_owned(),
                command: ["pixi", "run", "check it's <all>"]
                    .map(str::to_owned)
                    .to_vec(),
                exit_code: Some(0),
                log: None,
                network_attempts: Some(0),
            },
        ],
        ..VerificationRecord::default()
    }
}

/// What a page is made of.
struct Case {
    manifest: Manifest,
    inventory: Inventory,
    verified: Verified,
    secrets: Secrets,
    signed: bool,
    changes: Option<ReportSection>,
}

impl Case {
    fn new(project: &str, packages: usize, verified: Verified) -> Case {
        Case {
            manifest: manifest(project, packages),
            inventory: inventory(packages),
            verified,
            secrets: Secrets {
                searched: true,
                known: vec!["/tests/keys/".to_owned()],
                findings: vec!["conf/<db>.yaml:3: a password in a URL".to_owned()],
            },
            signed: false,
            changes: None,
        }
    }

    fn page(&self) -> String {
        report_page::text(&Approval {
            manifest: &self.manifest,
            digest: &digest('a'),
            inventory: Some(&self.inventory),
            unlisted: &UnlistedEntries::default(),
            verified: &self.verified,
            secrets: Some(&self.secrets),
            sums_signed: self.signed,
            verification_signed: self.signed,
            provenance_signed: self.signed,
            changes: self.changes.as_ref(),
        })
    }
}

const HOSTILE: &str =
    "<script>alert(1)</script> \"><img src=x onerror=alert(2)> %3Cb \u{202e}txt.exe";

#[test]
fn an_approver_finds_the_answers_in_a_browser_and_nothing_is_loaded() {
    let mut case = Case::new("demo", 30, Verified::Passed(Box::new(passed())));
    case.signed = true;
    let shown = show(&case.page());
    assert_eq!(shown.console, Vec::<String>::new());
    assert_eq!(shown.connections, 0);
    let product = format!("sha256:{}", digest('a'));
    let sentence = format!(
        "This product, digest {product}, was made from the lock sha256:{} with pixi 0.77.0 in the image registry.example/pixi:0.77.0. With the network off, its install and the verification pixi run 'check it'\\''s <all>' at 2026-01-02T04:05:06Z went well.",
        digest('3')
    );
    assert_says(
        &shown.text,
        &[
            "The final verification passed",
            &sentence,
            "which this page cannot check",
            "Git commit 0123456789abcdef0123456789abcdef01234567 with changes that are not committed",
            "Packages 30 conda packages, 1 Python package",
            "System requirements __glibc >=2.17,<3.0.a0",
            "Required pixi 0.77.0 (included)",
            "Proved: without a network, in an unknown image, this product installs and pixi run 'check it'\\''s <all>' succeeds. Not proved:",
            "At the target, in the directory of the product; pixi is included.",
            "minisign -V -p KEY.pub -m SHA256SUMS",
            "./bootstrap-project.sh --check",
            "Pixi 60.0 MB",
            "Resources 45.0 MB",
            "six_x-1.17.0 6.0 MB",
            "16 more packages",
            "default 30 1",
            "BSD-3-Clause AND (MIT OR Apache-2.0 WITH LLVM-exception) 10 package-1, package-10",
            "six-x 1.17.0 none stated Python wheel index.example",
            "package-7 1.0 BSD-3-Clause AND (MIT OR Apache-2.0 WITH LLVM-exception) conda package conda.example team/linux-64",
            "These look like secrets and went into the product: conf/<db>.yaml:3: a password in a URL",
            "*.key, /data/<private>/",
            &format!("registry.example/pixi@sha256:{}", digest('5')),
        ],
    );
}

/// The page and the documents give the same order: the receiver's own programs first.
#[test]
fn the_order_of_trust_is_the_same_on_the_page_and_in_the_documents() {
    let mut case = Case::new("demo", 0, Verified::Never);
    case.signed = true;
    let page = case.page();
    let checks = &page[page
        .find("id=\"check\"")
        .expect("a part that says how to check")..];
    let security = include_str!("../../../docs/explanation/security.md");
    let evidence = include_str!("../../../docs/reference/evidence.md");
    let from = |text: &'static str, start| &text[text.find(start).expect(start)..];
    for text in [
        checks,
        from(security, "## The order of trust"),
        from(evidence, "**The order of trust.**"),
    ] {
        let steps = [
            "from another source",
            "minisign -V",
            "sha256sum -",
            "./bootstrap-project.sh --check",
        ];
        let places = steps.map(|step| text.find(step).expect(step));
        assert!(places.is_sorted(), "{places:?} in {text}");
    }
}

/// What must be true for "no console errors, no requests" to mean something.
#[test]
fn a_page_that_loads_or_runs_something_would_be_seen() {
    let loads = show("<!DOCTYPE html><title>x</title><img src=\"http://other.example/x.png\">");
    assert!(loads.connections > 0);
    let page = Case::new("demo", 0, Verified::Never).page();
    let runs = page.replace("<h1>", "<script>document.title = 1</script><h1>");
    assert_ne!(page, runs);
    let refused = show(&runs);
    assert!(
        refused
            .console
            .iter()
            .any(|line| line.contains("Content Security Policy")),
        "{:?}",
        refused.console
    );
}

#[test]
fn hostile_names_are_only_text() {
    let mut case = Case::new(HOSTILE, 3, Verified::Never);
    case.secrets.findings = vec![HOSTILE.to_owned()];
    let page = case.page();
    assert!(
        !page.contains("<script") && !page.contains("<img"),
        "{page}"
    );
    let shown = show(&page);
    assert_eq!(shown.console, Vec::<String>::new());
    assert_eq!(shown.connections, 0);
    let visible = HOSTILE.replace('\u{202e}', "\\u{202e}");
    assert_says(&shown.text, &[&format!("Approval report: {visible}")]);
}

#[test]
fn a_page_never_claims_what_was_not_checked() {
    let page = |verified| words_of(&Case::new("demo", 3, verified).page());
    let claim = "The final verification passed";

    let never = page(Verified::Never);
    assert_says(
        &never,
        &[
            "Not verified yet",
            "No final verification is attached to it.",
        ],
    );
    assert!(!never.contains(claim));

    let digest = Some("sha256:ffff".to_owned());
    let other = page(Verified::OfAnother { digest });
    assert_says(
        &other,
        &[
            "Not verified: the attached verification is of another product",
            "sha256:ffff",
        ],
    );
    assert!(!other.contains(claim));

    let mut record = passed();
    record.outcome = Verdict::Failed;
    record.failure = Some(pixi_offline::evidence::verification::FailureRecord {
        exit_code: 3,
        message: "the verification failed\nsee <its> log".to_owned(),
    });
    let failed = page(Verified::Failed(Box::new(record)));
    assert_says(
        &failed,
        &[
            "The final verification failed",
            "failed with exit code 3",
            "see <its> log",
        ],
    );
    assert!(!failed.contains(claim));

    let passed = page(Verified::Passed(Box::new(passed())));
    assert_says(
        &passed,
        &[
            claim,
            "Unsigned.",
            "Anyone who can write to the product can write this verdict.",
        ],
    );
}

#[test]
fn a_page_is_the_same_for_the_same_input_and_refers_to_nothing_outside() {
    let case = Case::new("demo", 40, Verified::Passed(Box::new(passed())));
    let page = case.page();
    assert_eq!(page, case.page());
    for attribute in ["href=\"", "src=\"", "url("] {
        for target in page.split(attribute).skip(1) {
            assert!(
                target.starts_with('#') || target.starts_with("data:,\""),
                "{attribute}{}",
                &target[..40]
            );
        }
    }
}

/// Pictures for whoever changes the page, in the directory that
/// `PIXI_OFFLINE_PICTURES` names.
#[test]
fn pictures_of_the_page() {
    let Some(dir) = std::env::var_os("PIXI_OFFLINE_PICTURES").map(PathBuf::from) else {
        return;
    };
    fs::create_dir_all(&dir).unwrap();
    let long = "a-project-with-a-name-that-nobody-should-give-".repeat(4);
    let mut signed = Case::new("demo", 40, Verified::Passed(Box::new(passed())));
    signed.signed = true;
    let mut failed = passed();
    failed.failure = Some(pixi_offline::evidence::verification::FailureRecord {
        exit_code: 3,
        message: "the verification failed\nsee its log".to_owned(),
    });
    let cases = [
        ("passed", signed),
        (
            "failed",
            Case::new(&long, 5, Verified::Failed(Box::new(failed))),
        ),
        ("empty", Case::new("empty", 0, Verified::Never)),
        (
            "large",
            Case::new("large", 1_000, Verified::OfAnother { digest: None }),
        ),
        ("hostile", Case::new(HOSTILE, 3, Verified::Never)),
    ];
    for (name, case) in cases {
        let file = dir.join(format!("{name}.html"));
        fs::write(&file, case.page()).unwrap();
        for (kind, size, more) in [
            ("wide", "1280,6000", "--force-color-profile=srgb"),
            ("narrow", "500,6000", "--force-color-profile=srgb"),
            (
                "dark",
                "1280,6000",
                "--blink-settings=preferredColorScheme=0",
            ),
        ] {
            let picture = dir.join(format!("{name}-{kind}.png"));
            chromium(
                &file,
                "127.0.0.1:9",
                &[
                    &format!("--screenshot={}", picture.display()),
                    &format!("--window-size={size}"),
                    "--hide-scrollbars",
                    more,
                ],
            );
        }
    }
}
