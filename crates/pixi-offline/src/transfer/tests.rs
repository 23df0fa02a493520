use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use tar::{Builder, EntryType, Header};

use super::*;
use crate::staging::Rules;

/// Unpacks a stream of which nothing is known beforehand.
fn receive_all(from: impl Read, dir: &Path, mark: &str) -> anyhow::Result<ReceiveStats> {
    receive(from, dir, mark, &ExpectedStream::default()).map(|(received, _)| received)
}

fn sent(dir: &Path) -> Vec<u8> {
    let mut stream = Vec::new();
    send(dir, &Rules::new(), &mut stream, "mark").unwrap();
    stream
}

/// A tree with what a workdir may hold.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let long = "n".repeat(150);
    fs::create_dir_all(tree.path().join(&long).join("deep")).unwrap();
    fs::write(tree.path().join(&long).join("deep/file \u{e9}"), "content").unwrap();
    fs::write(tree.path().join("setuid"), "x").unwrap();
    fs::set_permissions(
        tree.path().join("setuid"),
        fs::Permissions::from_mode(0o6755),
    )
    .unwrap();
    symlink("/nowhere/at all", tree.path().join("dangling")).unwrap();
    symlink("../".repeat(60), tree.path().join("long link")).unwrap();
    fs::create_dir(tree.path().join("closed")).unwrap();
    fs::write(tree.path().join("closed/inside"), vec![7; 70_000]).unwrap();
    let time = UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    for name in ["setuid", "closed"] {
        File::open(tree.path().join(name))
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    fs::set_permissions(
        tree.path().join("closed"),
        fs::Permissions::from_mode(0o555),
    )
    .unwrap();
    tree
}

#[test]
fn a_tree_arrives_as_it_was_but_for_setuid() {
    let tree = tree();
    let target = tempfile::tempdir().unwrap();
    let received = receive_all(&sent(tree.path())[..], target.path(), "mark").unwrap();
    assert_eq!(received.entries, 8);
    assert_eq!(received.bytes, 70_000 + 7 + 1);
    let at = |name: &str| fs::symlink_metadata(target.path().join(name)).unwrap();
    assert_eq!(at("setuid").mode() & 0o7777, 0o755);
    assert_eq!(
        (at("setuid").mtime(), at("setuid").mtime_nsec()),
        (1_600_000_000, 123_456_789)
    );
    assert_eq!(at("closed").mode() & 0o7777, 0o555);
    assert_eq!(at("closed").mtime_nsec(), 123_456_789);
    let long = format!("{}/deep/file \u{e9}", "n".repeat(150));
    assert_eq!(fs::read(target.path().join(long)).unwrap(), b"content");
    let link = fs::read_link(target.path().join("dangling")).unwrap();
    assert_eq!(link, Path::new("/nowhere/at all"));
    let link = fs::read_link(target.path().join("long link")).unwrap();
    assert_eq!(link, Path::new(&"../".repeat(60)));
}

#[test]
fn a_cut_stream_is_an_error_wherever_it_is_cut() {
    let tree = tree();
    let stream = sent(tree.path());
    for length in (0..stream.len() - 1024).step_by(997) {
        let target = tempfile::tempdir().unwrap();
        assert!(
            receive_all(&stream[..length], target.path(), "mark").is_err(),
            "cut at {length}"
        );
    }
    let target = tempfile::tempdir().unwrap();
    assert!(receive_all(&stream[..], target.path(), "another mark").is_err());
}

/// A stream with one entry of a raw name, after a link `link` to `/tmp`.
fn hostile(name: &[u8], kind: EntryType) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    let mut link = Header::new_ustar();
    link.set_entry_type(EntryType::Symlink);
    link.set_size(0);
    link.set_mode(0o777);
    link.set_mtime(0);
    archive.append_link(&mut link, "link", "/tmp").unwrap();
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mode(0o644);
    header.set_mtime(0);
    if kind == EntryType::Link {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    archive.append(&header, std::io::empty()).unwrap();
    archive.into_inner().unwrap()
}

