//! What must survive, handed to the commands as the place to make anew. The
//! guard itself is tried over many trees in `tests/pure/fuzz`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::limit::InTime as _;
use testbed::sandbox::{Run, words};

use crate::create_workdir_from_container::Container;
use crate::fake::Fake;

/// Everything in the sandbox but what the fake docker writes down.
fn tree(fake: &Fake) -> BTreeMap<PathBuf, (u64, u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut ahead = vec![fake.sandbox.root().to_owned()];
    while let Some(path) = ahead.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mut content = Vec::new();
        if metadata.is_dir() {
            ahead.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if metadata.is_symlink() {
            content = fs::read_link(&path)
                .unwrap()
                .as_os_str()
                .as_bytes()
                .to_vec();
        } else if metadata.is_file() {
            content = fs::read(&path).unwrap();
        }
        all.insert(path, (metadata.ino(), metadata.mode(), content));
    }
    all.remove(&fake.sandbox.root().join("calls"));
    all
}

/// A directory shown at another place, as long as this lives.
struct Shown(PathBuf);

impl Shown {
    fn at(from: &Path, at: PathBuf) -> Option<Shown> {
        fs::create_dir_all(&at).unwrap();
        let status = Command::new("mount")
            .arg("--bind")
            .arg(from)
            .arg(&at)
            .status_in_time();
        status
            .is_ok_and(|status| status.success())
            .then_some(Shown(at))
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let status = Command::new("umount")
            .arg("--lazy")
            .arg(&self.0)
            .status_in_time();
        assert!(status.unwrap().success(), "{:?} is still mounted", self.0);
    }
}

/// A project, resources, directories around them, and what leads to them.
fn furnish(fake: &Fake) -> Vec<Shown> {
    let sandbox = &fake.sandbox;
    for file in words(
        "outer/inner/project/pixi.toml outer/inner/project/src/main.py \
         store/deep/resources/model mine/thesis.txt around/under/file links/keep",
    ) {
        sandbox.write(file, "[project]\nname = 'p'\n");
    }
    for dir in ["empty", "view", "other", "around/under/mount"] {
        fs::create_dir_all(fake.path(dir)).unwrap();
    }
    symlink("empty", fake.path("link")).unwrap();
    symlink("link", fake.path("chain")).unwrap();
    symlink("nowhere", fake.path("dangling")).unwrap();
    symlink("../outer/inner/project", fake.path("links/project")).unwrap();
    symlink("..", fake.path("empty/up")).unwrap();
    // The project also by another path, and another directory in `around`.
    let mut shown = vec![(fake.path("outer/inner"), fake.path("view"))];
    shown.push((fake.path("other"), fake.path("around/under/mount")));
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    shown
        .into_iter()
        .filter_map(|(from, at)| Shown::at(&from, at))
        .collect()
}

/// Places that must be refused for a project at `outer/inner/project` (or
/// `links/project`) and resources at `store/deep/resources`, from `work/`: what
/// is typed, a part of the message, whether a mount is needed.
const PLACES: [(&str, &str, bool); 33] = [
    ("/", "the root directory", false),
    ("//", "the root directory", false),
    ("/./", "the root directory", false),
    ("../../../../../../../../..", "the root directory", false),
    ("@/home", "your home directory", false),
    ("@/home/", "your home directory", false),
    ("@/work/../home", "your home directory", false),
    ("@", "your home directory", false),
    ("..", "your home directory", false),
    (".", "the current directory", false),
    ("./", "the current directory", false),
    ("empty/up", "symbolic link", false),
    ("empty/up/outer", "the project", false),
    ("missing/../outer", "without `..`", false),
    ("missing/..", "without `..`", false),
    ("missing/../outer/inner/project", "without `..`", false),
    ("outer/inner/project", "the project", false),
    ("outer/inner/project/", "the project", false),
    ("outer/inner/project/.", "the project", false),
    ("outer/inner/project/src/..", "the project", false),
    ("outer/inner", "the project", false),
    ("outer", "the project", false),
    ("store/deep/resources", "the resources", false),
    ("store/deep", "the resources", false),
    ("store", "the resources", false),
    ("link", "symbolic link", false),
    ("link/", "symbolic link", false),
    ("link/.", "symbolic link", false),
    ("chain/", "symbolic link", false),
    ("dangling/new", "which is not a directory", false),
    ("mine/thesis.txt/new", "cannot be read", false),
    ("around", "mount point", true),
    ("around/under/mount", "mount point", true),
];

