//! Where the bytes of a product are.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use crate::evidence::manifest::{Entry, EntryKind, Manifest};
use crate::layout::Product;

/// How many packages are shown by name.
const SHOWN: usize = 15;

/// The bytes of a product's files, by what they belong to.
pub(super) struct Bytes {
    pub(super) total: u64,
    /// The large parts of a product, those with nothing in them too.
    pub(super) parts: Vec<Share>,
    /// The packages that are largest once unpacked, largest first.
    pub(super) largest: Vec<Share>,
    /// The packages that are not among those: how many, and their bytes.
    pub(super) others: (usize, u64),
}

/// Some of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// A part of a product, in the order in which they are shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Project,
    Resources,
    Conda,
    Python,
    Cache,
    Pixi,
    Other,
}

impl Part {
    const ALL: [(Part, &'static str); 7] = [
        (Part::Project, "Project"),
        (Part::Resources, "Resources"),
        (Part::Conda, "Conda packages"),
        (Part::Python, "Python packages"),
        (Part::Cache, "Rest of the package cache"),
        (Part::Pixi, "Pixi"),
        (Part::Other, "Scripts and evidence"),
    ];
}

impl Bytes {
    pub(super) fn of(manifest: &Manifest) -> Bytes {
        let product = Product::new("");
        let (cache, resources) = (product.cache(), product.resources());
        let wheels = Wheels::among(&manifest.entries, &cache);
        let mut parts: BTreeMap<Part, u64> = BTreeMap::new();
        let mut packages: BTreeMap<String, u64> = BTreeMap::new();
        for entry in &manifest.entries {
            let EntryKind::File { size, .. } = &entry.kind else {
                continue;
            };
            let path = entry.path.path();
            let (part, package) = if path.starts_with(manifest.facts.project.folder.path()) {
                (Part::Project, None)
            } else if path.starts_with(&resources) {
                (Part::Resources, None)
            } else if let Ok(path) = path.strip_prefix(&cache) {
                in_cache(path, &wheels)
            } else if path == product.pixi() {
                (Part::Pixi, None)
            } else {
                (Part::Other, None)
            };
            *parts.entry(part).or_default() += size;
            if let Some(package) = package {
                *packages.entry(package).or_default() += size;
            }
        }
        let mut largest: Vec<Share> = packages
            .into_iter()
            .map(|(name, bytes)| Share { name, bytes })
            .collect();
        // Names of the same size stay in their order.
        largest.sort_by_key(|share| std::cmp::Reverse(share.bytes));
        let others = largest.split_off(largest.len().min(SHOWN));
        Bytes {
            total: manifest.facts.totals.bytes,
            parts: Part::ALL
                .into_iter()
                .map(|(part, name)| Share {
                    name: name.to_owned(),
                    bytes: parts.get(&part).copied().unwrap_or_default(),
                })
                .collect(),
            largest,
            others: (others.len(), others.iter().map(|share| share.bytes).sum()),
        }
    }
}

/// What a file of the package cache belongs to, by its path there.
fn in_cache(path: &Path, wheels: &Wheels<'_>) -> (Part, Option<String>) {
    let mut names = path.iter();
    match (
        names.next().and_then(OsStr::to_str),
        names.next(),
        names.next(),
    ) {
        // Files beside the packages are locks and lists.
        (Some("pkgs"), Some(package), Some(_)) => {
            (Part::Conda, Some(package.to_string_lossy().into_owned()))
        }
        (Some("uv-cache"), Some(bucket), Some(id)) if Wheels::is_bucket(bucket) => {
            (Part::Python, wheels.0.get(&(bucket, id)).cloned())
        }
        _ => (Part::Cache, None),
    }
}

/// The names of unpacked wheels: they lie in folders with meaningless ones.
struct Wheels<'a>(BTreeMap<(&'a OsStr, &'a OsStr), String>);

impl<'a> Wheels<'a> {
    fn among(entries: &'a [Entry], cache: &Path) -> Wheels<'a> {
        let mut wheels = BTreeMap::new();
        for entry in entries {
            let Ok(path) = entry.path.path().strip_prefix(cache) else {
                continue;
            };
            let names: Vec<&OsStr> = path.iter().take(4).collect();
            if let [uv, bucket, id, name] = names.as_slice()
                && *uv == "uv-cache"
                && Wheels::is_bucket(bucket)
                && let Some(name) = name
                    .to_str()
                    .and_then(|name| name.strip_suffix(".dist-info"))
            {
                wheels.insert((*bucket, *id), name.to_owned());
            }
        }
        Wheels(wheels)
    }

    fn is_bucket(name: &OsStr) -> bool {
        name.as_encoded_bytes().starts_with(b"archive-v")
    }
}

/// A number of bytes as people read it.
pub(super) fn shown(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        unit => format!("{value:.1} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_with_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_960, "1.0 MB"),
            (123_456_789, "123.5 MB"),
            (12_000_000_000_000, "12.0 TB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(shown(bytes), text);
        }
    }
}
