//! The trees that are measured: a workdir whose package cache is like pixi's,
//! the same bytes in each run.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::Context as _;
use clap::ValueEnum;
use fastrand::Rng;
use pixi_offline::evidence::{BuildState, WorkdirRecord, hexadecimal};
use pixi_offline::layout::Workdir;
use pixi_offline::request::Verification;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Files in a package.
pub const FILES_IN_PACKAGE: u64 = 100;

/// Directories of a package, with its own.
pub const DIRS_IN_PACKAGE: u64 = DIRS.len() as u64 + 1;

const DIRS: [&str; 6] = [
    "bin",
    "info",
    "lib",
    "lib/python3.13",
    "lib/python3.13/package",
    "share",
];

/// The files of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Files {
    /// As in package caches: many small ones, a few large, ten kilobytes in the middle
    /// of their sum.
    AsInCaches,
    /// The same with content that compresses as packages do: words, and a quarter of noise.
    Words,
    /// A hundred bytes each, where only their number matters.
    Tiny,
    /// The same, and half of them have names that lists have to encode.
    TinyWithOddNames,
}

/// Parts of names that `manifest.json` encodes, or `SHA256SUMS`, or both.
const ODD_NAMES: [&str; 6] = [
    "line\nend",
    "back\\slash",
    "per%41cent",
    "\u{1b}[31m",
    "\u{fc}",
    "a b",
];

/// Which packages a workdir has.
#[derive(Debug, Clone, Copy)]
pub struct Packages {
    pub count: u64,
    pub files: Files,
    /// Each of so many is one of the next version, with other bytes in every file. The others are the
    /// same to the byte as in a workdir without.
    pub newer_each: Option<u64>,
}

/// Makes a workdir with one project and, in its package cache, packages of
/// [`FILES_IN_PACKAGE`] files each, all of which the project's lock needs.
pub fn workdir(dir: &Path, packages: Packages) -> anyhow::Result<()> {
    let mut rng = Rng::with_seed(7);
    let pool = match packages.files {
        Files::Words => compressible_text(&mut rng),
        Files::AsInCaches | Files::Tiny | Files::TinyWithOddNames => {
            (0..1 << 21).map(|_| rng.u8(..)).collect()
        }
    };
    let cache = dir.join("pixi-cache/pkgs");
    fs::create_dir_all(dir.join("project/demo"))?;
    fs::create_dir_all(&cache)?;
    let (mut listed, mut locked) = (String::new(), String::new());
    for number in 0..packages.count {
        let is_newer = packages
            .newer_each
            .is_some_and(|each| number % each == each - 1);
        let version = if is_newer { "1.1" } else { "1.0" };
        let name = format!("package-{number:05}-{version}-0");
        // As many numbers are drawn for both versions.
        let pool = if is_newer {
            &pool[1..]
        } else {
            &pool[..pool.len() - 1]
        };
        package(&cache.join(&name), &mut rng, pool, packages.files)
            .with_context(|| format!("{name} cannot be made"))?;
        let url = format!("https://conda.example/chan/linux-64/{name}.conda");
        let sha256 = hexadecimal(&Sha256::digest(&name));
        let mut record = vec![0, 0, 0, 0, 0, 0, 0, 1];
        record.extend(Sha256::digest(&name));
        fs::write(cache.join(format!("{name}.lock")), record)?;
        writeln!(listed, "      - conda: {url}")?;
        writeln!(
            locked,
            "- conda: {url}\n  sha256: {sha256}\n  depends:\n  - __glibc >=2.17,<3.0.a0\n  license: BSD-3-Clause\n  size: 100000"
        )?;
    }
    fs::write(
        dir.join("project/demo/pixi.lock"),
        format!(
            "version: 6\nenvironments:\n  default:\n    channels:\n    - url: https://conda.example/chan/\n    packages:\n      linux-64:\n{listed}packages:\n{locked}"
        ),
    )?;
    fs::write(
        dir.join("project/demo/pixi.toml"),
        "[workspace]\nname = \"demo\"\nchannels = [\"https://conda.example/chan\"]\nplatforms = [\"linux-64\"]\n",
    )?;
    fs::create_dir(dir.join("resources"))?;
    let verification = Verification::Command(vec!["true".to_owned()]);
    let mut record = WorkdirRecord::new("demo", "/workdir", verification);
    record.state = BuildState::Built;
    record.write(&Workdir::new(dir))
}