#[test]
fn nothing_is_made_outside_or_through_a_link_and_nothing_but_dirs_files_and_links() {
    for (name, kind, text) in [
        (&b"../escaped"[..], EntryType::Regular, "leads out"),
        (
            b"/tmp/pixi-offline-escaped",
            EntryType::Regular,
            "leads out",
        ),
        (b"a/../../escaped", EntryType::Regular, "leads out"),
        (
            b"link/pixi-offline-escaped",
            EntryType::Regular,
            "not in the stream",
        ),
        (b"link", EntryType::Regular, "cannot be unpacked"),
        (b"link", EntryType::Directory, "cannot be unpacked"),
        (b"device", EntryType::Block, "neither"),
        (b"device", EntryType::Char, "neither"),
        (b"fifo", EntryType::Fifo, "neither"),
        (b"hard", EntryType::Link, "neither"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        fs::create_dir(&target).unwrap();
        let error = receive_all(&hostile(name, kind)[..], &target, "mark").unwrap_err();
        assert!(format!("{error:#}").contains(text), "{name:?}: {error:#}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        assert_eq!(fs::read_dir(&target).unwrap().count(), 1, "only the link");
        assert!(!Path::new("/tmp/pixi-offline-escaped").exists());
    }
}

/// A stream of `directory` in which every file is the same as one that the receiver has.
fn sent_as_known(dir: &Path) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut sender = Sender::new(&mut stream);
    sender
        .dir(dir, Path::new("at"), &Rules::new(), &|path, _| {
            Some(Path::new("had").join(path))
        })
        .unwrap();
    sender.finish("mark").unwrap();
    stream
}

#[test]
fn what_the_receiver_has_is_not_sent_and_becomes_the_same_file() {
    let (here, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(here.path().join("sub")).unwrap();
    fs::write(here.path().join("sub/large"), vec![7; 1 << 20]).unwrap();
    let stream = sent_as_known(here.path());
    assert!(stream.len() < 1 << 14, "{}", stream.len());
    let there = [(Path::new("had"), here.path())];
    let expected = ExpectedStream {
        there: &there,
        top: None,
    };
    let (received, _) = super::receive(&stream[..], target.path(), "mark", &expected).unwrap();
    assert_eq!((received.bytes, received.bytes_skipped), (0, 1 << 20));
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let arrived = target.path().join("at/sub/large");
    assert_eq!(inode(&arrived), inode(&here.path().join("sub/large")));
}

#[test]
fn only_a_file_that_is_there_unchanged_and_through_no_link_is_taken() {
    let root = tempfile::tempdir().unwrap();
    let had = root.path().join("had");
    fs::create_dir_all(had.join("sub")).unwrap();
    fs::write(had.join("sub/file"), "content").unwrap();
    let stream = sent_as_known(&had);
    let receive = |there: &[(&Path, &Path)]| {
        let target = tempfile::tempdir().unwrap();
        let expected = ExpectedStream { there, top: None };
        let error = super::receive(&stream[..], target.path(), "mark", &expected).unwrap_err();
        assert!(!target.path().join("at/sub/file").exists());
        format!("{error:#}")
    };
    let there = [(Path::new("had"), had.as_path())];
    assert!(receive(&[]).contains("does not exist here"));
    assert!(receive(&[(Path::new("other"), &had)]).contains("does not exist here"));
    // Of the same size, and changed.
    fs::write(had.join("sub/file"), "CONTENT").unwrap();
    assert!(receive(&there).contains("has changed"));
    fs::remove_file(had.join("sub/file")).unwrap();
    assert!(receive(&there).contains("is not a file"));
    symlink("/etc/passwd", had.join("sub/file")).unwrap();
    assert!(receive(&there).contains("is not a file"));
    fs::rename(had.join("sub"), root.path().join("elsewhere")).unwrap();
    fs::remove_file(root.path().join("elsewhere/file")).unwrap();
    fs::write(root.path().join("elsewhere/file"), "content").unwrap();
    symlink(root.path().join("elsewhere"), had.join("sub")).unwrap();
    assert!(receive(&there).contains("is not a file"));
}

/// A stream with these entries, each a kind, a path and what a link leads to.
fn stream_of(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (kind, path, leads_to) in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_size(0);
        if kind.is_symlink() {
            archive.append_link(&mut header, path, leads_to).unwrap();
        } else {
            archive.append_data(&mut header, path, &[][..]).unwrap();
        }
    }
    let mut header = Header::new_ustar();
    header.set_size(0);
    let end = last_entry("mark");
    archive.append_data(&mut header, end, &[][..]).unwrap();
    archive.into_inner().unwrap()
}

#[test]
fn names_at_the_top_that_are_not_expected_stay_behind_and_others_must_be_of_their_kind() {
    use EntryType::{Directory, Regular, Symlink};
    let top: &[(&str, EntryType)] = &[("out", Directory), ("workdir.json", Regular)];
    let receive = |entries: &[(EntryType, &str, &str)]| {
        let target = tempfile::tempdir().unwrap();
        let expected = ExpectedStream {
            top: Some(top),
            ..ExpectedStream::default()
        };
        let stream = stream_of(entries);
        let result = super::receive(&stream[..], target.path(), "mark", &expected);
        let mut names: Vec<_> = fs::read_dir(target.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        (result, names)
    };
    let (result, names) = receive(&[
        (Symlink, "workdir.json.new", "/etc/passwd"),
        (Directory, "out", ""),
        (Regular, "out/file", ""),
        (Directory, "helpers", ""),
        (Regular, "helpers/program", ""),
        (Regular, "workdir.json", ""),
        (Directory, ".hidden", ""),
    ]);
    let (received, left) = result.unwrap();
    assert_eq!(names, ["out", "workdir.json"]);
    assert_eq!((received.entries, left.count), (3, 3));
    assert_eq!(left.first[0], Path::new("workdir.json.new"));
    for wrong in [
        (Symlink, "out", "/etc"),
        (Regular, "out", ""),
        (Directory, "workdir.json", ""),
        (Symlink, "workdir.json", "/etc/passwd"),
    ] {
        let (result, names) = receive(&[wrong]);
        let error = format!("{:#}", result.unwrap_err());
        assert!(error.contains("and must be"), "{error}");
        assert!(names.is_empty(), "{names:?}");
    }
    // Many are counted, and few are kept.
    let names: Vec<String> = (0..40).map(|number| format!("name-{number}")).collect();
    let many: Vec<_> = names
        .iter()
        .map(|name| (Regular, name.as_str(), ""))
        .collect();
    let (_, left) = receive(&many).0.unwrap();
    assert_eq!((left.count, left.first.len()), (40, 5));
}
