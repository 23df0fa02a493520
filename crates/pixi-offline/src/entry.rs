//! How every command starts and ends: arguments → options → step → exit code.

use std::ffi::{OsStr, OsString};
use std::process::{ExitCode, Termination};
use std::sync::Arc;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Command, CommandFactory, FromArgMatches};

use crate::commands::agent;
use crate::context::Context;
use crate::evidence::signature::SigningKeys;
use crate::failure::{self, Failure};
use crate::host_env::HostEnv;
use crate::packages::LockCache;
use crate::report::{Report, stdout};
use crate::secret_search::SecretScanner;
use crate::workspace::agent_request::AGENT_ARGUMENT;

/// The option after which everything belongs to the verification.
const VERIFY_RUN: &str = "--verify-run";

/// The arguments after `--` of a command that takes some without a verification, too: the
/// name of the field that holds them.
const COMMAND_WORDS: &str = "command_args";

/// What makes the scanner for secrets that a command hands to its steps.
pub type NewScanner = fn() -> anyhow::Result<Arc<dyn SecretScanner>>;

/// Runs one command: reads the command line into `Options`, hands it to
/// `run`, prints an error as `ERROR: …` and turns it into its exit code. A run that ended well
/// has the exit code of what it gives: 0 for `()`.
pub fn run_main<Options, ExitStatus>(
    run: impl FnOnce(Options, &Context) -> anyhow::Result<ExitStatus>,
    new_scanner: NewScanner,
) -> ExitCode
where
    Options: CommandFactory + FromArgMatches,
    ExitStatus: Termination,
{
    let args = std::env::args_os().skip(1);
    match parse::<Options>(args) {
        Ok(Parsed::Options(options)) => in_context(|context| run(*options, context), new_scanner),
        Ok(Parsed::Text(text)) => {
            let report = Report::new();
            report.text(text);
            ended(Ok(()), &report)
        }
        Err(error) => ended::<()>(Err(error), &Report::new()),
    }
}

/// Like [`run_main`], for a command that also works as an agent: it copies
/// itself into a container and calls the copy with [`AGENT_ARGUMENT`].
pub fn run_main_or_agent<Options>(
    run: impl FnOnce(Options, &Context) -> anyhow::Result<()>,
    new_scanner: NewScanner,
) -> ExitCode
where
    Options: CommandFactory + FromArgMatches,
{
    let mut args = std::env::args_os().skip(1);
    if args.next().is_none_or(|first| first != AGENT_ARGUMENT) {
        return run_main(run, new_scanner);
    }
    let request = args.next().unwrap_or_default();
    in_context(
        |context| agent::run(&request.to_string_lossy(), context),
        new_scanner,
    )
}

/// Runs a command that only starts others: `choose` reads all arguments as they are, and `start`
/// starts what they ask for.
pub fn run_dispatcher<Chosen>(
    choose: impl FnOnce(&[OsString]) -> anyhow::Result<Parsed<Chosen>>,
    start: impl FnOnce(Chosen, &HostEnv) -> anyhow::Result<()>,
) -> ExitCode {
    let report = Report::new();
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let ending = choose(&args).and_then(|parsed| match parsed {
        Parsed::Options(chosen) => start(*chosen, &HostEnv::read()?),
        Parsed::Text(text) => {
            report.text(text);
            Ok(())
        }
    });
    ended(ending, &report)
}

/// Reads the environment and runs in it.
fn in_context<ExitStatus: Termination>(
    run: impl FnOnce(&Context) -> anyhow::Result<ExitStatus>,
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
                signing_keys: SigningKeys::default(),
            };
            let ending = run(&context);
            context.report.end_phases(ending.as_ref().err());
            ended(ending, &context.report)
        }
        Err(error) => ended::<()>(Err(error), &report),
    }
}

/// Prints an error as `ERROR: …` and turns it into its exit code.
fn ended<ExitStatus: Termination>(result: anyhow::Result<ExitStatus>, report: &Report) -> ExitCode {
    match result.and_then(|ended| stdout::require_written().map(|()| ended)) {
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
/// options, a value is the next argument whatever it looks like, the last of a
/// repeated option wins, `--verify-run -- CMD…` ends the options.
///
/// # Errors
///
/// Exit code 2 with a message that names the argument and the fix.
pub fn parse<Options>(args: impl IntoIterator<Item = OsString>) -> anyhow::Result<Parsed<Options>>
where
    Options: CommandFactory + FromArgMatches,
{
    // With the scripts a repeated option is no error, the last one wins; and any text is a
    // value, `--` and arguments that start with `-` included.
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
    let args = checked(args.into_iter().collect(), &command)?;
    let program = OsString::from(command.get_name());
    match command.try_get_matches_from_mut(std::iter::once(program).chain(args)) {
        Ok(matches) => match Options::from_arg_matches(&matches) {
            Ok(options) => Ok(Parsed::Options(Box::new(options))),
            Err(error) => Err(usage(&error.format(&mut command), &command)),
        },
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Parsed::Text(error.render().to_string()))
            }
            _ => Err(usage(&error, &command)),
        },
    }
}

/// clap's message without its prefix: the report adds `ERROR: `.
fn usage(error: &clap::Error, command: &Command) -> anyhow::Error {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let longer = longer_options(error, command);
    // clap's tip about `--` does not hold here: after it is a verification's command only.
    let is_tip =
        |line: &str| line.contains("tip: to pass") || !longer.is_empty() && line.contains("tip: ");
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !is_tip(line))
        .map(str::to_owned)
        .collect();
    if !longer.is_empty() {
        let tip = format!("  did you mean {}?", longer.join(", "));
        lines.insert(1.min(lines.len()), tip);
        lines.dedup_by(|line, before| line.is_empty() && before.is_empty());
    }
    Failure::usage(lines.join("\n").trim_end())
}