/// A package as pixi unpacks it, with the list of its files.
fn package(dir: &Path, rng: &mut Rng, pool: &[u8], files: Files) -> anyhow::Result<()> {
    for inner in DIRS {
        fs::create_dir_all(dir.join(inner))?;
    }
    let mut paths = Vec::new();
    // Two of the files are the package's own lists.
    for number in 0..FILES_IN_PACKAGE - 2 {
        let inner = DIRS[rng.usize(..DIRS.len())];
        let path = if files == Files::TinyWithOddNames && number % 2 == 1 {
            let odd = ODD_NAMES[number as usize / 2 % ODD_NAMES.len()];
            format!("{inner}/{odd}_{number:03}.py")
        } else {
            format!("{inner}/module_{number:03}.py")
        };
        let file = dir.join(&path);
        if number % 32 == 31 {
            symlink("module_000.py", &file)?;
            paths.push(json!({"_path": path, "path_type": "softlink"}));
            continue;
        }
        let size = match files {
            Files::AsInCaches | Files::Words => some_size(rng),
            Files::Tiny | Files::TinyWithOddNames => 100,
        };
        let start = rng.usize(..=pool.len() - size);
        let content = &pool[start..start + size];
        File::create(&file)?.write_all(content)?;
        if inner == "bin" {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        }
        paths.push(json!({
            "_path": path, "path_type": "hardlink", "size_in_bytes": size,
            "sha256": hexadecimal(&Sha256::digest(content)),
        }));
    }
    // As builders list them.
    paths.sort_by(|one, other| one["_path"].as_str().cmp(&other["_path"].as_str()));
    fs::write(dir.join("info/index.json"), b"{}")?;
    let paths = json!({"paths": paths, "paths_version": 1});
    fs::write(dir.join("info/paths.json"), paths.to_string())?;
    Ok(())
}

/// Content with the redundancy of programs and texts, longer than the windows of compressors.
fn compressible_text(rng: &mut Rng) -> Vec<u8> {
    let mut noise = |least: usize, most: usize, letters: std::ops::RangeInclusive<u8>| -> Vec<u8> {
        let length = rng.usize(least..=most);
        (0..length).map(|_| rng.u8(letters.clone())).collect()
    };
    let dictionary: Vec<Vec<u8>> = (0..4096).map(|_| noise(3, 12, b'a'..=b'z')).collect();
    let mut pool = Vec::with_capacity(64 << 20);
    while pool.len() < 64 << 20 {
        for _ in 0..24 {
            // Few words are common.
            let place = f64::from(u32::from_le_bytes(
                noise(4, 4, 0..=255).try_into().unwrap_or_default(),
            )) / f64::from(u32::MAX);
            let word = &dictionary[(place.powi(3) * 4095.0) as usize];
            pool.extend_from_slice(word);
            pool.push(b' ');
        }
        pool.extend(noise(20, 60, 0..=255));
    }
    pool
}

/// A length in bytes: the logarithm is spread evenly, so that the median is about two
/// kilobytes and the mean ten.
fn some_size(rng: &mut Rng) -> usize {
    match rng.u32(..1000) {
        0..20 => 0,
        20..990 => 2_f64.powf(6.0 + rng.f64() * 10.0) as usize,
        _ => 2_f64.powf(16.0 + rng.f64() * 4.0) as usize,
    }
}
