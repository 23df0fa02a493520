//! What is said of a build before it begins, of a project on this machine and of one in a
//! container.

use crate::commands::environment_selection::EnvironmentSelection;
use crate::commands::new_workdir;
use crate::context::Context;
use crate::project::git_version;
use crate::project::inspection::ProjectInspection;
use crate::project::secrets;
use crate::project::source_tree::SourceTree;
use crate::project::stage;
use crate::request::{BuildRequest, ProjectName};

/// Warns of what a plan lists: a run says it, and a dry run has it in its plan.
pub(crate) fn warn_as_in_plan(
    request: &BuildRequest,
    project: &ProjectInspection,
    selection: &EnvironmentSelection,
    context: &Context,
) {
    secrets::warn(&project.secrets, context);
    stage::warn_of_survey("project", &project.project_survey, context);
    if let Some(line) = SourceTree::say_left(project.left, request.source_root.as_ref()) {
        context.report.note(line);
    }
    stage::warn_of_survey("resources", &project.resources_survey, context);
    selection.resolved.say_left_out(context);
}

/// Warns of what no plan lists: a run and a dry run say it.
pub(crate) fn warn_beyond_plan(
    request: &BuildRequest,
    name: &ProjectName,
    project: &ProjectInspection,
    selection: &EnvironmentSelection,
    context: &Context,
) {
    git_version::say(&project.git_versions, &request.variables, context);
    selection.warn(context);
    let container_workdir = request.container_workdir.as_str();
    new_workdir::warn_of_path_characters(name, container_workdir, context);
    selection.warn_of_builds(&project.builds, context);
    let on_host = project.source.project_on_host();
    let verification = &request.verification;
    project.tasks.say(verification, on_host.as_deref(), context);
}
