//! What a dry run shows of the plan that a run would execute.

use std::ffi::OsStr;

use serde_json::{Value, json};

use super::request::{OfflineProductRequest, OptionOrigin, OptionValue};
use super::requests::planned_verification;
use super::source_plan::SourcePlan;
use crate::byte_size::ByteSize;
use crate::commands::create_workdir_from_container::ContainerBuildPlan;
use crate::commands::create_workdir_from_host::HostBuildPlan;
use crate::commands::environment_selection::EnvironmentSelection;
use crate::commands::final_verify_product::{self, VerifyRequest};
use crate::container::Engine;
use crate::context::Context;
use crate::counted;
use crate::packages::{Inventory, Subdir, subdir_of_image};
use crate::project::inspection::ProjectInspection;
use crate::project::source_tree::SourceTree;
use crate::quote::{pasteable, pasteable_line};
use crate::request::{BuildRequest, SecretAction, SourceRoot};
use crate::staging::{Size, Survey};
use crate::workspace::pixi_check::PixiCheck;

/// What a product takes beside the packages, in times of what is staged: the
/// staged project and its copy in the product.
const COPIES: u64 = 2;

/// Shows what a build and a verification are planned to do.
///
/// # Errors
///
/// As the build, for what can be known without it.
pub(super) fn show(
    source: &SourcePlan<'_>,
    request: &OfflineProductRequest,
    context: &Context,
) -> anyhow::Result<()> {
    let mut plan = match source {
        SourcePlan::Host(build) => of_host(build, request, context)?,
        SourcePlan::Container(build) => of_container(build, request, context)?,
    };
    say_options(&mut plan, &request.options);
    let PlanText { facts, lines, .. } = plan;
    context.report.print_document("plan", &facts, &lines);
    Ok(())
}

/// A plan, for programs and for people.
struct PlanText {
    facts: Value,
    lines: Vec<String>,
    /// Whether people see the engine's command lines, which programs always get.
    shows_commands: bool,
}

impl PlanText {
    fn say(&mut self, line: String) {
        self.lines.push(line);
    }

    fn verification(
        &mut self,
        planned: Option<VerifyRequest>,
        engine: &Engine,
        context: &Context,
    ) -> anyhow::Result<()> {
        if let Some(verify) = planned {
            let args = final_verify_product::planned_arguments(&verify, engine, context)?;
            self.command(engine, "the final verification, without a network", &args);
        }
        Ok(())
    }

    fn command(&mut self, engine: &Engine, what: &str, args: &[std::ffi::OsString]) {
        if self.shows_commands {
            let shown: Vec<String> = std::iter::once(OsStr::new(&engine.client()))
                .chain(args.iter().map(AsRef::as_ref))
                .map(shown_arg)
                .collect();
            self.say(format!("{what}:\n  {}", shown.join(" ")));
        }
        let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        if let Some(commands) = self.facts.as_object_mut().map(|facts| {
            facts
                .entry("commands")
                .or_insert_with(|| Value::Array(Vec::new()))
        }) && let Some(commands) = commands.as_array_mut()
        {
            commands.push(json!(args));
        }
    }
}

fn of_host(
    build: &HostBuildPlan<'_>,
    request: &OfflineProductRequest,
    context: &Context,
) -> anyhow::Result<PlanText> {
    build.warn_beyond_plan(context);
    let (project, selection) = (&build.project, &build.selection);
    let source = project.source.project();
    let workdir = build.place.workdir.path().display();
    let mut text = PlanText {
        facts: json!({
            "project": source.display().to_string(),
            "name": build.project_place.name.to_string(),
            "workdir": workdir.to_string(),
            "engine": build.version,
            "image": build.image,
        }),
        lines: Vec::new(),
        shows_commands: context.report.is_verbose(),
    };
    text.say(format!(
        "project {} ({}), into {workdir}",
        source.display(),
        build.project_place.name,
    ));
    let image = build.image.as_ref();
    let platform = image.and_then(|image| subdir_of_image(&image.platform));
    say_project(&mut text, project, &build.request.build);
    let download = say_packages(&mut text, selection, platform)?;
    say_check(&mut text, &build.ask_pixi()?);
    let staged = project.project_survey.size.bytes + project.resources_survey.size.bytes;
    let needed = COPIES * (staged + download) + build.place.helper.size().bytes;
    text.facts["disk_bytes_at_least"] = json!(needed);
    text.say(format!(
        "disk: at least {}, plus what unpacked packages take more than packed ones",
        ByteSize(needed)
    ));
    text.say(match image {
        Some(image) => format!("image {}: {}", image.reference, image.id),
        None => format!(
            "image {}: not on this engine, which fetches it",
            build.request.image
        ),
    });
    let arguments = build.build_arguments(context)?;
    text.command(&build.engine, "the build, with a network", &arguments);
    let name = &build.project_place.name;
    let planned = planned_verification(request, image, &build.place.workdir, name, context)?;
    text.verification(planned, &build.engine, context)?;
    Ok(text)
}

