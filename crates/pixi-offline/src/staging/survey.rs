//! What a copy will do, without making it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::staging::dir::begins_with;
use crate::staging::selection::{LinkAction, Selection};

/// What a tree takes on a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Content of the regular files, in bytes.
    pub bytes: u64,
    /// Entries: directories, files, links and the rest. Each takes an inode.
    pub entries: u64,
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Size) {
        self.bytes += other.bytes;
        self.entries += other.entries;
    }
}

/// What a copy would take, and what it would leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// What would be copied.
    pub size: Size,
    /// How many regular files are among that.
    pub files: u64,
    /// For each rule that keeps something back, how many entries it meets; what
    /// is in a directory that is left counts with that directory.
    pub left: BTreeMap<String, u64>,
    /// Directories that the selection skips, from the source's top.
    pub skipped: Vec<String>,
    /// Links that would be copied and lead out of the tree, or to what is left out,
    /// whether something is there or not; each as `link -> target`.
    pub links_out: Examples,
    /// Files that hold a Git LFS pointer in place of their content.
    pub lfs_pointers: Examples,
}

/// How often something was met, and the first few by name, fit for a terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examples {
    /// How often.
    pub count: u64,
    /// The first, sorted.
    pub first: Vec<String>,
}

impl Examples {
    /// How many are named.
    const NAMED: usize = 5;

    /// Adds one more.
    pub fn add(&mut self, name: &str) {
        self.count += 1;
        let name = name.replace(|c: char| c.is_control(), "\u{fffd}");
        let place = self.first.partition_point(|other| *other < name);
        if place < Examples::NAMED {
            self.first.insert(place, name);
            self.first.truncate(Examples::NAMED);
        }
    }
}

impl fmt::Display for Examples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first.join(", "))?;
        match self.count - self.first.len() as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// A regular file that a [`survey`] comes to.
#[derive(Debug, Clone, Copy)]
pub struct SurveyedFile<'a> {
    /// Its path.
    pub path: &'a Path,
    /// Where its content is, without links: its path, or what a link of that name leads to.
    pub content_at: &'a Path,
    /// Its path below the source.
    pub relative: &'a Path,
    /// Its length in bytes.
    pub length: u64,
    /// Its content, where the survey has read it.
    pub content: Option<&'a [u8]>,
}

/// Looks at what [`copy_tree`](crate::staging::copy_tree) would do with `source`
/// by `selection`, and shows each regular file that it would copy to `visit`. What
/// cannot be read counts nothing: the copy will name it. Nothing is there where
/// `source` is not.
pub fn survey(
    source: &Path,
    selection: &dyn Selection,
    visit: &mut dyn FnMut(SurveyedFile<'_>),
) -> Survey {
    let Ok(root) = source.canonicalize() else {
        return Survey::default();
    };
    let mut survey = Survey::default();
    survey.size.entries = 1;
    let tree = SelectedTree {
        root: &root,
        selection,
    };
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(root.join(&dir)) else {
            continue;
        };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let relative = dir.join(entry.file_name());
            match tree.fate(&relative, SurveyedKind::of(kind)) {
                Fate::Kept => {}
                Fate::Excluded => {
                    let rule = selection.deciding(&relative, kind.is_dir());
                    let rule = rule.or_else(|| selection.deciding(&relative, true));
                    let rule = rule.unwrap_or_default().display().to_string();
                    *survey.left.entry(rule).or_default() += 1;
                    continue;
                }
                Fate::Skipped => {
                    survey.skipped.push(relative.display().to_string());
                    continue;
                }
            }
            survey.size.entries += 1;
            if kind.is_dir() {
                dirs.push(relative);
            } else if kind.is_file() {
                survey.file(&entry.path(), &relative, source, visit);
            } else if let Some(file) = tree.file_in_place_of(&relative) {
                survey.file(&file, &relative, source, visit);
            } else if kind.is_symlink()
                && let Ok(target) = fs::read_link(entry.path())
                && tree.leads_out(&relative, &target)
            {
                let text = format!("{} -> {}", relative.display(), target.display());
                survey.links_out.add(&text);
            }
        }
    }
    survey
}

