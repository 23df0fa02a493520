//! The command line of `make-archive-ready-product`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use pixi_offline::report::Report;
use pixi_offline::request::{ProductVariable, ProjectName, SecretOptions, SigningOptions};
use pixi_offline::staging::LinkMode;
use pixi_offline::steps::make_product::{self as step, Request};
use pixi_offline::surroundings::Surroundings;

/// Turn a built WORKDIR into WORKDIR/product: the folder that is carried to the
/// place without a network. Needs no container engine.
#[derive(Debug, Parser)]
#[command(name = "make-archive-ready-product", version, max_term_width = 100)]
pub struct Options {
    /// The workdir that create-workdir-from-… made
    #[arg(long, value_name = "DIR")]
    pub workdir: PathBuf,

    /// The project's name [default: the only folder below WORKDIR/project]
    #[arg(long, value_name = "NAME")]
    pub project_name: Option<OsString>,

    /// Have the product's envs.sh export this, byte for byte (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub env: Vec<OsString>,

    /// Leave out what matches this rsync pattern, besides .git/ .pixi/ .env and caches (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<OsString>,

    /// What of the package cache goes into the product: what the environments need, or everything
    #[arg(long, value_name = "WHAT", default_value = "needed", value_parser = ["needed", "full"])]
    pub cache: String,

    /// Compare every file of every package with the checksums that the packages carry
    #[arg(long)]
    pub deep: bool,

    /// Put the pixi of the build into the product, so that the target needs only bash and coreutils
    #[arg(long)]
    pub bundle_pixi: bool,

    /// How the package cache gets into the product. Beware of hardlink: product and workdir
    /// then share each file, and pixi shares it further with the environments, so a program
    /// that edits a file in an environment edits the cache, unnoticed
    #[arg(long, value_enum, value_name = "MODE", default_value_t = LinkMode::Auto)]
    pub link_mode: LinkMode,

    /// Move the package cache into the product, so that the workdir has none any more: no other
    /// product can be made of it
    #[arg(long, conflicts_with = "link_mode")]
    pub move_cache: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub secrets: SecretOptions,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub signing: SigningOptions,
}

impl TryFrom<Options> for Request {
    type Error = anyhow::Error;

    fn try_from(options: Options) -> anyhow::Result<Request> {
        Ok(Request {
            workdir: options.workdir,
            project_name: options
                .project_name
                .as_deref()
                .map(ProjectName::new)
                .transpose()?,
            variables: options
                .env
                .iter()
                .map(|text| ProductVariable::new(text))
                .collect::<anyhow::Result<_>>()?,
            excludes: options.exclude,
            secrets: options.secrets.meaning(),
            deep: options.deep,
            full_cache: options.cache == "full",
            bundle_pixi: options.bundle_pixi,
            link_mode: options.link_mode,
            move_cache: options.move_cache,
            signing: options.signing,
        })
    }
}

/// Runs the command.
///
/// # Errors
///
/// Those of the step.
pub fn run(options: Options, surroundings: &Surroundings, report: &Report) -> anyhow::Result<()> {
    step::run(&Request::try_from(options)?, surroundings, report)
}
