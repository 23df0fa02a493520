//! A comparison as lines for people.

use itertools::Itertools as _;

use crate::byte_size::ByteSize;
use crate::comparison::{
    Comparison, EntryChange, EntryFacts, PackageChange, PackageFacts, ProductSummary, SettingChange,
};
use crate::counted;

/// The lines: both products, then packages, files and settings.
pub(super) fn lines(comparison: &Comparison) -> Vec<String> {
    let mut lines = vec![
        format!("Old: {}", product(&comparison.old)),
        format!("New: {}", product(&comparison.new)),
        format!("Content: {}", content(comparison)),
    ];
    lines.push(totals("Packages", &comparison.packages, |change| {
        (change.old.is_empty(), change.new.is_empty())
    }));
    lines.extend(comparison.packages.iter().map(package));
    for (title, dir) in [
        ("Project", &comparison.project),
        ("Resources", &comparison.resources),
    ] {
        lines.push(totals(title, &dir.changes, |change| {
            (change.old.is_none(), change.new.is_none())
        }));
        lines.extend(dir.changes.iter().map(entry));
    }
    let cache = &comparison.package_cache;
    let is_same = (cache.new_files, cache.old_files) == (0, 0);
    lines.push(if is_same {
        "Package cache: nothing changed".to_owned()
    } else {
        format!(
            "Package cache: new or changed: {} of {}; gone or changed: {} of {}",
            counted::files(cache.new_files),
            ByteSize(cache.new_bytes),
            counted::files(cache.old_files),
            ByteSize(cache.old_bytes)
        )
    });
    lines.push(match comparison.settings.len() {
        0 => "Settings: none differ".to_owned(),
        some => format!("Settings: {}", counted::counted(some, "differs", "differ")),
    });
    lines.extend(comparison.settings.iter().flat_map(setting));
    lines
}

fn product(product: &ProductSummary) -> String {
    let version = product.version.as_ref();
    format!(
        "{}: {}{}, {}, {}, {}",
        product.path.as_deref().unwrap_or_default(),
        product.project,
        version.map_or_else(String::new, |version| format!(" {version}")),
        product.product_digest,
        counted::files(product.files),
        ByteSize(product.bytes)
    )
}

pub(super) fn content(comparison: &Comparison) -> &'static str {
    match (comparison.same_product, comparison.same_content) {
        (true, _) => "the same to the byte",
        (false, true) => {
            "packages, project and resources hold the same; what differs is listed below, or is bookkeeping of the package cache"
        }
        (false, false) => "different",
    }
}

/// `Packages: 1 added, 2 removed, 3 changed`; `is` says whether there was no old one and is no new one.
pub(super) fn totals<T>(title: &str, changes: &[T], is: impl Fn(&T) -> (bool, bool)) -> String {
    let count = |wanted: (bool, bool)| changes.iter().filter(|change| is(change) == wanted).count();
    if changes.is_empty() {
        return format!("{title}: nothing changed");
    }
    format!(
        "{title}: {} added, {} removed, {} changed",
        count((true, false)),
        count((false, true)),
        count((false, false))
    )
}

/// Versions and builds, each once: a lock may have several archives of one.
pub(super) fn versions(facts: &[PackageFacts]) -> String {
    facts.iter().map(PackageFacts::shown).dedup().join(", ")
}

fn package(change: &PackageChange) -> String {
    let name = format!("{} ({})", change.name, change.ecosystem);
    let environments = change.environments.join(", ");
    match (&*change.old, &*change.new) {
        ([], new) => format!("  added    {name} {} [{environments}]", versions(new)),
        (old, []) => format!("  removed  {name} {} [{environments}]", versions(old)),
        (old, new) => {
            let versions = match (versions(old), versions(new)) {
                (old, new) if old == new => old,
                (old, new) => format!("{old} -> {new}"),
            };
            format!(
                "  changed  {name} {versions}{} [{environments}]",
                details(old, new)
            )
        }
    }
}

