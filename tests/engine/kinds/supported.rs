//! The page of supported versions says of pixi what the table of kinds expects.

use semver::{Version, VersionReq};

use crate::kinds::table::{Expected, Table};

const PAGE: &str = include_str!("../../../docs/reference/supported.md");

/// The kinds that decide about each column.
const COLUMNS: [&[&str]; 2] = [
    &["conda", "project-channel", "project-channel-moved"],
    &[
        "wheel",
        "sdist-setuptools",
        "sdist-hatchling",
        "url-sdist",
        "git",
        "dir-editable",
    ],
];

/// Versions at and between the bounds of the table.
const VERSIONS: [&str; 7] = [
    "0.15.0", "0.15.2", "0.16.0", "0.50.0", "0.73.9", "0.74.0", "0.77.0",
];

#[test]
fn the_page_of_supported_versions_agrees_with_the_kinds() {
    let table = Table::read();
    for version in VERSIONS {
        let version = Version::parse(version).unwrap();
        let (conda, pypi) = row(&version);
        assert_eq!(
            [conda.as_str(), pypi.as_str()],
            expected(&table, &version),
            "pixi {version} in docs/reference/supported.md, and in table.toml"
        );
    }
}

/// The two columns of the one row that a version belongs to.
fn row(version: &Version) -> (String, String) {
    let rows: Vec<_> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split_once("` | "))
        .filter(|(pixis, _)| VersionReq::parse(pixis).unwrap().matches(version))
        .collect();
    let [(_, cells)] = rows.as_slice() else {
        panic!("{} rows for pixi {version}: {rows:?}", rows.len());
    };
    let mut cells = cells.trim_end_matches(" |").split(" | ");
    let mut cell = || cells.next().unwrap().to_owned();
    (cell(), cell())
}

/// The words for the columns: `untested` for both where the table expects nothing of a kind.
fn expected(table: &Table, version: &Version) -> [&'static str; 2] {
    let words = COLUMNS.map(|kinds| {
        let works: Option<Vec<bool>> = kinds
            .iter()
            .map(|kind| table.at(kind, version).map(Expected::works))
            .collect();
        works.map(|works| match works.contains(&false) {
            true => "not supported",
            false => "supported",
        })
    });
    match words {
        [Some(conda), Some(pypi)] => [conda, pypi],
        _ => ["untested"; 2],
    }
}
