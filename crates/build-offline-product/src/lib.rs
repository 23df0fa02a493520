//! The command line of `build-offline-product`.

mod settings;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Arg, ArgGroup, Parser};
use pack_product::ArchiveOptions;
use pixi_offline::commands::build_offline_product::{
    self as step, OfflineProductRequest, ProductArchive, Source,
};
use pixi_offline::commands::create_workdir_from_container::ContainerBuildRequest;
use pixi_offline::commands::create_workdir_from_host::HostBuildRequest;
use pixi_offline::commands::make_product::{BundlePixi, ProductChoices};
use pixi_offline::commands::take_from_here;
use pixi_offline::context::Context;
use pixi_offline::failure::Failure;
use pixi_offline::layout::{CONTAINER_WORKDIR, WORKDIR_IN_CONTAINER};
use pixi_offline::project::Generated;
use pixi_offline::report::{Format, Phases, Report};
use pixi_offline::request::{
    BuildOptions, BuildRequest, ContainerId, ContainerOptions, Gpus, ImageReference,
    NetworkOptions, OFFICIAL_IMAGE, PreviousOptions, ProductOptions, SigningOptions, SourcePlace,
    VerbosityOptions, one, require_task_name,
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

/// The end of the short help.
const FIRST_EXAMPLES: &str = r"Examples:
  $ build-offline-product weather --verify-task smoke
  $ build-offline-product weather --verify-task smoke --dry-run
  $ build-offline-product weather --exclude '*.md' --archive weather.tar.zst -- python -m weather";

/// The options of the short help; `--help` has all.
const EVERYDAY: [&str; 12] = [
    "source_root",
    "resources_dir",
    "image",
    "workdir",
    "exclude",
    "environment",
    "verify_task",
    "expect_output",
    "archive",
    "dry_run",
    "quiet",
    "verbose",
];

/// Leaves an option that is not for every day out of the short help, and one that has no effect
/// here out of both.
fn in_short_help(option: Arg) -> Arg {
    let id = option.get_id().as_str();
    let (is_everyday, has_no_effect) = (EVERYDAY.contains(&id), id == "reuse_cache");
    let option = match id {
        "workdir" => option.help("Where build, logs and product go; what is there is replaced [default: .pixi-offline/NAME below the current directory]"),
        _ => option,
    };
    match option.is_positional() {
        true => option,
        false => option.hide_short_help(!is_everyday).hide(has_no_effect),
    }
}

/// Package a Pixi project for an air-gapped machine: stage, build and verify it with a
/// network, make the product, and verify that without a network.
#[derive(Debug, Parser)]
#[command(
    name = "build-offline-product",
    version,
    max_term_width = 100,
    after_help = FIRST_EXAMPLES,
    after_long_help = EXAMPLES,
    mut_args(in_short_help)
)]
#[command(group(ArgGroup::new("source").args(["project", "project_dir", "container_id"])))]
#[allow(missing_docs, reason = "a flattened group has its own")]
pub struct Options {
    /// The Pixi project: a directory with pixi.toml, pyproject.toml or mojoproject.toml [default:
    /// the current directory]
    #[arg(value_name = "DIR")]
    pub project: Option<PathBuf>,

    #[command(flatten)]
    pub source: SourceOptions,

    /// An image that has pixi and bash [default: $PIXI_IMAGE, else ghcr.io/prefix-dev/pixi:0.77.0;
    /// with --container-id its own]
    #[arg(long, help_heading = "Container engine")]
    pub image: Option<OsString>,

    /// Where the workdir is in the container [default: /workdir, with --container-id
    /// /tmp/pixi-offline-workdir]
    #[arg(long, value_name = "PATH", help_heading = "Container engine")]
    pub container_workdir_path: Option<OsString>,

