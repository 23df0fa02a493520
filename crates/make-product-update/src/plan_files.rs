//! The files in `plan/` of an update, which `apply-update.sh` reads: where each entry of the new product
//! comes from, with its mode and its time.

use std::collections::BTreeMap;

use pixi_offline::evidence::manifest::{Entry, EntryKind, Totals};
use pixi_offline::evidence::{Sha256Digest, sums};
use pixi_offline::layout::Product;

use crate::bases::{Base, NewProduct};
use crate::description::{BaseFacts, Description, FORMAT};
use crate::records::Records;
use crate::sources::{CopiedEntry, UpdateSources};
use crate::trees::Trees;

/// The directory of an update that they are in.
pub(crate) const PLAN: &str = "plan";

/// How many digits of a base's digest name its directory.
const SHORT: usize = 12;

/// A file of an update: its path there, and its bytes.
pub(crate) type UpdateFile = (String, Vec<u8>);

/// The short form of a digest.
pub(crate) fn short(digest: &Sha256Digest) -> String {
    let mut digits = digest.to_string();
    digits.truncate(SHORT);
    digits
}

/// A file that comes out of `product/`, with its length in bytes and its time in seconds.
#[derive(Debug)]
pub(crate) struct OuterFile {
    pub(crate) name: &'static str,
    pub(crate) size: u64,
    pub(crate) time: i64,
}

/// The plan for all bases. `outer_files` are the files of the new product that come out of `product/`.
pub(crate) fn all(
    new: &NewProduct,
    bases: &[(&Base, UpdateSources<'_>)],
    description: &Description,
    outer_files: &[OuterFile],
) -> Vec<UpdateFile> {
    let entries = &new.manifest().entries;
    let listed = files(new, outer_files);
    let mut files = vec![
        (format!("{PLAN}/facts"), facts(new, description, &listed)),
        (
            format!("{PLAN}/dirs"),
            fields(dirs(entries).map(|(path, _)| path)),
        ),
        (
            format!("{PLAN}/dir-stats"),
            lines(dirs(entries).map(|(_, mode)| format!("{mode:x}"))),
        ),
        (
            format!("{PLAN}/paths"),
            fields(listed.iter().map(|file| file.path)),
        ),
        (
            format!("{PLAN}/stats"),
            lines(listed.iter().map(ExpectedFile::stat)),
        ),
        (format!("{PLAN}/links"), with_targets(links_of(entries))),
    ];
    for ((base, sources), facts) in bases.iter().zip(&description.from) {
        let dir = format!("{PLAN}/{}", short(&base.lists.digest));
        let trees = Trees::find(&base.lists.manifest.entries, entries, &sources.kept);
        files.extend([
            (format!("{dir}/facts"), base_facts(base, facts)),
            (format!("{dir}/dirs"), fields(&trees.dirs_apart)),
            (format!("{dir}/trees"), fields(&trees.dirs)),
            (format!("{dir}/in-trees"), fields(&trees.kept)),
            (format!("{dir}/kept"), fields(&trees.apart)),
            (format!("{dir}/moved"), moved(sources)),
            (format!("{dir}/renamed"), renamed(sources)),
            (format!("{dir}/new"), new_files(sources)),
            (format!("{dir}/links"), links(sources)),
            (
                format!("{dir}/old-links"),
                with_targets(links_of(sources.copied().map(|copied| copied.old))),
            ),
            (format!("{dir}/sums"), needed_sums(sources)),
        ]);
    }
    files
}

/// A file of the new product as it is to be: its mode with its kind, its length and its time in seconds.
#[derive(Debug)]
struct ExpectedFile<'a> {
    path: &'a [u8],
    mode: u32,
    size: u64,
    time: i64,
}

impl ExpectedFile<'_> {
    /// As `stat --printf='%f\t%s\t%Y'` prints it.
    fn stat(&self) -> String {
        format!("{:x}\t{}\t{}", self.mode, self.size, self.time)
    }
}

/// The bits of a mode that say what an entry is.
const IS_FILE: u32 = 0o100_000;
const IS_DIRECTORY: u32 = 0o40_000;

/// All regular files of the new product, those that no list has too, sorted by the bytes of their paths.
fn files<'a>(new: &'a NewProduct, outer_files: &'a [OuterFile]) -> Vec<ExpectedFile<'a>> {
    let entries = new.manifest().entries.iter().zip(&new.checked.times);
    let listed = entries.filter_map(|(entry, &time)| match entry.kind {
        EntryKind::File { mode, size, .. } => Some(ExpectedFile {
            path: entry.path.bytes(),
            mode: IS_FILE | mode.bits(),
            size,
            time,
        }),
        _ => None,
    });
    let mut files: Vec<_> = listed.collect();
    // The bill of materials is in both, and has the mode that is listed.
    let unlisted = outer_files.iter().filter(|file| file.name != Product::SBOM);
    files.extend(unlisted.map(|file| ExpectedFile {
        path: file.name.as_bytes(),
        mode: IS_FILE | 0o644,
        size: file.size,
        time: file.time,
    }));
    files.sort_by_key(|file| file.path);
    files
}

/// A field for each of these.
fn fields(paths: impl IntoIterator<Item: AsRef<[u8]>>) -> Vec<u8> {
    let mut records = Records::default();
    paths.into_iter().for_each(|path| records.add(path));
    records.into_bytes()
}

fn lines(texts: impl Iterator<Item = String>) -> Vec<u8> {
    texts.flat_map(|text| (text + "\n").into_bytes()).collect()
}