impl Survey {
    fn file(
        &mut self,
        file: &Path,
        relative: &Path,
        source: &Path,
        visit: &mut dyn FnMut(SurveyedFile<'_>),
    ) {
        let Ok(length) = fs::symlink_metadata(file).map(|metadata| metadata.len()) else {
            return;
        };
        self.files += 1;
        self.size.bytes += length;
        let content = lfs::LENGTHS
            .contains(&length)
            .then(|| fs::read(file).ok())
            .flatten();
        if content.as_deref().is_some_and(lfs::is_pointer) {
            self.lfs_pointers.add(&relative.to_string_lossy());
        }
        visit(SurveyedFile {
            // As the caller named it, for messages.
            path: &source.join(relative),
            content_at: file,
            relative,
            length,
            content: content.as_deref(),
        });
    }
}

/// Files of Git LFS; see <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.
pub(super) mod lfs {
    use std::ops::RangeInclusive;

    /// How long a pointer may be, in bytes. The shortest has the three lines that every
    /// pointer has.
    pub(super) const LENGTHS: RangeInclusive<u64> = 100..=1024;

    /// What a pointer begins with; the second is what Git LFS was called at first, and it
    /// still reads that.
    pub const BEGINS: [&str; 2] = [
        "version https://git-lfs.github.com/spec/",
        "version https://hawser.github.com/spec/",
    ];

    /// Whether the content of a file is a pointer.
    pub(super) fn is_pointer(content: &[u8]) -> bool {
        let mut begins = BEGINS.iter();
        begins.any(|begin| content.starts_with(begin.as_bytes()))
            && memchr::memmem::find(content, b"\noid ").is_some()
            && memchr::memmem::find(content, b"\nsize ").is_some()
    }
}

/// What an entry is, as far as a selection asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SurveyedKind {
    Dir,
    File,
    Link,
    Other,
}

impl SurveyedKind {
    fn of(kind: fs::FileType) -> SurveyedKind {
        if kind.is_dir() {
            SurveyedKind::Dir
        } else if kind.is_file() {
            SurveyedKind::File
        } else if kind.is_symlink() {
            SurveyedKind::Link
        } else {
            SurveyedKind::Other
        }
    }
}

/// What a copy does with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Excluded,
    Skipped,
}

/// A tree on this machine and the selection of its copy.
struct SelectedTree<'a> {
    /// Its absolute path, without links.
    root: &'a Path,
    selection: &'a dyn Selection,
}

impl SelectedTree<'_> {
    fn fate(&self, relative: &Path, kind: SurveyedKind) -> Fate {
        let selection = self.selection;
        let path = || self.root.join(relative);
        let is_left = selection.excludes(relative, kind == SurveyedKind::Dir)
            || match kind {
                SurveyedKind::Link => {
                    let target = fs::read_link(path()).unwrap_or_default();
                    matches!(selection.link(relative, &target), Ok(LinkAction::Skip))
                }
                SurveyedKind::File => selection
                    .excludes_content(relative, &|text| begins_with(rustix::fs::CWD, path(), text)),
                SurveyedKind::Dir | SurveyedKind::Other => false,
            };
        if is_left {
            Fate::Excluded
        } else if kind == SurveyedKind::Dir && selection.skips(&path()) {
            Fate::Skipped
        } else {
            Fate::Kept
        }
    }

    /// The file that is put in the place of a link, where it leads to one that can be read.
    fn file_in_place_of(&self, relative: &Path) -> Option<PathBuf> {
        let longest = self.selection.file_in_place_of_link(relative)?;
        let file = self.root.join(relative).canonicalize().ok()?;
        let is_copied = fs::metadata(&file).is_ok_and(|led| led.is_file() && led.len() <= longest)
            && fs::File::open(&file).is_ok();
        is_copied.then_some(file)
    }

    /// Whether a link leads out of the tree, or to what is left out of it. Links on
    /// the way are followed; where they lead in a circle the link leads nowhere.
    fn leads_out(&self, link: &Path, target: &Path) -> bool {
        const MOST_LINKS: usize = 40;
        let steps = |target: &Path| {
            let steps: Vec<OsString> = target
                .components()
                .map(|step| step.as_os_str().to_owned())
                .collect();
            steps.into_iter().rev()
        };
        let mut place = link.parent().unwrap_or(Path::new("")).to_owned();
        let mut ahead: Vec<OsString> = steps(target).collect();
        let mut followed = 0;
        while let Some(step) = ahead.pop() {
            match step.as_encoded_bytes() {
                b"/" => return true,
                b"." => continue,
                b".." => {
                    if !place.pop() {
                        return true;
                    }
                    continue;
                }
                _ => {}
            }
            let next = place.join(&step);
            let kind = match fs::symlink_metadata(self.root.join(&next)) {
                Ok(metadata) => SurveyedKind::of(metadata.file_type()),
                // Nothing is there; a way through it would be one through a directory.
                Err(_) if ahead.is_empty() => SurveyedKind::Other,
                Err(_) => SurveyedKind::Dir,
            };
            if self.fate(&next, kind) != Fate::Kept {
                return true;
            }
            match kind {
                SurveyedKind::Link if self.file_in_place_of(&next).is_some() => place = next,
                SurveyedKind::Link if followed == MOST_LINKS => return false,
                SurveyedKind::Link => {
                    followed += 1;
                    let target = fs::read_link(self.root.join(&next)).unwrap_or_default();
                    ahead.extend(steps(&target));
                }
                _ => place = next,
            }
        }
        false
    }
}

