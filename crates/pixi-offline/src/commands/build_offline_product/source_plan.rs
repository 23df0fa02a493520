//! The build of a product's source, from this machine or out of a container.

use super::places::Places;
use super::request::{OfflineProductRequest, Source};
use super::requests::{planned_verification, unknown_image, verification_in};
use crate::commands::BuiltWorkdir;
use crate::commands::create_workdir_from_container::ContainerBuildPlan;
use crate::commands::create_workdir_from_host::HostBuildPlan;
use crate::commands::final_verify_product;
use crate::context::Context;
use crate::evidence::WorkdirRecord;
use crate::failure::Failure;
use crate::layout::Workdir;
use crate::project::git_version;

/// The build of a source: all is decided, and nothing is touched.
pub(super) enum SourcePlan<'a> {
    /// On this machine.
    Host(Box<HostBuildPlan<'a>>),
    /// In a running container.
    Container(Box<ContainerBuildPlan<'a>>),
}

impl<'a> SourcePlan<'a> {
    /// Makes the plan.
    ///
    /// # Errors
    ///
    /// Those errors of the build that are found before anything is changed, and those of the
    /// final verification that need no product.
    pub(super) fn new(
        request: &'a OfflineProductRequest,
        context: &Context,
    ) -> anyhow::Result<SourcePlan<'a>> {
        let source = match &request.source {
            Source::Host(source) => {
                let plan = HostBuildPlan::new(source, context)?;
                if request.workdirs.is_some() {
                    require_same_project(&plan.place.workdir, &plan.project_at())?;
                }
                // The product needs variables of its own: known now, and not after the build.
                git_version::for_product(&plan.project.git_versions, &request.product.variables)?;
                SourcePlan::Host(Box::new(plan))
            }
            Source::Container(source) => {
                let plan = ContainerBuildPlan::new(source, context)?
                    .with_product_variables(&request.product.variables);
                if request.workdirs.is_some() {
                    require_same_project(&plan.place.workdir, &plan.project_at())?;
                }
                SourcePlan::Container(Box::new(plan))
            }
        };
        source.require_verification(request, context)?;
        Ok(source)
    }

    /// Requires what the final verification needs besides a product, so that it refuses
    /// nothing of that after a build of an hour.
    fn require_verification(
        &self,
        request: &OfflineProductRequest,
        context: &Context,
    ) -> anyhow::Result<()> {
        let (engine, built, place, name) = match self {
            SourcePlan::Host(plan) => {
                let name = &plan.project_place.name;
                (&plan.engine, &plan.image, &plan.place, name)
            }
            SourcePlan::Container(plan) => (&plan.engine, &plan.image, &plan.place, &plan.name),
        };
        let planned = planned_verification(request, built.as_ref(), &place.workdir, name, context)?;
        let verify = match (planned, self) {
            (Some(verify), _) => verify,
            (None, SourcePlan::Host(_)) => return Err(unknown_image()),
            // The engine does not have it, and is asked for it by its name below.
            (None, SourcePlan::Container(plan)) => {
                let places = Places::of(request, &place.workdir, context);
                verification_in(request, plan.container.image()?, name, &places)
            }
        };
        final_verify_product::planned_arguments(&verify, engine, context)?;
        match (self, built) {
            // The build has the engine fetch it, and looks at it then.
            (SourcePlan::Host(_), None) => Ok(()),
            _ => final_verify_product::require_image(&verify, engine).map(drop),
        }
    }

    /// Requires room for what is staged on this machine.
    ///
    /// # Errors
    ///
    /// Exit code 1, as the build.
    pub(super) fn require_space(&self) -> anyhow::Result<()> {
        match self {
            SourcePlan::Host(plan) => plan.require_space(),
            SourcePlan::Container(_) => Ok(()),
        }
    }

    /// Builds the workdir; what is named in `stay` of the one that is replaced stays.
    pub(super) fn execute(
        self,
        stay: Vec<String>,
        context: &Context,
    ) -> anyhow::Result<BuiltWorkdir> {
        match self {
            SourcePlan::Host(plan) => plan.with_stay(stay).execute(context),
            SourcePlan::Container(plan) => plan.with_stay(stay).execute(context),
        }
    }
}

/// The default workdir has the name of the project: it must not be that of another project of
/// the same name, whose product would be replaced.
fn require_same_project(workdir: &Workdir, project_at: &str) -> anyhow::Result<()> {
    let record = WorkdirRecord::read(workdir)?;
    match record.and_then(|record| record.project_at) {
        Some(recorded) if recorded != project_at => {
            let place = workdir.path().join(&recorded).canonicalize();
            let place = place.map_or(recorded, |place| place.display().to_string());
            Err(Failure::usage(format!(
                "the default workdir {} belongs to another project of this name ({place}); choose another one with --workdir",
                workdir.path().display(),
            )))
        }
        _ => Ok(()),
    }
}
