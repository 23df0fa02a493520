//! The command line of `create-workdir-from-host`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use pixi_offline::commands::create_workdir_from_host::{self as step, HostBuildRequest};
use pixi_offline::commands::take_from_here;
use pixi_offline::context::Context;
use pixi_offline::layout::CONTAINER_WORKDIR;
use pixi_offline::request::{
    BuildOptions, ContainerOptions, ImageReference, NetworkOptions, SourcePlace, VerbosityOptions,
};

/// The end of the help; each command line in it is parsed by a test.
const EXAMPLES: &str = r"Examples:
  $ create-workdir-from-host --image ghcr.io/prefix-dev/pixi:0.77.0 \
      --project-dir weather --workdir work --verify-task smoke

  # with data, a proxy and the company's certificate authority, notebooks left out, and a command as the verification
  $ create-workdir-from-host --image ghcr.io/prefix-dev/pixi:0.77.0 \
      --project-dir weather --resources-dir data --workdir work --exclude '*.ipynb' \
      --container-env HTTPS_PROXY=http://proxy.example:3128 --ca-cert company.pem \
      --verify-run -- python -m weather --self-test";

/// Stage a Pixi project from this machine, install it in a container with
/// network, verify it there, and keep everything in WORKDIR.
#[derive(Debug, Parser)]
#[command(name = "create-workdir-from-host", version, max_term_width = 100, after_help = EXAMPLES)]
#[allow(missing_docs, reason = "a flattened group has its own")]
pub struct Options {
    /// An image that has pixi
    #[arg(long)]
    pub image: OsString,

    /// The Pixi project: a directory with pixi.toml, pyproject.toml or mojoproject.toml
    #[arg(long, value_name = "DIR")]
    pub project_dir: PathBuf,

    /// A directory above the project: what the project needs of it is staged, too
    #[arg(long, value_name = "DIR")]
    pub source_root: Option<PathBuf>,

    /// Where the workdir is mounted in the container
    #[arg(long, value_name = "PATH", default_value = CONTAINER_WORKDIR)]
    pub container_workdir_path: OsString,

    /// A directory of data that is packed with the project, copied whole
    #[arg(long, value_name = "DIR")]
    pub resources_dir: Option<PathBuf>,

    #[command(flatten)]
    pub build: BuildOptions,

    #[command(flatten)]
    pub container: ContainerOptions,

    #[command(flatten)]
    pub network: NetworkOptions,

    /// Pass ARG to the engine's `run` for the build container (repeatable)
    #[arg(long, value_name = "ARG", help_heading = "Container engine")]
    pub engine_arg: Vec<OsString>,

    #[command(flatten)]
    pub verbosity: VerbosityOptions,
}

impl TryFrom<Options> for HostBuildRequest {
    type Error = anyhow::Error;

    fn try_from(options: Options) -> anyhow::Result<HostBuildRequest> {
        Ok(HostBuildRequest {
            image: ImageReference::new(&options.image)?,
            platform: options.container.platform()?,
            project_dir: options.project_dir,
            resources_dir: options.resources_dir,
            build: options.build.request(
                &options.container_workdir_path,
                options.source_root.map(|dir| (SourcePlace::Host, dir)),
            )?,
            transfer: options.container.transfer,
            // This command passes no variable on that it was not told to.
            network: options.network.request(false),
            gpus: options.container.gpus.parse()?,
            engine_arguments: options.engine_arg,
        })
    }
}

/// Runs the command.
///
/// # Errors
///
/// The errors of the step.
pub fn run(mut options: Options, context: &Context) -> anyhow::Result<()> {
    context.report.show(options.verbosity.parse());
    if options.build.engine.plain_output {
        context.report.show_plainly();
    }
    take_from_here(&mut options.build, context)?;
    step::run(&HostBuildRequest::try_from(options)?, context).map(drop)
}
