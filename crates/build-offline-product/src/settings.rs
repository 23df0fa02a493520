//! The options of the command line, and where these say nothing, those of the manifest.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use pixi_offline::commands::build_offline_product::{OptionOrigin, OptionValue};
use pixi_offline::context::Context;
use pixi_offline::project::Settings;

use crate::Options;

/// Takes the settings of the project's manifest where the command line says nothing, and gives
/// each option that can be set with where it is from.
///
/// A verification is one setting, whatever it consists of: the command line's replaces it whole.
/// So are the environments, and a source root with what is taken of it.
pub(crate) fn take(options: &mut Options, context: &Context) -> anyhow::Result<Vec<OptionValue>> {
    let given = values(options);
    let settings = match options.source.container_id {
        None if !options.source.no_settings => read(options, context)?,
        _ => None,
    };
    let Some(settings) = settings else {
        return Ok(with_origins(values(options), &given, None));
    };
    let origin = settings.origin();
    apply(options, settings);
    let all = with_origins(values(options), &given, Some(&origin));
    let used: Vec<&str> = all
        .iter()
        .filter(|value| matches!(value.origin, OptionOrigin::Manifest(_)))
        .map(|value| value.option)
        .collect();
    if !used.is_empty() {
        context.report.note(format_args!(
            "{origin} sets {}; --dry-run shows the values, --no-settings leaves them out",
            used.join(", ")
        ));
    }
    Ok(all)
}

fn read(options: &Options, context: &Context) -> anyhow::Result<Option<Settings>> {
    let project = options
        .project
        .as_ref()
        .or(options.source.project_dir.as_ref());
    let project = context
        .host
        .absolute(project.map_or(Path::new("."), PathBuf::as_path));
    let command = Options::command();
    let is_option = |key: &str| {
        let mut options = command.get_arguments();
        options.any(|option| option.get_long() == Some(key))
    };
    let Some(mut settings) = Settings::read(&project, is_option)? else {
        return Ok(None);
    };
    // What the command line replaces must not be looked at: it may be what is wrong.
    if options.source.source_root.is_some() {
        settings.source_root = None;
        settings.also = Vec::new();
        settings.whole_root = false;
    }
    if options.source.resources_dir.is_some() {
        settings.resources_dir = None;
    }
    let root = options.source.source_root.as_ref();
    let root = root.map(|root| context.host.absolute(root));
    settings.resolve(&project, root.as_deref(), context)?;
    Ok(Some(settings))
}

fn apply(options: &mut Options, settings: Settings) {
    let build = &mut options.build;
    let or = |given: &mut Option<_>, set| *given = given.take().or(set);
    or(&mut options.source.resources_dir, settings.resources_dir);
    or(&mut options.source.source_root, settings.source_root);
    if build.root.also.is_empty() && !build.root.whole_root {
        build.root.also = settings.also;
        build.root.whole_root = settings.whole_root;
    }
    let excludes = &mut build.workdir.excludes;
    if excludes.exclude.is_empty() && excludes.exclude_from.is_empty() {
        excludes.exclude = settings.exclude;
    }
    let name = &mut build.workdir.project_name;
    *name = name.take().or(settings.project_name);
    let environments = &mut build.environments;
    if environments.environment.is_empty() && !environments.all_environments {
        environments.environment = settings.environment;
        environments.all_environments = settings.all_environments;
    }
    let verify = &mut build.verify;
    let is_given = verify.verify_task.is_some()
        || verify.verify_run
        || !verify.verify_args.is_empty()
        || verify.verify_environment.is_some()
        || !verify.expect_output.is_empty()
        || !verify.expect_file.is_empty();
    if !is_given {
        verify.verify_task = settings.verify_task;
        verify.verify_run = !settings.verify_run.is_empty();
        verify.verify_args = settings.verify_run;
        verify.verify_environment = settings.verify_environment;
        verify.expect_output = settings.expect_output;
        verify.expect_file = settings.expect_file;
    }
    let contact = &mut options.product.contact;
    *contact = contact.take().or(settings.contact);
    options.keep_generated |= settings.keep_generated;
}

/// The options that can be set, each with its values.
fn values(options: &Options) -> Vec<(&'static str, Vec<OsString>)> {
    let build = &options.build;
    let paths = |paths: &[PathBuf]| paths.iter().map(OsString::from).collect();
    let path = |path: &Option<PathBuf>| path.iter().map(OsString::from).collect();
    let text = |text: &Option<OsString>| text.iter().cloned().collect();
    let flag = |is_set: bool| is_set.then(|| OsString::from("true")).into_iter().collect();
    vec![
        ("--source-root", path(&options.source.source_root)),
        ("--also", paths(&build.root.also)),
        ("--whole-root", flag(build.root.whole_root)),
        ("--resources-dir", path(&options.source.resources_dir)),
        ("--project-name", text(&build.workdir.project_name)),
        ("--exclude", build.workdir.excludes.exclude.clone()),
        ("--environment", build.environments.environment.clone()),
        (
            "--all-environments",
            flag(build.environments.all_environments),
        ),
        ("--verify-task", text(&build.verify.verify_task)),
        ("--verify-run", build.verify.verify_args.clone()),
        (
            "--verify-environment",
            text(&build.verify.verify_environment),
        ),
        ("--expect-output", build.verify.expect_output.clone()),
        ("--expect-file", build.verify.expect_file.clone()),
        ("--contact", text(&options.product.contact)),
        ("--keep-generated", flag(options.keep_generated)),
    ]
}

/// The values with where each is from: `given` are those of the command line alone.
fn with_origins(
    values: Vec<(&'static str, Vec<OsString>)>,
    given: &[(&'static str, Vec<OsString>)],
    manifest: Option<&str>,
) -> Vec<OptionValue> {
    let both = values.into_iter().zip(given);
    both.map(|((option, values), (_, given))| OptionValue {
        option,
        origin: match manifest {
            _ if values.is_empty() => OptionOrigin::Default,
            Some(manifest) if values != *given => OptionOrigin::Manifest(manifest.to_owned()),
            _ => OptionOrigin::CommandLine,
        },
        values,
    })
    .collect()
}
