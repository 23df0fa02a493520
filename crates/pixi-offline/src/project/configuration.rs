//! The Pixi configuration of a project: whether it is staged, and its copy.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;

use crate::context::Context;
use crate::layout;
use crate::project::dirs::there;
use crate::project::project_rules::ProjectRules;
use crate::regular_file;
use crate::replacement::write_file;
use crate::staging::{self, CopyOptions, Rules};
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// Longest configuration that is read through a link, in bytes: a link may lead anywhere.
const LONGEST_LINKED_CONFIGURATION: u64 = 1024 * 1024;

/// Whether the committed Pixi configuration of the project in `source` is taken along.
///
/// # Errors
///
/// I/O errors are returned, so that a failing disk is not mistaken for a missing file.
pub(crate) fn takes_configuration(source: &Path, rules: &ProjectRules) -> anyhow::Result<bool> {
    let config = Path::new(layout::PROJECT_CONFIG);
    let project = rules.project_in(source);
    let behind_a_link = is_behind_a_link(&project);
    let is_file = there(&project.join(config))?.is_some_and(|metadata| {
        metadata.is_file() && (!behind_a_link || metadata.len() < LONGEST_LINKED_CONFIGURATION)
    });
    let unwanted = config.ancestors().any(|path| {
        let is_dir = path != config;
        !path.as_os_str().is_empty() && rules.callers_exclude(path, is_dir)
    });
    let follows = !behind_a_link || rules.follows_links();
    Ok(is_file && follows && !unwanted)
}

/// Copies the project's Pixi configuration, and gives its length. A link, or what is behind one,
/// becomes a file: nothing of the copy leads out of it.
pub(super) fn copy_configuration(
    source: &Path,
    target: &Path,
    below: Option<&Path>,
) -> anyhow::Result<u64> {
    let (from, to) = (
        source.join(layout::PROJECT_CONFIG),
        target.join(layout::PROJECT_CONFIG),
    );
    let copying = || format!("{} cannot be copied", from.display());
    let dir = |file: &Path| file.parent().map(Path::to_owned).unwrap_or_default();
    if !is_behind_a_link(source) {
        let mut config_alone = Rules::new();
        for rule in ["+ /config.toml", "*"] {
            config_alone.push(OsStr::new(rule))?;
        }
        let options = CopyOptions {
            below,
            ..CopyOptions::default()
        };
        let outcome = staging::copy_tree(&dir(&from), &dir(&to), &config_alone, &options)?;
        return Ok(outcome.copied.bytes);
    }
    let content = regular_file::read(&from, LONGEST_LINKED_CONFIGURATION).with_context(copying)?;
    let metadata = fs::metadata(&from).with_context(copying)?;
    let write = || -> io::Result<()> {
        fs::create_dir(dir(&to))?;
        fs::write(&to, &content)?;
        fs::File::open(&to)?.set_modified(metadata.modified()?)
    };
    write().with_context(|| format!("{} cannot be written", to.display()))?;
    Ok(content.len() as u64)
}

/// Whether the project's Pixi configuration, or its directory, is a link.
fn is_behind_a_link(source: &Path) -> bool {
    let config = Path::new(layout::PROJECT_CONFIG);
    let parts = config
        .ancestors()
        .filter(|part| !part.as_os_str().is_empty());
    parts.into_iter().any(|part| source.join(part).is_symlink())
}

/// Takes `detached-environments` out of a staged configuration: it would put the
/// environments of the product somewhere else, and no variable turns it off.
pub(super) fn keep_environments_in_the_project(
    config: &Path,
    context: &Context,
) -> anyhow::Result<()> {
    const SETTING: &str = "detached-environments";
    let editing = || {
        format!(
            "{} cannot be read as pixi's configuration",
            config.display()
        )
    };
    // A link is copied as one; where it leads nowhere any more, pixi reads nothing.
    if there(config)?.is_none() {
        return Ok(());
    }
    let text = UntrustedDir::read_file(config, RECORD_LIMIT).with_context(editing)?;
    let text = String::from_utf8(text).with_context(editing)?;
    let mut document: toml_edit::DocumentMut = text.parse().with_context(editing)?;
    let detached = |item: &toml_edit::Item| item.as_bool() != Some(false);
    if !document.get(SETTING).is_some_and(detached) {
        return Ok(());
    }
    document.remove(SETTING);
    // A new file: a link would lead the writing into a file of the caller.
    fs::remove_file(config).with_context(editing)?;
    write_file(config, document.to_string().as_bytes())?;
    context.report.note(format_args!(
        "{SETTING} was taken out of the copy of {}: the product keeps its environments in the project",
        layout::PROJECT_CONFIG
    ));
    Ok(())
}
