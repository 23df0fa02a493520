//! Where the bytes of a product are.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use maud::{Markup, html};

use super::Approval;
use super::escaped::Escaped;
use super::markup::number_of;
use crate::byte_size::ByteSize;
use crate::evidence::manifest::{Entry, EntryKind, Manifest};
use crate::layout::Product;

/// How many packages are shown by name.
const SHOWN: usize = 15;

/// The bytes of a product's files, by what they belong to.
struct Bytes {
    total: u64,
    /// The large parts of a product, those with nothing in them too.
    parts: Vec<Share>,
    /// The packages that are largest once unpacked, largest first.
    largest: Vec<Share>,
    /// The packages that are not among those: how many, and their bytes.
    others: (usize, u64),
}

/// Some of the bytes.
#[derive(Debug, PartialEq, Eq)]
struct Share {
    name: String,
    bytes: u64,
}

/// A part of a product, in the order in which they are shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ProductPart {
    Project,
    Resources,
    Conda,
    Python,
    Cache,
    Pixi,
    Other,
}

impl ProductPart {
    const ALL: [(ProductPart, &'static str); 7] = [
        (ProductPart::Project, "Project"),
        (ProductPart::Resources, "Resources"),
        (ProductPart::Conda, "Conda packages"),
        (ProductPart::Python, "Python packages"),
        (ProductPart::Cache, "Rest of the package cache"),
        (ProductPart::Pixi, "Pixi"),
        (ProductPart::Other, "Scripts and evidence"),
    ];
}

impl Bytes {
    fn of(manifest: &Manifest) -> Bytes {
        let product = Product::new("");
        let (cache, resources) = (product.cache(), product.resources());
        let wheels = Wheels::among(&manifest.entries, &cache);
        let mut parts: BTreeMap<ProductPart, u64> = BTreeMap::new();
        let mut packages: BTreeMap<String, u64> = BTreeMap::new();
        for entry in &manifest.entries {
            let EntryKind::File { size, .. } = &entry.kind else {
                continue;
            };
            let path = entry.path.path();
            let (part, package) = if path.starts_with(manifest.facts.project.staged_dir()) {
                (ProductPart::Project, None)
            } else if path.starts_with(&resources) {
                (ProductPart::Resources, None)
            } else if let Ok(path) = path.strip_prefix(&cache) {
                in_cache(path, &wheels)
            } else if path == product.pixi() {
                (ProductPart::Pixi, None)
            } else {
                (ProductPart::Other, None)
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
            parts: ProductPart::ALL
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
fn in_cache(path: &Path, wheels: &Wheels<'_>) -> (ProductPart, Option<String>) {
    let mut names = path.iter();
    match (
        names.next().and_then(OsStr::to_str),
        names.next(),
        names.next(),
    ) {
        // Files beside the packages are locks and lists.
        (Some("pkgs"), Some(package), Some(_)) => (
            ProductPart::Conda,
            Some(package.to_string_lossy().into_owned()),
        ),
        (Some("uv-cache"), Some(bucket), Some(id)) if Wheels::is_bucket(bucket) => {
            (ProductPart::Python, wheels.0.get(&(bucket, id)).cloned())
        }
        _ => (ProductPart::Cache, None),
    }
}

/// The names of unpacked wheels: they are in directories with meaningless ones.
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

/// Pictures and tables of them.
pub(super) fn where_the_bytes_are(approval: &Approval<'_>) -> Markup {
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
            caption { (ByteSize(bytes.total)) " in all, of files as they are in the product" }
            thead { tr { th scope="col" { "Part" } th.number scope="col" { "Size" } th.number scope="col" { "Share" } } }
            tbody {
                @for (place, (part, (_, width))) in bytes.parts.iter().zip(&widths).enumerate() {
                    tr {
                        th scope="row" { (swatch(place)) (part.name) }
                        td.number { (ByteSize(part.bytes)) }
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
                            td.number { (ByteSize(share.bytes)) }
                            td.bar {
                                svg.row viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
                                    rect.c0 width=(decimal(percent(share.bytes, longest))) height="10" {}
                                }
                            }
                        }
                    }
                    @if bytes.others.0 > 0 {
                        tr {
                            th scope="row" { (number_of(bytes.others.0 as u64, "more package")) }
                            td.number { (ByteSize(bytes.others.1)) }
                            td {}
                        }
                    }
                }
            }
        }
    }
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