    /// Delete the work directory inside the container when done
    #[arg(
        long,
        visible_alias = "remove-container-workdir",
        requires = "container_id",
        help_heading = "Container engine"
    )]
    pub clean: bool,

    #[command(flatten)]
    pub build: BuildOptions,

    /// Start with an empty package cache, also where WORKDIR has one
    #[arg(
        long,
        visible_alias = "no-cache",
        conflicts_with = "reuse_cache",
        help_heading = "Workdir"
    )]
    pub fresh: bool,

    /// Where the logs of the final verification go [default: WORKDIR/proof]
    #[arg(
        long,
        visible_alias = "logs-dir",
        value_name = "DIR",
        help_heading = "Workdir"
    )]
    pub out_dir: Option<PathBuf>,

    /// Leave pixi out of the product, so that the target needs one; without this option the
    /// product includes the pixi of the build
    #[arg(long, conflicts_with = "bundle_pixi", help_heading = "Product")]
    pub no_bundle_pixi: bool,

    /// Also pack the files that the installation or the verification made in the project
    #[arg(long, help_heading = "Product")]
    pub keep_generated: bool,

    #[command(flatten)]
    pub product: ProductOptions,

    #[command(flatten)]
    pub signing: SigningOptions,

    #[command(flatten)]
    pub previous: PreviousOptions,

    #[command(flatten)]
    pub archive: ArchiveOptions,

    #[command(flatten)]
    pub container: ContainerOptions,

    #[command(flatten)]
    pub network: NetworkOptions,

    /// Keep the proxies of this environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY) from the
    /// build, which gets them otherwise
    #[arg(
        long,
        conflicts_with = "container_id",
        help_heading = "Network of the build"
    )]
    pub no_proxies: bool,

    /// Pass ARG to the engine's `run` for the build container (repeatable)
    #[arg(
        long,
        value_name = "ARG",
        help_heading = "Container engine",
        conflicts_with = "container_id"
    )]
    pub engine_arg: Vec<OsString>,

    #[command(flatten)]
    pub show: ShowOptions,
}

/// The project, on this machine or in a running container.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Project")]
pub struct SourceOptions {
    /// The Pixi project: the same as DIR
    #[arg(long, value_name = "DIR")]
    pub project_dir: Option<PathBuf>,

    /// The running container that the project is in, by name or id
    #[arg(long, value_name = "CONTAINER", requires = "project_path_in_container")]
    pub container_id: Option<OsString>,

    /// The Pixi project in the container
    #[arg(long, value_name = "DIR", requires = "container_id")]
    pub project_path_in_container: Option<PathBuf>,

    /// A directory above the project: what the project needs of it is staged, too
    #[arg(long, value_name = "DIR", conflicts_with = "container_id")]
    pub source_root: Option<PathBuf>,

    /// A directory in the container above the project
    #[arg(long, value_name = "DIR", requires = "container_id")]
    pub source_root_in_container: Option<PathBuf>,

    /// A directory of data that is packed with the project, copied whole
    #[arg(long, value_name = "DIR", conflicts_with = "container_id")]
    pub resources_dir: Option<PathBuf>,

    /// A directory of data in the container that is packed with the project
    #[arg(long, value_name = "DIR", requires = "container_id")]
    pub resources_path_in_container: Option<PathBuf>,

    /// Take nothing from the table [tool.pixi-offline] of the project's manifest
    #[arg(long)]
    pub no_settings: bool,
}

/// What is shown, and whether anything is done.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
#[allow(missing_docs, reason = "a flattened group has its own")]
pub struct ShowOptions {
    /// Show the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Show which pattern includes or excludes PATH of the project, and do nothing else
    #[arg(
        long,
        visible_alias = "explain-exclude",
        value_name = "PATH",
        conflicts_with = "dry_run"
    )]
    pub explain: Option<PathBuf>,

    /// What goes to stdout: lines for people, or one JSON object for each phase
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub format: Format,

    #[command(flatten)]
    pub verbosity: VerbosityOptions,
}

impl ShowOptions {
    fn report(&self, context: &Context) -> Report {
        let verbosity = self.verbosity.parse();
        Report::in_phases(Phases::new(self.format, verbosity, context.host.may_draw))
    }
}

impl Options {
    /// Requires that nothing is asked of the caller's container that it has by itself.
    fn require_of_container(&self) -> anyhow::Result<()> {
        let Some(container) = &self.source.container_id else {
            return Ok(());
        };
        if self.container.container_platform.is_some() {
            return Err(Failure::usage(
                "--container-platform is for --project-dir: the platform of --container-id is that of its container; leave it out",
            ));
        }
        if self.network.is_given() {
            return Err(Failure::usage(format!(
                "--ca-cert and --auth-file are for a project on this machine: the container {0} has settings of its own. Put the file there (`docker cp auth.json {0}:/auth.json`) and name it with --container-env RATTLER_AUTH_FILE=/auth.json, or NETRC, or SSL_CERT_FILE for certificates",
                container.display()
            )));
        }
        Ok(())
    }

