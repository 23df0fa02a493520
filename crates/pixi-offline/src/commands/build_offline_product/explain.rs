//! Which rule keeps or drops a path of a project.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use serde_json::json;

use super::request::{OfflineProductRequest, Source};
use crate::context::Context;
use crate::evidence;
use crate::failure::Failure;
use crate::layout;
use crate::project::stage::{self, ProjectRules};
use crate::staging;

/// Says which rule keeps or drops a path of the project.
///
/// # Errors
///
/// Exit code 2 when it is not in the project.
pub(super) fn explain(
    path: &Path,
    request: &OfflineProductRequest,
    context: &Context,
) -> anyhow::Result<()> {
    let (project, excludes, is_here) = match &request.source {
        Source::Host(source) => {
            let project = context.host.absolute(&source.project_dir);
            stage::require_dir("--project-dir", &project)?;
            (project, &source.build.excludes, true)
        }
        Source::Container(source) => (source.project.clone(), &source.build.excludes, false),
    };
    let rules = ProjectRules::new(excludes)?;
    let joined: PathBuf = project.join(path).components().collect();
    let relative = joined
        .strip_prefix(&project)
        .ok()
        .filter(|relative| !relative.as_os_str().is_empty() && relative.components().all(is_normal))
        .ok_or_else(|| {
            Failure::usage(format!(
                "--explain {} is no path in the project {}; give one below it, without `..`",
                path.display(),
                project.display()
            ))
        })?;
    let there = is_here.then(|| joined.symlink_metadata());
    let ends_as_dir = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let is_dir = ends_as_dir || matches!(&there, Some(Ok(metadata)) if metadata.is_dir());
    let why = Why::of(relative, is_dir, &project, &rules, is_here);
    let mut line = format!("{} {}", relative.display(), why.line);
    if matches!(there, Some(Err(_))) {
        line.push_str(" (nothing is there now)");
    }
    let facts = json!({
        "path": relative.display().to_string(),
        "staged": why.staged,
        "pattern": why.rule.map(|rule| rule.to_string_lossy().into_owned()),
        "decided_at": why.decided.display().to_string(),
    });
    context
        .report
        .print_document("explanation", &facts, &[line]);
    Ok(())
}

/// Why a path is staged, or is not.
struct Why {
    staged: bool,
    rule: Option<OsString>,
    decided: PathBuf,
    line: String,
}

impl Why {
    fn of(
        relative: &Path,
        is_dir: bool,
        project: &Path,
        rules: &ProjectRules,
        is_here: bool,
    ) -> Why {
        let configuration = Path::new(layout::PROJECT_CONFIG);
        let is_taken = || stage::takes_configuration(project, rules).unwrap_or(true);
        if relative == configuration && is_here && is_taken() {
            return Why {
                staged: true,
                rule: None,
                decided: relative.to_owned(),
                line: "is staged: pixi's configuration of the project always is".to_owned(),
            };
        }
        let staging::Explanation {
            decided,
            left,
            rule,
        } = staging::explain(is_here.then_some(project), relative, is_dir, rules);
        let workdir = relative
            .ancestors()
            .filter(|path| is_here && !path.as_os_str().is_empty())
            .find(|path| evidence::is_workdir(&project.join(path)));
        if let (false, Some(workdir)) = (left, workdir) {
            return Why {
                staged: false,
                rule: None,
                decided: workdir.to_owned(),
                line: format!(
                    "stays behind: {} is a workdir, and none is ever staged",
                    workdir.display()
                ),
            };
        }
        let line = match (left, rule.as_deref().map(OsStr::display)) {
            (true, Some(rule)) if decided != relative => format!(
                "stays behind: {rule} leaves its directory {}",
                decided.display()
            ),
            (true, Some(rule)) => format!("stays behind: {rule}"),
            (_, Some(rule)) => format!("is staged: {rule}"),
            (_, None) => "is staged: no pattern matches it".to_owned(),
        };
        Why {
            staged: !left,
            rule,
            decided,
            line,
        }
    }
}

fn is_normal(component: Component) -> bool {
    matches!(component, Component::Normal(_))
}