/// What of two lists of facts differs besides version and build.
pub(super) fn details(old: &[PackageFacts], new: &[PackageFacts]) -> String {
    type Field = fn(&PackageFacts) -> &Option<String>;
    let fields: [(&str, Field); 6] = [
        ("channel", |facts| &facts.channel),
        ("subdir", |facts| &facts.subdir),
        ("kind", |facts| &facts.kind),
        ("licence", |facts| &facts.licence),
        ("source", |facts| &facts.source),
        ("archive", |facts| &facts.sha256),
    ];
    let ([old], [new]) = (old, new) else {
        return archives(old, new);
    };
    // Another version has another archive, and its name is in the URL.
    let is_implied =
        |name: &str| old.shown() != new.shown() && matches!(name, "archive" | "source");
    let mut text = String::new();
    for (name, field) in fields {
        let (old, new) = (field(old), field(new));
        if old != new && !is_implied(name) {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            text.push_str(&format!("; {name} {} -> {}", shown(old), shown(new)));
        }
    }
    text
}

/// Of several archives of one version those that only one of the lists has.
fn archives(old: &[PackageFacts], new: &[PackageFacts]) -> String {
    if versions(old) != versions(new) {
        return String::new();
    }
    let missing_in = |others: &[PackageFacts], facts: &[PackageFacts]| {
        let only = facts.iter().filter(|facts| !others.contains(facts));
        match only.map(PackageFacts::archive).join(", ") {
            none if none.is_empty() => "none".to_owned(),
            some => some,
        }
    };
    format!("; {} -> {}", missing_in(new, old), missing_in(old, new))
}

fn entry(change: &EntryChange) -> String {
    let path = change.path.shown();
    match (&change.old, &change.new) {
        (None, Some(new)) => format!("  added    {path}{}", size(new)),
        (Some(old), None) => format!("  removed  {path}{}", size(old)),
        (Some(old), Some(new)) => format!("  changed  {path}{}", difference(old, new)),
        (None, None) => String::new(),
    }
}

pub(super) fn size(facts: &EntryFacts) -> String {
    match facts.size {
        Some(size) => format!(" ({})", ByteSize(size)),
        None => format!(" ({})", facts.kind),
    }
}

pub(super) fn difference(old: &EntryFacts, new: &EntryFacts) -> String {
    if old.kind != new.kind {
        return format!(" ({} -> {})", old.kind, new.kind);
    }
    if let (Some(old_target), Some(new_target)) = (&old.target, &new.target) {
        return format!(
            " (link to {} -> {})",
            old_target.shown(),
            new_target.shown()
        );
    }
    let mut parts = Vec::new();
    if let (Some(old_size), Some(new_size)) = (old.size, new.size)
        && old.sha256 != new.sha256
    {
        parts.push(match old_size == new_size {
            true => format!("{}, content differs", ByteSize(new_size)),
            false => format!("{} -> {}", ByteSize(old_size), ByteSize(new_size)),
        });
    }
    if let (Some(old_mode), Some(new_mode)) = (&old.mode, &new.mode)
        && old_mode != new_mode
    {
        parts.push(format!("mode {old_mode} -> {new_mode}"));
    }
    format!(" ({})", parts.join("; "))
}

fn setting(change: &SettingChange) -> Vec<String> {
    let SettingChange { name, old, new } = change;
    if old.len() <= 1 && new.len() <= 1 {
        let shown = |values: &[String]| values.first().map_or("none", |value| value).to_owned();
        return vec![format!("  {name}: {} -> {}", shown(old), shown(new))];
    }
    // Of a list only what differs.
    let missing_in = |from: &[String], other: &[String]| -> Vec<String> {
        from.iter()
            .filter(|value| !other.contains(value))
            .cloned()
            .collect()
    };
    let mut lines = vec![format!("  {name}:")];
    lines.extend(
        missing_in(old, new)
            .iter()
            .map(|value| format!("    removed  {value}")),
    );
    lines.extend(
        missing_in(new, old)
            .iter()
            .map(|value| format!("    added    {value}")),
    );
    if lines.len() == 1 {
        lines.push("    the order differs".to_owned());
    }
    lines
}
