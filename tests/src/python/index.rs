//! The pages of a simple index (PEP 503).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::fingerprint::sha256_of_file;

/// Lists the packages in `files` on pages below `pages`; both are in one directory.
pub(super) fn write(files: &Path, pages: &Path) -> Result<()> {
    let mut projects = BTreeMap::<String, Vec<String>>::new();
    let mut names: Vec<_> = fs::read_dir(files)?.collect::<Result<_, _>>()?;
    names.sort_by_key(fs::DirEntry::file_name);
    for entry in names {
        let file = entry.file_name().to_string_lossy().into_owned();
        let sum = sha256_of_file(&entry.path())?;
        // As PyTorch's index has it.
        let place = file.replace('+', "%2B");
        let link = format!("<a href=\"../../files/{place}#sha256={sum}\">{file}</a><br>\n");
        projects.entry(project_of(&file)?).or_default().push(link);
    }
    let overview: String = projects
        .keys()
        .map(|project| format!("<a href=\"{project}/\">{project}</a><br>\n"))
        .collect();
    fs::create_dir_all(pages)?;
    fs::write(pages.join("index.html"), page(&overview))?;
    for (project, links) in projects {
        fs::create_dir(pages.join(&project))?;
        fs::write(
            pages.join(&project).join("index.html"),
            page(&links.concat()),
        )?;
    }
    Ok(())
}

/// The project that a wheel or source distribution belongs to, by its file's name.
fn project_of(file: &str) -> Result<String> {
    let (name, _) = file
        .split_once('-')
        .with_context(|| format!("{file} is not a name of a Python package"))?;
    Ok(name.to_lowercase().replace(['_', '.'], "-"))
}

fn page(links: &str) -> String {
    format!("<!DOCTYPE html>\n<html><body>\n{links}</body></html>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_a_project_by_its_name() {
        let of = |file| project_of(file).unwrap();
        assert_eq!(
            of("trove_classifiers-2025.1-py3-none-any.whl"),
            "trove-classifiers"
        );
        assert_eq!(of("old_sdist-1.0.tar.gz"), "old-sdist");
        assert!(project_of("README").is_err());
    }
}
