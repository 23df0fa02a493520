//! What differs in how two products were made, and in what they need.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::comparison::ProductLists;
use crate::evidence::SourceState;
use crate::evidence::verification::{VerificationRecord, Verified};

/// Something besides packages and files that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// What it is, `pixi` for example.
    pub name: Cow<'static, str>,
    /// What it was; empty when there was nothing.
    pub old: Vec<String>,
    /// What it is; empty when there is nothing.
    pub new: Vec<String>,
}

/// The setting that a final verification of the new product changes.
const VERIFIED: &str = "verified";

const NOT_KNOWN: &str = "not known";
const NOT_VERIFIED: &str = "not verified";

/// What differs, in the order in which people ask for it.
pub(super) fn compare(old: &ProductLists, new: &ProductLists) -> Vec<SettingChange> {
    let (before, after) = (all(old), all(new));
    before
        .into_iter()
        .zip(after)
        .filter(|((_, old), (_, new))| is_change(old, new))
        .map(|((name, old), (_, new))| SettingChange {
            name: name.into(),
            old,
            new,
        })
        .collect()
}

/// Whether values differ. What is not known is not told from what is not there.
fn is_change(old: &[String], new: &[String]) -> bool {
    let is_unverified = |values: &[String]| values == [NOT_KNOWN] || values == [NOT_VERIFIED];
    old != new && !(is_unverified(old) && is_unverified(new))
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
            "system requirements",
            facts.virtual_packages.required.clone(),
        ),
        (
            "overridden virtual packages",
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
        (VERIFIED, verification(lists.verification())),
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

/// The same settings where the new product has been verified since they were compared.
pub(super) fn with_verification(
    settings: &[SettingChange],
    old: &[String],
    verified: &Verified,
) -> Vec<SettingChange> {
    let new = verification(Some(verified));
    let mut settings = without_verification(settings);
    if is_change(old, &new) {
        settings.push(SettingChange {
            name: VERIFIED.into(),
            old: old.to_vec(),
            new,
        });
    }
    settings
}

/// The settings that stay what they are when the new product is verified.
pub(super) fn without_verification(settings: &[SettingChange]) -> Vec<SettingChange> {
    let others = settings.iter().filter(|change| change.name != VERIFIED);
    others.cloned().collect()
}

/// What a product was verified with; `None` is not known.
pub(super) fn verification(verified: Option<&Verified>) -> Vec<String> {
    let commands = |record: &VerificationRecord| {
        let verify = record.ran.iter().filter(|ran| ran.phase == "verify");
        let mut commands: Vec<String> = verify.map(|ran| ran.command.join(" ")).collect();
        if commands.is_empty() {
            commands.push("the installation only".to_owned());
        }
        commands
    };
    match verified {
        None => vec![NOT_KNOWN.to_owned()],
        Some(Verified::Never | Verified::OfAnother { .. }) => vec![NOT_VERIFIED.to_owned()],
        Some(Verified::Failed(record)) => {
            let mut commands = commands(record);
            commands.push("failed".to_owned());
            commands
        }
        Some(Verified::Passed(record)) => commands(record),
    }
}
