//! What the pixi of an image, or of a running container, makes of a project before anything
//! is installed: a dry run asks it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::container::{RunningContainer, not_shared, scripts};
use crate::digest::Sha256Digest;
use crate::failure::{self, Failure};
use crate::layout::PathInRoot;
use crate::project::lock_use::LockUse;
use crate::project::source_tree::SourceTree;
use crate::request::{ContainerVariable, Transfer, utf8_arg};
use crate::tools::CapturedOutput;
use crate::workspace::NewContainer;
use crate::workspace::pixi_messages::PixiMessages;
use crate::workspace::script_result;

/// Where the project is in the container that is asked.
const PROJECT: &str = "/pixi-offline/project";

/// What the script prints first where the directory is not the one that is meant.
const ELSEWHERE: &str = "elsewhere";

/// The exit code of timeout(1).
const TIMED_OUT: u8 = 124;

/// A project that pixi is asked about.
pub(crate) struct Question<'a> {
    /// The name of its manifest.
    pub(crate) manifest: &'a str,
    /// An environment that is installed.
    pub(crate) environment: &'a str,
    /// The sha256 of its manifest.
    pub(crate) sha256: &'a Sha256Digest,
    /// How the install would treat its lock.
    pub(crate) lock_use: LockUse,
    /// Whether the lock has a package that is fetched with git.
    pub(crate) needs_git: bool,
    /// Whether the lock has a conda package that pixi builds from source.
    pub(crate) builds_conda_packages: bool,
    /// The paths that the lock names, as they stand in it.
    pub(crate) local_paths: &'a BTreeSet<PathBuf>,
    /// Variables of the build.
    pub(crate) variables: &'a [ContainerVariable],
}

/// What pixi made of a project that it would install.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PixiCheck {
    /// Its version, where it told one.
    pub(crate) pixi: Option<String>,
    /// Whether it compared the lock with the manifest, and both fit.
    pub(crate) lock_fits: bool,
    /// Why it did not tell all that was asked.
    pub(crate) unknown: Option<String>,
}

impl PixiCheck {
    /// No pixi was asked.
    pub(crate) fn not_made(why: impl Into<String>) -> PixiCheck {
        PixiCheck {
            unknown: Some(why.into()),
            ..PixiCheck::default()
        }
    }

    /// The line of a plan.
    pub(crate) fn line(&self) -> String {
        let pixi = match &self.pixi {
            Some(version) => format!("pixi {version} of the image"),
            None => "pixi of the image".to_owned(),
        };
        match (&self.unknown, self.lock_fits) {
            (Some(why), _) => {
                format!("{pixi}: whether it accepts manifest and lock is not known: {why}")
            }
            (None, true) => format!("{pixi}: it accepts the manifest, and pixi.lock is up to date"),
            (None, false) => format!("{pixi}: it accepts the manifest"),
        }
    }
}

