//! The build of a product's source, from this machine or out of a container.

use super::request::{OfflineProductRequest, Source};
use crate::commands::BuiltWorkdir;
use crate::commands::create_workdir_from_container::ContainerBuildPlan;
use crate::commands::create_workdir_from_host::HostBuildPlan;
use crate::container::KeptVolume;
use crate::context::Context;
use crate::evidence::WorkdirRecord;
use crate::failure::Failure;
use crate::layout::PathInRoot;
use crate::project::git_version;

/// The build of a source: all is decided, and nothing is touched.
pub(super) enum SourcePlan<'a> {
    /// On this machine.
    Host(Box<HostBuildPlan<'a>>),
    /// In a running container.
    Container(Box<ContainerBuildPlan<'a>>),
}

impl<'a> SourcePlan<'a> {
    /// Decides.
    ///
    /// # Errors
    ///
    /// As the build, for what is wrong before anything is touched; when the engine does not
    /// have the image of the final verification, which fetches nothing.
    pub(super) fn new(
        request: &'a OfflineProductRequest,
        context: &Context,
    ) -> anyhow::Result<SourcePlan<'a>> {
        let source = match &request.source {
            Source::Host(source) => {
                let plan = HostBuildPlan::new(source, context)?;
                if request.workdirs.is_some() {
                    require_same_project(&plan)?;
                }
                // The product needs variables of its own: known now, and not after the build.
                git_version::for_product(&plan.git_versions, &request.product.variables)?;
                return Ok(SourcePlan::Host(Box::new(plan)));
            }
            Source::Container(source) => source,
        };
        let plan = ContainerBuildPlan::new(source, context)?;
        let (image, of_whom, is_there) = match &request.image {
            Some(image) => (
                image.clone(),
                "--image",
                plan.engine.image(image)?.is_some(),
            ),
            None => (
                plan.container.image()?,
                "the container's image",
                plan.image.is_some(),
            ),
        };
        if !is_there {
            return Err(Failure::engine(format!(
                "{of_whom} {image} is not on this engine, and the final verification fetches nothing; bring it with `{} pull` or name another with --image",
                plan.engine.client()
            )));
        }
        Ok(SourcePlan::Container(Box::new(plan)))
    }

    /// Builds the workdir; what is named in `stay` of the one that is replaced stays. Gives
    /// the volume, too, that it was built in where it was copied to the engine.
    pub(super) fn execute(
        self,
        stay: Vec<String>,
        context: &Context,
    ) -> anyhow::Result<(BuiltWorkdir, Option<KeptVolume>)> {
        match self {
            SourcePlan::Host(plan) => plan.with_stay(stay).execute(context),
            SourcePlan::Container(plan) => Ok((plan.with_stay(stay).execute(context)?, None)),
        }
    }
}

/// The default workdir has the name of the project: it must not be that of another project of
/// the same name, whose product would be replaced.
fn require_same_project(plan: &HostBuildPlan<'_>) -> anyhow::Result<()> {
    let workdir = &plan.place.workdir;
    let Some(record) = WorkdirRecord::read(workdir)? else {
        return Ok(());
    };
    let in_root = plan.source.in_root();
    if record.in_root == *in_root {
        return Ok(());
    }
    let shown = |in_root: &PathInRoot| match in_root.is_empty() {
        true => "a project without a source root".to_owned(),
        false => format!("the project at {in_root} in its source root"),
    };
    Err(Failure::usage(format!(
        "the default workdir {} is that of {}, and this is {}; name another one with --workdir",
        workdir.path().display(),
        shown(&record.in_root),
        shown(in_root)
    )))
}
