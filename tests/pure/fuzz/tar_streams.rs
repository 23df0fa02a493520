//! A stream that is unpacked makes nothing outside of its directory, whoever made
//! the stream, and is taken for whole only when it is.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use pixi_offline::staging::Rules;
use pixi_offline::transfer::{ExpectedStream, receive, send};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseResult;
use tar::{EntryType, Header};

use crate::fuzz::holds;
use crate::fuzz::snapshot::snapshot;

/// The parts of names; `@` becomes the absolute path of the guarded directory.
const PARTS: [&str; 12] = [
    "a",
    "a",
    "b",
    "b",
    "link",
    "link",
    "..",
    ".",
    "",
    "@",
    "outside",
    "\u{1b}[31m",
];

const KINDS: [u8; 14] = *b"000055522134gS";

/// One entry of a stream as its bytes will be.
#[derive(Debug, Clone)]
struct Part {
    name: String,
    kind: u8,
    leads_to: String,
    content: Vec<u8>,
    /// What the header says of the length, where it lies.
    length: Option<u64>,
    mode: u32,
    /// A pax or GNU header before it: its kind and its content.
    before: Option<(u8, Vec<u8>)>,
}

/// What is done to the bytes of a stream.
#[derive(Debug, Clone)]
enum Damage {
    Byte(prop::sample::Index, u8),
    /// A byte of a header whose sum is made right again.
    Header(prop::sample::Index, usize, u8),
    Cut(prop::sample::Index),
    Twice(prop::sample::Index),
    Without(prop::sample::Index),
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => vec(select(&PARTS[..]), 1..4).prop_map(|parts| parts.join("/")),
        1 => (90..300_usize).prop_map(|length| "n".repeat(length)),
    ]
}

fn extensions() -> impl Strategy<Value = Vec<u8>> {
    let key = select(vec![
        "path",
        "linkpath",
        "mtime",
        "size",
        "uid",
        "GNU.sparse.name",
        "x",
    ]);
    let value = prop_oneof![
        names(),
        select(vec![
            "-1.5",
            "99999999999999999999",
            "1.-5",
            "é.é",
            "0",
            "18446744073709551615",
            ""
        ])
        .prop_map(str::to_owned),
    ];
    // The length that stands in a record may be wrong.
    let record = (key, value, prop_oneof![6 => Just(0_i64), 1 => any::<i64>()]);
    vec(record, 0..3).prop_map(|records| {
        let record = |(key, value, lie): (&str, String, i64)| {
            let rest = format!(" {key}={value}\n");
            let mut length = rest.len() + 1;
            while length.to_string().len() + rest.len() != length {
                length += 1;
            }
            format!("{}{rest}", (length as i64).wrapping_add(lie)).into_bytes()
        };
        records.into_iter().flat_map(record).collect()
    })
}

fn parts() -> impl Strategy<Value = Part> {
    let before = prop_oneof![
        8 => Just(None),
        3 => extensions().prop_map(|content| Some((b'x', content))),
        1 => (select(b"LKg".to_vec()), names())
            .prop_map(|(kind, name)| Some((kind, name.into_bytes()))),
    ];
    let length = prop_oneof![
        12 => Just(None),
        1 => any::<u64>().prop_map(Some),
        1 => (0..2000_u64).prop_map(Some),
    ];
    (
        names(),
        select(&KINDS[..]),
        names(),
        vec(any::<u8>(), 0..600),
        length,
        0..0o10000_u32,
        before,
    )
        .prop_map(
            |(name, kind, leads_to, content, length, mode, before)| Part {
                name,
                kind,
                leads_to,
                content: if kind == b'0' { content } else { Vec::new() },
                length,
                mode,
                before,
            },
        )
}

fn damages() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        (at(), 0..345_usize, any::<u8>())
            .prop_map(|(at, field, byte)| Damage::Header(at, field, byte)),
        at().prop_map(Damage::Cut),
        at().prop_map(Damage::Twice),
        at().prop_map(Damage::Without),
    ]
}

impl Damage {
    fn apply(&self, stream: &mut Vec<u8>) {
        let blocks = stream.len() / 512;
        if blocks == 0 {
            return;
        }
        let block = |at: &prop::sample::Index| at.index(blocks) * 512;
        match self {
            Damage::Byte(at, byte) => {
                let at = at.index(stream.len());
                stream[at] = *byte;
            }
            Damage::Header(at, field, byte) => {
                let at = block(at);
                let mut header = Header::new_old();
                header.as_mut_bytes().copy_from_slice(&stream[at..at + 512]);
                header.as_mut_bytes()[*field] = *byte;
                header.set_cksum();
                stream[at..at + 512].copy_from_slice(header.as_bytes());
            }
            Damage::Cut(at) => stream.truncate(at.index(stream.len())),
            Damage::Twice(at) => {
                let at = block(at);
                let again = stream[at..at + 512].to_vec();
                stream.splice(at..at, again);
            }
            Damage::Without(at) => {
                let at = block(at);
                stream.drain(at..at + 512);
            }
        }
    }
}

/// A header and its content, the name as it is, whatever a library would say.
fn append(
    stream: &mut Vec<u8>,
    kind: u8,
    name: &[u8],
    leads_to: &[u8],
    content: &[u8],
    length: Option<u64>,
    mode: u32,
) {
    let mut header = Header::new_gnu();
    let field = &mut header.as_old_mut().name;
    let fits = name.len().min(field.len());
    field[..fits].copy_from_slice(&name[..fits]);
    let field = &mut header.as_old_mut().linkname;
    let fits = leads_to.len().min(field.len());
    field[..fits].copy_from_slice(&leads_to[..fits]);
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(mode);
    header.set_mtime(1);
    header.set_size(length.unwrap_or(content.len() as u64));
    header.set_cksum();
    stream.extend_from_slice(header.as_bytes());
    stream.extend_from_slice(content);
    stream.resize(stream.len().next_multiple_of(512), 0);
}

