//! What is handed to `--mount` is what docker reads out of it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use pixi_offline::container::Mount;
use pixi_offline::failure::{USAGE, exit_code};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::fuzz::holds;

/// Bytes of a path: what means something in CSV or to the client, anything in
/// UTF-8, and rarely what is no UTF-8.
fn paths() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        20 => select(vec![",", "\"", "\"\"", "=", " ", "\t", "\n", "\r", "#", "'", ":", "readonly", "source=", "/", "\u{a0}", "\u{feff}", "é"])
            .prop_map(|text| text.as_bytes().to_vec()),
        20 => any::<char>().prop_filter("no NUL", |c| *c != '\0').prop_map(|c| c.to_string().into_bytes()),
        10 => Just(b"a".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => (128..=255_u8).prop_map(|byte| vec![byte]),
    ];
    vec(piece, 0..8).prop_map(|pieces| [b"/".to_vec(), pieces.concat()].concat())
}

/// The fields as the client reads them: Go's `encoding/csv` drops a carriage
/// return before a newline, wherever it is, and one at the end; the client takes
/// one record.
fn read_as_docker_does(value: &str) -> Result<Vec<String>, String> {
    let mut text = value.replace("\r\n", "\n");
    if text.ends_with('\r') {
        text.pop();
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let records: Vec<csv::StringRecord> = reader
        .records()
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    match records.as_slice() {
        [record] => Ok(record.iter().map(str::to_owned).collect()),
        records => Err(format!("{} records", records.len())),
    }
}

#[test]
fn mount_fields_survive_csv() {
    let mounts = (paths(), paths(), any::<bool>());
    let number = testbed::cases(10_000, 200_000);
    holds(
        "mount_fields_survive_csv",
        number,
        &mounts,
        |(source, target, read_only)| {
            // Targets are paths in a container, and those are text.
            let target = String::from_utf8_lossy(&target).into_owned();
            let path = OsString::from_vec(source.clone());
            let mount = if read_only {
                Mount::read_only(path, target.clone())
            } else {
                Mount::writable(path, target.clone())
            };
            match (mount.value(), String::from_utf8(source)) {
                (Ok(value), Ok(source)) => {
                    let fields = read_as_docker_does(&value);
                    let mut expected = vec![
                        "type=bind".to_owned(),
                        format!("source={source}"),
                        format!("target={target}"),
                    ];
                    if read_only {
                        expected.push("readonly".to_owned());
                    }
                    prop_assert_eq!(fields, Ok(expected), "{:?}", value);
                }
                (Ok(value), Err(_)) => prop_assert!(false, "{value:?} of what is no UTF-8"),
                (Err(error), source) => {
                    prop_assert_eq!(exit_code(&error), USAGE);
                    let changed = source
                        .is_ok_and(|source| !source.contains("\r\n") && !target.contains("\r\n"));
                    prop_assert!(!changed, "refused for nothing: {error:#}");
                }
            }
            Ok(())
        },
    );
    testbed::ran("mount_fields_survive_csv", number);
}
