//! How every command starts and ends: words → options → step → exit code.

use std::ffi::{OsStr, OsString};
use std::process::{ExitCode, Termination};
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{ArgAction, Command, CommandFactory, FromArgMatches};

use crate::commands::agent;
use crate::context::Context;
use crate::failure::{self, Failure};
use crate::host_env::HostEnv;
use crate::packages::LockCache;
use crate::report::Report;
use crate::secret_search::SecretScanner;
use crate::workspace::agent_request::AGENT_ARGUMENT;

/// The option after which everything belongs to the verification.
const VERIFY_RUN: &str = "--verify-run";

/// The words after `--` of a command that takes some without a verification, too: the
/// name of the field that holds them.
const COMMAND_WORDS: &str = "command_words";

/// What makes the scanner for secrets that a command hands to its steps.
pub type NewScanner = fn() -> anyhow::Result<Arc<dyn SecretScanner>>;

/// Runs one command of ours: reads the command line into `Options`, hands it to
/// `run`, prints an error as `ERROR: …` and turns it into its exit code. A run that ended well
/// has the exit code of what it gives: 0 for `()`.
pub fn run_main<Options, Ended>(
    run: impl FnOnce(Options, &Context) -> anyhow::Result<Ended>,
    new_scanner: NewScanner,
) -> ExitCode
where
    Options: CommandFactory + FromArgMatches,
    Ended: Termination,
{
    let words = std::env::args_os().skip(1);
    match parse::<Options>(words) {
        Ok(Parsed::Options(options)) => in_context(|context| run(*options, context), new_scanner),
        Ok(Parsed::Text(text)) => {
            Report::new().text(text);
            ExitCode::SUCCESS
        }
        Err(error) => ended::<()>(Err(error), &Report::new()),
    }
}

/// As [`run_main`], for a command that also works as its own delegate: it brings
/// a copy of itself into a container and calls it there with
/// [`AGENT_ARGUMENT`].
pub fn run_main_or_agent<Options>(
    run: impl FnOnce(Options, &Context) -> anyhow::Result<()>,
    new_scanner: NewScanner,
) -> ExitCode
where
    Options: CommandFactory + FromArgMatches,
{
    let mut words = std::env::args_os().skip(1);
    if words.next().is_none_or(|first| first != AGENT_ARGUMENT) {
        return run_main(run, new_scanner);
    }
    let order = words.next().unwrap_or_default();
    in_context(
        |context| agent::run(&order.to_string_lossy(), context),
        new_scanner,
    )
}

/// Runs a command that only starts others: `choose` reads all words as they are, and `start`
/// starts what they ask for.
pub fn run_dispatcher<Chosen>(
    choose: impl FnOnce(&[OsString]) -> anyhow::Result<Parsed<Chosen>>,
    start: impl FnOnce(Chosen, &HostEnv) -> anyhow::Result<()>,
) -> ExitCode {
    let report = Report::new();
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let ending = choose(&words).and_then(|parsed| match parsed {
        Parsed::Options(chosen) => start(*chosen, &HostEnv::read()?),
        Parsed::Text(text) => {
            report.text(text);
            Ok(())
        }
    });
    ended(ending, &report)
}

/// Reads the environment and runs in it.
fn in_context<Ended: Termination>(
    run: impl FnOnce(&Context) -> anyhow::Result<Ended>,
    new_scanner: NewScanner,
) -> ExitCode {
    let report = Report::new();
    match HostEnv::read().and_then(|host| Ok((host, new_scanner()?))) {
        Ok((host, secret_scanner)) => {
            let context = Context {
                host,
                report,
                secret_scanner,
                locks: LockCache::default(),
            };
            ended(run(&context), &context.report)
        }
        Err(error) => ended::<()>(Err(error), &report),
    }
}

/// Prints an error as `ERROR: …` and turns it into its exit code.
fn ended<Ended: Termination>(result: anyhow::Result<Ended>, report: &Report) -> ExitCode {
    match result {
        Ok(ended) => ended.report(),
        Err(error) => {
            report.error(&error);
            ExitCode::from(failure::exit_code(&error))
        }
    }
}

