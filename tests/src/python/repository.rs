//! A git repository that any web server can serve.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::Result;
use duct::{Expression, cmd};

use super::source::Source;
use crate::debian::ensure_debian_package;
use crate::process::captured;

/// Commits the package, and leaves a bare repository at `target` for git's plain HTTP protocol,
/// with the commit's id in the file `revision`.
pub(super) fn serve_as_files(source: &Source, scratch: &Path, target: &Path) -> Result<()> {
    let git = ensure_debian_package("git", "git")?;
    let tree = scratch.join("repository");
    source.write(&tree)?;
    write_recipe(&tree.join("conda"))?;
    let run = |args: &[&OsStr]| {
        captured(
            format_args!("git {}", args[0].display()),
            plain(cmd(&git, args), scratch).dir(&tree),
        )
    };
    run(&["init", "--quiet", "--initial-branch=main"].map(OsStr::new))?;
    run(&["add", "--all"].map(OsStr::new))?;
    run(&["commit", "--quiet", "--message=The package"].map(OsStr::new))?;
    let revision = run(&["rev-parse", "HEAD"].map(OsStr::new))?;
    let clone = ["clone", "--quiet", "--bare", "."].map(OsStr::new);
    run(&[&clone[..], &[target.as_os_str()]].concat())?;
    captured(
        "git update-server-info",
        plain(cmd!(&git, "update-server-info"), scratch).dir(target),
    )?;
    fs::write(target.join("revision"), revision)?;
    Ok(())
}

/// The same as a conda package that pixi builds: a program that says its name.
fn write_recipe(dir: &Path) -> Result<()> {
    fs::create_dir(dir)?;
    fs::write(
        dir.join("recipe.yaml"),
        "package:\n  name: from-git\n  version: 1.0.0\nsource:\n  path: .\nbuild:\n  number: 0\n  script:\n    - mkdir -p $PREFIX/bin\n    - cp from-git.sh $PREFIX/bin/from-git\n    - chmod 755 $PREFIX/bin/from-git\n",
    )?;
    fs::write(dir.join("from-git.sh"), "#!/bin/sh\necho from-git\n")?;
    Ok(())
}

/// Makes a directory a git repository whose only commit has a tag.
///
/// # Errors
/// When git cannot be had, or fails.
pub fn commit_with_tag(dir: &Path, tag: &str) -> Result<()> {
    let git = ensure_debian_package("git", "git")?;
    let all: [&[&str]; 4] = [
        &["init", "--quiet", "--initial-branch=main"],
        &["add", "--all"],
        &["commit", "--quiet", "--message=The package"],
        &["tag", tag],
    ];
    for args in all {
        captured(
            format_args!("git {}", args[0]),
            plain(cmd(&git, args), dir).dir(dir),
        )?;
    }
    Ok(())
}

/// Without this person's settings, and the same commit each time.
fn plain(git: Expression, home: &Path) -> Expression {
    let who = ["GIT_AUTHOR", "GIT_COMMITTER"];
    let git = who.into_iter().fold(git, |git, who| {
        git.env(format!("{who}_NAME"), "testbed")
            .env(format!("{who}_EMAIL"), "testbed@example.com")
            .env(format!("{who}_DATE"), "2023-11-14T22:13:20Z")
    });
    git.env("HOME", home).env("GIT_CONFIG_NOSYSTEM", "1")
}
