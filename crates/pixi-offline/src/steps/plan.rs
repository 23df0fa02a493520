//! What a build would do, found out without touching anything.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use crate::container::{Engine, Image};
use crate::context::Context;
use crate::evidence;
use crate::failure::Failure;
use crate::layout::{self, Workdir};
use crate::packages::{Inventory, Lock, PackageKind};
use crate::product::pasteable;
use crate::request::ProjectName;
use crate::secret_search::Finding;
use crate::staging::{self, Survey};
use crate::steps::build_offline_product::{
    CheckedSource, OfflineProductRequest, Source, planned_verification,
};
use crate::steps::create_workdir_from_container as from_container;
use crate::steps::create_workdir_from_host::{self as from_host, HostPreflight};
use crate::steps::environments::{self, Resolved};
use crate::steps::final_verify_product;
use crate::steps::pixi_check::PixiCheck;
use crate::steps::stage::{self, ProjectRules};

/// What a product takes beside the packages, in times of what is staged: the
/// staged project and its copy in the product.
const COPIES: u64 = 2;

/// The plan for a request.
pub(super) struct Plan {
    facts: Value,
    lines: Vec<String>,
}

impl Plan {
    /// Looks at all that can be looked at.
    ///
    /// # Errors
    ///
    /// As the looking part of the build.
    pub(super) fn of(
        looked: &CheckedSource,
        request: &OfflineProductRequest,
        context: &Context,
    ) -> anyhow::Result<Plan> {
        match looked {
            CheckedSource::Host(source) => of_host(source, request, context),
            CheckedSource::Container(source, seen) => of_container(seen, source, request, context),
        }
    }

    /// Shows it.
    pub(super) fn show(&self, context: &Context) {
        context
            .report
            .print_document("plan", &self.facts, &self.lines);
    }

    fn say(&mut self, line: String) {
        self.lines.push(line);
    }

