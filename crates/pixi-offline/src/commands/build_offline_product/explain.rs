//! Which rule keeps or drops a path of a project.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use serde_json::json;

use super::request::{OfflineProductRequest, Source};
use crate::commands::create_workdir_from_container::ContainerBuildRequest;
use crate::context::Context;
use crate::evidence;
use crate::failure::Failure;
use crate::layout::{self, PathInRoot};
use crate::product::is_product;
use crate::project::ProjectRules;
use crate::project::configuration;
use crate::project::dirs;
use crate::project::project_rules;
use crate::project::source_tree::SourceTree;
use crate::request::SourcePlace;
use crate::staging;

/// Says which rule keeps or drops a path of the project, or of the source root around it.
///
/// # Errors
///
/// Exit code 2 when it is in neither, and when only the container knows.
pub(super) fn explain(
    path: &Path,
    request: &OfflineProductRequest,
    context: &Context,
) -> anyhow::Result<()> {
    let asked = Asked::of(request, context)?;
    let relative = asked.place_of(path)?;
    let there = asked
        .is_here
        .then(|| asked.top.join(&relative).symlink_metadata());
    let ends_as_dir = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let is_dir = ends_as_dir || matches!(&there, Some(Ok(metadata)) if metadata.is_dir());
    let why = Why::of(&relative, is_dir, &asked);
    if !asked.is_here && why.is_not_needed() {
        return Err(Failure::usage(format!(
            "--explain {}: only the container tells whether the project needs it, and --explain starts nothing there; --also {} takes it in any case, --dry-run lists what is staged",
            path.display(),
            relative.display()
        )));
    }
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

/// What the run would stage, and by which rules.
struct Asked {
    /// The project as it was given.
    project: PathBuf,
    /// The top of what is staged: the source root, or the project.
    top: PathBuf,
    in_root: PathInRoot,
    rules: ProjectRules,
    /// Whether it is on this machine, and can be looked at.
    is_here: bool,
}

impl Asked {
    fn of(request: &OfflineProductRequest, context: &Context) -> anyhow::Result<Asked> {
        let build = request.source.build();
        let mut rules = ProjectRules::new(&build.excludes)?;
        let root = build.source_root.as_ref();
        let host = match &request.source {
            Source::Host(source) => source,
            Source::Container(source) => return Asked::in_container(source, rules),
        };
        let project = context.host.absolute(&host.project_dir);
        dirs::require_dir("--project-dir", &project)?;
        let source = SourceTree::find(SourcePlace::Host, &project, root, context)?;
        if !source.in_root().is_empty() {
            let lock = project.join(layout::LOCK_FILE);
            let lock = context.locks.read_through_links(&lock)?;
            let local = source.local(lock.as_ref());
            source.choose(&mut rules, root, lock.as_ref(), &local.channels)?;
        }
        Ok(Asked {
            project,
            top: source.dir().to_owned(),
            in_root: source.in_root().clone(),
            rules,
            is_here: true,
        })
    }

    /// What the container needs of its source root is not known here, but for what was named.
    fn in_container(
        source: &ContainerBuildRequest,
        mut rules: ProjectRules,
    ) -> anyhow::Result<Asked> {
        let project = &source.project;
        let root = source.build.source_root.as_ref();
        let top = root.map_or(project, |root| &root.dir).clone();
        let in_root = project.strip_prefix(&top).map_err(|_| {
            Failure::usage(format!(
                "--source-root-in-container {}: the project {} is not in it; name a directory above the project",
                top.display(),
                project.display()
            ))
        })?;
        let in_root =
            PathInRoot::new(in_root).map_err(|error| Failure::usage(error.to_string()))?;
        rules.stage_in_root(&in_root);
        if let Some(root) = root.filter(|root| !root.whole && !in_root.is_empty()) {
            let named = root.also.iter().map(|path| path.components());
            let named = named.map(|parts| parts.filter(|part| is_normal(*part)).collect());
            rules.take_of_root(named.chain([in_root.path().to_owned()]).collect());
        }
        Ok(Asked {
            project: project.clone(),
            top,
            in_root,
            rules,
            is_here: false,
        })
    }

    /// The place below the top of a path that is absolute or relative to the project.
    ///
    /// # Errors
    ///
    /// Exit code 2 for one outside, and for `..` after a name: that may be a link.
    fn place_of(&self, path: &Path) -> anyhow::Result<PathBuf> {
        let of_project = path.strip_prefix(&self.project).unwrap_or(path);
        let is_up = |part: &Component| *part == Component::ParentDir;
        let mut names = of_project.components().skip_while(is_up);
        let goes_up = of_project
            .components()
            .next()
            .is_some_and(|part| is_up(&part));
        let place = match of_project.is_absolute() {
            true => of_project.strip_prefix(&self.top).ok().map(Path::to_owned),
            false if goes_up && self.in_root.is_empty() => None,
            false => self.in_root.resolve(of_project),
        };
        let is_plain = of_project.is_absolute()
            || names.all(|part| is_normal(part) || part == Component::CurDir);
        place
            .filter(|place| is_plain && !place.as_os_str().is_empty())
            .filter(|place| place.components().all(is_normal))
            .ok_or_else(|| {
                let (what, how) = match self.in_root.is_empty() {
                    true => ("project", "without `..`"),
                    false => ("source root", "with `..` at its start only"),
                };
                Failure::usage(format!(
                    "--explain {} is not a path in the {what} {}; give one below it, {how}",
                    path.display(),
                    self.top.display()
                ))
            })
    }
}

/// Why a path is staged, or is not.
struct Why {
    staged: bool,
    rule: Option<OsString>,
    decided: PathBuf,
    line: String,
}

impl Why {
    /// Whether it is left out since the project does not need it of the source root.
    fn is_not_needed(&self) -> bool {
        self.rule.as_deref() == Some(OsStr::new(project_rules::NOT_NEEDED))
    }

    fn of(relative: &Path, is_dir: bool, asked: &Asked) -> Why {
        let Asked {
            top,
            rules,
            is_here,
            ..
        } = asked;
        let configuration = asked.in_root.path().join(layout::PROJECT_CONFIG);
        let is_taken = || configuration::takes_configuration(top, rules).unwrap_or(true);
        if relative == configuration && *is_here && is_taken() {
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
        } = staging::explain(is_here.then_some(top.as_path()), relative, is_dir, rules);
        let skipped = relative
            .ancestors()
            .filter(|path| *is_here && !path.as_os_str().is_empty())
            .find_map(|path| Some((path, kind_of_skipped(&top.join(path))?)));
        if let (false, Some((dir, kind))) = (left, skipped) {
            return Why {
                staged: false,
                rule: None,
                decided: dir.to_owned(),
                line: format!(
                    "is left out: {} is {kind}, which is never staged",
                    dir.display()
                ),
            };
        }
        let line = match (left, rule.as_deref().map(OsStr::display)) {
            (true, Some(_)) if rule.as_deref() == Some(OsStr::new(project_rules::NOT_NEEDED)) => {
                format!(
                    "is left out: the project does not need it; --also {} adds it",
                    relative.display()
                )
            }
            (true, Some(rule)) if decided != relative => format!(
                "is left out: {rule} excludes its directory {}",
                decided.display()
            ),
            (true, Some(rule)) => format!("is left out: {rule}"),
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

/// What a directory is that is never staged.
fn kind_of_skipped(dir: &Path) -> Option<&'static str> {
    if evidence::holds_workdirs(dir) {
        Some("the directory of workdirs")
    } else if evidence::is_workdir(dir) {
        Some("a workdir")
    } else {
        is_product(dir).then_some("a product")
    }
}

fn is_normal(component: Component) -> bool {
    matches!(component, Component::Normal(_))
}
