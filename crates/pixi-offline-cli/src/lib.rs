//! `pixi-offline`: the commands of this project by short names.
//!
//! In: the arguments of the command line. Out: this process becomes the command that the first
//! argument stands for, so input, output, signals and the exit code are that command's own. It
//! reads no option of a command but the one that decides between the two that stage.

use std::ffi::{OsStr, OsString};

use clap::Command;
use pixi_offline::entry::Parsed;
use pixi_offline::failure::{self, Failure};
use pixi_offline::host_env::HostEnv;
use pixi_offline::tools::Program;

/// The option that tells a project in a container from one on this machine.
const CONTAINER_OPTION: &str = "--container-id";

/// The argument that asks for help, as an option does.
const HELP: &str = "help";

/// The command that stages a project in a container.
const STAGE_FROM_CONTAINER: &str = "create-workdir-from-container";

/// The end of the help; each command line in it is parsed by a test.
const EXAMPLES: &str = r"Examples:
  # a product of the project in ./weather, proved by its task `smoke`
  $ pixi-offline build weather --verify-task smoke

  # the options of a command
  $ pixi-offline build --help

  # the same in its steps
  $ pixi-offline stage --image ghcr.io/prefix-dev/pixi:0.77.0 --project-dir weather --workdir work
  $ pixi-offline product --workdir work
  $ pixi-offline verify --image ghcr.io/prefix-dev/pixi:0.77.0 \
      --product-dir work/product --out-dir work/proof";

/// A short name.
#[derive(Debug)]
pub struct ShortName {
    /// The argument that is typed.
    pub arg: &'static str,
    /// The command that it starts.
    pub command: &'static str,
    about: &'static str,
}

/// All of them, in the order of the work.
pub const SHORT_NAMES: [ShortName; 8] = [
    ShortName {
        arg: "build",
        command: "build-offline-product",
        about: "Make a product and prove that it installs offline: all steps in one go",
    },
    ShortName {
        arg: "stage",
        command: "create-workdir-from-host",
        about: "Stage, install and verify a project in a container with a network; with --container-id, a project in a running container",
    },
    ShortName {
        arg: "product",
        command: "make-archive-ready-product",
        about: "Make a product of a workdir",
    },
    ShortName {
        arg: "verify",
        command: "final-verify-product",
        about: "Install a product in a container without a network and verify it there",
    },
    ShortName {
        arg: "image",
        command: "make-production-image",
        about: "Make a container image without pixi of a product",
    },
    ShortName {
        arg: "compare",
        command: "compare-products",
        about: "Show what differs between two products",
    },
    ShortName {
        arg: "update",
        command: "make-product-update",
        about: "Make what turns a delivered product into a newer one at the target",
    },
    ShortName {
        arg: "pack",
        command: "pack-product",
        about: "Pack a product into one archive, or into parts of a size",
    },
];

/// The command line, for the help, the man page and the completions.
pub fn command() -> Command {
    Command::new("pixi-offline")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Package a Pixi project for an air-gapped machine, and prove offline that it installs",
        )
        .after_help(EXAMPLES)
        .max_term_width(100)
        .disable_help_subcommand(true)
        .subcommand_value_name("COMMAND")
        .subcommand_required(true)
        .subcommands(SHORT_NAMES.iter().map(|name| {
            let about = format!("{} ({})", name.about, name.command);
            Command::new(name.arg).about(about)
        }))
}

/// A command and the arguments that it is given.
#[derive(Debug)]
pub struct ChosenCommand {
    command: &'static str,
    arguments: Vec<OsString>,
}

