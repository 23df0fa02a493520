//! Puts a new product together out of an old one and an update, by the form of the update alone: what
//! `apply-update.sh` does at the target, without its checks.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

/// The fields of a file in `plan/`.
pub fn fields(file: &Path) -> Vec<Vec<u8>> {
    let text = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let Some(text) = text.strip_suffix(b"\0") else {
        assert!(text.is_empty(), "{} is cut short", file.display());
        return Vec::new();
    };
    text.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// The fields as groups that end with an empty field.
pub fn groups(file: &Path) -> Vec<Vec<Vec<u8>>> {
    let fields = fields(file);
    let mut groups: Vec<Vec<Vec<u8>>> = fields
        .split(|field| field.is_empty())
        .map(<[Vec<u8>]>::to_vec)
        .collect();
    assert_eq!(groups.pop(), Some(Vec::new()), "{}", file.display());
    groups
}

/// Names and values.
pub fn facts(file: &Path) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    fields(file)
        .chunks(2)
        .map(|fact| (text(&fact[0]), text(&fact[1])))
        .collect()
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// The digest of a product: that of its `SHA256SUMS`.
pub fn product_digest(product: &Path) -> String {
    format!(
        "{:x}",
        Sha256::digest(fs::read(product.join("SHA256SUMS")).unwrap())
    )
}

/// The plan for a base.
pub fn plan_of(update: &Path, old: &Path) -> PathBuf {
    update.join("plan").join(&product_digest(old)[..12])
}

/// A file or link as it is, with its time.
fn copy(from: &Path, to: &Path) {
    let found = fs::symlink_metadata(from).unwrap();
    if found.is_symlink() {
        symlink(fs::read_link(from).unwrap(), to).unwrap();
    } else {
        assert!(found.is_file(), "{}", from.display());
        fs::copy(from, to).unwrap();
        set_time(to, found.mtime());
    }
}

fn set_time(file: &Path, seconds: i64) {
    let time = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap());
    let file = fs::File::options().read(true).open(file).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(time))
        .unwrap();
}

/// Makes `to` out of both.
pub fn apply(update: &Path, old: &Path, to: &Path) {
    let plan = plan_of(update, old);
    let made = |field: &[u8]| to.join(path(field));
    fs::create_dir(to).unwrap();
    let dirs = fields(&update.join("plan/dirs"));
    for dir in &dirs {
        fs::create_dir(made(dir)).unwrap();
    }
    same_dirs_are_whole(&plan, old, update);
    for entry in fs::read_dir(update.join("product")).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
    for list in ["in-trees", "kept"] {
        for kept in fields(&plan.join(list)) {
            copy(&old.join(path(&kept)), &made(&kept));
        }
    }
    for group in groups(&plan.join("moved")) {
        for moved in &group[2..] {
            let below = |dir: &[u8]| path(dir).join(path(moved));
            copy(&old.join(below(&group[0])), &to.join(below(&group[1])));
        }
    }
    for pair in fields(&plan.join("renamed")).chunks(2) {
        copy(&old.join(path(&pair[0])), &made(&pair[1]));
    }
    for new in fields(&plan.join("new")).chunks(4) {
        let digest = String::from_utf8(new[0].clone()).unwrap();
        let content = update.join("files").join(&digest[..2]).join(&digest);
        let size = fs::metadata(&content).unwrap().len();
        assert_eq!(size.to_string().as_bytes(), new[1]);
        copy(&content, &made(&new[3]));
        set_mode(&made(&new[3]), std::str::from_utf8(&new[2]).unwrap());
    }
    for link in fields(&plan.join("links")).chunks(3) {
        let place = to.join(path(&link[1])).join(path(&link[2]));
        symlink(path(&link[0]), place).unwrap();
    }
    let files = fields(&update.join("plan/paths"));
    let stats = lines(&update.join("plan/stats"));
    assert_eq!(files.len(), stats.len());
    for (file, stat) in files.iter().zip(stats) {
        let numbers: Vec<&str> = stat.split('\t').collect();
        set_time(&made(file), numbers[2].parse().unwrap());
        set_mode(&made(file), numbers[0]);
        let size = fs::metadata(made(file)).unwrap().len();
        assert_eq!(numbers[1], size.to_string());
    }
    let modes = lines(&update.join("plan/dir-stats"));
    assert_eq!(dirs.len(), modes.len());
    for (dir, mode) in dirs.iter().zip(modes).rev() {
        set_mode(&made(dir), &mode);
    }
    let mut links = BTreeMap::new();
    for (path, (_, target, _)) in tree(to) {
        if to.join(&path).is_symlink() {
            links.insert(path.into_os_string().into_encoded_bytes(), target);
        }
    }
    let all = fields(&update.join("plan/links"));
    let (paths, targets) = all.split_at(all.len() / 2);
    let all = paths.iter().cloned().zip(targets.iter().cloned());
    assert_eq!(links, all.collect());
}

/// The lines of a file in `plan/`.
fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Each directory of `trees` has in the old product what the new one has in it, and nothing else.
fn same_dirs_are_whole(plan: &Path, old: &Path, update: &Path) {
    let mut wanted = BTreeSet::new();
    for list in [plan.join("in-trees"), update.join("plan/dirs")] {
        wanted.extend(fields(&list));
    }
    let apart: BTreeSet<_> = fields(&plan.join("dirs")).into_iter().collect();
    let wanted: BTreeSet<_> = wanted.difference(&apart).cloned().collect();
    let mut found = BTreeSet::new();
    for dir in fields(&plan.join("trees")) {
        let dir = path(&dir);
        found.insert(dir.as_os_str().as_bytes().to_vec());
        let inner = tree(&old.join(dir)).into_keys();
        found.extend(inner.map(|inner| dir.join(inner).into_os_string().into_encoded_bytes()));
    }
    assert_eq!(found, wanted);
}

/// The mode in a list: hexadecimal, with the kind.
fn set_mode(path: &Path, mode: &str) {
    let mode = u32::from_str_radix(mode, 16).unwrap();
    assert_eq!(mode >> 12, if path.is_dir() { 4 } else { 8 });
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777)).unwrap();
}

/// What an entry is: its mode, and of a file its bytes and the second of its time, or the target of a link.
pub type Entry = (u32, Vec<u8>, i64);

/// Everything below a directory.
pub fn tree(top: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![top.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let what = if metadata.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                (0, target.into_os_string().into_encoded_bytes(), 0)
            } else if metadata.is_dir() {
                dirs.push(path.clone());
                (metadata.mode(), Vec::new(), 0)
            } else {
                (metadata.mode(), fs::read(&path).unwrap(), metadata.mtime())
            };
            found.insert(path.strip_prefix(top).unwrap().to_owned(), what);
        }
    }
    found
}

/// The paths at which two trees differ.
pub fn differing(one: &BTreeMap<PathBuf, Entry>, other: &BTreeMap<PathBuf, Entry>) -> Vec<PathBuf> {
    let paths = one.keys().chain(other.keys());
    paths
        .filter(|path| one.get(*path) != other.get(*path))
        .cloned()
        .collect()
}