    fn request(mut self, context: &Context) -> anyhow::Result<OfflineProductRequest> {
        self.require_of_container()?;
        take_from_here(&mut self.build, context)?;
        let options = settings::take(&mut self, context)?;
        if let Some(task) = &self.build.verify.verify_task {
            require_task_name(task)?;
        }
        let image = one(&self.image, ImageReference::new)?;
        let archive = self
            .archive
            .plan(&self.signing, self.build.workdir.force, context)?;
        let product = self.choices()?;
        let gpus = self.container.gpus.parse()?;
        let source = match (
            &self.source.container_id,
            &self.source.project_path_in_container,
        ) {
            (None, None) => {
                Source::Host(self.on_this_machine(image.as_ref(), gpus.clone(), context)?)
            }
            (Some(container), Some(project)) => {
                Source::Container(self.in_container(container, project)?)
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
            gpus,
            transfer: self.container.transfer,
            workdirs: None,
            options,
            archive: archive.map(|plan| Arc::new(plan) as Arc<dyn ProductArchive>),
        })
    }

    /// What goes into the product.
    fn choices(&self) -> anyhow::Result<ProductChoices> {
        let mut choices = ProductChoices {
            generated: match self.keep_generated {
                true => Generated::Keep,
                false => Generated::Drop,
            },
            signing: self.signing.clone(),
            previous: self.previous.clone(),
            force: self.build.workdir.force,
            ..ProductChoices::new(self.product.clone())?
        };
        if !self.product.bundle_pixi && !self.no_bundle_pixi {
            choices.bundle_pixi = BundlePixi::WherePresent;
        }
        Ok(choices)
    }

    /// The build of a project on this machine.
    fn on_this_machine(
        &self,
        image: Option<&ImageReference>,
        gpus: Option<Gpus>,
        context: &Context,
    ) -> anyhow::Result<HostBuildRequest> {
        let project = self.project.as_ref().or(self.source.project_dir.as_ref());
        let root = self.source.source_root.clone();
        Ok(HostBuildRequest {
            platform: self.container.platform()?,
            image: match (image, &context.host.pixi_image) {
                (Some(image), _) => image.clone(),
                (None, Some(image)) => ImageReference::new(image)?,
                (None, None) => ImageReference::new(OFFICIAL_IMAGE.as_ref())?,
            },
            project_dir: project.map_or_else(|| ".".into(), PathBuf::clone),
            resources_dir: self.source.resources_dir.clone(),
            network: self.network.clone().request(!self.no_proxies),
            gpus,
            engine_arguments: self.engine_arg.clone(),
            build: self.build(CONTAINER_WORKDIR, root.map(|dir| (SourcePlace::Host, dir)))?,
            transfer: self.container.transfer,
        })
    }

    /// The build of a project in a running container.
    fn in_container(
        &self,
        container: &OsStr,
        project: &Path,
    ) -> anyhow::Result<ContainerBuildRequest> {
        let root = self.source.source_root_in_container.clone();
        let root = root.map(|dir| (SourcePlace::Container, dir));
        Ok(ContainerBuildRequest {
            container: ContainerId::new(container)?,
            project: project.to_owned(),
            resources: self.source.resources_path_in_container.clone(),
            clean: self.clean,
            build: self.build(WORKDIR_IN_CONTAINER, root)?,
        })
    }

    /// What both builds are asked for.
    fn build(
        &self,
        default: &str,
        root: Option<(SourcePlace, PathBuf)>,
    ) -> anyhow::Result<BuildRequest> {
        let path = self.container_workdir_path.as_deref();
        let build = self.build.clone();
        Ok(BuildRequest {
            reuse_cache: !self.fresh,
            ..build.request(path.unwrap_or(default.as_ref()), root)?
        })
    }
}

/// Runs the command.
///
/// # Errors
///
/// The errors of the step.
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