/// A stream of our own, of a small tree, without its end; and its end.
fn sent() -> (Vec<u8>, Vec<u8>) {
    let stream_of = |dir: &Path| {
        let mut stream = Vec::new();
        send(dir, &Rules::new(), &mut stream, "mark").expect("a stream");
        stream
    };
    let tree = tempfile::tempdir().expect("a directory");
    let end = stream_of(tree.path());
    fs::create_dir_all(tree.path().join("own/deep")).expect("a directory");
    fs::write(tree.path().join("own/deep/file"), [7; 700]).expect("a file");
    fs::write(tree.path().join("o".repeat(150)), "long").expect("a file");
    std::os::unix::fs::symlink("../../outside", tree.path().join("own/link")).expect("a link");
    let mut stream = stream_of(tree.path());
    stream.truncate(stream.len() - end.len());
    (stream, end)
}

#[derive(Debug, Clone)]
struct Case {
    own: bool,
    parts: Vec<Part>,
    ended: bool,
    damages: Vec<Damage>,
}

fn streams() -> impl Strategy<Value = Case> {
    (
        any::<bool>(),
        vec(parts(), 0..6),
        any::<bool>(),
        vec(damages(), 0..3),
    )
        .prop_map(|(own, parts, ended, damages)| Case {
            own,
            parts,
            ended,
            damages,
        })
}

fn try_one(case: &Case, (own, end): &(Vec<u8>, Vec<u8>), whole: &AtomicU64) -> TestCaseResult {
    let place = tempfile::Builder::new()
        .prefix("pixi-offline-tar-")
        .tempdir_in("/dev/shm")
        .expect("a directory");
    let target = place.path().join("target");
    for dir in ["outside", "target"] {
        fs::create_dir(place.path().join(dir)).expect("a directory");
    }
    for file in ["outside/a", "outside/b", "b"] {
        fs::write(place.path().join(file), "precious").expect("a file");
    }
    let here = place.path().to_str().expect("a path");
    let mut stream = if case.own { own.clone() } else { Vec::new() };
    for part in &case.parts {
        let [name, leads_to] = [&part.name, &part.leads_to].map(|text| text.replace('@', here));
        if let Some((kind, content)) = &part.before {
            let content = String::from_utf8_lossy(content).replace('@', here);
            append(
                &mut stream,
                *kind,
                b"before",
                b"",
                content.as_bytes(),
                None,
                0o644,
            );
        }
        append(
            &mut stream,
            part.kind,
            name.as_bytes(),
            leads_to.as_bytes(),
            &part.content,
            part.length,
            part.mode,
        );
    }
    if case.ended {
        stream.extend_from_slice(end);
    }
    for damage in &case.damages {
        damage.apply(&mut stream);
    }

    let before = snapshot(place.path(), Some(&target));
    let answer = receive(
        stream.as_slice(),
        &target,
        "mark",
        &ExpectedStream::default(),
    );
    prop_assert_eq!(
        before,
        snapshot(place.path(), Some(&target)),
        "{:?}",
        answer
    );
    if let Ok((received, _)) = answer {
        let name = end
            .split(|&byte| byte == 0)
            .next()
            .expect("the name of the end");
        prop_assert!(
            stream.windows(name.len()).any(|window| window == name),
            "whole without an end"
        );
        let made = snapshot(&target, None);
        prop_assert_eq!(made.len() as u64 - 1, received.entries);
        let files = made
            .values()
            .filter(|entry| entry.2 & 0o170_000 == 0o100_000);
        prop_assert_eq!(
            files.map(|entry| entry.3.len() as u64).sum::<u64>(),
            received.bytes
        );
        prop_assert!(
            made.values().all(|entry| entry.2 & 0o6000 == 0),
            "setuid or setgid"
        );
        whole.fetch_add(u64::from(received.entries > 0), Ordering::Relaxed);
    }
    Ok(())
}

#[test]
fn tar_streams_never_write_outside() {
    let own = sent();
    let whole = AtomicU64::new(0);
    let number = testbed::cases(3000, 50_000);
    holds(
        "tar_streams_never_write_outside",
        number,
        &streams(),
        |case| try_one(&case, &own, &whole),
    );
    let whole = whole.into_inner();
    println!("{whole} of {number} streams were whole");
    testbed::ran("tar_streams_never_write_outside", number);
    assert!(
        whole * 50 > number,
        "only {whole} of {number} streams were whole"
    );
}

/// A stream that goes on for ever in what must be kept in memory ends soon.
#[test]
fn tar_headers_that_never_end_are_given_up() {
    struct Counted<R>(R, u64);
    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.read(buffer)?;
            self.1 += length as u64;
            assert!(self.1 < 4 << 20, "{} bytes were read", self.1);
            Ok(length)
        }
    }
    // Long names, extensions of one entry and of all, a directory with content.
    for kind in *b"LKxg5S" {
        let target = tempfile::tempdir().expect("a directory");
        let mut stream = Vec::new();
        append(&mut stream, kind, b"name", b"", b"", Some(8 << 30), 0o755);
        let mut counted = Counted(stream.as_slice().chain(io::repeat(b'1')), 0);
        let error = receive(
            &mut counted,
            target.path(),
            "mark",
            &ExpectedStream::default(),
        );
        let error = error.expect_err("no end");
        assert!(
            fs::read_dir(target.path()).expect("a directory").count() <= 1,
            "{error:#}"
        );
    }
    testbed::ran("tar_headers_that_never_end_are_given_up", 6);
}
