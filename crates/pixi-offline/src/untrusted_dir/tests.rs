use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::fs::CWD;
use tempfile::TempDir;

use super::*;

/// What a hostile program may leave under the name `it`, each beside a directory
/// `outside` that must stay as it is.
const KINDS: [&str; 7] = [
    "link to a file",
    "link to a directory",
    "dangling link",
    "link in a circle",
    "fifo",
    "socket",
    "device",
];

struct HostileFixture {
    root: TempDir,
    before: Vec<(String, String)>,
    dir: UntrustedDir,
}

impl HostileFixture {
    /// A directory `dir` with such an entry in it; `None` for a device that only root
    /// can make.
    fn with(kind: &str) -> Option<HostileFixture> {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        fs::create_dir_all(outside.join("sub")).unwrap();
        fs::write(outside.join("victim"), "victim").unwrap();
        fs::create_dir(root.path().join("dir")).unwrap();
        let it = root.path().join("dir/it");
        match kind {
            "link to a file" => symlink(outside.join("victim"), &it).unwrap(),
            "link to a directory" => symlink(&outside, &it).unwrap(),
            "dangling link" => symlink(outside.join("new"), &it).unwrap(),
            "link in a circle" => symlink("it", &it).unwrap(),
            "fifo" => node(&it, FileType::Fifo).unwrap(),
            "socket" => drop(UnixListener::bind(&it).unwrap()),
            "device" => {
                if let Err(error) = node(&it, FileType::CharacterDevice) {
                    assert!(!rustix::process::geteuid().is_root(), "{error}");
                    return None;
                }
            }
            _ => unreachable!("{kind}"),
        }
        Some(HostileFixture {
            before: tree(&outside),
            dir: UntrustedDir::open(&root.path().join("dir")).unwrap(),
            root,
        })
    }

    #[track_caller]
    fn nothing_happened_outside(&self) {
        assert_eq!(tree(&self.root.path().join("outside")), self.before);
    }

    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.dir
            .for_each_entry(|entry| {
                names.push(entry.name.into_string().unwrap());
                Ok(())
            })
            .unwrap();
        names.sort();
        names
    }
}

fn node(path: &Path, kind: FileType) -> rustix::io::Result<()> {
    // The null device.
    let device = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(CWD, path, kind, Mode::from(0o600), device)
}

fn tree(dir: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let content = match path.is_dir() {
            true => format!("{:?}", tree(&path)),
            false => fs::read_to_string(&path).unwrap(),
        };
        all.push((path.display().to_string(), content));
    }
    all.sort();
    all
}

/// Does `act` with each kind in the place of what it expects, and looks that it ends
/// soon and changes nothing outside.
#[allow(clippy::disallowed_macros, reason = "a test says what it cannot try")]
fn each(mut act: impl FnMut(&str, &UntrustedDir)) {
    for kind in KINDS {
        let Some(place) = HostileFixture::with(kind) else {
            println!("only root makes a {kind}");
            continue;
        };
        let begun = Instant::now();
        act(kind, &place.dir);
        assert!(begun.elapsed() < Duration::from_secs(5), "{kind}");
        place.nothing_happened_outside();
    }
}

#[test]
fn nothing_but_a_regular_file_is_read() {
    each(|kind, dir| {
        let error = dir.read("it", RECORD_LIMIT).unwrap_err().to_string();
        let word = kind.split(' ').find(|word| error.contains(word));
        assert!(word.is_some() && error.contains("regular file"), "{error}");
        dir.open_file("it").unwrap_err();
        dir.digest("it", RECORD_LIMIT).unwrap_err();
    });
    let place = HostileFixture::with("fifo").unwrap();
    place.dir.create_dir("sub").unwrap();
    place.dir.read("sub", 1).unwrap_err();
    let missing = place.dir.read("missing", 1).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
}

