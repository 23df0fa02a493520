//! Random trees: made up, made on disk, and looked at.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fastrand::Rng;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};

/// Names that meet in many trees, so that patterns have much to match, and
/// among them those that are hard for a matcher.
const NAMES: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"ab",
    b"abc",
    b"ba",
    b"foo",
    b"bar",
    b"foo.py",
    b"foo.pyc",
    b"bar.py",
    b"data",
    b"raw",
    b"x.csv",
    b".env",
    b".git",
    b".pixi",
    b".venv",
    b"__pycache__",
    b".hidden",
    b"build",
    b"A",
    b"FOO",
    b"x1",
    b"1",
    b"-",
    b"+",
    b"!",
    b"#hash",
    b"!bang",
    b"-dash",
    b"+plus",
    b"- minus",
    b"~",
    b"a b",
    b"trail ",
    b" lead",
    b"new\nline",
    b"tab\t",
    b"a*b",
    b"*",
    b"**",
    b"?",
    b"q?",
    b"[",
    b"]",
    b"[x]",
    b"a[",
    b"a]",
    b"[]",
    b":]",
    b"{a,b}",
    b"back\\slash",
    b"\\",
    b"a\\",
    b"caf\xc3\xa9",
    b"caf\xe9",
    b"\xff\xfe",
    b"\x01",
    b"a-b",
    b"a_b",
    b"a.b",
    b"...",
    b"\"quoted\"",
    b"$x",
];

/// A made-up tree below a root that has no name.
pub struct Tree {
    /// Directories before what is in them.
    pub nodes: Vec<Node>,
    root: Looks,
}

pub struct Node {
    /// Below the root.
    pub path: PathBuf,
    kind: Kind,
    looks: Looks,
}

#[derive(Debug)]
enum Kind {
    Dir,
    File(Vec<u8>),
    Link(OsString),
    /// To the node of this number, a file.
    HardLink(usize),
    Fifo,
    Socket,
    /// The null device again.
    Device,
}

#[derive(Debug, Clone)]
struct Looks {
    mode: u32,
    /// Owner and group, when root makes the tree.
    owner: Option<(u32, u32)>,
    /// Seconds and nanoseconds.
    mtime: (i64, i64),
}

impl Node {
    pub fn is_dir(&self) -> bool {
        matches!(self.kind, Kind::Dir)
    }
}

impl Tree {
    /// A tree of 10 to 40 entries; for root also with what only root can make,
    /// for a plain user also with what cannot be read.
    pub fn random(rng: &mut Rng, root: bool) -> Tree {
        let mut tree = Tree {
            nodes: Vec::new(),
            root: Looks::random(rng, &DIR_MODES, root),
        };
        for _ in 0..rng.usize(10..=40) {
            let parent = tree.random_dir(rng);
            let path = parent.join(random_name(rng));
            if path.as_os_str().len() > 1000 || tree.nodes.iter().any(|node| node.path == path) {
                continue;
            }
            let kind = tree.random_kind(rng, &path, root);
            let modes: &[u32] = match kind {
                // Not 0300: a directory that its owner may write to and not read
                // comes out of a plain user's rsync as 0700, of ours as it was.
                Kind::Dir if !root && rng.u8(..25) == 0 => &[0o000, 0o100, 0o011],
                Kind::Dir => &DIR_MODES,
                _ if !root && rng.u8(..25) == 0 => &[0o000, 0o200, 0o111],
                _ => &[
                    0o644, 0o600, 0o755, 0o444, 0o664, 0o777, 0o4755, 0o6755, 0o2644, 0o1644,
                    0o7777,
                ],
            };
            let looks = Looks::random(rng, modes, root);
            tree.nodes.push(Node { path, kind, looks });
        }
        tree
    }

    fn random_dir(&self, rng: &mut Rng) -> PathBuf {
        let dirs: Vec<_> = self.nodes.iter().filter(|node| node.is_dir()).collect();
        // The newest more often, for depth.
        match rng.u8(..10) {
            0..=2 => PathBuf::new(),
            3..=5 => dirs
                .last()
                .map(|node| node.path.clone())
                .unwrap_or_default(),
            _ => rng
                .choice(dirs)
                .map(|node| node.path.clone())
                .unwrap_or_default(),
        }
    }

