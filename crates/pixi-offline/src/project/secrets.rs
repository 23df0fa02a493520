//! Looking for secrets before anything is copied, and what is done about them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use itertools::Itertools as _;

use crate::context::Context;
use crate::evidence;
use crate::evidence::manifest::Secrets;
use crate::failure::Failure;
use crate::layout;
use crate::project::ProjectRules;
use crate::project::configuration;
use crate::project::project_rules;
use crate::request::{ProductVariable, SecretAction, SecretPolicy, Verification};
use crate::secret_search::{Finding, Holder, Search};
use crate::staging::{self, Rules, RulesAndSkip, Selection as _, Survey};

/// How many findings are shown.
const SHOWN: usize = 40;

/// A search that is about to be made, or none with `--secrets off`.
#[derive(Debug)]
pub struct SecretSearch(Option<Search>);

impl SecretSearch {
    /// A search by this policy.
    ///
    /// # Errors
    ///
    /// Exit code 2 for a pattern of `--allow-secret` that cannot be one.
    pub fn new(policy: &SecretPolicy, context: &Context) -> anyhow::Result<SecretSearch> {
        let known = known_places(policy)?;
        Ok(SecretSearch(match policy.action {
            SecretAction::Off => None,
            SecretAction::Warn | SecretAction::Deny => {
                Some(Search::new(known, context.secret_scanner.clone()))
            }
        }))
    }

    /// Looks at what [`copy_project`](crate::project::stage::copy_project) would copy, and gives the survey of that.
    /// The lock is read however long it is: every URL of a channel is in it.
    pub(crate) fn project(&mut self, source: &Path, rules: &ProjectRules) -> Survey {
        let mut survey = match &mut self.0 {
            Some(search) => search.dir(source, rules, Holder::File),
            None => staging::survey(source, rules, &mut |_| {}),
        };
        let takes_configuration = configuration::takes_configuration(source, rules).unwrap_or(true);
        let project = rules.project_in(source);
        if takes_configuration {
            let length = fs::metadata(project.join(layout::PROJECT_CONFIG));
            survey.size.bytes += length.map_or(0, |metadata| metadata.len());
            // Its directory, too.
            survey.size.entries += 2;
            survey.files += 1;
        }
        let Some(search) = &mut self.0 else {
            return survey;
        };
        for file in [layout::LOCK_FILE, layout::PROJECT_CONFIG] {
            let place = rules.in_root().join(file);
            let goes_along = match file {
                layout::PROJECT_CONFIG => takes_configuration,
                _ => project.join(file).is_file() && !rules.excludes(&place, false),
            };
            if goes_along {
                search.file(source, &place, rules.follows_links(), Holder::File);
            }
        }
        survey
    }

    /// Looks at what is copied whole, and gives the survey of that.
    pub fn resources(&mut self, source: &Path) -> anyhow::Result<Survey> {
        let rules = project_rules::without_our_traces()?;
        let selection = RulesAndSkip {
            rules: &rules,
            skip: &evidence::is_never_staged,
        };
        Ok(match &mut self.0 {
            Some(search) => search.dir(source, &selection, Holder::Resource),
            None => staging::survey(source, &selection, &mut |_| {}),
        })
    }

    /// Looks at the small files of a package cache that tell of requests.
    pub(crate) fn cache(&mut self, cache: &Path, pointers: &[PathBuf]) {
        let Some(search) = &mut self.0 else { return };
        for pointer in pointers {
            search.pointer(cache, pointer);
        }
    }

    /// Whether anything is looked at.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Looks at what `envs.sh` will export.
    pub(crate) fn variables(&mut self, variables: &[ProductVariable]) {
        let Some(search) = &mut self.0 else { return };
        for variable in variables {
            let place = format!("--env {}", variable.key());
            search.variable(&place, variable.key(), variable.value().as_encoded_bytes());
        }
    }

    /// Looks at what is run to verify: records and logs have it argument for argument.
    pub(crate) fn verification(&mut self, verification: &Verification) {
        let Some(search) = &mut self.0 else { return };
        match verification {
            Verification::None => {}
            Verification::Task(task) => search.args("--verify-task", std::slice::from_ref(task)),
            Verification::Command(args) => search.args("--verify-run", args),
        }
    }

    /// The search, when one is wanted.
    pub fn search(&mut self) -> Option<&mut Search> {
        self.0.as_mut()
    }

