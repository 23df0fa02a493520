//! What the later steps are asked for, as it follows from the whole request.

use super::places::Places;
use super::request::{OfflineProductRequest, Source};
use crate::commands::BuiltWorkdir;
use crate::commands::final_verify_product;
use crate::commands::make_product;
use crate::container;
use crate::context::Context;
use crate::failure::Failure;
use crate::layout::Workdir;
use crate::request::{ImageReference, ProjectName, SecretPolicy};

pub(super) fn product_of(
    request: &OfflineProductRequest,
    made: &BuiltWorkdir,
    places: &Places,
) -> make_product::ProductRequest {
    let mut choices = request.product.clone();
    if places.has_passed {
        (choices.output, choices.force) = (Some(places.new_product()), false);
    }
    make_product::ProductRequest {
        workdir: made.workdir.clone(),
        project_name: Some(made.project.name.clone()),
        excludes: request.source.build().excludes.clone(),
        secrets: request.source.build().secrets.clone(),
        choices,
    }
}

pub(super) fn verification_of(
    request: &OfflineProductRequest,
    made: &BuiltWorkdir,
    places: &Places,
) -> anyhow::Result<final_verify_product::VerifyRequest> {
    let image = final_image(request, made.record.image.as_ref())?.ok_or_else(unknown_image)?;
    Ok(verification_in(request, image, &made.project.name, places))
}

/// What to say of a container whose image the engine does not have.
pub(super) fn unknown_image() -> anyhow::Error {
    Failure::usage(
        "the image of the container is not known; name one for the final verification with --image",
    )
}

/// The image of the final verification: the one that was named, else that of the
/// build, by its id.
fn final_image(
    request: &OfflineProductRequest,
    built: Option<&container::Image>,
) -> anyhow::Result<Option<ImageReference>> {
    // A name that both have may mean another image by then; the id does not.
    let is_of_build = |image: &ImageReference| match &request.source {
        Source::Host(source) => source.image == *image,
        Source::Container(_) => false,
    };
    let other = request.image.as_ref().filter(|image| !is_of_build(image));
    match (other, built) {
        (Some(image), _) => Ok(Some(image.clone())),
        (None, Some(built)) => ImageReference::new(built.id.as_ref()).map(Some),
        (None, None) => Ok(asked_image(request)),
    }
}

/// The image of the final verification, by the name that was given.
pub(super) fn asked_image(request: &OfflineProductRequest) -> Option<ImageReference> {
    let of_build = match &request.source {
        Source::Host(source) => Some(&source.image),
        Source::Container(_) => None,
    };
    request.image.as_ref().or(of_build).cloned()
}

/// The final verification of a build that is only planned; `built` is the build's
/// image where the engine has it.
pub(super) fn planned_verification(
    request: &OfflineProductRequest,
    built: Option<&container::Image>,
    workdir: &Workdir,
    project: &ProjectName,
    context: &Context,
) -> anyhow::Result<Option<final_verify_product::VerifyRequest>> {
    let places = Places::of(request, workdir, context);
    Ok(final_image(request, built)?
        .or_else(|| asked_image(request))
        .map(|image| verification_in(request, image, project, &places)))
}

/// The final verification in this image.
pub(super) fn verification_in(
    request: &OfflineProductRequest,
    image: ImageReference,
    project: &ProjectName,
    places: &Places,
) -> final_verify_product::VerifyRequest {
    let build = request.source.build();
    let platform = match &request.source {
        Source::Host(source) => source.platform.clone(),
        Source::Container(_) => None,
    };
    final_verify_product::VerifyRequest {
        image,
        platform,
        product_dir: places.new_product(),
        out_dir: places.new_logs(),
        project_name: Some(project.clone()),
        in_place: false,
        verify_environment: build.verify_environment.clone(),
        attach: true,
        verify_key: None,
        // Its words are those of the build, which has looked at them.
        secrets: SecretPolicy::off(),
        signing: request.product.signing.clone(),
        verification: build.verification.clone(),
        expectations: build.expectations.clone(),
        engine: build.engine.clone(),
        timeout: build.timeout.clone(),
        variables: build.variables.clone(),
        gpus: request.gpus.clone(),
        transfer: request.transfer,
    }
}
