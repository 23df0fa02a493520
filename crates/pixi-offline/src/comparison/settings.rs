//! What differs in how two products were made, and in what they need.

use serde::Serialize;

use crate::comparison::ProductLists;
use crate::evidence::SourceState;
use crate::evidence::verification::{VerificationRecord, Verified};

/// Something besides packages and files that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingChange {
    /// What it is, `pixi` for example.
    pub name: &'static str,
    /// What it was; empty when there was nothing.
    pub old: Vec<String>,
    /// What it is; empty when there is nothing.
    pub new: Vec<String>,
}

/// What differs, in the order in which people ask for it.
pub(super) fn compare(old: &ProductLists, new: &ProductLists) -> Vec<SettingChange> {
    let (before, after) = (all(old), all(new));
    before
        .into_iter()
        .zip(after)
        .filter(|((_, old), (_, new))| old != new)
        .map(|((name, old), (_, new))| SettingChange { name, old, new })
        .collect()
}

/// Each setting with its values; both products have the same names in the same order.
fn all(lists: &ProductLists) -> Vec<(&'static str, Vec<String>)> {
    let facts = lists.facts();
    let (project, build) = (&facts.project, &facts.build);
    let image = build.image.as_ref();
    let git = project.git.as_ref();
    let lock = project.lock.as_ref();
    let overrides = &facts.virtual_packages.overrides;
    let secrets = facts.secrets.clone().unwrap_or_default();
    let yes_or_no = |yes: bool| vec![if yes { "yes" } else { "no" }.to_owned()];
    vec![
        ("project", vec![project.name.clone()]),
        ("version", project.version.iter().cloned().collect()),
        ("git commit", git.map(commit).into_iter().collect()),
        ("environments", facts.environments.clone()),
        (
            "platform",
            facts.platform.iter().map(ToString::to_string).collect(),
        ),
        (
            "needed of the machine",
            facts.virtual_packages.required.clone(),
        ),
        (
            "told to the build of the machine",
            overrides
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        ("pixi", build.pixi.iter().cloned().collect()),
        (
            "pixi in the product",
            yes_or_no(facts.packages.bundled_pixi),
        ),
        (
            "image",
            image
                .map(|image| image.reference.clone())
                .into_iter()
                .collect(),
        ),
        (
            "image id",
            image.map(|image| image.id.clone()).into_iter().collect(),
        ),
        (
            "lock (sha256 of pixi.lock)",
            lock.map(|lock| lock.sha256.to_string())
                .into_iter()
                .collect(),
        ),
        (
            "lock format",
            lock.map(|lock| lock.version.to_string())
                .into_iter()
                .collect(),
        ),
        (
            "lock installed without a comparison with the manifest",
            yes_or_no(lock.is_some_and(|lock| lock.frozen)),
        ),
        ("whole package cache", yes_or_no(facts.packages.whole_cache)),
        ("excludes", build.excludes.clone()),
        ("secrets searched for", yes_or_no(secrets.searched)),
        ("secrets allowed", secrets.known),
        ("secrets found", secrets.findings),
        ("verified", verification(lists.verified())),
        (
            "made with",
            vec![format!("{} {}", facts.tool.name, facts.tool.version)],
        ),
    ]
}

fn commit(state: &SourceState) -> String {
    match state.dirty {
        Some(true) => format!("{} and changes", state.commit),
        _ => state.commit.clone(),
    }
}

fn verification(verified: &Verified) -> Vec<String> {
    let commands = |record: &VerificationRecord| {
        let verify = record.ran.iter().filter(|ran| ran.phase == "verify");
        let mut commands: Vec<String> = verify.map(|ran| ran.command.join(" ")).collect();
        if commands.is_empty() {
            commands.push("the installation only".to_owned());
        }
        commands
    };
    match verified {
        Verified::Never | Verified::OfAnother { .. } => vec!["not verified".to_owned()],
        Verified::Failed(record) => {
            let mut commands = commands(record);
            commands.push("failed".to_owned());
            commands
        }
        Verified::Passed(record) => commands(record),
    }
}