    /// What was found.
    pub fn findings(self) -> Vec<Finding> {
        self.0.map(Search::findings).unwrap_or_default()
    }
}

/// Reads the arguments of `--allow-secret`.
///
/// # Errors
///
/// Exit code 2 for a pattern that cannot be one.
pub(crate) fn known_places(policy: &SecretPolicy) -> anyhow::Result<Rules> {
    let mut known = Rules::new();
    for pattern in &policy.known {
        known
            .push(pattern)
            .map_err(|error| Failure::usage(format!("--allow-secret: {error}")))?;
    }
    Ok(known)
}

/// Looks at what is run to verify, and warns or refuses as the policy says.
pub(crate) fn search_verification(
    policy: &SecretPolicy,
    verification: &Verification,
    context: &Context,
) -> anyhow::Result<()> {
    let mut search = SecretSearch::new(policy, context)?;
    search.verification(verification);
    let findings = search.findings();
    refuse(policy, &findings)?;
    warn_that(
        &findings,
        "will be in the records of the verification",
        context,
    );
    Ok(())
}

/// Refuses findings, or lets them pass, as the policy says.
///
/// # Errors
///
/// Exit code 2 when they are refused; the message lists them.
pub fn refuse(policy: &SecretPolicy, findings: &[Finding]) -> anyhow::Result<()> {
    if policy.action != SecretAction::Deny || findings.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = findings
        .iter()
        .take(SHOWN)
        .map(Finding::to_string)
        .collect();
    lines.extend(more(findings.len()).map(|count| format!("and {count} more")));
    Err(Failure::usage(format!(
        "possible secrets were found, and --secrets deny was given; nothing was changed: {}, or accept them with --allow-secret PATTERN\n  {}",
        cures(&findings.iter().collect::<Vec<_>>()),
        lines.join("\n  ")
    )))
}

/// What the product says of the search.
pub(crate) fn told(policy: &SecretPolicy, findings: &[Finding]) -> Secrets {
    Secrets {
        searched: policy.action != SecretAction::Off,
        known: policy
            .known
            .iter()
            .map(|pattern| pattern.to_string_lossy().into_owned())
            .collect(),
        findings: findings.iter().map(Finding::to_string).collect(),
    }
}

/// Says what was found and will be in a product, and what can be done about it.
pub(crate) fn warn(findings: &[Finding], context: &Context) {
    warn_that(findings, "will be packed into the product", context);
}

/// Says what was found, what follows from it, and what can be done about it; what an
/// earlier step of the run has said of the same files is not said again.
pub fn warn_that(findings: &[Finding], consequence: &str, context: &Context) {
    let is_new = |finding: &&Finding| context.report.is_new(&finding.key());
    let new: Vec<&Finding> = findings.iter().filter(is_new).collect();
    for finding in new.iter().take(SHOWN) {
        context
            .report
            .warning(format_args!("looks like a secret: {finding}"));
    }
    if let Some(count) = more(new.len()) {
        context
            .report
            .warning(format_args!("looks like secrets: and {count} more"));
    }
    if !new.is_empty() {
        context.report.note(format_args!(
            "{} possible secret{} {consequence}: {}, accept them (--allow-secret PATTERN), or make this an error (--secrets deny)",
            new.len(),
            if new.len() == 1 { "" } else { "s" },
            cures(&new)
        ));
    }
}

/// Looks at the lock that the build has written. It is too late to leave
/// anything untouched, so it is never more than a warning: the next step looks
/// again, and refuses when it is told to.
pub(crate) fn warn_of_built_lock(
    policy: &SecretPolicy,
    project: &Path,
    context: &Context,
) -> anyhow::Result<()> {
    let mut search = SecretSearch::new(policy, context)?;
    if let Some(search) = &mut search.0 {
        search.file(project, Path::new(layout::LOCK_FILE), false, Holder::File);
    }
    warn(&search.findings(), context);
    Ok(())
}

/// What removes the findings, once for each kind of place that holds one.
fn cures(findings: &[&Finding]) -> String {
    let holders: BTreeSet<Holder> = findings.iter().map(|finding| finding.holder).collect();
    holders.into_iter().map(Holder::cure).join(", ")
}

fn more(count: usize) -> Option<usize> {
    count.checked_sub(SHOWN).filter(|count| *count > 0)
}
