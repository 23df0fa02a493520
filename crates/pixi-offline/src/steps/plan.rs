//! What a build would do, found out without touching anything.

use std::ffi::OsStr;
use std::path::Path;

use serde_json::{Value, json};

use crate::container::{Engine, Resident};
use crate::failure::Failure;
use crate::packages::{Inventory, PackageKind};
use crate::product::shell_quote;
use crate::report::Report;
use crate::staging::{self, Survey};
use crate::steps::build_offline_product::{Request, Source};
use crate::steps::create_workdir_from_host::{self as from_host, Seen};
use crate::steps::environments;
use crate::steps::stage::{self, ProjectRules};
use crate::surroundings::Surroundings;

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
    pub(super) fn of(request: &Request, surroundings: &Surroundings) -> anyhow::Result<Plan> {
        match &request.source {
            Source::Host(source) => of_host(source, request, surroundings),
            Source::Container(source) => {
                let engine = Engine::find(source.engine.as_deref(), surroundings)?;
                let version = engine.version()?;
                let container = Resident::find(&engine, &source.container)?;
                let image = engine.image(&container.image()?)?;
                let mut plan = Plan {
                    facts: json!({"engine": version, "image": image, "container": container.id()}),
                    lines: Vec::new(),
                };
                plan.say(format!(
                    "container {} of image {}",
                    container.id(),
                    image
                        .as_ref()
                        .map_or("unknown", |image| image.reference.as_str())
                ));
                plan.say("what would be staged, its packages and its secrets are known only in the container, and a dry run does not go into it".to_owned());
                plan.command(
                    &engine,
                    "the build, after the program was brought there",
                    &[
                        "exec".into(),
                        "--interactive".into(),
                        container.id().into(),
                        "sh".into(),
                    ],
                );
                Ok(plan)
            }
        }
    }

    /// Shows it.
    ///
    /// # Errors
    ///
    /// None so far; a reader that went away is none.
    pub(super) fn show(&self, report: &Report) -> anyhow::Result<()> {
        report.plan(&self.facts, &self.lines);
        Ok(())
    }

    fn say(&mut self, line: String) {
        self.lines.push(line);
    }

    fn command(&mut self, engine: &Engine, what: &str, words: &[std::ffi::OsString]) {
        let shown: Vec<String> = std::iter::once(OsStr::new(&engine.client()))
            .chain(words.iter().map(AsRef::as_ref))
            .map(pasteable)
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
    source: &from_host::Request,
    request: &Request,
    surroundings: &Surroundings,
) -> anyhow::Result<Plan> {
    let seen = Seen::look(source, surroundings)?;
    let staged = stage::survey_project(&seen.project_dir, &seen.rules);
    let resources = seen
        .resources_dir
        .as_deref()
        .map(stage::size_of_folder)
        .unwrap_or_default();
    let mut plan = Plan {
        facts: json!({
            "project": seen.project_dir.display().to_string(),
            "name": seen.name.to_string(),
            "workdir": seen.place.workdir.path().display().to_string(),
            "staged": {"entries": staged.size.entries, "bytes": staged.size.bytes},
            "resources": {"entries": resources.entries, "bytes": resources.bytes},
            "environments": seen.environments,
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
    say_staged(&mut plan, &staged);
    if resources.entries > 0 {
        plan.say(format!(
            "resources: {} entries, {} bytes",
            resources.entries, resources.bytes
        ));
    }
    let download = say_packages(&mut plan, &seen)?;
    let secrets: Vec<String> = seen.secrets.iter().map(ToString::to_string).collect();
    plan.facts["secrets"] = json!(secrets);
    plan.say(match secrets.len() {
        0 => "secrets: nothing that looks like one, or not looked for".to_owned(),
        count => format!(
            "secrets: {count} that look like one\n  {}",
            secrets.join("\n  ")
        ),
    });
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
        &seen.build_arguments(source, surroundings)?,
    );
    let verify = super::build_offline_product::planned_verification(request, &seen)?;
    plan.command(
        &seen.engine,
        "the final verification, without a network",
        &super::final_verify_product::planned_arguments(&verify, surroundings)?,
    );
    Ok(plan)
}

fn say_staged(plan: &mut Plan, staged: &Survey) {
    let left: Vec<Value> = staged
        .left
        .iter()
        .map(|(rule, entries)| json!({"pattern": rule.to_string_lossy(), "entries": entries}))
        .collect();
    let skipped: Vec<String> = staged
        .skipped
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let mut text = format!(
        "staged: {} entries, {} bytes",
        staged.size.entries, staged.size.bytes
    );
    for (rule, entries) in &staged.left {
        text.push_str(&format!(
            "\n  left out by {}: {entries}, with all that is in them",
            rule.display()
        ));
    }
    for path in &skipped {
        text.push_str(&format!("\n  left out as a workdir: {path}"));
    }
    plan.say(text);
    plan.facts["left"] = json!(left);
    plan.facts["workdirs_left"] = json!(skipped);
}

/// Gives the bytes that are to be fetched, as far as the lock says.
fn say_packages(plan: &mut Plan, seen: &Seen) -> anyhow::Result<u64> {
    let Some(lock) = &seen.lock else {
        plan.say("packages: not known, since the project has no pixi.lock".to_owned());
        return Ok(0);
    };
    let platform = seen
        .image
        .as_ref()
        .and_then(|image| environments::platform_of(&image.platform));
    let inventory = Inventory::of(lock, &seen.environments, platform)?;
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
        seen.environments.join(", "),
        packages.len() - conda,
    ));
    Ok(download)
}

/// Says which rule keeps or drops a path of the project.
///
/// # Errors
///
/// Exit code 2 when it is not in the project, or that is in a container.
pub(super) fn explain(
    path: &Path,
    request: &Request,
    surroundings: &Surroundings,
    report: &Report,
) -> anyhow::Result<()> {
    let (project, excludes) = match &request.source {
        Source::Host(source) => (surroundings.absolute(&source.project_dir), &source.excludes),
        Source::Container(source) => (source.project.clone(), &source.excludes),
    };
    let rules = ProjectRules::new(excludes)?;
    let whole = project.join(path);
    let relative = whole
        .strip_prefix(&project)
        .ok()
        .filter(|relative| !relative.as_os_str().is_empty())
        .ok_or_else(|| {
            Failure::usage(format!(
                "--explain {} is not in the project {}; give a path below it",
                path.display(),
                project.display()
            ))
        })?;
    let ends_as_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let is_dir = ends_as_folder || whole.symlink_metadata().is_ok_and(|there| there.is_dir());
    let explanation = staging::explain(relative, is_dir, rules.all());
    let rule = explanation.rule.as_deref().map(OsStr::display);
    let line = match (explanation.left, rule) {
        (true, Some(rule)) if explanation.decided != relative => format!(
            "{} stays behind: {rule} leaves its folder {}",
            relative.display(),
            explanation.decided.display()
        ),
        (true, Some(rule)) => format!("{} stays behind: {rule}", relative.display()),
        (_, Some(rule)) => format!("{} is staged: {rule}", relative.display()),
        (_, None) => format!("{} is staged: no pattern matches it", relative.display()),
    };
    report.text(format_args!("{line}\n"));
    Ok(())
}

/// A word as it can be pasted into a shell.
fn pasteable(word: &OsStr) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(byte);
    let bytes = word.as_encoded_bytes();
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        return word.to_string_lossy().into_owned();
    }
    String::from_utf8_lossy(&shell_quote(bytes)).into_owned()
}