#[test]
fn nothing_but_a_directory_is_entered_on_the_way_either() {
    each(|_, dir| {
        let error = dir.open_dir("it").unwrap_err().to_string();
        assert!(error.contains("must be a directory"), "{error}");
        dir.read("it/victim", RECORD_LIMIT).unwrap_err();
        dir.open_dir("it/sub").unwrap_err();
        dir.create_dir("it/new").unwrap_err();
        dir.create_file("it/victim").unwrap_err();
        dir.remove("it/victim").unwrap_err();
        dir.remove("it/sub").unwrap_err();
        dir.rename("it/victim", dir, "stolen").unwrap_err();
        dir.kind("it/victim").unwrap_err();
    });
}

#[test]
fn a_file_is_written_in_the_place_of_whatever_was_there() {
    each(|kind, dir| {
        dir.create_file("it").unwrap().write_all(b"ours").unwrap();
        assert_eq!(dir.read("it", 4).unwrap(), b"ours", "{kind}");
    });
    each(|kind, dir| {
        dir.replace_file("it", b"ours").unwrap();
        assert_eq!(dir.read("it", 4).unwrap(), b"ours", "{kind}");
        assert_eq!(dir.kind("it").unwrap(), Some(FileType::RegularFile));
    });
}

#[test]
fn an_entry_is_renamed_and_removed_as_itself() {
    each(|kind, dir| {
        let was = dir.kind("it").unwrap();
        dir.rename("it", dir, "new").unwrap();
        assert_eq!(dir.kind("new").unwrap(), was, "{kind}");
        dir.create_file("file").unwrap();
        dir.rename("file", dir, "new").unwrap();
        assert_eq!(dir.kind("new").unwrap(), Some(FileType::RegularFile));
    });
    each(|kind, dir| {
        dir.remove("it").unwrap();
        assert_eq!(dir.kind("it").unwrap(), None, "{kind}");
        dir.remove("it").unwrap();
    });
    each(|_, dir| {
        let sub = dir.create_dir("sub").unwrap();
        dir.rename("it", &sub, "it").unwrap();
        dir.remove("sub").unwrap();
    });
    each(|_, dir| {
        dir.create_dir("it").unwrap_err();
    });
}

#[test]
fn a_link_in_the_place_of_a_file_that_was_listed_is_not_followed() {
    let place = HostileFixture::with("link to a file").unwrap();
    place.dir.create_file("listed").unwrap();
    let mut swapped = false;
    place
        .dir
        .for_each_entry(|entry| {
            if entry.name == "listed" {
                assert_eq!(entry.kind, FileType::RegularFile);
                place.dir.rename("it", &place.dir, "listed")?;
                place.dir.read(&entry.name, RECORD_LIMIT).unwrap_err();
                place.dir.open_dir(&entry.name).unwrap_err();
                swapped = true;
            }
            Ok(())
        })
        .unwrap();
    assert!(swapped);
    place.nothing_happened_outside();
}

#[test]
fn a_directory_that_is_open_stays_what_it_was() {
    let place = HostileFixture::with("link to a directory").unwrap();
    let sub = place.dir.create_dir("sub").unwrap();
    place.dir.rename("sub", &place.dir, "moved").unwrap();
    place.dir.rename("it", &place.dir, "sub").unwrap();
    sub.create_file("file").unwrap();
    assert!(place.root.path().join("dir/moved/file").is_file());
    place.nothing_happened_outside();
}

