//! Every test that may be skipped stands on the list that allows it, also where nothing is
//! skipped on this machine.

use std::fs;
use std::path::Path;

/// The path of the list from the crate.
const LIST: &str = "allowed-skips.txt";

/// The string that begins in `text`, where it is one, perhaps behind a borrow.
fn literal(text: &str) -> Option<&str> {
    let text = text.trim_start().strip_prefix('"')?;
    text.split_once('"').map(|(literal, _)| literal)
}

/// The strings that a source file gives a variable or a constant of this name.
fn values<'a>(source: &'a str, name: &str) -> Vec<&'a str> {
    [format!("let {name} ="), format!("const {name}: &str =")]
        .iter()
        .flat_map(|binding| source.split(binding.as_str()).skip(1))
        .filter_map(literal)
        .collect()
}

/// The names that a source file skips, as far as they stand in it.
fn skipped(source: &str) -> Vec<&str> {
    // In two parts, so that this file has no call.
    let call = ["testbed", "::skip("].concat();
    source
        .split(&call)
        .skip(1)
        .flat_map(|call| match literal(call) {
            Some(name) => vec![name],
            None => values(source, call.split(',').next().unwrap_or_default().trim()),
        })
        .collect()
}

fn sources(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_may_be_skipped_is_on_the_list() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(tests.join(LIST)).unwrap();
    let allowed: Vec<&str> = list
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let mut files = Vec::new();
    for program in ["commands", "engine", "pure"] {
        sources(&tests.join(program), &mut files);
    }
    let names: Vec<&str> = files.iter().flat_map(|file| skipped(file)).collect();
    assert!(names.len() > 20, "{names:?}");
    let missing: Vec<&&str> = names
        .iter()
        .filter(|name| !allowed.contains(name))
        .collect();
    assert!(missing.is_empty(), "not in tests/{LIST}: {missing:?}");
}