/// The agent looks in the container, as it does for the build, and is removed again.
fn of_container(
    build: &ContainerBuildPlan<'_>,
    request: &OfflineProductRequest,
    context: &Context,
) -> anyhow::Result<PlanText> {
    let (project, selection, check) = build.inspect(context)?;
    build.warn_beyond_plan(&project, &selection, context);
    let source = build.request;
    let workdir = build.place.workdir.path().display();
    let image = build.image.as_ref();
    let mut text = PlanText {
        facts: json!({
            "container": build.container.id(),
            "project": source.project.display().to_string(),
            "name": build.name.to_string(),
            "workdir": workdir.to_string(),
            "container_workdir": source.build.container_workdir.as_str(),
            "engine": build.version,
            "image": image,
        }),
        lines: Vec::new(),
        shows_commands: context.report.is_verbose(),
    };
    text.say(format!(
        "project {} ({}) in container {} of image {}, into {workdir}, built in {} there",
        source.project.display(),
        build.name,
        build.container.id(),
        image.map_or("unknown", |image| image.reference.as_str()),
        source.build.container_workdir
    ));
    say_project(&mut text, &project, &source.build);
    say_packages(&mut text, &selection, selection.platform)?;
    say_check(&mut text, &check);
    text.command(
        &build.engine,
        "the build, by a copy of this program in the container",
        &build.build_arguments(),
    );
    let planned = planned_verification(request, image, &build.place.workdir, &build.name, context)?;
    text.verification(planned, &build.engine, context)?;
    Ok(text)
}

/// Says what is copied, and what in it looks like a secret.
fn say_project(plan: &mut PlanText, inspection: &ProjectInspection, request: &BuildRequest) {
    let project = &inspection.project_survey;
    let resources = &inspection.resources_survey;
    say_staged(plan, project);
    say_warnings(plan, "project", project);
    plan.facts["resources"] = size_facts(resources.size);
    if resources.size.entries > 0 {
        plan.say(format!(
            "resources: {}, {}",
            counted::entries(resources.size.entries),
            ByteSize(resources.size.bytes)
        ));
    }
    say_warnings(plan, "resources", resources);
    let secrets: Vec<String> = inspection.secrets.iter().map(ToString::to_string).collect();
    let is_off = request.secrets.action == SecretAction::Off;
    plan.facts["secrets"] = json!(secrets);
    plan.say(match secrets.len() {
        _ if is_off => "secrets: not searched for (--secrets off)".to_owned(),
        0 => "secrets: none found".to_owned(),
        count => format!(
            "secrets: {count} that look like one\n  {}",
            secrets.join("\n  ")
        ),
    });
    say_root(plan, inspection.left, request.source_root.as_ref());
}

fn size_facts(size: Size) -> Value {
    json!({"entries": size.entries, "bytes": size.bytes})
}

/// Says where the options that a manifest can set are from.
fn say_options(plan: &mut PlanText, options: &[OptionValue]) {
    let texts = |option: &OptionValue| -> Vec<String> {
        let values = option.values.iter();
        values
            .map(|value| value.to_string_lossy().into_owned())
            .collect()
    };
    let facts = options.iter().map(|option| {
        json!({"option": option.option, "values": texts(option), "origin": option.origin.to_string()})
    });
    plan.facts["options"] = facts.collect();
    let mut text = "options, and where they are from:".to_owned();
    for option in options
        .iter()
        .filter(|option| option.origin != OptionOrigin::Default)
    {
        text.push_str(&format!(
            "\n  {} {}: {}",
            option.option,
            pasteable_line(&option.values),
            option.origin
        ));
    }
    let unset = options
        .iter()
        .filter(|option| option.origin == OptionOrigin::Default);
    let unset: Vec<&str> = unset.map(|option| option.option).collect();
    text.push_str(&format!("\n  default: {}", unset.join(", ")));
    plan.say(text);
}

