//! The command line of `build-offline-product`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgGroup, Parser};
use pack_product::ArchiveOptions;
use pixi_offline::commands::build_offline_product::{
    self as step, OfflineProductRequest, ProductArchive, ProductChoices, Source,
};
use pixi_offline::commands::create_workdir_from_container;
use pixi_offline::commands::create_workdir_from_host;
use pixi_offline::commands::make_product::BundlePixi;
use pixi_offline::context::Context;
use pixi_offline::failure::Failure;
use pixi_offline::layout::{CONTAINER_WORKDIR, WORKDIR_IN_CONTAINER};
use pixi_offline::project::Generated;
use pixi_offline::report::{Format, Phases, Report, Verbosity};
use pixi_offline::request::{
    BuildOptions, CacheOption, ContainerId, ImageReference, OFFICIAL_IMAGE, PlatformOptions,
    ProductOptions, SigningOptions, SourcePlace, TransferOptions,
};

/// The end of the help; each command line in it is parsed by a test.
const EXAMPLES: &str = r"Examples:
  # a project on this machine, with a task `smoke` that shows that it works
  $ build-offline-product weather --verify-task smoke

  # the same, first only looked at
  $ build-offline-product weather --verify-task smoke --dry-run

  # with data, another environment, and a command as the verification
  $ build-offline-product weather --resources-dir data --output products/weather \
      -e prod --expect-output 'all fine' \
      --verify-environment prod --verify-run -- python -m weather --self-test

  # a project in a running container
  $ build-offline-product --container-id weather-box \
      --project-path-in-container /srv/weather --verify-task smoke";

/// Make a Pixi project installable where no network is, and prove it: stage,
/// build and verify with a network, make the product, verify it without one.
#[derive(Debug, Parser)]
#[command(name = "build-offline-product", version, max_term_width = 100, after_help = EXAMPLES)]
#[command(group(ArgGroup::new("source").args(["project", "project_dir", "container_id"])))]
pub struct Options {
    /// The Pixi project: a directory with pixi.toml, pyproject.toml or mojoproject.toml [default:
    /// the current directory]
    #[arg(value_name = "DIR")]
    pub project: Option<PathBuf>,

    /// The Pixi project: the same as DIR
    #[arg(long, value_name = "DIR", help_heading = "Project")]
    pub project_dir: Option<PathBuf>,

    /// The running container that the project is in, by name or id
    #[arg(
        long,
        value_name = "CONTAINER",
        requires = "project_path_in_container",
        help_heading = "Project"
    )]
    pub container_id: Option<OsString>,

    /// The Pixi project in the container
    #[arg(
        long,
        value_name = "DIR",
        requires = "container_id",
        help_heading = "Project"
    )]
    pub project_path_in_container: Option<PathBuf>,

    /// A directory above the project: what the project needs of it is staged, too
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "container_id",
        help_heading = "Project"
    )]
    pub source_root: Option<PathBuf>,

    /// A directory in the container above the project
    #[arg(
        long,
        value_name = "DIR",
        requires = "container_id",
        help_heading = "Project"
    )]
    pub source_root_in_container: Option<PathBuf>,

    /// A directory of data that is packed with the project, copied whole
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "container_id",
        help_heading = "Project"
    )]
    pub resources_dir: Option<PathBuf>,

    /// A directory of data in the container that is packed with the project
    #[arg(
        long,
        value_name = "DIR",
        requires = "container_id",
        help_heading = "Project"
    )]
    pub resources_path_in_container: Option<PathBuf>,

    /// An image that has pixi and bash [default: $PIXI_IMAGE, else ghcr.io/prefix-dev/pixi:0.77.0;
    /// with --container-id its own]
    #[arg(long, help_heading = "Container engine")]
    pub image: Option<OsString>,

    /// Where the workdir is in the container [default: /workdir, with --container-id
    /// /tmp/pixi-offline-workdir]
    #[arg(long, value_name = "PATH", help_heading = "Container engine")]
    pub container_workdir_path: Option<OsString>,

    /// Delete the work directory inside the container when done
    #[arg(long, requires = "container_id", help_heading = "Container engine")]
    pub clean: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub build: BuildOptions,

    /// Start with an empty package cache, also where WORKDIR has one
    #[arg(long, conflicts_with = "reuse_cache", help_heading = "Workdir")]
    pub fresh: bool,

    /// Where the logs of the final verification go [default: WORKDIR/proof]
    #[arg(long, value_name = "DIR", help_heading = "Workdir")]
    pub out_dir: Option<PathBuf>,

    /// Leave pixi out of the product, so that the target needs one; without this option the
    /// product includes the pixi of the build
    #[arg(long, conflicts_with = "bundle_pixi", help_heading = "Product")]
    pub no_bundle_pixi: bool,

    /// Pack the files too that the install or the verification made in the project
    #[arg(long, help_heading = "Product")]
    pub keep_generated: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub product: ProductOptions,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub signing: SigningOptions,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub archive: ArchiveOptions,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub platform: PlatformOptions,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub transfer: TransferOptions,

    /// Hand ARG to the engine's `run` for the build container (repeatable)
    #[arg(
        long,
        value_name = "ARG",
        help_heading = "Container engine",
        conflicts_with = "container_id"
    )]
    pub engine_arg: Vec<OsString>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub show: ShowOptions,
}

