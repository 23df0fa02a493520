//! What a dry run shows of the plan that a run would execute.

use std::ffi::OsStr;

use serde_json::{Value, json};

use super::request::OfflineProductRequest;
use super::requests::planned_verification;
use super::source_plan::SourcePlan;
use crate::byte_size::ByteSize;
use crate::commands::create_workdir_from_container::ContainerBuildPlan;
use crate::commands::create_workdir_from_host::HostBuildPlan;
use crate::commands::environment_selection::EnvironmentSelection;
use crate::commands::final_verify_product::{self, VerifyRequest};
use crate::container::Engine;
use crate::context::Context;
use crate::packages::{Inventory, Subdir, subdir_of_image};
use crate::product::pasteable;
use crate::project::source_tree::SourceTree;
use crate::request::SourceRoot;
use crate::secret_search::Finding;
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
    let PlanText { facts, lines } = match source {
        SourcePlan::Host(build) => of_host(build, request, context)?,
        SourcePlan::Container(build) => of_container(build, request, context)?,
    };
    context.report.print_document("plan", &facts, &lines);
    Ok(())
}

/// A plan, for programs and for people.
struct PlanText {
    facts: Value,
    lines: Vec<String>,
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
            let words = final_verify_product::planned_arguments(&verify, engine, context)?;
            self.command(engine, "the final verification, without a network", &words);
        }
        Ok(())
    }

    fn command(&mut self, engine: &Engine, what: &str, words: &[std::ffi::OsString]) {
        let shown: Vec<String> = std::iter::once(OsStr::new(&engine.client()))
            .chain(words.iter().map(AsRef::as_ref))
            .map(shown_word)
            .collect();
        self.say(format!("{what}:\n  {}", shown.join(" ")));
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        if let Some(commands) = self.facts.as_object_mut().map(|facts| {
            facts
                .entry("commands")
                .or_insert_with(|| Value::Array(Vec::new()))
        }) && let Some(commands) = commands.as_array_mut()
        {
            commands.push(json!(words));
        }
    }
}

fn of_host(
    build: &HostBuildPlan<'_>,
    request: &OfflineProductRequest,
    context: &Context,
) -> anyhow::Result<PlanText> {
    build.warn_of_cuda(context);
    build.warn_of_target(context);
    let (staged, selection) = (&build.project, &build.selection);
    let resources = build.resources.size;
    let workdir = build.place.workdir.path().display();
    let mut text = PlanText {
        facts: json!({
            "project": build.source.project().display().to_string(),
            "name": build.project_place.name.to_string(),
            "workdir": workdir.to_string(),
            "staged": {"entries": staged.size.entries, "bytes": staged.size.bytes},
            "resources": {"entries": resources.entries, "bytes": resources.bytes},
            "environments": selection.resolved.environments,
            "environments_left": selection.resolved.left_out,
            "engine": build.version,
            "image": build.image,
        }),
        lines: Vec::new(),
    };
    text.say(format!(
        "project {} ({}), into {workdir}",
        build.source.project().display(),
        build.project_place.name,
    ));
    let image = build.image.as_ref();
    let platform = image.and_then(|image| subdir_of_image(&image.platform));
    say_project(&mut text, (staged, &build.resources), &build.secrets);
    say_root(
        &mut text,
        build.left,
        build.request.build.source_root.as_ref(),
    );
    let download = say_packages(&mut text, selection, platform)?;
    say_check(&mut text, &build.ask_pixi()?);
    let needed =
        COPIES * (staged.size.bytes + resources.bytes + download) + build.place.helper.size().bytes;
    text.facts["disk_bytes_at_least"] = json!(needed);
    text.say(format!(
        "disk: {} at least, and what the packages grow by when they are unpacked",
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

/// A program of ours looks in the container, as it does for the build, and is removed again.
fn of_container(
    build: &ContainerBuildPlan<'_>,
    request: &OfflineProductRequest,
    context: &Context,
) -> anyhow::Result<PlanText> {
    let (inspected, selection, check) = build.inspect(context)?;
    build.warn(&inspected, &selection, context);
    let source = build.request;
    let workdir = build.place.workdir.path().display();
    let image = build.image.as_ref();
    let size =
        |survey: &Survey| json!({"entries": survey.size.entries, "bytes": survey.size.bytes});
    let mut text = PlanText {
        facts: json!({
            "container": build.container.id(),
            "project": source.project.display().to_string(),
            "name": build.name.to_string(),
            "workdir": workdir.to_string(),
            "container_workdir": source.build.container_workdir.as_str(),
            "staged": size(&inspected.project_survey),
            "resources": size(&inspected.resources_survey),
            "environments": selection.resolved.environments,
            "environments_left": selection.resolved.left_out,
            "engine": build.version,
            "image": image,
        }),
        lines: Vec::new(),
    };
    text.say(format!(
        "project {} ({}) in container {} of image {}, into {workdir}, by way of {} there",
        source.project.display(),
        build.name,
        build.container.id(),
        image.map_or("unknown", |image| image.reference.as_str()),
        source.build.container_workdir
    ));
    let surveys = (&inspected.project_survey, &inspected.resources_survey);
    say_project(&mut text, surveys, &inspected.secrets);
    say_root(&mut text, inspected.left, source.build.source_root.as_ref());
    say_packages(&mut text, &selection, selection.platform)?;
    say_check(&mut text, &check);
    text.command(
        &build.engine,
        "the build, by a copy of this program that is brought there and by a shell",
        &build.build_arguments(),
    );
    let planned = planned_verification(request, image, &build.place.workdir, &build.name, context)?;
    text.verification(planned, &build.engine, context)?;
    Ok(text)
}

/// Says what is copied, and what in it looks like a secret.
fn say_project(plan: &mut PlanText, (project, resources): (&Survey, &Survey), secrets: &[Finding]) {
    say_staged(plan, project);
    say_warnings(plan, "project", project);
    if resources.size.entries > 0 {
        plan.say(format!(
            "resources: {} entries, {}",
            resources.size.entries,
            ByteSize(resources.size.bytes)
        ));
    }
    say_warnings(plan, "resources", resources);
    let secrets: Vec<String> = secrets.iter().map(ToString::to_string).collect();
    plan.facts["secrets"] = json!(secrets);
    plan.say(match secrets.len() {
        0 => "secrets: nothing that looks like one, or not looked for".to_owned(),
        count => format!(
            "secrets: {count} that look like one\n  {}",
            secrets.join("\n  ")
        ),
    });
}

/// Says how much of a source root stays behind.
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
        "staged: {} entries, {}",
        staged.size.entries,
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
    plan.facts["left"] = json!(left);
    plan.facts["workdirs_left"] = json!(staged.skipped);
}

/// Says of what the build will warn.
fn say_warnings(plan: &mut PlanText, what: &str, survey: &Survey) {
    for (key, examples, text) in [
        (
            "links_out",
            &survey.links_out,
            "links that lead out of what is copied, or to what stays behind",
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
    let Some(lock) = &selection.lock else {
        plan.say("packages: not known, since the project has no pixi.lock".to_owned());
        return Ok(0);
    };
    let resolved = &selection.resolved;
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
    plan.say(format!(
        "environments {}: {conda} conda packages{from_source}, {python} Python packages; {} to fetch, and {unknown} packages of which the lock does not say the size",
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

/// A word of a command as it is shown: a script of ours by its length only.
fn shown_word(word: &OsStr) -> String {
    let lines = word.as_encoded_bytes().split(|byte| *byte == b'\n').count();
    if lines > 3 {
        return format!("'…{lines} lines of shell, whole with --format json…'");
    }
    pasteable(word)
}