/// What a command line asked for.
#[derive(Debug)]
pub enum Parsed<Options> {
    /// The command's work.
    Options(Box<Options>),
    /// Help or version, already rendered for stdout.
    Text(String),
}

/// Reads a command line (without the program's name) as the scripts did: long
/// options, a value is the next word whatever it looks like, the last of a
/// repeated option wins, `--verify-run -- CMD…` ends the options.
///
/// # Errors
///
/// Exit code 2 with a message that names the word and the fix.
pub fn parse<Options>(words: impl IntoIterator<Item = OsString>) -> anyhow::Result<Parsed<Options>>
where
    Options: CommandFactory + FromArgMatches,
{
    // With the scripts a repeated option is no error, the last one wins; and any text is a
    // value, `--` and words that start with `-` included.
    let mut command = Options::command().mut_args(|argument| {
        if argument.is_positional() {
            return argument;
        }
        let id = argument.get_id().clone();
        match argument.get_action() {
            ArgAction::Append => argument.allow_hyphen_values(true),
            ArgAction::Set => argument.overrides_with(id).allow_hyphen_values(true),
            _ => argument.overrides_with(id),
        }
    });
    command.build();
    let words = checked(words.into_iter().collect(), &command)?;
    let program = OsString::from(command.get_name());
    match command.try_get_matches_from_mut(std::iter::once(program).chain(words)) {
        Ok(matches) => match Options::from_arg_matches(&matches) {
            Ok(options) => Ok(Parsed::Options(Box::new(options))),
            Err(error) => Err(usage(&error.format(&mut command))),
        },
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Parsed::Text(error.render().to_string()))
            }
            _ => Err(usage(&error)),
        },
    }
}

/// clap's message without its own prefix: the report adds ours.
fn usage(error: &clap::Error) -> anyhow::Error {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // clap's tip about `--` is not ours: there only a verification's words stand.
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("tip: to pass"))
        .collect();
    Failure::usage(lines.join("\n").trim_end())
}

