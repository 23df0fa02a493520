//! What pixi built from source, as a channel that a person can publish.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::context::Context;
use crate::layout::Workdir;
use crate::packages::BuiltPackages;
use crate::replacement::{make_dir, write_file};
use crate::untrusted_dir::UntrustedDir;

/// The part of a channel that each has, with packages or without.
const EVERYWHERE: &str = "noarch";

/// Where something is that the build took along in the package cache: there, or beside it
/// once the cache was moved.
pub(crate) fn of_build(workdir: &Workdir, in_cache: PathBuf) -> PathBuf {
    let is_there = |path: &PathBuf| path.symlink_metadata().is_ok();
    let beside = workdir.beside_cache(&in_cache).filter(is_there);
    match beside {
        Some(beside) if !is_there(&in_cache) => beside,
        _ => in_cache,
    }
}

/// Writes the channel of a workdir, which will be at `place`.
pub(crate) fn write(workdir: &Workdir, place: &Workdir, context: &Context) -> anyhow::Result<()> {
    let built = BuiltPackages::read(&of_build(workdir, workdir.built_packages()))?;
    let packages = built.packages()?;
    if packages.is_empty() {
        context
            .report
            .note("--keep-built-packages: pixi built no package from source");
        return Ok(());
    }
    let mut subdirs: BTreeMap<String, BTreeMap<String, (Value, &Path)>> = BTreeMap::new();
    subdirs.entry(EVERYWHERE.to_owned()).or_default();
    for (record, file, archive) in packages {
        let subdir = record["subdir"].as_str().unwrap_or(EVERYWHERE).to_owned();
        let listed = subdirs.entry(subdir).or_default();
        if listed.contains_key(&file) {
            context.report.warning(format_args!(
                "pixi built {file} twice, for two environments; the channel has one of the two"
            ));
        }
        listed.insert(file, (record, archive));
    }
    let channel = workdir.built_channel();
    let make =
        |dir: &Path| make_dir(dir).with_context(|| format!("{} cannot be made", dir.display()));
    make(&channel)?;
    let opened = UntrustedDir::open(workdir.path())?;
    for (subdir, packages) in &subdirs {
        let dir = channel.join(subdir);
        make(&dir)?;
        for (file, (_, archive)) in packages {
            let from = archive.strip_prefix(workdir.path()).unwrap_or(archive);
            copy(&opened, from, &dir.join(file))?;
        }
        let (conda, old): (BTreeMap<_, _>, BTreeMap<_, _>) = packages
            .iter()
            .map(|(file, (record, _))| (file, record))
            .partition(|(file, _)| file.ends_with(".conda"));
        let mut text = serde_json::to_vec_pretty(&json!({
            "info": {"subdir": subdir},
            "packages": old,
            "packages.conda": conda,
            "removed": [],
            "repodata_version": 1,
        }))?;
        text.push(b'\n');
        write_file(&dir.join("repodata.json"), &text)?;
    }
    let count: usize = subdirs.values().map(BTreeMap::len).sum();
    let channel = place.built_channel();
    context.report.info(format_args!(
        "Packages built from source: {count}, in the channel {}",
        channel.display()
    ));
    context
        .report
        .field("built_packages", channel.display().to_string());
    Ok(())
}

/// Copies an archive of a workdir that a container could write.
fn copy(workdir: &UntrustedDir, archive: &Path, target: &Path) -> anyhow::Result<()> {
    let copy = || -> io::Result<()> {
        let (mut from, _) = workdir.open_file(archive)?;
        let mut to = File::create_new(target)?;
        io::copy(&mut from, &mut to)?;
        to.set_permissions(fs::Permissions::from_mode(0o644))
    };
    copy().with_context(|| {
        format!(
            "{} cannot be copied to {}",
            archive.display(),
            target.display()
        )
    })
}