    fn random_kind(&self, rng: &mut Rng, path: &Path, root: bool) -> Kind {
        match rng.u8(..100) {
            0..=36 => Kind::Dir,
            37..=53 => Kind::Link(self.random_leads_to(rng, path)),
            54..=59 => {
                let is_file = |(number, node): (usize, &Node)| match node.kind {
                    Kind::File(_) => Some(number),
                    _ => None,
                };
                rng.choice(
                    self.nodes
                        .iter()
                        .enumerate()
                        .filter_map(is_file)
                        .collect::<Vec<_>>(),
                )
                .map_or(Kind::Fifo, Kind::HardLink)
            }
            60..=62 => Kind::Fifo,
            63..=64 => Kind::Socket,
            65 if root => Kind::Device,
            66 => Kind::File(vec![rng.u8(..); 300_000]),
            67..=70 => Kind::File(b"gitdir: ../.git/worktrees/x\n".to_vec()),
            _ => Kind::File((0..rng.usize(..60)).map(|_| rng.u8(..)).collect()),
        }
    }

    fn random_leads_to(&self, rng: &mut Rng, path: &Path) -> OsString {
        let up = "../".repeat(path.components().count() - 1);
        match rng.u8(..6) {
            0 => "/nowhere/at all".into(),
            1 => rng
                .choice(["/", "/tmp", "/etc/passwd"])
                .map(OsString::from)
                .unwrap_or_default(),
            2 => rng
                .choice([".", "..", "gone", "./", "a//b"])
                .map(OsString::from)
                .unwrap_or_default(),
            3 => OsString::from_vec(b"caf\xe9/\xff".to_vec()),
            _ => match rng.choice(&self.nodes) {
                Some(node) => Path::new(&up).join(&node.path).into_os_string(),
                None => "itself".into(),
            },
        }
    }

    /// Makes the tree at `root`, which must not be there.
    pub fn make(&self, root: &Path) {
        fs::create_dir(root).expect("the root of the tree");
        for node in &self.nodes {
            let path = root.join(&node.path);
            let node_of = |kind, device| {
                rustix::fs::mknodat(CWD, &path, kind, Mode::RUSR | Mode::WUSR, device)
                    .map_err(std::io::Error::from)
            };
            let made = match &node.kind {
                Kind::Dir => fs::create_dir(&path),
                Kind::File(content) => fs::write(&path, content),
                Kind::Link(leads_to) => std::os::unix::fs::symlink(leads_to, &path),
                Kind::HardLink(other) => fs::hard_link(root.join(&self.nodes[*other].path), &path),
                Kind::Fifo => node_of(FileType::Fifo, 0),
                Kind::Socket => node_of(FileType::Socket, 0),
                Kind::Device => node_of(FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
            };
            made.unwrap_or_else(|error| panic!("{path:?} cannot be made: {error}\n{self}"));
        }
        // From the inside out: a directory's mode may close it, and its time changes
        // with what is done in it.
        for node in self.nodes.iter().rev() {
            node.looks.give(&root.join(&node.path));
        }
        self.root.give(root);
    }
}

/// Of directories that can be filled and read.
const DIR_MODES: [u32; 8] = [0o755, 0o700, 0o555, 0o775, 0o1777, 0o2755, 0o2775, 0o500];

impl Looks {
    fn random(rng: &mut Rng, modes: &[u32], root: bool) -> Looks {
        let owners = [
            (0, 0),
            (0, 0),
            (1, 2),
            (1000, 1000),
            (54_321, 12_345),
            (0, 7),
        ];
        Looks {
            mode: rng.choice(modes).copied().unwrap_or(0o755),
            owner: rng.choice(owners).filter(|_| root),
            // Never the present second: rsync compares whole seconds before it
            // sets a time, and so leaves the nanoseconds of a copy that is made
            // in the second of the original's mtime. We set them.
            mtime: (
                match rng.u8(..10) {
                    0 => rng.i64(-1_000_000_000..0),
                    1 => rng.i64(4_000_000_000..6_000_000_000),
                    _ => rng.i64(0..1_600_000_000),
                },
                match rng.u8(..10) {
                    0 => 0,
                    _ => rng.i64(0..1_000_000_000),
                },
            ),
        }
    }

