//! What a product is asked for.

use std::path::{Path, PathBuf};

use crate::commands::create_workdir_from_container::ContainerBuildRequest;
use crate::commands::create_workdir_from_host::HostBuildRequest;
use crate::context::Context;
use crate::layout::Workdir;
use crate::project::Generated;
use crate::request::{
    BuildRequest, Contact, ImageReference, ProductVariable, SigningOptions, Transfer,
};
use crate::staging::LinkMode;

/// Where the project is.
#[derive(Debug, Clone)]
pub enum Source {
    /// On this machine.
    Host(HostBuildRequest),
    /// In a running container.
    Container(ContainerBuildRequest),
}

impl Source {
    /// How the workdir is made.
    pub(super) fn build(&self) -> &BuildRequest {
        match self {
            Source::Host(source) => &source.build,
            Source::Container(source) => &source.build,
        }
    }
}

/// What was asked for; paths as they were typed.
#[derive(Debug, Clone)]
pub struct OfflineProductRequest {
    /// The project, and how its workdir is made.
    pub source: Source,
    /// The image of the final verification; that of the build when `None`.
    pub image: Option<ImageReference>,
    /// What goes into the product.
    pub product: ProductChoices,
    /// Where the logs of the final verification go; `proof/` in the workdir when
    /// `None`.
    pub out_dir: Option<PathBuf>,
    /// How the engine gets at the product.
    pub transfer: Transfer,
}

/// The part of a product's request that does not follow from the steps before.
#[derive(Debug, Clone, Default)]
pub struct ProductChoices {
    /// Where the product goes; `product/` in the workdir when `None`.
    pub output: Option<PathBuf>,
    /// Whom the person at the target asks.
    pub contact: Option<Contact>,
    /// Variables that `envs.sh` exports.
    pub variables: Vec<ProductVariable>,
    /// What becomes of the files that the build made in the project.
    pub generated: Generated,
    /// Whether every file of every needed package is read and compared.
    pub deep: bool,
    /// Whether the cache is carried whole.
    pub full_cache: bool,
    /// Whether the pixi that built the workdir goes along.
    pub bundle_pixi: bool,
    /// How the package cache gets into the product.
    pub link_mode: LinkMode,
    /// Whether it is moved there instead.
    pub move_cache: bool,
    /// What product and proof are signed with.
    pub signing: SigningOptions,
    /// Whether another directory at `output` may be overwritten.
    pub force: bool,
}

pub(super) fn asked_out_dir(request: &OfflineProductRequest, workdir: &Path) -> PathBuf {
    request
        .out_dir
        .clone()
        .unwrap_or_else(|| Workdir::new(workdir).verification_logs())
}

pub(super) fn asked_workdir(request: &OfflineProductRequest, context: &Context) -> Workdir {
    request.source.build().workdir.as_ref().map_or_else(
        || Workdir::default_in(context.host.workspace_root(), context.host.unix_seconds),
        |dir| Workdir::new(context.host.absolute(dir)),
    )
}

pub(super) fn asked_product(
    request: &OfflineProductRequest,
    workdir: &Workdir,
    context: &Context,
) -> PathBuf {
    match &request.product.output {
        Some(output) => context.host.absolute(output),
        None => workdir.product().path().to_owned(),
    }
}