/// Reads the arguments of the command line.
///
/// # Errors
///
/// Exit code 2 when the first argument is not a short name; with the help when there is none.
pub fn choose(args: &[OsString]) -> anyhow::Result<Parsed<ChosenCommand>> {
    let Some((arg, arguments)) = args.split_first() else {
        let help = command().render_help();
        return Err(Failure::usage(format!(
            "give a command; {}\n\n{help}",
            list()
        )));
    };
    // `help COMMAND` is `COMMAND --help`, as with git.
    if arg == HELP && !arguments.is_empty() {
        let of_command = [&arguments[..1], &["--help".into()]].concat();
        return choose(&of_command);
    }
    if arg == "--help" || arg == "-h" || arg == HELP {
        return Ok(Parsed::Text(command().render_help().to_string()));
    }
    if arg == "--version" || arg == "-V" {
        return Ok(Parsed::Text(command().render_version()));
    }
    let command = command_of(arg, arguments)
        .ok_or_else(|| unknown(&format!("{arg:?} is not a command of pixi-offline")))?;
    Ok(Parsed::Options(Box::new(ChosenCommand {
        command,
        arguments: arguments.to_owned(),
    })))
}

/// Becomes the command; returns only when that fails.
///
/// # Errors
///
/// Exit code 127 when the command is neither beside this program nor on `PATH`.
pub fn start(chosen: ChosenCommand, host: &HostEnv) -> anyhow::Result<()> {
    Err(find(chosen.command, host)?.replace_process(&chosen.arguments))
}

/// The command that an argument stands for, with these arguments.
pub fn command_of(arg: &OsStr, arguments: &[OsString]) -> Option<&'static str> {
    let name = SHORT_NAMES.iter().find(|name| arg == name.arg)?;
    // What follows `--` are the arguments of a verification.
    let mut options = arguments.iter().take_while(|argument| *argument != "--");
    let from_container = options.any(|option| {
        let option = option.to_string_lossy();
        option.split('=').next() == Some(CONTAINER_OPTION)
    });
    match name.arg {
        "stage" if from_container => Some(STAGE_FROM_CONTAINER),
        _ => Some(name.command),
    }
}

fn unknown(what: &str) -> anyhow::Error {
    Failure::usage(format!("{what}: {}; see pixi-offline --help", list()))
}

fn list() -> String {
    let args: Vec<&str> = SHORT_NAMES.iter().map(|name| name.arg).collect();
    format!("the commands are {}", args.join(", "))
}

/// The program of a command: beside this one, else on `PATH`.
fn find(name: &str, host: &HostEnv) -> anyhow::Result<Program> {
    let beside = host.program.with_file_name(name);
    Program::find(beside.as_os_str(), host)
        .or_else(|_| Program::find(name.as_ref(), host))
        .map_err(|_| {
            Failure::with_code(
                failure::MISSING_PROGRAM,
                format!(
                    "Missing required command: {name} (neither beside {} nor on PATH)",
                    host.program.display()
                ),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(args: &[&str]) -> Option<&'static str> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        command_of(&args[0], &args[1..])
    }

    #[test]
    fn each_word_stands_for_one_command_and_container_id_decides_for_stage() {
        for (args, command) in [
            (
                &["build", "--container-id", "c"][..],
                "build-offline-product",
            ),
            (&["stage"], "create-workdir-from-host"),
            (&["stage", "--container-id", "c"], STAGE_FROM_CONTAINER),
            (
                &["stage", "--workdir", "w", "--container-id=c"],
                STAGE_FROM_CONTAINER,
            ),
            (
                &["stage", "--verify-run", "--", "x", "--container-id", "c"],
                "create-workdir-from-host",
            ),
            (
                &["stage", "--container-identity"],
                "create-workdir-from-host",
            ),
            (&["product"], "make-archive-ready-product"),
            (&["verify"], "final-verify-product"),
            (&["image"], "make-production-image"),
            (&["compare", "a", "b"], "compare-products"),
            (&["update", "--from", "a"], "make-product-update"),
            (&["pack", "a", "b.tar"], "pack-product"),
        ] {
            assert_eq!(started(args), Some(command), "{args:?}");
        }
        for arg in ["", "builds", "build-offline-product", "--", "-x"] {
            assert_eq!(started(&[arg]), None, "{arg}");
        }
    }
}