/// The options that begin as an unknown one does, which clap's comparison of letters may miss.
fn longer_options(error: &clap::Error, command: &Command) -> Vec<String> {
    let unknown = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(arg))) => arg.strip_prefix("--"),
        _ => None,
    };
    let Some(unknown) = unknown.filter(|arg| !arg.is_empty()) else {
        return Vec::new();
    };
    let shown = command
        .get_arguments()
        .filter(|option| !option.is_hide_set());
    let longs = shown.filter_map(clap::Arg::get_long);
    longs
        .filter(|long| {
            long.strip_prefix(unknown)
                .is_some_and(|rest| rest.starts_with('-'))
        })
        .map(|long| format!("--{long}"))
        .collect()
}

fn no_command() -> anyhow::Error {
    Failure::usage("`--` needs a command after it: --verify-run -- CMD ARG…")
}

/// The arguments, once it is checked that `--` stands where it may: before the arguments of a
/// verification, or of a command that takes some. A request for help is the only argument then.
fn checked(args: Vec<OsString>, command: &Command) -> anyhow::Result<Vec<OsString>> {
    let takes_value = |arg: &OsStr| {
        let short = |argument: &clap::Arg| {
            argument
                .get_short()
                .is_some_and(|short| *arg == *format!("-{short}"))
                && argument.get_action().takes_values()
        };
        if command.get_arguments().any(short) {
            return true;
        }
        let name = arg.to_str().and_then(|arg| arg.strip_prefix("--"));
        name.is_some_and(|name| {
            command.get_arguments().any(|argument| {
                let is_alias = || {
                    argument
                        .get_all_aliases()
                        .is_some_and(|all| all.contains(&name))
                };
                argument.get_action().takes_values()
                    && (argument.get_long() == Some(name) || is_alias())
            })
        })
    };
    let verifies = command
        .get_arguments()
        .any(|argument| argument.get_long() == VERIFY_RUN.strip_prefix("--"));

    let takes_args = command
        .get_arguments()
        .any(|argument| argument.get_id() == COMMAND_WORDS);

    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg == "--help" || arg == "-h" {
            return Ok(vec![arg.clone()]);
        }
        if takes_value(arg) {
            rest.next().ok_or_else(|| {
                Failure::usage(format!("{} needs a value; see --help", arg.display()))
            })?;
        } else if verifies && arg == VERIFY_RUN {
            return match rest.as_slice() {
                [separator] if separator == "--" => Err(no_command()),
                [separator, ..] if separator == "--" => Ok(args),
                _ => Err(Failure::usage(
                    "--verify-run must be the last option and be followed by `-- CMD ARG…`",
                )),
            };
        } else if arg == "--" {
            return match (takes_args, verifies) {
                (true, _) => Ok(args),
                (false, true) if rest.as_slice().is_empty() => Err(no_command()),
                (false, true) => Ok(args),
                (false, false) => Err(Failure::usage("`--` has no meaning here; see --help")),
            };
        }
    }
    Ok(args)
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
        args: Vec<OsString>,
    }

    fn sample(args: &[&str]) -> anyhow::Result<Sample> {
        match parse(args.iter().map(OsString::from))? {
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
        let args = "--image a --exclude -x --image b --exclude y --force --force";
        let args: Vec<&str> = args.split(' ').collect();
        let options = sample(&args).unwrap();
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
        assert_eq!(options.args, ["--", "-x", "", "--help"]);
        let options = sample(&["--image", "i", "--", "x", "--help"]).unwrap();
        assert_eq!(options.args, ["x", "--help"]);
    }

    #[test]
    fn wrong_forms_are_usage_errors_that_name_the_fix() {
        for (args, part) in [
            (&["--image"][..], "--image needs a value"),
            (&["--image", "i", "--verify-run"], "-- CMD"),
            (
                &["--image", "i", "--verify-run", "--exclude", "x", "--", "y"],
                "last option",
            ),
            (&["--image", "i", "--verify-run", "--"], "needs a command"),
            (&["--image", "i", "--"], "needs a command"),
            (&["--image", "i", "--unknown"], "--unknown"),
            (&["--image", "i", "stray"], "stray"),
            (&[], "--image"),
        ] {
            let error = sample(args).unwrap_err();
            assert_eq!(failure::exit_code(&error), failure::USAGE, "{args:?}");
            assert!(error.to_string().contains(part), "{args:?}: {error}");
            assert!(!error.to_string().starts_with("error:"), "{error}");
        }
    }

    /// A command that takes arguments without a verification, too.
    #[derive(Debug, Parser)]
    #[command(name = "sample", version)]
    struct WithArgs {
        #[arg(long)]
        force: bool,
        #[arg(long)]
        verify_run: bool,
        #[arg(last = true)]
        command_args: Vec<OsString>,
    }

    #[test]
    fn words_of_a_command_stand_after_two_hyphens_with_and_without_a_verification() {
        for (args, force, verify_run, rest) in [
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
            let parsed = parse::<WithArgs>(args.iter().map(OsString::from)).unwrap();
            let Parsed::Options(options) = parsed else {
                panic!("text instead of options");
            };
            assert_eq!((options.force, options.verify_run), (force, verify_run));
            assert_eq!(options.command_args, rest);
        }
    }

    #[test]
    fn help_and_version_are_text() {
        for args in [
            &["--help"][..],
            &["-h"],
            &["--image", "i", "--help"],
            &["--help", "--image"],
            &["-h", "--verify-run"],
            &["--version"],
        ] {
            let parsed = parse::<Sample>(args.iter().map(OsString::from)).unwrap();
            assert!(matches!(parsed, Parsed::Text(text) if text.contains("sample")));
        }
    }
}