/// What is shown, and whether anything is done.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is shown")]
pub struct ShowOptions {
    /// Show the plan, touch nothing, start nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Say which pattern keeps or drops PATH of the project, and do nothing else
    #[arg(long, value_name = "PATH", conflicts_with = "dry_run")]
    pub explain: Option<PathBuf>,

    /// What goes to stdout: lines for people, or one JSON object for each phase
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub format: Format,

    /// Show warnings and errors only
    #[arg(long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Show what runs in the containers too
    #[arg(long)]
    pub verbose: bool,
}

impl ShowOptions {
    fn report(&self, context: &Context) -> Report {
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        Report::in_phases(Phases::new(self.format, verbosity, context.host.may_draw))
    }
}

impl Options {
    fn request(self, context: &Context) -> anyhow::Result<OfflineProductRequest> {
        let image = self.image.as_deref().map(ImageReference::new).transpose()?;
        let archive = self.archive.plan(&self.signing, context)?;
        let product = ProductChoices {
            variables: self.product.variables()?,
            contact: self.product.contact()?,
            output: self.product.output,
            generated: match self.keep_generated {
                true => Generated::Keep,
                false => Generated::Drop,
            },
            deep: self.product.deep,
            full_cache: self.product.cache == CacheOption::Full,
            bundle_pixi: match (self.product.bundle_pixi, self.no_bundle_pixi) {
                (true, _) => BundlePixi::Required,
                (false, true) => BundlePixi::No,
                (false, false) => BundlePixi::WherePresent,
            },
            link_mode: self.product.link_mode,
            move_cache: self.product.move_cache,
            signing: self.signing,
            force: self.build.workdir.force,
        };
        let platform = self.platform.parse()?;
        if platform.is_some() && self.container_id.is_some() {
            return Err(Failure::usage(
                "--container-platform is for --project-dir: the platform of --container-id is that of its container; leave it out",
            ));
        }
        let container_workdir = self.container_workdir_path;
        let build = |default: &str| {
            let path = container_workdir.as_deref().unwrap_or(default.as_ref());
            let here = self.source_root.map(|dir| (SourcePlace::Host, dir));
            let there = self.source_root_in_container;
            let there = there.map(|dir| (SourcePlace::Container, dir));
            let mut build = self.build.request(path, here.or(there))?;
            build.reuse_cache = !self.fresh;
            anyhow::Ok(build)
        };
        let project = self.project.or(self.project_dir);
        let source = match (
            project.or_else(|| self.container_id.is_none().then(|| ".".into())),
            self.container_id,
            self.project_path_in_container,
        ) {
            (Some(project_dir), None, None) => {
                Source::Host(create_workdir_from_host::HostBuildRequest {
                    image: match (&image, &context.host.pixi_image) {
                        (Some(image), _) => image.clone(),
                        (None, Some(image)) => ImageReference::new(image)?,
                        (None, None) => ImageReference::new(OFFICIAL_IMAGE.as_ref())?,
                    },
                    platform,
                    project_dir,
                    resources_dir: self.resources_dir,
                    engine_arguments: self.engine_arg,
                    build: build(CONTAINER_WORKDIR)?,
                    transfer: self.transfer.transfer,
                })
            }
            (None, Some(container), Some(project)) => {
                Source::Container(create_workdir_from_container::ContainerBuildRequest {
                    container: ContainerId::new(&container)?,
                    project,
                    resources: self.resources_path_in_container,
                    clean: self.clean,
                    build: build(WORKDIR_IN_CONTAINER)?,
                })
            }
            _ => {
                return Err(Failure::usage(
                    "give DIR, the project, or --container-id with --project-path-in-container",
                ));
            }
        };
        Ok(OfflineProductRequest {
            source,
            image,
            product,
            out_dir: self.out_dir,
            transfer: self.transfer.transfer,
            workdirs: None,
            archive: archive.map(|plan| Arc::new(plan) as Arc<dyn ProductArchive>),
        })
    }
}

/// Runs the command.
///
/// # Errors
///
/// Those of the step.
pub fn run(options: Options, context: &Context) -> anyhow::Result<()> {
    let context = &context.with_report(options.show.report(context));
    if options.build.engine.plain_output {
        context.report.show_plainly();
    }
    let (dry_run, explain) = (options.show.dry_run, options.show.explain.clone());
    let request = options.request(context)?;
    match explain {
        Some(path) => step::explain(&path, &request, context),
        None if dry_run => step::dry_run(&request, context),
        None => step::run(&request, context),
    }
}
