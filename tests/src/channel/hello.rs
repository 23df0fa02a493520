//! The channel of `examples/hello`, whose files are in git: two small packages for every
//! platform.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use duct::cmd;
use semver::Version;
use tempfile::tempdir;

use super::package::{PLACEHOLDER, Package, Packed};
use super::packages::{write, write_program};
use super::repodata;
use crate::platform::Platform;
use crate::process::captured;

/// The platforms that the example is for.
const SUBDIRS: [&str; 3] = ["linux-64", "linux-aarch64", "noarch"];

const HELLO: &str = r#"#!/bin/sh
# Prints the text of the package hello-words.
set -eu
cat 'PLACEHOLDER/share/hello/words.txt'
"#;

const WORDS: &str = "Hello from an air-gapped machine.\n";

/// Writes the channel below `dir`. The same program writes the same bytes.
///
/// # Errors
/// When a file cannot be written.
pub fn write_hello_channel(dir: &Path) -> Result<()> {
    for subdir in SUBDIRS {
        fs::create_dir_all(dir.join(subdir))?;
    }
    let words = tempdir()?;
    write(
        &words.path().join("share/hello/words.txt"),
        WORDS.as_bytes(),
    )?;
    let hello = tempdir()?;
    let script = HELLO.replace("PLACEHOLDER", PLACEHOLDER);
    write_program(&hello.path().join("bin/hello"), &script)?;
    let noarch = dir.join("noarch");
    let records = [
        packed("hello-words", &[], words.path(), &noarch)?,
        packed("hello", &["hello-words 1.*"], hello.path(), &noarch)?,
    ];
    for subdir in SUBDIRS {
        let mut list = serde_json::to_vec_pretty(&repodata(subdir, &records))?;
        list.push(b'\n');
        fs::write(dir.join(subdir).join("repodata.json"), list)?;
    }
    Ok(())
}

fn packed(
    name: &'static str,
    depends: &'static [&'static str],
    prefix: &Path,
    dir: &Path,
) -> Result<Packed> {
    let package = Package {
        name,
        version: "1.0".to_owned(),
        build: "0",
        noarch: true,
        depends,
    };
    package.pack(prefix, Platform::host()?, dir)
}

/// Copies the example to `to`, as this pixi reads it: one before 0.43 knows no `[workspace]`.
///
/// # Errors
///
/// When it cannot be copied.
pub fn copy_hello_example(to: &Path, pixi: &Version) -> Result<()> {
    captured("copying the example", cmd!("cp", "-R", hello_example(), to))?;
    if *pixi < Version::new(0, 43, 0) {
        let manifest = to.join("pixi.toml");
        let text = fs::read_to_string(&manifest)?;
        fs::write(&manifest, text.replace("\n[workspace]\n", "\n[project]\n"))?;
    }
    Ok(())
}

/// The directory of the example in the checkout.
fn hello_example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hello")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file below a directory, with its bytes.
    fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        for subdir in SUBDIRS {
            for entry in fs::read_dir(dir.join(subdir)).unwrap() {
                let file = entry.unwrap().path();
                let name = file.strip_prefix(dir).unwrap().to_owned();
                found.push((name, fs::read(&file).unwrap()));
            }
        }
        found.sort();
        found
    }

    /// `PIXI_OFFLINE_WRITE_EXAMPLE=1` writes the channel instead; its lock is then out of date.
    #[test]
    fn the_channel_of_the_example_is_the_one_that_is_made_here() {
        let committed = hello_example().join("channel");
        if std::env::var_os("PIXI_OFFLINE_WRITE_EXAMPLE").is_some() {
            write_hello_channel(&committed).unwrap();
        }
        let made = tempdir().unwrap();
        write_hello_channel(made.path()).unwrap();
        let (made, committed) = (files(made.path()), files(&committed));
        assert_eq!(made.len(), SUBDIRS.len() + 2);
        for ((name, bytes), (committed_name, committed_bytes)) in made.iter().zip(&committed) {
            assert_eq!(name, committed_name);
            assert!(bytes == committed_bytes, "{}", name.display());
        }
        assert_eq!(made.len(), committed.len());
    }

    #[test]
    fn the_lock_of_the_example_names_no_host_and_the_packages_of_its_channel() {
        let lock = fs::read_to_string(hello_example().join("pixi.lock")).unwrap();
        assert!(!lock.contains("http"), "{lock}");
        for (name, bytes) in files(&hello_example().join("channel")) {
            if name
                .extension()
                .is_some_and(|extension| extension == "conda")
            {
                assert!(lock.contains(&crate::fingerprint::sha256(&bytes)), "{lock}");
            }
        }
    }
}