impl Question<'_> {
    /// Asks the pixi of an image that the engine has, in a container without a network that
    /// has what would be staged mounted read-only.
    ///
    /// # Errors
    ///
    /// As [`Question::classify`]; when files are to be mounted, and the engine does not see them
    /// (1); when the engine's client cannot be started.
    pub(crate) fn ask_image(
        &self,
        container: &NewContainer<'_>,
        source: &SourceTree,
        transfer: Transfer,
    ) -> anyhow::Result<PixiCheck> {
        let script = scripts::CHECK_PROJECT;
        let args = self.args(PROJECT, source.in_root(), &self.sha256.to_string());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let answer = container.ask(source.dir(), PROJECT, self.variables, script, &args)?;
        if answer.code == failure::ENGINE {
            let refusal = refusal(&answer.stderr);
            let is_unseen = refusal.contains(&source.dir().display().to_string());
            if is_unseen && transfer == Transfer::Mount {
                return Err(Failure::general(not_shared(
                    container.engine,
                    source.dir(),
                    refusal,
                )));
            }
            // The build copies the files in the first case, and has a network in the second.
            if !is_unseen && !refusal.contains("network") {
                return Err(Failure::engine(format!(
                    "{} cannot create a container of image {}: {refusal}",
                    container.engine.client(),
                    container.image,
                )));
            }
        }
        let is_elsewhere =
            answers(&answer).is_some_and(|text| text.lines().next() == Some(ELSEWHERE));
        if is_elsewhere && transfer == Transfer::Mount {
            let message = "it is another directory there";
            return Err(Failure::general(not_shared(
                container.engine,
                source.dir(),
                message,
            )));
        }
        self.classify(&answer)
    }

    /// Asks the pixi in a running container, where `source` is what would be staged.
    ///
    /// # Errors
    ///
    /// As [`Question::classify`], and when the engine's client cannot be started.
    pub(crate) fn ask_container(
        &self,
        container: &RunningContainer,
        source: &SourceTree,
    ) -> anyhow::Result<PixiCheck> {
        let dir = source.dir().as_os_str();
        let dir = utf8_arg("the project's path in the container", dir)?;
        // The files are the container's own: nothing is compared.
        let args = self.args(dir, source.in_root(), "");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let answer = container.ask(self.variables, scripts::CHECK_PROJECT, &args)?;
        self.classify(&answer)
    }

    fn args(&self, source: &str, in_root: &PathInRoot, sha256: &str) -> Vec<String> {
        let flag = |is_set| if is_set { "yes" } else { "" };
        let variables = scripts::assignments(&[
            ("source", source),
            ("in_root", in_root.as_str()),
            ("manifest", self.manifest),
            ("sha256", sha256),
            ("environment", self.environment),
            ("compares", flag(self.lock_use == LockUse::Locked)),
            ("needs_git", flag(self.needs_git)),
        ]);
        let places = self.local_paths.iter();
        let places = places.filter_map(|path| in_root.resolve(path)?.to_str().map(str::to_owned));
        std::iter::once(variables).chain(places).collect()
    }

    /// What the answer means.
    ///
    /// # Errors
    ///
    /// What the build would end with: 127 for a program that is missing, pixi's exit code
    /// where it refuses the manifest or a lock that does not fit.
    fn classify(&self, answer: &CapturedOutput) -> anyhow::Result<PixiCheck> {
        let Some(text) = answers(answer) else {
            let message = refusal(&answer.stderr);
            let why = format!(
                "the container of the check ended with exit code {}: {message}",
                answer.code
            );
            return Ok(PixiCheck::not_made(why));
        };
        let first = text.lines().next().unwrap_or_default();
        if let Some(program) = first.strip_prefix("missing ") {
            return Err(script_result::missing_program(program));
        }
        let Some(version) = first.strip_prefix("pixi ") else {
            return Ok(PixiCheck::not_made(match first {
                ELSEWHERE => "the engine does not see this machine's files",
                _ => "the container has no directory for temporary files",
            }));
        };
        let version = version.strip_prefix("pixi ").unwrap_or(version);
        let mut check = PixiCheck {
            pixi: (!version.is_empty()).then(|| version.to_owned()),
            ..PixiCheck::default()
        };
        if self.builds_conda_packages {
            require_new_enough(version)?;
        }
        let (manifest, lock) = match text.split_once("\nlock ") {
            Some((manifest, lock)) => (manifest, Some(lock)),
            None => (&*text, None),
        };
        let (code, said) = ended(
            manifest
                .split_once("\nmanifest ")
                .map_or("", |(_, end)| end),
        );
        match code {
            Some(0) => {}
            Some(code) if code != TIMED_OUT => {
                return Err(self.refused_manifest(&check, code, &said));
            }
            _ => check.unknown = Some("it did not answer in time".to_owned()),
        }
        if let Some((code, said)) = lock.map(ended) {
            match code {
                Some(0) => check.lock_fits = true,
                // It lists what is locked after it has compared the lock.
                Some(_) if said.find_no_packages() => check.lock_fits = true,
                Some(_) if said.blame_sources_alone() => {
                    check.unknown = Some("it needs the build backends of the source packages, which it cannot fetch without a network".to_owned());
                }
                Some(code) if said.blame_the_lock() => return Err(stale(code, &said)),
                _ => {
                    let fault = said.fault().join(" ");
                    check.unknown = Some(format!(
                        "without a network it cannot compare the two: {fault}"
                    ));
                }
            }
        }
        Ok(check)
    }

    fn refused_manifest(&self, check: &PixiCheck, code: u8, said: &PixiMessages) -> anyhow::Error {
        let version = check.pixi.as_deref().unwrap_or_default();
        Failure::with_code(
            code,
            format!(
                "pixi {version} of the image refuses {}: use an image with a suitable pixi, or correct the file; pixi prints:{}",
                self.manifest,
                said.shown()
            ),
        )
    }
}

/// The first pixi whose lock is in the format of the lock that a product with packages that
/// were built from source gets; older ones do not read it.
const FIRST_FOR_SOURCES: (u32, u32) = (0, 68);

/// Requires a pixi that reads the lock of a product with packages that it built from source;
/// a version that cannot be read says nothing.
///
/// # Errors
///
/// Exit code 2 for an older one.
pub(crate) fn require_new_enough(version: &str) -> anyhow::Result<()> {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Ok(());
    };
    if (major, minor) >= FIRST_FOR_SOURCES {
        return Ok(());
    }
    let (first_major, first_minor) = FIRST_FOR_SOURCES;
    Err(Failure::usage(format!(
        "the project has packages that pixi builds from source, and the pixi of the image, {version}, does not read the lock that a product with them needs: use an image with pixi {first_major}.{first_minor} or later"
    )))
}

/// What the script printed after its mark; the profile of a login shell may print, too.
fn answers(answer: &CapturedOutput) -> Option<String> {
    let text = String::from_utf8_lossy(&answer.stdout);
    let mark = format!("{}\n", scripts::ANSWERS);
    text.split_once(&mark).map(|(_, text)| text.to_owned())
}

/// The line in which the engine or its client says why there is no container: docker's last one
/// only names its help.
fn refusal(stderr: &str) -> &str {
    let mut lines = stderr.lines().filter(|line| !line.trim().is_empty());
    let of_engine = lines
        .clone()
        .find(|line| line.contains("Error response from daemon:"));
    let is_help = |line: &&str| line.starts_with("Run '") || line.starts_with("See '");
    of_engine
        .or_else(|| lines.rfind(|line| !is_help(line)))
        .unwrap_or_default()
}

/// The exit code and the arguments after it.
fn ended(text: &str) -> (Option<u8>, PixiMessages) {
    let (code, said) = text.split_once('\n').unwrap_or((text, ""));
    (code.trim().parse().ok(), PixiMessages::from_text(said))
}

fn stale(code: u8, said: &PixiMessages) -> anyhow::Error {
    let reasons: String = said
        .why_stale()
        .iter()
        .map(|reason| format!("\n    {reason}"))
        .collect();
    let reasons = if reasons.is_empty() {
        said.shown()
    } else {
        reasons
    };
    let code = if code == 0 { failure::GENERAL } else { code };
    Failure::with_code(
        code,
        format!(
            "pixi install would fail: {}; pixi says:{reasons}",
            LockUse::STALE
        ),
    )
}