    fn give(&self, path: &Path) {
        let is_link = path.is_symlink();
        if let Some((owner, group)) = self.owner {
            std::os::unix::fs::lchown(path, Some(owner), Some(group)).expect("an owner");
        }
        if !is_link {
            fs::set_permissions(path, Permissions::from_mode(self.mode)).expect("a mode");
        }
        let time = Timespec {
            tv_sec: self.mtime.0,
            tv_nsec: self.mtime.1,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("a time");
    }
}

fn random_name(rng: &mut Rng) -> OsString {
    let name = match rng.u8(..20) {
        0 => vec![b'n'; 255],
        1..=4 => (0..rng.usize(1..5))
            .filter_map(|_| rng.choice(*b"ab.1-]["))
            .collect(),
        _ => rng
            .choice(NAMES)
            .map(|name| name.to_vec())
            .unwrap_or_default(),
    };
    // The short ones may have come out as what no entry can be called.
    match name.as_slice() {
        b"" | b"." | b".." => "dots".into(),
        _ => OsString::from_vec(name),
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "  the root itself {}", self.root)?;
        for Node { path, kind, looks } in &self.nodes {
            match kind {
                Kind::File(content) => {
                    writeln!(
                        formatter,
                        "  {path:?} file of {} bytes {looks}",
                        content.len()
                    )?;
                }
                kind => writeln!(formatter, "  {path:?} {kind:?} {looks}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Looks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanoseconds) = self.mtime;
        write!(formatter, "{:04o} {seconds}.{nanoseconds:09}", self.mode)?;
        match self.owner {
            Some((owner, group)) => write!(formatter, " {owner}:{group}"),
            None => Ok(()),
        }
    }
}

/// All of an entry that a copy must keep.
#[derive(PartialEq, Eq)]
pub struct Found {
    kind: &'static str,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    /// Of what is not a directory.
    hard_links: Option<u64>,
    device: u64,
    leads_to: Option<PathBuf>,
    pub content: Option<Vec<u8>>,
}

impl Found {
    pub fn is_link(&self) -> bool {
        self.leads_to.is_some()
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanoseconds) = self.mtime;
        let (owner, group) = self.owner;
        write!(
            formatter,
            "{} {:04o} {owner}:{group} {seconds}.{nanoseconds:09}",
            self.kind, self.mode
        )?;
        write!(
            formatter,
            " links {:?} device {}",
            self.hard_links, self.device
        )?;
        if let Some(leads_to) = &self.leads_to {
            write!(formatter, " -> {leads_to:?}")?;
        }
        if let Some(content) = &self.content {
            let start = &content[..content.len().min(60)];
            write!(formatter, " {} bytes {start:?}", content.len())?;
        }
        Ok(())
    }
}

/// Everything below and at `root`, by its relative path. A plain user's directories
/// are opened on the way, so this is for copies, once.
pub fn look(root: &Path) -> BTreeMap<PathBuf, Found> {
    let mut found = BTreeMap::new();
    look_into(root, Path::new(""), &mut found);
    found
}

fn look_into(root: &Path, relative: &Path, all: &mut BTreeMap<PathBuf, Found>) {
    let path = if relative.as_os_str().is_empty() {
        root.to_path_buf()
    } else {
        root.join(relative)
    };
    let metadata = fs::symlink_metadata(&path).expect("an entry of the copy");
    let kind = metadata.file_type();
    let of_kind = if kind.is_dir() {
        "dir"
    } else if kind.is_file() {
        "file"
    } else if kind.is_symlink() {
        "link"
    } else if kind.is_fifo() {
        "fifo"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    };
    let found = Found {
        kind: of_kind,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        hard_links: (!kind.is_dir()).then(|| metadata.nlink()),
        device: metadata.rdev(),
        leads_to: kind
            .is_symlink()
            .then(|| fs::read_link(&path).expect("a link")),
        content: kind
            .is_file()
            .then(|| fs::read(&path).expect("a readable copy")),
    };
    all.insert(relative.to_path_buf(), found);
    if kind.is_dir() {
        open(&path);
        for entry in fs::read_dir(&path).expect("a directory") {
            let name = entry.expect("an entry").file_name();
            look_into(root, &relative.join(name), all);
        }
    }
}

/// Removes `directory` and all in it, also what its owner may not write to.
pub fn remove(dir: &Path) {
    open(dir);
    for entry in fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("an entry");
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        } else {
            fs::remove_file(entry.path()).expect("a file that can go");
        }
    }
    fs::remove_dir(dir).expect("a directory that can go");
}

fn open(dir: &Path) {
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(dir, Permissions::from_mode(0o700)).expect("an own directory");
    }
}