#[track_caller]
fn refused(fake: &Fake, place: &str, text: &str, run: impl FnOnce(&str) -> Run) {
    let place = place.replace('@', fake.sandbox.root().to_str().unwrap());
    let before = tree(fake);
    let run = run(&place);
    run.code(2).says("ERROR: ").says(text);
    assert_eq!(tree(fake), before, "{run}");
    let calls = fake.calls();
    assert!(
        calls
            .iter()
            .all(|call| call[0] != "run" && call[0] != "exec"),
        "{calls:?}"
    );
}

#[test]
fn every_dir_that_must_survive_is_refused_before_the_first_unlink() {
    let fake = Fake::new();
    let shown = furnish(&fake);
    let mounts = shown.len() == 2;
    if !mounts {
        testbed::skip(
            "delete_guard::mounts_are_refused_before_the_first_unlink",
            "needs root and a machine where it may mount",
        );
    }
    let mut tried = 0;
    let mut create = |project: &str, place: &str, text: &str, force: bool| {
        tried += 1;
        refused(&fake, place, text, |place| {
            let resources = ["--resources-dir", "store/deep/resources"];
            let usual = [
                "--image",
                "img:1",
                "--project-dir",
                project,
                "--workdir",
                place,
            ];
            let force: &[&str] = if force { &["--force"] } else { &[] };
            let args = usual.iter().chain(&resources).chain(force);
            fake.sandbox.run("create-workdir-from-host", args)
        });
    };
    for force in [false, true] {
        for (place, text, needs_mount) in PLACES {
            if mounts || !needs_mount {
                create("outer/inner/project", place, text, force);
            }
        }
        // By a link: neither what it leads to nor the directory that it is in.
        for place in ["links", "outer", "outer/inner/project"] {
            create("links/project", place, "the project", force);
        }
        if mounts {
            // One directory at two places: `view` shows `outer/inner`.
            create("outer/inner/project", "view/project", "the project", force);
            create("view/project", "outer/inner/project", "the project", force);
            create("view/project", "outer/inner", "the project", force);
            create("view/project", "outer", "the project", force);
            create("view/project", "view", "the project", force);
        }
    }
    create("outer/inner/project", "mine", "--force", false);
    drop(shown);
    testbed::ran(
        "every_dir_that_must_survive_is_refused_before_the_first_unlink",
        tried,
    );
}

#[test]
fn every_dir_of_a_container_that_must_survive_is_refused() {
    let container = Container::new();
    let fake = &container.fake;
    let shown = furnish(fake);
    let mounts = shown.len() == 2;
    let mut tried = 0;
    for (place, text, needs_mount) in PLACES {
        // The path is one of the container, where only whole ones mean anything;
        // there it may be a mount point, which is emptied.
        let refused_as_text = !place.starts_with('@') || place.contains("..");
        if needs_mount && (!mounts || place.ends_with("/mount")) {
            continue;
        }
        let whole = format!("@/work/{place}");
        let (place, text) = match place {
            place if place.starts_with('/') => (place, "root"),
            place if place.starts_with('@') && refused_as_text => (place, "`..`"),
            place if place.starts_with('@') => (place, text),
            place if place.contains("..") => (whole.as_str(), "`..`"),
            _ => (whole.as_str(), text),
        };
        tried += 1;
        refused_in_container(&container, place, text, "outer/inner/project");
    }
    for place in ["links", "outer", "outer/inner/project"] {
        tried += 1;
        refused_in_container(
            &container,
            &format!("@/work/{place}"),
            "the project",
            "links/project",
        );
    }
    if mounts {
        for place in ["view", "view/project", "outer", "outer/inner"] {
            tried += 1;
            refused_in_container(
                &container,
                &format!("@/work/{place}"),
                "the project",
                "view/project",
            );
        }
    }
    drop(shown);
    testbed::ran(
        "every_dir_of_a_container_that_must_survive_is_refused",
        tried,
    );
}

#[track_caller]
fn refused_in_container(container: &Container, place: &str, text: &str, project: &str) {
    let fake = &container.fake;
    let place = place.replace('@', fake.sandbox.root().to_str().unwrap());
    let before = tree(fake);
    let [project, resources] = [fake.path(project), fake.path("store/deep/resources")];
    let run = container.create(&[
        "--project-path-in-container",
        project.to_str().unwrap(),
        "--resources-path-in-container",
        resources.to_str().unwrap(),
        "--container-workdir-path",
        &place,
    ]);
    run.code(2).says("ERROR: ").says(text);
    assert_eq!(tree(fake), before, "{run}");
}