/// Why a path below the top of a tree is copied, or is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The part of the path that was decided on: itself, or the first directory above
    /// it that is left out.
    pub decided: PathBuf,
    /// Whether the path is left out.
    pub left: bool,
    /// The rule that decided, as it was given; `None` when none matched, which
    /// keeps a path.
    pub rule: Option<OsString>,
}

/// Explains what becomes of `relative`, a path below the top, by `selection`; `is_dir`
/// is about the entry itself. `source` is the top where it can be looked at.
pub fn explain(
    source: Option<&Path>,
    relative: &Path,
    is_dir: bool,
    selection: &dyn Selection,
) -> Explanation {
    let mut above: Vec<&Path> = relative
        .ancestors()
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    above.reverse();
    for path in above {
        let is_dir = is_dir || path != relative;
        let left = stays_behind(source, path, is_dir, selection);
        if left || path == relative {
            let rule = selection.deciding(path, is_dir);
            let rule = rule.or_else(|| selection.deciding(path, true).filter(|_| left));
            return Explanation {
                decided: path.to_owned(),
                left,
                rule: rule.map(OsStr::to_owned),
            };
        }
    }
    Explanation {
        decided: relative.to_owned(),
        left: false,
        rule: None,
    }
}

/// Whether an entry is left out. What it is, is looked up in `source` where that can be.
fn stays_behind(
    source: Option<&Path>,
    relative: &Path,
    is_dir: bool,
    selection: &dyn Selection,
) -> bool {
    let found =
        source.and_then(|root| Some((root, fs::symlink_metadata(root.join(relative)).ok()?)));
    match found {
        Some((root, metadata)) => {
            let kind = SurveyedKind::of(metadata.file_type());
            SelectedTree { root, selection }.fate(relative, kind) == Fate::Excluded
        }
        None => selection.excludes(relative, is_dir),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::staging::{CopyOptions, Rules, RulesAndSkip, copy_tree};

    #[test]
    fn what_is_surveyed_is_what_is_copied() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        for dir in ["a/b", "left", "skipped/in"] {
            fs::create_dir_all(source.join(dir)).unwrap();
            fs::write(source.join(dir).join("file"), dir).unwrap();
        }
        symlink("nowhere", source.join("a/link")).unwrap();
        let mut rules = Rules::new();
        rules.push(OsStr::new("left/")).unwrap();
        let skip = |dir: &Path| dir.ends_with("skipped");
        let selection = RulesAndSkip {
            rules: &rules,
            skip: &skip,
        };
        let mut seen = Vec::new();
        let survey = survey(&source, &selection, &mut |file| {
            seen.push((file.relative.to_owned(), file.length));
        });
        let size = survey.size;
        let target = root.path().join("target");
        let copied = copy_tree(&source, &target, &selection, &CopyOptions::default());
        let copied = copied.unwrap().copied;
        // The top directory takes an inode too.
        assert_eq!(
            (size.bytes, size.entries),
            (copied.bytes, copied.entries + 1)
        );
        assert_eq!((size.bytes, size.entries), (3, 5));
        assert_eq!(survey.left, BTreeMap::from([("left/".into(), 1)]));
        assert_eq!(survey.skipped, ["skipped"]);
        assert_eq!(seen, [(PathBuf::from("a/b/file"), 3)]);
        assert_eq!(survey.files, 1);
    }

    /// What of these links is told to lead out, of a tree with `left/` excluded.
    fn links_out(links: &[(&str, &str)]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        for dir in ["a/b", "left", "workdir"] {
            fs::create_dir_all(source.join(dir)).unwrap();
        }
        fs::write(source.join("a/file"), "").unwrap();
        fs::write(root.path().join("beside"), "").unwrap();
        for (link, target) in links {
            symlink(target, source.join(link)).unwrap();
        }
        let mut rules = Rules::new();
        for rule in ["left/", "*.secret"] {
            rules.push(OsStr::new(rule)).unwrap();
        }
        let selection = RulesAndSkip {
            rules: &rules,
            skip: &|dir: &Path| dir.ends_with("workdir"),
        };
        let survey = survey(&source, &selection, &mut |_| {});
        assert!(survey.links_out.count as usize >= survey.links_out.first.len());
        survey.links_out.first
    }

    #[test]
    fn links_are_told_that_lead_out_or_to_what_stays_behind_there_or_not() {
        let targets = "/etc/hostname /nowhere/at/all ../beside ../missing a/../../source/a left \
            left/missing/deep ./a/b/../../left/x workdir/file x.secret";
        for target in targets.split(' ') {
            assert_eq!(
                links_out(&[("link", target)]),
                [format!("link -> {target}")]
            );
        }
        for target in "a a/file missing missing/deep a/b/../file . link".split(' ') {
            assert_eq!(links_out(&[("link", target)]), [""; 0], "{target}");
        }
    }

    #[test]
    fn links_on_the_way_of_a_link_are_followed() {
        // By the text alone, one of them stays in the tree and the other leaves it.
        assert_eq!(
            links_out(&[
                ("a/b/up", "../.."),
                ("x", "a/b/up/left/y"),
                ("y", "a/b/up/a")
            ]),
            ["x -> a/b/up/left/y"]
        );
        assert_eq!(
            links_out(&[
                ("deep", "a/b"),
                ("deep-out", "deep/../../../beside"),
                ("in", "deep/../file")
            ]),
            ["deep-out -> deep/../../../beside"]
        );
        assert_eq!(links_out(&[("one", "two"), ("two", "one")]), [""; 0]);
        // The link that is excluded is not told of; one that leads to it is.
        assert_eq!(
            links_out(&[("x.secret", "/etc"), ("to-it", "x.secret")]),
            ["to-it -> x.secret"]
        );
    }

    #[test]
    fn the_first_five_are_named_whatever_the_order_and_nothing_reaches_the_terminal() {
        let mut examples = Examples::default();
        for name in ["g", "b", "a\u{1b}[2J\n", "f", "c", "d", "e"] {
            examples.add(name);
        }
        assert_eq!(examples.count, 7);
        assert_eq!(
            examples.to_string(),
            "a\u{fffd}[2J\u{fffd}, b, c, d, e and 2 more"
        );
    }

    #[test]
    fn a_pointer_of_git_lfs_is_told_from_a_text_about_one() {
        let root = tempfile::tempdir().unwrap();
        let pointer = format!(
            "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 0\n",
            "0".repeat(64)
        );
        let extended = pointer.replace("\noid", "\next-0-x sha256:1\noid");
        for (name, content) in [
            ("old.bin", pointer.replace("git-lfs", "hawser")),
            ("pointer.bin", pointer.clone()),
            ("extended", extended),
            ("about", format!("# {pointer}")),
            ("short", pointer[..80].to_owned()),
            ("long", format!("{pointer}{}", " ".repeat(1024))),
            ("empty", String::new()),
        ] {
            fs::write(root.path().join(name), content).unwrap();
        }
        let survey = survey(root.path(), &Rules::new(), &mut |_| {});
        assert_eq!(
            survey.lfs_pointers.first,
            ["extended", "old.bin", "pointer.bin"]
        );
    }

    #[test]
    fn a_path_is_explained_by_the_first_dir_that_stays_behind() {
        let mut rules = Rules::new();
        for rule in ["+ /data/keep", "/data/*", "*.tmp"] {
            rules.push(OsStr::new(rule)).unwrap();
        }
        let explained = |path: &str, is_dir| {
            let explanation = explain(None, Path::new(path), is_dir, &rules);
            (
                explanation.decided.display().to_string(),
                explanation.left,
                explanation.rule.map(|rule| rule.into_string().unwrap()),
            )
        };
        let row = |decided: &str, left, rule: Option<&str>| {
            (decided.to_owned(), left, rule.map(str::to_owned))
        };
        assert_eq!(
            explained("data/raw/a.txt", false),
            row("data/raw", true, Some("/data/*"))
        );
        assert_eq!(
            explained("data/keep", false),
            row("data/keep", false, Some("+ /data/keep"))
        );
        assert_eq!(
            explained("a/b.tmp", false),
            row("a/b.tmp", true, Some("*.tmp"))
        );
        assert_eq!(explained("a/b", true), row("a/b", false, None));
    }
}