fn facts(new: &NewProduct, description: &Description, files: &[ExpectedFile<'_>]) -> Vec<u8> {
    let totals = Totals::of(&new.manifest().entries);
    let facts = &new.manifest().facts;
    let mut records = Records::default();
    records.field("format", FORMAT);
    records.field("project", &facts.project.name);
    records.field("version", description.to.version.as_deref().unwrap_or(""));
    let platform = facts.platform.map(|platform| platform.to_string());
    records.field("platform", platform.unwrap_or_default());
    records.field("to", new.checked.digest);
    records.field("made", new.made.as_deref().unwrap_or(""));
    records.field("files", files.len());
    records.field("directories", totals.directories);
    records.field("links", totals.links);
    records.field("bytes", files.iter().map(|file| file.size).sum::<u64>());
    records.into_bytes()
}

fn base_facts(base: &Base, facts: &BaseFacts) -> Vec<u8> {
    let mut records = Records::default();
    records.field("from", base.lists.digest);
    records.field("version", facts.product.version.as_deref().unwrap_or(""));
    records.field("made", base.made.as_deref().unwrap_or(""));
    let newer = match facts.newer {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    };
    records.field("newer", newer);
    records.field("kept", facts.kept);
    records.field("moved", facts.moved);
    records.field("renamed", facts.renamed);
    records.field("new", facts.new);
    records.field("links", facts.links);
    records.field("new-bytes", facts.new_bytes);
    records.into_bytes()
}

/// The path and the mode of each directory, with its kind. Sorted by their bytes, a directory comes before what is in it.
fn dirs(entries: &[Entry]) -> impl Iterator<Item = (&[u8], u32)> {
    entries.iter().filter_map(|entry| match &entry.kind {
        EntryKind::Directory { mode } => Some((entry.path.bytes(), IS_DIRECTORY | mode.bits())),
        _ => None,
    })
}

/// The paths of links, and then their targets in the same order: as `readlink -z` prints them.
fn with_targets<'a>(links: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let (paths, targets): (Vec<_>, Vec<_>) = links.unzip();
    fields(paths.into_iter().chain(targets))
}

/// The path and the target of each link among these.
fn links_of<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let link = |entry: &'a Entry| match &entry.kind {
        EntryKind::Link { target } => Some((entry.path.bytes(), target.bytes())),
        _ => None,
    };
    entries.into_iter().filter_map(link)
}

fn moved(sources: &UpdateSources<'_>) -> Vec<u8> {
    let mut records = Records::default();
    for (dirs, moved) in &sources.moved {
        let paths = moved
            .iter()
            .map(|copied| dirs.below(copied.new.path.bytes()));
        records.group(&[dirs.from, dirs.to], paths);
    }
    records.into_bytes()
}

fn renamed(sources: &UpdateSources<'_>) -> Vec<u8> {
    let mut records = Records::default();
    for copied in &sources.renamed {
        records.add(copied.old.path.bytes());
        records.add(copied.new.path.bytes());
    }
    records.into_bytes()
}

/// Files whose content the update brings: its digest, its size, the mode that it gets, and its path.
fn new_files(sources: &UpdateSources<'_>) -> Vec<u8> {
    let mut records = Records::default();
    for entry in &sources.new {
        if let EntryKind::File { mode, size, sha256 } = &entry.kind {
            records.add(sha256.to_string());
            records.add(size.to_string());
            records.add(format!("{:x}", IS_FILE | mode.bits()));
            records.add(entry.path.bytes());
        }
    }
    records.into_bytes()
}

/// Those that are named as what they lead to come first: many of these can be made by one process.
fn links(sources: &UpdateSources<'_>) -> Vec<u8> {
    let mut links = Vec::new();
    for entry in &sources.links {
        let EntryKind::Link { target } = &entry.kind else {
            continue;
        };
        let (dir, name) = split(entry.path.bytes());
        let is_named_so = split(target.bytes()).1 == name;
        links.push((!is_named_so, dir, name, target.bytes()));
    }
    links.sort_unstable();
    let mut records = Records::default();
    for (_, dir, name, target) in links {
        records.add(target);
        records.add(dir);
        records.add(name);
    }
    records.into_bytes()
}

/// The directory and the name of a path.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(end) => (&path[..end], &path[end + 1..]),
        None => (b".", path),
    }
}

/// Whether something stays where it is in the package cache.
fn stays_cached(copied: &CopiedEntry<'_>) -> bool {
    let path = &copied.new.path;
    copied.old.path == *path && path.path().starts_with(Product::CACHE)
}

/// What the script requires of the files that it takes from the old product. What stays in the package cache has the
/// digests of the new product, where it can find a line by its path.
fn needed_sums(sources: &UpdateSources<'_>) -> Vec<u8> {
    let file = |copied: &CopiedEntry<'_>| match &copied.old.kind {
        EntryKind::File { sha256, .. } => Some(*sha256),
        _ => None,
    };
    let is_listed = |copied: &&CopiedEntry<'_>| {
        !stays_cached(copied) || sums::needs_escape(copied.new.path.bytes())
    };
    let needed: BTreeMap<&[u8], Sha256Digest> = sources
        .copied()
        .filter(is_listed)
        .filter_map(|copied| Some((copied.old.path.bytes(), file(copied)?)))
        .collect();
    sums::lines(needed.iter().map(|(path, digest)| (*path, digest)))
}
