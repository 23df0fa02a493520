//! `table.toml`: what must come of each kind with each pixi.

use std::collections::BTreeMap;
use std::fmt;

use semver::{Version, VersionReq};
use serde::Deserialize;
use testbed::images::PixiImage;

use crate::kinds::journey::Stage;
use crate::kinds::kind::KINDS;

#[derive(Deserialize)]
#[serde(transparent)]
pub struct Table(BTreeMap<String, Row>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// For the reader of the table, and of the page that is made from it.
    what: String,
    pixi: BTreeMap<String, Expected>,
}

/// How a journey must end.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Expected {
    Works,
    #[serde(untagged)]
    Fails {
        at: Stage,
        saying: String,
    },
}

impl Table {
    pub fn read() -> Table {
        let table: Table = toml_edit::de::from_str(include_str!("table.toml")).unwrap();
        let mut kinds: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        kinds.sort_unstable();
        let rows: Vec<&String> = table.0.keys().collect();
        assert_eq!(rows, kinds, "table.toml has a row for each kind");
        table
    }

    /// Nothing when the table does not know this pixi.
    pub fn expected(&self, kind: &str, image: &PixiImage) -> Option<&Expected> {
        let mut matching = self.0[kind]
            .pixi
            .iter()
            .filter(|(pixis, _)| among(pixis, image));
        let expected = matching.next().map(|(_, expected)| expected);
        assert!(matching.next().is_none(), "two expectations for {kind}");
        if expected.is_none() {
            let reason = format!("the table says nothing of pixi {}", image.version);
            testbed::skip(&format!("kinds::{kind}"), &reason);
        }
        expected
    }

    /// What must come of a kind with this version of pixi; nothing where it is not known.
    pub fn at(&self, kind: &str, version: &Version) -> Option<&Expected> {
        let mut expectations = self.0[kind].pixi.iter();
        let (_, expected) =
            expectations.find(|(pixis, _)| VersionReq::parse(pixis).unwrap().matches(version))?;
        Some(expected)
    }

    /// Says which expectations are not tried here.
    pub fn skip_what_no_pixi_is_here_for(&self, images: &[PixiImage]) {
        for (kind, row) in &self.0 {
            for pixis in row.pixi.keys() {
                if !images.iter().any(|image| among(pixis, image)) {
                    let reason = format!("needs a pixi {pixis}");
                    testbed::skip(&format!("kinds::{kind}"), &reason);
                }
            }
        }
    }
}

/// The page's table is made from this one: `PIXI_OFFLINE_WRITE=1` writes it.
#[test]
fn the_page_is_made_from_the_table() {
    const PAGE: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/reference/dependencies.md"
    );
    const MARKS: [&str; 2] = [
        "<!-- made from tests/engine/kinds/table.toml -->\n",
        "<!-- end -->\n",
    ];
    let table = Table::read();
    let mut rows = String::from("\n| kind | what | by version of pixi |\n|---|---|---|\n");
    for kind in KINDS {
        let row = &table.0[kind.name];
        let results = row.pixi.iter();
        let results: Vec<String> = results
            .map(|(pixis, expected)| format!("`{pixis}` {expected}"))
            .collect();
        let (name, what) = (kind.name, &row.what);
        rows.push_str(&format!("| {name} | {what} | {} |\n", results.join("; ")));
    }
    rows.push('\n');
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page
        .split_once(MARKS[0])
        .expect("the page has the first mark");
    let (found, after) = rest
        .split_once(MARKS[1])
        .expect("the page has the second mark");
    if std::env::var_os("PIXI_OFFLINE_WRITE").is_some() {
        std::fs::write(PAGE, [before, MARKS[0], &rows, MARKS[1], after].concat()).unwrap();
    } else {
        assert_eq!(
            found, rows,
            "docs/reference/dependencies.md is stale; PIXI_OFFLINE_WRITE=1 writes it"
        );
    }
}

fn among(pixis: &str, image: &PixiImage) -> bool {
    VersionReq::parse(pixis).unwrap().matches(&image.version)
}

impl Expected {
    pub fn works(&self) -> bool {
        matches!(self, Expected::Works)
    }

    pub fn fails(&self, at: Stage, output: &str) -> bool {
        matches!(self, Expected::Fails { at: stage, saying } if *stage == at && output.contains(saying))
    }

    pub fn saying(&self) -> Option<&str> {
        match self {
            Expected::Works => None,
            Expected::Fails { saying, .. } => Some(saying),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Works => f.write_str("works"),
            Expected::Fails { at, saying } => write!(f, "fails at {at}, saying {saying:?}"),
        }
    }
}