/// Says how much of a source root is left out.
fn say_root(plan: &mut PlanText, left: Option<Size>, root: Option<&SourceRoot>) {
    if let Some(line) = SourceTree::say_left(left, root) {
        plan.facts["left_of_source_root"] = json!(left);
        plan.say(line);
    }
}

/// Says what pixi made of manifest and lock.
fn say_check(plan: &mut PlanText, check: &PixiCheck) {
    plan.facts["pixi_check"] = json!({
        "pixi": check.pixi,
        "lock_fits": check.lock_fits.then_some(true),
        "unknown": check.unknown,
    });
    plan.say(check.line());
}

fn say_staged(plan: &mut PlanText, staged: &Survey) {
    let left: Vec<Value> = staged
        .left
        .iter()
        .map(|(rule, entries)| json!({"pattern": rule, "entries": entries}))
        .collect();
    let mut text = format!(
        "staged: {}, {}",
        counted::entries(staged.size.entries),
        ByteSize(staged.size.bytes)
    );
    for (rule, entries) in &staged.left {
        text.push_str(&format!(
            "\n  left out by {rule}: {entries}, with all that is in them"
        ));
    }
    for path in &staged.skipped {
        text.push_str(&format!("\n  left out as a workdir: {path}"));
    }
    plan.say(text);
    plan.facts["staged"] = size_facts(staged.size);
    plan.facts["left"] = json!(left);
    plan.facts["workdirs_left"] = json!(staged.skipped);
}

/// Says of what the build will warn.
fn say_warnings(plan: &mut PlanText, what: &str, survey: &Survey) {
    for (key, examples, text) in [
        (
            "links_out",
            &survey.links_out,
            "links that lead out of what is copied, or to files that are left out",
        ),
        (
            "lfs_pointers",
            &survey.lfs_pointers,
            "Git LFS pointers in place of files",
        ),
    ] {
        if examples.count > 0 {
            plan.facts["warnings"][what][key] = json!(examples);
            plan.say(format!("{what}: {} {text}: {examples}", examples.count));
        }
    }
}

/// Gives the bytes that are to be fetched, as far as the lock says.
fn say_packages(
    plan: &mut PlanText,
    selection: &EnvironmentSelection,
    platform: Option<Subdir>,
) -> anyhow::Result<u64> {
    let resolved = &selection.resolved;
    plan.facts["environments"] = json!(resolved.environments);
    plan.facts["environments_left"] = json!(resolved.left_out);
    let Some(lock) = &selection.lock else {
        plan.say("packages: not known, since the project has no pixi.lock".to_owned());
        return Ok(0);
    };
    let environments = &resolved.environments;
    let inventory = Inventory::of(lock, environments, platform);
    let packages = inventory.packages();
    let conda = packages
        .iter()
        .filter(|info| info.package.as_conda().is_some())
        .count();
    let sources = packages
        .iter()
        .filter(|info| info.package.as_conda_source().is_some())
        .count();
    let python = packages.len() - conda - sources;
    let sizes: Vec<u64> = packages
        .iter()
        .filter_map(|info| info.package.as_conda()?.size)
        .collect();
    let (download, unknown) = (sizes.iter().sum::<u64>(), packages.len() - sizes.len());
    plan.facts["packages"] = json!({
        "conda": conda,
        "python": python,
        "platform": platform.map(Subdir::as_str),
        "download_bytes": download,
        "of_unknown_size": unknown,
    });
    let from_source = match sources {
        0 => String::new(),
        some => {
            plan.facts["packages"]["conda_from_source"] = json!(some);
            format!(", {some} that pixi builds from source")
        }
    };
    let of_unknown_size = match unknown {
        0 => String::new(),
        some => format!(" and {some} packages of unknown size"),
    };
    plan.say(format!(
        "environments {}: {conda} conda packages{from_source}, {python} Python packages; {}{of_unknown_size} to fetch",
        environments.join(", "),
        ByteSize(download),
    ));
    if !resolved.left_out.is_empty() {
        plan.say(format!(
            "environments left out, since the lock has no packages of them for the image's platform: {}",
            resolved.left_out.join(", ")
        ));
    }
    Ok(download)
}

/// An argument of a command as it is shown: a script by its length only.
fn shown_arg(arg: &OsStr) -> String {
    let lines = arg.as_encoded_bytes().split(|byte| *byte == b'\n').count();
    if lines > 3 {
        return format!("'…{lines} lines of shell, whole with --format json…'");
    }
    pasteable(arg)
}
