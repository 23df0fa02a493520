//! The build of a product's source, from this machine or out of a container.

use super::request::{OfflineProductRequest, Source};
use crate::commands::BuiltWorkdir;
use crate::commands::create_workdir_from_container::ContainerBuildPlan;
use crate::commands::create_workdir_from_host::HostBuildPlan;
use crate::container::KeptVolume;
use crate::context::Context;
use crate::failure::Failure;

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
