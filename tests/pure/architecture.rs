//! The page about the architecture against the source.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::pages::{files, root};

const CORE: &str = "crates/pixi-offline/src";

/// Modules that use a higher one, as the page says.
const EXCEPTIONS: [(&str, &str); 6] = [
    ("layout", "request"),
    ("context", "evidence"),
    ("context", "packages"),
    ("context", "request"),
    ("context", "secret_search"),
    ("tools", "untrusted_dir"),
];

fn page() -> String {
    fs::read_to_string(root().join("docs/architecture.md")).unwrap()
}

#[test]
fn a_module_uses_those_below_it_in_the_page() {
    let page = page();
    let order: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("**`")?.split(['/', '.', '`']).next())
        .collect();
    let place = |module: &str| order.iter().position(|listed| *listed == module);
    let mut found = BTreeSet::new();
    for file in files(CORE, &["rs"]) {
        let text = fs::read_to_string(root().join(&file)).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let module = file
            .strip_prefix(CORE)
            .unwrap()
            .components()
            .next()
            .unwrap();
        let module = module.as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let is_of_tests = file.ends_with("tests.rs") || module == "lib";
        for line in code.lines().filter(|_| !is_of_tests) {
            let used = line.trim_start_matches("pub ").strip_prefix("use crate::");
            let used = used.and_then(|path| path.split([':', ';']).next());
            if let Some(used) = used.filter(|used| place(used).is_some())
                && place(module).is_none_or(|own| place(used) < Some(own))
            {
                found.insert((module.to_owned(), used.to_owned()));
            }
        }
    }
    let expected = EXCEPTIONS.map(|(module, used)| (module.to_owned(), used.to_owned()));
    assert_eq!(found, BTreeSet::from(expected));
}

#[test]
fn each_item_of_a_type_that_the_page_names_exists() {
    let sources = files("crates", &["rs"]);
    let texts: Vec<String> = sources
        .iter()
        .map(|file| fs::read_to_string(root().join(file)).unwrap())
        .collect();
    let has = |words: &[String]| {
        let is_in = |text: &String| words.iter().any(|word| text.contains(word));
        texts.iter().any(is_in)
    };
    for code in page().split('`').skip(1).step_by(2) {
        let Some((holder, item)) = code.split_once("::") else {
            continue;
        };
        let ways = ["struct", "enum", "trait"].map(|way| format!("{way} {holder}"));
        let is_module = |file: &PathBuf| {
            file.iter().any(|part| part == holder) || file.ends_with(format!("{holder}.rs"))
        };
        let is_ours = has(&ways) || sources.iter().any(is_module);
        let item: String = item
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let ways = ["fn ", "const ", "struct ", "enum ", "    "].map(|way| format!("{way}{item}"));
        assert!(!is_ours || has(&ways), "{code}");
    }
}

#[test]
fn each_file_and_directory_that_the_page_names_exists() {
    let mut paths = files("crates", &["rs", "sh"]);
    paths.extend(files("tests", &["rs", "toml"]));
    paths.extend(files("docs", &["md"]));
    paths.extend(files("scripts-compat", &["sh"]));
    for code in page().split('`').skip(1).step_by(2) {
        let path = code.trim_end_matches('/');
        let is_file = [".rs", ".sh"].iter().any(|end| path.ends_with(end));
        let is_path = path
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
        // Paths of a workdir or a product, which are not in the repository.
        let is_made_by_a_run = path.starts_with("WORKDIR") || path == ".pixi";
        if !is_path || is_made_by_a_run || !is_file && !code.ends_with('/') {
            continue;
        }
        let is_there = |file: &PathBuf| {
            file.ends_with(path) || format!("/{}", file.display()).contains(&format!("/{path}/"))
        };
        assert!(paths.iter().any(is_there), "{code}");
    }
}
