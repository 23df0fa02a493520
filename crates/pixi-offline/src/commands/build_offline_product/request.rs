//! What a product is asked for.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::commands::create_workdir_from_container::{self, ContainerBuildRequest};
use crate::commands::create_workdir_from_host::{self, HostBuildRequest};
use crate::commands::make_product::ProductChoices;
use crate::context::Context;
use crate::layout::Workdir;
use crate::request::{BuildRequest, Gpus, ImageReference, ProjectName, Transfer};

/// The command's name.
pub(super) const COMMAND: &str = "build-offline-product";

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

    /// The project's name.
    pub(super) fn name(&self, context: &Context) -> anyhow::Result<ProjectName> {
        match self {
            Source::Host(source) => create_workdir_from_host::name_of(
                source,
                &context.host.absolute(&source.project_dir),
            ),
            Source::Container(source) => create_workdir_from_container::name_of(source),
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
    /// The GPUs that the containers get.
    pub gpus: Option<Gpus>,
    /// How the engine reaches the product.
    pub transfer: Transfer,
    /// The directory of workdirs, where no place for the workdir was named.
    pub workdirs: Option<PathBuf>,
    /// The archive that the product is packed into when it has passed.
    pub archive: Option<Arc<dyn ProductArchive>>,
    /// The options that a manifest can set, for a dry run to show.
    pub options: Vec<OptionValue>,
}

/// An option, and where its values are from.
#[derive(Debug, Clone)]
pub struct OptionValue {
    /// The option, as it is typed.
    pub option: &'static str,
    /// Its values; none when it was not given.
    pub values: Vec<OsString>,
    /// Where they are from.
    pub origin: OptionOrigin,
}

/// Where the value of an option is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionOrigin {
    /// The command line.
    CommandLine,
    /// The settings in this manifest.
    Manifest(String),
    /// It was not given.
    Default,
}

impl fmt::Display for OptionOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OptionOrigin::CommandLine => "command line",
            OptionOrigin::Manifest(manifest) => manifest,
            OptionOrigin::Default => "default",
        })
    }
}

/// An archive that a product can be packed into. It was checked before anything began that its place is free.
pub trait ProductArchive: fmt::Debug {
    /// Where it goes.
    fn file(&self) -> &Path;

    /// The list of checksums of what is carried: of the archive, or of its parts.
    fn list(&self) -> PathBuf;

    /// The command line that packs the product in this directory, for a person to paste.
    fn command_line(&self, product: &Path) -> String;

    /// Packs the product in this directory.
    ///
    /// # Errors
    ///
    /// When the product is not as it lists itself, or the archive cannot be written.
    fn pack(&self, product: &Path, context: &Context) -> anyhow::Result<()>;
}

impl OfflineProductRequest {
    /// The same with the workdir where it is when none was named: below the current
    /// directory, in the same place on each run, so that its package cache is used again.
    ///
    /// # Errors
    ///
    /// Exit code 2 when the project has no name.
    pub(super) fn with_workdir(&self, context: &Context) -> anyhow::Result<OfflineProductRequest> {
        let mut request = self.clone();
        if request.source.build().workdir.is_none() {
            let name = request.source.name(context)?;
            let workdir = Workdir::of_project(&context.host.current_dir, &name);
            request.workdirs = workdir.path().parent().map(Path::to_owned);
            let build = match &mut request.source {
                Source::Host(source) => &mut source.build,
                Source::Container(source) => &mut source.build,
            };
            build.workdir = Some(workdir.path().to_owned());
        }
        Ok(request)
    }
}

pub(super) fn asked_out_dir(request: &OfflineProductRequest, workdir: &Path) -> PathBuf {
    request
        .out_dir
        .clone()
        .unwrap_or_else(|| Workdir::new(workdir).verification_logs())
}

pub(super) fn asked_workdir(request: &OfflineProductRequest, context: &Context) -> Workdir {
    let asked = request.source.build().workdir.as_ref();
    let dir = asked.expect("with_workdir has set one");
    Workdir::new(context.host.absolute(dir))
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