    fn verification(
        &mut self,
        request: &OfflineProductRequest,
        engine: &Engine,
        built: Option<&Image>,
        (workdir, name): (&Workdir, &ProjectName),
        context: &Context,
    ) -> anyhow::Result<()> {
        let planned = planned_verification(request, built, workdir, name, context)?;
        if let Some(verify) = planned {
            let words = final_verify_product::planned_arguments(&verify, context)?;
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
    source: &from_host::HostBuildRequest,
    request: &OfflineProductRequest,
    context: &Context,
) -> anyhow::Result<Plan> {
    let seen = HostPreflight::check(source, context)?;
    seen.warn_of_cuda(source, context);
    let staged = &seen.project;
    let resources = seen.resources.size;
    let mut plan = Plan {
        facts: json!({
            "project": seen.project_dir.display().to_string(),
            "name": seen.name.to_string(),
            "workdir": seen.place.workdir.path().display().to_string(),
            "staged": {"entries": staged.size.entries, "bytes": staged.size.bytes},
            "resources": {"entries": resources.entries, "bytes": resources.bytes},
            "environments": seen.resolved.environments,
            "environments_left": seen.resolved.left_out,
            "engine": seen.version,
            "image": seen.image,
        }),
        lines: Vec::new(),
    };
    plan.say(format!(
        "project {} ({}), into {}",
        seen.project_dir.display(),
        seen.name,
        seen.place.workdir.path().display()
    ));
    let asked = Asked {
        lock: seen.lock.as_ref(),
        resolved: &seen.resolved,
        platform: seen
            .image
            .as_ref()
            .and_then(|image| environments::platform_of(&image.platform)),
    };
    say_project(&mut plan, (staged, &seen.resources), &seen.secrets);
    let download = say_packages(&mut plan, &asked)?;
    say_check(&mut plan, &seen.ask_pixi(source)?);
    let needed =
        COPIES * (staged.size.bytes + resources.bytes + download) + seen.place.helper.size().bytes;
    plan.facts["disk_bytes_at_least"] = json!(needed);
    plan.say(format!(
        "disk: {needed} bytes at least, and what the packages grow by when they are unpacked"
    ));
    let image = match &seen.image {
        Some(image) => format!("image {}: {}", image.reference, image.id),
        None => format!(
            "image {}: not on this engine, which fetches it",
            source.image
        ),
    };
    plan.say(image);
    plan.command(
        &seen.engine,
        "the build, with a network",
        &seen.build_arguments(source, context)?,
    );
    plan.verification(
        request,
        &seen.engine,
        seen.image.as_ref(),
        (&seen.place.workdir, &seen.name),
        context,
    )?;
    Ok(plan)
}

/// A program of ours looks in the container, as it does for the build, and is removed again.
fn of_container(
    seen: &from_container::ContainerPreflight,
    source: &from_container::ContainerBuildRequest,
    request: &OfflineProductRequest,
    context: &Context,
) -> anyhow::Result<Plan> {
    let (inspected, fitting, check) = seen.inspect(source, context)?;
    fitting.warn(&inspected, source, context);
    let from_container::ContainerPreflight {
        name,
        engine,
        place,
        container,
        image,
        ..
    } = seen;
    let size =
        |survey: &Survey| json!({"entries": survey.size.entries, "bytes": survey.size.bytes});
    let mut plan = Plan {
        facts: json!({
            "container": container.id(),
            "project": source.project.display().to_string(),
            "name": name.to_string(),
            "workdir": place.workdir.path().display().to_string(),
            "container_workdir": source.build.container_workdir.as_str(),
            "staged": size(&inspected.project_survey),
            "resources": size(&inspected.resources_survey),
            "environments": fitting.resolved.environments,
            "environments_left": fitting.resolved.left_out,
            "engine": seen.version,
            "image": image,
        }),
        lines: Vec::new(),
    };
    plan.say(format!(
        "project {} ({name}) in container {} of image {}, into {}, by way of {} there",
        source.project.display(),
        container.id(),
        image
            .as_ref()
            .map_or("unknown", |image| image.reference.as_str()),
        place.workdir.path().display(),
        source.build.container_workdir
    ));
    let surveys = (&inspected.project_survey, &inspected.resources_survey);
    say_project(&mut plan, surveys, &inspected.secrets);
    let asked = Asked {
        lock: fitting.lock.as_ref(),
        resolved: &fitting.resolved,
        platform: fitting.platform,
    };
    say_packages(&mut plan, &asked)?;
    say_check(&mut plan, &check);
    plan.command(
        engine,
        "the build, by a copy of this program that is brought there and by a shell",
        &seen.build_arguments(),
    );
    plan.verification(
        request,
        engine,
        image.as_ref(),
        (&place.workdir, name),
        context,
    )?;
    Ok(plan)
}

/// Says what is copied, and what in it looks like a secret.
fn say_project(plan: &mut Plan, (project, resources): (&Survey, &Survey), secrets: &[Finding]) {
    say_staged(plan, project);
    say_warnings(plan, "project", project);
    if resources.size.entries > 0 {
        plan.say(format!(
            "resources: {} entries, {} bytes",
            resources.size.entries, resources.size.bytes
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

/// Says what pixi made of manifest and lock.
fn say_check(plan: &mut Plan, check: &PixiCheck) {
    plan.facts["pixi_check"] = json!({
        "pixi": check.pixi,
        "lock_fits": check.lock_fits.then_some(true),
        "unknown": check.unknown,
    });
    plan.say(check.line());
}

fn say_staged(plan: &mut Plan, staged: &Survey) {
    let left: Vec<Value> = staged
        .left
        .iter()
        .map(|(rule, entries)| json!({"pattern": rule, "entries": entries}))
        .collect();
    let mut text = format!(
        "staged: {} entries, {} bytes",
        staged.size.entries, staged.size.bytes
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
fn say_warnings(plan: &mut Plan, what: &str, survey: &Survey) {
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

/// The packages that a build was asked for.
struct Asked<'a> {
    lock: Option<&'a Lock>,
    resolved: &'a Resolved,
    platform: Option<&'static str>,
}

/// Gives the bytes that are to be fetched, as far as the lock says.
fn say_packages(plan: &mut Plan, asked: &Asked<'_>) -> anyhow::Result<u64> {
    let Some(lock) = asked.lock else {
        plan.say("packages: not known, since the project has no pixi.lock".to_owned());
        return Ok(0);
    };
    let (resolved, platform) = (asked.resolved, asked.platform);
    let environments = &resolved.environments;
    let inventory = Inventory::of(lock, environments, platform)?;
    let packages = inventory.packages();
    let conda = packages
        .iter()
        .filter(|package| matches!(package.identity.kind, PackageKind::Conda { .. }))
        .count();
    let download: u64 = packages.iter().filter_map(|package| package.size).sum();
    let unknown = packages
        .iter()
        .filter(|package| package.size.is_none())
        .count();
    plan.facts["packages"] = json!({
        "conda": conda,
        "python": packages.len() - conda,
        "platform": platform,
        "download_bytes": download,
        "of_unknown_size": unknown,
    });
    plan.say(format!(
        "environments {}: {conda} conda packages, {} Python packages; {download} bytes to fetch, and {unknown} packages of which the lock does not say the size",
        environments.join(", "),
        packages.len() - conda,
    ));
    if !resolved.left_out.is_empty() {
        plan.say(format!(
            "environments left out, since the lock has no packages of them for the image's platform: {}",
            resolved.left_out.join(", ")
        ));
    }
    Ok(download)
}

/// Says which rule keeps or drops a path of the project.
///
/// # Errors
///
/// Exit code 2 when it is not in the project.
pub(super) fn explain(
    path: &Path,
    request: &OfflineProductRequest,
    context: &Context,
) -> anyhow::Result<()> {
    let (project, excludes, is_here) = match &request.source {
        Source::Host(source) => {
            let project = context.host.absolute(&source.project_dir);
            stage::require_folder("--project-dir", &project)?;
            (project, &source.build.excludes, true)
        }
        Source::Container(source) => (source.project.clone(), &source.build.excludes, false),
    };
    let rules = ProjectRules::new(excludes)?;
    let joined: PathBuf = project.join(path).components().collect();
    let relative = joined
        .strip_prefix(&project)
        .ok()
        .filter(|relative| !relative.as_os_str().is_empty() && relative.components().all(is_normal))
        .ok_or_else(|| {
            Failure::usage(format!(
                "--explain {} is no path in the project {}; give one below it, without `..`",
                path.display(),
                project.display()
            ))
        })?;
    let there = is_here.then(|| joined.symlink_metadata());
    let ends_as_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let is_dir = ends_as_folder || matches!(&there, Some(Ok(metadata)) if metadata.is_dir());
    let why = Why::of(relative, is_dir, &project, &rules, is_here);
    let mut line = format!("{} {}", relative.display(), why.line);
    if matches!(there, Some(Err(_))) {
        line.push_str(" (nothing is there now)");
    }
    let facts = json!({
        "path": relative.display().to_string(),
        "staged": why.staged,
        "pattern": why.rule.map(|rule| rule.to_string_lossy().into_owned()),
        "decided_at": why.decided.display().to_string(),
    });
    context
        .report
        .print_document("explanation", &facts, &[line]);
    Ok(())
}

/// Why a path is staged, or is not.
struct Why {
    staged: bool,
    rule: Option<OsString>,
    decided: PathBuf,
    line: String,
}

impl Why {
    fn of(
        relative: &Path,
        is_dir: bool,
        project: &Path,
        rules: &ProjectRules,
        is_here: bool,
    ) -> Why {
        let configuration = Path::new(layout::PROJECT_CONFIG);
        let is_taken = || stage::takes_configuration(project, rules).unwrap_or(true);
        if relative == configuration && is_here && is_taken() {
            return Why {
                staged: true,
                rule: None,
                decided: relative.to_owned(),
                line: "is staged: pixi's configuration of the project always is".to_owned(),
            };
        }
        let staging::Explanation {
            decided,
            left,
            rule,
        } = staging::explain(is_here.then_some(project), relative, is_dir, rules);
        let workdir = relative
            .ancestors()
            .filter(|path| is_here && !path.as_os_str().is_empty())
            .find(|path| evidence::is_workdir(&project.join(path)));
        if let (false, Some(workdir)) = (left, workdir) {
            return Why {
                staged: false,
                rule: None,
                decided: workdir.to_owned(),
                line: format!(
                    "stays behind: {} is a workdir, and none is ever staged",
                    workdir.display()
                ),
            };
        }
        let line = match (left, rule.as_deref().map(OsStr::display)) {
            (true, Some(rule)) if decided != relative => format!(
                "stays behind: {rule} leaves its folder {}",
                decided.display()
            ),
            (true, Some(rule)) => format!("stays behind: {rule}"),
            (_, Some(rule)) => format!("is staged: {rule}"),
            (_, None) => "is staged: no pattern matches it".to_owned(),
        };
        Why {
            staged: !left,
            rule,
            decided,
            line,
        }
    }
}

fn is_normal(component: Component) -> bool {
    matches!(component, Component::Normal(_))
}

/// A word of a command as it is shown: a script of ours by its length only.
fn shown_word(word: &OsStr) -> String {
    let lines = word.as_encoded_bytes().split(|byte| *byte == b'\n').count();
    if lines > 3 {
        return format!("'…{lines} lines of shell, whole with --format json…'");
    }
    pasteable(word)
}
