//! The command line of `create-workdir-from-container`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use pixi_offline::commands::create_workdir_from_container::{self as step, ContainerBuildRequest};
use pixi_offline::commands::take_from_here;
use pixi_offline::context::Context;
use pixi_offline::layout::WORKDIR_IN_CONTAINER;
use pixi_offline::request::{BuildOptions, ContainerId, SourcePlace, VerbosityOptions};

/// The end of the help; each command line in it is parsed by a test.
const EXAMPLES: &str = r"Examples:
  $ create-workdir-from-container --container-id weather-box \
      --project-path-in-container /srv/weather --workdir work --verify-task smoke

  # with data, and nothing left behind in the container
  $ create-workdir-from-container --container-id weather-box \
      --project-path-in-container /srv/weather --resources-path-in-container /srv/data \
      --workdir work --clean --verify-task smoke";

/// Stage a Pixi project that is in a running container, install and verify it
/// there, and copy the result to WORKDIR on this machine.
///
/// The container keeps running; only the container path in it is changed.
#[derive(Debug, Parser)]
#[command(name = "create-workdir-from-container", version, max_term_width = 100, after_help = EXAMPLES)]
#[allow(missing_docs, reason = "a flattened group has its own")]
pub struct Options {
    /// The running container, by name or id; it has a shell, coreutils and pixi
    #[arg(long, value_name = "CONTAINER")]
    pub container_id: OsString,

    /// The Pixi project in the container: a directory with pixi.toml, pyproject.toml or mojoproject.toml
    #[arg(long, value_name = "DIR")]
    pub project_path_in_container: PathBuf,

    /// A directory in the container above the project: what the project needs of it is staged, too
    #[arg(long, value_name = "DIR")]
    pub source_root_in_container: Option<PathBuf>,

    /// Working directory inside the container; created
    #[arg(long, value_name = "PATH", default_value = WORKDIR_IN_CONTAINER)]
    pub container_workdir_path: OsString,

    /// A directory of data in the container that is packed with the project, copied whole
    #[arg(long, value_name = "DIR")]
    pub resources_path_in_container: Option<PathBuf>,

    /// Delete the work directory inside the container when done
    #[arg(long, visible_alias = "remove-container-workdir")]
    pub clean: bool,

    #[command(flatten)]
    pub build: BuildOptions,

    #[command(flatten)]
    pub verbosity: VerbosityOptions,
}

impl TryFrom<Options> for ContainerBuildRequest {
    type Error = anyhow::Error;

    fn try_from(options: Options) -> anyhow::Result<ContainerBuildRequest> {
        Ok(ContainerBuildRequest {
            container: ContainerId::new(&options.container_id)?,
            project: options.project_path_in_container,
            resources: options.resources_path_in_container,
            clean: options.clean,
            build: options.build.request(
                &options.container_workdir_path,
                options
                    .source_root_in_container
                    .map(|dir| (SourcePlace::Container, dir)),
            )?,
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
    step::run(&ContainerBuildRequest::try_from(options)?, context).map(drop)
}