/// The words, once it is checked that `--` stands where it may: after `--verify-run`, or
/// before the words of a command that takes some. A request for help is the only word then.
fn checked(words: Vec<OsString>, command: &Command) -> anyhow::Result<Vec<OsString>> {
    let takes_value = |word: &OsStr| {
        let short = |argument: &clap::Arg| {
            argument
                .get_short()
                .is_some_and(|short| *word == *format!("-{short}"))
                && argument.get_action().takes_values()
        };
        if command.get_arguments().any(short) {
            return true;
        }
        let name = word.to_str().and_then(|word| word.strip_prefix("--"));
        name.is_some_and(|name| {
            command.get_arguments().any(|argument| {
                argument.get_long() == Some(name) && argument.get_action().takes_values()
            })
        })
    };
    let verifies = command
        .get_arguments()
        .any(|argument| argument.get_long() == VERIFY_RUN.strip_prefix("--"));

    let takes_words = command
        .get_arguments()
        .any(|argument| argument.get_id() == COMMAND_WORDS);

    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "--help" || word == "-h" {
            return Ok(vec![word.clone()]);
        }
        if takes_value(word) {
            rest.next().ok_or_else(|| {
                Failure::usage(format!("{} needs a value; see --help", word.display()))
            })?;
        } else if verifies && word == VERIFY_RUN {
            return match rest.as_slice() {
                [separator] if separator == "--" => Err(Failure::usage(
                    "--verify-run -- needs a command: --verify-run -- CMD ARG…",
                )),
                [separator, ..] if separator == "--" => Ok(words),
                _ => Err(Failure::usage(
                    "--verify-run must be the last option and be followed by `-- CMD ARG…`",
                )),
            };
        } else if word == "--" {
            return match (takes_words, verifies) {
                (true, _) => Ok(words),
                (false, true) => Err(Failure::usage(
                    "`--` stands only after --verify-run: --verify-run -- CMD ARG…",
                )),
                (false, false) => Err(Failure::usage("`--` has no meaning here; see --help")),
            };
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// A command line with one of each kind of option.
    #[derive(Debug, Parser)]
    #[command(name = "sample", version)]
    struct Sample {
        #[arg(long)]
        image: OsString,
        #[arg(long)]
        exclude: Vec<OsString>,
        #[arg(long)]
        force: bool,
        #[arg(long)]
        verify_run: bool,
        #[arg(last = true)]
        words: Vec<OsString>,
    }

    fn sample(words: &[&str]) -> anyhow::Result<Sample> {
        match parse(words.iter().map(OsString::from))? {
            Parsed::Options(options) => Ok(*options),
            Parsed::Text(text) => panic!("text instead of options: {text}"),
        }
    }

    #[test]
    fn any_text_is_a_value() {
        for value in ["--", "-h", "--help", "", "a b", "--force", "=x"] {
            assert_eq!(sample(&["--image", value]).unwrap().image, value);
        }
        assert_eq!(sample(&["--image=a=b"]).unwrap().image, "a=b");
    }

    #[test]
    fn the_last_single_value_wins_and_repeatable_ones_add_up() {
        let words = [
            "--image",
            "a",
            "--exclude",
            "-x",
            "--image",
            "b",
            "--exclude",
            "y",
            "--force",
            "--force",
        ];
        let options = sample(&words).unwrap();
        assert_eq!(options.image, "b");
        assert_eq!(options.exclude, ["-x", "y"]);
        assert!(options.force);
    }

    #[test]
    fn everything_after_verify_run_is_handed_over_word_for_word() {
        let options = sample(&[
            "--image",
            "i",
            "--verify-run",
            "--",
            "--",
            "-x",
            "",
            "--help",
        ])
        .unwrap();
        assert!(options.verify_run);
        assert_eq!(options.words, ["--", "-x", "", "--help"]);
    }

    #[test]
    fn wrong_forms_are_usage_errors_that_name_the_fix() {
        for (words, part) in [
            (&["--image"][..], "--image needs a value"),
            (&["--image", "i", "--verify-run"], "-- CMD"),
            (
                &["--image", "i", "--verify-run", "--exclude", "x", "--", "y"],
                "last option",
            ),
            (&["--image", "i", "--verify-run", "--"], "needs a command"),
            (&["--image", "i", "--", "x"], "--verify-run -- CMD"),
            (&["--image", "i", "--unknown"], "--unknown"),
            (&["--image", "i", "stray"], "stray"),
            (&[], "--image"),
        ] {
            let error = sample(words).unwrap_err();
            assert_eq!(failure::exit_code(&error), failure::USAGE, "{words:?}");
            assert!(error.to_string().contains(part), "{words:?}: {error}");
            assert!(!error.to_string().starts_with("error:"), "{error}");
        }
    }

    /// A command that takes words without a verification, too.
    #[derive(Debug, Parser)]
    #[command(name = "sample", version)]
    struct WithWords {
        #[arg(long)]
        force: bool,
        #[arg(long)]
        verify_run: bool,
        #[arg(last = true)]
        command_words: Vec<OsString>,
    }

    #[test]
    fn words_of_a_command_stand_after_two_hyphens_with_and_without_a_verification() {
        for (words, force, verify_run, rest) in [
            (
                &["--force", "--", "a", "--force", "--"][..],
                true,
                false,
                &["a", "--force", "--"][..],
            ),
            (
                &["--verify-run", "--", "--", "a"],
                false,
                true,
                &["--", "a"],
            ),
            (&["--"], false, false, &[]),
        ] {
            let parsed = parse::<WithWords>(words.iter().map(OsString::from)).unwrap();
            let Parsed::Options(options) = parsed else {
                panic!("text instead of options");
            };
            assert_eq!((options.force, options.verify_run), (force, verify_run));
            assert_eq!(options.command_words, rest);
        }
    }

    #[test]
    fn help_and_version_are_text() {
        for words in [
            &["--help"][..],
            &["-h"],
            &["--image", "i", "--help"],
            &["--help", "--image"],
            &["-h", "--verify-run"],
            &["--version"],
        ] {
            let parsed = parse::<Sample>(words.iter().map(OsString::from)).unwrap();
            assert!(matches!(parsed, Parsed::Text(text) if text.contains("sample")));
        }
    }
}