#[test]
fn what_is_read_is_bounded_before_it_is_read() {
    let place = HostileFixture::with("fifo").unwrap();
    let file = place.dir.create_file("sparse").unwrap();
    file.set_len(1 << 40).unwrap();
    let begun = Instant::now();
    for limit in [0, RECORD_LIMIT] {
        let error = place.dir.read("sparse", limit).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        place.dir.digest("sparse", limit).unwrap_err();
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    // The limit itself may be reached.
    place.dir.replace_file("sparse", b"1234").unwrap();
    assert_eq!(place.dir.read("sparse", 4).unwrap(), b"1234");
    place.dir.read("sparse", 3).unwrap_err();
    assert_eq!(
        place.dir.digest("sparse", 4).unwrap().to_string(),
        "03ac674216f3e15c761ee1a5e255f067953623c8b388b4459e13f978d7c846f4"
    );
}

#[test]
fn names_of_every_length_and_none_that_leads_out() {
    let place = HostileFixture::with("fifo").unwrap();
    let longest = "n".repeat(255);
    place.dir.replace_file(&longest, b"x").unwrap();
    assert_eq!(place.dir.read(&longest, 1).unwrap(), b"x");
    assert_eq!(place.names(), ["it".to_owned(), longest.clone()]);
    place.dir.remove(&longest).unwrap();
    for out in [
        "..",
        ".",
        "",
        "/",
        "/etc/passwd",
        "../outside",
        "sub/../../outside",
    ] {
        assert!(place.dir.open_dir(out).is_err(), "{out:?}");
        assert!(place.dir.read(out, 1000).is_err(), "{out:?}");
        assert!(place.dir.remove(out).is_err(), "{out:?}");
        assert!(place.dir.replace_file(out, b"x").is_err(), "{out:?}");
    }
    assert_eq!(place.names(), ["it"]);
    place.nothing_happened_outside();
}

#[test]
fn a_hostile_tree_is_removed() {
    let place = HostileFixture::with("link to a directory").unwrap();
    let mut deep = place.dir.create_dir("tree").unwrap();
    place.dir.rename("it", &deep, "it").unwrap();
    let closed = deep.create_dir("closed").unwrap();
    closed.create_file("file").unwrap();
    node(&place.root.path().join("dir/tree/fifo"), FileType::Fifo).unwrap();
    let close = |mode| {
        let path = place.root.path().join("dir/tree/closed");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    close(0o000);
    for _ in 0..300 {
        deep = deep.create_dir("d").unwrap();
        // Messages need no path of 300 components here.
        deep.path = PathBuf::from("deep");
        deep.create_file("file").unwrap();
    }
    drop(deep);
    place.dir.remove("tree").unwrap();
    assert!(place.names().is_empty());
    place.nothing_happened_outside();
}

#[test]
fn what_a_container_could_write_is_reached_through_this_type_alone() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let modules = "container/output_sink.rs container/session.rs container/shared_dirs.rs \
        packages/cache_copy.rs packages/conda.rs packages/local_channel.rs packages/lock.rs \
        packages/owners.rs packages/python.rs packages/uv_cache.rs evidence/record.rs \
        evidence/evidence_file.rs \
        secret_search.rs commands/build.rs commands/build_logs.rs commands/installed.rs \
        workspace/tree.rs workspace/mod.rs workspace/volumes.rs commands/product_cache.rs \
        workspace/container_out.rs commands/create_workdir_from_container.rs \
        commands/create_workdir_from_host.rs commands/create_workdir_from_host/execute.rs \
        commands/final_verify_product.rs commands/final_verify_product/container.rs \
        project/generated.rs commands/make_product.rs commands/new_workdir.rs \
        workspace/script_result.rs commands/verification_record.rs";
    for module in modules.split(' ') {
        let text = fs::read_to_string(source.join(module)).unwrap();
        let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        for call in [
            "fs::read(",
            "fs::read_to_string(",
            "fs::write(",
            "fs::rename(",
            "fs::read_dir(",
            "File::create(",
            "File::open(",
            "read_to_end(&mut answer",
        ] {
            assert!(
                !code.contains(call),
                "{module} calls {call}): use UntrustedDir"
            );
        }
    }
}

#[test]
fn the_directory_itself_must_be_one_and_the_callers_path_is_the_callers() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("real")).unwrap();
    symlink("real", root.path().join("link")).unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    UntrustedDir::open(&root.path().join("link")).unwrap();
    UntrustedDir::open(&root.path().join("file")).unwrap_err();
    UntrustedDir::open(&root.path().join("missing")).unwrap_err();
}
